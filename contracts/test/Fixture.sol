// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";
import {Vm} from "forge-std/Vm.sol";
import {ICloudverse} from "../src/interfaces/ICloudverse.sol";
import {IJobEvents} from "../src/interfaces/IJobEvents.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {Ending, JobState, Progress, Settlement, Terms} from "../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../src/libraries/Messages.sol";
import {MessagesHarness} from "./vectors/MessagesHarness.sol";

/// @notice A token anyone may mint.
interface IMintable is IERC20 {
    function mint(address to, uint256 amount) external;
}

/// @title A small network to test on: contracts, a payer with credits, a node with a list price and a bond
/// @notice Terms and progress of the current job are rebuilt from events alone, as an indexer would.
abstract contract Fixture is Test {
    uint96 internal constant USDC_RATE = 1e24; // 1 USD per 10^6 base units
    uint96 internal constant OPEN_RATE = 1e9; // 0.001 USD per OPEN
    uint128 internal constant USDC_T0_CAP = 5e6;
    uint128 internal constant PRICE = 3_600_000; // 3.60 USD an hour, a thousandth of a cent a millisecond
    uint128 internal constant ESCROW = 4e6;
    uint256 internal constant WINDOW = 10 minutes;

    ICloudverse internal cloud;
    INodeRegistry internal registry;
    IERC20 internal open;
    IMintable internal usdc;
    MessagesHarness internal hashes = new MessagesHarness();

    address internal governance = makeAddr("governance");
    address internal owner = makeAddr("owner");
    address internal stranger = makeAddr("stranger");
    Vm.Wallet internal payer = vm.createWallet("payer");
    Vm.Wallet internal signer = vm.createWallet("signer");
    Vm.Wallet internal operator = vm.createWallet("operator");
    uint256 internal node;

    bytes32 internal jobId;
    Order internal order;
    Terms internal terms;
    Progress internal progress;
    Settlement internal settlement;
    uint256 internal makeGood;
    uint256 internal partsPaid; // node + stakers + treasury parts of the current job
    uint256 internal refunded;
    uint128 internal _openPrice; // bids ask it instead of PRICE where it is not 0
    uint256 private salts;

    function setUp() public virtual {
        vm.warp(1_750_000_000);
        _deploy(address(0), address(0));
    }

    function _deploy(address staking, address disputes) internal {
        open = IERC20(vm.deployCode("OpenToken.sol:OpenToken", abi.encode(0x20, 1, address(this), 100_000_000_000e18)));
        usdc = IMintable(vm.deployCode("TestStablecoin.sol:TestStablecoin"));
        uint256 nonce = vm.getNonce(address(this));
        address registryAddress = vm.computeCreateAddress(address(this), nonce + 2);
        bytes memory wiring = abi.encode(open, registryAddress, governance, staking, disputes, WINDOW);
        address recovery = vm.deployCode("JobRecovery.sol:JobRecovery", wiring);
        cloud = ICloudverse(vm.deployCode("Cloudverse.sol:Cloudverse", abi.encodePacked(wiring, abi.encode(recovery))));
        registry = INodeRegistry(vm.deployCode("NodeRegistry.sol:NodeRegistry", abi.encode(open, cloud, governance)));
        assertEq(address(registry), registryAddress);

        vm.startPrank(governance);
        cloud.setListing(address(usdc), USDC_RATE, USDC_T0_CAP);
        cloud.setListing(address(open), OPEN_RATE, 5000e18);
        vm.stopPrank();

        _fund(payer.addr, 1_000_000e6);
        node = _register(owner, operator.addr);
        vm.recordLogs();
    }

    function _fund(address account, uint256 amount) internal {
        usdc.mint(address(this), amount);
        usdc.approve(address(cloud), amount);
        cloud.depositFor(account, address(usdc), amount);
    }

    function _register(address nodeOwner, address nodeOperator) internal returns (uint256 id) {
        open.approve(address(registry), type(uint256).max);
        vm.startPrank(nodeOwner);
        id = registry.register(nodeOperator, keccak256("hardware"), "RTX 4090");
        registry.setListPrice(id, 10e6);
        vm.stopPrank();
        registry.bond(id, 1_000_000e18);
    }

    // ----------------------------------------------------------------------------------------------------------------------------- messages

    function _order() internal returns (Order memory o) {
        o.payer = payer.addr;
        o.signer = signer.addr;
        o.token = address(usdc);
        o.maxCost = ESCROW;
        o.maxPricePerHour = PRICE;
        o.maxEgressPerGiB = 1e6;
        o.specDigest = keccak256("spec");
        o.maxSeconds = 7200;
        o.readyWithinSeconds = 600;
        o.maxAttempts = 3;
        o.expiresAt = uint64(block.timestamp + 600);
        o.salt = ++salts;
    }

    function _bid(Order memory o, uint256 id) internal view returns (Bid memory b) {
        b.jobId = cloud.jobIdOf(o);
        b.node = id;
        b.computePerHour = _openPrice == 0 ? PRICE : _openPrice;
        b.egressPerGiB = 90_000;
        b.readyWithinSeconds = 300;
        b.quotedSeconds = 3600;
        b.expiresAt = uint64(block.timestamp + 60);
    }

    /// @dev A voucher of the current attempt; all of it durable.
    function _voucher(uint32 seq, uint64 billedMillis) internal view returns (Voucher memory v) {
        v.jobId = jobId;
        (, v.attempt,,) = cloud.jobOf(jobId);
        v.seq = seq;
        v.signedAt = uint64(block.timestamp);
        v.billedMillis = billedMillis;
        v.durableMillis = billedMillis;
    }

    function _none() internal pure returns (Voucher memory v) {}

    function _result(uint64 billedMillis, Ending outcome) internal view returns (Result memory r) {
        r.jobId = jobId;
        (, r.attempt,,) = cloud.jobOf(jobId);
        r.billedMillis = billedMillis;
        r.readyAfterSeconds = 20;
        r.outcome = uint8(outcome);
        r.receiptDigest = keccak256("receipt");
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        bytes32 typehash = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 separator = keccak256(abi.encode(typehash, keccak256("OpenGPU"), keccak256("1"), block.chainid, address(cloud)));
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    /// @dev EIP-2098 signature of a struct hash.
    function _sign(Vm.Wallet memory wallet, bytes32 structHash) internal view returns (bytes memory) {
        return _signDigest(wallet, _digest(structHash));
    }

    function _signDigest(Vm.Wallet memory wallet, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet.privateKey, digest);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function _signVoucher(Vm.Wallet memory wallet, Voucher memory v) internal view returns (bytes memory) {
        return v.seq == 0 ? bytes("") : _sign(wallet, hashes.hashVoucher(v));
    }

    function _signResult(Vm.Wallet memory wallet, Result memory r) internal view returns (bytes memory) {
        return _sign(wallet, hashes.hashResult(r));
    }

    function _notSignedBy(Vm.Wallet memory wallet) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobEvents.JobMarket_SignatureInvalid.selector, wallet.addr);
    }

    function _signApprove(Vm.Wallet memory wallet, Result memory r, uint8 rating) internal view returns (bytes memory) {
        return _sign(wallet, hashes.hashApprove(_digest(hashes.hashResult(r)), rating));
    }

    // --------------------------------------------------------------------------------------------------------------------------------- calls

    function _match() internal {
        _matchOrder(_order());
    }

    function _matchOrder(Order memory o) internal {
        _matchOn(o, node, operator);
    }

    function _matchOn(Order memory o, uint256 id, Vm.Wallet memory by) internal {
        Bid memory b = _bid(o, id);
        bytes memory sig = _sign(by, hashes.hashBid(b));
        vm.prank(o.payer);
        jobId = cloud.matchOrder(o, "", b, sig);
        order = o;
        partsPaid = 0;
        refunded = 0;
        makeGood = 0;
        _sync();
    }

    function _settle(Result memory r) internal {
        bytes memory signerSig = _signApprove(signer, r, 4);
        vm.prank(operator.addr);
        cloud.settle(terms, progress, r, "", 4, signerSig);
        _sync();
    }

    function _collect(Voucher memory v) internal {
        cloud.collect(terms, progress, v, _signVoucher(operator, v), _signVoucher(signer, v));
        _sync();
    }

    function _report(Voucher memory v) internal {
        bytes memory operatorSig = _signVoucher(operator, v);
        vm.prank(signer.addr);
        cloud.reportFault(jobId, terms, progress, v, operatorSig, "");
        _sync();
    }

    function _answer(Voucher memory declared, Voucher memory v) internal {
        cloud.answerFault(jobId, terms, progress, declared, v, _signVoucher(operator, v), _signVoucher(signer, v));
        _sync();
    }

    function _contest(Voucher memory declared, Voucher memory v) internal {
        bytes memory signerSig = _signVoucher(signer, v);
        vm.prank(operator.addr);
        cloud.contest(jobId, terms, progress, declared, v, "", signerSig);
        _sync();
    }

    function _resolve(Voucher memory declared) internal {
        cloud.resolveFault(jobId, terms, progress, declared);
        _sync();
    }

    function _submit(Result memory r, Voucher memory v) internal {
        bytes memory signerSig = _signVoucher(signer, v);
        vm.prank(operator.addr);
        cloud.submit(terms, progress, r, v, "", signerSig);
        _sync();
    }

    function _expire(Voucher memory v) internal {
        cloud.expire(jobId, terms, progress, v, _signVoucher(operator, v), _signVoucher(signer, v));
        _sync();
    }

    function _close() internal {
        vm.prank(payer.addr);
        cloud.close(jobId, terms, progress);
        _sync();
    }

    function _rematchOn(uint256 id, Vm.Wallet memory by) internal {
        Bid memory b = _bid(order, id);
        bytes memory sig = _sign(by, hashes.hashBid(b));
        vm.prank(signer.addr);
        cloud.rematch(order, terms, progress, b, sig);
        _sync();
    }

    function _state() internal view returns (JobState state) {
        (state,,,) = cloud.jobOf(jobId);
    }

    function _assertState(JobState expected) internal view {
        assertEq(uint256(_state()), uint256(expected), "state");
    }

    // -------------------------------------------------------------------------------------------------------------------------------- events

    /// @dev Follows the events since the last call and checks that they give what the job's slot is the hash of.
    function _sync() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(cloud) && logs[i].topics.length > 1 && logs[i].topics[1] == jobId) {
                _apply(logs[i].topics[0], logs[i].data);
            }
        }
        (,,, bytes24 hash) = cloud.jobOf(jobId);
        if (hash != 0) assertEq(hash, cloud.hashTerms(terms, progress), "events do not give the job's terms and progress");
    }

    function _apply(bytes32 topic, bytes memory data) private {
        if (topic == IJobEvents.Matched.selector) {
            terms = abi.decode(data, (Terms));
            delete progress;
        } else if (topic == IJobEvents.Rematched.selector) {
            (terms, progress) = abi.decode(data, (Terms, Progress));
        } else if (topic == IJobEvents.Extended.selector) {
            (,, terms) = abi.decode(data, (uint128, uint32, Terms));
        } else if (topic == IJobEvents.Collected.selector) {
            _applyCollected(data);
        } else if (topic == IJobEvents.FaultReported.selector) {
            (,, progress) = abi.decode(data, (address, Voucher, Progress));
        } else if (topic == IJobEvents.FaultAnswered.selector) {
            (,, progress) = abi.decode(data, (bool, Voucher, Progress));
        } else if (topic == IJobEvents.FaultContested.selector) {
            progress = abi.decode(data, (Progress));
        } else if (topic == IJobEvents.ResultSubmitted.selector) {
            (,, progress) = abi.decode(data, (bytes32, Result, Progress));
        } else if (topic == IJobEvents.Faulted.selector) {
            (, makeGood) = abi.decode(data, (uint256, uint256));
        } else if (topic == IJobEvents.Interrupted.selector) {
            (settlement, progress) = abi.decode(data, (Settlement, Progress));
            _addParts();
        } else if (topic == IJobEvents.Settled.selector) {
            settlement = abi.decode(data, (Settlement));
            _addParts();
            (progress.value, progress.billedMillis) = (settlement.value, settlement.billedMillis);
            (progress.declared, progress.reportedAt, progress.reportableFrom) = (0, 0, 0);
        } else if (topic == IJobEvents.Closed.selector) {
            refunded += abi.decode(data, (uint128));
        }
    }

    function _applyCollected(bytes memory data) private {
        uint256 parts;
        (, progress.billedMillis,, progress.value,,,) = abi.decode(data, (uint32, uint64, uint64, uint128, uint128, uint128, uint128));
        for (uint256 i = 4; i < 7; ++i) {
            uint256 part;
            assembly ("memory-safe") {
                part := mload(add(add(data, 0x20), mul(i, 0x20)))
            }
            parts += part;
        }
        partsPaid += parts;
    }

    function _addParts() private {
        partsPaid += uint256(settlement.nodePart) + settlement.stakersPart + settlement.treasuryPart;
        refunded += settlement.refunded;
    }
}
