// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {Ending, Progress, Terms} from "../../src/libraries/JobTerms.sol";
import {Bid, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Fixture, ICloudverse} from "../Fixture.sol";

/// @title Gas of whole transactions, with calldata, beside the goals
/// @notice Isolated, so that each call is a transaction with cold access. `OPENGPU_WRITE_GAS=1` writes gas/job.json; without it the test fails when a
/// figure rises by more than 1 %.
contract GasTest is Fixture {
    string private constant FILE = "gas/job.json";
    bool private isWriting = vm.envOr("OPENGPU_WRITE_GAS", false);
    string private rows;

    /// @dev Gas of the last call as a transaction, beside what is committed.
    function _measured(string memory name, bytes memory data, uint256 goal) private returns (uint256 gasUsed) {
        gasUsed = vm.lastCallGas().gasTotalUsed;
        rows = string.concat(
            rows,
            bytes(rows).length == 0 ? "{\n" : ",\n",
            string.concat('  "', name, '": {"gas": ', vm.toString(gasUsed), ', "calldataBytes": ', vm.toString(data.length)),
            goal == 0 ? "}" : string.concat(', "goal": ', vm.toString(goal), "}")
        );
        if (!isWriting) {
            uint256 committed = vm.parseJsonUint(vm.readFile(FILE), string.concat(".", name, ".gas"));
            assertGe(gasUsed, committed * 9 / 10, string.concat(name, " is far below gas/job.json: not isolated, or time to write it anew"));
            assertLe(gasUsed, committed + committed / 100, string.concat(name, " costs more than 1 % above gas/job.json"));
        }
    }

    /// forge-config: default.isolate = true
    function test_WholeJobAndCollect() public {
        // Two earlier jobs of the same parties, so that storage is warm in the sense of quality.md.
        for (uint256 i = 0; i < 2; ++i) {
            _match();
            vm.warp(block.timestamp + 100);
            _settle(_result(60_000, Ending.Completed));
        }

        Order memory o = _order();
        Bid memory b = _bid(o, node);
        bytes memory sig = _sign(operator, hashes.hashBid(b));
        vm.prank(payer.addr);
        jobId = cloud.matchOrder(o, "", b, sig);
        uint256 matchGas = _measured("match", abi.encodeCall(cloud.matchOrder, (o, "", b, sig)), 0);
        _sync();

        vm.warp(block.timestamp + 100);
        Result memory r = _result(60_000, Ending.Completed);
        bytes memory signerSig = _signApprove(signer, r, 4);
        Terms memory t = terms;
        Progress memory p = progress;
        vm.prank(operator.addr);
        cloud.settle(t, p, r, "", 4, signerSig);
        uint256 settleGas = _measured("settle", abi.encodeCall(cloud.settle, (t, p, r, "", 4, signerSig)), 0);
        _sync();

        _match();
        vm.warp(block.timestamp + 100);
        Voucher memory v = _voucher(1, 60_000);
        signerSig = _signVoucher(signer, v);
        t = terms;
        vm.prank(operator.addr);
        cloud.collect(t, p, v, "", signerSig);
        _measured("collect", abi.encodeCall(cloud.collect, (t, p, v, "", signerSig)), 0);

        rows = string.concat(rows, ',\n  "job_single": {"gas": ', vm.toString(matchGas + settleGas), ', "goal": 145000, "aim": 130000}\n}\n');
        if (isWriting) vm.writeFile(FILE, rows);
    }
}
