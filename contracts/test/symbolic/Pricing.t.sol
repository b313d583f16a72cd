// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";

/// @title Cost formula and fee split, for all values of the stated widths
/// @notice Products of unknowns and their quotients are hard for solvers of bits, so these checks are decided in integers, at the market's widths.
/// @custom:halmos --solver-command ../tools/cvc5
contract PricingSymbolic {
    uint256 private constant DENOMINATOR = 3_600_000 << 30;

    /// @dev Its definition: the least number that, times the denominator, is not below the numerator. Nothing wraps: 64 + 128 + 30 bits.
    function check_ValueIsTheFractionRoundedUp(uint64 millis, uint64 bytesOut, uint128 perHour, uint128 perGiB) external pure {
        // Unchecked: solvers meet the check of a product as a quotient.
        unchecked {
            uint256 numerator = uint256(millis) * perHour * (1 << 30) + uint256(bytesOut) * perGiB * 3_600_000;
            uint256 value = Pricing.valueRoundedUp(millis, bytesOut, perHour, perGiB);
            assert(value * DENOMINATOR >= numerator);
            assert(value == 0 || (value - 1) * DENOMINATOR < numerator);
        }
    }

    /// @dev More time, more bytes or both are never worth less.
    function check_MoreUsageIsNeverWorthLess(uint64 millis, uint64 later, uint64 bytesOut, uint64 laterBytes, uint128 perHour, uint128 perGiB)
        external
        pure
    {
        if (later < millis || laterBytes < bytesOut) return;
        assert(Pricing.valueRoundedUp(later, laterBytes, perHour, perGiB) >= Pricing.valueRoundedUp(millis, bytesOut, perHour, perGiB));
    }

    /// @dev Of a larger value stakers never get less, whatever their share.
    function check_StakersOfMoreGetNoLess(uint128 oldValue, uint128 newValue, uint16 stakersBps) external pure {
        if (newValue < oldValue) return;
        Rates rates = TermsRates.pack(1, 1, stakersBps, 0, 0, 0);
        assert(Pricing.split(newValue, rates).stakers >= Pricing.split(oldValue, rates).stakers);
    }

    /// @dev A base unit more is never paid with less; so, unit by unit, no larger value is.
    function check_PayerOfOneMorePaysNoLess(uint128 value, uint16 treasuryBps, uint16 discountBps) external pure {
        if (treasuryBps > 500 || discountBps > 250) return;
        Rates rates = TermsRates.pack(1, 1, 0, treasuryBps, discountBps, 0);
        unchecked {
            uint256 more = uint256(value) + 1;
            // Neither of the two that the discount is the lesser of grows by more than a unit: steps, proved like what they lead to.
            assert(more * discountBps / 10_000 <= uint256(value) * discountBps / 10_000 + 1);
            assert(more * treasuryBps / 10_000 <= uint256(value) * treasuryBps / 10_000 + 1);
            assert(Pricing.paidOf(more, rates) >= Pricing.paidOf(value, rates));
        }
    }

    /// @dev Stakers get exactly their share, and the four parts are the value, whatever the rates.
    function check_PartsAreTheValue(uint128 value, uint256 rates) external pure {
        Rates given = Rates.wrap(rates);
        Pricing.Split memory parts = Pricing.split(value, given);
        unchecked {
            assert(parts.node + parts.stakers + parts.treasury + parts.discount == value);
        }
        assert(parts.stakers == uint256(value) * TermsRates.stakersBps(given) / 10_000);
        assert(Pricing.paidOf(value, given) == value - parts.discount);
    }

    /// @dev A part that went below zero would be above the value.
    function check_NoPartIsNegative(uint128 value, uint16 stakersBps, uint16 treasuryBps, uint16 discountBps, uint16 bonusBps) external pure {
        if (stakersBps > 1500 || treasuryBps > 500 || discountBps > 250 || bonusBps > 250) return;
        Pricing.Split memory parts = Pricing.split(value, TermsRates.pack(1, 1, stakersBps, treasuryBps, discountBps, bonusBps));
        assert(parts.node <= value && parts.stakers <= value && parts.treasury <= value && parts.discount <= value);
        // The node's part without bonus is never touched by a discount.
        assert(parts.node >= value - parts.stakers - uint256(value) * treasuryBps / 10_000);
    }

    /// @dev An increase moves exactly what the payer pays more, whatever the shares, discount and bonus.
    function check_IncreaseMovesWhatThePayerPaysMore(uint128 oldValue, uint128 newValue, uint256 given) external pure {
        Rates rates = Rates.wrap(given);
        if (newValue < oldValue || TermsRates.stakersBps(rates) > 1500 || TermsRates.treasuryBps(rates) > 500) return;
        if (TermsRates.discountBps(rates) > 250 || TermsRates.bonusBps(rates) > 250) return;
        Pricing.Split memory moved = Pricing.splitIncrease(oldValue, newValue, rates);
        uint256 paidMore = Pricing.paidOf(newValue, rates) - Pricing.paidOf(oldValue, rates);
        assert(moved.node + moved.stakers + moved.treasury == paidMore);
        assert(moved.discount + paidMore == uint256(newValue) - oldValue);
    }
}
