//! `opengpu node incentives show|claim`: OPEN for what a node settled, week by week.
//!
//! Jobs of a week can be reported until the next one is over; then the week is paid. Both may be done by anyone, and go to the payee.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use opengpu_chain::time::show_utc;
use opengpu_chain::transactions::IncentiveShare;
use opengpu_chain::{ChainError, JobRecord};
use opengpu_core::Address;
use opengpu_core::ids::{JobId, NodeId};
use opengpu_core::incentive::{ListedRates, Share, share_of_job};
use opengpu_core::money::Amount;
use opengpu_core::stake::WEEK_SECONDS;
use serde::Serialize;

use super::{chosen, usd};
use crate::args::NodeChoice;
use crate::cmd::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{TokenName, print_json, print_line, show_deadline, table};
use crate::session::{Session, chain_failure};

/// What `node incentives show` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    node: NodeId,
    /// The week now, counted from the unix epoch.
    week: u64,
    /// What all nodes together get for this week's jobs, base units of OPEN; 0: off.
    rate: Amount,
    /// The same for the next week.
    next_rate: Amount,
    /// Closed jobs that can still be reported and would bring something.
    unreported: Vec<Unreported>,
    /// What was reported and is not paid.
    weeks: Vec<Week>,
}

/// A job that nobody reported yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unreported {
    job_id: JobId,
    week: u64,
    usd_micros: u64,
    /// Base units of OPEN it can bring at most, if it is reported at the rates listed now.
    cap: Amount,
    /// Unix second until which it can be reported.
    reportable_until: u64,
}

/// A week's part of a payee.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Week {
    week: u64,
    payee: Address,
    usd_micros: u64,
    total_usd_micros: u64,
    /// Base units of OPEN for all nodes.
    rate: Amount,
    /// Base units of OPEN it can bring at most.
    cap: Amount,
    /// Base units of OPEN: what is due, or would be if nothing more were reported.
    amount: Amount,
    is_due: bool,
    /// Unix second from which it can be paid.
    payable_from: u64,
}

/// Everything that is to be known before anything is shown or sent.
struct Found {
    week: u64,
    unreported: Vec<(JobRecord, Share)>,
    shares: Vec<IncentiveShare>,
}

impl Found {
    async fn read(session: &Session, node: NodeId) -> Result<Self, ChainError> {
        let chain = &session.chain;
        let week = chain.now().await? / WEEK_SECONDS;
        let records = chain.unreported_jobs(node, week - 1).await?;
        let open = session.profile.network.contracts.open_token;
        let mut rates = BTreeMap::new();
        for token in records.iter().map(|record| record.terms.token).chain([open]) {
            if let Entry::Vacant(rate) = rates.entry(token) {
                rate.insert(chain.token(token).await?.usd_rate);
            }
        }
        let mut unreported = Vec::new();
        for record in records {
            let listed = ListedRates {
                token: rates[&record.terms.token],
                open: rates[&open],
            };
            let share = share_of_job(record.progress.value, record.terms.rates, listed);
            // Reporting what can bring nothing only costs gas.
            let brings = share.usd_micros != 0 && share.cap != Amount::ZERO;
            if brings && chain.incentive_rate(week_of(&record)).await? != Amount::ZERO {
                unreported.push((record, share));
            }
        }
        let reported = chain.reported_jobs(node).await?;
        let parts: BTreeSet<_> = reported.iter().map(|job| (job.week, job.payee)).collect();
        let mut shares = Vec::new();
        for (of, payee) in parts {
            let share = chain.incentive_share(of, node, payee).await?;
            if share.share != Share::default() {
                shares.push(share);
            }
        }
        Ok(Self {
            week,
            unreported,
            shares,
        })
    }

    /// Jobs can be reported in their week and the next.
    fn is_due(&self, share: &IncentiveShare) -> bool {
        self.week > share.week + 1 && share.amount() != Amount::ZERO
    }
}

fn week_of(record: &JobRecord) -> u64 {
    record.entered_at / WEEK_SECONDS
}

/// Unix second at which the week after `week` is over: its jobs can be reported until then, and it is paid from then on.
fn closes_at(week: u64) -> u64 {
    (week + 2) * WEEK_SECONDS
}

/// What is there to be reported, waits, or is due.
pub(super) async fn show(context: &Context, session: &Session, choice: &NodeChoice) -> Outcome {
    let node = chosen(session, choice.node)?;
    session.node(node).await?;
    let shown = read(session, node).await.map_err(chain_failure)?;
    if context.global.json {
        return print_json(&shown);
    }
    let (_, open) = session.token("OPEN")?;
    print_line(&format!("incentives of node {node} on {}", session.profile.name))?;
    print_line(&rates_text(&shown, &open))?;
    if shown.unreported.is_empty() && shown.weeks.is_empty() {
        return print_line("nothing to report, nothing due");
    }
    let now = session.now().await?;
    let mut rows: Vec<[String; 5]> = shown.weeks.iter().map(|week| week_row(week, &open, now)).collect();
    rows.extend(unreported_rows(&shown.unreported, &open, now));
    print_line(&table(["week", "value", "part", "at most", ""], rows))
}

fn rates_text(shown: &Shown, open: &TokenName) -> String {
    let rate = |rate: Amount| match rate {
        Amount::ZERO => "off".to_owned(),
        rate => format!("{} for all nodes", open.show(rate)),
    };
    match (shown.rate, shown.next_rate) {
        (Amount::ZERO, Amount::ZERO) => "off: governance pays nothing for this week's jobs nor the next's".to_owned(),
        (now, next) => format!(
            "week {}: {}; week {}: {}",
            shown.week,
            rate(now),
            shown.week + 1,
            rate(next)
        ),
    }
}

/// One row for the jobs of each week that nobody reported: a busy node has hundreds.
fn unreported_rows(unreported: &[Unreported], open: &TokenName, now: u64) -> Vec<[String; 5]> {
    let mut weeks = BTreeMap::<u64, (u32, u64, Amount)>::new();
    for job in unreported {
        let (count, usd_micros, cap) = weeks.entry(job.week).or_default();
        *count += 1;
        *usd_micros = usd_micros.saturating_add(job.usd_micros);
        *cap = Amount(cap.0.saturating_add(job.cap.0));
    }
    let row = |(week, (count, usd_micros, cap)): (u64, (u32, u64, Amount))| {
        [
            week.to_string(),
            format!("{} USD", usd(usd_micros)),
            String::new(),
            open.show(cap),
            format!(
                "jobs to report: {count}; `opengpu node incentives claim` until {}",
                show_deadline(closes_at(week), now)
            ),
        ]
    };
    weeks.into_iter().map(row).collect()
}

fn week_row(week: &Week, open: &TokenName, now: u64) -> [String; 5] {
    let state = if week.is_due {
        "due".to_owned()
    } else {
        format!("from {}", show_deadline(week.payable_from, now))
    };
    [
        week.week.to_string(),
        format!("{} of {} USD", usd(week.usd_micros), usd(week.total_usd_micros)),
        open.show(week.amount),
        open.show(week.cap),
        state,
    ]
}

async fn read(session: &Session, node: NodeId) -> Result<Shown, ChainError> {
    let found = Found::read(session, node).await?;
    let weeks = found.shares.iter().map(|share| Week {
        week: share.week,
        payee: share.payee,
        usd_micros: small(share.share.usd_micros),
        total_usd_micros: small(share.total_usd_micros),
        rate: share.rate,
        cap: share.share.cap,
        amount: share.amount(),
        is_due: found.is_due(share),
        payable_from: closes_at(share.week),
    });
    let unreported = found.unreported.iter().map(|(record, share)| Unreported {
        job_id: record.job,
        week: week_of(record),
        usd_micros: small(share.usd_micros),
        cap: share.cap,
        reportable_until: closes_at(week_of(record)),
    });
    Ok(Shown {
        node,
        week: found.week,
        rate: session.chain.incentive_rate(found.week).await?,
        next_rate: session.chain.incentive_rate(found.week + 1).await?,
        unreported: unreported.collect(),
        weeks: weeks.collect(),
    })
}

fn small(usd_micros: u128) -> u64 {
    u64::try_from(usd_micros).unwrap_or(u64::MAX)
}

/// Reports what is not reported and pays what is due.
pub(super) async fn claim(context: &Context, session: &Session, choice: &NodeChoice) -> Outcome {
    let node = chosen(session, choice.node)?;
    session.node(node).await?;
    let found = Found::read(session, node).await.map_err(chain_failure)?;
    let mut reported = Vec::new();
    for (record, _) in &found.unreported {
        match session.chain.report_job(record).await {
            Ok(_) => reported.push(record),
            Err(error) if error.is_revert("Incentives_AlreadyReported") => {}
            Err(error) => return Err(chain_failure(error)),
        }
    }
    let mut paid = Vec::new();
    for share in found.shares.iter().filter(|share| found.is_due(share)) {
        match session.chain.pay_incentive(share.week, node, share.payee).await {
            Ok((_, amount)) => paid.push((share.week, share.payee, amount)),
            Err(error) if error.is_revert("Incentives_NothingToPay") => {}
            Err(error) => return Err(unpaid(error, share, &reported)),
        }
    }
    tell(context, session, node, &reported, &paid)
}

fn unpaid(error: ChainError, share: &IncentiveShare, reported: &[&JobRecord]) -> Failure {
    let failure = chain_failure(error);
    failure.hint(format_args!(
        "jobs reported: {}; week {} stays owed: claim it again later",
        reported.len(),
        share.week
    ))
}

fn tell(
    context: &Context,
    session: &Session,
    node: NodeId,
    reported: &[&JobRecord],
    paid: &[(u64, Address, Amount)],
) -> Outcome {
    if context.global.json {
        let paid = paid
            .iter()
            .map(|(week, payee, amount)| serde_json::json!({ "week": week, "payee": payee, "amount": amount }));
        let reported: Vec<JobId> = reported.iter().map(|record| record.job).collect();
        return print_json(&serde_json::json!({
            "node": node, "reported": reported, "paid": paid.collect::<Vec<_>>(),
        }));
    }
    let (_, open) = session.token("OPEN")?;
    for (week, payee, amount) in paid {
        print_line(&format!("paid {} to {payee} for week {week}", open.show(*amount)))?;
    }
    if reported.is_empty() && paid.is_empty() {
        return print_line("nothing to report, nothing due; `opengpu node incentives show` says why");
    }
    let mut weeks = BTreeMap::<u64, u32>::new();
    for record in reported {
        *weeks.entry(week_of(record)).or_default() += 1;
    }
    for (week, count) in weeks {
        print_line(&format!(
            "jobs of week {week} reported: {count}; the same command claims the week from {} on",
            show_utc(closes_at(week))
        ))?;
    }
    Ok(())
}
