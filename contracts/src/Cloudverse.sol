// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CloudWallet} from "./CloudWallet.sol";
import {JobMarket} from "./JobMarket.sol";
import {JobRules} from "./JobRules.sol";

/// @title The contract users talk to: wallet and job market in one
/// @notice One deployed contract, because two would cost every job about 30,000 gas; two sources by inheritance. Immutable: a new version is a new
/// contract that users opt in to.
contract Cloudverse is JobMarket {
    /// @param openToken_ OPEN.
    /// @param nodeRegistry_ Registry of nodes; may be the address it will be deployed to.
    /// @param governance_ Sets listings and fees within hard caps, receives the treasury's part.
    /// @param staking_ Staking contract or zero while there is none.
    /// @param disputes_ Disputes contract or zero while there is none: V2 orders are refused then.
    /// @param responseWindowSeconds_ How long a report may be answered: 1 minute to 1 hour, from 15 seconds on chain 31337.
    constructor(address openToken_, address nodeRegistry_, address governance_, address staking_, address disputes_, uint256 responseWindowSeconds_)
        CloudWallet(openToken_, governance_, staking_)
        JobRules(nodeRegistry_, disputes_, responseWindowSeconds_)
    {}
}
