// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";
import {console} from "forge-std/console.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {JobState} from "../../src/libraries/JobTerms.sol";
import {Actors} from "./Actors.sol";
import {Attacks} from "./Attacks.sol";
import {Handlers} from "./Handlers.sol";
import {JobHandlers} from "./JobHandlers.sol";
import {World} from "./World.sol";

/// @title What holds after every call, whoever made it
/// @notice The list as mathematics is in README.md, in the same order. Sums are over {Actors}' accounts, jobs, weeks and nodes.
contract InvariantsTest is Test {
    Actors internal actors;

    function setUp() public {
        actors = new Actors();
        actors.build();
        bytes4[] memory handlers = new bytes4[](35);
        handlers[0] = Handlers.deposit.selector;
        handlers[1] = Handlers.depositWithPermit.selector;
        handlers[2] = Handlers.withdraw.selector;
        handlers[3] = Handlers.donate.selector;
        handlers[4] = Handlers.openBudget.selector;
        handlers[5] = Handlers.openChild.selector;
        handlers[6] = Handlers.revokeBudget.selector;
        handlers[7] = Handlers.pullRevenue.selector;
        handlers[8] = Handlers.govern.selector;
        handlers[9] = Handlers.bond.selector;
        handlers[10] = Handlers.unbond.selector;
        handlers[11] = Handlers.setListPrice.selector;
        handlers[12] = Handlers.configureNode.selector;
        handlers[13] = Handlers.transferNode.selector;
        handlers[14] = JobHandlers.matchOrder.selector;
        handlers[15] = JobHandlers.cancelOrder.selector;
        handlers[16] = JobHandlers.extend.selector;
        handlers[17] = JobHandlers.collect.selector;
        handlers[18] = JobHandlers.settle.selector;
        handlers[19] = JobHandlers.submit.selector;
        handlers[20] = JobHandlers.finalize.selector;
        handlers[21] = JobHandlers.reportFault.selector;
        handlers[22] = JobHandlers.answerFault.selector;
        handlers[23] = JobHandlers.contest.selector;
        handlers[24] = JobHandlers.resolveFault.selector;
        handlers[25] = JobHandlers.rematch.selector;
        handlers[26] = JobHandlers.close.selector;
        handlers[27] = JobHandlers.expire.selector;
        handlers[28] = Attacks.replay.selector;
        handlers[29] = Attacks.repeatAtOnce.selector;
        handlers[30] = Attacks.forge_.selector;
        handlers[31] = Attacks.trespass.selector;
        handlers[32] = Attacks.mistime.selector;
        handlers[33] = Attacks.tamper.selector;
        handlers[34] = Attacks.oddTokens.selector;
        targetContract(address(actors));
        targetSelector(FuzzSelector(address(actors), handlers));
        bytes4[] memory more = new bytes4[](2);
        more[0] = Attacks.blockAccount.selector;
        more[1] = Attacks.oddWallets.selector;
        targetSelector(FuzzSelector(address(actors), more));
    }

    /// @dev At the end of every run: all rules once more, then everybody leaves and nothing is left behind but what was sent in without a call.
    function afterInvariant() public {
        vm.warp(actors.clock());
        _print();
        _tell();
        assertEq(actors.brokenRules(), "", "rules broke on the way");
        checkAll();
        actors.leave();
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            assertEq(actors.lockedInBooks(token), 0, "still locked");
            assertEq(IERC20(token).balanceOf(address(actors.cloud())), actors.donated(token), "left in Cloudverse");
        }
        address open = actors.tokens(1);
        assertEq(IERC20(open).balanceOf(address(actors.registry())), actors.donatedToRegistry(), "left in NodeRegistry");
    }

    function checkAll() public {
        invariant_01_Solvency();
        invariant_02_CreditsAreWhatEventsSay();
        invariant_03_LockedIsWhatJobsHold();
        invariant_04_NoJobPaysFromAnothersLock();
        invariant_05_RevenueIsWhatPartsSay();
        invariant_06_SlotIsTheHashOfTheEvents();
        invariant_07_ClosedJobsBalance();
        invariant_08_BudgetsSpendWithinTheirCap();
        invariant_09_BudgetTree();
        invariant_10_BondConservation();
        invariant_11_OpenAttemptsOfNodes();
        invariant_12_RecordsAddUp();
        invariant_13_CancelledStaysCancelled();
    }

    // ------------------------------------------------------------------------------------------------------------------ states, after each call

    function invariant_01_Solvency() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            uint256 owed = actors.lockedInBooks(token) + actors.donated(token);
            for (uint256 i = 0; i < actors.accountCount(); ++i) {
                owed += actors.cloud().credits(actors.accounts(i), token);
            }
            (uint256 stakers, uint256 treasury) = actors.revenueLeft(token);
            assertEq(IERC20(token).balanceOf(address(actors.cloud())), owed + stakers + treasury, "balance is not what is owed");
        }
    }

    function invariant_02_CreditsAreWhatEventsSay() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            for (uint256 i = 0; i < actors.accountCount(); ++i) {
                address who = actors.accounts(i);
                assertEq(actors.cloud().credits(who, token), actors.creditsInBooks(who, token), "credits");
            }
        }
    }

    function invariant_03_LockedIsWhatJobsHold() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            uint256 sum;
            for (uint256 i = 0; i < actors.openCount(); ++i) {
                uint256 index = actors.openIndex(i);
                if (actors.jobAt(index).terms.token == actors.tokens(t)) sum += actors.escrowLeft(index);
            }
            assertEq(actors.lockedInBooks(actors.tokens(t)), sum, "locked");
        }
    }

    function invariant_04_NoJobPaysFromAnothersLock() public view {
        for (uint256 i = 0; i < actors.openCount(); ++i) {
            World.Job memory job = actors.jobAt(actors.openIndex(i));
            assertLe(job.paid + job.refunded, job.locked, "paid more than its lock");
            assertEq(actors.escrowLeft(actors.openIndex(i)), job.locked - job.paid - job.refunded, "terms and lock differ");
        }
    }

    function invariant_05_RevenueIsWhatPartsSay() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            (uint256 stakers, uint256 treasury) = actors.revenueLeft(token);
            assertEq(stakers + actors.stakersPulled(token), actors.stakersBooked(token), "stakers");
            assertEq(treasury + actors.treasuryPulled(token), actors.treasuryBooked(token), "treasury");
        }
    }

    function invariant_06_SlotIsTheHashOfTheEvents() public view {
        for (uint256 i = 0; i < actors.openCount(); ++i) {
            World.Job memory job = actors.jobAt(actors.openIndex(i));
            (JobState state, uint8 attempt,, bytes24 hash) = actors.cloud().jobOf(job.id);
            assertEq(uint256(state), uint256(job.state), "state");
            assertEq(attempt, job.attempt, "attempt");
            assertEq(hash, actors.cloud().hashTerms(job.terms, job.progress), "hash");
            assertLe(attempt, job.order.maxAttempts, "attempts");
        }
    }

    function invariant_07_ClosedJobsBalance() public view {
        for (uint256 i = actors.jobCount(); i != 0 && i + 12 > actors.jobCount(); --i) {
            World.Job memory job = actors.jobAt(i - 1);
            if (job.state != JobState.Settled) continue;
            (JobState state,,, bytes24 hash) = actors.cloud().jobOf(job.id);
            assertEq(uint256(state), uint256(JobState.Settled), "reopened");
            assertEq(hash, actors.cloud().hashTerms(job.terms, job.progress), "hash of a closed job");
            assertEq(job.paid + job.refunded, job.locked, "paid + refunded = locked");
        }
    }

    function invariant_08_BudgetsSpendWithinTheirCap() public view {
        for (uint256 id = actors.budgetCount(); id != 0 && id + 24 > actors.budgetCount(); --id) {
            ICloudWallet.Budget memory b = actors.cloud().budgetOf(id);
            assertLe(actors.budgetSpent(id), b.cap, "spent above cap");
            assertEq(b.left, b.cap - actors.budgetSpent(id), "left");
        }
    }

    function invariant_09_BudgetTree() public view {
        for (uint256 id = actors.budgetCount(); id != 0 && id + 24 > actors.budgetCount(); --id) {
            ICloudWallet.Budget memory b = actors.cloud().budgetOf(id);
            assertLe(b.depth, 4, "depth");
            if (b.parent == 0) {
                assertEq(b.depth, 1, "root depth");
                continue;
            }
            ICloudWallet.Budget memory above = actors.cloud().budgetOf(b.parent);
            assertLt(b.parent, id, "cycle");
            assertEq(b.depth, above.depth + 1, "child depth");
            assertTrue(b.payer == above.payer && b.token == above.token, "another payer or token");
            assertTrue(b.cap <= above.cap && b.perJob <= above.perJob && b.expiresAt <= above.expiresAt, "more than its parent");
        }
    }

    function invariant_10_BondConservation() public view {
        uint256 sum = actors.donatedToRegistry();
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            INodeRegistry.Node memory n = actors.registry().nodeOf(node);
            assertEq(n.bond, actors.bondInBooks(node), "bond");
            assertLe(n.reserved, n.bond, "reserved above bond");
            sum += n.bond;
        }
        assertEq(IERC20(actors.tokens(1)).balanceOf(address(actors.registry())), sum, "OPEN of the registry");
    }

    function invariant_11_OpenAttemptsOfNodes() public view {
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            INodeRegistry.Stats memory s = actors.registry().statsOf(node);
            assertEq(uint256(s.opened) - s.closed, actors.openOn(node), "open attempts");
        }
    }

    function invariant_12_RecordsAddUp() public view {
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            INodeRegistry.Stats memory s = actors.registry().statsOf(node);
            assertLe(uint256(s.successes) + s.fails + s.neutrals, s.closed, "more endings than closed");
            assertLe(s.counted, s.successes, "counted without success");
            assertGe(s.earnedUsdMicros, uint256(s.counted) * 1e6, "counted below a dollar");
        }
    }

    function invariant_13_CancelledStaysCancelled() public view {
        uint256 count = actors.cancelledCount();
        for (uint256 i = count; i != 0 && i + 8 > count; --i) {
            (JobState state,,, bytes24 hash) = actors.cloud().jobOf(actors.cancelledId(i - 1));
            assertTrue(state == JobState.Cancelled && hash == 0, "a cancelled order came to life");
        }
    }

    // ----------------------------------------------------------------------------------------------------- steps, checked as each one is made

    function invariant_14_PartsSumToPaid() public view {
        _unbroken("partsSumToPaid");
    }

    function invariant_15_StakersGetTheirShare() public view {
        _unbroken("stakersGetTheirShare");
    }

    function invariant_16_PaidAsTheRefundTableSays() public view {
        _unbroken("paidAsTheTableSays");
        _unbroken("interruptedRefundsNothing");
        _unbroken("rematchHasWhatIsLeft");
        _unbroken("paidPlusRefundedIsLocked");
    }

    function invariant_17_NeverAboveEscrowOrTheHighestSigned() public view {
        _unbroken("neverAboveTheEscrow");
        _unbroken("neverAboveTheHighestSigned");
    }

    function invariant_18_CollectedNeverFalls() public view {
        _unbroken("collectedNeverFalls");
    }

    function invariant_19_StatesMoveAlongTheTable() public view {
        _unbroken("statesMoveAlongTheTable");
        _unbroken("answerEndsTheReport");
        _unbroken("attemptsWithinTheOrder");
        _unbroken("matchIsAcceptedExactlyWhenListed");
    }

    function invariant_20_UsageWithinItsTime() public view {
        _unbroken("usageWithinTheAttempt");
        _unbroken("usageWithinMaxSeconds");
    }

    function invariant_21_EventsSayOnlyWhatWasSigned() public view {
        _unbroken("egressWasSigned");
        _unbroken("noneIsEmpty");
    }

    function invariant_22_BudgetPerJob() public view {
        _unbroken("budgetPerJob");
    }

    function invariant_23_StoppedBudgetsSpendNothing() public view {
        _unbroken("stoppedBudgetsSpendNothing");
    }

    function invariant_24_MakeGoodWithinOnePercentADay() public view {
        _unbroken("makeGoodWithinOnePercentADay");
        _unbroken("makeGoodWithinAskedAndBond");
    }

    function invariant_25_NoOwnerTwice() public view {
        _unbroken("noOwnerTwice");
    }

    function invariant_26_TransferOnlyWithoutJobs() public view {
        _unbroken("noTransferWhileJobsAreOpen");
        _unbroken("transferMovesTheBondAndClearsTheRest");
    }

    function invariant_27_RaisingAListPriceTakesADay() public view {
        _unbroken("raisingAListPriceTakesADay");
    }

    function invariant_28_ReplayRefused() public view {
        _unbroken("replayRefused");
    }

    function invariant_29_SettleIsIdempotent() public view {
        _unbroken("settleIsIdempotent");
    }

    function invariant_30_ForgeriesRefused() public view {
        _unbroken("forgedSignatureRefused");
        _unbroken("tamperedTermsRefused");
    }

    function invariant_31_StrangersRefused() public view {
        _unbroken("strangersRefused");
    }

    function invariant_32_DeadlinesHold() public view {
        _unbroken("deadlinesHold");
    }

    function invariant_33_OddTokensAndWalletsRefused() public view {
        _unbroken("inexactTokensGiveNoCredits");
        _unbroken("reentrancyRefused");
        _unbroken("blockedTransferKeepsCredits");
        _unbroken("oddWalletsRefused");
    }

    /// @dev From the state just reached one open job is ended by a stranger's pokes alone, each at its deadline; then it is as if nothing happened.
    function invariant_34_EveryStateHasAnExit() public {
        uint256 open = actors.openCount();
        if (open == 0) return;
        uint256 snapshot = vm.snapshotState();
        bool isOut = actors.exitJob(actors.openIndex(actors.clock() % open));
        require(vm.revertToStateAndDelete(snapshot), "snapshot");
        assertTrue(isOut, "a job has no exit");
    }

    function _unbroken(string memory rule) private view {
        assertEq(actors.broken(rule), 0, rule);
    }

    // ---------------------------------------------------------------------------------------------------------------------------- what was done

    function _print() private view {
        if (!vm.envOr("OPENGPU_INVARIANT_TABLE", false)) return;
        for (uint256 i = 0; i < actors.nameCount(); ++i) {
            (string memory name, uint256 ok, uint256 bad, bytes memory error) = actors.nameAt(i);
            console.log(string.concat("  ", name, ": ", vm.toString(ok), " done, ", vm.toString(bad), " reverted"));
            if (bad != 0) console.logBytes(error);
        }
    }

    /// @dev One line for each name, for `tools/invariants` to add up over all campaigns.
    function _tell() private {
        if (!vm.envOr("OPENGPU_INVARIANT_TELL", false)) return;
        string memory text = "";
        for (uint256 i = 0; i < actors.nameCount(); ++i) {
            (string memory name, uint256 ok, uint256 bad,) = actors.nameAt(i);
            text = string.concat(text, name, "\t", vm.toString(ok), "\t", vm.toString(bad), "\n");
        }
        vm.writeFile(string.concat("cache/invariants/", vm.toString(keccak256(bytes(text))), ".tsv"), text);
    }
}
