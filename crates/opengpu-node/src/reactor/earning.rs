//! Being paid while the job runs. What was collected is the node's whatever it misses later: a report that it cannot answer in time pays
//! no more than the reporter shows beyond that.

use opengpu_core::job::Usage;

use super::{Effect, Job, Rules, Task};
use crate::clock::Now;

/// Pay of a job whose result a panel may judge waits for its end (protocol, section 4).
const VERIFY_BY_PANEL: u8 = 2;

impl Job {
    /// Once enough is owed, with a voucher whose time is over: a result may never be worth less than what was collected.
    pub(super) fn plan_collect(&mut self, rules: &Rules, usage: Usage, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let (Some(earned), Some(seen)) = (&attempt.earned, attempt.seen()) else {
            return;
        };
        let voucher = &earned.voucher;
        let durable = Usage {
            billed_millis: voucher.durable_millis,
            egress_bytes: voucher.durable_egress_bytes,
        };
        let is_over = durable.billed_millis <= usage.billed_millis && durable.egress_bytes <= usage.egress_bytes;
        let is_refused = seen.report.is_some() || attempt.terms.limits.verify_level == VERIFY_BY_PANEL;
        if rules.collect_above_usd_micros == 0 || !is_over || is_refused {
            return;
        }
        let position = &seen.position;
        let value = attempt.terms.bill(durable).value;
        let owed = value.saturating_sub(position.progress.value);
        let is_enough = position.terms.rates.usd_micros_rounded_down(owed) > u128::from(rules.collect_above_usd_micros);
        if is_enough && self.live.schedule.begin(Task::Collect, now.boot()) {
            self.live.collecting = value;
            effects.push(Effect::Collect {
                at: Box::new(position.clone()),
                voucher: Box::new(earned.clone()),
            });
        }
    }

    /// Whether it is not known yet if a `collect` came through.
    pub(super) fn is_collecting(&self, now: &Now) -> bool {
        let collected = self.record.attempt.as_ref().map(|attempt| attempt.progress().value);
        self.live.schedule.is_begun(Task::Collect, now.boot()) && collected < Some(self.live.collecting)
    }
}
