// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobRules} from "./JobRules.sol";
import {JobSteps} from "./JobSteps.sol";
import {IJobRecovery} from "./interfaces/IJobRecovery.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Ending, JobHash, JobState, Limits, Progress, Rates, Settlement, Terms, TermsLimits, TermsRates} from "./libraries/JobTerms.sol";
import {Bid, Extend, Messages, Order, Result, Voucher} from "./libraries/Messages.sol";
import {Pricing} from "./libraries/Pricing.sol";

/// @title A job's life when the happy path does not hold
/// @notice See {IJobRecovery}. Cloudverse runs this code on its own storage by delegatecall from its fallback, so that the calls every job makes stay
/// small and cheap, as Compound III does with CometExt (docs/adr/0005). Called on its own address it finds no job and changes nothing.
/// @dev No call here moves a token of a payer: credits change, tokens stay.
contract JobRecovery is JobSteps, IJobRecovery {
    using TermsLimits for Limits;
    using TermsRates for Rates;

    uint256 private constant REMATCH_SECONDS = 1 hours;
    uint256 private constant CHALLENGE_SECONDS = 24 hours;
    /// After an answered report the payer's side waits this many response windows, so that reports cannot keep a node from running.
    uint256 private constant WINDOWS_BETWEEN_REPORTS = 3;
    uint64 private constant NEVER = type(uint64).max;

    /// @dev Arguments as Cloudverse's, which refuses another wiring than its own.
    constructor(address openToken_, address nodeRegistry_, address governance_, address staking_, address disputes_, uint256 responseWindowSeconds_)
        JobRules(openToken_, nodeRegistry_, governance_, staking_, disputes_, responseWindowSeconds_)
    {}

    /// @inheritdoc IJobRecovery
    function wiring() external view returns (bytes32) {
        return _wiring();
    }

    // -------------------------------------------------------------------------------------------------------------------------- more time, another node

    /// @inheritdoc IJobRecovery
    function rematch(Order calldata order, Terms calldata terms, Progress calldata progress, Bid calldata bid, bytes calldata bidSig) external {
        // Check. The order's own expiry is about its first match; the payer's side now chooses a fresh bid.
        Job memory job = _load(_jobIdOf(order), terms, progress, JobState.Interrupted);
        _requireBefore(job.since + REMATCH_SECONDS);
        if (!order.claimable) _requirePayerOrSigner(terms);
        Progress memory ended = job.progress;
        address owner = INodeRegistry(_nodeRegistry).ownerOf(bid.node);
        if (owner == ended.earlierOwner1 || owner == ended.earlierOwner2 || owner == ended.earlierOwner3) {
            revert JobMarket_OwnerHadAttempt(owner);
        }
        uint128 escrowLeft = _escrowLeft(terms, ended.value);
        uint256 secondsLeft = _secondsLeft(terms, ended.billedMillis);
        Earlier memory earlier = _earlier[job.id];
        earlier.paid += terms.escrow - escrowLeft;
        earlier.billedSeconds += uint128(terms.limits.maxSeconds() - secondsLeft);
        ended.value = 0;
        ended.billedMillis = 0;
        job.attempt += 1;
        Terms memory next = _fixTerms(job.id, job.attempt, order, bid, bidSig, escrowLeft, secondsLeft);

        // Effect
        _earlier[job.id] = earlier;
        job.termsHash = JobHash.ofNewTerms(next);
        _enter(job, JobState.Matched);
        emit Rematched(job.id, bid.node, next.payer, next, job.progress);
    }

    /// @inheritdoc IJobRecovery
    function extend(Terms calldata terms, Progress calldata progress, Extend calldata ext, bytes calldata payerSig, bytes calldata operatorSig)
        external
    {
        // Check
        Job memory job = _load(ext.jobId, terms, progress, JobState.Matched);
        _requireAttempt(job, ext.jobId, ext.attempt);
        Terms memory next = terms;
        _requireBefore(_lastDeadline(terms));
        bytes32 digest = _hashTypedDataV4(Messages.hashExtend(ext));
        if (_usedExtensions[digest]) revert JobMarket_ExtensionUsed(digest);
        if (msg.sender != next.payer && !_isBudgetKey(next.budget, next.payer, msg.sender)) {
            _requirePayerSide(next.payer, next.budget, digest, payerSig);
        }
        _requireKey(next.operator, digest, operatorSig);
        next.escrow += ext.addCost;
        uint256 maxSeconds = next.limits.maxSeconds() + ext.addSeconds;
        Earlier memory earlier = _earlier[job.id];
        _requireRange("maxSeconds", maxSeconds + earlier.billedSeconds, 1, MAX_JOB_SECONDS);
        next.limits = next.limits.withMaxSeconds(maxSeconds);
        if (INodeRegistry(_nodeRegistry).tierOf(next.node) == 0) _requireT0Cap(next.token, next.escrow);

        // Effect
        _usedExtensions[digest] = true;
        job.termsHash = JobHash.ofNewTerms(next);
        _update(job);
        _spendBudget(next.budget, next.payer, next.token, ext.addCost, uint256(next.escrow) + earlier.paid);
        _debit(next.payer, next.token, ext.addCost);
        emit Extended(job.id, next.node, next.payer, ext.addCost, ext.addSeconds, next);
    }

    // ----------------------------------------------------------------------------------------------------------------------------- closing without both

    /// @inheritdoc IJobRecovery
    function submit(
        Terms calldata terms,
        Progress calldata progress,
        Result calldata result,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external {
        // Check
        Job memory job = _load(result.jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        _requireNode(terms);
        _requireResult(job, terms, result);
        (uint256 value, uint256 millis, uint256 egressBytes) = _shownValue(job, terms, voucher, operatorSig, signerSig);
        if (result.billedMillis != (voucher.seq == 0 ? 0 : voucher.billedMillis) || result.egressBytes != egressBytes) {
            revert JobMarket_TotalsDiffer();
        }

        // Effect
        if (_isByPanel(terms)) {
            job.progress.declared = _hashTypedDataV4(Messages.hashResult(result));
            _enter(job, JobState.Submitted);
            emit ResultSubmitted(job.id, terms.node, terms.payer, job.progress.declared, result, job.progress);
        } else {
            _endSubmitted(job, terms, result, value, millis, result.outcome != uint8(Ending.Completed));
        }
    }

    /// @inheritdoc IJobRecovery
    function finalize(Terms calldata terms, Progress calldata progress, Result calldata result) external {
        // Check
        Job memory job = _load(result.jobId, terms, progress, JobState.Submitted);
        _requireSince(job.since + CHALLENGE_SECONDS);
        bytes32 digest = _hashTypedDataV4(Messages.hashResult(result));
        if (digest != job.progress.declared) revert JobMarket_NotTheDeclared(job.progress.declared, digest);

        // Effect
        uint256 millis = _countedMillis(terms, result.billedMillis);
        _endSubmitted(job, terms, result, _valueOf(terms, millis, result.egressBytes), millis, false);
    }

    /// @inheritdoc IJobRecovery
    function close(bytes32 jobId, Terms calldata terms, Progress calldata progress) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Interrupted);
        if (block.timestamp < job.since + REMATCH_SECONDS) _requirePayerOrSigner(terms);

        // Effect
        uint128 refunded = _escrowLeft(terms, job.progress.value);
        _enter(job, JobState.Settled);
        _refund(terms.payer, terms.token, terms.budget, refunded);
        emit Closed(jobId, terms.payer, refunded);
    }

    /// @inheritdoc IJobRecovery
    function expire(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Matched);
        _requireSince(_lastDeadline(terms));
        (uint256 value, uint256 millis, uint256 egressBytes) = _shownValue(job, terms, voucher, operatorSig, signerSig);
        if (_isByPanel(terms)) (value, millis, egressBytes) = (0, 0, 0);

        // Effect
        _endNeutral(job, terms, _settlementOf(Ending.Expired, value, millis, egressBytes), false);
    }

    function _endSubmitted(Job memory job, Terms calldata terms, Result calldata result, uint256 value, uint256 millis, bool canRematch) private {
        Settlement memory settlement = _settlementOf(Ending.Submitted, value, millis, result.egressBytes);
        settlement.readyAfterSeconds = result.readyAfterSeconds;
        settlement.receiptDigest = result.receiptDigest;
        _endNeutral(job, terms, settlement, canRematch);
    }

    function _endNeutral(Job memory job, Terms calldata terms, Settlement memory settlement, bool canRematch) private {
        _count(terms, settlement.ending, settlement.value);
        _end(job, terms, settlement, canRematch);
    }

    // ------------------------------------------------------------------------------------------------------------------------------------------- faults

    /// @inheritdoc IJobRecovery
    function reportFault(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        _requirePayerOrSigner(terms);
        _requireSince(job.progress.reportableFrom);
        uint256 value;
        Voucher memory declared; // none is emitted as none, whatever its other fields: nobody signed them
        if (voucher.seq == 0) {
            _requireSince(terms.limits.matchedAt() + terms.limits.readyWithinSeconds());
        } else {
            _requireVoucher(job, terms, voucher, operatorSig, signerSig);
            value = _valueOf(terms, _countedMillis(terms, voucher.durableMillis), voucher.durableEgressBytes);
            job.progress.declared = Messages.hashVoucher(voucher);
            declared = voucher;
        }
        if (value < job.progress.value) revert JobMarket_ValueBelowCollected(value, job.progress.value);

        // Effect
        job.progress.reportedAt = uint64(block.timestamp);
        _enter(job, JobState.Reported);
        emit FaultReported(jobId, terms.node, terms.payer, msg.sender, declared, job.progress);
    }

    /// @inheritdoc IJobRecovery
    function answerFault(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata declared,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Reported);
        _requireBefore(_responseDeadline(job));
        _requireDeclared(job, declared);
        _requireVoucher(job, terms, voucher, operatorSig, signerSig);
        if (voucher.seq <= declared.seq) revert JobMarket_VoucherNotNewer(declared.seq, voucher.seq);

        // Effect
        bool isOver = voucher.signedAt >= job.progress.reportedAt;
        if (isOver) {
            _resume(job, uint64(block.timestamp + WINDOWS_BETWEEN_REPORTS * _responseWindowSeconds));
        } else {
            job.progress.declared = Messages.hashVoucher(voucher);
            _update(job);
        }
        emit FaultAnswered(jobId, terms.node, terms.payer, isOver, voucher, job.progress);
    }

    /// @inheritdoc IJobRecovery
    function contest(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata declared,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Reported);
        _requireBefore(_responseDeadline(job));
        _requireNode(terms);
        _requireDeclared(job, declared);
        (uint256 value, uint256 millis, uint256 egressBytes) = _shownValue(job, terms, voucher, operatorSig, signerSig);
        Settlement memory settlement = _settlementOf(Ending.Contested, value, millis, egressBytes);
        if (declared.seq != 0) {
            millis = _countedMillis(terms, declared.billedMillis);
            value = _valueOf(terms, millis, declared.egressBytes);
            if (value > settlement.value) settlement = _settlementOf(Ending.Contested, value, millis, declared.egressBytes);
        }

        // Effect. At V2 it runs on unpaid: only a submitted or co-signed result is paid, and there is nothing left to report.
        if (_isByPanel(terms)) {
            _resume(job, NEVER);
            emit FaultContested(jobId, terms.node, terms.payer, job.progress);
        } else {
            _endNeutral(job, terms, settlement, true);
        }
    }

    /// @inheritdoc IJobRecovery
    function resolveFault(bytes32 jobId, Terms calldata terms, Progress calldata progress, Voucher calldata declared) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Reported);
        _requireSince(_responseDeadline(job));
        _requireDeclared(job, declared);
        uint256 value;
        uint256 millis;
        uint256 egressBytes;
        uint256 asked = terms.computePerHour / 4;
        if (declared.seq != 0) {
            millis = _countedMillis(terms, declared.durableMillis);
            egressBytes = declared.durableEgressBytes;
            value = _valueOf(terms, millis, egressBytes);
            asked = terms.escrow / 10;
            if (asked > terms.computePerHour) asked = terms.computePerHour;
        }
        asked = Pricing.openRoundedDown(asked, terms.rates);

        // Interaction: the registry is ours; it sends OPEN here before it says how much.
        uint256 makeGood = INodeRegistry(_nodeRegistry).closeFaultedJob(terms.node, asked);

        // Effect
        if (makeGood != 0) _credit(terms.payer, _openToken, makeGood);
        emit Faulted(jobId, terms.node, terms.payer, asked, makeGood);
        _end(job, terms, _settlementOf(Ending.Unanswered, value, millis, egressBytes), true);
    }

    /// @dev Ends a report in the node's favour.
    function _resume(Job memory job, uint64 reportableFrom) private {
        job.progress.declared = 0;
        job.progress.reportedAt = 0;
        job.progress.reportableFrom = reportableFrom;
        _enter(job, JobState.Matched);
    }
}
