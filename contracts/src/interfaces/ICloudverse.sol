// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICloudWallet} from "./ICloudWallet.sol";
import {IJobMarket} from "./IJobMarket.sol";
import {IJobRecovery} from "./IJobRecovery.sol";

/// @title All that can be called on Cloudverse's address
interface ICloudverse is ICloudWallet, IJobMarket, IJobRecovery {
    /// @notice The recovery contract's wiring is not this contract's.
    error Cloudverse_WrongRecovery(bytes32 expected, bytes32 given);

    /// @notice Code that runs the calls of {IJobRecovery} on this contract's storage, fixed for ever.
    function recovery() external view returns (address);
}
