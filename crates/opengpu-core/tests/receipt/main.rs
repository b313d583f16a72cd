//! Receipts: what is built verifies, what is changed is named, what does not add up is refused.

#![allow(clippy::unwrap_used)]

mod consistent;
mod lies;
mod sample;
mod schema;
mod tamper;

use opengpu_core::job::{Ending, Usage};
use opengpu_core::money::Amount;
use opengpu_core::receipt::{
    Closing, LocalContent, Receipt, ReceiptError, ReceiptFile, VerifyOptions, Voice, verify_offline,
};
use proptest::prelude::*;
use sample::{Sample, cid};

fn verify(file: &str) -> opengpu_core::receipt::Report {
    verify_offline(file.as_bytes(), &VerifyOptions::default())
}

#[test]
fn co_signed_receipt_verifies_with_nothing_but_the_file() {
    let report = verify(&Sample::co_signed().to_json().unwrap());
    assert!(report.is_valid(), "{report:#?}");
    assert_eq!(report.vouched_by, [Voice::Operator, Voice::Signer]);
    assert_eq!(report.changed, []);
    let names: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
    let expected = [
        "schema",
        "leaves",
        "digest",
        "operatorSignature",
        "signerSignature",
        "result",
        "attempts",
        "sums",
        "cost",
        "quote",
    ];
    assert_eq!(names, expected);
}

#[test]
fn submitted_receipt_says_that_the_signer_is_missing() {
    let report = verify(&Sample::submitted().to_json().unwrap());
    assert!(report.is_valid(), "{report:#?}");
    assert_eq!(report.vouched_by, [Voice::Operator]);
    let signer = report
        .checks
        .iter()
        .find(|check| check.name == "signerSignature")
        .unwrap();
    assert!(signer.detail.starts_with("missing"), "{}", signer.detail);
}

#[test]
fn receipt_rebuilt_from_events_needs_the_chain_to_vouch_for_it() {
    let file = Sample::rebuilt();
    let text = file.to_json().unwrap();
    assert!(!verify(&text).is_valid());
    let options = VerifyOptions {
        expected_digest: Some(file.receipt.digest().unwrap()),
        ..VerifyOptions::default()
    };
    let report = verify_offline(text.as_bytes(), &options);
    assert!(report.is_valid(), "{report:#?}");
    assert_eq!(report.vouched_by, [Voice::Chain]);
}

#[test]
fn rebuilt_receipts_are_equal_byte_for_byte() {
    let digest = |file: ReceiptFile| file.receipt.digest().unwrap();
    assert_eq!(digest(Sample::rebuilt()), digest(Sample::rebuilt()));
}

#[test]
fn digest_that_is_not_the_chains_is_refused() {
    let file = Sample::co_signed();
    let options = VerifyOptions {
        expected_digest: Some(opengpu_core::ids::Sha256Digest::of(b"another")),
        ..VerifyOptions::default()
    };
    let report = verify_offline(file.to_json().unwrap().as_bytes(), &options);
    assert!(!report.is_valid());
    let digest = report.checks.iter().find(|check| check.name == "digest").unwrap();
    assert!(digest.detail.contains("the chain says"), "{}", digest.detail);
}

#[test]
fn local_content_is_compared_and_named() {
    let file = Sample::co_signed().to_json().unwrap();
    let with = |local| {
        let options = VerifyOptions {
            local,
            ..VerifyOptions::default()
        };
        verify_offline(file.as_bytes(), &options)
    };
    let right = LocalContent {
        data: Some(cid("data")),
        output: Some(cid("output")),
        logs: Some(cid("logs")),
        usage: Some(cid("usage")),
    };
    assert!(with(right.clone()).is_valid());
    let wrong = with(LocalContent {
        output: Some(cid("other")),
        ..right
    });
    let failed: Vec<&str> = wrong
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(failed, ["output"]);
}

#[test]
fn job_of_three_attempts_adds_up() {
    let report = verify(&Sample::third_attempt().to_json().unwrap());
    assert!(report.is_valid(), "{report:#?}");
}

#[test]
fn key_that_is_there_twice_is_refused() {
    let file = Sample::co_signed().to_json().unwrap();
    let twice = file.replacen("\"paid\":", "\"paid\": \"1\", \"paid\":", 1);
    assert_ne!(file, twice);
    let report = verify(&twice);
    assert!(!report.is_valid());
    assert!(
        report.checks[0].detail.contains("`paid` is there twice"),
        "{}",
        report.checks[0].detail
    );
}

#[test]
fn anything_but_a_receipt_file_is_refused_without_a_panic() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "{\"receipt\":{},\"signatures\":{},\"leaves\":{}}",
        "{\"leaves\": 3}",
    ] {
        let report = verify(text);
        assert!(!report.is_valid(), "{text}");
        assert!(!report.checks[0].ok, "{text}");
    }
    assert!(!verify(&"[".repeat(100_000)).is_valid());
}

#[test]
fn canonical_text_reads_back_and_only_that() {
    let receipt = Sample::co_signed().receipt;
    let text = receipt.canonical_json().unwrap();
    assert_eq!(Receipt::from_canonical_json(&text), Ok(receipt));
    let spaced = [b" ", text.as_slice()].concat();
    assert!(matches!(
        Receipt::from_canonical_json(&spaced),
        Err(ReceiptError::Malformed(_))
    ));
}

#[test]
fn number_that_json_cannot_hold_is_refused() {
    let sample = Sample::new();
    let closing = Closing::Events {
        ending: Ending::Expired,
        usage: Usage {
            billed_millis: 1,
            egress_bytes: 1 << 53,
        },
    };
    let error = Receipt::build(&sample.facts(), &closing).unwrap_err();
    assert!(matches!(error, ReceiptError::NumberTooLarge { .. }), "{error}");
}

proptest! {
    #[test]
    fn every_receipt_adds_up_and_verifies(
        escrow in 1u128..1 << 100, rate in 0u128..1 << 90, egress_rate in 0u128..1 << 90, discount in 0u16..=250, bonus in 0u16..=250,
        millis in 0u64..1 << 40, bytes in 0u64..1 << 45, collected in 0u128..1 << 99,
    ) {
        let mut sample = Sample::new();
        sample.terms.escrow = Amount(escrow);
        sample.terms.compute_per_hour = Amount(rate);
        sample.terms.egress_per_gib = Amount(egress_rate);
        sample.terms.rates.shares.discount_bps = discount;
        sample.terms.rates.shares.bonus_bps = bonus;
        sample.collected = vec![Amount(collected.min(escrow))];
        let file = sample.signed_file(Usage { billed_millis: millis, egress_bytes: bytes });
        let payment = &file.receipt.payment;
        prop_assert_eq!(payment.paid.0 + payment.refunded.0, escrow);
        prop_assert_eq!(payment.node.0 + payment.stakers.0 + payment.treasury.0, payment.paid.0);
        let report = verify(&file.to_json().unwrap());
        prop_assert!(report.is_valid(), "{:#?}", report);
    }
}
