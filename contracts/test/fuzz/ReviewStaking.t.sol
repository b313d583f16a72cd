// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";

/// @notice Hands out revenue as Cloudverse does, in any amount.
contract RevenueSource {
    mapping(uint256 week => mapping(address token => uint256)) public revenue;
    mapping(address account => uint256) public tier;
    mapping(address account => uint256) public until;

    function book(address token, uint256 amount) external {
        revenue[block.timestamp / 1 weeks][token] += amount;
    }

    function setPayerTier(address account, uint8 tier_, uint40 until_) external {
        (tier[account], until[account]) = (tier_, until_);
    }

    function pullStakersRevenue(uint256 week, address token) external returns (uint256 amount) {
        require(week < block.timestamp / 1 weeks, "week not over");
        amount = revenue[week][token];
        delete revenue[week][token];
        IERC20(token).transfer(msg.sender, amount);
    }
}

/// @title Two tokens, hostile timing: same seconds, week boundaries, partial advances and rolls, weights 10^11 apart
contract ReviewStakingFuzzTest is Test {
    uint256 private constant STAKERS = 4;
    uint256 private constant SCALE = 1e12; // the model counts in 10^-12 base units

    IStaking private staking;
    RevenueSource private source = new RevenueSource();
    address[2] private tokens; // OPEN, USDC
    address[STAKERS] private who;
    uint256[STAKERS] private weight;
    uint256[STAKERS][2] private expected; // scaled
    uint256[STAKERS][2] private claimed;
    mapping(uint256 token => mapping(uint256 week => uint256)) private booked;
    mapping(uint256 token => mapping(uint256 week => uint256)) private stream; // scaled
    uint256[2] private funded;
    uint256 private time;
    uint256 private steps;

    function setUp() public {
        vm.warp(1_750_000_000);
        tokens[0] = vm.deployCode("OpenToken.sol:OpenToken", abi.encode(0x20, 1, address(this), 100_000_000_000e18));
        tokens[1] = vm.deployCode("TestStablecoin.sol:TestStablecoin");
        staking = IStaking(vm.deployCode("Staking.sol:Staking", abi.encode(tokens[0], source)));
        (bool isOk,) = tokens[1].call(abi.encodeWithSignature("mint(address,uint256)", source, 1e18));
        assertTrue(isOk);
        IERC20(tokens[0]).transfer(address(source), 10_000_000_000e18);
        for (uint256 i = 0; i < STAKERS; ++i) {
            who[i] = makeAddr(vm.toString(i));
            IERC20(tokens[0]).transfer(who[i], 20_000_000_000e18);
            vm.prank(who[i]);
            IERC20(tokens[0]).approve(address(staking), type(uint256).max);
        }
        time = block.timestamp;
    }

    function _integrate() private {
        while (time < block.timestamp) {
            uint256 week = time / 1 weeks;
            uint256 next = Math.min((week + 1) * 1 weeks, block.timestamp);
            uint256 total = weight[0] + weight[1] + weight[2] + weight[3];
            for (uint256 t = 0; t < 2; ++t) {
                if (time == week * 1 weeks) stream[t][week] += booked[t][week - 1] * SCALE;
                uint256 part = stream[t][week] * (next - time) / 1 weeks;
                if (total == 0) stream[t][week + 1] += part;
                for (uint256 i = 0; total != 0 && i < STAKERS; ++i) {
                    expected[t][i] += Math.mulDiv(part, weight[i], total);
                }
            }
            time = next;
            ++steps;
        }
    }

    function _claim(uint256 i, uint256 t) private {
        while (staking.nextWeekOf(tokens[t]) <= block.timestamp / 1 weeks) staking.roll(tokens[t], 50);
        uint256 id = vm.snapshotState();
        uint256 due = staking.earned(who[i], tokens[t]);
        vm.revertToState(id);
        address[] memory list = new address[](2);
        (list[0], list[1]) = (tokens[t], tokens[t]);
        address to = makeAddr("purse");
        uint256 before = IERC20(tokens[t]).balanceOf(to);
        vm.prank(who[i]);
        staking.claim(list, to);
        uint256 paid = IERC20(tokens[t]).balanceOf(to) - before;
        assertEq(paid, due, "paid something else than earned");
        claimed[t][i] += paid;
        assertLe(claimed[t][i] * SCALE, expected[t][i] + (steps + 50) * SCALE, "more than has streamed to the weight");
    }

    function testFuzz_NobodyIsPaidMoreThanHasStreamed(uint256 seed) public {
        for (uint256 step = 0; step < 60; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 wait = seed % 8;
            if (wait == 2) vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks); // the first second of a week
            else if (wait == 3) vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks - 1); // or the last
            else if (wait == 4) vm.warp(block.timestamp + 1);
            else if (wait == 5) vm.warp(block.timestamp + (seed >> 8) % 40 days);
            else if (wait > 5) vm.warp(block.timestamp + (seed >> 8) % 3 days);
            _integrate();
            _act(seed >> 64);
            uint256 sum;
            for (uint256 i = 0; i < STAKERS; ++i) {
                (, weight[i],) = staking.positionOf(who[i]);
                sum += weight[i];
                assertEq(staking.getVotes(staking.delegates(who[i])) >= weight[i], true, "votes");
                uint256 told = block.timestamp < source.until(who[i]) ? source.tier(who[i]) : 0;
                assertEq(told, staking.tierOf(who[i]), "tier as told");
            }
            assertEq(sum, staking.totalWeight(), "total weight");
        }
        vm.warp(block.timestamp + 5 weeks);
        _integrate();
        for (uint256 t = 0; t < 2; ++t) {
            uint256 sum;
            for (uint256 i = 0; i < STAKERS; ++i) {
                _claim(i, t);
                sum += claimed[t][i];
                assertGe((claimed[t][i] + steps + 130) * SCALE, expected[t][i], "less than has streamed to the weight");
            }
            assertLe(sum, funded[t], "more was paid than came in");
        }
        uint256 staked;
        for (uint256 i = 0; i < STAKERS; ++i) {
            (uint104 amount,,) = staking.positionOf(who[i]);
            staked += amount;
        }
        assertEq(IERC20(tokens[0]).balanceOf(address(staking)), staked + staking.reserveOf(tokens[0]), "stakes and reserve");
    }

    function _act(uint256 seed) private {
        uint256 i = seed % STAKERS;
        uint256 t = (seed >> 8) % 2;
        uint256 kind = (seed >> 16) % 12;
        uint16 lockDays = uint16(14 + (seed >> 24) % (seed & 4 == 0 ? 3 : 352));
        if (kind < 2) {
            uint256 amount = t == 0 ? (seed >> 40) % 1_000_000e18 : (seed >> 40) % 1e12;
            source.book(tokens[t], amount);
            booked[t][block.timestamp / 1 weeks] += amount;
            funded[t] += amount;
        } else if (kind < 4) {
            uint256 amount = i == 0 ? 1e18 : i == 1 ? 1e9 * 1e18 : 1e18 + (seed >> 40) % 1_000_000e18;
            vm.prank(who[i]);
            try staking.stake(uint128(amount), lockDays) {} catch {}
        } else if (kind == 4) {
            vm.prank(who[i]);
            try staking.extend(lockDays) {} catch {}
        } else if (kind < 7) {
            (uint104 amount,,) = staking.positionOf(who[i]);
            vm.prank(who[i]);
            try staking.unstake(uint128(seed & 8 == 0 ? amount : amount / 3), who[i]) {} catch {}
        } else if (kind == 7) {
            try staking.expireStake(who[i]) {} catch {}
        } else if (kind == 8) {
            staking.advance((seed >> 24) % 3);
        } else if (kind == 9) {
            staking.roll(tokens[t], (seed >> 24) % 3);
        } else {
            _claim(i, t);
        }
    }
}
