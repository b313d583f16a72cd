// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Where a deployment's addresses come from
/// @notice Our contracts name each other in their constructors, so an address that follows from init code and arguments, as CREATE2's does, would follow
/// from itself. This contract is made by CREATE2, at an address that follows from its owner and a salt alone; what it makes is at addresses that follow
/// from its own address and a count. So all addresses of a deployment are known before it, and are the same on every chain.
interface IDeployer {
    /// @notice A contract was made.
    event ContractCreated(address indexed created);

    /// @notice There is no owner.
    error Deployer_ZeroOwner();

    /// @notice Somebody else than the owner called.
    error Deployer_NotOwner(address caller);

    /// @notice The constructor failed and did not say why.
    error Deployer_CreationFailed();

    /// @notice Makes a contract: the first one by CREATE with nonce 1, the next with 2. By the owner. A constructor that reverts reverts this call with its
    /// own error, and the count stays.
    /// @param initCode Creation code and the constructor's arguments behind it.
    /// @return created Where it is.
    function create(bytes calldata initCode) external returns (address created);

    /// @notice Who may make contracts. For ever.
    function owner() external view returns (address);
}
