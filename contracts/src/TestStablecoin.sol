// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title A dollar for local networks
/// @notice Six decimals and permit like USDC, minted by anyone. Cannot be deployed on any chain but 31337.
contract TestStablecoin is ERC20, ERC20Permit {
    /// @notice Only local networks may have this token.
    error TestStablecoin_NotALocalNetwork(uint256 chainId);

    constructor() ERC20("Test USD Coin", "USDC") ERC20Permit("Test USD Coin") {
        if (block.chainid != 31337) revert TestStablecoin_NotALocalNetwork(block.chainid);
    }

    /// @notice Mints to anyone.
    /// @param to Who gets them.
    /// @param amount Base units, 10^-6 dollars.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
