//! Random deposits, withdrawals and stakes on the real contracts, and the same on a model: after every call both must be the same.

use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{DynProvider, Provider as _};
use alloy::rpc::types::TransactionRequest;
use alloy::sol;
use alloy::sol_types::SolCall as _;
use opengpu_chain::Network;
use opengpu_core::money::Amount;
use opengpu_core::stake::Stake;
use opengpu_core::tier::DAY_SECONDS;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::EconomyHarness as abi;
use super::{Harness, harness_on, quiet};
use crate::support::{World, key};

sol! {
    function approve(address spender, uint256 amount) external returns (bool);
    function deposit(address token, uint256 amount) external;
    function depositFor(address account, address token, uint256 amount) external;
    function withdraw(address token, uint256 amount, address to) external;
    function stake(uint128 amount, uint16 lockDays) external;
    function extend(uint16 lockDays) external;
    function unstake(uint128 amount, address to) external;
    function expireStake(address account) external;
}

/// Random calls.
const CALLS: usize = 1_200;
/// Enough for any of them, also after a year in which nobody came.
const GAS: u64 = 10_000_000;
/// Who plays: keys of the local chain.
const PLAYERS: [usize; 4] = [1, 5, 6, 7];
const ONE_OPEN: u128 = 1_000_000_000_000_000_000;

/// One random call.
#[derive(Debug, Clone)]
enum Call {
    Deposit { token: usize, amount: u128 },
    DepositFor { token: usize, amount: u128, to: usize },
    Withdraw { token: usize, amount: u128, to: usize },
    Stake { amount: u128, days: u16 },
    Extend { days: u16 },
    Unstake { amount: u128, to: usize },
    Expire { of: usize },
}

/// How time passes before a call.
#[derive(Debug, Clone)]
enum Wait {
    Seconds(u64),
    /// To the end of a player's lock, or a second before or after it: where rules change.
    End {
        of: usize,
        later: u64,
    },
}

/// Who calls, after how long.
fn step() -> impl Strategy<Value = (Wait, usize, Call)> {
    let player = || 0..PLAYERS.len();
    let amount = || prop_oneof![4 => 1..3_000 * ONE_OPEN, 1 => 0u128..3, 1 => Just(ONE_OPEN), 1 => 1..2 * ONE_OPEN];
    // USDC has six digits: token 1 gets amounts that its holders can have.
    let of_token = move || {
        (0..2usize, amount()).prop_map(|(token, amount)| (token, if token == 0 { amount } else { amount >> 40 }))
    };
    let large = prop_oneof![amount(), ONE_OPEN..200_000_000 * ONE_OPEN];
    let days = || prop_oneof![8 => 14u16..=365, 1 => Just(14), 1 => Just(365), 1 => 0u16..=400];
    let call = prop_oneof![
        2 => of_token().prop_map(|(token, amount)| Call::Deposit { token, amount }),
        1 => (of_token(), player()).prop_map(|((token, amount), to)| Call::DepositFor { token, amount, to }),
        3 => (of_token(), player()).prop_map(|((token, amount), to)| Call::Withdraw { token, amount, to }),
        4 => (large, days()).prop_map(|(amount, days)| Call::Stake { amount, days }),
        2 => days().prop_map(|days| Call::Extend { days }),
        2 => (amount(), player()).prop_map(|(amount, to)| Call::Unstake { amount, to }),
        2 => player().prop_map(|of| Call::Expire { of }),
    ];
    let wait = prop_oneof![
        6 => Just(Wait::Seconds(0)),
        4 => (0..20 * DAY_SECONDS).prop_map(Wait::Seconds),
        1 => (0..400 * DAY_SECONDS).prop_map(Wait::Seconds),
        2 => (player(), 0u64..3).prop_map(|(of, later)| Wait::End { of, later }),
    ];
    (wait, player(), call)
}

/// A player as the model knows it. Tokens: OPEN, USDC.
#[derive(Debug, Clone, Default)]
struct Player {
    tokens: [u128; 2],
    credits: [u128; 2],
    stake: Stake,
}

#[derive(Debug, Clone)]
struct Model(Vec<Player>);

impl Model {
    /// Does a call at a time, or changes nothing and says false.
    fn apply(&mut self, now: u64, who: usize, call: &Call) -> bool {
        let mut after = self.clone();
        let is_done = after.try_apply(now, who, call).is_some();
        if is_done {
            *self = after;
        }
        is_done
    }

    fn try_apply(&mut self, now: u64, who: usize, call: &Call) -> Option<()> {
        let stake = self.0[who].stake;
        match *call {
            Call::Deposit { token, amount } => self.deposit(who, who, token, amount)?,
            Call::DepositFor { token, amount, to } => self.deposit(who, to, token, amount)?,
            Call::Withdraw { token, amount, to } => {
                take(&mut self.0[who].credits[token], amount)?;
                self.0[to].tokens[token] += amount;
            }
            Call::Stake { amount, days } => {
                self.0[who].stake = stake.with_more(now, Amount(amount), days).ok()?;
                take(&mut self.0[who].tokens[0], amount)?;
            }
            Call::Extend { days } => self.0[who].stake = stake.extended(now, days).ok()?,
            Call::Unstake { amount, to } => {
                self.0[who].stake = stake.with_less(now, Amount(amount)).ok()?;
                self.0[to].tokens[0] += amount;
            }
            Call::Expire { of } => self.0[of].stake = self.0[of].stake.expired(now).ok()?,
        }
        Some(())
    }

    fn deposit(&mut self, from: usize, to: usize, token: usize, amount: u128) -> Option<()> {
        take(&mut self.0[from].tokens[token], amount)?;
        self.0[to].credits[token] += amount;
        Some(())
    }

    /// As the harness tells it, at the time it says.
    fn told(&self, time: U256) -> abi::Economy {
        let now = time.to::<u64>();
        let sum = |part: &dyn Fn(&Player) -> u128| U256::from(self.0.iter().map(part).sum::<u128>());
        let wide = |numbers: [u128; 2]| numbers.map(U256::from).to_vec();
        abi::Economy {
            time,
            totalWeight: sum(&|player| player.stake.weight.0),
            inWallet: vec![sum(&|player| player.credits[0]), sum(&|player| player.credits[1])],
            inStaking: sum(&|player| player.stake.amount.0),
            accounts: self
                .0
                .iter()
                .map(|player| abi::Account {
                    staked: U256::from(player.stake.amount.0),
                    weight: U256::from(player.stake.weight.0),
                    end: U256::from(player.stake.end),
                    votes: U256::from(player.stake.weight.0),
                    tier: player.stake.payer_tier_at(now),
                    payerTier: player.stake.payer_tier_at(now),
                    tokens: wide(player.tokens),
                    credits: wide(player.credits),
                })
                .collect(),
        }
    }
}

/// Nothing is no amount: the wallet refuses it.
fn take(from: &mut u128, amount: u128) -> Option<()> {
    if amount == 0 {
        return None;
    }
    *from = from.checked_sub(amount)?;
    Some(())
}

/// Lives of a stake, each in one call.
const LIVES: u32 = 256;

/// The whole supply but for what the players have, in random parts: no time passes, so every call is of its own weight.
#[test]
fn any_stake_weighs_as_in_the_contract() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_world, chain) = runtime.block_on(async {
        let world = World::on(&quiet()).await;
        let chain = Chain::start(&world).await;
        let most = Amount(90_000_000_000 * ONE_OPEN);
        let open = chain.tokens[0];
        world
            .governance
            .transfer_token(open, super::HARNESS, most)
            .await
            .unwrap();
        (world, chain)
    });
    let amount = prop_oneof![
        8 => (0..34u32, any::<u128>()).prop_map(|(shift, drawn)| (drawn >> 34) >> shift),
        2 => Just(0),
        1 => ONE_OPEN - 2..ONE_OPEN + 2,
    ];
    let life = proptest::collection::vec((amount, 10u16..370), 4..12);
    let mut config = proptest::test_runner::Config::with_cases(LIVES);
    config.failure_persistence = None;
    let weighed = std::cell::Cell::new(0);
    let result = TestRunner::new(config).run(&life, |life| {
        let (amounts, days) = life.iter().copied().unzip();
        let call = chain.harness.stakes(chain.staking(), amounts, days);
        let found = runtime.block_on(async { call.call().await.unwrap() });
        let (now, mut stake, mut left) = (found.time.to::<u64>(), Stake::default(), 90_000_000_000 * ONE_OPEN);
        for (index, (amount, days)) in life.iter().enumerate() {
            let after = if *amount == 0 {
                stake.extended(now, *days)
            } else {
                stake.with_more(now, Amount(*amount), *days)
            };
            let after = after.ok().filter(|_| *amount <= left);
            prop_assert_eq!(after.is_some(), found.isDone[index], "{} of {:?}", index, life);
            if let Some(after) = after {
                (stake, left) = (after, left - amount);
                weighed.set(weighed.get() + 1);
            }
            let expected = (U256::from(stake.weight.0), U256::from(stake.end));
            prop_assert_eq!(
                (found.weights[index], found.ends[index]),
                expected,
                "{} of {:?}",
                index,
                life
            );
        }
        Ok(())
    });
    result.unwrap();
    assert!(weighed.get() >= 1_000, "only {} calls gave a weight", weighed.get());
}

/// The contracts with what it takes to call them.
struct Chain {
    harness: Harness,
    network: Network,
    tokens: Vec<Address>,
    accounts: Vec<Address>,
}

impl Chain {
    async fn start(world: &World) -> Self {
        let network = world.network.clone();
        let harness = harness_on(world.devnet.as_ref().unwrap()).await;
        let accounts: Vec<Address> = PLAYERS.iter().map(|index| key(*index).address()).collect();
        let tokens = vec![network.contracts.open_token, world.usdc];
        let chain = Self {
            harness,
            network,
            tokens,
            accounts,
        };
        for account in chain.accounts.clone() {
            let open = Amount(1_000_000_000 * ONE_OPEN);
            world
                .governance
                .transfer_token(chain.tokens[0], account, open)
                .await
                .unwrap();
            world
                .payer
                .mint_test_stablecoin(world.usdc, account, Amount(1_000_000_000))
                .await
                .unwrap();
            for token in chain.tokens.clone() {
                for spender in [chain.network.contracts.cloudverse, chain.staking()] {
                    let amount = U256::MAX;
                    assert!(
                        chain
                            .send(account, token, approveCall { spender, amount }.abi_encode())
                            .await
                            .0
                    );
                }
            }
        }
        chain
    }

    fn staking(&self) -> Address {
        self.network.contracts.staking.unwrap()
    }

    fn provider(&self) -> &DynProvider {
        self.harness.provider()
    }

    /// Sends a call; whether it did anything, and the time of its block.
    async fn send(&self, from: Address, to: Address, input: Vec<u8>) -> (bool, u64) {
        let request = TransactionRequest {
            from: Some(from),
            to: Some(TxKind::Call(to)),
            input: Bytes::from(input).into(),
            gas: Some(GAS),
            ..TransactionRequest::default()
        };
        let sent = self.provider().send_transaction(request).await.unwrap();
        let receipt = loop {
            if let Some(receipt) = self.provider().get_transaction_receipt(*sent.tx_hash()).await.unwrap() {
                break receipt;
            }
        };
        assert!(receipt.gas_used < GAS, "out of gas is no answer");
        let block = self
            .provider()
            .get_block_by_number(receipt.block_number.unwrap().into())
            .await;
        (receipt.status(), block.unwrap().unwrap().header.timestamp)
    }

    async fn make(&self, who: usize, call: &Call) -> (bool, u64) {
        let (token, account) = (|token: usize| self.tokens[token], |player: usize| self.accounts[player]);
        let wide = |amount: u128| U256::from(amount);
        let (to, input) = match *call {
            Call::Deposit { token: t, amount } => {
                let (token, amount) = (token(t), wide(amount));
                (
                    self.network.contracts.cloudverse,
                    depositCall { token, amount }.abi_encode(),
                )
            }
            Call::DepositFor { token: t, amount, to } => {
                let (account, token, amount) = (account(to), token(t), wide(amount));
                let call = depositForCall { account, token, amount };
                (self.network.contracts.cloudverse, call.abi_encode())
            }
            Call::Withdraw { token: t, amount, to } => {
                let (token, amount, to) = (token(t), wide(amount), account(to));
                let call = withdrawCall { token, amount, to };
                (self.network.contracts.cloudverse, call.abi_encode())
            }
            Call::Stake { amount, days } => (self.staking(), stakeCall { amount, lockDays: days }.abi_encode()),
            Call::Extend { days } => (self.staking(), extendCall { lockDays: days }.abi_encode()),
            Call::Unstake { amount, to } => (
                self.staking(),
                unstakeCall {
                    amount,
                    to: account(to),
                }
                .abi_encode(),
            ),
            Call::Expire { of } => (self.staking(), expireStakeCall { account: account(of) }.abi_encode()),
        };
        self.send(self.accounts[who], to, input).await
    }

    async fn economy(&self) -> abi::Economy {
        let (tokens, accounts) = (self.tokens.clone(), self.accounts.clone());
        let call = self
            .harness
            .economyOf(self.staking(), self.network.contracts.cloudverse, tokens, accounts);
        call.call().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wallet_and_stakes_are_the_models_after_every_random_call() {
    let world = World::on(&quiet()).await;
    let chain = Chain::start(&world).await;
    let start = chain.economy().await;
    let balance = |account: &abi::Account, token: usize| u128::try_from(account.tokens[token]).unwrap();
    let players = start.accounts.iter().map(|account| Player {
        tokens: [balance(account, 0), balance(account, 1)],
        ..Player::default()
    });
    let mut model = Model(players.collect());
    assert_eq!(model.told(start.time), start);

    let mut runner = TestRunner::default();
    let (mut done, mut refused, mut at_an_end) = ([0; 7], [0; 7], 0);
    for number in 0..CALLS {
        let (wait, who, call) = step().new_tree(&mut runner).unwrap().current();
        match wait {
            Wait::Seconds(seconds) => drop(chain.provider().anvil_increase_time(seconds).await.unwrap()),
            Wait::End { of, later } => {
                let at = (model.0[of].stake.end + later).saturating_sub(1);
                // Refused when it is past already: then no time passes.
                drop(chain.provider().anvil_set_next_block_timestamp(at).await);
            }
        }
        let (is_done, now) = chain.make(who, &call).await;
        at_an_end += usize::from(model.0.iter().any(|player| player.stake.end == now));
        let what = format!("call {number}: {call:?} by {who} at {now}, before {model:?}");
        assert_eq!(model.apply(now, who, &call), is_done, "{what}");
        let found = chain.economy().await;
        assert_eq!(model.told(found.time), found, "{what}");
        let kinds = if is_done { &mut done } else { &mut refused };
        kinds[kind(&call)] += 1;
    }
    // Each kind of call must have been refused as well as done, and some at the very end of a lock, or the comparison says little.
    assert!(at_an_end > 5, "{at_an_end}");
    assert!(
        done.iter().chain(&refused).all(|count| *count > 0),
        "done {done:?}, refused {refused:?}"
    );
}

fn kind(call: &Call) -> usize {
    match call {
        Call::Deposit { .. } => 0,
        Call::DepositFor { .. } => 1,
        Call::Withdraw { .. } => 2,
        Call::Stake { .. } => 3,
        Call::Extend { .. } => 4,
        Call::Unstake { .. } => 5,
        Call::Expire { .. } => 6,
    }
}
