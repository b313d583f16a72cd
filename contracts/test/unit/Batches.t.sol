// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICloudverse} from "../../src/interfaces/ICloudverse.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, JobState, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title Batches, and the contract that recovery calls run in. Spec: Batches.tree
contract BatchesTest is Fixture {
    uint256 private constant COUNT = 5;

    bytes32[] private ids;
    Terms[] private allTerms;

    function _matchItem() private returns (bytes memory item, bytes32 id) {
        Order memory o = _order();
        Bid memory b = _bid(o, node);
        return (abi.encode(o, "", b, _sign(operator, hashes.hashBid(b))), b.jobId);
    }

    function _matchItems() private returns (bytes[] memory items) {
        items = new bytes[](COUNT);
        for (uint256 i = 0; i < COUNT; ++i) {
            bytes32 id;
            (items[i], id) = _matchItem();
            ids.push(id);
        }
    }

    /// @dev Matched jobs whose terms are in `allTerms`.
    function _matched() private {
        for (uint256 i = 0; i < COUNT; ++i) {
            _match();
            ids.push(jobId);
            allTerms.push(terms);
        }
        vm.warp(block.timestamp + 100);
    }

    function _settleItems() private returns (bytes[] memory items) {
        items = new bytes[](COUNT);
        Progress memory none;
        for (uint256 i = 0; i < COUNT; ++i) {
            jobId = ids[i];
            Result memory r = _result(uint64(10_000 * (i + 1)), Ending.Completed);
            items[i] = abi.encode(allTerms[i], none, r, bytes(""), uint8(4), _signApprove(signer, r, 4));
        }
    }

    function _collectItems() private returns (bytes[] memory items) {
        items = new bytes[](COUNT);
        Progress memory none;
        for (uint256 i = 0; i < COUNT; ++i) {
            jobId = ids[i];
            Voucher memory v = _voucher(1, uint64(10_000 * (i + 1)));
            items[i] = abi.encode(allTerms[i], none, v, bytes(""), _signVoucher(signer, v));
        }
    }

    function _stateOf(bytes32 id) private view returns (JobState state) {
        (state,,,) = cloud.jobOf(id);
    }

    function test_ManyOrdersMatchInOneCall() public {
        bytes[] memory items = _matchItems();
        uint256 before = cloud.credits(payer.addr, address(usdc));
        vm.prank(payer.addr);
        assertEq(cloud.matchMany(items), COUNT);
        for (uint256 i = 0; i < COUNT; ++i) {
            assertTrue(_stateOf(ids[i]) == JobState.Matched);
        }
        assertEq(cloud.credits(payer.addr, address(usdc)), before - COUNT * ESCROW);
        assertEq(registry.statsOf(node).opened, COUNT);
    }

    function test_ManyResultsSettleInOneCall() public {
        _matched();
        bytes[] memory items = _settleItems();
        uint256 before = cloud.credits(payer.addr, address(usdc));
        vm.prank(operator.addr);
        assertEq(cloud.settleMany(items), COUNT);
        for (uint256 i = 0; i < COUNT; ++i) {
            assertTrue(_stateOf(ids[i]) == JobState.Settled);
        }
        assertEq(cloud.credits(payer.addr, address(usdc)), before + COUNT * ESCROW - 150_000);
        assertEq(cloud.credits(owner, address(usdc)), 124_500);
    }

    function test_ManyVouchersAreCashedInOneCallAndDuplicatesOnce() public {
        _matched();
        bytes[] memory items = _collectItems();
        items[3] = items[1];
        vm.expectEmit(true, false, false, false);
        emit IJobEvents.Skipped(ids[1], "");
        vm.prank(operator.addr);
        assertEq(cloud.collectMany(items), COUNT - 1);
        assertEq(cloud.credits(owner, address(usdc)), (150_000 - 40_000) * 83 / 100);
    }

    function test_ADuplicatedOrderOrResultCountsOnce() public {
        bytes[] memory items = _matchItems();
        items[4] = items[0];
        vm.prank(payer.addr);
        assertEq(cloud.matchMany(items), COUNT - 1);
        assertEq(registry.statsOf(node).opened, COUNT - 1);
        assertTrue(_stateOf(ids[4]) == JobState.None);

        delete ids;
        vm.recordLogs();
        _matched();
        items = _settleItems();
        items[2] = items[0];
        vm.prank(operator.addr);
        assertEq(cloud.settleMany(items), COUNT - 1);
        assertEq(cloud.credits(owner, address(usdc)), (150_000 - 30_000) * 83 / 100);
        assertTrue(_stateOf(ids[2]) == JobState.Matched);
    }

    function test_OneBadElementIsSkippedWithItsError() public {
        _matched();
        bytes[] memory items = _settleItems();
        Progress memory none;
        jobId = ids[2];
        Result memory r = _result(1000, Ending.Completed);
        items[2] = abi.encode(allTerms[2], none, r, bytes(""), uint8(4), _signApprove(operator, r, 4));
        vm.expectEmit();
        emit IJobEvents.Skipped(ids[2], abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, signer.addr));
        vm.prank(operator.addr);
        assertEq(cloud.settleMany(items), COUNT - 1);
        assertTrue(_stateOf(ids[2]) == JobState.Matched);
        assertTrue(_stateOf(ids[3]) == JobState.Settled);
    }

    function test_AnElementThatNamesNoJobIsSkipped() public {
        _matched();
        bytes[] memory items = _settleItems();
        items[0] = hex"1234";
        vm.expectEmit();
        emit IJobEvents.Skipped(0, "");
        vm.prank(operator.addr);
        assertEq(cloud.settleMany(items), COUNT - 1);
    }

    function test_AnElementCutOffRightBehindItsJobStillNamesIt() public {
        _matched();
        bytes[] memory items = new bytes[](2);
        (items[0], items[1]) = (_settleItems()[1], _settleItems()[1]);
        uint256 end = 32;
        while (_word(items[0], end - 32) != ids[1]) {
            end += 32;
        }
        _cut(items[0], end);
        _cut(items[1], end - 1);
        vm.expectEmit();
        emit IJobEvents.Skipped(ids[1], "");
        vm.expectEmit();
        emit IJobEvents.Skipped(0, "");
        vm.prank(operator.addr);
        assertEq(cloud.settleMany(items), 0);
    }

    function _word(bytes memory data, uint256 at) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), at))
        }
    }

    function _cut(bytes memory data, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(data, length)
        }
    }

    function test_ABatchGivesNobodyRightsItLacks() public {
        bytes[] memory items = _matchItems();
        vm.prank(stranger);
        assertEq(cloud.matchMany(items), 0);
        _matched();
        items = _settleItems();
        vm.prank(stranger);
        assertEq(cloud.settleMany(items), 0);
        assertEq(cloud.settleMany(new bytes[](0)), 0);
    }

    function test_RevertWhen_TheNextElementCouldRunOutOfGas() public {
        _matched();
        bytes[] memory items = _settleItems();
        vm.prank(operator.addr);
        (bool isOk, bytes memory err) = address(cloud).call{gas: 640_000}(abi.encodeCall(cloud.settleMany, (items)));
        assertFalse(isOk);
        assertEq(bytes4(err), IJobEvents.JobMarket_BatchGasTooLow.selector);
        assertTrue(_stateOf(ids[0]) == JobState.Matched);
    }

    function test_RevertWhen_RecoveryIsWiredOtherwise() public {
        bytes memory wiring = abi.encode(open, registry, governance, address(0), address(0), WINDOW);
        address recovery = vm.deployCode("JobRecovery.sol:JobRecovery", abi.encode(open, registry, stranger, address(0), address(0), WINDOW));
        bytes memory code = abi.encodePacked(vm.getCode("Cloudverse.sol:Cloudverse"), wiring, abi.encode(recovery));
        address made;
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        assertEq(made, address(0));
        assertEq(ICloudverse(address(cloud)).recovery().code.length != 0, true);
    }

    function test_RecoveryOnItsOwnAddressFindsNoJob() public {
        _match();
        ICloudverse alone = ICloudverse(cloud.recovery());
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_StateIs.selector, jobId, JobState.None));
        alone.close(jobId, terms, progress);
    }
}
