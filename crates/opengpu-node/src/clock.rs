//! The machine's clocks, read in one place and handed to everything that decides.
//!
//! Wall time is for people and signatures. Billing uses boot time, which counts suspended time and which no administrator
//! and no NTP step can move; the boot's id says whether two such readings may be compared at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::runtime::Moment;

/// Names one boot of the machine, as the kernel does (`/proc/sys/kernel/random/boot_id`). Empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub Arc<str>);

/// What all clocks said at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// Both clocks, in milliseconds.
    pub moment: Moment,
    /// The boot that `moment.boot_millis` counts from.
    pub boot_id: BootId,
    /// How far the chain's clock is ahead of this machine's, in milliseconds: 0 but on a network whose time was advanced.
    pub chain_ahead_millis: u64,
}

impl Now {
    /// Unix milliseconds on the chain's clock: what deadlines and signatures are measured by.
    #[must_use]
    pub fn chain_millis(&self) -> u64 {
        self.moment.unix_millis + self.chain_ahead_millis
    }

    /// Unix seconds on the chain's clock, rounded down.
    #[must_use]
    pub fn chain_seconds(&self) -> u64 {
        self.chain_millis() / 1000
    }

    /// Milliseconds since boot: what durations are measured by.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.moment.boot_millis
    }
}

/// Reads the machine's clocks.
#[derive(Debug, Clone)]
pub struct Clock {
    boot_id: BootId,
    chain_ahead_millis: Arc<AtomicU64>,
}

/// The chain's newest block may be a little ahead of an honest clock; only more than this counts as advanced time.
const CHAIN_CLOCK_TOLERANCE_MILLIS: u64 = 15_000;

/// Where Linux names the current boot (`random(4)`).
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(target_os = "linux")]
const BOOT_CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const BOOT_CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

impl Clock {
    /// Learns which boot this is.
    #[must_use]
    pub fn new() -> Self {
        let id = std::fs::read_to_string(BOOT_ID_FILE).unwrap_or_default();
        Self {
            boot_id: BootId(id.trim().into()),
            chain_ahead_millis: Arc::default(),
        }
    }

    /// Takes in the time of the newest block, unix seconds. All clones of this clock learn it.
    pub fn learn_chain_time(&self, block_seconds: u64) {
        let ahead = (block_seconds * 1000).saturating_sub(millis(ClockId::CLOCK_REALTIME));
        let counted = if ahead > CHAIN_CLOCK_TOLERANCE_MILLIS { ahead } else { 0 };
        self.chain_ahead_millis.store(counted, Ordering::Relaxed);
    }

    /// What the clocks say.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            moment: Moment {
                unix_millis: millis(ClockId::CLOCK_REALTIME),
                boot_millis: millis(BOOT_CLOCK),
            },
            boot_id: self.boot_id.clone(),
            chain_ahead_millis: self.chain_ahead_millis.load(Ordering::Relaxed),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// A clock's reading in milliseconds. Both clocks used exist on every supported kernel, so a failure reads as 0.
fn millis(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_does_not_run_backwards() {
        let clock = Clock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second.moment.boot_millis >= first.moment.boot_millis);
        assert_eq!(first.boot_id, second.boot_id);
    }

    #[test]
    fn time_advanced_on_the_chain_is_followed_and_a_slightly_fast_block_is_not() {
        let clock = Clock::new();
        let second = clock.now().moment.unix_millis / 1000;
        clock.learn_chain_time(second + 5);
        assert_eq!(clock.now().chain_ahead_millis, 0);
        clock.clone().learn_chain_time(second + 86_400);
        assert!(clock.now().chain_seconds() >= second + 86_399);
    }
}
