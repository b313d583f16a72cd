//! The usage log: one sample a second, as canonical JSON, in a file that becomes an artifact of the job.
//!
//! The file is a JSON array in JCS form (RFC 8785). While it grows its closing bracket is missing; the digest a voucher
//! commits to (`usageRoot`) is always that of the array closed after the samples so far, so anyone who holds the finished
//! file can cut it after the n-th sample and find the digest of any voucher.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use opengpu_core::B256;
use opengpu_core::ids::Sha256Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why the usage log could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the usage log {}: {source}", path.display())]
pub struct UsageLogError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl UsageLogError {
    /// Whether the disk is full: the user has to free space, and the sample may then be written again.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// One sample. The fields are in the order of JCS, so plain serialisation is canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageLine {
    /// Unix milliseconds.
    pub at_millis: u64,
    /// Milliseconds billed since READY.
    pub billed_millis: u64,
    /// CPU milliseconds used since the start.
    pub cpu_millis: u64,
    /// Bytes out of the container since the start.
    pub egress_bytes: u64,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
}

/// A growing usage log on disk.
#[derive(Debug)]
pub struct UsageLog {
    path: PathBuf,
    file: File,
    /// Hash of the file's bytes so far, without the closing bracket.
    so_far: Sha256,
    last: Option<UsageLine>,
}

impl UsageLog {
    /// Opens or makes the log. What a crash left of a half-written sample is cut off.
    ///
    /// # Errors
    /// [`UsageLogError`].
    pub fn open(path: &Path) -> Result<Self, UsageLogError> {
        let fail = |action| {
            move |source| UsageLogError {
                action,
                path: path.to_path_buf(),
                source,
            }
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail("read"))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'}').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        let last = bytes
            .iter()
            .rposition(|byte| *byte == b'{')
            .and_then(|start| serde_json::from_slice(&bytes[start..]).ok());
        if bytes.is_empty() {
            bytes.push(b'[');
        }
        file.set_len(whole as u64).map_err(fail("cut"))?;
        file.seek(SeekFrom::Start(whole as u64)).map_err(fail("read"))?;
        file.write_all(&bytes[whole..]).map_err(fail("write"))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            so_far: Sha256::new_with_prefix(&bytes),
            last,
        })
    }

    /// Adds a sample. One that is not later than the last is left out, so that adding again after a crash is harmless.
    ///
    /// # Errors
    /// [`UsageLogError`]; the log is then as before.
    pub fn add(&mut self, line: UsageLine) -> Result<(), UsageLogError> {
        if self.last.is_some_and(|last| last.at_millis >= line.at_millis) {
            return Ok(());
        }
        let mut text = if self.last.is_some() { b",".to_vec() } else { Vec::new() };
        let failed = |source| UsageLogError {
            action: "write",
            path: self.path.clone(),
            source,
        };
        serde_json::to_writer(&mut text, &line).map_err(|error| failed(error.into()))?;
        let before = self.file.stream_position().map_err(failed)?;
        if let Err(error) = self.file.write_all(&text) {
            // Cut a torn sample off, so that the next one starts clean. Opening again would do the same.
            let _ = self
                .file
                .set_len(before)
                .and_then(|()| self.file.seek(SeekFrom::Start(before)));
            return Err(failed(error));
        }
        self.so_far.update(&text);
        self.last = Some(line);
        Ok(())
    }

    /// Digest of the array closed after the samples so far.
    #[must_use]
    pub fn root(&self) -> Sha256Digest {
        let whole = self.so_far.clone().chain_update(b"]").finalize();
        Sha256Digest(B256::from_slice(&whole))
    }

    /// The last sample.
    #[must_use]
    pub fn last(&self) -> Option<UsageLine> {
        self.last
    }

    /// Writes the closed array to `destination`, durably: the artifact whose digest is [`Self::root`].
    ///
    /// # Errors
    /// [`UsageLogError`].
    pub fn finish(&mut self, destination: &Path) -> Result<(), UsageLogError> {
        let fail = |action| {
            move |source| UsageLogError {
                action,
                path: destination.to_path_buf(),
                source,
            }
        };
        let mut copy = File::create(destination).map_err(fail("create"))?;
        let mut source = File::open(&self.path).map_err(fail("read"))?;
        io::copy(&mut source, &mut copy).map_err(fail("copy"))?;
        copy.write_all(b"]").map_err(fail("write"))?;
        copy.sync_all().map_err(fail("sync"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_millis: u64) -> UsageLine {
        UsageLine {
            at_millis,
            billed_millis: at_millis,
            cpu_millis: 2 * at_millis,
            egress_bytes: 0,
            memory_bytes: 4096,
        }
    }

    fn finished(log: &mut UsageLog, dir: &Path) -> Vec<u8> {
        let path = dir.join("usage.json");
        log.finish(&path).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn root_is_the_digest_of_the_finished_canonical_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = UsageLog::open(&dir.path().join("growing")).unwrap();
        assert_eq!(log.root(), Sha256Digest::of(b"[]"));
        log.add(line(1000)).unwrap();
        log.add(line(2000)).unwrap();
        let bytes = finished(&mut log, dir.path());
        assert_eq!(log.root(), Sha256Digest::of(&bytes));
        let samples: Vec<UsageLine> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(samples, vec![line(1000), line(2000)]);
        assert_eq!(bytes, serde_json_canonicalizer::to_vec(&samples).unwrap());
    }

    #[test]
    fn torn_sample_is_cut_off_and_repeated_ones_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("growing");
        let mut log = UsageLog::open(&path).unwrap();
        log.add(line(1000)).unwrap();
        let root = log.root();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b",{\"atMil")
            .unwrap();
        let mut again = UsageLog::open(&path).unwrap();
        assert_eq!(again.root(), root);
        assert_eq!(again.last(), Some(line(1000)));
        again.add(line(1000)).unwrap();
        assert_eq!(again.root(), root);
        again.add(line(3000)).unwrap();
        let samples: Vec<UsageLine> = serde_json::from_slice(&finished(&mut again, dir.path())).unwrap();
        assert_eq!(samples, vec![line(1000), line(3000)]);
    }
}
