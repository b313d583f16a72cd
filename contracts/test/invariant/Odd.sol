// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Tokens and wallets that do not behave like the ones people test with

/// @notice How a token is odd.
enum Odd {
    NoReturn, // transfers return nothing, as USDT's do
    Blocklist, // refuses some accounts
    Hook, // calls its `hook` in the middle of every transfer
    Fee, // takes one percent
    False // moves nothing and returns false
}

/// @notice A token of six decimals that is odd in one way.
contract OddToken {
    Odd public immutable odd;
    uint256 public totalSupply;
    Reenterer public hook;
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    mapping(address account => bool) public isBlocked;

    constructor(Odd odd_) {
        odd = odd_;
    }

    function setHook(Reenterer hook_) external {
        hook = hook_;
    }

    function setBlocked(address account, bool isBlocked_) external {
        isBlocked[account] = isBlocked_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        totalSupply += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
        _answer();
    }

    function transferFrom(address from, address to, uint256 amount) external {
        if (odd != Odd.False) allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        _answer();
    }

    function _move(address from, address to, uint256 amount) private {
        if (odd == Odd.False) return;
        require(!isBlocked[from] && !isBlocked[to], "blocked");
        if (odd == Odd.Hook && address(hook) != address(0)) hook.onMove();
        balanceOf[from] -= amount;
        uint256 fee = odd == Odd.Fee ? amount / 100 + 1 : 0;
        if (fee > amount) fee = amount;
        balanceOf[to] += amount - fee;
        totalSupply -= fee;
        if (odd == Odd.Hook && address(hook) != address(0)) hook.onMove();
    }

    function _answer() private view {
        Odd o = odd;
        if (o == Odd.NoReturn) return;
        bool isOk = o != Odd.False;
        assembly ("memory-safe") {
            mstore(0x00, isOk)
            return(0x00, 0x20)
        }
    }
}

/// @notice Called in the middle of a transfer it tries the calls it was armed with, and counts those that got through: the first ones move tokens and
/// must not, the others may.
contract Reenterer {
    uint256 public constant GUARDED = 2;
    address public immutable target;
    bytes[] private calls;
    uint256 public tried;
    uint256 public succeeded;

    constructor(address target_) {
        target = target_;
    }

    function arm(bytes[] calldata calls_) external {
        delete calls;
        for (uint256 i = 0; i < calls_.length; ++i) {
            calls.push(calls_[i]);
        }
    }

    function onMove() external {
        for (uint256 i = 0; i < calls.length; ++i) {
            ++tried;
            (bool isOk,) = target.call(calls[i]);
            if (isOk && i < GUARDED) ++succeeded;
        }
    }
}

/// @notice How a contract wallet answers ERC-1271.
enum Answer {
    Honest,
    No,
    Lie, // yes to everything
    Revert,
    Burn, // all gas
    Bomb, // a megabyte
    Short // the magic value in four bytes only
}

/// @notice A contract wallet of one key.
contract Wallet {
    address public immutable key;
    Answer public answer;

    constructor(address key_, Answer answer_) {
        key = key_;
        answer = answer_;
    }

    function setAnswer(Answer answer_) external {
        answer = answer_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        Answer a = answer;
        if (a == Answer.Revert) revert("no");
        if (a == Answer.Burn) while (true) {}
        if (a == Answer.Lie) return 0x1626ba7e;
        if (a == Answer.Bomb) {
            assembly {
                return(0, 1000000)
            }
        }
        if (a == Answer.Short) {
            assembly {
                mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000000)
                return(0, 4)
            }
        }
        if (a == Answer.No) return 0xffffffff;
        (address by, ECDSA.RecoverError error,) = ECDSA.tryRecover(digest, signature);
        return error == ECDSA.RecoverError.NoError && by == key ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}
