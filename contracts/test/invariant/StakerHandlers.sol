// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Handlers} from "./Handlers.sol";
import {OddToken} from "./Odd.sol";

/// @title What stakers do: payers for their tier, others for revenue, some for no longer than around the weekly roll
abstract contract StakerHandlers is Handlers {
    /// @dev Every second account adds and extends; the others mostly let a short lock run out first.
    function stake(uint256 seed) external step(seed) {
        address who = _staker(seed);
        if (_letsItRunOut(who, seed)) return;
        _stake(who, seed);
    }

    function _letsItRunOut(address who, uint256 seed) private view returns (bool) {
        return _isShort(who) && stakes[who].amount != 0 && (isLonely || _at(seed, 6) % 8 != 0);
    }

    function _isShort(address who) private view returns (bool) {
        for (uint256 i = 0; i < stakingAccounts.length; i += 2) {
            if (stakingAccounts[i] == who) return true;
        }
        return false;
    }

    function _staker(uint256 seed) private view returns (address) {
        if (isLonely) return stakingAccounts[_at(seed, 0) % 2 * 4];
        return stakingAccounts[_at(seed, 0) % stakingAccounts.length];
    }

    /// @dev From one OPEN to some hundred million, every order of magnitude as often; mostly locked for weeks, sometimes for a year.
    function _stake(address who, uint256 seed) private returns (bool isOk) {
        uint256 amount = 10 ** (_at(seed, 1) % 9) * (1e18 + _at(seed, 2) % 9e18);
        uint16 lockDays = uint16(14 + _at(seed, 3) % (_isShort(who) ? 3 : seed & 7 == 0 ? 352 : 20));
        Stake storage s = stakes[who];
        uint256 end = clock + uint256(lockDays) * 1 days;
        uint256 weight = _weightAfter(s, amount, end);
        // What is locked longer than it counts for may not lose by a later end.
        bool isAllowed = clock >= s.end || end <= s.end || _weightFor(s.amount, end) >= s.weight;
        uint256 balance = open.balanceOf(who);
        if (balance < amount) _give(who, address(open), amount - balance);
        vm.prank(who);
        open.approve(address(staking), amount);
        isOk = _call(
            isAllowed ? "stake" : "stake: weight would fall", who, address(staking), abi.encodeCall(staking.stake, (uint128(amount), lockDays))
        );
        _rule(isOk == isAllowed, "weightIsAmountTimesLock");
        if (isOk) _rule(s.weight == weight && s.end >= end, "weightIsAmountTimesLock");
    }

    function extendStake(uint256 seed) external step(seed) {
        address who = _staker(seed);
        Stake storage s = stakes[who];
        if (s.amount < 1e18 || _letsItRunOut(who, seed)) return;
        uint16 lockDays = uint16(14 + _at(seed, 3) % (_isShort(who) ? 3 : seed & 7 == 0 ? 352 : 60));
        uint256 end = clock + uint256(lockDays) * 1 days;
        bool isAllowed = end > s.end && (clock >= s.end || _weightFor(s.amount, end) >= s.weight);
        uint256 weight = isAllowed ? _weightFor(s.amount, end) : s.weight;
        string memory name = isAllowed ? "extendStake" : "extendStake: refused";
        bool isOk = _call(name, who, address(staking), abi.encodeCall(staking.extend, (lockDays)));
        _rule(isOk == isAllowed && s.weight == weight, "weightIsAmountTimesLock");
    }

    /// @dev A stake that is over is taken out, all or half; or a stranger takes its weight. One nearly over is waited for now and then.
    function unstake(uint256 seed) external step(seed) {
        for (uint256 i = 0; i < stakingAccounts.length; ++i) {
            address who = stakingAccounts[(_at(seed, 0) + i) % stakingAccounts.length];
            Stake storage s = stakes[who];
            if (s.amount == 0 || s.end > clock + (seed & 15 == 0 ? 2 weeks : 0)) continue;
            _warpTo(s.end);
            if (seed & 16 == 0 && s.weight != 0) {
                _call("expireStake", stranger, address(staking), abi.encodeCall(staking.expireStake, (who)));
            } else {
                uint128 amount = uint128(seed & 32 == 0 ? 1 + s.amount / 2 : s.amount);
                _call("unstake", who, address(staking), abi.encodeCall(staking.unstake, (amount, who)));
            }
            return;
        }
        // Nothing is over: nothing leaves.
        address locked = _staker(seed);
        if (stakes[locked].amount == 0) return;
        _refused("nothingLeavesBeforeItsEnd", locked, address(staking), abi.encodeCall(staking.unstake, (1, locked)));
        _refused("nothingLeavesBeforeItsEnd", stranger, address(staking), abi.encodeCall(staking.expireStake, (locked)));
    }

    function delegateVotes(uint256 seed) external step(seed) {
        address who = _staker(seed);
        address to = seed & 1 == 0 ? stranger : seed & 2 == 0 ? address(0) : stakingAccounts[_at(seed, 1) % stakingAccounts.length];
        if (_call("delegateVotes", who, address(staking), abi.encodeCall(IVotes.delegate, (to)))) {
            stakes[who].delegate = to == address(0) ? who : to;
        }
    }

    function claim(uint256 seed) external step(seed) {
        _claim(_staker(seed), seed & 7 == 0);
    }

    /// @dev All tokens at once. Nothing is skipped, but the token that has blocked the receiver, which does not stop the others.
    function _claim(address who, bool isBlocked) internal returns (bool isAll) {
        if (isBlocked) {
            // Rolled before, so that what is undone with the blocked token's part is that part alone.
            _call("roll", stranger, address(staking), abi.encodeCall(staking.roll, (tokens[3], 1000)));
            OddToken(tokens[3]).setBlocked(who, true);
        }
        int256[] memory others = new int256[](TOKENS); // what it has of each token and did not claim
        for (uint256 t = 0; t < TOKENS; ++t) {
            others[t] = _unclaimed(who, tokens[t]);
        }
        (skipped, lastToken) = (0, address(0));
        isAll = _call("claim", who, address(staking), abi.encodeCall(staking.claim, (tokens, who)));
        for (uint256 t = 0; t < TOKENS; ++t) {
            (uint256 least, uint256 most) = bounds(who, tokens[t]);
            uint256 claimed = claimedInBooks[who][tokens[t]];
            if (t != 3 || !isBlocked) isAll = isAll && claimed >= least && claimed <= most && others[t] == _unclaimed(who, tokens[t]);
        }
        isAll = isAll && (skipped == 0 || (isBlocked && skipped == 1));
        _rule(isAll, "claimPaysAllThatIsDue");
        if (isBlocked) OddToken(tokens[3]).setBlocked(who, false);
    }

    function _unclaimed(address who, address token) private view returns (int256) {
        return int256(OddToken(token).balanceOf(who)) - int256(claimedInBooks[who][token]);
    }

    /// @dev In just before a week's roll, out of the rewards just after: it gets seconds of two streams.
    function stakeAroundRoll(uint256 seed) external step(seed) {
        if (_at(seed, 7) % 8 != 0) return;
        address who = _staker(seed);
        _warpTo((clock / 1 weeks + 1) * 1 weeks - 1 - _at(seed, 4) % 60);
        if (!_stake(who, seed)) return;
        _claim(who, false);
        _warpTo((clock / 1 weeks + 1) * 1 weeks + _at(seed, 5) % 60);
        _claim(who, false);
        _count("stakeAroundRoll");
    }
}
