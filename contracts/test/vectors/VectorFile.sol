// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

/// @title A committed file of vectors that Solidity and Rust both compute
/// @notice `OPENGPU_WRITE_VECTORS=1 forge test --match-contract Vectors` writes the files; without it the tests fail when they would change.
abstract contract VectorFile is Test {
    string private constant FOLDER = "test/vectors/";

    bool private isWriting = vm.envOr("OPENGPU_WRITE_VECTORS", false);
    string private rows;

    function _row(string memory name, string memory input, string memory output) internal {
        rows = string.concat(rows, bytes(rows).length == 0 ? "[\n" : ",\n", '{"name":"', name, '","in":{', input, '},"out":', output, "}");
    }

    function _finish(string memory file) internal {
        _commit(file, string.concat(rows, "\n]\n"));
    }

    /// @dev Writes a file, or says that it would change.
    function _commit(string memory file, string memory text) internal {
        string memory path = string.concat(FOLDER, file);
        if (isWriting) vm.writeFile(path, text);
        assertEq(keccak256(bytes(vm.readFile(path))), keccak256(bytes(text)), string.concat(path, " is stale: see the head of VectorFile.sol"));
    }

    function _number(string memory key, uint256 value) internal pure returns (string memory) {
        return string.concat('"', key, '":"', vm.toString(value), '"');
    }

    function _text(string memory key, string memory value) internal pure returns (string memory) {
        return string.concat('"', key, '":"', value, '"');
    }

    function _word(string memory key, bytes32 value) internal pure returns (string memory) {
        return string.concat('"', key, '":"', vm.toString(value), '"');
    }

    function _addr(string memory key, address value) internal pure returns (string memory) {
        return string.concat('"', key, '":"', vm.toString(value), '"');
    }

    /// @dev A number in 0..max that looks random and never changes.
    function _pick(uint256 seed, uint256 field, uint256 max) internal pure returns (uint256) {
        uint256 drawn = uint256(keccak256(abi.encode(seed, field)));
        return max == type(uint256).max ? drawn : drawn % (max + 1);
    }
}
