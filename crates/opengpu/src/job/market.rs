//! From a signed order to a locked escrow: credits, bids, quote, match.

use std::time::Duration;

use opengpu_core::ids::{BudgetId, JobId};
use opengpu_core::matching::{Candidate, MatchError, Policy, Quote, choose_bid};
use opengpu_core::money::Amount;
use opengpu_core::order::Signable;
use opengpu_core::spec::JobSpec;
use opengpu_core::wire::{JobEventBody, SignedBid, SignedOrder, SignedStop};
use opengpu_core::{Address, U256};
use tokio::time::Instant;

use super::plan::{ORDER_SECONDS, Parties, Wish};
use super::story::{Happening, Story};
use crate::failure::{Failure, Kind, Outcome};
use crate::output::TokenName;
use crate::session::Session;

/// How long nodes have for the first bid. A node's poll brings it within a second; a busy one may take longer.
const FIRST_BID: Duration = Duration::from_secs(15);
/// How long others have after the first: nodes see an order at about the same time.
const MORE_BIDS: Duration = Duration::from_millis(800);

/// A bid chosen and what it is expected to cost.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// The order.
    pub(crate) order: SignedOrder,
    /// The bid.
    pub(crate) bid: SignedBid,
    /// The estimate.
    pub(crate) quote: Quote,
}

/// Who buys what with which money.
#[derive(Debug, Clone)]
pub(crate) struct Purchase {
    /// What the user asked for.
    pub(crate) wish: Wish,
    /// What runs.
    pub(crate) spec: JobSpec,
    /// Whose credits pay.
    pub(crate) payer: Address,
    /// The payer's budget that is debited; 0 for none.
    pub(crate) budget: BudgetId,
    /// Who signs usage.
    pub(crate) signer: Address,
    /// What is paid with.
    pub(crate) token: Address,
    /// How to write it.
    pub(crate) token_name: TokenName,
    /// The escrow.
    pub(crate) max_cost: Amount,
}

impl Purchase {
    /// Refuses before anything is signed when the credits do not cover the escrow; says how to deposit what is missing.
    pub(crate) async fn check_credits(&self, session: &Session) -> Outcome {
        let credits = session.credits_of(self.payer, self.token).await?;
        let missing = self.max_cost.saturating_sub(credits);
        if missing == Amount::ZERO {
            return Ok(());
        }
        let name = &self.token_name;
        let deposit = format!(
            "opengpu wallet deposit {} --token {}",
            missing.format_units(name.decimals),
            name.symbol
        );
        let (who, hint) = if self.payer == session.account() {
            ("you have".to_owned(), format!("`{deposit}` adds them"))
        } else {
            let who = format!("payer {} has", self.payer);
            (who, format!("ask the payer for `{deposit}`, or lower --max-cost"))
        };
        let message = format!(
            "too few credits: the job locks {}, {who} {}, {} are missing",
            name.show(self.max_cost),
            name.show(credits),
            name.show(missing)
        );
        Err(Failure::new(Kind::Budget, message).hint(hint))
    }

    /// Posts the order and chooses among the bids.
    pub(crate) async fn offer(&self, session: &Session, story: &mut dyn Story) -> Outcome<Offer> {
        let order = self.sign(session, self.signer, self.max_cost).await?;
        let job = order.order.job_id(session.domain());
        session.gateway.post_order(&order).await?;
        story.tell(&Happening::Ordered(job));
        let chosen = self.best_bid(session, &order, job, story).await;
        if chosen.is_err() {
            withdraw(session, job).await;
        }
        let (bid, quote) = chosen?;
        let is_estimate = self.spec.expected_seconds.is_some();
        story.tell(&Happening::Quoted {
            bid: &bid.bid,
            quote,
            is_estimate,
        });
        Ok(Offer { order, bid, quote })
    }

    async fn best_bid(
        &self,
        session: &Session,
        order: &SignedOrder,
        job: JobId,
        story: &mut dyn Story,
    ) -> Outcome<(SignedBid, Quote)> {
        let bids = gather_bids(session, job, story).await?;
        if bids.is_empty() {
            return Err(self.nobody_bid(session, story).await);
        }
        self.choose(session, order, job, &bids)
            .await?
            .map_err(|error| self.no_choice(&error))
    }

    async fn sign(&self, session: &Session, signer: Address, max_cost: Amount) -> Outcome<SignedOrder> {
        let parties = Parties {
            payer: self.payer,
            budget: self.budget,
            signer,
            token: self.token,
        };
        let expires_at = session.now().await? + ORDER_SECONDS;
        let order = self
            .wish
            .order(&self.spec, parties, max_cost, expires_at, random_salt())?;
        Ok(SignedOrder {
            signature: order.sign(session.domain(), &session.key).0.to_vec().into(),
            order,
            spec: self.spec.clone(),
        })
    }

    async fn choose(
        &self,
        session: &Session,
        order: &SignedOrder,
        job_id: JobId,
        bids: &[SignedBid],
    ) -> Outcome<Result<(SignedBid, Quote), MatchError>> {
        let mut candidates = Vec::new();
        for signed in bids {
            let node = session.node(signed.bid.node).await?;
            candidates.push(Candidate {
                bid: signed.bid.clone(),
                tier: node.tier,
                is_unavailable: node.is_draining || node.is_suspended || !is_by(signed, session, node.operator),
            });
        }
        let policy = Policy {
            order: &order.order,
            job_id,
            expected_seconds: order.spec.expected_seconds,
            voucher_interval_seconds: order.spec.voucher_interval_seconds,
            now: session.now().await?,
        };
        Ok(choose_bid(&candidates, &policy).map(|choice| (bids[choice.index].clone(), choice.quote)))
    }

    /// Nodes do not bid for an escrow that is worth less than a voucher. To name what would be enough, asks again with the
    /// most a new node may take; that order names this wallet as its signer, so nobody else can match it, and neither do we.
    async fn nobody_bid(&self, session: &Session, story: &mut dyn Story) -> Failure {
        let nobody = Failure::new(
            Kind::TimeOut,
            format_args!("no node made an offer within {} s", FIRST_BID.as_secs()),
        )
        .hint("ask for less (--cpus, --memory, --disk), or see `opengpu status`");
        match self.ask_for_price(session, story).await {
            Ok(Some(error)) => self.no_choice(&error),
            Ok(None) => nobody,
            Err(failure) => failure,
        }
    }

    async fn ask_for_price(&self, session: &Session, story: &mut dyn Story) -> Outcome<Option<MatchError>> {
        let most = session.t0_cap(self.token).await?;
        if most <= self.max_cost {
            return Ok(None);
        }
        story.tell(&Happening::Note("no offers; asking what would be enough"));
        let mut question = self.sign(session, session.account(), most).await?;
        let job = question.order.job_id(session.domain());
        session.gateway.post_order(&question).await?;
        let bids = gather_bids(session, job, story).await?;
        withdraw(session, job).await;
        if bids.is_empty() {
            return Ok(None);
        }
        // The bids are judged as if they were for the escrow the user allows.
        question.order.max_cost = self.max_cost;
        Ok(self.choose(session, &question, job, &bids).await?.err())
    }

    fn no_choice(&self, error: &MatchError) -> Failure {
        let name = &self.token_name;
        match error.cheapest_needed() {
            Some(needed) => Failure::new(
                Kind::Budget,
                format_args!(
                    "the cheapest offer needs {}, --max-cost allows {}",
                    name.show(needed),
                    name.show(self.max_cost)
                ),
            )
            .hint(format_args!("--max-cost {}", needed.format_units(name.decimals))),
            None => Failure::error(error).hint("change what you ask for, or try again later"),
        }
    }
}

fn is_by(signed: &SignedBid, session: &Session, operator: Address) -> bool {
    signed.signature.is_by(operator, signed.bid.digest(session.domain()))
}

/// Tells whoever listens that the order will not be matched. Its expiry says the same a little later, so nobody minds when
/// this does not arrive.
pub(crate) async fn withdraw(session: &Session, job: JobId) {
    let stop = SignedStop::sign(session.domain(), job, &session.key);
    if let Err(error) = session.gateway.post_stop(&stop).await {
        tracing::info!(%job, %error, "the order was not withdrawn");
    }
}

/// Collects bids until a moment after the first one.
async fn gather_bids(session: &Session, job: JobId, story: &mut dyn Story) -> Outcome<Vec<SignedBid>> {
    let mut bids: Vec<SignedBid> = Vec::new();
    let mut cursor = String::new();
    let mut deadline = Instant::now() + FIRST_BID;
    loop {
        let page = match tokio::time::timeout_at(deadline, session.gateway.events(job, &cursor, 1)).await {
            Ok(page) => page?,
            Err(_) => return Ok(bids),
        };
        cursor = page.cursor;
        let is_first = bids.is_empty();
        for event in page.items {
            if let JobEventBody::Bid(signed) = event.body {
                story.tell(&Happening::BidReceived(&signed.bid));
                bids.push(signed);
            }
        }
        if is_first && !bids.is_empty() {
            deadline = Instant::now() + MORE_BIDS;
        }
    }
}

/// Makes equal orders distinct, from the system's randomness.
fn random_salt() -> U256 {
    U256::from_be_bytes(rand::random::<[u8; 32]>())
}
