//! A private network per test: `opengpu up` in a temporary home, and the binary run against it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opengpu_chain::devnet::dev_key;
use opengpu_chain::{ChainClient, ChainEvent, Envelope};
use opengpu_core::U256;
use opengpu_core::ids::NodeId;
use opengpu_node::image::{PackedImage, pack_binary};
use serde_json::{Value, json};

/// Longest any story waits for anything; a hang fails with words instead of stopping the whole run.
const PATIENCE: Duration = Duration::from_secs(150);

/// A network that ends with the test.
pub(crate) struct Network {
    folder: tempfile::TempDir,
}

/// What a job asks for of which many fit on a small machine.
pub(crate) const TINY: [&str; 8] = [
    "--max-cost",
    "0.05",
    "--cpus",
    "0.1",
    "--memory",
    "16MiB",
    "--disk",
    "1MiB",
];

impl Network {
    /// Brings one up, or says loudly why it cannot.
    pub(crate) fn up() -> Option<Self> {
        let network = Self::down()?;
        network.restart();
        Some(network)
    }

    /// A home with nothing running yet.
    pub(crate) fn down() -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            // Not eprintln!: the test harness would swallow it.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: end-to-end tests need root for the container engine"
            );
            return None;
        }
        let folder = tempfile::Builder::new().prefix("opengpu-e2e-").tempdir().unwrap();
        Some(Self { folder })
    }

    /// `opengpu up`: starts what is not running, the first time on free ports.
    pub(crate) fn restart(&self) {
        self.up_with(&[]);
    }

    /// The same with options.
    pub(crate) fn up_with(&self, options: &[&str]) {
        let free_ports = ["--chain-port", "0", "--gateway-port", "0", "--node-port", "0"];
        let is_first = !self.data("processes").exists();
        let ports = if is_first { free_ports.as_slice() } else { &[] };
        let output = self.opengpu(&[&["up"], options, ports].concat());
        assert!(output.status.success(), "up: {}", words(&output));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The local network's own folder.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path("home/networks/local").join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opengpu"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("OPENGPU_HOME", self.path("home"))
            .env("OPENGPU_ANVIL", anvil())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn opengpu(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments).finish()
    }

    /// Runs it, wants success and reads its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.opengpu(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", words(&output)))
    }

    /// Starts it and goes on.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let err = self.path(&format!(
            "stderr-{}",
            arguments
                .join("-")
                .replace('/', "_")
                .chars()
                .take(60)
                .collect::<String>()
        ));
        let file = fs::File::create(&err).unwrap();
        let child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        Running {
            child: Some(child),
            err,
        }
    }

    /// The busybox image, as `run` takes it.
    pub(crate) fn image(&self) -> String {
        let layout = self.path("busybox");
        if !layout.exists() {
            busybox(&layout);
        }
        format!("oci:{}", layout.display())
    }

    /// `opengpu run` of a shell script, with options before the image.
    pub(crate) fn run_arguments<'a>(&self, image: &'a str, options: &[&'a str], script: &'a str) -> Vec<&'a str> {
        let mut arguments = vec!["--json", "run", "--yes"];
        arguments.extend(options);
        arguments.extend([image, "--", "sh", "-c", script]);
        arguments
    }

    /// Runs a shell script as a job to its end.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Output {
        let image = self.image();
        self.opengpu(&self.run_arguments(&image, options, script))
    }

    /// Runs a shell script as a job that must succeed; the bill.
    pub(crate) fn bill(&self, options: &[&str], script: &str) -> Value {
        let output = self.run(options, script);
        assert!(output.status.success(), "{}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Starts a job and leaves it; its id.
    pub(crate) fn detached(&self, options: &[&str], script: &str) -> String {
        let bill = self.bill(&[options, &["--detach"]].concat(), script);
        bill["jobId"].as_str().unwrap().to_owned()
    }

    /// The process id of `chain`, `gateway` or `node`.
    pub(crate) fn pid(&self, role: &str) -> Pid {
        let file = self.data(&format!("processes/{role}.json"));
        let process: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        Pid::from_raw(i32::try_from(process["pid"].as_i64().unwrap()).unwrap())
    }

    /// Ends a process without asking and waits until it is gone.
    pub(crate) fn kill(&self, role: &str) {
        let pid = self.pid(role);
        kill(pid, Signal::SIGKILL).unwrap();
        wait_for(&format!("the {role} to die"), || is_gone(pid).then_some(()));
    }

    /// A payer's credits in base units.
    pub(crate) fn credits(&self, token: &str) -> u128 {
        let wallet = self.json(&["wallet", "show"]);
        let balances = wallet["balances"].as_array().unwrap();
        let row = balances
            .iter()
            .find(|row| row["token"] == token)
            .unwrap_or_else(|| panic!("{wallet}"));
        number(&row["credits"])
    }

    /// Asks the chain itself, with the key of one of its well-known accounts.
    pub(crate) fn on_chain<T, F: Future<Output = T>>(&self, account: usize, ask: impl FnOnce(ChainClient) -> F) -> T {
        let network = opengpu_chain::Network::load(&self.data("deployment.json")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let client = ChainClient::connect(&network, dev_key(account)).await.unwrap();
            ask(client).await
        })
    }

    /// Asks the chain's node for what no client of ours asks.
    pub(crate) fn rpc(&self, method: &str, params: &Value) -> Value {
        let network = opengpu_chain::Network::load(&self.data("deployment.json")).unwrap();
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answer: Value = runtime.unwrap().block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let sent = http.post(&network.rpc_url).json(&request).send().await;
            sent.unwrap().json().await.unwrap()
        });
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Nothing that is sent is included until [`Network::include`].
    pub(crate) fn hold_back(&self) {
        // What ends blocks at once and by the clock together, as our chain has them.
        self.rpc("evm_setIntervalMining", &json!([0]));
    }

    /// Includes what was held back, and from now on everything at once; blocks come with transactions alone then.
    pub(crate) fn include(&self) {
        self.rpc("evm_setAutomine", &json!([true]));
        self.rpc("anvil_mine", &json!(["0x1"]));
    }

    /// Waits until so many transactions are held back.
    pub(crate) fn wait_for_held_back(&self, count: u64) {
        wait_for(&format!("{count} transactions on their way"), || {
            let status = self.rpc("txpool_status", &json!([]));
            let pending = status["pending"].as_str().unwrap().trim_start_matches("0x").to_owned();
            (u64::from_str_radix(&pending, 16).unwrap() >= count).then_some(())
        });
    }

    /// The contracts' events so far that are meant.
    pub(crate) fn events(&self, is_meant: impl Fn(&ChainEvent) -> bool) -> Vec<Envelope> {
        let mut events = self.on_chain(0, async |chain| {
            let head = chain.head().await.unwrap().number;
            let from = chain.network().deployed_at_block;
            chain.events_of(from, head, None).await.unwrap()
        });
        events.retain(|envelope| is_meant(&envelope.event));
        events
    }

    /// The settlements so far, which are of these jobs, one each.
    pub(crate) fn settled_once(&self, jobs: &[String]) -> Vec<Envelope> {
        let settled = self.events(|event| matches!(event, ChainEvent::Settled { .. }));
        let mut found: Vec<String> = settled.iter().map(|e| e.event.job().unwrap().to_string()).collect();
        let mut wanted = jobs.to_vec();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
        settled
    }

    /// Credits of the local node's payee in base units.
    pub(crate) fn node_credits(&self, token: &str) -> u128 {
        self.on_chain(0, async |chain| {
            let node = chain.node(NodeId(U256::from(1))).await.unwrap();
            let token = chain.network().token(token).unwrap().address;
            chain.credits(node.payee, token).await.unwrap().0
        })
    }

    /// Waits until the job's log, as `opengpu logs` shows it, has this text.
    pub(crate) fn wait_for_log(&self, job: &str, text: &str) {
        wait_for(&format!("`{text}` in the log of {job}"), || {
            let output = self.opengpu(&["logs", job]);
            String::from_utf8_lossy(&output.stdout).contains(text).then_some(())
        });
    }

    /// Waits until the job is closed and fetches what it left; the bill. A job that ended badly has one too.
    pub(crate) fn result(&self, job: &str) -> Value {
        let mut last = String::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let output = self.opengpu(&["--json", "job", "result", job]);
            match serde_json::from_slice::<Value>(&output.stdout) {
                Ok(bill) if bill["jobId"].is_string() => return bill,
                _ => {}
            }
            last = words(&output);
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("waited {PATIENCE:?} for the result of {job}: {last}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let output = self.opengpu(&["down"]);
        if std::thread::panicking() {
            for log in ["node.log", "gateway.log", "chain.log"] {
                let text = fs::read_to_string(self.data(log)).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(40).collect();
                eprintln!("--- {log}");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        } else {
            assert!(output.status.success(), "down: {}", words(&output));
        }
    }
}

/// A command under way; ended with the test.
pub(crate) struct Running {
    child: Option<Child>,
    err: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.as_ref().unwrap().id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Waits until it has said this.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_for(&format!("`{text}` on stderr of {}", self.err.display()), || {
            self.said().contains(text).then_some(())
        });
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        let mut child = self.child.take().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut pipe, &mut bytes).map(|_| bytes)
        });
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("still running after {PATIENCE:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let stdout = reader.join().unwrap().unwrap();
        Output {
            status,
            stdout,
            stderr: fs::read(&self.err).unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_none_or(|rest| rest.trim_start().starts_with('Z') || rest.is_empty())
}

/// A decimal string of base units.
pub(crate) fn number(value: &Value) -> u128 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("not an amount: {value}"))
}

/// Everything a command said.
pub(crate) fn words(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Wants a failure with this exit code, this text on stderr, one `error:` line and one hint.
pub(crate) fn assert_fails(output: &Output, code: i32, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}", words(output));
    assert!(said.contains(text), "`{text}` is not in: {said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(said.contains("\nhint: "), "{said}");
}

/// Checks that a bill adds up to the base unit.
pub(crate) fn assert_adds_up(bill: &Value) {
    let amount = |name: &str| number(&bill[name]);
    assert_eq!(amount("paid") + amount("refunded"), amount("locked"), "{bill}");
    assert_eq!(
        amount("nodeShare") + amount("stakersShare") + amount("treasuryShare"),
        amount("paid"),
        "{bill}"
    );
}

fn anvil() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    root.join("node_modules/.bin/anvil")
}

/// Packs the host's static busybox as an OCI layout.
fn busybox(layout: &Path) {
    let applets =
        "sh cat ls echo sleep touch mkdir date dd head wc tr test true false kill yes timeout sha256sum env cp";
    let image = PackedImage {
        binary: "/bin/busybox".into(),
        entrypoint: vec!["/bin/busybox".to_owned()],
        files: std::collections::BTreeMap::new(),
        links: applets
            .split_whitespace()
            .map(|name| (format!("/bin/{name}"), "busybox".to_owned()))
            .collect(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
    };
    pack_binary(&image, layout).unwrap();
}
