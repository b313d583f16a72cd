// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Ending, JobState, Terms} from "../../src/libraries/JobTerms.sol";
import {Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title settle, collect, submit, expire, close: see Settling.tree
contract SettlingTest is Fixture {
    // -------------------------------------------------------------------------------------------------------------------------------- settle

    function test_SettlePaysTheSplitAndRefundsWhatWasNotUsed() public {
        uint256 before = cloud.credits(payer.addr, address(usdc));
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.Completed));
        _assertState(JobState.Settled);
        assertEq(settlement.value, 60_000);
        assertEq(settlement.stakersPart, 7200); // 12 %
        assertEq(settlement.treasuryPart, 3000); // 5 %
        assertEq(settlement.nodePart, 49_800); // 83 %
        assertEq(settlement.refunded, ESCROW - 60_000);
        assertEq(settlement.rating, 4);
        assertEq(settlement.readyAfterSeconds, 20);
        assertEq(settlement.quotedSeconds, 3600);
        assertEq(settlement.usdRate, USDC_RATE);
        assertEq(settlement.specDigest, keccak256("spec"));
        assertEq(settlement.receiptDigest, keccak256("receipt"));
        assertEq(uint256(settlement.ending), uint256(Ending.Completed));
        assertEq(cloud.credits(owner, address(usdc)), 49_800);
        assertEq(cloud.credits(payer.addr, address(usdc)), before - 60_000);
        assertEq(cloud.revenueOf(block.timestamp / 1 weeks, address(usdc)).stakers, 7200);
        assertEq(cloud.revenueOf(block.timestamp / 1 weeks, address(usdc)).treasury, 3000);
    }

    function test_FiveSecondsBillFiveSeconds() public {
        _match();
        vm.warp(block.timestamp + 30);
        _settle(_result(5000, Ending.Completed));
        assertEq(partsPaid, 5000);
        assertEq(refunded, ESCROW - 5000);
    }

    function test_SuccessUserFaultAndHardwareFaultCountAsTheTableSays() public {
        Ending[4] memory outcomes = [Ending.Completed, Ending.Stopped, Ending.UserFault, Ending.HardwareFault];
        for (uint256 i = 0; i < 4; ++i) {
            Order memory o = _order();
            o.maxAttempts = 1;
            _matchOrder(o);
            vm.warp(block.timestamp + 2000);
            _settle(_result(1_500_000, outcomes[i])); // 1.50 USD
            assertEq(partsPaid, 1_500_000);
            _assertState(JobState.Settled);
        }
        INodeRegistry.Stats memory stats = registry.statsOf(node);
        assertEq(stats.opened, 4);
        assertEq(stats.closed, 4);
        assertEq(stats.successes, 2);
        assertEq(stats.fails, 1);
        assertEq(stats.neutrals, 0);
        assertEq(stats.counted, 2);
        assertEq(stats.earnedUsdMicros, 3_000_000);
    }

    function test_AJobBelowOneUsdIsASuccessThatIsNotCounted() public {
        _match();
        vm.warp(block.timestamp + 2000);
        _settle(_result(999_999, Ending.Completed));
        _match();
        vm.warp(block.timestamp + 2000);
        _settle(_result(1_000_000, Ending.Completed));
        assertEq(registry.statsOf(node).successes, 2);
        assertEq(registry.statsOf(node).counted, 1);
    }

    function test_ACoSignedHardwareFaultInterruptsWithoutMakeGood() public {
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.HardwareFault));
        _assertState(JobState.Interrupted);
        assertEq(makeGood, 0);
        assertEq(partsPaid, 60_000);
        assertEq(settlement.refunded, 0);
        assertEq(registry.statsOf(node).fails, 1);
        _close();
        assertEq(partsPaid + refunded, ESCROW);
        _assertState(JobState.Settled);
    }

    function test_ALateResultSettlesAnInterruptedAttemptWithoutCountingItAgain() public {
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.HardwareFault));
        Result memory r = _result(70_000, Ending.Completed);
        _settle(r);
        _assertState(JobState.Settled);
        assertEq(partsPaid, 70_000);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(registry.statsOf(node).closed, 1);
        assertEq(registry.statsOf(node).successes, 0);
    }

    function test_RevertWhen_AnInterruptedAttemptGetsAHardwareFaultAgain() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.HardwareFault);
        bytes memory operatorSig = _signResult(operator, r);
        bytes memory signerSig = _signApprove(signer, r, 4);
        _settle(r);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Interrupted));
        vm.prank(stranger);
        cloud.settle(terms, progress, r, operatorSig, 4, signerSig);
        r.billedMillis = 70_000;
        signerSig = _signApprove(signer, r, 4);
        _settleReverts(r, signerSig, abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Interrupted));
        _assertState(JobState.Interrupted);
    }

    function test_AnyoneMaySettleWithBothSignatures() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        bytes memory operatorSig = _signResult(operator, r);
        bytes memory signerSig = _signApprove(signer, r, 5);
        vm.prank(stranger);
        cloud.settle(terms, progress, r, operatorSig, 5, signerSig);
        _sync();
        assertEq(settlement.rating, 5);
    }

    function test_TheSignerSettlesWithTheOperatorsSignatureAlone() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        bytes memory operatorSig = _signResult(operator, r);
        vm.prank(signer.addr);
        cloud.settle(terms, progress, r, operatorSig, 3, "");
        _sync();
        assertEq(settlement.rating, 3);
    }

    function test_RevertWhen_TheRatingIsNotTheApprovedOne() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        bytes memory signerSig = _signApprove(signer, r, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, signer.addr));
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 5, signerSig);
    }

    function test_RevertWhen_TheRatingIsAboveFive() public {
        _match();
        Result memory r = _result(0, Ending.Completed);
        bytes memory signerSig = _signApprove(signer, r, 6);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_OutOfRange.selector, bytes32("rating"), 6, 0, 5));
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 6, signerSig);
    }

    function test_RevertWhen_TheSignerDidNotApprove() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        _settleReverts(r, _signApprove(operator, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, signer.addr));
    }

    function test_RevertWhen_TheOperatorDidNotSignWhatTheSignerSends() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        bytes memory signature = _signResult(signer, r);
        vm.expectRevert(_notSignedBy(operator));
        vm.prank(signer.addr);
        cloud.settle(terms, progress, r, signature, 4, "");
    }

    function test_RevertWhen_AResultClaimsMoreThanTheTimeSinceTheMatch() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(100_001, Ending.Completed);
        _settleReverts(r, _signApprove(signer, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_UsageAboveLimit.selector, 100_001, 100_000));
    }

    function test_RevertWhen_AResultClaimsMoreThanMaxSeconds() public {
        _match();
        vm.warp(block.timestamp + 8000);
        Result memory r = _result(7_200_001, Ending.Completed);
        _settleReverts(r, _signApprove(signer, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_UsageAboveLimit.selector, 7_200_001, 7_200_000));
    }

    function test_RevertWhen_TheOutcomeIsUnknown() public {
        _match();
        for (uint256 i = 0; i < 2; ++i) {
            Result memory r = _result(0, Ending.Completed);
            r.outcome = i == 0 ? 0 : 5;
            _settleReverts(
                r, _signApprove(signer, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_OutOfRange.selector, bytes32("outcome"), r.outcome, 1, 4)
            );
        }
    }

    function test_RevertWhen_TheResultIsOfAnotherAttempt() public {
        _match();
        Result memory r = _result(0, Ending.Completed);
        r.attempt = 2;
        _settleReverts(r, _signApprove(signer, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, jobId, 2));
    }

    function test_RevertWhen_TheTermsAreNotTheJobs() public {
        _match();
        Result memory r = _result(0, Ending.Completed);
        bytes memory signerSig = _signApprove(signer, r, 4);
        Terms memory forged = terms;
        forged.payee = stranger;
        vm.expectPartialRevert(IJobEvents.JobMarket_TermsMismatch.selector);
        vm.prank(operator.addr);
        cloud.settle(forged, progress, r, "", 4, signerSig);
    }

    function test_RevertWhen_AJobIsSettledTwice() public {
        _match();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        _settle(r);
        uint256 earned = cloud.credits(owner, address(usdc));
        _settleReverts(r, _signApprove(signer, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Settled));
        assertEq(cloud.credits(owner, address(usdc)), earned);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- collect

    function test_CollectPaysTheDurableValueAndSettleTheRest() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 500_000);
        v.durableMillis = 300_000;
        _collect(v);
        assertEq(partsPaid, 300_000);
        v = _voucher(2, 800_000);
        _collect(v);
        assertEq(partsPaid, 800_000);
        _settle(_result(900_000, Ending.Completed));
        assertEq(partsPaid, 900_000);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(cloud.credits(owner, address(usdc)), 900_000 * 83 / 100);
    }

    function test_RevertWhen_AVoucherIsCollectedTwice() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 300_000);
        _collect(v);
        _collectReverts(v, abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, 300_000, 300_000));
    }

    function test_RevertWhen_AResultIsBelowWhatWasCollected() public {
        _match();
        vm.warp(block.timestamp + 1000);
        _collect(_voucher(1, 300_000));
        Result memory r = _result(299_999, Ending.Completed);
        _settleReverts(r, _signApprove(signer, r, 4), abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, 299_999, 300_000));
    }

    function test_AVouchersMillisCountOnlyUpToNow() public {
        _match();
        vm.warp(block.timestamp + 10);
        _collect(_voucher(1, 60_000));
        assertEq(partsPaid, 10_000);
    }

    function test_AVoucherNeverPaysMoreThanTheEscrow() public {
        Order memory o = _order();
        o.maxCost = 100_000;
        _matchOrder(o);
        vm.warp(block.timestamp + 1000);
        _collect(_voucher(1, 900_000));
        assertEq(partsPaid, 100_000);
        _settle(_result(900_000, Ending.Completed));
        assertEq(partsPaid, 100_000);
        assertEq(refunded, 0);
    }

    function test_RevertWhen_DurableIsAboveCumulative() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 300_000);
        v.durableMillis = 300_001;
        _collectReverts(v, abi.encodeWithSelector(IJobEvents.JobMarket_DurableAboveCumulative.selector));
        v = _voucher(1, 300_000);
        v.durableEgressBytes = 1;
        _collectReverts(v, abi.encodeWithSelector(IJobEvents.JobMarket_DurableAboveCumulative.selector));
    }

    function test_RevertWhen_AVoucherIsOfAnotherAttempt() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 300_000);
        v.attempt = 2;
        _collectReverts(v, abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, jobId, 2));
    }

    function test_RevertWhen_AVoucherLacksASignature() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 300_000);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, signer.addr));
        cloud.collect(terms, progress, v, operatorSig, "");
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, operator.addr));
        cloud.collect(terms, progress, v, "", signerSig);
    }

    function test_RevertWhen_CollectComesAfterTheLastDeadline() public {
        _match();
        uint256 deadline = _lastDeadline();
        vm.warp(deadline);
        _collectReverts(_voucher(1, 300_000), abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
    }

    // -------------------------------------------------------------------------------------------------------------------------------- submit

    function test_ANodeSubmitsAloneAndIsPaidItsNewestVoucher() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(7, 700_000);
        v.durableMillis = 0;
        _submit(_result(700_000, Ending.Completed), v);
        _assertState(JobState.Settled);
        assertEq(uint256(settlement.ending), uint256(Ending.Submitted));
        assertEq(partsPaid, 700_000);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(settlement.receiptDigest, keccak256("receipt"));
        assertEq(registry.statsOf(node).neutrals, 1);
        assertEq(registry.statsOf(node).counted, 0);
    }

    function test_ASubmissionThatDoesNotClaimCompletedInterrupts() public {
        _match();
        vm.warp(block.timestamp + 1000);
        _submit(_result(700_000, Ending.UserFault), _voucher(7, 700_000));
        _assertState(JobState.Interrupted);
        _close();
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(registry.statsOf(node).neutrals, 1);
    }

    function test_ASubmissionWithoutVoucherPaysOnlyWhatWasCollected() public {
        _match();
        vm.warp(block.timestamp + 1000);
        _collect(_voucher(1, 100_000));
        _submit(_result(0, Ending.Completed), _none());
        assertEq(partsPaid, 100_000);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(settlement.billedMillis, 100_000);
    }

    function test_RevertWhen_ASubmittedResultsTotalsAreNotTheVouchers() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Result memory r = _result(700_001, Ending.Completed);
        Voucher memory v = _voucher(7, 700_000);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_TotalsDiffer.selector));
        vm.prank(operator.addr);
        cloud.submit(terms, progress, r, v, "", signerSig);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_TotalsDiffer.selector));
        vm.prank(operator.addr);
        cloud.submit(terms, progress, r, _none(), "", "");
    }

    function test_RevertWhen_AResultIsSubmittedAfterTheLastDeadline() public {
        _match();
        uint256 deadline = _lastDeadline();
        Result memory r = _result(0, Ending.Completed);
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
        vm.prank(operator.addr);
        cloud.submit(terms, progress, r, _none(), "", "");
        vm.warp(deadline - 1);
        vm.prank(operator.addr);
        cloud.submit(terms, progress, r, _none(), "", "");
    }

    function test_TheOwnerMaySubmitAndAStrangerMayNot() public {
        _match();
        Result memory r = _result(0, Ending.Completed);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, stranger));
        vm.prank(stranger);
        cloud.submit(terms, progress, r, _none(), "", "");
        vm.prank(owner);
        cloud.submit(terms, progress, r, _none(), "", "");
        _sync();
        _assertState(JobState.Settled);
    }

    // -------------------------------------------------------------------------------------------------------------------------------- expire

    function test_AnExpiredJobPaysTheVoucherShownAndRefundsTheRest() public {
        _match();
        Voucher memory v = _voucher(3, 600_000);
        v.durableMillis = 100;
        vm.warp(_lastDeadline());
        _expire(v);
        _assertState(JobState.Settled);
        assertEq(uint256(settlement.ending), uint256(Ending.Expired));
        assertEq(partsPaid, 600_000);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(registry.statsOf(node).neutrals, 1);
    }

    function test_AnExpiredJobWithoutVoucherRefundsAll() public {
        _match();
        vm.warp(_lastDeadline());
        _expire(_none());
        assertEq(partsPaid, 0);
        assertEq(refunded, ESCROW);
    }

    function test_AnExpiredJobTakesNoNumbersFromAVoucherOfNothing() public {
        _match();
        vm.warp(_lastDeadline());
        Voucher memory v = _none();
        v.billedMillis = 600_000;
        v.egressBytes = 1 << 40;
        _expire(v);
        assertEq(settlement.value, 0);
        assertEq(settlement.billedMillis, 0);
        assertEq(settlement.egressBytes, 0);
    }

    function test_AResultWorthExactlyWhatWasCollectedNamesItsOwnEgress() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 200_000);
        (v.egressBytes, v.durableEgressBytes) = (100, 100); // a few bytes round up to one base unit
        _collect(v);
        assertEq(progress.value, 200_001);
        Result memory r = _result(200_000, Ending.Completed);
        r.egressBytes = 200;
        _settle(r);
        assertEq(settlement.value, 200_001);
        assertEq(settlement.egressBytes, 200);
    }

    function test_AnEndingThatPaysNoMoreThanWasCollectedLeavesTheEgressToCollected() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory older = _voucher(1, 100_000);
        older.egressBytes = 77;
        Voucher memory newer = _voucher(2, 200_000);
        newer.egressBytes = 1 << 30;
        newer.durableEgressBytes = 1 << 30;
        _collect(newer);
        vm.warp(_lastDeadline());
        _expire(older);
        assertEq(settlement.value, 290_000);
        assertEq(settlement.billedMillis, 200_000);
        assertEq(settlement.egressBytes, 0);
    }

    function test_RevertWhen_TheVoucherOfASubmissionOrAnExpiryIsNotSignedByBoth() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 1000);
        Result memory r = _result(1000, Ending.Completed);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.prank(owner);
        vm.expectRevert(_notSignedBy(operator));
        cloud.submit(terms, progress, r, v, signerSig, signerSig);
        vm.prank(owner);
        vm.expectRevert(_notSignedBy(signer));
        cloud.submit(terms, progress, r, v, operatorSig, operatorSig);
        vm.warp(_lastDeadline());
        vm.expectRevert(_notSignedBy(operator));
        cloud.expire(jobId, terms, progress, v, signerSig, signerSig);
        vm.expectRevert(_notSignedBy(signer));
        cloud.expire(jobId, terms, progress, v, operatorSig, operatorSig);
    }

    function test_RevertWhen_ExpireComesTooEarly() public {
        _match();
        uint256 deadline = _lastDeadline();
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlineNotReached.selector, deadline));
        cloud.expire(jobId, terms, progress, _none(), "", "");
    }

    // --------------------------------------------------------------------------------------------------------------------------------- close

    function test_ThePayerClosesAtOnceAndAnyoneAfterAnHour() public {
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.HardwareFault));
        uint256 deadline = block.timestamp + 1 hours;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, stranger));
        vm.prank(stranger);
        cloud.close(jobId, terms, progress);
        vm.warp(deadline);
        vm.prank(stranger);
        cloud.close(jobId, terms, progress);
        _sync();
        _assertState(JobState.Settled);
        assertEq(partsPaid + refunded, ESCROW);
    }

    function test_RevertWhen_ARunningJobIsClosed() public {
        _match();
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Matched));
        vm.prank(payer.addr);
        cloud.close(jobId, terms, progress);
    }

    function test_AnInterruptionWithoutTimeLeftSettles() public {
        Order memory o = _order();
        o.maxSeconds = 60;
        _matchOrder(o);
        vm.warp(block.timestamp + 100);
        _settle(_result(59_001, Ending.HardwareFault));
        _assertState(JobState.Settled);
        assertEq(partsPaid + refunded, ESCROW);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- helpers

    function _lastDeadline() private view returns (uint256) {
        return block.timestamp + 300 + 2 * 7200 + 1 days;
    }

    function _settleReverts(Result memory r, bytes memory signerSig, bytes memory err) private {
        vm.expectRevert(err);
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 4, signerSig);
    }

    function _collectReverts(Voucher memory v, bytes memory err) private {
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.expectRevert(err);
        cloud.collect(terms, progress, v, operatorSig, signerSig);
    }
}
