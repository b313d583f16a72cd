// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CloudWallet} from "./CloudWallet.sol";
import {JobMarket} from "./JobMarket.sol";
import {JobRules} from "./JobRules.sol";
import {ICloudverse} from "./interfaces/ICloudverse.sol";
import {IJobRecovery} from "./interfaces/IJobRecovery.sol";

/// @title The contract users talk to: wallet and job market in one
/// @notice One address, because two would cost every job about 30,000 gas. Immutable: a new version is a new contract that users opt in to. What
/// does not belong to the happy path is code in {JobRecovery}, which runs here by delegatecall; its address is fixed at construction.
/// @dev Implements {ICloudverse}, the calls of {IJobRecovery} by its fallback.
contract Cloudverse is CloudWallet, JobMarket {
    address private immutable _recovery;

    /// @param openToken_ OPEN.
    /// @param nodeRegistry_ Registry of nodes; may be the address it will be deployed to.
    /// @param governance_ Sets listings and fees within hard caps, receives the treasury's part.
    /// @param staking_ Staking contract or zero while there is none.
    /// @param disputes_ Disputes contract or zero while there is none: V2 orders are refused then.
    /// @param responseWindowSeconds_ How long a report may be answered: 1 minute to 1 hour, from 15 seconds on chain 31337.
    /// @param recovery_ A {JobRecovery} deployed with the same six arguments.
    constructor(
        address openToken_,
        address nodeRegistry_,
        address governance_,
        address staking_,
        address disputes_,
        uint256 responseWindowSeconds_,
        address recovery_
    ) JobRules(openToken_, nodeRegistry_, governance_, staking_, disputes_, responseWindowSeconds_) {
        bytes32 given = IJobRecovery(recovery_).wiring();
        if (given != _wiring()) revert ICloudverse.Cloudverse_WrongRecovery(_wiring(), given);
        _recovery = recovery_;
    }

    /// @notice Code that runs the calls of {IJobRecovery} on this contract's storage.
    function recovery() external view returns (address) {
        return _recovery;
    }

    fallback() external {
        address code = _recovery;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let isDone := delegatecall(gas(), code, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if iszero(isDone) { revert(free, returndatasize()) }
            return(free, returndatasize())
        }
    }
}
