//! What can go wrong with containers, sorted by who has to act.

use std::path::PathBuf;

use crate::image::ImageError;

/// Why a [`Runtime`](super::Runtime) call failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The id has characters or a length that a file name, cgroup or Docker would not take. User must fix.
    #[error("container id {id:?} is not 1 to 64 letters, digits, '_' or '-'")]
    BadId {
        /// What was given.
        id: String,
    },
    /// The image could not be fetched, verified or unpacked; the source says whose fault that is.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image's program cannot run: command missing, not executable, no command at all, unknown user. User must fix.
    #[error("the container's command cannot run: {reason}")]
    BadCommand {
        /// What the engine said, one line.
        reason: String,
    },
    /// The container could not be made, for a reason that lies with this machine. Retry, then look at the machine.
    #[error("the container could not be started: {reason}")]
    StartFailed {
        /// What the engine said, one line.
        reason: String,
    },
    /// The call needs a running container and this one is not. Never retry.
    #[error("container {id} is not running")]
    NotRunning {
        /// Which one.
        id: String,
    },
    /// The id ran before and its outcome is unknown; it cannot be started again under the same id. Never retry.
    #[error("container {id} ran before and its outcome is lost")]
    Lost {
        /// Which one.
        id: String,
    },
    /// Reading or writing the runtime's own files failed: disk full, wrong rights. Retry after fixing the machine.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: "read", "write", "create".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the runtime's own holds something else than this version writes. Never retry.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What did not fit.
        reason: String,
    },
    /// A helper or the container engine answered with an error. Retry.
    #[error("{engine}: {reason}")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// What it said, one line.
        reason: String,
    },
    /// Neither engine can run here. User must fix: the text says what each of them lacks.
    #[error("no container runtime: embedded needs Linux and root ({embedded}); docker is not reachable ({docker})")]
    NoRuntime {
        /// Why the embedded one cannot run.
        embedded: String,
        /// Why Docker cannot be used.
        docker: String,
    },
}

impl RuntimeError {
    /// Whether the job's author has to fix it (bad command, bad image), rather than this machine.
    pub fn is_users_fault(&self) -> bool {
        match self {
            Self::BadId { .. } | Self::BadCommand { .. } => true,
            Self::Image(error) => error.is_users_fault(),
            _ => false,
        }
    }
}
