// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";

/// @title ERC-4907: an NFT that has a user beside its owner
/// @dev https://eips.ethereum.org/EIPS/eip-4907, interface id 0xad092b5c.
interface IERC4907 {
    /// @notice The user of a token changed.
    event UpdateUser(uint256 indexed tokenId, address indexed user, uint64 expires);

    /// @notice Sets the user of a token. By owner or approved.
    /// @param tokenId The node.
    /// @param user The new operator, zero for none.
    /// @param expires Last second at which the user counts, unix seconds.
    function setUser(uint256 tokenId, address user, uint64 expires) external;

    /// @notice The user of a token, zero when none or expired.
    function userOf(uint256 tokenId) external view returns (address);

    /// @notice Last second at which the user counts, unix seconds.
    function userExpires(uint256 tokenId) external view returns (uint256);
}

/// @title Nodes: machines with GPUs as NFTs, with the bond behind them and the record of their jobs
/// @notice The owner is paid and configures; the ERC-4907 user is the operator, the hot key the node signs with. A transfer moves the bond and clears
/// operator, payee, list price, record, tier and unbond request; it is refused while jobs are open.
interface INodeRegistry is IERC721, IERC4907 {
    /// @notice How a closed attempt counts for the node.
    enum Standing {
        Success,
        Fail,
        Neutral,
        LeftOut // the user's own fault
    }

    /// @notice A node as it stands.
    struct Node {
        address owner;
        address operator; // zero when none or expired
        address payee; // the owner unless set
        uint64 listPrice; // highest bid, millionths of a USD per hour; 0: none allowed
        uint64 pendingListPrice; // takes effect at listPriceFrom
        uint64 listPriceFrom; // unix seconds, 0 when none is pending
        uint8 tier; // T0..T4
        bool isDraining; // the owner wants no new match
        bool isSuspended; // three unanswered faults within 24 hours; the owner resumes
        uint128 bond; // base units of OPEN
        uint128 reserved; // part of the bond that open work holds
        uint128 unbonding; // requested
        uint64 unbondsAt; // when the request matures; it lapses 7 days later
        bytes32 hardwareDigest; // sha2-256 of the hardware report
        string gpuModel;
    }

    /// @notice The record tiers are computed from, since registration or the last transfer; one slot.
    struct Stats {
        uint32 opened; // attempts matched since then
        uint32 closed; // attempts closed since then
        uint32 successes;
        uint32 fails;
        uint32 neutrals;
        uint32 counted; // co-signed and worth at least 1 USD
        uint64 earnedUsdMicros; // value of the counted jobs, millionths of a USD
        uint32 since; // registration or last transfer, unix seconds
    }

    /// @notice A node joined.
    event NodeRegistered(uint256 indexed node, address indexed owner, address operator, bytes32 hardwareDigest, string gpuModel);
    /// @notice The node's part of its jobs goes elsewhere from the next match on.
    event PayeeSet(uint256 indexed node, address oldPayee, address payee);
    /// @notice The list price changes at `from`.
    event ListPriceSet(uint256 indexed node, uint64 oldListPrice, uint64 listPrice, uint64 from);
    /// @notice The owner stopped new matches.
    event NodeDrained(uint256 indexed node);
    /// @notice The owner allowed new matches again.
    event NodeResumed(uint256 indexed node);
    /// @notice Unanswered faults stopped new matches.
    event NodeSuspended(uint256 indexed node);
    /// @notice OPEN was put behind a node.
    event Bonded(uint256 indexed node, address from, uint128 amount, uint128 bond);
    /// @notice The owner asked for a part of the bond back. It can be had from `unbondsAt` until `lapsesAt`.
    event UnbondRequested(uint256 indexed node, uint128 amount, uint64 unbondsAt, uint64 lapsesAt);
    /// @notice A part of the bond left.
    event Unbonded(uint256 indexed node, address to, uint128 amount, uint128 bond);
    /// @notice A payer was made good out of the bond.
    event MadeGood(uint256 indexed node, uint256 asked, uint256 amount, uint128 bond);
    /// @notice A node's tier rose by {promote}, or fell by a fail, an unbonding, a raise its bond does not carry, or a transfer.
    event TierChanged(uint256 indexed node, uint8 oldTier, uint8 tier);
    /// @notice The least a unit of bond is was set, base units of OPEN.
    event BondUnitFloorSet(uint128 oldFloor, uint128 floor);
    /// @notice The time an unbond request takes was set, seconds.
    event UnbondingSecondsSet(uint32 oldSeconds, uint32 newSeconds);

    /// @notice The caller is not who may do this.
    error NodeRegistry_NotAllowed(address caller);
    /// @notice An address that must be set is zero.
    error NodeRegistry_ZeroAddress();
    /// @notice An amount that must be positive is zero.
    error NodeRegistry_ZeroAmount();
    /// @notice The GPU model is empty, longer than 31 bytes or has bytes outside printable ASCII.
    error NodeRegistry_ModelInvalid(string gpuModel);
    /// @notice The node takes no new match.
    error NodeRegistry_NotMatchable(uint256 node, bool isDraining, bool isSuspended);
    /// @notice The node has jobs open, so it cannot change hands.
    error NodeRegistry_JobsOpen(uint256 node, uint256 open);
    /// @notice More was asked than the bond that is not reserved.
    error NodeRegistry_BondTooLow(uint256 node, uint256 available, uint256 asked);
    /// @notice There is no unbond request, or it has lapsed.
    error NodeRegistry_NoUnbondRequest(uint256 node);
    /// @notice The unbond request is not mature.
    error NodeRegistry_UnbondNotMature(uint256 node, uint256 unbondsAt);
    /// @notice The node has not earned a higher tier than it has.
    error NodeRegistry_NotPromotable(uint256 node, uint8 tier, uint8 earned);
    /// @notice The floor of a unit of bond is outside the hard range, base units of OPEN.
    error NodeRegistry_BondUnitFloorOutOfRange(uint256 given, uint256 min, uint256 max);
    /// @notice The time is outside the hard range, seconds.
    error NodeRegistry_UnbondingOutOfRange(uint256 given, uint256 min, uint256 max);

    /// @notice Mints the NFT of a machine to the caller.
    /// @param operator Hot key of the daemon.
    /// @param hardwareDigest sha2-256 of the hardware report.
    /// @param gpuModel 1..31 printable ASCII bytes.
    /// @return node Token id, counted from 1.
    function register(address operator, bytes32 hardwareDigest, string calldata gpuModel) external returns (uint256 node);

    /// @notice Sets who gets the node's part from the next match on. By the owner.
    /// @param node The node.
    /// @param payee Zero: the owner.
    function setPayee(uint256 node, address payee) external;

    /// @notice Sets the highest hourly price the node may bid. By the owner. An owner's first price and a lower one count at once, a higher one after a
    /// day, also from 0.
    /// @param node The node.
    /// @param listPrice Millionths of a USD per hour.
    function setListPrice(uint256 node, uint64 listPrice) external;

    /// @notice Stops new matches; open jobs go on. By the owner.
    /// @param node The node.
    function drain(uint256 node) external;

    /// @notice Allows new matches again, after {drain} or a suspension. By the owner, never the operator.
    /// @param node The node.
    function resume(uint256 node) external;

    /// @notice Puts OPEN behind a node. By anyone; the bond belongs to the NFT.
    /// @param node The node.
    /// @param amount Base units of OPEN; needs an allowance.
    function bond(uint256 node, uint128 amount) external;

    /// @notice Asks for a part of the bond back; replaces an earlier request. It stays slashable until withdrawn. By the owner.
    /// @param node The node.
    /// @param amount Base units of OPEN; 0 drops the request.
    function requestUnbond(uint256 node, uint128 amount) external;

    /// @notice Takes a mature request's amount, or what is left of it above the reserved part. By the owner.
    /// @param node The node.
    /// @param to Who gets the OPEN.
    function withdrawUnbonded(uint256 node, address to) external;

    /// @notice Sets how long new unbond requests take, 7..60 days. By governance.
    /// @param newSeconds Seconds.
    function setUnbondingSeconds(uint32 newSeconds) external;

    /// @notice Sets the least that a unit of bond is, 1,000..1,000,000 OPEN. By governance. Tiers that nodes have stay.
    /// @param newFloor Base units of OPEN.
    function setBondUnitFloor(uint128 newFloor) external;

    /// @notice Raises a node to the tier it has earned. By anyone.
    /// @param node The node.
    function promote(uint256 node) external;

    /// @notice Counts a new attempt and says whom to deal with. By Cloudverse.
    /// @param node The node.
    /// @return operator Who must have signed the bid.
    /// @return payee Who is paid.
    /// @return tier T0..T4.
    /// @return listPrice Millionths of a USD per hour.
    function openJob(uint256 node) external returns (address operator, address payee, uint8 tier, uint64 listPrice);

    /// @notice Counts the end of an attempt; a fail lowers the tier to T0. By Cloudverse.
    /// @param node The node.
    /// @param standing How it counts.
    /// @param isCounted Whether it is co-signed and worth at least 1 USD.
    /// @param usdMicros Its value, millionths of a USD.
    function closeJob(uint256 node, Standing standing, bool isCounted, uint64 usdMicros) external;

    /// @notice Counts an unanswered fault as a failed attempt, pays the make-good to Cloudverse and suspends after three within 24 hours. By Cloudverse.
    /// @param node The node.
    /// @param asked Base units of OPEN.
    /// @return paid Limited by the free bond and by 1 % of the bond per 24 hours.
    function closeFaultedJob(uint256 node, uint256 asked) external returns (uint256 paid);

    /// @notice A node as it stands. Reverts when there is none.
    function nodeOf(uint256 node) external view returns (Node memory);

    /// @notice A node's record.
    function statsOf(uint256 node) external view returns (Stats memory);

    /// @notice A node's tier, T0..T4.
    function tierOf(uint256 node) external view returns (uint8);

    /// @notice The tier that record, age and bond have earned now, T0..T4; 0 while OPEN has no rate.
    function earnedTierOf(uint256 node) external view returns (uint8);

    /// @notice What one unit of bond is for a node, base units of OPEN: 24 x 24 h of its list price (or of the one to come) at OPEN's rate, at least the
    /// floor; 0 while OPEN has no rate.
    function bondUnitOf(uint256 node) external view returns (uint256);

    /// @notice The least that a unit of bond is, base units of OPEN.
    function bondUnitFloor() external view returns (uint128);

    /// @notice How many nodes were registered; ids are 1..this.
    function nodeCount() external view returns (uint256);

    /// @notice How long a new unbond request takes, seconds.
    function unbondingSeconds() external view returns (uint32);

    /// @notice The contract that opens and closes jobs.
    function cloudverse() external view returns (address);

    /// @notice Account that sets parameters.
    function governance() external view returns (address);

    /// @notice The OPEN token.
    function openToken() external view returns (address);
}
