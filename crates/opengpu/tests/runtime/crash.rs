//! Bad luck of the embedded engine: daemons and shims killed at bad moments, and what is left afterwards.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opengpu_node::image::Digest;
use opengpu_node::runtime::{ContainerStatus, ExitOutcome, Runtime, RuntimeError};

use crate::support::{Workplace, embedded, embedded_at, exit_of, wait_for, wait_until};

fn number_in(path: &Path, key: &str) -> Option<i32> {
    let text = std::fs::read_to_string(path).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    i32::try_from(value.pointer(key)?.as_i64()?).ok()
}

fn state(place: &Workplace, name: &str) -> PathBuf {
    place.path("state/containers").join(name)
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// What is left of a container in the control groups of either layout.
fn groups_of(place: &Workplace, name: &str) -> Vec<PathBuf> {
    let folder = place.path("state/containers").canonicalize().unwrap().join(name);
    let digest = Digest::of(folder.as_os_str().as_encoded_bytes());
    let group = format!("{name}-{}", &digest.hex()[..8]);
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    hierarchies
        .chain([PathBuf::from("/sys/fs/cgroup")])
        .flat_map(|hierarchy| ["", ".birth"].map(|end| hierarchy.join(format!("opengpu/{group}{end}"))))
        .filter(|path| path.exists())
        .collect()
}

/// A daemon process: this very test binary, in the part of a daemon that starts one container and then hangs.
struct Daemon(Child);

impl Daemon {
    fn start(place: &Workplace, name: &str, script: &str) -> Self {
        let spec = serde_json::to_string(&place.spec(name, script)).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::plays_daemon", "--nocapture"])
            .env("OPENGPU_TEST_DAEMON_FOLDER", place.folder.path())
            .env("OPENGPU_TEST_DAEMON_SPEC", spec)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill_9(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Not a test of its own: what [`Daemon`] runs.
#[tokio::test]
async fn plays_daemon() {
    let (Some(folder), Ok(spec)) = (
        std::env::var_os("OPENGPU_TEST_DAEMON_FOLDER"),
        std::env::var("OPENGPU_TEST_DAEMON_SPEC"),
    ) else {
        return;
    };
    let runtime = embedded_at(Path::new(&folder));
    runtime.start(&serde_json::from_str(&spec).unwrap()).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_job_outlives_a_daemon_killed_with_9_and_the_next_daemon_knows_it() {
    let Some(place) = embedded().await else { return };
    let script = "echo before; while [ ! -e /out/go ]; do sleep 0.02; done; echo after; exit 4";
    let daemon = Daemon::start(&place, "outlives", script);
    wait_until("output", async || place.log("outlives").contains("before")).await;
    daemon.kill_9();

    let next = embedded_at(place.folder.path());
    let spec = place.spec("outlives", script);
    assert!(matches!(
        next.status(&spec.id).await.unwrap(),
        ContainerStatus::Running { .. }
    ));
    next.start(&spec).await.unwrap();
    std::fs::write(place.path("outlives.out/go"), "").unwrap();
    let record = exit_of(&*next, &spec.id).await;
    assert_eq!(record.outcome, ExitOutcome::Code(4));
    assert_eq!(place.log("outlives"), "before\nafter\n");
}

#[tokio::test]
async fn a_daemon_killed_at_any_moment_of_a_start_leaves_a_state_the_next_one_can_finish() {
    let Some(place) = embedded().await else { return };
    for round in 0..12_u64 {
        let name = format!("moment{round}");
        let script = "echo ran; exit 6";
        let daemon = Daemon::start(&place, &name, script);
        // From before the folder exists to after the end: a start takes about 100 ms here.
        tokio::time::sleep(std::time::Duration::from_millis(round * 12)).await;
        daemon.kill_9();

        let next = embedded_at(place.folder.path());
        let spec = place.spec(&name, script);
        let mut record = None;
        wait_until("a finished job", async || {
            // What a daemon does when it starts: repeat what may not have arrived, and look.
            next.start(&spec).await.unwrap();
            if let ContainerStatus::Exited(exited) = next.status(&spec.id).await.unwrap() {
                record = Some(exited);
            }
            record.is_some()
        })
        .await;
        assert_eq!(record.unwrap().outcome, ExitOutcome::Code(6), "round {round}");
        assert_eq!(place.log(&name), "ran\n", "round {round}: ran once");
        next.remove(&spec.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_shim_takes_its_job_with_it_and_the_outcome_is_lost() {
    let Some(place) = embedded().await else { return };
    let spec = place.spec("lost", "sleep 1000 & sleep 1000 & echo up; wait");
    place.runtime.start(&spec).await.unwrap();
    wait_until("output", async || place.log("lost").contains("up")).await;
    let folder = state(&place, "lost");
    assert!(!groups_of(&place, "lost").is_empty());
    let shim = number_in(&folder.join("shim.json"), "/pid").unwrap();
    let first = number_in(&folder.join("started.json"), "/process/pid").unwrap();
    assert!(is_alive(shim) && is_alive(first));
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    // Nobody has to look for the job to end: the kernel does it.
    wait_until("the job's end", async || !is_alive(first)).await;
    let status = wait_for(&*place.runtime, &spec.id, |status| !status.is_alive()).await;
    assert!(matches!(status, ContainerStatus::Lost { .. }), "{status:?}");
    assert!(matches!(
        place.runtime.start(&spec).await,
        Err(RuntimeError::Lost { .. })
    ));
    place.runtime.remove(&spec.id).await.unwrap();
    assert_eq!(groups_of(&place, "lost"), Vec::<PathBuf>::new());
    assert_eq!(place.runtime.status(&spec.id).await.unwrap(), ContainerStatus::Absent);
}

#[tokio::test]
async fn a_shim_killed_at_any_moment_of_its_start_leaves_nothing_running() {
    let Some(place) = embedded().await else { return };
    for round in 0..12_u64 {
        let name = format!("torn{round}");
        let spec = place.spec(&name, "echo ran; sleep 1000");
        let runtime = embedded_at(place.folder.path());
        let starting = tokio::spawn({
            let spec = spec.clone();
            async move { runtime.start(&spec).await.is_ok() }
        });
        let folder = state(&place, &name);
        wait_until("shim", async || folder.join("shim.json").exists()).await;
        tokio::time::sleep(std::time::Duration::from_millis(round * 4)).await;
        let shim = number_in(&folder.join("shim.json"), "/pid").unwrap();
        kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
        let had_started = starting.await.unwrap();
        let first = number_in(&folder.join("started.json"), "/process/pid");
        let status = wait_for(&*place.runtime, &spec.id, |status| !status.is_alive()).await;
        match status {
            ContainerStatus::Lost { .. } => assert!(first.is_some()),
            ContainerStatus::Absent => assert!(first.is_none() && !had_started),
            other => panic!("round {round}: {other:?}"),
        }
        place.runtime.remove(&spec.id).await.unwrap();
        assert_eq!(groups_of(&place, &name), Vec::<PathBuf>::new(), "round {round}");
    }
}

/// Seconds in the shell's `0m3.21s`, as milliseconds.
fn millis(text: &str) -> u64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
    let (whole, part) = seconds.split_once('.').unwrap();
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    (minutes.parse::<u64>().unwrap() * 60 + whole.parse::<u64>().unwrap()) * 1000 + part.parse::<u64>().unwrap()
}

#[tokio::test]
async fn counted_processor_time_is_what_the_program_used_itself() {
    let Some(place) = embedded().await else { return };
    let work = "i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done";
    let burn = format!("(: ; {work}) & {work}; wait; times");
    let spec = place.spec("burn", &burn);
    place.runtime.start(&spec).await.unwrap();
    let mut last = opengpu_node::runtime::Sample::default();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(200));
    let record = loop {
        tick.tick().await;
        let sample = place.runtime.sample(&spec.id).await.unwrap();
        assert!(
            sample.cpu_nanos >= last.cpu_nanos,
            "a cumulative counter fell: {last:?} {sample:?}"
        );
        last = sample;
        if let ContainerStatus::Exited(record) = place.runtime.status(&spec.id).await.unwrap() {
            break record;
        }
    };
    // The kernel's account of the program by itself: the shell's own and its children's, user and system.
    let own: u64 = place.log("burn").split_whitespace().map(millis).sum();
    let counted = record.usage.cpu_nanos / 1_000_000;
    // 5 %, and what making the container itself takes.
    assert!(own > 1000, "the loops are too short to tell 5 %: {own} ms");
    assert!(
        counted.abs_diff(own) <= own / 20 + 50,
        "counted {counted} ms, the program used {own} ms"
    );
    assert!(record.usage.memory_peak_bytes > 0);
    assert_eq!(place.runtime.sample(&spec.id).await.unwrap(), record.usage);

    let record = place.run("idle", "sleep 2").await;
    let wall = record.finished_at.boot_millis - record.started_at.boot_millis;
    assert!(wall >= 1990, "{record:?}");
    assert!(record.usage.cpu_nanos < 200_000_000, "{record:?}");
}

#[tokio::test]
async fn a_job_gets_no_more_than_its_share_of_the_processor() {
    let Some(place) = embedded().await else { return };
    let mut spec = place.spec(
        "share",
        "end=$(($(date +%s)+3)); while [ $(date +%s) -lt $end ]; do :; done",
    );
    spec.cpu_millis = 250;
    let record = place.run_spec(&spec).await;
    let wall = (record.finished_at.boot_millis - record.started_at.boot_millis) * 1_000_000;
    assert!(
        record.usage.cpu_nanos < wall / 3,
        "a quarter of a core for {wall} ns: {record:?}"
    );
}

#[tokio::test]
async fn kill_reaches_a_container_without_its_daemon_being_the_parent() {
    let Some(place) = embedded().await else { return };
    let daemon = Daemon::start(&place, "orphan", "echo up; sleep 1000");
    wait_until("output", async || place.log("orphan").contains("up")).await;
    daemon.kill_9();
    let id = "orphan".parse().unwrap();
    let next: std::sync::Arc<dyn Runtime> = embedded_at(place.folder.path());
    assert_eq!(next.list().await.unwrap(), vec![id]);
    let id = "orphan".parse().unwrap();
    next.remove(&id).await.unwrap();
    assert!(next.list().await.unwrap().is_empty());
}
