// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobHash, Progress, Rates, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Messages, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";

/// @title The libraries' internal functions, callable from tests
contract MessagesHarness {
    function hashOrder(Order calldata order) external pure returns (bytes32) {
        return Messages.hashOrder(order);
    }

    function hashBid(Bid calldata bid) external pure returns (bytes32) {
        return Messages.hashBid(bid);
    }

    function hashVoucher(Voucher calldata voucher) external pure returns (bytes32) {
        return Messages.hashVoucher(voucher);
    }

    function hashResult(Result calldata result) external pure returns (bytes32) {
        return Messages.hashResult(result);
    }

    function hashApprove(bytes32 resultHash, uint8 rating) external pure returns (bytes32) {
        return Messages.hashApprove(resultHash, rating);
    }

    function hashExtend(Extend calldata ext) external pure returns (bytes32) {
        return Messages.hashExtend(ext);
    }

    function hashTerms(Terms memory terms, Progress memory progress) external pure returns (bytes24) {
        return JobHash.ofSlot(JobHash.ofNewTerms(terms), progress);
    }

    function valueRoundedUp(uint256 billedMillis, uint256 egressBytes, uint256 computePerHour, uint256 egressPerGiB) external pure returns (uint256) {
        return Pricing.valueRoundedUp(billedMillis, egressBytes, computePerHour, egressPerGiB);
    }

    function split(uint256 value, Rates rates) external pure returns (Pricing.Split memory) {
        return Pricing.split(value, rates);
    }

    function splitIncrease(uint256 oldValue, uint256 newValue, Rates rates) external pure returns (Pricing.Split memory) {
        return Pricing.splitIncrease(oldValue, newValue, rates);
    }

    function paidOf(uint256 value, Rates rates) external pure returns (uint256) {
        return Pricing.paidOf(value, rates);
    }
}
