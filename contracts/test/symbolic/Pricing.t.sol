// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";

/// @title Cost formula and fee split, for all values of the stated widths
/// @notice Products of two unknowns and their quotients are what solvers find hardest, so a check that needs them is about fewer bits than the market
/// allows. The others hold for the full widths. The fuzz tests have the same properties at the full widths, by sampling.
contract PricingSymbolic {
    uint256 private constant DENOMINATOR = 3_600_000 << 30;

    /// @dev Its definition at the full widths: the fraction rounded up. It has 64 + 128 + 30 bits at most and cannot wrap, so it
    /// never falls with more usage. Comparing two such quotients is beyond solvers; the fuzz tests do.
    function check_ValueIsTheFractionRoundedUp(uint64 millis, uint64 bytesOut, uint128 perHour, uint128 perGiB) external pure {
        // Unchecked: solvers meet the check of a product as a quotient.
        unchecked {
            uint256 numerator = uint256(millis) * perHour * (1 << 30) + uint256(bytesOut) * perGiB * 3_600_000;
            uint256 value = Pricing.valueRoundedUp(millis, bytesOut, perHour, perGiB);
            assert(value == (numerator + DENOMINATOR - 1) / DENOMINATOR);
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
    function check_NoPartIsNegative(uint16 value, uint16 stakersBps, uint16 treasuryBps, uint16 discountBps, uint16 bonusBps) external pure {
        if (stakersBps > 1500 || treasuryBps > 500 || discountBps > 250 || bonusBps > 250) return;
        Pricing.Split memory parts = Pricing.split(value, TermsRates.pack(1, 1, stakersBps, treasuryBps, discountBps, bonusBps));
        assert(parts.node <= value && parts.stakers <= value && parts.treasury <= value && parts.discount <= value);
        // The node's part without bonus is never touched by a discount.
        assert(parts.node >= value - parts.stakers - uint256(value) * treasuryBps / 10_000);
    }

    /// @dev An increase moves exactly what the payer pays more, at the default shares and any discount and bonus.
    function check_IncreaseMovesWhatThePayerPaysMore(uint16 oldValue, uint16 newValue, uint16 discountBps, uint16 bonusBps) external pure {
        if (newValue < oldValue || discountBps > 250 || bonusBps > 250) return;
        Rates rates = TermsRates.pack(1, 1, 1200, 500, discountBps, bonusBps);
        Pricing.Split memory moved = Pricing.splitIncrease(oldValue, newValue, rates);
        uint256 paidMore = Pricing.paidOf(newValue, rates) - Pricing.paidOf(oldValue, rates);
        assert(moved.node + moved.stakers + moved.treasury == paidMore);
        assert(moved.discount + paidMore == uint256(newValue) - oldValue);
    }
}
