// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Vm} from "forge-std/Vm.sol";
import {Ending, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @title Gas of whole transactions, with calldata, and size: what only the optimized contracts have
/// @notice Isolated, so that each call is a transaction with cold access; storage is warm from earlier jobs of the same parties. `OPENGPU_WRITE_GAS=1`
/// writes gas/gas.json; without it the tests fail when a figure rises by more than 1 %. `make bench-gas` prints it beside goals and peers.
contract GasTest is StakingFixture {
    string private constant FILE = "gas/gas.json";
    uint256 private constant BATCH = 100;

    struct Figure {
        uint256 gas;
        uint256 calldataBytes;
    }

    bool private isWriting = vm.envOr("OPENGPU_WRITE_GAS", false);

    // One test writes all rows, so that they land in one file.
    string private rows;

    /// @dev Gas of the last call as a transaction.
    function _last(bytes memory data) private view returns (Figure memory) {
        return Figure(vm.lastCallGas().gasTotalUsed, data.length);
    }

    function _sum(Figure memory a, Figure memory b) private pure returns (Figure memory) {
        return Figure(a.gas + b.gas, a.calldataBytes + b.calldataBytes);
    }

    /// @dev Notes a figure and compares it with the committed one.
    function _note(string memory name, Figure memory figure, uint256 per) private {
        (uint256 gas, uint256 size) = (figure.gas / per, figure.calldataBytes / per);
        rows = string.concat(
            rows,
            bytes(rows).length == 0 ? "{\n" : ",\n",
            string.concat('  "', name, '": {"gas": ', vm.toString(gas), ', "calldataBytes": ', vm.toString(size), "}")
        );
        if (isWriting) return;
        uint256 committed = vm.parseJsonUint(vm.readFile(FILE), string.concat(".", name, ".gas"));
        assertGe(gas, committed * 9 / 10, string.concat(name, " is far below gas/gas.json: not isolated, or time to write it anew"));
        assertLe(gas, committed + committed / 100, string.concat(name, " costs more than 1 % above gas/gas.json"));
    }

    /// forge-config: default.isolate = true
    function test_GasOfEverythingUsersDo() public {
        for (uint256 i = 0; i < 2; ++i) {
            _match();
            vm.warp(block.timestamp + 100);
            _settle(_result(60_000, Ending.Completed));
        }
        _note("job_single", _job(0), 1);
        _budgets();
        _batches();
        _wallet();
        _stakes();
        if (isWriting) vm.writeFile(FILE, string.concat(rows, "\n}\n"));
    }

    /// @dev Every contract that goes on a chain fits there (EIP-170).
    function test_EveryDeployedContractFits() public view {
        string[8] memory deployed = ["Cloudverse", "Deployer", "Incentives", "JobRecovery", "NodeRegistry", "OpenToken", "Staking", "TestStablecoin"];
        for (uint256 i; i < deployed.length; ++i) {
            bytes memory runtime = vm.getDeployedCode(string.concat(deployed[i], ".sol:", deployed[i]));
            assertGt(runtime.length, 0);
            assertLt(runtime.length, 24_576, deployed[i]);
        }
    }

    /// @dev Match and settle of one job, sent by payer (or budget key) and operator.
    function _job(uint256 budget) private returns (Figure memory) {
        Order memory o = _order();
        o.budget = budget;
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.prank(payer.addr);
        jobId = cloud.matchOrder(o, "", b, sig);
        Figure memory matched = _last(abi.encodeCall(cloud.matchOrder, (o, "", b, sig)));
        _sync();
        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        bytes memory signerSig = _signApprove(signer, r, 4);
        (Terms memory t, Progress memory p) = (terms, progress);
        vm.prank(operator.addr);
        cloud.settle(t, p, r, "", 4, signerSig);
        Figure memory settled = _last(abi.encodeCall(cloud.settle, (t, p, r, "", 4, signerSig)));
        _sync();
        return _sum(matched, settled);
    }

    function _budgets() private {
        uint40 expires = uint40(block.timestamp + 365 days);
        uint256 budget;
        for (uint256 depth = 1; depth <= 4; ++depth) {
            vm.prank(payer.addr);
            bytes memory data = abi.encodeCall(cloud.openBudget, (budget, signer.addr, address(usdc), 1000e6, 1000e6, expires));
            budget = cloud.openBudget(budget, signer.addr, address(usdc), 1000e6, 1000e6, expires);
            if (depth == 2) _note("open_budget", _last(data), 1);
            if (depth == 1 || depth == 4) {
                _job(budget);
                _note(depth == 1 ? "job_budget1" : "job_budget4", _job(budget), 1);
            }
        }
    }

    function _batches() private {
        bytes[] memory items = new bytes[](BATCH);
        Order[] memory orders = new Order[](BATCH);
        for (uint256 i = 0; i < BATCH; ++i) {
            orders[i] = _order();
            Bid memory b = _bid(orders[i], node);
            items[i] = abi.encode(orders[i], "", b, _sign(operator, hashes.hashBid(b)));
        }
        _fund(payer.addr, 1_000_000e6);
        vm.prank(payer.addr);
        assertEq(cloud.matchMany(items), BATCH);
        Figure memory matched = _last(abi.encodeCall(cloud.matchMany, (items)));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Terms[] memory all = new Terms[](BATCH);
        uint256 count;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(cloud) && logs[i].data.length == 13 * 32) all[count++] = abi.decode(logs[i].data, (Terms));
        }
        assertEq(count, BATCH);
        vm.warp(block.timestamp + 100);
        Figure memory collected = _collectAll(orders, all);
        _note("collect_batch100", collected, BATCH);
        Progress memory progressOf;
        (progressOf.value, progressOf.billedMillis) = (30_000, 30_000);
        for (uint256 i = 0; i < BATCH; ++i) {
            jobId = cloud.jobIdOf(orders[i]);
            Result memory r = _result(60_000, Ending.Completed);
            items[i] = abi.encode(all[i], progressOf, r, bytes(""), uint8(4), _signApprove(signer, r, 4));
        }
        vm.prank(operator.addr);
        assertEq(cloud.settleMany(items), BATCH);
        _note("job_batch100", _sum(matched, _last(abi.encodeCall(cloud.settleMany, (items)))), BATCH);
    }

    function _collectAll(Order[] memory orders, Terms[] memory all) private returns (Figure memory) {
        bytes[] memory items = new bytes[](BATCH);
        Progress memory none;
        for (uint256 i = 0; i < BATCH; ++i) {
            jobId = cloud.jobIdOf(orders[i]);
            Voucher memory v = _voucher(1, 30_000);
            items[i] = abi.encode(all[i], none, v, bytes(""), _signVoucher(signer, v));
        }
        vm.prank(operator.addr);
        assertEq(cloud.collectMany(items), BATCH);
        return _last(abi.encodeCall(cloud.collectMany, (items)));
    }

    function _wallet() private {
        usdc.mint(payer.addr, 100e6);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 nonce = IERC20Permit(address(usdc)).nonces(payer.addr);
            bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
            bytes32 inner = keccak256(abi.encode(typehash, payer.addr, address(cloud), 10e6, nonce, type(uint256).max));
            bytes32 digest = keccak256(abi.encodePacked(hex"1901", IERC20Permit(address(usdc)).DOMAIN_SEPARATOR(), inner));
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, digest);
            vm.prank(payer.addr);
            cloud.depositWithPermit(address(usdc), 10e6, type(uint256).max, v, r, s);
            bytes memory data = abi.encodeCall(cloud.depositWithPermit, (address(usdc), 10e6, type(uint256).max, v, r, s));
            if (i == 1) _note("deposit_permit", _last(data), 1);
        }
        vm.prank(payer.addr);
        cloud.withdraw(address(usdc), 1e6, payer.addr);
        _note("withdraw", _last(abi.encodeCall(cloud.withdraw, (address(usdc), 1e6, payer.addr))), 1);
    }

    function _stakes() private {
        _stake(bob, 1000e18, 100);
        _earn(1000);
        _earnOpen(1000);
        vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks + 1 days);
        staking.roll(address(usdc), 100);
        staking.roll(address(open), 100);
        vm.prank(alice);
        staking.stake(1000e18, 100);
        _note("stake_first", _last(abi.encodeCall(staking.stake, (1000e18, 100))), 1);
        vm.warp(block.timestamp + 1 days);
        vm.prank(alice);
        staking.stake(1000e18, 365);
        _note("stake_again", _last(abi.encodeCall(staking.stake, (1000e18, 365))), 1);
        address[] memory list = new address[](1);
        list[0] = address(usdc);
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(block.timestamp + 1 days);
            vm.prank(alice);
            staking.claim(list, alice);
            if (i == 1) _note("claim", _last(abi.encodeCall(staking.claim, (list, alice))), 1);
        }
        list = new address[](2);
        (list[0], list[1]) = (address(usdc), address(open));
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(block.timestamp + 1 days);
            vm.prank(alice);
            staking.claim(list, alice);
            if (i == 1) _note("claim_of_two", _last(abi.encodeCall(staking.claim, (list, alice))), 2);
        }
    }
}
