//! The local network's processes: started in sessions of their own, found again by pid and start time, stopped by pid.
//!
//! A pid alone names nobody: after a reboot, or days later, it may be somebody else's. The start time beside it makes the
//! pair unique, so a stale pid file is recognised and no stranger is ever signalled.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Outcome};
use crate::home::{read_json, write_json};

/// How long a process may take to end after SIGTERM before it is killed: the chain node writes its state in this time.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often a process that should end is looked at.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// A part of the local network that is a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `anvil`.
    Chain,
    /// `opengpu gateway start`.
    Gateway,
    /// `opengpu node start`.
    Node,
}

impl Role {
    /// All of them, in the order they start; they stop the other way round.
    pub(crate) const ALL: [Self; 3] = [Self::Chain, Self::Gateway, Self::Node];

    /// The name in files and texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Gateway => "gateway",
            Self::Node => "node",
        }
    }
}

/// What a pid file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunningProcess {
    /// Process id.
    pub(crate) pid: i32,
    /// When the system says it started: clock ticks since boot (Linux) or a date (elsewhere).
    pub(crate) started: String,
}

impl RunningProcess {
    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).as_ref() == Some(&self.started)
    }
}

/// The processes of one local network, by their pid files.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    folder: PathBuf,
    logs: PathBuf,
}

impl Processes {
    /// Pid files in `<network>/processes`, logs in `<network>`.
    pub(crate) fn new(network: &Path) -> Self {
        Self {
            folder: network.join("processes"),
            logs: network.to_owned(),
        }
    }

    /// Where a role's output goes.
    pub(crate) fn log(&self, role: Role) -> PathBuf {
        self.logs.join(format!("{}.log", role.name()))
    }

    fn pid_file(&self, role: Role) -> PathBuf {
        self.folder.join(format!("{}.json", role.name()))
    }

    /// The role's process if it runs. A stale or damaged pid file counts as none.
    pub(crate) fn running(&self, role: Role) -> Option<RunningProcess> {
        let process: Option<RunningProcess> = read_json(&self.pid_file(role)).ok().flatten();
        process.filter(RunningProcess::is_alive)
    }

    /// Starts a role detached from this terminal and writes its pid file, without a moment in between at which a Ctrl-C
    /// here could lose it.
    pub(crate) fn start(&self, role: Role, mut command: Command) -> Outcome<RunningProcess> {
        let log_path = self.log(role);
        let tried = format!("cannot start the {}", role.name());
        fs::create_dir_all(&self.folder).or_fail(&tried)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .or_fail(&tried)?;
        let errors = log.try_clone().or_fail(&tried)?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        // SAFETY: setsid is async-signal-safe and touches nothing of the parent's memory.
        unsafe { command.pre_exec(|| setsid().map(drop).map_err(std::io::Error::from)) };
        let child = command.spawn().or_fail(&tried)?;
        let pid = i32::try_from(child.id()).or_fail(&tried)?;
        let ended = || Failure::error(format!("{tried}: it ended at once")).hint(format!("see {}", log_path.display()));
        let process = RunningProcess {
            pid,
            started: start_time(pid).ok_or_else(ended)?,
        };
        write_json(&self.pid_file(role), &process)?;
        Ok(process)
    }

    /// Ends a role's process, politely first, and removes its pid file. Says whether there was one.
    pub(crate) async fn stop(&self, role: Role) -> Outcome<bool> {
        let running = self.running(role);
        if let Some(process) = &running {
            end(process)
                .await
                .map_err(|failure| failure.hint(format!("end process {} yourself", process.pid)))?;
        }
        match fs::remove_file(self.pid_file(role)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::error(format!(
                "cannot remove the {}'s pid file: {error}",
                role.name()
            ))
            .hint(format!("remove {} yourself", self.pid_file(role).display()))),
            _ => Ok(running.is_some()),
        }
    }

    /// The last line of a role's log that says something.
    pub(crate) fn last_words(&self, role: Role) -> Option<String> {
        let bytes = fs::read(self.log(role)).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(|line| line.trim().to_owned())
    }
}

async fn end(process: &RunningProcess) -> Outcome {
    let pid = Pid::from_raw(process.pid);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if !process.is_alive() {
            return Ok(());
        }
        if let Err(error) = kill(pid, signal)
            && error != nix::errno::Errno::ESRCH
        {
            return Err(Failure::error(format!("cannot stop process {pid}: {error}")));
        }
        if tokio::time::timeout(STOP_PATIENCE, gone(process)).await.is_ok() {
            return Ok(());
        }
    }
    Err(Failure::error(format!("process {pid} does not end")))
}

/// Waits until the process is gone. Only a parent can wait for a process, and `down` is not the parent: so it looks.
async fn gone(process: &RunningProcess) {
    let mut look = tokio::time::interval(STOP_LOOK);
    while process.is_alive() {
        look.tick().await;
    }
}

/// When a process started; `None` when there is none, or only its zombie.
#[cfg(target_os = "linux")]
fn start_time(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in parentheses and may hold anything; fields count from behind it (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let state = fields.first()?;
    (!matches!(*state, "Z" | "X")).then(|| fields.get(19).map(|ticks| (*ticks).to_owned()))?
}

/// When a process started; `None` when there is none, or only its zombie.
#[cfg(not(target_os = "linux"))]
fn start_time(pid: i32) -> Option<String> {
    let output = Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, date) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }

    #[tokio::test]
    async fn a_started_process_is_found_again_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(folder.path());
        let started = processes.start(Role::Gateway, sleeper()).unwrap();
        assert_eq!(processes.running(Role::Gateway), Some(started.clone()));
        assert_eq!(processes.running(Role::Node), None);
        assert!(processes.stop(Role::Gateway).await.unwrap());
        assert!(!started.is_alive());
        assert!(!processes.stop(Role::Gateway).await.unwrap());
    }

    #[tokio::test]
    async fn a_stale_pid_file_ends_no_stranger() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(folder.path());
        let mut stranger = sleeper().spawn().unwrap();
        let pid = i32::try_from(stranger.id()).unwrap();
        let stale = RunningProcess {
            pid,
            started: "1".to_owned(),
        };
        write_json(&processes.pid_file(Role::Chain), &stale).unwrap();
        assert_eq!(processes.running(Role::Chain), None);
        assert!(!processes.stop(Role::Chain).await.unwrap());
        assert_eq!(stranger.try_wait().unwrap(), None, "the stranger was ended");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Processes::new(folder.path())
            .start(Role::Chain, Command::new("/nowhere/anvil"))
            .unwrap_err();
        assert!(
            failure.to_string().starts_with("error: cannot start the chain"),
            "{failure}"
        );
    }
}
