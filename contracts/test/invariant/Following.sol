// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {Vm} from "forge-std/Vm.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Ending, JobState, Progress, Rates, Settlement, Terms} from "../../src/libraries/JobTerms.sol";
import {Result, Voucher} from "../../src/libraries/Messages.sol";
import {TierBooks} from "./TierBooks.sol";

/// @title The books, kept from events alone as an indexer would, and the rules that are checked at each step
abstract contract Following is TierBooks {
    bytes32 internal skips; // hash of the elements that batches skipped

    function _follow() internal override {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(registry)) {
                _followNode(logs[i]);
            } else if (logs[i].emitter == address(staking)) {
                _followStaking(logs[i]);
            } else if (logs[i].emitter == address(cloud)) {
                if (logs[i].topics[0] == IJobEvents.Skipped.selector) {
                    skips = keccak256(abi.encode(skips, logs[i].topics[1], keccak256(abi.decode(logs[i].data, (bytes)))));
                    continue;
                }
                uint256 index = logs[i].topics.length > 1 ? indexOf[logs[i].topics[1]] : 0;
                if (index == 0) _followWallet(logs[i]);
                else _followJob(jobs[index - 1], logs[i]);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------------------- wallet, nodes

    function _followWallet(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        if (topic == ICloudWallet.Deposited.selector) {
            (, uint256 amount,) = abi.decode(log.data, (address, uint256, uint256));
            creditsInBooks[_address(log.topics[1])][_address(log.topics[2])] += amount;
        } else if (topic == ICloudWallet.Withdrawn.selector) {
            (address to, uint256 amount,) = abi.decode(log.data, (address, uint256, uint256));
            creditsInBooks[_address(log.topics[1])][_address(log.topics[2])] -= amount;
            if (to == address(cloud)) donated[_address(log.topics[2])] += amount;
        } else if (topic == ICloudWallet.BudgetOpened.selector) {
            budgetCount = uint256(log.topics[1]);
        } else if (topic == ICloudWallet.StakersRevenuePulled.selector) {
            stakersPulled[_address(log.topics[2])] += abi.decode(log.data, (uint256));
        } else if (topic == ICloudWallet.TreasuryRevenuePulled.selector) {
            uint256 amount = abi.decode(log.data, (uint256));
            treasuryPulled[_address(log.topics[2])] += amount;
            creditsInBooks[governance][_address(log.topics[2])] += amount;
        }
    }

    function _followNode(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        uint256 node = uint256(log.topics[1]);
        if (topic == INodeRegistry.Bonded.selector) {
            (, uint128 amount,) = abi.decode(log.data, (address, uint128, uint128));
            bondChanges[node].push(BondChange(block.timestamp, bondInBooks[node], 0));
            bondInBooks[node] += amount;
        } else if (topic == INodeRegistry.Unbonded.selector) {
            (, uint128 amount,) = abi.decode(log.data, (address, uint128, uint128));
            bondChanges[node].push(BondChange(block.timestamp, bondInBooks[node], 0));
            bondInBooks[node] -= amount;
            nodeTierInBooks[node] = 0;
        } else if (topic == IERC721.Transfer.selector) {
            nodeTierInBooks[uint256(log.topics[3])] = 0;
        } else if (topic == INodeRegistry.ListPriceSet.selector) {
            (uint64 old, uint64 listPrice,) = abi.decode(log.data, (uint64, uint64, uint64));
            if (listPrice > old && !_carries(node, _unitsOf(nodeTierInBooks[node]))) nodeTierInBooks[node] = 0;
        } else if (topic == INodeRegistry.MadeGood.selector) {
            (uint256 asked, uint256 amount,) = abi.decode(log.data, (uint256, uint256, uint128));
            _rule(amount <= asked && amount <= bondInBooks[node], "makeGoodWithinAskedAndBond");
            bondChanges[node].push(BondChange(block.timestamp, bondInBooks[node], amount));
            bondInBooks[node] -= amount;
            madeGoodTotal += amount;
            // Of the bond as it was before any of them: what left in these hours counts as having been there.
            uint256 sum = _madeGoodInADay(node);
            _rule(sum * 100 <= _highestBondInADay(node) + sum, "makeGoodWithinOnePercentADay");
        }
    }

    function _madeGoodInADay(uint256 node) private view returns (uint256 sum) {
        BondChange[] storage changes = bondChanges[node];
        for (uint256 i = changes.length; i != 0 && changes[i - 1].at + 24 hours > block.timestamp; --i) {
            sum += changes[i - 1].madeGood;
        }
    }

    function _highestBondInADay(uint256 node) private view returns (uint256 highest) {
        BondChange[] storage changes = bondChanges[node];
        highest = bondInBooks[node];
        for (uint256 i = changes.length; i != 0 && changes[i - 1].at + 24 hours > block.timestamp; --i) {
            if (changes[i - 1].bondBefore > highest) highest = changes[i - 1].bondBefore;
        }
    }

    // ------------------------------------------------------------------------------------------------------------------------------- jobs

    function _followJob(Job storage job, Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        if (topic == IJobEvents.Matched.selector) {
            job.terms = abi.decode(log.data, (Terms));
            _spend(job, job.terms.escrow);
            _attempt(job, JobState.None);
        } else if (topic == IJobEvents.Rematched.selector) {
            (job.terms, job.progress) = abi.decode(log.data, (Terms, Progress));
            _rule(job.terms.escrow == job.locked - job.paid - job.refunded, "rematchHasWhatIsLeft");
            _attempt(job, JobState.Interrupted);
        } else if (topic == IJobEvents.Extended.selector) {
            uint128 addCost;
            uint32 addSeconds;
            Rates rates = job.terms.rates;
            (addCost, addSeconds, job.terms) = abi.decode(log.data, (uint128, uint32, Terms));
            _rule(Rates.unwrap(job.terms.rates) == Rates.unwrap(rates), "ratesAreThoseOfTheMatch");
            job.addedSeconds += addSeconds;
            _spend(job, addCost);
        } else if (topic == IJobEvents.Collected.selector) {
            _collected(job, log.data);
        } else if (topic == IJobEvents.FaultReported.selector) {
            (, job.declared, job.progress) = abi.decode(log.data, (address, Voucher, Progress));
            _rule(job.declared.seq != 0 || keccak256(abi.encode(job.declared)) == keccak256(new bytes(320)), "noneIsEmpty");
            _move(job, JobState.Matched, JobState.Reported);
        } else if (topic == IJobEvents.FaultAnswered.selector) {
            _answered(job, log.data);
        } else if (topic == IJobEvents.FaultContested.selector) {
            job.progress = abi.decode(log.data, (Progress));
            delete job.declared;
            _move(job, JobState.Reported, JobState.Matched);
        } else if (topic == IJobEvents.ResultSubmitted.selector) {
            (, job.submitted, job.progress) = abi.decode(log.data, (bytes32, Result, Progress));
            _move(job, JobState.Matched, JobState.Submitted);
        } else if (topic == IJobEvents.Faulted.selector) {
            (, uint256 makeGood) = abi.decode(log.data, (uint256, uint256));
            creditsInBooks[job.terms.payer][address(open)] += makeGood;
        } else {
            _followEnd(job, topic, log.data);
        }
    }

    function _followEnd(Job storage job, bytes32 topic, bytes memory data) private {
        if (topic == IJobEvents.Interrupted.selector) {
            Settlement memory s;
            Progress memory progress;
            (s, progress) = abi.decode(data, (Settlement, Progress));
            _ended(job, s);
            _rule(job.attempt < job.order.maxAttempts, "attemptsWithinTheOrder");
            _rule(s.refunded == 0, "interruptedRefundsNothing");
            job.progress = progress;
            job.usedMillis += s.billedMillis;
            _leave(job, JobState.Interrupted);
        } else if (topic == IJobEvents.Settled.selector) {
            Settlement memory s = abi.decode(data, (Settlement));
            if (job.state == JobState.Interrupted) job.usedMillis -= job.progress.billedMillis; // settled after all: counted again below
            _ended(job, s);
            job.usedMillis += s.billedMillis;
            _rule(job.usedMillis <= (uint256(job.order.maxSeconds) + job.addedSeconds) * 1000, "usageWithinMaxSeconds");
            (job.progress.value, job.progress.billedMillis) = (s.value, s.billedMillis);
            (job.progress.declared, job.progress.reportedAt, job.progress.reportableFrom) = (0, 0, 0);
            _refunded(job, s.refunded);
        } else if (topic == IJobEvents.Closed.selector) {
            _rule(job.state == JobState.Interrupted, "statesMoveAlongTheTable");
            _refunded(job, abi.decode(data, (uint128)));
        }
    }

    /// @dev A first or further attempt starts.
    function _attempt(Job storage job, JobState from) private {
        _move(job, from, JobState.Matched);
        Rates rates = _ratesNow(job.terms.payer, job.terms.token, job.terms.node);
        _rule(Rates.unwrap(job.terms.rates) == Rates.unwrap(rates), "ratesAreThoseOfTheMatch");
        ++job.attempt;
        ++openOn[job.terms.node];
        delete job.top;
        delete job.declared;
        job.stakersPart = 0;
        job.treasuryPart = 0;
        job.payments = 0;
        job.highest = 0;
        job.signedEgress = 0;
        address owner = registry.ownerOf(job.terms.node);
        for (uint256 i = 0; i < job.owners.length; ++i) {
            _rule(job.owners[i] != owner, "noOwnerTwice");
        }
        job.owners.push(owner);
    }

    function _spend(Job storage job, uint256 amount) private {
        job.locked += amount;
        lockedInBooks[job.terms.token] += amount;
        creditsInBooks[job.terms.payer][job.terms.token] -= amount;
        for (uint256 id = job.terms.budget; id != 0; id = cloud.budgetOf(id).parent) {
            budgetSpent[id] += amount;
            _rule(!cloud.budgetOf(id).isRevoked && cloud.budgetOf(id).expiresAt > block.timestamp, "stoppedBudgetsSpendNothing");
        }
        uint256 budget = job.terms.budget;
        if (budget != 0) _rule(job.locked <= cloud.budgetOf(budget).perJob, "budgetPerJob");
    }

    function _collected(Job storage job, bytes memory data) private {
        uint256[8] memory w; // seq, millis, egress, value, node, stakers, treasury
        (w[0], w[1], w[2], w[3], w[4], w[5], w[6]) = abi.decode(data, (uint256, uint256, uint256, uint256, uint256, uint256, uint256));
        _rule(job.state == JobState.Matched, "statesMoveAlongTheTable");
        _rule(w[3] > job.progress.value, "collectedNeverFalls");
        _rule(!want.isSet || w[3] == want.value, "paidAsTheTableSays");
        uint256 paidMore = _paidOf(job.terms, w[3]) - _paidOf(job.terms, job.progress.value);
        job.progress.value = uint128(w[3]);
        job.progress.billedMillis = uint64(w[1]);
        _parts(job, paidMore, w[4], w[5], w[6]);
    }

    /// @dev Parts that a call moved: they are what the payer pays more, the node's are its payee's, the rest is booked.
    function _parts(Job storage job, uint256 paidMore, uint256 node, uint256 stakers, uint256 treasury) private {
        _rule(node + stakers + treasury == paidMore, "partsSumToPaid");
        job.paid += paidMore;
        lockedInBooks[job.terms.token] -= paidMore;
        creditsInBooks[job.terms.payee][job.terms.token] += node;
        _noteRevenue(job.terms.token, stakers, treasury);
        _bookStakersRevenue(job.terms.token, stakers);
        ++job.payments;
        job.stakersPart += stakers;
        job.treasuryPart += treasury;
        uint256 due = uint256(job.progress.value) * _bps(job.terms, 0) / 10_000;
        _rule(job.stakersPart <= due && job.stakersPart + job.payments - 1 >= due, "stakersGetTheirShare");
        uint256 left = _leftOf(job.terms, job.progress.value);
        uint256 rounding = 2 * (job.payments - 1);
        _rule(job.treasuryPart <= left + rounding && job.treasuryPart + rounding >= left, "treasuryGetsWhatIsLeft");
        uint256 highest = job.highest < job.terms.escrow ? job.highest : job.terms.escrow;
        _rule(job.progress.value <= highest, "neverAboveTheHighestSigned");
    }

    function _answered(Job storage job, bytes memory data) private {
        bool isOver;
        (isOver, job.declared, job.progress) = abi.decode(data, (bool, Voucher, Progress));
        _rule(isOver == (job.progress.reportedAt == 0), "answerEndsTheReport");
        if (isOver) {
            delete job.declared;
            _move(job, JobState.Reported, JobState.Matched);
        }
    }

    /// @dev An attempt ended with this value.
    function _ended(Job storage job, Settlement memory s) private {
        bool isLate = job.state == JobState.Interrupted;
        _rule(job.state != JobState.Settled && job.state != JobState.None && job.state != JobState.Cancelled, "statesMoveAlongTheTable");
        _rule(s.value >= job.progress.value, "collectedNeverFalls");
        _rule(s.value <= job.terms.escrow, "neverAboveTheEscrow");
        _rule(s.billedMillis <= _limitMillis(job.terms), "usageWithinTheAttempt");
        _rule(s.egressBytes <= job.signedEgress, "egressWasSigned");
        _rule(!want.isSet || (s.ending == want.ending && s.value == want.value), "paidAsTheTableSays");
        uint256 paidMore = _paidOf(job.terms, s.value) - _paidOf(job.terms, job.progress.value);
        job.progress.value = s.value;
        if (isLate) _rule(s.rating <= 5, "statesMoveAlongTheTable");
        else --openOn[job.terms.node];
        // A node's fault that is said first costs its tier.
        if (!isLate && (s.ending == Ending.HardwareFault || s.ending == Ending.Unanswered)) nodeTierInBooks[job.terms.node] = 0;
        _parts(job, paidMore, s.nodePart, s.stakersPart, s.treasuryPart);
        _count(string.concat("ended: ", _endingName(s.ending)));
        if (paidMore != 0 && _bps(job.terms, 2) != 0) _count("with discount");
        if (paidMore != 0 && _bps(job.terms, 3) != 0) _count("with bonus");
    }

    function _refunded(Job storage job, uint256 amount) private {
        job.refunded += amount;
        lockedInBooks[job.terms.token] -= amount;
        creditsInBooks[job.terms.payer][job.terms.token] += amount;
        for (uint256 id = job.terms.budget; id != 0; id = cloud.budgetOf(id).parent) {
            budgetSpent[id] -= amount;
        }
        _rule(job.paid + job.refunded == job.locked, "paidPlusRefundedIsLocked");
        _leave(job, JobState.Settled);
        uint256 index = indexOf[job.id] - 1;
        for (uint256 i = 0; i < openJobs.length; ++i) {
            if (openJobs[i] != index) continue;
            openJobs[i] = openJobs[openJobs.length - 1];
            openJobs.pop();
            break;
        }
    }

    function _move(Job storage job, JobState from, JobState to) private {
        _rule(job.state == from, "statesMoveAlongTheTable");
        _leave(job, to);
    }

    function _leave(Job storage job, JobState to) private {
        job.state = to;
        job.since = block.timestamp;
    }

    function _endingName(Ending ending) private pure returns (string memory) {
        return ["none", "completed", "stopped", "user fault", "hardware fault", "submitted", "contested", "unanswered", "expired"][uint256(ending)];
    }

    function _address(bytes32 topic) private pure returns (address) {
        return address(uint160(uint256(topic)));
    }
}
