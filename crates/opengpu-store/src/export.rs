//! Files out: a DAG becomes files, whoever made the DAG.
//!
//! Everything is made new, inside open directories, by checked one-component names: there is no path to climb and no link
//! to write through. The tree appears at its destination complete, or not at all. Symbolic links are made as they are, and
//! never followed here; who reads the result decides where they may lead.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{self, Mode};

use crate::address::Cid;
use crate::blockstore::{BlockStore, StoreError};
use crate::limits::{Allowance, LimitError, Limits};
use crate::node::{self, Node, NodeError};
use crate::read::{self, DirectoryEntry, FileChunks, ReadError};

/// Longest target of a symbolic link, in bytes: `PATH_MAX` of Linux without its final NUL.
const TARGET_MAX: usize = 4095;
/// Name of the tree inside the private directory it grows in.
const GROWING: &str = "root";

/// Why a DAG could not be exported. Nothing is left at the destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A block is missing, damaged or malformed, or the content is larger than the caller allows.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The destination could not be written: its disk is full, or failed.
    #[error(transparent)]
    Write(StoreError),
    /// The destination exists and is not an empty directory. The user must choose another, or remove it.
    #[error("{} is in the way", path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The root is a symbolic link. Whoever opens the destination would follow it out of there. Never retry.
    #[error("{cid} is a symbolic link, not a file or a folder")]
    RootIsLink {
        /// The root.
        cid: Box<Cid>,
    },
    /// A symbolic link's target is empty, has a NUL, or is longer than any path. Never retry.
    #[error("the symbolic link {} has an impossible target", path.display())]
    LinkTarget {
        /// Where the link would have been.
        path: PathBuf,
    },
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

impl From<NodeError> for ExportError {
    fn from(error: NodeError) -> Self {
        Self::Read(error.into())
    }
}

impl From<LimitError> for ExportError {
    fn from(error: LimitError) -> Self {
        Self::Read(error.into())
    }
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Content of all files, in bytes.
    pub bytes: u64,
    /// Regular files made.
    pub files: u64,
}

/// Writes the file or directory `cid` to `destination`, whose parent must exist; `destination` itself must not, except as an
/// empty directory that a directory replaces. Files get mode 0644 and directories 0755, less the umask.
///
/// # Errors
/// [`ExportError`]; whatever was written is removed.
pub fn export(store: &BlockStore, cid: &Cid, destination: &Path, limits: &Limits) -> Result<Exported, ExportError> {
    if let Node::Symlink(_) = node::decode(cid, store.get(cid)?)? {
        return Err(ExportError::RootIsLink { cid: Box::new(*cid) });
    }
    let parent = match destination.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // Private (mode 0700) and on the destination's file system; removed with all it holds when this function ends.
    let growing = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)
        .map_err(write_error(parent, 0))?;
    let inside = File::open(growing.path()).map_err(write_error(growing.path(), 0))?;
    let mut exporter = Exporter {
        store,
        allowance: Allowance::new(limits),
        files: 0,
    };
    exporter.allowance.take_entries(1)?;
    exporter.node(inside.as_fd(), GROWING, cid, destination, 1)?;
    publish(&growing.path().join(GROWING), destination)?;
    Ok(Exported {
        bytes: exporter.allowance.bytes_taken(),
        files: exporter.files,
    })
}

/// Moves the finished tree to its place.
fn publish(grown: &Path, destination: &Path) -> Result<(), ExportError> {
    let exists = || ExportError::Exists {
        path: destination.to_path_buf(),
    };
    match fs::symlink_metadata(destination) {
        // `rename` replaces an empty directory by a directory, and refuses every other pair.
        Ok(found) if !found.is_dir() => return Err(exists()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(write_error(destination, 0)(error)),
    }
    match fs::rename(grown, destination) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory
            ) =>
        {
            Err(exists())
        }
        renamed => renamed.map_err(write_error(destination, 0)),
    }
}

struct Exporter<'a> {
    store: &'a BlockStore,
    allowance: Allowance,
    files: u64,
}

impl Exporter<'_> {
    /// Makes `name` in `parent`; `path` is only what to call it in errors.
    fn node(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &str,
        cid: &Cid,
        path: &Path,
        depth: u32,
    ) -> Result<(), ExportError> {
        match node::decode(cid, self.store.get(cid)?)? {
            file @ Node::File { .. } => self.file(parent, name, FileChunks::start(self.store, cid, file)?, path),
            Node::Symlink(target) => symlink(parent, name, &target, path),
            directory => {
                self.allowance.check_depth(depth)?;
                let entries = read::directory_entries(self.store, cid, directory, &mut self.allowance)?;
                self.directory(parent, name, &entries, path, depth)
            }
        }
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &str, chunks: FileChunks, path: &Path) -> Result<(), ExportError> {
        // The whole size at once: a file that will not fit is refused before its first byte.
        self.allowance.take_bytes(chunks.size())?;
        self.files += 1;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened =
            fcntl::openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map_err(write_error(path, 0))?;
        let mut file = File::from(opened);
        for chunk in chunks {
            let chunk = chunk?;
            file.write_all(&chunk).map_err(write_error(path, chunk.len() as u64))?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &str,
        entries: &[DirectoryEntry],
        path: &Path,
        depth: u32,
    ) -> Result<(), ExportError> {
        stat::mkdirat(parent, name, Mode::from_bits_truncate(0o755)).map_err(write_error(path, 0))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = fcntl::openat(parent, name, flags, Mode::empty()).map_err(write_error(path, 0))?;
        for entry in entries {
            let below = path.join(&entry.name);
            self.node(opened.as_fd(), &entry.name, &entry.cid, &below, depth + 1)?;
        }
        Ok(())
    }
}

fn symlink(parent: BorrowedFd<'_>, name: &str, target: &Bytes, path: &Path) -> Result<(), ExportError> {
    if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
        let path = path.to_path_buf();
        return Err(ExportError::LinkTarget { path });
    }
    nix::unistd::symlinkat(&target[..], parent, name).map_err(write_error(path, 0))
}

fn write_error<E: Into<io::Error>>(path: &Path, bytes: u64) -> impl FnOnce(E) -> ExportError {
    move |error| ExportError::Write(StoreError::io(path, bytes, error.into()))
}
