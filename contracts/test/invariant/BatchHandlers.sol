// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobState} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {JobHandlers} from "./JobHandlers.sol";

/// @title Batches of calls about jobs, with elements given twice, cut short, or overtaken by another element
/// @notice Every batch is made twice: first one call after another, which is taken back, then at once; both must do the same.
abstract contract BatchHandlers is JobHandlers {
    uint256 private constant NO_JOB = type(uint256).max;

    /// @notice A batch about to be made, and what its elements do one after another.
    struct Batch {
        bytes[] calls; // what each element is as a call of its own
        bytes32[] ids; // job of each
        bool[] isDone;
        uint256 done;
        bytes32 skips; // hash of what failed, with its error
        bytes32 effect; // hash of what everybody has afterwards
    }

    function batch(uint256 seed) external step(seed) {
        uint256 kind = _at(seed, 305) % 3;
        if (kind == 0) _collectMany(seed);
        else if (kind == 1) _settleMany(seed);
        else _matchMany(seed);
    }

    function _collectMany(uint256 seed) private {
        Batch memory b = _newBatch(seed);
        for (uint256 i = 0; i < b.calls.length; ++i) {
            if (_isAgain(b, i, seed)) continue;
            uint256 index = _pick(_at(seed, 310 + i), _bit(JobState.Matched));
            if (index == NO_JOB) return;
            Job storage job = jobs[index];
            Voucher memory v = _voucher(job, _at(seed, 320 + i), uint64(clock));
            b.ids[i] = job.id;
            b.calls[i] = _collect(job, v, stranger);
        }
        _oneByOne(b, seed, 21);
        _atOnce(b, "collectMany", cloud.collectMany.selector);
    }

    function _settleMany(uint256 seed) private {
        Batch memory b = _newBatch(seed);
        for (uint256 i = 0; i < b.calls.length; ++i) {
            if (_isAgain(b, i, seed)) continue;
            // Every state but Matched first: those are rare.
            uint256 index = _pick(_at(seed, 310 + i), i == 0 ? 0x3a : _bit(JobState.Matched));
            if (index == NO_JOB) continue;
            Job storage job = jobs[index];
            Result memory r = _result(job, _limitMillis(job.terms), job.top.egressBytes, _at(seed, 320 + i));
            _signed(job, r.billedMillis, r.egressBytes);
            bytes memory opSig = _sign(job.terms.operator, _hash(r));
            b.ids[i] = job.id;
            b.calls[i] = _settle(job, r, opSig, 5, _sign(job.terms.signer, _hashApprove(r, 5)));
        }
        _oneByOne(b, seed, 21);
        _atOnce(b, "settleMany", cloud.settleMany.selector);
    }

    function _matchMany(uint256 seed) private {
        Batch memory b = _newBatch(seed);
        if (openJobs.length + b.calls.length > MAX_OPEN) return;
        Order[] memory orders = new Order[](b.calls.length);
        for (uint256 i = 0; i < b.calls.length; ++i) {
            if (_isAgain(b, i, seed)) {
                orders[i] = orders[i - 1]; // the one before may be cut short, and this one pass
                continue;
            }
            uint256 node = _node(_at(seed, 310 + i), new address[](0));
            Order memory o = _order(_at(seed, 320 + i), seed & 2 == 0 ? _spendable(_at(seed, 330 + i), 4) : 0);
            if (node == 0 || o.maxCost == 0) return;
            o.claimable = true;
            Bid memory bid = _bid(_at(seed, 340 + i), o, node);
            bytes memory bidSig = _sign(registry.nodeOf(node).operator, _hash(bid));
            b.ids[i] = bid.jobId;
            orders[i] = o;
            b.calls[i] = abi.encodeCall(cloud.matchOrder, (o, _signDigest(o.payer, bid.jobId), bid, bidSig));
        }
        _oneByOne(b, seed, 17);
        for (uint256 i = 0; i < orders.length; ++i) {
            if (!b.isDone[i]) continue;
            jobs.push();
            jobs[jobs.length - 1].id = b.ids[i];
            jobs[jobs.length - 1].order = orders[i];
            indexOf[b.ids[i]] = jobs.length;
            openJobs.push(jobs.length - 1);
        }
        _atOnce(b, "matchMany", cloud.matchMany.selector);
    }

    function _newBatch(uint256 seed) private pure returns (Batch memory b) {
        uint256 n = 2 + _at(seed, 300) % 3;
        (b.calls, b.ids, b.isDone) = (new bytes[](n), new bytes32[](n), new bool[](n));
    }

    /// @dev One in four elements is the one before once more.
    function _isAgain(Batch memory b, uint256 i, uint256 seed) private pure returns (bool) {
        if (i == 0 || _at(seed, 301 + i) % 4 != 0) return false;
        (b.calls[i], b.ids[i]) = (b.calls[i - 1], b.ids[i - 1]);
        return true;
    }

    /// @dev Makes each call by itself and takes all back. One batch in four has an element cut short, which then may be too short to say its job.
    function _oneByOne(Batch memory b, uint256 seed, uint256 jobIdWord) private {
        if (_at(seed, 302) % 4 == 0) {
            uint256 at = _at(seed, 303) % b.calls.length;
            if (b.calls[at].length != 0) b.calls[at] = _cut(b.calls[at], 4 + _at(seed, 304) % (b.calls[at].length - 3));
        }
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < b.calls.length; ++i) {
            if (b.calls[i].length == 0) continue;
            vm.prank(stranger);
            bytes memory answer;
            (b.isDone[i], answer) = address(cloud).call(b.calls[i]);
            if (b.isDone[i]) {
                ++b.done;
            } else {
                bytes32 id = b.calls[i].length < 4 + 32 * (jobIdWord + 1) ? bytes32(0) : b.ids[i];
                b.skips = keccak256(abi.encode(b.skips, id, keccak256(answer)));
            }
        }
        b.effect = _effect(b.ids);
        require(vm.revertToStateAndDelete(snapshot), "snapshot");
        vm.warp(clock);
    }

    /// @dev The same in one call. What was skipped, how many were not, and what everybody has afterwards are the same.
    function _atOnce(Batch memory b, string memory name, bytes4 selector) private {
        uint256 n;
        for (uint256 i = 0; i < b.calls.length; ++i) {
            if (b.calls[i].length != 0) ++n;
        }
        if (n == 0) return;
        bytes[] memory items = new bytes[](n);
        n = 0;
        for (uint256 i = 0; i < b.calls.length; ++i) {
            if (b.calls[i].length != 0) items[n++] = _withoutSelector(b.calls[i]);
        }
        skips = 0;
        (bool isOk, bytes memory answer) = _callFor(name, stranger, address(cloud), abi.encodeWithSelector(selector, items));
        bool isSame = isOk && abi.decode(answer, (uint256)) == b.done && skips == b.skips && _effect(b.ids) == b.effect;
        _rule(isSame, "batchIsItsCallsOneByOne");
        if (b.done != 0 && b.done != n) _count(string.concat(name, ", some skipped"));
    }

    /// @dev All that calls about these jobs can change.
    function _effect(bytes32[] memory ids) private view returns (bytes32 effect) {
        uint256 week = block.timestamp / 1 weeks;
        for (uint256 t = 0; t < TOKENS; ++t) {
            for (uint256 i = 0; i < accounts.length; ++i) {
                effect = keccak256(abi.encode(effect, cloud.credits(accounts[i], tokens[t])));
            }
            effect = keccak256(abi.encode(effect, cloud.revenueOf(week, tokens[t])));
        }
        for (uint256 node = 1; node <= NODES; ++node) {
            effect = keccak256(abi.encode(effect, registry.nodeOf(node), registry.statsOf(node)));
        }
        for (uint256 i = 0; i < ids.length; ++i) {
            (JobState state, uint8 attempt, uint48 time, bytes24 hash) = cloud.jobOf(ids[i]);
            effect = keccak256(abi.encode(effect, state, attempt, time, hash));
        }
        for (uint256 id = budgetCount; id != 0 && id + 40 > budgetCount; --id) {
            effect = keccak256(abi.encode(effect, cloud.budgetOf(id).left));
        }
    }

    function _cut(bytes memory data, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(part, 0x20), add(data, 0x20), length)
        }
    }

    function _withoutSelector(bytes memory data) private pure returns (bytes memory rest) {
        rest = new bytes(data.length - 4);
        assembly ("memory-safe") {
            mcopy(add(rest, 0x20), add(data, 0x24), mload(rest))
        }
    }
}
