//! Starting the binary's helpers and reading their one line.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::runtime::RuntimeError;
use crate::shim::{EXEC, Report, SHIM};

/// The program whose `main` calls [`helper_main`](crate::shim::helper_main).
#[derive(Debug, Clone)]
pub struct HelperProgram {
    path: PathBuf,
}

impl HelperProgram {
    /// This very process's program, also when its file was replaced by an upgrade since it started.
    pub fn this_program() -> Self {
        Self {
            path: PathBuf::from("/proc/self/exe"),
        }
    }

    /// Another program, for tests that are not the binary themselves.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Starts a shim and waits for its report, not for its end.
    pub(crate) async fn shim(&self, folder: &Path) -> Result<Report, RuntimeError> {
        let mut command = self.command(SHIM, folder);
        // A daemon that stops waiting must not stop the shim.
        self.report(command.kill_on_drop(false)).await
    }

    /// Runs a command in a container and waits for its end. Dropping the future kills it.
    pub(crate) async fn exec(&self, folder: &Path, argv: &[String]) -> Result<Report, RuntimeError> {
        let mut command = self.command(EXEC, folder);
        self.report(command.args(argv).kill_on_drop(true)).await
    }

    fn command(&self, name: &str, folder: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0("opengpu").arg(name).arg(folder);
        // The daemon's variables may hold secrets; helpers need none of them.
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    async fn report(&self, command: &mut Command) -> Result<Report, RuntimeError> {
        let failed = |reason: String| RuntimeError::Engine {
            engine: "embedded",
            reason,
        };
        let output = command.output().await;
        let output = output.map_err(|error| failed(format!("cannot start {}: {error}", self.path.display())))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stdout);
            failed(format!(
                "the helper ended with {} and said {:?}",
                output.status,
                said.trim()
            ))
        })
    }
}
