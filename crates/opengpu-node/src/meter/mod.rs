//! How long a job is billed for, and what it used meanwhile.
//!
//! The meter starts at READY and ends with the program's last moment as its shim saw it; paused time is left out. All of
//! it is boot time, so that a restart of the daemon, a step of the wall clock or a suspended machine changes no bill.

mod usage_log;

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, Now};
use crate::runtime::Moment;

pub use usage_log::{UsageLine, UsageLog, UsageLogError};

/// One attempt's clock. Durable: it is part of the job's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// When the job was READY.
    pub ready: Moment,
    /// The boot in which it was.
    pub boot_id: BootId,
    /// Milliseconds spent paused, ended pauses only.
    pub paused_millis: u64,
    /// Boot time at which the present pause began.
    pub paused_since: Option<u64>,
}

impl Meter {
    /// Starts at `ready`.
    #[must_use]
    pub fn new(ready: Moment, boot_id: BootId) -> Self {
        Self {
            ready,
            boot_id,
            paused_millis: 0,
            paused_since: None,
        }
    }

    /// Whether nothing is billed at present.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// Milliseconds billed up to `boot_millis` of the same boot.
    #[must_use]
    pub fn billed_at(&self, boot_millis: u64) -> u64 {
        let until = self.paused_since.map_or(boot_millis, |since| since.min(boot_millis));
        let elapsed = until.saturating_sub(self.ready.boot_millis);
        elapsed.saturating_sub(self.paused_millis)
    }

    /// Milliseconds billed by now; `None` after a reboot, when boot times can no longer be compared.
    #[must_use]
    pub fn billed_now(&self, now: &Now) -> Option<u64> {
        (self.boot_id == now.boot_id).then(|| self.billed_at(now.moment.boot_millis))
    }

    /// Stops billing at `boot_millis`. Call it before the container is frozen: the payer must not pay for the gap.
    pub fn pause(&mut self, boot_millis: u64) {
        self.paused_since.get_or_insert(boot_millis);
    }

    /// Bills again from `boot_millis` on. Call it after the container was thawed.
    pub fn resume(&mut self, boot_millis: u64) {
        if let Some(since) = self.paused_since.take() {
            self.paused_millis += boot_millis.saturating_sub(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        let ready = Moment {
            unix_millis: 1_000_000,
            boot_millis: 500,
        };
        Meter::new(ready, BootId("boot".into()))
    }

    #[test]
    fn five_seconds_bill_five_seconds() {
        assert_eq!(meter().billed_at(5_500), 5_000);
    }

    #[test]
    fn paused_time_is_not_billed_and_pausing_twice_is_one_pause() {
        let mut meter = meter();
        meter.pause(2_500);
        meter.pause(3_000);
        assert_eq!(meter.billed_at(60_000), 2_000);
        meter.resume(10_500);
        meter.resume(11_000);
        assert_eq!(meter.billed_at(11_500), 3_000);
    }

    #[test]
    fn exit_before_the_pause_was_noticed_bills_to_the_exit() {
        let mut meter = meter();
        meter.pause(9_000);
        assert_eq!(meter.billed_at(4_500), 4_000);
    }

    #[test]
    fn step_of_the_wall_clock_changes_no_bill_and_a_reboot_gives_none() {
        let now = |boot: &str| Now {
            moment: Moment {
                unix_millis: 0,
                boot_millis: 3_500,
            },
            boot_id: BootId(boot.into()),
            chain_ahead_millis: 0,
        };
        assert_eq!(meter().billed_now(&now("boot")), Some(3_000));
        assert_eq!(meter().billed_now(&now("another")), None);
    }
}
