//! Docker (or Podman) through its API, with the same isolation as the embedded engine.
//!
//! Docker is the container's parent and keeps how it ended until it is removed, so a killed daemon loses nothing. What
//! Docker does not keep is the output file and the last counters: a task follows the output, and the last sample of
//! each container is written beside it. A new daemon takes both up again from the labels on the container.

mod load;
mod log;
mod request;
mod time;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StatsOptionsBuilder,
};
use futures::StreamExt;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::image::{Digest, Form, ImageCache, ImageReference, PreparedImage};

use self::time::Clocks;
use super::cgroup::io_error;
use super::{
    ContainerId, ContainerSpec, ContainerStatus, ExitOutcome, ExitRecord, Runtime, RuntimeError, Sample, Signal,
};

/// Labels on our containers.
const LABEL_STATE: &str = "org.opengpu.state";
const LABEL_ID: &str = "org.opengpu.id";
const LABEL_LOG: &str = "org.opengpu.log";
const LABEL_LOG_MAX: &str = "org.opengpu.log-max";

/// Docker on one state folder.
pub struct DockerRuntime {
    docker: Docker,
    state: PathBuf,
    images: ImageCache,
    clocks: Clocks,
    /// Which of Docker's containers are this folder's.
    label: String,
    followers: Mutex<BTreeMap<ContainerId, JoinHandle<()>>>,
    /// Held while an id is started or removed.
    changing: Mutex<()>,
}

impl DockerRuntime {
    /// Connects to the engine that `DOCKER_HOST` names, or to the default socket.
    ///
    /// # Errors
    /// [`RuntimeError::Engine`] when no engine answers.
    pub async fn connect(state: &Path) -> Result<Self, RuntimeError> {
        let docker = Docker::connect_with_defaults().map_err(|error| engine(&error))?;
        Self::with(docker, state).await
    }

    /// Connects to an engine's socket.
    ///
    /// # Errors
    /// As [`DockerRuntime::connect`].
    pub async fn connect_to(socket: &Path, state: &Path) -> Result<Self, RuntimeError> {
        /// How long one request may take, in seconds: loading a large image is the slowest.
        const TIMEOUT_SECONDS: u64 = 600;
        let docker =
            Docker::connect_with_unix(&socket.to_string_lossy(), TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION);
        Self::with(docker.map_err(|error| engine(&error))?, state).await
    }

    async fn with(docker: Docker, state: &Path) -> Result<Self, RuntimeError> {
        let docker = docker.negotiate_version().await.map_err(|error| engine(&error))?;
        let state = state.join("docker");
        fs::create_dir_all(&state).map_err(io_error("create", &state))?;
        let state = state.canonicalize().map_err(io_error("open", &state))?;
        let label = Digest::of(state.as_os_str().as_encoded_bytes()).hex()[..16].to_owned();
        let images = ImageCache::open(&state.join("images"), Form::Layout)?;
        Ok(Self {
            docker,
            state,
            images,
            clocks: Clocks::now(),
            label,
            followers: Mutex::default(),
            changing: Mutex::new(()),
        })
    }

    fn name_of(&self, id: &ContainerId) -> String {
        format!("opengpu-{}-{id}", self.label)
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        match self.docker.inspect_container(&self.name_of(id), None).await {
            Ok(container) => Ok(Some(container)),
            Err(error) if has_code(&error, 404) => Ok(None),
            Err(error) => Err(engine(&error)),
        }
    }

    /// Makes sure that somebody copies the container's output. Cheap when somebody does.
    async fn follow(&self, id: &ContainerId, container: &ContainerInspectResponse) {
        let mut followers = self.followers.lock().await;
        let is_running = container
            .state
            .as_ref()
            .and_then(|state| state.running)
            .unwrap_or(false);
        // A copy that ended before its container did lost its connection.
        if followers
            .get(id)
            .is_some_and(|follower| !(is_running && follower.is_finished()))
        {
            return;
        }
        let labels = container
            .config
            .as_ref()
            .and_then(|config| config.labels.clone())
            .unwrap_or_default();
        let limit = labels.get(LABEL_LOG_MAX).and_then(|text| text.parse().ok());
        if let (Some(path), Some(limit)) = (labels.get(LABEL_LOG), limit) {
            let copying = log::follow(self.docker.clone(), self.name_of(id), PathBuf::from(path), limit);
            followers.insert(id.clone(), tokio::spawn(copying));
        }
    }

    /// Waits until the ended container's output is in its file.
    async fn finish_log(&self, id: &ContainerId) {
        let mut followers = self.followers.lock().await;
        if let Some(follower) = followers.get_mut(id).filter(|follower| !follower.is_finished()) {
            let _ = follower.await;
        }
    }

    fn sample_file(&self, id: &ContainerId) -> PathBuf {
        self.state.join(format!("{id}.sample.json"))
    }

    /// The last sample anybody took; zeroes before the first.
    fn last_sample(&self, id: &ContainerId) -> Sample {
        let bytes = fs::read(self.sample_file(id)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn keep_sample(&self, id: &ContainerId, sample: &Sample) -> Result<(), RuntimeError> {
        let path = self.sample_file(id);
        let temporary = path.with_extension("new");
        let bytes = serde_json::to_vec(sample).unwrap_or_default();
        fs::write(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(io_error("write", &path))
    }

    async fn stats(&self, id: &ContainerId) -> Result<Sample, RuntimeError> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut stream = self.docker.stats(&self.name_of(id), Some(options));
        let stats = stream
            .next()
            .await
            .ok_or_else(|| RuntimeError::NotRunning { id: id.to_string() })?;
        let stats = stats.map_err(|error| engine(&error))?;
        let memory = stats.memory_stats.unwrap_or_default();
        let memory_bytes = memory.usage.unwrap_or(0);
        let before = self.last_sample(id);
        let cpu = stats
            .cpu_stats
            .and_then(|cpu| cpu.cpu_usage)
            .and_then(|usage| usage.total_usage)
            .unwrap_or(0);
        Ok(Sample {
            cpu_nanos: cpu.max(before.cpu_nanos),
            memory_bytes,
            memory_peak_bytes: memory.max_usage.unwrap_or(memory_bytes).max(before.memory_peak_bytes),
            pids: stats.pids_stats.and_then(|pids| pids.current).unwrap_or(0),
            egress_bytes: 0, // no network but loopback
        })
    }

    fn record(&self, id: &ContainerId, state: &bollard::models::ContainerState) -> ExitRecord {
        let started_at = self.clocks.moment(state.started_at.as_deref());
        let finished_at = self.clocks.moment(state.finished_at.as_deref());
        // Docker notes the start once the program runs: one that ends at once can have ended "before" it.
        let is_backwards = finished_at.boot_millis < started_at.boot_millis;
        let finished_at = if is_backwards { started_at } else { finished_at };
        let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
        ExitRecord {
            // Docker reports a signal as 128 + its number, as shells do, and cannot be asked which it was.
            outcome: ExitOutcome::Code(code),
            oom_killed: state.oom_killed.unwrap_or(false),
            started_at,
            finished_at,
            usage: self.last_sample(id),
        }
    }

    async fn running(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.status(id).await? {
            ContainerStatus::Running { .. } => Ok(()),
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    /// Pauses. On a busy machine with cgroup v1, runc gives up after a while although the kernel would have frozen all
    /// threads a little later; asking again helps.
    async fn freeze(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        /// runc itself tries for about a second each time.
        const ATTEMPTS: u32 = 10;
        let name = self.name_of(id);
        for _attempt in 1..ATTEMPTS {
            match self.docker.pause_container(&name).await {
                Err(error) if error.to_string().contains("unable to freeze") => {}
                result => return result.map_err(|error| engine(&error)),
            }
        }
        self.docker.pause_container(&name).await.map_err(|error| engine(&error))
    }

    async fn discard(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(&self.name_of(id), Some(options)).await {
            Err(error) if !has_code(&error, 404) => Err(engine(&error)),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn prepare_image(&self, image: &ImageReference) -> Result<PreparedImage, RuntimeError> {
        let prepared = self.images.prepare(image).await?;
        load::ensure_loaded(&self.docker, &prepared).await?;
        Ok(prepared)
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let _changing = self.changing.lock().await;
        match self.status(&spec.id).await? {
            ContainerStatus::Absent => self.create(spec).await?,
            // An earlier daemon was killed between the two steps.
            ContainerStatus::Created => {}
            _ => return Ok(()),
        }
        if let Err(error) = self.docker.start_container(&self.name_of(&spec.id), None).await {
            // Nothing ran: the same id can be tried again.
            self.discard(&spec.id).await?;
            return Err(start_error(&error));
        }
        if let Some(container) = self.inspect(&spec.id).await? {
            self.follow(&spec.id, &container).await;
        }
        Ok(())
    }

    async fn status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let Some(container) = self.inspect(id).await? else {
            return Ok(ContainerStatus::Absent);
        };
        let state = container.state.clone().unwrap_or_default();
        let started_at = self.clocks.moment(state.started_at.as_deref());
        if state.status == Some(ContainerStateStatusEnum::CREATED) {
            return Ok(ContainerStatus::Created);
        }
        self.follow(id, &container).await;
        match state.status {
            Some(ContainerStateStatusEnum::PAUSED) => Ok(ContainerStatus::Paused { started_at }),
            Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => {
                self.finish_log(id).await;
                Ok(ContainerStatus::Exited(self.record(id, &state)))
            }
            _ => Ok(ContainerStatus::Running { started_at }),
        }
    }

    async fn exec(&self, id: &ContainerId, argv: &[String]) -> Result<i32, RuntimeError> {
        self.running(id).await?;
        let options = CreateExecOptions {
            cmd: Some(argv.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = self
            .docker
            .create_exec(&self.name_of(id), options)
            .await
            .map_err(|error| engine(&error))?;
        let started = self
            .docker
            .start_exec(&exec.id, None)
            .await
            .map_err(|error| start_error(&error))?;
        let mut said = String::new();
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(part) = output.next().await {
                let part = part.map_err(|error| engine(&error))?.to_string();
                if said.is_empty() {
                    said = part;
                }
            }
        }
        let ended = self
            .docker
            .inspect_exec(&exec.id)
            .await
            .map_err(|error| engine(&error))?;
        let code = ended.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
        if matches!(code, 126 | 127) && said.contains("OCI runtime exec failed") {
            return Err(RuntimeError::BadCommand {
                reason: said.trim().to_owned(),
            });
        }
        Ok(code)
    }

    async fn sample(&self, id: &ContainerId) -> Result<Sample, RuntimeError> {
        match self.status(id).await? {
            ContainerStatus::Exited(record) => Ok(record.usage),
            ContainerStatus::Running { .. } | ContainerStatus::Paused { .. } => {
                let sample = self.stats(id).await?;
                if sample.pids == 0 {
                    return Ok(self.last_sample(id)); // it ended meanwhile, and Docker has forgotten its counters
                }
                self.keep_sample(id, &sample)?;
                Ok(sample)
            }
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.status(id).await? {
            ContainerStatus::Paused { .. } => Ok(()),
            ContainerStatus::Running { .. } => self.freeze(id).await,
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.status(id).await? {
            ContainerStatus::Running { .. } => Ok(()),
            ContainerStatus::Paused { .. } => self
                .docker
                .unpause_container(&self.name_of(id))
                .await
                .map_err(|error| engine(&error)),
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn kill(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let status = self.status(id).await?;
        if !status.is_alive() {
            return Ok(());
        }
        let name = match signal {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::Kill => "SIGKILL",
        };
        if signal == Signal::Kill && matches!(status, ContainerStatus::Paused { .. }) {
            self.resume(id).await?;
        }
        let options = KillContainerOptionsBuilder::default().signal(name).build();
        match self.docker.kill_container(&self.name_of(id), Some(options)).await {
            // It ended, or was never started, meanwhile.
            Err(error) if !has_code(&error, 404) && !has_code(&error, 409) => Err(engine(&error)),
            _ => Ok(()),
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _changing = self.changing.lock().await;
        self.discard(id).await?;
        self.finish_log(id).await;
        self.followers.lock().await.remove(id);
        match fs::remove_file(self.sample_file(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove", &self.sample_file(id))(error))
            }
            _ => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_STATE}={}", self.label)])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let containers = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| engine(&error))?;
        let id = |labels: HashMap<String, String>| labels.get(LABEL_ID).and_then(|id| id.parse().ok());
        let mut ids: Vec<ContainerId> = containers
            .into_iter()
            .filter_map(|container| container.labels.and_then(id))
            .collect();
        ids.sort();
        Ok(ids)
    }
}

impl DockerRuntime {
    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let labels = HashMap::from([
            (LABEL_STATE.to_owned(), self.label.clone()),
            (LABEL_ID.to_owned(), spec.id.to_string()),
            (LABEL_LOG.to_owned(), spec.log_path.display().to_string()),
            (LABEL_LOG_MAX.to_owned(), spec.log_max_bytes.to_string()),
        ]);
        let body = request::body(spec, labels)?;
        let options = CreateContainerOptionsBuilder::default()
            .name(&self.name_of(&spec.id))
            .build();
        match self.docker.create_container(Some(options), body).await {
            Ok(_) => Ok(()),
            Err(error) if has_code(&error, 409) => Ok(()), // a request whose answer was lost did it
            Err(error) => Err(start_error(&error)),
        }
    }
}

fn has_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == code)
}

fn engine(error: &Error) -> RuntimeError {
    RuntimeError::Engine {
        engine: "docker",
        reason: error.to_string(),
    }
}

/// Docker tells a bad command apart only in words.
fn start_error(error: &Error) -> RuntimeError {
    let reason = error.to_string();
    let is_command = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "no command",
    ]
    .iter()
    .any(|words| reason.contains(words) && !reason.contains("mount"));
    if is_command {
        RuntimeError::BadCommand { reason }
    } else {
        RuntimeError::StartFailed { reason }
    }
}
