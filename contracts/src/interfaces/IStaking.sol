// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC5805} from "@openzeppelin/contracts/interfaces/IERC5805.sol";

/// @title Stakes of OPEN: revenue share, votes, payer tiers
/// @notice A stake's weight is its amount times 1 to 4 by the time it is locked. The stakers' part of a week's revenue streams to the weight there is,
/// second by second, over the week that follows. What streams while nobody is staked is carried over to the next week.
/// @dev Votes are ERC-5805 with timestamps. An account that never delegated votes for itself.
interface IStaking is IERC5805 {
    /// @notice OPEN was locked. `weight` is all of the account's.
    event Staked(address indexed account, uint256 amount, uint256 staked, uint256 weight, uint256 end);
    /// @notice A lock ends later.
    event StakeExtended(address indexed account, uint256 weight, uint256 end);
    /// @notice A lock has ended and its weight no longer counts.
    event StakeExpired(address indexed account, uint256 oldWeight);
    /// @notice OPEN was given back.
    event Unstaked(address indexed account, address to, uint256 amount, uint256 staked);
    /// @notice What streams in a week is known: the revenue of the week before, and what nobody was there to get.
    event Rolled(address indexed token, uint256 indexed week, uint256 revenue, uint256 carried);
    /// @notice An account was paid.
    event Claimed(address indexed account, address indexed token, address to, uint256 amount);
    /// @notice One token could not be paid; the others were. `reason` is the error.
    event ClaimSkipped(address indexed account, address indexed token, bytes reason);

    /// @notice An address that must be set is zero.
    error Staking_ZeroAddress();
    /// @notice A number is outside its range.
    error Staking_OutOfRange(bytes32 field, uint256 value, uint256 min, uint256 max);
    /// @notice The new end is not later than the present one.
    error Staking_EndNotLater(uint256 end, uint256 newEnd);
    /// @notice The new lock is so short that what is staked would weigh less than now.
    error Staking_WeightWouldFall(uint256 weight, uint256 newWeight);
    /// @notice The lock has not ended.
    error Staking_Locked(uint256 end);
    /// @notice The account has nothing that counts.
    error Staking_NothingStaked(address account);
    /// @notice Less is staked than asked.
    error Staking_TooLow(uint256 staked, uint256 asked);
    /// @notice Revenue did not arrive as told.
    error Staking_RevenueInexact(address token, uint256 told, uint256 arrived);
    /// @notice More weeks must be rolled first.
    error Staking_RollFirst(address token, uint256 nextWeek);
    /// @notice Only the contract itself may call this.
    error Staking_NotAllowed(address caller);

    /// @notice Too little gas was given to pay all tokens.
    error Staking_GasTooLow();

    /// @notice Locks OPEN of the caller, or adds to its stake. The end is the later of the present one and `lockDays` from now; what is added weighs by
    /// its time to the end. Where the end moves, what was staked is weighed anew, and the call is refused if that would be less: lock for longer, or
    /// for no longer than the present end. Needs an allowance.
    /// @param amount Base units, at least 1 OPEN.
    /// @param lockDays 14..365.
    function stake(uint128 amount, uint16 lockDays) external;

    /// @notice Moves the end of the caller's lock to `lockDays` from now, which must be later and may not lower the weight. Revives an ended stake.
    /// @param lockDays 14..365.
    function extend(uint16 lockDays) external;

    /// @notice Gives OPEN back to the caller once its lock has ended.
    /// @param amount Base units.
    /// @param to Who gets it.
    function unstake(uint128 amount, address to) external;

    /// @notice Takes the weight from a stake whose lock has ended. By anyone.
    /// @param account Whose.
    function expireStake(address account) external;

    /// @notice Notes the weeks that began since anybody last did anything. By anyone; every action does it itself. In steps for whoever finds so many
    /// quiet weeks that one transaction cannot hold them (about 25,000 gas each).
    /// @param maxWeeks Weeks to note at most in this call.
    function advance(uint256 maxWeeks) external;

    /// @notice Brings a token's streams up to the present week. By anyone; claims do it themselves.
    /// @param token Token of the fees.
    /// @param maxWeeks Weeks to roll at most in this call.
    function roll(address token, uint256 maxWeeks) external;

    /// @notice Pays the caller's part of what has streamed until now. A token that fails is told by {ClaimSkipped} and does not stop the others,
    /// unless it takes nearly all gas, which looks like a claim that was given too little: such a one must be left out.
    /// @param tokens Which tokens; one given twice pays once.
    /// @param to Who gets them.
    function claim(address[] calldata tokens, address to) external;

    /// @notice What {claim} would pay of a token. It rolls first, so call it off chain.
    function earned(address account, address token) external returns (uint256 amount);

    /// @notice What is staked.
    /// @param account Whose.
    /// @return amount Base units of OPEN.
    /// @return weight What counts, 0 once expired.
    /// @return end First second at which it can be taken back.
    function positionOf(address account) external view returns (uint104 amount, uint104 weight, uint40 end);

    /// @notice Weight of all stakes.
    function totalWeight() external view returns (uint256);

    /// @notice A payer's tier by staked weight, 0..4; 0 once the lock has ended.
    /// @param account The payer.
    function tierOf(address account) external view returns (uint8 tier);

    /// @notice What streams of a token in a week, once rolled; base units.
    function streamOf(address token, uint256 week) external view returns (uint256);

    /// @notice Revenue that is here and was not paid yet, base units; of OPEN without what is staked.
    function reserveOf(address token) external view returns (uint256);

    /// @notice The next week of a token to be rolled, 0 before the first.
    function nextWeekOf(address token) external view returns (uint256);

    /// @notice Seconds of a week in which nobody was staked, as far as accounted.
    function idleSecondsOf(uint256 week) external view returns (uint256);

    /// @notice Where the revenue comes from.
    function cloudverse() external view returns (address);

    /// @notice The OPEN token.
    function openToken() external view returns (address);
}
