// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rates, TermsRates} from "./JobTerms.sol";

/// @title Cost of usage, fee split and conversions between tokens
/// @dev The same arithmetic is in `opengpu-core`; `test/vectors` holds both to it. Amounts are base units.
library Pricing {
    using TermsRates for Rates;

    uint256 internal constant BPS = 10_000;
    /// By tier, T0 in the lowest 16 bits: 0, 50, 100, 150, 250.
    uint256 private constant DISCOUNT_BPS = 50 << 16 | 100 << 32 | 150 << 48 | 250 << 64;
    /// By tier, T0 in the lowest 16 bits: 0, 0, 50, 150, 250.
    uint256 private constant BONUS_BPS = 50 << 32 | 150 << 48 | 250 << 64;
    uint256 private constant MILLIS_PER_HOUR = 3_600_000;
    uint256 private constant BYTES_PER_GIB = 1 << 30;
    /// 10^18 base units × 10^6 millionths of a millionth in a millionth.
    uint256 private constant RATE_TO_USD_MICROS = 1e24;

    /// @notice Where a value goes. `node + stakers + treasury + discount` is the value.
    struct Split {
        uint256 node;
        uint256 stakers;
        uint256 treasury;
        uint256 discount;
    }

    /// @dev Value of cumulative usage: one fraction, rounded up once. Cannot overflow: 64 + 128 + 30 bits.
    function valueRoundedUp(uint256 billedMillis, uint256 egressBytes, uint256 computePerHour, uint256 egressPerGiB) internal pure returns (uint256) {
        unchecked {
            uint256 numerator = billedMillis * computePerHour * BYTES_PER_GIB + egressBytes * egressPerGiB * MILLIS_PER_HOUR;
            uint256 denominator = MILLIS_PER_HOUR * BYTES_PER_GIB;
            return (numerator + denominator - 1) / denominator;
        }
    }

    /// @dev Splits a cumulative value: stakers and treasury rounded down, dust to the node; discount, then bonus, out of the treasury's part.
    function split(uint256 value, Rates rates) internal pure returns (Split memory parts) {
        unchecked {
            parts.stakers = value * rates.stakersBps() / BPS;
            uint256 treasury = value * rates.treasuryBps() / BPS;
            parts.node = value - parts.stakers - treasury;
            parts.discount = _min(value * rates.discountBps() / BPS, treasury);
            uint256 bonus = _min(value * rates.bonusBps() / BPS, treasury - parts.discount);
            parts.node += bonus;
            parts.treasury = treasury - parts.discount - bonus;
        }
    }

    /// @dev Discount of a payer by its stake tier T0..T4, hundredths of a percent.
    function discountBpsOfTier(uint256 tier) internal pure returns (uint256) {
        return uint16(DISCOUNT_BPS >> 16 * tier);
    }

    /// @dev Bonus of a node by its tier T0..T4, hundredths of a percent.
    function bonusBpsOfTier(uint256 tier) internal pure returns (uint256) {
        return uint16(BONUS_BPS >> 16 * tier);
    }

    /// @dev What a payer pays for a value: the value less its discount.
    function paidOf(uint256 value, Rates rates) internal pure returns (uint256) {
        unchecked {
            return value - _min(value * rates.discountBps() / BPS, value * rates.treasuryBps() / BPS);
        }
    }

    /// @dev What an increase of an attempt's value moves. Rounding can make a part of the larger value smaller by a base unit; then the stakers come
    /// first, the treasury second, and the sum is exactly what the payer pays more.
    function splitIncrease(uint256 oldValue, uint256 newValue, Rates rates) internal pure returns (Split memory moved) {
        moved = split(newValue, rates);
        if (oldValue == 0) return moved;
        Split memory before = split(oldValue, rates);
        uint256 paid = newValue - moved.discount - (oldValue - before.discount);
        moved.discount = newValue - oldValue - paid;
        moved.stakers = _min(moved.stakers - before.stakers, paid);
        moved.treasury = moved.treasury > before.treasury ? _min(moved.treasury - before.treasury, paid - moved.stakers) : 0;
        moved.node = paid - moved.stakers - moved.treasury;
    }

    /// @dev Millionths of a USD that an amount is worth, rounded down.
    function usdMicrosRoundedDown(uint256 amount, uint256 usdRate) internal pure returns (uint256) {
        return amount * usdRate / RATE_TO_USD_MICROS;
    }

    /// @dev Millionths of a USD that an amount is worth, rounded up.
    function usdMicrosRoundedUp(uint256 amount, uint256 usdRate) internal pure returns (uint256) {
        return (amount * usdRate + RATE_TO_USD_MICROS - 1) / RATE_TO_USD_MICROS;
    }

    /// @dev OPEN worth as much as an amount of the job's token at the rates of the match, rounded down; 0 while OPEN has no rate.
    function openRoundedDown(uint256 amount, Rates rates) internal pure returns (uint256) {
        uint256 openRate = rates.openRate();
        return openRate == 0 ? 0 : amount * rates.usdRate() / openRate;
    }

    /// @dev The same at the rates of the match or at those listed now, whichever is less. What is not listed now counts at its rate of the match.
    function leastOpenRoundedDown(uint256 amount, Rates rates, uint256 usdRateNow, uint256 openRateNow) internal pure returns (uint256) {
        if (usdRateNow == 0) usdRateNow = rates.usdRate();
        if (openRateNow == 0) openRateNow = rates.openRate();
        uint256 then = openRoundedDown(amount, rates);
        return then == 0 ? 0 : _min(then, amount * usdRateNow / openRateNow);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
