//! How much a stranger's data may cost: checked while it is read, never believed from what it says about itself.

/// The most an import, an export or a transfer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of content: of all files together, or of all frames of a CAR.
    pub bytes: u64,
    /// Files, directories and symbolic links together, and the shards of large directories; for a CAR, its different blocks.
    pub entries: u64,
    /// Directories inside each other, the root being the first.
    pub depth: u32,
}

impl Default for Limits {
    /// 256 GiB, a million entries, 256 levels: more than any job of today, less than what fills a provider's disk unseen
    /// or a process's memory with names; and one open directory a level stays below the usual limit of 1024 files.
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            entries: 1 << 20,
            depth: 256,
        }
    }
}

/// Which limit was passed. Never retry with the same limits: the user must send less, or allow more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// More content than allowed.
    #[error("more than {limit} bytes")]
    Bytes {
        /// The limit that was passed, in bytes.
        limit: u64,
    },
    /// More files, or more blocks, than allowed.
    #[error("more than {limit} entries")]
    Entries {
        /// The limit that was passed.
        limit: u64,
    },
    /// Directories nested deeper than allowed.
    #[error("directories more than {limit} deep")]
    Depth {
        /// The limit that was passed.
        limit: u32,
    },
}

/// What is left of [`Limits`] while something is being read.
#[derive(Debug)]
pub(crate) struct Allowance {
    limits: Limits,
    bytes: u64,
    entries: u64,
}

impl Allowance {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            bytes: limits.bytes,
            entries: limits.entries,
        }
    }

    pub(crate) fn take_bytes(&mut self, count: u64) -> Result<(), LimitError> {
        let limit = self.limits.bytes;
        self.bytes = self.bytes.checked_sub(count).ok_or(LimitError::Bytes { limit })?;
        Ok(())
    }

    pub(crate) fn take_entries(&mut self, count: u64) -> Result<(), LimitError> {
        let limit = self.limits.entries;
        self.entries = self.entries.checked_sub(count).ok_or(LimitError::Entries { limit })?;
        Ok(())
    }

    pub(crate) fn check_depth(&self, depth: u32) -> Result<(), LimitError> {
        let limit = self.limits.depth;
        if depth > limit {
            return Err(LimitError::Depth { limit });
        }
        Ok(())
    }

    pub(crate) fn entries_left(&self) -> u64 {
        self.entries
    }

    /// Bytes taken so far.
    pub(crate) fn bytes_taken(&self) -> u64 {
        self.limits.bytes - self.bytes
    }
}
