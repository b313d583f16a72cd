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

    /// @dev The badge itself: a chip in the tier's colour, and what is known of the node. 31 characters of the model fit; its spaces stay.
    function svgOf(Facts memory facts) internal pure returns (string memory) {
        string memory colour = ["#64748b", "#b45309", "#9ca3af", "#ca8a04", "#0ea5e9"][facts.tier];
        return string.concat(
            '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="320" viewBox="0 0 320 320" font-family="monospace" font-size="14"',
            ' text-anchor="middle" fill="#94a3b8"><rect width="320" height="320" rx="24" fill="#0f172a"/><g stroke="',
            colour,
            '" stroke-width="6" stroke-linecap="round"><path d="M136 46v128m24-128v128m24-128v128M96 86h128M96 110h128M96 134h128"/>',
            '<rect x="110" y="60" width="100" height="100" rx="12" fill="#0f172a"/></g>',
            '<text x="160" y="126" font-size="46" font-weight="bold" fill="',
            colour,
            '">T',
            facts.tier.toString(),
            '</text><text x="160" y="222" font-size="16" fill="#f1f5f9" xml:space="preserve">',
            _inXml(facts.gpuModel),
            '</text><text x="160" y="250">jobs: ',
            facts.closed.toString(),
            ", succeeded: ",
            facts.successes.toString(),
            '</text><text x="160" y="290" font-size="12">OpenGPU Node ',
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
