//! What a deployment fixes for ever, and what it lists.

use opengpu_core::ids::ChainId;
use opengpu_core::job::UsdRate;
use opengpu_core::money::Amount;
use opengpu_core::{Address, U256};

use crate::devnet::dev_key;

/// All OPEN there will ever be, base units: 100,000,000,000 tokens of 18 decimals.
pub const OPEN_SUPPLY: Amount = Amount(100_000_000_000 * OPEN_UNIT);
const OPEN_UNIT: u128 = 1_000_000_000_000_000_000;

/// A USD rate says millionths of a millionth of a USD per 10^18 base units. For a token of 6 decimals worth one USD, 10^18 base units are
/// 10^12 USD.
const USDC_RATE: u128 = 1_000_000_000_000_000_000_000_000;
/// The same for a token of 18 decimals worth a tenth of a cent: 10^18 base units are 0.001 USD.
const OPEN_RATE: u128 = 1_000_000_000;
/// A node of tier T0 takes jobs of up to five USD (protocol, section 7).
const USDC_T0_CAP: u128 = 5_000_000;
/// Five USD in OPEN at [`OPEN_RATE`].
const OPEN_T0_CAP: u128 = 5_000_000_000_000_000_000_000;
/// How long a fault report may be answered on a local network, seconds: the shortest the contract takes there.
const LOCAL_RESPONSE_WINDOW_SECONDS: u64 = 15;

/// What a deployment fixes for ever, and what it lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployConfig {
    /// Name of the network.
    pub name: String,
    /// JSON-RPC over HTTP.
    pub rpc_url: String,
    /// The chain deployed to. Test tokens exist on [`ChainId::LOCAL`] only.
    pub chain_id: ChainId,
    /// Makes another set of addresses for the same owner; empty for the usual one.
    pub salt: String,
    /// Sets listings and fees and receives the treasury's part.
    pub governance: Address,
    /// How long a fault report may be answered, seconds: 60 to 3600, from 15 on a local chain.
    pub response_window_seconds: u64,
    /// Tokens jobs can be paid in.
    pub listings: Vec<Listing>,
    /// Who gets which part of OPEN; together [`OPEN_SUPPLY`].
    pub allocations: Vec<Allocation>,
}

/// A token jobs can be paid in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// `USDC`.
    pub symbol: String,
    /// Where it is.
    pub token: ListedToken,
    /// Digits after the point.
    pub decimals: u8,
    /// USD in millionths of a millionth per 10^18 base units.
    pub usd_rate: UsdRate,
    /// Highest escrow on a node of tier T0.
    pub t0_cap: Amount,
}

/// Where a listed token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedToken {
    /// OPEN of this deployment.
    Open,
    /// The test stablecoin of a local network.
    TestStablecoin,
    /// A token that is on the chain already.
    At(Address),
}

/// A part of OPEN's supply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// What it is for.
    pub name: String,
    /// Who gets it.
    pub to: Address,
    /// Base units.
    pub amount: Amount,
}

impl DeployConfig {
    /// What a local network uses: its first account is governance and treasury and gets all OPEN.
    #[must_use]
    pub fn local(rpc_url: &str) -> Self {
        let governance = dev_key(0).map_or(Address::ZERO, |key| key.address());
        Self {
            name: "local".to_owned(),
            rpc_url: rpc_url.to_owned(),
            chain_id: ChainId::LOCAL,
            salt: String::new(),
            governance,
            response_window_seconds: LOCAL_RESPONSE_WINDOW_SECONDS,
            listings: vec![
                Listing {
                    symbol: "OPEN".to_owned(),
                    token: ListedToken::Open,
                    decimals: 18,
                    usd_rate: UsdRate(OPEN_RATE),
                    t0_cap: Amount(OPEN_T0_CAP),
                },
                Listing {
                    symbol: "USDC".to_owned(),
                    token: ListedToken::TestStablecoin,
                    decimals: 6,
                    usd_rate: UsdRate(USDC_RATE),
                    t0_cap: Amount(USDC_T0_CAP),
                },
            ],
            allocations: vec![Allocation {
                name: "everything".to_owned(),
                to: governance,
                amount: OPEN_SUPPLY,
            }],
        }
    }

    /// The same with `account` as governance that gets all OPEN.
    #[must_use]
    pub fn governed_by(mut self, account: Address) -> Self {
        self.governance = account;
        for allocation in &mut self.allocations {
            allocation.to = account;
        }
        self
    }

    /// What each account is to get in all, base units.
    pub(super) fn allocated(&self) -> std::collections::BTreeMap<Address, U256> {
        let mut parts = std::collections::BTreeMap::new();
        for allocation in &self.allocations {
            *parts.entry(allocation.to).or_insert(U256::ZERO) += U256::from(allocation.amount.0);
        }
        parts
    }
}
