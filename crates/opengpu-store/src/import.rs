//! Files in: a file or a directory tree becomes a UnixFS DAG, or only its name.
//!
//! The tree is walked through open directories, never by path, and nothing but the root is followed when it is a symbolic
//! link: a job that swaps its output for a link to the provider's files gains nothing. Modes, times and owners are not
//! stored, as in the profile's reference importers, so the same content has the same name on every machine.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{self, Mode, SFlag};
use rust_unixfs::Metadata;
use rust_unixfs::file::adder::{BalancedCollector, Chunker, FileAdder};

use crate::address::{self, Cid};
use crate::batch::Batch;
use crate::blockstore::{BlockStore, StoreError};
use crate::directory::{self, DirectoryError, Link};
use crate::limits::{Allowance, LimitError, Limits};

/// Bytes in a chunk of a file: IPIP-499, profile `unixfs-v1-2025`.
const CHUNK_BYTES: usize = 1 << 20;
/// Links in an inner node of a file: the same profile.
const LINKS_PER_NODE: usize = 1024;

/// Why a tree could not be imported. What was stored until then stays as unpinned blocks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A block could not be stored: the disk is full, or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read. The user must fix its permissions, or the path.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A name or a link's target is not UTF-8, which UnixFS cannot hold. The user must rename it.
    #[error("the name or link target of {} is not UTF-8", path.display())]
    NotUtf8 {
        /// The file, link or directory, printed as far as it can be.
        path: PathBuf,
    },
    /// A socket, pipe or device, which has no content. The user must remove it.
    #[error("{} is not a file, directory or symbolic link", path.display())]
    SpecialFile {
        /// The special file.
        path: PathBuf,
    },
    /// The tree is larger than the caller allows.
    #[error("{}: {source}", path.display())]
    Limit {
        /// Where the limit was passed.
        path: PathBuf,
        /// Which limit.
        source: LimitError,
    },
    /// A directory cannot be built: two of its names were made to have the same 64-bit hash.
    #[error("cannot build the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What did not fit.
        source: DirectoryError,
    },
}

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// The root of the DAG.
    pub cid: Cid,
    /// Content of all files, in bytes.
    pub bytes: u64,
    /// Regular files in it.
    pub files: u64,
}

/// Stores the file or directory at `path`, streaming, and names it. Durable when it returns; not pinned.
///
/// Names are sorted by their bytes; symbolic links inside are stored as links, `path` itself is followed.
///
/// # Errors
/// [`ImportError`]; each names the path concerned.
pub fn import_path(store: &BlockStore, path: &Path, limits: &Limits) -> Result<Imported, ImportError> {
    let mut batch = Batch::new(store);
    let write = |cid: &Cid, bytes: &[u8]| batch.write(cid, bytes);
    let imported = Importer::new(write, limits).root(path)?;
    batch.commit()?;
    Ok(imported)
}

/// The same as [`import_path`] without storing anything: how the CIDs of local files are checked against a receipt.
///
/// # Errors
/// As [`import_path`], but never [`ImportError::Store`].
pub fn cid_of_path(path: &Path, limits: &Limits) -> Result<Imported, ImportError> {
    Importer::new(|_: &Cid, _: &[u8]| Ok(()), limits).root(path)
}

/// Stores `bytes` as a file without a name. Durable when it returns; not pinned.
///
/// # Errors
/// [`ImportError::Store`].
pub fn import_bytes(store: &BlockStore, bytes: &[u8]) -> Result<Imported, ImportError> {
    let mut batch = Batch::new(store);
    let write = |cid: &Cid, bytes: &[u8]| batch.write(cid, bytes);
    let limits = Limits {
        bytes: u64::MAX,
        ..Limits::default()
    };
    let mut importer = Importer::new(write, &limits);
    let link = importer.content(bytes, Path::new("bytes in memory"))?;
    let imported = importer.done(link);
    batch.commit()?;
    Ok(imported)
}

/// One import: where blocks go, and what is left of the limits.
struct Importer<W> {
    write: W,
    allowance: Allowance,
    files: u64,
    /// Reused for every chunk.
    chunk: Vec<u8>,
}

impl<W: FnMut(&Cid, &[u8]) -> Result<(), StoreError>> Importer<W> {
    fn new(write: W, limits: &Limits) -> Self {
        Self {
            write,
            allowance: Allowance::new(limits),
            files: 0,
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    fn done(&self, root: Link) -> Imported {
        Imported {
            cid: root.cid,
            bytes: self.allowance.bytes_taken(),
            files: self.files,
        }
    }

    fn root(mut self, path: &Path) -> Result<Imported, ImportError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let opened = fcntl::open(path, flags, Mode::empty()).map_err(read_error(path))?;
        let link = self.opened(File::from(opened), path, 1)?;
        Ok(self.done(link))
    }

    /// Stores an open file or directory; `depth` counts the directories down to it.
    fn opened(&mut self, file: File, path: &Path, depth: u32) -> Result<Link, ImportError> {
        take(&mut self.allowance, path, |left| left.take_entries(1))?;
        let kind = file.metadata().map_err(read_error(path))?.file_type();
        if kind.is_dir() {
            take(&mut self.allowance, path, |left| left.check_depth(depth))?;
            let directory = Dir::from_fd(file.into()).map_err(read_error(path))?;
            self.directory(directory, path, depth)
        } else if kind.is_file() {
            self.content(file, path)
        } else {
            let path = path.to_path_buf();
            Err(ImportError::SpecialFile { path })
        }
    }

    fn directory(&mut self, mut directory: Dir, path: &Path, depth: u32) -> Result<Link, ImportError> {
        let mut links = Vec::new();
        for name in names(&mut directory, path, self.allowance.entries_left())? {
            let child = path.join(&name);
            let link = self.child(&directory, &name, &child, depth)?;
            links.push((name, link));
        }
        let built = directory::build(&links).map_err(|source| ImportError::Directory {
            path: path.to_path_buf(),
            source,
        })?;
        for (cid, block) in &built.blocks {
            (self.write)(cid, block)?;
        }
        Ok(built.root)
    }

    fn child(&mut self, parent: &Dir, name: &str, path: &Path, depth: u32) -> Result<Link, ImportError> {
        let found = stat::fstatat(parent, name, fcntl::AtFlags::AT_SYMLINK_NOFOLLOW).map_err(read_error(path))?;
        match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFLNK => self.symlink(parent, name, path),
            SFlag::S_IFREG | SFlag::S_IFDIR => {
                // Whatever it has become since, a link is not followed and a pipe is not waited for.
                let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let opened = fcntl::openat(parent, name, flags, Mode::empty()).map_err(read_error(path))?;
                self.opened(File::from(opened), path, depth + 1)
            }
            _ => Err(ImportError::SpecialFile {
                path: path.to_path_buf(),
            }),
        }
    }

    fn symlink(&mut self, parent: &Dir, name: &str, path: &Path) -> Result<Link, ImportError> {
        take(&mut self.allowance, path, |left| left.take_entries(1))?;
        let target = fcntl::readlinkat(parent, name).map_err(read_error(path))?;
        let target = utf8(&target, path)?;
        let (cid, block) = rust_unixfs::symlink::symlink_block(
            target,
            &Metadata::default(),
            cid::Version::V1,
            multihash_codetable::Code::Sha2_256,
        );
        (self.write)(&cid, &block)?;
        Ok(Link {
            cid,
            bytes: block.len() as u64,
        })
    }

    /// Stores the bytes of one file.
    fn content(&mut self, mut source: impl Read, path: &Path) -> Result<Link, ImportError> {
        self.files += 1;
        let mut adder = FileAdder::builder()
            .with_chunker(Chunker::Size(CHUNK_BYTES))
            .with_collector(BalancedCollector::with_branching_factor(LINKS_PER_NODE))
            .build();
        // The last block made is the root; a file without bytes has just the empty one.
        let mut link = Link {
            cid: address::raw_cid(b""),
            bytes: 0,
        };
        let mut keep = |cid: Cid, block: Vec<u8>| {
            link.cid = cid;
            link.bytes += block.len() as u64;
            (self.write)(&cid, &block)
        };
        loop {
            let length = fill(&mut source, &mut self.chunk).map_err(read_error(path))?;
            take(&mut self.allowance, path, |left| left.take_bytes(length as u64))?;
            let mut rest = &self.chunk[..length];
            while !rest.is_empty() {
                let (blocks, consumed) = adder.push(rest);
                for (cid, block) in blocks {
                    keep(cid, block)?;
                }
                rest = &rest[consumed..];
            }
            if length < CHUNK_BYTES {
                break;
            }
        }
        for (cid, block) in adder.finish() {
            keep(cid, block)?;
        }
        Ok(link)
    }
}

/// Takes from the allowance, naming `path` when that is refused.
fn take(
    allowance: &mut Allowance,
    path: &Path,
    take: impl FnOnce(&mut Allowance) -> Result<(), LimitError>,
) -> Result<(), ImportError> {
    take(allowance).map_err(|source| ImportError::Limit {
        path: path.to_path_buf(),
        source,
    })
}

/// The names in `directory`, sorted by their bytes; at most `limit`.
fn names(directory: &mut Dir, path: &Path, limit: u64) -> Result<Vec<String>, ImportError> {
    let mut names = Vec::new();
    for entry in directory.iter() {
        let entry = entry.map_err(read_error(path))?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        names.push(utf8(name, &path.join(name))?.to_owned());
        if names.len() as u64 > limit {
            let path = path.to_path_buf();
            let source = LimitError::Entries { limit };
            return Err(ImportError::Limit { path, source });
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads until `chunk` is full or the source ends.
fn fill(source: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < chunk.len() {
        match source.read(&mut chunk[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn utf8<'a>(text: &'a OsStr, path: &Path) -> Result<&'a str, ImportError> {
    text.to_str().ok_or_else(|| ImportError::NotUtf8 {
        path: path.to_path_buf(),
    })
}

fn read_error<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> ImportError {
    move |error| ImportError::Read {
        path: path.to_path_buf(),
        source: error.into(),
    }
}
