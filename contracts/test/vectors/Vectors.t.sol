// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICloudverse} from "../../src/interfaces/ICloudverse.sol";
import {Limits, Progress, Rates, Terms, TermsLimits, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Bid, Extend, Order, Result, Voucher} from "../../src/libraries/Messages.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";
import {MessagesHarness} from "./MessagesHarness.sol";
import {VectorFile} from "./VectorFile.sol";

/// @title Vectors that Solidity and Rust both compute: messages, cost, split, terms
contract VectorsTest is VectorFile {
    address private constant VERIFYING_CONTRACT = 0x00000000000000000000000000000000C10dBEef;
    uint256 private constant CHAIN_ID = 31337;

    MessagesHarness private harness = new MessagesHarness();

    // ------------------------------------------------------------------------------------------------------------------------------- EIP-712

    function test_Eip712VectorsAreWhatIsCommitted() public {
        bytes32 separator = _separator();
        _row(
            "domain",
            string.concat(
                _text("name", "OpenGPU"),
                ",",
                _text("version", "1"),
                ",",
                _number("chainId", CHAIN_ID),
                ",",
                _addr("verifyingContract", VERIFYING_CONTRACT)
            ),
            string.concat('{"separator":"', vm.toString(separator), '"}')
        );
        for (uint256 seed = 0; seed < 3; ++seed) {
            Order memory order = _order(seed);
            bytes32 jobId = _digest(harness.hashOrder(order));
            _messageRow("order", seed, _orderJson(order), harness.hashOrder(order));
            Bid memory bid = _bid(seed, jobId);
            _messageRow("bid", seed, _bidJson(bid), harness.hashBid(bid));
            Voucher memory voucher = _voucher(seed, jobId);
            _messageRow("voucher", seed, _voucherJson(voucher), harness.hashVoucher(voucher));
            Result memory result = _result(seed, jobId);
            bytes32 resultHash = harness.hashResult(result);
            _messageRow("result", seed, _resultJson(result), resultHash);
            uint8 rating = uint8(seed == 2 ? 5 : seed);
            _messageRow(
                "approve",
                seed,
                string.concat(_word("resultHash", _digest(resultHash)), ",", _number("rating", rating)),
                harness.hashApprove(_digest(resultHash), rating)
            );
            Extend memory ext = Extend(
                jobId,
                uint8(_pick(seed, 103, type(uint8).max)),
                uint128(_pick(seed, 100, type(uint128).max)),
                uint32(_pick(seed, 101, type(uint32).max)),
                _pick(seed, 102, type(uint256).max)
            );
            _messageRow(
                "extend",
                seed,
                string.concat(
                    _word("jobId", ext.jobId),
                    ",",
                    _number("attempt", ext.attempt),
                    ",",
                    _number("addCost", ext.addCost),
                    ",",
                    _number("addSeconds", ext.addSeconds),
                    ",",
                    _number("salt", ext.salt)
                ),
                harness.hashExtend(ext)
            );
        }
        _finish("eip712.json");
    }

    function test_JobIdIsTheVectorsDigest() public {
        vm.chainId(CHAIN_ID);
        bytes memory wiring = abi.encode(address(1), address(2), address(3), address(0), address(0), uint256(600));
        address recovery = vm.deployCode("JobRecovery.sol:JobRecovery", wiring);
        deployCodeTo("Cloudverse.sol:Cloudverse", abi.encodePacked(wiring, abi.encode(recovery)), VERIFYING_CONTRACT);
        for (uint256 seed = 0; seed < 3; ++seed) {
            Order memory order = _order(seed);
            assertEq(ICloudverse(VERIFYING_CONTRACT).jobIdOf(order), _digest(harness.hashOrder(order)));
        }
    }

    // --------------------------------------------------------------------------------------------------------------------------- cost and split

    function test_CostVectorsAreWhatIsCommitted() public {
        uint256[6] memory millis = [uint256(0), 1, 5000, 3_600_000, 2_592_000_000, type(uint64).max];
        uint256[4] memory bytesOut = [uint256(0), 1, 1 << 30, type(uint64).max];
        uint256[5] memory perHour = [uint256(0), 1, 600_000, 3_599_999, type(uint128).max];
        uint256[4] memory perGiB = [uint256(0), 1, 90_000, type(uint128).max];
        for (uint256 i = 0; i < millis.length; ++i) {
            for (uint256 j = 0; j < bytesOut.length; ++j) {
                for (uint256 k = 0; k < perHour.length; ++k) {
                    _costRow(millis[i], bytesOut[j], perHour[k], perGiB[(i + j + k) % 4]);
                }
            }
        }
        for (uint256 seed = 0; seed < 80; ++seed) {
            _costRow(
                _pick(seed, 1, seed % 2 == 0 ? 1e8 : type(uint64).max),
                _pick(seed, 2, seed % 3 == 0 ? 1e12 : type(uint64).max),
                _pick(seed, 3, seed % 5 == 0 ? type(uint128).max : 1e12),
                _pick(seed, 4, seed % 7 == 0 ? type(uint128).max : 1e9)
            );
        }
        _finish("cost.json");
    }

    function test_SplitVectorsAreWhatIsCommitted() public {
        uint256[8] memory values = [uint256(0), 1, 8, 99, 100, 123_457, 1e18 + 7, type(uint128).max];
        uint256[5] memory discounts = [uint256(0), 50, 100, 150, 250];
        uint256[4] memory bonuses = [uint256(0), 50, 150, 250];
        for (uint256 i = 0; i < values.length; ++i) {
            for (uint256 j = 0; j < discounts.length; ++j) {
                _splitRow(values[i], 1200, 500, discounts[j], bonuses[(i + j) % 4]);
            }
            _splitRow(values[i], 1500, 300, 250, 250);
            _splitRow(values[i], 0, 0, 250, 250);
        }
        for (uint256 seed = 0; seed < 60; ++seed) {
            _splitRow(_pick(seed, 5, seed % 2 == 0 ? 1e6 : type(uint128).max), 1200, 500, discounts[seed % 5], bonuses[seed % 4]);
        }
        _finish("split.json");
    }

    function test_SplitIncreaseVectorsAreWhatIsCommitted() public {
        uint256[5] memory discounts = [uint256(0), 50, 100, 150, 250];
        for (uint256 seed = 0; seed < 60; ++seed) {
            uint256 oldValue = _pick(seed, 6, seed % 2 == 0 ? 500 : 1e24);
            uint256 newValue = oldValue + _pick(seed, 7, seed % 3 == 0 ? 5 : 1e20);
            Rates rates = TermsRates.pack(1e24, 1e8, 1200, 500, discounts[seed % 5], 50 * (seed % 3));
            Pricing.Split memory moved = harness.splitIncrease(oldValue, newValue, rates);
            _row(
                string.concat("increase ", vm.toString(seed)),
                string.concat(
                    _number("oldValue", oldValue),
                    ",",
                    _number("newValue", newValue),
                    ",",
                    _sharesJson(1200, 500, discounts[seed % 5], 50 * (seed % 3))
                ),
                _splitJson(moved, newValue - oldValue)
            );
        }
        _finish("split_increase.json");
    }

    // --------------------------------------------------------------------------------------------------------------------------------- terms

    function test_TermsVectorsAreWhatIsCommitted() public {
        for (uint256 seed = 0; seed < 4; ++seed) {
            Terms memory terms = _terms(seed);
            Progress memory progress = _progress(seed);
            _row(
                string.concat("terms ", vm.toString(seed)),
                string.concat(_termsJson(terms), ",", _progressJson(progress)),
                string.concat(
                    "{",
                    _number("limits", Limits.unwrap(terms.limits)),
                    ",",
                    _number("rates", Rates.unwrap(terms.rates)),
                    ',"hash":"',
                    _hex24(harness.hashTerms(terms, progress)),
                    '"}'
                )
            );
        }
        _finish("terms.json");
    }

    // ------------------------------------------------------------------------------------------------------------------------------- messages

    function _order(uint256 seed) private pure returns (Order memory) {
        return Order({
            payer: address(uint160(_pick(seed, 10, type(uint160).max))),
            budget: seed == 0 ? 0 : _pick(seed, 11, 1e6),
            signer: address(uint160(_pick(seed, 12, type(uint160).max))),
            token: address(uint160(_pick(seed, 13, type(uint160).max))),
            maxCost: uint128(_pick(seed, 14, type(uint128).max)),
            maxPricePerHour: uint128(_pick(seed, 15, type(uint128).max)),
            maxEgressPerGiB: uint128(_pick(seed, 16, type(uint128).max)),
            specDigest: bytes32(_pick(seed, 17, type(uint256).max)),
            maxSeconds: uint32(_pick(seed, 18, 30 days)),
            readyWithinSeconds: uint32(_pick(seed, 19, 1 days)),
            minTier: uint8(seed),
            verifyLevel: uint8(seed),
            maxAttempts: uint8(seed + 1),
            claimable: seed == 1,
            expiresAt: uint64(_pick(seed, 20, type(uint64).max)),
            salt: _pick(seed, 21, type(uint256).max)
        });
    }

    function _bid(uint256 seed, bytes32 jobId) private pure returns (Bid memory) {
        return Bid({
            jobId: jobId,
            node: _pick(seed, 30, 1e9),
            computePerHour: uint128(_pick(seed, 31, type(uint128).max)),
            egressPerGiB: uint128(_pick(seed, 32, type(uint128).max)),
            readyWithinSeconds: uint32(_pick(seed, 33, 1 days)),
            quotedSeconds: uint32(_pick(seed, 34, 1 days)),
            expiresAt: uint64(_pick(seed, 35, type(uint64).max))
        });
    }

    function _voucher(uint256 seed, bytes32 jobId) private pure returns (Voucher memory) {
        return Voucher({
            jobId: jobId,
            attempt: uint8(seed + 1),
            seq: uint32(_pick(seed, 40, type(uint32).max)),
            signedAt: uint64(_pick(seed, 41, type(uint64).max)),
            billedMillis: uint64(_pick(seed, 42, type(uint64).max)),
            egressBytes: uint64(_pick(seed, 43, type(uint64).max)),
            durableMillis: uint64(_pick(seed, 44, type(uint64).max)),
            durableEgressBytes: uint64(_pick(seed, 45, type(uint64).max)),
            usageRoot: bytes32(_pick(seed, 46, type(uint256).max)),
            logRoot: bytes32(_pick(seed, 47, type(uint256).max))
        });
    }

    function _result(uint256 seed, bytes32 jobId) private pure returns (Result memory) {
        int32[3] memory exitCodes = [int32(0), -1, type(int32).min];
        return Result({
            jobId: jobId,
            attempt: uint8(seed + 1),
            billedMillis: uint64(_pick(seed, 50, type(uint64).max)),
            egressBytes: uint64(_pick(seed, 51, type(uint64).max)),
            readyAfterSeconds: uint32(_pick(seed, 52, type(uint32).max)),
            outcome: uint8(seed + 1),
            exitCode: exitCodes[seed],
            receiptDigest: bytes32(_pick(seed, 53, type(uint256).max))
        });
    }

    function _terms(uint256 seed) private pure returns (Terms memory terms) {
        terms.payer = address(uint160(_pick(seed, 60, type(uint160).max)));
        terms.signer = address(uint160(_pick(seed, 61, type(uint160).max)));
        terms.token = address(uint160(_pick(seed, 62, type(uint160).max)));
        terms.operator = address(uint160(_pick(seed, 63, type(uint160).max)));
        terms.payee = address(uint160(_pick(seed, 64, type(uint160).max)));
        terms.budget = seed;
        terms.node = _pick(seed, 65, 1e9);
        terms.specDigest = bytes32(_pick(seed, 66, type(uint256).max));
        terms.escrow = uint128(_pick(seed, 67, type(uint128).max));
        terms.computePerHour = uint128(_pick(seed, 68, type(uint128).max));
        terms.egressPerGiB = uint128(_pick(seed, 69, type(uint128).max));
        terms.rates = TermsRates.pack(_pick(seed, 70, type(uint96).max), _pick(seed, 71, type(uint96).max), 1200, 500, 50 * seed, 25 * seed);
        terms.limits = TermsLimits.pack(_pick(seed, 72, type(uint64).max), 7200 + seed, 600 + seed, 3600 + seed, seed, 4, seed + 1);
    }

    function _progress(uint256 seed) private pure returns (Progress memory progress) {
        if (seed == 0) return progress;
        progress.value = uint128(_pick(seed, 80, type(uint128).max));
        progress.billedMillis = uint64(_pick(seed, 81, type(uint64).max));
        progress.declared = bytes32(_pick(seed, 82, type(uint256).max));
        progress.reportedAt = uint64(_pick(seed, 83, type(uint64).max));
        progress.reportableFrom = type(uint64).max;
        progress.earlierOwner1 = address(uint160(_pick(seed, 84, type(uint160).max)));
        progress.earlierOwner2 = address(uint160(_pick(seed, 85, type(uint160).max)));
        progress.earlierOwner3 = address(uint160(_pick(seed, 86, type(uint160).max)));
    }

    // ----------------------------------------------------------------------------------------------------------------------------------- JSON

    function _orderJson(Order memory o) private pure returns (string memory) {
        string memory first = string.concat(
            _addr("payer", o.payer),
            ",",
            _number("budget", o.budget),
            ",",
            _addr("signer", o.signer),
            ",",
            _addr("token", o.token),
            ",",
            _number("maxCost", o.maxCost),
            ",",
            _number("maxPricePerHour", o.maxPricePerHour),
            ",",
            _number("maxEgressPerGiB", o.maxEgressPerGiB),
            ",",
            _word("specDigest", o.specDigest)
        );
        return string.concat(
            first,
            ",",
            _number("maxSeconds", o.maxSeconds),
            ",",
            _number("readyWithinSeconds", o.readyWithinSeconds),
            ",",
            _number("minTier", o.minTier),
            ",",
            _number("verifyLevel", o.verifyLevel),
            ",",
            _number("maxAttempts", o.maxAttempts),
            o.claimable ? ',"claimable":true,' : ',"claimable":false,',
            _number("expiresAt", o.expiresAt),
            ",",
            _number("salt", o.salt)
        );
    }

    function _bidJson(Bid memory b) private pure returns (string memory) {
        return string.concat(
            _word("jobId", b.jobId),
            ",",
            _number("node", b.node),
            ",",
            _number("computePerHour", b.computePerHour),
            ",",
            _number("egressPerGiB", b.egressPerGiB),
            ",",
            _number("readyWithinSeconds", b.readyWithinSeconds),
            ",",
            _number("quotedSeconds", b.quotedSeconds),
            ",",
            _number("expiresAt", b.expiresAt)
        );
    }

    function _voucherJson(Voucher memory v) private pure returns (string memory) {
        string memory first = string.concat(
            _word("jobId", v.jobId),
            ",",
            _number("attempt", v.attempt),
            ",",
            _number("seq", v.seq),
            ",",
            _number("signedAt", v.signedAt),
            ",",
            _number("billedMillis", v.billedMillis)
        );
        return string.concat(
            first,
            ",",
            _number("egressBytes", v.egressBytes),
            ",",
            _number("durableMillis", v.durableMillis),
            ",",
            _number("durableEgressBytes", v.durableEgressBytes),
            ",",
            _word("usageRoot", v.usageRoot),
            ",",
            _word("logRoot", v.logRoot)
        );
    }

    function _resultJson(Result memory r) private pure returns (string memory) {
        return string.concat(
            _word("jobId", r.jobId),
            ",",
            _number("attempt", r.attempt),
            ",",
            _number("billedMillis", r.billedMillis),
            ",",
            _number("egressBytes", r.egressBytes),
            ",",
            _number("readyAfterSeconds", r.readyAfterSeconds),
            ",",
            _number("outcome", r.outcome),
            ",",
            _text("exitCode", vm.toString(int256(r.exitCode))),
            ",",
            _word("receiptDigest", r.receiptDigest)
        );
    }

    function _termsJson(Terms memory t) private pure returns (string memory) {
        string memory first = string.concat(
            _addr("payer", t.payer),
            ",",
            _addr("signer", t.signer),
            ",",
            _addr("token", t.token),
            ",",
            _addr("operator", t.operator),
            ",",
            _addr("payee", t.payee),
            ",",
            _number("budget", t.budget),
            ",",
            _number("node", t.node)
        );
        string memory second = string.concat(
            ",",
            _word("specDigest", t.specDigest),
            ",",
            _number("escrow", t.escrow),
            ",",
            _number("computePerHour", t.computePerHour),
            ",",
            _number("egressPerGiB", t.egressPerGiB),
            ",",
            _ratesJson(t.rates),
            ",",
            _limitsJson(t.limits)
        );
        return string.concat(first, second);
    }

    function _ratesJson(Rates rates) private pure returns (string memory) {
        return string.concat(
            _number("usdRate", TermsRates.usdRate(rates)),
            ",",
            _number("openRate", TermsRates.openRate(rates)),
            ",",
            _sharesJson(TermsRates.stakersBps(rates), TermsRates.treasuryBps(rates), TermsRates.discountBps(rates), TermsRates.bonusBps(rates))
        );
    }

    function _limitsJson(Limits limits) private pure returns (string memory) {
        return string.concat(
            _number("matchedAt", TermsLimits.matchedAt(limits)),
            ",",
            _number("maxSeconds", TermsLimits.maxSeconds(limits)),
            ",",
            _number("readyWithinSeconds", TermsLimits.readyWithinSeconds(limits)),
            ",",
            _number("quotedSeconds", TermsLimits.quotedSeconds(limits)),
            ",",
            _number("verifyLevel", TermsLimits.verifyLevel(limits)),
            ",",
            _number("maxAttempts", TermsLimits.maxAttempts(limits)),
            ",",
            _number("attempt", TermsLimits.attempt(limits))
        );
    }

    function _progressJson(Progress memory p) private pure returns (string memory) {
        return string.concat(
            _number("value", p.value),
            ",",
            _number("billedMillis", p.billedMillis),
            ",",
            _word("declared", p.declared),
            ",",
            _number("reportedAt", p.reportedAt),
            ",",
            _number("reportableFrom", p.reportableFrom),
            ",",
            string.concat(
                _addr("earlierOwner1", p.earlierOwner1), ",", _addr("earlierOwner2", p.earlierOwner2), ",", _addr("earlierOwner3", p.earlierOwner3)
            )
        );
    }

    function _sharesJson(uint256 stakersBps, uint256 treasuryBps, uint256 discountBps, uint256 bonusBps) private pure returns (string memory) {
        return string.concat(
            _number("stakersBps", stakersBps),
            ",",
            _number("treasuryBps", treasuryBps),
            ",",
            _number("discountBps", discountBps),
            ",",
            _number("bonusBps", bonusBps)
        );
    }

    function _splitJson(Pricing.Split memory parts, uint256 value) private pure returns (string memory) {
        return string.concat(
            "{",
            _number("node", parts.node),
            ",",
            _number("stakers", parts.stakers),
            ",",
            _number("treasury", parts.treasury),
            ",",
            _number("discount", parts.discount),
            ",",
            _number("paid", value - parts.discount),
            "}"
        );
    }

    function _costRow(uint256 millis, uint256 bytesOut, uint256 perHour, uint256 perGiB) private {
        _row(
            "cost",
            string.concat(
                _number("billedMillis", millis),
                ",",
                _number("egressBytes", bytesOut),
                ",",
                _number("computePerHour", perHour),
                ",",
                _number("egressPerGiB", perGiB)
            ),
            string.concat('"', vm.toString(harness.valueRoundedUp(millis, bytesOut, perHour, perGiB)), '"')
        );
    }

    function _splitRow(uint256 value, uint256 stakersBps, uint256 treasuryBps, uint256 discountBps, uint256 bonusBps) private {
        Pricing.Split memory parts = harness.split(value, TermsRates.pack(1e24, 1e8, stakersBps, treasuryBps, discountBps, bonusBps));
        _row(
            "split",
            string.concat(_number("value", value), ",", _sharesJson(stakersBps, treasuryBps, discountBps, bonusBps)),
            _splitJson(parts, value)
        );
    }

    function _messageRow(string memory name, uint256 seed, string memory input, bytes32 structHash) private {
        _row(
            string.concat(name, " ", vm.toString(seed)),
            input,
            string.concat("{", _word("structHash", structHash), ",", _word("digest", _digest(structHash)), "}")
        );
    }

    function _hex24(bytes24 value) private pure returns (string memory) {
        return vm.toString(abi.encodePacked(value));
    }

    // -------------------------------------------------------------------------------------------------------------------------------- digests

    /// @dev Written out by hand from EIP-712, so that it does not share code with the contract.
    function _separator() private pure returns (bytes32) {
        bytes32 typehash = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(typehash, keccak256("OpenGPU"), keccak256("1"), CHAIN_ID, VERIFYING_CONTRACT));
    }

    function _digest(bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", _separator(), structHash));
    }
}
