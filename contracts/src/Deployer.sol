// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDeployer} from "./interfaces/IDeployer.sol";

/// @title Makes the contracts of one deployment at addresses known beforehand
/// @notice No setter, no upgrade, no funds. See {IDeployer}.
contract Deployer is IDeployer {
    /// @inheritdoc IDeployer
    address public immutable owner;

    /// @param owner_ Who may make contracts.
    constructor(address owner_) {
        // Check:
        if (owner_ == address(0)) revert Deployer_ZeroOwner();
        // Effect:
        owner = owner_;
    }

    /// @inheritdoc IDeployer
    function create(bytes calldata initCode) external returns (address created) {
        // Check:
        if (msg.sender != owner) revert Deployer_NotOwner(msg.sender);
        // Interaction:
        bytes memory code = initCode;
        assembly ("memory-safe") {
            created := create(0, add(code, 0x20), mload(code))
            // What the constructor reverted with is the answer, byte for byte.
            if and(iszero(created), gt(returndatasize(), 0)) {
                let reason := mload(0x40)
                returndatacopy(reason, 0, returndatasize())
                revert(reason, returndatasize())
            }
        }
        // Init code that returns nothing makes an account without code, which is not a contract.
        if (created.code.length == 0) revert Deployer_CreationFailed();
        emit ContractCreated(created);
    }
}
