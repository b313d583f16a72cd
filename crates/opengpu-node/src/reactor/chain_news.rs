//! What the chain says about the attempt, kept block by block so that a reorganisation can take it back.

use opengpu_core::job::Progress;
use opengpu_core::order::Voucher;

use super::record::{Attempt, Report, Seen, Stop};
use super::{Job, Rules, Stage, Task};
use crate::clock::Now;
use crate::ports::{ChainNews, Position};

impl Job {
    pub(super) fn on_chain_news(&mut self, rules: &Rules, block: u64, news: ChainNews) {
        if let ChainNews::Matched(position) = news {
            if position.terms.node == rules.node && position.terms.operator == rules.key.address() {
                self.on_matched(block, *position);
            } else if let Some(attempt) = &mut self.record.attempt {
                // Matched again, with another node: ours is over, whatever we saw of its end.
                attempt.record(block, |seen| seen.is_over = true);
            }
            return;
        }
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        match news {
            ChainNews::Matched(_) => {}
            ChainNews::Extended(terms) => {
                attempt.terms = (*terms).clone();
                attempt.record(block, |seen| seen.position.terms = *terms);
            }
            ChainNews::Collected { value, billed_millis } => {
                attempt.record(block, |seen| {
                    seen.position.progress.value = value;
                    seen.position.progress.billed_millis = billed_millis;
                });
                attempt.make_result_again();
            }
            ChainNews::Reported { declared, progress } => {
                attempt.set_report(block, Some(declared.map(|voucher| *voucher)), *progress);
                // A voucher signed from now on ends the report: ask for one at once.
                self.live.schedule.hurry(Task::ProposeVoucher);
            }
            ChainNews::Answered {
                is_over,
                voucher,
                progress,
            } => {
                attempt.set_report(block, (!is_over).then_some(voucher.map(|voucher| *voucher)), *progress);
            }
            ChainNews::Moved(progress) => attempt.set_report(block, None, *progress),
            ChainNews::Interrupted | ChainNews::Settled => attempt.record(block, |seen| seen.is_over = true),
        }
    }

    fn on_matched(&mut self, block: u64, position: Position) {
        match &mut self.record.attempt {
            Some(attempt) if attempt.terms.attempt() == position.terms.attempt() => {
                attempt.match_again(block, position)
            }
            _ => {
                let mut attempt = Attempt::matched(block, position);
                // Matched after all. Others may hold the capacity by now, and the stop still stands.
                attempt.stop = self.live.is_given_up.then_some(Stop::Asked);
                self.record.attempt = Some(attempt);
            }
        }
    }

    pub(super) fn on_rolled_back(&mut self, to: u64, now: &Now) {
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        if matches!(attempt.stage, Stage::Closed { .. }) {
            return;
        }
        attempt.history.retain(|seen| seen.block <= to);
        if attempt.history.is_empty() {
            attempt.unmatched_since.get_or_insert(now.chain_millis());
        }
        self.live.head = self.live.head.min(to);
        for task in [Task::Collect, Task::Settle, Task::Submit, Task::Answer, Task::Contest] {
            self.live.schedule.hurry(task);
        }
    }
}

impl Attempt {
    /// The match was sent again after a reorganisation, or is told again after a restart.
    fn match_again(&mut self, block: u64, position: Position) {
        let is_known = self
            .history
            .first()
            .is_some_and(|first| first.block == block && first.position == position);
        if is_known {
            return;
        }
        let terms_differ = self.terms != position.terms;
        self.terms = position.terms.clone();
        self.unmatched_since = None;
        self.history = vec![Seen {
            block,
            position,
            report: None,
            is_over: false,
        }];
        if terms_differ {
            self.make_result_again();
        }
    }

    /// The receipt names terms and collected values: a result made before they changed is made again.
    fn make_result_again(&mut self) {
        if let Stage::Proposing { end, .. } = &self.stage {
            self.stage = Stage::Storing { end: end.clone() };
        }
    }

    /// Adds what `change` makes of the newest state, as of `block`. Without a match there is nothing to change, and what is told
    /// again of blocks before it is of an earlier attempt.
    fn record(&mut self, block: u64, change: impl FnOnce(&mut Seen)) {
        let (Some(first), Some(newest)) = (self.history.first(), self.history.last()) else {
            return;
        };
        if block < first.block {
            return;
        }
        let mut seen = newest.clone();
        seen.block = block;
        change(&mut seen);
        self.history.push(seen);
    }

    fn set_report(&mut self, block: u64, report: Option<Option<Voucher>>, progress: Progress) {
        self.record(block, |seen| {
            seen.report = report.map(|declared| Report { declared });
            seen.position.progress = progress;
        });
    }
}
