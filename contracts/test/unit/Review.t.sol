// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Bid, Order, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @notice A contract wallet that takes its time: it burns gas, then says yes or no.
contract SlowWallet {
    bytes4 private immutable answer;
    uint256 private immutable gasLeftAtEnd;

    constructor(bytes4 answer_, uint256 gasLeftAtEnd_) {
        answer = answer_;
        gasLeftAtEnd = gasLeftAtEnd_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        while (gasleft() > gasLeftAtEnd) {}
        return answer;
    }

    function execute(address to, bytes calldata data) external {
        (bool isDone,) = to.call(data);
        require(isDone, "failed");
    }
}

/// @title What a reader with bad intentions tried
contract ReviewTest is Fixture {
    /// @dev A voucher of `seq` 0 is "none": it must count nowhere and reach no event, whoever signed it.
    function test_RevertWhen_AVoucherOfNothingIsCollected() public {
        _match();
        vm.warp(block.timestamp + 100);
        Voucher memory v = _voucher(0, 50_000);
        bytes memory operatorSig = _sign(operator, hashes.hashVoucher(v));
        bytes memory signerSig = _sign(signer, hashes.hashVoucher(v));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_OutOfRange.selector, bytes32("seq"), 0, 1, type(uint32).max));
        cloud.collect(terms, progress, v, operatorSig, signerSig);
    }

    /// @dev The dearest match there is: a wallet that burns its gas and says no, then a budget key's wallet that burns as much and says yes, four
    /// budgets deep. A batch matches it or reverts; it never skips it for want of gas.
    /// forge-config: default.isolate = true
    function test_NoElementIsSkippedForWantOfGas() public {
        SlowWallet wallet = new SlowWallet(0xffffffff, 2000);
        SlowWallet key = new SlowWallet(0x1626ba7e, 2000);
        _fund(address(wallet), 100e6);
        uint256 budget;
        for (uint256 i = 0; i < 4; ++i) {
            wallet.execute(
                address(cloud), abi.encodeCall(cloud.openBudget, (budget, address(key), address(usdc), 50e6, 50e6, uint40(block.timestamp + 30 days)))
            );
            budget += 1;
        }
        vm.prank(owner);
        registry.setListPrice(node, 20e6); // a raise that the match makes the list price
        vm.warp(block.timestamp + 1 days);
        Order memory o = _order();
        o.payer = address(wallet);
        o.budget = budget;
        o.claimable = true;
        Bid memory b = _bid(o, node);
        bytes[] memory items = new bytes[](1);
        items[0] = abi.encode(o, bytes("signature"), b, _sign(operator, hashes.hashBid(b)));
        bytes memory data = abi.encodeCall(cloud.matchMany, (items));
        uint256 state = vm.snapshotState();
        uint256 matches;
        for (uint256 gas = 500_000; gas < 1_200_000; gas += 10_000) {
            (bool isDone, bytes memory answer) = address(cloud).call{gas: gas}(data);
            if (!isDone) {
                assertEq(bytes4(answer), IJobEvents.JobMarket_BatchGasTooLow.selector);
                continue;
            }
            assertEq(abi.decode(answer, (uint256)), 1, string.concat("skipped with gas ", vm.toString(gas)));
            ++matches;
            vm.revertToState(state);
        }
        assertGt(matches, 0);
    }
}
