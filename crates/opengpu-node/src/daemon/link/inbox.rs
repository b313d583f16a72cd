//! The job's stream at one gateway: what signer and payer say in it. Signatures are checked by the reactor.

use std::sync::Arc;

use opengpu_core::wire::JobEventBody;
use tokio::sync::mpsc;

use super::Line;
use crate::daemon::worker::ToWorker;
use crate::ports::GatewayFault;
use crate::reactor::Event;

/// How long a gateway may hold a poll open, in seconds: below its limit of 30.
const WAIT_SECONDS: u32 = 25;

pub(super) async fn run(line: Arc<Line>, worker: mpsc::UnboundedSender<ToWorker>) {
    let (mut cursor, mut generation) = (String::new(), line.generation());
    loop {
        if generation != line.generation() {
            generation = line.generation();
            cursor.clear();
        }
        let page = tokio::select! {
            () = line.talking.cancelled() => return,
            page = line.gateway.events(line.job, &cursor, WAIT_SECONDS) => page,
        };
        match page {
            Ok(page) => {
                cursor = page.cursor;
                for event in page.items.into_iter().filter_map(|item| event_of(item.body)) {
                    if worker.send(ToWorker::Event(event)).is_err() {
                        return;
                    }
                }
            }
            Err(fault) => {
                if matches!(fault, GatewayFault::Refused { .. }) {
                    // Perhaps a cursor of a former life of the gateway: what is told again changes nothing.
                    cursor.clear();
                }
                if line.recover(&fault, "listen").await {
                    return;
                }
            }
        }
    }
}

fn event_of(body: JobEventBody) -> Option<Event> {
    match body {
        JobEventBody::VoucherSigned(signed) => Some(Event::VoucherSigned(Box::new(signed))),
        JobEventBody::ResultApproved(approved) => Some(Event::ResultApproved(Box::new(approved))),
        JobEventBody::Refused(refusal) => Some(Event::Refused(refusal)),
        JobEventBody::StopRequested(stop) => Some(Event::StopRequested(stop)),
        // Our own words, and the chain's, which we hear from the chain itself.
        JobEventBody::Bid(_)
        | JobEventBody::Chain { .. }
        | JobEventBody::Progress(_)
        | JobEventBody::VoucherProposed(_)
        | JobEventBody::ResultProposed(_) => None,
    }
}
