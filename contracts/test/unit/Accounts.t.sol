// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Account as Erc4337Account} from "@openzeppelin/contracts/account/Account.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IAccount, IEntryPoint, PackedUserOperation} from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import {SignerECDSA} from "@openzeppelin/contracts/utils/cryptography/signers/SignerECDSA.sol";
import {SignerEIP7702} from "@openzeppelin/contracts/utils/cryptography/signers/SignerEIP7702.sol";
import {Vm} from "forge-std/Vm.sol";
import {IJobEvents} from "../../src/interfaces/IJobEvents.sol";
import {Ending, JobState} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Wallet} from "../Doubles.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @notice What ERC-4337's entry point does with an operation, without gas payments: the account says whether it wants it, then it is called.
contract EntryPoint {
    mapping(address account => uint256) public nonceOf;

    function hashOf(PackedUserOperation calldata op) public view returns (bytes32) {
        return keccak256(abi.encode(op.sender, op.nonce, keccak256(op.callData), address(this), block.chainid));
    }

    function handleOp(PackedUserOperation calldata op) external {
        require(op.nonce == nonceOf[op.sender]++, "AA25 invalid account nonce");
        require(IAccount(op.sender).validateUserOp(op, hashOf(op), 0) == 0, "AA24 signature error");
        (bool isOk, bytes memory answer) = op.sender.call(op.callData);
        if (!isOk) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}

/// @notice OpenZeppelin's ERC-4337 account with a call to run and an ERC-1271 answer, whoever signs for it.
abstract contract RunningAccount is Erc4337Account, IERC1271 {
    IEntryPoint private immutable _entryPoint;

    constructor(address entryPoint_) {
        _entryPoint = IEntryPoint(entryPoint_);
    }

    function entryPoint() public view override returns (IEntryPoint) {
        return _entryPoint;
    }

    function execute(address to, bytes calldata data) external onlyEntryPointOrSelf {
        (bool isOk, bytes memory answer) = to.call(data);
        if (!isOk) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return _rawSignatureValidation(digest, signature) ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @notice A smart account of one key.
contract SmartAccount is RunningAccount, SignerECDSA {
    constructor(address entryPoint_, address key) RunningAccount(entryPoint_) SignerECDSA(key) {}
}

/// @notice What an account of a key delegates to by EIP-7702.
contract DelegatedAccount is RunningAccount, SignerEIP7702 {
    constructor(address entryPoint_) RunningAccount(entryPoint_) {}
}

/// @notice Cheatcodes that the pinned forge-std does not name.
interface IVmEvmVersion {
    function setEvmVersion(string calldata evm) external;
}

/// @title Contract wallets as users: an ERC-4337 account, a Safe-style ERC-1271 wallet and an EIP-7702 account do everything a key's
/// account does. Spec: Accounts.tree
contract AccountsTest is StakingFixture {
    enum Kind {
        Erc4337,
        Safe,
        Eip7702
    }

    uint256 private constant KINDS = 3;
    EntryPoint private entryPoint;
    Vm.Wallet private key = vm.createWallet("account key");
    Vm.Wallet private delegated = vm.createWallet("delegated");
    Vm.Wallet private otherOperator = vm.createWallet("other operator");
    uint256 private otherNode;
    address[KINDS] private accounts;
    Kind private kind;
    address private account;

    function setUp() public override {
        super.setUp();
        IVmEvmVersion(address(vm)).setEvmVersion("prague");
        entryPoint = new EntryPoint();
        accounts[0] = address(new SmartAccount(address(entryPoint), key.addr));
        accounts[1] = address(new Wallet(key.addr));
        accounts[2] = delegated.addr;
        vm.signAndAttachDelegation(address(new DelegatedAccount(address(entryPoint))), delegated.privateKey);
        assertEq(delegated.addr.code.length, 23);
        otherNode = _register(makeAddr("other owner"), otherOperator.addr);
        for (uint256 i = 0; i < KINDS; ++i) {
            usdc.mint(accounts[i], 100e6);
            open.transfer(accounts[i], 1000e18);
        }
        vm.recordLogs();
    }

    // ------------------------------------------------------------------------------------------------------------------------------ the account

    function _use(uint256 which) private {
        kind = Kind(which);
        account = accounts[which];
    }

    /// @dev A call by the account: an operation signed by its key, for the Safe by its owner.
    function _do(address target, bytes memory data) private {
        if (kind == Kind.Safe) {
            vm.prank(key.addr);
            Wallet(account).execute(target, data);
        } else {
            entryPoint.handleOp(_op(target, data));
        }
        _sync();
    }

    function _op(address target, bytes memory data) private view returns (PackedUserOperation memory op) {
        op.sender = account;
        op.nonce = entryPoint.nonceOf(account);
        op.callData = abi.encodeCall(RunningAccount.execute, (target, data));
        op.signature = _signAs(entryPoint.hashOf(op));
    }

    /// @dev The account's signature of a digest, 65 bytes.
    function _signAs(bytes32 digest) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(kind == Kind.Eip7702 ? delegated.privateKey : key.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    function _orderOfAccount() private returns (Order memory o) {
        o = _order();
        o.payer = account;
    }

    /// @dev Matches an order by the account's signature, sent by the signer.
    function _matchSigned(Order memory o) private {
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        bytes memory orderSig = _signAs(_digest(hashes.hashOrder(o)));
        vm.prank(signer.addr);
        jobId = cloud.matchOrder(o, orderSig, b, sig);
        order = o;
        _sync();
    }

    /// @dev Matches an order by a call of the account's own.
    function _matchSent(Order memory o) private {
        Bid memory b = _bid(o, node);
        jobId = b.jobId;
        order = o;
        _do(address(cloud), abi.encodeCall(cloud.matchOrder, (o, "", b, _sign(operator, hashes.hashBid(b)))));
    }

    function _deposit(uint256 amount) private {
        _do(address(usdc), abi.encodeCall(usdc.approve, (address(cloud), amount)));
        _do(address(cloud), abi.encodeCall(cloud.deposit, (address(usdc), amount)));
        assertEq(cloud.credits(account, address(usdc)), amount);
    }

    // ------------------------------------------------------------------------------------------------------------------------------------ tests

    function test_AnOperationThatTheKeyDidNotSignIsNotRun() public {
        for (uint256 i = 0; i < KINDS; ++i) {
            _use(i);
            if (kind == Kind.Safe) continue;
            PackedUserOperation memory op = _op(address(usdc), abi.encodeCall(usdc.approve, (stranger, 1)));
            op.callData = abi.encodeCall(RunningAccount.execute, (address(usdc), abi.encodeCall(usdc.approve, (stranger, 2))));
            vm.expectRevert("AA24 signature error");
            entryPoint.handleOp(op);
        }
    }

    /// @dev Deposits, orders sent and signed, fault report, rematch, extension both ways, cancelling, closing, withdrawing.
    function test_EveryKindOfAccountDoesAllAPayerDoes() public {
        for (uint256 i = 0; i < KINDS; ++i) {
            _use(i);
            _deposit(100e6);
            _matchSent(_orderOfAccount());
            vm.warp(block.timestamp + 301);
            _do(address(cloud), abi.encodeCall(cloud.reportFault, (jobId, terms, progress, _none(), "", "")));
            vm.warp(block.timestamp + WINDOW);
            _resolve(_none());
            _assertState(JobState.Interrupted);
            Bid memory b = _bid(order, otherNode);
            _do(address(cloud), abi.encodeCall(cloud.rematch, (order, terms, progress, b, _sign(otherOperator, hashes.hashBid(b)))));
            _assertState(JobState.Matched);
            Result memory r = _result(0, Ending.HardwareFault);
            cloud.settle(terms, progress, r, _signResult(otherOperator, r), 4, _signApprove(signer, r, 4));
            _sync();
            _do(address(cloud), abi.encodeCall(cloud.close, (jobId, terms, progress)));
            _assertState(JobState.Settled);

            _matchSigned(_orderOfAccount());
            _extendBothWays();
            vm.warp(block.timestamp + 100);
            _settle(_result(60_000, Ending.Completed));
            Order memory o = _orderOfAccount();
            _do(address(cloud), abi.encodeCall(cloud.cancelOrder, (o)));
            uint256 credits = cloud.credits(account, address(usdc));
            assertEq(credits, 100e6 - 60_000);
            _do(address(cloud), abi.encodeCall(cloud.withdraw, (address(usdc), credits, account)));
            assertEq(usdc.balanceOf(account), credits);
            vm.warp(block.timestamp + 1 days); // three unanswered reports in a day would suspend the node
        }
    }

    function _extendBothWays() private {
        Extend memory ext = Extend({jobId: jobId, attempt: 1, addCost: 500_000, addSeconds: 60, salt: 1});
        _do(address(cloud), abi.encodeCall(cloud.extend, (terms, progress, ext, "", _sign(operator, hashes.hashExtend(ext)))));
        assertEq(terms.escrow, ESCROW + 500_000);
        ext.salt = 2;
        bytes memory sig = _signAs(_digest(hashes.hashExtend(ext)));
        vm.prank(operator.addr);
        cloud.extend(terms, progress, ext, sig, "");
        _sync();
        assertEq(terms.escrow, ESCROW + 1_000_000);
    }

    /// @dev The key of a budget of somebody else's: spends by sending and by signing, opens and revokes a child, cancels, extends; never withdraws.
    function test_EveryKindOfAccountIsABudgetsKey() public {
        for (uint256 i = 0; i < KINDS; ++i) {
            _use(i);
            vm.prank(payer.addr);
            uint256 budget = cloud.openBudget(0, account, address(usdc), 20e6, 10e6, uint40(block.timestamp + 1 days));
            Order memory o = _order();
            o.budget = budget;
            _matchSent(o);
            o = _order();
            o.budget = budget;
            _matchSigned(o);
            _extendBothWays();
            o = _order();
            o.budget = budget;
            _do(address(cloud), abi.encodeCall(cloud.cancelOrder, (o)));
            assertEq(cloud.budgetOf(budget).left, 20e6 - 2 * ESCROW - 1_000_000);
            _do(address(cloud), abi.encodeCall(cloud.openBudget, (budget, stranger, address(usdc), 1e6, 1e6, uint40(block.timestamp + 1))));
            _do(address(cloud), abi.encodeCall(cloud.revokeBudget, (budget + 1)));
            assertTrue(cloud.budgetOf(budget + 1).isRevoked);
            vm.prank(payer.addr);
            cloud.revokeBudget(budget);
            _refuseOrder(budget);
        }
    }

    /// @dev With its budget revoked the account's signature is worth nothing.
    function _refuseOrder(uint256 budget) private {
        Order memory o = _order();
        o.budget = budget;
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        bytes memory orderSig = _signAs(_digest(hashes.hashOrder(o)));
        vm.expectPartialRevert(bytes4(keccak256("CloudWallet_BudgetIsRevoked(uint256)")));
        vm.prank(signer.addr);
        cloud.matchOrder(o, orderSig, b, sig);
    }

    function test_EveryKindOfAccountStakesVotesAndOwnsANode() public {
        for (uint256 i = 0; i < KINDS; ++i) {
            _use(i);
            _do(address(open), abi.encodeCall(open.approve, (address(staking), 1000e18)));
            _do(address(staking), abi.encodeCall(staking.stake, (1000e18, 14)));
            _do(address(staking), abi.encodeCall(IVotes.delegate, (stranger)));
            assertEq(staking.delegates(account), stranger);
            _do(address(registry), abi.encodeCall(registry.register, (operator.addr, 0, "H100")));
            uint256 id = registry.nodeCount();
            assertEq(registry.ownerOf(id), account);
            _do(address(registry), abi.encodeCall(registry.setListPrice, (id, 10e6)));
            _matchOn(_order(), id, operator);
            vm.warp(block.timestamp + 100);
            Voucher memory v = _voucher(1, 100_000);
            bytes[2] memory sigs = [_signVoucher(operator, v), _signVoucher(signer, v)];
            _do(address(cloud), abi.encodeCall(cloud.submit, (terms, progress, _result(100_000, Ending.Completed), v, sigs[0], sigs[1])));
            _assertState(JobState.Settled);
            assertEq(cloud.credits(account, address(usdc)), 83_000);
        }
    }

    /// @dev Signers and operators sign off chain and others must be able to rely on it for ever: a contract's word, which it could take back, is refused,
    /// and the key of an EIP-7702 account counts whatever it delegates to.
    function test_AContractsSignatureIsRefusedForUsageResultsAndBids() public {
        for (uint256 i = 0; i < KINDS; ++i) {
            _use(i);
            bool isKey = kind == Kind.Eip7702;
            Order memory o = _order();
            o.signer = account;
            _matchOrder(o);
            vm.warp(block.timestamp + 100);
            Voucher memory v = _voucher(1, 10_000);
            bytes[2] memory sigs = [_signVoucher(operator, v), _signAs(_digest(hashes.hashVoucher(v)))];
            if (!isKey) vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, account));
            cloud.collect(terms, progress, v, sigs[0], sigs[1]);
            _sync();
            Result memory r = _result(20_000, Ending.Completed);
            sigs = [_signResult(operator, r), _signAs(_digest(hashes.hashApprove(_digest(hashes.hashResult(r)), 4)))];
            if (!isKey) vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, account));
            cloud.settle(terms, progress, r, sigs[0], 4, sigs[1]);
            _sync();
            // What it sends itself needs no signature.
            if (!isKey) _do(address(cloud), abi.encodeCall(cloud.settle, (terms, progress, r, sigs[0], 4, "")));
            _assertState(JobState.Settled);
            _bidBy(isKey);
        }
    }

    function _bidBy(bool isKey) private {
        vm.prank(owner);
        registry.setUser(node, account, type(uint64).max);
        Order memory o = _order();
        o.claimable = true;
        Bid memory b = _bid(o, node);
        bytes memory sig = _signAs(_digest(hashes.hashBid(b)));
        if (!isKey) vm.expectRevert(abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, account));
        vm.prank(payer.addr);
        cloud.matchOrder(o, "", b, sig);
        bytes memory orderSig = _sign(payer, hashes.hashOrder(o));
        if (!isKey) _do(address(cloud), abi.encodeCall(cloud.matchOrder, (o, orderSig, b, "")));
        jobId = b.jobId;
        _assertState(JobState.Matched);
        vm.prank(owner);
        registry.setUser(node, operator.addr, type(uint64).max);
    }
}
