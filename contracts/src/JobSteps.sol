// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobRules} from "./JobRules.sol";
import {ICloudWallet} from "./interfaces/ICloudWallet.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Ending, JobState, Limits, Progress, Rates, Settlement, Terms, TermsLimits, TermsRates} from "./libraries/JobTerms.sol";
import {Bid, Messages, Order} from "./libraries/Messages.sol";
import {Pricing} from "./libraries/Pricing.sol";

/// @title The steps of a job's life that several calls share
/// @notice Fixing terms, paying an attempt, counting its end in the node's record, closing or interrupting the job.
abstract contract JobSteps is JobRules {
    using TermsLimits for Limits;
    using TermsRates for Rates;

    /// A counted job is worth at least one USD, in millionths.
    uint256 private constant COUNTED_USD_MICROS = 1e6;

    /// @dev Checks a bid against its order, counts a new attempt at the node and fixes its terms.
    function _fixTerms(
        bytes32 jobId,
        uint256 attempt,
        Order calldata order,
        Bid calldata bid,
        bytes calldata bidSig,
        uint128 escrow,
        uint256 maxSeconds
    ) internal returns (Terms memory terms) {
        if (bid.jobId != jobId) revert JobMarket_WrongJob(jobId, bid.jobId, attempt);
        if (block.timestamp >= bid.expiresAt) revert JobMarket_Expired(bid.expiresAt);
        if (bid.computePerHour > order.maxPricePerHour) revert JobMarket_PriceAboveCeiling(bid.computePerHour, order.maxPricePerHour);
        if (bid.egressPerGiB > order.maxEgressPerGiB) revert JobMarket_EgressPriceAboveCeiling(bid.egressPerGiB, order.maxEgressPerGiB);
        if (bid.readyWithinSeconds > order.readyWithinSeconds) revert JobMarket_ReadyTooLate(bid.readyWithinSeconds, order.readyWithinSeconds);

        uint256 usdRate = _listings[order.token].usdRate;
        if (usdRate == 0) revert ICloudWallet.CloudWallet_TokenNotListed(order.token);
        (address operator, address payee, uint8 tier, uint64 listPrice) = INodeRegistry(_nodeRegistry).openJob(bid.node);
        _requireKey(operator, _hashTypedDataV4(Messages.hashBid(bid)), bidSig);
        uint256 asked = Pricing.usdMicrosRoundedUp(bid.computePerHour, usdRate);
        if (asked > listPrice) revert JobMarket_PriceAboveListPrice(asked, listPrice);
        if (tier < order.minTier) revert JobMarket_TierTooLow(tier, order.minTier);
        if (tier == 0) _requireT0Cap(order.token, escrow);

        terms.payer = order.payer;
        terms.signer = order.signer;
        terms.token = order.token;
        terms.operator = operator;
        terms.payee = payee;
        terms.budget = order.budget;
        terms.node = bid.node;
        terms.specDigest = order.specDigest;
        terms.escrow = escrow;
        terms.computePerHour = bid.computePerHour;
        terms.egressPerGiB = bid.egressPerGiB;
        terms.rates = _ratesOf(order.payer, usdRate, tier);
        terms.limits =
            TermsLimits.pack(block.timestamp, maxSeconds, bid.readyWithinSeconds, bid.quotedSeconds, order.verifyLevel, order.maxAttempts, attempt);
    }

    /// @dev Rates and fee shares as a match finds them.
    function _ratesOf(address payer, uint256 usdRate, uint256 nodeTier) private view returns (Rates) {
        MatchParameters storage parameters = _matchParameters;
        return TermsRates.pack(
            usdRate,
            parameters.openRate,
            parameters.stakersBps,
            parameters.treasuryBps,
            Pricing.discountBpsOfTier(_payerTier(payer)),
            Pricing.bonusBpsOfTier(nodeTier)
        );
    }

    /// @dev Pays what an attempt's value grew by: the node in credits, stakers and treasury in booked revenue.
    function _pay(Terms calldata terms, uint256 oldValue, uint256 newValue) internal returns (Pricing.Split memory moved) {
        if (newValue == oldValue) return moved;
        moved = Pricing.splitIncrease(oldValue, newValue, terms.rates);
        _credit(terms.payee, terms.token, moved.node);
        _bookRevenue(terms.token, moved.stakers, moved.treasury);
    }

    /// @dev Counts the end of an attempt in the node's record.
    function _count(Terms calldata terms, Ending ending, uint256 value) internal {
        INodeRegistry.Standing standing = INodeRegistry.Standing.Neutral;
        uint256 usdMicros = Pricing.usdMicrosRoundedDown(value, terms.rates.usdRate());
        if (usdMicros > type(uint64).max) usdMicros = type(uint64).max;
        bool isCounted = false;
        if (ending <= Ending.Stopped) {
            standing = INodeRegistry.Standing.Success;
            isCounted = usdMicros >= COUNTED_USD_MICROS;
        } else if (ending == Ending.UserFault) {
            standing = INodeRegistry.Standing.LeftOut;
        } else if (ending == Ending.HardwareFault) {
            standing = INodeRegistry.Standing.Fail;
        }
        INodeRegistry(_nodeRegistry).closeJob(terms.node, standing, isCounted, uint64(usdMicros));
    }

    function _settlementOf(Ending ending, uint256 value, uint256 millis, uint256 egressBytes) internal pure returns (Settlement memory settlement) {
        settlement.ending = ending;
        settlement.value = uint128(value);
        settlement.billedMillis = uint64(millis);
        settlement.egressBytes = uint64(egressBytes);
    }

    /// @dev Pays an attempt up to its final value, never less than was collected; interrupts the job while it can be matched again, else refunds and
    /// settles it.
    function _end(Job memory job, Terms calldata terms, Settlement memory settlement, bool canRematch) internal {
        Progress memory progress = job.progress;
        if (settlement.value < progress.value) {
            settlement.value = progress.value;
            settlement.billedMillis = progress.billedMillis;
            settlement.egressBytes = 0; // progress does not carry it; the last Collected names it
        }
        Pricing.Split memory moved = _pay(terms, progress.value, settlement.value);
        settlement.quotedSeconds = uint32(terms.limits.quotedSeconds());
        settlement.usdRate = uint128(terms.rates.usdRate());
        settlement.specDigest = terms.specDigest;
        settlement.nodePart = uint128(moved.node);
        settlement.stakersPart = uint128(moved.stakers);
        settlement.treasuryPart = uint128(moved.treasury);
        uint128 left = _escrowLeft(terms, settlement.value);

        progress.value = settlement.value;
        progress.billedMillis = settlement.billedMillis;
        progress.declared = 0;
        progress.reportedAt = 0;
        progress.reportableFrom = 0;
        if (canRematch && left != 0 && job.attempt < terms.limits.maxAttempts() && _secondsLeft(terms, settlement.billedMillis) != 0) {
            // The NFT could not change hands while the attempt was open, so this is the owner at match.
            address owner = INodeRegistry(_nodeRegistry).ownerOf(terms.node);
            if (job.attempt == 1) progress.earlierOwner1 = owner;
            else if (job.attempt == 2) progress.earlierOwner2 = owner;
            else progress.earlierOwner3 = owner;
            _enter(job, JobState.Interrupted);
            emit Interrupted(job.id, terms.node, terms.payer, settlement, progress);
        } else {
            settlement.refunded = left;
            _enter(job, JobState.Settled);
            _refund(terms.payer, terms.token, terms.budget, left);
            _emitSettled(job.id, terms.node, terms.payer, settlement);
        }
    }

    // The two events of every job are written from memory as they stand there, since a struct of value types is its own ABI encoding.

    /// @dev `emit Matched(jobId, node, payer, terms)`.
    function _emitMatched(bytes32 jobId, uint256 node, address payer, Terms memory terms) internal {
        bytes32 topic = Matched.selector;
        assembly ("memory-safe") {
            log4(terms, 416, topic, jobId, node, payer)
        }
    }

    /// @dev `emit Settled(jobId, node, payer, settlement)`.
    function _emitSettled(bytes32 jobId, uint256 node, address payer, Settlement memory settlement) private {
        bytes32 topic = Settled.selector;
        assembly ("memory-safe") {
            log4(settlement, 448, topic, jobId, node, payer)
        }
    }
}
