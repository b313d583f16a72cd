// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Progress, Terms} from "../libraries/JobTerms.sol";

/// @title OPEN for nodes in proportion to the value they settled
/// @notice Paid from what this contract was given at genesis, week by week, at a rate governance sets; off until it does. A job is reported with the
/// terms and progress it ended with, which its slot in Cloudverse is the hash of: jobs themselves pay nothing for it. A payee never gets more for a
/// week than what its jobs left the treasury, at the rates of their match or those listed at the report, whichever give less OPEN: nobody profits from
/// jobs with himself, also where OPEN rose while they ran.
interface IIncentives {
    /// @notice The rate was set, base units of OPEN a week, for weeks from `fromWeek` on.
    event RateSet(uint128 oldRate, uint128 rate, uint256 fromWeek);
    /// @notice A settled job counts for its node's payee in the week it was settled.
    event Reported(bytes32 indexed jobId, uint256 indexed week, uint256 indexed node, address payee, uint256 usdMicros, uint256 cap);
    /// @notice A week's incentive was paid.
    event IncentivePaid(uint256 indexed week, uint256 indexed node, address indexed payee, uint256 amount);

    /// @notice The caller is not governance.
    error Incentives_NotAllowed(address caller);
    /// @notice An address that must be set is zero.
    error Incentives_ZeroAddress();
    /// @notice The rate is above its hard cap.
    error Incentives_RateAboveCap(uint256 rate, uint256 cap);
    /// @notice Nothing is paid for that week.
    error Incentives_Off(uint256 week);
    /// @notice The job is not settled, or terms or progress are not those it ended with.
    error Incentives_NotSettled(bytes32 jobId);
    /// @notice The job was reported before.
    error Incentives_AlreadyReported(bytes32 jobId);
    /// @notice Jobs of that week can no longer be reported.
    error Incentives_ReportingOver(uint256 week);
    /// @notice Jobs of that week can still be reported.
    error Incentives_ReportingOpen(uint256 week);
    /// @notice Less is here than is to be paid; it stays owed until more has come.
    error Incentives_BalanceTooLow(uint256 balance, uint256 amount);
    /// @notice Nothing is there to be paid, or it was paid.
    error Incentives_NothingToPay(uint256 week, uint256 node, address payee);

    /// @notice Sets what all nodes together get a week, from the next week on. By governance.
    /// @param rate Base units of OPEN, at most {MAX_RATE}; 0 turns it off.
    function setRate(uint128 rate) external;

    /// @notice Counts a settled job. By anyone, until the week after its settlement is over.
    /// @param jobId The job.
    /// @param terms The terms of its last attempt, the one that counts.
    /// @param progress The progress it ended with: value and usage final, no report standing.
    function report(bytes32 jobId, Terms calldata terms, Progress calldata progress) external;

    /// @notice Pays a week's part once reporting is over. By anyone, to the payee.
    /// @param week The week of the settlements.
    /// @param node The node.
    /// @param payee Who was paid for the jobs.
    function pay(uint256 week, uint256 node, address payee) external;

    /// @notice What all nodes get for a week, base units of OPEN.
    function rateOf(uint256 week) external view returns (uint256);

    /// @notice What was reported of a node and payee in a week: value in millionths of a USD, and the most that is paid for it in
    /// base units of OPEN: what its jobs left the treasury.
    function reportedOf(uint256 week, uint256 node, address payee) external view returns (uint128 usdMicros, uint128 cap);

    /// @notice Value reported of all nodes in a week, millionths of a USD.
    function totalOf(uint256 week) external view returns (uint256);

    /// @notice The most a week can pay: 0.05 % of OPEN's supply.
    function MAX_RATE() external view returns (uint128);
}
