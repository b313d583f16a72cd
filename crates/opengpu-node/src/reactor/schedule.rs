//! Which tasks are under way, and when the others are due. Not durable: a new daemon starts with nothing under way.

use std::collections::{BTreeMap, BTreeSet};

/// Tasks that come back with a [`Done`](super::Done).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    Prepare,
    Start,
    ReadStatus,
    CheckReady,
    CheckDisk,
    Sample,
    Pause,
    Resume,
    Kill,
    Store,
    Collect,
    Settle,
    Submit,
    Answer,
    Contest,
    /// Comes back from the gateways, if at all: due again after a while.
    ProposeVoucher,
    ProposeResult,
}

/// Boot times, milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Schedule {
    under_way: BTreeSet<Task>,
    due: BTreeMap<Task, u64>,
}

impl Schedule {
    /// Whether to begin the task now; if so it is under way.
    pub(super) fn begin(&mut self, task: Task, now: u64) -> bool {
        let is_due = self.due.get(&task).is_none_or(|due| now >= *due);
        is_due && self.under_way.insert(task)
    }

    /// The task came back; it may begin again at `due`.
    pub(super) fn finish(&mut self, task: Task, due: u64) {
        self.under_way.remove(&task);
        self.due.insert(task, due);
    }

    /// Whether the task is under way.
    pub(super) fn is_under_way(&self, task: Task) -> bool {
        self.under_way.contains(&task)
    }

    /// Whether the task is under way or rests before it may begin again.
    pub(super) fn is_begun(&self, task: Task, now: u64) -> bool {
        self.is_under_way(task) || self.due.get(&task).is_some_and(|due| now < *due)
    }

    /// For tasks nobody reports back on: whether to do it now; if so it is due again after `every`.
    pub(super) fn every(&mut self, task: Task, every: u64, now: u64) -> bool {
        let is_due = self.due.get(&task).is_none_or(|due| now >= *due);
        if is_due {
            self.due.insert(task, now + every);
        }
        is_due
    }

    /// Makes the task due at once.
    pub(super) fn hurry(&mut self, task: Task) {
        self.due.remove(&task);
    }
}
