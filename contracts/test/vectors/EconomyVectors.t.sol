// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IStaking} from "../../src/interfaces/IStaking.sol";
import {Tiers} from "../../src/libraries/Tiers.sol";
import {StakingFixture} from "../StakingFixture.sol";
import {EconomyHarness} from "./EconomyHarness.sol";
import {VectorFile} from "./VectorFile.sol";

/// @title Vectors that Solidity and Rust both compute: tiers of nodes, stakes and tiers of payers
contract EconomyVectorsTest is StakingFixture, VectorFile {
    EconomyHarness private harness = new EconomyHarness();

    // ---------------------------------------------------------------------------------------------------------------------------- node tiers

    function test_TierVectorsAreWhatIsCommitted() public {
        for (uint256 tier = 1; tier <= 4; ++tier) {
            _gateRow(tier);
            for (uint256 part = 0; part < 13; ++part) {
                _standingRow(_atTheGate(tier, part));
            }
        }
        for (uint256 seed = 0; seed < 120; ++seed) {
            _standingRow(_anyStanding(seed));
        }
        _finish("tiers.json");
    }

    /// @dev A standing exactly at a tier's gate, or one step to either side in one part of it.
    function _atTheGate(uint256 tier, uint256 part) private view returns (Tiers.Standing memory s) {
        Tiers.Gate memory gate = harness.gateOf(tier);
        s = Tiers.Standing({
            closed: 1000,
            successes: gate.completionPercent * 5,
            fails: 500 - gate.completionPercent * 5,
            neutrals: gate.contestedPercent * 10,
            counted: gate.counted,
            earnedUsdMicros: gate.earnedUsd * 1e6,
            ageSeconds: gate.ageDays * 1 days,
            bond: gate.bondUnits * 10_001,
            bondUnit: 10_001
        });
        if (part == 1) --s.counted;
        if (part == 2) ++s.counted;
        if (part == 3) --s.earnedUsdMicros;
        if (part == 4) ++s.earnedUsdMicros;
        if (part == 5) --s.ageSeconds;
        if (part == 6) ++s.ageSeconds;
        if (part == 7) ++s.fails;
        if (part == 8) ++s.successes;
        if (part == 9) ++s.neutrals;
        if (part == 10) --s.neutrals;
        if (part == 11) --s.bond;
        if (part == 12) ++s.bond;
    }

    /// @dev Most parts are good enough for something, or nearly every random standing would be T0.
    function _anyStanding(uint256 seed) private pure returns (Tiers.Standing memory s) {
        s.successes = _pick(seed, 50, 700);
        s.fails = _pick(seed, 51, seed % 4 == 0 ? 40 : 3);
        s.neutrals = _pick(seed, 52, seed % 5 == 0 ? 200 : 10);
        s.closed = s.successes + s.fails + s.neutrals + _pick(seed, 53, 20);
        s.counted = _pick(seed, 54, s.successes);
        s.earnedUsdMicros = _pick(seed, 55, 20_000e6);
        s.ageSeconds = _pick(seed, 56, 500 days);
        s.bondUnit = 10_000e18 + _pick(seed, 57, 1e24);
        s.bond = _pick(seed, 58, 5 * s.bondUnit);
    }

    function _gateRow(uint256 tier) private {
        Tiers.Gate memory gate = harness.gateOf(tier);
        string memory out =
            string.concat(_number("counted", gate.counted), ",", _number("earnedUsd", gate.earnedUsd), ",", _number("ageDays", gate.ageDays), ",");
        out = string.concat(
            out,
            _number("completionPercent", gate.completionPercent),
            ",",
            _number("contestedPercent", gate.contestedPercent),
            ",",
            _number("bondUnits", gate.bondUnits)
        );
        _row("gate", _number("tier", tier), string.concat("{", out, "}"));
    }

    function _standingRow(Tiers.Standing memory s) private {
        Tiers.Standing[] memory one = new Tiers.Standing[](1);
        one[0] = s;
        string memory given = string.concat(
            _number("closed", s.closed),
            ",",
            _number("successes", s.successes),
            ",",
            _number("fails", s.fails),
            ",",
            _number("neutrals", s.neutrals),
            ",",
            _number("counted", s.counted),
            ","
        );
        given = string.concat(
            given,
            _number("earnedUsdMicros", s.earnedUsdMicros),
            ",",
            _number("ageSeconds", s.ageSeconds),
            ",",
            _number("bond", s.bond),
            ",",
            _number("bondUnit", s.bondUnit)
        );
        _row("standing", given, string.concat('"', vm.toString(harness.tiers(one)[0]), '"'));
    }

    // -------------------------------------------------------------------------------------------------------------------------------- stakes

    /// @dev Each row is what became of one call to the real contract, in a random life of two accounts.
    function test_StakeVectorsAreWhatIsCommitted() public {
        for (uint256 step = 0; step < 200; ++step) {
            vm.warp(block.timestamp + _pick(step, 60, step % 5 == 0 ? 400 days : 20 days));
            _stakeRow([alice, bob][step % 2], step);
        }
        _finish("stakes.json");
    }

    function _stakeRow(address who, uint256 step) private {
        uint256 kind = _pick(step, 61, 5);
        uint256 amount = step % 9 == 0 ? _pick(step, 62, 2e18) : _pick(step, 62, 10 ** (19 + _pick(step, 63, 7)));
        uint16 lockDays = uint16(10 + _pick(step, 64, 360));
        string memory given = string.concat(
            _number("now", block.timestamp), ",", _number("kind", kind), ",", _number("asked", amount), ",", _number("lockDays", lockDays)
        );
        given = string.concat(given, ",", _positionJson(who));
        vm.prank(who);
        (bool isDone, bytes memory answer) = address(staking).call(_callOf(kind, who, amount, lockDays));
        string memory out =
            string.concat(_text("error", isDone ? "" : _nameOf(answer)), ",", _positionJson(who), ",", _number("tier", staking.tierOf(who)));
        _row("stake", given, string.concat("{", out, "}"));
    }

    /// @dev 0 and 1 stake, 2 and 3 extend, 4 takes back, 5 expires.
    function _callOf(uint256 kind, address who, uint256 amount, uint16 lockDays) private pure returns (bytes memory) {
        if (kind < 2) return abi.encodeCall(IStaking.stake, (uint128(amount), lockDays));
        if (kind < 4) return abi.encodeCall(IStaking.extend, (lockDays));
        if (kind == 4) return abi.encodeCall(IStaking.unstake, (uint128(amount), who));
        return abi.encodeCall(IStaking.expireStake, (who));
    }

    function _positionJson(address who) private view returns (string memory) {
        (uint104 amount, uint104 weight, uint40 end) = staking.positionOf(who);
        return string.concat(_number("amount", amount), ",", _number("weight", weight), ",", _number("end", end));
    }

    function _nameOf(bytes memory answer) private pure returns (string memory) {
        bytes4 selector = bytes4(answer);
        if (selector == IStaking.Staking_OutOfRange.selector) return "OutOfRange";
        if (selector == IStaking.Staking_EndNotLater.selector) return "EndNotLater";
        if (selector == IStaking.Staking_WeightWouldFall.selector) return "WeightWouldFall";
        if (selector == IStaking.Staking_Locked.selector) return "Locked";
        if (selector == IStaking.Staking_NothingStaked.selector) return "NothingStaked";
        if (selector == IStaking.Staking_TooLow.selector) return "TooLow";
        revert("an error that no vector expects");
    }

    // ------------------------------------------------------------------------------------------------------------------------------- harness

    /// @dev What Rust puts on a chain to ask the libraries directly; its code is what the default profile makes of it.
    function test_TheHarnessIsWhatIsCommitted() public {
        vm.skip(keccak256(bytes(vm.envOr("FOUNDRY_PROFILE", string("default")))) != keccak256("default"));
        _commit("economy_harness.hex", string.concat(vm.toString(address(harness).code), "\n"));
    }
}
