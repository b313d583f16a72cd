// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Vm} from "forge-std/Vm.sol";
import {ICloudWallet} from "../../src/interfaces/ICloudWallet.sol";
import {Rates, TermsRates, Ending} from "../../src/libraries/JobTerms.sol";
import {FalseToken, FeeToken, HookToken, NoReturnToken} from "../Doubles.sol";
import {Fixture} from "../Fixture.sol";

/// @title Deposits, withdrawals, budgets, listings and revenue: see CloudWallet.tree
contract CloudWalletTest is Fixture {
    using TermsRates for Rates;

    Vm.Wallet private holder = vm.createWallet("holder");

    // ------------------------------------------------------------------------------------------------------------------------------- credits

    function test_DepositAndWithdrawMoveExactlyWhatTheySay() public {
        usdc.mint(holder.addr, 10e6);
        vm.startPrank(holder.addr);
        usdc.approve(address(cloud), 10e6);
        cloud.deposit(address(usdc), 10e6);
        assertEq(cloud.credits(holder.addr, address(usdc)), 10e6);
        cloud.withdraw(address(usdc), 4e6, stranger);
        vm.stopPrank();
        assertEq(usdc.balanceOf(stranger), 4e6);
        assertEq(cloud.credits(holder.addr, address(usdc)), 6e6);
    }

    function test_DepositForCreditsTheOther() public {
        usdc.mint(address(this), 1e6);
        usdc.approve(address(cloud), 1e6);
        cloud.depositFor(holder.addr, address(usdc), 1e6);
        assertEq(cloud.credits(holder.addr, address(usdc)), 1e6);
        assertEq(cloud.credits(address(this), address(usdc)), 0);
    }

    function test_DepositWithPermitWorksAlsoWhenThePermitWasUsedAlready() public {
        usdc.mint(holder.addr, 3e6);
        (uint8 v, bytes32 r, bytes32 s) = _permit(1e6, 0);
        vm.prank(holder.addr);
        cloud.depositWithPermit(address(usdc), 1e6, type(uint256).max, v, r, s);
        (v, r, s) = _permit(2e6, 1);
        vm.prank(stranger);
        IERC20Permit(address(usdc)).permit(holder.addr, address(cloud), 2e6, type(uint256).max, v, r, s);
        vm.prank(holder.addr);
        cloud.depositWithPermit(address(usdc), 2e6, type(uint256).max, v, r, s);
        assertEq(cloud.credits(holder.addr, address(usdc)), 3e6);
    }

    function test_RevertWhen_ThereIsNoAllowanceAndThePermitIsBad() public {
        usdc.mint(holder.addr, 3e6);
        vm.expectRevert();
        vm.prank(holder.addr);
        cloud.depositWithPermit(address(usdc), 1e6, type(uint256).max, 27, bytes32(uint256(1)), bytes32(uint256(2)));
    }

    function test_RevertWhen_AmountsOrAddressesAreZero() public {
        bytes memory zeroAmount = abi.encodeWithSelector(ICloudWallet.CloudWallet_ZeroAmount.selector);
        bytes memory zeroAddress = abi.encodeWithSelector(ICloudWallet.CloudWallet_ZeroAddress.selector);
        vm.expectRevert(zeroAmount);
        cloud.deposit(address(usdc), 0);
        vm.expectRevert(zeroAddress);
        cloud.depositFor(address(0), address(usdc), 1);
        vm.startPrank(payer.addr);
        vm.expectRevert(zeroAmount);
        cloud.withdraw(address(usdc), 0, stranger);
        vm.expectRevert(zeroAddress);
        cloud.withdraw(address(usdc), 1, address(0));
    }

    function test_RevertWhen_MoreIsWithdrawnThanIsThere() public {
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_CreditsTooLow.selector, stranger, address(usdc), 0, 1));
        vm.prank(stranger);
        cloud.withdraw(address(usdc), 1, stranger);
    }

    function test_RevertWhen_ATokenIsNotListed() public {
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_TokenNotListed.selector, address(1)));
        cloud.deposit(address(1), 1);
    }

    function test_CreditsOfADelistedTokenCanBeWithdrawn() public {
        vm.prank(governance);
        cloud.setListing(address(usdc), 0, 0);
        vm.prank(payer.addr);
        cloud.withdraw(address(usdc), 1_000_000e6, stranger);
        assertEq(usdc.balanceOf(stranger), 1_000_000e6);
    }

    // ---------------------------------------------------------------------------------------------------------------------------- odd tokens

    function test_RevertWhen_ATokenTakesAFee() public {
        FeeToken token = new FeeToken();
        _list(address(token));
        token.mint(address(this), 1000);
        token.approve(address(cloud), 1000);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_TransferInexact.selector, address(token), 1000, 990));
        cloud.deposit(address(token), 1000);
    }

    function test_RevertWhen_ATokenAnswersFalse() public {
        FalseToken token = new FalseToken();
        _list(address(token));
        vm.expectRevert();
        cloud.deposit(address(token), 1000);
    }

    function test_ATokenThatReturnsNothingWorks() public {
        NoReturnToken token = new NoReturnToken();
        _list(address(token));
        token.mint(address(this), 1000);
        cloud.deposit(address(token), 1000);
        cloud.withdraw(address(token), 400, stranger);
        assertEq(token.balanceOf(stranger), 400);
    }

    function test_ATransferHookCannotReenterTheWallet() public {
        HookToken token = new HookToken();
        _list(address(token));
        token.mint(address(this), 3000);
        token.approve(address(cloud), type(uint256).max);
        token.arm(cloud, abi.encodeCall(cloud.deposit, (address(token), 1)));
        cloud.deposit(address(token), 1000);
        assertFalse(token.isSuccess());
        token.arm(cloud, abi.encodeCall(cloud.withdraw, (address(token), 1, address(1))));
        cloud.withdraw(address(token), 500, stranger);
        assertFalse(token.isSuccess());
        token.arm(cloud, abi.encodeCall(cloud.pullTreasuryRevenue, (0, address(token))));
        token.transfer(stranger, 1);
        assertTrue(token.isSuccess());
        token.arm(cloud, abi.encodeCall(cloud.pullTreasuryRevenue, (0, address(token))));
        cloud.deposit(address(token), 1);
        assertFalse(token.isSuccess());
        cloud.withdraw(address(token), 1, stranger);
        assertEq(cloud.credits(address(this), address(token)), 500);
        assertEq(token.balanceOf(address(cloud)), 500);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- budgets

    function test_BudgetsFormATreeOfFourLevels() public {
        uint256 parent = 0;
        address by = payer.addr;
        for (uint256 i = 1; i <= 4; ++i) {
            address key = makeAddr(vm.toString(i));
            parent = _open(by, parent, key, 100, 10, 1 days, "");
            ICloudWallet.Budget memory budget = cloud.budgetOf(parent);
            assertEq(budget.depth, i);
            assertEq(budget.payer, payer.addr);
            assertEq(budget.key, key);
            assertEq(budget.left, 100);
            by = key;
        }
        _open(by, parent, makeAddr("5"), 100, 10, 1 days, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetTooDeep.selector, parent));
    }

    function test_RevertWhen_AChildIsWiderThanItsParent() public {
        uint256 parent = _open(payer.addr, 0, holder.addr, 100, 10, 1 days, "");
        _open(
            holder.addr, parent, stranger, 101, 10, 1 days, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetTooLow.selector, parent, 100, 101)
        );
        _open(
            holder.addr,
            parent,
            stranger,
            100,
            11,
            1 days,
            abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetPerJobTooLow.selector, parent, 10, 11)
        );
        _open(
            holder.addr,
            parent,
            stranger,
            100,
            10,
            1 days + 1,
            abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetHasExpired.selector, parent, block.timestamp + 1 days)
        );
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetMismatch.selector, parent, payer.addr, address(open)));
        vm.prank(holder.addr);
        cloud.openBudget(parent, stranger, address(open), 1, 1, uint40(block.timestamp + 1));
    }

    function test_RevertWhen_ABudgetIsOpenedWrongly() public {
        uint256 parent = _open(payer.addr, 0, holder.addr, 100, 10, 1 days, "");
        _open(stranger, parent, stranger, 1, 1, 1 days, abi.encodeWithSelector(ICloudWallet.CloudWallet_NotAllowed.selector, stranger));
        _open(payer.addr, 99, stranger, 1, 1, 1 days, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetUnknown.selector, 99));
        _open(payer.addr, 0, address(0), 1, 1, 1 days, abi.encodeWithSelector(ICloudWallet.CloudWallet_ZeroAddress.selector));
        _open(payer.addr, 0, stranger, 1, 1, 0, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetHasExpired.selector, 0, block.timestamp));
    }

    function test_ThePayerOrAKeyAboveRevokesAndNobodyElse() public {
        uint256 one = _open(payer.addr, 0, makeAddr("one"), 100, 10, 1 days, "");
        uint256 two = _open(makeAddr("one"), one, makeAddr("two"), 100, 10, 1 days, "");
        uint256 three = _open(makeAddr("two"), two, makeAddr("three"), 100, 10, 1 days, "");
        _revoke(makeAddr("three"), three, abi.encodeWithSelector(ICloudWallet.CloudWallet_NotAllowed.selector, makeAddr("three")));
        _revoke(makeAddr("two"), two, abi.encodeWithSelector(ICloudWallet.CloudWallet_NotAllowed.selector, makeAddr("two")));
        _revoke(makeAddr("one"), three, "");
        assertTrue(cloud.budgetOf(three).isRevoked);
        _revoke(payer.addr, three, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetIsRevoked.selector, three));
        _revoke(payer.addr, one, "");
        _open(makeAddr("two"), two, stranger, 1, 1, 1 days, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetIsRevoked.selector, one));
        _revoke(payer.addr, 99, abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetUnknown.selector, 99));
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_BudgetUnknown.selector, 99));
        cloud.budgetOf(99);
    }

    // ------------------------------------------------------------------------------------------------------------------ listings and revenue

    function test_OnlyGovernanceSetsListingsAndFeesWithinTheCaps() public {
        bytes memory notAllowed = abi.encodeWithSelector(ICloudWallet.CloudWallet_NotAllowed.selector, address(this));
        vm.expectRevert(notAllowed);
        cloud.setListing(address(usdc), 1, 1);
        vm.expectRevert(notAllowed);
        cloud.setFees(0, 0);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_FeeAboveCap.selector, 1501, 1500));
        cloud.setFees(1501, 0);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_FeeAboveCap.selector, 501, 500));
        cloud.setFees(0, 501);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_ZeroAddress.selector));
        cloud.setListing(address(0), 1, 1);
        cloud.setFees(1500, 500);
        vm.stopPrank();
        (uint16 stakersBps, uint16 treasuryBps) = cloud.fees();
        assertEq(stakersBps, 1500);
        assertEq(treasuryBps, 500);
    }

    function test_NewFeesTouchNoOpenJob() public {
        _match();
        vm.prank(governance);
        cloud.setFees(0, 0);
        vm.warp(block.timestamp + 100);
        _settle(_result(100_000, Ending.Completed));
        assertEq(settlement.stakersPart, 12_000);
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(100_000, Ending.Completed));
        assertEq(settlement.nodePart, 100_000);
    }

    function test_AFinishedWeeksTreasuryPartBecomesGovernancesCreditsOnce() public {
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(100_000, Ending.Completed));
        uint256 week = block.timestamp / 1 weeks;
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_WeekNotOver.selector, week));
        cloud.pullTreasuryRevenue(week, address(usdc));
        vm.warp(block.timestamp + 1 weeks);
        assertEq(cloud.pullTreasuryRevenue(week, address(usdc)), 5000);
        assertEq(cloud.pullTreasuryRevenue(week, address(usdc)), 0);
        assertEq(cloud.credits(governance, address(usdc)), 5000);
        assertEq(cloud.revenueOf(week, address(usdc)).stakers, 12_000);
    }

    function test_OnlyStakingPullsTheStakersPart() public {
        address staking = makeAddr("staking");
        _deploy(staking, address(0));
        _match();
        vm.warp(block.timestamp + 100);
        _settle(_result(100_000, Ending.Completed));
        uint256 week = block.timestamp / 1 weeks;
        vm.warp(block.timestamp + 1 weeks);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_NotAllowed.selector, address(this)));
        cloud.pullStakersRevenue(week, address(usdc));
        vm.startPrank(staking);
        assertEq(cloud.pullStakersRevenue(week, address(usdc)), 12_000);
        assertEq(cloud.pullStakersRevenue(week, address(usdc)), 0);
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_WeekNotOver.selector, week + 1));
        cloud.pullStakersRevenue(week + 1, address(usdc));
        assertEq(usdc.balanceOf(staking), 12_000);
    }

    // ---------------------------------------------------------------------------------------------------------------------------- payer tiers

    function test_RevertWhen_AnotherThanStakingSetsATier() public {
        vm.expectRevert(abi.encodeWithSelector(ICloudWallet.CloudWallet_NotAllowed.selector, address(this)));
        cloud.setPayerTier(payer.addr, 4, type(uint40).max);
    }

    function test_APayersTierCountsUntilItsLockEnds() public {
        address staking = makeAddr("staking");
        _deploy(staking, address(0));
        uint40 until = uint40(block.timestamp + 14 days);
        vm.expectEmit();
        emit ICloudWallet.PayerTierSet(payer.addr, 0, 3, until);
        vm.prank(staking);
        cloud.setPayerTier(payer.addr, 3, until);
        vm.warp(until - 1);
        assertEq(cloud.payerTierOf(payer.addr), 3);
        _match();
        assertEq(terms.rates.discountBps(), 150);
        vm.warp(until);
        assertEq(cloud.payerTierOf(payer.addr), 0);
        _match();
        assertEq(terms.rates.discountBps(), 0);
    }

    // ------------------------------------------------------------------------------------------------------------------------------- helpers

    function _list(address token) private {
        vm.prank(governance);
        cloud.setListing(token, 1e24, 1e18);
    }

    function _open(address by, uint256 parent, address key, uint128 cap, uint128 perJob, uint256 lifetime, bytes memory err)
        private
        returns (uint256)
    {
        if (err.length != 0) vm.expectRevert(err);
        vm.prank(by);
        return cloud.openBudget(parent, key, address(usdc), cap, perJob, uint40(block.timestamp + lifetime));
    }

    function _revoke(address by, uint256 budget, bytes memory err) private {
        if (err.length != 0) vm.expectRevert(err);
        vm.prank(by);
        cloud.revokeBudget(budget);
    }

    function _permit(uint256 amount, uint256 nonce) private view returns (uint8, bytes32, bytes32) {
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typehash, holder.addr, address(cloud), amount, nonce, type(uint256).max));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", IERC20Permit(address(usdc)).DOMAIN_SEPARATOR(), structHash));
        return vm.sign(holder.privateKey, digest);
    }
}
