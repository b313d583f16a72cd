//! Every scenario once more in Docker, in a daemon of the test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opengpu_node::runtime::{ContainerStatus, DockerRuntime, ExitOutcome, Runtime};

use crate::support::{Workplace, exit_of, wait_until, workplace_folder};
use crate::{isolation, life};

/// A Docker daemon with all its files in one folder, no network, gone when dropped.
struct Dockerd {
    child: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Dockerd {
    /// `None` after one loud line.
    fn start() -> Option<Self> {
        let program = ["/usr/sbin/dockerd", "/usr/bin/dockerd"]
            .into_iter()
            .find(|path| PathBuf::from(path).exists());
        let (Some(program), true) = (program, nix::unistd::geteuid().is_root()) else {
            eprintln!("SKIPPED: docker engine: needs root and dockerd");
            return None;
        };
        let folder = workplace_folder();
        let path = |name: &str| folder.path().join(name);
        let socket = path("docker.sock");
        let config = serde_json::json!({
            "iptables": false, "ip6tables": false, "bridge": "none",
            "hosts": [format!("unix://{}", socket.display())],
            "data-root": path("data"), "exec-root": path("exec"), "pidfile": path("pid"),
        });
        std::fs::write(path("daemon.json"), config.to_string()).unwrap();
        let child = Command::new(program)
            .arg("--config-file")
            .arg(path("daemon.json"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path("dockerd.log")).unwrap())
            .spawn()
            .unwrap();
        Some(Self {
            child,
            socket,
            _folder: folder,
        })
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn docker_does_all_that_the_embedded_engine_does() {
    let Some(daemon) = Dockerd::start() else { return };
    let folder = workplace_folder();
    let mut runtime = None;
    wait_until("dockerd", async || {
        runtime = DockerRuntime::connect_to(&daemon.socket, folder.path()).await.ok();
        runtime.is_some()
    })
    .await;
    let runtime: Arc<dyn Runtime> = Arc::new(runtime.unwrap());
    let place = Workplace::new(runtime, folder).await;
    life::output_goes_to_the_log_in_order(&place).await;
    life::input_output_and_environment_reach_the_program(&place).await;
    life::exit_codes_and_signals_are_told_apart(&place).await;
    life::a_command_that_cannot_run_is_the_jobs_fault(&place).await;
    life::starting_twice_attaches(&place).await;
    life::memory_above_the_limit_ends_the_job_and_is_recorded(&place).await;
    life::a_pid_limit_stops_a_fork_bomb(&place).await;
    life::a_command_runs_inside_and_says_how_it_ended(&place).await;
    life::a_paused_job_uses_no_processor_and_goes_on(&place).await;
    life::removed_containers_are_forgotten_and_their_files_stay(&place).await;
    isolation::a_job_has_no_rights_and_sees_nothing_of_the_host(&place).await;
    isolation::every_attempt_to_get_out_fails(&place).await;
    isolation::commands_run_inside_are_held_the_same(&place).await;
    isolation::only_the_job_suffers_from_its_own_flood(&place).await;
    a_new_node_daemon_takes_up_the_log_and_the_end(&place, &daemon).await;
}

async fn a_new_node_daemon_takes_up_the_log_and_the_end(place: &Workplace, daemon: &Dockerd) {
    let spec = place.spec(
        "handover",
        "echo before; while [ ! -e /out/go ]; do sleep 0.05; done; echo after; exit 4",
    );
    {
        // A node daemon that dies: its tasks end with its own executor.
        let (socket, state, spec) = (daemon.socket.clone(), place.folder.path().to_owned(), spec.clone());
        let log = place.path("handover.log");
        std::thread::spawn(move || {
            let executor = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            executor.block_on(async {
                let first = DockerRuntime::connect_to(&socket, &state).await.unwrap();
                first.start(&spec).await.unwrap();
                let is_there = async || std::fs::read_to_string(&log).unwrap_or_default().contains("before");
                wait_until("output", is_there).await;
            });
        })
        .join()
        .unwrap();
    }
    let next = DockerRuntime::connect_to(&daemon.socket, place.folder.path())
        .await
        .unwrap();
    assert!(matches!(
        next.status(&spec.id).await.unwrap(),
        ContainerStatus::Running { .. }
    ));
    assert!(next.sample(&spec.id).await.unwrap().memory_bytes > 0);
    std::fs::write(place.path("handover.out/go"), "").unwrap();
    let record = exit_of(&next, &spec.id).await;
    assert_eq!(record.outcome, ExitOutcome::Code(4));
    assert_eq!(place.log("handover"), "before\nafter\n");
    next.remove(&spec.id).await.unwrap();
}
