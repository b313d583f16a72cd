// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IIncentives} from "../../src/interfaces/IIncentives.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {Ending, JobState, Progress} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @title The table of threats, row by row: money (1, 2), rewards (4, 6), duplicates (5), vouchers (9). Spec: Quality.tree
/// @notice Rows 3 and 8 are in QualityTokens and QualitySignatures.
contract QualityTest is StakingFixture {
    uint256 private constant K = 1000e18;

    Vm.Wallet private otherOperator = vm.createWallet("other operator");
    address private otherOwner = makeAddr("other owner");
    uint256 private otherNode;
    uint256 private open_; // escrow of jobs that are open, less what was paid of it
    bytes[] private items;

    function setUp() public override {
        super.setUp();
        otherNode = _register(otherOwner, otherOperator.addr);
        vm.recordLogs();
    }

    // -------------------------------------------------------------------------------------------------------- 1: insolvent escrow, lost tokens

    /// @dev Credits of all, escrow of open jobs and revenue not pulled are what Cloudverse holds, to the base unit.
    function _assertSolvent(string memory step) private view {
        uint256 owed = open_;
        address[5] memory all = [payer.addr, owner, otherOwner, governance, alice];
        for (uint256 i = 0; i < all.length; ++i) {
            owed += cloud.credits(all[i], address(usdc));
        }
        for (uint256 week = block.timestamp / 1 weeks - 2; week <= block.timestamp / 1 weeks; ++week) {
            owed += uint256(cloud.revenueOf(week, address(usdc)).stakers) + cloud.revenueOf(week, address(usdc)).treasury;
        }
        assertEq(usdc.balanceOf(address(cloud)), owed, step);
    }

    /// @dev What the current job still locks.
    function _locked() private view returns (uint256) {
        JobState state = _state();
        bool isOpen = state != JobState.Settled && state != JobState.None && state != JobState.Cancelled;
        return isOpen ? terms.escrow - Pricing.paidOf(progress.value, terms.rates) : 0;
    }

    function _assertSolventNow(string memory step) private {
        open_ = _locked();
        _assertSolvent(step);
    }

    function _matchAndRun() private {
        Order memory o = _order();
        o.maxCost = 3_999_999; // odd, so that shares round
        _matchOrder(o);
        _assertSolventNow("matched");
        vm.warp(block.timestamp + 400);
        _collect(_voucher(1, 33_333));
        _assertSolventNow("collected");
    }

    /// @dev Through every way a job can end, with parts that round, tokens are neither made nor lost, and nothing stays locked.
    function test_Quality1_WhatCloudverseOwesIsWhatItHoldsThroughEveryEnding() public {
        for (uint256 ending = 0; ending < 8; ++ending) {
            _matchAndRun();
            _endBy(ending);
            _assertState(JobState.Settled);
            assertEq(_locked(), 0);
            _assertSolventNow(string.concat("ending ", vm.toString(ending)));
        }
        vm.warp(block.timestamp + 1 weeks);
        cloud.pullTreasuryRevenue(block.timestamp / 1 weeks - 1, address(usdc));
        _assertSolventNow("treasury pulled");
        _stake(alice, K, 14);
        _nextWeek();
        _claim(alice, address(usdc));
        _assertSolventNow("stakers pulled");
    }

    function _endBy(uint256 ending) private {
        if (ending == 0) return _settle(_result(77_777, Ending.Completed));
        if (ending == 1) return _submit(_result(55_555, Ending.Completed), _voucher(2, 55_555));
        if (ending == 2) {
            vm.warp(block.timestamp + 3 days);
            return _expire(_voucher(2, 44_444));
        }
        if (ending == 3) _settle(_result(44_444, Ending.HardwareFault));
        if (ending == 4) {
            _report(_voucher(2, 44_444));
            _contest(_voucher(2, 44_444), _voucher(3, 45_555));
        }
        if (ending == 5) {
            Voucher memory declared = _voucher(2, 44_444);
            _report(declared);
            vm.warp(block.timestamp + WINDOW);
            _resolve(declared);
        }
        if (ending == 6) _submit(_result(55_555, Ending.HardwareFault), _voucher(2, 55_555));
        if (ending == 7) {
            _settle(_result(44_444, Ending.HardwareFault));
            _rematchOn(otherNode, otherOperator);
            _assertSolventNow("rematched");
            vm.warp(block.timestamp + 100);
            Result memory r = _result(99_999, Ending.HardwareFault);
            cloud.settle(terms, progress, r, _signResult(otherOperator, r), 4, _signApprove(signer, r, 4));
            _sync();
        }
        _assertState(JobState.Interrupted);
        _assertSolventNow("interrupted");
        _close();
    }

    // --------------------------------------------------------------------------------------------------------------------------- 2: locked funds

    /// @dev From every state a stranger's one call after its deadline moves the job on, and no way has more than two deadlines.
    function test_Quality2_FromEveryStateEverybodyGetsOutAfterItsDeadline() public {
        for (uint256 way = 0; way < 3; ++way) {
            _fund(payer.addr, ESCROW);
            uint256 before = cloud.credits(payer.addr, address(usdc));
            _match();
            Voucher memory none = _none();
            if (way == 0) {
                _pokeAt(block.timestamp + 300 + 2 * 7200 + 1 days, abi.encodeCall(cloud.expire, (jobId, terms, progress, none, "", "")));
            } else {
                vm.warp(block.timestamp + 300);
                if (way == 1) _report(none);
                else _settle(_result(0, Ending.HardwareFault));
                if (way == 1) _pokeAt(block.timestamp + WINDOW, abi.encodeCall(cloud.resolveFault, (jobId, terms, progress, none)));
                _assertState(JobState.Interrupted);
                _pokeAt(block.timestamp + 1 hours, abi.encodeCall(cloud.close, (jobId, terms, progress)));
            }
            _assertState(JobState.Settled);
            assertEq(cloud.credits(payer.addr, address(usdc)), before);
        }
    }

    /// @dev Refused a second before the deadline, done at it.
    function _pokeAt(uint256 deadline, bytes memory data) private {
        vm.warp(deadline - 1);
        vm.prank(stranger);
        (bool isOk,) = address(cloud).call(data);
        assertFalse(isOk, "before the deadline");
        vm.warp(deadline);
        vm.prank(stranger);
        (isOk,) = address(cloud).call(data);
        assertTrue(isOk, "at the deadline");
        _sync();
    }

    /// @dev The other side does nothing at all: credits, stakes, bonds and revenue leave, also when the token was delisted and the node suspended.
    function test_Quality2_CreditsStakesAndBondsLeaveWithoutAnybodysHelp() public {
        _stake(alice, K, 14);
        _earn(1000);
        vm.startPrank(governance);
        cloud.setListing(address(usdc), 0, 0);
        cloud.setListing(address(open), 0, 0);
        vm.stopPrank();
        vm.startPrank(owner);
        registry.drain(node);
        registry.requestUnbond(node, 1_000_000e18);
        cloud.withdraw(address(usdc), 830_000, owner);
        vm.warp(block.timestamp + 21 days);
        registry.withdrawUnbonded(node, owner);
        vm.stopPrank();
        assertEq(open.balanceOf(owner), 1_000_000e18);
        assertEq(usdc.balanceOf(owner), 830_000);
        vm.startPrank(payer.addr);
        cloud.withdraw(address(usdc), cloud.credits(payer.addr, address(usdc)), payer.addr);
        vm.stopPrank();
        uint256 before = open.balanceOf(alice);
        vm.prank(alice);
        staking.unstake(uint128(K), alice);
        assertEq(open.balanceOf(alice), before + K);
        assertApproxEqAbs(_claim(alice, address(usdc)), 120_000, 1);
    }

    // ----------------------------------------------------------------------------------------------------------- 4: rounding, small pools, idle time

    /// @dev A pool of one base unit among three stakers, week after week: never more than came in, at most one base unit per account and week less.
    function test_Quality4_OneUnitPoolsPayNoMoreThanCameInAndLeaveDustOnly() public {
        address carol = makeAddr("carol");
        open.transfer(carol, K);
        vm.prank(carol);
        open.approve(address(staking), K);
        _stake(alice, K, 365);
        _stake(bob, K, 300);
        _stake(carol, K, 200);
        uint256 funded;
        for (uint256 week = 0; week < 5; ++week) {
            _match();
            vm.warp(block.timestamp + 1);
            _settle(_result(uint64(9 + week), Ending.Completed)); // 12 % of 9 to 13 base units is 1
            assertEq(settlement.stakersPart, 1);
            funded += 1;
            _nextWeek();
        }
        _nextWeek();
        uint256 paid = _claim(alice, address(usdc)) + _claim(bob, address(usdc)) + _claim(carol, address(usdc));
        assertLe(paid, funded);
        assertGe(paid + 3 * 5, funded);
        assertEq(usdc.balanceOf(address(staking)), funded - paid);
    }

    function _splitStakes(uint256 seed, uint256 parts) private returns (address[] memory who) {
        who = new address[](parts);
        uint256 left = 100 * K;
        for (uint256 i = 0; i < parts; ++i) {
            who[i] = makeAddr(string.concat("part", vm.toString(i)));
            uint256 part = i == parts - 1 ? left : 1e18 + uint256(keccak256(abi.encode(seed, i))) % (left / 2);
            left -= part;
            open.transfer(who[i], part);
            vm.prank(who[i]);
            open.approve(address(staking), part);
            _stake(who[i], part, 365);
        }
    }

    /// @dev A stake in up to nine accounts earns at most what it does in one, and at most a base unit per account less.
    function testFuzz_Quality4_SplittingAStakeGainsNothing(uint256 seed, uint64 seconds_) public {
        uint256 parts = 2 + seed % 8;
        _stake(alice, 100 * K, 365);
        address[] memory who = _splitStakes(seed, parts);
        uint256 funded = _earn(1 + seconds_ % 3000);
        vm.warp(block.timestamp + seed % 2 weeks);
        funded += _earn(1 + (seconds_ >> 32) % 3000);
        vm.warp(block.timestamp + 3 weeks);
        uint256 sum;
        for (uint256 i = 0; i < parts; ++i) {
            sum += _claim(who[i], address(usdc));
        }
        uint256 whole = _claim(alice, address(usdc));
        assertLe(sum, whole, "splitting gains");
        assertLe(whole, sum + parts, "more than dust is lost");
        assertLe(whole + sum, funded);
    }

    /// @dev Weeks with revenue and nobody staked, and weeks with neither: whoever stakes later gets all of it, but for dust.
    function test_Quality4_IdlePeriodsLoseNothing() public {
        uint256 funded = _earn(3000);
        vm.warp(block.timestamp + 40 weeks);
        funded += _earn(2000);
        vm.warp(block.timestamp + 5 days);
        _stake(alice, K, 365);
        vm.warp(block.timestamp + 20 days);
        uint256 paid = _claim(alice, address(usdc));
        assertLe(paid, funded);
        assertGe(paid + 2, funded);
    }

    // ------------------------------------------------------------------------------------------------------- 5: double claims, duplicates in batches

    function test_Quality5_ATokenClaimedManyTimesIsPaidOnce() public {
        _stake(alice, K, 365);
        uint256 funded = _earn(1000);
        _nextWeek();
        vm.warp(block.timestamp + 1 weeks);
        address[] memory list = new address[](6);
        for (uint256 i = 0; i < 6; ++i) {
            list[i] = i % 3 == 0 ? address(open) : address(usdc);
        }
        vm.startPrank(alice);
        staking.claim(list, alice);
        uint256 once = usdc.balanceOf(alice);
        staking.claim(list, bob);
        vm.stopPrank();
        assertApproxEqAbs(once, funded, 1);
        assertEq(usdc.balanceOf(bob), 0);
        assertEq(staking.reserveOf(address(usdc)), funded - once);
    }

    /// @dev One order, voucher and result in every place of its batch.
    function test_Quality5_ABatchOfOneThingManyTimesPaysOnce() public {
        Order memory o = _order();
        Bid memory b = _bid(o, node);
        _fill(abi.encode(o, "", b, _sign(operator, hashes.hashBid(b))));
        uint256 before = cloud.credits(payer.addr, address(usdc));
        vm.prank(payer.addr);
        assertEq(cloud.matchMany(items), 1);
        jobId = b.jobId;
        _sync();
        assertEq(cloud.credits(payer.addr, address(usdc)), before - ESCROW);

        vm.warp(block.timestamp + 100);
        Voucher memory v = _voucher(1, 50_000);
        _fill(abi.encode(terms, progress, v, _signVoucher(operator, v), _signVoucher(signer, v)));
        assertEq(cloud.collectMany(items), 1);
        _sync();
        assertEq(cloud.credits(owner, address(usdc)), 41_500);

        Result memory r = _result(60_000, Ending.Completed);
        _fill(abi.encode(terms, progress, r, _signResult(operator, r), uint8(4), _signApprove(signer, r, 4)));
        assertEq(cloud.settleMany(items), 1);
        assertEq(cloud.credits(owner, address(usdc)), 49_800);
        assertEq(cloud.credits(payer.addr, address(usdc)), before - 60_000);
        assertEq(cloud.settleMany(items), 0);
    }

    function _fill(bytes memory item) private {
        delete items;
        for (uint256 i = 0; i < 7; ++i) {
            items.push(item);
        }
    }

    function test_Quality5_RevenueMakeGoodsAndIncentivesArePaidOnce() public {
        IIncentives incentives = IIncentives(vm.deployCode("Incentives.sol:Incentives", abi.encode(open, cloud, governance)));
        open.transfer(address(incentives), K);
        vm.prank(governance);
        incentives.setRate(uint128(K));
        _nextWeek();
        _earn(3000);
        incentives.report(jobId, terms, progress);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_AlreadyReported.selector, jobId));
        incentives.report(jobId, terms, progress);
        uint256 week = block.timestamp / 1 weeks;
        vm.warp((week + 2) * 1 weeks);
        incentives.pay(week, node, owner);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_NothingToPay.selector, week, node, owner));
        incentives.pay(week, node, owner);
        assertEq(cloud.pullTreasuryRevenue(week, address(usdc)), 150_000);
        assertEq(cloud.pullTreasuryRevenue(week, address(usdc)), 0);

        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        Progress memory was = progress;
        _resolve(_none());
        assertEq(makeGood, 900e18);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Interrupted));
        cloud.resolveFault(jobId, terms, was, _none());
        assertEq(registry.nodeOf(node).bond, 1_000_000e18 - 900e18);
    }

    // -------------------------------------------------------------------------------------------------------- 6: flash stakes around the weekly roll

    /// @dev A hundred thousand times the others' stake, borrowed for one block at any second around the roll, earns nothing.
    function testFuzz_Quality6_AStakeOfOneBlockAroundTheRollEarnsNothing(uint256 seed) public {
        _stake(bob, K, 365);
        uint256 funded = _earn(2000);
        _nextWeek();
        vm.warp(block.timestamp - 1800 + seed % 1 hours);
        if (seed >> 32 & 1 == 0) staking.roll(address(usdc), 9);
        _stake(alice, 100_000 * K, 365);
        if (seed >> 33 & 1 == 0) staking.roll(address(usdc), 9);
        assertEq(_claim(alice, address(usdc)), 0);
        (,, uint40 end) = staking.positionOf(alice);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_Locked.selector, end));
        vm.prank(alice);
        staking.unstake(uint128(100_000 * K), alice);
        assertEq(staking.reserveOf(address(usdc)) % funded, 0);
    }

    /// @dev Held for any time around the roll, a stake's part is that of its weight and seconds: what was earned before it is not shared with it.
    function testFuzz_Quality6_AStakesPartIsThatOfItsWeightAndTime(uint256 seed) public {
        _stake(bob, K, 365);
        uint256 funded = _earn(2000);
        uint256 roll = (block.timestamp / 1 weeks + 1) * 1 weeks; // what was earned streams in the week from here on
        uint256 start = roll - 1 days + seed % 8 days;
        vm.warp(start);
        _stake(alice, K + (seed >> 64) % (1000 * K), 365);
        uint256 end = start + (seed >> 128) % 9 days;
        vm.warp(end);
        uint256 got = _claim(alice, address(usdc));
        (, uint256 weight,) = staking.positionOf(alice);
        uint256 from = start > roll ? start : roll;
        uint256 to = end < roll + 1 weeks ? end : roll + 1 weeks;
        uint256 held = to > from ? to - from : 0;
        assertLe(got, funded * held * weight / staking.totalWeight() / 1 weeks + 1);
        assertApproxEqAbs(got, funded * held * weight / staking.totalWeight() / 1 weeks, 2);
    }

    // ----------------------------------------------------------------------------------------------- 9: vouchers over-claimed, rolled back, shuffled

    /// @dev Ten signed vouchers in any order, cashed one by one and at the end: paid is the highest that the time, the limit and the escrow allow.
    function testFuzz_Quality9_ShuffledVouchersPayTheHighestValueAndNeverMoreThanTheEscrow(uint256 seed) public {
        Order memory o = _order();
        o.maxCost = uint128(1 + seed % 2e6);
        o.maxSeconds = uint32(1 + (seed >> 32) % 1500);
        _matchOrder(o);
        vm.warp(block.timestamp + 1 + (seed >> 64) % 3000);
        uint256 limit = block.timestamp + 600 - order.expiresAt; // since the match
        if (limit > o.maxSeconds) limit = o.maxSeconds;
        uint256 highest;
        for (uint256 i = 0; i < 10; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            Voucher memory v = _voucher(uint32(1 + seed % 10), uint64((seed >> 32) % (seed & 7 == 0 ? type(uint64).max : 2e6)));
            uint256 value = v.billedMillis < limit * 1000 ? v.billedMillis : limit * 1000;
            if (value > o.maxCost) value = o.maxCost;
            bytes[2] memory sigs = [_signVoucher(operator, v), _signVoucher(signer, v)];
            if (value <= highest) vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, value, highest));
            else highest = value;
            cloud.collect(terms, progress, v, sigs[0], sigs[1]);
            _sync();
            assertEq(partsPaid, highest);
        }
        // Shown again at the end, the lowest takes nothing back.
        vm.warp(block.timestamp + 3 days);
        _expire(_voucher(1, 0));
        assertEq(partsPaid, highest);
        assertEq(partsPaid + refunded, o.maxCost);
    }

    function test_Quality9_AnOverClaimIsRefusedOrCutToTheTimeAndTheEscrow() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(100_001, Ending.Completed);
        bytes memory sig = _signApprove(signer, r, 4);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_UsageAboveLimit.selector, 100_001, 100_000));
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 4, sig);
        Voucher memory v = _voucher(1, 10_000);
        v.durableMillis = 10_001;
        bytes[2] memory sigs = [_signVoucher(operator, v), _signVoucher(signer, v)];
        vm.expectRevert(IJobEvents.JobMarket_DurableAboveCumulative.selector);
        cloud.collect(terms, progress, v, sigs[0], sigs[1]);
        _collect(_voucher(1, type(uint64).max));
        assertEq(partsPaid, 100_000);
        r = _result(99_999, Ending.Completed);
        sig = _signApprove(signer, r, 4);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, 99_999, 100_000));
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 4, sig);
    }
}
