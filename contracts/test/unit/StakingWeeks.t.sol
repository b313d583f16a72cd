// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IStaking} from "../../src/interfaces/IStaking.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @title Years in which nobody calls the staking contract
contract StakingWeeksTest is StakingFixture {
    uint256 private constant YEARS = 10 * 52 weeks;

    function setUp() public override {
        super.setUp();
        _stake(alice, 1000e18, 365);
        _stake(bob, 3000e18, 365);
        _earn(1000);
        vm.warp(block.timestamp + YEARS);
    }

    function test_QuietYearsAreNotedInStepsAndPayTheSame() public {
        uint256 snapshot = vm.snapshotState();
        uint256 all = _claimAfterRolls(alice);
        assertGt(all, 0);

        vm.revertToState(snapshot);
        uint256 gasBefore;
        for (uint256 year = 0; year < 10; ++year) {
            gasBefore = gasleft();
            staking.advance(52);
            assertLt(gasBefore - gasleft(), 2_000_000, "a step of a year");
        }
        gasBefore = gasleft();
        vm.prank(alice);
        staking.unstake(1000e18, alice);
        assertLt(gasBefore - gasleft(), 300_000, "what is left for the action itself");
        assertEq(_claimAfterRolls(alice), all);
    }

    function test_AdvanceGoesNoFurtherThanThisWeek() public {
        staking.advance(type(uint256).max);
        uint256 gasBefore = gasleft();
        staking.advance(type(uint256).max);
        assertLt(gasBefore - gasleft(), 10_000, "nothing left to note");
    }

    function test_AClaimRollsSixtyWeeksAndAsksForTheRest() public {
        _claimAfterRolls(alice);
        vm.warp(vm.getBlockTimestamp() + 61 weeks);
        address[] memory list = new address[](1);
        list[0] = address(usdc);
        uint256 thisWeek = vm.getBlockTimestamp() / 1 weeks;
        bytes memory err = abi.encodeWithSelector(IStaking.Staking_RollFirst.selector, address(usdc), thisWeek);
        vm.expectRevert(err);
        staking.earned(alice, address(usdc));
        vm.expectEmit();
        emit IStaking.ClaimSkipped(alice, address(usdc), err);
        vm.prank(alice);
        staking.claim(list, alice);
        staking.roll(address(usdc), 1);
        vm.prank(alice);
        staking.claim(list, alice);
        assertEq(staking.nextWeekOf(address(usdc)), thisWeek + 1);
    }

    function _claimAfterRolls(address who) private returns (uint256) {
        while (staking.nextWeekOf(address(usdc)) <= block.timestamp / 1 weeks) staking.roll(address(usdc), 60);
        address[] memory list = new address[](1);
        list[0] = address(usdc);
        vm.prank(who);
        staking.claim(list, who);
        return usdc.balanceOf(who);
    }
}
