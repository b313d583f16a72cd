// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC6372} from "@openzeppelin/contracts/interfaces/IERC6372.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICloudWallet} from "./interfaces/ICloudWallet.sol";
import {IStaking} from "./interfaces/IStaking.sol";

/// @title Stakes of OPEN: revenue share, votes, payer tiers
/// @notice See {IStaking}.
/// @dev One accumulator serves every token: A(t), the integral of 2^SCALE / total weight over the seconds in which somebody was staked. Within a week a
/// token streams at a constant rate, so a weight w earns w · rate · ΔA / 2^SCALE. A stake action therefore costs the same whatever tokens there are, and
/// calls none but OPEN; what differs per token are a stream and a prefix sum per week, written when the token is rolled. An account keeps a history of
/// (A, weight, week), one slot per change of its weight, which each token's claims walk once.
contract Staking is Votes, ReentrancyGuardTransient, IStaking {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    uint256 private constant MIN_LOCK_DAYS = 14;
    uint256 private constant MAX_LOCK_DAYS = 365;
    /// The least that can count. It bounds A: 2^SCALE per second and OPEN stay below 2^136 for 100 years.
    uint256 private constant MIN_STAKE = 1e18;
    uint256 private constant SUPPLY = 100_000_000_000e18;
    /// Bits behind the point of A: enough that a second's increment at the greatest weight (4 · supply) has 65 bits.
    uint256 private constant SCALE = 164;
    /// Weeks a claim rolls by itself at most; more need {roll} first.
    uint256 private constant MAX_WEEKS_PER_CLAIM = 60;
    /// A call that runs out of gas leaves each of its callers a 64th at most. The deepest of a claim is a token's implementation behind a proxy while
    /// Cloudverse pays revenue out, four calls below: a 12th is more than is left then, and has room for one call more.
    uint256 private constant CLAIM_GAS_DIVISOR = 12;

    /// @dev An account's stake in one slot.
    struct Position {
        uint104 amount;
        uint40 end;
        uint8 tier; // as Cloudverse was told
        uint32 entries; // of its history
    }

    /// @dev A weight from a point on.
    struct Entry {
        uint136 accumulator;
        uint104 weight;
        uint16 week; // since the first one
    }

    /// @dev A token's week.
    struct Week {
        uint256 prefix; // sum over earlier weeks of stream · ΔA / 1 week, scaled
        uint256 stream; // what streams in it, base units
    }

    /// @dev How far an account has been paid of a token.
    struct Cursor {
        uint224 index; // prefix sum up to which it was paid
        uint32 entry; // of its history
    }

    address private immutable _openToken;
    address private immutable _cloudverse;
    uint256 private immutable _firstWeek;

    Entry private _total; // accumulator as of `_updatedAt`, weight since then
    uint40 private _updatedAt;
    mapping(address account => Position) private _positions;
    mapping(address account => mapping(uint256 index => Entry)) private _history;
    mapping(uint256 week => uint256) private _accumulatorAt; // at the week's first second
    mapping(uint256 week => uint256) private _idleSeconds;
    mapping(address token => mapping(uint256 week => Week)) private _weeks;
    mapping(address token => uint256) private _nextWeek;
    uint256 private _openReserve; // revenue in OPEN that was not paid yet: what claims may take of a balance that holds all stakes too
    mapping(address token => uint256) private _carryRemainder; // what carrying over rounded off, in base units / 1 week
    mapping(address account => mapping(address token => Cursor)) private _cursors;

    /// @param openToken_ OPEN.
    /// @param cloudverse_ Where the revenue comes from; may be the address it will be deployed to.
    constructor(address openToken_, address cloudverse_) EIP712("OpenGPU Staking", "1") {
        if (openToken_ == address(0) || cloudverse_ == address(0)) revert Staking_ZeroAddress();
        _openToken = openToken_;
        _cloudverse = cloudverse_;
        _firstWeek = block.timestamp / 1 weeks;
        _updatedAt = uint40(block.timestamp);
    }

    // -------------------------------------------------------------------------------------------------------------------------------- staking

    /// @inheritdoc IStaking
    function stake(uint128 amount, uint16 lockDays) external nonReentrant {
        // Check
        _requireRange("amount", amount, MIN_STAKE, SUPPLY);
        (Position memory position, uint256 weight) = _current(msg.sender);
        uint256 end = _endOf(lockDays);
        if (end > position.end) weight = _weightAnew(position, weight, end);
        else end = position.end;
        weight += _weightOf(amount, end - block.timestamp);

        // Effect
        position.amount = (uint256(amount) + position.amount).toUint104();
        position.end = uint40(end);
        emit Staked(msg.sender, amount, position.amount, weight, end);
        _setWeight(msg.sender, position, weight);

        // Interaction. OPEN moves exactly what it is told to.
        IERC20(_openToken).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IStaking
    function extend(uint16 lockDays) external {
        // Check
        (Position memory position, uint256 weight) = _current(msg.sender);
        if (position.amount < MIN_STAKE) revert Staking_NothingStaked(msg.sender);
        uint256 end = _endOf(lockDays);
        if (end <= position.end) revert Staking_EndNotLater(position.end, end);
        weight = _weightAnew(position, weight, end);

        // Effect
        position.end = uint40(end);
        emit StakeExtended(msg.sender, weight, end);
        _setWeight(msg.sender, position, weight);
    }

    /// @inheritdoc IStaking
    function unstake(uint128 amount, address to) external nonReentrant {
        // Check
        if (to == address(0)) revert Staking_ZeroAddress();
        Position memory position = _positions[msg.sender];
        if (block.timestamp < position.end) revert Staking_Locked(position.end);
        if (amount == 0 || amount > position.amount) revert Staking_TooLow(position.amount, amount);

        // Effect
        unchecked {
            position.amount -= uint104(amount);
        }
        emit Unstaked(msg.sender, to, amount, position.amount);
        _setWeight(msg.sender, position, 0);

        // Interaction
        IERC20(_openToken).safeTransfer(to, amount);
    }

    /// @inheritdoc IStaking
    function expireStake(address account) external {
        // Check
        Position memory position = _positions[account];
        uint256 weight = _weight(account, position);
        if (weight == 0) revert Staking_NothingStaked(account);
        if (block.timestamp < position.end) revert Staking_Locked(position.end);

        // Effect
        emit StakeExpired(account, weight);
        _setWeight(account, position, 0);
    }

    /// @dev An account's stake and the weight that still counts: none from the end on, also where nobody expired it.
    function _current(address account) private view returns (Position memory position, uint256 weight) {
        position = _positions[account];
        if (block.timestamp < position.end) weight = _weight(account, position);
    }

    /// @dev Weight of what is staked under a later end; refused where it would be less than now.
    function _weightAnew(Position memory position, uint256 weight, uint256 end) private view returns (uint256 newWeight) {
        newWeight = _weightOf(position.amount, end - block.timestamp);
        if (newWeight < weight) revert Staking_WeightWouldFall(weight, newWeight);
    }

    function _endOf(uint256 lockDays) private view returns (uint256) {
        _requireRange("lockDays", lockDays, MIN_LOCK_DAYS, MAX_LOCK_DAYS);
        return block.timestamp + lockDays * 1 days;
    }

    /// @dev amount · (1 + 3 · seconds / 365 days), rounded down.
    function _weightOf(uint256 amount, uint256 lockSeconds) private pure returns (uint256) {
        return amount + amount * 3 * lockSeconds / (MAX_LOCK_DAYS * 1 days);
    }

    function _requireRange(bytes32 field, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert Staking_OutOfRange(field, value, min, max);
    }

    /// @dev Writes a position and its new weight: into the history, the total, the votes and Cloudverse's view of the payer.
    function _setWeight(address account, Position memory position, uint256 weight) private {
        _advance();
        uint256 count = position.entries;
        Entry memory last = _history[account][count == 0 ? 0 : count - 1];
        uint256 oldWeight = last.weight;
        Entry memory total = _total;
        if (weight != oldWeight) {
            // Nothing was earned since a point with the same accumulator: its entry is written again.
            if (count != 0 && last.accumulator == total.accumulator) --count;
            _history[account][count] = Entry({accumulator: total.accumulator, weight: weight.toUint104(), week: uint16(_thisWeek() - _firstWeek)});
            position.entries = uint32(count + 1);
            total.weight = (uint256(total.weight) + weight - oldWeight).toUint104();
            _total = total;
            if (weight > oldWeight) _transferVotingUnits(address(0), account, weight - oldWeight);
            else _transferVotingUnits(account, address(0), oldWeight - weight);
        }
        uint8 tier = _tierOfWeight(weight);
        bool isNews = tier != position.tier || (tier != 0 && position.end != _positions[account].end);
        position.tier = tier;
        _positions[account] = position;
        if (isNews) ICloudWallet(_cloudverse).setPayerTier(account, tier, position.end);
    }

    function _weight(address account, Position memory position) private view returns (uint256) {
        return position.entries == 0 ? 0 : _history[account][position.entries - 1].weight;
    }

    function _tierOfWeight(uint256 weight) private pure returns (uint8) {
        if (weight < 100_000e18) return 0;
        if (weight < 1_000_000e18) return 1;
        if (weight < 10_000_000e18) return 2;
        return weight < 100_000_000e18 ? 3 : 4;
    }

    // -------------------------------------------------------------------------------------------------------------------------- accumulator

    function _thisWeek() private view returns (uint256) {
        return block.timestamp / 1 weeks;
    }

    /// @inheritdoc IStaking
    function advance(uint256 maxWeeks) external {
        _advanceWeeks(maxWeeks);
    }

    /// @dev Brings the accumulator to the beginning of this week, noting it at every week that began since.
    function _advanceWeeks(uint256 maxWeeks) private {
        uint256 time = _updatedAt;
        uint256 week = time / 1 weeks;
        uint256 end = Math.min(_thisWeek(), week > type(uint256).max - maxWeeks ? type(uint256).max : week + maxWeeks);
        if (week >= end) return;
        Entry memory total = _total;
        uint256 accumulator = total.accumulator;
        while (week < end) {
            uint256 next = (week + 1) * 1 weeks;
            if (total.weight == 0) _idleSeconds[week] += next - time;
            else accumulator += ((next - time) << SCALE) / total.weight;
            ++week;
            _accumulatorAt[week] = accumulator;
            time = next;
        }
        _total.accumulator = accumulator.toUint136();
        _updatedAt = uint40(time);
    }

    /// @dev Brings the accumulator to now: before a weight changes.
    function _advance() private {
        _advanceWeeks(type(uint256).max);
        uint256 time = _updatedAt;
        if (time == block.timestamp) return;
        if (_total.weight == 0) _idleSeconds[_thisWeek()] += block.timestamp - time;
        else _total.accumulator = _accumulatorNow().toUint136();
        _updatedAt = uint40(block.timestamp);
    }

    /// @dev The accumulator now, once all weeks that began are noted.
    function _accumulatorNow() private view returns (uint256) {
        Entry memory total = _total;
        return total.weight == 0 ? total.accumulator : total.accumulator + ((block.timestamp - _updatedAt) << SCALE) / total.weight;
    }

    /// @dev A token's prefix sum at a point of the accumulator in a rolled week.
    function _indexAt(address token, uint256 week, uint256 accumulator) private view returns (uint256) {
        Week memory at = _weeks[token][week];
        return at.prefix + at.stream * (accumulator - _accumulatorAt[week]) / 1 weeks;
    }

    // ------------------------------------------------------------------------------------------------------------------------------ revenue

    /// @inheritdoc IStaking
    function roll(address token, uint256 maxWeeks) external nonReentrant {
        _roll(token, maxWeeks);
    }

    /// @dev For every week that began since: what the last one paid out is summed, what it did not is carried over, and its revenue comes in.
    function _roll(address token, uint256 maxWeeks) private {
        _advanceWeeks(type(uint256).max);
        uint256 week = _nextWeek[token];
        if (week == 0) week = _firstWeek + 1;
        uint256 end = Math.min(_thisWeek() + 1, Math.saturatingAdd(week, maxWeeks));
        for (; week < end; ++week) {
            Week memory last = _weeks[token][week - 1];
            // Rounded down with the remainder kept: over all weeks carried and earned together never pass what streamed, however often it is carried.
            uint256 idle = last.stream * _idleSeconds[week - 1] + _carryRemainder[token];
            uint256 carried = idle / 1 weeks;
            _carryRemainder[token] = idle % 1 weeks;
            uint256 revenue = _pull(token, week - 1);
            _weeks[token][week] =
                Week({prefix: last.prefix + last.stream * (_accumulatorAt[week] - _accumulatorAt[week - 1]) / 1 weeks, stream: revenue + carried});
            emit Rolled(token, week, revenue, carried);
        }
        // Also where nothing was rolled: in the first week a claim finds the token up to date.
        _nextWeek[token] = week;
    }

    function _pull(address token, uint256 week) private returns (uint256 revenue) {
        uint256 balance = IERC20(token).balanceOf(address(this));
        revenue = ICloudWallet(_cloudverse).pullStakersRevenue(week, token);
        uint256 arrived = IERC20(token).balanceOf(address(this)) - balance;
        if (arrived != revenue) revert Staking_RevenueInexact(token, revenue, arrived);
        if (token == _openToken) _openReserve += revenue;
    }

    /// @inheritdoc IStaking
    function claim(address[] calldata tokens, address to) external nonReentrant {
        if (to == address(0)) revert Staking_ZeroAddress();
        for (uint256 i = 0; i < tokens.length; ++i) {
            uint256 gasBefore = gasleft();
            try this.payOut(msg.sender, tokens[i], to) {}
            catch (bytes memory reason) {
                // Want of gas is no fault of the token; an estimate would otherwise find the gas at which every token is skipped.
                if (gasleft() < gasBefore / CLAIM_GAS_DIVISOR) revert Staking_GasTooLow();
                emit ClaimSkipped(msg.sender, tokens[i], reason);
            }
        }
    }

    /// @notice One token of a {claim}. By this contract itself, so that what one token does wrong is undone alone.
    /// @param account Whose part.
    /// @param token Which token.
    /// @param to Who gets it.
    function payOut(address account, address token, address to) external {
        // Check
        if (msg.sender != address(this)) revert Staking_NotAllowed(msg.sender);
        (uint256 amount, Cursor memory cursor) = _accrued(account, token);

        // Effect
        _cursors[account][token] = cursor;
        if (token == _openToken) _openReserve -= amount;
        emit Claimed(account, token, to, amount);

        // Interaction
        if (amount != 0) IERC20(token).safeTransfer(to, amount);
    }

    /// @inheritdoc IStaking
    function earned(address account, address token) external nonReentrant returns (uint256 amount) {
        (amount,) = _accrued(account, token);
    }

    /// @dev What an account earned of a token since its cursor, each stretch of constant weight rounded down.
    function _accrued(address account, address token) private returns (uint256 amount, Cursor memory cursor) {
        _roll(token, MAX_WEEKS_PER_CLAIM);
        if (_nextWeek[token] <= _thisWeek()) revert Staking_RollFirst(token, _nextWeek[token]);
        cursor = _cursors[account][token];
        uint256 count = _positions[account].entries;
        if (count == 0) return (0, cursor);
        Entry memory entry = _history[account][cursor.entry];
        // A claim sets the cursor to a point not before its entry; only a first one starts at the entry itself.
        uint256 index = cursor.index != 0 ? cursor.index : _indexAt(token, _firstWeek + entry.week, entry.accumulator);
        for (uint256 i = cursor.entry + 1; i < count; ++i) {
            Entry memory next = _history[account][i];
            uint256 nextIndex = Math.max(index, _indexAt(token, _firstWeek + next.week, next.accumulator));
            amount += Math.mulDiv(entry.weight, nextIndex - index, 1 << SCALE);
            (entry, index) = (next, nextIndex);
        }
        uint256 indexNow = Math.max(index, _indexAt(token, _thisWeek(), _accumulatorNow()));
        amount += Math.mulDiv(entry.weight, indexNow - index, 1 << SCALE);
        cursor = Cursor({index: indexNow.toUint224(), entry: uint32(count - 1)});
    }

    // -------------------------------------------------------------------------------------------------------------------------------- votes

    /// @notice Time votes are counted by: unix seconds (ERC-6372).
    function clock() public view override(Votes, IERC6372) returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @notice How {clock} counts (ERC-6372).
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override(Votes, IERC6372) returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice Who votes with an account's weight: the account itself unless it chose somebody.
    function delegates(address account) public view override(Votes, IVotes) returns (address) {
        address chosen = super.delegates(account);
        return chosen == address(0) ? account : chosen;
    }

    /// @dev Delegating to nobody is delegating to oneself.
    function _delegate(address account, address delegatee) internal override {
        super._delegate(account, delegatee == address(0) ? account : delegatee);
    }

    function _getVotingUnits(address account) internal view override returns (uint256) {
        return _weight(account, _positions[account]);
    }

    // -------------------------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IStaking
    function positionOf(address account) external view returns (uint104 amount, uint104 weight, uint40 end) {
        Position memory position = _positions[account];
        return (position.amount, uint104(_weight(account, position)), position.end);
    }

    /// @inheritdoc IStaking
    function totalWeight() external view returns (uint256) {
        return _total.weight;
    }

    /// @inheritdoc IStaking
    function tierOf(address account) external view returns (uint8) {
        (, uint256 weight) = _current(account);
        return _tierOfWeight(weight);
    }

    /// @inheritdoc IStaking
    function streamOf(address token, uint256 week) external view returns (uint256) {
        return _weeks[token][week].stream;
    }

    /// @inheritdoc IStaking
    function reserveOf(address token) external view returns (uint256) {
        return token == _openToken ? _openReserve : IERC20(token).balanceOf(address(this));
    }

    /// @inheritdoc IStaking
    function nextWeekOf(address token) external view returns (uint256) {
        return _nextWeek[token];
    }

    /// @inheritdoc IStaking
    function idleSecondsOf(uint256 week) external view returns (uint256) {
        return _idleSeconds[week];
    }

    /// @inheritdoc IStaking
    function cloudverse() external view returns (address) {
        return _cloudverse;
    }

    /// @inheritdoc IStaking
    function openToken() external view returns (address) {
        return _openToken;
    }
}
