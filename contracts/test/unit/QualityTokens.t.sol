// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Vm} from "forge-std/Vm.sol";
import {IIncentives} from "../../src/interfaces/IIncentives.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {Ending, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @notice How a token misbehaves from the moment it is told to.
enum Hostile {
    Not,
    Fee, // takes one percent of every transfer
    Gift, // gives one percent more
    False, // answers false and moves nothing
    FalseMoved, // answers false, and moves
    Silent, // answers true and moves nothing
    NoReturn, // answers nothing, and moves
    Garbage, // answers 2, and moves
    Revert,
    BlocksThief, // moves nothing from or to its own account
    BlocksCloudverse,
    Hook // runs a call of its owner's in the middle of every transfer, as ERC-777 lets senders and receivers do
}

/// @notice A listed token that turns hostile, and the account that profits if anybody does: it pays for jobs, signs usage, owns a node and stakes.
contract HostileToken {
    Hostile public how;
    uint256 public moves;
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    address private cloud;
    address private hookTarget;
    bytes private hookData;
    bool public isHookBefore; // before balances change, or after
    bool public hasHookRun;
    bool public isHookOk;

    function turn(Hostile how_, address cloud_) external {
        (how, cloud) = (how_, cloud_);
    }

    function arm(address target, bytes calldata data, bool isBefore) external {
        (hookTarget, hookData, isHookBefore) = (target, data, isBefore);
    }

    /// @notice A call by this account.
    function act(address target, bytes calldata data) external returns (bool isOk, bytes memory answer) {
        return target.call(data);
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function permit(address owner_, address spender, uint256 value, uint256, uint8, bytes32, bytes32) external {
        allowance[owner_][spender] = value;
        if (how == Hostile.Hook) _hook();
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        ++moves;
        Hostile h = how;
        require(h != Hostile.Revert, "no");
        require(h != Hostile.BlocksThief || (from != address(this) && to != address(this)), "blocked");
        require(h != Hostile.BlocksCloudverse || (from != cloud && to != cloud), "blocked");
        if (h == Hostile.Hook && isHookBefore) _hook();
        if (h != Hostile.False && h != Hostile.Silent) {
            balanceOf[from] -= amount;
            balanceOf[to] += h == Hostile.Fee ? amount - amount / 100 - 1 : h == Hostile.Gift ? amount + amount / 100 + 1 : amount;
        }
        if (h == Hostile.Hook && !isHookBefore) _hook();
        if (h == Hostile.NoReturn) return;
        uint256 answer = h == Hostile.False || h == Hostile.FalseMoved ? 0 : h == Hostile.Garbage ? 2 : 1;
        assembly ("memory-safe") {
            mstore(0x00, answer)
            return(0x00, 0x20)
        }
    }

    function _hook() private {
        address target = hookTarget;
        if (target == address(0)) return;
        delete hookTarget; // once
        hasHookRun = true;
        (isHookOk,) = target.call(hookData);
    }
}

/// @title Quality row 3: every external call beside every hostile token, and inside of every transfer that a token can answer with a call of its own
/// @dev The token itself is the thief: it may make every call that a payer, signer, node owner or staker may, with its operator as accomplice.
contract QualityTokensTest is Fixture {
    uint256 private constant KINDS = uint256(type(Hostile).max) + 1;

    /// @notice One external call by the thief.
    struct Call {
        string name;
        address target;
        bytes data;
        bool isRight; // whether the thief may make it
        bool movesToken; // whether the hostile token is called
    }

    /// @notice A job of the thief's put aside.
    struct Saved {
        bytes32 id;
        Order order;
        Terms terms;
        Progress progress;
        Voucher voucher;
    }

    /// @notice What everybody has: of the hostile token (0), USDC (1) and OPEN (2).
    struct Books {
        uint256[3] thief; // credits and balance
        uint256[3] others; // the same of everybody else
        uint256[3] cloud; // balance of Cloudverse
        uint256[3] owed; // credits of all and revenue not pulled yet
        uint256 staking; // hostile balance of the staking contract
    }

    HostileToken private token;
    IStaking private staking;
    IIncentives private incentives;
    address private thief;
    address private victim = makeAddr("victim");
    Vm.Wallet private otherOperator = vm.createWallet("other operator");
    uint256 private thiefsNode;
    uint256 private otherNode;
    uint256 private budget;
    Call[] private calls;
    Saved private running;
    Saved private submitted;
    Saved private reported;
    Saved private unanswered;
    Saved private interrupted;
    Saved private over;
    Saved private settled;
    Result private submittedResult;
    Voucher private none;

    function setUp() public override {
        vm.warp(1_749_945_600);
        vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks);
        address stakingAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 5);
        _deploy(stakingAt, makeAddr("disputes"));
        staking = IStaking(vm.deployCode("Staking.sol:Staking", abi.encode(open, cloud)));
        assertEq(address(staking), stakingAt);
        incentives = IIncentives(vm.deployCode("Incentives.sol:Incentives", abi.encode(open, cloud, governance)));
        open.transfer(address(incentives), 1_000_000e18);
        token = new HostileToken();
        thief = address(token);
        vm.startPrank(governance);
        cloud.setListing(thief, USDC_RATE, USDC_T0_CAP);
        incentives.setRate(1000e18);
        vm.stopPrank();
        otherNode = _register(makeAddr("other owner"), otherOperator.addr);
        thiefsNode = _registerThiefs();
        _fundAll();
        vm.recordLogs();
        _prepareJobs();
        _listCalls();
    }

    function _act(address target, bytes memory data) private returns (bytes memory answer) {
        bool isOk;
        (isOk, answer) = token.act(target, data);
        assertTrue(isOk, "preparation");
    }

    function _registerThiefs() private returns (uint256 id) {
        id = abi.decode(_act(address(registry), abi.encodeCall(registry.register, (operator.addr, 0, "RTX 4090"))), (uint256));
        _act(address(registry), abi.encodeCall(registry.setListPrice, (id, 10e6)));
        registry.bond(id, 1_000_000e18);
    }

    /// @dev Money of all three kinds for the thief and for its victim, in credits, in stakes and at hand.
    function _fundAll() private {
        address[2] memory accounts = [thief, victim];
        for (uint256 i = 0; i < 2; ++i) {
            token.mint(accounts[i], 1000e6);
            token.mint(address(this), 1000e6);
            usdc.mint(accounts[i], 1000e6);
            _fund(accounts[i], 1000e6);
            token.approve(address(cloud), 1000e6);
            cloud.depositFor(accounts[i], thief, 1000e6);
            open.transfer(accounts[i], 10_000e18);
            open.approve(address(cloud), 1000e18);
            cloud.depositFor(accounts[i], address(open), 1000e18);
            vm.startPrank(accounts[i]);
            token.approve(address(cloud), type(uint256).max);
            usdc.approve(address(cloud), type(uint256).max);
            open.approve(address(staking), type(uint256).max);
            open.approve(address(registry), type(uint256).max);
            staking.stake(1000e18, 14);
            vm.stopPrank();
        }
    }

    function _thiefsOrder() private returns (Order memory o) {
        o = _order();
        (o.payer, o.signer, o.token) = (thief, thief, thief);
    }

    function _matchThiefs(Order memory o) private {
        _matchOn(o, thiefsNode, operator);
    }

    function _save(Saved storage to, Voucher memory v) private {
        (to.id, to.order, to.terms, to.progress, to.voucher) = (jobId, order, terms, progress, v);
    }

    /// @dev A job in every state, with the stakes of both accounts ended and revenue of two weeks waiting.
    function _prepareJobs() private {
        _matchThiefs(_thiefsOrder());
        vm.warp(block.timestamp + 300);
        _settleThiefs(_result(300_000, Ending.Completed));
        vm.warp(block.timestamp + 8 days);
        _matchThiefs(_thiefsOrder());
        vm.warp(block.timestamp + 300);
        _settleThiefs(_result(300_000, Ending.Completed));
        _save(settled, none);

        Order memory o = _thiefsOrder();
        o.maxSeconds = 300;
        _matchThiefs(o);
        vm.warp(block.timestamp + 300);
        _save(over, _voucher(1, 100_000));
        o = _thiefsOrder();
        o.verifyLevel = 2;
        _matchThiefs(o);
        vm.warp(block.timestamp + 300);
        Voucher memory v = _voucher(1, 100_000);
        submittedResult = _result(100_000, Ending.Completed);
        bytes memory sig = _signVoucher(operator, v);
        _act(address(cloud), abi.encodeCall(cloud.submit, (terms, progress, submittedResult, v, sig, "")));
        _sync();
        _save(submitted, v);
        vm.warp(block.timestamp + 6 days);

        _matchThiefs(_thiefsOrder());
        _settleThiefs(_result(0, Ending.HardwareFault));
        _save(interrupted, none);
        _matchThiefs(_thiefsOrder());
        vm.warp(block.timestamp + 301);
        _reportThiefs(unanswered);
        vm.warp(block.timestamp + WINDOW);
        _matchThiefs(_thiefsOrder());
        vm.warp(block.timestamp + 301);
        _reportThiefs(reported);
        vm.prank(thief);
        budget = cloud.openBudget(0, thief, thief, 100e6, 10e6, uint40(block.timestamp + 1 days));
        _act(address(registry), abi.encodeCall(registry.requestUnbond, (thiefsNode, 1000e18)));
        _matchThiefs(_thiefsOrder());
        vm.warp(block.timestamp + 300);
        _save(running, _voucher(1, 100_000));
    }

    function _settleThiefs(Result memory r) private {
        bytes memory sig = _signResult(operator, r);
        _act(address(cloud), abi.encodeCall(cloud.settle, (terms, progress, r, sig, 4, "")));
        _sync();
    }

    function _reportThiefs(Saved storage to) private {
        _act(address(cloud), abi.encodeCall(cloud.reportFault, (jobId, terms, progress, none, "", "")));
        _sync();
        Voucher memory v = _voucher(1, 1000);
        _save(to, v);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- every call

    function _add(string memory name, address target, bytes memory data, bool isRight, bool movesToken) private {
        calls.push(Call({name: name, target: target, data: data, isRight: isRight, movesToken: movesToken}));
    }

    /// @dev A call of the thief's right that does not touch the token.
    function _plain(string memory name, address target, bytes memory data) private {
        _add(name, target, data, true, false);
    }

    function _wrong(string memory name, address target, bytes memory data) private {
        _add(name, target, data, false, false);
    }

    function _moving(string memory name, address target, bytes memory data) private {
        _add(name, target, data, true, true);
    }

    function _listCalls() private {
        _listWallet();
        _listMarket();
        _listRecovery();
        _listReports();
        _listStaking();
        _listRegistry();
        _listOwnership();
    }

    function _listWallet() private {
        address to = address(cloud);
        _moving("deposit", to, abi.encodeCall(cloud.deposit, (thief, 100e6)));
        _moving("depositWithPermit", to, abi.encodeCall(cloud.depositWithPermit, (thief, 100e6, block.timestamp, 27, 0, 0)));
        _moving("depositFor", to, abi.encodeCall(cloud.depositFor, (thief, thief, 100e6)));
        _moving("withdraw", to, abi.encodeCall(cloud.withdraw, (thief, 100e6, thief)));
        _plain("deposit USDC", to, abi.encodeCall(cloud.deposit, (address(usdc), 100e6)));
        _plain("withdraw USDC", to, abi.encodeCall(cloud.withdraw, (address(usdc), 100e6, thief)));
        _plain("openBudget", to, abi.encodeCall(cloud.openBudget, (0, thief, thief, 1e6, 1e6, uint40(block.timestamp + 1))));
        _plain("revokeBudget", to, abi.encodeCall(cloud.revokeBudget, (budget)));
        _wrong("setListing", to, abi.encodeCall(cloud.setListing, (thief, 1e28, 1e30)));
        _wrong("setFees", to, abi.encodeCall(cloud.setFees, (0, 0)));
        _wrong("setPayerTier", to, abi.encodeCall(cloud.setPayerTier, (thief, 4, type(uint40).max)));
        uint256 week = block.timestamp / 1 weeks - 1;
        _wrong("pullStakersRevenue", to, abi.encodeCall(cloud.pullStakersRevenue, (week, thief)));
        _plain("pullTreasuryRevenue", to, abi.encodeCall(cloud.pullTreasuryRevenue, (week, thief)));
    }

    function _listMarket() private {
        address to = address(cloud);
        Order memory o = _thiefsOrder();
        o.budget = budget;
        Bid memory b = _bid(o, thiefsNode);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        _plain("matchOrder", to, abi.encodeCall(cloud.matchOrder, (o, "", b, sig)));
        bytes[] memory items = new bytes[](2);
        items[0] = items[1] = abi.encode(o, bytes(""), b, sig);
        _plain("matchMany", to, abi.encodeCall(cloud.matchMany, (items)));
        _plain("cancelOrder", to, abi.encodeCall(cloud.cancelOrder, (o)));

        Saved memory s = running;
        sig = _signVoucher(operator, s.voucher);
        _plain("collect", to, abi.encodeCall(cloud.collect, (s.terms, s.progress, s.voucher, sig, "")));
        items[0] = items[1] = abi.encode(s.terms, s.progress, s.voucher, sig, bytes(""));
        _plain("collectMany", to, abi.encodeCall(cloud.collectMany, (items)));
        Result memory r = _result(200_000, Ending.Completed);
        sig = _signResult(operator, r);
        _plain("settle", to, abi.encodeCall(cloud.settle, (s.terms, s.progress, r, sig, 4, "")));
        items[0] = items[1] = abi.encode(s.terms, s.progress, r, sig, uint8(4), bytes(""));
        _plain("settleMany", to, abi.encodeCall(cloud.settleMany, (items)));
    }

    function _listRecovery() private {
        address to = address(cloud);
        Saved memory s = running;
        Extend memory ext = Extend({jobId: s.id, attempt: 1, addCost: 1e6, addSeconds: 60, salt: 1});
        _plain("extend", to, abi.encodeCall(cloud.extend, (s.terms, s.progress, ext, "", _sign(operator, hashes.hashExtend(ext)))));
        bytes memory sig = _signVoucher(operator, s.voucher);
        Result memory r = _result(100_000, Ending.Completed);
        _plain("submit", to, abi.encodeCall(cloud.submit, (s.terms, s.progress, r, s.voucher, sig, "")));
        s = submitted;
        _plain("finalize", to, abi.encodeCall(cloud.finalize, (s.terms, s.progress, submittedResult)));
        s = interrupted;
        Bid memory b = _bid(s.order, otherNode);
        sig = _sign(otherOperator, hashes.hashBid(b));
        _plain("rematch", to, abi.encodeCall(cloud.rematch, (s.order, s.terms, s.progress, b, sig)));
        _plain("close", to, abi.encodeCall(cloud.close, (s.id, s.terms, s.progress)));
        s = over;
        sig = _signVoucher(operator, s.voucher);
        _plain("expire", to, abi.encodeCall(cloud.expire, (s.id, s.terms, s.progress, s.voucher, sig, "")));
    }

    function _listReports() private {
        address to = address(cloud);
        Saved memory s = running;
        bytes memory sig = _signVoucher(operator, s.voucher);
        _plain("reportFault", to, abi.encodeCall(cloud.reportFault, (s.id, s.terms, s.progress, s.voucher, sig, "")));
        s = reported;
        sig = _signVoucher(operator, s.voucher);
        _plain("answerFault", to, abi.encodeCall(cloud.answerFault, (s.id, s.terms, s.progress, none, s.voucher, sig, "")));
        _plain("contest", to, abi.encodeCall(cloud.contest, (s.id, s.terms, s.progress, none, s.voucher, sig, "")));
        s = unanswered;
        _plain("resolveFault", to, abi.encodeCall(cloud.resolveFault, (s.id, s.terms, s.progress, none)));
    }

    function _listStaking() private {
        address to = address(staking);
        address[] memory list = new address[](3);
        list[0] = list[1] = thief;
        list[2] = address(usdc);
        _moving("claim", to, abi.encodeCall(staking.claim, (list, thief)));
        _moving("roll", to, abi.encodeCall(staking.roll, (thief, 60)));
        _plain("advance", to, abi.encodeCall(staking.advance, (60)));
        _moving("earned", to, abi.encodeCall(staking.earned, (thief, thief)));
        _wrong("payOut", to, abi.encodeCall(IPayOut.payOut, (victim, thief, thief)));
        _plain("stake", to, abi.encodeCall(staking.stake, (1000e18, 30)));
        _plain("extend stake", to, abi.encodeCall(staking.extend, (30)));
        _plain("unstake", to, abi.encodeCall(staking.unstake, (1000e18, thief)));
        _plain("expireStake", to, abi.encodeCall(staking.expireStake, (victim)));
        _plain("delegate", to, abi.encodeCall(IVotes.delegate, (stranger)));
        // What OpenZeppelin recovers from any signature delegates for itself, here an account with nothing.
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(operator.privateKey, keccak256("any"));
        _plain("delegateBySig", to, abi.encodeCall(IVotes.delegateBySig, (thief, 0, block.timestamp, v, r, s)));
        _plain("report", address(incentives), abi.encodeCall(incentives.report, (settled.id, settled.terms, settled.progress)));
        uint256 week = block.timestamp / 1 weeks;
        _wrong("pay", address(incentives), abi.encodeCall(incentives.pay, (week, thiefsNode, thief)));
        _wrong("setRate", address(incentives), abi.encodeCall(incentives.setRate, (1)));
    }

    function _listRegistry() private {
        address to = address(registry);
        _plain("register", to, abi.encodeCall(registry.register, (operator.addr, 0, "GPU")));
        _plain("setUser", to, abi.encodeCall(registry.setUser, (thiefsNode, stranger, type(uint64).max)));
        _plain("setPayee", to, abi.encodeCall(registry.setPayee, (thiefsNode, stranger)));
        _plain("setListPrice", to, abi.encodeCall(registry.setListPrice, (thiefsNode, 1)));
        _plain("drain", to, abi.encodeCall(registry.drain, (thiefsNode)));
        _plain("resume", to, abi.encodeCall(registry.resume, (thiefsNode)));
        _plain("bond", to, abi.encodeCall(registry.bond, (thiefsNode, 100e18)));
        _plain("requestUnbond", to, abi.encodeCall(registry.requestUnbond, (thiefsNode, 2000e18)));
        _wrong("withdrawUnbonded", to, abi.encodeCall(registry.withdrawUnbonded, (thiefsNode, thief)));
        _wrong("promote", to, abi.encodeCall(registry.promote, (thiefsNode)));
        _wrong("openJob", to, abi.encodeCall(registry.openJob, (thiefsNode)));
        _wrong("closeFaultedJob", to, abi.encodeCall(registry.closeFaultedJob, (node, 1e24)));
        _wrong("setUnbondingSeconds", to, abi.encodeCall(registry.setUnbondingSeconds, (uint32(7 days))));
        _wrong("setBondUnitFloor", to, abi.encodeCall(registry.setBondUnitFloor, (1e18)));
    }

    function _listOwnership() private {
        address to = address(registry);
        _wrong("closeJob", to, abi.encodeWithSelector(registry.closeJob.selector, node, 0, true, 1e12));
        _plain("approve", to, abi.encodeCall(IERC721.approve, (stranger, thiefsNode)));
        _plain("setApprovalForAll", to, abi.encodeCall(IERC721.setApprovalForAll, (stranger, true)));
        _wrong("transferFrom", to, abi.encodeCall(IERC721.transferFrom, (thief, stranger, thiefsNode))); // jobs are open
        _wrong("safeTransferFrom", to, abi.encodeWithSignature("safeTransferFrom(address,address,uint256)", owner, thief, node));
        bytes memory safe = abi.encodeWithSignature("safeTransferFrom(address,address,uint256,bytes)", owner, thief, node, bytes("data"));
        _wrong("safeTransferFrom with data", to, safe);
        _wrong("transferFrom of another's", to, abi.encodeCall(IERC721.transferFrom, (owner, thief, node)));
        _wrong("withdraw too much", address(cloud), abi.encodeCall(cloud.withdraw, (thief, 100_000e6, thief)));
    }

    // ------------------------------------------------------------------------------------------------------------------------------------ books

    function _books() private view returns (Books memory b) {
        address[3] memory tokens = [thief, address(usdc), address(open)];
        address[7] memory others = [victim, payer.addr, owner, governance, makeAddrOf("other owner"), stranger, operator.addr];
        for (uint256 i = 0; i < 3; ++i) {
            b.owed[i] = cloud.credits(thief, tokens[i]);
            b.thief[i] = b.owed[i] + _balance(tokens[i], thief);
            for (uint256 j = 0; j < others.length; ++j) {
                uint256 credits = cloud.credits(others[j], tokens[i]);
                b.owed[i] += credits;
                b.others[i] += credits + _balance(tokens[i], others[j]);
            }
            for (uint256 week = block.timestamp / 1 weeks - 3; week <= block.timestamp / 1 weeks; ++week) {
                b.owed[i] += uint256(cloud.revenueOf(week, tokens[i]).stakers) + cloud.revenueOf(week, tokens[i]).treasury;
            }
            b.cloud[i] = _balance(tokens[i], address(cloud));
        }
        b.staking = token.balanceOf(address(staking));
    }

    function _balance(address of_, address account) private view returns (uint256) {
        return HostileToken(of_).balanceOf(account);
    }

    function makeAddrOf(string memory name) private pure returns (address) {
        return vm.addr(uint256(keccak256(bytes(name))));
    }

    function _run(Call memory c) private returns (bool isOk) {
        (isOk,) = token.act(c.target, c.data);
    }

    function _what(Call memory c, uint256 kind) private pure returns (string memory) {
        return string.concat(c.name, ", kind ", vm.toString(kind));
    }

    // ------------------------------------------------------------------------------------------------------------------------------------ tests

    /// @dev The table is not empty words: each call does what it should with an honest token, and touches the token only where it says so.
    function test_Quality3_EveryCallOfTheTableWorksWithAnHonestToken() public {
        uint256 id = vm.snapshotState();
        for (uint256 i = 0; i < calls.length; ++i) {
            Call memory c = calls[i];
            uint256 moves = token.moves();
            assertEq(_run(c), c.isRight, c.name);
            assertEq(token.moves() != moves, c.movesToken, c.name);
            vm.revertToState(id);
        }
    }

    /// @dev Whatever the token does, Cloudverse holds what it owes, the victim loses nothing of its credits or revenue, and what the thief has of honest
    /// tokens is what it would have beside an honest one.
    function test_Quality3_EveryExternalCallWithEveryHostileTokenMovesNothing() public {
        Books memory before = _books();
        uint256 id = vm.snapshotState();
        for (uint256 i = 0; i < calls.length; ++i) {
            Call memory c = calls[i];
            _run(c);
            Books memory honest = _books();
            uint256 victims = _victimsRevenue();
            assertGt(victims, 0);
            vm.revertToState(id);
            for (uint256 kind = 1; kind < KINDS; ++kind) {
                token.turn(Hostile(kind), address(cloud));
                uint256 moves = token.moves();
                bool isOk = _run(c);
                if (!c.isRight) assertFalse(isOk, _what(c, kind));
                if (!c.movesToken) assertEq(token.moves(), moves, _what(c, kind));
                _assertNothingStolen(before, honest, _books(), c.movesToken, _what(c, kind));
                assertEq(_victimsRevenue(), victims, _what(c, kind));
                vm.revertToState(id);
            }
        }
    }

    /// @dev What the victim's stake still gets once the token behaves again.
    function _victimsRevenue() private returns (uint256 got) {
        token.turn(Hostile.Not, address(cloud));
        got = token.balanceOf(victim);
        address[] memory list = new address[](1);
        list[0] = thief;
        vm.prank(victim);
        staking.claim(list, victim);
        got = token.balanceOf(victim) - got;
    }

    function _assertNothingStolen(Books memory before, Books memory honest, Books memory now_, bool movesToken, string memory what) private pure {
        for (uint256 i = 1; i < 3; ++i) {
            assertLe(now_.thief[i], honest.thief[i], what);
            assertGe(now_.others[i], before.others[i], what);
            assertEq(now_.owed[i], honest.owed[i], what);
            assertEq(now_.cloud[i], honest.cloud[i], what);
        }
        assertGe(now_.others[0], before.others[0], what);
        // Books and balance change together: what a call took from the balance, nobody is owed any more, and what it owes more is there.
        if (movesToken) assertGe(now_.cloud[0] + before.owed[0], before.cloud[0] + now_.owed[0], what);
        else assertEq(now_.cloud[0], before.cloud[0], what);
    }

    /// @dev Every call of the table from inside every transfer. Either it is refused there, and all is as if the transfer alone had been made, or all
    /// is as if the two had been made one after the other.
    function test_Quality3_ACallFromInsideAPaymentIsWorthNoMoreThanBeforeOrAfterIt() public {
        _nestInAll(address(cloud));
    }

    /// @dev The same inside of what Staking pulls and pays.
    function test_Quality3_ACallFromInsideAClaimIsWorthNoMoreThanBeforeOrAfterIt() public {
        _nestInAll(address(staking));
    }

    /// @dev Nor does Staking answer or do anything for whom it is paying, so that a stake, a week and what was earned are never seen half done.
    function test_Quality3_StakingIsClosedInTheMiddleOfAClaim() public {
        address[] memory list = new address[](1);
        list[0] = thief;
        bytes[5] memory inners = [
            abi.encodeCall(staking.claim, (list, thief)),
            abi.encodeCall(staking.earned, (thief, thief)),
            abi.encodeCall(staking.roll, (thief, 1)),
            abi.encodeCall(staking.stake, (1000e18, 30)),
            abi.encodeCall(staking.unstake, (1000e18, thief))
        ];
        for (uint256 i = 0; i < inners.length; ++i) {
            uint256 id = vm.snapshotState();
            (bool isOk,) = token.act(address(staking), inners[i]);
            assertTrue(isOk, "alone it works");
            vm.revertToState(id);
            // Rolled before, so that the only transfer is the one that pays.
            staking.roll(thief, 60);
            token.turn(Hostile.Hook, address(cloud));
            token.arm(address(staking), inners[i], true);
            token.act(address(staking), inners[0]);
            assertTrue(token.hasHookRun());
            assertFalse(token.isHookOk());
            vm.revertToState(id);
        }
    }

    function _nestInAll(address target) private {
        uint256 got;
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; calls[i].target == target && calls[i].movesToken && j < calls.length; ++j) {
                got += this.nest(calls[i], calls[j]); // a call of its own, whose memory ends with it
            }
        }
        assertGt(got, 100, "hardly any call got through from inside a transfer");
    }

    /// @notice One call inside of another; how often it got through.
    function nest(Call memory outer, Call memory inner) external returns (uint256 got) {
        uint256 id = vm.snapshotState();
        _run(outer);
        bytes32 alone = _bookHash();
        _run(inner);
        bytes32 innerLast = _bookHash();
        vm.revertToState(id);
        _run(inner);
        _run(outer);
        bytes32 innerFirst = _bookHash();
        vm.revertToState(id);
        for (uint256 i = 0; i < 2; ++i) {
            token.turn(Hostile.Hook, address(cloud));
            token.arm(inner.target, inner.data, i == 0);
            _run(outer);
            string memory what = string.concat(inner.name, " inside ", outer.name);
            assertTrue(token.hasHookRun(), what);
            bytes32 nested = _bookHash();
            if (token.isHookOk()) ++got;
            // A claim may go through with every token skipped.
            assertTrue(nested == alone || (token.isHookOk() && (nested == innerFirst || nested == innerLast)), what);
            vm.revertToState(id);
        }
    }

    /// @dev Who is blocked by a token keeps its credits and holds nobody up.
    function test_Quality3_ABlockedAccountLosesNothingAndHoldsNobodyUp() public {
        token.turn(Hostile.BlocksThief, address(cloud));
        (bool isOk,) = token.act(address(cloud), abi.encodeCall(cloud.withdraw, (thief, 100e6, thief)));
        assertFalse(isOk);
        vm.startPrank(victim);
        cloud.withdraw(thief, 1000e6, victim);
        address[] memory list = new address[](1);
        list[0] = thief;
        staking.claim(list, victim);
        vm.stopPrank();
        // Both had half of two settled jobs' 12 percent, of which one week has streamed to its end and the other has begun.
        assertGe(token.balanceOf(victim), 2000e6 + 18_000);
        uint256 credits = cloud.credits(thief, thief);
        _act(address(cloud), abi.encodeCall(cloud.withdraw, (thief, credits, victim)));
        assertEq(cloud.credits(thief, thief), 0);
    }

    function _bookHash() private view returns (bytes32) {
        return keccak256(abi.encode(_books()));
    }
}

/// @notice The one call of Staking that is for itself alone.
interface IPayOut {
    function payOut(address account, address token, address to) external;
}
