// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the job market asks the staking contract
/// @dev Never called while the staking address of Cloudverse is zero.
interface IStaking {
    /// @notice An account's payer tier by staked weight.
    /// @param account The payer.
    /// @return tier 0..4.
    function tierOf(address account) external view returns (uint8 tier);
}
