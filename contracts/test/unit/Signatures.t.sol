// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, JobState} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {BadWallet, Wallet} from "../Doubles.sol";
import {Fixture} from "../Fixture.sol";

/// @title Who may sign what, and in which form: see Signatures.tree
contract SignaturesTest is Fixture {
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function test_SixtyFiveByteSignaturesWork() public {
        Order memory o = _order();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, _digest(hashes.hashOrder(o)));
        _matchWith(o, abi.encodePacked(r, s, v));
        _assertState(JobState.Matched);
    }

    function test_RevertWhen_SIsHigh() public {
        Order memory o = _order();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, _digest(hashes.hashOrder(o)));
        assertLe(uint256(s), HALF_ORDER);
        bytes memory high = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _matchWithReverts(o, high);
    }

    function test_RevertWhen_TheSignatureHasAnOddLength() public {
        Order memory o = _order();
        bytes memory good = _sign(payer, hashes.hashOrder(o));
        _matchWithReverts(o, "");
        _matchWithReverts(o, abi.encodePacked(good, uint16(0)));
    }

    /// @dev Every single flipped bit of a voucher's signature.
    function test_NoFlippedBitIsAccepted() public {
        _match();
        vm.warp(block.timestamp + 100);
        Voucher memory v = _voucher(1, 1000);
        bytes memory operatorSig = _signVoucher(operator, v);
        bytes memory signerSig = _signVoucher(signer, v);
        for (uint256 bit = 0; bit < 512; ++bit) {
            bytes memory flipped = bytes.concat(signerSig);
            flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, signer.addr));
            cloud.collect(terms, progress, v, operatorSig, flipped);
        }
    }

    function test_RevertWhen_TheSignatureIsForAnotherChain() public {
        Order memory o = _order();
        vm.chainId(1);
        bytes memory sig = _sign(payer, hashes.hashOrder(o));
        vm.chainId(31337);
        _matchWithReverts(o, sig);
    }

    function test_TheDomainFollowsTheChainIdAfterAFork() public {
        Order memory o = _order();
        bytes32 before = cloud.jobIdOf(o);
        vm.chainId(1);
        assertNotEq(cloud.jobIdOf(o), before);
        assertEq(cloud.jobIdOf(o), _digest(hashes.hashOrder(o)));
    }

    // ------------------------------------------------------------------------------------------------------------------------------- accounts

    function test_ASafeStyleWalletPaysByErc1271() public {
        Wallet wallet = new Wallet(payer.addr);
        _fund(address(wallet), 100e6);
        Order memory o = _order();
        o.payer = address(wallet);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, _digest(hashes.hashOrder(o)));
        _matchWith(o, abi.encodePacked(r, s, v));
        _assertState(JobState.Matched);
        _matchWithReverts2(address(wallet));
    }

    function test_A4337StyleWalletCallsItselfAndWithdraws() public {
        Wallet wallet = new Wallet(payer.addr);
        _fund(address(wallet), 100e6);
        Order memory o = _order();
        o.payer = address(wallet);
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        jobId = cloud.jobIdOf(o);
        vm.startPrank(payer.addr);
        wallet.execute(address(cloud), abi.encodeCall(cloud.matchOrder, (o, "", b, sig)));
        wallet.execute(address(cloud), abi.encodeCall(cloud.withdraw, (address(usdc), 96e6, address(wallet))));
        vm.stopPrank();
        _sync();
        _assertState(JobState.Matched);
        assertEq(usdc.balanceOf(address(wallet)), 96e6);
    }

    function test_A7702AccountSignsWithItsKeyWhateverItsCodeSays() public {
        vm.etch(payer.addr, address(new BadWallet(4)).code);
        Order memory o = _order();
        _matchWith(o, _sign(payer, hashes.hashOrder(o)));
        _assertState(JobState.Matched);
    }

    function test_WalletsThatLieRevertBurnGasOrReturnBombsAreRefused() public {
        for (uint256 kind = 0; kind < 5; ++kind) {
            address wallet = address(new BadWallet(kind));
            _fund(wallet, 100e6);
            Order memory o = _order();
            o.payer = wallet;
            Bid memory b = _bid(o, node);
            bytes memory sig = _sign(operator, hashes.hashBid(b));
            bytes memory orderSig = _sign(payer, hashes.hashOrder(o));
            vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, wallet));
            vm.prank(signer.addr);
            uint256 gasBefore = gasleft();
            cloud.matchOrder(o, orderSig, b, sig);
            assertLt(gasBefore - gasleft(), 1_000_000);
        }
    }

    function test_ContractSignaturesAreRefusedForVouchersResultsAndBids() public {
        Wallet wallet = new Wallet(signer.addr);
        Order memory o = _order();
        o.signer = address(wallet);
        _matchOrder(o);
        vm.warp(block.timestamp + 100);
        Result memory r = _result(1000, Ending.Completed);
        bytes32 digest = _digest(hashes.hashApprove(_digest(hashes.hashResult(r)), 4));
        (uint8 v, bytes32 x, bytes32 s) = vm.sign(signer.privateKey, digest);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, address(wallet)));
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 4, abi.encodePacked(x, s, v));
    }

    // ------------------------------------------------------------------------------------------------------------------------------- helpers

    function _matchWith(Order memory o, bytes memory orderSig) private {
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.prank(signer.addr);
        jobId = cloud.matchOrder(o, orderSig, b, sig);
        _sync();
    }

    function _matchWithReverts(Order memory o, bytes memory orderSig) private {
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, o.payer));
        vm.prank(signer.addr);
        cloud.matchOrder(o, orderSig, b, sig);
    }

    /// @dev The wallet's owner signs another order than the one sent.
    function _matchWithReverts2(address wallet) private {
        Order memory o = _order();
        o.payer = wallet;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, keccak256("another"));
        _matchWithReverts(o, abi.encodePacked(r, s, v));
    }
}
