//! Running one job's program in a container, behind one trait.
//!
//! Two engines implement [`Runtime`]: the embedded one (libcontainer under a [shim](crate::shim) process per job, no
//! daemon needed, Linux and root) and Docker through its API. [`choose_runtime`] takes the first that can work here.
//! Both give the same isolation, and tests assert it from inside the container: no new privileges, no capabilities,
//! read-only root, no network, limits for memory, CPU and pids, a seccomp filter.
//!
//! The daemon is never a container's parent: every method works from what the runtime finds on disk or in the engine,
//! so a daemon that was killed with -9 builds a new `Runtime` on the same state folder and goes on where it was.

pub(crate) mod cgroup;
mod choose;
mod docker;
mod embedded;
mod error;
mod types;

use async_trait::async_trait;

pub use crate::image::{ImageConfig, ImageReference, PreparedImage};
pub use choose::choose_runtime;
pub use docker::DockerRuntime;
pub use embedded::{EmbeddedRuntime, HelperProgram};
pub use error::RuntimeError;
pub use types::{
    BindMount, ContainerId, ContainerSpec, ContainerStatus, ExitOutcome, ExitRecord, Moment, MountAccess, Sample,
    Signal,
};

/// What the node can do with containers. All methods may be called again after a crash: each is idempotent.
///
/// Errors are [`RuntimeError`]; its `is_users_fault` says whether the job or the machine is to blame.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// The engine's name as configuration and `opengpu doctor` show it: `"embedded"` or `"docker"`.
    fn name(&self) -> &'static str;

    /// Brings an image onto this machine, verified blob by blob against its digest, ready to start from.
    ///
    /// A second call for the same digest is answered from the cache. A tag is resolved to a digest first; the digest
    /// that was used is in the answer.
    async fn prepare_image(&self, image: &ImageReference) -> Result<PreparedImage, RuntimeError>;

    /// Starts the container and returns once its program runs.
    ///
    /// Idempotent by id: when the id already runs or has exited nothing is started again and `Ok` is returned, so a
    /// daemon that does not know whether its last `start` arrived may simply repeat it. A container whose outcome is
    /// [`ContainerStatus::Lost`] is never started again under the same id: that is [`RuntimeError::Lost`].
    async fn start(&self, spec: &ContainerSpec) -> Result<(), RuntimeError>;

    /// What is known about the id now. An id nobody started is [`ContainerStatus::Absent`], not an error.
    async fn status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError>;

    /// Runs `argv` inside the running container, under the same isolation, and returns its exit code
    /// (128 + n when signal n ended it). Its output is dropped. This is the readiness check. Dropping the future ends
    /// the command.
    async fn exec(&self, id: &ContainerId, argv: &[String]) -> Result<i32, RuntimeError>;

    /// Reads the container's counters; cumulative ones never fall while it runs.
    async fn sample(&self, id: &ContainerId) -> Result<Sample, RuntimeError>;

    /// Freezes every process of the container; its memory stays. Pausing twice is no error.
    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Lets a paused container go on. Resuming a running one is no error.
    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Sends a signal to the container's first process. [`Signal::Kill`] ends all of them, also paused ones; `status`
    /// shows the exit a moment later. Signalling a container that has ended is no error.
    async fn kill(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;

    /// Ends the container if it runs and forgets it with its exit record. The log file and mounted folders stay.
    /// Removing an absent id is no error.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Every container this runtime's state folder knows, ended ones included, so that a new daemon finds orphans.
    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError>;
}
