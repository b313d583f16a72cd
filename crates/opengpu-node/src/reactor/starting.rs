//! From the match to READY: image and input, the container's start, the readiness check.

use opengpu_core::order::Outcome;
use opengpu_core::wire::Step;

use super::{Blame, Effect, Job, RETRY_MILLIS, SECOND_MILLIS, Stage, Stop, Task, TaskFault};
use crate::clock::Now;
use crate::image::PreparedImage;
use crate::meter::Meter;
use crate::runtime::Moment;

/// Exit code reported when the image cannot be had: what `docker run` gives when the engine cannot run the job.
const EXIT_NO_IMAGE: i32 = 125;
/// Exit code reported when the command cannot be run: what shells and `docker run` give for a command not found.
const EXIT_NO_COMMAND: i32 = 127;

impl Job {
    pub(super) fn plan_preparing(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        if attempt.stop.is_some() {
            return self.end_unmeasured(Some(Outcome::Stopped), 0, now);
        }
        if now.chain_seconds() >= attempt.ready_deadline() {
            // Input that never came, a registry that is down: nobody can tell whose fault that was.
            self.tell_failure(
                "image and input did not arrive in time",
                "try again, or allow more time",
                effects,
            );
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
        let is_waited_for = self
            .record
            .attempt
            .as_ref()
            .is_some_and(|attempt| matches!(attempt.stage, Stage::Preparing));
        match outcome {
            _ if !is_waited_for => {}
            Ok(image) => self.set_stage(Stage::Starting { image }),
            Err(fault) => self.on_start_fault(fault, EXIT_NO_IMAGE, now, effects),
        }
    }

    /// Before READY a failure of the user's or the machine's making ends the attempt; a passing one is tried again.
    pub(super) fn on_start_fault(&mut self, fault: TaskFault, exit_code: i32, now: &Now, effects: &mut Vec<Effect>) {
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
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let Stage::Starting { image } = &attempt.stage else {
            return;
        };
        if attempt.stop.is_none() && now.chain_seconds() >= attempt.ready_deadline() {
            attempt.stop = Some(Stop::NotReady);
            let reason = format!("not ready within {} s", attempt.terms.limits.ready_within_seconds);
            self.tell_failure(
                &reason,
                "look at the log, or allow more time with --ready-within",
                effects,
            );
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
        if wants_check && self.live.schedule.begin(Task::CheckDisk, now.boot()) {
            effects.push(Effect::CheckDisk);
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

    pub(super) fn on_disk_checked(&mut self, is_over: bool, now: &Now, effects: &mut Vec<Effect>) {
        self.live.schedule.finish(Task::CheckDisk, now.boot() + SECOND_MILLIS);
        let is_starting = self
            .record
            .attempt
            .as_ref()
            .is_some_and(|attempt| matches!(attempt.stage, Stage::Starting { .. }));
        if is_over && is_starting {
            self.stop_for_disk(effects);
        }
    }

    pub(super) fn become_ready(&mut self, ready: Moment, now: &Now, effects: &mut Vec<Effect>) {
        let meter = Meter::new(ready, now.boot_id.clone());
        self.set_stage(Stage::Running { meter });
        effects.push(Effect::Report(Step::Ready));
    }
}
