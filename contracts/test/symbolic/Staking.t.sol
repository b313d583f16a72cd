// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenToken} from "../../src/OpenToken.sol";
import {Staking} from "../../src/Staking.sol";
import {Allocation} from "../../src/interfaces/IOpenToken.sol";

/// @dev What of the test runner's interface is needed; all of forge-std takes long to compile.
interface Vm {
    function warp(uint256 time) external;
    function prank(address sender) external;
}

/// @title Revenue of two stakers over every schedule of three acts in three weeks
/// @notice The accumulator multiplies and divides unknowns, which solvers cannot do at its widths. So amounts are given, odd ones that round everywhere,
/// and what is unknown is the schedule: which of the acts comes when. Each schedule is run on the real contract.
contract StakingSymbolic {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);
    uint256 private constant START = 1_749_945_600 / uint256(1 weeks) * 1 weeks;

    OpenToken private open;
    OpenToken private token;
    Staking private staking;
    uint256 private time = START;
    uint256 private funded;

    function setUp() public {
        vm.warp(START);
        Allocation[] memory allocations = new Allocation[](1);
        allocations[0] = Allocation(address(this), 100_000_000_000e18);
        open = new OpenToken(allocations);
        token = new OpenToken(allocations);
        staking = new Staking(address(open), address(this));
        open.transfer(ALICE, 1e27);
        open.transfer(BOB, 1e27);
        vm.prank(ALICE);
        open.approve(address(staking), type(uint256).max);
        vm.prank(BOB);
        open.approve(address(staking), type(uint256).max);
    }

    /// @dev As Cloudverse: every week earned the same odd amount.
    function pullStakersRevenue(uint256, address) external returns (uint256 amount) {
        amount = 1_000_003;
        funded += amount;
        token.transfer(address(staking), amount);
    }

    function setPayerTier(address, uint8, uint40) external {}

    function check_NoMoreIsClaimedThanCame(uint8 first, uint8 second, uint8 third) external {
        _act(first);
        _act(second);
        _act(third);
        _claim(ALICE);
        _claim(BOB);
        uint256 claimed = token.balanceOf(ALICE) + token.balanceOf(BOB);
        assert(claimed <= funded && token.balanceOf(address(staking)) == funded - claimed && staking.reserveOf(address(token)) == funded - claimed);
    }

    /// @dev One of six acts, and five days and an odd second.
    function _act(uint8 choice) private {
        if (choice == 0) _stake(ALICE, 1e18 + 7, 14);
        else if (choice == 1) _stake(BOB, 3e18 + 1, 365);
        else if (choice == 2) _claim(ALICE);
        else if (choice == 3) _claim(BOB);
        else if (choice == 4) try staking.expireStake(ALICE) {} catch {}
        time += 5 days + 1;
        vm.warp(time);
    }

    function _stake(address who, uint128 amount, uint16 lockDays) private {
        vm.prank(who);
        staking.stake(amount, lockDays);
    }

    /// @dev Claims through {Staking-payOut}'s caller, without the `try` of `claim`: what fails there must fail here.
    function _claim(address who) private {
        vm.prank(address(staking));
        try staking.payOut(who, address(token), who) {}
        catch {
            assert(false);
        }
    }
}
