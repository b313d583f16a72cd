// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

/// @title What a deployment with a missing address, or on the wrong chain, is answered
contract ConstructorsTest is Test {
    address private constant A = address(0xa);

    function _assertRefused(string memory artifact, bytes memory arguments, string memory error) private {
        bytes memory code = abi.encodePacked(vm.getCode(artifact), arguments);
        address created;
        bytes4 answer;
        assembly ("memory-safe") {
            created := create(0, add(code, 0x20), mload(code))
            if gt(returndatasize(), 3) {
                returndatacopy(0, 0, 4)
                answer := mload(0)
            }
        }
        assertEq(created, address(0));
        assertEq(answer, bytes4(keccak256(bytes(error))));
    }

    function test_RevertWhen_AnAddressIsMissing() public {
        string memory recovery = "JobRecovery.sol:JobRecovery";
        _assertRefused(recovery, abi.encode(address(0), A, A, A, A, 600), "CloudWallet_ZeroAddress()");
        _assertRefused(recovery, abi.encode(A, address(0), A, A, A, 600), "CloudWallet_ZeroAddress()");
        _assertRefused(recovery, abi.encode(A, A, address(0), A, A, 600), "CloudWallet_ZeroAddress()");
        string memory registry = "NodeRegistry.sol:NodeRegistry";
        _assertRefused(registry, abi.encode(address(0), A, A), "NodeRegistry_ZeroAddress()");
        _assertRefused(registry, abi.encode(A, address(0), A), "NodeRegistry_ZeroAddress()");
        _assertRefused(registry, abi.encode(A, A, address(0)), "NodeRegistry_ZeroAddress()");
        _assertRefused("Staking.sol:Staking", abi.encode(address(0), A), "Staking_ZeroAddress()");
        _assertRefused("Staking.sol:Staking", abi.encode(A, address(0)), "Staking_ZeroAddress()");
    }

    /// @dev A local network may answer faults within seconds; a chain with money on it leaves a minute at least.
    function test_TheResponseWindowIsWithinItsRange() public {
        string memory outOfRange = "JobMarket_OutOfRange(bytes32,uint256,uint256,uint256)";
        string memory recovery = "JobRecovery.sol:JobRecovery";
        uint256[2] memory chains = [uint256(31_337), 1];
        uint256[2] memory shortest = [uint256(15), 60];
        for (uint256 i = 0; i < 2; ++i) {
            vm.chainId(chains[i]);
            _assertRefused(recovery, abi.encode(A, A, A, A, A, shortest[i] - 1), outOfRange);
            _assertRefused(recovery, abi.encode(A, A, A, A, A, 3601), outOfRange);
            vm.deployCode(recovery, abi.encode(A, A, A, A, A, shortest[i]));
            vm.deployCode(recovery, abi.encode(A, A, A, A, A, 3600));
        }
    }

    function test_RevertWhen_TheTestStablecoinIsNotOnALocalNetwork() public {
        vm.chainId(1);
        _assertRefused("TestStablecoin.sol:TestStablecoin", "", "TestStablecoin_NotALocalNetwork(uint256)");
    }
}
