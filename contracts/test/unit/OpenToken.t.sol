// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {stdError} from "forge-std/StdError.sol";
import {Test} from "forge-std/Test.sol";
import {Allocation, IOpenToken, IOpenTokenErrors} from "../../src/interfaces/IOpenToken.sol";

/// @title How OPEN comes to be
contract OpenTokenTest is Test {
    uint256 private constant SUPPLY = 100_000_000_000e18;
    address private immutable anna = makeAddr("anna");
    address private immutable bert = makeAddr("bert");

    function test_RevertWhen_AnAllocationHasNoReceiver() public {
        Allocation[] memory allocations = _two(SUPPLY - 1, 1);
        allocations[1].to = address(0);
        vm.expectRevert(abi.encodeWithSelector(IOpenTokenErrors.OpenToken_EmptyAllocation.selector, 1));
        this.make(allocations);
    }

    function test_RevertWhen_AnAllocationHasNoAmount() public {
        Allocation[] memory allocations = _two(0, SUPPLY);
        vm.expectRevert(abi.encodeWithSelector(IOpenTokenErrors.OpenToken_EmptyAllocation.selector, 0));
        this.make(allocations);
    }

    function test_RevertWhen_TheSumIsLess() public {
        Allocation[] memory allocations = _two(1, SUPPLY - 2);
        vm.expectRevert(abi.encodeWithSelector(IOpenTokenErrors.OpenToken_AllocationsSum.selector, SUPPLY - 1, SUPPLY));
        this.make(allocations);
    }

    function test_RevertWhen_TheSumIsMore() public {
        Allocation[] memory allocations = _two(1, SUPPLY);
        vm.expectRevert(abi.encodeWithSelector(IOpenTokenErrors.OpenToken_AllocationsSum.selector, SUPPLY + 1, SUPPLY));
        this.make(allocations);
    }

    function test_RevertWhen_ThereAreNone() public {
        vm.expectRevert(abi.encodeWithSelector(IOpenTokenErrors.OpenToken_AllocationsSum.selector, 0, SUPPLY));
        this.make(new Allocation[](0));
    }

    function test_RevertWhen_TheSumIsBeyondANumber() public {
        // Modulo 2^256 these would be the supply.
        Allocation[] memory allocations = _two(type(uint256).max, SUPPLY + 1);
        vm.expectRevert(stdError.arithmeticError);
        this.make(allocations);
    }

    function testFuzz_EachReceiverHasItsPart(uint256 part) public {
        part = bound(part, 1, SUPPLY - 1);
        IOpenToken open = IOpenToken(this.make(_two(part, SUPPLY - part)));
        assertEq(open.balanceOf(anna), part);
        assertEq(open.balanceOf(bert), SUPPLY - part);
        assertEq(open.totalSupply(), SUPPLY);
    }

    function test_AReceiverNamedTwiceHasBoth() public {
        Allocation[] memory allocations = _two(3, SUPPLY - 3);
        allocations[1].to = anna;
        assertEq(IOpenToken(this.make(allocations)).balanceOf(anna), SUPPLY);
    }

    /// @dev Bubbles the constructor's revert, which `vm.deployCode` does not.
    function make(Allocation[] memory allocations) external returns (address made) {
        bytes memory code = abi.encodePacked(vm.getCode("OpenToken.sol:OpenToken"), abi.encode(allocations));
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                let reason := mload(0x40)
                returndatacopy(reason, 0, returndatasize())
                revert(reason, returndatasize())
            }
        }
    }

    function _two(uint256 first, uint256 second) private view returns (Allocation[] memory allocations) {
        allocations = new Allocation[](2);
        allocations[0] = Allocation(anna, first);
        allocations[1] = Allocation(bert, second);
    }
}
