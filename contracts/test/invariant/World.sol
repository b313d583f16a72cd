// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";
import {ICloudverse} from "../../src/interfaces/ICloudverse.sol";
import {IIncentives} from "../../src/interfaces/IIncentives.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {Ending, JobState, Limits, Progress, Rates, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Messages, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Answer, Odd, OddToken, Reenterer, Wallet} from "./Odd.sol";

/// @title The network the actors act in, and the books kept beside it
/// @notice Contracts, tokens and accounts; signing; the ghost state every handler writes and every invariant compares with the chain.
abstract contract World is Test {
    uint256 internal constant WINDOW = 10 minutes;
    uint256 internal constant PAYERS = 4;
    uint256 internal constant NODES = 6;
    uint256 internal constant TOKENS = 5;
    uint256 internal constant MAX_OPEN = 16;

    /// @notice A job as the books have it.
    struct Job {
        bytes32 id;
        Order order;
        Terms terms;
        Progress progress;
        JobState state;
        uint8 attempt;
        uint256 since;
        uint256 locked; // ever debited from the payer for it
        uint256 paid; // node + stakers + treasury parts
        uint256 refunded;
        uint256 addedSeconds; // by extensions
        uint256 usedMillis; // by ended attempts
        uint256 stakersPart; // of the current attempt, as are the next four
        uint256 treasuryPart;
        uint256 payments;
        uint256 highest; // value of the highest usage both sides signed, before the escrow's limit
        uint256 signedEgress; // the most egress both sides signed
        Voucher declared;
        Voucher top; // newest co-signed voucher
        Result submitted;
        address[] owners; // of the nodes of all attempts
    }

    /// @notice What the refund table says the call about to be made pays.
    struct Want {
        bool isSet;
        Ending ending;
        uint256 value;
    }

    /// @notice A change of a node's bond.
    struct BondChange {
        uint256 at;
        uint256 bondBefore;
        uint256 madeGood;
    }

    ICloudverse public cloud;
    INodeRegistry public registry;
    IERC20 internal open;
    address[] public tokens; // USDC, OPEN, no-return, blocklist, hook
    OddToken internal feeToken;
    OddToken internal falseToken;
    Reenterer public reenterer;
    IStaking public staking;
    IIncentives public incentives;
    address internal governance = makeAddr("governance");
    address internal stranger = makeAddr("stranger");
    address[] internal payers;
    address[] internal signers;
    address[] internal owners;
    address[] internal operators;
    address[] internal budgetKeys;
    address[] public stakingAccounts; // the payers among them
    Wallet internal contractPayer; // payers[2]
    Wallet internal oddPayer;
    address[] public accounts; // all that can have credits
    mapping(address account => uint256) internal keyOf;

    uint256 public clock; // kept here because a fuzzer's block may forget a warp
    bytes32 public trail; // hash of every step of this run: the same when a run is replayed, and only then
    bool internal isLonely; // whether in this run few stake, so that revenue often streams to nobody
    uint256 internal salt;
    Job[] internal jobs;
    uint256[] internal openJobs;
    mapping(bytes32 jobId => uint256) internal indexOf; // plus one
    Want internal want;
    Order[] internal cancelled;

    mapping(address account => mapping(address token => uint256)) public creditsInBooks;
    mapping(address token => uint256) public lockedInBooks;
    mapping(address token => uint256) public donated;
    mapping(address token => uint256) public stakersBooked;
    mapping(address token => uint256) public stakersPulled;
    mapping(address token => uint256) public treasuryBooked;
    mapping(address token => uint256) public treasuryPulled;
    uint256[] internal weeksBooked;
    mapping(uint256 week => bool) private isWeekBooked;
    uint256 public budgetCount;
    mapping(uint256 budget => uint256) public budgetSpent; // by it and all below, net of refunds
    mapping(uint256 node => uint256) public bondInBooks;
    mapping(uint256 node => uint256) public openOn;
    mapping(uint256 node => BondChange[]) internal bondChanges;
    uint256 public madeGoodTotal;
    uint256 public donatedToRegistry;
    mapping(address token => uint256) public donatedToStaking;
    uint256 public incentivesFunded;

    string[] internal names;
    mapping(string name => uint256) public successes;
    mapping(string name => uint256) public reverts;
    mapping(string name => bytes) internal lastError;
    mapping(string name => bool) private isNamed;
    mapping(string rule => uint256) public broken;
    string public brokenRules; // each once, in the order they broke

    // ------------------------------------------------------------------------------------------------------------------------------ set-up

    function build() public {
        clock = 1_750_000_000;
        vm.warp(clock);
        _deploy();
        _people();
        for (uint256 i = 0; i < NODES; ++i) {
            uint256 node = _as(owners[i % owners.length]).register(operators[i], keccak256("hardware"), "RTX 4090");
            _as(owners[i % owners.length]).setListPrice(node, 10e6);
            if (i != 0) _bond(node, uint128(_isReliable(node) ? 12_000_000e18 : (10 ** i) * 1e18)); // the first has none
        }
        _startStakingBooks();
        for (uint256 i = 0; i < PAYERS; ++i) {
            for (uint256 t = 0; t < TOKENS; ++t) {
                _deposit(payers[i], payers[i], tokens[t], t == 1 ? 1_000_000e18 : 1000e6);
            }
        }
        _deposit(address(oddPayer), address(oddPayer), tokens[0], 1000e6);
        _deposit(address(reenterer), address(reenterer), tokens[4], 1000e6);
    }

    function _deploy() private {
        open = IERC20(vm.deployCode("OpenToken.sol:OpenToken", abi.encode(0x20, 1, address(this), 100_000_000_000e18)));
        tokens.push(vm.deployCode("TestStablecoin.sol:TestStablecoin"));
        tokens.push(address(open));
        tokens.push(address(new OddToken(Odd.NoReturn)));
        tokens.push(address(new OddToken(Odd.Blocklist)));
        tokens.push(address(new OddToken(Odd.Hook)));
        feeToken = new OddToken(Odd.Fee);
        falseToken = new OddToken(Odd.False);
        address registryAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2);
        address stakingAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 3);
        bytes memory wiring = abi.encode(open, registryAt, governance, stakingAt, makeAddr("disputes"), WINDOW);
        address recovery = vm.deployCode("JobRecovery.sol:JobRecovery", wiring);
        cloud = ICloudverse(vm.deployCode("Cloudverse.sol:Cloudverse", abi.encodePacked(wiring, abi.encode(recovery))));
        registry = INodeRegistry(vm.deployCode("NodeRegistry.sol:NodeRegistry", abi.encode(open, cloud, governance)));
        staking = IStaking(vm.deployCode("Staking.sol:Staking", abi.encode(open, cloud)));
        incentives = IIncentives(vm.deployCode("Incentives.sol:Incentives", abi.encode(open, cloud, governance)));
        incentivesFunded = 100e18;
        require(open.transfer(address(incentives), incentivesFunded), "OPEN");
        require(address(registry) == registryAt && address(staking) == stakingAt, "addresses");
        reenterer = new Reenterer(address(cloud));
        OddToken(tokens[4]).setHook(reenterer);
        OddToken(tokens[4]).mint(address(reenterer), 1e6); // to deposit in the middle of somebody's transfer
        vm.prank(address(reenterer));
        OddToken(tokens[4]).approve(address(cloud), type(uint256).max);
        vm.startPrank(governance);
        for (uint256 i = 0; i < TOKENS; ++i) {
            if (i != 1) cloud.setListing(tokens[i], 1e24, 5e6);
        }
        cloud.setListing(address(open), 1e9, 5000e18);
        cloud.setListing(address(feeToken), 1e24, 5e6);
        cloud.setListing(address(falseToken), 1e24, 5e6);
        vm.stopPrank();
    }

    function _people() private {
        payers.push(_person("payer"));
        payers.push(_person("delegating payer"));
        vm.etch(payers[1], abi.encodePacked(hex"ef0100", address(0xde1e6a7e))); // EIP-7702: code and a key
        contractPayer = new Wallet(_person("safe owner"), Answer.Honest);
        payers.push(address(contractPayer));
        keyOf[address(contractPayer)] = keyOf[contractPayer.key()];
        payers.push(_person("other payer"));
        oddPayer = new Wallet(_person("odd owner"), Answer.No);
        for (uint256 i = 0; i < 2; ++i) {
            signers.push(_person(string.concat("signer", vm.toString(i))));
        }
        for (uint256 i = 0; i < 4; ++i) {
            owners.push(_person(string.concat("owner", vm.toString(i))));
        }
        for (uint256 i = 0; i < NODES; ++i) {
            operators.push(_person(string.concat("operator", vm.toString(i))));
        }
        for (uint256 i = 0; i < 5; ++i) {
            budgetKeys.push(_person(string.concat("budget key", vm.toString(i))));
        }
        for (uint256 i = 0; i < 3; ++i) {
            stakingAccounts.push(_person(string.concat("staker", vm.toString(i))));
        }
        for (uint256 i = 0; i < PAYERS; ++i) {
            stakingAccounts.push(payers[i]);
        }
        accounts.push(governance);
        accounts.push(stranger);
        accounts.push(address(reenterer));
        accounts.push(address(oddPayer));
        accounts.push(address(contractPayer));
    }

    function _person(string memory name) private returns (address who) {
        uint256 key = uint256(keccak256(bytes(name)));
        who = vm.addr(key);
        keyOf[who] = key;
        accounts.push(who);
    }

    /// @dev Some nodes seldom fail, and have a bond to match: those get tiers.
    function _isReliable(uint256 node) internal pure returns (bool) {
        return node > NODES - 2;
    }

    function _as(address who) internal returns (INodeRegistry) {
        vm.prank(who);
        return registry;
    }

    // ----------------------------------------------------------------------------------------------------------------------------- calling

    /// @dev Calls as somebody, counts how it went under a name and follows the events.
    function _call(string memory name, address who, address to, bytes memory data) internal returns (bool isOk) {
        (isOk,) = _callFor(name, who, to, data);
    }

    function _callFor(string memory name, address who, address to, bytes memory data) internal returns (bool isOk, bytes memory answer) {
        vm.recordLogs();
        vm.prank(who);
        (isOk, answer) = to.call(data);
        if (!isNamed[name]) {
            isNamed[name] = true;
            names.push(name);
        }
        if (isOk) {
            ++successes[name];
            _follow();
        } else {
            ++reverts[name];
            lastError[name] = answer;
        }
        delete want;
    }

    function _count(string memory name) internal {
        if (!isNamed[name]) {
            isNamed[name] = true;
            names.push(name);
        }
        ++successes[name];
    }

    /// @dev Calls what must be refused: breaks the rule when it gets through.
    function _refused(string memory rule, address who, address to, bytes memory data) internal {
        vm.prank(who);
        (bool isOk,) = to.call(data);
        _rule(!isOk, rule);
        _count(rule);
    }

    function _rule(bool holds, string memory rule) internal {
        if (holds) return;
        if (broken[rule]++ == 0) brokenRules = string.concat(brokenRules, rule, " ");
    }

    function _follow() internal virtual;

    function _startStakingBooks() internal virtual;

    // ---------------------------------------------------------------------------------------------------------------------------- messages

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        bytes32 typehash = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 separator = keccak256(abi.encode(typehash, keccak256("OpenGPU"), keccak256("1"), block.chainid, address(cloud)));
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    /// @dev 64 or 65 bytes, by the digest's own chance.
    function _sign(address who, bytes32 structHash) internal view returns (bytes memory) {
        return _signDigest(who, _digest(structHash));
    }

    function _signDigest(address who, bytes32 digest) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[who], digest);
        if (uint8(digest[0]) & 1 == 0 || who.code.length != 0) return abi.encodePacked(r, s, v);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function _hash(Order memory o) internal pure returns (bytes32) {
        return keccak256(abi.encode(Messages.ORDER_TYPEHASH, o));
    }

    function _hash(Bid memory b) internal pure returns (bytes32) {
        return keccak256(abi.encode(Messages.BID_TYPEHASH, b));
    }

    function _hash(Voucher memory v) internal pure returns (bytes32) {
        return keccak256(abi.encode(Messages.VOUCHER_TYPEHASH, v));
    }

    function _hash(Result memory r) internal pure returns (bytes32) {
        return keccak256(abi.encode(Messages.RESULT_TYPEHASH, r));
    }

    function _hash(Extend memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(Messages.EXTEND_TYPEHASH, e));
    }

    /// @dev What a signer signs to approve a result: the digest the operator signs goes into the approval.
    function _hashApprove(Result memory r, uint8 rating) internal view returns (bytes32) {
        return keccak256(abi.encode(Messages.APPROVE_TYPEHASH, _digest(_hash(r)), rating));
    }

    // ------------------------------------------------------------------------------------------------------------------------------- money

    function _give(address to, address token, uint256 amount) internal {
        if (token == address(open)) {
            require(open.transfer(to, amount), "OPEN");
        } else {
            OddToken(token).mint(to, amount);
        }
    }

    function _deposit(address from, address account, address token, uint256 amount) internal returns (bool) {
        _give(from, token, amount);
        vm.prank(from);
        OddToken(token).approve(address(cloud), amount);
        if (from == account) return _call("deposit", from, address(cloud), abi.encodeCall(cloud.deposit, (token, amount)));
        return _call("depositFor", from, address(cloud), abi.encodeCall(cloud.depositFor, (account, token, amount)));
    }

    function _bond(uint256 node, uint128 amount) internal returns (bool) {
        address from = registry.ownerOf(node);
        _give(from, address(open), amount);
        vm.prank(from);
        open.approve(address(registry), amount);
        return _call("bond", from, address(registry), abi.encodeCall(registry.bond, (node, amount)));
    }

    function _noteRevenue(address token, uint256 stakers, uint256 treasury) internal {
        stakersBooked[token] += stakers;
        treasuryBooked[token] += treasury;
        uint256 week = block.timestamp / 1 weeks;
        if (isWeekBooked[week]) return;
        isWeekBooked[week] = true;
        weeksBooked.push(week);
    }

    // ------------------------------------------------------------------------------------------------------------------ the price, once more

    /// @dev Value of usage before the escrow's limit, written unlike the contract's: whole parts first, then what is left of both fractions.
    function _cost(Terms storage t, uint256 millis, uint256 egress) internal view returns (uint256) {
        uint256 a = millis * t.computePerHour;
        uint256 b = egress * t.egressPerGiB;
        uint256 whole = a / 3_600_000 + b / (1 << 30);
        uint256 rest = (a % 3_600_000) * (1 << 30) + (b % (1 << 30)) * 3_600_000;
        uint256 unit = uint256(3_600_000) << 30;
        return whole + rest / unit + (rest % unit == 0 ? 0 : 1);
    }

    function _value(Terms storage t, uint256 millis, uint256 egress) internal view returns (uint256) {
        uint256 counted = _limitMillis(t);
        uint256 cost = _cost(t, millis < counted ? millis : counted, egress);
        return cost < t.escrow ? cost : t.escrow;
    }

    function _limitMillis(Terms storage t) internal view returns (uint256) {
        uint256 limit = _maxSeconds(t) * 1000;
        uint256 elapsed = (block.timestamp - _matchedAt(t)) * 1000;
        return elapsed < limit ? elapsed : limit;
    }

    function _matchedAt(Terms storage t) internal view returns (uint256) {
        return uint64(Limits.unwrap(t.limits));
    }

    function _maxSeconds(Terms storage t) internal view returns (uint256) {
        return uint32(Limits.unwrap(t.limits) >> 64);
    }

    function _readyWithin(Terms storage t) internal view returns (uint256) {
        return uint32(Limits.unwrap(t.limits) >> 96);
    }

    function _lastDeadline(Terms storage t) internal view returns (uint256) {
        return _matchedAt(t) + _readyWithin(t) + 2 * _maxSeconds(t) + 1 days;
    }

    function _bps(Terms storage t, uint256 field) internal view returns (uint256) {
        return uint16(Rates.unwrap(t.rates) >> (192 + 16 * field));
    }

    /// @dev The treasury's part of a value: less the discount first, then less the bonus.
    function _leftOf(Terms storage t, uint256 value) internal view returns (uint256 left) {
        left = value * _bps(t, 1) / 10_000;
        for (uint256 field = 2; field < 4; ++field) {
            uint256 taken = value * _bps(t, field) / 10_000;
            left -= taken < left ? taken : left;
        }
    }

    /// @dev What a payer pays for a value: less the discount, which is at most the treasury's part.
    function _paidOf(Terms storage t, uint256 value) internal view returns (uint256) {
        uint256 discount = value * _bps(t, 2) / 10_000;
        uint256 treasury = value * _bps(t, 1) / 10_000;
        return value - (discount < treasury ? discount : treasury);
    }
}
