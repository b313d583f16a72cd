// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Credits, budgets and booked revenue
/// @notice A payer's balances that pay for jobs. Everything anybody earns or gets back arrives here as credits; nothing is ever pushed.
interface ICloudWallet {
    /// @notice What a payer lets another key spend. Budgets form a tree at most four deep.
    struct Budget {
        uint128 left; // may still be spent, base units
        uint64 parent; // 0: opened by the payer
        uint40 expiresAt; // first second at which it is no longer good
        bool isRevoked;
        uint8 depth; // 1..4
        address key; // who may sign, match, extend and cancel orders, and open children
        uint128 cap; // spent at most, net of refunds, base units
        uint128 perJob; // locked for one job at most, base units
        address payer;
        address token;
    }

    /// @notice A token that new matches may pay with.
    struct Listing {
        uint96 usdRate; // millionths of a millionth of a USD per 10^18 base units; 0: not listed
        uint128 t0Cap; // highest escrow on a node of tier 0, base units
    }

    /// @notice One week's fees of one token that were not pulled yet, base units.
    struct Revenue {
        uint128 stakers;
        uint128 treasury;
    }

    /// @notice Credits were bought with tokens. `credits` is the account's new balance.
    event Deposited(address indexed account, address indexed token, address from, uint256 amount, uint256 credits);
    /// @notice Credits became tokens again. `credits` is the account's new balance.
    event Withdrawn(address indexed account, address indexed token, address to, uint256 amount, uint256 credits);
    /// @notice A budget was opened.
    event BudgetOpened(
        uint256 indexed budget,
        address indexed payer,
        address indexed key,
        uint256 parent,
        address token,
        uint128 cap,
        uint128 perJob,
        uint40 expiresAt
    );
    /// @notice A budget was revoked, and with it the spending of all its descendants.
    event BudgetRevoked(uint256 indexed budget, address by);
    /// @notice A token's USD rate or tier-0 cap was set. A rate of 0 means the token is no longer listed.
    event ListingSet(address indexed token, uint96 oldUsdRate, uint96 usdRate, uint128 oldT0Cap, uint128 t0Cap);
    /// @notice The fee shares of new matches were set, in hundredths of a percent.
    event FeesSet(uint16 oldStakersBps, uint16 stakersBps, uint16 oldTreasuryBps, uint16 treasuryBps);
    /// @notice A finished week's stakers' part left for the staking contract.
    event StakersRevenuePulled(uint256 indexed week, address indexed token, uint256 amount);
    /// @notice A finished week's treasury part became credits of the treasury.
    event TreasuryRevenuePulled(uint256 indexed week, address indexed token, uint256 amount);

    /// @notice The staking contract said what an account's stake is worth as a payer, good until the lock ends.
    event PayerTierSet(address indexed account, uint8 oldTier, uint8 tier, uint40 until);

    /// @notice The token is not listed, so nothing new may depend on it.
    error CloudWallet_TokenNotListed(address token);
    /// @notice The account has fewer credits than asked.
    error CloudWallet_CreditsTooLow(address account, address token, uint256 credits, uint256 asked);
    /// @notice A transfer did not move exactly what was asked: the token takes fees or rebases.
    error CloudWallet_TransferInexact(address token, uint256 asked, uint256 moved);
    /// @notice An address that must be set is zero.
    error CloudWallet_ZeroAddress();
    /// @notice An amount that must be positive is zero.
    error CloudWallet_ZeroAmount();
    /// @notice The caller is not who may do this.
    error CloudWallet_NotAllowed(address caller);
    /// @notice No such budget.
    error CloudWallet_BudgetUnknown(uint256 budget);
    /// @notice The budget belongs to another payer or to another token.
    error CloudWallet_BudgetMismatch(uint256 budget, address payer, address token);
    /// @notice The budget or one of its ancestors was revoked.
    error CloudWallet_BudgetIsRevoked(uint256 budget);
    /// @notice The budget or one of its ancestors has expired.
    error CloudWallet_BudgetHasExpired(uint256 budget, uint256 expiresAt);
    /// @notice The budget or one of its ancestors has less left than asked.
    error CloudWallet_BudgetTooLow(uint256 budget, uint256 left, uint256 asked);
    /// @notice The amount is above what the budget allows for one job.
    error CloudWallet_BudgetPerJobTooLow(uint256 budget, uint256 perJob, uint256 asked);
    /// @notice The tree would become deeper than four levels.
    error CloudWallet_BudgetTooDeep(uint256 parent);
    /// @notice A fee share is above its hard cap.
    error CloudWallet_FeeAboveCap(uint256 bps, uint256 cap);
    /// @notice Revenue of a week that is not over cannot be pulled.
    error CloudWallet_WeekNotOver(uint256 week);

    /// @notice Turns the caller's tokens into credits of the caller. Needs an allowance and a listed token.
    /// @param token Listed ERC-20.
    /// @param amount Base units, positive.
    function deposit(address token, uint256 amount) external;

    /// @notice Like {deposit} with an ERC-2612 permit. A permit that was used already (front-run) does no harm while the allowance stands.
    /// @param token Listed ERC-20 with permit.
    /// @param amount Base units, positive.
    /// @param deadline The permit's deadline, unix seconds.
    /// @param v Signature part.
    /// @param r Signature part.
    /// @param s Signature part.
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Turns the caller's tokens into credits of somebody else.
    /// @param account Who gets the credits.
    /// @param token Listed ERC-20.
    /// @param amount Base units, positive.
    function depositFor(address account, address token, uint256 amount) external;

    /// @notice Turns the caller's credits into tokens. Possible at any time, for any token, for all that is not locked in a job.
    /// @param token The credits' token.
    /// @param amount Base units, positive.
    /// @param to Who gets the tokens.
    function withdraw(address token, uint256 amount, address to) external;

    /// @notice Lets a key spend the payer's credits up to a cap. By the payer (`parent` 0 or any of its budgets) or by the parent's key.
    /// @param parent Budget above, 0 for none. The child's token is the parent's; cap, perJob and expiry are within the parent's.
    /// @param key Key of the new budget.
    /// @param token Token of the new budget.
    /// @param cap Net spending at most, base units.
    /// @param perJob Escrow of one job at most, base units.
    /// @param expiresAt First second at which it is no longer good.
    /// @return budget Id of the new budget.
    function openBudget(uint256 parent, address key, address token, uint128 cap, uint128 perJob, uint40 expiresAt) external returns (uint256 budget);

    /// @notice Stops a budget and all below it. By the payer or by the key of a budget above. Jobs that are locked go on.
    /// @param budget Id.
    function revokeBudget(uint256 budget) external;

    /// @notice Lists a token, changes its rate or cap, or de-lists it with a rate of 0. By governance. Attempts that run
    /// are not affected; a job that was interrupted cannot be matched again while its token is not listed.
    /// @param token ERC-20 that moves exactly what it is told to.
    /// @param usdRate Millionths of a millionth of a USD per 10^18 base units.
    /// @param t0Cap Highest escrow on a node of tier 0, base units.
    function setListing(address token, uint96 usdRate, uint128 t0Cap) external;

    /// @notice Sets the fee shares of new matches. By governance.
    /// @param stakersBps At most 1500.
    /// @param treasuryBps At most 500.
    function setFees(uint16 stakersBps, uint16 treasuryBps) external;

    /// @notice Notes a payer's tier for new matches. By the staking contract.
    /// @param account The payer.
    /// @param tier 0..4.
    /// @param until First second at which it no longer counts: the end of the lock, before which a stake's weight cannot fall.
    function setPayerTier(address account, uint8 tier, uint40 until) external;

    /// @notice Sends a finished week's stakers' part to the staking contract. By the staking contract.
    /// @param week Unix time divided by 604,800, rounded down.
    /// @param token Token of the fees.
    /// @return amount Base units sent.
    function pullStakersRevenue(uint256 week, address token) external returns (uint256 amount);

    /// @notice Credits a finished week's treasury part to the treasury (governance). By anyone.
    /// @param week Unix time divided by 604,800, rounded down.
    /// @param token Token of the fees.
    /// @return amount Base units credited.
    function pullTreasuryRevenue(uint256 week, address token) external returns (uint256 amount);

    /// @notice Credits of an account that are not locked, base units.
    function credits(address account, address token) external view returns (uint256);

    /// @notice A payer's tier as new matches see it, 0..4.
    function payerTierOf(address account) external view returns (uint8);

    /// @notice A budget as it stands.
    function budgetOf(uint256 budget) external view returns (Budget memory);

    /// @notice A token's listing as new matches see it.
    function listingOf(address token) external view returns (Listing memory);

    /// @notice Fee shares of new matches, hundredths of a percent.
    function fees() external view returns (uint16 stakersBps, uint16 treasuryBps);

    /// @notice Fees of a week that were not pulled yet.
    function revenueOf(uint256 week, address token) external view returns (Revenue memory);

    /// @notice Account that sets listings and fees and receives the treasury's part.
    function governance() external view returns (address);

    /// @notice Staking contract, zero before it exists.
    function staking() external view returns (address);

    /// @notice The OPEN token.
    function openToken() external view returns (address);
}
