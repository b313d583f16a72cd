//! A whole network of its own for a test: real chain node, real containers, real processes, in a folder that goes away.
//!
//! ```ignore
//! let network = TestNetwork::up();                     // chain, gateway, node on free ports
//! let ended = network.run(&["--max-cost", "1"], &["/bin/busybox", "true"]);
//! network.kill("node", Signal::SIGKILL);               // parts by name: chain, gateway, node
//! network.opengpu(&["up"]);                            // starts what is missing again
//! ```
//!
//! Everything is ended when the value is dropped, also when the test fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::Value;
use tempfile::TempDir;

/// How long a condition may take to come true. Generous: other tests use the machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// The static program that test images hold: a shell and its tools in one file.
const BUSYBOX: &str = "/bin/busybox";

/// Whether this machine can run the tests; says loudly why not.
pub(crate) fn can_run() -> bool {
    let missing = if !Uid::effective().is_root() {
        "root, which the embedded container runtime needs"
    } else if !Path::new(BUSYBOX).is_file() {
        "/bin/busybox (Debian package busybox-static)"
    } else {
        return true;
    };
    eprintln!("SKIPPED: this machine lacks {missing}");
    false
}

/// A local network in a temporary home folder.
#[derive(Debug)]
pub(crate) struct TestNetwork {
    home: TempDir,
    image: PathBuf,
}

impl TestNetwork {
    /// A home folder in which nothing was started, with an image to run.
    pub(crate) fn down() -> Self {
        let home = tempfile::Builder::new().prefix("opengpu-e2e-").tempdir().unwrap();
        let image = home.path().join("image");
        let network = Self { home, image };
        let image = network.image.clone();
        let packed = network.opengpu([OsStr::new("__pack-image"), "--binary".as_ref(), BUSYBOX.as_ref(), "--out".as_ref(), image.as_ref()]);
        assert!(packed.status.success(), "{packed:?}");
        network
    }

    /// The same, and everything started on free ports.
    pub(crate) fn up() -> Self {
        let network = Self::down();
        let up = network.opengpu(Self::up_arguments());
        assert!(up.status.success(), "{up:?}");
        network
    }

    /// `up` on free ports.
    pub(crate) fn up_arguments() -> [&'static str; 7] {
        ["up", "--chain-port", "0", "--gateway-port", "0", "--node-port", "0"]
    }

    /// A path in the home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program with this home folder; nobody can type an answer.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("opengpu"));
        command.args(arguments).env("OPENGPU_HOME", self.home.path()).current_dir(self.home.path());
        for name in ["OPENGPU_NETWORK", "OPENGPU_KEY_FILE", "OPENGPU_PASSWORD_FILE"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn opengpu<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it with `--json`; it must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.opengpu(arguments.iter().copied().chain(["--json"]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// `opengpu run` with these options and this command in the busybox image.
    pub(crate) fn run_command(&self, options: &[&str], command: &[&str]) -> Command {
        let image = format!("oci:{}", self.image.display());
        let mut run = self.command(["run", "--yes", "--expect", "10s"]);
        run.args(options).arg(image).arg("--").args(command);
        run
    }

    /// Runs a job to its end.
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Output {
        self.run_command(options, command).output().unwrap()
    }

    /// Starts a job whose story goes into `<home>/<name>.story`.
    pub(crate) fn start(&self, name: &str, options: &[&str], command: &[&str]) -> Child {
        let story = std::fs::File::create(self.story(name)).unwrap();
        self.run_command(options, command).stdout(Stdio::null()).stderr(story).spawn().unwrap()
    }

    /// Where a started job's story is.
    pub(crate) fn story(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.story"))
    }

    /// Waits until a started job's story has a line with `words`.
    pub(crate) fn wait_for(&self, name: &str, words: &str) {
        let path = self.story(name);
        let told = || std::fs::read_to_string(&path).unwrap_or_default();
        assert!(becomes_true(|| told().contains(words)), "no `{words}` in the story:\n{}", told());
    }

    /// The process id of a part: `chain`, `gateway` or `node`; `None` when it does not run.
    pub(crate) fn pid(&self, part: &str) -> Option<i32> {
        let status = self.json(&["status"]);
        let parts = status["parts"].as_array().unwrap();
        let found = parts.iter().find(|found| found["name"] == part).unwrap();
        found["pid"].as_i64().map(|pid| i32::try_from(pid).unwrap())
    }

    /// Sends a part a signal, and waits until it is gone when that is deadly.
    pub(crate) fn kill(&self, part: &str, signal: Signal) {
        let pid = self.pid(part).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        assert!(becomes_true(|| self.pid(part).is_none()), "the {part} survived {signal}");
    }

    /// Credits of the payer in USDC base units.
    pub(crate) fn usdc_credits(&self) -> u128 {
        let wallet = self.json(&["wallet", "show"]);
        let balances = wallet["balances"].as_array().unwrap();
        amount(&balances.iter().find(|balance| balance["token"] == "USDC").unwrap()["credits"])
    }

    /// Processes that were started for this home folder, whoever is their parent.
    pub(crate) fn processes(&self) -> Vec<String> {
        let home = self.home.path().to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.map(|line| text(&line).replace('\0', " ")).filter(|line| line.contains(home)).collect()
    }
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        let down = self.opengpu(["down"]);
        if !down.status.success() {
            eprintln!("down failed: {}", text(&down.stderr));
        }
        if std::thread::panicking() {
            for part in ["chain", "gateway", "node"] {
                let log = std::fs::read(self.path(&format!("networks/local/{part}.log"))).unwrap_or_default();
                let lines = text(&log);
                let last: Vec<&str> = lines.lines().rev().take(20).collect();
                eprintln!("--- last words of the {part}:");
                last.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

/// Looks until `condition` holds; false after a minute.
pub(crate) fn becomes_true(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    condition()
}

/// An amount in base units, as JSON has it.
pub(crate) fn amount(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// What a program wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
