// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";
import {MessagesHarness} from "../vectors/MessagesHarness.sol";

/// @title Cost and fee split over their whole range
contract PricingFuzzTest is Test {
    MessagesHarness private harness = new MessagesHarness();

    /// @dev value·d ≥ numerator > (value − 1)·d, with d = 3,600,000·2^30: rounded up, once.
    function testFuzz_ValueIsTheLeastNotBelowTheFraction(uint64 millis, uint64 bytesOut, uint128 perHour, uint128 perGiB) public view {
        uint256 value = harness.valueRoundedUp(millis, bytesOut, perHour, perGiB);
        uint256 numerator = uint256(millis) * perHour * (1 << 30) + uint256(bytesOut) * perGiB * 3_600_000;
        uint256 denominator = uint256(3_600_000) << 30;
        assertGe(value * denominator, numerator);
        if (value != 0) assertLt((value - 1) * denominator, numerator);
    }

    function testFuzz_MoreUsageNeverCostsLess(uint64 millis, uint64 more, uint64 bytesOut, uint128 perHour, uint128 perGiB) public view {
        more = uint64(bound(more, millis, type(uint64).max));
        assertGe(harness.valueRoundedUp(more, bytesOut, perHour, perGiB), harness.valueRoundedUp(millis, bytesOut, perHour, perGiB));
    }

    function testFuzz_PartsAndDiscountAreTheValue(uint128 value, uint256 seed) public view {
        Rates rates = _rates(seed);
        Pricing.Split memory parts = harness.split(value, rates);
        assertEq(parts.node + parts.stakers + parts.treasury + parts.discount, value);
        assertEq(parts.stakers, uint256(value) * TermsRates.stakersBps(rates) / 10_000);
        assertLe(parts.discount + parts.treasury, uint256(value) * TermsRates.treasuryBps(rates) / 10_000);
        assertEq(harness.paidOf(value, rates), value - parts.discount);
        // The node's part without bonus is never touched by a discount.
        assertGe(parts.node, uint256(value) - parts.stakers - uint256(value) * TermsRates.treasuryBps(rates) / 10_000);
    }

    /// @dev Paid in any two steps it is the same money as paid at once, to the base unit; stakers never lose one.
    function testFuzz_StepsPayWhatOnePaymentPays(uint128 first, uint128 second, uint256 seed, bool isSmall) public view {
        Rates rates = _rates(seed);
        if (isSmall) (first, second) = (first % 300, second % 8);
        uint256 total = bound(uint256(first) + second, first, type(uint128).max);
        Pricing.Split memory one = harness.splitIncrease(0, first, rates);
        Pricing.Split memory two = harness.splitIncrease(first, total, rates);
        uint256 moved = one.node + one.stakers + one.treasury + two.node + two.stakers + two.treasury;
        assertEq(moved, harness.paidOf(total, rates));
        Pricing.Split memory whole = harness.split(total, rates);
        // Rounding moves at most two base units between the parts.
        assertApproxEqAbs(one.node + two.node, whole.node, 2);
        assertApproxEqAbs(one.stakers + two.stakers, whole.stakers, 1);
    }

    /// @dev docs/protocol.md, section 7.
    /// @dev At 100 base units both shares of 12 and 5 percent come to a whole one more, and there is one: the stakers come first, the treasury second.
    function test_WhenOneBaseUnitIsAllTheStakersHaveIt() public view {
        Rates rates = TermsRates.pack(1e24, 1e9, 1200, 500, 0, 0);
        Pricing.Split memory moved = harness.splitIncrease(99, 100, rates);
        assertEq(abi.encode(moved.stakers, moved.treasury, moved.node), abi.encode(1, 0, 0));
        moved = harness.splitIncrease(99, 101, rates);
        assertEq(abi.encode(moved.stakers, moved.treasury, moved.node), abi.encode(1, 1, 0));
    }

    function test_EveryTierHasItsDiscountAndBonus() public pure {
        uint16[5] memory discounts = [uint16(0), 50, 100, 150, 250];
        uint16[5] memory bonuses = [uint16(0), 0, 50, 150, 250];
        for (uint256 tier = 0; tier < 5; ++tier) {
            assertEq(Pricing.discountBpsOfTier(tier), discounts[tier]);
            assertEq(Pricing.bonusBpsOfTier(tier), bonuses[tier]);
        }
    }

    function testFuzz_PaidNeverFallsWithTheValue(uint128 value, uint256 seed) public view {
        value = uint128(bound(value, 0, type(uint128).max - 1));
        Rates rates = _rates(seed);
        assertGe(harness.paidOf(uint256(value) + 1, rates), harness.paidOf(value, rates));
    }

    function _rates(uint256 seed) private pure returns (Rates) {
        uint256[5] memory discounts = [uint256(0), 50, 100, 150, 250];
        uint256[4] memory bonuses = [uint256(0), 50, 150, 250];
        return TermsRates.pack(1e24, 1e9, seed % 1501, (seed >> 16) % 501, discounts[(seed >> 32) % 5], bonuses[(seed >> 40) % 4]);
    }
}
