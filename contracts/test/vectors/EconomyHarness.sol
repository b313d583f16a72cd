// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rates} from "../../src/libraries/JobTerms.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";
import {Tiers} from "../../src/libraries/Tiers.sol";

/// @title The economy's arithmetic for many inputs in one call
/// @notice Rust calls it on a chain with random inputs, beside its own (`economy` in the chain crate's tests).
contract EconomyHarness {
    struct Usage {
        uint64 billedMillis;
        uint64 egressBytes;
        uint128 computePerHour;
        uint128 egressPerGiB;
    }

    struct Payment {
        uint128 oldValue;
        uint128 newValue;
        Rates rates;
    }

    function costs(Usage[] calldata usages) external pure returns (uint256[] memory values) {
        values = new uint256[](usages.length);
        for (uint256 i = 0; i < usages.length; ++i) {
            Usage calldata usage = usages[i];
            values[i] = Pricing.valueRoundedUp(usage.billedMillis, usage.egressBytes, usage.computePerHour, usage.egressPerGiB);
        }
    }

    function splits(Payment[] calldata payments) external pure returns (Pricing.Split[] memory whole, Pricing.Split[] memory moved) {
        whole = new Pricing.Split[](payments.length);
        moved = new Pricing.Split[](payments.length);
        for (uint256 i = 0; i < payments.length; ++i) {
            Payment calldata payment = payments[i];
            whole[i] = Pricing.split(payment.newValue, payment.rates);
            moved[i] = Pricing.splitIncrease(payment.oldValue, payment.newValue, payment.rates);
        }
    }

    function tiers(Tiers.Standing[] calldata standings) external pure returns (uint8[] memory found) {
        found = new uint8[](standings.length);
        for (uint256 i = 0; i < standings.length; ++i) {
            found[i] = Tiers.tierOf(standings[i]);
        }
    }

    function gateOf(uint256 tier) external pure returns (Tiers.Gate memory) {
        return Tiers.gateOf(tier);
    }
}
