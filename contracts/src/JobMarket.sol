// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {CloudWallet} from "./CloudWallet.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IStaking} from "./interfaces/IStaking.sol";
import {Ending, JobHash, JobState, Limits, Progress, Rates, Settlement, Terms, TermsLimits, TermsRates} from "./libraries/JobTerms.sol";
import {Bid, Extend, Messages, Order, Result, Voucher} from "./libraries/Messages.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title A job's life on chain
/// @notice See {IJobMarket} for what each call is for and who may make it. One slot per job; escrow is what the slot's terms say is left.
abstract contract JobMarket is IJobMarket, CloudWallet, EIP712 {
    using TermsLimits for Limits;
    using TermsRates for Rates;

    uint256 private constant MAX_JOB_SECONDS = 30 days;
    uint256 private constant MAX_READY_SECONDS = 1 days;
    uint256 private constant MAX_ATTEMPTS = 4;
    uint256 private constant MAX_TIER = 4;
    uint256 private constant VERIFY_BY_PANEL = 2; // V2
    uint256 private constant MAX_VERIFY_LEVEL = 3;
    uint256 private constant REMATCH_SECONDS = 1 hours;
    uint256 private constant CHALLENGE_SECONDS = 24 hours;
    /// After an answered report the payer's side waits this many response windows, so that reports cannot keep a node from running.
    uint256 private constant WINDOWS_BETWEEN_REPORTS = 3;
    /// A counted job is worth at least one USD, in millionths.
    uint256 private constant COUNTED_USD_MICROS = 1e6;
    uint64 private constant NEVER = type(uint64).max;

    /// @notice The one slot of a job.
    struct Slot {
        bytes24 hash;
        JobState state;
        uint8 attempt;
        uint48 time;
    }

    /// @inheritdoc IJobMarket
    address public immutable nodeRegistry;
    /// @inheritdoc IJobMarket
    address public immutable disputes;
    /// @inheritdoc IJobMarket
    uint256 public immutable responseWindowSeconds;

    mapping(bytes32 jobId => Slot) private _jobs;
    mapping(bytes32 digest => bool) private _usedExtensions;

    constructor(address nodeRegistry_, address disputes_, uint256 responseWindowSeconds_) EIP712("OpenGPU", "1") {
        if (nodeRegistry_ == address(0)) revert CloudWallet_ZeroAddress();
        uint256 shortest = block.chainid == 31337 ? 15 seconds : 1 minutes;
        _requireRange("responseWindowSeconds", responseWindowSeconds_, shortest, 1 hours);
        nodeRegistry = nodeRegistry_;
        disputes = disputes_;
        responseWindowSeconds = responseWindowSeconds_;
    }

    // ------------------------------------------------------------------------------------------------------------------- matching and extending

    /// @inheritdoc IJobMarket
    function matchOrder(Order calldata order, bytes calldata orderSig, Bid calldata bid, bytes calldata bidSig)
        external
        nonReentrant
        returns (bytes32 jobId)
    {
        // Check
        jobId = _hashTypedDataV4(Messages.hashOrder(order));
        if (_jobs[jobId].state != JobState.None) revert JobMarket_StateIs(jobId, _jobs[jobId].state);
        _requireOrder(order);
        if (msg.sender != order.payer && !_isBudgetKey(order.budget, order.payer, msg.sender)) {
            if (msg.sender != order.signer && !order.claimable) revert JobMarket_NotAllowed(msg.sender);
            _requirePayerSide(order.payer, order.budget, jobId, orderSig);
        }
        Terms memory terms = _termsOf(jobId, order, bid, bidSig, order.maxCost, order.maxSeconds, 1);

        // Effect
        Progress memory progress;
        _enter(jobId, JobState.Matched, 1, JobHash.ofMemory(terms, progress));
        _spendBudget(order.budget, order.payer, order.token, order.maxCost, order.maxCost);
        _debit(order.payer, order.token, order.maxCost);
        emit Matched(jobId, bid.node, order.payer, terms);
    }

    /// @inheritdoc IJobMarket
    function cancelOrder(Order calldata order) external {
        // Check
        bytes32 jobId = _hashTypedDataV4(Messages.hashOrder(order));
        if (_jobs[jobId].state != JobState.None) revert JobMarket_StateIs(jobId, _jobs[jobId].state);
        if (msg.sender != order.payer && !_isBudgetKey(order.budget, order.payer, msg.sender)) revert JobMarket_NotAllowed(msg.sender);

        // Effect
        _enter(jobId, JobState.Cancelled, 0, 0);
        emit OrderCancelled(jobId, order.payer, msg.sender);
    }

    /// @inheritdoc IJobMarket
    function rematch(Order calldata order, Terms calldata terms, Progress calldata progress, Bid calldata bid, bytes calldata bidSig)
        external
        nonReentrant
    {
        // Check. The order's own expiry is about its first match; the payer's side now chooses a fresh bid.
        bytes32 jobId = _hashTypedDataV4(Messages.hashOrder(order));
        Slot memory slot = _requireJob(jobId, terms, progress);
        if (slot.state != JobState.Interrupted) revert JobMarket_StateIs(jobId, slot.state);
        _requireBefore(slot.time + REMATCH_SECONDS);
        if (!order.claimable) _requirePayerOrSigner(terms);
        address owner = INodeRegistry(nodeRegistry).ownerOf(bid.node);
        if (owner == progress.earlierOwner1 || owner == progress.earlierOwner2 || owner == progress.earlierOwner3) {
            revert JobMarket_OwnerHadAttempt(owner);
        }
        uint256 escrowLeft = terms.escrow - Pricing.paidOf(progress.value, terms.rates);
        Terms memory next = _termsOf(jobId, order, bid, bidSig, uint128(escrowLeft), _secondsLeft(terms, progress.billedMillis), slot.attempt + 1);

        // Effect
        Progress memory fresh;
        fresh.earlierOwner1 = progress.earlierOwner1;
        fresh.earlierOwner2 = progress.earlierOwner2;
        fresh.earlierOwner3 = progress.earlierOwner3;
        _enter(jobId, JobState.Matched, slot.attempt + 1, JobHash.ofMemory(next, fresh));
        emit Rematched(jobId, bid.node, terms.payer, next, fresh);
    }

    /// @inheritdoc IJobMarket
    function extend(Terms calldata terms, Progress calldata progress, Extend calldata ext, bytes calldata payerSig, bytes calldata operatorSig)
        external
        nonReentrant
    {
        // Check
        bytes32 jobId = ext.jobId;
        _requireState(jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        bytes32 digest = _hashTypedDataV4(Messages.hashExtend(ext));
        if (_usedExtensions[digest]) revert JobMarket_ExtensionUsed(digest);
        if (msg.sender != terms.payer && !_isBudgetKey(terms.budget, terms.payer, msg.sender)) {
            _requirePayerSide(terms.payer, terms.budget, digest, payerSig);
        }
        _requireKey(terms.operator, digest, operatorSig);
        Terms memory next = terms;
        next.escrow = terms.escrow + ext.addCost;
        uint256 maxSeconds = terms.limits.maxSeconds() + ext.addSeconds;
        _requireRange("maxSeconds", maxSeconds, 1, MAX_JOB_SECONDS);
        next.limits = TermsLimits.withMaxSeconds(terms.limits, maxSeconds);
        if (INodeRegistry(nodeRegistry).tierOf(terms.node) == 0) _requireT0Cap(terms.token, next.escrow);

        // Effect
        _usedExtensions[digest] = true;
        _jobs[jobId].hash = JobHash.ofChangedTerms(next, progress);
        _spendBudget(terms.budget, terms.payer, terms.token, ext.addCost, next.escrow);
        _debit(terms.payer, terms.token, ext.addCost);
        emit Extended(jobId, terms.node, terms.payer, ext.addCost, ext.addSeconds, next);
    }

    /// @dev Checks a bid against its order, counts the attempt at the node and fixes the terms.
    function _termsOf(
        bytes32 jobId,
        Order calldata order,
        Bid calldata bid,
        bytes calldata bidSig,
        uint128 escrow,
        uint256 maxSeconds,
        uint8 attempt
    ) private returns (Terms memory terms) {
        if (bid.jobId != jobId) revert JobMarket_WrongJob(jobId, bid.jobId, attempt);
        if (block.timestamp >= bid.expiresAt) revert JobMarket_Expired(bid.expiresAt);
        if (bid.computePerHour > order.maxPricePerHour) revert JobMarket_PriceAboveCeiling(bid.computePerHour, order.maxPricePerHour);
        if (bid.egressPerGiB > order.maxEgressPerGiB) revert JobMarket_EgressPriceAboveCeiling(bid.egressPerGiB, order.maxEgressPerGiB);
        if (bid.readyWithinSeconds > order.readyWithinSeconds) revert JobMarket_ReadyTooLate(bid.readyWithinSeconds, order.readyWithinSeconds);

        uint256 usdRate = _listings[order.token].usdRate;
        if (usdRate == 0) revert CloudWallet_TokenNotListed(order.token);
        MatchParameters memory parameters = _matchParameters;
        (address operator, address payee, uint8 tier, uint64 listPrice) = INodeRegistry(nodeRegistry).openJob(bid.node);
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
        terms.rates = TermsRates.pack(
            usdRate,
            parameters.openRate,
            parameters.stakersBps,
            parameters.treasuryBps,
            staking == address(0) ? 0 : Pricing.discountBpsOfTier(IStaking(staking).tierOf(order.payer)),
            Pricing.bonusBpsOfTier(tier)
        );
        terms.limits = TermsLimits.pack(
            block.timestamp, maxSeconds, bid.readyWithinSeconds, bid.quotedSeconds, order.verifyLevel, order.maxAttempts, attempt
        );
    }

    function _requireOrder(Order calldata order) private view {
        if (order.payer == address(0) || order.signer == address(0)) revert CloudWallet_ZeroAddress();
        if (block.timestamp >= order.expiresAt) revert JobMarket_Expired(order.expiresAt);
        _requireRange("maxCost", order.maxCost, 1, type(uint128).max);
        _requireRange("maxSeconds", order.maxSeconds, 1, MAX_JOB_SECONDS);
        _requireRange("readyWithinSeconds", order.readyWithinSeconds, 1, MAX_READY_SECONDS);
        _requireRange("minTier", order.minTier, 0, MAX_TIER);
        _requireRange("verifyLevel", order.verifyLevel, 0, MAX_VERIFY_LEVEL);
        _requireRange("maxAttempts", order.maxAttempts, 1, MAX_ATTEMPTS);
        if (order.verifyLevel == VERIFY_BY_PANEL && disputes == address(0)) revert JobMarket_DisputesMissing();
    }

    function _requireT0Cap(address token, uint256 escrow) private view {
        uint256 cap = _listings[token].t0Cap;
        if (escrow > cap) revert JobMarket_EscrowAboveT0Cap(escrow, cap);
    }

    // ---------------------------------------------------------------------------------------------------------------------- paying and closing

    /// @inheritdoc IJobMarket
    function collect(
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        bytes32 jobId = voucher.jobId;
        _requireState(jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        if (terms.limits.verifyLevel() == VERIFY_BY_PANEL) revert JobMarket_VerifyLevelIs(VERIFY_BY_PANEL);
        _requireVoucher(jobId, terms, voucher, operatorSig, signerSig);
        uint256 millis = _countedMillis(terms, voucher.durableMillis);
        uint256 value = _valueOf(terms, millis, voucher.durableEgressBytes);
        if (value <= progress.value) revert JobMarket_ValueBelowCollected(value, progress.value);

        // Effect
        Progress memory next = progress;
        next.value = uint128(value);
        next.billedMillis = uint64(millis);
        _jobs[jobId].hash = JobHash.ofChangedProgress(terms, next);
        Pricing.Split memory moved = _pay(terms, progress.value, value);
        emit Collected(
            jobId,
            terms.node,
            terms.payer,
            voucher.seq,
            uint64(millis),
            voucher.durableEgressBytes,
            uint128(value),
            uint128(moved.node),
            uint128(moved.stakers),
            uint128(moved.treasury)
        );
    }

    /// @inheritdoc IJobMarket
    function settle(
        Terms calldata terms,
        Progress calldata progress,
        Result calldata result,
        bytes calldata operatorSig,
        uint8 rating,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        bytes32 jobId = result.jobId;
        Slot memory slot = _requireJob(jobId, terms, progress);
        if (slot.state == JobState.Disputed) revert JobMarket_StateIs(jobId, slot.state);
        _requireRange("rating", rating, 0, 5);
        uint256 value = _requireResult(terms, result);
        if (value < progress.value) revert JobMarket_ValueBelowCollected(value, progress.value);
        bytes32 digest = _hashTypedDataV4(Messages.hashResult(result));
        _requireKey(terms.operator, digest, operatorSig);
        if (msg.sender != terms.signer) _requireKey(terms.signer, _hashTypedDataV4(Messages.hashApprove(digest, rating)), signerSig);

        // Effect
        bool isInterrupted = slot.state == JobState.Interrupted;
        Settlement memory settlement = _settlementOf(Ending(result.outcome), value, result.billedMillis, result.egressBytes);
        settlement.rating = rating;
        settlement.readyAfterSeconds = result.readyAfterSeconds;
        settlement.receiptDigest = result.receiptDigest;
        // An interrupted attempt was counted when it was interrupted.
        if (!isInterrupted) _count(terms, settlement.ending, value);
        _end(jobId, terms, progress, settlement, !isInterrupted && settlement.ending == Ending.HardwareFault);
    }

    /// @inheritdoc IJobMarket
    function submit(
        Terms calldata terms,
        Progress calldata progress,
        Result calldata result,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        bytes32 jobId = result.jobId;
        _requireState(jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        _requireNode(terms);
        _requireResult(terms, result);
        (uint256 value, uint256 millis) = _shownValue(jobId, terms, voucher, operatorSig, signerSig);
        bool hasVoucher = voucher.seq != 0;
        if (result.billedMillis != (hasVoucher ? voucher.billedMillis : 0) || result.egressBytes != (hasVoucher ? voucher.egressBytes : 0)) {
            revert JobMarket_TotalsDiffer();
        }

        // Effect
        if (terms.limits.verifyLevel() == VERIFY_BY_PANEL) {
            Progress memory next = progress;
            next.declared = _hashTypedDataV4(Messages.hashResult(result));
            _enter(jobId, JobState.Submitted, uint8(terms.limits.attempt()), JobHash.ofChangedProgress(terms, next));
            emit ResultSubmitted(jobId, terms.node, terms.payer, next.declared, result, next);
            return;
        }
        (value, millis) = _atLeastCollected(progress, value, millis);
        _submitEnd(jobId, terms, progress, result, value, millis, result.outcome != uint8(Ending.Completed));
    }

    /// @inheritdoc IJobMarket
    function finalize(Terms calldata terms, Progress calldata progress, Result calldata result) external nonReentrant {
        // Check
        bytes32 jobId = result.jobId;
        Slot memory slot = _requireState(jobId, terms, progress, JobState.Submitted);
        _requireSince(slot.time + CHALLENGE_SECONDS);
        if (_hashTypedDataV4(Messages.hashResult(result)) != progress.declared) revert JobMarket_WrongJob(jobId, result.jobId, result.attempt);

        // Effect. A V2 attempt pays nothing before its result, so nothing was collected.
        uint256 millis = _countedMillis(terms, result.billedMillis);
        _submitEnd(jobId, terms, progress, result, _valueOf(terms, millis, result.egressBytes), millis, false);
    }

    /// @inheritdoc IJobMarket
    function close(bytes32 jobId, Terms calldata terms, Progress calldata progress) external nonReentrant {
        // Check
        Slot memory slot = _requireState(jobId, terms, progress, JobState.Interrupted);
        if (block.timestamp < slot.time + REMATCH_SECONDS) _requirePayerOrSigner(terms);

        // Effect
        uint128 refunded = uint128(terms.escrow - Pricing.paidOf(progress.value, terms.rates));
        _enter(jobId, JobState.Settled, slot.attempt, 0);
        _refund(terms.payer, terms.token, terms.budget, refunded);
        emit Closed(jobId, terms.payer, refunded);
    }

    /// @inheritdoc IJobMarket
    function expire(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        _requireState(jobId, terms, progress, JobState.Matched);
        _requireSince(_lastDeadline(terms));
        (uint256 value, uint256 millis) = _shownValue(jobId, terms, voucher, operatorSig, signerSig);
        if (terms.limits.verifyLevel() == VERIFY_BY_PANEL) (value, millis) = (0, 0);
        (value, millis) = _atLeastCollected(progress, value, millis);

        // Effect
        _count(terms, Ending.Expired, value);
        _end(jobId, terms, progress, _settlementOf(Ending.Expired, value, millis, voucher.egressBytes), false);
    }

    // ---------------------------------------------------------------------------------------------------------------------------------- faults

    /// @inheritdoc IJobMarket
    function reportFault(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        _requireState(jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        _requirePayerOrSigner(terms);
        _requireSince(progress.reportableFrom);
        Progress memory next = progress;
        uint256 value;
        if (voucher.seq == 0) {
            _requireSince(terms.limits.matchedAt() + terms.limits.readyWithinSeconds());
        } else {
            _requireVoucher(jobId, terms, voucher, operatorSig, signerSig);
            value = _valueOf(terms, _countedMillis(terms, voucher.durableMillis), voucher.durableEgressBytes);
            next.declared = Messages.hashVoucher(voucher);
        }
        if (value < progress.value) revert JobMarket_ValueBelowCollected(value, progress.value);

        // Effect
        next.reportedAt = uint64(block.timestamp);
        _enter(jobId, JobState.Reported, uint8(terms.limits.attempt()), JobHash.ofChangedProgress(terms, next));
        emit FaultReported(jobId, terms.node, terms.payer, msg.sender, voucher, next);
    }

    /// @inheritdoc IJobMarket
    function answerFault(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata declared,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        _requireState(jobId, terms, progress, JobState.Reported);
        _requireBefore(progress.reportedAt + responseWindowSeconds);
        _requireDeclared(progress, declared);
        _requireVoucher(jobId, terms, voucher, operatorSig, signerSig);
        if (voucher.seq <= declared.seq) revert JobMarket_VoucherNotNewer(declared.seq, voucher.seq);

        // Effect
        Progress memory next = progress;
        bool isOver = voucher.signedAt >= progress.reportedAt;
        if (isOver) {
            next.declared = 0;
            next.reportedAt = 0;
            next.reportableFrom = uint64(block.timestamp + WINDOWS_BETWEEN_REPORTS * responseWindowSeconds);
            _enter(jobId, JobState.Matched, uint8(terms.limits.attempt()), JobHash.ofChangedProgress(terms, next));
        } else {
            next.declared = Messages.hashVoucher(voucher);
            _jobs[jobId].hash = JobHash.ofChangedProgress(terms, next);
        }
        emit FaultAnswered(jobId, terms.node, terms.payer, isOver, voucher, next);
    }

    /// @inheritdoc IJobMarket
    function contest(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Voucher calldata declared,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) external nonReentrant {
        // Check
        _requireState(jobId, terms, progress, JobState.Reported);
        _requireBefore(progress.reportedAt + responseWindowSeconds);
        _requireNode(terms);
        _requireDeclared(progress, declared);
        if (terms.limits.verifyLevel() == VERIFY_BY_PANEL) {
            // Effect (V2): it runs on unpaid; only a submitted or co-signed result is paid.
            Progress memory next = progress;
            next.declared = 0;
            next.reportedAt = 0;
            next.reportableFrom = NEVER;
            _enter(jobId, JobState.Matched, uint8(terms.limits.attempt()), JobHash.ofChangedProgress(terms, next));
            emit FaultContested(jobId, terms.node, terms.payer, next);
            return;
        }
        (uint256 value, uint256 millis) = _shownValue(jobId, terms, voucher, operatorSig, signerSig);
        uint256 egressBytes = voucher.egressBytes;
        uint256 declaredMillis = _countedMillis(terms, declared.billedMillis);
        uint256 declaredValue = declared.seq == 0 ? 0 : _valueOf(terms, declaredMillis, declared.egressBytes);
        if (declaredValue > value) (value, millis, egressBytes) = (declaredValue, declaredMillis, declared.egressBytes);
        (value, millis) = _atLeastCollected(progress, value, millis);

        // Effect
        _count(terms, Ending.Contested, value);
        _end(jobId, terms, progress, _settlementOf(Ending.Contested, value, millis, egressBytes), true);
    }

    /// @inheritdoc IJobMarket
    function resolveFault(bytes32 jobId, Terms calldata terms, Progress calldata progress, Voucher calldata declared) external nonReentrant {
        // Check
        _requireState(jobId, terms, progress, JobState.Reported);
        _requireSince(progress.reportedAt + responseWindowSeconds);
        _requireDeclared(progress, declared);
        uint256 value;
        uint256 millis;
        uint256 asked = terms.computePerHour / 4;
        if (declared.seq != 0) {
            millis = _countedMillis(terms, declared.durableMillis);
            value = _valueOf(terms, millis, declared.durableEgressBytes);
            asked = terms.escrow / 10 < terms.computePerHour ? terms.escrow / 10 : terms.computePerHour;
        }
        (value, millis) = _atLeastCollected(progress, value, millis);
        asked = Pricing.openRoundedDown(asked, terms.rates);

        // Interaction: the registry is ours; it sends OPEN here before it says how much.
        uint256 makeGood = INodeRegistry(nodeRegistry).closeFaultedJob(terms.node, asked);

        // Effect
        if (makeGood != 0) _credit(terms.payer, openToken, makeGood);
        emit Faulted(jobId, terms.node, terms.payer, asked, makeGood);
        _end(jobId, terms, progress, _settlementOf(Ending.Unanswered, value, millis, declared.durableEgressBytes), true);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- effects

    function _enter(bytes32 jobId, JobState state, uint8 attempt, bytes24 hash) private {
        _jobs[jobId] = Slot({hash: hash, state: state, attempt: attempt, time: uint48(block.timestamp)});
    }

    /// @dev Pays what an attempt's value grew by: the node in credits, stakers and treasury in booked revenue.
    function _pay(Terms calldata terms, uint256 oldValue, uint256 newValue) private returns (Pricing.Split memory moved) {
        if (newValue == oldValue) return moved;
        moved = Pricing.splitIncrease(oldValue, newValue, terms.rates);
        _credit(terms.payee, terms.token, moved.node);
        _bookRevenue(terms.token, moved.stakers, moved.treasury);
    }

    /// @dev Counts the end of an attempt in the node's record.
    function _count(Terms calldata terms, Ending ending, uint256 value) private {
        INodeRegistry.Standing standing = INodeRegistry.Standing.Neutral;
        bool isCounted = false;
        uint256 usdMicros = Pricing.usdMicrosRoundedDown(value, terms.rates.usdRate());
        if (ending == Ending.Completed || ending == Ending.Stopped) {
            standing = INodeRegistry.Standing.Success;
            isCounted = usdMicros >= COUNTED_USD_MICROS;
        } else if (ending == Ending.UserFault) {
            standing = INodeRegistry.Standing.LeftOut;
        } else if (ending == Ending.HardwareFault) {
            standing = INodeRegistry.Standing.Fail;
        }
        uint64 capped = usdMicros > type(uint64).max ? type(uint64).max : uint64(usdMicros);
        INodeRegistry(nodeRegistry).closeJob(terms.node, standing, isCounted, capped);
    }

    function _submitEnd(
        bytes32 jobId,
        Terms calldata terms,
        Progress calldata progress,
        Result calldata result,
        uint256 value,
        uint256 millis,
        bool canRematch
    ) private {
        Settlement memory settlement = _settlementOf(Ending.Submitted, value, millis, result.egressBytes);
        settlement.readyAfterSeconds = result.readyAfterSeconds;
        settlement.receiptDigest = result.receiptDigest;
        _count(terms, Ending.Submitted, value);
        _end(jobId, terms, progress, settlement, canRematch);
    }

    function _settlementOf(Ending ending, uint256 value, uint256 millis, uint256 egressBytes) private pure returns (Settlement memory settlement) {
        settlement.ending = ending;
        settlement.value = uint128(value);
        settlement.billedMillis = uint64(millis);
        settlement.egressBytes = uint64(egressBytes);
    }

    /// @dev Pays an attempt up to its final value; interrupts the job while it can be matched again, else refunds and settles it.
    function _end(bytes32 jobId, Terms calldata terms, Progress calldata progress, Settlement memory settlement, bool canRematch) private {
        Pricing.Split memory moved = _pay(terms, progress.value, settlement.value);
        settlement.quotedSeconds = uint32(terms.limits.quotedSeconds());
        settlement.usdRate = uint128(terms.rates.usdRate());
        settlement.specDigest = terms.specDigest;
        settlement.nodePart = uint128(moved.node);
        settlement.stakersPart = uint128(moved.stakers);
        settlement.treasuryPart = uint128(moved.treasury);
        uint128 left = uint128(terms.escrow - Pricing.paidOf(settlement.value, terms.rates));
        uint8 attempt = uint8(terms.limits.attempt());

        if (canRematch && left != 0 && attempt < terms.limits.maxAttempts() && _secondsLeft(terms, settlement.billedMillis) != 0) {
            Progress memory next = progress;
            next.value = settlement.value;
            next.billedMillis = settlement.billedMillis;
            next.declared = 0;
            next.reportedAt = 0;
            next.reportableFrom = 0;
            // The NFT could not change hands while the attempt was open, so this is the owner at match.
            address owner = INodeRegistry(nodeRegistry).ownerOf(terms.node);
            if (attempt == 1) next.earlierOwner1 = owner;
            else if (attempt == 2) next.earlierOwner2 = owner;
            else next.earlierOwner3 = owner;
            _enter(jobId, JobState.Interrupted, attempt, JobHash.ofChangedProgress(terms, next));
            emit Interrupted(jobId, terms.node, terms.payer, settlement, next);
        } else {
            settlement.refunded = left;
            _enter(jobId, JobState.Settled, attempt, 0);
            _refund(terms.payer, terms.token, terms.budget, left);
            emit Settled(jobId, terms.node, terms.payer, settlement);
        }
    }

    // -------------------------------------------------------------------------------------------------------------------------------- checks

    /// @dev The job's slot, whose hash must be that of the given terms and progress. Closed and unknown jobs are refused with their state.
    function _requireJob(bytes32 jobId, Terms calldata terms, Progress calldata progress) private view returns (Slot memory slot) {
        slot = _jobs[jobId];
        if (slot.hash == 0) revert JobMarket_StateIs(jobId, slot.state);
        bytes24 given = JobHash.ofCalldata(terms, progress);
        if (slot.hash != given) revert JobMarket_TermsMismatch(jobId, slot.hash, given);
    }

    function _requireState(bytes32 jobId, Terms calldata terms, Progress calldata progress, JobState state) private view returns (Slot memory slot) {
        slot = _jobs[jobId];
        if (slot.state != state) revert JobMarket_StateIs(jobId, slot.state);
        return _requireJob(jobId, terms, progress);
    }

    function _requireRange(bytes32 field, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert JobMarket_OutOfRange(field, value, min, max);
    }

    /// @dev Parties act while `now < deadline`.
    function _requireBefore(uint256 deadline) private view {
        if (block.timestamp >= deadline) revert JobMarket_DeadlinePassed(deadline);
    }

    /// @dev Pokes count when `now >= deadline`.
    function _requireSince(uint256 deadline) private view {
        if (block.timestamp < deadline) revert JobMarket_DeadlineNotReached(deadline);
    }

    function _requirePayerOrSigner(Terms calldata terms) private view {
        if (msg.sender != terms.payer && msg.sender != terms.signer) revert JobMarket_NotAllowed(msg.sender);
    }

    function _requireNode(Terms calldata terms) private view {
        if (msg.sender != terms.operator && msg.sender != INodeRegistry(nodeRegistry).ownerOf(terms.node)) revert JobMarket_NotAllowed(msg.sender);
    }

    /// @dev A key's signature, which the key itself need not give when it sends.
    function _requireKey(address key, bytes32 digest, bytes calldata signature) private view {
        if (msg.sender != key && !Signatures.isByKey(key, digest, signature)) revert JobMarket_SignatureInvalid(key);
    }

    /// @dev A signature by the payer's account or by the key of its budget.
    function _requirePayerSide(address payer, uint256 budget, bytes32 digest, bytes calldata signature) private view {
        if (Signatures.isByAccount(payer, digest, signature)) return;
        address key = _budgetKey(budget, payer);
        if (key == address(0) || !Signatures.isByAccount(key, digest, signature)) revert JobMarket_SignatureInvalid(payer);
    }

    /// @dev A voucher of this attempt with both signatures.
    function _requireVoucher(
        bytes32 jobId,
        Terms calldata terms,
        Voucher calldata voucher,
        bytes calldata operatorSig,
        bytes calldata signerSig
    ) private view {
        if (voucher.jobId != jobId || voucher.attempt != terms.limits.attempt()) revert JobMarket_WrongJob(jobId, voucher.jobId, voucher.attempt);
        if (voucher.durableMillis > voucher.billedMillis || voucher.durableEgressBytes > voucher.egressBytes) {
            revert JobMarket_DurableAboveCumulative();
        }
        bytes32 digest = _hashTypedDataV4(Messages.hashVoucher(voucher));
        _requireKey(terms.operator, digest, operatorSig);
        _requireKey(terms.signer, digest, signerSig);
    }

    /// @dev A result of this attempt within its time; its value.
    function _requireResult(Terms calldata terms, Result calldata result) private view returns (uint256 value) {
        if (result.attempt != terms.limits.attempt()) revert JobMarket_WrongJob(result.jobId, result.jobId, result.attempt);
        _requireRange("outcome", result.outcome, uint256(Ending.Completed), uint256(Ending.HardwareFault));
        uint256 limit = _countedMillis(terms, type(uint64).max);
        if (result.billedMillis > limit) revert JobMarket_UsageAboveLimit(result.billedMillis, limit);
        return _valueOf(terms, result.billedMillis, result.egressBytes);
    }

    /// @dev The voucher passed along must be the one the standing report declared.
    function _requireDeclared(Progress calldata progress, Voucher calldata declared) private pure {
        bytes32 given = declared.seq == 0 ? bytes32(0) : Messages.hashVoucher(declared);
        if (given != progress.declared) revert JobMarket_NotTheDeclaredVoucher();
    }

    /// @dev Cumulative value and usage of a voucher that is shown, 0 when none is.
    function _shownValue(bytes32 jobId, Terms calldata terms, Voucher calldata voucher, bytes calldata operatorSig, bytes calldata signerSig)
        private
        view
        returns (uint256 value, uint256 millis)
    {
        if (voucher.seq == 0) return (0, 0);
        _requireVoucher(jobId, terms, voucher, operatorSig, signerSig);
        millis = _countedMillis(terms, voucher.billedMillis);
        value = _valueOf(terms, millis, voucher.egressBytes);
    }

    function _atLeastCollected(Progress calldata progress, uint256 value, uint256 millis) private pure returns (uint256, uint256) {
        return value < progress.value ? (progress.value, progress.billedMillis) : (value, millis);
    }

    /// @dev Milliseconds count up to the time since the match and up to the attempt's limit.
    function _countedMillis(Terms calldata terms, uint256 millis) private view returns (uint256) {
        uint256 elapsed = (block.timestamp - terms.limits.matchedAt()) * 1000;
        uint256 limit = terms.limits.maxSeconds() * 1000;
        if (elapsed < limit) limit = elapsed;
        return millis < limit ? millis : limit;
    }

    /// @dev Value of usage, rounded up, never above the escrow.
    function _valueOf(Terms calldata terms, uint256 millis, uint256 egressBytes) private pure returns (uint256) {
        uint256 value = Pricing.valueRoundedUp(millis, egressBytes, terms.computePerHour, terms.egressPerGiB);
        return value < terms.escrow ? value : terms.escrow;
    }

    /// @dev Billed seconds that further attempts may use; a started second is used.
    function _secondsLeft(Terms calldata terms, uint256 billedMillis) private pure returns (uint256) {
        uint256 used = (billedMillis + 999) / 1000;
        uint256 maxSeconds = terms.limits.maxSeconds();
        return used < maxSeconds ? maxSeconds - used : 0;
    }

    /// @dev From here on anyone may end a matched attempt.
    function _lastDeadline(Terms calldata terms) private pure returns (uint256) {
        Limits limits = terms.limits;
        return limits.matchedAt() + limits.readyWithinSeconds() + 2 * limits.maxSeconds() + 1 days;
    }

    // --------------------------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IJobMarket
    function jobOf(bytes32 jobId) external view returns (JobState state, uint8 attempt, uint48 time, bytes24 hash) {
        Slot memory slot = _jobs[jobId];
        return (slot.state, slot.attempt, slot.time, slot.hash);
    }

    /// @inheritdoc IJobMarket
    function jobIdOf(Order calldata order) external view returns (bytes32) {
        return _hashTypedDataV4(Messages.hashOrder(order));
    }

    /// @inheritdoc IJobMarket
    function hashTerms(Terms calldata terms, Progress calldata progress) external pure returns (bytes24) {
        return JobHash.ofCalldata(terms, progress);
    }
}
