// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ending} from "../../src/libraries/JobTerms.sol";
import {IERC4907, INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Bid, Order} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title Nodes: registration, roles, prices, bond, transfer: see NodeRegistry.tree
contract NodeRegistryTest is Fixture {
    // ------------------------------------------------------------------------------------------------------------------------------ register

    function test_RegisterMintsToTheCallerAndSetsTheOperator() public view {
        INodeRegistry.Node memory n = registry.nodeOf(node);
        assertEq(n.owner, owner);
        assertEq(n.operator, operator.addr);
        assertEq(n.payee, owner);
        assertEq(n.gpuModel, "RTX 4090");
        assertEq(n.hardwareDigest, keccak256("hardware"));
        assertEq(registry.userOf(node), operator.addr);
        assertEq(registry.userExpires(node), type(uint64).max);
        assertEq(registry.nodeCount(), 1);
        assertEq(registry.statsOf(node).since, block.timestamp);
        assertTrue(registry.supportsInterface(0xad092b5c));
        assertTrue(registry.supportsInterface(0x80ac58cd));
        assertEq(type(IERC4907).interfaceId, bytes4(0xad092b5c));
    }

    function test_RevertWhen_TheModelIsEmptyLongOrNotPrintable() public {
        string[4] memory models = ["", "12345678901234567890123456789012", "RTX\x1f", "RTX\x7f"];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_ModelInvalid.selector, models[i]));
            registry.register(operator.addr, 0, models[i]);
        }
        registry.register(operator.addr, 0, "~ 34567890123456789012345678901");
    }

    function test_RevertWhen_TheOperatorIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_ZeroAddress.selector));
        registry.register(address(0), 0, "RTX 4090");
    }

    // --------------------------------------------------------------------------------------------------------------------------------- roles

    function test_OnlyTheOwnerConfigures() public {
        bytes memory notAllowed = abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotAllowed.selector, operator.addr);
        vm.startPrank(operator.addr);
        vm.expectRevert(notAllowed);
        registry.setPayee(node, operator.addr);
        vm.expectRevert(notAllowed);
        registry.setListPrice(node, 1);
        vm.expectRevert(notAllowed);
        registry.drain(node);
        vm.expectRevert(notAllowed);
        registry.resume(node);
        vm.expectRevert(notAllowed);
        registry.requestUnbond(node, 1);
        vm.expectRevert(notAllowed);
        registry.withdrawUnbonded(node, operator.addr);
        vm.expectRevert();
        registry.setUser(node, operator.addr, type(uint64).max);
    }

    function test_OnlyCloudverseOpensAndClosesJobs() public {
        bytes memory notAllowed = abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotAllowed.selector, address(this));
        vm.expectRevert(notAllowed);
        registry.openJob(node);
        vm.expectRevert(notAllowed);
        registry.closeJob(node, INodeRegistry.Standing.Success, true, 1);
        vm.expectRevert(notAllowed);
        registry.closeFaultedJob(node, 1);
    }

    function test_AnApprovedAccountMayRentTheNodeOut() public {
        vm.prank(owner);
        registry.approve(stranger, node);
        vm.expectEmit(address(registry));
        emit IERC4907.UpdateUser(node, stranger, uint64(block.timestamp + 1 days));
        vm.prank(stranger);
        registry.setUser(node, stranger, uint64(block.timestamp + 1 days));
        assertEq(registry.userOf(node), stranger);
        vm.warp(block.timestamp + 1 days);
        assertEq(registry.userOf(node), stranger);
        vm.warp(block.timestamp + 1);
        assertEq(registry.userOf(node), address(0));
    }

    /// @dev ERC-4907: `expires` is the user's last second, at a match too.
    function test_AUserOperatesUpToAndInItsLastSecond() public {
        uint64 last = uint64(block.timestamp + 300);
        vm.prank(owner);
        registry.setUser(node, operator.addr, last);
        vm.warp(last);
        assertEq(registry.userOf(node), operator.addr);
        assertEq(registry.nodeOf(node).operator, operator.addr);
        _match();
        assertEq(terms.operator, operator.addr);

        Order memory o = _order();
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.warp(last + 1);
        assertEq(registry.userOf(node), address(0));
        assertEq(registry.nodeOf(node).operator, address(0));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, address(0)));
        vm.prank(payer.addr);
        cloud.matchOrder(o, "", b, sig);
        // A job it has begun stays its own to the end.
        vm.warp(last + 100);
        _settle(_result(60_000, Ending.Completed));
        assertEq(settlement.value, 60_000);
    }

    function test_PayeeZeroMeansTheOwner() public {
        vm.startPrank(owner);
        registry.setPayee(node, stranger);
        assertEq(registry.nodeOf(node).payee, stranger);
        registry.setPayee(node, address(0));
        assertEq(registry.nodeOf(node).payee, owner);
    }

    // ---------------------------------------------------------------------------------------------------------------------------- list price

    function test_LoweringCountsAtOnceAndRaisingTakesADay() public {
        vm.startPrank(owner);
        registry.setListPrice(node, 5e6);
        assertEq(registry.nodeOf(node).listPrice, 5e6);
        registry.setListPrice(node, 20e6);
        vm.stopPrank();
        uint256 from = block.timestamp + 1 days;
        assertEq(registry.nodeOf(node).listPrice, 5e6);
        assertEq(registry.nodeOf(node).pendingListPrice, 20e6);
        assertEq(registry.nodeOf(node).listPriceFrom, from);
        vm.warp(from - 1);
        assertEq(registry.nodeOf(node).listPrice, 5e6);
        vm.warp(from);
        assertEq(registry.nodeOf(node).listPrice, 20e6);
        assertEq(registry.nodeOf(node).pendingListPrice, 0);
    }

    function test_ARaiseCountsForBidsAfterADayAndNotBefore() public {
        vm.startPrank(owner);
        registry.setListPrice(node, 3_599_999);
        registry.setListPrice(node, 3_600_000);
        vm.stopPrank();
        vm.warp(block.timestamp + 1 days - 1);
        vm.prank(address(cloud));
        (,,, uint64 listPrice) = registry.openJob(node);
        assertEq(listPrice, 3_599_999);
        vm.warp(block.timestamp + 1);
        _match();
    }

    function test_ARaiseFromZeroTakesADayToo() public {
        vm.startPrank(owner);
        registry.setListPrice(node, 0);
        registry.setListPrice(node, 1_000_000);
        assertEq(registry.nodeOf(node).listPrice, 0);
        assertEq(registry.nodeOf(node).pendingListPrice, 1_000_000);
        vm.warp(block.timestamp + 1 days);
        assertEq(registry.nodeOf(node).listPrice, 1_000_000);
        registry.setListPrice(node, 0);
        registry.transferFrom(owner, stranger, node);
        vm.stopPrank();
        vm.prank(stranger);
        registry.setListPrice(node, 2_000_000);
        assertEq(registry.nodeOf(node).listPrice, 2_000_000);
    }

    function test_ALowerPriceDropsAPendingRaise() public {
        vm.startPrank(owner);
        registry.setListPrice(node, 20e6);
        registry.setListPrice(node, 1e6);
        vm.stopPrank();
        vm.warp(block.timestamp + 2 days);
        assertEq(registry.nodeOf(node).listPrice, 1e6);
    }

    function test_ThePriceInForceSetAgainCountsAtOnceAndDropsAPendingRaise() public {
        vm.startPrank(owner);
        _setsAtOnce(10e6);
        registry.setListPrice(node, 20e6);
        assertEq(registry.nodeOf(node).pendingListPrice, 20e6);
        _setsAtOnce(10e6);
        vm.stopPrank();
    }

    // ---------------------------------------------------------------------------------------------------------------------------------- bond

    function test_AnUnbondRequestTellsWhenItMaturesAndLapses() public {
        uint64 unbondsAt = uint64(block.timestamp + 21 days);
        vm.expectEmit(address(registry));
        emit INodeRegistry.UnbondRequested(node, 100e18, unbondsAt, unbondsAt + 7 days);
        vm.prank(owner);
        registry.requestUnbond(node, 100e18);
        // Of nothing: there is no request any more, so nothing matures or lapses.
        vm.expectEmit(address(registry));
        emit INodeRegistry.UnbondRequested(node, 0, 0, 0);
        vm.prank(owner);
        registry.requestUnbond(node, 0);
    }

    function test_AWithdrawalTellsTheBondThatIsLeft() public {
        vm.prank(owner);
        registry.requestUnbond(node, 100e18);
        vm.warp(block.timestamp + 21 days);
        vm.expectEmit(address(registry));
        emit INodeRegistry.Unbonded(node, stranger, 100e18, 999_900e18);
        vm.prank(owner);
        registry.withdrawUnbonded(node, stranger);
        assertEq(registry.nodeOf(node).bond, 999_900e18);
    }

    function test_AnUnbondRequestMaturesIn21DaysAndLapses7DaysLater() public {
        vm.prank(owner);
        registry.requestUnbond(node, 100e18);
        uint256 unbondsAt = block.timestamp + 21 days;
        _withdrawReverts(abi.encodeWithSelector(INodeRegistry.NodeRegistry_UnbondNotMature.selector, node, unbondsAt));
        vm.warp(unbondsAt + 7 days);
        _withdrawReverts(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NoUnbondRequest.selector, node));
        vm.warp(unbondsAt + 7 days - 1);
        vm.prank(owner);
        registry.withdrawUnbonded(node, stranger);
        assertEq(open.balanceOf(stranger), 100e18);
        assertEq(registry.nodeOf(node).bond, 999_900e18);
        _withdrawReverts(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NoUnbondRequest.selector, node));
    }

    function test_UnbondingMoneyStaysReachableByMakeGoods() public {
        vm.prank(owner);
        registry.requestUnbond(node, 1_000_000e18);
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        _resolve(_none());
        assertEq(makeGood, 900e18);
        vm.warp(block.timestamp + 21 days);
        vm.prank(owner);
        registry.withdrawUnbonded(node, stranger);
        assertEq(open.balanceOf(stranger), 1_000_000e18 - 900e18);
    }

    function test_RevertWhen_MoreIsUnbondedThanThereIs() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_BondTooLow.selector, node, 1_000_000e18, 1_000_000e18 + 1));
        vm.prank(owner);
        registry.requestUnbond(node, 1_000_000e18 + 1);
    }

    function test_AnUnbondRequestOfZeroDropsTheFormer() public {
        vm.startPrank(owner);
        registry.requestUnbond(node, 1e18);
        registry.requestUnbond(node, 0);
        vm.stopPrank();
        vm.warp(block.timestamp + 22 days);
        _withdrawReverts(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NoUnbondRequest.selector, node));
    }

    function test_RevertWhen_BondingNothingOrNobodysNode() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_ZeroAmount.selector));
        registry.bond(node, 0);
        vm.expectRevert();
        registry.bond(99, 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_ZeroAddress.selector));
        vm.prank(owner);
        registry.withdrawUnbonded(node, address(0));
    }

    function test_GovernanceSetsTheUnbondingTimeWithinItsRange() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotAllowed.selector, address(this)));
        registry.setUnbondingSeconds(7 days);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_UnbondingOutOfRange.selector, 7 days - 1, 7 days, 60 days));
        registry.setUnbondingSeconds(7 days - 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_UnbondingOutOfRange.selector, 60 days + 1, 7 days, 60 days));
        registry.setUnbondingSeconds(60 days + 1);
        registry.setUnbondingSeconds(60 days);
        registry.setUnbondingSeconds(7 days);
        vm.stopPrank();
        vm.prank(owner);
        registry.requestUnbond(node, 1e18);
        assertEq(registry.nodeOf(node).unbondsAt, block.timestamp + 7 days);
    }

    // ------------------------------------------------------------------------------------------------------------------------------ transfer

    function test_ATransferMovesTheBondAndClearsTheRest() public {
        _match();
        vm.warp(block.timestamp + 2000);
        _settle(_result(1_500_000, Ending.Completed));
        vm.startPrank(owner);
        registry.setPayee(node, stranger);
        registry.setListPrice(node, 20e6);
        registry.requestUnbond(node, 5e18);
        registry.drain(node);
        registry.transferFrom(owner, stranger, node);
        vm.stopPrank();
        INodeRegistry.Node memory n = registry.nodeOf(node);
        assertEq(n.owner, stranger);
        assertEq(n.operator, address(0));
        assertEq(n.payee, stranger);
        assertEq(n.listPrice, 0);
        assertEq(n.pendingListPrice, 0);
        assertEq(n.tier, 0);
        assertEq(n.unbonding, 0);
        assertFalse(n.isDraining);
        assertEq(n.bond, 1_000_000e18);
        INodeRegistry.Stats memory stats = registry.statsOf(node);
        assertEq(stats.successes, 0);
        assertEq(stats.counted, 0);
        assertEq(stats.earnedUsdMicros, 0);
        assertEq(stats.since, block.timestamp);
        assertEq(stats.opened, stats.closed);
    }

    function test_RevertWhen_ANodeWithOpenJobsIsTransferred() public {
        _match();
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_JobsOpen.selector, node, 1));
        vm.prank(owner);
        registry.transferFrom(owner, stranger, node);
        vm.warp(block.timestamp + 100);
        _settle(_result(1000, Ending.HardwareFault));
        vm.prank(owner);
        registry.transferFrom(owner, stranger, node);
        assertEq(registry.ownerOf(node), stranger);
    }

    function test_ASuspensionEndsNeitherByDrainNorByTheOperator() public {
        for (uint256 i = 0; i < 3; ++i) {
            _match();
            vm.warp(block.timestamp + 300);
            _report(_none());
            vm.warp(block.timestamp + WINDOW);
            _resolve(_none());
        }
        vm.prank(owner);
        registry.drain(node);
        assertTrue(registry.nodeOf(node).isSuspended);
        vm.prank(owner);
        registry.resume(node);
        assertFalse(registry.nodeOf(node).isSuspended);
    }

    /// @dev Sets the list price that is in force: it counts from now on, and no raise is pending.
    function _setsAtOnce(uint64 listPrice) private {
        vm.expectEmit(address(registry));
        emit INodeRegistry.ListPriceSet(node, listPrice, listPrice, uint64(block.timestamp));
        registry.setListPrice(node, listPrice);
        INodeRegistry.Node memory n = registry.nodeOf(node);
        assertEq(n.listPrice, listPrice);
        assertEq(n.pendingListPrice, 0);
        assertEq(n.listPriceFrom, 0);
    }

    function _withdrawReverts(bytes memory err) private {
        vm.expectRevert(err);
        vm.prank(owner);
        registry.withdrawUnbonded(node, stranger);
    }
}
