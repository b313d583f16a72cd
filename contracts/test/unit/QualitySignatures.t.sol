// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Vm} from "forge-std/Vm.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, JobState, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Messages, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Wallet} from "../Doubles.sol";
import {Fixture} from "../Fixture.sol";

/// @notice Answers of ERC-1271 that are nearly the magic value.
contract AlmostWallet {
    uint256 private immutable kind;

    constructor(uint256 kind_) {
        kind = kind_;
    }

    fallback() external {
        uint256 how = kind;
        assembly {
            switch how
            case 0 { mstore(0, or(shl(224, 0x1626ba7e), 1)) } // dirty lower bits
            case 1 { mstore(0, 1) } // true
            case 2 { mstore(0, 0x1626ba7e) } // at the wrong end
            case 3 { mstore(0, shl(224, 0x20c13b0b)) } // the older draft's value
            case 4 {
                mstore(0, shl(224, 0x1626ba7e))
                revert(0, 0x20)
            }
            case 5 {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 0x1f)
            }
            default { mstore(0, not(0)) }
            return(0, 0x20)
        }
    }
}

/// @title Quality row 8: replay, malleability, other chain or contract, ERC-1271 edge cases. Nothing but the signature of the very message counts.
/// @dev Every signature that a call takes is tried in a call in which nothing else stands in the way: unchanged it is accepted.
contract QualitySignaturesTest is Fixture {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// Changes of several bits in one run.
    uint256 private constant CHANGES = 250;
    /// Far from 0, which means "no voucher": a call takes none without any signature.
    uint32 private constant SEQ = type(uint32).max;

    /// @notice Whose signature of what is tried in which call.
    enum Case {
        OrderByPayer,
        OrderByBudgetKey,
        OrderByWallet, // ERC-1271
        BidAtMatch,
        BidAtRematch,
        VoucherBySigner,
        VoucherByOperator,
        ResultByOperator,
        ApproveBySigner,
        ExtendByPayer,
        ExtendByOperator,
        SubmittedVoucher,
        ReportedVoucher,
        AnsweredVoucher,
        ContestedVoucher,
        ExpiredVoucher,
        Permit // OPEN's, for a deposit
    }

    /// @notice A job of the fixture put aside.
    struct Saved {
        bytes32 id;
        Order order;
        Terms terms;
        Progress progress;
        Voucher voucher;
    }

    uint256 private constant CASES = uint256(type(Case).max) + 1;
    Vm.Wallet private key = vm.createWallet("budget key");
    Vm.Wallet private otherOperator = vm.createWallet("other operator");
    Wallet private wallet;
    uint256 private otherNode;
    uint256 private budget;
    Saved private running;
    Saved private reported;
    Saved private interrupted;
    Saved private over;
    Order private newOrder;
    Voucher private none;

    function setUp() public override {
        super.setUp();
        wallet = new Wallet(payer.addr);
        _fund(address(wallet), 100e6);
        otherNode = _register(makeAddr("other owner"), otherOperator.addr);
        vm.prank(payer.addr);
        budget = cloud.openBudget(0, key.addr, address(usdc), 100e6, 100e6, uint40(block.timestamp + 30 days));
        vm.recordLogs();

        Order memory o = _order();
        o.maxSeconds = 1;
        o.readyWithinSeconds = 300;
        _matchOrder(o);
        vm.warp(block.timestamp + 2 days);
        _save(over, _voucher(SEQ, 1000));

        _match();
        _settle(_result(0, Ending.HardwareFault));
        _save(interrupted, none);
        _match();
        vm.warp(block.timestamp + 300);
        _report(none);
        Voucher memory v = _voucher(SEQ, 100_000);
        _save(reported, v);
        _match();
        vm.warp(block.timestamp + 300);
        v = _voucher(SEQ, 100_000);
        _save(running, v);
        newOrder = _order();
    }

    function _save(Saved storage to, Voucher memory v) private {
        (to.id, to.order, to.terms, to.progress, to.voucher) = (jobId, order, terms, progress, v);
        to.voucher.jobId = jobId;
    }

    // --------------------------------------------------------------------------------------------------------------------------------- the cases

    function _orderOf(Case which) private view returns (Order memory o) {
        if (which == Case.BidAtRematch) return interrupted.order;
        o = newOrder;
        if (which == Case.OrderByBudgetKey) o.budget = budget;
        if (which == Case.OrderByWallet) o.payer = address(wallet);
        o.claimable = which != Case.BidAtMatch; // whoever sends it, the signature decides
    }

    function _newBid(Case which) private view returns (Bid memory) {
        return _bid(_orderOf(which), which == Case.BidAtRematch ? otherNode : node);
    }

    function _resultOf() private view returns (Result memory r) {
        (r.jobId, r.attempt, r.billedMillis, r.readyAfterSeconds) = (running.id, 1, 100_000, 20);
        (r.outcome, r.receiptDigest) = (uint8(Ending.Completed), keccak256("receipt"));
    }

    function _submittedOf() private view returns (Result memory r) {
        r = _resultOf();
        r.billedMillis = running.voucher.billedMillis;
    }

    function _extension() private view returns (Extend memory) {
        return Extend({jobId: running.id, attempt: 1, addCost: 1e6, addSeconds: 60, salt: 7});
    }

    function _permitWords() private view returns (bytes memory) {
        return abi.encode(payer.addr, address(cloud), uint256(5e18), block.timestamp + 60);
    }

    /// @dev The message that is signed, word by word as it stands in the call.
    function _messageOf(Case which) private view returns (bytes memory) {
        if (which <= Case.OrderByWallet) return abi.encode(_orderOf(which));
        if (which <= Case.BidAtRematch) return abi.encode(_newBid(which));
        if (which == Case.ResultByOperator || which == Case.ApproveBySigner) return abi.encode(_resultOf());
        if (which == Case.ExtendByPayer || which == Case.ExtendByOperator) return abi.encode(_extension());
        if (which == Case.AnsweredVoucher || which == Case.ContestedVoucher) return abi.encode(reported.voucher);
        if (which == Case.ExpiredVoucher) return abi.encode(over.voucher);
        if (which == Case.Permit) return _permitWords();
        return abi.encode(running.voucher);
    }

    function _structHash(Case which) private view returns (bytes32) {
        bytes memory words = _messageOf(which);
        if (which <= Case.OrderByWallet) return keccak256(bytes.concat(Messages.ORDER_TYPEHASH, words));
        if (which <= Case.BidAtRematch) return keccak256(bytes.concat(Messages.BID_TYPEHASH, words));
        if (which == Case.ResultByOperator) return keccak256(bytes.concat(Messages.RESULT_TYPEHASH, words));
        if (which == Case.ApproveBySigner) return hashes.hashApprove(_digest(keccak256(bytes.concat(Messages.RESULT_TYPEHASH, words))), 4);
        if (which == Case.ExtendByPayer || which == Case.ExtendByOperator) return keccak256(bytes.concat(Messages.EXTEND_TYPEHASH, words));
        if (which == Case.Permit) {
            bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
            return keccak256(abi.encode(typehash, payer.addr, address(cloud), uint256(5e18), uint256(0), block.timestamp + 60));
        }
        return keccak256(bytes.concat(Messages.VOUCHER_TYPEHASH, words));
    }

    function _keyOf(Case which) private view returns (Vm.Wallet memory) {
        if (which == Case.OrderByBudgetKey) return key;
        if (which == Case.BidAtRematch) return otherOperator;
        if (which <= Case.OrderByWallet || which == Case.ExtendByPayer || which == Case.Permit) return payer;
        bool isSigners = which == Case.VoucherBySigner || which == Case.ApproveBySigner || which == Case.SubmittedVoucher
            || which == Case.ContestedVoucher || which == Case.ExpiredVoucher;
        return isSigners ? signer : operator;
    }

    /// @dev Who sends it: the other party, whose own signature is then not needed.
    function _senderOf(Case which) private view returns (address) {
        if (which == Case.BidAtMatch || which == Case.ExtendByOperator) return payer.addr;
        if (which == Case.BidAtRematch) return signer.addr;
        if (which <= Case.OrderByWallet || which == Case.ExtendByPayer) return operator.addr;
        return _keyOf(which).addr == signer.addr ? operator.addr : signer.addr;
    }

    function _targetOf(Case which) private view returns (address) {
        return which == Case.Permit ? address(open) : address(cloud);
    }

    /// @dev The call with a signature in it.
    function _call(Case which, bytes memory sig) private view returns (bytes memory) {
        if (which <= Case.OrderByWallet) return abi.encodeCall(cloud.matchOrder, (_orderOf(which), sig, _newBid(which), ""));
        if (which == Case.BidAtMatch) return abi.encodeCall(cloud.matchOrder, (_orderOf(which), "", _newBid(which), sig));
        if (which == Case.Permit) return bytes.concat(IERC20Permit.permit.selector, _permitWords(), sig);
        if (which == Case.BidAtRematch) {
            return abi.encodeCall(cloud.rematch, (_orderOf(which), interrupted.terms, interrupted.progress, _newBid(which), sig));
        }
        if (which == Case.ResultByOperator) return abi.encodeCall(cloud.settle, (running.terms, running.progress, _resultOf(), sig, 4, ""));
        if (which == Case.ApproveBySigner) return abi.encodeCall(cloud.settle, (running.terms, running.progress, _resultOf(), "", 4, sig));
        if (which == Case.ExtendByPayer) return abi.encodeCall(cloud.extend, (running.terms, running.progress, _extension(), sig, ""));
        if (which == Case.ExtendByOperator) return abi.encodeCall(cloud.extend, (running.terms, running.progress, _extension(), "", sig));
        return _voucherCall(which, sig);
    }

    function _voucherCall(Case which, bytes memory sig) private view returns (bytes memory) {
        Saved memory s = running;
        if (which == Case.VoucherBySigner) return abi.encodeCall(cloud.collect, (s.terms, s.progress, s.voucher, "", sig));
        if (which == Case.VoucherByOperator) return abi.encodeCall(cloud.collect, (s.terms, s.progress, s.voucher, sig, ""));
        if (which == Case.SubmittedVoucher) return abi.encodeCall(cloud.submit, (s.terms, s.progress, _submittedOf(), s.voucher, "", sig));
        if (which == Case.ReportedVoucher) return abi.encodeCall(cloud.reportFault, (s.id, s.terms, s.progress, s.voucher, sig, ""));
        s = which == Case.ExpiredVoucher ? over : reported;
        if (which == Case.ExpiredVoucher) return abi.encodeCall(cloud.expire, (s.id, s.terms, s.progress, s.voucher, "", sig));
        if (which == Case.AnsweredVoucher) return abi.encodeCall(cloud.answerFault, (s.id, s.terms, s.progress, none, s.voucher, sig, ""));
        return abi.encodeCall(cloud.contest, (s.id, s.terms, s.progress, none, s.voucher, "", sig));
    }

    /// @dev A digest of the right domain with one part of it changed: 0 none, 1 chain, 2 contract, 3 name, 4 version.
    function _digestIn(Case which, uint256 changed) private view returns (bytes32) {
        bytes32 typehash = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 name = keccak256(bytes(changed == 3 ? "OpenGPU Staking" : "OpenGPU"));
        bytes32 version = keccak256(bytes(changed == 4 ? "2" : "1"));
        address verifier = changed == 2 ? cloud.recovery() : _targetOf(which);
        bytes32 separator = keccak256(abi.encode(typehash, name, version, changed == 1 ? block.chainid + 1 : block.chainid, verifier));
        return keccak256(abi.encodePacked(hex"1901", separator, _structHash(which)));
    }

    /// @dev 64 or 65 bytes; a permit's is three words. OpenZeppelin's wallet takes 65 only.
    function _form(Case which, bool isCompact, uint8 v, bytes32 r, bytes32 s) private pure returns (bytes memory) {
        if (which == Case.Permit) return abi.encode(v, r, s);
        if (!isCompact || which == Case.OrderByWallet) return abi.encodePacked(r, s, v);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function _good(Case which, bool isCompact) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf(which).privateKey, _digestIn(which, 0));
        return _form(which, isCompact, v, r, s);
    }

    // ----------------------------------------------------------------------------------------------------------------------------------- trying

    function _tryCall(Case which, bytes memory data) private returns (bool isOk, bytes4 err) {
        vm.prank(_senderOf(which));
        bytes memory answer;
        (isOk, answer) = _targetOf(which).call(data);
        err = bytes4(answer);
    }

    function _name(Case which) private pure returns (string memory) {
        return string.concat("case ", vm.toString(uint256(which)));
    }

    /// @dev The call does go through with the right signature.
    function _assertAccepted(Case which, bytes memory data) private {
        uint256 id = vm.snapshotState();
        (bool isOk,) = _tryCall(which, data);
        assertTrue(isOk, _name(which));
        vm.revertToState(id);
    }

    function _assertRefused(Case which, bytes memory sig) private {
        (bool isOk, bytes4 err) = _tryCall(which, _call(which, sig));
        assertFalse(isOk, _name(which));
        if (which != Case.Permit) assertEq(err, IJobEvents.JobMarket_SignatureInvalid.selector, _name(which));
    }

    /// @dev Where a part stands in calldata, a whole number of words behind the selector.
    function _find(bytes memory data, bytes memory part) private pure returns (uint256 at) {
        bytes32 wanted = keccak256(part);
        for (at = 4; at + part.length <= data.length; at += 32) {
            bytes32 hash;
            assembly ("memory-safe") {
                hash := keccak256(add(add(data, 0x20), at), mload(part))
            }
            if (hash == wanted) return at;
        }
        revert("not in the call");
    }

    /// @dev Flips one bit of data from a place on.
    function _flip(bytes memory data, uint256 at, uint256 bit) private pure {
        data[at + bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }

    /// @dev An order's bid names the order, so that only the order's signature is wrong.
    function _follow(Case which, bytes memory data, uint256 messageAt, uint256 idAt) private view {
        if (which > Case.OrderByWallet) return;
        bytes memory words = new bytes(33 * 32 - 16 * 32);
        bytes32 typehash = Messages.ORDER_TYPEHASH;
        bytes32 hash;
        assembly ("memory-safe") {
            mstore(add(words, 0x20), typehash)
            mcopy(add(words, 0x40), add(add(data, 0x20), messageAt), 0x200)
            hash := keccak256(add(words, 0x20), 0x220)
        }
        hash = _digest(hash);
        assembly ("memory-safe") {
            mstore(add(add(data, 0x20), idAt), hash)
        }
    }

    /// @dev Flips bits of a part of the call one at a time; none is accepted.
    function _flipEach(Case which, bytes memory data, bytes memory part, bool isMessage) private returns (uint256 count) {
        uint256 at = _find(data, part);
        uint256 idAt = isMessage && which <= Case.OrderByWallet ? _find(data, abi.encode(cloud.jobIdOf(_orderOf(which)))) : 0;
        (address target, address sender) = (_targetOf(which), _senderOf(which));
        vm.startPrank(sender);
        for (count = 0; count < part.length * 8; ++count) {
            _flip(data, at, count);
            if (idAt != 0) _follow(which, data, at, idAt);
            (bool isOk,) = target.call(data);
            if (isOk) assertFalse(isOk, string.concat(_name(which), ", bit ", vm.toString(count)));
            _flip(data, at, count);
        }
        vm.stopPrank();
        if (idAt != 0) _follow(which, data, at, idAt);
    }

    function test_Quality8_NoFlippedBitOfAnySignatureIsAccepted() public {
        uint256 count;
        for (uint256 i = 0; i < CASES; ++i) {
            for (uint256 j = 0; j < 2; ++j) {
                bytes memory sig = _good(Case(i), j == 0);
                bytes memory data = _call(Case(i), sig);
                _assertAccepted(Case(i), data);
                count += _flipEach(Case(i), data, sig, false);
            }
        }
        assertGt(count, CASES * 1000);
    }

    function test_Quality8_NoFlippedBitOfAnySignedOrderOrBidIsAccepted() public {
        assertEq(_flipMessages(Case.OrderByPayer, Case.BidAtRematch), (3 * 16 + 2 * 7) * 256);
    }

    function test_Quality8_NoFlippedBitOfAnySignedUsageIsAccepted() public {
        assertEq(_flipMessages(Case.VoucherBySigner, Case.Permit), (7 * 10 + 2 * 8 + 2 * 5 + 4) * 256);
    }

    function _flipMessages(Case from, Case to) private returns (uint256 count) {
        for (uint256 i = uint256(from); i <= uint256(to); ++i) {
            bytes memory data = _call(Case(i), _good(Case(i), true));
            _assertAccepted(Case(i), data);
            count += _flipEach(Case(i), data, _messageOf(Case(i)), true);
            _assertAccepted(Case(i), data);
        }
    }

    /// @dev Two to nine flipped bits of message and signature together, a million times.
    /// forge-config: default.fuzz.runs = 4000
    function testFuzz_Quality8_NoSeveralFlippedBitsAreAccepted(uint256 seed) public {
        Case which = Case(seed % CASES);
        bytes memory sig = _good(which, true);
        bytes memory data = _call(which, sig);
        _assertAccepted(which, data);
        bytes memory message = _messageOf(which);
        (uint256 sigAt, uint256 messageAt) = (_find(data, sig), _find(data, message));
        (address target, bytes32 unchanged) = (_targetOf(which), keccak256(data));
        vm.startPrank(_senderOf(which));
        for (uint256 i = 0; i < CHANGES; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _flipSeveral(data, seed, sigAt, messageAt, message.length * 8);
            if (keccak256(data) != unchanged) {
                (bool isOk,) = target.call(data);
                if (isOk) assertFalse(isOk, _name(which));
            }
            _flipSeveral(data, seed, sigAt, messageAt, message.length * 8);
        }
        assertEq(keccak256(data), unchanged);
    }

    function _flipSeveral(bytes memory data, uint256 seed, uint256 sigAt, uint256 messageAt, uint256 messageBits) private pure {
        for (uint256 j = 0; j < 2 + (seed >> 192) % 8; ++j) {
            uint256 at = seed >> 20 * j;
            if (at & 1 == 0) _flip(data, sigAt, (at >> 1) % 512);
            else _flip(data, messageAt, (at >> 1) % messageBits);
        }
    }

    function test_Quality8_NoSignatureOfAnotherDomainIsAccepted() public {
        for (uint256 i = 0; i < CASES; ++i) {
            _assertAccepted(Case(i), _call(Case(i), _good(Case(i), true)));
            for (uint256 changed = 1; changed < 5; ++changed) {
                (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf(Case(i)).privateKey, _digestIn(Case(i), changed));
                _assertRefused(Case(i), _form(Case(i), true, v, r, s));
            }
        }
    }

    /// @dev A signature is of its own message and by its own key: all others' are tried in its place.
    function test_Quality8_NoSignatureOfAnotherPartyOrMessageIsAccepted() public {
        for (uint256 i = 0; i < CASES; ++i) {
            for (uint256 j = 0; j < CASES; ++j) {
                bool isSame = _digestIn(Case(i), 0) == _digestIn(Case(j), 0) && _keyOf(Case(i)).addr == _keyOf(Case(j)).addr;
                if (isSame) continue;
                (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf(Case(j)).privateKey, _digestIn(Case(j), 0));
                _assertRefused(Case(i), _form(Case(i), true, v, r, s));
                (v, r, s) = vm.sign(uint256(keccak256(abi.encode(j))), _digestIn(Case(i), 0));
                _assertRefused(Case(i), _form(Case(i), true, v, r, s));
            }
        }
    }

    function test_Quality8_NoOtherFormOfAGoodSignatureIsAccepted() public {
        for (uint256 i = 0; i < CASES; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf(Case(i)).privateKey, _digestIn(Case(i), 0));
            bytes32 high = bytes32(CURVE_ORDER - uint256(s));
            if (Case(i) == Case.Permit) {
                _assertRefused(Case(i), abi.encode(v ^ 7, r, high));
                _assertRefused(Case(i), abi.encode(v - 27, r, s));
                _assertRefused(Case(i), abi.encode(v, bytes32(0), bytes32(0)));
                continue;
            }
            _assertRefused(Case(i), abi.encodePacked(r, high, v ^ 7)); // 27 ^ 7 = 28: the same point in the high half
            _assertRefused(Case(i), abi.encodePacked(r, high | bytes32(uint256(v == 27 ? 1 : 0) << 255)));
            _assertRefused(Case(i), abi.encodePacked(r, s, v - 27));
            _assertRefused(Case(i), abi.encodePacked(r, s, v, uint8(0)));
            _assertRefused(Case(i), abi.encodePacked(bytes1(0), r, s, v));
            _assertRefused(Case(i), abi.encodePacked(r, bytes31(s)));
            _assertRefused(Case(i), abi.encode(v, r, s));
            _assertRefused(Case(i), new bytes(64));
            _assertRefused(Case(i), abi.encodePacked(new bytes(64), v));
            _assertRefused(Case(i), "");
        }
    }

    // ------------------------------------------------------------------------------------------------------------------------------------ replay

    /// @dev Whatever was accepted once is refused when it is sent again, at once and much later.
    function test_Quality8_NothingAcceptedIsAcceptedAgain() public {
        for (uint256 i = 0; i < CASES; ++i) {
            uint256 id = vm.snapshotState();
            bytes memory data = _call(Case(i), _good(Case(i), true));
            (bool isOk,) = _tryCall(Case(i), data);
            assertTrue(isOk, _name(Case(i)));
            (isOk,) = _tryCall(Case(i), data);
            assertFalse(isOk, _name(Case(i)));
            vm.warp(block.timestamp + 2 hours);
            (isOk,) = _tryCall(Case(i), data);
            assertFalse(isOk, _name(Case(i)));
            vm.revertToState(id);
        }
    }

    /// @dev Progress changes with every call that moves money; what was signed must not count again under the new one either.
    function test_Quality8_NothingSignedCountsAgainUnderTheProgressItLedTo() public {
        (jobId, order, terms, progress) = (running.id, running.order, running.terms, running.progress);
        Voucher memory v = running.voucher;
        bytes[2] memory sigs = [_signVoucher(operator, v), _signVoucher(signer, v)];
        Extend memory ext = _extension();
        bytes[2] memory extendSigs = [_sign(payer, hashes.hashExtend(ext)), _sign(operator, hashes.hashExtend(ext))];
        cloud.collect(terms, progress, v, sigs[0], sigs[1]);
        _sync();
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_ValueBelowCollected.selector, 100_000, 100_000));
        cloud.collect(terms, progress, v, sigs[0], sigs[1]);
        cloud.extend(terms, progress, ext, extendSigs[0], extendSigs[1]);
        _sync();
        vm.expectPartialRevert(IJobEvents.JobMarket_ExtensionUsed.selector);
        cloud.extend(terms, progress, ext, extendSigs[0], extendSigs[1]);

        // The next attempt, on another node: nothing of the first counts.
        Result memory r = _result(110_000, Ending.HardwareFault);
        bytes[2] memory resultSigs = [_signResult(operator, r), _signApprove(signer, r, 4)];
        cloud.settle(terms, progress, r, resultSigs[0], 4, resultSigs[1]);
        _sync();
        _rematchOn(otherNode, otherOperator);
        vm.warp(block.timestamp + 300);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, jobId, 1));
        cloud.collect(terms, progress, v, sigs[0], sigs[1]);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, jobId, 1));
        cloud.settle(terms, progress, r, resultSigs[0], 4, resultSigs[1]);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_WrongJob.selector, jobId, jobId, 1));
        cloud.extend(terms, progress, ext, extendSigs[0], extendSigs[1]);
        _assertState(JobState.Matched);
    }

    // --------------------------------------------------------------------------------------------------------------------------------- ERC-1271

    function test_Quality8_NoAnswerThatIsNearlyErc1271IsAccepted() public {
        for (uint256 kind = 0; kind < 7; ++kind) {
            _refuseAccount(address(new AlmostWallet(kind)));
        }
        _refuseAccount(makeAddr("no code"));
        for (uint160 precompile = 1; precompile < 11; ++precompile) {
            _refuseAccount(address(precompile));
        }
        _refuseAccount(address(cloud));
        _refuseAccount(address(usdc));
    }

    function _refuseAccount(address account) private {
        _fund(account, 10e6);
        Order memory o = _orderOf(Case.OrderByPayer);
        o.payer = account;
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(payer, hashes.hashOrder(o));
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, account));
        vm.prank(operator.addr);
        cloud.matchOrder(o, sig, b, "");
    }

    /// @dev A wallet's owner signed for this wallet and order: neither another wallet of the owner nor another order can be paid with it.
    function test_Quality8_AWalletsSignatureIsForThatWalletAlone() public {
        bytes memory sig = _good(Case.OrderByWallet, false);
        Wallet twin = new Wallet(payer.addr);
        _fund(address(twin), 10e6);
        Order memory o = _orderOf(Case.OrderByWallet);
        o.payer = address(twin);
        Bid memory b = _bid(o, node);
        vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, address(twin)));
        vm.prank(operator.addr);
        cloud.matchOrder(o, sig, b, "");
    }
}
