// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {Allocation, IOpenTokenErrors} from "./interfaces/IOpenToken.sol";

/// @title OPEN, the token of OpenGPU
/// @notice 100,000,000,000 tokens of 18 decimals, minted once. No owner, mint, pause or tax. See {IOpenToken}.
contract OpenToken is ERC20, ERC20Permit, ERC20Burnable, IOpenTokenErrors {
    /// @notice All that will ever exist, base units.
    uint256 public constant GENESIS_SUPPLY = 100_000_000_000e18;

    /// @param allocations Who gets how much; together exactly the whole supply. An account may be named more than once.
    constructor(Allocation[] memory allocations) ERC20("OpenGPU", "OPEN") ERC20Permit("OpenGPU") {
        for (uint256 i; i < allocations.length; ++i) {
            Allocation memory allocation = allocations[i];
            // Check:
            if (allocation.to == address(0) || allocation.amount == 0) revert OpenToken_EmptyAllocation(i);
            // Effect:
            _mint(allocation.to, allocation.amount);
        }
        // Check:
        uint256 sum = totalSupply();
        if (sum != GENESIS_SUPPLY) revert OpenToken_AllocationsSum(sum, GENESIS_SUPPLY);
    }
}
