// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Result, Voucher} from "../libraries/Messages.sol";
import {JobState, Progress, Settlement, Terms} from "../libraries/JobTerms.sol";

/// @title What the chain says of a job, and why it refuses
/// @notice Events alone rebuild every job: {Matched} or {Rematched} gives the terms, {Extended} replaces them, the others say how progress changed.
interface IJobEvents {
    /// @notice An order was matched: its escrow is locked. Progress is all zero, the attempt is 1.
    event Matched(bytes32 indexed jobId, uint256 indexed node, address indexed payer, Terms terms);
    /// @notice An interrupted job was matched again. `progress` carries the earlier owners and is zero otherwise.
    event Rematched(bytes32 indexed jobId, uint256 indexed node, address indexed payer, Terms terms, Progress progress);
    /// @notice An order was withdrawn before it was matched.
    event OrderCancelled(bytes32 indexed jobId, address indexed payer, address by);
    /// @notice A running attempt got more escrow and time. `terms` replaces the former ones; progress is unchanged.
    event Extended(bytes32 indexed jobId, uint256 indexed node, address indexed payer, uint128 addCost, uint32 addSeconds, Terms terms);
    /// @notice A voucher was cashed. Progress: `value` and `billedMillis` are the ones given here, the rest is unchanged. Parts are what this call moved.
    /// An ending that shows usage worth less than was collected has this value and `billedMillis` and `egressBytes` 0: take its egress from here.
    event Collected(
        bytes32 indexed jobId,
        uint256 indexed node,
        address indexed payer,
        uint32 seq,
        uint64 billedMillis,
        uint64 egressBytes,
        uint128 value,
        uint128 nodePart,
        uint128 stakersPart,
        uint128 treasuryPart
    );
    /// @notice The payer's side reported a fault and declared its newest voucher (all zero: none).
    event FaultReported(bytes32 indexed jobId, uint256 indexed node, address indexed payer, address by, Voucher declared, Progress progress);
    /// @notice A newer voucher was shown. `isOver`: it was signed after the report, which is over; else it replaces the declared one.
    event FaultAnswered(bytes32 indexed jobId, uint256 indexed node, address indexed payer, bool isOver, Voucher voucher, Progress progress);
    /// @notice A node contested a report at V2: it runs on, unpaid until a result, and cannot be reported again.
    event FaultContested(bytes32 indexed jobId, uint256 indexed node, address indexed payer, Progress progress);
    /// @notice A report stayed unanswered. `makeGood` is what the node's bond gave the payer, base units of OPEN, of the `asked` ones.
    event Faulted(bytes32 indexed jobId, uint256 indexed node, address indexed payer, uint256 asked, uint256 makeGood);
    /// @notice An attempt ended and the job may be matched again within an hour.
    event Interrupted(bytes32 indexed jobId, uint256 indexed node, address indexed payer, Settlement settlement, Progress progress);
    /// @notice V2: a result waits for challenges. `resultHash` is its EIP-712 digest.
    event ResultSubmitted(bytes32 indexed jobId, uint256 indexed node, address indexed payer, bytes32 resultHash, Result result, Progress progress);
    /// @notice The job is closed with its last attempt. What the job paid in all is the sum of its Collected, Interrupted and Settled parts.
    event Settled(bytes32 indexed jobId, uint256 indexed node, address indexed payer, Settlement settlement);
    /// @notice An interrupted job was closed without another attempt.
    event Closed(bytes32 indexed jobId, address indexed payer, uint128 refunded);

    /// @notice An element of a batch failed and changed nothing; `reason` is the error it failed with. The id is what the element says (0: too short to).
    event Skipped(bytes32 indexed jobId, bytes reason);

    /// @notice The job is not in a state that allows this.
    error JobMarket_StateIs(bytes32 jobId, JobState state);
    /// @notice Terms or progress are not the job's current ones.
    error JobMarket_TermsMismatch(bytes32 jobId, bytes24 expected, bytes24 given);
    /// @notice The caller is not who may do this.
    error JobMarket_NotAllowed(address caller);
    /// @notice A signature does not come from whom it must.
    error JobMarket_SignatureInvalid(address expected);
    /// @notice A message speaks of another job or attempt.
    error JobMarket_WrongJob(bytes32 expected, bytes32 given, uint256 attempt);
    /// @notice Order or bid is past its time.
    error JobMarket_Expired(uint256 expiresAt);
    /// @notice A window is over.
    error JobMarket_DeadlinePassed(uint256 deadline);
    /// @notice A window is still open.
    error JobMarket_DeadlineNotReached(uint256 deadline);
    /// @notice A number in an order or extension is outside its range.
    error JobMarket_OutOfRange(bytes32 field, uint256 value, uint256 min, uint256 max);
    /// @notice The bid's hourly price is above the order's ceiling.
    error JobMarket_PriceAboveCeiling(uint256 asked, uint256 ceiling);
    /// @notice The bid's egress price is above the order's ceiling.
    error JobMarket_EgressPriceAboveCeiling(uint256 asked, uint256 ceiling);
    /// @notice The bid's hourly price is above the node's list price, both in millionths of a USD per hour.
    error JobMarket_PriceAboveListPrice(uint256 asked, uint256 listPrice);
    /// @notice The bid promises READY later than the order allows, seconds.
    error JobMarket_ReadyTooLate(uint256 promised, uint256 allowed);
    /// @notice The node's tier is below the order's.
    error JobMarket_TierTooLow(uint256 tier, uint256 minTier);
    /// @notice The escrow is above what a node of tier 0 may take.
    error JobMarket_EscrowAboveT0Cap(uint256 escrow, uint256 cap);
    /// @notice V2 needs the disputes contract, which this deployment does not have.
    error JobMarket_DisputesMissing();
    /// @notice The node's owner already had an attempt of this job.
    error JobMarket_OwnerHadAttempt(address owner);
    /// @notice Usage above what the attempt's time or limits allow, milliseconds.
    error JobMarket_UsageAboveLimit(uint256 billedMillis, uint256 limit);
    /// @notice A voucher's durable part is above its whole.
    error JobMarket_DurableAboveCumulative();
    /// @notice The value is not above, or is below, what was collected.
    error JobMarket_ValueBelowCollected(uint256 value, uint256 collected);
    /// @notice A submitted result's totals differ from its voucher's.
    error JobMarket_TotalsDiffer();
    /// @notice The voucher shown is not newer than the declared one.
    error JobMarket_VoucherNotNewer(uint256 declaredSeq, uint256 seq);
    /// @notice The voucher or result passed as declared is not the one that the report or submission declared, both as hashes.
    error JobMarket_NotTheDeclared(bytes32 declared, bytes32 given);
    /// @notice This call is not available at the job's verify level.
    error JobMarket_VerifyLevelIs(uint256 verifyLevel);
    /// @notice The same extension was used before.
    error JobMarket_ExtensionUsed(bytes32 digest);
    /// @notice Too little gas is left for the next element of a batch.
    error JobMarket_BatchGasTooLow(uint256 index, uint256 left, uint256 needed);
}
