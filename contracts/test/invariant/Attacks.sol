// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Ending, JobState, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {IncentiveHandlers} from "./IncentiveHandlers.sol";
import {Answer, OddToken} from "./Odd.sol";

/// @title What must never get through, tried from every state the honest actors reach
abstract contract Attacks is IncentiveHandlers {
    uint256 private constant NOBODY = type(uint256).max;
    uint256 private constant ANY_OPEN = 0x3e; // every state that is neither none nor closed

    /// @dev Everything that would use a message a second time.
    function replay(uint256 seed) external step(seed) {
        if (jobs.length == 0) return;
        Job storage job = jobs[_at(seed, 0) % jobs.length];
        uint256 node = _node(seed, new address[](0));
        if (node == 0) return;
        Bid memory b = _bid(seed, job.order, node);
        bytes memory sig = _sign(registry.nodeOf(node).operator, _hash(b));
        string memory rule = "replayRefused";
        _refused(rule, job.order.payer, address(cloud), abi.encodeCall(cloud.matchOrder, (job.order, "", b, sig)));
        _refused(rule, job.order.payer, address(cloud), abi.encodeCall(cloud.cancelOrder, (job.order)));
        if (cancelled.length != 0) {
            Order memory o = cancelled[_at(seed, 1) % cancelled.length];
            b = _bid(seed, o, node);
            sig = _sign(registry.nodeOf(node).operator, _hash(b));
            _refused(rule, o.payer, address(cloud), abi.encodeCall(cloud.matchOrder, (o, "", b, sig)));
        }
        if (job.state != JobState.Settled) return;
        Result memory r = _result(job, 0, 0, seed);
        bytes memory opSig = _sign(job.terms.operator, _hash(r));
        bytes memory data = _settle(job, r, opSig, 0, _sign(job.terms.signer, _hashApprove(r, 0)));
        _refused(rule, stranger, address(cloud), data);
        Voucher memory v = job.top;
        _refused(rule, job.terms.payer, address(cloud), _close(job));
        delete v;
        _refused(rule, job.terms.payer, address(cloud), _expire(job, v, stranger));
        _refused(rule, stranger, address(cloud), _resolve(job, v));
    }

    /// @dev The same co-signed hardware fault and the same voucher again, right after they were used.
    function repeatAtOnce(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Matched));
        if (index == NOBODY) return;
        Job storage job = jobs[index];
        if (seed & 1 == 0) {
            if (clock >= _lastDeadline(job.terms) || job.order.verifyLevel == 2) return;
            Voucher memory v = _voucher(job, seed, uint64(clock));
            if (_value(job.terms, v.durableMillis, v.durableEgressBytes) <= job.progress.value) return;
            bytes memory data = _collect(job, v, stranger);
            if (!_call("collect, twice", stranger, address(cloud), data)) return;
            _refused("replayRefused", stranger, address(cloud), data);
            data = _collect(job, v, stranger);
            _refused("replayRefused", stranger, address(cloud), data);
        } else {
            uint256 limit = _limitMillis(job.terms);
            Result memory r = _result(job, limit, job.top.egressBytes, seed);
            if (_spares(job, seed)) return;
            r.outcome = 4;
            if (_value(job.terms, limit, r.egressBytes) < job.progress.value) return;
            _signed(job, limit, r.egressBytes);
            bytes memory opSig = _sign(job.terms.operator, _hash(r));
            bytes memory sig = _sign(job.terms.signer, _hashApprove(r, 0));
            _wants(job, Ending.HardwareFault, _value(job.terms, limit, r.egressBytes));
            bytes memory data = _settle(job, r, opSig, 0, sig);
            if (!_call("settle, hardware fault", stranger, address(cloud), data)) return;
            data = _settle(job, r, opSig, 0, sig);
            _mustNot("settleIsIdempotent", stranger, data);
        }
    }

    /// @dev Like `_refused`, but takes back what a call that got through did, so that the books stay right.
    function _mustNot(string memory rule, address who, bytes memory data) internal {
        uint256 snapshot = vm.snapshotState();
        vm.prank(who);
        (bool isOk,) = address(cloud).call(data);
        require(vm.revertToStateAndDelete(snapshot), "snapshot");
        vm.warp(clock);
        _rule(!isOk, rule);
        _count(rule);
    }

    /// @dev Wrong key, one flipped bit, another chain, another contract, high s, another attempt.
    function forge_(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, ANY_OPEN);
        if (index == NOBODY) return;
        Job storage job = jobs[index];
        Result memory r = _result(job, 0, 0, seed);
        if (job.progress.value != 0) (r.billedMillis, r.egressBytes) = (uint64(_limitMillis(job.terms)), type(uint64).max);
        bytes memory opSig = _sign(job.terms.operator, _hash(r));
        bytes memory sig = _sign(job.terms.signer, _hashApprove(r, 0));
        uint256 kind = _at(seed, 1) % 7;
        if (kind == 0) opSig = _sign(signers[0] == job.terms.operator ? payers[0] : signers[0], _hash(r));
        else if (kind == 1) opSig = _flip(opSig, _at(seed, 2));
        else if (kind == 2) sig = _flip(sig, _at(seed, 2));
        else if (kind == 3) opSig = _signDigest(job.terms.operator, keccak256(abi.encode(_hash(r), block.chainid + 1)));
        else if (kind == 4) opSig = _highS(job.terms.operator, _digest(_hash(r)));
        else if (kind == 5) r.attempt += 1;
        else r.billedMillis += 1;
        if (keccak256(opSig) == keccak256(_sign(job.terms.operator, _hash(r))) && kind == 0) return;
        _refused("forgedSignatureRefused", stranger, address(cloud), _settle(job, r, opSig, 0, sig));
    }

    function _flip(bytes memory sig, uint256 at) private pure returns (bytes memory) {
        sig[(at >> 8) % sig.length] ^= bytes1(uint8(1 << (at % 8)));
        return sig;
    }

    function _highS(address who, bytes32 digest) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[who], digest);
        uint256 n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        return abi.encodePacked(r, bytes32(n - uint256(s)), v == 27 ? 28 : 27);
    }

    /// @dev Calls by who may not make them.
    function trespass(uint256 seed) external step(seed) {
        string memory rule = "strangersRefused";
        address c = address(cloud);
        uint256 index = _pick(seed, ANY_OPEN);
        if (index != NOBODY) {
            Job storage job = jobs[index];
            Voucher memory v;
            Result memory r = _result(job, 0, 0, seed);
            _refused(rule, stranger, c, _report(job, v, stranger));
            _refused(rule, job.terms.operator, c, _report(job, v, stranger));
            _refused(rule, stranger, c, _submit(job, r, v, stranger));
            _refused(rule, job.terms.payer, c, _submit(job, r, v, stranger));
            _refused(rule, job.terms.payer, c, _contest(job, v, stranger));
            if (clock < job.since + 1 hours) {
                _refused(rule, job.terms.operator, c, _close(job));
            }
            Extend memory e = Extend(job.id, job.attempt, 1, 1, ++salt);
            bytes memory sig = _sign(job.terms.operator, _hash(e));
            if (job.terms.signer != job.terms.payer) {
                _refused(rule, job.terms.signer, c, _extend(job, e, "", sig));
            }
        }
        address token = tokens[_at(seed, 1) % TOKENS];
        uint256 too = creditsInBooks[stranger][token] + 1;
        _refused(rule, stranger, c, abi.encodeCall(cloud.withdraw, (token, too, stranger)));
        _refused(rule, stranger, c, abi.encodeCall(cloud.setListing, (token, 1, 1)));
        _refused(rule, stranger, c, abi.encodeCall(cloud.setFees, (0, 0)));
        _refused(rule, stranger, c, abi.encodeCall(cloud.pullStakersRevenue, (0, token)));
        _refused(rule, stranger, c, abi.encodeCall(cloud.setPayerTier, (stranger, 4, uint40(clock + 1 weeks))));
        _refused(rule, stranger, address(staking), abi.encodeWithSignature("payOut(address,address,address)", stakingAccounts[0], token, stranger));
        if (budgetCount != 0) {
            uint256 id = 1 + _at(seed, 2) % budgetCount;
            _refused(rule, stranger, c, abi.encodeCall(cloud.revokeBudget, (id)));
            _refused(rule, stranger, c, abi.encodeCall(cloud.openBudget, (id, stranger, token, 1, 1, uint40(clock + 1))));
            address key = cloud.budgetOf(id).key;
            _refused(rule, key, c, abi.encodeCall(cloud.withdraw, (token, creditsInBooks[key][token] + 1, key)));
        }
        _trespassNode(1 + _at(seed, 3) % NODES, rule);
    }

    function _trespassNode(uint256 node, string memory rule) private {
        address r = address(registry);
        address operator = registry.nodeOf(node).operator;
        address who = operator == address(0) || operator == registry.ownerOf(node) ? stranger : operator;
        _refused(rule, who, r, abi.encodeCall(registry.setListPrice, (node, 1)));
        _refused(rule, who, r, abi.encodeCall(registry.setPayee, (node, who)));
        _refused(rule, who, r, abi.encodeCall(registry.resume, (node)));
        _refused(rule, who, r, abi.encodeCall(registry.requestUnbond, (node, 1)));
        _refused(rule, who, r, abi.encodeCall(registry.withdrawUnbonded, (node, who)));
        _refused(rule, who, r, abi.encodeCall(registry.setUser, (node, who, 1)));
        _refused(rule, who, r, abi.encodeCall(registry.openJob, (node)));
        _refused(rule, who, r, abi.encodeCall(registry.closeJob, (node, INodeRegistry.Standing.Success, true, 1e6)));
        _refused(rule, who, r, abi.encodeCall(registry.closeFaultedJob, (node, 1)));
    }

    /// @dev Pokes before and parties after their time.
    function mistime(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, ANY_OPEN);
        if (index == NOBODY) return;
        Job storage job = jobs[index];
        string memory rule = "deadlinesHold";
        Voucher memory v;
        if (job.state == JobState.Matched) {
            bool isLate = clock >= _lastDeadline(job.terms);
            if (!isLate) {
                _refused(rule, stranger, address(cloud), _expire(job, v, stranger));
            } else {
                Result memory r = _result(job, 0, 0, seed);
                bytes memory data = _submit(job, r, v, stranger);
                _refused(rule, job.terms.operator, address(cloud), data);
            }
            if (isLate || clock < _matchedAt(job.terms) + _readyWithin(job.terms) || clock < job.progress.reportableFrom) {
                bytes memory data = _report(job, v, stranger);
                _refused(rule, job.terms.payer, address(cloud), data);
            }
        } else if (job.state == JobState.Reported) {
            if (clock < job.progress.reportedAt + WINDOW) {
                bytes memory data = _resolve(job, job.declared);
                _refused(rule, job.terms.payer, address(cloud), data);
            } else {
                bytes memory data = _contest(job, v, stranger);
                _refused(rule, job.terms.operator, address(cloud), data);
            }
        } else if (job.state == JobState.Submitted && clock < job.since + 24 hours) {
            bytes memory data = _finalize(job);
            _refused(rule, job.terms.operator, address(cloud), data);
        } else if (job.state == JobState.Interrupted && clock >= job.since + 1 hours) {
            uint256 node = _node(seed, job.owners);
            if (node == 0) return;
            Bid memory b = _bid(seed, job.order, node);
            bytes memory sig = _sign(registry.nodeOf(node).operator, _hash(b));
            bytes memory data = _rematch(job, b, sig);
            _refused(rule, job.terms.payer, address(cloud), data);
        }
    }

    /// @dev Terms or progress that are not the job's: more escrow, another payee, less paid so far.
    function tamper(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, ANY_OPEN);
        if (index == NOBODY) return;
        Job storage job = jobs[index];
        Terms memory t = job.terms;
        Progress memory p = job.progress;
        uint256 kind = _at(seed, 1) % 6;
        if (kind == 0) t.escrow += uint128(1 + _at(seed, 2) % 1e30);
        else if (kind == 1) t.payee = address(0xdead);
        else if (kind == 2) t.payer = address(0xdead);
        else if (kind == 3) t.token = tokens[0] == t.token ? tokens[1] : tokens[0];
        else if (kind == 4) p.value += 1;
        else p.billedMillis += 1;
        Result memory r = _result(job, 0, 0, seed);
        bytes memory sig = _sign(job.terms.signer, _hashApprove(r, 0));
        _refused("tamperedTermsRefused", job.terms.operator, address(cloud), abi.encodeCall(cloud.settle, (t, p, r, "", 0, sig)));
        Voucher memory v;
        _refused("tamperedTermsRefused", job.terms.payer, address(cloud), abi.encodeCall(cloud.close, (job.id, t, p)));
        _refused("tamperedTermsRefused", stranger, address(cloud), abi.encodeCall(cloud.expire, (job.id, t, p, v, "", "")));
    }

    /// @dev Tokens that take a fee or move nothing give no credits; a hook in the middle of a transfer gets nothing through.
    function oddTokens(uint256 seed) external step(seed) {
        address from = payers[seed % PAYERS];
        uint256 amount = 1 + _at(seed, 0) % 1e6;
        feeToken.mint(from, amount);
        vm.prank(from);
        feeToken.approve(address(cloud), amount);
        _refused("inexactTokensGiveNoCredits", from, address(cloud), abi.encodeCall(cloud.deposit, (address(feeToken), amount)));
        _refused("inexactTokensGiveNoCredits", from, address(cloud), abi.encodeCall(cloud.deposit, (address(falseToken), amount)));

        bytes[] memory calls = new bytes[](6);
        calls[0] = abi.encodeCall(cloud.withdraw, (tokens[4], 1, address(reenterer)));
        calls[1] = abi.encodeCall(cloud.depositFor, (address(reenterer), tokens[4], 1));
        calls[2] = abi.encodeCall(cloud.pullTreasuryRevenue, (0, tokens[4]));
        uint256 index = _pick(seed, ANY_OPEN);
        if (index != NOBODY) {
            Job storage job = jobs[index];
            Voucher memory v;
            calls[3] = _expire(job, v, stranger);
            calls[4] = _close(job);
            calls[5] = _resolve(job, job.declared);
        }
        reenterer.arm(calls);
        _deposit(from, from, tokens[4], amount);
        _call("withdraw, hook", from, address(cloud), abi.encodeCall(cloud.withdraw, (tokens[4], amount, from)));
        reenterer.arm(new bytes[](0));
        _rule(reenterer.succeeded() == 0, "reentrancyRefused");
    }

    /// @dev A blocked account still gets its money, to another address; nobody else's is held up.
    function blockAccount(uint256 seed) external step(seed) {
        address who = payers[_at(seed, 0) % PAYERS];
        address token = tokens[3];
        uint256 credits = creditsInBooks[who][token];
        if (credits == 0) return;
        OddToken(token).setBlocked(who, true);
        _refused("blockedTransferKeepsCredits", who, address(cloud), abi.encodeCall(cloud.withdraw, (token, 1, who)));
        bool isOk = _call("withdraw, blocked", who, address(cloud), abi.encodeCall(cloud.withdraw, (token, 1, stranger)));
        _rule(isOk, "blockedTransferKeepsCredits");
        OddToken(token).setBlocked(who, false);
    }

    /// @dev A contract wallet that says no, reverts, burns gas, answers a megabyte or four bytes cannot be made a payer; one that says yes to everything
    /// cannot be a signer without sending the call itself.
    function oddWallets(uint256 seed) external step(seed) {
        uint256 node = _node(seed, new address[](0));
        if (node == 0 || cloud.listingOf(tokens[0]).usdRate == 0) return;
        uint8 kind = uint8(_at(seed, 1) % 6);
        Answer answer = [Answer.No, Answer.Revert, Answer.Burn, Answer.Bomb, Answer.Short, Answer.Lie][kind];
        oddPayer.setAnswer(answer);
        Order memory o = _order(seed, 0);
        if (o.maxSeconds == 0) return; // that payer had nothing to order with
        (o.token, o.maxCost, o.claimable, o.verifyLevel) = (tokens[0], 1, true, 0);
        bytes memory data;
        if (answer == Answer.Lie) {
            (o.payer, o.signer) = (address(reenterer), address(oddPayer));
            data = _matchData(o, seed, node);
            _refused("oddWalletsRefused", stranger, address(cloud), data);
            o.payer = payers[0];
            if (creditsInBooks[payers[0]][tokens[0]] != 0) _lyingSigner(o, seed, node);
        } else {
            (o.payer, o.signer) = (address(oddPayer), signers[0]);
            data = _matchData(o, seed, node);
            _refused("oddWalletsRefused", stranger, address(cloud), data);
        }
        oddPayer.setAnswer(Answer.No);
    }

    /// @dev Matched for real and taken back: usage cannot be approved by a contract's word.
    function _lyingSigner(Order memory o, uint256 seed, uint256 node) private {
        uint256 snapshot = vm.snapshotState();
        bytes memory data = _matchData(o, seed, node);
        vm.recordLogs();
        vm.prank(payers[0]);
        (bool isMatched,) = address(cloud).call(data);
        Terms memory t;
        if (isMatched) t = _termsOfLogs();
        Progress memory p;
        Result memory r;
        (r.jobId, r.attempt, r.outcome) = (_digest(_hash(o)), 1, 1);
        vm.prank(t.operator);
        (bool isSettled,) = address(cloud).call(abi.encodeCall(cloud.settle, (t, p, r, "", 0, new bytes(65))));
        require(vm.revertToStateAndDelete(snapshot), "snapshot");
        vm.warp(clock);
        _rule(isMatched && !isSettled, "oddWalletsRefused");
    }

    function _matchData(Order memory o, uint256 seed, uint256 node) private view returns (bytes memory) {
        Bid memory b = _bid(seed, o, node);
        return abi.encodeCall(cloud.matchOrder, (o, new bytes(65), b, _sign(registry.nodeOf(node).operator, _hash(b))));
    }

    function _termsOfLogs() private returns (Terms memory) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        return abi.decode(logs[logs.length - 1].data, (Terms));
    }
}
