// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";
import {console} from "forge-std/console.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {JobState} from "../../src/libraries/JobTerms.sol";
import {Actors} from "./Actors.sol";
import {Attacks} from "./Attacks.sol";
import {BatchHandlers} from "./BatchHandlers.sol";
import {Handlers} from "./Handlers.sol";
import {IncentiveHandlers} from "./IncentiveHandlers.sol";
import {JobHandlers} from "./JobHandlers.sol";
import {StakerHandlers} from "./StakerHandlers.sol";
import {StakingBooks} from "./StakingBooks.sol";
import {World} from "./World.sol";

/// @title What holds after every call, whoever made it
/// @notice The list as mathematics is in README.md, in the same order. Sums are over {Actors}' accounts, jobs, weeks and nodes.
contract InvariantsTest is Test {
    Actors internal actors;

    function setUp() public {
        actors = new Actors();
        actors.build();
        actors.season();
        bytes4[] memory handlers = new bytes4[](44);
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
        handlers[35] = StakerHandlers.stake.selector;
        handlers[36] = StakerHandlers.extendStake.selector;
        handlers[37] = StakerHandlers.unstake.selector;
        handlers[38] = StakerHandlers.delegateVotes.selector;
        handlers[39] = StakerHandlers.claim.selector;
        handlers[40] = StakerHandlers.stakeAroundRoll.selector;
        handlers[41] = BatchHandlers.batch.selector;
        handlers[42] = Handlers.promote.selector;
        handlers[43] = IncentiveHandlers.payIncentives.selector;
        targetContract(address(actors));
        targetSelector(FuzzSelector(address(actors), handlers));
        bytes4[] memory more = new bytes4[](2);
        more[0] = Attacks.blockAccount.selector;
        more[1] = Attacks.oddWallets.selector;
        targetSelector(FuzzSelector(address(actors), more));
        // What few states allow is tried more often.
        bytes4[] memory rare = new bytes4[](10);
        rare[0] = JobHandlers.reportFault.selector;
        rare[1] = JobHandlers.reportFault.selector;
        rare[2] = JobHandlers.matchOrder.selector;
        rare[3] = JobHandlers.resolveFault.selector;
        rare[4] = JobHandlers.finalize.selector;
        rare[5] = JobHandlers.rematch.selector;
        rare[6] = StakerHandlers.extendStake.selector;
        rare[7] = Handlers.promote.selector;
        rare[8] = Handlers.promote.selector;
        rare[9] = JobHandlers.finalize.selector;
        targetSelector(FuzzSelector(address(actors), rare));
    }

    /// @dev At the end of every run: all rules once more, then everybody leaves and nothing is left behind but what was sent in without a call.
    function afterInvariant() public {
        vm.warp(actors.clock());
        _print();
        string memory table = _table();
        _stepsKeptTheirRules();
        checkAll();
        actors.leave();
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            assertEq(actors.lockedInBooks(token), 0, "still locked");
            assertEq(IERC20(token).balanceOf(address(actors.cloud())), actors.donated(token), "left in Cloudverse");
        }
        address open = actors.tokens(1);
        assertEq(IERC20(open).balanceOf(address(actors.registry())), actors.donatedToRegistry(), "left in NodeRegistry");
        assertEq(actors.stakedInBooks() + actors.weightInBooks(), 0, "left staked");
        rule_StakingHoldsWhatItOwes();
        _tell(table);
    }

    function checkAll() public {
        rule_Solvency();
        rule_CreditsAreWhatEventsSay();
        rule_LockedIsWhatJobsHold();
        rule_NoJobPaysFromAnothersLock();
        rule_RevenueIsWhatPartsSay();
        rule_SlotIsTheHashOfTheEvents();
        rule_ClosedJobsBalance();
        rule_BudgetsSpendWithinTheirCap();
        rule_BudgetTree();
        rule_BondConservation();
        rule_OpenAttemptsOfNodes();
        rule_RecordsAddUp();
        rule_CancelledStaysCancelled();
        rule_StakingHoldsWhatItOwes();
        rule_WeightsAreVotes();
        rule_PayerTierIsItsStakes();
        rule_TierIsLostWithWhatEarnedIt();
        rule_IncentivesPayWhatTheyWereGiven();
        uint256 snapshot = vm.snapshotState();
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            rule_SharesAreTimeWeighted(actors.tokens(t));
        }
        require(vm.revertToStateAndDelete(snapshot), "snapshot");
    }

    // ------------------------------------------------------------------------------------------------------------------------------- campaigns
    // Every call is checked by the handlers' own rules in every campaign; what costs more to check is divided among them, and the dearest of it is
    // checked after every 4th, 8th or 16th call: books and contract that once differ differ ever after.

    /// forge-config: default.invariant.check_interval = 16
    function invariant_Tokens() public view {
        _stepsKeptTheirRules();
        rule_Solvency();
        rule_CreditsAreWhatEventsSay();
        rule_RevenueIsWhatPartsSay();
    }

    /// forge-config: default.invariant.check_interval = 16
    function invariant_Jobs() public view {
        _stepsKeptTheirRules();
        rule_LockedIsWhatJobsHold();
        rule_NoJobPaysFromAnothersLock();
        rule_SlotIsTheHashOfTheEvents();
        rule_ClosedJobsBalance();
        rule_CancelledStaysCancelled();
    }

    /// forge-config: default.invariant.check_interval = 8
    function invariant_Budgets() public view {
        _stepsKeptTheirRules();
        rule_BudgetsSpendWithinTheirCap();
        rule_BudgetTree();
    }

    /// forge-config: default.invariant.check_interval = 4
    function invariant_Nodes() public view {
        _stepsKeptTheirRules();
        rule_BondConservation();
        rule_OpenAttemptsOfNodes();
        rule_RecordsAddUp();
        rule_TierIsLostWithWhatEarnedIt();
        rule_IncentivesPayWhatTheyWereGiven();
    }

    /// forge-config: default.invariant.check_interval = 4
    function invariant_Stakes() public view {
        _stepsKeptTheirRules();
        rule_StakingHoldsWhatItOwes();
        rule_WeightsAreVotes();
        rule_PayerTierIsItsStakes();
    }

    /// @dev One token at a time: asking what somebody earned rolls its weeks. What an invariant changes is not kept.
    function invariant_Shares() public {
        _stepsKeptTheirRules();
        rule_SharesAreTimeWeighted(actors.tokens(actors.clock() % actors.tokenCount()));
    }

    function invariant_Exits() public {
        _stepsKeptTheirRules();
        rule_EveryStateHasAnExit();
    }

    function invariant_Steps() public view {
        _stepsKeptTheirRules();
    }

    /// @dev Names all rules that broke.
    function _stepsKeptTheirRules() private view {
        assertEq(actors.brokenRules(), "", "rules broke on the way");
    }

    // ------------------------------------------------------------------------------------------------------------------ states, after each call

    function rule_Solvency() public view {
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

    function rule_CreditsAreWhatEventsSay() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            for (uint256 i = 0; i < actors.accountCount(); ++i) {
                address who = actors.accounts(i);
                assertEq(actors.cloud().credits(who, token), actors.creditsInBooks(who, token), "credits");
            }
        }
    }

    function rule_LockedIsWhatJobsHold() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            uint256 sum;
            for (uint256 i = 0; i < actors.openCount(); ++i) {
                uint256 index = actors.openIndex(i);
                if (actors.jobAt(index).terms.token == actors.tokens(t)) sum += actors.escrowLeft(index);
            }
            assertEq(actors.lockedInBooks(actors.tokens(t)), sum, "locked");
        }
    }

    function rule_NoJobPaysFromAnothersLock() public view {
        for (uint256 i = 0; i < actors.openCount(); ++i) {
            World.Job memory job = actors.jobAt(actors.openIndex(i));
            assertLe(job.paid + job.refunded, job.locked, "paid more than its lock");
            assertEq(actors.escrowLeft(actors.openIndex(i)), job.locked - job.paid - job.refunded, "terms and lock differ");
        }
    }

    function rule_RevenueIsWhatPartsSay() public view {
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            (uint256 stakers, uint256 treasury) = actors.revenueLeft(token);
            assertEq(stakers + actors.stakersPulled(token), actors.stakersBooked(token), "stakers");
            assertEq(treasury + actors.treasuryPulled(token), actors.treasuryBooked(token), "treasury");
        }
    }

    function rule_SlotIsTheHashOfTheEvents() public view {
        for (uint256 i = 0; i < actors.openCount(); ++i) {
            World.Job memory job = actors.jobAt(actors.openIndex(i));
            (JobState state, uint8 attempt,, bytes24 hash) = actors.cloud().jobOf(job.id);
            assertEq(uint256(state), uint256(job.state), "state");
            assertEq(attempt, job.attempt, "attempt");
            assertEq(hash, actors.cloud().hashTerms(job.terms, job.progress), "hash");
            assertLe(attempt, job.order.maxAttempts, "attempts");
        }
    }

    function rule_ClosedJobsBalance() public view {
        for (uint256 i = actors.jobCount(); i != 0 && i + 12 > actors.jobCount(); --i) {
            World.Job memory job = actors.jobAt(i - 1);
            if (job.state != JobState.Settled) continue;
            (JobState state,,, bytes24 hash) = actors.cloud().jobOf(job.id);
            assertEq(uint256(state), uint256(JobState.Settled), "reopened");
            assertEq(hash, actors.cloud().hashTerms(job.terms, job.progress), "hash of a closed job");
            assertEq(job.paid + job.refunded, job.locked, "paid + refunded = locked");
        }
    }

    function rule_BudgetsSpendWithinTheirCap() public view {
        for (uint256 id = actors.budgetCount(); id != 0 && id + 24 > actors.budgetCount(); --id) {
            ICloudWallet.Budget memory b = actors.cloud().budgetOf(id);
            assertLe(actors.budgetSpent(id), b.cap, "spent above cap");
            assertEq(b.left, b.cap - actors.budgetSpent(id), "left");
        }
    }

    function rule_BudgetTree() public view {
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

    function rule_BondConservation() public view {
        uint256 sum = actors.donatedToRegistry();
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            INodeRegistry.Node memory n = actors.registry().nodeOf(node);
            assertEq(n.bond, actors.bondInBooks(node), "bond");
            assertLe(n.reserved, n.bond, "reserved above bond");
            sum += n.bond;
        }
        assertEq(IERC20(actors.tokens(1)).balanceOf(address(actors.registry())), sum, "OPEN of the registry");
    }

    function rule_OpenAttemptsOfNodes() public view {
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            INodeRegistry.Stats memory s = actors.registry().statsOf(node);
            assertEq(uint256(s.opened) - s.closed, actors.openOn(node), "open attempts");
        }
    }

    function rule_RecordsAddUp() public view {
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            INodeRegistry.Stats memory s = actors.registry().statsOf(node);
            assertLe(uint256(s.successes) + s.fails + s.neutrals, s.closed, "more endings than closed");
            assertLe(s.counted, s.successes, "counted without success");
            assertGe(s.earnedUsdMicros, uint256(s.counted) * 1e6, "counted below a dollar");
        }
    }

    function rule_CancelledStaysCancelled() public view {
        uint256 count = actors.cancelledCount();
        for (uint256 i = count; i != 0 && i + 8 > count; --i) {
            (JobState state,,, bytes24 hash) = actors.cloud().jobOf(actors.cancelledId(i - 1));
            assertTrue(state == JobState.Cancelled && hash == 0, "a cancelled order came to life");
        }
    }

    /// @dev From the state just reached one open job is ended by a stranger's pokes alone, each at its deadline; then it is as if nothing happened.
    function rule_EveryStateHasAnExit() public {
        uint256 open = actors.openCount();
        if (open == 0) return;
        uint256 snapshot = vm.snapshotState();
        bool isOut = actors.exitJob(actors.openIndex(actors.clock() % open));
        require(vm.revertToStateAndDelete(snapshot), "snapshot");
        assertTrue(isOut, "a job has no exit");
    }

    // ------------------------------------------------------------------------------------------------------------------------------------ stakers

    function rule_StakingHoldsWhatItOwes() public view {
        IStaking staking = actors.staking();
        for (uint256 t = 0; t < actors.tokenCount(); ++t) {
            address token = actors.tokens(t);
            uint256 reserve = actors.stakersPulled(token) - actors.claimedTotal(token);
            uint256 sent = t == 1 ? 0 : actors.donatedToStaking(token);
            assertEq(staking.reserveOf(token), reserve + sent, "reserve");
            uint256 staked = t == 1 ? actors.stakedInBooks() : 0;
            assertEq(IERC20(token).balanceOf(address(staking)), staked + reserve + actors.donatedToStaking(token), "balance of Staking");
        }
    }

    function rule_WeightsAreVotes() public view {
        IStaking staking = actors.staking();
        uint256 weights;
        uint256 votes = IVotes(address(staking)).getVotes(actors.strangerAccount());
        assertEq(votes, actors.votesInBooks(actors.strangerAccount()), "votes of who staked nothing");
        for (uint256 i = 0; i < actors.stakingAccountCount(); ++i) {
            address who = actors.stakingAccounts(i);
            StakingBooks.Stake memory s = actors.stakeOf(who);
            (uint256 amount, uint256 weight, uint256 end) = staking.positionOf(who);
            assertTrue(amount == s.amount && weight == s.weight && end == s.end, "position");
            assertEq(IVotes(address(staking)).getVotes(who), actors.votesInBooks(who), "votes");
            weights += weight;
            votes += IVotes(address(staking)).getVotes(who);
        }
        assertEq(staking.totalWeight(), weights, "total weight");
        assertEq(votes, weights, "all votes");
    }

    function rule_PayerTierIsItsStakes() public view {
        for (uint256 i = 0; i < actors.stakingAccountCount(); ++i) {
            address who = actors.stakingAccounts(i);
            assertEq(actors.cloud().payerTierOf(who), actors.tierInBooks(who), "tier at Cloudverse");
            assertEq(actors.staking().tierOf(who), actors.tierInBooks(who), "tier at Staking");
        }
    }

    function rule_SharesAreTimeWeighted(address token) public {
        IStaking staking = actors.staking();
        staking.roll(token, 1000);
        uint256 owed;
        for (uint256 i = 0; i < actors.stakingAccountCount(); ++i) {
            address who = actors.stakingAccounts(i);
            uint256 earned = staking.earned(who, token);
            (uint256 least, uint256 most) = actors.bounds(who, token);
            uint256 all = actors.claimedInBooks(who, token) + earned;
            assertLe(all, most, "more than its part of what streamed");
            assertGe(all, least, "less than its part of what streamed");
            owed += earned;
        }
        uint256 sent = token == actors.tokens(1) ? 0 : actors.donatedToStaking(token);
        assertLe(owed, staking.reserveOf(token) - sent, "more is due than came in");
        for (uint256 week = block.timestamp / 1 weeks; week + 3 > block.timestamp / 1 weeks; --week) {
            assertEq(staking.streamOf(token, week), actors.streamInBooks(token, week), "stream of a week");
        }
    }

    // ----------------------------------------------------------------------------------------------------------------------- tiers, incentives

    function rule_TierIsLostWithWhatEarnedIt() public view {
        for (uint256 node = 1; node <= actors.nodeCount(); ++node) {
            assertEq(actors.registry().tierOf(node), actors.nodeTierInBooks(node), "tier of a node");
        }
    }

    function rule_IncentivesPayWhatTheyWereGiven() public view {
        uint256 balance = IERC20(actors.tokens(1)).balanceOf(address(actors.incentives()));
        assertEq(balance + actors.incentivesPaid(), actors.incentivesFunded(), "OPEN of Incentives");
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

    /// @dev One line for each name.
    function _table() private view returns (string memory table) {
        for (uint256 i = 0; i < actors.nameCount(); ++i) {
            (string memory name, uint256 ok, uint256 bad,) = actors.nameAt(i);
            table = string.concat(table, name, "\t", vm.toString(ok), "\t", vm.toString(bad), "\n");
        }
    }

    /// @dev Leaves the table for `tools/invariants` to add up over all runs that passed. The fuzzer replays the last run of a campaign: the same steps
    /// make the same file, so that none counts twice.
    function _tell(string memory table) private {
        if (!vm.envOr("OPENGPU_INVARIANT_TELL", false)) return;
        vm.writeFile(string.concat("cache/invariants/", vm.toString(actors.trail()), ".tsv"), table);
    }
}
