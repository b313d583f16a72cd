// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bid, Extend, Result, Voucher} from "../../src/libraries/Messages.sol";
import {StakerHandlers} from "./StakerHandlers.sol";

/// @title Calldata of the calls about a job, with the terms and progress of the books
abstract contract Calls is StakerHandlers {
    function _collect(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.collect, (job.terms, job.progress, v, _opSig(job, v, who), _payerSig(job, v, who)));
    }

    function _extend(Job storage job, Extend memory e, bytes memory a, bytes memory b) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.extend, (job.terms, job.progress, e, a, b));
    }

    function _settle(Job storage job, Result memory r, bytes memory a, uint8 rating, bytes memory b) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.settle, (job.terms, job.progress, r, a, rating, b));
    }

    function _submit(Job storage job, Result memory r, Voucher memory v, address who) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.submit, (job.terms, job.progress, r, v, _opSig(job, v, who), _payerSig(job, v, who)));
    }

    function _finalize(Job storage job) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.finalize, (job.terms, job.progress, job.submitted));
    }

    function _report(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.reportFault, (job.id, job.terms, job.progress, v, _opSig(job, v, who), _payerSig(job, v, who)));
    }

    function _answer(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.answerFault, (job.id, job.terms, job.progress, job.declared, v, _opSig(job, v, who), _payerSig(job, v, who)));
    }

    function _contest(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.contest, (job.id, job.terms, job.progress, job.declared, v, _opSig(job, v, who), _payerSig(job, v, who)));
    }

    function _resolve(Job storage job, Voucher memory declared) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.resolveFault, (job.id, job.terms, job.progress, declared));
    }

    function _rematch(Job storage job, Bid memory b, bytes memory sig) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.rematch, (job.order, job.terms, job.progress, b, sig));
    }

    function _close(Job storage job) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.close, (job.id, job.terms, job.progress));
    }

    function _expire(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return abi.encodeCall(cloud.expire, (job.id, job.terms, job.progress, v, _opSig(job, v, who), _payerSig(job, v, who)));
    }

    /// @dev The operator's signature of a voucher, none where it sends the call itself or there is no voucher.
    function _opSig(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return v.seq == 0 || who == job.terms.operator ? bytes("") : _sign(job.terms.operator, _hash(v));
    }

    function _payerSig(Job storage job, Voucher memory v, address who) internal view returns (bytes memory) {
        return v.seq == 0 || who == job.terms.signer ? bytes("") : _sign(job.terms.signer, _hash(v));
    }
}
