// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ending} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture} from "../Fixture.sol";

/// @title Calldata words with unused upper bits set
/// @notice One account is payer, signer, operator and owner here, so that no signature stands in the way of a word nobody would sign.
contract ReviewDirtyWordsTest is Fixture {
    // A bit for every word of a struct that has unused upper bits, the first word in the lowest bit.
    uint256 private constant ORDER_SMALL = 0x7f7d; // all but budget, specDigest, salt
    uint256 private constant BID_SMALL = 0x7c; // all but jobId, node
    uint256 private constant TERMS_SMALL = 0x71f; // all but budget, node, specDigest, rates, limits
    uint256 private constant PROGRESS_SMALL = 0xfb; // all but declared
    uint256 private constant VOUCHER_SMALL = 0xfe; // all but jobId, usageRoot, logRoot
    uint256 private constant RESULT_SMALL = 0x7e; // all but jobId, receiptDigest
    uint256 private constant EXTEND_SMALL = 0xe; // all but jobId, salt
    uint256 private constant SIGNED_AT = 1 << 3; // of a voucher
    uint256 private constant EXIT_CODE = 1 << 6; // of a result

    function setUp() public override {
        vm.warp(1_750_000_000);
        signer = payer;
        operator = payer;
        owner = payer.addr;
        _deploy(address(0), makeAddr("disputes"));
    }

    /// @dev The call succeeds as it is, and with none of the struct's small words made dirty. `from` is the struct's first word in the calldata.
    function _tryAll(bytes memory data, uint256 from, uint256 small) private {
        for (uint256 i = 0; small >> i != 0; ++i) {
            if (small >> i & 1 == 0) continue;
            bytes memory dirty = bytes.concat(data);
            _soil(dirty, from + i);
            (bool isDone,) = _call(dirty);
            assertFalse(isDone, string.concat("accepted word ", vm.toString(from + i)));
        }
        uint256 before = vm.snapshotState();
        (bool isGood, bytes memory err) = _call(data);
        assertTrue(isGood, string.concat("the clean call fails: ", vm.toString(err)));
        vm.revertToState(before);
    }

    function _call(bytes memory data) private returns (bool isDone, bytes memory answer) {
        vm.prank(payer.addr);
        return address(cloud).call(data);
    }

    function _soil(bytes memory data, uint256 word) private pure {
        assembly ("memory-safe") {
            let at := add(add(data, 0x24), mul(word, 0x20))
            mstore(at, or(mload(at), shl(255, 1)))
        }
    }

    function _tryTermsAndProgress(bytes memory data, uint256 from) private {
        _tryAll(data, from, TERMS_SMALL);
        _tryAll(data, from + 13, PROGRESS_SMALL);
    }

    function test_NoDirtyWordOfAnOrderBecomesAJob() public {
        Order memory o = _order();
        o.claimable = true;
        Bid memory b = _bid(o, node);
        bytes memory data = abi.encodeCall(cloud.matchOrder, (o, "", b, ""));
        _tryAll(data, 17, BID_SMALL);
        for (uint256 i = 0; i < 16; ++i) {
            if (ORDER_SMALL >> i & 1 == 0) continue;
            bytes memory asked = abi.encodeCall(cloud.jobIdOf, (o));
            _soil(asked, i);
            (, bytes memory answer) = address(cloud).staticcall(asked);
            b.jobId = abi.decode(answer, (bytes32));
            bytes memory dirty = abi.encodeCall(cloud.matchOrder, (o, "", b, ""));
            _soil(dirty, i);
            (bool isDone,) = _call(dirty);
            assertFalse(isDone, string.concat("accepted an order with word ", vm.toString(i)));
        }
    }

    function test_NoDirtyWordCollectsOrSettles() public {
        _match();
        vm.warp(block.timestamp + 400);
        bytes memory data = abi.encodeCall(cloud.collect, (terms, progress, _voucher(1, 1000), "", ""));
        _tryTermsAndProgress(data, 0);
        _tryAll(data, 21, VOUCHER_SMALL & ~SIGNED_AT); // reaches neither event nor storage
        data = abi.encodeCall(cloud.settle, (terms, progress, _result(1000, Ending.Completed), "", 4, ""));
        _tryTermsAndProgress(data, 0);
        _tryAll(data, 21, RESULT_SMALL & ~EXIT_CODE); // the same
        _tryAll(data, 30, 1); // rating
        data = abi.encodeCall(cloud.submit, (terms, progress, _result(1000, Ending.Completed), _voucher(1, 1000), "", ""));
        _tryTermsAndProgress(data, 0);
        _tryAll(data, 21, RESULT_SMALL & ~EXIT_CODE);
        _tryAll(data, 29, VOUCHER_SMALL & ~SIGNED_AT);
        data = abi.encodeCall(cloud.extend, (terms, progress, Extend(jobId, 1, 1000, 100, 1), "", ""));
        _tryTermsAndProgress(data, 0);
        _tryAll(data, 21, EXTEND_SMALL);
    }

    function test_NoDirtyWordReportsAnswersOrResolves() public {
        _match();
        vm.warp(block.timestamp + 400);
        Voucher memory v = _voucher(1, 1000);
        bytes memory data = abi.encodeCall(cloud.reportFault, (jobId, terms, progress, v, "", ""));
        _tryTermsAndProgress(data, 1);
        _tryAll(data, 22, VOUCHER_SMALL);
        vm.prank(payer.addr);
        cloud.reportFault(jobId, terms, progress, v, "", "");
        _sync();
        for (uint256 age = 0; age < 2; ++age) {
            Voucher memory newer = _voucher(2, 2000);
            newer.signedAt -= uint64(age);
            data = abi.encodeCall(cloud.answerFault, (jobId, terms, progress, v, newer, "", ""));
            _tryTermsAndProgress(data, 1);
            _tryAll(data, 22, VOUCHER_SMALL);
            _tryAll(data, 32, VOUCHER_SMALL);
        }
        data = abi.encodeCall(cloud.contest, (jobId, terms, progress, v, _voucher(2, 2000), "", ""));
        _tryTermsAndProgress(data, 1);
        _tryAll(data, 22, VOUCHER_SMALL);
        _tryAll(data, 32, VOUCHER_SMALL & ~SIGNED_AT);
        vm.warp(block.timestamp + WINDOW);
        data = abi.encodeCall(cloud.resolveFault, (jobId, terms, progress, v));
        _tryTermsAndProgress(data, 1);
        _tryAll(data, 22, VOUCHER_SMALL);
        cloud.resolveFault(jobId, terms, progress, v);
        _sync();
        data = abi.encodeCall(cloud.close, (jobId, terms, progress));
        _tryTermsAndProgress(data, 1);

        address other = makeAddr("other owner");
        uint256 next = _register(other, payer.addr);
        data = abi.encodeCall(cloud.rematch, (order, terms, progress, _bid(order, next), ""));
        _tryAll(data, 0, ORDER_SMALL);
        _tryTermsAndProgress(data, 16);
        _tryAll(data, 37, BID_SMALL);
    }

    function test_NoDirtyWordOfAResultIsSubmittedOrFinalized() public {
        Order memory o = _order();
        o.verifyLevel = 2;
        _matchOrder(o);
        vm.warp(block.timestamp + 100);
        Result memory r = _result(1000, Ending.Completed);
        bytes memory data = abi.encodeCall(cloud.submit, (terms, progress, r, _voucher(1, 1000), "", ""));
        _tryTermsAndProgress(data, 0);
        _tryAll(data, 21, RESULT_SMALL);
        _tryAll(data, 29, VOUCHER_SMALL & ~SIGNED_AT);
        _submit(r, _voucher(1, 1000));
        vm.warp(block.timestamp + 1 days);
        data = abi.encodeCall(cloud.finalize, (terms, progress, r));
        _tryTermsAndProgress(data, 0);
        _tryAll(data, 21, RESULT_SMALL);
    }

    function test_NoDirtyWordExpires() public {
        _match();
        vm.warp(block.timestamp + 10 days);
        bytes memory data = abi.encodeCall(cloud.expire, (jobId, terms, progress, _voucher(1, 1000), "", ""));
        _tryTermsAndProgress(data, 1);
        _tryAll(data, 22, VOUCHER_SMALL & ~SIGNED_AT);
    }
}
