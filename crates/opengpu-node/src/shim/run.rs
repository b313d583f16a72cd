//! The shim: from a state folder to a running container, to its exit record.

use std::fs::{self, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, chown, dup2_stderr, dup2_stdin, dup2_stdout, fchown, fork, setsid};

use crate::image::RootedFolder;
use crate::runtime::cgroup::{Cgroup, Final, limits_swap};
use crate::runtime::{ContainerSpec, ExitOutcome, ExitRecord, Moment, MountAccess, RuntimeError};

use super::cap_log::CappedLog;
use super::executor::{BAD_COMMAND, JobExecutor};
use super::folder::{Started, StateFolder, StoredSpec};
use super::mounts::{GatheredMounts, View};
use super::process::ProcessIdentity;
use super::user::InsideUser;
use super::{Report, namespace, oci_spec, step_failed, user};

/// `opengpu __shim FOLDER`: leaves the caller, starts the container, prints one [`Report`] line, and goes on in the
/// background until the container has ended and its record is on disk.
pub(crate) fn shim_main(folder: &Path) -> u8 {
    let (mut reader, mut writer) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(error) => return print(&Report::Failed(format!("pipe: {error}")).line()),
    };
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Err(error) => print(&Report::Failed(format!("fork: {error}")).line()),
        Ok(ForkResult::Parent { child }) => {
            drop(writer);
            print(&relay(&mut reader, child))
        }
        Ok(ForkResult::Child) => {
            drop(reader);
            let folder = StateFolder::at(folder);
            let mut say = |report: &Report| drop(writer.write_all(report.line().as_bytes()));
            let started = leave_caller(&folder).and_then(|()| start(&folder));
            match started {
                Ok(running) => {
                    say(&Report::Started);
                    drop(writer);
                    running.map_or(0, |running| running.follow(&folder))
                }
                Err(error) => {
                    say(&Report::of(&error));
                    1
                }
            }
        }
    }
}

/// The shim's line, or that it ended without one. Its half-made children may hold the pipe open when it is killed, so
/// the end of the pipe alone does not tell.
fn relay(reader: &mut PipeReader, shim: Pid) -> String {
    let silent = || Report::Failed("the shim ended without a word; see shim.log".to_owned()).line();
    let Some(process) = ProcessIdentity::of(shim.as_raw()).and_then(|shim| shim.open()) else {
        return silent();
    };
    let mut sources = [
        PollFd::new(reader.as_fd(), PollFlags::POLLIN),
        PollFd::new(process.as_fd(), PollFlags::POLLIN),
    ];
    while let Err(nix::errno::Errno::EINTR) = poll(&mut sources, PollTimeout::NONE) {}
    let has_line = sources[0].any().unwrap_or_default();
    let mut line = vec![0; nix::libc::PIPE_BUF];
    match if has_line { reader.read(&mut line) } else { Ok(0) } {
        // One write of less than PIPE_BUF arrives in one piece, see pipe(7).
        Ok(count) if count > 0 => String::from_utf8_lossy(&line[..count]).into_owned(),
        _ => silent(),
    }
}

fn print(line: &str) -> u8 {
    u8::from(io::stdout().write_all(line.as_bytes()).is_err())
}

/// New session, no terminal, nothing of the caller's kept open: the daemon's death and Ctrl-C do not reach here.
fn leave_caller(folder: &StateFolder) -> Result<(), RuntimeError> {
    setsid().map_err(step_failed("new session"))?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(step_failed("open /dev/null"))?;
    let path = folder.path().join("shim.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(step_failed("open shim.log"))?;
    dup2_stdin(&null).map_err(step_failed("stdin"))?;
    dup2_stdout(&null).map_err(step_failed("stdout"))?;
    dup2_stderr(&log).map_err(step_failed("stderr"))?;
    std::env::set_current_dir("/").map_err(step_failed("change to /"))?;
    // Not standard error: in the container's first process that is the job's log.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_writer(Arc::new(log));
    // A second subscriber in one process is the only error, and there is none before this one.
    let _ = subscriber.with_ansi(false).try_init();
    Ok(())
}

/// A container whose program was told to run.
struct Running {
    spec: StoredSpec,
    cgroup: Cgroup,
    output: PipeReader,
    log: CappedLog,
    first: Pid,
    started_at: Moment,
    engine_state: PathBuf,
    _lock: super::folder::FolderLock,
}

/// Makes and starts the container. `None`: another shim has it, or it ran already.
fn start(folder: &StateFolder) -> Result<Option<Running>, RuntimeError> {
    let Some(lock) = folder.try_lock()? else {
        return Ok(None);
    };
    if folder.started()?.is_some() || folder.exit()?.is_some() {
        return Ok(None);
    }
    let spec = folder.spec()?.ok_or_else(|| RuntimeError::StartFailed {
        reason: "no spec.json".to_owned(),
    })?;
    let me = ProcessIdentity::of(std::process::id() as i32);
    folder.write_shim(&me.ok_or_else(|| RuntimeError::StartFailed {
        reason: "own /proc entry".to_owned(),
    })?)?;
    prctl::set_child_subreaper(true).map_err(step_failed("subreaper"))?;

    let log =
        CappedLog::open(&spec.container.log_path, spec.container.log_max_bytes).map_err(step_failed("open log"))?;
    let cgroup = Cgroup::of(folder.path())?;
    let engine_state = folder.path().join("engine");
    let birthplace = cgroup.be_born_in()?;
    let created = create(folder, &spec, &engine_state);
    birthplace.leave()?;
    let (output, mut container) = match created {
        Ok(created) => created,
        Err(error) => {
            let _ = cgroup.kill_all();
            let _ = cgroup.remove();
            return Err(error);
        }
    };
    let first = container.pid().map(|pid| Pid::from_raw(pid.as_raw()));
    let first = first.ok_or_else(|| RuntimeError::StartFailed {
        reason: "no first process".to_owned(),
    })?;
    namespace::bring_up_loopback(first)?;

    let process = ProcessIdentity::of(first.as_raw());
    let process = process.ok_or_else(|| RuntimeError::StartFailed {
        reason: "first process died".to_owned(),
    })?;
    let started_at = Moment::now();
    folder.write_started(&Started {
        process,
        at: started_at,
    })?;
    container.start().map_err(step_failed("start"))?;
    Ok(Some(Running {
        spec,
        cgroup,
        output,
        log,
        first,
        started_at,
        engine_state,
        _lock: lock,
    }))
}

/// Makes the container up to the point where its first process waits to be told to run.
fn create(
    folder: &StateFolder,
    spec: &StoredSpec,
    engine_state: &Path,
) -> Result<(PipeReader, Container), RuntimeError> {
    let container = &spec.container;
    let user = prepare_root(container)?;
    let host_user = (
        Uid::from_raw(spec.first_id + user.uid),
        Gid::from_raw(spec.first_id + user.gid),
    );
    let ids = namespace::user_namespace(spec.first_id)?;
    let mut gathered = GatheredMounts::enter()?;
    let root = gathered.add(&container.image.folder, View::Mapped(ids.as_fd()))?;
    let mut sources = Vec::new();
    for mount in &container.mounts {
        let view = match mount.access {
            MountAccess::ReadOnly => View::Mapped(ids.as_fd()),
            MountAccess::Writable => {
                chown(&mount.host, Some(host_user.0), Some(host_user.1))
                    .map_err(step_failed("own the output folder"))?;
                View::AsOnDisk
            }
        };
        sources.push(gathered.add(&mount.host, view)?);
    }
    let bundle = folder.path().join("bundle");
    let cgroup = Cgroup::path_in_hierarchy(folder.path());
    let config = oci_spec::build(&oci_spec::Inputs {
        container,
        first_id: spec.first_id,
        user,
        root: &root,
        sources: &sources,
        cgroup: &cgroup,
        limits_swap: limits_swap()?,
    })?;
    write_bundle(&bundle, engine_state, &config)?;

    let (output, input) = io::pipe().map_err(step_failed("output pipe"))?;
    // The program may open /dev/stdout anew, which is a permission check on the pipe itself.
    fchown(&input, Some(host_user.0), Some(host_user.1)).map_err(step_failed("own the output pipe"))?;
    let also_input = input.try_clone().map_err(step_failed("output pipe"))?;
    let null = fs::File::open("/dev/null").map_err(step_failed("open /dev/null"))?;
    let built = ContainerBuilder::new(container.id.to_string(), SyscallType::default())
        .with_executor(JobExecutor)
        .with_root_path(engine_state)
        .map_err(step_failed("engine folder"))?
        .with_stdin(OwnedFd::from(null))
        .with_stdout(OwnedFd::from(input))
        .with_stderr(OwnedFd::from(also_input))
        .as_init(&bundle)
        .with_systemd(false)
        .with_detach(true)
        .build();
    built
        .map(|container| (output, container))
        .map_err(|error| explain(&error))
}

/// Resolves the user and makes the folders that are mounted over or started in, so that the root can be read-only.
fn prepare_root(container: &ContainerSpec) -> Result<InsideUser, RuntimeError> {
    let path = &container.image.folder;
    let root = RootedFolder::open(path).map_err(step_failed("open the image"))?;
    let working_folder = oci_spec::working_folder(container);
    for mount in &container.mounts {
        oci_spec::check_mount_point(&mount.inside)?;
    }
    let own = ["/proc", "/sys", "/dev", "/tmp", working_folder.as_str()];
    for inside in own
        .into_iter()
        .chain(container.mounts.iter().map(|mount| mount.inside.as_str()))
    {
        root.ensure_folder(Path::new(inside))
            .map_err(|error| RuntimeError::BadCommand {
                reason: format!("{inside} in the image is no folder: {error}"),
            })?;
    }
    user::resolve(&container.image.config.user, &root)
}

fn write_bundle(bundle: &Path, engine_state: &Path, config: &serde_json::Value) -> Result<(), RuntimeError> {
    // A shim that was killed while it made the container leaves these; nothing of them is in use.
    for folder in [bundle, engine_state] {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(step_failed("clean up")(error)),
            _ => fs::create_dir_all(folder).map_err(step_failed("create folder"))?,
        }
    }
    let bytes = serde_json::to_vec(config).map_err(step_failed("config.json"))?;
    fs::write(bundle.join("config.json"), bytes).map_err(step_failed("config.json"))
}

fn explain(error: &libcontainer::error::LibcontainerError) -> RuntimeError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    match text.split_once(BAD_COMMAND) {
        Some((_, reason)) => RuntimeError::BadCommand {
            reason: reason.trim_end_matches('"').to_owned(),
        },
        None => RuntimeError::StartFailed { reason: text },
    }
}

impl Running {
    /// Copies the output until every process has ended, then records how the first one did.
    fn follow(mut self, folder: &StateFolder) -> u8 {
        // The output ends when the last process that holds it does, and the kernel ends all of them with the first.
        if let Err(error) = self.log.copy(&self.output) {
            tracing::error!(%error, "reading the container's output failed");
        }
        let outcome = wait_for(self.first);
        let finished_at = Moment::now();
        let Final { usage, oom_killed } = self.cgroup.finish().unwrap_or_else(|error| {
            tracing::error!(%error, "reading the final counters failed");
            Final::default()
        });
        let record = ExitRecord {
            outcome,
            oom_killed,
            started_at: self.started_at,
            finished_at,
            usage,
        };
        if let Err(error) = folder.write_exit(&record) {
            tracing::error!(%error, "the exit record could not be written");
            return 1;
        }
        if let Err(error) = self.cgroup.remove() {
            tracing::warn!(%error, container = %self.spec.container.id, "its control group stays until it is removed");
        }
        let _ = fs::remove_dir_all(&self.engine_state);
        0
    }
}

/// Reaps children until the first process is among them: as subreaper the shim may have others.
fn wait_for(first: Pid) -> ExitOutcome {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == first => return ExitOutcome::Code(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == first => return ExitOutcome::Signal(signal as i32),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "waiting for the first process failed");
                return ExitOutcome::Signal(nix::libc::SIGKILL);
            }
        }
    }
}
