// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobRules} from "../../src/JobRules.sol";
import {Terms, TermsLimits} from "../../src/libraries/JobTerms.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";

/// @dev What of the test runner's interface is needed; all of forge-std takes long to compile.
interface Vm {
    function warp(uint256 time) external;
}

/// @title What usage counts for, at the full widths
/// @dev Runs the market's own rules.
contract JobsSymbolic is JobRules {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 private constant MATCHED_AT = 1_750_000_000;

    constructor() JobRules(address(1), address(2), address(3), address(4), address(5), 10 minutes) {}

    function _terms(uint32 maxSeconds) private pure returns (Terms memory terms) {
        (terms.payer, terms.payee, terms.token) = (address(6), address(7), address(8));
        terms.limits = TermsLimits.pack(MATCHED_AT, maxSeconds, 0, 0, 0, 1, 1);
    }

    // Terms are read from calldata, so the checks call the rules from outside.

    function countedMillis(Terms calldata terms, uint256 millis) external view returns (uint256) {
        return _countedMillis(terms, millis);
    }

    function valueOf(Terms calldata terms, uint256 millis, uint256 egressBytes) external pure returns (uint256) {
        return _valueOf(terms, millis, egressBytes);
    }

    /// @dev Never more than the time since the match, the attempt's limit or what is shown, and one of the three: so a later voucher, shown
    /// later or after an extension, never counts for less.
    function check_CountedTimeIsTheLeastOfThree(uint64 millis, uint32 elapsed, uint32 maxSeconds) external {
        vm.warp(MATCHED_AT + uint256(elapsed));
        uint256 counted = this.countedMillis(_terms(maxSeconds), millis);
        unchecked {
            uint256 elapsedMillis = uint256(elapsed) * 1000;
            uint256 limit = uint256(maxSeconds) * 1000;
            assert(counted <= millis && counted <= elapsedMillis && counted <= limit);
            assert(counted == millis || counted == elapsedMillis || counted == limit);
        }
    }

    /// @dev The cost of the usage, or the escrow where that is less.
    function check_ValueIsTheCostWithinTheEscrow(uint64 millis, uint64 egress, uint128 perHour, uint128 perGiB, uint128 escrow) external view {
        Terms memory terms = _terms(0);
        terms.escrow = escrow;
        (terms.computePerHour, terms.egressPerGiB) = (perHour, perGiB);
        uint256 value = this.valueOf(terms, millis, egress);
        uint256 cost = Pricing.valueRoundedUp(millis, egress, perHour, perGiB);
        assert(value <= escrow && value == (cost < escrow ? cost : escrow));
    }

    /// @dev A later voucher of the same attempt, shown later, and after extensions at that, never counts for less time.
    function check_ALaterVoucherNeverCountsForLess(uint32 millis, uint16 more, uint16 elapsed, uint8 later, uint16 maxSeconds, uint8 extended)
        external
    {
        vm.warp(MATCHED_AT + uint256(elapsed));
        uint256 before = this.countedMillis(_terms(maxSeconds), millis);
        vm.warp(MATCHED_AT + uint256(elapsed) + later);
        assert(this.countedMillis(_terms(uint32(maxSeconds) + extended), uint256(millis) + more) >= before);
    }

    /// @dev And with more usage, more escrow or both it is never worth less.
    /// @custom:halmos --solver-command ../tools/cvc5
    function check_MoreUsageOrEscrowIsNeverWorthLess(
        uint64 millis,
        uint64 later,
        uint64 egress,
        uint64 laterEgress,
        uint128 perHour,
        uint128 perGiB,
        uint128 escrow,
        uint128 laterEscrow
    ) external view {
        if (later < millis || laterEgress < egress || laterEscrow < escrow) return;
        Terms memory terms = _terms(0);
        (terms.computePerHour, terms.egressPerGiB, terms.escrow) = (perHour, perGiB, escrow);
        uint256 before = this.valueOf(terms, millis, egress);
        terms.escrow = laterEscrow;
        assert(this.valueOf(terms, later, laterEgress) >= before);
    }
}
