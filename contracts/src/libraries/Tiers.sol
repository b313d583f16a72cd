// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The gates of node tiers (docs/protocol.md, section 7)
/// @dev Shares are compared by multiplying, so nothing is rounded.
library Tiers {
    /// @notice What tiers are computed from.
    struct Standing {
        uint256 closed; // attempts closed since registration or last transfer
        uint256 successes;
        uint256 fails;
        uint256 neutrals; // contested, or closed by one side alone
        uint256 counted; // co-signed and worth at least 1 USD
        uint256 earnedUsdMicros; // value of the counted ones
        uint256 ageSeconds; // since registration or last transfer
        uint256 bond; // base units of OPEN
        uint256 bondUnit; // base units of OPEN that one unit is
    }

    /// @notice What one tier asks for.
    struct Gate {
        uint256 counted;
        uint256 earnedUsd;
        uint256 ageDays;
        uint256 completionPercent; // successes of successes and fails, at least
        uint256 contestedPercent; // neutrals of all closed, at most
        uint256 bondUnits;
    }

    /// @dev The highest tier whose gate, and every lower one's, is met.
    function tierOf(Standing memory standing) internal pure returns (uint8 tier) {
        while (tier < 4 && meets(standing, gateOf(tier + 1))) {
            ++tier;
        }
    }

    /// @dev Whether a standing meets a gate.
    function meets(Standing memory standing, Gate memory gate) internal pure returns (bool) {
        return standing.counted >= gate.counted && standing.earnedUsdMicros >= gate.earnedUsd * 1e6 && standing.ageSeconds >= gate.ageDays * 1 days
            && standing.successes * 100 >= (standing.successes + standing.fails) * gate.completionPercent
            && standing.neutrals * 100 <= standing.closed * gate.contestedPercent && carries(standing.bond, standing.bondUnit, gate.bondUnits);
    }

    /// @dev Whether a bond is at least so many units.
    function carries(uint256 bond, uint256 bondUnit, uint256 units) internal pure returns (bool) {
        return bond >= bondUnit * units;
    }

    /// @dev The gate of T1..T4.
    function gateOf(uint256 tier) internal pure returns (Gate memory) {
        if (tier == 1) return Gate(3, 10, 3, 90, 20, 1);
        if (tier == 2) return Gate(10, 100, 30, 95, 20, 1);
        if (tier == 3) return Gate(100, 2000, 120, 98, 10, 2);
        return Gate(300, 10_000, 300, 99, 10, 3);
    }
}
