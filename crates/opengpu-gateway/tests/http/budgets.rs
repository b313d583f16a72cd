//! A budget's key speaks for the jobs of its budget, and for no other of the payer's.

use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{JobEventBody, SignedStop};

use super::artifacts::car_of;
use super::support::{Gateway, code, network, people, problem, taken};
use super::{Matched, matched, matched_order};

fn token() -> opengpu_core::Address {
    network().contracts.tokens[0].address
}

async fn of_budget(gateway: &Gateway, salt: u64, budget: u64, by: &SecretKey) -> Matched {
    matched_order(gateway, people::budget_order(gateway.domain, token(), salt, budget, by)).await
}

#[tokio::test]
async fn an_order_paid_from_a_budget_is_taken_from_payer_and_key_and_nobody_else() {
    let gateway = Gateway::start().await;
    let orders = [
        (7, people::spender(), None),
        (7, people::payer(), None),
        (8, people::other_spender(), None),
        (7, people::other_spender(), Some("bad-signature")),
        (7, people::stranger(), Some("bad-signature")),
        (0, people::spender(), Some("bad-signature")),
        // A stranger's own budget does not make him speak for the payer, nor does one that does not exist.
        (9, people::stranger(), Some("invalid-order")),
        (10, people::spender(), Some("invalid-order")),
        (9, people::payer(), Some("invalid-order")),
    ];
    for ((budget, by, refused), salt) in orders.into_iter().zip(0..) {
        let order = people::budget_order(gateway.domain, token(), salt, budget, &by);
        let answer = gateway.post("/v1/orders", &order).await;
        match refused {
            None => assert!(!taken(answer).await.is_repeat),
            Some(expected) => assert_eq!(code(&problem(answer).await), expected, "budget {budget}, case {salt}"),
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_budgets_key_stops_its_own_jobs_matched_or_not_and_no_others() {
    let gateway = Gateway::start().await;
    let own = of_budget(&gateway, 1, 7, &people::spender()).await.id;
    let payers = of_budget(&gateway, 2, 7, &people::payer()).await.id;
    let siblings = of_budget(&gateway, 3, 8, &people::other_spender()).await.id;
    let without = matched(&gateway, 4).await.id;
    let order = people::budget_order(gateway.domain, token(), 5, 7, &people::spender());
    let waiting = taken(gateway.post("/v1/orders", &order).await).await.job_id;
    let order = people::budget_order(gateway.domain, token(), 6, 8, &people::other_spender());
    let waiting_sibling = taken(gateway.post("/v1/orders", &order).await).await.job_id;

    let cases = [
        (own, true),
        (payers, true),
        (waiting, true),
        (siblings, false),
        (without, false),
        (waiting_sibling, false),
    ];
    for (job, may) in cases {
        let path = format!("/v1/jobs/{job}/stop");
        let stop = SignedStop::sign(gateway.domain, job, &people::spender());
        let answer = gateway.post(&path, &stop).await;
        if may {
            taken(answer).await;
        } else {
            assert_eq!(code(&problem(answer).await), "bad-signature");
        }
        let is_told = gateway
            .events(job)
            .await
            .iter()
            .any(|event| event.body == JobEventBody::StopRequested(stop.clone()));
        assert_eq!(is_told, may, "{job}");
        // The stranger, who has a budget of his own, stops none; the payer stops all.
        let by_stranger = SignedStop::sign(gateway.domain, job, &people::stranger());
        assert_eq!(
            code(&problem(gateway.post(&path, &by_stranger).await).await),
            "bad-signature"
        );
        taken(
            gateway
                .post(&path, &SignedStop::sign(gateway.domain, job, &people::payer()))
                .await,
        )
        .await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_budgets_key_uploads_for_its_own_jobs_and_no_others() {
    let gateway = Gateway::start().await;
    let own = of_budget(&gateway, 1, 7, &people::spender()).await.id;
    let without = matched(&gateway, 2).await.id;
    let siblings = of_budget(&gateway, 3, 8, &people::other_spender()).await.id;
    let (root, car) = car_of(b"input");
    let root = root.to_string();
    taken(gateway.upload(&people::spender(), own, &root, car.clone()).await).await;
    for job in [without, siblings] {
        let refused = problem(gateway.upload(&people::spender(), job, &root, car.clone()).await).await;
        assert_eq!(code(&refused), "bad-signature");
    }
    let refused = problem(gateway.upload(&people::stranger(), own, &root, car).await).await;
    assert_eq!(code(&refused), "bad-signature");
    assert!(refused.detail.contains("budget's key"), "{}", refused.detail);
    gateway.stop().await;
}

#[tokio::test]
async fn a_budgets_key_cannot_use_up_what_its_payer_may_post() {
    let quotas = opengpu_gateway::Quotas {
        open_orders_per_payer: 2,
        ..Default::default()
    };
    let gateway = Gateway::start_with(quotas).await;
    let post = async |salt: u64, budget: u64, by: &SecretKey| {
        let order = people::budget_order(gateway.domain, token(), salt, budget, by);
        gateway.post("/v1/orders", &order).await
    };
    for salt in 0..2 {
        taken(post(salt, 7, &people::spender()).await).await;
    }
    let refused = problem(post(2, 7, &people::spender()).await).await;
    assert_eq!(code(&refused), "too-many");
    taken(post(3, 0, &people::payer()).await).await;
    taken(post(4, 8, &people::other_spender()).await).await;
    gateway.stop().await;
}
