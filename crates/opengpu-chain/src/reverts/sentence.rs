//! Fills a refusal's sentence with its values: amounts with their token, times in UTC.

use alloy::primitives::Address;
use opengpu_core::money::Amount;

use crate::network::Network;
use crate::time::show_utc;

/// The registry counts USD in millionths.
const USD_DECIMALS: u8 = 6;
/// Weights have the decimals of OPEN.
const WEIGHT_DECIMALS: u8 = 18;

/// How amounts are written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens<'a> {
    /// Knows tokens by address.
    pub(super) network: Option<&'a Network>,
    /// What an error means that names no token itself.
    pub(super) meant: Option<Address>,
}

/// Puts the values into a sentence. `{name}` stands for a value as it is, `{name:unit}` for one written in its unit: `time`, `OPEN`,
/// `USD`, `weight`, or `token` for the token that the error, or the call, is about.
pub(super) fn fill(sentence: &str, values: &[(String, String)], tokens: Tokens<'_>) -> String {
    let mut text = String::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(&value_at(place, values, tokens));
        rest = after;
    }
    text + rest
}

fn value_at(place: &str, values: &[(String, String)], tokens: Tokens<'_>) -> String {
    let (name, unit) = place.split_once(':').unwrap_or((place, ""));
    let value = values.iter().find(|(key, _)| key == name);
    let value = value.map_or("?", |(_, value)| value);
    match unit {
        "time" => value.parse().map_or_else(|_| value.to_owned(), show_utc),
        "USD" => with_unit(value, USD_DECIMALS, " USD"),
        "weight" => with_unit(value, WEIGHT_DECIMALS, ""),
        "OPEN" => in_token(
            value,
            tokens.network.map(|network| network.contracts.open_token),
            tokens,
        ),
        "token" => {
            let named = values.iter().find(|(key, _)| key == "token");
            let named = named.and_then(|(_, address)| address.parse().ok());
            in_token(value, named.or(tokens.meant), tokens)
        }
        _ => value.to_owned(),
    }
}

/// An amount of a token that the network lists, else in base units.
fn in_token(value: &str, token: Option<Address>, tokens: Tokens<'_>) -> String {
    let known = token.and_then(|token| tokens.network?.token_at(token));
    match (known, token) {
        (Some(info), _) => with_unit(value, info.decimals, &format!(" {}", info.symbol)),
        (None, Some(token)) => format!("{value} base units of {token}"),
        (None, None) => format!("{value} base units"),
    }
}

/// What does not fit an amount is no amount of ours, and shown as it is.
fn with_unit(value: &str, decimals: u8, unit: &str) -> String {
    let amount = value.parse().map(Amount);
    let text = amount.map_or_else(|_| value.to_owned(), |amount| amount.format_units(decimals));
    text + unit
}
