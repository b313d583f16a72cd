// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Metadata} from "@openzeppelin/contracts/token/ERC721/extensions/IERC721Metadata.sol";
import {INodeRegistry} from "../../src/interfaces/INodeRegistry.sol";
import {Ending} from "../../src/libraries/JobTerms.sol";
import {Fixture} from "../Fixture.sol";

/// @title The NFT's metadata. Spec: Badge.tree
contract BadgeTest is Fixture {
    string private constant JSON = "data:application/json;base64,";
    string private constant SVG = "data:image/svg+xml;base64,";

    function _uri(uint256 id) private view returns (string memory) {
        return IERC721Metadata(address(registry)).tokenURI(id);
    }

    /// @dev Base64 of RFC 4648 with padding, after a prefix that must be there.
    function _decode(string memory uri, string memory prefix) private pure returns (string memory) {
        bytes memory data = bytes(uri);
        uint256 start = bytes(prefix).length;
        for (uint256 i = 0; i < start; ++i) {
            assertEq(data[i], bytes(prefix)[i], "prefix");
        }
        uint256 chars = data.length - start;
        assertEq(chars % 4, 0, "padding");
        uint256 pad = data[data.length - 1] != "=" ? 0 : data[data.length - 2] != "=" ? 1 : 2;
        bytes memory out = new bytes(chars / 4 * 3 - pad);
        uint256 at;
        for (uint256 i = start; i < data.length; i += 4) {
            uint256 word;
            for (uint256 j = 0; j < 4; ++j) {
                word = word << 6 | _six(data[i + j]);
            }
            for (uint256 j = 0; j < 3 && at < out.length; ++j) {
                out[at++] = bytes1(uint8(word >> 16 - 8 * j));
            }
        }
        return string(out);
    }

    function _six(bytes1 c) private pure returns (uint256) {
        if (c >= "A" && c <= "Z") return uint8(c) - 65;
        if (c >= "a" && c <= "z") return uint8(c) - 71;
        if (c >= "0" && c <= "9") return uint8(c) + 4;
        return c == "+" ? 62 : c == "/" ? 63 : 0;
    }

    function _count(string memory text, bytes1 c) private pure returns (uint256 count) {
        for (uint256 i = 0; i < bytes(text).length; ++i) {
            if (bytes(text)[i] == c) ++count;
        }
    }

    function test_RevertWhen_ThereIsNoSuchNode() public {
        vm.expectRevert();
        _uri(99);
    }

    function test_TheJsonSaysWhatTheChainKnows() public {
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(1000, Ending.Completed));
        string memory json = _decode(_uri(node), JSON);
        assertEq(vm.parseJsonString(json, ".name"), "OpenGPU Node 1");
        assertEq(vm.parseJsonString(json, ".attributes[0].value"), "RTX 4090");
        assertEq(vm.parseJsonString(json, ".attributes[1].value"), "T0");
        assertEq(vm.parseJsonUint(json, ".attributes[2].value"), 1);
        assertEq(vm.parseJsonUint(json, ".attributes[3].value"), 1);
        string memory svg = _decode(vm.parseJsonString(json, ".image"), SVG);
        assertTrue(vm.contains(svg, ">RTX 4090</text>"));
        assertTrue(vm.contains(svg, ">jobs: 1, succeeded: 1</text>"));
    }

    function test_AHostileModelStaysText() public {
        string[3] memory models = ['","image":"x<script>alert(1)', "</text></svg><script>&]]>", "\\\\\"\\u0041'\"<!--"];
        string memory plain = _decode(vm.parseJsonString(_decode(_uri(node), JSON), ".image"), SVG);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 id = registry.register(operator.addr, 0, models[i]);
            string memory json = _decode(_uri(id), JSON);
            assertEq(vm.parseJsonString(json, ".attributes[0].value"), models[i]);
            string memory svg = _decode(vm.parseJsonString(json, ".image"), SVG);
            assertEq(_count(svg, "<"), _count(plain, "<"), "a tag got in");
            assertEq(_count(svg, ">"), _count(plain, ">"), "the end of a tag got in");
            // Every ampersand begins one of our references.
            uint256 markup = _count(models[i], "&") + _count(models[i], "<") + _count(models[i], ">");
            assertEq(_count(svg, "&"), markup, "a reference got in");
            assertEq(vm.split(svg, "&amp;").length + vm.split(svg, "&lt;").length + vm.split(svg, "&gt;").length - 3, markup, "not escaped");
        }
    }

    function testFuzz_AnyPrintableModelComesBack(uint256 seed) public {
        bytes memory model = new bytes(1 + seed % 31);
        for (uint256 i = 0; i < model.length; ++i) {
            model[i] = bytes1(uint8(0x20 + uint256(keccak256(abi.encode(seed, i))) % 95));
        }
        uint256 id = registry.register(operator.addr, 0, string(model));
        assertEq(vm.parseJsonString(_decode(_uri(id), JSON), ".attributes[0].value"), string(model));
    }

    /// @dev Models that would do most harm if they were more than text, in the 31 bytes there are. tools/badge-test looks at them in a browser.
    function test_BadgesForABrowserToShow() public {
        string[12] memory models = [
            "RTX 4090",
            "NVIDIA GeForce RTX 4090 24GB XX",
            "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
            "<script>top.postMessage(1,'*')",
            "</text><script>top.postMessage(",
            '","image":"x"}',
            "\\\"\\u0041\\n'\"<!--",
            "]]>&amp;&lt;&#60;<![CDATA[",
            '"/><image href=x onerror=a()>',
            "&nbsp;&xxe;<!DOCTYPE a[",
            "  two  spaces  ",
            "%3Cscript%3E#?a=b;base64,"
        ];
        for (uint256 i = 0; i < models.length; ++i) {
            uint256 id = registry.register(operator.addr, 0, models[i]);
            string memory uri = _uri(id);
            assertEq(vm.parseJsonString(_decode(uri, JSON), ".attributes[0].value"), models[i]);
            emit log_named_string(models[i], uri);
        }
        // Control bytes, broken UTF-8 and longer models never come so far.
        bytes[5] memory refused = [bytes("a\x00"), "a\nb", hex"c328", hex"ff", "12345678901234567890123456789012"];
        for (uint256 i = 0; i < refused.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistry_ModelInvalid.selector, refused[i]));
            registry.register(operator.addr, 0, string(refused[i]));
        }
    }
}
