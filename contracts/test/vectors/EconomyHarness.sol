// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {Pricing} from "../../src/libraries/Pricing.sol";
import {Tiers} from "../../src/libraries/Tiers.sol";

/// @title The economy's arithmetic for many inputs in one call
/// @notice Rust calls it on a chain with random inputs, beside its own (`economy` in the chain crate's tests).
contract EconomyHarness {
    using TermsRates for Rates;

    struct Usage {
        uint64 billedMillis;
        uint64 egressBytes;
        uint128 computePerHour;
        uint128 egressPerGiB;
    }

    struct Payment {
        uint128 oldValue;
        uint128 newValue;
        Rates rates;
    }

    struct Share {
        uint256 usdMicros;
        uint256 cap;
    }

    struct Account {
        uint256 staked;
        uint256 weight;
        uint256 end;
        uint256 votes;
        uint8 tier;
        uint8 payerTier;
        uint256[] tokens;
        uint256[] credits;
    }

    struct Economy {
        uint256 time;
        uint256 totalWeight;
        uint256[] inWallet; // tokens the wallet holds
        uint256 inStaking; // OPEN the stakes hold
        Account[] accounts;
    }

    function costs(Usage[] calldata usages) external pure returns (uint256[] memory values) {
        values = new uint256[](usages.length);
        for (uint256 i = 0; i < usages.length; ++i) {
            Usage calldata usage = usages[i];
            values[i] = Pricing.valueRoundedUp(usage.billedMillis, usage.egressBytes, usage.computePerHour, usage.egressPerGiB);
        }
    }

    function splits(Payment[] calldata payments) external pure returns (Pricing.Split[] memory whole, Pricing.Split[] memory moved) {
        whole = new Pricing.Split[](payments.length);
        moved = new Pricing.Split[](payments.length);
        for (uint256 i = 0; i < payments.length; ++i) {
            Payment calldata payment = payments[i];
            whole[i] = Pricing.split(payment.newValue, payment.rates);
            moved[i] = Pricing.splitIncrease(payment.oldValue, payment.newValue, payment.rates);
        }
    }

    /// @dev As {Incentives} counts a settled job, at the rates listed now.
    function shares(Payment[] calldata payments, uint96[] calldata usdRates, uint96[] calldata openRates)
        external
        pure
        returns (Share[] memory found)
    {
        found = new Share[](payments.length);
        for (uint256 i = 0; i < payments.length; ++i) {
            (uint256 value, Rates rates) = (payments[i].newValue, payments[i].rates);
            found[i] = Share({
                usdMicros: Pricing.usdMicrosRoundedDown(value, rates.usdRate()),
                cap: Pricing.leastOpenRoundedDown(Pricing.split(value, rates).treasury, rates, usdRates[i], openRates[i])
            });
        }
    }

    function tiers(Tiers.Standing[] calldata standings) external pure returns (uint8[] memory found) {
        found = new uint8[](standings.length);
        for (uint256 i = 0; i < standings.length; ++i) {
            found[i] = Tiers.tierOf(standings[i]);
        }
    }

    /// @dev What becomes of this contract's own stake, call after call; an amount of 0 extends. In a call that is not a transaction nothing lasts.
    function stakes(IStaking staking, uint128[] calldata amounts, uint16[] calldata lockDays)
        external
        returns (uint256 time, bool[] memory isDone, uint256[] memory weights, uint256[] memory ends)
    {
        time = block.timestamp;
        (isDone, weights, ends) = (new bool[](amounts.length), new uint256[](amounts.length), new uint256[](amounts.length));
        IERC20(staking.openToken()).approve(address(staking), type(uint256).max);
        for (uint256 i = 0; i < amounts.length; ++i) {
            bytes memory data =
                amounts[i] == 0 ? abi.encodeCall(IStaking.extend, (lockDays[i])) : abi.encodeCall(IStaking.stake, (amounts[i], lockDays[i]));
            (isDone[i],) = address(staking).call(data);
            (, weights[i], ends[i]) = staking.positionOf(address(this));
        }
    }

    /// @dev All that deposits, withdrawals and stakes can change. The first token is OPEN.
    function economyOf(IStaking staking, ICloudWallet wallet, address[] calldata tokens, address[] calldata accounts)
        external
        view
        returns (Economy memory found)
    {
        found.time = block.timestamp;
        found.totalWeight = staking.totalWeight();
        found.inWallet = _balances(tokens, address(wallet));
        found.inStaking = IERC20(tokens[0]).balanceOf(address(staking));
        found.accounts = new Account[](accounts.length);
        for (uint256 i = 0; i < accounts.length; ++i) {
            address who = accounts[i];
            Account memory account = found.accounts[i];
            (account.staked, account.weight, account.end) = staking.positionOf(who);
            account.votes = IVotes(address(staking)).getVotes(who);
            account.tier = staking.tierOf(who);
            account.payerTier = wallet.payerTierOf(who);
            account.tokens = _balances(tokens, who);
            account.credits = new uint256[](tokens.length);
            for (uint256 j = 0; j < tokens.length; ++j) {
                account.credits[j] = wallet.credits(who, tokens[j]);
            }
        }
    }

    function _balances(address[] calldata tokens, address who) private view returns (uint256[] memory held) {
        held = new uint256[](tokens.length);
        for (uint256 j = 0; j < tokens.length; ++j) {
            held[j] = IERC20(tokens[j]).balanceOf(who);
        }
    }

    function gateOf(uint256 tier) external pure returns (Tiers.Gate memory) {
        return Tiers.gateOf(tier);
    }
}
