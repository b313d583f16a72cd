// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Fixture} from "../Fixture.sol";

/// @title A node's record begins anew with a new owner
contract ReviewNodeRegistryTest is Fixture {
    function _close(INodeRegistry.Standing standing, uint256 times) private {
        for (uint256 i = 0; i < times; ++i) {
            vm.startPrank(address(cloud));
            registry.openJob(node);
            registry.closeJob(node, standing, standing == INodeRegistry.Standing.Success, 10e6);
            vm.stopPrank();
        }
    }

    /// @dev Three of six attempts contested is above the 20 % of T1, whatever an earlier owner closed.
    function test_AnEarlierOwnersAttemptsDoNotThinOutContestedOnes() public {
        _close(INodeRegistry.Standing.Success, 20);
        vm.prank(owner);
        registry.transferFrom(owner, stranger, node);
        vm.startPrank(stranger);
        registry.setListPrice(node, 1e6);
        vm.stopPrank();
        _close(INodeRegistry.Standing.Success, 3);
        _close(INodeRegistry.Standing.Neutral, 3);
        vm.warp(block.timestamp + 3 days);
        assertEq(registry.earnedTierOf(node), 0);
        _close(INodeRegistry.Standing.Success, 9);
        assertEq(registry.earnedTierOf(node), 1); // three of fifteen are 20 %
    }
}
