// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {StakingBooks} from "./StakingBooks.sol";

/// @title Which tier a node has earned and which it has, by the protocol's table and words
abstract contract TierBooks is StakingBooks {
    uint256 internal constant BOND_UNIT_FLOOR = 10_000e18;

    mapping(uint256 node => uint256) public nodeTierInBooks;

    /// @notice The last column of the table of protocol.md, section 7, that holds together with all before it.
    function tierByTheTable(uint256 node) public view returns (uint256 tier) {
        uint256[6][4] memory table = [
            // counted, USD, days, completion %, contested %, bond units
            [uint256(3), 10, 3, 90, 20, 1],
            [uint256(10), 100, 30, 95, 20, 1],
            [uint256(100), 2000, 120, 98, 10, 2],
            [uint256(300), 10_000, 300, 99, 10, 3]
        ];
        INodeRegistry.Stats memory s = registry.statsOf(node);
        for (; tier < 4; ++tier) {
            uint256[6] memory row = table[tier];
            if (s.counted < row[0] || s.earnedUsdMicros / 1e6 < row[1] || (clock - s.since) / 1 days < row[2]) return tier;
            // Shares turned round: at most so many fails, at least so many that nobody contests.
            if (uint256(s.fails) * 100 > (uint256(s.successes) + s.fails) * (100 - row[3])) return tier;
            if ((uint256(s.closed) - s.neutrals) * 100 < uint256(s.closed) * (100 - row[4])) return tier;
            if (!_carries(node, row[5])) return tier;
        }
    }

    /// @dev Whether a node's bond is so many units: 24 days of 24 hours at its list price or the one to come, or the floor.
    function _carries(uint256 node, uint256 units) internal view returns (bool) {
        uint256 rate = cloud.listingOf(address(open)).usdRate;
        INodeRegistry.Node memory n = registry.nodeOf(node);
        uint256 price = n.listPrice > n.pendingListPrice ? n.listPrice : n.pendingListPrice;
        // A bond b is worth b · rate / 10^24 millionths of a USD.
        return rate != 0 && bondInBooks[node] >= units * BOND_UNIT_FLOOR && bondInBooks[node] / units * rate >= 24 * 24 * price * 1e24;
    }

    /// @dev A tier that is carried by so many units only.
    function _unitsOf(uint256 tier) internal pure returns (uint256) {
        return tier < 3 ? 1 : tier - 1;
    }

    /// @dev What an attempt that is matched now has for rates: the listings', the fees, and what the tiers of payer and node give.
    function _ratesNow(address payer, address token, uint256 node) internal view returns (Rates) {
        uint8[5] memory discounts = [0, 50, 100, 150, 250];
        uint8[5] memory bonuses = [0, 0, 50, 150, 250];
        (uint16 stakersBps, uint16 treasuryBps) = cloud.fees();
        return TermsRates.pack(
            cloud.listingOf(token).usdRate,
            cloud.listingOf(address(open)).usdRate,
            stakersBps,
            treasuryBps,
            discounts[tierInBooks(payer)],
            bonuses[nodeTierInBooks[node]]
        );
    }
}
