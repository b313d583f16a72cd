//! What the exit code says about a job that ended.

use opengpu_core::job::{Ending, Terms};
use opengpu_core::metering::limit;

use super::bill::Bill;
use super::follow::Learnt;
use crate::failure::{Failure, Kind, Outcome};

/// How far billed time may stay below its limit and still have reached it, milliseconds: the node samples once a second.
const LIMIT_SLACK_MILLIS: u64 = 1_500;

/// Whether the job did what its payer wanted; if not, whose turn it is.
pub(crate) fn verdict(learnt: &Learnt, terms: &Terms, bill: &Bill) -> Outcome {
    match bill.ending {
        Ending::Completed => Ok(()),
        Ending::UserFault => Err(program_failed(learnt)),
        Ending::Stopped if learnt.is_stop_asked => Ok(()),
        Ending::Stopped => stopped(terms, bill),
        Ending::HardwareFault | Ending::Unanswered => Err(node_failed(learnt)),
        Ending::Submitted | Ending::Contested | Ending::Expired | Ending::None => Err(Failure::new(
            Kind::Provider,
            "the job was closed without a result that both sides signed",
        )
        .hint("the newest voucher was paid and the rest refunded; the log says how far it came")),
    }
}

fn stopped(terms: &Terms, bill: &Bill) -> Outcome {
    use opengpu_core::metering::LimitKind;
    let limit = limit(terms, 0);
    if bill.billed_millis.saturating_add(LIMIT_SLACK_MILLIS) < limit.millis {
        return Ok(());
    }
    Err(match limit.kind {
        LimitKind::MaxSeconds => {
            Failure::new(Kind::TimeOut, "the job used up its time and was stopped").hint("raise --max-duration")
        }
        LimitKind::Escrow => {
            Failure::new(Kind::Budget, "the job used up its escrow and was stopped").hint("raise --max-cost")
        }
    })
}

fn node_failed(learnt: &Learnt) -> Failure {
    let (reason, hint) = learnt
        .failed
        .as_ref()
        .map_or(("the node failed the job", ""), |(reason, hint)| (reason, hint));
    let hint = if hint.is_empty() {
        "run it again: another node may take it"
    } else {
        hint
    };
    Failure::new(Kind::Provider, reason).hint(hint)
}

fn program_failed(learnt: &Learnt) -> Failure {
    if let Some((reason, hint)) = &learnt.failed {
        let hint = if hint.is_empty() { "the log says more" } else { hint };
        return Failure::new(Kind::Program, reason).hint(hint);
    }
    let code = learnt
        .exit
        .map(|(code, _)| code)
        .or(learnt.result().map(|result| result.exit_code));
    match (learnt.exit, code) {
        (Some((_, true)), _) => Failure::new(Kind::Program, "the program ran out of memory").hint("raise --memory"),
        (_, Some(code)) => Failure::new(Kind::Program, format_args!("the program ended with exit code {code}"))
            .hint("the log says more"),
        (_, None) => Failure::new(Kind::Program, "the program failed").hint("the log says more"),
    }
}
