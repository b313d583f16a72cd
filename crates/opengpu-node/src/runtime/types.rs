//! The words of the [`Runtime`](super::Runtime) trait: what a container is given and what is known about it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::image::PreparedImage;

use super::RuntimeError;

/// Names one container for the whole life of its state folder: 1..=64 of `a-z A-Z 0-9 _ -`, first one a letter or
/// digit, so that it is at once a file name, a cgroup name and a Docker name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// The longest container id: what a cgroup path and Docker both take with room to spare.
const MAX_ID_LENGTH: usize = 64;

impl ContainerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, RuntimeError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if starts_well && text.len() <= MAX_ID_LENGTH && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RuntimeError::BadId { id: text.to_owned() })
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = RuntimeError;

    fn try_from(text: String) -> Result<Self, RuntimeError> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything needed to start one container. It is written to disk before the start, so it must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The id all later calls use.
    pub id: ContainerId,
    /// The image, as [`Runtime::prepare_image`](super::Runtime::prepare_image) of the same runtime returned it.
    pub image: PreparedImage,
    /// The command; `None` takes the image's entrypoint and default arguments.
    pub argv: Option<Vec<String>>,
    /// Variables added to the image's own, replacing those of the same name: (name, value).
    pub env: Vec<(String, String)>,
    /// Working folder inside the container; `None` takes the image's, or `/`.
    pub working_folder: Option<String>,
    /// Host folders seen inside, usually `/in` (read-only) and `/out` (writable).
    pub mounts: Vec<BindMount>,
    /// Memory the job may use, in bytes, tmpfs included. No swap is given on top.
    pub memory_bytes: u64,
    /// Processor time the job may use, in thousandths of a core: 2000 is two full cores.
    pub cpu_millis: u32,
    /// Most processes and threads at a time.
    pub pids_max: u32,
    /// Size of the container's own writable `/tmp`, in bytes; it lives in memory and counts as such.
    pub tmp_bytes: u64,
    /// Host file that stdout and stderr are appended to, created when missing. In the order they were written; Docker,
    /// which has a pipe for each, keeps the order within each.
    pub log_path: PathBuf,
    /// Bytes of log kept; what a program writes above it is read and dropped, with one line that says so.
    pub log_max_bytes: u64,
}

/// One host folder seen inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// Existing host folder. A writable one is given to the container's user (its owner on disk changes).
    pub host: PathBuf,
    /// Absolute path inside the container.
    pub inside: String,
    /// Whether the job may write there.
    pub access: MountAccess,
}

/// Whether a mounted folder can be written from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountAccess {
    /// The job reads only; the host folder is never changed.
    ReadOnly,
    /// The job writes; the host finds its files there.
    Writable,
}

/// A moment on both clocks: wall time for people, boot time for measuring (a clock step does not move it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_millis: u64,
    /// Milliseconds of `CLOCK_BOOTTIME`: since boot, suspend included. The Docker runtime derives it from wall time.
    pub boot_millis: u64,
}

impl Moment {
    /// This moment, on both clocks.
    pub fn now() -> Self {
        let millis = |clock: ClockId| match clock_gettime(clock) {
            Ok(time) => time.tv_sec().unsigned_abs() * 1000 + time.tv_nsec().unsigned_abs() / 1_000_000,
            Err(_) => 0, // both clocks exist on every kernel this runs on; clock_gettime(2) has no other error for them
        };
        Self {
            unix_millis: millis(ClockId::CLOCK_REALTIME),
            boot_millis: millis(ClockId::CLOCK_BOOTTIME),
        }
    }
}

/// What a runtime knows about an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Nothing ran under this id, or it was removed. A start that failed ends here too; it may be repeated.
    Absent,
    /// A start is on its way: the container is being made, its program has not been told to run.
    Created,
    /// The program runs.
    Running {
        /// When it was told to run.
        started_at: Moment,
    },
    /// All its processes are frozen.
    Paused {
        /// When it was told to run.
        started_at: Moment,
    },
    /// The program ended and its record is on disk.
    Exited(ExitRecord),
    /// It ran, and what recorded its end was killed: outcome unknown, neutral. None of its processes is left.
    Lost {
        /// When it was told to run.
        started_at: Moment,
    },
}

impl ContainerStatus {
    /// Whether the program runs or is frozen, so that it still holds memory and time.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Created | Self::Running { .. } | Self::Paused { .. })
    }
}

/// How a container's first process ended, with its final counters: written durably before the container is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code or signal.
    pub outcome: ExitOutcome,
    /// Whether the kernel killed a process of it because it reached its memory limit.
    pub oom_killed: bool,
    /// When the program was told to run.
    pub started_at: Moment,
    /// When its end was seen.
    pub finished_at: Moment,
    /// The last counters, read after its end. Docker keeps none: there they are the last sample that was taken.
    pub usage: Sample,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitOutcome {
    /// It returned this code, 0 meaning success.
    Code(i32),
    /// This signal ended it (`SIGKILL` is 9).
    Signal(i32),
}

impl ExitOutcome {
    /// The code a shell would show: the exit code, or 128 + the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether the program ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// A container's counters at one moment, all processes in it together, from its cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Processor time used since the start, in nanoseconds, over all cores. Cumulative.
    pub cpu_nanos: u64,
    /// Memory in use now, in bytes, page cache included.
    pub memory_bytes: u64,
    /// The highest `memory_bytes` since the start.
    pub memory_peak_bytes: u64,
    /// Processes and threads now.
    pub pids: u64,
    /// Bytes sent out of the container over anything but loopback. Cumulative; 0 while containers have no network.
    pub egress_bytes: u64,
}

/// The signals a node has reason to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please stop. A first process without a handler for it ignores it, as pid 1 always does.
    Terminate,
    /// SIGINT: as Ctrl-C.
    Interrupt,
    /// SIGKILL: stop now.
    Kill,
}
