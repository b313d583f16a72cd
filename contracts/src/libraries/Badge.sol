// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title The picture of a node's NFT, made from what the chain knows
/// @notice ERC-721 metadata as a data URI: JSON with an SVG badge inside, both on chain. The GPU's model is a stranger's text and stays text in both.
library Badge {
    using Strings for uint256;

    /// @notice What a badge shows.
    struct Facts {
        uint256 node;
        string gpuModel; // printable ASCII
        uint256 tier; // 0..4
        uint256 closed; // attempts ever closed
        uint256 successes;
    }

    /// @dev `data:application/json;base64,…`
    function uriOf(Facts memory facts) internal pure returns (string memory) {
        bytes memory json = abi.encodePacked(
            '{"name":"OpenGPU Node ',
            facts.node.toString(),
            '","description":"One provider machine of OpenGPU. Its owner is paid; its ERC-4907 user operates it.","attributes":[{"trait_type":"GPU","value":"',
            _inJson(facts.gpuModel),
            '"},{"trait_type":"Tier","value":"T',
            facts.tier.toString(),
            '"},{"trait_type":"Jobs","value":',
            facts.closed.toString(),
            '},{"trait_type":"Successes","value":',
            facts.successes.toString(),
            '}],"image":"data:image/svg+xml;base64,',
            Base64.encode(bytes(svgOf(facts))),
            '"}'
        );
        return string.concat("data:application/json;base64,", Base64.encode(json));
    }

    /// @dev The badge itself.
    function svgOf(Facts memory facts) internal pure returns (string memory) {
        string memory colour = ["#64748b", "#b45309", "#6b7280", "#ca8a04", "#0ea5e9"][facts.tier];
        return string.concat(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 320" font-family="monospace" fill="#e2e8f0">',
            '<rect width="320" height="320" rx="24" fill="#0f172a"/><circle cx="160" cy="112" r="64" fill="none" stroke="',
            colour,
            '" stroke-width="10"/><text x="160" y="128" font-size="48" text-anchor="middle">T',
            facts.tier.toString(),
            '</text><text x="160" y="224" font-size="16" text-anchor="middle">',
            _inXml(facts.gpuModel),
            '</text><text x="160" y="252" font-size="14" text-anchor="middle">',
            facts.closed.toString(),
            ' jobs</text><text x="160" y="288" font-size="14" text-anchor="middle">OpenGPU Node ',
            facts.node.toString(),
            "</text></svg>"
        );
    }

    /// @dev Printable ASCII inside a JSON string: quote and backslash are escaped (RFC 8259).
    function _inJson(string memory text) private pure returns (bytes memory out) {
        bytes memory given = bytes(text);
        for (uint256 i = 0; i < given.length; ++i) {
            if (given[i] == '"' || given[i] == "\\") out = abi.encodePacked(out, "\\");
            out = abi.encodePacked(out, given[i]);
        }
    }

    /// @dev Printable ASCII as XML text: markup characters become references.
    function _inXml(string memory text) private pure returns (string memory) {
        bytes memory given = bytes(text);
        bytes memory out;
        for (uint256 i = 0; i < given.length; ++i) {
            bytes1 c = given[i];
            if (c == "&") out = abi.encodePacked(out, "&amp;");
            else if (c == "<") out = abi.encodePacked(out, "&lt;");
            else if (c == ">") out = abi.encodePacked(out, "&gt;");
            else out = abi.encodePacked(out, c);
        }
        return string(out);
    }
}
