// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {ICloudWallet} from "./interfaces/ICloudWallet.sol";
import {IIncentives} from "./interfaces/IIncentives.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {JobState, Progress, Rates, Terms, TermsRates} from "./libraries/JobTerms.sol";
import {Pricing} from "./libraries/Pricing.sol";

/// @title OPEN for nodes in proportion to the value they settled
/// @notice See {IIncentives}.
contract Incentives is IIncentives {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;
    using TermsRates for Rates;
    using Checkpoints for Checkpoints.Trace208;

    /// @inheritdoc IIncentives
    uint128 public constant MAX_RATE = 50_000_000e18;

    struct Share {
        uint128 usdMicros;
        uint128 cap;
    }

    address private immutable _openToken;
    address private immutable _cloudverse;
    address private immutable _governance;

    Checkpoints.Trace208 private _rates; // by the first week they hold for
    mapping(bytes32 jobId => bool) private _isReported;
    mapping(uint256 week => mapping(uint256 node => mapping(address payee => Share))) private _shares;
    mapping(uint256 week => uint256) private _totals;

    /// @param openToken_ OPEN, of which genesis gives this contract some.
    /// @param cloudverse_ Where jobs settle.
    /// @param governance_ Sets the rate.
    constructor(address openToken_, address cloudverse_, address governance_) {
        if (openToken_ == address(0) || cloudverse_ == address(0) || governance_ == address(0)) revert Incentives_ZeroAddress();
        _openToken = openToken_;
        _cloudverse = cloudverse_;
        _governance = governance_;
    }

    /// @inheritdoc IIncentives
    function setRate(uint128 rate) external {
        // Check
        if (msg.sender != _governance) revert Incentives_NotAllowed(msg.sender);
        if (rate > MAX_RATE) revert Incentives_RateAboveCap(rate, MAX_RATE);

        // Effect
        uint256 from = block.timestamp / 1 weeks + 1;
        emit RateSet(uint128(_rates.latest()), rate, from);
        _rates.push(uint48(from), rate);
    }

    /// @inheritdoc IIncentives
    function report(bytes32 jobId, Terms calldata terms, Progress calldata progress) external {
        // Check
        (JobState state,, uint48 time, bytes24 hash) = IJobMarket(_cloudverse).jobOf(jobId);
        if (state != JobState.Settled || hash != IJobMarket(_cloudverse).hashTerms(terms, progress)) revert Incentives_NotSettled(jobId);
        if (_isReported[jobId]) revert Incentives_AlreadyReported(jobId);
        uint256 week = uint256(time) / 1 weeks;
        if (block.timestamp / 1 weeks > week + 1) revert Incentives_ReportingOver(week);
        if (rateOf(week) == 0) revert Incentives_Off(week);
        uint256 usdMicros = Pricing.usdMicrosRoundedDown(progress.value, terms.rates.usdRate());
        uint256 cap = Pricing.leastOpenRoundedDown(
            Pricing.split(progress.value, terms.rates).treasury, terms.rates, _usdRateNow(terms.token), _usdRateNow(_openToken)
        );

        // Effect
        _isReported[jobId] = true;
        Share storage share = _shares[week][terms.node][terms.payee];
        share.usdMicros = (usdMicros + share.usdMicros).toUint128();
        share.cap = (cap + share.cap).toUint128();
        _totals[week] += usdMicros;
        emit Reported(jobId, week, terms.node, terms.payee, usdMicros, cap);
    }

    function _usdRateNow(address token) private view returns (uint256) {
        return ICloudWallet(_cloudverse).listingOf(token).usdRate;
    }

    /// @inheritdoc IIncentives
    function pay(uint256 week, uint256 node, address payee) external {
        // Check
        if (block.timestamp / 1 weeks <= week + 1) revert Incentives_ReportingOpen(week);
        Share memory share = _shares[week][node][payee];
        uint256 amount = share.usdMicros == 0 ? 0 : Math.min(Math.mulDiv(rateOf(week), share.usdMicros, _totals[week]), share.cap);
        if (amount == 0) revert Incentives_NothingToPay(week, node, payee);
        uint256 balance = IERC20(_openToken).balanceOf(address(this));
        if (balance < amount) revert Incentives_BalanceTooLow(balance, amount);

        // Effect
        delete _shares[week][node][payee];
        emit IncentivePaid(week, node, payee, amount);

        // Interaction
        IERC20(_openToken).safeTransfer(payee, amount);
    }

    /// @inheritdoc IIncentives
    function rateOf(uint256 week) public view returns (uint256) {
        return _rates.upperLookupRecent(week.toUint48());
    }

    /// @inheritdoc IIncentives
    function reportedOf(uint256 week, uint256 node, address payee) external view returns (uint128 usdMicros, uint128 cap) {
        Share memory share = _shares[week][node][payee];
        return (share.usdMicros, share.cap);
    }

    /// @inheritdoc IIncentives
    function totalOf(uint256 week) external view returns (uint256) {
        return _totals[week];
    }
}
