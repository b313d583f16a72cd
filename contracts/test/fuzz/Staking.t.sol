// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @title Revenue of stakers beside a plain model: every stretch of constant weights is summed for itself
contract StakingFuzzTest is StakingFixture {
    uint256 private constant STAKERS = 3;
    uint256 private constant SCALE = 1e12; // the model counts in 10^-12 base units

    address[STAKERS] private who;
    uint256[STAKERS] private weight;
    uint256[STAKERS] private expected; // scaled
    uint256[STAKERS] private claimed;
    mapping(uint256 week => uint256) private revenue; // booked in it
    mapping(uint256 week => uint256) private stream; // scaled
    uint256 private now_;
    uint256 private funded;
    uint256 private steps;

    /// @dev The model from its last second to now: week by week, constant weights within.
    function _integrate() private {
        while (now_ < block.timestamp) {
            uint256 week = now_ / 1 weeks;
            if (now_ == week * 1 weeks) stream[week] += revenue[week - 1] * SCALE;
            uint256 next = Math.min((week + 1) * 1 weeks, block.timestamp);
            uint256 total = weight[0] + weight[1] + weight[2];
            uint256 part = stream[week] * (next - now_) / 1 weeks;
            if (total == 0) stream[week + 1] += part;
            for (uint256 i = 0; total != 0 && i < STAKERS; ++i) {
                expected[i] += Math.mulDiv(part, weight[i], total);
            }
            now_ = next;
            ++steps;
        }
    }

    function testFuzz_StakersGetWhatTheModelSays(uint256 seed) public {
        now_ = block.timestamp;
        for (uint256 i = 0; i < STAKERS; ++i) {
            who[i] = makeAddr(string.concat("fuzz", vm.toString(i)));
            open.transfer(who[i], 1_000_000_000e18);
            vm.prank(who[i]);
            open.approve(address(staking), type(uint256).max);
        }
        for (uint256 step = 0; step < 24; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + (seed >> 8) % (seed & 3 == 0 ? 20 days : 2 days));
            _integrate();
            uint256 i = (seed >> 64) % STAKERS;
            uint256 kind = (seed >> 72) % 8;
            if (kind < 3) {
                uint256 part = _earn(uint64(1 + (seed >> 80) % 3000));
                _integrate();
                revenue[block.timestamp / 1 weeks] += part;
                funded += part;
            } else if (kind < 5) {
                vm.prank(who[i]);
                try staking.stake(uint128(1e18 + (seed >> 96) % 1_000_000e18), uint16(14 + (seed >> 224) % 352)) {} catch {}
            } else if (kind == 5) {
                (uint104 amount,,) = staking.positionOf(who[i]);
                vm.prank(who[i]);
                try staking.unstake(uint128(amount), who[i]) {} catch {}
            } else if (kind == 6) {
                try staking.expireStake(who[i]) {} catch {}
            } else {
                claimed[i] += _claim(who[i], address(usdc));
            }
            for (uint256 j = 0; j < STAKERS; ++j) {
                (, weight[j],) = staking.positionOf(who[j]);
            }
        }
        vm.warp(block.timestamp + 3 weeks);
        _integrate();
        uint256 sum;
        for (uint256 i = 0; i < STAKERS; ++i) {
            claimed[i] += _claim(who[i], address(usdc));
            sum += claimed[i];
            assertApproxEqAbs(claimed[i], expected[i] / SCALE, steps + 26, "not what the model says");
        }
        assertLe(sum, funded, "more was paid than came in");
        assertEq(staking.reserveOf(address(usdc)) + sum, _pulled(), "revenue is neither paid nor there");
    }

    /// @dev All that Cloudverse booked for stakers, less what it still has.
    function _pulled() private view returns (uint256 pulled) {
        pulled = funded;
        for (uint256 week = block.timestamp / 1 weeks; week > block.timestamp / 1 weeks - 110; --week) {
            pulled -= cloud.revenueOf(week, address(usdc)).stakers;
        }
    }
}
