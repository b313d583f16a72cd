// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a job's storage slot stands for: the terms fixed at match and the progress since
/// @dev The slot keeps 192 bits of hash; terms and progress travel as events and calldata. Amounts are base units of `token`.

/// @notice Where a job stands.
enum JobState {
    None, // never matched
    Matched, // an attempt runs
    Reported, // the payer's side says the node failed; the response window runs
    Interrupted, // the attempt is over, escrow is left for another one
    Submitted, // V2: the node's result waits out its challenge window
    Disputed, // V2: a panel decides
    Settled, // closed, paid and refunded
    Cancelled // withdrawn before any match
}

/// @notice How an attempt ended. The first four are a co-signed Result's `outcome`.
enum Ending {
    None,
    Completed,
    Stopped,
    UserFault,
    HardwareFault,
    Submitted, // by the node's own result
    Contested, // the node answered a report with `contest`
    Unanswered, // nobody answered a report in time
    Expired // the attempt's last deadline passed
}

/// @notice Seven small numbers of the terms in one word, see {TermsLimits}.
type Limits is uint256;

/// @notice Rates and fee shares of the terms in one word, see {TermsRates}.
type Rates is uint256;

/// @notice All that was fixed at match, for one attempt. Emitted in full, passed back with every later call, never looked up again.
/// @dev Small numbers share a word because each word costs about 420 gas over a job's life.
struct Terms {
    address payer; // whose credits are locked
    address signer; // key that co-signs usage for the payer
    address token; // the token of every amount here
    address operator; // key that signs for the node, as it was at match
    address payee; // whose credits the node's part goes to, as it was at match
    uint256 budget; // budget that was debited, 0 for none
    uint256 node; // token id in NodeRegistry
    bytes32 specDigest; // sha2-256 of the job file's JCS form
    uint128 escrow; // locked for this attempt: what was left of the job's escrow when it was matched, plus extensions
    uint128 computePerHour; // price of the whole shape, per hour
    uint128 egressPerGiB; // price of 2^30 bytes of egress
    Rates rates; // USD rates and fee shares
    Limits limits; // times and levels
}

/// @notice What changed since the attempt was matched. All zero right after `Matched`.
struct Progress {
    uint128 value; // cumulative value paid so far for this attempt, before the payer's discount
    uint64 billedMillis; // the usage that value stands for
    bytes32 declared; // hashStruct of the voucher a standing report declares, or the digest of a submitted result; 0 none
    uint64 reportedAt; // when the standing report was made, 0 none
    uint64 reportableFrom; // no report before this time; 2^64 - 1: no report any more
    address earlierOwner1; // owners of the nodes of earlier attempts, which may not match again
    address earlierOwner2;
    address earlierOwner3;
}

/// @notice How one attempt was paid and closed; what scores, receipts and statistics are computed from.
/// @dev The three parts and `refunded` are what this call moved. Parts moved earlier by `collect` are in `Collected`.
struct Settlement {
    Ending ending;
    uint8 rating; // 0 none, 1..5
    uint64 billedMillis; // paid usage of the attempt
    uint64 egressBytes; // 0 when what was shown is worth less than was collected: then the last Collected has it
    uint32 readyAfterSeconds; // 0 when no result says
    uint32 quotedSeconds; // from the bid
    uint128 value; // of the whole attempt, before discount
    uint128 usdRate; // millionths of a millionth of a USD per 10^18 base units, at match
    uint128 nodePart; // includes the node's bonus
    uint128 stakersPart;
    uint128 treasuryPart; // after discount and bonus
    uint128 refunded; // back to the payer's credits; 0 while the job may be matched again
    bytes32 specDigest;
    bytes32 receiptDigest; // 0 when no result says
}

/// @notice The one storage slot of a job, see {JobSlots}.
type JobSlot is uint256;

/// @title Access to the packed values of a job's slot
/// @dev Bits from the lowest: hash 192 (of terms and progress, see {JobHash}), state 8, attempt 8, time 48 (when the state was entered, unix seconds).
library JobSlots {
    /// @dev Packs the four values.
    function pack(bytes24 hash_, JobState state_, uint256 attempt_, uint256 time_) internal pure returns (JobSlot) {
        return JobSlot.wrap(uint192(hash_) | uint256(state_) << 192 | attempt_ << 200 | time_ << 208);
    }

    function hash(JobSlot slot) internal pure returns (bytes24) {
        return bytes24(uint192(JobSlot.unwrap(slot)));
    }

    function state(JobSlot slot) internal pure returns (JobState) {
        return JobState(uint8(JobSlot.unwrap(slot) >> 192));
    }

    function attempt(JobSlot slot) internal pure returns (uint8) {
        return uint8(JobSlot.unwrap(slot) >> 200);
    }

    function time(JobSlot slot) internal pure returns (uint48) {
        return uint48(JobSlot.unwrap(slot) >> 208);
    }
}

/// @title Access to the packed numbers of {Terms-limits}
/// @dev Bits from the lowest: matchedAt 64 (unix seconds, this attempt's), maxSeconds 32 (billed seconds this attempt may use), readyWithinSeconds 32
/// (the bid's), quotedSeconds 32, verifyLevel 8, maxAttempts 8, attempt 8 (1..4).
library TermsLimits {
    /// @dev Packs the seven numbers.
    function pack(
        uint256 matchedAt_,
        uint256 maxSeconds_,
        uint256 readyWithinSeconds_,
        uint256 quotedSeconds_,
        uint256 verifyLevel_,
        uint256 maxAttempts_,
        uint256 attempt_
    ) internal pure returns (Limits) {
        return Limits.wrap(
            matchedAt_ | maxSeconds_ << 64 | readyWithinSeconds_ << 96 | quotedSeconds_ << 128 | verifyLevel_ << 160 | maxAttempts_ << 168 | attempt_
                << 176
        );
    }

    /// @dev The same numbers with another maxSeconds.
    function withMaxSeconds(Limits limits, uint256 newMaxSeconds) internal pure returns (Limits) {
        uint256 others = Limits.unwrap(limits) & ~(uint256(type(uint32).max) << 64);
        return Limits.wrap(others | newMaxSeconds << 64);
    }

    function matchedAt(Limits limits) internal pure returns (uint256) {
        return uint64(Limits.unwrap(limits));
    }

    function maxSeconds(Limits limits) internal pure returns (uint256) {
        return uint32(Limits.unwrap(limits) >> 64);
    }

    function readyWithinSeconds(Limits limits) internal pure returns (uint256) {
        return uint32(Limits.unwrap(limits) >> 96);
    }

    function quotedSeconds(Limits limits) internal pure returns (uint256) {
        return uint32(Limits.unwrap(limits) >> 128);
    }

    function verifyLevel(Limits limits) internal pure returns (uint256) {
        return uint8(Limits.unwrap(limits) >> 160);
    }

    function maxAttempts(Limits limits) internal pure returns (uint256) {
        return uint8(Limits.unwrap(limits) >> 168);
    }

    function attempt(Limits limits) internal pure returns (uint256) {
        return uint8(Limits.unwrap(limits) >> 176);
    }
}

/// @title Access to the packed numbers of {Terms-rates}
/// @dev Bits from the lowest: usdRate 96 and openRate 96 (millionths of a millionth of a USD per 10^18 base units of the job's token and of OPEN),
/// stakersBps 16, treasuryBps 16, discountBps 16 (the payer's), bonusBps 16 (the node's), in hundredths of a percent of the value.
library TermsRates {
    /// @dev Packs the six numbers.
    function pack(uint256 usdRate_, uint256 openRate_, uint256 stakersBps_, uint256 treasuryBps_, uint256 discountBps_, uint256 bonusBps_)
        internal
        pure
        returns (Rates)
    {
        return Rates.wrap(usdRate_ | openRate_ << 96 | stakersBps_ << 192 | treasuryBps_ << 208 | discountBps_ << 224 | bonusBps_ << 240);
    }

    function usdRate(Rates rates) internal pure returns (uint256) {
        return uint96(Rates.unwrap(rates));
    }

    function openRate(Rates rates) internal pure returns (uint256) {
        return uint96(Rates.unwrap(rates) >> 96);
    }

    function stakersBps(Rates rates) internal pure returns (uint256) {
        return uint16(Rates.unwrap(rates) >> 192);
    }

    function treasuryBps(Rates rates) internal pure returns (uint256) {
        return uint16(Rates.unwrap(rates) >> 208);
    }

    function discountBps(Rates rates) internal pure returns (uint256) {
        return uint16(Rates.unwrap(rates) >> 224);
    }

    function bonusBps(Rates rates) internal pure returns (uint256) {
        return uint16(Rates.unwrap(rates) >> 240);
    }
}

/// @title The 192 bits that a job's slot keeps of its terms and progress
/// @dev The first 24 bytes of keccak256(keccak256(abi.encode(terms)) ‖ keccak256(abi.encode(progress))). A struct of value types is its own ABI
/// encoding, in calldata as in memory.
library JobHash {
    uint256 private constant TERMS_BYTES = 13 * 32;
    uint256 private constant PROGRESS_BYTES = 8 * 32;
    /// keccak256 of 256 zero bytes: a progress right after the match.
    bytes32 private constant NO_PROGRESS = 0xd397b3b043d87fcd6fad1291ff0bfd16401c274896d8c63a923727f077b8e0b5;

    /// @dev keccak256(abi.encode(terms)) of terms as they came. Words with unused upper bits set hash differently than any terms the market ever wrote.
    function ofTerms(Terms calldata terms) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, terms, TERMS_BYTES)
            hash := keccak256(free, TERMS_BYTES)
        }
    }

    /// @dev keccak256(abi.encode(terms)) of new terms.
    function ofNewTerms(Terms memory terms) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(terms, TERMS_BYTES)
        }
    }

    /// @dev What the slot keeps.
    function ofSlot(bytes32 termsHash, Progress memory progress) internal pure returns (bytes24 hash) {
        assembly ("memory-safe") {
            mstore(0x00, termsHash)
            mstore(0x20, keccak256(progress, PROGRESS_BYTES))
            hash := and(keccak256(0x00, 0x40), not(0xffffffffffffffff))
        }
    }

    /// @dev What the slot keeps right after the match.
    function ofFirstSlot(bytes32 termsHash) internal pure returns (bytes24 hash) {
        assembly ("memory-safe") {
            mstore(0x00, termsHash)
            mstore(0x20, NO_PROGRESS)
            hash := and(keccak256(0x00, 0x40), not(0xffffffffffffffff))
        }
    }

    /// @dev Copies progress word by word, without looking at unused upper bits: use the copy only after its hash was compared with the job's slot.
    function copy(Progress calldata given, Progress memory progress) internal pure {
        assembly ("memory-safe") {
            calldatacopy(progress, given, PROGRESS_BYTES)
        }
    }
}
