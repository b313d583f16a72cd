//! The first half of a job: everything up to a locked escrow and uploaded artifacts.

use std::path::PathBuf;
use std::time::Duration;

use opengpu_core::wire::SignedStop;
use opengpu_store::Cid;
use tokio::time::interval;

use super::allowance::allowed_by;
use super::artifacts::{Artifacts, gather};
use super::collect::check_output_folder;
use super::market::{Offer, Purchase, withdraw};
use super::plan::Wish;
use super::record::{JobRecord, Records};
use super::story::{Happening, Story};
use crate::args;
use crate::client::GatewayError;
use crate::failure::{Failure, OrFail, Outcome};
use crate::interrupts::Interrupts;
use crate::output::short;
use crate::session::{Session, is_never_matched, match_failure};

/// Least time between two tries to upload, and how many there are: an order lives no longer than a minute, and so cannot be
/// matched again later.
const UPLOAD_RETRY: Duration = Duration::from_secs(1);
const UPLOAD_TRIES: u32 = 60;

/// After an upload that did not get there.
const STOPPED: &str = "the job was asked to stop; its escrow comes back";

/// What to run, with everything named by its content.
#[derive(Debug)]
pub(crate) struct Prepared {
    purchase: Purchase,
    artifacts: Artifacts,
}

/// Reads the command line, names image and input, and makes sure that the credits suffice. Nothing is signed yet.
pub(crate) async fn prepare(session: &Session, args: &args::Run, story: &mut dyn Story) -> Outcome<Prepared> {
    let wish = Wish::from_args(args)?;
    let (token, token_name) = session.token(&args.token)?;
    let max_cost = token_name.parse(&args.max_cost)?;
    let payer = match args.budget {
        Some(budget) => allowed_by(session, budget, token, max_cost).await?,
        None => session.account(),
    };
    if let Some(folder) = &args.output {
        check_output_folder(folder)?;
    }
    let info = session.gateway.info().await?;
    if info.domain != session.domain() {
        return Err(Failure::error(format_args!(
            "the gateway at {} serves another network",
            session.gateway.url()
        ))
        .hint(format_args!(
            "check the gateways of network `{}` in the config",
            session.profile.name
        )));
    }
    let artifacts = gather(&args.image, args.input.as_deref()).await?;
    let spec = wish.spec(artifacts.image.clone(), artifacts.input.clone(), session.chain_id())?;
    story.tell(&Happening::Prepared {
        image: artifacts.image.digest,
        input: artifacts.input.as_ref().map(|input| (&input.cid, input.bytes)),
    });
    let purchase = Purchase {
        wish,
        spec,
        payer,
        budget: args.budget.unwrap_or_default(),
        signer: if args.self_sign { session.account() } else { info.agent },
        token,
        token_name,
        max_cost,
    };
    purchase.check_credits(session).await?;
    Ok(Prepared { purchase, artifacts })
}

impl Prepared {
    /// Posts the order, gathers bids and chooses one.
    pub(crate) async fn offer(&self, session: &Session, story: &mut dyn Story) -> Outcome<Offer> {
        self.purchase.offer(session, story).await
    }

    /// Locks the escrow and keeps a record of the job.
    pub(crate) async fn accept(
        &self,
        session: &Session,
        args: &args::Run,
        offer: Offer,
        story: &mut dyn Story,
    ) -> Outcome<JobRecord> {
        let job_id = offer.bid.bid.job_id;
        let output = args
            .output
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("{}-{}", args.folder_prefix, short(job_id))));
        let mut record = JobRecord {
            job_id,
            network: session.profile.name.clone(),
            image: args.image.clone(),
            ordered_at: session.now().await?,
            order: offer.order,
            bid: offer.bid,
            quote: offer.quote,
            match_gas: 0,
            output: std::path::absolute(&output).or_fail("cannot use the output folder")?,
        };
        // Kept before the match is sent: whatever happens then, the job is in `opengpu ps`.
        let records = Records::of(&session.home);
        records.save(&record)?;
        let matched = session.match_order(&record.order, &record.bid).await;
        if matched.as_ref().is_err_and(is_never_matched) {
            // The node holds what it offered until it hears of this.
            withdraw(session, job_id).await;
        }
        record.match_gas = matched.map_err(match_failure)?.gas_used;
        records.save(&record)?;
        story.tell(&Happening::Matched {
            locked: self.purchase.max_cost,
            gas: record.match_gas,
        });
        Ok(record)
    }

    /// Hands image and input to the gateway, where the node fetches them. Interrupted, it asks the job to stop: without them
    /// it cannot run.
    pub(crate) async fn upload(
        &self,
        session: &Session,
        record: &JobRecord,
        story: &mut dyn Story,
        interrupts: &mut Interrupts,
    ) -> Outcome {
        let work = async {
            for (what, cid, bytes) in &self.artifacts.uploads {
                self.upload_one(session, record, *cid).await?;
                story.tell(&Happening::Uploaded(what, *bytes));
            }
            Ok(())
        };
        let outcome = interrupts.or(work, STOPPED).await;
        if outcome.is_err() {
            let stop = SignedStop::sign(session.domain(), record.job_id, &session.key);
            session.gateway.post_stop(&stop).await?;
        }
        outcome.map_err(|failure| failure.hint(STOPPED))
    }

    /// Uploads one artifact past a gateway or a chain that comes and goes: what either of them forgot is sent again.
    async fn upload_one(&self, session: &Session, record: &JobRecord, cid: Cid) -> Outcome {
        let mut tries = interval(UPLOAD_RETRY);
        for _ in 1..UPLOAD_TRIES {
            tries.tick().await;
            match session.gateway.upload(record.job_id, &self.artifacts.store, cid).await {
                Ok(_) => return Ok(()),
                Err(GatewayError::UnknownJob) => drop(session.gateway.post_order(&record.order).await),
                Err(error) if error.is_retryable() || error.is_conflict() => {
                    tracing::info!(%error, "not uploaded; trying again");
                    session.ensure_matched(&record.order, &record.bid).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        session
            .gateway
            .upload(record.job_id, &self.artifacts.store, cid)
            .await?;
        Ok(())
    }
}
