//! Orders, bids, jobs, health.

use opengpu_core::job::JobState;
use opengpu_core::wire::{GatewayInfo, JobEventBody, Page, Problem, SignedOrder};
use opengpu_gateway::JobView;
use opengpu_gateway::projector::Change;

use super::matched;
use super::support::chain::node;
use super::support::{Gateway, code, network, now, people, problem, taken};

fn token() -> opengpu_core::Address {
    network().contracts.tokens[0].address
}

#[tokio::test]
async fn a_waiting_node_gets_a_new_order_at_once_and_an_order_posted_twice_is_one() {
    let gateway = Gateway::start().await;
    let order = people::order(gateway.domain, token(), 1);
    let waiting = gateway.get::<Page<SignedOrder>>("/v1/orders?wait=20");
    let posting = async {
        let first = taken(gateway.post("/v1/orders", &order).await).await;
        assert!(!first.is_repeat);
        assert_eq!(first.job_id, order.order.job_id(gateway.domain));
        assert!(taken(gateway.post("/v1/orders", &order).await).await.is_repeat);
    };
    let (page, ()) = tokio::join!(waiting, posting);
    assert_eq!(page.items, vec![order]);
    let rest: Page<SignedOrder> = gateway.get(&format!("/v1/orders?after={}", page.cursor)).await;
    assert!(rest.items.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn orders_that_break_a_rule_are_refused_with_a_stable_code() {
    let gateway = Gateway::start().await;
    let domain = gateway.domain;
    let refused = async |order: SignedOrder| -> Problem { problem(gateway.post("/v1/orders", &order).await).await };

    let mut other_spec = people::order(domain, token(), 1);
    other_spec.spec.command.push("--more".to_owned());
    assert_eq!(code(&refused(other_spec).await), "invalid-order");

    let expired = people::order_that(domain, token(), 2, |order| order.expires_at = now() - 1);
    let answer = refused(expired).await;
    assert_eq!(
        (code(&answer), answer.detail.as_str()),
        ("invalid-order", "expiresAt is over")
    );

    let mut forged = people::order(domain, token(), 3);
    forged.order.payer = people::stranger().address();
    assert_eq!(code(&refused(forged).await), "bad-signature");

    let mut other_network = domain;
    other_network.chain_id = opengpu_core::ids::ChainId(1);
    assert_eq!(
        code(&refused(people::order(other_network, token(), 4)).await),
        "bad-signature"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_contract_wallets_order_is_taken_when_the_chain_says_so() {
    let gateway = Gateway::start().await;
    let mut order = people::order(gateway.domain, token(), 1);
    order.order.payer = opengpu_core::Address::repeat_byte(0xee);
    order.signature = people::WALLET_SIGNATURE.to_vec().into();
    taken(gateway.post("/v1/orders", &order).await).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_payer_cannot_fill_the_bulletin() {
    let quotas = opengpu_gateway::Quotas {
        open_orders_per_payer: 2,
        ..Default::default()
    };
    let gateway = Gateway::start_with(quotas).await;
    for salt in 0..2 {
        taken(
            gateway
                .post("/v1/orders", &people::order(gateway.domain, token(), salt))
                .await,
        )
        .await;
    }
    let refused = problem(
        gateway
            .post("/v1/orders", &people::order(gateway.domain, token(), 9))
            .await,
    )
    .await;
    assert_eq!(code(&refused), "too-many");
    gateway.stop().await;
}

#[tokio::test]
async fn bids_are_judged_by_order_registry_and_signature() {
    let gateway = Gateway::start().await;
    let domain = gateway.domain;
    let order = people::order(domain, token(), 1);
    let id = taken(gateway.post("/v1/orders", &order).await).await.job_id;
    let path = format!("/v1/jobs/{id}/bids");

    let by_stranger = people::bid(domain, id, node(), &people::stranger());
    assert_eq!(
        code(&problem(gateway.post(&path, &by_stranger).await).await),
        "bad-signature"
    );

    let no_node = people::bid(domain, id, opengpu_core::ids::NodeId::default(), &people::operator());
    assert_eq!(code(&problem(gateway.post(&path, &no_node).await).await), "invalid-bid");

    let mut dear = people::bid(domain, id, node(), &people::operator());
    dear.bid.compute_per_hour.0 = 600_001;
    let refused = problem(gateway.post(&path, &dear).await).await;
    assert!(refused.detail.contains("maxPricePerHour"), "{}", refused.detail);

    let good = people::bid(domain, id, node(), &people::operator());
    taken(gateway.post(&path, &good).await).await;
    assert!(taken(gateway.post(&path, &good).await).await.is_repeat);
    let bodies: Vec<_> = gateway.events(id).await.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, vec![JobEventBody::Bid(good)]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_matched_job_leaves_the_bulletin_and_shows_its_chain_state() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let open: Page<SignedOrder> = gateway.get("/v1/orders").await;
    assert!(open.items.is_empty());
    let view: JobView = gateway.get(&format!("/v1/jobs/{}", job.id)).await;
    assert_eq!((view.state, view.node), (JobState::Matched, Some(node())));
    assert_eq!(view.locked, job.terms.escrow);
    assert_eq!(view.order, Some(job.order.order.clone()));

    gateway.mine(vec![(job.id, people::settled(&job.terms))]).await;
    let payer = people::payer().address();
    let list: Page<JobView> = gateway.get(&format!("/v1/jobs?payer={payer}")).await;
    assert_eq!(list.items.len(), 1);
    let view = &list.items[0];
    assert_eq!(view.state, JobState::Settled);
    assert_eq!(view.moved.paid().0 + view.moved.refunded.0, view.locked.0);
    assert_eq!(view.cost_so_far, view.moved.paid());
    let rest: Page<JobView> = gateway
        .get(&format!("/v1/jobs?payer={payer}&after={}", list.cursor))
        .await;
    assert!(rest.items.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_reorganised_match_is_no_match() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    gateway.mine(vec![(job.id, people::settled(&job.terms))]).await;
    // The settle is given up, and the match with it; the job waits in the bulletin again.
    gateway.chain.give_up(2);
    gateway.mine(Vec::new()).await;
    super::support::eventually("the match is forgotten", || async {
        let view: JobView = gateway.get(&format!("/v1/jobs/{}", job.id)).await;
        (view.state == JobState::None).then_some(())
    })
    .await;
    let kinds: Vec<_> = gateway
        .events(job.id)
        .await
        .into_iter()
        .map(|event| event.body)
        .collect();
    assert!(
        !kinds.iter().any(|body| matches!(body, JobEventBody::Chain { .. })),
        "{kinds:?}"
    );
    // It comes again in another block, and this time stays.
    let terms = job.terms.clone();
    gateway.mine(vec![(job.id, Change::Matched { terms })]).await;
    let view: JobView = gateway.get(&format!("/v1/jobs/{}", job.id)).await;
    assert_eq!(view.state, JobState::Matched);
    gateway.stop().await;
}

#[tokio::test]
async fn every_refusal_is_problem_json_with_a_code() {
    let gateway = Gateway::start().await;
    let unknown = format!("/v1/jobs/0x{}", "ab".repeat(32));
    for (path, expected) in [
        ("/v1/nothing", "unknown-route"),
        ("/v1/jobs/12", "bad-request"),
        ("/v1/orders?wait=soon", "bad-request"),
        ("/v1/jobs?payer=me", "bad-request"),
        (unknown.as_str(), "unknown-job"),
        (&format!("{unknown}/events"), "unknown-job"),
        (&format!("{unknown}/logs"), "unknown-job"),
    ] {
        assert_eq!(code(&gateway.get_problem(path).await), expected, "{path}");
    }
    let wrong_method = problem(gateway.send("/v1/info", Vec::new(), None).await).await;
    assert_eq!(code(&wrong_method), "method-not-allowed");
    let no_json = problem(gateway.send("/v1/orders", b"{".to_vec(), None).await).await;
    assert_eq!(code(&no_json), "bad-request");
    let huge = problem(gateway.send("/v1/orders", vec![b' '; (1 << 20) + 1], None).await).await;
    assert_eq!(code(&huge), "body-too-large");
    gateway.stop().await;
}

#[tokio::test]
async fn info_names_network_agent_and_block() {
    let gateway = Gateway::start().await;
    let block = gateway.mine(Vec::new()).await;
    let info: GatewayInfo = gateway.get("/v1/info").await;
    assert_eq!(info.domain, gateway.domain);
    assert_eq!(info.agent, people::agent().address());
    assert_eq!(info.block, block);
    let health: serde_json::Value = gateway.get("/healthz").await;
    assert_eq!(health["status"], "alive");
    gateway.stop().await;
}

#[tokio::test]
async fn two_gateways_do_not_share_a_folder() {
    let gateway = Gateway::start().await;
    let config = opengpu_gateway::GatewayConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: gateway.dir.clone(),
        network: network(),
        agent_key: people::agent(),
        quotas: Default::default(),
        patience: Default::default(),
    };
    let second = opengpu_gateway::serve_on(config, gateway.chain.clone(), Default::default()).await;
    assert!(matches!(second, Err(opengpu_gateway::ServeError::InUse { .. })));
    gateway.stop().await;
}
