// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title OPEN, the token of OpenGPU
/// @notice 100,000,000,000 tokens of 18 decimals, minted once. No owner, mint, pause or tax. See {IOpenToken}.
contract OpenToken is ERC20, ERC20Permit, ERC20Burnable {
    /// @notice All that will ever exist, base units.
    uint256 public constant GENESIS_SUPPLY = 100_000_000_000e18;

    /// @param receiver Gets the whole supply.
    constructor(address receiver) ERC20("OpenGPU", "OPEN") ERC20Permit("OpenGPU") {
        _mint(receiver, GENESIS_SUPPLY);
    }
}
