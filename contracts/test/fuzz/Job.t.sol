// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ending, JobState} from "../../src/libraries/JobTerms.sol";
import {Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title A whole job with any numbers, ended in any way
/// @notice paid + refunded = locked, to the base unit; and the contract holds what it owes.
contract JobFuzzTest is Fixture {
    function testFuzz_PaidPlusRefundedIsLocked(uint256 seed, uint64 first, uint64 second, uint64 bytesOut) public {
        Order memory o = _order();
        o.maxCost = uint128(bound(seed, 1, USDC_T0_CAP));
        o.maxAttempts = uint8(1 + seed % 4);
        _matchOrder(o);
        vm.warp(block.timestamp + 300 + seed % 7200);
        first = uint64(bound(first, 0, 7_200_000));
        second = uint64(bound(second, first, 7_200_000));
        Voucher memory v = _voucher(1, first);
        v.egressBytes = bytesOut % (1 << 40);
        v.durableEgressBytes = v.egressBytes;
        if (seed % 2 == 0 && _worth(v) != 0) _collect(v);
        Voucher memory newest = _voucher(2, second);
        newest.egressBytes = v.egressBytes;
        newest.durableEgressBytes = v.egressBytes;
        _endSomehow(seed >> 8, newest);
        if (_state() == JobState.Interrupted) _close();
        _assertState(JobState.Settled);
        assertEq(partsPaid + refunded, o.maxCost);
        _assertSolvent();
    }

    function _endSomehow(uint256 seed, Voucher memory newest) private {
        if (seed % 5 == 0) {
            Result memory r = _result(newest.billedMillis, Ending(1 + (seed >> 8) % 4));
            uint256 elapsed = (block.timestamp - 1_750_000_000) * 1000;
            if (r.billedMillis > elapsed) r.billedMillis = uint64(elapsed);
            r.egressBytes = newest.egressBytes;
            _settle(r);
        } else if (seed % 5 == 1) {
            Result memory r = _result(0, Ending.Stopped);
            _submit(r, _none());
        } else if (seed % 5 == 2) {
            _report(newest);
            vm.warp(block.timestamp + WINDOW);
            _resolve(newest);
        } else if (seed % 5 == 3) {
            _report(newest);
            _contest(newest, _none());
        } else {
            vm.warp(block.timestamp + 2 days);
            _expire(newest);
        }
    }

    /// @dev What a voucher would pay now, the way the market counts.
    function _worth(Voucher memory v) private view returns (uint256) {
        uint256 elapsed = (block.timestamp - 1_750_000_000) * 1000;
        return hashes.valueRoundedUp(v.durableMillis < elapsed ? v.durableMillis : elapsed, v.durableEgressBytes, PRICE, 90_000);
    }

    function _assertSolvent() private view {
        uint256 week = block.timestamp / 1 weeks;
        uint256 owed = cloud.credits(payer.addr, address(usdc)) + cloud.credits(owner, address(usdc));
        for (uint256 i = 0; i < 2; ++i) {
            owed += uint256(cloud.revenueOf(week - i, address(usdc)).stakers) + cloud.revenueOf(week - i, address(usdc)).treasury;
        }
        assertEq(usdc.balanceOf(address(cloud)), owed);
        assertEq(open.balanceOf(address(cloud)), cloud.credits(payer.addr, address(open)));
    }
}
