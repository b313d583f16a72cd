// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title Tiers of nodes on chain. Spec: Tiers.tree
contract TiersTest is Fixture {
    using TermsRates for Rates;

    /// 576 hours of the fixture's 10 USD list price at 0.001 USD an OPEN.
    uint256 private constant UNIT = 5_760_000e18;

    /// @dev Co-signed jobs worth this many millionths of a USD each.
    function _work(uint256 count, uint64 usdMicros) private {
        for (uint256 i = 0; i < count; ++i) {
            Order memory o = _order();
            o.maxCost = usdMicros;
            o.maxSeconds = 30 days;
            _matchOrder(o);
            vm.warp(block.timestamp + usdMicros / 1000 + 1);
            _settle(_result(usdMicros, Ending.Completed)); // a base unit a millisecond
        }
    }

    function _bondUpTo(uint256 amount) private {
        uint256 there = registry.nodeOf(node).bond;
        if (amount > there) registry.bond(node, uint128(amount - there));
    }

    function _toT1() private {
        _work(3, 4e6);
        _bondUpTo(UNIT);
        vm.warp(block.timestamp + 3 days);
        registry.promote(node);
    }

    function test_RevertWhen_NothingIsEarned() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotPromotable.selector, node, 0, 0));
        registry.promote(node);
        vm.expectRevert();
        registry.promote(99);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 99));
        registry.earnedTierOf(99);
    }

    function test_AnyonePromotesOnceEveryGateIsMet() public {
        _work(2, 4e6);
        vm.warp(block.timestamp + 3 days);
        _bondUpTo(UNIT);
        assertEq(registry.earnedTierOf(node), 0); // two jobs
        _work(1, 1e6);
        assertEq(registry.earnedTierOf(node), 0); // nine dollars
        _work(1, 1e6);
        assertEq(registry.earnedTierOf(node), 1);
        vm.expectEmit();
        emit INodeRegistry.TierChanged(node, 0, 1);
        vm.prank(stranger);
        registry.promote(node);
        assertEq(registry.tierOf(node), 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotPromotable.selector, node, 1, 1));
        registry.promote(node);
    }

    function test_AgeAndBondAreGates() public {
        _work(3, 4e6);
        _bondUpTo(UNIT - 1);
        vm.warp(block.timestamp + 3 days);
        assertEq(registry.earnedTierOf(node), 0);
        registry.bond(node, 1);
        assertEq(registry.earnedTierOf(node), 1);
        vm.warp(registry.statsOf(node).since + 3 days - 1);
        assertEq(registry.earnedTierOf(node), 0);
    }

    function test_TheBondUnitFollowsListPriceRateAndFloor() public {
        assertEq(registry.bondUnitOf(node), UNIT);
        vm.startPrank(owner);
        registry.setListPrice(node, 10_000); // a cent an hour: 5,760 OPEN, below the floor
        assertEq(registry.bondUnitOf(node), 10_000e18);
        registry.setListPrice(node, 20e6); // to come in a day, counted at once
        assertEq(registry.bondUnitOf(node), 2 * UNIT);
        vm.stopPrank();
        vm.prank(governance);
        cloud.setListing(address(open), 0, 0);
        assertEq(registry.bondUnitOf(node), 0);
        assertEq(registry.earnedTierOf(node), 0);
    }

    function test_ARaiseTheBondDoesNotCarryTakesTheTierAtOnce() public {
        _toT1();
        vm.startPrank(owner);
        registry.setListPrice(node, 9e6); // a cut
        assertEq(registry.tierOf(node), 1);
        registry.setListPrice(node, 10e6); // a raise the bond carries
        assertEq(registry.tierOf(node), 1);
        vm.expectEmit();
        emit INodeRegistry.TierChanged(node, 1, 0);
        registry.setListPrice(node, 11e6);
        assertEq(registry.tierOf(node), 0);
    }

    /// @dev Only a raise asks whether the bond still carries the tier: a price said again does not.
    function test_AListPriceSaidAgainTakesNoTier() public {
        _toT1();
        uint96 halfRate = cloud.listingOf(address(open)).usdRate / 2;
        vm.prank(governance);
        cloud.setListing(address(open), halfRate, 0);
        assertEq(registry.earnedTierOf(node), 0); // OPEN is worth half: the bond no longer carries it
        vm.prank(owner);
        registry.setListPrice(node, 10e6);
        assertEq(registry.tierOf(node), 1);
    }

    /// @dev A node that bills egress alone needs no list price; its first one counts at once and is a raise all the same.
    function test_AFirstPriceTheBondDoesNotCarryTakesTheTier() public {
        vm.prank(owner);
        uint256 id = registry.register(operator.addr, keccak256("hardware"), "RTX 4090");
        registry.bond(id, 10_000e18);
        for (uint256 i = 0; i < 3; ++i) {
            Order memory o = _order();
            Bid memory b = _bid(o, id);
            (b.computePerHour, b.egressPerGiB) = (0, 1e6);
            bytes memory sig = _sign(operator, hashes.hashBid(b));
            vm.prank(o.payer);
            jobId = cloud.matchOrder(o, "", b, sig);
            _sync();
            vm.warp(block.timestamp + 100);
            Result memory r = _result(1000, Ending.Completed);
            r.egressBytes = 4 << 30;
            _settle(r);
        }
        vm.warp(block.timestamp + 3 days);
        registry.promote(id);
        assertEq(registry.tierOf(id), 1);
        vm.prank(owner);
        registry.setListPrice(id, 10e6);
        assertEq(registry.nodeOf(id).listPrice, 10e6);
        assertEq(registry.bondUnitOf(id), UNIT);
        assertEq(registry.tierOf(id), 0);
    }

    function test_TheBondUnitIsRoundedUp() public {
        vm.prank(governance);
        cloud.setListing(address(open), 7, 0); // 5.76e33 / 7 is no whole number
        uint256 unit = registry.bondUnitOf(node);
        assertGe(unit * 7, 10e6 * 576 * 1e24);
        assertLt((unit - 1) * 7, 10e6 * 576 * 1e24);
    }

    function test_FailUnbondAndTransferTakeTheTier() public {
        _toT1();
        uint256 id = vm.snapshotState();
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(1000, Ending.HardwareFault));
        assertEq(registry.tierOf(node), 0);
        vm.revertToState(id);
        vm.prank(owner);
        registry.transferFrom(owner, stranger, node);
        assertEq(registry.tierOf(node), 0);
        assertEq(registry.earnedTierOf(node), 0);
        vm.revertToState(id);
        vm.startPrank(owner);
        registry.requestUnbond(node, 1);
        vm.warp(block.timestamp + 21 days);
        registry.withdrawUnbonded(node, owner);
        assertEq(registry.tierOf(node), 0);
    }

    function test_ATierLiftsTheT0CapAndMeetsAnOrdersMinTier() public {
        Order memory o = _order();
        o.minTier = 1;
        bytes memory err = abi.encodeWithSelector(IJobEvents.JobMarket_TierTooLow.selector, 0, 1);
        _expectMatchRevert(o, err);
        _toT1();
        o = _order();
        o.minTier = 1;
        o.maxCost = 100e6; // above the 5 USD of T0
        _matchOrder(o);
        assertEq(terms.rates.bonusBps(), 0);
        o = _order();
        o.minTier = 2;
        _expectMatchRevert(o, abi.encodeWithSelector(IJobEvents.JobMarket_TierTooLow.selector, 1, 2));
    }

    function test_T2HasABonusOutOfTheTreasurysPart() public {
        _toT1();
        _work(7, 13e6);
        vm.warp(registry.statsOf(node).since + 30 days);
        registry.promote(node);
        assertEq(registry.tierOf(node), 2);
        uint256 before = cloud.credits(owner, address(usdc));
        _work(1, 10e6);
        assertEq(terms.rates.bonusBps(), 50);
        assertEq(cloud.credits(owner, address(usdc)) - before, 10e6 * (8300 + 50) / 10_000);
        assertEq(settlement.treasuryPart, 10e6 * 450 / 10_000);
        assertEq(settlement.stakersPart, 10e6 * 12 / 100);
    }

    function test_GovernanceSetsTheFloorWithinHardCaps() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NotAllowed.selector, address(this)));
        registry.setBondUnitFloor(2000e18);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_BondUnitFloorOutOfRange.selector, 1000e18 - 1, 1000e18, 1_000_000e18));
        registry.setBondUnitFloor(1000e18 - 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_BondUnitFloorOutOfRange.selector, 1_000_000e18 + 1, 1000e18, 1_000_000e18));
        registry.setBondUnitFloor(1_000_000e18 + 1);
        vm.expectEmit();
        emit INodeRegistry.BondUnitFloorSet(10_000e18, 2000e18);
        registry.setBondUnitFloor(2000e18);
        assertEq(registry.bondUnitFloor(), 2000e18);
        registry.setBondUnitFloor(1_000_000e18);
        registry.setBondUnitFloor(1000e18);
    }

    function _expectMatchRevert(Order memory o, bytes memory err) private {
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.expectRevert(err);
        vm.prank(o.payer);
        cloud.matchOrder(o, "", b, sig);
    }
}
