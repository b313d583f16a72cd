//! READY: the meter, vouchers, pauses, limits and stops.

use opengpu_core::job::Usage;
use opengpu_core::metering::{self, Measured};
use opengpu_core::order::Signable;
use opengpu_core::wire::{Step, VoucherProposal};

use super::{Effect, Gauge, Job, RETRY_MILLIS, Rules, SECOND_MILLIS, STOP_GRACE_MILLIS, Stage, Stop, Task, TaskFault};
use crate::clock::Now;
use crate::runtime::Signal;

/// A paused job is ended after this many times the grace that a result has: six hours where that is ten minutes.
const SILENT_GRACES: u64 = 36;
/// And at the latest so long before the attempt's last deadline, which is a day after all the time it may take.
const LAST_HALF_DAY_SECONDS: u64 = 12 * 60 * 60;

impl Job {
    pub(super) fn plan_running(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        if self.live.schedule.begin(Task::ReadStatus, now.boot()) {
            effects.push(Effect::ReadStatus);
        }
        // After a reboot nothing of the container is left; its status says so, and no time can be told meanwhile.
        let Some(billed) = self.billed_millis(now) else { return };
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let egress_bytes = self.live.gauge.map_or(0, |gauge| gauge.sample.egress_bytes);
        let usage = Usage {
            billed_millis: billed,
            egress_bytes,
        };
        if attempt.stop.is_none() {
            attempt.stop = metering::limit_reached(&attempt.terms, usage).map(Stop::Limit);
        }
        if attempt.stop.is_none() {
            self.plan_pause(billed, now, effects);
            self.plan_silence(rules, now, effects);
            self.plan_collect(rules, usage, now, effects);
        }
        self.plan_sample(billed, now, effects);
        self.plan_voucher(rules, usage, now, effects);
        self.plan_kill(now, effects);
    }

    /// Milliseconds billed by now, below the limits or not; `None` when the clock cannot tell.
    pub(super) fn billed_millis(&self, now: &Now) -> Option<u64> {
        match &self.record.attempt.as_ref()?.stage {
            Stage::Running { meter } => meter.billed_now(now),
            _ => None,
        }
    }

    fn plan_pause(&mut self, billed: u64, now: &Now, effects: &mut Vec<Effect>) {
        let allowed = 2 * self.record.interval_millis();
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let is_unsigned = billed >= attempt.covered_millis() + allowed;
        let Stage::Running { meter } = &mut attempt.stage else {
            return;
        };
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

    /// What was signed is owed, but only until the last deadline: from then on whoever is first to close the attempt says how much. So the node ends
    /// an attempt that nobody signs for, and submits it alone, long before that; and sooner, since a frozen job keeps others from the hardware.
    fn plan_silence(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let Stage::Running { meter } = &attempt.stage else {
            return;
        };
        let silent = meter.paused_since.map_or(0, |since| now.boot().saturating_sub(since));
        let is_silent = silent >= SILENT_GRACES * rules.approval_grace_millis;
        let is_late = now.chain_seconds() + LAST_HALF_DAY_SECONDS >= attempt.last_deadline();
        if !is_silent && !is_late {
            return;
        }
        attempt.stop = Some(Stop::Unsigned);
        let reason = if is_silent {
            format!("nobody signed for {} s", silent / SECOND_MILLIS)
        } else {
            "the attempt's last deadline is near".to_owned()
        };
        self.tell_failure(
            &reason,
            "keep a gateway's agent or `--self-sign` running while a job does",
            effects,
        );
    }

    pub(super) fn on_paused(&mut self, is_done: bool, now: &Now) {
        self.live.is_frozen |= is_done;
        let again = if is_done { 0 } else { RETRY_MILLIS };
        self.live.schedule.finish(Task::Pause, now.boot() + again);
    }

    pub(super) fn on_resumed(&mut self, is_done: bool, now: &Now, effects: &mut Vec<Effect>) {
        let again = if is_done { 0 } else { RETRY_MILLIS };
        self.live.schedule.finish(Task::Resume, now.boot() + again);
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let Stage::Running { meter } = &mut attempt.stage else {
            return;
        };
        if is_done {
            self.live.is_frozen = false;
            meter.resume(now.boot());
            effects.push(Effect::Report(Step::Resumed));
        }
    }

    fn plan_sample(&mut self, billed: u64, now: &Now, effects: &mut Vec<Effect>) {
        if self.live.schedule.begin(Task::Sample, now.boot()) {
            effects.push(Effect::Sample {
                billed_millis: billed,
                at_millis: now.moment.unix_millis,
            });
        }
    }

    pub(super) fn on_sampled(&mut self, outcome: Result<Gauge, TaskFault>, now: &Now, effects: &mut Vec<Effect>) {
        self.live.schedule.finish(Task::Sample, now.boot() + SECOND_MILLIS);
        let billed = self.billed_millis(now);
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let (Ok(gauge), Some(billed_millis)) = (outcome, billed) else {
            return;
        };
        let sample = gauge.sample;
        effects.push(Effect::Report(Step::Usage {
            billed_millis: billed_millis.min(metering::limit(&attempt.terms, sample.egress_bytes).millis),
            cpu_millis: sample.cpu_nanos / 1_000_000,
            memory_bytes: sample.memory_bytes,
            egress_bytes: sample.egress_bytes,
        }));
        if gauge.is_disk_over {
            self.stop_for_disk(effects);
        }
        self.live.gauge = Some(gauge);
    }

    /// The output is larger than the disk asked for.
    pub(super) fn stop_for_disk(&mut self, effects: &mut Vec<Effect>) {
        let Some(attempt) = self.record.attempt.as_mut().filter(|attempt| attempt.stop.is_none()) else {
            return;
        };
        attempt.stop = Some(Stop::DiskLimit);
        let most = self.record.order.spec.resources.disk_bytes;
        let reason = format!("the output is larger than {most} bytes");
        self.tell_failure(&reason, "ask for more disk", effects);
    }

    /// Proposes at the first reading after READY (or after a restart), then every interval, until the limit is covered.
    fn plan_voucher(&mut self, rules: &Rules, usage: Usage, now: &Now, effects: &mut Vec<Effect>) {
        let interval = self.record.interval_millis();
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let Some(gauge) = self.live.gauge else { return };
        let is_covered = attempt.covered_millis() >= metering::limit(&attempt.terms, usage.egress_bytes).millis;
        if attempt.stop.is_some() || is_covered {
            return;
        }
        if !self.live.schedule.every(Task::ProposeVoucher, interval, now.boot()) {
            return;
        }
        let measured = Measured {
            usage,
            durable: None,
            usage_root: gauge.usage_root,
            log_root: gauge.log_root,
        };
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
        effects.push(Effect::ProposeVoucher(Box::new(VoucherProposal {
            voucher,
            operator_signature,
            previous,
        })));
    }

    /// SIGTERM once, SIGKILL after the grace; a frozen program cannot hear the first.
    pub(super) fn plan_kill(&mut self, now: &Now, effects: &mut Vec<Effect>) {
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
