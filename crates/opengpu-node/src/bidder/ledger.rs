//! What of the machine is free: everything less what open bids and running jobs hold.

use std::collections::BTreeMap;

use opengpu_core::ids::JobId;
use serde::{Deserialize, Serialize};

use super::NoBid;

/// An amount of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// Thousandths of a CPU core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
}

impl Capacity {
    /// Whether `wanted` fits.
    ///
    /// # Errors
    /// [`NoBid::NoRoom`] naming what is missing.
    pub fn check(&self, wanted: &Self) -> Result<(), NoBid> {
        let parts = [
            ("thousandths of a core", wanted.cpu_millis, self.cpu_millis),
            ("bytes of memory", wanted.memory_bytes, self.memory_bytes),
            ("bytes of disk", wanted.disk_bytes, self.disk_bytes),
        ];
        match parts.into_iter().find(|(_, wanted, free)| wanted > free) {
            Some((what, wanted, free)) => Err(NoBid::NoRoom { what, wanted, free }),
            None => Ok(()),
        }
    }

    fn less(self, other: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
        }
    }
}

/// Who holds what. Rebuilt from the journal at start, so it is never written down itself.
#[derive(Debug, Clone)]
pub struct Ledger {
    total: Capacity,
    held: BTreeMap<JobId, Capacity>,
}

impl Ledger {
    /// Nothing is held of `total`.
    #[must_use]
    pub fn new(total: Capacity) -> Self {
        Self {
            total,
            held: BTreeMap::new(),
        }
    }

    /// What is free.
    #[must_use]
    pub fn free(&self) -> Capacity {
        self.held.values().fold(self.total, Capacity::less)
    }

    /// Holds `wanted` for the job, replacing what it held before.
    pub fn hold(&mut self, job: JobId, wanted: Capacity) {
        self.held.insert(job, wanted);
    }

    /// Frees what the job held. Freeing twice is harmless.
    pub fn free_job(&mut self, job: JobId) {
        self.held.remove(&job);
    }

    /// Whether the job holds something.
    #[must_use]
    pub fn holds(&self, job: JobId) -> bool {
        self.held.contains_key(&job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opengpu_core::B256;

    fn capacity(cpu_millis: u64) -> Capacity {
        Capacity {
            cpu_millis,
            memory_bytes: 1 << 30,
            disk_bytes: 1 << 30,
        }
    }

    #[test]
    fn what_is_held_is_not_offered_again_until_it_is_freed() {
        let (a, b) = (JobId(B256::repeat_byte(1)), JobId(B256::repeat_byte(2)));
        let mut ledger = Ledger::new(Capacity {
            cpu_millis: 2000,
            memory_bytes: 4 << 30,
            disk_bytes: 4 << 30,
        });
        ledger.hold(a, capacity(1500));
        ledger.hold(a, capacity(1500));
        assert!(ledger.free().check(&capacity(500)).is_ok());
        let refusal = ledger.free().check(&capacity(501)).unwrap_err();
        assert_eq!(
            refusal,
            NoBid::NoRoom {
                what: "thousandths of a core",
                wanted: 501,
                free: 500
            }
        );
        ledger.hold(b, capacity(500));
        assert_eq!(ledger.free().cpu_millis, 0);
        ledger.free_job(a);
        ledger.free_job(a);
        assert_eq!(ledger.free().cpu_millis, 1500);
        assert!(!ledger.holds(a) && ledger.holds(b));
    }
}
