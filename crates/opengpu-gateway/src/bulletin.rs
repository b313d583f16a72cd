//! Which orders and bids are put up. Pure but for the two questions only the chain can answer, which the caller asks.

use opengpu_core::Address;
use opengpu_core::order::{Bid, Domain, Order, Signable as _};
use opengpu_core::sign::Signature;
use opengpu_core::wire::{SignedBid, SignedOrder};

use crate::problem::{ApiError, Code};

/// Longest life of an order in the bulletin, seconds: nodes look at each for its whole life.
const LONGEST_ORDER_SECONDS: u64 = 7 * 86_400;
/// Most billed seconds of a job (protocol, section 4).
const MOST_SECONDS: u32 = 30 * 86_400;
/// Most seconds to READY (protocol, section 4).
const MOST_READY_SECONDS: u32 = 86_400;

/// Checks an order that is new: its spec, its ranges, its time. Whose signature it is comes after.
///
/// # Errors
/// [`Code::InvalidOrder`] naming the field.
pub(crate) fn check_order(signed: &SignedOrder, now: u64) -> Result<(), ApiError> {
    check_spec(signed)?;
    let order = &signed.order;
    let rules: [(bool, &str); 9] = [
        (order.payer != Address::ZERO, "payer must be an account"),
        (order.signer != Address::ZERO, "signer must be an account"),
        (order.max_cost.0 > 0, "maxCost must be above 0"),
        (
            (1..=MOST_SECONDS).contains(&order.max_seconds),
            "maxSeconds must be 1..2592000",
        ),
        (
            (1..=MOST_READY_SECONDS).contains(&order.ready_within_seconds),
            "readyWithinSeconds must be 1..86400",
        ),
        (order.min_tier <= 4, "minTier must be 0..4"),
        (order.verify_level <= 3, "verifyLevel must be 0..3"),
        ((1..=4).contains(&order.max_attempts), "maxAttempts must be 1..4"),
        (order.expires_at > now, "expiresAt is over"),
    ];
    if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
        return Err(invalid_order(*rule));
    }
    if order.expires_at > now + LONGEST_ORDER_SECONDS {
        return Err(invalid_order("expiresAt must be at most 7 days away"));
    }
    Ok(())
}

/// Checks that the spec is the one the order commits to.
///
/// # Errors
/// [`Code::InvalidOrder`].
pub(crate) fn check_spec(signed: &SignedOrder) -> Result<(), ApiError> {
    let checked = signed.spec.check(signed.order.spec_digest);
    checked.map_err(|error| invalid_order(format!("spec: {error}")))
}

fn invalid_order(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidOrder, detail)
}

/// Whether an account's own key signed; a wallet contract's signature is the chain's to judge.
pub(crate) fn is_signed_by_key(signed: &SignedOrder, account: Address, domain: Domain) -> bool {
    let text = format!("0x{}", hex_of(&signed.signature));
    text.parse::<Signature>()
        .is_ok_and(|signature| signature.is_by(account, signed.order.digest(domain)))
}

fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Checks a bid against its order and the clock. Whose node it is comes after.
///
/// # Errors
/// [`Code::InvalidBid`] naming what is wrong.
pub(crate) fn check_bid(bid: &Bid, order: &Order, now: u64) -> Result<(), ApiError> {
    let rules = [
        (bid.expires_at > now, "expiresAt is over"),
        (order.expires_at > now, "the order has expired"),
        (
            bid.compute_per_hour <= order.max_price_per_hour,
            "computePerHour is above the order's maxPricePerHour",
        ),
        (
            bid.egress_per_gib <= order.max_egress_per_gib,
            "egressPerGiB is above the order's maxEgressPerGiB",
        ),
        (
            bid.ready_within_seconds <= order.ready_within_seconds,
            "readyWithinSeconds is above the order's",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(ApiError::new(Code::InvalidBid, *rule)),
        None => Ok(()),
    }
}

/// Refuses a bid that is not signed by `operator`.
pub(crate) fn check_bidder(signed: &SignedBid, operator: Address, domain: Domain) -> Result<(), ApiError> {
    if signed.signature.is_by(operator, signed.bid.digest(domain)) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::BadSignature,
        format!("the bid must be signed by node {}'s operator", signed.bid.node),
    ))
}
