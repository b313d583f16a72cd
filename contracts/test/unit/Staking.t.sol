// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {IStaking} from "../../src/interfaces/IStaking.sol";
import {Rates, TermsRates} from "../../src/libraries/JobTerms.sol";
import {StakingFixture} from "../StakingFixture.sol";

/// @title Stakes, their revenue, votes and tiers. Spec: Staking.tree
contract StakingTest is StakingFixture {
    using TermsRates for Rates;

    uint256 private constant K = 1000e18;

    function _weightOf(address who) private view returns (uint256 weight) {
        (, weight,) = staking.positionOf(who);
    }

    function _endOf(address who) private view returns (uint256 end) {
        (,, end) = staking.positionOf(who);
    }

    // --------------------------------------------------------------------------------------------------------------------------------- lock

    function test_RevertWhen_TheStakeIsOutOfRange() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_OutOfRange.selector, bytes32("amount"), 1e18 - 1, 1e18, 1e29));
        staking.stake(1e18 - 1, 14);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_OutOfRange.selector, bytes32("lockDays"), 13, 14, 365));
        staking.stake(1e18, 13);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_OutOfRange.selector, bytes32("lockDays"), 366, 14, 365));
        staking.stake(1e18, 366);
    }

    function test_WeightIsOneToFourTimesByTime() public {
        _stake(alice, K, 365);
        assertEq(_weightOf(alice), 4 * K);
        _stake(bob, K, 14);
        assertEq(_weightOf(bob), K + K * 3 * 14 / 365);
        assertEq(staking.totalWeight(), _weightOf(alice) + _weightOf(bob));
        assertEq(_endOf(bob), block.timestamp + 14 days);
        assertEq(open.balanceOf(address(staking)), 2 * K);
    }

    function test_AddingWithinTheLockWeighsByTheTimeLeft() public {
        _stake(alice, K, 365);
        uint256 end = _endOf(alice);
        vm.warp(block.timestamp + 165 days);
        _stake(alice, K, 14);
        assertEq(_endOf(alice), end);
        assertEq(_weightOf(alice), 4 * K + K + K * 3 * 200 / 365);
    }

    /// @dev Anew, what was staked would weigh a day less, which is refused.
    function test_AddingToTheVerySecondOfTheEndKeepsTheOldWeight() public {
        _stake(alice, K, 30);
        uint256 end = _endOf(alice);
        vm.warp(block.timestamp + 1 days);
        _stake(alice, K, 29);
        assertEq(_endOf(alice), end);
        assertEq(_weightOf(alice), K + K * 3 * 30 / 365 + K + K * 3 * 29 / 365);
    }

    function test_AddingBeyondTheLockWeighsAllAnew() public {
        _stake(alice, K, 100);
        vm.warp(block.timestamp + 10 days);
        _stake(alice, K, 365);
        assertEq(_weightOf(alice), 8 * K);
        vm.warp(block.timestamp + 364 days);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_WeightWouldFall.selector, 8 * K, 2 * K + 2 * K * 3 * 14 / 365));
        _stake(alice, K, 14);
    }

    function test_ShortExtensionsDoNotKeepALongLocksWeight() public {
        _stake(alice, K, 365);
        vm.warp(block.timestamp + 364 days);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_WeightWouldFall.selector, 4 * K, K + K * 3 * 14 / 365));
        staking.extend(14);
        staking.extend(365);
        assertEq(_weightOf(alice), 4 * K);
        assertEq(_endOf(alice), block.timestamp + 365 days);
        vm.warp(block.timestamp + 365 days);
        staking.extend(14);
        assertEq(_weightOf(alice), K + K * 3 * 14 / 365);
    }

    function test_RevertWhen_ExtendingNothingOrNotLater() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_NothingStaked.selector, alice));
        staking.extend(14);
        staking.stake(uint128(K), 100);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_EndNotLater.selector, block.timestamp + 100 days, block.timestamp + 100 days));
        staking.extend(100);
    }

    function test_TheSmallestStakeCanBeExtended() public {
        _stake(alice, 1e18, 14);
        vm.prank(alice);
        staking.extend(365);
        assertEq(_weightOf(alice), 4e18);
    }

    function test_AnEndedStakeCountsAnewWhenMoreIsAdded() public {
        _stake(alice, K, 365);
        vm.warp(block.timestamp + 365 days);
        _stake(alice, K, 14);
        assertEq(_weightOf(alice), 2 * (K + K * 3 * 14 / 365)); // each part rounded down
    }

    // ------------------------------------------------------------------------------------------------------------------------------- unlock

    function test_RevertWhen_TheLockHasNotEnded() public {
        _stake(alice, K, 14);
        uint256 end = _endOf(alice);
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_Locked.selector, end));
        staking.expireStake(alice);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_Locked.selector, end));
        staking.unstake(1, alice);
    }

    function test_AnyoneExpiresAnEndedStakeAndItsOwnerRevivesIt() public {
        _stake(alice, K, 14);
        vm.warp(_endOf(alice));
        staking.expireStake(alice);
        assertEq(_weightOf(alice), 0);
        assertEq(staking.totalWeight(), 0);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_NothingStaked.selector, alice));
        staking.expireStake(alice);
        vm.prank(alice);
        staking.extend(365);
        assertEq(_weightOf(alice), 4 * K);
    }

    function test_UnstakeGivesBackAndNothingCountsAnyMore() public {
        _stake(alice, K, 14);
        uint256 before = open.balanceOf(bob);
        vm.warp(_endOf(alice));
        vm.startPrank(alice);
        vm.expectRevert(IStaking.Staking_ZeroAddress.selector);
        staking.unstake(1, address(0));
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_TooLow.selector, K, K + 1));
        staking.unstake(uint128(K + 1), bob);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Staking_TooLow.selector, K, 0));
        staking.unstake(0, bob);
        staking.unstake(uint128(K / 4), bob);
        assertEq(_weightOf(alice), 0);
        staking.unstake(uint128(K - K / 4), bob);
        assertEq(open.balanceOf(bob), before + K);
        assertEq(open.balanceOf(address(staking)), 0);
    }

    // ------------------------------------------------------------------------------------------------------------------------------ revenue

    function test_AWeeksPartStreamsOverTheNextToTheBaseUnit() public {
        _stake(alice, K, 365);
        uint256 usd = _earn(1001);
        uint256 opens = _earnOpen(2003);
        assertEq(usd, 1_001_000 * 12 / 100);
        assertEq(opens, 2003e18 * 12 / 100);
        assertEq(_claim(alice, address(usdc)), 0);
        _nextWeek();
        assertEq(_claim(alice, address(usdc)), 0);
        vm.warp(block.timestamp + 1 weeks / 2);
        assertApproxEqAbs(_claim(alice, address(usdc)), usd / 2, 1);
        _nextWeek();
        _claim(alice, address(usdc));
        assertApproxEqAbs(_claim(alice, address(open)), opens, 1);
        assertApproxEqAbs(usdc.balanceOf(alice), usd, 2);
        vm.warp(block.timestamp + 4 weeks);
        assertEq(_claim(alice, address(usdc)) + _claim(alice, address(open)), 0);
        assertEq(staking.reserveOf(address(usdc)), usd - usdc.balanceOf(alice));
    }

    function test_ASecondEarnsASecondsWorth() public {
        uint256 usd = _earn(3000);
        _stake(alice, K, 365);
        _nextWeek();
        vm.warp(block.timestamp + 1000);
        _stake(bob, K, 365);
        vm.warp(block.timestamp + 1);
        // Half of one second's stream is bob's.
        uint256 id = vm.snapshotState();
        assertEq(_claim(bob, address(usdc)), usd / (2 * 1 weeks));
        vm.revertToState(id);
        _nextWeek();
        uint256 second = usd * 1e18 / 1 weeks;
        assertApproxEqAbs(_claim(bob, address(usdc)), second * (1 weeks - 1000) / 2 / 1e18, 1);
        assertApproxEqAbs(_claim(alice, address(usdc)), second * (1 weeks - 1000) / 2 / 1e18 + second * 1000 / 1e18, 2);
    }

    function test_StakingAroundTheRollEarnsNothing() public {
        _stake(alice, K, 365);
        uint256 usd = _earn(3000);
        vm.warp((block.timestamp / 1 weeks + 1) * 1 weeks - 1);
        _stake(bob, 1_000_000 * K, 365);
        vm.warp(block.timestamp + 1);
        staking.roll(address(usdc), 10);
        assertEq(_claim(bob, address(usdc)), 0);
        vm.warp(block.timestamp + 1);
        assertLe(_claim(bob, address(usdc)), usd / 1 weeks + 1);
    }

    function test_TwoHalvesEarnWhatTheWholeDoes() public {
        address carol = makeAddr("carol");
        open.transfer(carol, K);
        vm.prank(carol);
        open.approve(address(staking), K);
        _stake(alice, 2 * K, 90);
        _stake(bob, K, 90);
        _stake(carol, K, 90);
        _earn(2777);
        _nextWeek();
        vm.warp(block.timestamp + 1 weeks);
        uint256 whole = _claim(alice, address(usdc));
        uint256 halves = _claim(bob, address(usdc)) + _claim(carol, address(usdc));
        assertLe(halves, whole);
        assertApproxEqAbs(halves, whole, 2);
    }

    function test_IdleSecondsAreCarriedOver() public {
        uint256 usd = _earn(3000);
        _nextWeek();
        vm.warp(block.timestamp + 1 weeks / 4);
        _stake(alice, K, 365);
        _nextWeek();
        staking.roll(address(usdc), 10);
        uint256 week = block.timestamp / 1 weeks;
        assertEq(staking.idleSecondsOf(week - 1), 1 weeks / 4);
        assertEq(staking.streamOf(address(usdc), week - 1), usd);
        assertEq(staking.streamOf(address(usdc), week), usd / 4);
        vm.warp(block.timestamp + 1 weeks);
        assertApproxEqAbs(_claim(alice, address(usdc)), usd, 2);
    }

    function test_WeeksWithoutARollGoToWhoWasStakedInThem() public {
        _stake(alice, K, 14);
        uint256 first = _earn(1000); // streams in week 1
        vm.warp(block.timestamp + 1 weeks);
        uint256 second = _earn(2000); // streams in week 2
        vm.warp(_endOf(alice));
        staking.expireStake(alice); // at the end of week 1
        _stake(bob, K, 365);
        vm.warp(block.timestamp + 30 weeks);
        assertApproxEqAbs(_claim(alice, address(usdc)), first, 1);
        assertApproxEqAbs(_claim(bob, address(usdc)), second, 1);
    }

    /// @dev Nothing was earned before the first week: the week after it is the first that can stream anything.
    function test_TheFirstRollBeginsWithTheWeekAfterTheFirst() public {
        uint256 first = vm.getBlockTimestamp() / 1 weeks;
        _stake(alice, K, 365);
        uint256 usd = _earn(1000);
        vm.warp((first + 4) * 1 weeks);
        vm.recordLogs();
        staking.roll(address(usdc), 2);
        _requireRolled(first + 1, 2, usd);
        assertEq(staking.nextWeekOf(address(usdc)), first + 3);
        staking.roll(address(usdc), 60);
        _requireRolled(first + 3, 2, 0);
        assertEq(staking.nextWeekOf(address(usdc)), first + 5);
    }

    /// @dev Since the logs were last read exactly these weeks were rolled, the first of them with this revenue, the others with none.
    function _requireRolled(uint256 from, uint256 count, uint256 revenue) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 rolled;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(staking) || logs[i].topics[0] != IStaking.Rolled.selector) continue;
            assertEq(logs[i].topics[1], bytes32(uint256(uint160(address(usdc)))));
            assertEq(uint256(logs[i].topics[2]), from + rolled);
            assertEq(logs[i].data, abi.encode(rolled == 0 ? revenue : 0, 0));
            ++rolled;
        }
        assertEq(rolled, count);
    }

    function test_ATokenThatFailsDoesNotStopTheOthers() public {
        _stake(alice, K, 365);
        uint256 usd = _earn(1000);
        uint256 opens = _earnOpen(1000);
        _nextWeek();
        vm.warp(block.timestamp + 1 weeks);
        vm.mockCallRevert(address(usdc), abi.encodeWithSelector(IERC20.transfer.selector, alice), "blocked");
        vm.expectEmit();
        emit IStaking.ClaimSkipped(alice, address(usdc), "blocked");
        vm.prank(alice);
        staking.claim(_tokens(address(usdc), address(open)), alice);
        assertApproxEqAbs(open.balanceOf(alice), 1_000_000_000e18 - K + opens, 1);
        vm.clearMockedCalls();
        assertApproxEqAbs(_claim(alice, address(usdc)), usd, 1);
        // One that cannot even be pulled blocks no stake and no other claim.
        vm.mockCallRevert(address(cloud), abi.encodeWithSelector(ICloudWallet.pullStakersRevenue.selector), "paused");
        vm.warp(block.timestamp + 1 weeks);
        _stake(bob, K, 14);
        assertEq(_claim(alice, address(usdc)), 0);
    }

    function test_ATokenGivenTwicePaysOnce() public {
        _stake(alice, K, 365);
        uint256 usd = _earn(1000);
        _nextWeek();
        vm.warp(block.timestamp + 1 weeks);
        vm.prank(alice);
        staking.claim(_tokens(address(usdc), address(usdc)), alice);
        assertApproxEqAbs(usdc.balanceOf(alice), usd, 1);
    }

    function test_RevertWhen_AClaimHasTooLittleGas() public {
        _stake(alice, K, 365);
        _earn(1000);
        _nextWeek();
        vm.warp(block.timestamp + 1 weeks);
        address[] memory list = _tokens(address(usdc), address(open));
        vm.prank(alice);
        (bool isOk, bytes memory err) = address(staking).call{gas: 90_000}(abi.encodeCall(staking.claim, (list, alice)));
        assertFalse(isOk);
        assertTrue(err.length == 0 || bytes4(err) == IStaking.Staking_GasTooLow.selector);
    }

    function test_RevertWhen_AnotherCallsPayOutOrClaimsToNobody() public {
        vm.prank(alice);
        (bool isOk, bytes memory err) = address(staking).call(abi.encodeWithSignature("payOut(address,address,address)", alice, address(usdc), alice));
        assertFalse(isOk);
        assertEq(err, abi.encodeWithSelector(IStaking.Staking_NotAllowed.selector, alice));
        vm.expectRevert(IStaking.Staking_ZeroAddress.selector);
        staking.claim(new address[](0), address(0));
    }

    function test_StakedOpenIsNeverPaidAsRevenue() public {
        _stake(alice, K, 365);
        _stake(bob, 5 * K, 365);
        uint256 opens = _earnOpen(3000);
        _nextWeek();
        vm.warp(block.timestamp + 3 weeks);
        _claim(alice, address(open));
        _claim(bob, address(open));
        assertGe(open.balanceOf(address(staking)), 6 * K);
        assertApproxEqAbs(open.balanceOf(address(staking)), 6 * K, 3);
        assertEq(staking.reserveOf(address(open)), open.balanceOf(address(staking)) - 6 * K);
        assertGt(opens, 0);
    }

    // -------------------------------------------------------------------------------------------------------------------------------- votes

    function test_AnAccountVotesForItselfUnlessItDelegates() public {
        _stake(alice, K, 365);
        assertEq(staking.delegates(alice), alice);
        assertEq(staking.getVotes(alice), 4 * K);
        vm.prank(alice);
        staking.delegate(bob);
        assertEq(staking.getVotes(alice), 0);
        assertEq(staking.getVotes(bob), 4 * K);
        _stake(alice, K, 365);
        assertEq(staking.getVotes(bob), 8 * K);
        vm.prank(alice);
        staking.delegate(address(0));
        assertEq(staking.delegates(alice), alice);
        assertEq(staking.getVotes(alice), 8 * K);
        assertEq(staking.getVotes(bob), 0);
        vm.warp(_endOf(alice));
        staking.expireStake(alice);
        assertEq(staking.getVotes(alice), 0);
    }

    /// @dev A signature to delegate, in Staking's own domain.
    function _signDelegation(address verifier, address to, uint256 nonce, uint256 expiry) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 typehash = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 separator = keccak256(abi.encode(typehash, keccak256("OpenGPU Staking"), keccak256("1"), block.chainid, verifier));
        bytes32 hash = keccak256(abi.encode(keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)"), to, nonce, expiry));
        return vm.sign(payer.privateKey, keccak256(abi.encodePacked(hex"1901", separator, hash)));
    }

    /// @dev Four times a thousand OPEN staked by the payer, whose key signs delegations.
    function _stakeOfPayer() private {
        open.transfer(payer.addr, K);
        vm.prank(payer.addr);
        open.approve(address(staking), K);
        _stake(payer.addr, K, 365);
    }

    function test_DelegateBySigMovesTheVotesOfWhoSignedOnce() public {
        _stakeOfPayer();
        uint256 expiry = block.timestamp + 1 days;
        (uint8 v, bytes32 r, bytes32 s) = _signDelegation(address(staking), bob, 0, expiry);
        vm.expectEmit(address(staking));
        emit IVotes.DelegateChanged(payer.addr, payer.addr, bob);
        vm.prank(alice);
        staking.delegateBySig(bob, 0, expiry, v, r, s);
        assertEq(staking.delegates(payer.addr), bob);
        assertEq(staking.getVotes(bob), 4 * K);
        assertEq(staking.getVotes(payer.addr), 0);
        assertEq(staking.delegates(alice), alice);

        vm.prank(payer.addr);
        staking.delegate(alice);
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, payer.addr, 1));
        staking.delegateBySig(bob, 0, expiry, v, r, s);
        (v, r, s) = _signDelegation(address(staking), address(0), 1, expiry);
        staking.delegateBySig(address(0), 1, expiry, v, r, s); // to nobody is to oneself
        assertEq(staking.delegates(payer.addr), payer.addr);
        assertEq(staking.getVotes(payer.addr), 4 * K);
    }

    function test_RevertWhen_ASignatureToDelegateHasExpired() public {
        _stakeOfPayer();
        uint256 expiry = block.timestamp + 1 days;
        (uint8 v, bytes32 r, bytes32 s) = _signDelegation(address(staking), bob, 0, expiry);
        vm.warp(expiry + 1);
        vm.expectRevert(abi.encodeWithSelector(IVotes.VotesExpiredSignature.selector, expiry));
        staking.delegateBySig(bob, 0, expiry, v, r, s);
        vm.warp(expiry);
        staking.delegateBySig(bob, 0, expiry, v, r, s);
        assertEq(staking.delegates(payer.addr), bob);
    }

    /// @dev A changed signature is somebody else's or nobody's: whoever it delegates for, it is not who signed.
    function test_NoChangedSignatureDelegatesForWhoSigned() public {
        _stakeOfPayer();
        uint256 expiry = block.timestamp + 1 days;
        (uint8 v, bytes32 r, bytes32 s) = _signDelegation(address(cloud), bob, 0, expiry);
        try staking.delegateBySig(bob, 0, expiry, v, r, s) {} catch {}
        (v, r, s) = _signDelegation(address(staking), bob, 0, expiry);
        try staking.delegateBySig(alice, 0, expiry, v, r, s) {} catch {}
        try staking.delegateBySig(bob, 0, expiry + 1, v, r, s) {} catch {}
        for (uint256 bit = 0; bit < 256; ++bit) {
            try staking.delegateBySig(bob, 0, expiry, v, r ^ bytes32(1 << bit), s) {} catch {}
            try staking.delegateBySig(bob, 0, expiry, v, r, s ^ bytes32(1 << bit)) {} catch {}
            if (bit < 8) try staking.delegateBySig(bob, 0, expiry, v ^ uint8(1 << bit), r, s) {} catch {}
        }
        assertEq(staking.delegates(payer.addr), payer.addr);
        assertEq(staking.getVotes(bob), 0);
        staking.delegateBySig(bob, 0, expiry, v, r, s);
        assertEq(staking.getVotes(bob), 4 * K);
    }

    function test_VotesCountAtAPastSecond() public {
        _stake(alice, K, 365);
        vm.warp(block.timestamp + 10);
        _stake(bob, 100 * K, 365);
        vm.warp(block.timestamp + 10);
        assertEq(staking.getPastVotes(bob, block.timestamp - 11), 0);
        assertEq(staking.getPastVotes(bob, block.timestamp - 1), 400 * K);
        assertEq(staking.getPastTotalSupply(block.timestamp - 11), 4 * K);
        assertEq(staking.clock(), block.timestamp);
        assertEq(staking.CLOCK_MODE(), "mode=timestamp");
        vm.expectRevert();
        staking.getPastVotes(bob, block.timestamp);
    }

    // --------------------------------------------------------------------------------------------------------------------------------- tier

    function test_CloudverseIsToldOfATierOnlyWhereItOrItsEndIsNew() public {
        open.transfer(payer.addr, 1_000_000e18);
        vm.startPrank(payer.addr);
        open.approve(address(staking), type(uint256).max);
        assertEq(_told(1000e18, 100), 0); // no tier
        assertEq(_told(1000e18, 200), 0); // no tier until later
        assertEq(_told(100_000e18, 200), 1); // T1
        assertEq(_told(1e18, 200), 0); // as before
        assertEq(_told(1e18, 300), 1); // until later
        vm.stopPrank();
    }

    /// @dev How often Cloudverse was told of a tier while that was staked.
    function _told(uint128 amount, uint16 lockDays) private returns (uint256 times) {
        vm.recordLogs();
        staking.stake(amount, lockDays);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == ICloudWallet.PayerTierSet.selector) ++times;
        }
    }

    function test_CloudverseKnowsAStakersTierUntilTheLockEnds() public {
        uint256[4] memory weights = [uint256(100_000e18), 1_000_000e18, 10_000_000e18, 100_000_000e18];
        for (uint256 i = 0; i < 4; ++i) {
            address who = makeAddr(string.concat("staker", vm.toString(i)));
            open.transfer(who, weights[i]);
            vm.startPrank(who);
            open.approve(address(staking), weights[i]);
            // Just below: four times this is one OPEN short of the tier.
            staking.stake(uint128(weights[i] / 4 - 1e18), 365);
            assertEq(cloud.payerTierOf(who), i);
            staking.stake(1e18, 365);
            assertEq(staking.tierOf(who), i + 1);
            assertEq(cloud.payerTierOf(who), i + 1);
            vm.stopPrank();
        }
        open.transfer(payer.addr, 250_000e18);
        vm.startPrank(payer.addr);
        open.approve(address(staking), type(uint256).max);
        staking.stake(250_000e18, 365);
        vm.stopPrank();
        _match();
        assertEq(terms.rates.discountBps(), 100);
        vm.warp(_endOf(payer.addr));
        assertEq(staking.tierOf(payer.addr), 0);
        _match();
        assertEq(terms.rates.discountBps(), 0);
        vm.prank(payer.addr);
        staking.extend(365);
        assertEq(cloud.payerTierOf(payer.addr), 2);
    }
}
