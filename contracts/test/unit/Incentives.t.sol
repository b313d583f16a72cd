// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IIncentives} from "../../src/interfaces/IIncentives.sol";
import {Ending, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Extend} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title Incentives of nodes. Spec: Incentives.tree
contract IncentivesTest is Fixture {
    IIncentives private incentives;
    Vm.Wallet private otherOperator = vm.createWallet("other operator");
    address private otherOwner = makeAddr("other owner");
    uint256 private otherNode;
    uint256 private week;

    function setUp() public override {
        super.setUp();
        incentives = IIncentives(vm.deployCode("Incentives.sol:Incentives", abi.encode(open, cloud, governance)));
        open.transfer(address(incentives), 1_000_000e18);
        otherNode = _register(otherOwner, otherOperator.addr);
        vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks);
        vm.prank(governance);
        incentives.setRate(1000e18);
        vm.warp(block.timestamp + 1 weeks);
        week = block.timestamp / 1 weeks;
        vm.recordLogs();
    }

    /// @dev A job of the node worth this many base units of USDC, settled now.
    function _work(uint64 value) private {
        _match();
        vm.warp(block.timestamp + value / 1000 + 1);
        _settle(_result(value, Ending.Completed));
    }

    function _workOfOther(uint64 value) private {
        _matchOn(_order(), otherNode, otherOperator);
        vm.warp(block.timestamp + value / 1000 + 1);
        bytes memory opSig = _signResult(otherOperator, _result(value, Ending.Completed));
        bytes memory sig = _signApprove(signer, _result(value, Ending.Completed), 4);
        cloud.settle(terms, progress, _result(value, Ending.Completed), opSig, 4, sig);
        _sync();
    }

    function _report() private {
        incentives.report(jobId, terms, progress);
    }

    function _afterReporting() private {
        vm.warp((week + 2) * 1 weeks);
    }

    function test_OnlyGovernanceSetsARateWithinTheCapForWeeksToCome() public {
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_NotAllowed.selector, address(this)));
        incentives.setRate(1);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_RateAboveCap.selector, 50_000_000e18 + 1, 50_000_000e18));
        incentives.setRate(50_000_000e18 + 1);
        vm.expectEmit();
        emit IIncentives.RateSet(1000e18, 5e18, week + 1);
        incentives.setRate(5e18);
        assertEq(incentives.rateOf(week), 1000e18);
        assertEq(incentives.rateOf(week + 1), 5e18);
        assertEq(incentives.rateOf(week - 5), 0);
        incentives.setRate(50_000_000e18);
        assertEq(incentives.rateOf(week + 1), 50_000_000e18);
    }

    function test_RevertWhen_AReportIsNotOfASettledJob() public {
        _match();
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_NotSettled.selector, jobId));
        _report();
        vm.warp(block.timestamp + 100);
        _settle(_result(50_000, Ending.Completed));
        Progress memory more = progress;
        more.value += 1;
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_NotSettled.selector, jobId));
        incentives.report(jobId, terms, more);
        Terms memory other = terms;
        other.payee = stranger;
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_NotSettled.selector, jobId));
        incentives.report(jobId, other, progress);
        _report();
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_AlreadyReported.selector, jobId));
        _report();
    }

    function test_RevertWhen_AReportIsLateOrTheWeekIsOff() public {
        _work(50_000);
        vm.warp((week + 2) * 1 weeks - 1);
        uint256 id = vm.snapshotState();
        _report();
        vm.revertToState(id);
        vm.warp((week + 2) * 1 weeks);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_ReportingOver.selector, week));
        _report();
        vm.prank(governance);
        incentives.setRate(0);
        vm.warp(block.timestamp + 1 weeks);
        _work(50_000);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_Off.selector, week + 3));
        _report();
    }

    function test_TheJobsOfAWeekAddUp() public {
        _work(1_000_000);
        _report();
        _work(2_000_000);
        _report();
        _workOfOther(500_000);
        _report();
        (uint128 value, uint128 cap) = incentives.reportedOf(week, node, owner);
        assertEq(value, 3e6);
        assertEq(cap, 150e18); // 5 % of 3 USD at 0.001 USD an OPEN
        (value, cap) = incentives.reportedOf(week, otherNode, otherOwner);
        assertEq(value, 5e5);
        assertEq(cap, 25e18);
        assertEq(incentives.totalOf(week), 35e5);
    }

    function test_PaysInProportionAndNeverMoreThanTheTreasuryKept() public {
        _work(3_000_000); // 3 USD; 5 % of it are 150 OPEN at 0.001 USD
        _report();
        _workOfOther(1_000_000);
        _report();
        assertEq(incentives.totalOf(week), 4e6);
        (uint128 value, uint128 cap) = incentives.reportedOf(week, node, owner);
        assertEq(value, 3e6);
        assertEq(cap, 150e18);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_ReportingOpen.selector, week));
        incentives.pay(week, node, owner);
        vm.warp((week + 2) * 1 weeks - 1);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_ReportingOpen.selector, week));
        incentives.pay(week, node, owner);
        _afterReporting();
        vm.expectEmit();
        emit IIncentives.IncentivePaid(week, node, owner, 150e18); // its 750 are capped
        incentives.pay(week, node, owner);
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_NothingToPay.selector, week, node, owner));
        incentives.pay(week, node, owner);
        incentives.pay(week, otherNode, otherOwner);
        assertEq(open.balanceOf(otherOwner), 50e18);
    }

    function test_ASmallRateIsSharedByValueRoundedDown() public {
        vm.prank(governance);
        incentives.setRate(10);
        vm.warp(block.timestamp + 1 weeks);
        week += 1;
        _work(2_000_000);
        _report();
        _workOfOther(1_000_000);
        _report();
        _afterReporting();
        incentives.pay(week, node, owner);
        incentives.pay(week, otherNode, otherOwner);
        assertEq(open.balanceOf(owner), 6);
        assertEq(open.balanceOf(otherOwner), 3);
    }

    function test_WhatIsNotThereStaysOwed() public {
        _work(3_000_000);
        _report();
        vm.prank(address(incentives));
        open.transfer(address(1), 1_000_000e18 - 7);
        _afterReporting();
        vm.expectRevert(abi.encodeWithSelector(IIncentives.Incentives_BalanceTooLow.selector, 7, 150e18));
        incentives.pay(week, node, owner);
        open.transfer(address(incentives), 150e18 - 7);
        incentives.pay(week, node, owner);
        assertEq(open.balanceOf(owner), 150e18);
        assertEq(open.balanceOf(address(incentives)), 0);
    }

    function _capAfter(uint96 usdcRate, uint96 openRate) private returns (uint256 cap) {
        vm.startPrank(governance);
        cloud.setListing(address(usdc), usdcRate, USDC_T0_CAP);
        cloud.setListing(address(open), openRate, 5000e18);
        vm.stopPrank();
        uint256 id = vm.snapshotState();
        _report();
        (, cap) = incentives.reportedOf(week, node, owner);
        vm.revertToState(id);
    }

    function test_TheCapIsAtTheRatesOfTheMatchOrThoseOfTheReportWhicheverIsLess() public {
        _work(2_000_000); // leaves the treasury 0.10 USD, 100 OPEN at the match
        assertEq(_capAfter(USDC_RATE, OPEN_RATE), 100e18);
        assertEq(_capAfter(USDC_RATE, OPEN_RATE * 10), 10e18);
        assertEq(_capAfter(USDC_RATE, OPEN_RATE / 10), 100e18);
        assertEq(_capAfter(USDC_RATE / 2, OPEN_RATE), 50e18);
        assertEq(_capAfter(USDC_RATE * 2, OPEN_RATE), 100e18);
        assertEq(_capAfter(USDC_RATE * 2, OPEN_RATE * 4), 50e18);
        // What is not listed now counts as at the match.
        assertEq(_capAfter(0, OPEN_RATE), 100e18);
        assertEq(_capAfter(0, OPEN_RATE * 2), 50e18);
        assertEq(_capAfter(USDC_RATE / 4, 0), 25e18);
        assertEq(_capAfter(0, 0), 100e18);
    }

    function test_WithoutARateOfOpenAtTheMatchNothingIsPaid() public {
        vm.prank(governance);
        cloud.setListing(address(open), 0, 0);
        _work(2_000_000);
        assertEq(_capAfter(USDC_RATE, OPEN_RATE), 0);
        assertEq(_capAfter(USDC_RATE, 0), 0);
    }

    /// @dev Nobody profits from a job with oneself that is extended when OPEN has risen.
    function test_AJobExtendedAfterOpenRoseIsNoProfit() public {
        uint256 before = cloud.credits(payer.addr, address(usdc)) + cloud.credits(owner, address(usdc));
        _match();
        vm.warp(block.timestamp + 1000);
        vm.prank(governance);
        cloud.setListing(address(open), OPEN_RATE * 10, 5000e18);
        Extend memory ext = Extend({jobId: jobId, attempt: 1, addCost: 1_000_000, addSeconds: 3600, salt: 1});
        bytes memory opSig = _sign(operator, hashes.hashExtend(ext));
        vm.prank(payer.addr);
        cloud.extend(terms, progress, ext, "", opSig);
        _sync();
        vm.warp(block.timestamp + 4000);
        _settle(_result(5_000_000, Ending.Completed));
        uint256 spent = before - cloud.credits(payer.addr, address(usdc)) - cloud.credits(owner, address(usdc));
        _report();
        _afterReporting();
        incentives.pay(week, node, owner);
        assertEq(spent, 850_000); // 17 % of 5 USD
        assertEq(open.balanceOf(owner), 25e18); // 0.25 USD, the treasury's part, at 0.01 USD an OPEN
        assertLe(open.balanceOf(owner) * OPEN_RATE * 10, spent * USDC_RATE);
    }

    function test_RevertWhen_AnAddressIsZero() public {
        for (uint256 i = 0; i < 3; ++i) {
            address[3] memory given = [address(open), address(cloud), governance];
            given[i] = address(0);
            bytes memory code = abi.encodePacked(vm.getCode("Incentives.sol:Incentives"), abi.encode(given[0], given[1], given[2]));
            address made;
            assembly ("memory-safe") {
                made := create(0, add(code, 0x20), mload(code))
            }
            assertEq(made, address(0));
        }
    }

    function testFuzz_JobsWithOneselfAreNoProfit(uint64 value) public {
        value = uint64(bound(value, 1, ESCROW));
        uint256 before = cloud.credits(payer.addr, address(usdc)) + cloud.credits(owner, address(usdc));
        _work(value);
        uint256 spent = before - cloud.credits(payer.addr, address(usdc)) - cloud.credits(owner, address(usdc));
        _report();
        _afterReporting();
        try incentives.pay(week, node, owner) {} catch {}
        // What comes back, at the rates of the match, is not more than what stakers and treasury got.
        assertLe(open.balanceOf(owner) * OPEN_RATE, spent * USDC_RATE);
    }
}
