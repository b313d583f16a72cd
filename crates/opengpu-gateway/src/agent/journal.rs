//! What the payer agent has signed, one small file an attempt, on disk before a signature leaves.
//!
//! It is apart from the database, which may be deleted: the agent must not forget that it approved a result and approve
//! another. If these files are lost as well, the node's proposals carry the newest voucher both signed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use opengpu_core::Address;
use opengpu_core::ids::JobId;
use opengpu_core::wire::{ApprovedResult, SignedVoucher};
use serde::{Deserialize, Serialize};

/// Names an attempt. The operator is part of it: a reorganisation may give the same attempt to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AttemptName {
    pub(crate) job: JobId,
    pub(crate) attempt: u8,
    pub(crate) operator: Address,
}

/// What was signed for an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    /// When the meter started on our clock, unix milliseconds, as told by the first voucher we saw.
    pub(crate) ready_at_millis: Option<u64>,
    /// Newest voucher both signed.
    pub(crate) voucher: Option<SignedVoucher>,
    /// The result both signed.
    pub(crate) approved: Option<ApprovedResult>,
}

/// The folder of records. Blocks on the disk: the files are tiny.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// Uses `dir`, which is made if missing.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, name: AttemptName) -> PathBuf {
        let AttemptName { job, attempt, operator } = name;
        self.dir.join(format!("{job}-{attempt}-{operator:#x}.json"))
    }

    /// What was signed; nothing, for an attempt not seen before.
    pub(crate) fn load(&self, name: AttemptName) -> io::Result<Record> {
        match fs::read(self.path(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes a record, whole or not at all; durable when it returns.
    pub(crate) fn save(&self, name: AttemptName, record: &Record) -> io::Result<()> {
        let bytes = serde_json::to_vec(record).map_err(io::Error::other)?;
        let path = self.path(name);
        let scratch = path.with_extension("new");
        fs::create_dir_all(&self.dir)?;
        let mut file = File::create(&scratch)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&scratch, &path)?;
        sync_dir(&self.dir)
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{job_id, terms};

    #[test]
    fn a_record_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let name = AttemptName {
            job: job_id(),
            attempt: 1,
            operator: terms().operator,
        };
        let record = Record {
            ready_at_millis: Some(7),
            ..Record::default()
        };
        Journal::open(dir.path().join("agent"))
            .unwrap()
            .save(name, &record)
            .unwrap();
        let again = Journal::open(dir.path().join("agent")).unwrap();
        assert_eq!(again.load(name).unwrap(), record);
        let other = AttemptName { attempt: 2, ..name };
        assert_eq!(again.load(other).unwrap(), Record::default());
    }
}
