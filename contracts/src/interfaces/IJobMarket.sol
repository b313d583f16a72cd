// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Order, Bid, Voucher, Result, Extend} from "../libraries/Messages.sol";
import {Terms, Progress, Settlement, JobState} from "../libraries/JobTerms.sol";

/// @title A job's life on chain
/// @notice Happy path: {matchOrder} and {settle}. Everything between is signatures. Every state has a deadline and a call anyone may make after it.
/// @dev Terms and progress passed in must be the ones the last events showed: {Matched} or {Rematched} gives the terms, {Extended} replaces them, the
/// other events say how progress changed. Signatures are 64 (EIP-2098) or 65 bytes; a party that sends the call itself passes an empty one. A voucher
/// with `seq` 0 means "none": its other fields count nowhere. Parties act while `now < deadline`, anyone from `now >= deadline` on.
interface IJobMarket {
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

    /// @notice Locks an order's escrow on the node whose bid is given. By payer, signer or budget key, who so chooses the bid; by anyone when the order
    /// is claimable. The payer or budget key that sends needs no order signature.
    /// @param order The order.
    /// @param orderSig By payer (ECDSA or ERC-1271) or, with a budget, by its key.
    /// @param bid The bid.
    /// @param bidSig By the node's operator (ECDSA).
    /// @return jobId The order's digest.
    function matchOrder(Order calldata order, bytes calldata orderSig, Bid calldata bid, bytes calldata bidSig) external returns (bytes32 jobId);

    /// @notice Makes an order that was not matched worthless. By payer or budget key.
    /// @param order The order.
    function cancelOrder(Order calldata order) external;

    /// @notice Pays the durable value of a voucher that was not paid yet. By anyone; not at V2.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param voucher Newest voucher.
    /// @param operatorSig Operator's, over the voucher.
    /// @param signerSig Signer's, over the voucher.
    function collect(Terms calldata terms, Progress calldata progress, Voucher calldata voucher, bytes calldata operatorSig, bytes calldata signerSig)
        external;

    /// @notice Adds escrow and time to a running attempt. A budget's `perJob` and the 30 days hold over all attempts of the job. By anyone who has both
    /// signatures.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param ext The extension; `addCost` or `addSeconds` may be 0.
    /// @param payerSig Payer's (ECDSA or ERC-1271) or budget key's; never the signer's as such.
    /// @param operatorSig Operator's (ECDSA).
    function extend(Terms calldata terms, Progress calldata progress, Extend calldata ext, bytes calldata payerSig, bytes calldata operatorSig)
        external;

    /// @notice Closes an attempt by a result both sides signed: pays, refunds, counts. A hardware fault (outcome 4) interrupts instead while another
    /// attempt is possible; an interrupted job takes every outcome but another hardware fault, whose replay would close it. By anyone.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param result The result.
    /// @param operatorSig Operator's, over the result.
    /// @param rating 0 none, 1..5.
    /// @param signerSig Signer's, over the approval of the result with this rating.
    function settle(
        Terms calldata terms,
        Progress calldata progress,
        Result calldata result,
        bytes calldata operatorSig,
        uint8 rating,
        bytes calldata signerSig
    ) external;

    /// @notice The node closes an attempt alone: pays its newest voucher, counts as neutral whatever it claims. Settles when it claims completed, else
    /// interrupts. V2: opens the challenge window. By operator or owner.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param result Totals equal to the voucher's, or 0.
    /// @param voucher Newest voucher or none.
    /// @param operatorSig Operator's, over the voucher.
    /// @param signerSig Signer's, over the voucher.
    function submit(
        Terms calldata terms,
        Progress calldata progress,
        Result calldata result,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external;

    /// @notice V2: settles a submitted result that nobody challenged in 24 hours. By anyone.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param result The submitted result.
    function finalize(Terms calldata terms, Progress calldata progress, Result calldata result) external;

    /// @notice Says the node failed, and declares the newest voucher. None only from matchedAt + the bid's readyWithinSeconds on. By payer or signer.
    /// @param jobId The job.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param voucher Reporter's newest voucher or none; its durable value is never below what was collected.
    /// @param operatorSig Operator's, over the voucher.
    /// @param signerSig Signer's, over the voucher.
    function reportFault(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external;

    /// @notice Shows a voucher newer than the declared one. Signed since the report it ends it, and no other is possible for three response windows;
    /// older it replaces the declared one. By anyone.
    /// @param jobId The job.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param declared The declared voucher (`seq` 0: none).
    /// @param voucher The newer one.
    /// @param operatorSig Operator's, over the newer one.
    /// @param signerSig Signer's, over the newer one.
    function answerFault(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata declared,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external;

    /// @notice The node answers "it runs, the signer is silent" or "not my fault": the newest co-signed value is paid, without make-good, neutral.
    /// V2: nothing is paid, the attempt goes on. By operator or owner.
    /// @param jobId The job.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param declared The declared voucher (`seq` 0: none).
    /// @param voucher Newest voucher or none.
    /// @param operatorSig Operator's, over the newest voucher.
    /// @param signerSig Signer's, over the newest voucher.
    function contest(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata declared,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external;

    /// @notice Ends a report nobody answered in time by the refund table, make-good included. By anyone.
    /// @param jobId The job.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param declared The declared voucher (`seq` 0: none).
    function resolveFault(bytes32 jobId, Terms calldata terms, Progress calldata progress, Voucher calldata declared) external;

    /// @notice Gives an interrupted job to another node within an hour, with what is left of escrow and time. By payer or signer; by anyone when claimable.
    /// @param order The order, whose digest is the job's id.
    /// @param terms The terms of the attempt that ended.
    /// @param progress The job's progress.
    /// @param bid A bid for this job by a node whose owner had no attempt of it.
    /// @param bidSig By the node's operator.
    function rematch(Order calldata order, Terms calldata terms, Progress calldata progress, Bid calldata bid, bytes calldata bidSig) external;

    /// @notice Refunds what is left of an interrupted job. By payer or signer at once, by anyone after an hour.
    /// @param jobId The job.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    function close(bytes32 jobId, Terms calldata terms, Progress calldata progress) external;

    /// @notice Ends an attempt whose last deadline (matchedAt + readyWithinSeconds + 2·maxSeconds + 1 day) passed: pays the voucher shown (V2: 0), refunds
    /// the rest, neutral. By anyone.
    /// @param jobId The job.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param voucher Newest voucher or none.
    /// @param operatorSig Operator's, over the voucher.
    /// @param signerSig Signer's, over the voucher.
    function expire(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external;

    /// @notice What the job's slot says.
    /// @param jobId The job.
    /// @return state Where it stands.
    /// @return attempt 0 before the first match, then 1..4.
    /// @return time When the state was entered, unix seconds.
    /// @return hash {hashTerms} of its terms and progress; 0 once closed.
    function jobOf(bytes32 jobId) external view returns (JobState state, uint8 attempt, uint48 time, bytes24 hash);

    /// @notice The order's EIP-712 digest, which is the job's id.
    function jobIdOf(Order calldata order) external view returns (bytes32);

    /// @notice The first 24 bytes of keccak256(keccak256(abi.encode(terms)) ‖ keccak256(abi.encode(progress))).
    function hashTerms(Terms memory terms, Progress memory progress) external pure returns (bytes24);

    /// @notice The registry of nodes.
    function nodeRegistry() external view returns (address);

    /// @notice The disputes contract, zero before it exists.
    function disputes() external view returns (address);

    /// @notice How long a report may be answered, seconds.
    function responseWindowSeconds() external view returns (uint256);
}
