// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IStaking} from "../src/interfaces/IStaking.sol";
import {Ending} from "../src/libraries/JobTerms.sol";
import {Order} from "../src/libraries/Messages.sol";
import {Fixture} from "./Fixture.sol";

/// @title The small network with staking
abstract contract StakingFixture is Fixture {
    IStaking internal staking;
    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");

    function setUp() public virtual override {
        vm.warp(1_749_945_600 + 1 weeks); // a Thursday, 00:00: a week begins
        vm.warp(block.timestamp / 1 weeks * 1 weeks);
        // OPEN, USDC, recovery, Cloudverse, registry, then staking.
        address at = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 5);
        _deploy(at, address(0));
        staking = IStaking(vm.deployCode("Staking.sol:Staking", abi.encode(open, cloud)));
        assertEq(address(staking), at);
        for (uint256 i = 0; i < 2; ++i) {
            address who = [alice, bob][i];
            open.transfer(who, 1_000_000_000e18);
            vm.prank(who);
            open.approve(at, type(uint256).max);
        }
        open.approve(address(cloud), type(uint256).max);
        cloud.depositFor(payer.addr, address(open), 1_000_000e18);
        vm.recordLogs();
    }

    function _stake(address who, uint256 amount, uint16 lockDays) internal {
        vm.prank(who);
        staking.stake(uint128(amount), lockDays);
    }

    /// @dev A job worth this many seconds at a USDC a thousand seconds, settled now; 12 % of it is the stakers'.
    function _earn(uint64 seconds_) internal returns (uint256 part) {
        _match();
        vm.warp(block.timestamp + seconds_);
        _settle(_result(seconds_ * 1000, Ending.Completed));
        return settlement.stakersPart;
    }

    /// @dev The same paid in OPEN.
    function _earnOpen(uint64 seconds_) internal returns (uint256 part) {
        Order memory o = _order();
        o.token = address(open);
        o.maxCost = 4000e18;
        o.maxPricePerHour = 3600e18;
        o.maxEgressPerGiB = 1e18;
        _openPrice = 3600e18;
        _matchOrder(o);
        _openPrice = 0;
        vm.warp(block.timestamp + seconds_);
        _settle(_result(seconds_ * 1000, Ending.Completed));
        return settlement.stakersPart;
    }

    function _tokens(address a, address b) internal pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }

    function _claim(address who, address token) internal returns (uint256) {
        address[] memory list = new address[](1);
        list[0] = token;
        uint256 before = IERC20(token).balanceOf(who);
        vm.prank(who);
        staking.claim(list, who);
        return IERC20(token).balanceOf(who) - before;
    }

    function _nextWeek() internal {
        vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks);
    }
}
