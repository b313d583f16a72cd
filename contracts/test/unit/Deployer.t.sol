// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IDeployer} from "../../src/interfaces/IDeployer.sol";

/// @dev Runs what it is told to at construction.
contract Refusing {
    error Refusing_Because(uint256 reason);

    constructor(uint256 reason) {
        if (reason == 0) {
            assembly ("memory-safe") {
                revert(0, 0)
            }
        }
        revert Refusing_Because(reason);
    }
}

contract Made {
    address public immutable maker = msg.sender;
    uint256 public immutable value;

    constructor(uint256 value_) {
        value = value_;
    }
}

/// @title Where contracts come to be
contract DeployerTest is Test {
    address private immutable owner = makeAddr("owner");
    IDeployer private deployer;

    function setUp() public {
        deployer = IDeployer(vm.deployCode("Deployer.sol:Deployer", abi.encode(owner)));
    }

    function test_RevertWhen_ThereIsNoOwner() public {
        vm.expectRevert(IDeployer.Deployer_ZeroOwner.selector);
        this.deployWithout();
    }

    function deployWithout() external {
        bytes memory code = abi.encodePacked(vm.getCode("Deployer.sol:Deployer"), abi.encode(address(0)));
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 0x20), mload(code))) {
                let reason := mload(0x40)
                returndatacopy(reason, 0, returndatasize())
                revert(reason, returndatasize())
            }
        }
    }

    function test_OwnerIsFixed() public view {
        assertEq(deployer.owner(), owner);
    }

    function test_RevertWhen_CalledByOthers() public {
        bytes memory code = _made(1);
        vm.expectRevert(abi.encodeWithSelector(IDeployer.Deployer_NotOwner.selector, address(this)));
        deployer.create(code);
    }

    function test_RevertWhen_TheConstructorReverts_WithTheSameBytes() public {
        bytes memory code = abi.encodePacked(type(Refusing).creationCode, abi.encode(7));
        vm.expectRevert(abi.encodeWithSelector(Refusing.Refusing_Because.selector, 7));
        vm.prank(owner);
        deployer.create(code);
    }

    function test_RevertWhen_TheConstructorRevertsWithoutWords() public {
        bytes memory code = abi.encodePacked(type(Refusing).creationCode, abi.encode(0));
        vm.expectRevert(IDeployer.Deployer_CreationFailed.selector);
        vm.prank(owner);
        deployer.create(code);
    }

    function test_RevertWhen_NoCodeIsLeft() public {
        vm.expectRevert(IDeployer.Deployer_CreationFailed.selector);
        vm.prank(owner);
        deployer.create("");
    }

    function test_AFailureTakesNoAddress() public {
        bytes memory refusing = abi.encodePacked(type(Refusing).creationCode, abi.encode(7));
        vm.startPrank(owner);
        vm.expectRevert();
        deployer.create(refusing);
        assertEq(deployer.create(_made(1)), vm.computeCreateAddress(address(deployer), 1));
    }

    function test_ContractsAreAtTheDeployersNextNonces() public {
        vm.startPrank(owner);
        for (uint256 nonce = 1; nonce <= 3; ++nonce) {
            address expected = vm.computeCreateAddress(address(deployer), nonce);
            vm.expectEmit(address(deployer));
            emit IDeployer.ContractCreated(expected);
            assertEq(deployer.create(_made(nonce)), expected);
            assertEq(Made(expected).value(), nonce);
            assertEq(Made(expected).maker(), address(deployer));
        }
    }

    function test_ItsAddressFollowsFromOwnerAndSaltAlone() public {
        bytes memory code = abi.encodePacked(vm.getCode("Deployer.sol:Deployer"), abi.encode(owner));
        address factory = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
        bytes32 salt = keccak256("OpenGPU v1");
        (bool isMade, bytes memory made) = factory.call(abi.encodePacked(salt, code));
        assertTrue(isMade);
        assertEq(address(bytes20(made)), vm.computeCreate2Address(salt, keccak256(code), factory));
    }

    function _made(uint256 value) private pure returns (bytes memory) {
        return abi.encodePacked(type(Made).creationCode, abi.encode(value));
    }
}
