//! Copies a container's output into its log file, up to a size.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A log file that stops growing at its limit while its reader goes on, so that the program never blocks or fails
/// because of its log.
pub(crate) struct CappedLog {
    file: File,
    left: u64,
    limit: u64,
    is_cut: bool,
}

impl CappedLog {
    /// Opens for appending; what is in the file counts.
    pub(crate) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
        let used = file.metadata()?.len();
        Ok(Self {
            file,
            left: limit.saturating_sub(used),
            limit,
            is_cut: used >= limit && limit > 0,
        })
    }

    /// Reads to the end of `output`, which is when the last process that could write to it has ended.
    pub(crate) fn copy(&mut self, mut output: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.keep(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Bytes in the file that a program wrote, as far as they fit.
    pub(crate) fn len(&self) -> u64 {
        self.limit - self.left
    }

    /// Appends what fits. A full disk costs log lines, never the job: what cannot be written is dropped.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        let fitting = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if self.file.write_all(&bytes[..fitting]).is_ok() {
            self.left -= fitting as u64;
        }
        if fitting < bytes.len() && !self.is_cut {
            self.is_cut = true;
            let _ = writeln!(self.file, "\n[opengpu: log is cut at {} bytes]", self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_limit_is_read_and_dropped_and_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = CappedLog::open(&path, 10).unwrap();
        log.copy(&b"0123456789abcdef"[..]).unwrap();
        log.copy(&b"more"[..]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "0123456789\n[opengpu: log is cut at 10 bytes]\n");
    }

    #[test]
    fn a_second_writer_appends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        CappedLog::open(&path, 100).unwrap().copy(&b"one\n"[..]).unwrap();
        CappedLog::open(&path, 100).unwrap().copy(&b"two\n"[..]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
