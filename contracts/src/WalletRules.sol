// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICloudWallet} from "./interfaces/ICloudWallet.sol";

/// @title What the wallet keeps, and how money moves in it
/// @notice Storage of {CloudWallet} and the debits and credits that every part of Cloudverse shares. Nothing here can be called from outside.
abstract contract WalletRules {
    /// @notice Numbers every match reads, kept in one slot.
    struct MatchParameters {
        uint16 stakersBps;
        uint16 treasuryBps;
        uint96 openRate; // OPEN's listed rate, copied here so that a match need not read a second listing
    }

    /// @notice A payer's tier as the staking contract last said. A stake's weight cannot fall before its lock ends, so it is right until then.
    struct PayerTier {
        uint8 tier;
        uint40 until;
    }

    address internal immutable _governance;
    address internal immutable _staking;
    address internal immutable _openToken;

    mapping(address account => mapping(address token => uint256)) internal _credits;
    mapping(uint256 budget => ICloudWallet.Budget) internal _budgets;
    uint64 internal _budgetCount;
    MatchParameters internal _matchParameters = MatchParameters({stakersBps: 1200, treasuryBps: 500, openRate: 0});
    mapping(address token => ICloudWallet.Listing) internal _listings;
    mapping(uint256 week => mapping(address token => ICloudWallet.Revenue)) internal _revenue;
    mapping(address account => PayerTier) internal _payerTiers;

    constructor(address openToken_, address governance_, address staking_) {
        if (openToken_ == address(0) || governance_ == address(0)) revert ICloudWallet.CloudWallet_ZeroAddress();
        _openToken = openToken_;
        _governance = governance_;
        _staking = staking_;
    }

    function _credit(address account, address token, uint256 amount) internal {
        _credits[account][token] += amount;
    }

    function _debit(address account, address token, uint256 amount) internal {
        uint256 balance = _credits[account][token];
        if (balance < amount) revert ICloudWallet.CloudWallet_CreditsTooLow(account, token, balance, amount);
        unchecked {
            _credits[account][token] = balance - amount;
        }
    }

    /// @dev Whether an account is the key of a budget of this payer. Without the payer's part of the check anyone could open a budget and name a victim.
    function _isBudgetKey(uint256 budget, address payer, address account) internal view returns (bool) {
        return budget != 0 && _budgets[budget].payer == payer && _budgets[budget].key == account;
    }

    /// @dev The key of a budget of this payer, zero when there is none.
    function _budgetKey(uint256 budget, address payer) internal view returns (address) {
        return budget != 0 && _budgets[budget].payer == payer ? _budgets[budget].key : address(0);
    }

    /// @dev Debits a budget and all above it. `jobTotal` is all that was ever locked for the job, this spending included.
    function _spendBudget(uint256 budget, address payer, address token, uint128 amount, uint256 jobTotal) internal {
        if (budget == 0) return;
        ICloudWallet.Budget storage leaf = _budgets[budget];
        if (leaf.payer != payer || leaf.token != token) revert ICloudWallet.CloudWallet_BudgetMismatch(budget, payer, token);
        if (jobTotal > leaf.perJob) revert ICloudWallet.CloudWallet_BudgetPerJobTooLow(budget, leaf.perJob, jobTotal);
        for (uint256 id = budget; id != 0; id = _budgets[id].parent) {
            ICloudWallet.Budget storage level = _budgets[id];
            if (level.isRevoked) revert ICloudWallet.CloudWallet_BudgetIsRevoked(id);
            if (block.timestamp >= level.expiresAt) revert ICloudWallet.CloudWallet_BudgetHasExpired(id, level.expiresAt);
            if (level.left < amount) revert ICloudWallet.CloudWallet_BudgetTooLow(id, level.left, amount);
            unchecked {
                level.left -= amount;
            }
        }
    }

    /// @dev Gives a refund back to a payer and, revoked or not, to the budget it came from and all above.
    function _refund(address payer, address token, uint256 budget, uint128 amount) internal {
        if (amount == 0) return;
        _credit(payer, token, amount);
        for (uint256 id = budget; id != 0; id = _budgets[id].parent) {
            _budgets[id].left += amount;
        }
    }

    /// @dev Books fees to the current week, one slot per week and token.
    function _bookRevenue(address token, uint256 stakers, uint256 treasury) internal {
        ICloudWallet.Revenue storage booked = _revenue[block.timestamp / 1 weeks][token];
        (booked.stakers, booked.treasury) = (booked.stakers + uint128(stakers), booked.treasury + uint128(treasury));
    }

    /// @dev Tier of a payer by its stake, 0 once its lock has ended.
    function _payerTier(address account) internal view returns (uint8) {
        PayerTier storage known = _payerTiers[account];
        return block.timestamp < known.until ? known.tier : 0;
    }
}
