// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @title Revenue of stakers beside a plain model: every stretch of constant weights is summed for itself
contract StakingFuzzTest is StakingFixture {
    uint256 private constant STAKERS = 3;
    uint256 private constant TOKENS = 2;
    uint256 private constant SCALE = 1e12; // the model counts in 10^-12 base units

    address[TOKENS] private token; // USDC, and OPEN itself
    address[STAKERS] private who;
    uint256[STAKERS] private weight;
    uint256[STAKERS][TOKENS] private expected; // scaled
    uint256[STAKERS][TOKENS] private claimed;
    mapping(uint256 week => uint256)[TOKENS] private revenue; // booked in it
    mapping(uint256 week => uint256)[TOKENS] private stream; // scaled
    uint256 private now_;
    uint256[TOKENS] private funded;
    uint256 private steps;

    /// @dev The model from its last second to now: week by week, constant weights within.
    function _integrate() private {
        while (now_ < block.timestamp) {
            uint256 week = now_ / 1 weeks;
            uint256 next = Math.min((week + 1) * 1 weeks, block.timestamp);
            for (uint256 t = 0; t < TOKENS; ++t) {
                if (now_ == week * 1 weeks) stream[t][week] += revenue[t][week - 1] * SCALE;
                _share(t, week, stream[t][week] * (next - now_) / 1 weeks);
            }
            now_ = next;
            ++steps;
        }
    }

    function _share(uint256 t, uint256 week, uint256 part) private {
        uint256 total = weight[0] + weight[1] + weight[2];
        if (total == 0) stream[t][week + 1] += part;
        for (uint256 i = 0; total != 0 && i < STAKERS; ++i) {
            expected[t][i] += Math.mulDiv(part, weight[i], total);
        }
    }

    function _setUpModel() private {
        now_ = block.timestamp;
        token = [address(usdc), address(open)];
        for (uint256 i = 0; i < STAKERS; ++i) {
            who[i] = makeAddr(string.concat("fuzz", vm.toString(i)));
            open.transfer(who[i], 1_000_000_000e18);
            vm.prank(who[i]);
            open.approve(address(staking), type(uint256).max);
        }
    }

    /// @dev A job paid in one of the tokens.
    function _earnIn(uint256 t, uint64 seconds_) private {
        uint256 part = t == 0 ? _earn(seconds_) : _earnOpen(seconds_);
        _integrate();
        revenue[t][block.timestamp / 1 weeks] += part;
        funded[t] += part;
    }

    function testFuzz_StakersGetWhatTheModelSaysInTwoTokens(uint256 seed) public {
        _setUpModel();
        for (uint256 step = 0; step < 24; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + (seed >> 8) % (seed & 3 == 0 ? 20 days : 2 days));
            _integrate();
            uint256 i = (seed >> 64) % STAKERS;
            uint256 t = (seed >> 68) % TOKENS;
            uint256 kind = (seed >> 72) % 9;
            if (kind < 3) {
                _earnIn(t, uint64(1 + (seed >> 80) % 3000));
            } else if (kind < 5) {
                vm.prank(who[i]);
                try staking.stake(uint128(1e18 + (seed >> 96) % 1_000_000e18), uint16(14 + (seed >> 224) % 352)) {} catch {}
            } else if (kind == 5) {
                (uint104 amount,,) = staking.positionOf(who[i]);
                vm.prank(who[i]);
                try staking.unstake(uint128(amount), who[i]) {} catch {}
            } else if (kind == 6) {
                try staking.expireStake(who[i]) {} catch {}
            } else if (kind == 7) {
                claimed[t][i] += _claim(who[i], token[t]);
            } else {
                _claimBoth(i);
            }
            for (uint256 j = 0; j < STAKERS; ++j) {
                (, weight[j],) = staking.positionOf(who[j]);
            }
        }
        vm.warp(block.timestamp + 3 weeks);
        _integrate();
        _checkToken(0);
        _checkToken(1);
    }

    /// @dev Both tokens in one call, and one of them twice.
    function _claimBoth(uint256 i) private {
        uint256[TOKENS] memory before = [usdc.balanceOf(who[i]), open.balanceOf(who[i])];
        address[] memory list = new address[](3);
        (list[0], list[1], list[2]) = (token[1], token[0], token[1]);
        vm.prank(who[i]);
        staking.claim(list, who[i]);
        claimed[0][i] += usdc.balanceOf(who[i]) - before[0];
        claimed[1][i] += open.balanceOf(who[i]) - before[1];
    }

    function _checkToken(uint256 t) private {
        uint256 sum;
        for (uint256 i = 0; i < STAKERS; ++i) {
            claimed[t][i] += _claim(who[i], token[t]);
            sum += claimed[t][i];
            assertApproxEqAbs(claimed[t][i], expected[t][i] / SCALE, steps + 26, "not what the model says");
        }
        assertLe(sum, funded[t], "more was paid than came in");
        assertEq(staking.reserveOf(token[t]) + sum, _pulled(t), "revenue is neither paid nor there");
    }

    /// @dev Lone stakers one after the other, each from the middle of a week to the middle of a later one, nobody between them. Carrying over rounded up
    /// once let the sum of what they are owed pass what came in, and the last one's claim fail.
    function testFuzz_StakersWithGapsBetweenThemAreAllPaid(uint256 offset, uint64 worth) public {
        offset = bound(offset, 1 hours, 1 weeks - 1 hours); // so that something is always carried
        worth = uint64(bound(worth, 1000, 3000));
        address[6] memory lone;
        for (uint256 i = 0; i < lone.length; ++i) {
            lone[i] = makeAddr(string.concat("lone", vm.toString(i)));
            open.transfer(lone[i], 1000e18);
            vm.prank(lone[i]);
            open.approve(address(staking), 1000e18);
            uint256 week = block.timestamp / 1 weeks + 1;
            vm.warp(week * 1 weeks);
            funded[0] += _earn(worth);
            vm.warp((week + 1) * 1 weeks + offset);
            _stake(lone[i], 1000e18, 14);
            vm.warp((week + 2) * 1 weeks);
            funded[0] += _earn(worth);
            vm.warp((week + 3) * 1 weeks + offset);
            staking.expireStake(lone[i]);
        }
        _nextWeek();
        _stake(bob, 1000e18, 365); // takes all that was carried
        vm.warp(block.timestamp + 3 weeks);
        uint256 paid;
        for (uint256 i = 0; i < lone.length; ++i) {
            paid += _claim(lone[i], address(usdc));
        }
        uint256 id = vm.snapshotState();
        uint256 due = staking.earned(bob, address(usdc));
        vm.revertToState(id);
        assertGt(due, 0, "nothing was carried to the last staker");
        assertEq(_claim(bob, address(usdc)), due, "the last staker was not paid");
        assertLe(paid + due, funded[0], "more was paid than came in");
        assertApproxEqAbs(paid + due, funded[0], 24, "revenue went nowhere");
    }

    /// @dev All that Cloudverse booked for stakers, less what it still has.
    function _pulled(uint256 t) private view returns (uint256 pulled) {
        pulled = funded[t];
        for (uint256 week = block.timestamp / 1 weeks; week > block.timestamp / 1 weeks - 110; --week) {
            pulled -= cloud.revenueOf(week, token[t]).stakers;
        }
    }
}
