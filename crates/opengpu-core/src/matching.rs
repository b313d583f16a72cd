//! Choosing among bids, and the quote shown before anything is signed.

use serde::{Deserialize, Serialize};

use crate::ids::{JobId, NodeId};
use crate::money::{Amount, Price, cost_rounded_up};
use crate::order::{Bid, Order};

/// The estimate of a job's total cost, shown before signing and kept in its receipt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quote {
    /// Billed seconds the chosen bid estimates.
    pub estimated_seconds: u32,
    /// What these seconds cost at its prices, without egress; base units, rounded up.
    pub estimated_cost: Amount,
    /// The most the order allows: the escrow locked at match, base units.
    pub max_cost: Amount,
}

impl Quote {
    /// The quote for `seconds` at `price` under an order of `max_cost`. An estimate beyond 128 bits shows as the largest.
    #[must_use]
    pub fn of(price: Price, seconds: u32, max_cost: Amount) -> Self {
        Self {
            estimated_seconds: seconds,
            estimated_cost: cost_of_seconds(price, seconds),
            max_cost,
        }
    }
}

/// The escrow to lock for an estimate: 5 % more, rounded up (protocol, section 3).
#[must_use]
pub fn escrow_rounded_up(estimated_cost: Amount) -> Amount {
    Amount(estimated_cost.0.saturating_add(estimated_cost.0.div_ceil(20)))
}

fn cost_of_seconds(price: Price, seconds: u32) -> Amount {
    cost_rounded_up(price, u64::from(seconds) * 1000, 0).unwrap_or(Amount(u128::MAX))
}

/// A bid and what the chain says about the node that made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The offer.
    pub bid: Bid,
    /// The node's tier now (0..4).
    pub tier: u8,
    /// Whether the node takes no new match: suspended or draining.
    pub is_unavailable: bool,
}

/// What the chooser is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The order bid for.
    pub order: &'a Order,
    /// Its digest.
    pub job_id: JobId,
    /// The payer's estimate of billed seconds, from the spec; none: it cannot say.
    pub expected_seconds: Option<u32>,
    /// Seconds between vouchers: the escrow must be worth at least that.
    pub voucher_interval_seconds: u32,
    /// Unix second, on the chain's clock.
    pub now: u64,
}

/// Why a bid cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BidRefusal {
    /// It is for another job.
    #[error("is for another job")]
    OtherJob,
    /// It expires before a match could be in a block.
    #[error("expired at {expires_at}")]
    Expired {
        /// Unix second.
        expires_at: u64,
    },
    /// The node is suspended or draining.
    #[error("node takes no new jobs")]
    Unavailable,
    /// The node's tier is below the order's.
    #[error("node is of tier {tier}, the order wants {min_tier}")]
    TierTooLow {
        /// The node's.
        tier: u8,
        /// The order's.
        min_tier: u8,
    },
    /// A price is above the order's ceiling.
    #[error("asks {asked}, the ceiling is {ceiling}")]
    PriceAboveCeiling {
        /// Base units asked.
        asked: Amount,
        /// Base units allowed.
        ceiling: Amount,
    },
    /// It promises READY later than the order allows.
    #[error("promises to be ready within {promised} s, the order allows {allowed} s")]
    ReadyTooLate {
        /// Seconds promised.
        promised: u32,
        /// Seconds allowed.
        allowed: u32,
    },
    /// The job is expected to cost more than the order's escrow.
    #[error("would cost {needed}, the most allowed is {max_cost}")]
    AboveMaxCost {
        /// Base units needed.
        needed: Amount,
        /// The order's `maxCost`.
        max_cost: Amount,
    },
}

/// Why no bid can be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MatchError {
    /// No node bid: wait, or ask another gateway.
    #[error("no node has bid")]
    NoBids,
    /// Every bid breaks one of the order's rules; the user must change the order.
    #[error("none of {} bids can be taken: {}", .refused.len(), describe(.refused))]
    NoneAcceptable {
        /// Each bid's node and why it was refused.
        refused: Vec<(NodeId, BidRefusal)>,
    },
}

impl MatchError {
    /// The smallest `maxCost` with which some bid could be taken, when money alone was in the way.
    #[must_use]
    pub fn cheapest_needed(&self) -> Option<Amount> {
        let Self::NoneAcceptable { refused } = self else {
            return None;
        };
        refused
            .iter()
            .filter_map(|(_, refusal)| match refusal {
                BidRefusal::AboveMaxCost { needed, .. } => Some(*needed),
                _ => None,
            })
            .min()
    }
}

fn describe(refused: &[(NodeId, BidRefusal)]) -> String {
    let lines: Vec<String> = refused.iter().map(|(node, why)| format!("node {node} {why}")).collect();
    lines.join("; ")
}

/// The bid to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Its place in the candidates.
    pub index: usize,
    /// What to show before signing.
    pub quote: Quote,
}

/// Seconds a bid must still be good for, so that a match sent now lands in time: a few blocks of any chain.
pub const MATCH_MARGIN_SECONDS: u64 = 5;

/// Chooses the cheapest acceptable bid for the seconds the payer expects (else the most the order allows). Equal costs:
/// cheaper egress, then earlier READY, then higher tier, then lower node id.
///
/// # Errors
/// [`MatchError`] when no bid can be taken, with the reason for each.
pub fn choose_bid(candidates: &[Candidate], policy: &Policy<'_>) -> Result<Choice, MatchError> {
    if candidates.is_empty() {
        return Err(MatchError::NoBids);
    }
    let seconds = policy.expected_seconds.unwrap_or(policy.order.max_seconds);
    let mut refused = Vec::new();
    let mut acceptable = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        match check_bid(candidate, policy) {
            Ok(()) => acceptable.push((index, candidate)),
            Err(refusal) => refused.push((candidate.bid.node, refusal)),
        }
    }
    acceptable
        .into_iter()
        .min_by_key(|(_, Candidate { bid, tier, .. })| {
            let cost = cost_of_seconds(bid.price(), seconds);
            (
                cost,
                bid.egress_per_gib,
                bid.ready_within_seconds,
                u8::MAX - tier,
                bid.node,
            )
        })
        .map(|(index, Candidate { bid, .. })| Choice {
            index,
            quote: Quote::of(bid.price(), bid.quoted_seconds, policy.order.max_cost),
        })
        .ok_or(MatchError::NoneAcceptable { refused })
}

/// Whether a bid keeps to the order's rules, as `matchOrder` will ask.
///
/// # Errors
/// The first rule it breaks.
pub fn check_bid(candidate: &Candidate, policy: &Policy<'_>) -> Result<(), BidRefusal> {
    let (bid, order) = (&candidate.bid, policy.order);
    if bid.job_id != policy.job_id {
        return Err(BidRefusal::OtherJob);
    }
    if bid.expires_at <= policy.now.saturating_add(MATCH_MARGIN_SECONDS) {
        let expires_at = bid.expires_at;
        return Err(BidRefusal::Expired { expires_at });
    }
    if candidate.is_unavailable {
        return Err(BidRefusal::Unavailable);
    }
    if candidate.tier < order.min_tier {
        return Err(BidRefusal::TierTooLow {
            tier: candidate.tier,
            min_tier: order.min_tier,
        });
    }
    let prices = [
        (bid.compute_per_hour, order.max_price_per_hour),
        (bid.egress_per_gib, order.max_egress_per_gib),
    ];
    for (asked, ceiling) in prices {
        if asked > ceiling {
            return Err(BidRefusal::PriceAboveCeiling { asked, ceiling });
        }
    }
    if bid.ready_within_seconds > order.ready_within_seconds {
        return Err(BidRefusal::ReadyTooLate {
            promised: bid.ready_within_seconds,
            allowed: order.ready_within_seconds,
        });
    }
    // A job nobody can estimate is held by its escrow; it must be worth one voucher at least.
    let least_seconds = policy
        .expected_seconds
        .unwrap_or(0)
        .max(policy.voucher_interval_seconds);
    let needed = cost_of_seconds(bid.price(), least_seconds.min(order.max_seconds));
    if needed > order.max_cost {
        return Err(BidRefusal::AboveMaxCost {
            needed,
            max_cost: order.max_cost,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Sha256Digest;
    use alloy_primitives::{Address, B256, U256};

    const JOB: JobId = JobId(B256::repeat_byte(1));

    fn order() -> Order {
        Order {
            payer: Address::repeat_byte(1),
            budget: Default::default(),
            signer: Address::repeat_byte(2),
            token: Address::repeat_byte(3),
            max_cost: Amount(1_000_000),
            max_price_per_hour: Amount(700_000),
            max_egress_per_gib: Amount(10),
            spec_digest: Sha256Digest::of(b""),
            max_seconds: 3600,
            ready_within_seconds: 60,
            min_tier: 0,
            verify_level: 0,
            max_attempts: 1,
            claimable: false,
            expires_at: 2_000,
            salt: U256::ZERO,
        }
    }

    fn candidate(node: u64, compute_per_hour: u128) -> Candidate {
        Candidate {
            bid: Bid {
                job_id: JOB,
                node: NodeId(U256::from(node)),
                compute_per_hour: Amount(compute_per_hour),
                egress_per_gib: Amount(10),
                ready_within_seconds: 30,
                quoted_seconds: 120,
                expires_at: 1_060,
            },
            tier: 0,
            is_unavailable: false,
        }
    }

    fn policy(order: &Order) -> Policy<'_> {
        Policy {
            order,
            job_id: JOB,
            expected_seconds: Some(600),
            voucher_interval_seconds: 60,
            now: 1_000,
        }
    }

    #[test]
    fn cheapest_bid_wins_with_its_quote() {
        let order = order();
        let bids = [candidate(1, 600_000), candidate(2, 300_000), candidate(3, 400_000)];
        let choice = choose_bid(&bids, &policy(&order)).unwrap();
        assert_eq!(choice.index, 1);
        // 120 s of 300 000 an hour.
        assert_eq!(choice.quote.estimated_cost, Amount(10_000));
        assert_eq!(choice.quote.max_cost, Amount(1_000_000));
    }

    #[test]
    fn equal_prices_are_told_apart_by_readiness_tier_and_id() {
        let order = order();
        let (slow, mut fast, mut high) = (candidate(1, 5), candidate(9, 5), candidate(8, 5));
        assert_eq!(
            choose_bid(&[candidate(2, 5), slow.clone()], &policy(&order))
                .unwrap()
                .index,
            1
        );
        high.tier = 2;
        assert_eq!(
            choose_bid(&[slow.clone(), high.clone()], &policy(&order))
                .unwrap()
                .index,
            1
        );
        fast.bid.ready_within_seconds = 5;
        assert_eq!(choose_bid(&[slow, high, fast], &policy(&order)).unwrap().index, 2);
    }

    #[test]
    fn each_rule_refuses_and_is_named() {
        let order = Order { min_tier: 1, ..order() };
        let refusal = |change: fn(&mut Candidate)| {
            let mut bad = candidate(1, 300_000);
            bad.tier = 1;
            assert_eq!(check_bid(&bad, &policy(&order)), Ok(()));
            change(&mut bad);
            check_bid(&bad, &policy(&order)).unwrap_err()
        };
        assert_eq!(refusal(|c| c.bid.job_id = JobId(B256::ZERO)), BidRefusal::OtherJob);
        assert_eq!(
            refusal(|c| c.bid.expires_at = 1_005),
            BidRefusal::Expired { expires_at: 1_005 }
        );
        assert_eq!(refusal(|c| c.is_unavailable = true), BidRefusal::Unavailable);
        assert_eq!(refusal(|c| c.tier = 0), BidRefusal::TierTooLow { tier: 0, min_tier: 1 });
        let dear = refusal(|c| c.bid.compute_per_hour = Amount(700_001));
        assert!(matches!(dear, BidRefusal::PriceAboveCeiling { .. }));
        let egress = refusal(|c| c.bid.egress_per_gib = Amount(11));
        assert!(matches!(egress, BidRefusal::PriceAboveCeiling { .. }));
        let late = refusal(|c| c.bid.ready_within_seconds = 61);
        assert!(matches!(late, BidRefusal::ReadyTooLate { .. }));
    }

    #[test]
    fn max_cost_below_the_cheapest_bid_tells_what_is_needed() {
        let order = Order {
            max_cost: Amount(49_999),
            ..order()
        };
        let error = choose_bid(&[candidate(1, 600_000), candidate(2, 300_000)], &policy(&order)).unwrap_err();
        assert_eq!(error.cheapest_needed(), Some(Amount(50_000)));
        assert!(error.to_string().contains("node 2 would cost 50000"), "{error}");
        assert_eq!(choose_bid(&[], &policy(&order)), Err(MatchError::NoBids));
    }

    #[test]
    fn job_of_unknown_length_needs_only_its_first_voucher_in_escrow() {
        let order = Order {
            max_cost: Amount(5_000),
            ..order()
        };
        let unknown = Policy {
            expected_seconds: None,
            ..policy(&order)
        };
        assert!(choose_bid(&[candidate(1, 300_000)], &unknown).is_ok());
        let poor = Order {
            max_cost: Amount(4_999),
            ..order.clone()
        };
        let unknown = Policy {
            order: &poor,
            ..unknown
        };
        assert!(choose_bid(&[candidate(1, 300_000)], &unknown).is_err());
    }

    #[test]
    fn escrow_is_the_estimate_and_five_percent() {
        assert_eq!(escrow_rounded_up(Amount(100)), Amount(105));
        assert_eq!(escrow_rounded_up(Amount(101)), Amount(107));
        assert_eq!(escrow_rounded_up(Amount(u128::MAX)), Amount(u128::MAX));
    }
}
