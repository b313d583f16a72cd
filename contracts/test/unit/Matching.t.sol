// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Ending, JobState, TermsLimits, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title matchOrder, cancelOrder, rematch, extend: see Matching.tree
contract MatchingTest is Fixture {
    Vm.Wallet private other = vm.createWallet("other operator");
    Vm.Wallet private budgetKey = vm.createWallet("budget key");

    // ---------------------------------------------------------------------------------------------------------------------------- matchOrder

    function test_MatchLocksTheEscrowAndFixesTheTerms() public {
        uint256 before = cloud.credits(payer.addr, address(usdc));
        _match();
        assertEq(cloud.credits(payer.addr, address(usdc)), before - ESCROW);
        _assertState(JobState.Matched);
        assertEq(terms.payer, payer.addr);
        assertEq(terms.signer, signer.addr);
        assertEq(terms.token, address(usdc));
        assertEq(terms.operator, operator.addr);
        assertEq(terms.payee, owner);
        assertEq(terms.node, node);
        assertEq(terms.escrow, ESCROW);
        assertEq(terms.computePerHour, PRICE);
        assertEq(terms.egressPerGiB, 90_000);
        assertEq(terms.specDigest, keccak256("spec"));
        assertEq(TermsRates.usdRate(terms.rates), USDC_RATE);
        assertEq(TermsRates.openRate(terms.rates), OPEN_RATE);
        assertEq(TermsRates.stakersBps(terms.rates), 1200);
        assertEq(TermsRates.treasuryBps(terms.rates), 500);
        assertEq(TermsRates.discountBps(terms.rates) + TermsRates.bonusBps(terms.rates), 0);
        assertEq(TermsLimits.matchedAt(terms.limits), block.timestamp);
        assertEq(TermsLimits.maxSeconds(terms.limits), 7200);
        assertEq(TermsLimits.readyWithinSeconds(terms.limits), 300);
        assertEq(TermsLimits.quotedSeconds(terms.limits), 3600);
        assertEq(TermsLimits.verifyLevel(terms.limits), 0);
        assertEq(TermsLimits.maxAttempts(terms.limits), 3);
        assertEq(TermsLimits.attempt(terms.limits), 1);
        assertEq(registry.statsOf(node).opened, 1);
    }

    function test_SignerMayMatchWithThePayersSignature() public {
        Order memory o = _order();
        _matchAs(signer.addr, o, _sign(payer, hashes.hashOrder(o)));
        _assertState(JobState.Matched);
    }

    function test_AnyoneMayMatchAClaimableOrder() public {
        Order memory o = _order();
        o.claimable = true;
        _matchAs(operator.addr, o, _sign(payer, hashes.hashOrder(o)));
        _assertState(JobState.Matched);
    }

    function test_RevertWhen_ANodeClaimsAnOrderThatIsNotClaimable() public {
        Order memory o = _order();
        _matchReverts(operator.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, operator.addr));
    }

    function test_RevertWhen_TheOrderIsMatchedTwice() public {
        _match();
        Order memory o = order;
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Matched));
    }

    function test_RevertWhen_ThePayerIsZero() public {
        Order memory o = _order();
        o.payer = address(0);
        _matchReverts(signer.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_ZeroAddress.selector));
    }

    function test_RevertWhen_TheSignerIsZero() public {
        Order memory o = _order();
        o.signer = address(0);
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_ZeroAddress.selector));
    }

    function test_RevertWhen_TheOrderHasExpired() public {
        Order memory o = _order();
        o.expiresAt = uint64(block.timestamp);
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_Expired.selector, block.timestamp));
    }

    function test_RevertWhen_ANumberOfTheOrderIsOutOfRange() public {
        for (uint256 i = 0; i < 9; ++i) {
            Order memory o = _order();
            if (i == 0) o.maxCost = 0;
            if (i == 1) o.maxSeconds = 0;
            if (i == 2) o.maxSeconds = 30 days + 1;
            if (i == 3) o.readyWithinSeconds = 0;
            if (i == 4) o.readyWithinSeconds = 1 days + 1;
            if (i == 5) o.minTier = 5;
            if (i == 6) o.verifyLevel = 4;
            if (i == 7) o.maxAttempts = 0;
            if (i == 8) o.maxAttempts = 5;
            Bid memory b = _bid(o, node);
            bytes memory sig = _sign(operator, hashes.hashBid(b));
            vm.expectPartialRevert(IJobEvents.JobMarket_OutOfRange.selector);
            vm.prank(payer.addr);
            cloud.matchOrder(o, "", b, sig);
        }
    }

    function test_RevertWhen_V2HasNoDisputesContract() public {
        Order memory o = _order();
        o.verifyLevel = 2;
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_DisputesMissing.selector));
    }

    function test_V1AndV3Match() public {
        Order memory o = _order();
        o.verifyLevel = 1;
        _matchOrder(o);
        o = _order();
        o.verifyLevel = 3;
        _matchOrder(o);
        assertEq(TermsLimits.verifyLevel(terms.limits), 3);
    }

    function test_RevertWhen_TheBidIsForAnotherJob() public {
        Order memory o = _order();
        Bid memory b = _bid(o, node);
        b.jobId = keccak256("another");
        _matchReverts(payer.addr, o, b, abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, cloud.jobIdOf(o), b.jobId, 1));
    }

    function test_RevertWhen_TheBidHasExpired() public {
        Order memory o = _order();
        Bid memory b = _bid(o, node);
        b.expiresAt = uint64(block.timestamp);
        _matchReverts(payer.addr, o, b, abi.encodeWithSelector(IJobEvents.JobMarket_Expired.selector, block.timestamp));
    }

    function test_ABidMayTakeAllThatTheOrderAllows() public {
        Order memory o = _order();
        Bid memory b = _bid(o, node);
        (b.egressPerGiB, b.readyWithinSeconds) = (1e6, 600);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.prank(payer.addr);
        jobId = cloud.matchOrder(o, "", b, sig);
        _assertState(JobState.Matched);
    }

    function test_RevertWhen_TheBidIsAboveACeiling() public {
        Order memory o = _order();
        Bid memory b = _bid(o, node);
        b.computePerHour = PRICE + 1;
        _matchReverts(payer.addr, o, b, abi.encodeWithSelector(IJobEvents.JobMarket_PriceAboveCeiling.selector, PRICE + 1, PRICE));
        b = _bid(o, node);
        b.egressPerGiB = 1e6 + 1;
        _matchReverts(payer.addr, o, b, abi.encodeWithSelector(IJobEvents.JobMarket_EgressPriceAboveCeiling.selector, 1e6 + 1, 1e6));
        b = _bid(o, node);
        b.readyWithinSeconds = 601;
        _matchReverts(payer.addr, o, b, abi.encodeWithSelector(IJobEvents.JobMarket_ReadyTooLate.selector, 601, 600));
    }

    function test_RevertWhen_TheBidIsAboveTheNodesListPrice() public {
        vm.prank(owner);
        registry.setListPrice(node, 3_599_999);
        Order memory o = _order();
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_PriceAboveListPrice.selector, 3_600_000, 3_599_999));
    }

    function test_RevertWhen_TheNodeNeverSetAListPrice() public {
        vm.prank(owner);
        uint256 fresh = registry.register(operator.addr, keccak256("hardware"), "RTX 4090");
        Order memory o = _order();
        _matchReverts(payer.addr, o, _bid(o, fresh), abi.encodeWithSelector(IJobEvents.JobMarket_PriceAboveListPrice.selector, 3_600_000, 0));
    }

    function test_RevertWhen_TheTokenIsNotListed() public {
        vm.prank(governance);
        cloud.setListing(address(usdc), 0, USDC_T0_CAP);
        Order memory o = _order();
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_TokenNotListed.selector, address(usdc)));
    }

    function test_RevertWhen_TheTierIsTooLow() public {
        Order memory o = _order();
        o.minTier = 1;
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_TierTooLow.selector, 0, 1));
    }

    function test_RevertWhen_TheEscrowIsAboveTheT0Cap() public {
        Order memory o = _order();
        o.maxCost = USDC_T0_CAP + 1;
        _matchReverts(
            payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_EscrowAboveT0Cap.selector, USDC_T0_CAP + 1, USDC_T0_CAP)
        );
        o = _order();
        o.maxCost = USDC_T0_CAP;
        _matchOrder(o);
    }

    function test_RevertWhen_CreditsAreTooLow() public {
        uint256 left = cloud.credits(payer.addr, address(usdc)) - (ESCROW - 1);
        vm.prank(payer.addr);
        cloud.withdraw(address(usdc), left, payer.addr);
        Order memory o = _order();
        _matchReverts(
            payer.addr,
            o,
            _bid(o, node),
            abi.encodeWithSelector(ICloudWallet.CloudWallet_CreditsTooLow.selector, payer.addr, address(usdc), ESCROW - 1, ESCROW)
        );
    }

    function test_RevertWhen_TheNodeDrainsAndNotAfterItResumes() public {
        vm.prank(owner);
        registry.drain(node);
        Order memory o = _order();
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotMatchable.selector, node, true, false));
        vm.prank(owner);
        registry.resume(node);
        _matchOrder(o);
    }

    function test_RevertWhen_TheBidIsSignedByAFormerOperator() public {
        vm.prank(owner);
        registry.setUser(node, other.addr, type(uint64).max);
        Order memory o = _order();
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, other.addr));
    }

    function test_RevertWhen_TheOperatorsTimeIsOver() public {
        vm.prank(owner);
        registry.setUser(node, operator.addr, uint64(block.timestamp - 1));
        Order memory o = _order();
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, address(0)));
    }

    function test_PayeeAndOperatorStayInTheTermsWhenTheOwnerChangesThem() public {
        _match();
        vm.startPrank(owner);
        registry.setPayee(node, stranger);
        registry.setUser(node, other.addr, type(uint64).max);
        vm.stopPrank();
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.Completed));
        assertEq(cloud.credits(stranger, address(usdc)), 0);
        assertEq(cloud.credits(owner, address(usdc)), settlement.nodePart);
        _match2(other);
        assertEq(terms.payee, stranger);
    }

    // --------------------------------------------------------------------------------------------------------------------------- cancelOrder

    function test_ACancelledOrderCannotBeMatched() public {
        Order memory o = _order();
        vm.prank(payer.addr);
        cloud.cancelOrder(o);
        bytes32 id = cloud.jobIdOf(o);
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, id, JobState.Cancelled));
    }

    function test_RevertWhen_AMatchedOrderIsCancelled() public {
        _match();
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Matched));
        vm.prank(payer.addr);
        cloud.cancelOrder(order);
    }

    function test_RevertWhen_SomebodyElseCancels() public {
        Order memory o = _order();
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, signer.addr));
        vm.prank(signer.addr);
        cloud.cancelOrder(o);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- rematch

    function test_RematchGivesWhatIsLeftToAnotherOwnersNode() public {
        uint256 second = _interruptedByHardwareFault();
        uint128 left = ESCROW - 60_000; // 60 s at a base unit per millisecond
        _rematchOn(second, other);
        _assertState(JobState.Matched);
        assertEq(terms.escrow, left);
        assertEq(terms.operator, other.addr);
        assertEq(TermsLimits.maxSeconds(terms.limits), 7200 - 60);
        assertEq(TermsLimits.attempt(terms.limits), 2);
        assertEq(progress.value, 0);
        assertEq(progress.earlierOwner1, owner);
    }

    function test_RevertWhen_TheSameOwnersNodeRematches() public {
        _interruptedByHardwareFault();
        uint256 sibling = _register(owner, other.addr);
        _rematchReverts(signer.addr, sibling, other, abi.encodeWithSelector(IJobEvents.JobMarket_OwnerHadAttempt.selector, owner));
    }

    function test_RevertWhen_RematchComesAfterAnHour() public {
        uint256 second = _interruptedByHardwareFault();
        uint256 deadline = block.timestamp + 1 hours;
        vm.warp(deadline);
        _rematchReverts(signer.addr, second, other, abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
        vm.warp(deadline - 1);
        _rematchOn(second, other);
    }

    function test_RevertWhen_AStrangerRematches() public {
        uint256 second = _interruptedByHardwareFault();
        _rematchReverts(stranger, second, other, abi.encodeWithSelector(IJobEvents.JobMarket_NotAllowed.selector, stranger));
    }

    function test_AnyoneRematchesAClaimableOrder() public {
        Order memory o = _order();
        o.claimable = true;
        _matchOrder(o);
        uint256 second = _interrupt();
        Bid memory b = _bid(order, second);
        bytes memory sig = _sign(other, hashes.hashBid(b));
        vm.prank(stranger);
        cloud.rematch(order, terms, progress, b, sig);
        _sync();
        _assertState(JobState.Matched);
    }

    function test_RevertWhen_AJobThatRunsIsRematched() public {
        _match();
        uint256 second = _register(stranger, other.addr);
        _rematchReverts(signer.addr, second, other, abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.Matched));
    }

    function test_FourAttemptsAreTheLastAndEarlierOwnersStayExcluded() public {
        Order memory o = _order();
        o.maxAttempts = 4;
        _matchOrder(o);
        Vm.Wallet memory by = operator;
        for (uint256 i = 1; i < 4; ++i) {
            _interruptBy(by);
            for (uint256 j = 0; j < i; ++j) {
                address had = j == 0 ? owner : makeAddr(string.concat("owner ", vm.toString(j)));
                Vm.Wallet memory key = vm.createWallet(string.concat("sibling ", vm.toString(i), vm.toString(j)));
                uint256 sibling = _register(had, key.addr);
                _rematchReverts(signer.addr, sibling, key, abi.encodeWithSelector(IJobEvents.JobMarket_OwnerHadAttempt.selector, had));
            }
            by = vm.createWallet(string.concat("operator ", vm.toString(i)));
            _rematchOn(_register(makeAddr(string.concat("owner ", vm.toString(i))), by.addr), by);
        }
        assertEq(TermsLimits.attempt(terms.limits), 4);
        assertEq(progress.earlierOwner1, owner);
        assertEq(progress.earlierOwner2, makeAddr("owner 1"));
        assertEq(progress.earlierOwner3, makeAddr("owner 2"));
        _interruptBy(by);
        _assertState(JobState.Settled);
        assertEq(partsPaid + refunded, ESCROW);
    }

    // -------------------------------------------------------------------------------------------------------------------------------- extend

    function test_ExtendAddsEscrowAndTime() public {
        _match();
        uint256 before = cloud.credits(payer.addr, address(usdc));
        _extend(Extend(jobId, 1, 1e6, 100, 1), payer, "");
        assertEq(terms.escrow, ESCROW + 1e6);
        assertEq(TermsLimits.maxSeconds(terms.limits), 7300);
        assertEq(cloud.credits(payer.addr, address(usdc)), before - 1e6);
    }

    function test_RevertWhen_AnExtensionIsUsedTwice() public {
        _match();
        Extend memory ext = Extend(jobId, 1, 1e5, 100, 1);
        _extend(ext, payer, "");
        _extend(ext, payer, abi.encodeWithSelector(IJobEvents.JobMarket_ExtensionUsed.selector, _digest(hashes.hashExtend(ext))));
        ext.salt = 2;
        _extend(ext, payer, "");
        assertEq(terms.escrow, ESCROW + 2e5);
    }

    function test_RevertWhen_TheSignerExtends() public {
        _match();
        _extend(Extend(jobId, 1, 1e6, 100, 1), signer, abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, payer.addr));
    }

    function test_RevertWhen_TheOperatorDidNotAgreeToExtend() public {
        _match();
        Extend memory ext = Extend(jobId, 1, 1e6, 100, 1);
        bytes memory payerSig = _sign(payer, hashes.hashExtend(ext));
        bytes memory operatorSig = _sign(other, hashes.hashExtend(ext));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, operator.addr));
        cloud.extend(terms, progress, ext, payerSig, operatorSig);
    }

    function test_RevertWhen_AnExtensionPassesThirtyDaysOrTheT0Cap() public {
        _match();
        _extend(
            Extend(jobId, 1, 0, 30 days - 7200 + 1, 1),
            payer,
            abi.encodeWithSelector(IJobEvents.JobMarket_OutOfRange.selector, bytes32("maxSeconds"), 30 days + 1, 1, 30 days)
        );
        _extend(
            Extend(jobId, 1, USDC_T0_CAP - ESCROW + 1, 0, 1),
            payer,
            abi.encodeWithSelector(IJobEvents.JobMarket_EscrowAboveT0Cap.selector, USDC_T0_CAP + 1, USDC_T0_CAP)
        );
    }

    function test_RevertWhen_AnExtensionIsOfAnEarlierAttempt() public {
        _match();
        Extend memory ext = Extend(jobId, 1, 1e5, 100, 1);
        // The same operator key runs a node of another owner, which has the second attempt.
        uint256 second = _register(makeAddr("second owner"), operator.addr);
        _interrupt();
        _rematchOn(second, operator);
        _extend(ext, payer, abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, jobId, 1));
        ext.attempt = 2;
        _extend(ext, payer, "");
    }

    function test_RevertWhen_AnExtensionAfterARematchPassesTheBudgetsPerJobInAll() public {
        uint256 budget = _budget(0, payer.addr, budgetKey.addr, 20e6, 5e6);
        Order memory o = _order();
        o.budget = budget;
        _matchAs(budgetKey.addr, o, "");
        _rematchOn(_interrupt(), other);
        bytes memory tooMuch = abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetPerJobTooLow.selector, budget, 5e6, 5e6 + 1);
        _extendBy(Extend(jobId, 2, 5e6 - ESCROW + 1, 0, 1), payer, other, tooMuch);
        _extendBy(Extend(jobId, 2, 5e6 - ESCROW, 0, 2), payer, other, "");
        _extendBy(Extend(jobId, 2, 1, 0, 3), payer, other, tooMuch);
    }

    function test_RevertWhen_ExtensionsPassThirtyDaysOverAllAttempts() public {
        Order memory o = _order();
        o.maxSeconds = 30 days - 100;
        _matchOrder(o);
        Vm.Wallet memory third = vm.createWallet("third operator");
        _rematchOn(_interrupt(), other);
        _interruptBy(other);
        _rematchOn(_register(makeAddr("third owner"), third.addr), third);
        assertEq(TermsLimits.maxSeconds(terms.limits), 30 days - 100 - 120);
        _extendBy(
            Extend(jobId, 3, 0, 101, 1),
            payer,
            third,
            abi.encodeWithSelector(IJobEvents.JobMarket_OutOfRange.selector, bytes32("maxSeconds"), 30 days + 1, 1, 30 days)
        );
        _extendBy(Extend(jobId, 3, 0, 100, 2), payer, third, "");
    }

    function test_RevertWhen_AnExtensionComesAfterTheLastDeadline() public {
        _match();
        uint256 deadline = block.timestamp + 300 + 2 * 7200 + 1 days;
        vm.warp(deadline);
        _extend(Extend(jobId, 1, 1, 1, 1), payer, abi.encodeWithSelector(IJobEvents.JobMarket_DeadlinePassed.selector, deadline));
    }

    // ------------------------------------------------------------------------------------------------------------------------------- budgets

    function test_RevertWhen_NeitherPayerNorBudgetKeySignedTheOrder() public {
        Order memory o = _order();
        o.budget = _budget(0, payer.addr, budgetKey.addr, 10e6, 5e6);
        Bid memory b = _bid(o, node);
        bytes memory bidSig = _sign(operator, hashes.hashBid(b));
        bytes memory orderSig = _sign(signer, hashes.hashOrder(o));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, payer.addr));
        vm.prank(signer.addr);
        cloud.matchOrder(o, orderSig, b, bidSig);
    }

    function test_ABudgetKeySignsAndSendsOrdersForItsPayer() public {
        uint256 budget = _budget(0, payer.addr, budgetKey.addr, 10e6, 5e6);
        Order memory o = _order();
        o.budget = budget;
        _matchAs(signer.addr, o, _sign(budgetKey, hashes.hashOrder(o)));
        o = _order();
        o.budget = budget;
        _matchAs(budgetKey.addr, o, "");
        assertEq(cloud.budgetOf(budget).left, 10e6 - 2 * ESCROW);
    }

    function test_SpendingDebitsEveryAncestorAndRefundsGiveBack() public {
        uint256 one = _budget(0, payer.addr, makeAddr("one"), 20e6, 5e6);
        uint256 two = _budget(one, makeAddr("one"), makeAddr("two"), 15e6, 5e6);
        uint256 three = _budget(two, makeAddr("two"), makeAddr("three"), 10e6, 5e6);
        uint256 four = _budget(three, makeAddr("three"), budgetKey.addr, 8e6, 5e6);
        Order memory o = _order();
        o.budget = four;
        _matchAs(budgetKey.addr, o, "");
        assertEq(cloud.budgetOf(one).left, 20e6 - ESCROW);
        assertEq(cloud.budgetOf(four).left, 8e6 - ESCROW);
        vm.prank(payer.addr);
        cloud.revokeBudget(two);
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.Completed));
        assertEq(cloud.budgetOf(one).left, 20e6 - 60_000);
        assertEq(cloud.budgetOf(two).left, 15e6 - 60_000);
        assertEq(cloud.budgetOf(three).left, 10e6 - 60_000);
        assertEq(cloud.budgetOf(four).left, 8e6 - 60_000);
    }

    function test_RevertWhen_ABudgetIsTooSmallAtAnyLevel() public {
        uint256 parent = _budget(0, payer.addr, makeAddr("parent"), 6e6, 5e6);
        uint256 child = _budget(parent, payer.addr, budgetKey.addr, 6e6, 5e6);
        Order memory o = _order();
        o.budget = parent;
        _matchOrder(o);
        o = _order();
        o.budget = child;
        _matchReverts(
            budgetKey.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetTooLow.selector, parent, 6e6 - ESCROW, ESCROW)
        );
    }

    function test_ABudgetMayBeSpentToZeroAtEveryLevel() public {
        uint256 parent = _budget(0, payer.addr, makeAddr("parent"), 2 * ESCROW, ESCROW);
        uint256 child = _budget(parent, payer.addr, budgetKey.addr, ESCROW, ESCROW);
        Order memory o = _order();
        o.budget = child;
        _matchAs(budgetKey.addr, o, "");
        assertEq(cloud.budgetOf(child).left, 0);
        assertEq(cloud.budgetOf(parent).left, ESCROW);
        o = _order();
        o.budget = parent;
        _matchOrder(o);
        assertEq(cloud.budgetOf(parent).left, 0);
        o = _order();
        o.budget = parent;
        _matchReverts(payer.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetTooLow.selector, parent, 0, ESCROW));
    }

    function test_RevertWhen_AJobIsAboveTheBudgetsPerJob() public {
        uint256 budget = _budget(0, payer.addr, budgetKey.addr, 10e6, ESCROW - 1);
        Order memory o = _order();
        o.budget = budget;
        _matchReverts(
            budgetKey.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetPerJobTooLow.selector, budget, ESCROW - 1, ESCROW)
        );
    }

    function test_RevertWhen_TheParentWasRevokedOrHasExpired() public {
        uint256 parent = _budget(0, payer.addr, makeAddr("parent"), 10e6, 5e6);
        uint256 child = _budget(parent, payer.addr, budgetKey.addr, 10e6, 5e6);
        uint256 lasting = _budget(0, payer.addr, budgetKey.addr, 10e6, 5e6);
        vm.prank(payer.addr);
        cloud.revokeBudget(parent);
        Order memory o = _order();
        o.budget = child;
        _matchReverts(budgetKey.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetIsRevoked.selector, parent));
        uint256 expiresAt = block.timestamp + 1 days;
        vm.warp(expiresAt);
        o = _order();
        o.budget = lasting;
        _matchReverts(
            budgetKey.addr, o, _bid(o, node), abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetHasExpired.selector, lasting, expiresAt)
        );
    }

    function test_RevertWhen_AnAttackersOwnBudgetNamesAVictimAsPayer() public {
        vm.prank(stranger);
        uint256 budget = cloud.openBudget(0, stranger, address(usdc), 10e6, 10e6, uint40(block.timestamp + 1 days));
        Order memory o = _order();
        o.budget = budget;
        o.signer = stranger;
        _matchReverts(stranger, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, payer.addr));
        o.claimable = true;
        _matchReverts(stranger, o, _bid(o, node), abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, payer.addr));
    }

    function test_RevertWhen_ABudgetIsOfAnotherToken() public {
        Order memory o = _order();
        o.budget = _budget(0, payer.addr, budgetKey.addr, 10e6, 5e6);
        o.token = address(open);
        bytes memory err = abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetMismatch.selector, o.budget, payer.addr, address(open));
        _matchReverts(budgetKey.addr, o, _bid(o, node), err);
    }

    function test_RevertWhen_TheKeyOfAnothersBudgetSignsForThePayer() public {
        vm.prank(other.addr);
        uint256 budget = cloud.openBudget(0, other.addr, address(usdc), 10e6, 10e6, uint40(block.timestamp + 1 days));
        Order memory o = _order();
        o.budget = budget;
        Bid memory b = _bid(o, node);
        bytes memory orderSig = _sign(other, hashes.hashOrder(o));
        bytes memory bidSig = _sign(operator, hashes.hashBid(b));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, payer.addr));
        vm.prank(signer.addr);
        cloud.matchOrder(o, orderSig, b, bidSig);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- helpers

    function _matchAs(address sender, Order memory o, bytes memory orderSig) private {
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.prank(sender);
        jobId = cloud.matchOrder(o, orderSig, b, sig);
        order = o;
        _sync();
    }

    function _match2(Vm.Wallet memory by) private {
        _matchOn(_order(), node, by);
    }

    function _matchReverts(address sender, Order memory o, Bid memory b, bytes memory err) private {
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.expectRevert(err);
        vm.prank(sender);
        cloud.matchOrder(o, "", b, sig);
    }

    function _interruptedByHardwareFault() private returns (uint256) {
        _match();
        return _interrupt();
    }

    /// @dev Interrupts the current attempt after 60 billed seconds; a node of another owner that could take over.
    function _interrupt() private returns (uint256 second) {
        _interruptBy(operator);
        _assertState(JobState.Interrupted);
        second = _register(stranger, other.addr);
        vm.getRecordedLogs();
    }

    function _interruptBy(Vm.Wallet memory by) private {
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.HardwareFault);
        bytes memory signerSig = _signApprove(signer, r, 0);
        vm.prank(by.addr);
        cloud.settle(terms, progress, r, "", 0, signerSig);
        _sync();
    }

    function _rematchReverts(address sender, uint256 id, Vm.Wallet memory by, bytes memory err) private {
        Bid memory b = _bid(order, id);
        bytes memory sig = _sign(by, hashes.hashBid(b));
        vm.expectRevert(err);
        vm.prank(sender);
        cloud.rematch(order, terms, progress, b, sig);
    }

    /// @dev Sends an extension as a stranger with both signatures; an empty error means it must work.
    function _extend(Extend memory ext, Vm.Wallet memory by, bytes memory err) private {
        _extendBy(ext, by, operator, err);
    }

    function _extendBy(Extend memory ext, Vm.Wallet memory by, Vm.Wallet memory agreedBy, bytes memory err) private {
        bytes memory payerSig = _sign(by, hashes.hashExtend(ext));
        bytes memory operatorSig = _sign(agreedBy, hashes.hashExtend(ext));
        if (err.length != 0) vm.expectRevert(err);
        vm.prank(stranger);
        cloud.extend(terms, progress, ext, payerSig, operatorSig);
        if (err.length == 0) _sync();
    }

    function _budget(uint256 parent, address by, address key, uint128 cap, uint128 perJob) private returns (uint256) {
        vm.prank(by);
        return cloud.openBudget(parent, key, address(usdc), cap, perJob, uint40(block.timestamp + 1 days));
    }
}
