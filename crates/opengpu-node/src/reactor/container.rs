//! What the container does, and what its end comes to.

use opengpu_core::job::Usage;
use opengpu_core::metering;
use opengpu_core::order::Outcome;
use opengpu_core::wire::Step;

use super::record::{Attempt, End};
use super::{Effect, Job, STATUS_EVERY_MILLIS, Stage, Stop, Task, TaskFault};
use crate::clock::Now;
use crate::meter::Meter;
use crate::runtime::{ContainerStatus, ExitRecord, Sample};

/// Exit code reported for a program that ended well but was never READY in time: what `timeout(1)` gives.
const EXIT_NOT_READY: i32 = 124;

impl Job {
    pub(super) fn on_status(
        &mut self,
        outcome: Result<ContainerStatus, TaskFault>,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) {
        self.live
            .schedule
            .finish(Task::ReadStatus, now.boot() + STATUS_EVERY_MILLIS);
        let Some(attempt) = &self.record.attempt else { return };
        let is_starting = matches!(attempt.stage, Stage::Starting { .. });
        if !is_starting && !matches!(attempt.stage, Stage::Running { .. }) {
            return;
        }
        let Ok(status) = outcome else { return };
        match status {
            ContainerStatus::Created => {}
            ContainerStatus::Running { started_at } | ContainerStatus::Paused { started_at } => {
                self.live.is_started = true;
                if is_starting && attempt.stop.is_none() && self.record.order.spec.ready.is_empty() {
                    self.become_ready(started_at, now, effects);
                }
            }
            ContainerStatus::Exited(record) => self.on_exit(&record, now, effects),
            ContainerStatus::Lost { .. } => self.on_lost(now, effects),
            ContainerStatus::Absent if !is_starting || self.live.is_started => self.on_lost(now, effects),
            ContainerStatus::Absent if attempt.stop.is_some() => {
                // Stopped before anything ran.
                let outcome = match attempt.stop {
                    Some(Stop::NotReady) => Outcome::HardwareFault,
                    _ => Outcome::Stopped,
                };
                self.end_unmeasured(Some(outcome), 0, now);
            }
            ContainerStatus::Absent => {}
        }
    }

    /// The shim or the container is gone and nobody knows how the program ended: neutral.
    fn on_lost(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        self.tell_failure(
            "the container was lost, how it ended is unknown",
            "run the job again",
            effects,
        );
        self.end_unmeasured(None, 0, now);
    }

    fn on_exit(&mut self, record: &ExitRecord, now: &Now, effects: &mut Vec<Effect>) {
        effects.push(Effect::Report(Step::Exited {
            exit_code: record.outcome.shell_code(),
            is_out_of_memory: record.oom_killed,
        }));
        let Some(attempt) = &self.record.attempt else { return };
        let meter = match &attempt.stage {
            Stage::Running { meter } => Some(meter.clone()),
            // READY is the program's start, and it was over before anybody looked.
            Stage::Starting { .. } if self.record.order.spec.ready.is_empty() => {
                Some(Meter::new(record.started_at, now.boot_id.clone()))
            }
            _ => None,
        };
        let end = attempt.end_of(record, meter.as_ref());
        self.set_stage(Stage::Storing { end });
    }

    /// Ends an attempt for which nothing (more) than the newest voucher is known to be due.
    pub(super) fn end_unmeasured(&mut self, outcome: Option<Outcome>, exit_code: i32, now: &Now) {
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let ready_millis = match &attempt.stage {
            Stage::Running { meter } => meter.ready.unix_millis,
            _ => now.chain_millis(),
        };
        let gauge = self.live.gauge.map_or_else(Sample::default, |gauge| gauge.sample);
        let end = End {
            outcome,
            exit_code,
            usage: Usage::default(),
            ready_after_seconds: attempt.seconds_since_match(ready_millis),
            cpu_millis: gauge.cpu_nanos / 1_000_000,
            memory_peak_bytes: gauge.memory_peak_bytes,
            at_millis: now.moment.unix_millis,
            is_output_lost: false,
        };
        attempt.stage = Stage::Storing { end };
    }
}

impl Attempt {
    fn seconds_since_match(&self, millis: u64) -> u32 {
        let since = (millis / 1000).saturating_sub(self.terms.matched_at());
        u32::try_from(since).unwrap_or(u32::MAX)
    }

    /// What the shim's record of the end comes to. Without a meter the program never was READY and nothing is billed.
    fn end_of(&self, record: &ExitRecord, meter: Option<&Meter>) -> End {
        let egress_bytes = record.usage.egress_bytes;
        let billed = meter.map_or(0, |meter| meter.billed_at(record.finished_at.boot_millis));
        let usage = Usage {
            billed_millis: billed.min(metering::limit(&self.terms, egress_bytes).millis),
            egress_bytes: if meter.is_some() { egress_bytes } else { 0 },
        };
        let mut exit_code = record.outcome.shell_code();
        let outcome = match self.stop {
            Some(Stop::Asked | Stop::Limit(_) | Stop::Unsigned) => Outcome::Stopped,
            Some(Stop::NotReady | Stop::DiskLimit) => Outcome::UserFault,
            None if record.outcome.is_success() && !record.oom_killed => Outcome::Completed,
            None => Outcome::UserFault,
        };
        if outcome == Outcome::UserFault && exit_code == 0 {
            exit_code = EXIT_NOT_READY;
        }
        let ready_at = meter.map_or(record.finished_at, |meter| meter.ready);
        End {
            outcome: Some(outcome),
            exit_code,
            usage,
            ready_after_seconds: self.seconds_since_match(ready_at.unix_millis),
            cpu_millis: record.usage.cpu_nanos / 1_000_000,
            memory_peak_bytes: record.usage.memory_peak_bytes,
            at_millis: record.finished_at.unix_millis,
            is_output_lost: false,
        }
    }
}
