// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {WalletRules} from "./WalletRules.sol";
import {ICloudWallet} from "./interfaces/ICloudWallet.sol";
import {IJobEvents} from "./interfaces/IJobEvents.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Ending, JobHash, JobSlot, JobSlots, JobState, Limits, Progress, Terms, TermsLimits} from "./libraries/JobTerms.sol";
import {Messages, Order, Result, Voucher} from "./libraries/Messages.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title A job's slot, and the rules every call on it shares
/// @notice Who may do what until when, which signatures count, and what usage is worth. {JobMarket} has the calls themselves.
abstract contract JobRules is IJobEvents, WalletRules, EIP712 {
    using JobSlots for JobSlot;
    using TermsLimits for Limits;

    uint256 internal constant MAX_JOB_SECONDS = 30 days;
    uint256 private constant MAX_READY_SECONDS = 1 days;
    uint256 private constant MAX_ATTEMPTS = 4;
    uint256 private constant MAX_TIER = 4;
    uint256 internal constant VERIFY_BY_PANEL = 2; // V2
    uint256 private constant MAX_VERIFY_LEVEL = 3;

    /// @notice A job as a call works on it. Its terms stay in calldata: only {JobRecovery-extend} and a new attempt change them.
    struct Job {
        bytes32 id;
        JobState state;
        uint8 attempt;
        uint256 since; // when the state was entered, unix seconds
        bytes32 termsHash;
        Progress progress;
    }

    address internal immutable _nodeRegistry;
    address internal immutable _disputes;
    uint256 internal immutable _responseWindowSeconds;

    /// @notice What the earlier attempts of a rematched job took of what it may have in all.
    struct Earlier {
        uint128 paid;
        uint128 billedSeconds;
    }

    mapping(bytes32 jobId => JobSlot) internal _jobs;
    mapping(bytes32 jobId => Earlier) internal _earlier;
    mapping(bytes32 digest => bool) internal _usedExtensions;

    constructor(address openToken_, address nodeRegistry_, address governance_, address staking_, address disputes_, uint256 responseWindowSeconds_)
        WalletRules(openToken_, governance_, staking_)
        EIP712("OpenGPU", "1")
    {
        if (nodeRegistry_ == address(0)) revert ICloudWallet.CloudWallet_ZeroAddress();
        uint256 shortest = block.chainid == 31337 ? 15 seconds : 1 minutes;
        _requireRange("responseWindowSeconds", responseWindowSeconds_, shortest, 1 hours);
        _nodeRegistry = nodeRegistry_;
        _disputes = disputes_;
        _responseWindowSeconds = responseWindowSeconds_;
    }

    /// @dev All that the constructor fixed, in one word: what runs on this storage by delegatecall must have the same.
    function _wiring() internal view returns (bytes32) {
        return keccak256(abi.encode(_openToken, _nodeRegistry, _governance, _staking, _disputes, _responseWindowSeconds));
    }

    // -------------------------------------------------------------------------------------------------------------------------------- slots

    /// @dev Writes a job's slot for a new state. A closed job keeps the hash of what it ended with: its final value and usage are on chain for ever.
    function _enter(Job memory job, JobState state) internal {
        _jobs[job.id] = JobSlots.pack(JobHash.ofSlot(job.termsHash, job.progress), state, job.attempt, block.timestamp);
    }

    /// @dev Writes a job's slot after terms or progress changed within a state.
    function _update(Job memory job) internal {
        _jobs[job.id] = JobSlots.pack(JobHash.ofSlot(job.termsHash, job.progress), job.state, job.attempt, job.since);
    }

    /// @dev A job in memory. Its slot must have the hash of the given terms and progress and the required state (None: any that is not closed).
    function _load(bytes32 jobId, Terms calldata terms, Progress calldata progress, JobState required) internal view returns (Job memory job) {
        JobSlot slot = _jobs[jobId];
        JobState state = slot.state();
        if (required == JobState.None ? state == JobState.None || state >= JobState.Settled : state != required) {
            revert JobMarket_StateIs(jobId, state);
        }
        job.id = jobId;
        job.state = state;
        job.attempt = slot.attempt();
        job.since = slot.time();
        job.termsHash = JobHash.ofTerms(terms);
        JobHash.copy(progress, job.progress);
        bytes24 given = JobHash.ofSlot(job.termsHash, job.progress);
        if (slot.hash() != given) revert JobMarket_TermsMismatch(jobId, slot.hash(), given);
    }

    // -------------------------------------------------------------------------------------------------------------------------------- checks

    function _requireOrder(Order calldata order) internal view {
        if (order.payer == address(0) || order.signer == address(0)) revert ICloudWallet.CloudWallet_ZeroAddress();
        if (block.timestamp >= order.expiresAt) revert JobMarket_Expired(order.expiresAt);
        _requireRange("maxCost", order.maxCost, 1, type(uint128).max);
        _requireRange("maxSeconds", order.maxSeconds, 1, MAX_JOB_SECONDS);
        _requireRange("readyWithinSeconds", order.readyWithinSeconds, 1, MAX_READY_SECONDS);
        _requireRange("minTier", order.minTier, 0, MAX_TIER);
        _requireRange("verifyLevel", order.verifyLevel, 0, MAX_VERIFY_LEVEL);
        _requireRange("maxAttempts", order.maxAttempts, 1, MAX_ATTEMPTS);
        if (order.verifyLevel == VERIFY_BY_PANEL && _disputes == address(0)) revert JobMarket_DisputesMissing();
    }

    function _requireT0Cap(address token, uint256 escrow) internal view {
        uint256 cap = _listings[token].t0Cap;
        if (escrow > cap) revert JobMarket_EscrowAboveT0Cap(escrow, cap);
    }

    function _requireRange(bytes32 field, uint256 value, uint256 min, uint256 max) internal pure {
        if (value < min || value > max) revert JobMarket_OutOfRange(field, value, min, max);
    }

    /// @dev Parties act while `now < deadline`.
    function _requireBefore(uint256 deadline) internal view {
        if (block.timestamp >= deadline) revert JobMarket_DeadlinePassed(deadline);
    }

    /// @dev Pokes count when `now >= deadline`.
    function _requireSince(uint256 deadline) internal view {
        if (block.timestamp < deadline) revert JobMarket_DeadlineNotReached(deadline);
    }

    function _requirePayerOrSigner(Terms calldata terms) internal view {
        if (msg.sender != terms.payer && msg.sender != terms.signer) revert JobMarket_NotAllowed(msg.sender);
    }

    function _requireNode(Terms calldata terms) internal view {
        if (msg.sender == terms.operator) return;
        if (msg.sender != INodeRegistry(_nodeRegistry).ownerOf(terms.node)) revert JobMarket_NotAllowed(msg.sender);
    }

    /// @dev A key's signature, which the key itself need not give when it sends.
    function _requireKey(address key, bytes32 digest, bytes calldata signature) internal view {
        if (msg.sender != key && !Signatures.isByKey(key, digest, signature)) revert JobMarket_SignatureInvalid(key);
    }

    /// @dev A signature by the payer's account or by the key of its budget.
    function _requirePayerSide(address payer, uint256 budget, bytes32 digest, bytes calldata signature) internal view {
        if (Signatures.isByAccount(payer, digest, signature)) return;
        address key = _budgetKey(budget, payer);
        if (key == address(0) || !Signatures.isByAccount(key, digest, signature)) revert JobMarket_SignatureInvalid(payer);
    }

    /// @dev A voucher of this attempt with both signatures.
    function _requireVoucher(Job memory job, Terms calldata terms, Voucher calldata voucher, bytes calldata operatorSig, bytes calldata signerSig)
        internal
        view
    {
        _requireAttempt(job, voucher.jobId, voucher.attempt);
        if (voucher.durableMillis > voucher.billedMillis || voucher.durableEgressBytes > voucher.egressBytes) {
            revert JobMarket_DurableAboveCumulative();
        }
        bytes32 digest = _hashTypedDataV4(Messages.hashVoucher(voucher));
        _requireKey(terms.operator, digest, operatorSig);
        _requireKey(terms.signer, digest, signerSig);
    }

    /// @dev A result of this attempt within its time; its value.
    function _requireResult(Job memory job, Terms calldata terms, Result calldata result) internal view returns (uint256 value) {
        _requireAttempt(job, result.jobId, result.attempt);
        _requireRange("outcome", result.outcome, uint256(Ending.Completed), uint256(Ending.HardwareFault));
        uint256 limit = _countedMillis(terms, type(uint64).max);
        if (result.billedMillis > limit) revert JobMarket_UsageAboveLimit(result.billedMillis, limit);
        return _valueOf(terms, result.billedMillis, result.egressBytes);
    }

    function _requireAttempt(Job memory job, bytes32 jobId, uint256 attempt) internal pure {
        if (jobId != job.id || attempt != job.attempt) revert JobMarket_WrongJob(job.id, jobId, attempt);
    }

    /// @dev The voucher passed along must be the one the standing report declared.
    function _requireDeclared(Job memory job, Voucher calldata declared) internal pure {
        bytes32 given = declared.seq == 0 ? bytes32(0) : Messages.hashVoucher(declared);
        if (given != job.progress.declared) revert JobMarket_NotTheDeclared(job.progress.declared, given);
    }

    function _isByPanel(Terms calldata terms) internal pure returns (bool) {
        return terms.limits.verifyLevel() == VERIFY_BY_PANEL;
    }

    /// @dev Cumulative value and usage of a voucher that is shown. All 0 when none is, whatever its other fields: nobody signed them.
    function _shownValue(Job memory job, Terms calldata terms, Voucher calldata voucher, bytes calldata operatorSig, bytes calldata signerSig)
        internal
        view
        returns (uint256 value, uint256 millis, uint256 egressBytes)
    {
        if (voucher.seq == 0) return (0, 0, 0);
        _requireVoucher(job, terms, voucher, operatorSig, signerSig);
        millis = _countedMillis(terms, voucher.billedMillis);
        egressBytes = voucher.egressBytes;
        value = _valueOf(terms, millis, egressBytes);
    }

    /// @dev Milliseconds count up to the time since the match and up to the attempt's limit.
    function _countedMillis(Terms calldata terms, uint256 millis) internal view returns (uint256) {
        unchecked {
            uint256 elapsed = (block.timestamp - terms.limits.matchedAt()) * 1000;
            uint256 limit = terms.limits.maxSeconds() * 1000;
            if (elapsed < limit) limit = elapsed;
            return millis < limit ? millis : limit;
        }
    }

    /// @dev Value of usage, rounded up, never above the escrow.
    function _valueOf(Terms calldata terms, uint256 millis, uint256 egressBytes) internal pure returns (uint256) {
        uint256 value = Pricing.valueRoundedUp(millis, egressBytes, terms.computePerHour, terms.egressPerGiB);
        return value < terms.escrow ? value : terms.escrow;
    }

    /// @dev Escrow that an attempt's value leaves: what is not paid of it, the discount included.
    function _escrowLeft(Terms calldata terms, uint256 value) internal pure returns (uint128) {
        return uint128(terms.escrow - Pricing.paidOf(value, terms.rates));
    }

    /// @dev Billed seconds that further attempts may use; a started second is used.
    function _secondsLeft(Terms calldata terms, uint256 billedMillis) internal pure returns (uint256) {
        uint256 used = (billedMillis + 999) / 1000;
        uint256 maxSeconds = terms.limits.maxSeconds();
        return used < maxSeconds ? maxSeconds - used : 0;
    }

    /// @dev From here on anyone may end a matched attempt.
    function _lastDeadline(Terms calldata terms) internal pure returns (uint256) {
        Limits limits = terms.limits;
        return limits.matchedAt() + limits.readyWithinSeconds() + 2 * limits.maxSeconds() + 1 days;
    }

    /// @dev From here on anyone may resolve a report.
    function _responseDeadline(Job memory job) internal view returns (uint256) {
        return job.progress.reportedAt + _responseWindowSeconds;
    }

    /// @dev The order's EIP-712 digest.
    function _jobIdOf(Order calldata order) internal view returns (bytes32) {
        return _hashTypedDataV4(Messages.hashOrder(order));
    }
}
