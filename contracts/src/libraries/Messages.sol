// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What payers, signers and operators sign off-chain, and how it is hashed (EIP-712)
/// @dev Domain: name "OpenGPU", version "1", the chain's id, verifying contract Cloudverse. Field names and order are normative: docs/protocol.md
/// section 3. Amounts are base units of the order's token unless said otherwise; times are unix seconds of the chain's clock.

/// @notice A payer's request for one job. Its EIP-712 digest is the job's id.
struct Order {
    address payer; // whose credits pay
    uint256 budget; // budget the spending counts against, 0 for none
    address signer; // key that co-signs usage for the payer
    address token; // listed token that pays
    uint128 maxCost; // escrow locked at match
    uint128 maxPricePerHour; // ceiling for a bid's computePerHour
    uint128 maxEgressPerGiB; // ceiling for a bid's egressPerGiB
    bytes32 specDigest; // sha2-256 of the job file's JCS form
    uint32 maxSeconds; // billed seconds over all attempts, at most 30 days
    uint32 readyWithinSeconds; // ceiling for a bid's readyWithinSeconds, at most 1 day
    uint8 minTier; // lowest node tier accepted, 0..4
    uint8 verifyLevel; // V0..V3
    uint8 maxAttempts; // 1..4
    bool claimable; // whether anyone may match it
    uint64 expiresAt; // first second at which the order is no longer good
    uint256 salt; // makes equal orders different jobs
}

/// @notice A node's firm offer for one job.
struct Bid {
    bytes32 jobId; // digest of the order
    uint256 node; // token id in NodeRegistry
    uint128 computePerHour; // price of the whole shape, per hour
    uint128 egressPerGiB; // price of 2^30 bytes of egress
    uint32 readyWithinSeconds; // promise: READY this many seconds after the match
    uint32 quotedSeconds; // the node's estimate of the billed seconds
    uint64 expiresAt; // first second at which the bid is no longer good
}

/// @notice Cumulative usage of one attempt. Signed by operator and signer it can be cashed. Vouchers are numbered from 1: `seq` 0 means "none".
struct Voucher {
    bytes32 jobId;
    uint8 attempt; // 1..4
    uint32 seq; // grows with every proposal
    uint64 signedAt; // unix seconds at which it was proposed
    uint64 billedMillis; // milliseconds since READY
    uint64 egressBytes;
    uint64 durableMillis; // billedMillis at the last durable checkpoint
    uint64 durableEgressBytes; // egressBytes at the last durable checkpoint
    bytes32 usageRoot;
    bytes32 logRoot;
}

/// @notice The closing totals of one attempt.
struct Result {
    bytes32 jobId;
    uint8 attempt; // 1..4
    uint64 billedMillis;
    uint64 egressBytes;
    uint32 readyAfterSeconds; // from match to READY
    uint8 outcome; // 1 completed, 2 stopped, 3 user fault, 4 hardware fault
    int32 exitCode;
    bytes32 receiptDigest; // sha2-256 of the canonical receipt
}

/// @notice The signer's consent to a Result. `resultHash` is the Result's EIP-712 digest, the one the operator signs.
struct Approve {
    bytes32 resultHash;
    uint8 rating; // 0 none, 1..5
}

/// @notice Agreement of payer (or budget key) and operator to add escrow and time to a running attempt.
struct Extend {
    bytes32 jobId;
    uint8 attempt; // 1..4
    uint128 addCost;
    uint32 addSeconds;
    uint256 salt; // makes equal extensions different
}

/// @title EIP-712 struct hashes of the messages
library Messages {
    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(address payer,uint256 budget,address signer,address token,uint128 maxCost,uint128 maxPricePerHour,uint128 maxEgressPerGiB,bytes32 specDigest,uint32 maxSeconds,uint32 readyWithinSeconds,uint8 minTier,uint8 verifyLevel,uint8 maxAttempts,bool claimable,uint64 expiresAt,uint256 salt)"
    );
    bytes32 internal constant BID_TYPEHASH = keccak256(
        "Bid(bytes32 jobId,uint256 node,uint128 computePerHour,uint128 egressPerGiB,uint32 readyWithinSeconds,uint32 quotedSeconds,uint64 expiresAt)"
    );
    bytes32 internal constant VOUCHER_TYPEHASH = keccak256(
        "Voucher(bytes32 jobId,uint8 attempt,uint32 seq,uint64 signedAt,uint64 billedMillis,uint64 egressBytes,uint64 durableMillis,uint64 durableEgressBytes,bytes32 usageRoot,bytes32 logRoot)"
    );
    bytes32 internal constant RESULT_TYPEHASH = keccak256(
        "Result(bytes32 jobId,uint8 attempt,uint64 billedMillis,uint64 egressBytes,uint32 readyAfterSeconds,uint8 outcome,int32 exitCode,bytes32 receiptDigest)"
    );
    bytes32 internal constant APPROVE_TYPEHASH = keccak256("Approve(bytes32 resultHash,uint8 rating)");
    bytes32 internal constant EXTEND_TYPEHASH = keccak256("Extend(bytes32 jobId,uint8 attempt,uint128 addCost,uint32 addSeconds,uint256 salt)");

    /// @dev EIP-712 hashStruct of an order.
    function hashOrder(Order calldata order) internal pure returns (bytes32) {
        return _hashWords(ORDER_TYPEHASH, _offsetOf(order), 16);
    }

    /// @dev EIP-712 hashStruct of a bid.
    function hashBid(Bid calldata bid) internal pure returns (bytes32) {
        return _hashWords(BID_TYPEHASH, _offsetOf(bid), 7);
    }

    /// @dev EIP-712 hashStruct of a voucher; also what identifies the voucher a report declares.
    function hashVoucher(Voucher calldata voucher) internal pure returns (bytes32) {
        return _hashWords(VOUCHER_TYPEHASH, _offsetOf(voucher), 10);
    }

    /// @dev EIP-712 hashStruct of a result.
    function hashResult(Result calldata result) internal pure returns (bytes32) {
        return _hashWords(RESULT_TYPEHASH, _offsetOf(result), 8);
    }

    /// @dev EIP-712 hashStruct of an approval.
    function hashApprove(bytes32 resultHash, uint8 rating) internal pure returns (bytes32) {
        return keccak256(abi.encode(APPROVE_TYPEHASH, resultHash, rating));
    }

    /// @dev EIP-712 hashStruct of an extension.
    function hashExtend(Extend calldata ext) internal pure returns (bytes32) {
        return _hashWords(EXTEND_TYPEHASH, _offsetOf(ext), 5);
    }

    /// @dev keccak256(typehash ‖ words). Messages are read word by word as they came: a word with unused upper bits set hashes to what nobody signed,
    /// and reverts where the market reads it.
    function _hashWords(bytes32 typehash, uint256 offset, uint256 words) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, words)
            mstore(free, typehash)
            calldatacopy(add(free, 0x20), offset, size)
            hash := keccak256(free, add(0x20, size))
        }
    }

    function _offsetOf(Order calldata order) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := order
        }
    }

    function _offsetOf(Bid calldata bid) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := bid
        }
    }

    function _offsetOf(Voucher calldata voucher) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := voucher
        }
    }

    function _offsetOf(Result calldata result) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := result
        }
    }

    function _offsetOf(Extend calldata ext) private pure returns (uint256 offset) {
        assembly ("memory-safe") {
            offset := ext
        }
    }
}
