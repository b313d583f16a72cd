//! The file that says what a deployment fixes for ever: governance, listed tokens, and who gets OPEN.

use std::collections::BTreeSet;
use std::path::Path;

use opengpu_chain::DeployConfig;
use opengpu_chain::deployment::{Allocation, ListedToken, Listing, OPEN_SUPPLY};
use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use opengpu_core::job::UsdRate;
use opengpu_core::money::Amount;
use serde::Deserialize;

use crate::args;
use crate::failure::{Failure, OrFail, Outcome};

/// Digits of OPEN after the point.
const OPEN_DECIMALS: u8 = 18;
/// A rate counts millionths of a millionth of a USD per 10^18 base units: one USD per whole token of no decimals is 10^(12 + 18).
const RATE_DIGITS: u8 = 30;
/// Bits the contract has for a rate.
const RATE_BITS: u32 = 96;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Genesis {
    governance: String,
    response_window_seconds: u64,
    #[serde(rename = "token")]
    tokens: Vec<Token>,
    #[serde(rename = "allocation")]
    allocations: Vec<Part>,
}

/// One `[[token]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Token {
    symbol: String,
    address: Option<String>,
    decimals: u8,
    usd_rate: String,
    t0_cap: String,
}

/// One `[[allocation]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Part {
    name: String,
    to: String,
    amount: String,
}

/// Reads the file for a network and a chain.
pub(crate) fn read(path: &Path, name: &str, rpc_url: &str, chain_id: ChainId) -> Outcome<DeployConfig> {
    let text = std::fs::read_to_string(path).or_fail(format_args!("cannot read {}", path.display()))?;
    let genesis: Genesis = toml::from_str(&text).map_err(|error| wrong(error.message()))?;
    let config = DeployConfig {
        name: name.to_owned(),
        rpc_url: rpc_url.to_owned(),
        chain_id,
        salt: String::new(),
        governance: address("governance", &genesis.governance)?,
        response_window_seconds: genesis.response_window_seconds,
        listings: listings(&genesis.tokens, chain_id)?,
        allocations: allocations(&genesis.allocations)?,
    };
    Ok(config)
}

fn listings(tokens: &[Token], chain_id: ChainId) -> Outcome<Vec<Listing>> {
    let mut symbols = BTreeSet::new();
    let mut listings = Vec::new();
    for token in tokens {
        let symbol = &token.symbol;
        if !symbols.insert(symbol) {
            return Err(wrong(format_args!("there are two tokens {symbol}")));
        }
        listings.push(Listing {
            symbol: symbol.clone(),
            token: place(token, chain_id)?,
            decimals: token.decimals,
            usd_rate: usd_rate(token)?,
            t0_cap: positive(&format!("token {symbol}: t0-cap"), &token.t0_cap, token.decimals)?,
        });
    }
    Ok(listings)
}

fn place(token: &Token, chain_id: ChainId) -> Outcome<ListedToken> {
    let symbol = &token.symbol;
    match (&token.address, symbol.as_str()) {
        (Some(text), _) => address(&format!("token {symbol}: address"), text).map(ListedToken::At),
        (None, "OPEN") if token.decimals == OPEN_DECIMALS => Ok(ListedToken::Open),
        (None, "OPEN") => Err(wrong(format_args!("token OPEN: decimals is not {OPEN_DECIMALS}"))),
        (None, "USDC") if chain_id == ChainId::LOCAL => Ok(ListedToken::TestStablecoin),
        (None, _) => Err(wrong(format_args!("token {symbol}: address is missing"))),
    }
}

fn usd_rate(token: &Token) -> Outcome<UsdRate> {
    let field = format!("token {}: usd-rate", token.symbol);
    let digits = RATE_DIGITS
        .checked_sub(token.decimals)
        .ok_or_else(|| wrong(format_args!("token {}: decimals is above {RATE_DIGITS}", token.symbol)))?;
    let rate = positive(&field, &token.usd_rate, digits)?;
    if rate.0 >> RATE_BITS == 0 {
        Ok(UsdRate(rate.0))
    } else {
        Err(wrong(format_args!("{field}: `{}` is too large", token.usd_rate)))
    }
}

fn allocations(parts: &[Part]) -> Outcome<Vec<Allocation>> {
    let mut allocations = Vec::new();
    let mut sum = Amount::ZERO;
    for part in parts {
        let field = |name: &str| format!("allocation {}: {name}", part.name);
        let amount = positive(&field("amount"), &part.amount, OPEN_DECIMALS)?;
        sum = sum
            .checked_add(amount)
            .ok_or_else(|| wrong(format_args!("{}: the sum is too large", field("amount"))))?;
        allocations.push(Allocation {
            name: part.name.clone(),
            to: address(&field("to"), &part.to)?,
            amount,
        });
    }
    if sum == OPEN_SUPPLY {
        return Ok(allocations);
    }
    Err(wrong(format_args!(
        "allocation: the amounts are {} OPEN in all, not {}",
        sum.format_units(OPEN_DECIMALS),
        OPEN_SUPPLY.format_units(OPEN_DECIMALS)
    )))
}

/// An address that somebody can have the key of.
fn address(field: &str, text: &str) -> Outcome<Address> {
    match args::address(text) {
        Ok(Address::ZERO) => Err(wrong(format_args!("{field}: it is the zero address"))),
        Ok(address) => Ok(address),
        Err(error) => Err(wrong(format_args!("{field}: {error}"))),
    }
}

fn positive(field: &str, text: &str, decimals: u8) -> Outcome<Amount> {
    match Amount::parse_units(text, decimals) {
        Ok(Amount::ZERO) => Err(wrong(format_args!("{field}: it is 0"))),
        Ok(amount) => Ok(amount),
        Err(error) => Err(wrong(format_args!("{field}: {error}"))),
    }
}

fn wrong(what: impl std::fmt::Display) -> Failure {
    Failure::usage(format_args!("the genesis file: {what}")).hint("docs/genesis.example.toml is one that works")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../docs/genesis.example.toml");
    const ELSEWHERE: ChainId = ChainId(42_161);

    fn read_text(text: &str) -> Outcome<DeployConfig> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.toml");
        std::fs::write(&path, text).unwrap();
        read(&path, "mine", "http://127.0.0.1:1", ELSEWHERE)
    }

    #[test]
    fn the_example_is_right_and_counts_as_the_local_network_does() {
        let config = read_text(EXAMPLE).unwrap();
        let local = DeployConfig::local("");
        for (found, expected) in config.listings.iter().zip(&local.listings) {
            assert_eq!((found.usd_rate, found.t0_cap), (expected.usd_rate, expected.t0_cap));
        }
        assert_eq!(config.listings[0].token, ListedToken::Open);
        assert!(matches!(config.listings[1].token, ListedToken::At(_)));
        assert!(config.allocations.len() > 1);
    }

    #[test]
    fn a_mistake_names_its_field() {
        let cases = [
            ("usd-rate = \"0.001\"", "usd-rate = \"cheap\"", "token OPEN: usd-rate"),
            (
                "usd-rate = \"0.001\"",
                "usd-rate = \"0\"",
                "token OPEN: usd-rate: it is 0",
            ),
            (
                "usd-rate = \"0.001\"",
                "usd-rate = \"99999999999999999\"",
                "token OPEN: usd-rate",
            ),
            ("t0-cap = \"5\"", "t0-cap = \"0.0000001\"", "token USDC: t0-cap"),
            ("decimals = 18", "decimals = 8", "token OPEN: decimals"),
            ("symbol = \"USDC\"", "symbol = \"OPEN\"", "two tokens OPEN"),
            ("governance = \"0x", "governance = \"0y", "governance"),
            ("response-window-seconds", "response-window", "response-window"),
            (
                "amount = \"40000000000\"",
                "amount = \"40000000001\"",
                "100000000001 OPEN in all, not 100000000000",
            ),
            ("amount = \"40000000000\"", "amount = \"-1\"", ": amount"),
        ];
        for (right, mistake, words) in cases {
            assert!(EXAMPLE.contains(right), "{right}");
            let failure = read_text(&EXAMPLE.replacen(right, mistake, 1)).unwrap_err();
            assert_eq!(failure.kind(), crate::failure::Kind::Usage);
            assert!(failure.to_string().contains(words), "{words}: {failure}");
        }
    }

    #[test]
    fn a_checksum_that_is_wrong_is_refused() {
        let right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(address("to", right).is_ok());
        assert!(address("to", &right.to_ascii_lowercase()).is_ok());
        assert!(address("to", &right.replace("aAeb", "aaeb")).is_err());
        assert!(address("to", &Address::ZERO.to_string()).is_err());
    }
}
