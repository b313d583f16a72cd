// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @notice A part of OPEN's supply and who gets it when the token is made.
struct Allocation {
    address to;
    uint256 amount; // base units
}

/// @title Why OPEN cannot be made
interface IOpenTokenErrors {
    /// @notice An allocation has no receiver or no amount.
    error OpenToken_EmptyAllocation(uint256 index);

    /// @notice The allocations are not the whole supply, no more and no less.
    error OpenToken_AllocationsSum(uint256 sum, uint256 supply);
}

/// @title OPEN
/// @notice ERC-20 with ERC-2612 permit and burn. 100,000,000,000 OPEN of 18 decimals, minted once. No owner, mint, pause or tax: a transfer of x moves
/// exactly x.
interface IOpenToken is IERC20Metadata, IERC20Permit, IOpenTokenErrors {
    /// @notice Destroys the caller's tokens.
    /// @param value Base units.
    function burn(uint256 value) external;

    /// @notice Destroys tokens of an account that gave the caller an allowance.
    /// @param account Whose tokens.
    /// @param value Base units.
    function burnFrom(address account, uint256 value) external;
}
