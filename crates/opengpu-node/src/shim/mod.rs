//! The process beside each embedded container, and the other helpers the binary runs as.
//!
//! libcontainer forks and changes namespaces, which only a single-threaded process may do; and a container must have
//! a parent that outlives the daemon. So the binary starts itself under hidden names, handled by [`helper_main`]
//! before anything else (no async runtime, no threads):
//!
//! - `opengpu __shim FOLDER` leaves the daemon's session, makes the container described in the folder, is its parent,
//!   owns its log file, and writes down durably how it ended. Killed, it takes the container with it.
//! - `opengpu __exec FOLDER COMMAND…` runs one command inside a running container and says how it ended.
//!
//! What they and the daemon share is the container's [state folder](folder::StateFolder); they speak through files
//! and one line of JSON on standard output.

mod cap_log;
mod exec;
mod executor;
pub(crate) mod folder;
mod mounts;
mod namespace;
pub(crate) mod oci_spec;
pub(crate) mod process;
mod run;
mod seccomp;
mod user;

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::runtime::RuntimeError;

pub(crate) use cap_log::CappedLog;

/// Runs a helper when the process's arguments ask for one, and returns its exit code.
///
/// `main` calls this first and exits with the code when there is one. `None`: the arguments are the user's.
pub fn helper_main(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    match arguments.split_first()? {
        (name, [folder]) if name == SHIM => Some(run::shim_main(Path::new(folder))),
        (name, [folder, command @ ..]) if name == EXEC => Some(exec::exec_main(Path::new(folder), command)),
        _ => None,
    }
}

/// Characters of a reason that are passed on: escaped, they stay below `PIPE_BUF`.
const MAX_REASON_CHARS: usize = 600;
/// Hidden subcommand of the shim.
pub(crate) const SHIM: &str = "__shim";
/// Hidden subcommand that runs a command in a container.
pub(crate) const EXEC: &str = "__exec";

/// The one line a helper prints for the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The program was told to run, now or by an earlier shim.
    Started,
    /// The command in the container ended with this code, 128 + n for signal n.
    Ended(i32),
    /// The job's command cannot run: the job's fault.
    BadCommand(String),
    /// Anything else.
    Failed(String),
}

impl Report {
    fn of(error: &RuntimeError) -> Self {
        match error {
            RuntimeError::BadCommand { reason } => Self::BadCommand(reason.clone()),
            RuntimeError::StartFailed { reason } => Self::Failed(reason.clone()),
            other => Self::Failed(other.to_string()),
        }
    }

    /// As one line that fits into a pipe in one piece.
    fn line(&self) -> String {
        let short = |reason: &str| reason.chars().take(MAX_REASON_CHARS).collect::<String>();
        let fitting = match self {
            Self::BadCommand(reason) => Self::BadCommand(short(reason)),
            Self::Failed(reason) => Self::Failed(short(reason)),
            other => other.clone(),
        };
        let text = serde_json::to_string(&fitting);
        text.unwrap_or_else(|error| format!("{{\"failed\":\"{error}\"}}")) + "\n"
    }
}

/// A [`RuntimeError::StartFailed`] that says which step failed.
fn step_failed<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> RuntimeError {
    move |error| RuntimeError::StartFailed {
        reason: format!("{step}: {error}"),
    }
}
