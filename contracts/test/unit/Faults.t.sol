// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, JobState, Progress} from "../../src/libraries/JobTerms.sol";
import {Order, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title reportFault, answerFault, contest, resolveFault and the refund table: see Faults.tree
contract FaultsTest is Fixture {
    /// OPEN at 0.001 USD for USDC at 1 USD: 1000 OPEN a USD.
    uint256 private constant OPEN_PER_USDC = 1e15;

    // ---------------------------------------------------------------------------------------------------------------------------- reportFault

    function test_AReportWithoutVoucherWaitsForTheBidsReadyTime() public {
        _match();
        uint256 deadline = block.timestamp + 300;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlineNotReached.selector, deadline));
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, _none(), "", "");
        vm.warp(deadline);
        _report(_none());
        _assertState(JobState.Reported);
        assertEq(progress.reportedAt, deadline);
        assertEq(progress.declared, 0);
    }

    function test_AReportWithAVoucherNeedNotWait() public {
        _match();
        vm.warp(block.timestamp + 20);
        _report(_voucher(1, 10_000));
        _assertState(JobState.Reported);
    }

    function test_ThePayerMayReportAndNobodyElse() public {
        _match();
        vm.warp(block.timestamp + 300);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, operator.addr));
        vm.prank(operator.addr);
        cloud.reportFault(jobId, terms, progress, _none(), "", "");
        vm.prank(payer.addr);
        cloud.reportFault(jobId, terms, progress, _none(), "", "");
        _sync();
        _assertState(JobState.Reported);
    }

    function test_AReportWithoutVoucherIsEmittedWithoutNumbersNobodySigned() public {
        _match();
        vm.warp(block.timestamp + 300);
        Progress memory expected = progress;
        expected.reportedAt = uint64(block.timestamp);
        vm.expectEmit(address(cloud));
        emit IJobEvents.FaultReported(jobId, node, payer.addr, signer.addr, _none(), expected);
        _report(_unsignedNone());
    }

    function test_RevertWhen_AReportDeclaresLessThanWasCollected() public {
        _match();
        vm.warp(block.timestamp + 1000);
        _collect(_voucher(2, 200_000));
        Voucher memory v = _voucher(1, 100_000);
        bytes memory operatorSig = _signVoucher(operator, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, 100_000, 200_000));
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, v, operatorSig, "");
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, 0, 200_000));
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, _none(), "", "");
    }

    function test_RevertWhen_TheDeclaredVoucherIsNotOfThisJobOrNotTheOperators() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(1, 100_000);
        bytes memory signature = _signVoucher(payer, v);
        vm.startPrank(signer.addr);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, operator.addr));
        cloud.reportFault(jobId, terms, progress, v, signature, "");
        v.jobId = keccak256("another job");
        signature = _signVoucher(operator, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, v.jobId, 1));
        cloud.reportFault(jobId, terms, progress, v, signature, "");
    }

    function test_RevertWhen_AReportComesAfterTheLastDeadline() public {
        _match();
        uint256 deadline = block.timestamp + 300 + 2 * 7200 + 1 days;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, _none(), "", "");
    }

    // ---------------------------------------------------------------------------------------------------------------------------- answerFault

    function test_AVoucherSignedSinceTheReportEndsIt() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + 10);
        _answer(_none(), _voucher(1, 1000));
        _assertState(JobState.Matched);
        assertEq(progress.reportedAt, 0);
        uint256 reportableFrom = block.timestamp + 3 * WINDOW;
        assertEq(progress.reportableFrom, reportableFrom);
        Voucher memory v = _voucher(1, 1000);
        bytes memory operatorSig = _signVoucher(operator, v);
        vm.warp(reportableFrom - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlineNotReached.selector, reportableFrom));
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, v, operatorSig, "");
        vm.warp(reportableFrom);
        _report(v);
    }

    function test_AVoucherSignedInTheSecondOfTheReportEndsIt() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        Voucher memory v = _voucher(1, 1000);
        assertEq(v.signedAt, progress.reportedAt);
        _answer(_none(), v);
        _assertState(JobState.Matched);
    }

    function test_RevertWhen_AnAnswerOrAContestIsNotSignedByBoth() public {
        _match();
        vm.warp(block.timestamp + 1000);
        _report(_none());
        Voucher memory v = _voucher(1, 1000);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.startPrank(owner);
        vm.expectRevert(_notSignedBy(operator));
        cloud.answerFault(jobId, terms, progress, _none(), v, signerSig, signerSig);
        vm.expectRevert(_notSignedBy(signer));
        cloud.answerFault(jobId, terms, progress, _none(), v, operatorSig, operatorSig);
        vm.expectRevert(_notSignedBy(operator));
        cloud.contest(jobId, terms, progress, _none(), v, signerSig, signerSig);
        vm.expectRevert(_notSignedBy(signer));
        cloud.contest(jobId, terms, progress, _none(), v, operatorSig, operatorSig);
    }

    function test_AStaleVoucherReplacesTheDeclaredOneAndTheReportStands() public {
        _match();
        vm.warp(block.timestamp + 200);
        Voucher memory stale = _voucher(2, 100_000);
        Voucher memory shown = _voucher(1, 50_000);
        vm.warp(block.timestamp + 100);
        _report(shown);
        uint256 reportedAt = vm.getBlockTimestamp(); // IR takes block.timestamp for constant and would read it after the warp
        vm.warp(reportedAt + 10);
        _answer(shown, stale);
        _assertState(JobState.Reported);
        assertEq(progress.reportedAt, reportedAt);
        vm.warp(reportedAt + WINDOW);
        _resolve(stale);
        assertEq(partsPaid, 100_000);
    }

    function test_RevertWhen_TheAnswerIsNotNewer() public {
        _match();
        vm.warp(block.timestamp + 200);
        Voucher memory shown = _voucher(3, 50_000);
        _report(shown);
        Voucher memory same = _voucher(3, 60_000);
        bytes memory operatorSig = _signVoucher(operator, same);
        bytes memory signerSig = _signVoucher(signer, same);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_VoucherNotNewer.selector, 3, 3));
        cloud.answerFault(jobId, terms, progress, shown, same, operatorSig, signerSig);
    }

    function test_RevertWhen_TheDeclaredVoucherPassedIsAnother() public {
        _match();
        vm.warp(block.timestamp + 200);
        Voucher memory shown = _voucher(3, 50_000);
        _report(shown);
        Voucher memory newer = _voucher(4, 60_000);
        bytes memory operatorSig = _signVoucher(operator, newer);
        bytes memory signerSig = _signVoucher(signer, newer);
        vm.expectPartialRevert(IJobEvents.JobMarket_NotTheDeclared.selector);
        cloud.answerFault(jobId, terms, progress, _none(), newer, operatorSig, signerSig);
        shown.billedMillis += 1;
        vm.warp(block.timestamp + WINDOW);
        vm.expectPartialRevert(IJobEvents.JobMarket_NotTheDeclared.selector);
        cloud.resolveFault(jobId, terms, progress, shown);
    }

    function test_RevertWhen_TheAnswerComesAfterTheWindow() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        uint256 deadline = block.timestamp + WINDOW;
        vm.warp(deadline);
        Voucher memory v = _voucher(1, 1000);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
        cloud.answerFault(jobId, terms, progress, _none(), v, operatorSig, signerSig);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
        vm.prank(operator.addr);
        cloud.contest(jobId, terms, progress, _none(), v, "", signerSig);
    }

    function test_RevertWhen_AReportIsResolvedBeforeTheWindowIsOver() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        uint256 deadline = block.timestamp + WINDOW;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_DeadlineNotReached.selector, deadline));
        cloud.resolveFault(jobId, terms, progress, _none());
    }

    function test_ReportedJobsCanStillBeSettledByBoth() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        _settle(_result(60_000, Ending.Completed));
        _assertState(JobState.Settled);
        assertEq(partsPaid + refunded, ESCROW);
        assertEq(registry.statsOf(node).successes, 1);
    }

    // ------------------------------------------------------------------------------------------------------------ the refund table, row by row

    function test_RefundTable_NeverMatchedLocksNothing() public {
        uint256 before = cloud.credits(payer.addr, address(usdc));
        Order memory o = _order();
        vm.warp(o.expiresAt);
        assertEq(cloud.credits(payer.addr, address(usdc)), before);
    }

    function test_RefundTable_UnansweredNeverReady_AllBackAndAQuarterOfAnHourFromTheBond() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        uint256 bond = registry.nodeOf(node).bond;
        _resolve(_none());
        _close();
        assertEq(partsPaid, 0);
        assertEq(refunded, ESCROW);
        assertEq(makeGood, uint256(PRICE) / 4 * OPEN_PER_USDC); // 0.90 USD, 900 OPEN
        assertEq(cloud.credits(payer.addr, address(open)), makeGood);
        assertEq(registry.nodeOf(node).bond, bond - makeGood);
        assertEq(registry.statsOf(node).fails, 1);
    }

    function test_RefundTable_UnansweredMidRun_AboveTheDurableValueAndTenPercentFromTheBond() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(5, 500_000);
        v.durableMillis = 400_000;
        _report(v);
        vm.warp(block.timestamp + WINDOW);
        _resolve(v);
        _close();
        assertEq(partsPaid, 400_000);
        assertEq(refunded, ESCROW - 400_000);
        assertEq(makeGood, uint256(ESCROW) / 10 * OPEN_PER_USDC); // 10 % of the escrow is less than an hour
        assertEq(registry.statsOf(node).fails, 1);
    }

    function test_RefundTable_UnansweredMidRun_AnHourWhereThatIsLess() public {
        vm.prank(governance);
        cloud.setListing(address(usdc), USDC_RATE, 1000e6);
        Order memory o = _order();
        o.maxCost = 100e6;
        _matchOrder(o);
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(5, 500_000);
        _report(v);
        vm.warp(block.timestamp + WINDOW);
        _resolve(v);
        assertEq(makeGood, uint256(PRICE) * OPEN_PER_USDC); // 3.60 USD is less than 10 USD
    }

    function test_RefundTable_Contested_NewestCoSignedValueNeutralWithoutMakeGood() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory declared = _voucher(1, 100_000);
        Voucher memory newest = _voucher(2, 500_000);
        newest.durableMillis = 0;
        _report(declared);
        _contest(declared, newest);
        _assertState(JobState.Interrupted);
        _close();
        assertEq(partsPaid, 500_000);
        assertEq(refunded, ESCROW - 500_000);
        assertEq(makeGood, 0);
        assertEq(registry.statsOf(node).neutrals, 1);
    }

    function test_RefundTable_ContestedWithoutVoucher_TheDeclaredOneIsPaid() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory declared = _voucher(3, 300_000);
        declared.durableMillis = 100_000;
        _report(declared);
        _contest(declared, _none());
        assertEq(partsPaid, 300_000);
        assertEq(settlement.billedMillis, 300_000);
    }

    function test_ContestedForTheSameValue_TheUsageIsOfTheVoucherShown() public {
        _match();
        vm.warp(block.timestamp + 5000);
        Voucher memory declared = _voucher(1, 4_100_000); // both are worth the escrow
        _report(declared);
        _contest(declared, _voucher(2, 4_200_000));
        assertEq(settlement.value, ESCROW);
        assertEq(settlement.billedMillis, 4_200_000);
    }

    function test_RefundTable_ContestedWithNothing_NothingIsPaid() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        _contest(_none(), _none());
        _close();
        assertEq(partsPaid, 0);
        assertEq(refunded, ESCROW);
    }

    function test_RefundTable_CollectedStaysPaidWhateverEndsTheAttempt() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory first = _voucher(1, 200_000);
        _collect(first);
        _report(first);
        vm.warp(block.timestamp + WINDOW);
        _resolve(first);
        _close();
        assertEq(partsPaid, 200_000);
        assertEq(partsPaid + refunded, ESCROW);
    }

    function test_AVoucherOfNothingBringsNoNumbersIntoAnEnding() public {
        for (uint256 i = 0; i < 2; ++i) {
            _match();
            vm.warp(block.timestamp + 300);
            _report(_none());
            if (i == 0) {
                _contest(_none(), _unsignedNone());
            } else {
                vm.warp(block.timestamp + WINDOW);
                _resolve(_unsignedNone());
            }
            _assertState(JobState.Interrupted);
            assertEq(settlement.value, 0);
            assertEq(settlement.billedMillis, 0);
            assertEq(settlement.egressBytes, 0);
        }
    }

    function test_OnlyTheNodeContests() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, stranger));
        vm.prank(stranger);
        cloud.contest(jobId, terms, progress, _none(), _none(), "", "");
        vm.prank(owner);
        cloud.contest(jobId, terms, progress, _none(), _none(), "", "");
        _sync();
        _assertState(JobState.Interrupted);
    }

    // -------------------------------------------------------------------------------------------------------------- what a bond gives, and when

    function test_MakeGoodsTakeAtMostOnePercentOfTheBondInADay() public {
        vm.prank(owner);
        uint256 small = registry.register(operator.addr, keccak256("hardware"), "RTX 4090");
        vm.prank(owner);
        registry.setListPrice(small, 10e6);
        registry.bond(small, 120_000e18); // one percent is 1200 OPEN; a make-good is 900
        uint256 total;
        for (uint256 i = 0; i < 2; ++i) {
            _matchOn(_order(), small, operator);
            vm.warp(block.timestamp + 300);
            _report(_none());
            vm.warp(block.timestamp + WINDOW);
            _resolve(_none());
            total += makeGood;
        }
        assertEq(total, 1200e18);
        vm.warp(block.timestamp + 1 days - 300 - WINDOW); // resolved a day after the last, to the second
        _matchOn(_order(), small, operator);
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        _resolve(_none());
        assertEq(makeGood, 900e18);
    }

    function test_ANodeWithoutBondPaysNoMakeGood() public {
        vm.prank(owner);
        uint256 bare = registry.register(operator.addr, keccak256("hardware"), "RTX 4090");
        vm.prank(owner);
        registry.setListPrice(bare, 10e6);
        _matchOn(_order(), bare, operator);
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        _resolve(_none());
        _close();
        assertEq(makeGood, 0);
        assertEq(refunded, ESCROW);
    }

    function test_AFailLowersTheTierAndNothingElseDoes() public {
        Ending[4] memory outcomes = [Ending.Completed, Ending.Stopped, Ending.UserFault, Ending.HardwareFault];
        for (uint256 i = 0; i < 4; ++i) {
            _setTier(2);
            _match();
            vm.warp(block.timestamp + 100);
            _settle(_result(60_000, outcomes[i]));
            assertEq(registry.tierOf(node), outcomes[i] == Ending.HardwareFault ? 0 : 2);
        }
        _setTier(2);
        _fault();
        assertEq(registry.tierOf(node), 0);
    }

    function test_ThreeUnansweredFaultsInADaySuspendUntilTheOwnerResumes() public {
        for (uint256 i = 0; i < 3; ++i) {
            assertFalse(registry.nodeOf(node).isSuspended);
            _fault();
        }
        assertTrue(registry.nodeOf(node).isSuspended);
        vm.expectRevert();
        vm.prank(operator.addr);
        registry.resume(node);
        vm.prank(owner);
        registry.resume(node);
        _match();
    }

    function test_ThreeFaultsInMoreThanADayDoNotSuspend() public {
        for (uint256 i = 0; i < 4; ++i) {
            _fault();
            vm.warp(block.timestamp + 12 hours);
        }
        assertFalse(registry.nodeOf(node).isSuspended);
    }

    function test_TheDayOfThreeFaultsEndsWithItsLastSecond() public {
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 2; ++i) {
            _fault();
            uint256 first = vm.getBlockTimestamp();
            _fault();
            // A fault takes the promised 300 seconds and the response window.
            vm.warp(first + 24 hours - 300 - WINDOW - i);
            _fault();
            assertEq(vm.getBlockTimestamp(), first + 24 hours - i);
            assertEq(registry.nodeOf(node).isSuspended, i == 1);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    /// @dev "None" with numbers in the fields that nobody signed.
    function _unsignedNone() private view returns (Voucher memory v) {
        v = _voucher(0, 1000);
        v.egressBytes = 1 << 40;
        v.durableEgressBytes = 1 << 39;
        v.usageRoot = keccak256("usage");
    }

    /// @dev Nothing raises a tier yet, so it is written where the registry reads it: above payee and list price.
    function _setTier(uint8 tier) private {
        vm.record();
        registry.tierOf(node);
        (bytes32[] memory reads,) = vm.accesses(address(registry));
        uint256 others = uint256(vm.load(address(registry), reads[0])) & ~(uint256(0xff) << 224);
        vm.store(address(registry), reads[0], bytes32(others | uint256(tier) << 224));
        assertEq(registry.tierOf(node), tier);
    }

    function _fault() private {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        _resolve(_none());
    }
}
