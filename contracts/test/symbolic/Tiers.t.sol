// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Tiers} from "../../src/libraries/Tiers.sol";

/// @title Gates of node tiers, for every record the registry can hold
contract TiersSymbolic {
    struct Record {
        uint32 closed;
        uint32 successes;
        uint32 fails;
        uint32 neutrals;
        uint32 counted;
        uint64 earnedUsdMicros;
        uint32 ageSeconds;
        uint128 bond;
        uint120 bondUnit;
    }

    function _standing(Record memory r) private pure returns (Tiers.Standing memory) {
        return Tiers.Standing(r.closed, r.successes, r.fails, r.neutrals, r.counted, r.earnedUsdMicros, r.ageSeconds, r.bond, r.bondUnit);
    }

    /// @dev The table of docs/protocol.md, section 7, written as what a tier never lacks.
    function check_NoTierWithoutItsGate(Record memory r) external pure {
        uint8 tier = Tiers.tierOf(_standing(r));
        assert(tier <= 4);
        uint256 done = uint256(r.successes) + r.fails;
        if (tier >= 1) {
            assert(r.counted >= 3 && r.earnedUsdMicros >= 10e6 && r.ageSeconds >= 3 days && r.bond >= r.bondUnit);
            assert(uint256(r.successes) * 100 >= done * 90 && uint256(r.neutrals) * 5 <= r.closed);
        }
        if (tier >= 2) {
            assert(r.counted >= 10 && r.earnedUsdMicros >= 100e6 && r.ageSeconds >= 30 days);
            assert(uint256(r.successes) * 100 >= done * 95);
        }
        if (tier >= 3) {
            assert(r.counted >= 100 && r.earnedUsdMicros >= 2000e6 && r.ageSeconds >= 120 days && r.bond >= 2 * uint256(r.bondUnit));
            assert(uint256(r.successes) * 100 >= done * 98 && uint256(r.neutrals) * 10 <= r.closed);
        }
        if (tier == 4) {
            assert(r.counted >= 300 && r.earnedUsdMicros >= 10_000e6 && r.ageSeconds >= 300 days && r.bond >= 3 * uint256(r.bondUnit));
            assert(uint256(r.successes) * 100 >= done * 99);
        }
    }

    /// @dev Who meets the last gate has the last tier: no gate is harder than a later one.
    function check_TheLastGateIsEnough(Record memory r) external pure {
        uint256 done = uint256(r.successes) + r.fails;
        bool isMet = r.counted >= 300 && r.earnedUsdMicros >= 10_000e6 && r.ageSeconds >= 300 days && r.bond >= 3 * uint256(r.bondUnit)
            && uint256(r.successes) * 100 >= done * 99 && uint256(r.neutrals) * 10 <= r.closed;
        assert((Tiers.tierOf(_standing(r)) == 4) == isMet);
    }

    /// @dev More of what is good, or less of what is not, never costs a tier.
    function check_BetterIsNeverLower(
        Record memory r,
        uint16 counted,
        uint32 usdMicros,
        uint16 ageSeconds,
        uint64 bond,
        uint16 fails,
        uint16 neutrals
    ) external pure {
        Tiers.Standing memory standing = _standing(r);
        if (fails > standing.fails || neutrals > standing.neutrals) return;
        uint8 tier = Tiers.tierOf(standing);
        standing.counted += counted;
        standing.earnedUsdMicros += usdMicros;
        standing.ageSeconds += ageSeconds;
        standing.bond += bond;
        standing.fails -= fails;
        standing.neutrals -= neutrals;
        assert(Tiers.tierOf(standing) >= tier);
    }
}
