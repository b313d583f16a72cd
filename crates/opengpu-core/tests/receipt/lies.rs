//! Receipts that do not add up although both sides signed them: two parties together cannot make a false one pass.

use opengpu_core::Address;
use opengpu_core::job::{Ending, Usage};
use opengpu_core::money::Amount;
use opengpu_core::order::{JobResult, Signable};
use opengpu_core::receipt::{Given, Receipt, ReceiptFile, Signatures, VerifyOptions, verify_offline};
use opengpu_core::wire::ApprovedResult;

use crate::sample::Sample;

const USAGE: Usage = Usage {
    billed_millis: 9_000,
    egress_bytes: 7,
};

fn failed_checks(file: &ReceiptFile) -> Vec<String> {
    let report = verify_offline(file.to_json().unwrap().as_bytes(), &VerifyOptions::default());
    assert_eq!(report.changed, [], "leaves are computed anew");
    let failed = report.checks.iter().filter(|check| !check.ok);
    failed.map(|check| check.name.clone()).collect()
}

/// The checks that fail for a receipt changed so and signed by both.
fn lie(change: impl FnOnce(&mut Receipt)) -> Vec<String> {
    let sample = Sample::new();
    let mut receipt = sample.receipt(USAGE);
    change(&mut receipt);
    let approved = sample.approve(receipt.result().unwrap());
    failed_checks(&ReceiptFile::new(receipt, Signatures::of_both(&approved)).unwrap())
}

/// The checks that fail for an honest receipt signed so.
fn forge(change: impl FnOnce(&Sample, &mut ApprovedResult)) -> Vec<String> {
    let sample = Sample::new();
    let receipt = sample.receipt(USAGE);
    let mut approved = sample.approve(receipt.result().unwrap());
    change(&sample, &mut approved);
    failed_checks(&ReceiptFile::new(receipt, Signatures::of_both(&approved)).unwrap())
}

fn add(amount: &mut Amount, more: u128) {
    amount.0 += more;
}

#[test]
fn honest_receipt_fails_nothing() {
    assert_eq!(lie(|_| {}), Vec::<String>::new());
}

#[test]
fn sums_that_do_not_hold_are_found() {
    let lies: [fn(&mut Receipt); 9] = [
        |receipt| add(&mut receipt.payment.escrowed, 1),
        |receipt| add(&mut receipt.payment.paid, 1),
        |receipt| add(&mut receipt.payment.refunded, 1),
        |receipt| add(&mut receipt.payment.discount, 1),
        |receipt| add(&mut receipt.payment.node, 1),
        |receipt| add(&mut receipt.payment.stakers, u128::MAX / 2),
        |receipt| add(&mut receipt.payment.treasury, 1),
        |receipt| receipt.usage.billed_millis += 1,
        |receipt| receipt.usage.egress_bytes += 1,
    ];
    for (index, change) in lies.into_iter().enumerate() {
        assert_eq!(lie(change), ["sums"], "lie {index}");
    }
}

#[test]
fn sums_too_large_to_hold_are_found_without_a_panic() {
    let failed = lie(|receipt| {
        receipt.payment.paid = Amount(u128::MAX);
        receipt.payment.refunded = Amount(u128::MAX);
        receipt.attempts.insert(0, receipt.attempts[0].clone());
        receipt.attempts[0].split.paid = Amount(u128::MAX);
        receipt.attempts[1].usage.billed_millis = (1 << 53) - 1;
        receipt.attempts[0].shares.stakers_bps = u16::MAX;
        receipt.attempts[0].shares.treasury_bps = u16::MAX;
    });
    assert_eq!(failed, ["attempts", "sums", "cost"]);
}

#[test]
fn money_moved_between_parts_is_found_by_its_cost() {
    let failed = lie(|receipt| {
        for part in [&mut receipt.attempts[0].split.node, &mut receipt.payment.node] {
            add(part, 10);
        }
        for part in [&mut receipt.attempts[0].split.stakers, &mut receipt.payment.stakers] {
            part.0 -= 10;
        }
    });
    assert_eq!(failed, ["cost"]);
}

#[test]
fn usage_at_another_price_is_found_by_its_cost() {
    assert_eq!(
        lie(|receipt| receipt.attempts[0].price.egress_per_gib = Amount(1 << 60)),
        ["cost"]
    );
    assert_eq!(lie(|receipt| receipt.attempts[0].shares.bonus_bps += 1), ["cost"]);
    assert_eq!(
        lie(|receipt| receipt.attempts[0].collected = vec![Amount(2), Amount(1)]),
        ["cost"]
    );
}

#[test]
fn quote_that_its_seconds_do_not_cost_is_found() {
    assert_eq!(lie(|receipt| add(&mut receipt.quote.estimated_cost, 1)), ["quote"]);
}

#[test]
fn attempts_out_of_order_or_without_their_ending_are_found() {
    assert_eq!(lie(|receipt| receipt.attempts[0].attempt = 2), ["attempts"]);
    assert_eq!(
        lie(|receipt| receipt.attempts[0].ending = Some(Ending::Expired)),
        ["attempts"]
    );
}

#[test]
fn format_of_another_version_is_not_judged() {
    assert_eq!(lie(|receipt| receipt.version = 2), ["schema"]);
}

#[test]
fn number_that_json_cannot_hold_is_found() {
    let failed = lie(|receipt| {
        if let Given::Present(measured) = &mut receipt.usage.measured {
            measured.cpu_millis = 1 << 53;
        }
    });
    assert_eq!(failed, ["schema"]);
}

#[test]
fn signatures_by_other_keys_are_found() {
    let other = || opengpu_core::sign::SecretKey::from_bytes([99; 32]).unwrap();
    let operator = forge(|sample, signed| signed.operator_signature = signed.result.sign(sample.domain, &other()));
    assert_eq!(operator, ["operatorSignature"]);
    let signer = forge(|sample, signed| signed.signer_signature = signed.approve.sign(sample.domain, &other()));
    assert_eq!(signer, ["signerSignature"]);
}

#[test]
fn signatures_for_another_network_are_found() {
    let failed = forge(|sample, signed| {
        let domain = opengpu_core::order::Domain {
            contract: Address::repeat_byte(1),
            ..sample.domain
        };
        signed.operator_signature = signed.result.sign(domain, &sample.operator);
        signed.signer_signature = signed.approve.sign(domain, &sample.signer);
    });
    assert_eq!(failed, ["operatorSignature", "signerSignature"]);
}

#[test]
fn approval_of_another_result_is_found() {
    let failed = forge(|sample, signed| {
        let other = JobResult {
            exit_code: 9,
            ..signed.result.clone()
        };
        signed.approve = other.approve(sample.domain, 5);
        signed.signer_signature = signed.approve.sign(sample.domain, &sample.signer);
    });
    assert_eq!(failed, ["signerSignature"]);
}

#[test]
fn result_that_says_other_than_its_receipt_is_found() {
    let failed = forge(|sample, signed| {
        let lie = JobResult {
            billed_millis: signed.result.billed_millis + 1,
            ..signed.result.clone()
        };
        *signed = sample.approve(lie);
    });
    assert_eq!(failed, ["result"]);
}
