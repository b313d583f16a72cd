//! The payer's side reported that the node failed: answer with a voucher signed since, or contest.

use super::{Effect, Job, Rules, Stage, Task};
use crate::clock::Now;

impl Job {
    pub(super) fn plan_report(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let Some(seen) = attempt.seen() else { return };
        let Some(report) = &seen.report else { return };
        if matches!(attempt.stage, Stage::Settling { .. }) {
            // A co-signed result settles from here too, and says more than any answer.
            return;
        }
        let (at, declared) = (Box::new(seen.position.clone()), report.declared.clone().map(Box::new));
        let reported_at = seen.position.progress.reported_at;
        let newest = attempt.newest.clone().map(Box::new);
        let declared_seq = declared.as_ref().map_or(0, |voucher| voucher.seq);
        let answer = newest
            .clone()
            .filter(|newest| newest.voucher.seq > declared_seq && newest.voucher.signed_at >= reported_at);
        if let Some(newer) = answer {
            if self.live.schedule.begin(Task::Answer, now.boot()) {
                effects.push(Effect::Answer { at, declared, newer });
            }
            return;
        }
        let patience_ends = reported_at * 1000 + rules.response_window_millis / 2;
        if now.chain_millis() >= patience_ends && self.live.schedule.begin(Task::Contest, now.boot()) {
            effects.push(Effect::Contest { at, declared, newest });
        }
    }
}
