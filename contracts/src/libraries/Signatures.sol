// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Who signed a digest
/// @dev Signatures are 64 bytes (EIP-2098) or 65; high-s ones are refused (EIP-2).
library Signatures {
    /// Enough for a Safe with several owners; a wallet that burns more is refused instead of eating the caller's gas.
    uint256 private constant ERC1271_GAS = 250_000;

    /// @dev Whether a key signed, by ECDSA alone, whatever code its account has: a contract could un-sign what others rely on.
    function isByKey(address key, bytes32 digest, bytes calldata signature) internal pure returns (bool) {
        address recovered;
        if (signature.length == 64) {
            (recovered,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
        } else {
            (recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        }
        return recovered != address(0) && recovered == key;
    }

    /// @dev Whether an account signed: ECDSA first (an EIP-7702 account has code and a key), then ERC-1271 with a gas cap and one word of answer.
    function isByAccount(address account, bytes32 digest, bytes calldata signature) internal view returns (bool isValid) {
        if (isByKey(account, digest, signature)) return true;
        if (account.code.length == 0) return false;
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes32 expected = bytes32(IERC1271.isValidSignature.selector);
        assembly ("memory-safe") {
            let isAnswered := staticcall(ERC1271_GAS, account, add(question, 0x20), mload(question), 0x00, 0x20)
            isValid := and(isAnswered, and(gt(returndatasize(), 0x1f), eq(mload(0x00), expected)))
        }
    }
}
