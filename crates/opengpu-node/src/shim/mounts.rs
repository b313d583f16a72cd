//! The host folders a container sees, gathered in a mount namespace that only the shim and its container are in.
//!
//! Two problems are solved here. Files on the host belong to host ids, but each job has its own id range: an id-mapped
//! mount shows the same files under the job's ids, at no cost and without a copy per job (Linux 5.12,
//! `mount_setattr(2)`). And a container's first process has no rights on the host, so it cannot walk into the
//! daemon's private folders: the mounts are put under a folder anyone may enter, which is a tmpfs that exists in this
//! namespace alone and goes away with it, also after kill -9.

use std::fs::{self, File};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use libcontainer::syscall::linux::{
    AT_EMPTY_PATH, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH, MountAttr,
};
use libcontainer::syscall::syscall::create_syscall;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::runtime::RuntimeError;

use super::step_failed;

/// Where the mounts are gathered: an empty folder on the host, world-enterable on every Linux.
const GATHERED: &str = "/run/opengpu-mounts";
/// `MOUNT_ATTR_IDMAP` of `linux/mount.h`.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Whose ids a mounted folder's files show, and whether it can be written.
#[derive(Clone, Copy)]
pub(crate) enum View<'a> {
    /// Read-only, host ids 0.. shown as the container's ids 0.., described by a user namespace.
    Mapped(BorrowedFd<'a>),
    /// Writable, with the ids that are on disk.
    AsOnDisk,
}

/// The shim's own mount namespace, entered.
pub(crate) struct GatheredMounts {
    count: usize,
}

impl GatheredMounts {
    /// Enters a new mount namespace and prepares the gathering folder in it.
    pub(crate) fn enter() -> Result<Self, RuntimeError> {
        fs::create_dir_all(GATHERED).map_err(step_failed("create /run/opengpu-mounts"))?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(step_failed("mount namespace"))?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(step_failed("private mounts"))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), GATHERED, Some("tmpfs"), flags, Some("mode=0755,size=1m"))
            .map_err(step_failed("tmpfs for mounts"))?;
        Ok(Self { count: 0 })
    }

    /// Mounts a host folder and returns where. Submounts are not taken along, devices and set-user-id have no effect.
    pub(crate) fn add(&mut self, host: &Path, view: View<'_>) -> Result<PathBuf, RuntimeError> {
        let target = Path::new(GATHERED).join(self.count.to_string());
        self.count += 1;
        fs::create_dir(&target).map_err(step_failed("create mount point"))?;
        let syscall = create_syscall();
        let text = host.to_str().ok_or_else(|| RuntimeError::StartFailed {
            reason: format!("{} is not UTF-8", host.display()),
        })?;
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
        let tree = syscall
            .open_tree(libc::AT_FDCWD, Some(text), flags)
            .map_err(|error| RuntimeError::StartFailed {
                reason: format!("mount {text}: {error}"),
            })?;
        let mut attributes = MountAttr {
            attr_set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
            attr_clr: 0,
            propagation: 0,
            userns_fd: 0,
        };
        if let View::Mapped(namespace) = view {
            attributes.attr_set |= MOUNT_ATTR_RDONLY | MOUNT_ATTR_IDMAP;
            attributes.userns_fd = namespace.as_raw_fd() as u64;
        }
        syscall
            .mount_setattr(
                tree.as_fd(),
                Path::new(""),
                AT_EMPTY_PATH,
                &attributes,
                size_of::<MountAttr>(),
            )
            .map_err(|error| RuntimeError::StartFailed {
                reason: format!("the file system of {text} cannot be mounted for another id range: {error}"),
            })?;
        let onto = File::open(&target).map_err(step_failed("open mount point"))?;
        let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
        syscall
            .move_mount(tree.as_fd(), None, onto.as_fd(), None, flags)
            .map_err(step_failed("move mount"))?;
        Ok(target)
    }
}
