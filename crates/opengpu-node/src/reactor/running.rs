//! From the match to the program's end: prepare, start, READY, meter, vouchers, pause, stop.

use opengpu_core::job::Usage;
use opengpu_core::metering::{self, Measured};
use opengpu_core::order::{Outcome, Signable};
use opengpu_core::wire::{Step, VoucherProposal};

use super::record::{Attempt, End};
use super::{
    Blame, Effect, Gauge, Job, RETRY_MILLIS, Rules, SECOND_MILLIS, STATUS_EVERY_MILLIS, STOP_GRACE_MILLIS, Stage, Stop, Task,
    TaskFault,
};
use crate::clock::Now;
use crate::image::PreparedImage;
use crate::meter::Meter;
use crate::runtime::{ContainerStatus, ExitRecord, Moment, Sample, Signal};

/// Exit code reported when the image cannot be had: what `docker run` gives when the engine cannot run the job.
const EXIT_NO_IMAGE: i32 = 125;
/// Exit code reported when the command cannot be run: what shells and `docker run` give for a command not found.
const EXIT_NO_COMMAND: i32 = 127;
/// Exit code reported for a program that ended well but was never READY in time: what `timeout(1)` gives.
const EXIT_NOT_READY: i32 = 124;

// ---- preparing and starting ----

impl Job {
    pub(super) fn plan_preparing(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        if attempt.stop.is_some() {
            return self.end_unmeasured(Some(Outcome::Stopped), 0, now);
        }
        if now.chain_seconds() >= attempt.ready_deadline() {
            // Input that never came, a registry that is down: nobody can tell whose fault that was.
            self.tell_failure("image and input did not arrive in time", "try again, or allow more time", effects);
            return self.end_unmeasured(None, 0, now);
        }
        if self.live.schedule.begin(Task::Prepare, now.boot()) {
            if !self.live.is_preparing_told {
                self.live.is_preparing_told = true;
                effects.push(Effect::Report(Step::Preparing));
            }
            effects.push(Effect::Prepare);
        }
    }

    pub(super) fn on_prepared(
        &mut self,
        outcome: Result<PreparedImage, TaskFault>,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) {
        self.live.schedule.finish(Task::Prepare, now.boot() + SECOND_MILLIS);
        let is_waited_for =
            self.record.attempt.as_ref().is_some_and(|attempt| matches!(attempt.stage, Stage::Preparing));
        match outcome {
            _ if !is_waited_for => {}
            Ok(image) => self.set_stage(Stage::Starting { image }),
            Err(fault) => self.on_start_fault(fault, EXIT_NO_IMAGE, now, effects),
        }
    }

    /// Before READY a failure of the user's or the machine's making ends the attempt; a passing one is tried again.
    fn on_start_fault(&mut self, fault: TaskFault, exit_code: i32, now: &Now, effects: &mut Vec<Effect>) {
        let (hint, outcome) = match fault.blame {
            Blame::Passing => return tracing::info!(reason = fault.reason, "trying again"),
            Blame::User => ("check the image and the command", Some(Outcome::UserFault)),
            Blame::Machine => ("run it again: another node may have room", Some(Outcome::HardwareFault)),
            Blame::Unknown => ("run it again: the container was lost before it was ready", None),
        };
        self.tell_failure(&fault.reason, hint, effects);
        self.end_unmeasured(outcome, exit_code, now);
    }

    pub(super) fn plan_starting(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &mut self.record.attempt else { return };
        let Stage::Starting { image } = &attempt.stage else { return };
        if attempt.stop.is_none() && now.chain_seconds() >= attempt.ready_deadline() {
            attempt.stop = Some(Stop::NotReady);
            let reason = format!("not ready within {} s", attempt.terms.limits.ready_within_seconds);
            self.tell_failure(&reason, "look at the log, or allow more time with --ready-within", effects);
            return self.plan_starting(now, effects);
        }
        if attempt.stop.is_none() && !self.live.is_started && self.live.schedule.begin(Task::Start, now.boot()) {
            effects.push(Effect::Start(image.clone()));
            return;
        }
        if self.live.schedule.is_under_way(Task::Start) {
            return;
        }
        let wants_check = self.live.is_started && attempt.stop.is_none() && !self.record.order.spec.ready.is_empty();
        if self.live.schedule.begin(Task::ReadStatus, now.boot()) {
            effects.push(Effect::ReadStatus);
        }
        if wants_check && self.live.schedule.begin(Task::CheckReady, now.boot()) {
            effects.push(Effect::CheckReady);
        }
        self.plan_kill(now, effects);
    }

    pub(super) fn on_started(&mut self, outcome: Result<(), TaskFault>, now: &Now, effects: &mut Vec<Effect>) {
        self.live.schedule.finish(Task::Start, now.boot() + RETRY_MILLIS);
        match outcome {
            Ok(()) => {
                self.live.is_started = true;
                self.live.schedule.hurry(Task::ReadStatus);
                effects.push(Effect::Report(Step::Started));
            }
            Err(fault) => self.on_start_fault(fault, EXIT_NO_COMMAND, now, effects),
        }
    }

    pub(super) fn on_ready_checked(&mut self, outcome: Result<i32, TaskFault>, now: &Now, effects: &mut Vec<Effect>) {
        self.live.schedule.finish(Task::CheckReady, now.boot() + SECOND_MILLIS);
        let Some(attempt) = &self.record.attempt else { return };
        if outcome == Ok(0) && attempt.stop.is_none() && matches!(attempt.stage, Stage::Starting { .. }) {
            self.become_ready(now.moment, now, effects);
        }
    }

    fn become_ready(&mut self, ready: Moment, now: &Now, effects: &mut Vec<Effect>) {
        let meter = Meter::new(ready, now.boot_id.clone());
        self.set_stage(Stage::Running { meter });
        effects.push(Effect::Report(Step::Ready));
    }
}

// ---- the container's state ----

impl Job {
    pub(super) fn on_status(
        &mut self,
        outcome: Result<ContainerStatus, TaskFault>,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) {
        self.live.schedule.finish(Task::ReadStatus, now.boot() + STATUS_EVERY_MILLIS);
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
        self.tell_failure("the container was lost, how it ended is unknown", "run the job again", effects);
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
        self.set_stage(Stage::Collecting { end });
    }

    /// Ends an attempt for which nothing (more) than the newest voucher is known to be due.
    fn end_unmeasured(&mut self, outcome: Option<Outcome>, exit_code: i32, now: &Now) {
        let Some(attempt) = &mut self.record.attempt else { return };
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
        attempt.stage = Stage::Collecting { end };
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
            Some(Stop::Asked | Stop::Limit(_)) => Outcome::Stopped,
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

// ---- the meter ----

impl Job {
    pub(super) fn plan_running(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        if self.live.schedule.begin(Task::ReadStatus, now.boot()) {
            effects.push(Effect::ReadStatus);
        }
        // After a reboot nothing of the container is left; its status says so, and no time can be told meanwhile.
        let Some(billed) = self.billed_millis(now) else { return };
        let Some(attempt) = &mut self.record.attempt else { return };
        let egress_bytes = self.live.gauge.map_or(0, |gauge| gauge.sample.egress_bytes);
        let usage = Usage { billed_millis: billed, egress_bytes };
        if attempt.stop.is_none() {
            attempt.stop = metering::limit_reached(&attempt.terms, usage).map(Stop::Limit);
        }
        if attempt.stop.is_none() {
            self.plan_pause(billed, now, effects);
        }
        self.plan_sample(billed, now, effects);
        self.plan_voucher(rules, usage, now, effects);
        self.plan_kill(now, effects);
    }

    /// Milliseconds billed by now, below the limits or not; `None` when the clock cannot tell.
    fn billed_millis(&self, now: &Now) -> Option<u64> {
        match &self.record.attempt.as_ref()?.stage {
            Stage::Running { meter } => meter.billed_now(now),
            _ => None,
        }
    }

    fn plan_pause(&mut self, billed: u64, now: &Now, effects: &mut Vec<Effect>) {
        let allowed = 2 * self.record.interval_millis();
        let Some(attempt) = &mut self.record.attempt else { return };
        let is_unsigned = billed >= attempt.covered_millis() + allowed;
        let Stage::Running { meter } = &mut attempt.stage else { return };
        if is_unsigned && !meter.is_paused() {
            meter.pause(now.boot());
            effects.push(Effect::Report(Step::Paused));
        }
        if !meter.is_paused() {
            return;
        }
        let schedule = &mut self.live.schedule;
        if schedule.is_under_way(Task::Pause) || schedule.is_under_way(Task::Resume) {
            return;
        }
        if !is_unsigned && schedule.begin(Task::Resume, now.boot()) {
            effects.push(Effect::Resume);
        } else if is_unsigned && !self.live.is_frozen && schedule.begin(Task::Pause, now.boot()) {
            effects.push(Effect::Pause);
        }
    }

    pub(super) fn on_paused(&mut self, is_done: bool, now: &Now) {
        self.live.is_frozen |= is_done;
        let again = if is_done { 0 } else { RETRY_MILLIS };
        self.live.schedule.finish(Task::Pause, now.boot() + again);
    }

    pub(super) fn on_resumed(&mut self, is_done: bool, now: &Now, effects: &mut Vec<Effect>) {
        let again = if is_done { 0 } else { RETRY_MILLIS };
        self.live.schedule.finish(Task::Resume, now.boot() + again);
        let Some(attempt) = &mut self.record.attempt else { return };
        let Stage::Running { meter } = &mut attempt.stage else { return };
        if is_done {
            self.live.is_frozen = false;
            meter.resume(now.boot());
            effects.push(Effect::Report(Step::Resumed));
        }
    }

    fn plan_sample(&mut self, billed: u64, now: &Now, effects: &mut Vec<Effect>) {
        if self.live.schedule.begin(Task::Sample, now.boot()) {
            effects.push(Effect::Sample { billed_millis: billed, at_millis: now.moment.unix_millis });
        }
    }

    pub(super) fn on_sampled(&mut self, outcome: Result<Gauge, TaskFault>, now: &Now, effects: &mut Vec<Effect>) {
        self.live.schedule.finish(Task::Sample, now.boot() + SECOND_MILLIS);
        let billed = self.billed_millis(now);
        let Some(attempt) = &mut self.record.attempt else { return };
        let (Ok(gauge), Some(billed_millis)) = (outcome, billed) else { return };
        let sample = gauge.sample;
        effects.push(Effect::Report(Step::Usage {
            billed_millis: billed_millis.min(metering::limit(&attempt.terms, sample.egress_bytes).millis),
            cpu_millis: sample.cpu_nanos / 1_000_000,
            memory_bytes: sample.memory_bytes,
            egress_bytes: sample.egress_bytes,
        }));
        if gauge.is_disk_over && attempt.stop.is_none() {
            attempt.stop = Some(Stop::DiskLimit);
            let reason = format!("the output is larger than {} bytes", self.record.order.spec.resources.disk_bytes);
            self.tell_failure(&reason, "ask for more disk", effects);
        }
        self.live.gauge = Some(gauge);
    }

    /// Proposes at the first reading after READY (or after a restart), then every interval, until the limit is covered.
    fn plan_voucher(&mut self, rules: &Rules, usage: Usage, now: &Now, effects: &mut Vec<Effect>) {
        let interval = self.record.interval_millis();
        let Some(attempt) = &mut self.record.attempt else { return };
        let Some(gauge) = self.live.gauge else { return };
        let is_covered = attempt.covered_millis() >= metering::limit(&attempt.terms, usage.egress_bytes).millis;
        if attempt.stop.is_some() || is_covered {
            return;
        }
        if !self.live.schedule.every(Task::ProposeVoucher, interval, now.boot()) {
            return;
        }
        let measured = Measured { usage, durable: None, usage_root: gauge.usage_root, log_root: gauge.log_root };
        let voucher = metering::propose(
            &attempt.terms,
            self.record.job_id,
            attempt.proposed.as_ref(),
            &measured,
            self.record.order.spec.voucher_interval_seconds,
            now.chain_millis(),
        );
        attempt.proposed = Some(voucher.clone());
        let operator_signature = voucher.sign(rules.domain, &rules.key);
        let previous = attempt.newest.clone();
        effects.push(Effect::ProposeVoucher(Box::new(VoucherProposal { voucher, operator_signature, previous })));
    }

    /// SIGTERM once, SIGKILL after the grace; a frozen program cannot hear the first.
    fn plan_kill(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let is_frozen = matches!(&attempt.stage, Stage::Running { meter } if meter.is_paused());
        if attempt.stop.is_none() || !self.live.is_started && !matches!(attempt.stage, Stage::Running { .. }) {
            return;
        }
        let terminated_at = *self.live.terminated_at.get_or_insert(now.boot());
        let is_patient = now.boot() < terminated_at + STOP_GRACE_MILLIS && !is_frozen;
        if is_patient && now.boot() > terminated_at {
            return;
        }
        if self.live.schedule.begin(Task::Kill, now.boot()) {
            effects.push(Effect::Kill(if is_patient { Signal::Terminate } else { Signal::Kill }));
        }
    }
}
