// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @notice A transfer costs what one of a stablecoin with deny lists does: about 40,000 gas more than a plain one.
contract CostlyToken is ERC20("Costly", "COST") {
    mapping(uint256 slot => uint256) private _lists;

    function _update(address from, address to, uint256 value) internal override {
        for (uint256 i = 0; i < 18; ++i) {
            require(_lists[uint256(keccak256(abi.encode(from, to, i)))] == 0, "listed");
        }
        super._update(from, to, value);
    }
}

/// @title What an attacker or an estimate of gas may try on staking
contract ReviewStakingTest is StakingFixture {
    uint256 private constant K = 1000e18;

    /// @dev Wallets look for the least gas at which a call does not revert. A claim that skipped a sound token there would cost its fee and pay nothing.
    /// The deepest call that can run out of gas is a token's behind a proxy while Cloudverse pays revenue out: four calls below the claim.
    function test_NoGasMakesAClaimSkipASoundToken() public {
        _stake(alice, K, 365);
        _earn(1000);
        vm.warp(block.timestamp + 4 weeks);
        address token = address(new CostlyToken());
        vm.etch(address(usdc), abi.encodePacked(hex"363d3d373d3d3d363d73", token, hex"5af43d82803e903d91602b57fd5bf3")); // an ERC-1167 proxy
        address[] memory list = new address[](1);
        list[0] = address(usdc);
        bytes memory call = abi.encodeCall(staking.claim, (list, alice));
        uint256 paid;
        for (uint256 gasGiven = 50_000; gasGiven < 800_000; gasGiven += 500) {
            uint256 id = vm.snapshotState();
            vm.cool(address(staking));
            vm.cool(address(usdc));
            vm.cool(token);
            vm.cool(address(cloud));
            vm.prank(alice);
            (bool isOk,) = address(staking).call{gas: gasGiven}(call);
            bool isPaid = usdc.balanceOf(alice) != 0;
            vm.revertToState(id);
            assertEq(isOk, isPaid, vm.toString(gasGiven));
            if (isPaid) ++paid;
        }
        assertGt(paid, 0, "never paid");
    }

    /// @dev Nothing has to be rolled in the week of the deployment: what was earned is 0, not an error that no roll ends.
    function test_InTheFirstWeekNothingIsEarnedAndNoRollIsAskedFor() public {
        _stake(alice, K, 365);
        assertEq(staking.earned(alice, address(usdc)), 0);
        staking.roll(address(usdc), 1);
        assertGt(staking.nextWeekOf(address(usdc)), block.timestamp / 1 weeks);
    }

    function test_ARollOfAsManyWeeksAsThereAre() public {
        vm.warp(block.timestamp + 3 weeks);
        staking.roll(address(usdc), 1);
        staking.roll(address(usdc), type(uint256).max);
        assertEq(staking.nextWeekOf(address(usdc)), block.timestamp / 1 weeks + 1);
    }
}
