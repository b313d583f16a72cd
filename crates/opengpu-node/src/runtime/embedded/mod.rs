//! The embedded engine: libcontainer under one [shim](crate::shim) per container. Linux, root, no daemon of its own.
//!
//! Everything is read from the container's [state folder](StateFolder) each time, so this type holds nothing that a
//! killed daemon could lose. What it sees there:
//!
//! | lock held | `started.json` | `exit.json` | status |
//! |---|---|---|---|
//! | any | any | yes | exited |
//! | yes | no | no | created |
//! | yes | yes | no | running or paused |
//! | no | yes | no | lost: whatever is left of it is killed |
//! | no | no | no | absent: whatever is left of it is killed |

mod helper;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal as SystemSignal;
use nix::unistd::geteuid;
use tokio::sync::Mutex;

use crate::image::{Form, ImageCache, ImageReference, PreparedImage};
use crate::shim::Report;
use crate::shim::folder::{StateFolder, StoredSpec};

use super::cgroup::{Cgroup, Hierarchy, io_error};
use super::{ContainerId, ContainerSpec, ContainerStatus, Runtime, RuntimeError, Sample, Signal};

pub use helper::HelperProgram;

/// First host id that containers use: above what useradd, systemd and container engines hand out by default.
const FIRST_ID: u32 = 0x3000_0000;
/// Host ids per container, as many as a Linux system can have in 16 bits.
const IDS_PER_CONTAINER: u32 = 65_536;
/// Id ranges there are: far more than containers fit on a machine.
const RANGES: u32 = 4_096;
/// How long an ended container's shim may take to write its record: reading a few files and one fsync.
const SHIM_GRACE: Duration = Duration::from_secs(20);

/// How often the kernel is asked whether killed processes are gone: it tells nobody (control groups v1).
const CLEAN_UP_INTERVAL: Duration = Duration::from_millis(5);

/// The embedded engine on one state folder.
pub struct EmbeddedRuntime {
    containers: PathBuf,
    images: ImageCache,
    helper: HelperProgram,
    /// Held while an id is being started, removed or cleaned up, so that none of these sees another half done.
    changing: Mutex<()>,
}

impl EmbeddedRuntime {
    /// Opens or makes the state folder. Only one daemon at a time may use it.
    ///
    /// # Errors
    /// [`RuntimeError::NoRuntime`] where this engine cannot run, [`RuntimeError::Io`] for the folder.
    pub fn open(state: &Path, helper: HelperProgram) -> Result<Self, RuntimeError> {
        if let Some(reason) = Self::why_not() {
            return Err(RuntimeError::NoRuntime {
                embedded: reason,
                docker: "not tried".to_owned(),
            });
        }
        let containers = state.join("containers");
        fs::create_dir_all(&containers).map_err(io_error("create", &containers))?;
        // One spelling of the path: the names of control groups follow from it.
        let containers = containers.canonicalize().map_err(io_error("open", &containers))?;
        let images = ImageCache::open(&state.join("images"), Form::RootFolder)?;
        Ok(Self {
            containers,
            images,
            helper,
            changing: Mutex::new(()),
        })
    }

    /// Why this engine cannot run here; `None` when it can.
    pub fn why_not() -> Option<String> {
        if !geteuid().is_root() {
            return Some("this process is not root".to_owned());
        }
        Hierarchy::of_this_machine().err().map(|error| error.to_string())
    }

    fn folder(&self, id: &ContainerId) -> StateFolder {
        StateFolder::at(self.containers.join(id.as_str()))
    }

    fn cgroup(&self, id: &ContainerId) -> Result<Cgroup, RuntimeError> {
        Cgroup::of(self.folder(id).path())
    }

    /// What the files say. The second part: nobody is there any more, and something may be left to clean up.
    fn look(&self, id: &ContainerId) -> Result<(ContainerStatus, bool), RuntimeError> {
        let folder = self.folder(id);
        if !folder.path().exists() {
            return Ok((ContainerStatus::Absent, false));
        }
        if let Some(record) = folder.exit()? {
            return Ok((ContainerStatus::Exited(record), false));
        }
        let is_shim_alive = folder.is_locked()?;
        let started = folder.started()?.map(|started| started.at);
        if is_shim_alive {
            let Some(started_at) = started else {
                return Ok((ContainerStatus::Created, false));
            };
            return match self.cgroup(id)?.is_frozen() {
                Ok(true) => Ok((ContainerStatus::Paused { started_at }, false)),
                // An ending container's group may be gone already; its record follows.
                Ok(false) | Err(_) => Ok((ContainerStatus::Running { started_at }, false)),
            };
        }
        // The shim may have written its record and gone between the two looks.
        match (folder.exit()?, started) {
            (Some(record), _) => Ok((ContainerStatus::Exited(record), false)),
            (None, Some(started_at)) => Ok((ContainerStatus::Lost { started_at }, true)),
            (None, None) => Ok((ContainerStatus::Absent, true)),
        }
    }

    /// Ends what a killed shim left behind, one step of it: `true` when nothing is left. Killed processes need a moment
    /// to go, and their group stays until then.
    fn clean_up(&self, id: &ContainerId) -> Result<bool, RuntimeError> {
        let cgroup = self.cgroup(id)?;
        if !cgroup.exists() {
            return Ok(true);
        }
        Ok(cgroup.kill_all()? && cgroup.remove().is_ok())
    }

    /// Ends what a killed shim left behind, and waits until it is gone.
    async fn clean_up_all(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let mut look_again = tokio::time::interval(CLEAN_UP_INTERVAL);
        let deadline = tokio::time::Instant::now() + SHIM_GRACE;
        while !self.clean_up(id)? {
            if tokio::time::Instant::now() > deadline {
                return Err(engine(format!("processes of {id} do not end")));
            }
            look_again.tick().await;
        }
        Ok(())
    }

    fn running(&self, id: &ContainerId) -> Result<StateFolder, RuntimeError> {
        match self.look(id)?.0 {
            ContainerStatus::Running { .. } => Ok(self.folder(id)),
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    /// A range of host ids that no container of this folder uses. Different folders start at different places.
    fn free_range(&self, id: &ContainerId) -> Result<u32, RuntimeError> {
        let mut used = BTreeSet::new();
        for other in self.ids()? {
            if let Some(stored) = self.folder(&other).spec()? {
                used.insert(stored.first_id);
            }
        }
        let seed = crate::image::Digest::of(id.as_str().as_bytes()).hash();
        let seed = u32::from_be_bytes([seed[0], seed[1], seed[2], seed[3]]);
        (0..RANGES)
            .map(|step| FIRST_ID + (seed.wrapping_add(step) % RANGES) * IDS_PER_CONTAINER)
            .find(|first| !used.contains(first))
            .ok_or_else(|| RuntimeError::StartFailed {
                reason: "every id range is in use".to_owned(),
            })
    }

    fn ids(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let entries = fs::read_dir(&self.containers).map_err(io_error("read", &self.containers))?;
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("read", &self.containers))?;
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Ends everything of the container and waits until its shim is gone.
    async fn end(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let folder = self.folder(id);
        let status = self.look(id)?.0;
        if status == ContainerStatus::Created
            && let Some(shim) = folder.shim()?
        {
            // Its container has not run, so there is no outcome to wait for.
            shim.signal(SystemSignal::SIGKILL)
                .map_err(|error| engine(format!("kill shim: {error}")))?;
        }
        let cgroup = self.cgroup(id)?;
        if status.is_alive() && cgroup.exists() {
            cgroup.kill_all()?;
        }
        let waiting = tokio::task::spawn_blocking(move || folder.wait_until_free());
        match tokio::time::timeout(SHIM_GRACE, waiting).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(engine(error.to_string())),
            Err(_) => Err(engine(format!("the shim of {id} does not end"))),
        }
    }
}

#[async_trait]
impl Runtime for EmbeddedRuntime {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn prepare_image(&self, image: &ImageReference) -> Result<PreparedImage, RuntimeError> {
        Ok(self.images.prepare(image).await?)
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let _changing = self.changing.lock().await;
        match self.look(&spec.id)? {
            (ContainerStatus::Absent, _) => {}
            (ContainerStatus::Lost { .. }, _) => {
                return Err(RuntimeError::Lost {
                    id: spec.id.to_string(),
                });
            }
            _ => return Ok(()),
        }
        self.clean_up_all(&spec.id).await?;
        let folder = self.folder(&spec.id);
        let first_id = match folder.spec()? {
            Some(stored) => stored.first_id,
            None => self.free_range(&spec.id)?,
        };
        folder.create()?;
        folder.write_spec(&StoredSpec {
            container: spec.clone(),
            first_id,
        })?;
        match self.helper.shim(folder.path()).await? {
            Report::Started => Ok(()),
            Report::BadCommand(reason) => Err(RuntimeError::BadCommand { reason }),
            Report::Failed(reason) => Err(RuntimeError::StartFailed { reason }),
            Report::Ended(_) => Err(engine("the shim gave an answer to another question".to_owned())),
        }
    }

    async fn status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let (status, may_be_left) = self.look(id)?;
        if !may_be_left {
            return Ok(status);
        }
        let _changing = self.changing.lock().await;
        let (status, may_be_left) = self.look(id)?;
        if may_be_left {
            self.clean_up(id)?;
        }
        Ok(status)
    }

    async fn exec(&self, id: &ContainerId, argv: &[String]) -> Result<i32, RuntimeError> {
        let folder = self.running(id)?;
        match self.helper.exec(folder.path(), argv).await? {
            Report::Ended(code) => Ok(code),
            Report::BadCommand(reason) => Err(RuntimeError::BadCommand { reason }),
            // The container may have ended under the helper's hands.
            Report::Failed(reason) => Err(self.running(id).err().unwrap_or_else(|| engine(reason))),
            Report::Started => Err(engine("the helper gave an answer to another question".to_owned())),
        }
    }

    async fn sample(&self, id: &ContainerId) -> Result<Sample, RuntimeError> {
        match self.look(id)?.0 {
            ContainerStatus::Exited(record) => Ok(record.usage),
            ContainerStatus::Running { .. } | ContainerStatus::Paused { .. } => {
                let sample = self.cgroup(id)?.sample();
                // The group goes when the container ends; then the record has the last counters.
                sample.or_else(|error| match self.folder(id).exit()? {
                    Some(record) => Ok(record.usage),
                    None => Err(error),
                })
            }
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.look(id)?.0 {
            ContainerStatus::Running { .. } | ContainerStatus::Paused { .. } => self.cgroup(id)?.set_frozen(true),
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.look(id)?.0 {
            ContainerStatus::Running { .. } | ContainerStatus::Paused { .. } => self.cgroup(id)?.set_frozen(false),
            _ => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn kill(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let status = self.look(id)?.0;
        if !status.is_alive() {
            return Ok(());
        }
        let cgroup = self.cgroup(id)?;
        if signal == Signal::Kill {
            return if cgroup.exists() {
                cgroup.kill_all().map(drop)
            } else {
                Ok(())
            };
        }
        let system = match signal {
            Signal::Interrupt => SystemSignal::SIGINT,
            _ => SystemSignal::SIGTERM,
        };
        match self.folder(id).started()? {
            Some(started) => started
                .process
                .signal(system)
                .map_err(|error| engine(format!("signal: {error}"))),
            None => Err(RuntimeError::NotRunning { id: id.to_string() }),
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _changing = self.changing.lock().await;
        let folder = self.folder(id);
        if !folder.path().exists() {
            return Ok(());
        }
        self.end(id).await?;
        self.clean_up_all(id).await?;
        folder.remove()
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        self.ids()
    }
}

fn engine(reason: String) -> RuntimeError {
    RuntimeError::Engine {
        engine: "embedded",
        reason,
    }
}
