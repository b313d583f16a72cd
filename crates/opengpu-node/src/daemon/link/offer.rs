//! The stream of a job that was only bid for: payer or signer may give the order up, and then what the bid holds is free at once.

use std::sync::Arc;
use std::time::Duration;

use opengpu_core::ids::JobId;
use opengpu_core::wire::JobEventBody;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::daemon::worker::ToWorker;
use crate::ports::{Gateway, GatewayFault};
use crate::reactor::Event;

/// How long a gateway may hold a poll open, in seconds: below its limit of 30.
const WAIT_SECONDS: u32 = 25;
/// Before a gateway that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands on stops until `over` is cancelled, or the gateway says that it does not know the job: then nobody can give it up there.
pub(in crate::daemon) async fn listen(
    gateway: Arc<dyn Gateway>,
    job: JobId,
    worker: mpsc::UnboundedSender<ToWorker>,
    over: CancellationToken,
) {
    let work = async {
        let mut cursor = String::new();
        loop {
            match gateway.events(job, &cursor, WAIT_SECONDS).await {
                Ok(page) => {
                    cursor = page.cursor;
                    for event in page.items {
                        if let JobEventBody::StopRequested(stop) = event.body {
                            let _ = worker.send(ToWorker::Event(Event::StopRequested(stop)));
                        }
                    }
                }
                Err(GatewayFault::UnknownJob) => return,
                Err(fault) => {
                    tracing::debug!(%job, gateway = gateway.name(), %fault, "not heard whether the order is given up");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = over.cancelled() => {}
        () = work => {}
    }
}
