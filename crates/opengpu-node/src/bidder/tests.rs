//! One test per reason not to offer, and that the offer made is the one the market will take.

use std::collections::BTreeMap;

use opengpu_core::ids::{BudgetId, ChainId, Sha256Digest};
use opengpu_core::order::Order;
use opengpu_core::spec::{Image, ImageSource, JobKind, JobSpec};
use opengpu_core::{Address, U256};

use super::*;

const NOW: u64 = 1_800_000_000;

fn bidder() -> Bidder {
    Bidder {
        domain: Domain {
            chain_id: ChainId::LOCAL,
            contract: Address::repeat_byte(9),
        },
        node: NodeId(U256::from(1)),
        key: SecretKey::from_bytes([7; 32]).unwrap(),
        prices: PriceList {
            core_hour_usd_micros: 50_000,
            memory_gib_hour_usd_micros: 0,
            egress_gib_usd_micros: 10_000,
        },
        ready_within_seconds: 120,
    }
}

fn order() -> SignedOrder {
    let spec = JobSpec {
        version: 1,
        name: String::new(),
        kind: JobKind::Batch,
        image: Image {
            digest: Sha256Digest::of(b"image"),
            source: ImageSource::Registry("127.0.0.1:5000/a".to_owned()),
        },
        command: Vec::new(),
        ready: Vec::new(),
        env: BTreeMap::new(),
        resources: Resources {
            cpu_millis: 2000,
            memory_bytes: 1 << 30,
            disk_bytes: 1 << 20,
            pids: 64,
        },
        input: None,
        voucher_interval_seconds: 60,
        expected_seconds: Some(90),
    };
    let order = Order {
        payer: Address::repeat_byte(1),
        budget: BudgetId::default(),
        signer: Address::repeat_byte(2),
        token: Address::repeat_byte(3),
        max_cost: Amount(1_000_000),
        max_price_per_hour: Amount(100_000),
        max_egress_per_gib: Amount(10_000),
        spec_digest: spec.digest().unwrap(),
        max_seconds: 3600,
        ready_within_seconds: 600,
        min_tier: 0,
        verify_level: 0,
        max_attempts: 1,
        claimable: false,
        expires_at: NOW + 300,
        salt: U256::from(5),
    };
    SignedOrder {
        order,
        signature: vec![0; 64].into(),
        spec,
    }
}

fn standing() -> Standing {
    Standing {
        owner: Address::repeat_byte(4),
        list_price_usd_micros: 1_000_000,
        tier: 0,
        is_closed_for_matches: false,
        is_ours: true,
    }
}

fn usdc() -> Listing {
    Listing {
        symbol: "USDC".to_owned(),
        decimals: 6,
        rate: Some(UsdRate(10u128.pow(24))),
        tier0_cap: Amount(5_000_000),
    }
}

const MACHINE: Capacity = Capacity {
    cpu_millis: 2000,
    memory_bytes: 2 << 30,
    disk_bytes: 1 << 30,
};

fn refused(order: &SignedOrder) -> NoBid {
    bidder()
        .consider(order, &standing(), &usdc(), &MACHINE, NOW)
        .unwrap_err()
}

#[test]
fn offer_is_signed_by_the_operator_for_this_order_and_firm_for_a_minute() {
    let order = order();
    let offer = bidder().consider(&order, &standing(), &usdc(), &MACHINE, NOW).unwrap();
    assert_eq!(offer.bid.job_id, order.order.job_id(bidder().domain));
    assert_eq!(offer.bid.compute_per_hour, Amount(100_000));
    assert_eq!(offer.bid.egress_per_gib, Amount(10_000));
    assert_eq!((offer.bid.ready_within_seconds, offer.bid.quoted_seconds), (120, 90));
    assert_eq!(offer.bid.expires_at, NOW + 60);
    assert_eq!(
        offer.bid.signed_by(bidder().domain, &offer.signature),
        Ok(bidder().key.address())
    );
}

#[test]
fn promise_is_never_later_than_the_order_allows() {
    let mut order = order();
    order.order.ready_within_seconds = 30;
    let offer = bidder().consider(&order, &standing(), &usdc(), &MACHINE, NOW).unwrap();
    assert_eq!(offer.bid.ready_within_seconds, 30);
}

#[test]
fn order_that_expires_before_it_could_be_matched_gets_no_offer() {
    let mut order = order();
    order.order.expires_at = NOW + 5;
    assert_eq!(refused(&order), NoBid::Expired(NOW + 5));
}

#[test]
fn offer_is_not_firm_beyond_its_order() {
    let mut order = order();
    order.order.expires_at = NOW + 6;
    let offer = bidder().consider(&order, &standing(), &usdc(), &MACHINE, NOW).unwrap();
    assert_eq!(offer.bid.expires_at, NOW + 6);
}

#[test]
fn spec_that_is_not_the_orders_gets_no_offer() {
    let mut order = order();
    order.spec.command.push("other".to_owned());
    assert!(matches!(refused(&order), NoBid::Spec(SpecError::WrongDigest { .. })));
}

#[test]
fn price_above_either_ceiling_gets_no_offer() {
    let mut dear = order();
    dear.order.max_price_per_hour = Amount(99_999);
    let ceiling = NoBid::AboveCeiling {
        what: "compute",
        asked: Amount(100_000),
        ceiling: Amount(99_999),
    };
    assert_eq!(refused(&dear), ceiling);
    let mut dear = order();
    dear.order.max_egress_per_gib = Amount(9_999);
    assert!(matches!(refused(&dear), NoBid::AboveCeiling { what: "egress", .. }));
}

#[test]
fn escrow_must_cover_an_interval_and_stay_below_the_tier_0_cap() {
    let mut small = order();
    small.order.max_cost = Amount(1_666);
    let expected = NoBid::EscrowTooSmall {
        interval_cost: Amount(1_667),
        escrow: Amount(1_666),
    };
    assert_eq!(refused(&small), expected);
    let mut large = order();
    large.order.max_cost = Amount(5_000_001);
    assert!(matches!(refused(&large), NoBid::AboveTier0Cap { .. }));
    let high = Standing { tier: 1, ..standing() };
    assert!(bidder().consider(&large, &high, &usdc(), &MACHINE, NOW).is_ok());
}

#[test]
fn tier_verify_level_and_token_must_be_ones_the_node_can_serve() {
    let mut tier = order();
    tier.order.min_tier = 2;
    assert_eq!(refused(&tier), NoBid::Tier { wanted: 2, has: 0 });
    let mut level = order();
    level.order.verify_level = 2;
    assert_eq!(refused(&level), NoBid::VerifyLevel(2));
    let unlisted = Listing { rate: None, ..usdc() };
    let refusal = bidder().consider(&order(), &standing(), &unlisted, &MACHINE, NOW);
    assert_eq!(refusal, Err(NoBid::TokenNotListed));
}

#[test]
fn draining_node_and_foreign_key_make_no_offers() {
    for closed in [
        Standing {
            is_closed_for_matches: true,
            ..standing()
        },
        Standing {
            is_ours: false,
            ..standing()
        },
    ] {
        assert_eq!(
            bidder().consider(&order(), &closed, &usdc(), &MACHINE, NOW),
            Err(NoBid::Closed)
        );
    }
}

#[test]
fn machine_without_room_makes_no_offer() {
    let mut order = order();
    order.spec.resources.disk_bytes = 1 << 30;
    order.order.spec_digest = order.spec.digest().unwrap();
    let refusal = refused(&order);
    assert_eq!(
        refusal,
        NoBid::NoRoom {
            what: "bytes of disk",
            wanted: 2 << 30,
            free: 1 << 30
        }
    );
}
