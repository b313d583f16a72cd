// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobSteps} from "./JobSteps.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {Ending, JobHash, JobSlot, JobSlots, JobState, Progress, Settlement, Terms} from "./libraries/JobTerms.sol";
import {Bid, Messages, Order, Result, Voucher} from "./libraries/Messages.sol";
import {Pricing} from "./libraries/Pricing.sol";

/// @title A job's life on chain: the happy path
/// @notice See {IJobMarket} for what each call is for and who may make it. One slot per job; escrow is what the slot's terms say is left.
/// @dev No call here moves a token of a payer: credits change, tokens stay. What is called outside is the registry, which is ours, and a payer's
/// ERC-1271 check, which is static. So these calls need no reentrancy guard; deposits, withdrawals and pulls have one.
abstract contract JobMarket is JobSteps, IJobMarket {
    using JobSlots for JobSlot;

    /// Most one element of a batch can use, both ERC-1271 checks (payer, then budget key) included. Each gets at least this much, so that none is
    /// skipped for want of gas: an estimate would otherwise find the gas at which everything is.
    uint256 private constant BATCH_ITEM_GAS = 700_000;
    /// Where the job's id stands in the arguments of {matchOrder} (the bid's, after 16 words of order and one offset).
    uint256 private constant MATCH_JOB_ID_AT = 17 * 32;
    /// The same for {settle} and {collect}: the first word after 13 of terms and 8 of progress.
    uint256 private constant CLOSE_JOB_ID_AT = 21 * 32;

    /// @inheritdoc IJobMarket
    function matchOrder(Order calldata order, bytes calldata orderSig, Bid calldata bid, bytes calldata bidSig) external returns (bytes32 jobId) {
        // Check
        jobId = _newJobId(order);
        _requireOrder(order);
        bool isClaimable = order.claimable; // read for every caller: a word that is no bool must not become part of a job's id
        if (msg.sender != order.payer && !_isBudgetKey(order.budget, order.payer, msg.sender)) {
            if (msg.sender != order.signer && !isClaimable) revert JobMarket_NotAllowed(msg.sender);
            _requirePayerSide(order.payer, order.budget, jobId, orderSig);
        }
        Terms memory terms = _fixTerms(jobId, 1, order, bid, bidSig, order.maxCost, order.maxSeconds);

        // Effect
        _jobs[jobId] = JobSlots.pack(JobHash.ofFirstSlot(JobHash.ofNewTerms(terms)), JobState.Matched, 1, block.timestamp);
        _spendBudget(order.budget, order.payer, order.token, order.maxCost, order.maxCost);
        _debit(order.payer, order.token, order.maxCost);
        _emitMatched(jobId, bid.node, order.payer, terms);
    }

    /// @inheritdoc IJobMarket
    function cancelOrder(Order calldata order) external {
        // Check
        bytes32 jobId = _newJobId(order);
        if (msg.sender != order.payer && !_isBudgetKey(order.budget, order.payer, msg.sender)) revert JobMarket_NotAllowed(msg.sender);

        // Effect
        _jobs[jobId] = JobSlots.pack(0, JobState.Cancelled, 0, block.timestamp);
        emit OrderCancelled(jobId, order.payer, msg.sender);
    }

    /// @dev Id of an order that nothing happened to yet.
    function _newJobId(Order calldata order) private view returns (bytes32 jobId) {
        jobId = _jobIdOf(order);
        JobState state = _jobs[jobId].state();
        if (state != JobState.None) revert JobMarket_StateIs(jobId, state);
    }

    /// @inheritdoc IJobMarket
    function collect(Terms calldata terms, Progress calldata progress, Voucher calldata voucher, bytes calldata operatorSig, bytes calldata signerSig)
        external
    {
        // Check
        Job memory job = _load(voucher.jobId, terms, progress, JobState.Matched);
        _requireBefore(_lastDeadline(terms));
        if (_isByPanel(terms)) revert JobMarket_VerifyLevelIs(VERIFY_BY_PANEL);
        _requireRange("seq", voucher.seq, 1, type(uint32).max); // 0 is "none", which a report could not declare once it was collected
        _requireVoucher(job, terms, voucher, operatorSig, signerSig);
        uint256 millis = _countedMillis(terms, voucher.durableMillis);
        uint256 value = _valueOf(terms, millis, voucher.durableEgressBytes);
        uint256 oldValue = job.progress.value;
        if (value <= oldValue) revert JobMarket_ValueBelowCollected(value, oldValue);

        // Effect
        job.progress.value = uint128(value);
        job.progress.billedMillis = uint64(millis);
        _update(job);
        Pricing.Split memory moved = _pay(terms, oldValue, value);
        emit Collected(
            job.id,
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
    ) external {
        // Check
        Job memory job = _load(result.jobId, terms, progress, JobState.None);
        // An attempt that is over was counted when it was interrupted. A hardware fault sent again would only take the payer's hour to rematch away.
        bool isOver = job.state == JobState.Interrupted;
        bool isRefused = job.state == JobState.Disputed || (isOver && result.outcome == uint8(Ending.HardwareFault));
        if (isRefused) revert JobMarket_StateIs(job.id, job.state);
        _requireRange("rating", rating, 0, 5);
        uint256 value = _requireResult(job, terms, result);
        if (value < job.progress.value) revert JobMarket_ValueBelowCollected(value, job.progress.value);
        bytes32 digest = _hashTypedDataV4(Messages.hashResult(result));
        _requireKey(terms.operator, digest, operatorSig);
        _requireKey(terms.signer, _hashTypedDataV4(Messages.hashApprove(digest, rating)), signerSig);

        // Effect
        Settlement memory settlement = _settlementOf(Ending(result.outcome), value, result.billedMillis, result.egressBytes);
        settlement.rating = rating;
        settlement.readyAfterSeconds = result.readyAfterSeconds;
        settlement.receiptDigest = result.receiptDigest;
        if (!isOver) _count(terms, settlement.ending, value);
        _end(job, terms, settlement, settlement.ending == Ending.HardwareFault);
    }

    // ------------------------------------------------------------------------------------------------------------------------------------------ batches

    /// @inheritdoc IJobMarket
    function matchMany(bytes[] calldata items) external returns (uint256 done) {
        return _each(this.matchOrder.selector, items, MATCH_JOB_ID_AT);
    }

    /// @inheritdoc IJobMarket
    function settleMany(bytes[] calldata items) external returns (uint256 done) {
        return _each(this.settle.selector, items, CLOSE_JOB_ID_AT);
    }

    /// @inheritdoc IJobMarket
    function collectMany(bytes[] calldata items) external returns (uint256 done) {
        return _each(this.collect.selector, items, CLOSE_JOB_ID_AT);
    }

    /// @dev Calls one function of this contract for every element, as the caller (delegatecall). What an element did is undone where it fails; the
    /// others stand. The calldata is built beyond the free memory pointer, which stays: every element uses the same memory.
    function _each(bytes4 selector, bytes[] calldata items, uint256 jobIdAt) private returns (uint256 done) {
        for (uint256 i = 0; i < items.length; ++i) {
            bytes calldata item = items[i];
            if (gasleft() < BATCH_ITEM_GAS) revert JobMarket_BatchGasTooLow(i, gasleft(), BATCH_ITEM_GAS);
            bool isDone;
            assembly ("memory-safe") {
                let data := mload(0x40)
                mstore(data, selector)
                calldatacopy(add(data, 4), item.offset, item.length)
                isDone := delegatecall(gas(), address(), data, add(item.length, 4), 0, 0)
            }
            if (isDone) {
                ++done;
            } else {
                bytes memory reason;
                assembly ("memory-safe") {
                    reason := mload(0x40)
                    mstore(reason, returndatasize())
                    returndatacopy(add(reason, 0x20), 0, returndatasize())
                    mstore(0x40, add(add(reason, 0x20), and(add(returndatasize(), 0x1f), not(0x1f))))
                }
                emit Skipped(item.length < jobIdAt + 32 ? bytes32(0) : bytes32(item[jobIdAt:]), reason);
            }
        }
    }

    // -------------------------------------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IJobMarket
    function jobOf(bytes32 jobId) external view returns (JobState state, uint8 attempt, uint48 time, bytes24 hash) {
        JobSlot slot = _jobs[jobId];
        return (slot.state(), slot.attempt(), slot.time(), slot.hash());
    }

    /// @inheritdoc IJobMarket
    function hashTerms(Terms memory terms, Progress memory progress) external pure returns (bytes24) {
        return JobHash.ofSlot(JobHash.ofNewTerms(terms), progress);
    }

    /// @inheritdoc IJobMarket
    function jobIdOf(Order calldata order) external view returns (bytes32) {
        return _jobIdOf(order);
    }

    /// @inheritdoc IJobMarket
    function nodeRegistry() external view returns (address) {
        return _nodeRegistry;
    }

    /// @inheritdoc IJobMarket
    function disputes() external view returns (address) {
        return _disputes;
    }

    /// @inheritdoc IJobMarket
    function responseWindowSeconds() external view returns (uint256) {
        return _responseWindowSeconds;
    }
}
