//! Whether to offer for an order, and at what price: pure decisions over what the node knows.
//!
//! A bid is firm: from the moment it is posted until it expires the capacity is held ([`Ledger`]), because the payer may
//! match it without asking again. It is free earlier when payer or signer says that the order is given up.

mod ledger;
mod price;

use opengpu_core::Address;
use opengpu_core::ids::{BudgetId, JobId, NodeId};
use opengpu_core::job::UsdRate;
use opengpu_core::matching::MATCH_MARGIN_SECONDS;
use opengpu_core::money::{Amount, Price, cost_rounded_up};
use opengpu_core::order::{Bid, Domain, Signable};
use opengpu_core::sign::SecretKey;
use opengpu_core::spec::{Resources, SpecError};
use opengpu_core::wire::{SignedBid, SignedOrder};

pub use ledger::{Capacity, Ledger};
pub use price::{PriceList, base_units_rounded_down};

/// How long a bid is firm at most, in seconds: the protocol's default (section 1). Never longer than its order, which nobody can
/// match afterwards.
pub const BID_SECONDS: u64 = 60;
/// The longest order signature looked at, in bytes: an ERC-1271 wallet with many owners stays well below.
const MAX_SIGNATURE_BYTES: usize = 8192;

/// What the chain says about this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Who owns it: named in receipts.
    pub owner: Address,
    /// Highest price it may bid, millionths of a USD per hour.
    pub list_price_usd_micros: u64,
    /// Its tier, 0..4.
    pub tier: u8,
    /// Whether it takes no new jobs: draining by its owner, or suspended after unanswered faults.
    pub is_closed_for_matches: bool,
    /// Whether the daemon's key is its operator.
    pub is_ours: bool,
}

/// What the chain says about an order's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its symbol, such as `USDC`.
    pub symbol: String,
    /// Digits after its point.
    pub decimals: u8,
    /// Its USD rate; `None` when it is not listed.
    pub rate: Option<UsdRate>,
    /// The most a node of tier 0 may take as escrow, base units.
    pub tier0_cap: Amount,
}

/// What the node wants and how it bids.
#[derive(Debug, Clone)]
pub struct Bidder {
    /// The network.
    pub domain: Domain,
    /// The node.
    pub node: NodeId,
    /// The operator's key.
    pub key: SecretKey,
    /// What it asks.
    pub prices: PriceList,
    /// The soonest it promises READY, in seconds; bids promise this or the order's, whichever is less.
    pub ready_within_seconds: u32,
}

/// Why the node does not offer. For its log; nobody is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBid {
    /// The node is draining, suspended, or the key is not its operator.
    #[error("this node takes no new jobs")]
    Closed,
    /// The order is past its time or about to be.
    #[error("the order expires at {0}")]
    Expired(u64),
    /// The spec is not the order's, or breaks the format's rules.
    #[error("spec: {0}")]
    Spec(#[from] SpecError),
    /// The payer's signature cannot be one.
    #[error("a signature of {0} bytes")]
    Signature(usize),
    /// The token has no rate on this market.
    #[error("the token is not listed")]
    TokenNotListed,
    /// The order's budget is not one of its payer.
    #[error("there is no budget {0} of the order's payer")]
    Budget(BudgetId),
    /// The order asks for a higher tier.
    #[error("the order wants tier {wanted}, this node has {has}")]
    Tier {
        /// The order's.
        wanted: u8,
        /// Ours.
        has: u8,
    },
    /// The order asks for a verification this node cannot give yet.
    #[error("verify level {0} is not offered")]
    VerifyLevel(u8),
    /// A number of the order is outside what the market takes.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The escrow is above what tier 0 may take.
    #[error("escrow {escrow} is above the tier 0 cap {cap}")]
    AboveTier0Cap {
        /// The order's.
        escrow: Amount,
        /// The token's.
        cap: Amount,
    },
    /// The node's price is above the order's ceiling.
    #[error("{what} would cost {asked} an hour or GiB, the ceiling is {ceiling}")]
    AboveCeiling {
        /// Which price.
        what: &'static str,
        /// The node's, base units.
        asked: Amount,
        /// The order's, base units.
        ceiling: Amount,
    },
    /// One voucher interval costs more than the whole escrow, so not even the first voucher would be covered.
    #[error("one voucher interval costs {interval_cost}, the escrow is {escrow}")]
    EscrowTooSmall {
        /// What an interval costs, base units.
        interval_cost: Amount,
        /// The escrow, base units.
        escrow: Amount,
    },
    /// The machine has not enough free of something.
    #[error("not enough {what}: {wanted} wanted, {free} free")]
    NoRoom {
        /// What is missing, with its unit.
        what: &'static str,
        /// What the job wants.
        wanted: u64,
        /// What is free.
        free: u64,
    },
}

impl Bidder {
    /// Decides about one order at unix second `now`.
    ///
    /// # Errors
    /// [`NoBid`], the first reason found.
    pub fn consider(
        &self,
        order: &SignedOrder,
        standing: &Standing,
        listing: &Listing,
        free: &Capacity,
        now: u64,
    ) -> Result<SignedBid, NoBid> {
        self.check_order(order, standing, now)?;
        let rate = listing.rate.ok_or(NoBid::TokenNotListed)?;
        check_escrow(order, standing, listing)?;
        let price = self
            .prices
            .price(&order.spec.resources, rate, standing.list_price_usd_micros);
        let price = price.ok_or(NoBid::TokenNotListed)?;
        check_price(order, price)?;
        free.check(&needs(order))?;
        Ok(self.sign(order, price, now))
    }

    fn check_order(&self, signed: &SignedOrder, standing: &Standing, now: u64) -> Result<(), NoBid> {
        let order = &signed.order;
        if standing.is_closed_for_matches || !standing.is_ours {
            return Err(NoBid::Closed);
        }
        // Payers take no bid that is about to expire, and a bid expires with its order.
        if order.expires_at <= now + MATCH_MARGIN_SECONDS {
            return Err(NoBid::Expired(order.expires_at));
        }
        if signed.signature.len() > MAX_SIGNATURE_BYTES {
            return Err(NoBid::Signature(signed.signature.len()));
        }
        if order.min_tier > standing.tier {
            return Err(NoBid::Tier {
                wanted: order.min_tier,
                has: standing.tier,
            });
        }
        // V2 needs the disputes contract and a panel; V3 is the payer's own comparison and asks nothing of a node.
        if order.verify_level == 2 || order.verify_level > 3 {
            return Err(NoBid::VerifyLevel(order.verify_level));
        }
        if order.max_seconds == 0 {
            return Err(NoBid::OutOfRange("maxSeconds"));
        }
        if order.ready_within_seconds == 0 {
            return Err(NoBid::OutOfRange("readyWithinSeconds"));
        }
        Ok(signed.spec.check(order.spec_digest)?)
    }

    fn sign(&self, order: &SignedOrder, price: Price, now: u64) -> SignedBid {
        let expected = order.spec.expected_seconds.unwrap_or(order.order.max_seconds);
        let bid = Bid {
            job_id: order.order.job_id(self.domain),
            node: self.node,
            compute_per_hour: price.compute_per_hour,
            egress_per_gib: price.egress_per_gib,
            ready_within_seconds: order.order.ready_within_seconds.min(self.ready_within_seconds),
            quoted_seconds: expected.min(order.order.max_seconds),
            expires_at: order.order.expires_at.min(now + BID_SECONDS),
        };
        let signature = bid.sign(self.domain, &self.key);
        SignedBid { bid, signature }
    }

    /// The job an order would become.
    #[must_use]
    pub fn job_id(&self, order: &SignedOrder) -> JobId {
        order.order.job_id(self.domain)
    }
}

/// What a job takes of the machine while it is held: its shape, and the disk for input and output together.
#[must_use]
pub fn needs(order: &SignedOrder) -> Capacity {
    let Resources {
        cpu_millis,
        memory_bytes,
        disk_bytes,
        pids: _,
    } = order.spec.resources;
    let input = order.spec.input.as_ref().map_or(0, |input| input.bytes);
    Capacity {
        cpu_millis: u64::from(cpu_millis),
        memory_bytes,
        // Input and output lie there twice: as blocks in the store and as files in the job's folder.
        disk_bytes: input.saturating_mul(2).saturating_add(disk_bytes.saturating_mul(2)),
    }
}

fn check_escrow(order: &SignedOrder, standing: &Standing, listing: &Listing) -> Result<(), NoBid> {
    let escrow = order.order.max_cost;
    if standing.tier == 0 && escrow > listing.tier0_cap {
        return Err(NoBid::AboveTier0Cap {
            escrow,
            cap: listing.tier0_cap,
        });
    }
    Ok(())
}

fn check_price(order: &SignedOrder, price: Price) -> Result<(), NoBid> {
    let ceilings = [
        ("compute", price.compute_per_hour, order.order.max_price_per_hour),
        ("egress", price.egress_per_gib, order.order.max_egress_per_gib),
    ];
    for (what, asked, ceiling) in ceilings {
        if asked > ceiling {
            return Err(NoBid::AboveCeiling { what, asked, ceiling });
        }
    }
    let interval_millis = u64::from(order.spec.voucher_interval_seconds) * 1000;
    let interval_cost = cost_rounded_up(price, interval_millis, 0).unwrap_or(Amount(u128::MAX));
    if interval_cost > order.order.max_cost {
        return Err(NoBid::EscrowTooSmall {
            interval_cost,
            escrow: order.order.max_cost,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
