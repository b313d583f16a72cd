//! Unpacks image layers into a folder, trusting nothing in them.
//!
//! What an archive can say and what happens: `..` and paths of links are resolved inside the folder; device nodes,
//! FIFOs and extended attributes are left out; set-user-id bits are dropped; hard links only reach files of the same
//! image; a bomb stops at the limits. Source: OCI image specification 1.1, `layer.md` (whiteouts).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};
use tar::{Archive, Entry, EntryType};

use super::ImageError;
use super::rooted::{Place, RootedFolder};

/// What an image may become on disk. Both are far above real images and far below what fills a provider's disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnpackLimits {
    /// File bytes of all layers together, in bytes.
    pub(crate) bytes: u64,
    /// Entries of all layers together.
    pub(crate) entries: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 2_000_000,
        }
    }
}

/// Prefix of a name that removes the name after it. Source: OCI `layer.md`.
const WHITEOUT: &[u8] = b".wh.";
/// Name that hides everything lower layers have in its folder. Source: OCI `layer.md`.
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";
/// Highest user and group id a container's range has; others become `nobody`.
const HIGHEST_ID: u64 = 65_535;
const NOBODY: u32 = 65_534;

/// Applies layers, lowest first, to one folder.
pub(crate) struct Unpacker {
    root: RootedFolder,
    left: UnpackLimits,
    limits: UnpackLimits,
}

impl Unpacker {
    /// For an existing empty folder.
    pub(crate) fn new(root: &Path, limits: UnpackLimits) -> Result<Self, ImageError> {
        let root = RootedFolder::open(root).map_err(ImageError::io("open", root))?;
        Ok(Self {
            root,
            left: limits,
            limits,
        })
    }

    /// Applies one layer, given as an uncompressed tar stream. The stream is read to its end.
    ///
    /// # Errors
    /// [`ImageError::Malformed`] names the offending path; the folder is then half-filled and must be thrown away.
    pub(crate) fn apply(&mut self, layer: &mut dyn Read) -> Result<(), ImageError> {
        let mut archive = Archive::new(&mut *layer);
        let mut written = HashSet::new();
        let entries = archive.entries().map_err(|error| malformed("layer", &error))?;
        for entry in entries {
            let mut entry = entry.map_err(|error| malformed("layer", &error))?;
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(&entry.path_bytes()));
            self.left.entries = self.left.entries.checked_sub(1).ok_or(ImageError::TooLarge {
                what: "number of files",
                limit: self.limits.entries,
            })?;
            self.entry(&mut entry, &path, &mut written)?;
        }
        io::copy(layer, &mut io::sink()).map_err(|error| malformed("layer", &error))?;
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        path: &Path,
        written: &mut HashSet<PathBuf>,
    ) -> Result<(), ImageError> {
        let refuse = |error: io::Error| malformed(&path.display().to_string(), &error);
        let Some(place) = self.root.place(path).map_err(refuse)? else {
            return Ok(());
        };
        let name = place.name.as_os_str().as_bytes();
        let parent = path.parent().unwrap_or(Path::new(""));
        if name == OPAQUE_WHITEOUT {
            return hide_lower(&place, parent, written).map_err(refuse);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            let hidden = parent.join(std::ffi::OsStr::from_bytes(hidden));
            return match self.root.place(&hidden).map_err(refuse)? {
                Some(place) if !written.contains(&normal(&hidden)) => place.clear().map_err(refuse),
                _ => Ok(()),
            };
        }
        written.insert(normal(path));
        match entry.header().entry_type() {
            EntryType::Directory => folder(&place).map_err(refuse)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                return self.file(entry, &place).map_err(|error| self.explain(error, path));
            }
            EntryType::Symlink => link(entry, &place).map_err(refuse)?,
            EntryType::Link => return self.hard_link(entry, &place).map_err(refuse),
            _ => return Ok(()),
        }
        own(entry, &place).map_err(refuse)
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, place: &Place) -> io::Result<()> {
        place.clear()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(
            &place.parent,
            &place.name,
            flags,
            Mode::from_bits_truncate(0o600),
        )?);
        let copied = io::copy(&mut entry.by_ref().take(self.left.bytes.saturating_add(1)), &mut file)?;
        self.left.bytes = self.left.bytes.checked_sub(copied).ok_or(io::ErrorKind::FileTooLarge)?;
        let (user, group) = owner(entry);
        nix::unistd::fchown(&file, Some(user), Some(group))?;
        fchmod(&file, mode(entry))?;
        let modified = TimeSpec::new(entry.header().mtime().unwrap_or(0).min(i64::MAX as u64) as i64, 0);
        futimens(&file, &modified, &modified)?;
        Ok(())
    }

    fn hard_link(&self, entry: &Entry<'_, impl Read>, place: &Place) -> io::Result<()> {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = self
            .root
            .place(Path::new(std::ffi::OsStr::from_bytes(&target)))?
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "hard link to the root folder"))?;
        let stat = target
            .stat()?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "hard link to nothing"))?;
        if matches!(
            stat.st_mode & nix::libc::S_IFMT,
            nix::libc::S_IFREG | nix::libc::S_IFLNK
        ) {
            let is_itself = place
                .stat()?
                .is_some_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino));
            if is_itself {
                return Ok(());
            }
            place.clear()?;
            linkat(
                &target.parent,
                &target.name,
                &place.parent,
                &place.name,
                AtFlags::empty(),
            )?;
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "hard link to something that is no file",
        ))
    }

    fn explain(&self, error: io::Error, path: &Path) -> ImageError {
        match error.kind() {
            io::ErrorKind::FileTooLarge => ImageError::TooLarge {
                what: "unpacked bytes",
                limit: self.limits.bytes,
            },
            io::ErrorKind::StorageFull => ImageError::Io {
                action: "unpack",
                path: path.to_owned(),
                source: error,
            },
            _ => malformed(&path.display().to_string(), &error),
        }
    }
}

/// Removes what lower layers put into a folder; what this layer wrote stays.
fn hide_lower(place: &Place, parent: &Path, written: &HashSet<PathBuf>) -> io::Result<()> {
    for child in std::fs::read_dir(place.host_path().parent().unwrap_or(Path::new("/dev/null")))? {
        let name = child?.file_name();
        if !written.contains(&normal(&parent.join(&name))) {
            let parent = place.parent.try_clone()?;
            Place {
                parent,
                name: PathBuf::from(name),
            }
            .clear()?;
        }
    }
    Ok(())
}

fn folder(place: &Place) -> io::Result<()> {
    if !place.is_folder()? {
        place.clear()?;
        mkdirat(&place.parent, &place.name, Mode::from_bits_truncate(0o755))?;
    }
    Ok(())
}

fn link(entry: &Entry<'_, impl Read>, place: &Place) -> io::Result<()> {
    place.clear()?;
    let target = entry.link_name_bytes().unwrap_or_default();
    Ok(symlinkat(
        std::ffi::OsStr::from_bytes(&target),
        &place.parent,
        &place.name,
    )?)
}

/// Gives a folder or link its owner, and a folder its mode.
fn own(entry: &Entry<'_, impl Read>, place: &Place) -> io::Result<()> {
    let (user, group) = owner(entry);
    fchownat(
        &place.parent,
        &place.name,
        Some(user),
        Some(group),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if entry.header().entry_type() == EntryType::Directory {
        fchmodat(&place.parent, &place.name, mode(entry), FchmodatFlags::FollowSymlink)?;
    }
    Ok(())
}

fn owner(entry: &Entry<'_, impl Read>) -> (Uid, Gid) {
    let in_range = |id: io::Result<u64>| match id {
        Ok(id) if id <= HIGHEST_ID => id as u32,
        _ => NOBODY,
    };
    (
        Uid::from_raw(in_range(entry.header().uid())),
        Gid::from_raw(in_range(entry.header().gid())),
    )
}

/// Permission bits and the sticky bit; set-user-id and set-group-id are dropped.
fn mode(entry: &Entry<'_, impl Read>) -> Mode {
    Mode::from_bits_truncate(entry.header().mode().unwrap_or(0o755) & 0o1777)
}

fn normal(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect()
}

fn malformed(what: &str, error: &io::Error) -> ImageError {
    ImageError::Malformed {
        reason: format!("{what}: {error}"),
    }
}
