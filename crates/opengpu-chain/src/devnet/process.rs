//! Anvil as a child that cannot outlive its keeper.

use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::copies::clock_of;
use super::{DevnetConfig, DevnetError};

/// How many of the newest blocks can be undone by `anvil_reorg` or asked about: enough for the deepest reorg we test (64).
const STATES_IN_MEMORY: &str = "--prune-history=256";
/// How much of anvil's last output an error shows.
const LAST_WORDS_BYTES: u64 = 4096;

/// The child and the thread that holds it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Ends the thread that started the child, when dropped.
    _hold: mpsc::Sender<()>,
}

impl Process {
    /// Starts anvil. On Linux the kernel kills it when we die, in whatever way.
    pub(super) async fn spawn(config: &DevnetConfig, port: u16, load: Option<&Path>) -> Result<Self, DevnetError> {
        let mut command = command(config, port, load);
        let program = config.anvil.clone();
        let (hold, held) = mpsc::channel::<()>();
        let (started, child) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        // The kernel watches the thread that started the child, not the process: so one that does nothing else.
        std::thread::Builder::new()
            .name("anvil-parent".to_owned())
            .spawn(move || {
                let _entered = runtime.enter();
                let _ = started.send(command.spawn());
                let _ = held.recv();
            })
            .map_err(|source| DevnetError::Io {
                path: program.clone(),
                source,
            })?;
        let child = child
            .await
            .map_err(|_| DevnetError::NotStarted {
                reason: "its parent thread ended".to_owned(),
            })?
            .map_err(|source| DevnetError::Io { path: program, source })?;
        Ok(Self { child, _hold: hold })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// What it wrote to standard error.
    pub(super) async fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.take(LAST_WORDS_BYTES).read_to_end(&mut text).await;
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

fn command(config: &DevnetConfig, port: u16, load: Option<&Path>) -> Command {
    let mut command = Command::new(&config.anvil);
    command
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--chain-id",
            "31337",
            "--order",
            "fifo",
            "--quiet",
            "--no-cors",
            STATES_IN_MEMORY,
        ])
        .args(["--block-time", &config.block_seconds.to_string(), "--mixed-mining"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(path) = load {
        command.arg("--load-state").arg(path);
        // A chain whose clock was moved forward would fall back to the machine's clock, and blocks would go back in time.
        if let Some(clock) = clock_of(path).filter(|clock| *clock > unix_now()) {
            command.args(["--timestamp", &clock.to_string()]);
        }
    }
    die_with_parent(&mut command);
    command
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    // SAFETY: between fork and exec only the system call prctl runs, which is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
