// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, JobState} from "../../src/libraries/JobTerms.sol";
import {Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title V2 jobs, as far as the market alone decides them: see PanelJobs.tree
contract PanelJobsTest is Fixture {
    function setUp() public override {
        vm.warp(1_750_000_000);
        _deploy(address(0), makeAddr("disputes"));
    }

    function test_RevertWhen_AVoucherIsCollected() public {
        _matchV2();
        vm.warp(block.timestamp + 100);
        Voucher memory v = _voucher(1, 50_000);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_VerifyLevelIs.selector, 2));
        cloud.collect(terms, progress, v, operatorSig, signerSig);
    }

    function test_ASubmittedResultPaysAfterTheChallengeWindow() public {
        _matchV2();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(50_000, Ending.Completed);
        _submit(r, _voucher(3, 50_000));
        _assertState(JobState.Submitted);
        assertEq(partsPaid, 0);
        uint256 deadline = block.timestamp + 24 hours;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlineNotReached.selector, deadline));
        cloud.finalize(terms, progress, r);
        vm.warp(deadline);
        Result memory other = _result(60_000, Ending.Completed);
        vm.expectPartialRevert(IJobEvents.JobMarket_NotTheDeclared.selector);
        cloud.finalize(terms, progress, other);
        cloud.finalize(terms, progress, r);
        _sync();
        _assertState(JobState.Settled);
        assertEq(partsPaid, 50_000);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(registry.statsOf(node).neutrals, 1);
    }

    function test_BothMaySettleASubmittedResultAtOnce() public {
        _matchV2();
        vm.warp(block.timestamp + 100);
        _submit(_result(50_000, Ending.Completed), _voucher(3, 50_000));
        _settle(_result(40_000, Ending.Completed));
        _assertState(JobState.Settled);
        assertEq(partsPaid, 40_000);
    }

    function test_AContestedReportPaysNothingAndCannotBeRepeated() public {
        _matchV2();
        vm.warp(block.timestamp + 300);
        Voucher memory v = _voucher(1, 50_000);
        _report(v);
        _contest(v, _none());
        _assertState(JobState.Matched);
        assertEq(partsPaid, 0);
        bytes memory operatorSig = _signVoucher(operator, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlineNotReached.selector, type(uint64).max));
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, v, operatorSig, "");
    }

    function test_AnExpiredJobPaysNothing() public {
        _matchV2();
        Voucher memory v = _voucher(1, 50_000);
        v.egressBytes = 1 << 30;
        vm.warp(block.timestamp + 300 + 2 * 7200 + 1 days);
        _expire(v);
        assertEq(partsPaid, 0);
        assertEq(settlement.egressBytes, 0);
        assertEq(refunded, ESCROW);
    }

    function _matchV2() private {
        Order memory o = _order();
        o.verifyLevel = 2;
        _matchOrder(o);
    }
}
