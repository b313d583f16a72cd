// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobRules} from "./JobRules.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IStaking} from "./interfaces/IStaking.sol";
import {Ending, JobHash, JobState, Limits, Progress, Rates, Settlement, Terms, TermsLimits, TermsRates} from "./libraries/JobTerms.sol";
import {Bid, Extend, Messages, Order, Result, Voucher} from "./libraries/Messages.sol";
import {Pricing} from "./libraries/Pricing.sol";

/// @title A job's life on chain
/// @notice See {IJobMarket} for what each call is for and who may make it. One slot per job; escrow is what the slot's terms say is left.
/// @dev No call here moves a token of a payer: credits change, tokens stay. What is called outside is the registry, which is ours, and a payer's
/// ERC-1271 check, which is static. So these calls need no reentrancy guard; deposits, withdrawals and pulls have one.
abstract contract JobMarket is JobRules {
    using TermsLimits for Limits;
    using TermsRates for Rates;

    uint256 private constant REMATCH_SECONDS = 1 hours;
    uint256 private constant CHALLENGE_SECONDS = 24 hours;
    /// After an answered report the payer's side waits this many response windows, so that reports cannot keep a node from running.
    uint256 private constant WINDOWS_BETWEEN_REPORTS = 3;
    /// A counted job is worth at least one USD, in millionths.
    uint256 private constant COUNTED_USD_MICROS = 1e6;
    uint64 private constant NEVER = type(uint64).max;

    /// @notice What the earlier attempts of a rematched job took of what it may have in all.
    struct Earlier {
        uint128 paid;
        uint128 billedSeconds;
    }

    mapping(bytes32 digest => bool) private _usedExtensions;
    mapping(bytes32 jobId => Earlier) private _earlier;

    // ------------------------------------------------------------------------------------------------------------------- matching and extending

    /// @inheritdoc IJobMarket
    function matchOrder(Order calldata order, bytes calldata orderSig, Bid calldata bid, bytes calldata bidSig) external returns (bytes32 jobId) {
        // Check
        jobId = _newJobId(order);
        _requireOrder(order);
        if (msg.sender != order.payer && !_isBudgetKey(order.budget, order.payer, msg.sender)) {
            if (msg.sender != order.signer && !order.claimable) revert JobMarket_NotAllowed(msg.sender);
            _requirePayerSide(order.payer, order.budget, jobId, orderSig);
        }
        Job memory job;
        job.id = jobId;
        _fixTerms(job, order, bid, bidSig, order.maxCost, order.maxSeconds);

        // Effect
        _enter(job, JobState.Matched);
        _spendBudget(order.budget, order.payer, order.token, order.maxCost, order.maxCost);
        _debit(order.payer, order.token, order.maxCost);
        emit Matched(jobId, bid.node, order.payer, job.terms);
    }

    /// @inheritdoc IJobMarket
    function cancelOrder(Order calldata order) external {
        // Check
        bytes32 jobId = _newJobId(order);
        if (msg.sender != order.payer && !_isBudgetKey(order.budget, order.payer, msg.sender)) revert JobMarket_NotAllowed(msg.sender);

        // Effect
        _jobs[jobId] = Slot({hash: 0, state: JobState.Cancelled, attempt: 0, time: uint48(block.timestamp)});
        emit OrderCancelled(jobId, order.payer, msg.sender);
    }

    /// @inheritdoc IJobMarket
    function rematch(Order calldata order, Terms calldata terms, Progress calldata progress, Bid calldata bid, bytes calldata bidSig) external {
        // Check. The order's own expiry is about its first match; the payer's side now chooses a fresh bid.
        Job memory job = _load(jobIdOf(order), terms, progress, JobState.Interrupted);
        _requireBefore(job.since + REMATCH_SECONDS);
        if (!order.claimable) _requirePayerOrSigner(job);
        Progress memory ended = job.progress;
        address owner = INodeRegistry(nodeRegistry).ownerOf(bid.node);
        if (owner == ended.earlierOwner1 || owner == ended.earlierOwner2 || owner == ended.earlierOwner3) {
            revert JobMarket_OwnerHadAttempt(owner);
        }
        uint128 escrowLeft = _escrowLeft(job, ended.value);
        uint256 secondsLeft = _secondsLeft(job, ended.billedMillis);
        Earlier memory earlier = _earlier[job.id];
        earlier.paid += job.terms.escrow - escrowLeft;
        earlier.billedSeconds += uint128(job.terms.limits.maxSeconds() - secondsLeft);
        ended.value = 0;
        ended.billedMillis = 0;
        _fixTerms(job, order, bid, bidSig, escrowLeft, secondsLeft);

        // Effect
        _earlier[job.id] = earlier;
        _enter(job, JobState.Matched);
        emit Rematched(job.id, bid.node, job.terms.payer, job.terms, job.progress);
    }

    /// @inheritdoc IJobMarket
    function extend(Terms calldata terms, Progress calldata progress, Extend calldata ext, bytes calldata payerSig, bytes calldata operatorSig)
        external
    {
        // Check
        Job memory job = _load(ext.jobId, terms, progress, JobState.Matched);
        Terms memory next = job.terms;
        _requireBefore(_lastDeadline(job));
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
        if (INodeRegistry(nodeRegistry).tierOf(next.node) == 0) _requireT0Cap(next.token, next.escrow);

        // Effect
        _usedExtensions[digest] = true;
        _update(job);
        _spendBudget(next.budget, next.payer, next.token, ext.addCost, uint256(next.escrow) + earlier.paid);
        _debit(next.payer, next.token, ext.addCost);
        emit Extended(job.id, next.node, next.payer, ext.addCost, ext.addSeconds, next);
    }

    /// @dev Id of an order that nothing happened to yet.
    function _newJobId(Order calldata order) private view returns (bytes32 jobId) {
        jobId = jobIdOf(order);
        JobState state = _jobs[jobId].state;
        if (state != JobState.None) revert JobMarket_StateIs(jobId, state);
    }

    /// @dev Checks a bid against its order, counts a new attempt at the node and fixes its terms.
    function _fixTerms(Job memory job, Order calldata order, Bid calldata bid, bytes calldata bidSig, uint128 escrow, uint256 maxSeconds) private {
        job.attempt += 1;
        if (bid.jobId != job.id) revert JobMarket_WrongJob(job.id, bid.jobId, job.attempt);
        if (block.timestamp >= bid.expiresAt) revert JobMarket_Expired(bid.expiresAt);
        if (bid.computePerHour > order.maxPricePerHour) revert JobMarket_PriceAboveCeiling(bid.computePerHour, order.maxPricePerHour);
        if (bid.egressPerGiB > order.maxEgressPerGiB) revert JobMarket_EgressPriceAboveCeiling(bid.egressPerGiB, order.maxEgressPerGiB);
        if (bid.readyWithinSeconds > order.readyWithinSeconds) revert JobMarket_ReadyTooLate(bid.readyWithinSeconds, order.readyWithinSeconds);

        uint256 usdRate = _listings[order.token].usdRate;
        if (usdRate == 0) revert CloudWallet_TokenNotListed(order.token);
        (address operator, address payee, uint8 tier, uint64 listPrice) = INodeRegistry(nodeRegistry).openJob(bid.node);
        _requireKey(operator, _hashTypedDataV4(Messages.hashBid(bid)), bidSig);
        uint256 asked = Pricing.usdMicrosRoundedUp(bid.computePerHour, usdRate);
        if (asked > listPrice) revert JobMarket_PriceAboveListPrice(asked, listPrice);
        if (tier < order.minTier) revert JobMarket_TierTooLow(tier, order.minTier);
        if (tier == 0) _requireT0Cap(order.token, escrow);

        Terms memory terms = job.terms;
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
        terms.limits = TermsLimits.pack(
            block.timestamp, maxSeconds, bid.readyWithinSeconds, bid.quotedSeconds, order.verifyLevel, order.maxAttempts, job.attempt
        );
    }

    /// @dev Rates and fee shares as a match finds them.
    function _ratesOf(address payer, uint256 usdRate, uint256 nodeTier) private view returns (Rates) {
        MatchParameters memory parameters = _matchParameters;
        uint256 discountBps = staking == address(0) ? 0 : Pricing.discountBpsOfTier(IStaking(staking).tierOf(payer));
        return
            TermsRates.pack(
                usdRate, parameters.openRate, parameters.stakersBps, parameters.treasuryBps, discountBps, Pricing.bonusBpsOfTier(nodeTier)
            );
    }

    // ---------------------------------------------------------------------------------------------------------------------- paying and closing

    /// @inheritdoc IJobMarket
    function collect(Terms calldata terms, Progress calldata progress, Voucher calldata voucher, bytes calldata operatorSig, bytes calldata signerSig)
        external
    {
        // Check
        Job memory job = _load(voucher.jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(job));
        if (_isByPanel(job)) revert JobMarket_VerifyLevelIs(VERIFY_BY_PANEL);
        _requireVoucher(job, voucher, operatorSig, signerSig);
        uint256 millis = _countedMillis(job, voucher.durableMillis);
        uint256 value = _valueOf(job, millis, voucher.durableEgressBytes);
        uint256 oldValue = job.progress.value;
        if (value <= oldValue) revert JobMarket_ValueBelowCollected(value, oldValue);

        // Effect
        job.progress.value = uint128(value);
        job.progress.billedMillis = uint64(millis);
        _update(job);
        Pricing.Split memory moved = _pay(job, oldValue, value);
        emit Collected(
            job.id,
            job.terms.node,
            job.terms.payer,
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
    ) external {
        // Check
        Job memory job = _load(result.jobId, terms, progress, JobState.None);
        // An attempt that is over was counted when it was interrupted. A hardware fault sent again would only take the payer's hour to rematch away.
        bool isOver = job.state == JobState.Interrupted;
        bool isRefused = job.state == JobState.Disputed || (isOver && result.outcome == uint8(Ending.HardwareFault));
        if (isRefused) revert JobMarket_StateIs(job.id, job.state);
        _requireRange("rating", rating, 0, 5);
        uint256 value = _requireResult(job, result);
        if (value < job.progress.value) revert JobMarket_ValueBelowCollected(value, job.progress.value);
        bytes32 digest = _hashTypedDataV4(Messages.hashResult(result));
        _requireKey(job.terms.operator, digest, operatorSig);
        _requireKey(job.terms.signer, _hashTypedDataV4(Messages.hashApprove(digest, rating)), signerSig);

        // Effect
        Settlement memory settlement = _settlementOf(Ending(result.outcome), value, result.billedMillis, result.egressBytes);
        settlement.rating = rating;
        settlement.readyAfterSeconds = result.readyAfterSeconds;
        settlement.receiptDigest = result.receiptDigest;
        if (!isOver) _count(job, settlement.ending, value);
        _end(job, settlement, settlement.ending == Ending.HardwareFault);
    }

    /// @inheritdoc IJobMarket
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
        _requireBefore(_lastDeadline(job));
        _requireNode(job);
        _requireResult(job, result);
        (uint256 value, uint256 millis, uint256 egressBytes) = _shownValue(job, voucher, operatorSig, signerSig);
        if (result.billedMillis != (voucher.seq == 0 ? 0 : voucher.billedMillis) || result.egressBytes != egressBytes) {
            revert JobMarket_TotalsDiffer();
        }

        // Effect
        if (_isByPanel(job)) {
            job.progress.declared = _hashTypedDataV4(Messages.hashResult(result));
            _enter(job, JobState.Submitted);
            emit ResultSubmitted(job.id, job.terms.node, job.terms.payer, job.progress.declared, result, job.progress);
        } else {
            _endSubmitted(job, result, value, millis, result.outcome != uint8(Ending.Completed));
        }
    }

    /// @inheritdoc IJobMarket
    function finalize(Terms calldata terms, Progress calldata progress, Result calldata result) external {
        // Check
        Job memory job = _load(result.jobId, terms, progress, JobState.Submitted);
        _requireSince(job.since + CHALLENGE_SECONDS);
        bytes32 digest = _hashTypedDataV4(Messages.hashResult(result));
        if (digest != job.progress.declared) revert JobMarket_NotTheDeclared(job.progress.declared, digest);

        // Effect
        uint256 millis = _countedMillis(job, result.billedMillis);
        _endSubmitted(job, result, _valueOf(job, millis, result.egressBytes), millis, false);
    }

    /// @inheritdoc IJobMarket
    function close(bytes32 jobId, Terms calldata terms, Progress calldata progress) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Interrupted);
        if (block.timestamp < job.since + REMATCH_SECONDS) _requirePayerOrSigner(job);

        // Effect
        uint128 refunded = _escrowLeft(job, job.progress.value);
        _enter(job, JobState.Settled);
        _refund(job.terms.payer, job.terms.token, job.terms.budget, refunded);
        emit Closed(jobId, job.terms.payer, refunded);
    }

    /// @inheritdoc IJobMarket
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
        _requireSince(_lastDeadline(job));
        (uint256 value, uint256 millis, uint256 egressBytes) = _shownValue(job, voucher, operatorSig, signerSig);
        if (_isByPanel(job)) (value, millis, egressBytes) = (0, 0, 0);

        // Effect
        _endNeutral(job, _settlementOf(Ending.Expired, value, millis, egressBytes), false);
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
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(job));
        _requirePayerOrSigner(job);
        _requireSince(job.progress.reportableFrom);
        uint256 value;
        Voucher memory declared; // none is emitted as none, whatever its other fields: nobody signed them
        if (voucher.seq == 0) {
            _requireSince(job.terms.limits.matchedAt() + job.terms.limits.readyWithinSeconds());
        } else {
            _requireVoucher(job, voucher, operatorSig, signerSig);
            value = _valueOf(job, _countedMillis(job, voucher.durableMillis), voucher.durableEgressBytes);
            job.progress.declared = Messages.hashVoucher(voucher);
            declared = voucher;
        }
        if (value < job.progress.value) revert JobMarket_ValueBelowCollected(value, job.progress.value);

        // Effect
        job.progress.reportedAt = uint64(block.timestamp);
        _enter(job, JobState.Reported);
        emit FaultReported(jobId, job.terms.node, job.terms.payer, msg.sender, declared, job.progress);
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
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Reported);
        _requireBefore(_responseDeadline(job));
        _requireDeclared(job, declared);
        _requireVoucher(job, voucher, operatorSig, signerSig);
        if (voucher.seq <= declared.seq) revert JobMarket_VoucherNotNewer(declared.seq, voucher.seq);

        // Effect
        bool isOver = voucher.signedAt >= job.progress.reportedAt;
        if (isOver) {
            _resume(job, uint64(block.timestamp + WINDOWS_BETWEEN_REPORTS * responseWindowSeconds));
        } else {
            job.progress.declared = Messages.hashVoucher(voucher);
            _update(job);
        }
        emit FaultAnswered(jobId, job.terms.node, job.terms.payer, isOver, voucher, job.progress);
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
    ) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Reported);
        _requireBefore(_responseDeadline(job));
        _requireNode(job);
        _requireDeclared(job, declared);
        (uint256 value, uint256 millis, uint256 egressBytes) = _shownValue(job, voucher, operatorSig, signerSig);
        Settlement memory settlement = _settlementOf(Ending.Contested, value, millis, egressBytes);
        if (declared.seq != 0) {
            millis = _countedMillis(job, declared.billedMillis);
            value = _valueOf(job, millis, declared.egressBytes);
            if (value > settlement.value) settlement = _settlementOf(Ending.Contested, value, millis, declared.egressBytes);
        }

        // Effect. At V2 it runs on unpaid: only a submitted or co-signed result is paid, and there is nothing left to report.
        if (_isByPanel(job)) {
            _resume(job, NEVER);
            emit FaultContested(jobId, job.terms.node, job.terms.payer, job.progress);
        } else {
            _endNeutral(job, settlement, true);
        }
    }

    /// @inheritdoc IJobMarket
    function resolveFault(bytes32 jobId, Terms calldata terms, Progress calldata progress, Voucher calldata declared) external {
        // Check
        Job memory job = _load(jobId, terms, progress, JobState.Reported);
        _requireSince(_responseDeadline(job));
        _requireDeclared(job, declared);
        uint256 value;
        uint256 millis;
        uint256 egressBytes;
        uint256 asked = job.terms.computePerHour / 4;
        if (declared.seq != 0) {
            millis = _countedMillis(job, declared.durableMillis);
            egressBytes = declared.durableEgressBytes;
            value = _valueOf(job, millis, egressBytes);
            asked = job.terms.escrow / 10;
            if (asked > job.terms.computePerHour) asked = job.terms.computePerHour;
        }
        asked = Pricing.openRoundedDown(asked, job.terms.rates);

        // Interaction: the registry is ours; it sends OPEN here before it says how much.
        uint256 makeGood = INodeRegistry(nodeRegistry).closeFaultedJob(job.terms.node, asked);

        // Effect
        if (makeGood != 0) _credit(job.terms.payer, openToken, makeGood);
        emit Faulted(jobId, job.terms.node, job.terms.payer, asked, makeGood);
        _end(job, _settlementOf(Ending.Unanswered, value, millis, egressBytes), true);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- effects

    /// @dev Ends a report in the node's favour.
    function _resume(Job memory job, uint64 reportableFrom) private {
        job.progress.declared = 0;
        job.progress.reportedAt = 0;
        job.progress.reportableFrom = reportableFrom;
        _enter(job, JobState.Matched);
    }

    /// @dev Pays what an attempt's value grew by: the node in credits, stakers and treasury in booked revenue.
    function _pay(Job memory job, uint256 oldValue, uint256 newValue) private returns (Pricing.Split memory moved) {
        if (newValue == oldValue) return moved;
        moved = Pricing.splitIncrease(oldValue, newValue, job.terms.rates);
        _credit(job.terms.payee, job.terms.token, moved.node);
        _bookRevenue(job.terms.token, moved.stakers, moved.treasury);
    }

    /// @dev Counts the end of an attempt in the node's record.
    function _count(Job memory job, Ending ending, uint256 value) private {
        INodeRegistry.Standing standing = INodeRegistry.Standing.Neutral;
        uint256 usdMicros = Pricing.usdMicrosRoundedDown(value, job.terms.rates.usdRate());
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
        INodeRegistry(nodeRegistry).closeJob(job.terms.node, standing, isCounted, uint64(usdMicros));
    }

    function _endSubmitted(Job memory job, Result calldata result, uint256 value, uint256 millis, bool canRematch) private {
        Settlement memory settlement = _settlementOf(Ending.Submitted, value, millis, result.egressBytes);
        settlement.readyAfterSeconds = result.readyAfterSeconds;
        settlement.receiptDigest = result.receiptDigest;
        _endNeutral(job, settlement, canRematch);
    }

    function _endNeutral(Job memory job, Settlement memory settlement, bool canRematch) private {
        _count(job, settlement.ending, settlement.value);
        _end(job, settlement, canRematch);
    }

    function _settlementOf(Ending ending, uint256 value, uint256 millis, uint256 egressBytes) private pure returns (Settlement memory settlement) {
        settlement.ending = ending;
        settlement.value = uint128(value);
        settlement.billedMillis = uint64(millis);
        settlement.egressBytes = uint64(egressBytes);
    }

    /// @dev Pays an attempt up to its final value, never less than was collected; interrupts the job while it can be matched again, else refunds and
    /// settles it.
    function _end(Job memory job, Settlement memory settlement, bool canRematch) private {
        Terms memory terms = job.terms;
        Progress memory progress = job.progress;
        if (settlement.value < progress.value) {
            settlement.value = progress.value;
            settlement.billedMillis = progress.billedMillis;
            settlement.egressBytes = 0; // progress does not carry it; the last Collected names it
        }
        Pricing.Split memory moved = _pay(job, progress.value, settlement.value);
        settlement.quotedSeconds = uint32(terms.limits.quotedSeconds());
        settlement.usdRate = uint128(terms.rates.usdRate());
        settlement.specDigest = terms.specDigest;
        settlement.nodePart = uint128(moved.node);
        settlement.stakersPart = uint128(moved.stakers);
        settlement.treasuryPart = uint128(moved.treasury);
        uint128 left = _escrowLeft(job, settlement.value);

        if (canRematch && left != 0 && job.attempt < terms.limits.maxAttempts() && _secondsLeft(job, settlement.billedMillis) != 0) {
            progress.value = settlement.value;
            progress.billedMillis = settlement.billedMillis;
            progress.declared = 0;
            progress.reportedAt = 0;
            progress.reportableFrom = 0;
            // The NFT could not change hands while the attempt was open, so this is the owner at match.
            address owner = INodeRegistry(nodeRegistry).ownerOf(terms.node);
            if (job.attempt == 1) progress.earlierOwner1 = owner;
            else if (job.attempt == 2) progress.earlierOwner2 = owner;
            else progress.earlierOwner3 = owner;
            _enter(job, JobState.Interrupted);
            emit Interrupted(job.id, terms.node, terms.payer, settlement, progress);
        } else {
            settlement.refunded = left;
            _enter(job, JobState.Settled);
            _refund(terms.payer, terms.token, terms.budget, left);
            emit Settled(job.id, terms.node, terms.payer, settlement);
        }
    }

    // --------------------------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IJobMarket
    function jobOf(bytes32 jobId) external view returns (JobState state, uint8 attempt, uint48 time, bytes24 hash) {
        Slot memory slot = _jobs[jobId];
        return (slot.state, slot.attempt, slot.time, slot.hash);
    }

    /// @inheritdoc IJobMarket
    function hashTerms(Terms memory terms, Progress memory progress) external pure returns (bytes24) {
        return JobHash.hashOf(terms, progress);
    }
}
