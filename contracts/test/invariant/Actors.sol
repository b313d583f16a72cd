// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {JobState} from "../../src/libraries/JobTerms.sol";
import {Voucher} from "../../src/libraries/Messages.sol";
import {Attacks} from "./Attacks.sol";

/// @title All actors in one target, what the invariants read, and the ways out
contract Actors is Attacks {
    uint256 private constant UNBOND_SECONDS = 21 days;

    // -------------------------------------------------------------------------------------------------------------------------------- views

    function tokenCount() external pure returns (uint256) {
        return TOKENS;
    }

    function strangerAccount() external view returns (address) {
        return stranger;
    }

    function nodeCount() external pure returns (uint256) {
        return NODES;
    }

    function accountCount() external view returns (uint256) {
        return accounts.length;
    }

    function stakingAccountCount() external view returns (uint256) {
        return stakingAccounts.length;
    }

    function openCount() external view returns (uint256) {
        return openJobs.length;
    }

    function jobCount() external view returns (uint256) {
        return jobs.length;
    }

    function cancelledCount() external view returns (uint256) {
        return cancelled.length;
    }

    function cancelledId(uint256 i) external view returns (bytes32) {
        return _digest(_hash(cancelled[i]));
    }

    function openIndex(uint256 i) external view returns (uint256) {
        return openJobs[i];
    }

    function jobAt(uint256 i) external view returns (Job memory) {
        return jobs[i];
    }

    /// @notice What is still locked for a job by its terms: the escrow less what the payer paid of it.
    function escrowLeft(uint256 i) external view returns (uint256) {
        return jobs[i].terms.escrow - _paidOf(jobs[i].terms, jobs[i].progress.value);
    }

    /// @notice Revenue of all weeks that was not pulled.
    function revenueLeft(address token) external view returns (uint256 stakers, uint256 treasury) {
        for (uint256 i = 0; i < weeksBooked.length; ++i) {
            stakers += cloud.revenueOf(weeksBooked[i], token).stakers;
            treasury += cloud.revenueOf(weeksBooked[i], token).treasury;
        }
    }

    function nameCount() external view returns (uint256) {
        return names.length;
    }

    function nameAt(uint256 i) external view returns (string memory name, uint256 ok, uint256 bad, bytes memory error) {
        name = names[i];
        return (name, successes[name], reverts[name], lastError[name]);
    }

    // ------------------------------------------------------------------------------------------------------------------------------ ways out

    /// @notice Ends an open job by pokes of a stranger alone, each at its deadline. Whether it worked.
    function exitJob(uint256 index) public returns (bool) {
        Job storage job = jobs[index];
        Voucher memory none;
        vm.warp(clock);
        if (job.state == JobState.Reported) {
            _warpTo(job.progress.reportedAt + WINDOW);
            _call("exit", stranger, address(cloud), _resolve(job, job.declared));
        } else if (job.state == JobState.Matched) {
            _warpTo(_lastDeadline(job.terms));
            _call("exit", stranger, address(cloud), _expire(job, none, stranger));
        } else if (job.state == JobState.Submitted) {
            _warpTo(job.since + 24 hours);
            _call("exit", stranger, address(cloud), _finalize(job));
        }
        if (job.state == JobState.Interrupted) {
            _warpTo(job.since + 1 hours);
            _call("exit", stranger, address(cloud), _close(job));
        }
        return job.state == JobState.Settled;
    }

    /// @notice Everybody leaves: jobs end, revenue is pulled, credits are withdrawn, bonds come back. Reverts where somebody cannot.
    function leave() external {
        while (openJobs.length != 0) {
            require(exitJob(openJobs[0]), "a job has no exit");
        }
        // The revenue of the last week streams in the next one, after which every stake's end is past, and so are the credits of revenue.
        _warpTo((clock / 1 weeks + 2) * 1 weeks);
        for (uint256 i = 0; i < stakingAccounts.length; ++i) {
            _warpTo(stakes[stakingAccounts[i]].end);
        }
        for (uint256 t = 0; t < TOKENS; ++t) {
            require(_call("exit", stranger, address(staking), abi.encodeCall(staking.roll, (tokens[t], 1000))), "roll");
            for (uint256 i = 0; i < weeksBooked.length; ++i) {
                bytes memory data = abi.encodeCall(cloud.pullTreasuryRevenue, (weeksBooked[i], tokens[t]));
                require(_call("exit", stranger, address(cloud), data), "treasury");
            }
            for (uint256 i = 0; i < accounts.length; ++i) {
                uint256 credits = cloud.credits(accounts[i], tokens[t]);
                if (credits == 0) continue;
                bytes memory data = abi.encodeCall(cloud.withdraw, (tokens[t], credits, address(0xbeef)));
                require(_call("exit", accounts[i], address(cloud), data), "withdraw");
            }
        }
        _unbondAll();
        _unstakeAll();
    }

    /// @dev In two calls each: all rewards of all tokens, all that is staked.
    function _unstakeAll() private {
        for (uint256 i = 0; i < stakingAccounts.length; ++i) {
            require(_claim(stakingAccounts[i], false), "claim");
            uint256 amount = stakes[stakingAccounts[i]].amount;
            if (amount == 0) continue;
            bytes memory data = abi.encodeCall(staking.unstake, (uint128(amount), stakingAccounts[i]));
            require(_call("exit", stakingAccounts[i], address(staking), data), "unstake");
        }
    }

    function _unbondAll() private {
        for (uint256 node = 1; node <= NODES; ++node) {
            INodeRegistry.Node memory n = registry.nodeOf(node);
            if (n.bond == 0) continue;
            bytes memory data = abi.encodeCall(registry.requestUnbond, (node, n.bond));
            require(_call("exit", n.owner, address(registry), data), "unbond");
        }
        _warpTo(clock + UNBOND_SECONDS);
        for (uint256 node = 1; node <= NODES; ++node) {
            INodeRegistry.Node memory n = registry.nodeOf(node);
            if (n.bond == 0) continue;
            bytes memory data = abi.encodeCall(registry.withdrawUnbonded, (node, address(0xbeef)));
            require(_call("exit", n.owner, address(registry), data), "unbonded");
        }
    }
}
