//! The payer agent: what it signs, and that it goes on after the database is lost.

use opengpu_core::order::Signable as _;
use opengpu_core::wire::{ApprovedResult, JobEventBody, Refusal, ResultProposal, SignedVoucher, VoucherProposal};
use opengpu_store::{Cid, import_bytes};

use super::artifacts::car_of;
use super::support::{Gateway, chain, code, people, problem, taken};
use super::{Matched, matched};

fn signed(seq: u32) -> impl Fn(&JobEventBody) -> Option<SignedVoucher> {
    move |body| match body {
        JobEventBody::VoucherSigned(signed) if signed.voucher.seq == seq => Some(signed.clone()),
        _ => None,
    }
}

fn refusal_of(hash: opengpu_core::B256) -> impl Fn(&JobEventBody) -> Option<Refusal> {
    move |body| match body {
        JobEventBody::Refused(refusal) if refusal.refused == hash => Some(refusal.clone()),
        _ => None,
    }
}

fn approved(body: &JobEventBody) -> Option<ApprovedResult> {
    match body {
        JobEventBody::ResultApproved(approved) => Some(approved.clone()),
        _ => None,
    }
}

async fn propose(gateway: &Gateway, job: &Matched, proposal: &VoucherProposal) -> reqwest::Response {
    gateway.post(&format!("/v1/jobs/{}/vouchers", job.id), proposal).await
}

/// The result of a run that gave `output` and `logs`.
fn result(gateway: &Gateway, job: &Matched, output: &Cid, logs: &Cid) -> ResultProposal {
    people::Run {
        domain: gateway.domain,
        order: &job.order,
        terms: &job.terms,
        owner: chain::owner(),
        symbol: "USDC",
        decimals: 6,
        output: &output.to_string(),
        logs: (&logs.to_string(), 4),
        by: &people::operator(),
    }
    .propose(None)
}

#[tokio::test]
async fn a_voucher_in_order_is_co_signed_and_one_ahead_of_time_refused_for_now() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let first = people::propose(gateway.domain, people::voucher(job.id, 1, 5000), None);
    taken(propose(&gateway, &job, &first).await).await;
    let both = gateway.event(job.id, signed(1)).await;
    assert!(both.is_by(gateway.domain, people::operator().address(), people::agent().address()));

    let greedy = people::propose(gateway.domain, people::voucher(job.id, 2, 200_000), Some(both));
    taken(propose(&gateway, &job, &greedy).await).await;
    let refusal = gateway.event(job.id, refusal_of(greedy.voucher.struct_hash())).await;
    assert!(refusal.is_retryable, "{refusal:?}");

    let twin = people::propose(gateway.domain, people::voucher(job.id, 1, 4999), None);
    taken(propose(&gateway, &job, &twin).await).await;
    let refusal = gateway.event(job.id, refusal_of(twin.voucher.struct_hash())).await;
    assert!(!refusal.is_retryable, "{refusal:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn vouchers_by_others_or_of_other_jobs_are_refused() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let mut forged = people::propose(gateway.domain, people::voucher(job.id, 1, 5000), None);
    forged.operator_signature = forged.voucher.sign(gateway.domain, &people::stranger());
    assert_eq!(
        code(&problem(propose(&gateway, &job, &forged).await).await),
        "bad-signature"
    );

    let other = opengpu_core::ids::JobId(opengpu_core::B256::repeat_byte(5));
    let elsewhere = people::propose(gateway.domain, people::voucher(other, 1, 5000), None);
    assert_eq!(
        code(&problem(propose(&gateway, &job, &elsewhere).await).await),
        "invalid-message"
    );

    let mut second = people::voucher(job.id, 1, 5000);
    second.attempt = 2;
    let second = people::propose(gateway.domain, second, None);
    assert_eq!(
        code(&problem(propose(&gateway, &job, &second).await).await),
        "invalid-message"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_agent_is_silent_about_orders_that_name_another_signer() {
    let gateway = Gateway::start().await;
    let token = super::support::network().contracts.tokens[0].address;
    let order = people::order_that(gateway.domain, token, 1, |order| {
        order.signer = people::payer().address()
    });
    let id = taken(gateway.post("/v1/orders", &order).await).await.job_id;
    let bid = people::bid(gateway.domain, id, chain::node(), &people::operator());
    let terms = people::terms(&order.order, &bid.bid);
    gateway
        .mine(vec![(id, opengpu_gateway::projector::Change::Matched { terms })])
        .await;
    let path = format!("/v1/jobs/{id}/vouchers");
    let proposal = people::propose(gateway.domain, people::voucher(id, 1, 5000), None);
    taken(gateway.post(&path, &proposal).await).await;

    // The payer signs for itself; the agent has had its chance by the time that is in the stream and the gateway stopped.
    let both = SignedVoucher {
        signer_signature: proposal.voucher.sign(gateway.domain, &people::payer()),
        operator_signature: proposal.operator_signature,
        voucher: proposal.voucher,
    };
    taken(gateway.post(&format!("{path}/signed"), &both).await).await;
    let gateway = gateway.restart().await;
    let bodies: Vec<_> = gateway.events(id).await.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies.last(), Some(&JobEventBody::VoucherSigned(both)));
    assert!(
        !bodies.iter().any(|body| matches!(body, JobEventBody::Refused(_))),
        "{bodies:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_result_is_approved_only_when_output_and_log_are_here() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let (output, output_car) = car_of(&vec![1; 2 << 20]);
    let (logs, logs_car) = car_of(b"done");
    let proposal = result(&gateway, &job, &output, &logs);
    let path = format!("/v1/jobs/{}/results", job.id);
    taken(gateway.post(&path, &proposal).await).await;
    let refusal = gateway.event(job.id, refusal_of(proposal.result.struct_hash())).await;
    assert!(
        refusal.is_retryable && refusal.reason.contains(&output.to_string()),
        "{refusal:?}"
    );

    let operator = people::operator();
    taken(gateway.upload(&operator, job.id, &output.to_string(), output_car).await).await;
    assert_eq!(
        gateway
            .events(job.id)
            .await
            .iter()
            .find_map(|event| approved(&event.body)),
        None
    );
    taken(gateway.upload(&operator, job.id, &logs.to_string(), logs_car).await).await;
    // Without another word from the node.
    let both = gateway.event(job.id, approved).await;
    let digest = both.approve.digest(gateway.domain);
    assert!(both.signer_signature.is_by(people::agent().address(), digest));
    assert_eq!(both.approve, proposal.result.approve(gateway.domain, 0));

    // The receipt is fetched by the digest that goes on chain.
    let receipt_cid = opengpu_store::raw_cid_of_digest(&proposal.result.receipt_digest.0.0).unwrap();
    let url = format!("{}/ipfs/{receipt_cid}?format=raw", gateway.url);
    assert_eq!(
        gateway.http.get(url).send().await.unwrap().text().await.unwrap(),
        proposal.receipt
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_result_left_unanswered_by_a_stop_is_answered_after_the_restart() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let ((output, _), (logs, _)) = (car_of(b"out"), car_of(b"done"));
    let proposal = result(&gateway, &job, &output, &logs);
    taken(gateway.post(&format!("/v1/jobs/{}/results", job.id), &proposal).await).await;
    gateway.event(job.id, refusal_of(proposal.result.struct_hash())).await;
    let dir = gateway.dir.clone();
    let gateway = gateway
        .restart_after(|| {
            // What an upload would have brought, had the stop not come between it and the agent's look.
            let store = opengpu_store::BlockStore::open(dir.join("blocks")).unwrap();
            import_bytes(&store, b"out").unwrap();
            import_bytes(&store, b"done").unwrap();
        })
        .await;
    gateway.event(job.id, approved).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_receipt_that_says_something_else_is_refused_and_named() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let (output, output_car) = car_of(b"out");
    let (logs, logs_car) = car_of(b"done");
    for (root, car) in [(&output, output_car), (&logs, logs_car)] {
        taken(
            gateway
                .upload(&people::operator(), job.id, &root.to_string(), car)
                .await,
        )
        .await;
    }
    let mut terms = job.terms.clone();
    terms.payee = people::stranger().address();
    let lying = Matched {
        terms,
        id: job.id,
        order: job.order.clone(),
        bid: job.bid.clone(),
    };
    let proposal = result(&gateway, &lying, &output, &logs);
    taken(gateway.post(&format!("/v1/jobs/{}/results", job.id), &proposal).await).await;
    let refusal = gateway.event(job.id, refusal_of(proposal.result.struct_hash())).await;
    assert!(
        !refusal.is_retryable && refusal.reason.contains("/attempts/0/payee"),
        "{refusal:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn after_the_database_is_deleted_mid_job_the_job_still_gets_both_signatures() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let first = people::propose(gateway.domain, people::voucher(job.id, 1, 5000), None);
    taken(propose(&gateway, &job, &first).await).await;
    let both = gateway.event(job.id, signed(1)).await;

    // Not only the database: also what the agent remembers, as when a gateway is set up anew with its key alone.
    std::fs::remove_file(gateway.dir.join("gateway.db")).unwrap();
    std::fs::remove_dir_all(gateway.dir.join("agent")).unwrap();
    gateway.until_ready().await;

    let second = people::propose(gateway.domain, people::voucher(job.id, 2, 5500), Some(both.clone()));
    let refused = problem(propose(&gateway, &job, &second).await).await;
    assert_eq!(code(&refused), "unknown-job");
    taken(gateway.post("/v1/orders", &job.order).await).await;
    taken(gateway.post(&format!("/v1/jobs/{}/bids", job.id), &job.bid).await).await;
    // What the node shows is believed because both signed it, and binds: usage does not fall below it.
    let falling = people::propose(gateway.domain, people::voucher(job.id, 2, 4000), Some(both.clone()));
    taken(propose(&gateway, &job, &falling).await).await;
    let refusal = gateway.event(job.id, refusal_of(falling.voucher.struct_hash())).await;
    assert!(refusal.reason.contains("falls from 5000 to 4000"), "{refusal:?}");
    taken(propose(&gateway, &job, &second).await).await;
    gateway.event(job.id, signed(2)).await;

    // What was signed before the loss is not contradicted after it.
    let older = people::propose(gateway.domain, people::voucher(job.id, 1, 4000), Some(both));
    taken(propose(&gateway, &job, &older).await).await;
    let refusal = gateway.event(job.id, refusal_of(older.voucher.struct_hash())).await;
    assert!(!refusal.is_retryable, "{refusal:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_order_that_expired_since_is_taken_back_after_a_loss_but_not_before_the_chain_is_read() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let block = gateway.chain.mine_at(job.order.order.expires_at + 10, Vec::new());
    gateway.until_block(block).await;
    gateway.chain.take_actions();
    gateway.chain.be_silent(true);
    std::fs::remove_file(gateway.dir.join("gateway.db")).unwrap();
    let bids = format!("/v1/jobs/{}/bids", job.id);
    assert_eq!(
        code(&problem(gateway.post("/v1/orders", &job.order).await).await),
        "indexing"
    );
    assert_eq!(code(&problem(gateway.post(&bids, &job.bid).await).await), "indexing");
    gateway.chain.be_silent(false);
    gateway.until_ready().await;
    taken(gateway.post("/v1/orders", &job.order).await).await;
    taken(gateway.post(&bids, &job.bid).await).await;
    // Never READY in all that time: the agent may say so, which is another test's matter.
    gateway.chain.take_actions();
    let chain = gateway.chain.clone();
    gateway.stop().await;
    chain.take_actions();
}

#[tokio::test]
async fn a_second_result_is_not_approved_even_after_the_database_is_lost() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let path = format!("/v1/jobs/{}/results", job.id);
    let (logs, logs_car) = car_of(b"done");
    let (one, one_car) = car_of(b"one");
    let (two, two_car) = car_of(b"two");
    for (root, car) in [(&logs, logs_car), (&one, one_car), (&two, two_car)] {
        taken(
            gateway
                .upload(&people::operator(), job.id, &root.to_string(), car)
                .await,
        )
        .await;
    }
    let first = result(&gateway, &job, &one, &logs);
    taken(gateway.post(&path, &first).await).await;
    let before = gateway.event(job.id, approved).await;

    std::fs::remove_file(gateway.dir.join("gateway.db")).unwrap();
    let gateway = gateway.restart().await;
    taken(gateway.post("/v1/orders", &job.order).await).await;
    let second = result(&gateway, &job, &two, &logs);
    taken(gateway.post(&path, &second).await).await;
    let refusal = gateway.event(job.id, refusal_of(second.result.struct_hash())).await;
    assert!(!refusal.is_retryable, "{refusal:?}");
    // The first one is confirmed again, word for word.
    taken(gateway.post(&path, &first).await).await;
    assert_eq!(gateway.event(job.id, approved).await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_reopen_a_job_with_another_order() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    std::fs::remove_file(gateway.dir.join("gateway.db")).unwrap();
    gateway.until_ready().await;
    let mut other = job.order.clone();
    other.spec.voucher_interval_seconds = 180;
    let refused = problem(gateway.post("/v1/orders", &other).await).await;
    assert_eq!(code(&refused), "invalid-order");
    gateway.stop().await;
}
