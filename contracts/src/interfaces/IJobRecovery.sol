// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "./IJobEvents.sol";
import {Bid, Extend, Order, Result, Voucher} from "../libraries/Messages.sol";
import {Progress, Terms} from "../libraries/JobTerms.sol";

/// @title A job's life when the happy path does not hold
/// @notice More time, another node, a node or a signer that is silent. Every state has a deadline and a call anyone may make after it. Callers use
/// these on Cloudverse's own address.
/// @dev Arguments as in {IJobMarket}.
interface IJobRecovery is IJobEvents {
    /// @notice Adds escrow and time to a running attempt. A budget's `perJob` and the 30 days hold over all attempts of the job. By anyone who has both
    /// signatures.
    /// @param terms The job's terms.
    /// @param progress The job's progress.
    /// @param ext The extension; `addCost` or `addSeconds` may be 0.
    /// @param payerSig Payer's (ECDSA or ERC-1271) or budget key's; never the signer's as such.
    /// @param operatorSig Operator's (ECDSA).
    function extend(Terms calldata terms, Progress calldata progress, Extend calldata ext, bytes calldata payerSig, bytes calldata operatorSig)
        external;

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

    /// @notice Hash of what the constructor fixed. Cloudverse refuses a recovery contract whose wiring differs from its own.
    function wiring() external view returns (bytes32);
}
