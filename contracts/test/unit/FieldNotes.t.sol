// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {Ending, JobState, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Wallet} from "../Doubles.sol";
import {Fixture} from "../Fixture.sol";

/// @title What bit others, one regression test each
/// @notice The numbers are those of the list of pains that other networks published.
contract FieldNotesTest is Fixture {
    /// @dev Golem: providers stayed unpaid when the requestor vanished.
    function test_FieldNote5_TheLastVoucherIsCashableWithoutThePayer() public {
        _match();
        vm.warp(block.timestamp + 1000);
        Voucher memory v = _voucher(9, 900_000);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.prank(stranger);
        cloud.collect(terms, progress, v, operatorSig, signerSig);
        _sync();
        _submit(_result(900_000, Ending.Completed), v);
        assertEq(partsPaid, 900_000);
        uint256 earned = cloud.credits(owner, address(usdc));
        vm.prank(owner);
        cloud.withdraw(address(usdc), earned, owner);
        assertEq(usdc.balanceOf(owner), 747_000);
    }

    /// @dev An empty escrow ran free elsewhere: here no signed number can pass it.
    function test_FieldNote7_NoVoucherOrResultPassesTheEscrow() public {
        Order memory o = _order();
        o.maxCost = 1000;
        _matchOrder(o);
        vm.warp(block.timestamp + 5000);
        Voucher memory v = _voucher(1, type(uint64).max);
        v.egressBytes = type(uint64).max;
        v.durableEgressBytes = type(uint64).max;
        _collect(v);
        assertEq(partsPaid, 1000);
        Result memory r = _result(5_000_000, Ending.Completed);
        r.egressBytes = type(uint64).max;
        _settle(r);
        assertEq(partsPaid, 1000);
        assertEq(refunded, 0);
    }

    /// @dev No cost limit per user: a leaked budget key spends at most its cap, however many orders it signs.
    function test_FieldNote9_ALeakedKeySpendsAtMostItsCap() public {
        Vm.Wallet memory leaked = vm.createWallet("leaked");
        vm.prank(payer.addr);
        uint256 budget = cloud.openBudget(0, leaked.addr, address(usdc), 10e6, 4e6, uint40(block.timestamp + 1 days));
        uint256 before = cloud.credits(payer.addr, address(usdc));
        for (uint256 i = 0; i < 5; ++i) {
            Order memory o = _order();
            o.budget = budget;
            o.signer = leaked.addr;
            Bid memory b = _bid(o, node);
            bytes memory sig = _sign(operator, hashes.hashBid(b));
            if (i >= 2) vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetTooLow.selector, budget, 2e6, 4e6));
            vm.prank(leaked.addr);
            cloud.matchOrder(o, "", b, sig);
        }
        assertLe(before - cloud.credits(payer.addr, address(usdc)), 10e6);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_CreditsTooLow.selector, leaked.addr, address(usdc), 0, 1));
        vm.prank(leaked.addr);
        cloud.withdraw(address(usdc), 1, leaked.addr);
    }

    /// @dev Contract wallets were rejected by `tx.origin` and bare `ecrecover`: here one does all a key does.
    function test_FieldNote14_AContractWalletDoesAllThatAnEoaDoes() public {
        Wallet wallet = new Wallet(payer.addr);
        usdc.mint(address(wallet), 10e6);
        vm.startPrank(payer.addr);
        wallet.execute(address(usdc), abi.encodeCall(usdc.approve, (address(cloud), 10e6)));
        wallet.execute(address(cloud), abi.encodeCall(cloud.deposit, (address(usdc), 10e6)));
        wallet.execute(address(cloud), abi.encodeCall(cloud.openBudget, (0, stranger, address(usdc), 1e6, 1e6, uint40(block.timestamp + 1 days))));
        vm.stopPrank();
        Order memory o = _order();
        o.payer = address(wallet);
        Bid memory b = _bid(o, node);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, _digest(hashes.hashOrder(o)));
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.prank(signer.addr);
        jobId = cloud.matchOrder(o, abi.encodePacked(r, s, v), b, sig);
        _sync();
        vm.warp(block.timestamp + 100);
        _settle(_result(60_000, Ending.Completed));
        vm.prank(payer.addr);
        wallet.execute(address(cloud), abi.encodeCall(cloud.withdraw, (address(usdc), 10e6 - 60_000, address(wallet))));
        assertEq(usdc.balanceOf(address(wallet)), 10e6 - 60_000);
    }

    /// @dev One user's escrow paid another's job elsewhere.
    function test_FieldNote15_AJobPaysFromItsOwnLockAlone() public {
        address rich = makeAddr("rich");
        _fund(rich, 100e6);
        Order memory o = _order();
        o.payer = rich;
        _matchOrder(o);
        o = _order();
        o.maxCost = 1000;
        _matchOrder(o);
        vm.warp(block.timestamp + 5000);
        _settle(_result(5_000_000, Ending.Completed));
        assertEq(partsPaid, 1000);
        assertEq(cloud.credits(rich, address(usdc)), 100e6 - ESCROW);
    }

    /// @dev Repeated calls rented and paid twice elsewhere.
    function test_FieldNote17_EveryRepeatedCallIsRefusedAndPaysOnce() public {
        _match();
        Order memory o = order;
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.expectPartialRevert(IJobEvents.JobMarket_StateIs.selector);
        vm.prank(payer.addr);
        cloud.matchOrder(o, "", b, sig);
        vm.warp(block.timestamp + 100);
        Voucher memory v = _voucher(1, 10_000);
        _collect(v);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        vm.expectPartialRevert(IJobEvents.JobMarket_ValueBelowCollected.selector);
        cloud.collect(terms, progress, v, operatorSig, signerSig);
        Result memory r = _result(20_000, Ending.Completed);
        _settle(r);
        signerSig = _signApprove(signer, r, 4);
        vm.expectPartialRevert(IJobEvents.JobMarket_StateIs.selector);
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 4, signerSig);
        assertEq(partsPaid, 20_000);
        _assertState(JobState.Settled);
    }

    /// @dev Slash events elsewhere had the wrong amount: make-goods say what was asked and what was paid.
    function test_FieldNote16_TheMakeGoodEventNamesTheNodeAndTheAmountPaid() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        vm.warp(block.timestamp + WINDOW);
        vm.expectEmit(address(registry));
        emit INodeRegistry.MadeGood(node, 900e18, 900e18, 1_000_000e18 - 900e18);
        vm.prank(stranger);
        cloud.resolveFault(jobId, terms, progress, _none());
    }

    /// @dev The slashed party was whoever called last elsewhere: here it is the node of the job's own terms, whoever calls.
    function test_FieldNote16_TheNodeOfTheJobPaysWhoeverCallsLast() public {
        _match();
        vm.warp(block.timestamp + 300);
        _report(_none());
        (bytes32 id, Progress memory declared, Terms memory its) = (jobId, progress, terms);
        Vm.Wallet memory otherOperator = vm.createWallet("other operator");
        address otherOwner = makeAddr("other owner");
        uint256 other = _register(otherOwner, otherOperator.addr);
        vm.recordLogs();
        _matchOn(_order(), other, otherOperator);
        vm.warp(block.timestamp + WINDOW);
        vm.prank(otherOwner);
        cloud.resolveFault(id, its, declared, _none());
        assertEq(registry.nodeOf(node).bond, 1_000_000e18 - 900e18);
        assertEq(registry.nodeOf(other).bond, 1_000_000e18);
        assertEq(registry.statsOf(node).fails, 1);
        assertEq(registry.statsOf(other).fails, 0);
        assertEq(cloud.credits(payer.addr, address(open)), 900e18);
    }

    /// @dev Slashed totals fell elsewhere: fails and what was made good only grow, and the bond falls by exactly what payers got.
    function test_FieldNote16_WhatWasMadeGoodOnlyGrows() public {
        uint256 last;
        for (uint256 i = 1; i <= 4; ++i) {
            _match();
            vm.warp(block.timestamp + 300);
            _report(_none());
            vm.warp(block.timestamp + WINDOW);
            _resolve(_none());
            uint256 made = cloud.credits(payer.addr, address(open));
            assertGt(made, last);
            last = made;
            assertEq(registry.nodeOf(node).bond, 1_000_000e18 - made);
            assertEq(registry.statsOf(node).fails, i);
            vm.warp(block.timestamp + 1 days);
        }
    }

    /// @dev Unbond requests never expired elsewhere, so that a node could always leave at once: here one lapses after a week.
    function test_FieldNote16_AnUnbondRequestLapses() public {
        vm.startPrank(owner);
        registry.requestUnbond(node, 1000e18);
        vm.warp(block.timestamp + 28 days);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_NoUnbondRequest.selector, node));
        registry.withdrawUnbonded(node, owner);
        registry.requestUnbond(node, 1000e18);
        vm.warp(block.timestamp + 28 days - 1);
        registry.withdrawUnbonded(node, owner);
        assertEq(open.balanceOf(owner), 1000e18);
    }
}
