// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ICloudWallet} from "./interfaces/ICloudWallet.sol";
import {IERC4907, INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Badge} from "./libraries/Badge.sol";
import {Tiers} from "./libraries/Tiers.sol";

/// @title Nodes as NFTs, with bond and record
/// @notice See {INodeRegistry}. Laid out so that a match reads two slots and writes one, and a settlement writes one.
contract NodeRegistry is ERC721, INodeRegistry {
    using SafeERC20 for IERC20;

    uint64 private constant RAISE_SECONDS = 1 days;
    uint64 private constant UNBOND_LAPSE_SECONDS = 7 days;
    uint32 private constant MIN_UNBONDING_SECONDS = 7 days;
    uint32 private constant MAX_UNBONDING_SECONDS = 60 days;
    uint256 private constant FAULT_WINDOW_SECONDS = 24 hours;
    /// Make-goods take at most this part of the bond in 24 hours, so that a stolen operator key cannot drain it.
    uint256 private constant MAKE_GOOD_DIVISOR = 100;
    uint256 private constant MAX_MODEL_BYTES = 31;
    /// A unit of bond is what 24 times 24 hours cost at the list price.
    uint256 private constant BOND_UNIT_HOURS = 24 * 24;
    uint128 private constant MIN_BOND_UNIT_FLOOR = 1000e18;
    uint128 private constant MAX_BOND_UNIT_FLOOR = 1_000_000e18;
    /// Millionths of a USD to base units of OPEN at its rate, see {ICloudWallet-Listing}.
    uint256 private constant USD_MICROS_TO_RATE = 1e24;

    /// @dev Written by every match.
    struct Operation {
        address user;
        uint64 userExpires;
        uint32 opened; // attempts matched since registration or last transfer
    }

    /// @dev Read by every match, written by the owner and by unanswered faults.
    struct Offer {
        address payee;
        uint64 listPrice; // millionths of a USD per hour
        uint8 tier;
        bool isDraining;
        bool isSuspended;
        bool hasPendingListPrice;
    }

    /// @dev Written by every settlement.
    struct Record {
        uint32 closed;
        uint32 successes;
        uint32 fails;
        uint32 neutrals;
        uint32 counted;
        uint64 earnedUsdMicros;
        uint32 since;
    }

    struct Stake {
        uint128 bond;
        uint128 reserved;
    }

    struct UnbondRequest {
        uint128 amount;
        uint64 unbondsAt;
    }

    /// @dev The list price the owner set last. `from` 0: this owner never set one.
    struct NewestListPrice {
        uint64 listPrice;
        uint64 from;
    }

    /// @dev Times of the last two unanswered faults, and the make-goods since the bond last had 24 quiet hours.
    struct Faults {
        uint40 last;
        uint40 beforeLast;
        uint40 lastMakeGoodAt;
        uint128 madeGood;
    }

    struct Machine {
        bytes32 hardwareDigest;
        string gpuModel;
    }

    /// @inheritdoc INodeRegistry
    address public immutable openToken;
    /// @inheritdoc INodeRegistry
    address public immutable cloudverse;
    /// @inheritdoc INodeRegistry
    address public immutable governance;

    /// @inheritdoc INodeRegistry
    uint256 public nodeCount;
    /// @inheritdoc INodeRegistry
    uint128 public bondUnitFloor = 10_000e18;
    /// @inheritdoc INodeRegistry
    uint32 public unbondingSeconds = 21 days;

    mapping(uint256 node => Operation) private _operations;
    mapping(uint256 node => Offer) private _offers;
    mapping(uint256 node => Record) private _records;
    mapping(uint256 node => Stake) private _stakes;
    mapping(uint256 node => UnbondRequest) private _unbondRequests;
    mapping(uint256 node => NewestListPrice) private _newestListPrices;
    mapping(uint256 node => Faults) private _faults;
    mapping(uint256 node => Machine) private _machines;

    /// @param openToken_ OPEN, which bonds are in.
    /// @param cloudverse_ Opens and closes jobs; may be the address it will be deployed to.
    /// @param governance_ Sets the unbonding time.
    constructor(address openToken_, address cloudverse_, address governance_) ERC721("OpenGPU Node", "GPU") {
        if (openToken_ == address(0) || cloudverse_ == address(0) || governance_ == address(0)) revert NodeRegistry_ZeroAddress();
        openToken = openToken_;
        cloudverse = cloudverse_;
        governance = governance_;
    }

    modifier onlyOwner(uint256 node) {
        if (msg.sender != ownerOf(node)) revert NodeRegistry_NotAllowed(msg.sender);
        _;
    }

    modifier onlyCloudverse() {
        if (msg.sender != cloudverse) revert NodeRegistry_NotAllowed(msg.sender);
        _;
    }

    // ------------------------------------------------------------------------------------------------------------------------- the owner's calls

    /// @inheritdoc INodeRegistry
    function register(address operator, bytes32 hardwareDigest, string calldata gpuModel) external returns (uint256 node) {
        // Check
        if (operator == address(0)) revert NodeRegistry_ZeroAddress();
        _requireModel(gpuModel);

        // Effect
        node = ++nodeCount;
        _machines[node] = Machine({hardwareDigest: hardwareDigest, gpuModel: gpuModel});
        _mint(msg.sender, node);
        _setUser(node, operator, type(uint64).max);
        emit NodeRegistered(node, msg.sender, operator, hardwareDigest, gpuModel);
    }

    /// @inheritdoc IERC4907
    function setUser(uint256 tokenId, address user, uint64 expires) external {
        _checkAuthorized(ownerOf(tokenId), msg.sender, tokenId);
        _setUser(tokenId, user, expires);
    }

    /// @inheritdoc INodeRegistry
    function setPayee(uint256 node, address payee) external onlyOwner(node) {
        address newPayee = payee == address(0) ? msg.sender : payee;
        emit PayeeSet(node, _offers[node].payee, newPayee);
        _offers[node].payee = newPayee;
    }

    /// @inheritdoc INodeRegistry
    function setListPrice(uint256 node, uint64 listPrice) external onlyOwner(node) {
        uint64 current = _applyListPrice(node);
        Offer storage offer = _offers[node];
        bool isRaise = listPrice > current && _newestListPrices[node].from != 0;
        offer.hasPendingListPrice = isRaise;
        uint64 from = uint64(block.timestamp);
        if (isRaise) from += RAISE_SECONDS;
        else offer.listPrice = listPrice;
        _newestListPrices[node] = NewestListPrice({listPrice: listPrice, from: from});
        emit ListPriceSet(node, current, listPrice, from);
        // A tier that the bond carried at a low price is not kept at a high one, from the moment the raise is announced.
        if (listPrice > current && offer.tier != 0 && !_carriesTier(node, offer.tier)) _setTier(node, 0);
    }

    /// @inheritdoc INodeRegistry
    function drain(uint256 node) external onlyOwner(node) {
        _offers[node].isDraining = true;
        emit NodeDrained(node);
    }

    /// @inheritdoc INodeRegistry
    function resume(uint256 node) external onlyOwner(node) {
        _offers[node].isDraining = false;
        _offers[node].isSuspended = false;
        emit NodeResumed(node);
    }

    /// @inheritdoc INodeRegistry
    function bond(uint256 node, uint128 amount) external {
        // Check
        _requireOwned(node);
        if (amount == 0) revert NodeRegistry_ZeroAmount();

        // Effect
        uint128 total = _stakes[node].bond + amount;
        _stakes[node].bond = total;
        emit Bonded(node, msg.sender, amount, total);

        // Interaction. OPEN moves exactly what it is told to.
        IERC20(openToken).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc INodeRegistry
    function requestUnbond(uint256 node, uint128 amount) external onlyOwner(node) {
        uint256 available = _stakes[node].bond - _stakes[node].reserved;
        if (amount > available) revert NodeRegistry_BondTooLow(node, available, amount);
        uint64 unbondsAt = amount == 0 ? 0 : uint64(block.timestamp) + unbondingSeconds;
        _unbondRequests[node] = UnbondRequest({amount: amount, unbondsAt: unbondsAt});
        emit UnbondRequested(node, amount, unbondsAt, amount == 0 ? 0 : unbondsAt + UNBOND_LAPSE_SECONDS);
    }

    /// @inheritdoc INodeRegistry
    function withdrawUnbonded(uint256 node, address to) external onlyOwner(node) {
        // Check
        if (to == address(0)) revert NodeRegistry_ZeroAddress();
        UnbondRequest memory request = _unbondRequests[node];
        if (request.amount == 0 || block.timestamp >= request.unbondsAt + UNBOND_LAPSE_SECONDS) revert NodeRegistry_NoUnbondRequest(node);
        if (block.timestamp < request.unbondsAt) revert NodeRegistry_UnbondNotMature(node, request.unbondsAt);
        Stake memory stake = _stakes[node];
        uint128 available = stake.bond - stake.reserved;
        uint128 amount = request.amount < available ? request.amount : available;
        if (amount == 0) revert NodeRegistry_BondTooLow(node, available, request.amount);

        // Effect. A bond that shrinks can no longer carry its tier; promotion is a call anyone may make.
        _stakes[node].bond = stake.bond - amount;
        delete _unbondRequests[node];
        _setTier(node, 0);
        emit Unbonded(node, to, amount, stake.bond - amount);

        // Interaction
        IERC20(openToken).safeTransfer(to, amount);
    }

    /// @inheritdoc INodeRegistry
    function setUnbondingSeconds(uint32 newSeconds) external {
        if (msg.sender != governance) revert NodeRegistry_NotAllowed(msg.sender);
        if (newSeconds < MIN_UNBONDING_SECONDS || newSeconds > MAX_UNBONDING_SECONDS) {
            revert NodeRegistry_UnbondingOutOfRange(newSeconds, MIN_UNBONDING_SECONDS, MAX_UNBONDING_SECONDS);
        }
        emit UnbondingSecondsSet(unbondingSeconds, newSeconds);
        unbondingSeconds = newSeconds;
    }

    /// @inheritdoc INodeRegistry
    function setBondUnitFloor(uint128 newFloor) external {
        if (msg.sender != governance) revert NodeRegistry_NotAllowed(msg.sender);
        if (newFloor < MIN_BOND_UNIT_FLOOR || newFloor > MAX_BOND_UNIT_FLOOR) {
            revert NodeRegistry_BondUnitFloorOutOfRange(newFloor, MIN_BOND_UNIT_FLOOR, MAX_BOND_UNIT_FLOOR);
        }
        emit BondUnitFloorSet(bondUnitFloor, newFloor);
        bondUnitFloor = newFloor;
    }

    // ------------------------------------------------------------------------------------------------------------------------- anybody's calls

    /// @inheritdoc INodeRegistry
    function promote(uint256 node) external {
        // Check
        uint8 tier = earnedTierOf(node);
        if (tier <= _offers[node].tier) revert NodeRegistry_NotPromotable(node, _offers[node].tier, tier);

        // Effect
        _setTier(node, tier);
    }

    // ------------------------------------------------------------------------------------------------------------------------ Cloudverse's calls

    /// @inheritdoc INodeRegistry
    function openJob(uint256 node) external onlyCloudverse returns (address operator, address payee, uint8 tier, uint64 listPrice) {
        // Check
        Offer storage offer = _offers[node];
        if (offer.isDraining || offer.isSuspended) revert NodeRegistry_NotMatchable(node, offer.isDraining, offer.isSuspended);

        // Effect
        Operation storage operation = _operations[node];
        operator = block.timestamp <= operation.userExpires ? operation.user : address(0);
        operation.opened += 1;
        payee = offer.payee;
        tier = offer.tier;
        listPrice = offer.hasPendingListPrice ? _applyListPrice(node) : offer.listPrice;
    }

    /// @inheritdoc INodeRegistry
    function closeJob(uint256 node, Standing standing, bool isCounted, uint64 usdMicros) external onlyCloudverse {
        _close(node, standing, isCounted, usdMicros);
    }

    /// @inheritdoc INodeRegistry
    function closeFaultedJob(uint256 node, uint256 asked) external onlyCloudverse returns (uint256 paid) {
        // Effect
        _close(node, Standing.Fail, false, 0);
        Faults memory faults = _faults[node];
        if (faults.beforeLast != 0 && block.timestamp - faults.beforeLast < FAULT_WINDOW_SECONDS && !_offers[node].isSuspended) {
            _offers[node].isSuspended = true;
            emit NodeSuspended(node);
        }
        faults.beforeLast = faults.last;
        faults.last = uint40(block.timestamp);

        Stake memory stake = _stakes[node];
        if (block.timestamp - faults.lastMakeGoodAt >= FAULT_WINDOW_SECONDS) faults.madeGood = 0;
        uint256 allowance = (uint256(stake.bond) + faults.madeGood) / MAKE_GOOD_DIVISOR;
        paid = allowance > faults.madeGood ? allowance - faults.madeGood : 0;
        if (paid > stake.bond - stake.reserved) paid = stake.bond - stake.reserved;
        if (paid > asked) paid = asked;
        if (paid != 0) {
            faults.lastMakeGoodAt = uint40(block.timestamp);
            faults.madeGood += uint128(paid);
            _stakes[node].bond = stake.bond - uint128(paid);
        }
        _faults[node] = faults;
        emit MadeGood(node, asked, paid, stake.bond - uint128(paid));

        // Interaction
        if (paid != 0) IERC20(openToken).safeTransfer(cloudverse, paid);
    }

    // ----------------------------------------------------------------------------------------------------------------------------------- inside

    function _close(uint256 node, Standing standing, bool isCounted, uint64 usdMicros) private {
        Record storage record = _records[node];
        record.closed += 1;
        if (standing == Standing.Success) {
            record.successes += 1;
            if (isCounted) {
                record.counted += 1;
                record.earnedUsdMicros = usdMicros > type(uint64).max - record.earnedUsdMicros ? type(uint64).max : record.earnedUsdMicros + usdMicros;
            }
        } else if (standing == Standing.Fail) {
            record.fails += 1;
            // The tier is earned anew, from a record that has the fail; promotion is a call anyone may make.
            _setTier(node, 0);
        } else if (standing == Standing.Neutral) {
            record.neutrals += 1;
        }
    }

    function _setTier(uint256 node, uint8 tier) private {
        uint8 old = _offers[node].tier;
        if (tier == old) return;
        _offers[node].tier = tier;
        emit TierChanged(node, old, tier);
    }

    /// @dev Whether the bond is what a tier asks for at the list price, or at the one to come. Without a rate of OPEN nothing can say so.
    function _carriesTier(uint256 node, uint8 tier) private view returns (bool) {
        uint256 unit = bondUnitOf(node);
        return unit != 0 && Tiers.carries(_stakes[node].bond, unit, Tiers.gateOf(tier).bondUnits);
    }

    function _setUser(uint256 node, address user, uint64 expires) private {
        _operations[node].user = user;
        _operations[node].userExpires = expires;
        emit UpdateUser(node, user, expires);
    }

    /// @dev Makes a raise that has matured the list price; the list price as it stands.
    function _applyListPrice(uint256 node) private returns (uint64 listPrice) {
        Offer storage offer = _offers[node];
        NewestListPrice memory newest = _newestListPrices[node];
        if (offer.hasPendingListPrice && block.timestamp >= newest.from) {
            offer.listPrice = newest.listPrice;
            offer.hasPendingListPrice = false;
        }
        return offer.listPrice;
    }

    /// @dev A node changes hands with its bond and nothing else, and only while no job depends on whose it is.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        uint256 open = _operations[tokenId].opened - _records[tokenId].closed;
        if (open != 0) revert NodeRegistry_JobsOpen(tokenId, open);
        // Both begin anew, or an earlier owner's attempts would thin out contested ones.
        _operations[tokenId].opened = 0;
        _records[tokenId] = Record({closed: 0, successes: 0, fails: 0, neutrals: 0, counted: 0, earnedUsdMicros: 0, since: uint32(block.timestamp)});
        // A match reads the payee without asking for the owner.
        if (from == address(0)) {
            _offers[tokenId].payee = to;
            return from;
        }
        _setTier(tokenId, 0);
        delete _offers[tokenId];
        _offers[tokenId].payee = to;
        delete _unbondRequests[tokenId];
        delete _newestListPrices[tokenId];
        _setUser(tokenId, address(0), 0);
    }

    function _requireModel(string calldata gpuModel) private pure {
        bytes calldata model = bytes(gpuModel);
        if (model.length == 0 || model.length > MAX_MODEL_BYTES) revert NodeRegistry_ModelInvalid(gpuModel);
        for (uint256 i = 0; i < model.length; ++i) {
            if (model[i] < 0x20 || model[i] > 0x7e) revert NodeRegistry_ModelInvalid(gpuModel);
        }
    }

    // ------------------------------------------------------------------------------------------------------------------------------------ views

    /// @inheritdoc IERC4907
    function userOf(uint256 tokenId) public view returns (address) {
        Operation memory operation = _operations[tokenId];
        return block.timestamp <= operation.userExpires ? operation.user : address(0);
    }

    /// @inheritdoc IERC4907
    function userExpires(uint256 tokenId) external view returns (uint256) {
        return _operations[tokenId].userExpires;
    }

    /// @inheritdoc INodeRegistry
    function nodeOf(uint256 node) external view returns (Node memory result) {
        Offer memory offer = _offers[node];
        NewestListPrice memory newest = _newestListPrices[node];
        bool isPending = offer.hasPendingListPrice && block.timestamp < newest.from;
        result.owner = ownerOf(node);
        result.operator = userOf(node);
        result.payee = offer.payee;
        result.listPrice = offer.hasPendingListPrice && !isPending ? newest.listPrice : offer.listPrice;
        result.pendingListPrice = isPending ? newest.listPrice : 0;
        result.listPriceFrom = isPending ? newest.from : 0;
        result.tier = offer.tier;
        result.isDraining = offer.isDraining;
        result.isSuspended = offer.isSuspended;
        result.bond = _stakes[node].bond;
        result.reserved = _stakes[node].reserved;
        result.unbonding = _unbondRequests[node].amount;
        result.unbondsAt = _unbondRequests[node].unbondsAt;
        result.hardwareDigest = _machines[node].hardwareDigest;
        result.gpuModel = _machines[node].gpuModel;
    }

    /// @inheritdoc INodeRegistry
    function statsOf(uint256 node) external view returns (Stats memory) {
        Record memory record = _records[node];
        return Stats({
            opened: _operations[node].opened,
            closed: record.closed,
            successes: record.successes,
            fails: record.fails,
            neutrals: record.neutrals,
            counted: record.counted,
            earnedUsdMicros: record.earnedUsdMicros,
            since: record.since
        });
    }

    /// @inheritdoc INodeRegistry
    function bondUnitOf(uint256 node) public view returns (uint256) {
        uint256 openRate = ICloudWallet(cloudverse).listingOf(openToken).usdRate;
        if (openRate == 0) return 0;
        uint256 listPrice = _offers[node].listPrice;
        if (_newestListPrices[node].listPrice > listPrice) listPrice = _newestListPrices[node].listPrice;
        uint256 unit = (listPrice * BOND_UNIT_HOURS * USD_MICROS_TO_RATE + openRate - 1) / openRate;
        return unit < bondUnitFloor ? bondUnitFloor : unit;
    }

    /// @inheritdoc INodeRegistry
    function earnedTierOf(uint256 node) public view returns (uint8) {
        _requireOwned(node);
        Record memory record = _records[node];
        uint256 bondUnit = bondUnitOf(node);
        if (bondUnit == 0) return 0;
        return Tiers.tierOf(
            Tiers.Standing({
                closed: record.closed,
                successes: record.successes,
                fails: record.fails,
                neutrals: record.neutrals,
                counted: record.counted,
                earnedUsdMicros: record.earnedUsdMicros,
                ageSeconds: block.timestamp - record.since,
                bond: _stakes[node].bond,
                bondUnit: bondUnit
            })
        );
    }

    /// @notice ERC-721 metadata on chain: JSON with an SVG badge of GPU model, tier and jobs, as a data URI.
    function tokenURI(uint256 node) public view override returns (string memory) {
        _requireOwned(node);
        Record memory record = _records[node];
        return Badge.uriOf(
            Badge.Facts({
                node: node, gpuModel: _machines[node].gpuModel, tier: _offers[node].tier, closed: record.closed, successes: record.successes
            })
        );
    }

    /// @inheritdoc INodeRegistry
    function tierOf(uint256 node) external view returns (uint8) {
        return _offers[node].tier;
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view override(ERC721, IERC165) returns (bool) {
        return interfaceId == type(IERC4907).interfaceId || super.supportsInterface(interfaceId);
    }
}
