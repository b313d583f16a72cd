// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ICloudWallet} from "../src/interfaces/ICloudWallet.sol";

/// @title Odd tokens and wallets that users really meet, or that attackers write

/// @notice Takes one percent of every transfer.
contract FeeToken is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && to != address(0)) {
            super._update(from, address(0xfee), value / 100);
            value -= value / 100;
        }
        super._update(from, to, value);
    }
}

/// @notice Answers false instead of reverting, and moves nothing.
contract FalseToken is ERC20("False", "FALSE") {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Returns nothing, as USDT does.
contract NoReturnToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Calls the wallet again from inside a transfer, as an ERC-777 hook would let a receiver do.
contract HookToken is ERC20("Hook", "HOOK") {
    ICloudWallet public wallet;
    bytes public call;
    bool public isSuccess;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(ICloudWallet wallet_, bytes calldata call_) external {
        wallet = wallet_;
        call = call_;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (call.length != 0) {
            bytes memory armed = call;
            delete call;
            (isSuccess,) = address(wallet).call(armed);
        }
    }
}

/// @notice A Safe-style wallet: one owner's signature over the digest, answered by ERC-1271.
contract Wallet {
    address private immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.recoverCalldata(digest, signature) == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }

    function execute(address to, bytes calldata data) external returns (bytes memory answer) {
        require(msg.sender == owner, "not the owner");
        bool ok;
        (ok, answer) = to.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}

/// @notice Wallets that misbehave when they are asked: 0 burns all gas, 1 returns a bomb, 2 reverts, 3 returns too little, 4 says no.
contract BadWallet {
    uint256 private immutable kind;

    constructor(uint256 kind_) {
        kind = kind_;
    }

    fallback() external {
        uint256 how = kind;
        assembly {
            switch how
            case 0 { invalid() }
            case 1 { return(0, 500000) }
            case 2 { revert(0, 0) }
            case 3 {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 4)
            }
            default { return(0, 32) }
        }
    }
}
