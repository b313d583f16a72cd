// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Vm} from "forge-std/Vm.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {World} from "./World.sol";

/// @title What every staker should have, by the protocol's words: an integral over time, account by account
/// @notice The contract keeps one accumulator for all; these books walk over all stakers whenever a weight changes or a week begins, and keep each part
/// as a fraction, so that what differs is the contract's rounding and nothing else.
abstract contract StakingBooks is World {
    /// Bits behind the point of a part in the books.
    uint256 internal constant POINT = 64;

    /// @notice An account's stake as the books have it.
    struct Stake {
        uint256 amount;
        uint256 weight;
        uint256 end;
        uint256 actions; // of this account's, each of which may round its parts down once
        address delegate;
    }

    mapping(address account => Stake) internal stakes;
    uint256 public weightInBooks;
    uint256 public stakedInBooks;
    uint256 public stakingActions; // of all accounts
    uint256 private accruedAt;
    mapping(address token => mapping(uint256 week => uint256)) private booked; // stakers' revenue of the jobs of a week
    mapping(address token => mapping(uint256 week => uint256)) public streamInBooks;
    mapping(address token => uint256) private idle; // what ever streamed to nobody, base units · seconds
    mapping(address token => uint256) private carried; // whole base units of it
    mapping(address account => mapping(address token => uint256)) private part; // scaled by 2^POINT
    mapping(address account => mapping(address token => uint256)) public claimedInBooks;
    mapping(address token => uint256) public claimedTotal;
    uint256 internal skipped; // tokens a claim left out
    address internal lastToken; // that a claim paid
    uint256 private lastAmount;

    function stakeOf(address account) external view returns (Stake memory) {
        return stakes[account];
    }

    function _startStakingBooks() internal override {
        accruedAt = block.timestamp;
        for (uint256 i = 0; i < stakingAccounts.length; ++i) {
            stakes[stakingAccounts[i]].delegate = stakingAccounts[i];
        }
    }

    function _bookStakersRevenue(address token, uint256 amount) internal {
        booked[token][block.timestamp / 1 weeks] += amount;
    }

    /// @dev Brings all parts to now: weights are constant since the last time but for weeks that began, with a new stream each.
    function _accrue() internal {
        while (accruedAt < block.timestamp) {
            uint256 week = accruedAt / 1 weeks;
            uint256 next = Math.min((week + 1) * 1 weeks, block.timestamp);
            for (uint256 t = 0; t < TOKENS; ++t) {
                uint256 streamed = streamInBooks[tokens[t]][week] * (next - accruedAt);
                if (streamed != 0) _share(tokens[t], streamed);
                if (next == (week + 1) * 1 weeks) _beginWeek(tokens[t], week + 1);
            }
            accruedAt = next;
        }
    }

    function _share(address token, uint256 streamed) private {
        if (weightInBooks == 0) {
            idle[token] += streamed;
            return;
        }
        for (uint256 i = 0; i < stakingAccounts.length; ++i) {
            uint256 weight = stakes[stakingAccounts[i]].weight;
            if (weight != 0) part[stakingAccounts[i]][token] += Math.mulDiv(streamed << POINT, weight, weightInBooks * 1 weeks);
        }
    }

    /// @dev Revenue of the week before streams in this one, and with it what streamed to nobody, in whole base units.
    function _beginWeek(address token, uint256 week) private {
        uint256 whole = idle[token] / 1 weeks;
        streamInBooks[token][week] = booked[token][week - 1] + whole - carried[token];
        carried[token] = whole;
    }

    /// @notice Between which amounts all that an account ever got and may claim of a token must be, once the books are brought to now. Each of its
    /// actions and each claim begins a new stretch, rounded down; and what all actions round off the accumulator is below a base unit in 64 of them.
    function bounds(address account, address token) public returns (uint256 least, uint256 most) {
        _accrue();
        most = (part[account][token] + (1 << 32)) >> POINT;
        uint256 dust = stakes[account].actions + stakingActions / 64 + 2;
        least = part[account][token] >> POINT;
        least = least > dust ? least - dust : 0;
    }

    // ------------------------------------------------------------------------------------------------------------------------------- events

    function _followStaking(Vm.Log memory log) internal {
        bytes32 topic = log.topics[0];
        if (topic == IStaking.Rolled.selector || log.topics.length < 2) return;
        _accrue();
        address account = address(uint160(uint256(log.topics[1])));
        Stake storage s = stakes[account];
        if (topic == IStaking.Staked.selector) {
            (uint256 amount,, uint256 weight, uint256 end) = abi.decode(log.data, (uint256, uint256, uint256, uint256));
            s.amount += amount;
            stakedInBooks += amount;
            _reweigh(s, weight);
            s.end = end;
        } else if (topic == IStaking.StakeExtended.selector) {
            (uint256 weight, uint256 end) = abi.decode(log.data, (uint256, uint256));
            _reweigh(s, weight);
            s.end = end;
        } else if (topic == IStaking.StakeExpired.selector) {
            _rule(block.timestamp >= s.end, "nothingLeavesBeforeItsEnd");
            _reweigh(s, 0);
        } else if (topic == IStaking.Unstaked.selector) {
            (, uint256 amount,) = abi.decode(log.data, (address, uint256, uint256));
            _rule(block.timestamp >= s.end && amount <= s.amount, "nothingLeavesBeforeItsEnd");
            s.amount -= amount;
            stakedInBooks -= amount;
            _reweigh(s, 0);
        } else if (topic == IStaking.Claimed.selector) {
            (, uint256 amount) = abi.decode(log.data, (address, uint256));
            address token = address(uint160(uint256(log.topics[2])));
            claimedInBooks[account][token] += amount;
            claimedTotal[token] += amount;
            (lastToken, lastAmount) = (token, amount);
            ++s.actions;
            ++stakingActions;
        } else if (topic == IStaking.ClaimSkipped.selector) {
            ++skipped;
            // What was undone is in the log too, right before.
            if (lastToken != address(uint160(uint256(log.topics[2])))) return;
            claimedInBooks[account][lastToken] -= lastAmount;
            claimedTotal[lastToken] -= lastAmount;
        }
    }

    function _reweigh(Stake storage s, uint256 weight) private {
        weightInBooks = weightInBooks + weight - s.weight;
        s.weight = weight;
        ++s.actions;
        ++stakingActions;
    }

    // ------------------------------------------------------------------------------------------------------------------------ weights, tiers

    /// @dev Weight after adding an amount (0: none) under a lock to a new end, written unlike the contract's: by the day's part of three times a year.
    function _weightAfter(Stake storage s, uint256 added, uint256 end) internal view returns (uint256) {
        if (end <= s.end) return s.weight + _weightFor(added, s.end);
        return _weightFor(s.amount, end) + _weightFor(added, end);
    }

    function _weightFor(uint256 amount, uint256 end) internal view returns (uint256) {
        return (amount * 365 days + 3 * amount * (end - block.timestamp)) / 365 days;
    }

    /// @notice A payer's tier by its stake: a decade of weight each from 100,000 OPEN on, none from the end on.
    function tierInBooks(address account) public view returns (uint256 tier) {
        Stake storage s = stakes[account];
        if (block.timestamp >= s.end) return 0;
        for (uint256 least = 100_000e18; tier < 4 && s.weight >= least; least *= 10) {
            ++tier;
        }
    }

    /// @notice Votes an account should have: the weights of all who delegate to it.
    function votesInBooks(address account) external view returns (uint256 votes) {
        for (uint256 i = 0; i < stakingAccounts.length; ++i) {
            if (stakes[stakingAccounts[i]].delegate == account) votes += stakes[stakingAccounts[i]].weight;
        }
    }
}
