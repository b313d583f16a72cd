//! A folder that is somebody else's whole world: every path is resolved inside it by the kernel, whatever links,
//! `..` and races the paths in it contain.
//!
//! Source: `openat2(2)` with `RESOLVE_IN_ROOT`, Linux 5.6.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, fstatat, mkdirat};

/// A folder opened as the root of all paths given to it.
pub(crate) struct RootedFolder {
    root: OwnedFd,
}

/// A checked path in two parts: the folder, opened, and a plain name in it (never `.`, `..` or empty).
pub(crate) struct Place {
    /// The folder.
    pub(crate) parent: OwnedFd,
    /// The last part of the path.
    pub(crate) name: PathBuf,
}

impl RootedFolder {
    /// Opens an existing host folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            root: File::open(path)?.into(),
        })
    }

    /// Opens a path inside for reading.
    pub(crate) fn read(&self, path: &Path) -> io::Result<File> {
        Ok(File::from(self.resolve(
            path,
            OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK,
        )?))
    }

    /// Opens the folder a path lies in, making missing folders (root's, 0755), and gives back the path's last name.
    ///
    /// `None` when the path is the root itself. `..` and names that are not text of one component are refused.
    pub(crate) fn place(&self, path: &Path) -> io::Result<Option<Place>> {
        let names = plain_names(path)?;
        let Some((last, parents)) = names.split_last() else {
            return Ok(None);
        };
        Ok(Some(Place {
            parent: self.folder(parents)?,
            name: PathBuf::from(last),
        }))
    }

    /// Makes sure that a path is a folder (links to folders count), making what is missing.
    pub(crate) fn ensure_folder(&self, path: &Path) -> io::Result<()> {
        self.folder(&plain_names(path)?).map(drop)
    }

    fn folder(&self, names: &[&OsStr]) -> io::Result<OwnedFd> {
        let whole: PathBuf = names.iter().collect();
        match self.resolve(&whole, OFlag::O_DIRECTORY | OFlag::O_PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut reached = PathBuf::new();
        let mut folder = self.resolve(&reached, OFlag::O_DIRECTORY | OFlag::O_PATH)?;
        for name in names {
            reached.push(name);
            match mkdirat(&folder, Path::new(name), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = self.resolve(&reached, OFlag::O_DIRECTORY | OFlag::O_PATH)?;
        }
        Ok(folder)
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        Ok(openat2(&self.root, path, how)?)
    }
}

impl AsFd for RootedFolder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Place {
    /// What lies there, links not followed; `None` when nothing does.
    pub(crate) fn stat(&self) -> io::Result<Option<FileStat>> {
        match fstatat(&self.parent, &self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a real folder lies there.
    pub(crate) fn is_folder(&self) -> io::Result<bool> {
        Ok(self
            .stat()?
            .is_some_and(|stat| stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR))
    }

    /// Removes what lies there, with all below it; nothing there is no error.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let through_fd = self.host_path();
        match self.stat()? {
            None => Ok(()),
            Some(stat) if stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR => std::fs::remove_dir_all(through_fd),
            Some(_) => std::fs::remove_file(through_fd),
        }
    }

    /// A host path that reaches this place through the opened folder, for calls that take only paths. Such calls
    /// must not follow a link in the last name.
    pub(crate) fn host_path(&self) -> PathBuf {
        Path::new("/proc/self/fd")
            .join(self.parent.as_raw_fd().to_string())
            .join(&self.name)
    }
}

/// The names of a path, `/` and `.` left out. `..`, NUL and other oddities are refused.
fn plain_names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) if !name.as_bytes().contains(&0) => names.push(name),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "path leads out of its root",
                ));
            }
        }
    }
    Ok(names)
}
