// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Tiers} from "../../src/libraries/Tiers.sol";

/// @title Gates of tiers beside the table written once more, and that more never earns less
contract TiersFuzzTest is Test {
    function _standing(uint256 seed) private pure returns (Tiers.Standing memory s) {
        s.successes = _at(seed, 0) % 700;
        s.fails = _at(seed, 1) % 4 == 0 ? _at(seed, 2) % 40 : _at(seed, 2) % 4;
        s.neutrals = _at(seed, 3) % 4 == 0 ? _at(seed, 4) % 200 : _at(seed, 4) % 20;
        s.closed = s.successes + s.fails + s.neutrals + _at(seed, 5) % 50;
        s.counted = _at(seed, 6) % (s.successes + 1);
        s.earnedUsdMicros = _at(seed, 7) % 20_000e6;
        s.ageSeconds = _at(seed, 8) % 400 days;
        s.bondUnit = 10_000e18 + _at(seed, 9) % 1e24;
        s.bond = _at(seed, 10) % (4 * s.bondUnit);
    }

    function _at(uint256 seed, uint256 n) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, n)));
    }

    /// @dev The table of docs/protocol.md, section 7, with shares as fractions of 10^18.
    function _reference(Tiers.Standing memory s) private pure returns (uint8) {
        uint256 done = s.successes + s.fails == 0 ? 1e18 : s.successes * 1e18 / (s.successes + s.fails);
        bool isDoneExact = s.successes + s.fails == 0;
        uint256 contested = s.closed == 0 ? 0 : (s.neutrals * 1e18 + s.closed - 1) / s.closed;
        uint16[6][4] memory table = [
            [uint16(3), 10, 3, 90, 20, 1],
            [uint16(10), 100, 30, 95, 20, 1],
            [uint16(100), 2000, 120, 98, 10, 2],
            [uint16(300), 10_000, 300, 99, 10, 3]
        ];
        for (uint8 tier = 4; tier != 0; --tier) {
            uint16[6] memory g = table[tier - 1];
            if (
                s.counted >= g[0] && s.earnedUsdMicros >= uint256(g[1]) * 1e6 && s.ageSeconds >= uint256(g[2]) * 86_400
                    && (isDoneExact || done >= uint256(g[3]) * 1e16) && contested <= uint256(g[4]) * 1e16 && s.bond >= uint256(g[5]) * s.bondUnit
            ) return tier;
        }
        return 0;
    }

    function testFuzz_TheTableSaysTheSame(uint256 seed) public pure {
        for (uint256 i = 0; i < 16; ++i) {
            Tiers.Standing memory s = _standing(_at(seed, 1000 + i));
            assertEq(Tiers.tierOf(s), _reference(s));
        }
    }

    function testFuzz_MoreNeverEarnsLessAndWorseNeverMore(uint256 seed) public pure {
        Tiers.Standing memory s = _standing(seed);
        uint8 tier = Tiers.tierOf(s);
        uint256 more = 1 + _at(seed, 99) % 100;
        s.counted += more;
        s.earnedUsdMicros += more * 1e6;
        s.ageSeconds += more * 1 days;
        s.bond += more * 1e20;
        s.successes += more;
        s.closed += more;
        assertGe(Tiers.tierOf(s), tier);
        tier = Tiers.tierOf(s);
        s.fails += more;
        assertLe(Tiers.tierOf(s), tier);
        tier = Tiers.tierOf(s);
        s.neutrals += more;
        assertLe(Tiers.tierOf(s), tier);
    }
}
