//! Containers that are only a start time and a duration, and outlive the daemon as real ones do.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::image::{Digest, ImageConfig, ImageReference, PreparedImage};
use crate::runtime::{
    ContainerId, ContainerSpec, ContainerStatus, ExitOutcome, ExitRecord, Moment, Runtime, RuntimeError, Sample, Signal,
};

/// How long making a container takes, before and after it exists: room for a kill on both sides.
const MAKING: Duration = Duration::from_millis(40);

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, Option<Moment>>,
    starts: usize,
    input_seen: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct FakeRuntime {
    state: Arc<Mutex<State>>,
    clock: Clock,
    /// How long every program runs.
    lasts: Duration,
}

impl FakeRuntime {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            state: Arc::default(),
            clock: Clock::new(),
            lasts,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn ids(&self) -> Vec<ContainerId> {
        self.state().containers.keys().cloned().collect()
    }

    pub(super) fn starts(&self) -> usize {
        self.state().starts
    }

    pub(super) fn input_seen(&self) -> Option<Vec<u8>> {
        self.state().input_seen.clone()
    }

    /// A container nobody knows.
    pub(super) fn plant(&self, id: &str) {
        let now = self.clock.now().moment;
        self.state().containers.insert(id.parse().unwrap(), Some(now));
    }

    fn end_of(&self, started_at: Moment) -> Moment {
        let lasts = u64::try_from(self.lasts.as_millis()).unwrap();
        Moment {
            unix_millis: started_at.unix_millis + lasts,
            boot_millis: started_at.boot_millis + lasts,
        }
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn prepare_image(&self, _image: &ImageReference) -> Result<PreparedImage, RuntimeError> {
        tokio::time::sleep(MAKING).await;
        Ok(PreparedImage {
            digest: Digest::of(b"image"),
            folder: PathBuf::new(),
            config: ImageConfig::default(),
        })
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        tokio::time::sleep(MAKING).await;
        {
            let mut state = self.state();
            if !state.containers.contains_key(&spec.id) {
                state.containers.insert(spec.id.clone(), Some(self.clock.now().moment));
                state.starts += 1;
                state.input_seen = fs::read(spec.mounts[0].host.join("data")).ok();
                fs::write(&spec.log_path, b"line 1\nline 2\n").unwrap();
                fs::write(spec.mounts[1].host.join("result"), b"done").unwrap();
            }
        }
        tokio::time::sleep(MAKING).await;
        Ok(())
    }

    async fn status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let Some(Some(started_at)) = self.state().containers.get(id).copied() else {
            return Ok(ContainerStatus::Absent);
        };
        let finished_at = self.end_of(started_at);
        if self.clock.now().moment.boot_millis < finished_at.boot_millis {
            return Ok(ContainerStatus::Running { started_at });
        }
        let usage = self.sample(id).await?;
        let outcome = ExitOutcome::Code(0);
        Ok(ContainerStatus::Exited(ExitRecord {
            outcome,
            oom_killed: false,
            started_at,
            finished_at,
            usage,
        }))
    }

    async fn exec(&self, _id: &ContainerId, _argv: &[String]) -> Result<i32, RuntimeError> {
        Ok(0)
    }

    async fn sample(&self, _id: &ContainerId) -> Result<Sample, RuntimeError> {
        Ok(Sample {
            cpu_nanos: 1_000_000,
            memory_bytes: 4096,
            memory_peak_bytes: 4096,
            pids: 1,
            egress_bytes: 0,
        })
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        Err(RuntimeError::NotRunning { id: id.to_string() })
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        Err(RuntimeError::NotRunning { id: id.to_string() })
    }

    async fn kill(&self, _id: &ContainerId, _signal: Signal) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        tokio::time::sleep(MAKING).await;
        self.state().containers.remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        Ok(self.ids())
    }
}
