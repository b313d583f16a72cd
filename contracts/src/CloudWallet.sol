// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {WalletRules} from "./WalletRules.sol";
import {ICloudWallet} from "./interfaces/ICloudWallet.sol";

/// @title Credits, budgets and booked revenue
/// @notice See {ICloudWallet}. Locking a job's escrow is a debit here and a hash in the job's slot; the market pays out of it by crediting.
abstract contract CloudWallet is ICloudWallet, WalletRules, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// Hard cap of the stakers' share, hundredths of a percent.
    uint16 private constant MAX_STAKERS_BPS = 1500;
    /// Hard cap of the treasury's share, hundredths of a percent.
    uint16 private constant MAX_TREASURY_BPS = 500;
    uint8 private constant MAX_BUDGET_DEPTH = 4;

    modifier onlyGovernance() {
        if (msg.sender != _governance) revert CloudWallet_NotAllowed(msg.sender);
        _;
    }

    // ------------------------------------------------------------------------------------------------------------------------------- credits

    /// @inheritdoc ICloudWallet
    function deposit(address token, uint256 amount) external nonReentrant {
        _deposit(msg.sender, token, amount);
    }

    /// @inheritdoc ICloudWallet
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        // Interaction. A permit somebody else used first has already given the allowance; without any, the transfer below fails.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(msg.sender, token, amount);
    }

    /// @inheritdoc ICloudWallet
    function depositFor(address account, address token, uint256 amount) external nonReentrant {
        if (account == address(0)) revert CloudWallet_ZeroAddress();
        _deposit(account, token, amount);
    }

    /// @inheritdoc ICloudWallet
    function withdraw(address token, uint256 amount, address to) external nonReentrant {
        // Check
        if (to == address(0)) revert CloudWallet_ZeroAddress();
        if (amount == 0) revert CloudWallet_ZeroAmount();

        // Effect
        _debit(msg.sender, token, amount);
        emit Withdrawn(msg.sender, token, to, amount, _credits[msg.sender][token]);

        // Interaction
        IERC20(token).safeTransfer(to, amount);
    }

    function _deposit(address account, address token, uint256 amount) private {
        // Check
        if (amount == 0) revert CloudWallet_ZeroAmount();
        if (_listings[token].usdRate == 0) revert CloudWallet_TokenNotListed(token);

        // Interaction first: only the balance says what a token really moved. Callers hold the reentrancy guard.
        uint256 balanceBefore = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 moved = IERC20(token).balanceOf(address(this)) - balanceBefore;
        if (moved != amount) revert CloudWallet_TransferInexact(token, amount, moved);

        // Effect
        _credit(account, token, amount);
        emit Deposited(account, token, msg.sender, amount, _credits[account][token]);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- budgets

    /// @inheritdoc ICloudWallet
    function openBudget(uint256 parent, address key, address token, uint128 cap, uint128 perJob, uint40 expiresAt) external returns (uint256 budget) {
        // Check
        if (key == address(0) || token == address(0)) revert CloudWallet_ZeroAddress();
        address payer = msg.sender;
        uint8 depth = 1;
        if (parent != 0) {
            Budget storage above = _budgets[parent];
            payer = above.payer;
            if (payer == address(0)) revert CloudWallet_BudgetUnknown(parent);
            if (msg.sender != payer && msg.sender != above.key) revert CloudWallet_NotAllowed(msg.sender);
            if (token != above.token) revert CloudWallet_BudgetMismatch(parent, payer, token);
            if (cap > above.cap) revert CloudWallet_BudgetTooLow(parent, above.cap, cap);
            if (perJob > above.perJob) revert CloudWallet_BudgetPerJobTooLow(parent, above.perJob, perJob);
            if (expiresAt > above.expiresAt) revert CloudWallet_BudgetHasExpired(parent, above.expiresAt);
            depth = above.depth + 1;
            if (depth > MAX_BUDGET_DEPTH) revert CloudWallet_BudgetTooDeep(parent);
            for (uint256 id = parent; id != 0; id = _budgets[id].parent) {
                if (_budgets[id].isRevoked) revert CloudWallet_BudgetIsRevoked(id);
            }
        }
        if (expiresAt <= block.timestamp) revert CloudWallet_BudgetHasExpired(0, expiresAt);

        // Effect
        budget = ++_budgetCount;
        _budgets[budget] = Budget({
            left: cap,
            parent: uint64(parent),
            expiresAt: expiresAt,
            isRevoked: false,
            depth: depth,
            key: key,
            cap: cap,
            perJob: perJob,
            payer: payer,
            token: token
        });
        emit BudgetOpened(budget, payer, key, parent, token, cap, perJob, expiresAt);
    }

    /// @inheritdoc ICloudWallet
    function revokeBudget(uint256 budget) external {
        // Check
        Budget storage revoked = _budgets[budget];
        if (revoked.payer == address(0)) revert CloudWallet_BudgetUnknown(budget);
        if (revoked.isRevoked) revert CloudWallet_BudgetIsRevoked(budget);
        bool isAllowed = msg.sender == revoked.payer;
        for (uint256 id = revoked.parent; id != 0 && !isAllowed; id = _budgets[id].parent) {
            isAllowed = msg.sender == _budgets[id].key;
        }
        if (!isAllowed) revert CloudWallet_NotAllowed(msg.sender);

        // Effect
        revoked.isRevoked = true;
        emit BudgetRevoked(budget, msg.sender);
    }

    // ------------------------------------------------------------------------------------------------------------------- listings and revenue

    /// @inheritdoc ICloudWallet
    function setListing(address token, uint96 usdRate, uint128 t0Cap) external onlyGovernance {
        if (token == address(0)) revert CloudWallet_ZeroAddress();
        Listing memory old = _listings[token];
        _listings[token] = Listing({usdRate: usdRate, t0Cap: t0Cap});
        if (token == _openToken) _matchParameters.openRate = usdRate;
        emit ListingSet(token, old.usdRate, usdRate, old.t0Cap, t0Cap);
    }

    /// @inheritdoc ICloudWallet
    function setFees(uint16 stakersBps, uint16 treasuryBps) external onlyGovernance {
        if (stakersBps > MAX_STAKERS_BPS) revert CloudWallet_FeeAboveCap(stakersBps, MAX_STAKERS_BPS);
        if (treasuryBps > MAX_TREASURY_BPS) revert CloudWallet_FeeAboveCap(treasuryBps, MAX_TREASURY_BPS);
        MatchParameters storage parameters = _matchParameters;
        emit FeesSet(parameters.stakersBps, stakersBps, parameters.treasuryBps, treasuryBps);
        parameters.stakersBps = stakersBps;
        parameters.treasuryBps = treasuryBps;
    }

    /// @inheritdoc ICloudWallet
    function setPayerTier(address account, uint8 tier, uint40 until) external {
        // Check
        if (msg.sender != _staking) revert CloudWallet_NotAllowed(msg.sender);

        // Effect
        PayerTier memory old = _payerTiers[account];
        _payerTiers[account] = PayerTier({tier: tier, until: until});
        emit PayerTierSet(account, old.tier, tier, until);
    }

    /// @inheritdoc ICloudWallet
    function pullStakersRevenue(uint256 week, address token) external nonReentrant returns (uint256 amount) {
        // Check
        if (msg.sender != _staking) revert CloudWallet_NotAllowed(msg.sender);
        _requireWeekIsOver(week);

        // Effect
        amount = _revenue[week][token].stakers;
        _revenue[week][token].stakers = 0;
        emit StakersRevenuePulled(week, token, amount);

        // Interaction
        if (amount != 0) IERC20(token).safeTransfer(_staking, amount);
    }

    /// @inheritdoc ICloudWallet
    function pullTreasuryRevenue(uint256 week, address token) external nonReentrant returns (uint256 amount) {
        // Check
        _requireWeekIsOver(week);

        // Effect
        amount = _revenue[week][token].treasury;
        _revenue[week][token].treasury = 0;
        _credit(_governance, token, amount);
        emit TreasuryRevenuePulled(week, token, amount);
    }

    function _requireWeekIsOver(uint256 week) private view {
        if (week >= block.timestamp / 1 weeks) revert CloudWallet_WeekNotOver(week);
    }

    // --------------------------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc ICloudWallet
    function credits(address account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc ICloudWallet
    function payerTierOf(address account) external view returns (uint8) {
        return _payerTier(account);
    }

    /// @inheritdoc ICloudWallet
    function governance() external view returns (address) {
        return _governance;
    }

    /// @inheritdoc ICloudWallet
    function staking() external view returns (address) {
        return _staking;
    }

    /// @inheritdoc ICloudWallet
    function openToken() external view returns (address) {
        return _openToken;
    }

    /// @inheritdoc ICloudWallet
    function budgetOf(uint256 budget) external view returns (Budget memory) {
        if (_budgets[budget].payer == address(0)) revert CloudWallet_BudgetUnknown(budget);
        return _budgets[budget];
    }

    /// @inheritdoc ICloudWallet
    function listingOf(address token) external view returns (Listing memory) {
        return _listings[token];
    }

    /// @inheritdoc ICloudWallet
    function fees() external view returns (uint16 stakersBps, uint16 treasuryBps) {
        return (_matchParameters.stakersBps, _matchParameters.treasuryBps);
    }

    /// @inheritdoc ICloudWallet
    function revenueOf(uint256 week, address token) external view returns (Revenue memory) {
        return _revenue[week][token];
    }
}
