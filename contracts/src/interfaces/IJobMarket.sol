// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "./IJobEvents.sol";
import {Bid, Order, Result, Voucher} from "../libraries/Messages.sol";
import {JobState, Progress, Terms} from "../libraries/JobTerms.sol";

/// @title A job's life on chain
/// @notice Happy path: {matchOrder} and {settle}. Everything between is signatures; {IJobRecovery} has what happens when they do not come.
/// @dev Terms and progress passed in must be the ones the last events showed: {Matched} or {Rematched} gives the terms, {Extended} replaces them, the
/// other events say how progress changed. Signatures are 64 (EIP-2098) or 65 bytes; a party that sends the call itself passes an empty one. A voucher
/// with `seq` 0 means "none": its other fields count nowhere. Parties act while `now < deadline`, anyone from `now >= deadline` on.
interface IJobMarket is IJobEvents {
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

    /// @notice Many {matchOrder} in one call, each with the caller's rights. An element that fails changes nothing, is told by {Skipped} and does not
    /// stop the others; an element given twice counts once.
    /// @param items Each the ABI encoding of the arguments of one {matchOrder}.
    /// @return done How many were not skipped.
    function matchMany(bytes[] calldata items) external returns (uint256 done);

    /// @notice Many {settle} in one call, like {matchMany}.
    /// @param items Each the ABI encoding of the arguments of one {settle}.
    /// @return done How many were not skipped.
    function settleMany(bytes[] calldata items) external returns (uint256 done);

    /// @notice Many {collect} in one call, like {matchMany}.
    /// @param items Each the ABI encoding of the arguments of one {collect}.
    /// @return done How many were not skipped.
    function collectMany(bytes[] calldata items) external returns (uint256 done);

    /// @notice What the job's slot says.
    /// @param jobId The job.
    /// @return state Where it stands.
    /// @return attempt 0 before the first match, then 1..4.
    /// @return time When the state was entered, unix seconds.
    /// @return hash {hashTerms} of its terms and progress; once closed, of those it ended with (value and usage final, no report standing).
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
