// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Following} from "./Following.sol";

/// @title What honest actors do: payers, budget keys, nodes and their owners, governance, stakers, and time
abstract contract Handlers is Following {
    /// @dev Time goes on a little before every step, sometimes a lot.
    modifier step(uint256 seed) {
        if (trail == 0) isLonely = uint256(keccak256(abi.encode(seed, "lonely"))) & 1 == 0;
        trail = keccak256(abi.encode(trail, msg.sig, seed));
        _tick(uint256(keccak256(abi.encode(seed, "time"))));
        _;
    }

    function _tick(uint256 chance) private {
        uint256 kind = chance % 1000;
        chance >>= 16;
        if (kind < 750) clock += chance % 60;
        else if (kind < 950) clock += chance % 15 minutes;
        else if (kind < 999) clock += chance % 1 hours;
        else clock += chance % 3 days;
        vm.warp(clock);
    }

    function _warpTo(uint256 time) internal {
        if (time > clock) clock = time;
        vm.warp(clock);
    }

    function _at(uint256 seed, uint256 n) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, n)));
    }

    // ------------------------------------------------------------------------------------------------------------------------------ wallet

    function deposit(uint256 seed) external step(seed) {
        uint256 t = _at(seed, 0) % TOKENS;
        uint256 amount = 1 + _at(seed, 1) % (t == 1 ? 10_000e18 : 50e6);
        address from = payers[_at(seed, 2) % PAYERS];
        _deposit(from, seed & 1 == 0 ? from : payers[_at(seed, 3) % PAYERS], tokens[t], amount);
    }

    function depositWithPermit(uint256 seed) external step(seed) {
        address from = payers[seed & 1 == 0 ? 0 : 3];
        uint256 amount = 1 + _at(seed, 1) % 10e6;
        _give(from, tokens[0], amount);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[from], _permitDigest(from, amount));
        // Half of the time somebody uses the permit first.
        if (seed & 2 == 0) IERC20Permit(tokens[0]).permit(from, address(cloud), amount, block.timestamp, v, r, s);
        bytes memory data = abi.encodeCall(cloud.depositWithPermit, (tokens[0], amount, block.timestamp, v, r, s));
        _call("depositWithPermit", from, address(cloud), data);
    }

    function _permitDigest(address from, uint256 amount) private view returns (bytes32) {
        bytes32 permit = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        uint256 nonce = IERC20Permit(tokens[0]).nonces(from);
        bytes32 inner = keccak256(abi.encode(permit, from, cloud, amount, nonce, block.timestamp));
        return keccak256(abi.encodePacked(hex"1901", IERC20Permit(tokens[0]).DOMAIN_SEPARATOR(), inner));
    }

    function withdraw(uint256 seed) external step(seed) {
        address token = tokens[_at(seed, 0) % TOKENS];
        uint256 start = _at(seed, 1);
        for (uint256 i = 0; i < accounts.length; ++i) {
            address who = accounts[(start + i) % accounts.length];
            uint256 credits = creditsInBooks[who][token];
            if (credits == 0) continue;
            // Payers keep most of what they have, so that there is something to play with.
            uint256 amount = keyOf[who] != 0 && seed & 7 != 0 ? 1 + credits / 10 : credits;
            address to = seed & 31 == 0 ? address(cloud) : who;
            _call("withdraw", who, address(cloud), abi.encodeCall(cloud.withdraw, (token, amount > credits ? credits : amount, to)));
            return;
        }
    }

    /// @dev Tokens sent to the contract without a call belong to nobody and change nothing.
    function donate(uint256 seed) external step(seed) {
        address token = tokens[_at(seed, 0) % 4];
        uint256 amount = 1 + _at(seed, 1) % 1e6;
        _give(address(cloud), token, amount);
        donated[token] += amount;
        _give(address(registry), address(open), 1);
        donatedToRegistry += 1;
        _give(address(staking), token, amount);
        donatedToStaking[token] += amount;
        _count("donate");
    }

    function openBudget(uint256 seed) external step(seed) {
        if (budgetCount > 60 && seed & 3 != 0) return;
        uint256 t = _at(seed, 0) % 2;
        ICloudWallet.Budget memory b;
        b.token = tokens[t];
        b.cap = uint128(1 + _at(seed, 2) % (t == 1 ? 20_000e18 : 20e6));
        b.perJob = uint128(1 + _at(seed, 3) % b.cap);
        b.expiresAt = uint40(clock + 1 + _at(seed, 4) % 60 days);
        _call("openBudget", payers[_at(seed, 1) % PAYERS], address(cloud), _openData(b, seed));
    }

    function openChild(uint256 seed) external step(seed) {
        uint256 parent = _spendable(seed, 3);
        if (parent == 0) return;
        ICloudWallet.Budget memory b = cloud.budgetOf(parent);
        b.parent = uint64(parent);
        if (seed & 1 == 1) b.cap = uint128(1 + _at(seed, 2) % b.cap);
        if (seed & 1 == 1) b.perJob = uint128(1 + _at(seed, 3) % b.perJob);
        _call("openChild", seed & 2 == 0 ? b.payer : b.key, address(cloud), _openData(b, seed));
    }

    function _openData(ICloudWallet.Budget memory b, uint256 seed) private view returns (bytes memory) {
        address key = budgetKeys[_at(seed, 5) % 5];
        return abi.encodeCall(cloud.openBudget, (b.parent, key, b.token, b.cap, b.perJob, b.expiresAt));
    }

    function revokeBudget(uint256 seed) external step(seed) {
        if (budgetCount == 0 || seed & 3 != 0) return;
        uint256 id = 1 + _at(seed, 0) % budgetCount;
        ICloudWallet.Budget memory b = cloud.budgetOf(id);
        if (b.isRevoked) return;
        address who = b.parent != 0 && seed & 4 == 0 ? cloud.budgetOf(b.parent).key : b.payer;
        _call("revokeBudget", who, address(cloud), abi.encodeCall(cloud.revokeBudget, (id)));
    }

    /// @dev A budget of at most this depth that can spend now, 0 when a few tries find none.
    function _spendable(uint256 seed, uint256 maxDepth) internal view returns (uint256 found) {
        for (uint256 i = 0; i < 12 && i < budgetCount; ++i) {
            uint256 id = budgetCount - _at(seed, 100 + i) % (budgetCount < 40 ? budgetCount : 40);
            if (cloud.budgetOf(id).depth <= maxDepth && _left(id) != 0) {
                if (found == 0 || cloud.budgetOf(id).depth > cloud.budgetOf(found).depth) found = id;
            }
        }
    }

    /// @dev What a budget can spend, looking at all above it.
    function _left(uint256 budget) internal view returns (uint256 least) {
        least = type(uint256).max;
        for (uint256 id = budget; id != 0; id = cloud.budgetOf(id).parent) {
            ICloudWallet.Budget memory b = cloud.budgetOf(id);
            if (b.isRevoked || b.expiresAt <= clock) return 0;
            if (b.left < least) least = b.left;
        }
    }

    function pullRevenue(uint256 seed) external step(seed) {
        if (weeksBooked.length == 0) return;
        uint256 week = weeksBooked[weeksBooked.length - 1 - _at(seed, 0) % (weeksBooked.length < 4 ? weeksBooked.length : 4)];
        if (week >= clock / 1 weeks) {
            if (seed & 3 != 0) return;
            _warpTo((week + 1) * 1 weeks + _at(seed, 2) % 1 days);
        }
        address token = tokens[_at(seed, 1) % TOKENS];
        _call("roll", stranger, address(staking), abi.encodeCall(staking.roll, (token, 1 + _at(seed, 3) % 4)));
        _call("pullTreasuryRevenue", stranger, address(cloud), abi.encodeCall(cloud.pullTreasuryRevenue, (week, token)));
    }

    /// @dev Governance changes what matters to new matches only.
    function govern(uint256 seed) external step(seed) {
        if (seed & 3 == 0) {
            uint16 stakers = uint16(_at(seed, 0) % 1501);
            _call("setFees", governance, address(cloud), abi.encodeCall(cloud.setFees, (stakers, uint16(_at(seed, 1) % 501))));
        } else {
            uint256 t = _at(seed, 0) % TOKENS;
            uint96 rate = t == 1 ? (seed & 4 == 0 ? 1e9 : 5e8) : (seed & 4 == 0 ? 1e24 : 9e23);
            if (_at(seed, 1) % 8 == 0) rate = 0; // de-listed until the next change
            _call("setListing", governance, address(cloud), abi.encodeCall(cloud.setListing, (tokens[t], rate, t == 1 ? 5000e18 : 5e6)));
        }
    }

    // --------------------------------------------------------------------------------------------------------------------------- registry

    function bond(uint256 seed) external step(seed) {
        uint256 node = 1 + _at(seed, 0) % NODES;
        _bond(node, uint128(1 + _at(seed, 1) % (_isReliable(node) ? 2_000_000e18 : 1000e18)));
    }

    function unbond(uint256 seed) external step(seed) {
        uint256 node = 1 + _at(seed, 0) % NODES;
        INodeRegistry.Node memory n = registry.nodeOf(node);
        if (n.unbonding != 0 && clock < uint256(n.unbondsAt) + 7 days && seed & 1 == 0) {
            if (clock < n.unbondsAt && seed & 14 != 0) return;
            _warpTo(n.unbondsAt);
            if (n.bond == n.reserved) return;
            _call("withdrawUnbonded", n.owner, address(registry), abi.encodeCall(registry.withdrawUnbonded, (node, n.owner)));
        } else {
            if (n.bond == 0) return;
            uint128 amount = uint128(1 + _at(seed, 1) % (n.bond < 100 ? n.bond : n.bond / 10));
            _call("requestUnbond", n.owner, address(registry), abi.encodeCall(registry.requestUnbond, (node, amount)));
        }
    }

    function setListPrice(uint256 seed) external step(seed) {
        uint256 node = 1 + _at(seed, 0) % NODES;
        // A reliable node's bond mostly carries its tier at the new price.
        uint64 price = uint64(_at(seed, 1) % (_isReliable(node) && _at(seed, 2) % 2 != 0 ? 10e6 : 20e6));
        if (seed & 15 == 0) price = 0;
        uint64 old = registry.nodeOf(node).listPrice;
        _call("setListPrice", registry.ownerOf(node), address(registry), abi.encodeCall(registry.setListPrice, (node, price)));
        _rule(registry.nodeOf(node).listPrice <= old, "raisingAListPriceTakesADay");
    }

    /// @dev Anyone promotes a node, exactly when the table says that it has earned more than it has.
    function promote(uint256 seed) external step(seed) {
        uint256 node = 1 + _at(seed, 0) % NODES;
        for (uint256 n = 1; n <= NODES && seed & 7 != 0; ++n) {
            if (tierByTheTable(n) > nodeTierInBooks[n]) node = n;
        }
        _promote(node);
    }

    function _promote(uint256 node) internal {
        uint256 earned = tierByTheTable(node);
        bool isAllowed = earned > nodeTierInBooks[node];
        string memory name = isAllowed ? string.concat("promote to T", vm.toString(earned)) : "promote: not earned";
        bool isOk = _call(name, stranger, address(registry), abi.encodeCall(registry.promote, (node)));
        _rule(isOk == isAllowed && registry.earnedTierOf(node) == earned, "promotedAsTheTableSays");
        if (isOk) nodeTierInBooks[node] = earned;
    }

    function configureNode(uint256 seed) external step(seed) {
        uint256 node = 1 + _at(seed, 0) % NODES;
        INodeRegistry.Node memory n = registry.nodeOf(node);
        if (n.isDraining || n.isSuspended) {
            _call("resume", n.owner, address(registry), abi.encodeCall(registry.resume, (node)));
        } else if (seed & 15 == 0) {
            _call("drain", n.owner, address(registry), abi.encodeCall(registry.drain, (node)));
        } else if (seed & 1 == 0) {
            uint64 expires = seed & 2 == 0 ? type(uint64).max : uint64(clock + _at(seed, 1) % 30 days);
            _call("setUser", n.owner, address(registry), abi.encodeCall(registry.setUser, (node, operators[_at(seed, 2) % NODES], expires)));
        } else {
            address payee = seed & 2 == 0 ? address(0) : accounts[_at(seed, 1) % accounts.length];
            _call("setPayee", n.owner, address(registry), abi.encodeCall(registry.setPayee, (node, payee)));
        }
    }

    function transferNode(uint256 seed) external step(seed) {
        uint256 node = 1 + _at(seed, 0) % NODES;
        if (openOn[node] != 0 && seed & 3 != 0) return;
        if (_isReliable(node) && _at(seed, 2) % 64 != 0) return; // a record begins anew
        INodeRegistry.Node memory n = registry.nodeOf(node);
        address to = owners[_at(seed, 1) % owners.length];
        bool isOk = _call(
            openOn[node] == 0 ? "transferNode" : "transferNode: jobs open",
            n.owner,
            address(registry),
            abi.encodeWithSignature("transferFrom(address,address,uint256)", n.owner, to, node)
        );
        _rule(isOk == (openOn[node] == 0), "noTransferWhileJobsAreOpen");
        if (!isOk) return;
        INodeRegistry.Node memory after_ = registry.nodeOf(node);
        INodeRegistry.Stats memory s = registry.statsOf(node);
        _rule(after_.bond == n.bond && after_.owner == to && after_.payee == to, "transferMovesTheBondAndClearsTheRest");
        _rule(
            after_.operator == address(0) && after_.listPrice == 0 && after_.tier == 0 && after_.unbonding == 0,
            "transferMovesTheBondAndClearsTheRest"
        );
        _rule(s.successes + s.fails + s.neutrals + s.counted + s.earnedUsdMicros == 0, "transferMovesTheBondAndClearsTheRest");
        _as(to).setListPrice(node, 10e6);
        _as(to).setUser(node, operators[node - 1], type(uint64).max);
    }
}
