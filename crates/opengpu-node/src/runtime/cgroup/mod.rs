//! One container's control group: its counters, freezing it, and ending whatever is left in it.
//!
//! The kernel's two layouts are told apart once per call. [`v1`](Hierarchy) has one tree per controller, v2 one for
//! all. Source: Linux `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`.

mod parse;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::image::Digest;

use super::{RuntimeError, Sample};

/// Every container's group lies under this one, in each hierarchy.
const PARENT: &str = "opengpu";

/// Where this machine's control groups are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// One mount per controller; hybrid hosts count as v1.
    V1(parse::V1Mounts),
    /// One mount for all.
    V2(PathBuf),
}

impl Hierarchy {
    /// Reads this process's mounts.
    pub(crate) fn of_this_machine() -> Result<Self, RuntimeError> {
        let path = Path::new("/proc/self/mountinfo");
        let text = fs::read_to_string(path).map_err(io_error("read", path))?;
        parse::hierarchy(&text).ok_or_else(|| RuntimeError::StartFailed {
            reason: "no control groups with memory, cpuacct, pids and freezer are mounted".to_owned(),
        })
    }
}

/// One container's group. It need not exist.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    hierarchy: Hierarchy,
    name: PathBuf,
}

/// What was counted when a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Final {
    /// Counters, egress left out: control groups do not count it.
    pub(crate) usage: Sample,
    /// Whether the kernel killed a process of the group for its memory limit.
    pub(crate) oom_killed: bool,
}

impl Cgroup {
    /// The group of the container with this state folder.
    pub(crate) fn of(folder: &Path) -> Result<Self, RuntimeError> {
        Ok(Self {
            hierarchy: Hierarchy::of_this_machine()?,
            name: Path::new(PARENT).join(group_name(folder)),
        })
    }

    /// The path under each hierarchy's root, as an OCI runtime wants it.
    pub(crate) fn path_in_hierarchy(folder: &Path) -> PathBuf {
        Path::new("/").join(PARENT).join(group_name(folder))
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// [`RuntimeError::Io`] when the group is gone.
    pub(crate) fn sample(&self) -> Result<Sample, RuntimeError> {
        match &self.hierarchy {
            Hierarchy::V1(mounts) => {
                let memory = self.in_mount(&mounts.memory);
                Ok(Sample {
                    cpu_nanos: number(&self.in_mount(&mounts.cpuacct).join("cpuacct.usage"))?,
                    memory_bytes: number(&memory.join("memory.usage_in_bytes"))?,
                    memory_peak_bytes: number(&memory.join("memory.max_usage_in_bytes"))?,
                    pids: number(&self.in_mount(&mounts.pids).join("pids.current"))?,
                    egress_bytes: 0,
                })
            }
            Hierarchy::V2(root) => {
                let group = root.join(&self.name);
                let memory_bytes = number(&group.join("memory.current"))?;
                Ok(Sample {
                    cpu_nanos: 1000 * keyed(&group.join("cpu.stat"), "usage_usec")?,
                    memory_bytes,
                    // memory.peak came with Linux 5.19.
                    memory_peak_bytes: number(&group.join("memory.peak")).unwrap_or(memory_bytes),
                    pids: number(&group.join("pids.current"))?,
                    egress_bytes: 0,
                })
            }
        }
    }

    /// The counters of an ended container, and whether memory was why.
    pub(crate) fn finish(&self) -> Result<Final, RuntimeError> {
        let events = match &self.hierarchy {
            Hierarchy::V1(mounts) => self.in_mount(&mounts.memory).join("memory.oom_control"),
            Hierarchy::V2(root) => root.join(&self.name).join("memory.events"),
        };
        Ok(Final {
            usage: self.sample()?,
            oom_killed: keyed(&events, "oom_kill")? > 0,
        })
    }

    /// Freezes or thaws every process in the group.
    pub(crate) fn set_frozen(&self, frozen: bool) -> Result<(), RuntimeError> {
        let (path, value) = match &self.hierarchy {
            Hierarchy::V1(mounts) => (
                self.in_mount(&mounts.freezer).join("freezer.state"),
                if frozen { "FROZEN" } else { "THAWED" },
            ),
            Hierarchy::V2(root) => (
                root.join(&self.name).join("cgroup.freeze"),
                if frozen { "1" } else { "0" },
            ),
        };
        fs::write(&path, value).map_err(io_error("write", &path))
    }

    /// Whether the group is frozen or on its way there.
    pub(crate) fn is_frozen(&self) -> Result<bool, RuntimeError> {
        match &self.hierarchy {
            Hierarchy::V1(mounts) => Ok(text(&self.in_mount(&mounts.freezer).join("freezer.state"))? != "THAWED"),
            Hierarchy::V2(root) => Ok(text(&root.join(&self.name).join("cgroup.freeze"))? == "1"),
        }
    }

    /// Kills every process in the group, frozen ones too. Returns whether none was left to kill.
    pub(crate) fn kill_all(&self) -> Result<bool, RuntimeError> {
        let groups = self.folders();
        let mut was_empty = true;
        for group in &groups {
            let procs = group.join("cgroup.procs");
            let Ok(pids) = fs::read_to_string(&procs) else { continue };
            for pid in pids.lines().filter_map(|line| line.parse().ok()) {
                was_empty = false;
                // The process may have ended since it was listed: that is what is wanted.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if !was_empty {
            // Frozen processes die only once thawed (v1). A group that went away meanwhile needs no thawing.
            let _ = self.set_frozen(false);
        }
        Ok(was_empty)
    }

    /// Whether the group is there in any hierarchy.
    pub(crate) fn exists(&self) -> bool {
        self.folders().iter().any(|folder| folder.exists())
    }

    /// Removes the empty group from every hierarchy.
    pub(crate) fn remove(&self) -> Result<(), RuntimeError> {
        for folder in self.folders() {
            match fs::remove_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("remove", &folder)(error)),
            }
        }
        Ok(())
    }

    /// Puts this process into a group beside the container's until [`Birthplace::leave`]: what it forks meanwhile is
    /// there, or in the container's group, from its first moment, and is found when this process is killed. It is not
    /// the container's own group because libcontainer kills everything in that when it gives up.
    pub(crate) fn be_born_in(&self) -> Result<Birthplace, RuntimeError> {
        let (mount, controller) = match &self.hierarchy {
            Hierarchy::V1(mounts) => (&mounts.freezer, "freezer"),
            Hierarchy::V2(root) => (root, ""),
        };
        let path = Path::new("/proc/self/cgroup");
        let groups = text(path)?;
        let own = parse::own_group(&groups, controller).ok_or_else(|| RuntimeError::Damaged {
            path: path.to_owned(),
            reason: format!("no line for {controller:?}"),
        })?;
        let group = self.birth_group();
        fs::create_dir_all(&group).map_err(io_error("create", &group))?;
        write_pid(&group, Pid::this())?;
        Ok(Birthplace {
            group,
            back: mount.join(own.trim_start_matches('/')),
        })
    }

    /// Puts a process (by pid of this pid namespace) into the group.
    pub(crate) fn join(&self, pid: Pid) -> Result<(), RuntimeError> {
        for folder in self.groups().iter().filter(|folder| folder.exists()) {
            write_pid(folder, pid)?;
        }
        Ok(())
    }

    /// Everything that may be there of this container.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = self.groups();
        folders.push(self.birth_group());
        folders
    }

    fn groups(&self) -> Vec<PathBuf> {
        match &self.hierarchy {
            Hierarchy::V1(mounts) => mounts.all.iter().map(|mount| self.in_mount(mount)).collect(),
            Hierarchy::V2(root) => vec![root.join(&self.name)],
        }
    }

    fn birth_group(&self) -> PathBuf {
        let group = match &self.hierarchy {
            Hierarchy::V1(mounts) => self.in_mount(&mounts.freezer),
            Hierarchy::V2(root) => root.join(&self.name),
        };
        group.with_added_extension("birth")
    }

    fn in_mount(&self, mount: &Path) -> PathBuf {
        mount.join(&self.name)
    }
}

/// The container's id and a piece of its folder's digest: two daemons with folders of their own may use one id.
fn group_name(folder: &Path) -> String {
    let digest = Digest::of(folder.as_os_str().as_encoded_bytes());
    let id = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("{id}-{}", &digest.hex()[..8])
}

/// This process is in a container's group for a while.
pub(crate) struct Birthplace {
    group: PathBuf,
    back: PathBuf,
}

impl Birthplace {
    /// Goes back to the group it came from.
    pub(crate) fn leave(self) -> Result<(), RuntimeError> {
        write_pid(&self.back, Pid::this())?;
        // Not empty when something half-made is in it: cleaning up ends that first.
        let _ = fs::remove_dir(&self.group);
        Ok(())
    }
}

fn write_pid(group: &Path, pid: Pid) -> Result<(), RuntimeError> {
    let path = group.join("cgroup.procs");
    fs::write(&path, pid.to_string()).map_err(io_error("write", &path))
}

/// Whether this kernel can keep a group from swapping.
pub(crate) fn limits_swap() -> Result<bool, RuntimeError> {
    Ok(match Hierarchy::of_this_machine()? {
        Hierarchy::V1(mounts) => mounts.memory.join("memory.memsw.limit_in_bytes").exists(),
        Hierarchy::V2(_) => Path::new("/proc/swaps").exists(),
    })
}

fn text(path: &Path) -> Result<String, RuntimeError> {
    Ok(fs::read_to_string(path)
        .map_err(io_error("read", path))?
        .trim()
        .to_owned())
}

fn number(path: &Path) -> Result<u64, RuntimeError> {
    let text = text(path)?;
    text.parse().map_err(|_| RuntimeError::Damaged {
        path: path.to_owned(),
        reason: format!("{text:?} is no number"),
    })
}

fn keyed(path: &Path, key: &str) -> Result<u64, RuntimeError> {
    parse::keyed(&text(path)?, key).ok_or_else(|| RuntimeError::Damaged {
        path: path.to_owned(),
        reason: format!("no {key:?} in it"),
    })
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RuntimeError {
    let path = path.to_owned();
    move |source| RuntimeError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container's group as cgroup v2 shows it.
    fn unified() -> (tempfile::TempDir, Cgroup) {
        let root = tempfile::tempdir().unwrap();
        let cgroup = Cgroup {
            hierarchy: Hierarchy::V2(root.path().to_owned()),
            name: "opengpu/job".into(),
        };
        let group = root.path().join("opengpu/job");
        fs::create_dir_all(&group).unwrap();
        for (name, text) in [
            (
                "cpu.stat",
                "usage_usec 2500000\nuser_usec 2400000\nsystem_usec 100000\nnr_periods 0\n",
            ),
            ("memory.current", "1048576\n"),
            ("memory.peak", "2097152\n"),
            ("memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n"),
            ("pids.current", "3\n"),
            ("cgroup.freeze", "0\n"),
        ] {
            fs::write(group.join(name), text).unwrap();
        }
        (root, cgroup)
    }

    #[test]
    fn counters_are_read_from_a_unified_hierarchy() {
        let (_root, cgroup) = unified();
        let usage = Sample {
            cpu_nanos: 2_500_000_000,
            memory_bytes: 1_048_576,
            memory_peak_bytes: 2_097_152,
            pids: 3,
            egress_bytes: 0,
        };
        assert_eq!(
            cgroup.finish().unwrap(),
            Final {
                usage,
                oom_killed: true
            }
        );
    }

    #[test]
    fn a_kernel_without_memory_peak_gives_what_is_used_now() {
        let (root, cgroup) = unified();
        fs::remove_file(root.path().join("opengpu/job/memory.peak")).unwrap();
        assert_eq!(cgroup.sample().unwrap().memory_peak_bytes, 1_048_576);
    }

    #[test]
    fn a_unified_group_is_frozen_by_writing_1() {
        let (root, cgroup) = unified();
        assert!(!cgroup.is_frozen().unwrap());
        cgroup.set_frozen(true).unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join("opengpu/job/cgroup.freeze")).unwrap(),
            "1"
        );
        assert!(cgroup.is_frozen().unwrap());
    }

    #[test]
    fn a_group_that_is_gone_or_garbled_is_an_error_and_never_zero() {
        let (root, cgroup) = unified();
        fs::write(root.path().join("opengpu/job/memory.current"), "much").unwrap();
        assert!(matches!(cgroup.sample(), Err(RuntimeError::Damaged { .. })));
        fs::remove_dir_all(root.path().join("opengpu/job")).unwrap();
        assert!(matches!(cgroup.sample(), Err(RuntimeError::Io { .. })));
    }
}
