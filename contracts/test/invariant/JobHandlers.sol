// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Ending, JobState} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Calls} from "./Calls.sol";

/// @title What payers, signers, nodes and anyone do with jobs
/// @notice Each handler picks a job that allows its call and says beforehand what the refund table pays; {Following} compares.
abstract contract JobHandlers is Calls {
    uint256 private constant NONE = type(uint256).max;

    /// @dev An open job in one of these states (a bit each), preferably not the same one every time.
    function _pick(uint256 seed, uint256 states) internal view returns (uint256) {
        for (uint256 i = 0; i < openJobs.length; ++i) {
            uint256 index = openJobs[(_at(seed, 999) % openJobs.length + i) % openJobs.length];
            if (states >> uint256(jobs[index].state) & 1 == 1) return index;
        }
        return NONE;
    }

    function _bit(JobState state) internal pure returns (uint256) {
        return 1 << uint256(state);
    }

    // ------------------------------------------------------------------------------------------------------------------------------ match

    /// @dev A node that takes jobs now and whose owner is not among these, 0 when there is none.
    function _node(uint256 seed, address[] memory not) internal view returns (uint256) {
        for (uint256 i = 0; i < NODES; ++i) {
            uint256 node = 1 + (_at(seed, 50) % NODES + i) % NODES;
            INodeRegistry.Node memory n = registry.nodeOf(node);
            bool isGood = !n.isDraining && !n.isSuspended && n.operator != address(0) && n.listPrice != 0;
            for (uint256 j = 0; j < not.length; ++j) {
                if (not[j] == n.owner) isGood = false;
            }
            if (isGood) return node;
        }
        return 0;
    }

    function _order(uint256 seed, uint256 budget) internal returns (Order memory o) {
        uint256 t = _at(seed, 0) % 8;
        t = t < TOKENS ? t : t % 2;
        o.payer = payers[_at(seed, 1) % PAYERS];
        o.token = tokens[t];
        uint256 most = t == 1 ? 5000e18 : 5e6;
        if (budget != 0) {
            ICloudWallet.Budget memory b = cloud.budgetOf(budget);
            (o.payer, o.token, o.budget) = (b.payer, b.token, budget);
            most = o.token == address(open) ? 5000e18 : 5e6;
            if (b.perJob < most) most = b.perJob;
            if (_left(budget) < most) most = _left(budget);
        }
        uint256 credits = creditsInBooks[o.payer][o.token];
        if (credits < most) most = credits;
        if (most == 0) return o;
        o.maxCost = uint128(seed & 7 == 0 ? 1 + _at(seed, 2) % (most < 100 ? most : 100) : 1 + _at(seed, 2) % most);
        if (seed & 24 == 0) o.maxCost = uint128(most);
        o.signer = _at(seed, 3) % 5 == 0 && keyOf[o.payer] != 0 && o.payer.code.length == 0 ? o.payer : signers[_at(seed, 3) % 2];
        o.maxPricePerHour = type(uint128).max;
        o.maxEgressPerGiB = type(uint128).max;
        o.specDigest = bytes32(seed);
        o.maxSeconds = uint32(_at(seed, 4) % 20 == 0 ? 30 days - _at(seed, 4) % 1 days : 60 + _at(seed, 4) % 4 hours);
        o.readyWithinSeconds = uint32(1 + _at(seed, 5) % 1 days);
        o.verifyLevel = uint8(_at(seed, 6) % 8 < 4 ? _at(seed, 6) % 4 : _at(seed, 6) % 8 == 4 ? 2 : 0);
        o.maxAttempts = uint8(1 + _at(seed, 7) % 4);
        o.claimable = _at(seed, 8) % 3 == 0;
        o.expiresAt = uint64(clock + 1 + _at(seed, 9) % 1 days);
        o.salt = ++salt;
    }

    function _bid(uint256 seed, Order memory o, uint256 node) internal view returns (Bid memory b) {
        b.jobId = _digest(_hash(o));
        b.node = node;
        uint256 rate = cloud.listingOf(o.token).usdRate;
        if (rate == 0) rate = 1e24;
        uint256 most = uint256(registry.nodeOf(node).listPrice) * 1e24 / rate;
        b.computePerHour = uint128(seed & 96 == 0 ? most : _at(seed, 60) % (most + 1));
        b.egressPerGiB = uint128(_at(seed, 61) % 3 == 0 ? 0 : _at(seed, 61) % (o.token == address(open) ? 100e18 : 1e5));
        b.readyWithinSeconds = uint32(_at(seed, 62) % 600 < o.readyWithinSeconds ? _at(seed, 62) % 600 : o.readyWithinSeconds);
        b.quotedSeconds = uint32(_at(seed, 63) % 2 hours);
        b.expiresAt = uint64(clock + 1 + _at(seed, 64) % 60);
    }

    /// @dev Several at once while few are open, so that the other handlers have something to do.
    function matchOrder(uint256 seed) external step(seed) {
        if (seed & 1 == 0) _rematchOne(_at(seed, 199));
        for (uint256 i = 0; i < 4 && openJobs.length < MAX_OPEN; ++i) {
            _matchOne(_at(seed, 200 + i));
        }
    }

    /// @dev A match about to be tried.
    struct Attempt {
        Order o;
        Bid b;
        bytes sig;
        bytes bidSig;
        address who;
        string name;
        bool isListed;
    }

    function _matchOne(uint256 seed) private {
        Attempt memory a;
        a.o = _order(seed, seed & 256 == 0 ? _spendable(_at(seed, 70), 4) : 0);
        uint256 node = _node(seed, new address[](0));
        if (a.o.maxCost == 0 || node == 0) return;
        a.b = _bid(seed, a.o, node);
        a.isListed = cloud.listingOf(a.o.token).usdRate != 0;
        a.bidSig = _sign(registry.nodeOf(node).operator, _hash(a.b));
        _chooseCaller(a, seed);
        bool isOk = _tryMatch(a);
        _rule(isOk == a.isListed, "matchIsAcceptedExactlyWhenListed");
        if (isOk && a.o.budget != 0) _count(string.concat("budget depth ", vm.toString(cloud.budgetOf(a.o.budget).depth)));
    }

    /// @dev The books know the job before its event comes.
    function _tryMatch(Attempt memory a) private returns (bool isOk) {
        jobs.push();
        jobs[jobs.length - 1].id = a.b.jobId;
        jobs[jobs.length - 1].order = a.o;
        indexOf[a.b.jobId] = jobs.length;
        isOk = _call(a.name, a.who, address(cloud), abi.encodeCall(cloud.matchOrder, (a.o, a.sig, a.b, a.bidSig)));
        if (isOk) {
            openJobs.push(jobs.length - 1);
        } else {
            delete indexOf[a.b.jobId];
            jobs.pop();
        }
    }

    function _chooseCaller(Attempt memory a, uint256 seed) private view {
        address key = a.o.budget == 0 ? address(0) : cloud.budgetOf(a.o.budget).key;
        uint256 kind = _at(seed, 71) % 3;
        if (kind == 0) {
            (a.who, a.name) = key == address(0) ? (a.o.payer, "match by payer") : (key, "match by budget key");
        } else {
            a.sig = _signDigest(key != address(0) && seed & 512 == 0 ? key : a.o.payer, a.b.jobId);
            (a.who, a.name) = kind == 1 && a.o.claimable ? (stranger, "match by anyone, claimable") : (a.o.signer, "match by signer");
        }
        if (!a.isListed) a.name = "match: token not listed";
    }

    // ------------------------------------------------------------------------------------------------------------------------- before a run

    /// @notice The last node's hundred jobs and four months, which T3 takes, so that bonuses are paid in what follows.
    function season() external {
        _deposit(payers[0], payers[0], tokens[0], 2100e6);
        _seasonBy(3, 5e6);
        _warpTo(clock + 3 days);
        _promote(NODES);
        _seasonBy(97, 21e6);
        _warpTo(clock + 117 days);
        _promote(NODES);
        require(registry.tierOf(NODES) == 3, "not seasoned");
        for (uint256 i = 0; i < names.length; ++i) {
            delete successes[names[i]]; // what is counted is what comes now
        }
    }

    /// @dev So many jobs, each worth all its escrow.
    function _seasonBy(uint256 count, uint256 escrow) private {
        Attempt memory a;
        (a.o.payer, a.o.signer, a.o.token, a.o.maxCost) = (payers[0], signers[0], tokens[0], uint128(escrow));
        (a.o.maxPricePerHour, a.o.maxEgressPerGiB) = (type(uint128).max, type(uint128).max);
        (a.o.maxSeconds, a.o.readyWithinSeconds, a.o.maxAttempts) = (3 hours, 60, 1);
        a.o.expiresAt = uint64(clock + 1 days);
        (a.who, a.name) = (payers[0], "season");
        for (uint256 i = 0; i < count; ++i) {
            a.o.salt = ++salt;
            a.b = _bid(0, a.o, NODES);
            a.bidSig = _sign(operators[NODES - 1], _hash(a.b));
            require(_tryMatch(a), "no match");
        }
        _warpTo(clock + 3 hours);
        while (openJobs.length != 0) {
            Job storage job = jobs[openJobs[0]];
            Result memory r = _result(job, 3 hours * 1000, 0, 0);
            r.outcome = uint8(Ending.Completed);
            _signed(job, r.billedMillis, 0);
            _wants(job, Ending.Completed, escrow);
            bytes memory sig = _sign(signers[0], _hashApprove(r, 5));
            require(_call("season", operators[NODES - 1], address(cloud), _settle(job, r, "", 5, sig)), "no settlement");
        }
    }

    function cancelOrder(uint256 seed) external step(seed) {
        uint256 budget = seed & 1 == 0 ? _spendable(seed, 4) : 0;
        Order memory o = _order(seed, budget);
        if (o.payer == address(0) || o.signer == address(0)) return;
        address who = budget != 0 && seed & 2 == 0 ? cloud.budgetOf(budget).key : o.payer;
        if (_call("cancelOrder", who, address(cloud), abi.encodeCall(cloud.cancelOrder, (o)))) cancelled.push(o);
    }

    function extend(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Matched));
        if (index == NONE) return;
        Job storage job = jobs[index];
        uint256 most = creditsInBooks[job.terms.payer][job.terms.token];
        uint256 cap = cloud.listingOf(job.terms.token).t0Cap;
        if (clock >= _lastDeadline(job.terms) || job.terms.escrow >= cap || most == 0) return;
        if (most > cap - job.terms.escrow) most = cap - job.terms.escrow;
        if (job.terms.budget != 0) {
            // Up to what the terms alone would allow; the job may have been granted less in all.
            uint256 perJob = cloud.budgetOf(job.terms.budget).perJob;
            uint256 left = _left(job.terms.budget);
            if (perJob <= job.terms.escrow || left == 0) return;
            if (most > perJob - job.terms.escrow) most = perJob - job.terms.escrow;
            if (most > left) most = left;
        }
        Extend memory e;
        e.jobId = job.id;
        e.attempt = job.attempt;
        e.addCost = uint128(1 + _at(seed, 1) % most);
        e.addSeconds = uint32(_at(seed, 2) % 600);
        if (_maxSeconds(job.terms) + e.addSeconds > 30 days) e.addSeconds = 0;
        e.salt = ++salt;
        address by = job.terms.budget != 0 && seed & 2 == 0 ? cloud.budgetOf(job.terms.budget).key : job.terms.payer;
        address who = seed & 4 == 0 ? by : stranger;
        _call("extend", who, address(cloud), _extend(job, e, who == by ? bytes("") : _sign(by, _hash(e)), _sign(job.terms.operator, _hash(e))));
    }

    // ------------------------------------------------------------------------------------------------------------------------------ usage

    /// @dev A voucher both sides sign: more usage than the last one, sometimes absurdly much.
    function _voucher(Job storage job, uint256 seed, uint64 signedAt) internal returns (Voucher memory v) {
        v = job.top;
        v.jobId = job.id;
        v.attempt = job.attempt;
        v.seq += 1 + uint32(_at(seed, 20) % 3);
        v.signedAt = signedAt;
        uint256 ahead = (clock - _matchedAt(job.terms) + 60) * 1000;
        if (ahead > v.billedMillis) v.billedMillis += uint64(_at(seed, 21) % (ahead - v.billedMillis + 1));
        if (_at(seed, 22) % 3 == 0) v.egressBytes += uint64(_at(seed, 22) % (type(uint64).max - v.egressBytes > 1 << 34 ? 1 << 34 : 1));
        if (_at(seed, 23) % 50 == 0) (v.billedMillis, v.egressBytes) = (type(uint64).max - 1, type(uint64).max - 1);
        v.durableMillis += uint64(_at(seed, 24) % (v.billedMillis - v.durableMillis + 1));
        v.durableEgressBytes += uint64(_at(seed, 25) % (v.egressBytes - v.durableEgressBytes + 1));
        if (_at(seed, 26) % 2 == 0) (v.durableMillis, v.durableEgressBytes) = (v.billedMillis, v.egressBytes);
        job.top = v;
        _signed(job, v.billedMillis, v.egressBytes);
    }

    function _signed(Job storage job, uint256 millis, uint256 egress) internal {
        uint256 cost = _cost(job.terms, millis, egress);
        if (cost > job.highest) job.highest = cost;
        if (egress > job.signedEgress) job.signedEgress = egress;
    }

    /// @dev No voucher, with numbers nobody signed in the fields that do not count.
    function _none(uint256 seed) internal pure returns (Voucher memory v) {
        if (seed & 2048 == 0) return v;
        v.egressBytes = uint64(_at(seed, 80));
        v.durableEgressBytes = uint64(_at(seed, 81));
        v.billedMillis = uint64(_at(seed, 82));
    }

    function _anyone(Job storage job, uint256 seed) internal view returns (address) {
        return [job.terms.operator, job.terms.signer, job.terms.payer, stranger][_at(seed, 30) % 4];
    }

    function _nodeSide(Job storage job, uint256 seed) internal view returns (address) {
        return seed & 64 == 0 ? registry.ownerOf(job.terms.node) : job.terms.operator;
    }

    function _wants(Job storage job, Ending ending, uint256 value) internal {
        want = Want(true, ending, value < job.progress.value ? job.progress.value : value);
    }

    function collect(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Matched));
        if (index == NONE) return;
        Job storage job = jobs[index];
        if (clock >= _lastDeadline(job.terms) || job.order.verifyLevel == 2) return;
        Voucher memory v = _voucher(job, seed, uint64(clock));
        uint256 value = _value(job.terms, v.durableMillis, v.durableEgressBytes);
        if (value <= job.progress.value) return;
        _wants(job, Ending.None, value);
        address who = _anyone(job, seed);
        _call("collect", who, address(cloud), _collect(job, v, who));
    }

    function _result(Job storage job, uint256 millis, uint256 egress, uint256 seed) internal view returns (Result memory r) {
        r.jobId = job.id;
        r.attempt = job.attempt;
        r.billedMillis = uint64(millis);
        r.egressBytes = uint64(egress);
        r.readyAfterSeconds = uint32(_at(seed, 40) % 300);
        r.outcome = _spares(job, seed) ? 1 : uint8(1 + _at(seed, 41) % 4);
        r.receiptDigest = bytes32(seed);
    }

    /// @dev Whether a job has nothing to complain of, as those of reliable nodes mostly have not.
    function _spares(Job storage job, uint256 seed) internal view returns (bool) {
        return _isReliable(job.terms.node) && _at(seed, 46) % 32 != 0;
    }

    function settle(uint256 seed) external step(seed) {
        uint256 states = _bit(JobState.Matched);
        if (seed & 1 == 0) states = _bit(JobState.Reported) | _bit(JobState.Interrupted) | _bit(JobState.Submitted);
        uint256 index = _pick(seed, states);
        if (index != NONE) _settleOne(jobs[index], seed);
        // Reliable nodes' jobs are not left to expire.
        for (uint256 i = 0; i < openJobs.length; ++i) {
            Job storage job = jobs[openJobs[i]];
            if (job.state != JobState.Matched || !_isReliable(job.terms.node) || clock < _matchedAt(job.terms) + 1 hours) continue;
            _settleOne(job, _at(seed, 47));
            break;
        }
    }

    function _settleOne(Job storage job, uint256 seed) private {
        uint256 limit = _limitMillis(job.terms);
        Result memory r = _result(job, _at(seed, 42) % (limit + 1), job.top.egressBytes, seed);
        if (seed & 2 == 0 && job.top.billedMillis < limit) r.billedMillis = job.top.billedMillis;
        if (_spares(job, seed)) r.billedMillis = uint64(limit); // worth enough to count
        if (_value(job.terms, r.billedMillis, r.egressBytes) < job.progress.value) r.billedMillis = uint64(limit);
        if (_value(job.terms, r.billedMillis, r.egressBytes) < job.progress.value) return;
        _signed(job, r.billedMillis, r.egressBytes);
        // A hardware fault of an attempt that is already over would be the same statement twice; attacks try it.
        if (job.state == JobState.Interrupted && r.outcome == 4) r.outcome = 1;
        _wants(job, Ending(r.outcome), _value(job.terms, r.billedMillis, r.egressBytes));
        uint8 rating = uint8(_at(seed, 43) % 6);
        address who = _anyone(job, seed);
        bytes memory opSig = who == job.terms.operator ? bytes("") : _sign(job.terms.operator, _hash(r));
        bytes memory sig = who == job.terms.signer ? bytes("") : _sign(job.terms.signer, _hashApprove(r, rating));
        string memory name = string.concat("settle, ", ["", "Matched", "Reported", "Interrupted", "Submitted"][uint256(job.state)]);
        _call(name, who, address(cloud), _settle(job, r, opSig, rating, sig));
    }

    function submit(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Matched));
        if (index == NONE || _spares(jobs[index], seed)) return;
        Job storage job = jobs[index];
        Voucher memory v = job.top;
        if (clock >= _lastDeadline(job.terms) || v.billedMillis > _limitMillis(job.terms) || seed & 7 == 0) delete v;
        if (clock >= _lastDeadline(job.terms)) return;
        Result memory r = _result(job, v.billedMillis, v.egressBytes, seed);
        address who = _nodeSide(job, seed);
        bool isByPanel = job.order.verifyLevel == 2;
        if (!isByPanel) _wants(job, Ending.Submitted, _value(job.terms, v.billedMillis, v.egressBytes));
        _call(isByPanel ? "submit, V2" : "submit", who, address(cloud), _submit(job, r, v, who));
        if (isByPanel && _at(seed, 98) % 2 == 0) _finalizeOne(_at(seed, 99));
    }

    function finalize(uint256 seed) external step(seed) {
        _finalizeOne(seed);
    }

    function _finalizeOne(uint256 seed) private {
        uint256 index = _pick(seed, _bit(JobState.Submitted));
        if (index == NONE) return;
        Job storage job = jobs[index];
        if (clock < job.since + 24 hours) {
            if (seed & 3 == 0) return;
            _warpTo(job.since + 24 hours);
        }
        _wants(job, Ending.Submitted, _value(job.terms, job.submitted.billedMillis, job.submitted.egressBytes));
        _call("finalize", stranger, address(cloud), _finalize(job));
    }

    // ------------------------------------------------------------------------------------------------------------------------------ faults

    function reportFault(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Matched));
        if (index == NONE) return;
        Job storage job = jobs[index];
        if (_spares(job, seed) || clock < job.progress.reportableFrom || clock >= _lastDeadline(job.terms)) return;
        uint256 noneFrom = _matchedAt(job.terms) + _readyWithin(job.terms);
        Voucher memory v = job.top;
        if (job.progress.value == 0 && (v.seq == 0 || seed & 1 == 0) && noneFrom < _lastDeadline(job.terms)) {
            if (clock < noneFrom && seed & 2 == 0) return;
            delete v;
            _warpTo(noneFrom);
        } else {
            if (v.seq == 0) return;
            if (seed & 4 == 0) v = _voucher(job, seed, uint64(clock));
            if (_value(job.terms, v.durableMillis, v.durableEgressBytes) < job.progress.value) return;
        }
        address who = seed & 8 == 0 ? job.terms.payer : job.terms.signer;
        bytes memory data = _report(job, v, who);
        _call(v.seq == 0 ? "reportFault, none" : "reportFault", who, address(cloud), data);
        // Windows are short beside the steps of time: most reports are met at once.
        uint256 next = _at(seed, 95) % 8;
        if (next < 3) _answerFault(_at(seed, 96));
        else if (next < 6) _contestFault(_at(seed, 97));
    }

    function answerFault(uint256 seed) external step(seed) {
        _answerFault(seed);
    }

    function _answerFault(uint256 seed) private {
        uint256 index = _pick(seed, _bit(JobState.Reported));
        if (index == NONE) return;
        Job storage job = jobs[index];
        if (clock >= job.progress.reportedAt + WINDOW) return;
        bool isOver = seed & 1 == 0;
        Voucher memory v = _voucher(job, seed, isOver ? uint64(clock) : job.progress.reportedAt - 1);
        address who = _anyone(job, seed);
        _call(isOver ? "answerFault, over" : "answerFault, older", who, address(cloud), _answer(job, v, who));
    }

    function contest(uint256 seed) external step(seed) {
        _contestFault(seed);
    }

    function _contestFault(uint256 seed) private {
        uint256 index = _pick(seed, _bit(JobState.Reported));
        if (index == NONE) return;
        Job storage job = jobs[index];
        if (clock >= job.progress.reportedAt + WINDOW) return;
        Voucher memory v = job.top;
        uint256 shown = _value(job.terms, v.billedMillis, v.egressBytes);
        if (seed & 1 == 0 || v.seq == 0) (v, shown) = (_none(seed), 0);
        uint256 declared = _value(job.terms, job.declared.billedMillis, job.declared.egressBytes);
        bool isByPanel = job.order.verifyLevel == 2;
        if (!isByPanel) _wants(job, Ending.Contested, shown > declared ? shown : declared);
        address who = _nodeSide(job, seed);
        _call(isByPanel ? "contest, V2" : "contest", who, address(cloud), _contest(job, v, who));
    }

    function resolveFault(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Reported));
        if (index == NONE) return;
        Job storage job = jobs[index];
        if (clock < job.progress.reportedAt + WINDOW && seed & 3 == 0) return;
        _warpTo(job.progress.reportedAt + WINDOW);
        Voucher memory declared = job.declared;
        _wants(job, Ending.Unanswered, _value(job.terms, declared.durableMillis, declared.durableEgressBytes));
        if (declared.seq == 0) declared = _none(seed);
        _call(
            job.declared.seq == 0 ? "resolveFault, never ready" : "resolveFault, mid-run", _anyone(job, seed), address(cloud), _resolve(job, declared)
        );
    }

    function rematch(uint256 seed) external step(seed) {
        _rematchOne(seed);
    }

    function _rematchOne(uint256 seed) private {
        uint256 index = _pick(seed, _bit(JobState.Interrupted));
        if (index == NONE) return;
        Job storage job = jobs[index];
        uint256 node = _node(seed, job.owners);
        ICloudWallet.Listing memory listing = cloud.listingOf(job.order.token);
        uint256 left = job.locked - job.paid;
        if (clock >= job.since + 1 hours || node == 0 || listing.usdRate == 0 || left > listing.t0Cap) return;
        Bid memory b = _bid(seed, job.order, node);
        address who = job.order.claimable ? _anyone(job, seed) : (seed & 1 == 0 ? job.terms.payer : job.terms.signer);
        bytes memory sig = _sign(registry.nodeOf(node).operator, _hash(b));
        bool isOk = _call("rematch", who, address(cloud), _rematch(job, b, sig));
        if (isOk) _count(string.concat("attempt ", vm.toString(job.attempt)));
    }

    function close(uint256 seed) external step(seed) {
        uint256 index = _pick(seed, _bit(JobState.Interrupted));
        if (index == NONE || seed & 3 == 0) return;
        Job storage job = jobs[index];
        address who = seed & 4 == 0 ? job.terms.payer : job.terms.signer;
        if (clock >= job.since + 1 hours) who = stranger;
        _call("close", who, address(cloud), _close(job));
    }

    /// @dev What is over does not stand in the way of what is not for long.
    function expire(uint256 seed) external step(seed) {
        for (uint256 i = 0; i < 4; ++i) {
            _expireOne(_at(seed, 48 + i));
        }
    }

    function _expireOne(uint256 seed) private {
        uint256 index = _pick(seed, _bit(JobState.Matched));
        if (index == NONE || _spares(jobs[index], seed)) return;
        Job storage job = jobs[index];
        if (clock < _lastDeadline(job.terms)) {
            if (seed & 31 != 0 || _maxSeconds(job.terms) > 1 days) return;
            _warpTo(_lastDeadline(job.terms));
        }
        Voucher memory v = job.top;
        uint256 value = _value(job.terms, v.billedMillis, v.egressBytes);
        if (seed & 16 == 0 || v.seq == 0) (v, value) = (_none(seed), 0);
        _wants(job, Ending.Expired, job.order.verifyLevel == 2 ? 0 : value);
        address who = _anyone(job, seed);
        _call("expire", who, address(cloud), _expire(job, v, who));
    }
}
