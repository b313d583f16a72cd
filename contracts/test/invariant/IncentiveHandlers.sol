// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobState, Rates} from "../../src/libraries/JobTerms.sol";
import {BatchHandlers} from "./BatchHandlers.sol";

/// @title Reports of settled jobs and what they are paid, and governance setting the rate
abstract contract IncentiveHandlers is BatchHandlers {
    /// @notice What a payee's jobs at a node in a week are.
    struct Earning {
        uint256 week;
        uint256 node;
        address payee;
        uint256 usdMicros;
        uint256 cap; // what they left the treasury, in OPEN
        bool isPaid;
    }

    Earning[] private earnings;
    uint256 private firstUnpaid; // index from which on some are not paid
    mapping(uint256 week => mapping(uint256 node => mapping(address payee => uint256))) private earningOf; // plus one
    mapping(uint256 week => uint256) private reportedUsd;
    mapping(uint256 week => mapping(uint256 node => uint256)) private leftToTreasury;
    mapping(uint256 week => mapping(uint256 node => uint256)) private paidToNode;
    mapping(bytes32 jobId => bool) private isReported;
    uint256[2][] private ratesSet; // from which week, how much
    uint256 public incentivesPaid;

    function _rateOf(uint256 week) private view returns (uint256) {
        for (uint256 i = ratesSet.length; i != 0; --i) {
            if (ratesSet[i - 1][0] <= week) return ratesSet[i - 1][1];
        }
        return 0;
    }

    function payIncentives(uint256 seed) external step(seed) {
        uint256 kind = _at(seed, 400) % 8;
        if (kind == 0) _setRate(seed);
        else if (kind < 4) _report(seed);
        if (kind < 4) return;
        for (uint256 i = 0; i < 3; ++i) {
            _pay(_at(seed, 407 + i));
        }
    }

    /// @dev From the next week on; the first time much too little to be bounded by what is left to the treasury, later sometimes nothing.
    function _setRate(uint256 seed) private {
        uint128 rate = _at(seed, 401) % 16 == 0 ? 0 : uint128(10 ** (_at(seed, 402) % 5) * (1e18 + _at(seed, 403) % 9e18));
        if (!_call("setRate", governance, address(incentives), abi.encodeCall(incentives.setRate, (rate)))) return;
        ratesSet.push([clock / 1 weeks + 1, rate]);
        _refused("strangersRefused", stranger, address(incentives), abi.encodeCall(incentives.setRate, (rate)));
    }

    /// @dev A few of the jobs that ended last, each of which can be reported until the week after is over, once.
    function _report(uint256 seed) private {
        for (uint256 i = 1 + _at(seed, 404) % 8; i < 40 && i <= jobs.length; i += 1 + _at(seed, 405) % 4) {
            _reportOne(jobs[jobs.length - i]);
        }
    }

    function _reportOne(Job storage job) private {
        uint256 week = job.since / 1 weeks;
        bytes memory data = abi.encodeCall(incentives.report, (job.id, job.terms, job.progress));
        bool isAllowed = job.state == JobState.Settled && !isReported[job.id] && clock / 1 weeks < week + 2 && _rateOf(week) != 0;
        if (!isAllowed) {
            _refused("incentivesOncePerJob", stranger, address(incentives), data);
            return;
        }
        bool isOk = _call("report", stranger, address(incentives), data);
        _rule(isOk, "incentivesOncePerJob");
        if (!isOk) return;
        isReported[job.id] = true;
        Earning storage e = _earning(week, job.terms.node, job.terms.payee);
        uint256 usdMicros = uint256(job.progress.value) * uint96(Rates.unwrap(job.terms.rates)) / 1e24;
        e.usdMicros += usdMicros;
        e.cap += _leastOpenOf(job, _leftOf(job.terms, job.progress.value));
        reportedUsd[week] += usdMicros;
        // What calls really booked for the treasury. Each can round it down by a base unit.
        leftToTreasury[week][job.terms.node] += _openOf(job, job.treasuryPart + job.payments);
        (uint128 usd, uint128 cap) = incentives.reportedOf(week, job.terms.node, job.terms.payee);
        _rule(usd == e.usdMicros && cap == e.cap && incentives.totalOf(week) == reportedUsd[week], "incentivesWithinWhatIsLeft");
    }

    function _earning(uint256 week, uint256 node, address payee) private returns (Earning storage) {
        if (earningOf[week][node][payee] == 0) {
            earnings.push();
            Earning storage e = earnings[earnings.length - 1];
            (e.week, e.node, e.payee) = (week, node, payee);
            earningOf[week][node][payee] = earnings.length;
        }
        return earnings[earningOf[week][node][payee] - 1];
    }

    function _openOf(Job storage job, uint256 amount) private view returns (uint256) {
        uint256 rates = Rates.unwrap(job.terms.rates);
        return uint96(rates >> 96) == 0 ? 0 : amount * uint96(rates) / uint96(rates >> 96);
    }

    /// @dev At the rates of the match or at those now, whichever is less; what is not listed now counts as it did at the match.
    function _leastOpenOf(Job storage job, uint256 amount) private returns (uint256) {
        uint256 then = _openOf(job, amount);
        if (then == 0) return 0;
        uint256 rates = Rates.unwrap(job.terms.rates);
        (uint256 usdRate, uint256 openRate) = (cloud.listingOf(job.terms.token).usdRate, cloud.listingOf(address(open)).usdRate);
        uint256 atReport = amount * (usdRate == 0 ? uint96(rates) : usdRate) / (openRate == 0 ? uint96(rates >> 96) : openRate);
        if (atReport < then) _count("incentive caps below the match's");
        return atReport < then ? atReport : then;
    }

    /// @dev The oldest that is not paid, as soon as nobody can report for its week any more. Some are tried too early, or while there is not enough.
    function _pay(uint256 seed) private {
        while (firstUnpaid < earnings.length && earnings[firstUnpaid].isPaid) {
            ++firstUnpaid;
        }
        if (firstUnpaid == earnings.length) return;
        uint256 among = earnings.length - firstUnpaid < 4 ? earnings.length - firstUnpaid : 4;
        Earning storage e = earnings[firstUnpaid + _at(seed, 406) % among];
        uint256 amount = reportedUsd[e.week] == 0 ? 0 : _rateOf(e.week) * e.usdMicros / reportedUsd[e.week];
        if (amount > e.cap) amount = e.cap;
        bool isOver = clock / 1 weeks > e.week + 1;
        bool isAllowed = !e.isPaid && isOver && amount != 0 && amount <= open.balanceOf(address(incentives));
        uint256 before = open.balanceOf(e.payee);
        bytes memory data = abi.encodeCall(incentives.pay, (e.week, e.node, e.payee));
        if (!isAllowed) {
            _refused("incentivesOncePerJob", stranger, address(incentives), data);
            if (amount == 0 && isOver) e.isPaid = true; // there will be nothing
            else if (isOver && !e.isPaid) _fund(amount);
            return;
        }
        bool isOk = _call("pay", stranger, address(incentives), data);
        e.isPaid = true;
        paidToNode[e.week][e.node] += amount;
        incentivesPaid += amount;
        _rule(isOk && open.balanceOf(e.payee) - before == amount, "incentivesWithinWhatIsLeft");
        _rule(paidToNode[e.week][e.node] <= leftToTreasury[e.week][e.node], "incentivesWithinWhatIsLeft");
        _refused("incentivesOncePerJob", stranger, address(incentives), data);
    }

    function _fund(uint256 amount) private {
        _give(address(incentives), address(open), amount);
        incentivesFunded += amount;
        _count("incentives funded");
    }
}
