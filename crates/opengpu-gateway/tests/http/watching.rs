//! The agent acts on silent nodes, and only then. The fake chain fails a test on any action nobody expected.

use opengpu_core::job::Progress;
use opengpu_core::wire::JobEventBody;
use opengpu_gateway::ports::Action;
use opengpu_gateway::projector::Change;

use super::matched;
use super::support::{Gateway, eventually, now, people, taken};

async fn action(gateway: &Gateway) -> Action {
    let acted = eventually("the agent acts", || async { gateway.chain.take_actions().pop() }).await;
    acted.1
}

/// Moves the local chain's time, and with it the gateway's clock.
async fn pass(gateway: &Gateway, seconds: u64) {
    let block = gateway.chain.mine_at(now() + seconds, Vec::new());
    gateway.until_block(block).await;
}

#[tokio::test]
async fn a_node_that_falls_silent_is_reported_with_the_newest_voucher_then_resolved_then_closed() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    let proposal = people::propose(gateway.domain, people::voucher(job.id, 1, 5000), None);
    taken(gateway.post(&format!("/v1/jobs/{}/vouchers", job.id), &proposal).await).await;
    let both = gateway
        .event(job.id, |body| match body {
            JobEventBody::VoucherSigned(signed) => Some(signed.clone()),
            _ => None,
        })
        .await;
    pass(&gateway, 40).await;
    assert_eq!(action(&gateway).await, Action::ReportFault(Some(both.clone())));

    let reported = Progress {
        reported_at: now() + 41,
        ..Progress::default()
    };
    let report = Change::FaultReported {
        declared: Some(both.voucher),
        progress: reported.clone(),
    };
    let block = gateway.chain.mine_at(now() + 41, vec![(job.id, report)]);
    gateway.until_block(block).await;
    pass(&gateway, 110).await;
    assert_eq!(action(&gateway).await, Action::ResolveFault);

    let mut settlement = match people::settled(&job.terms) {
        Change::Settled { settlement } => settlement,
        other => panic!("{other:?}"),
    };
    settlement.refunded = opengpu_core::money::Amount(0);
    let interrupted = Change::Interrupted {
        settlement,
        progress: Progress::default(),
    };
    let block = gateway.chain.mine_at(now() + 111, vec![(job.id, interrupted)]);
    gateway.until_block(block).await;
    pass(&gateway, 720).await;
    assert_eq!(action(&gateway).await, Action::Close);
    gateway.stop().await;
}

#[tokio::test]
async fn a_node_that_is_never_ready_is_reported_without_a_voucher() {
    let gateway = Gateway::start().await;
    let job = matched(&gateway, 1).await;
    pass(&gateway, 50).await;
    assert_eq!(gateway.chain.take_actions(), vec![]);
    pass(&gateway, u64::from(job.terms.limits.ready_within_seconds) + 6).await;
    assert_eq!(action(&gateway).await, Action::ReportFault(None));
    gateway.stop().await;
}
