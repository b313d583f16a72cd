//! Runs one command inside a running container, under exactly the container's isolation.
//!
//! libcontainer 0.7 can do this too, but leaves out the user namespace and the seccomp filter, so it is done here: the
//! helper joins the container's control group and all its namespaces at once, and its child drops every right the
//! first process does not have before it becomes the command.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libcontainer::capabilities::drop_privileges;
use libcontainer::oci_spec::runtime::{LinuxCapabilities, Spec};
use libcontainer::seccomp::initialize_seccomp;
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, setgid, setgroups, setsid,
    setuid,
};

use crate::runtime::RuntimeError;
use crate::runtime::cgroup::Cgroup;

use super::executor::reset_signals;
use super::folder::StateFolder;
use super::{Report, step_failed};

/// `opengpu __exec FOLDER COMMAND…`: prints one [`Report`] line with the command's exit code.
pub(crate) fn exec_main(folder: &Path, command: &[OsString]) -> u8 {
    let report = match run(&StateFolder::at(folder), command) {
        Ok(code) => Report::Ended(code),
        Err(error) => Report::of(&error),
    };
    u8::from(io::stdout().write_all(report.line().as_bytes()).is_err())
}

fn run(folder: &StateFolder, command: &[OsString]) -> Result<i32, RuntimeError> {
    let not_running = || RuntimeError::StartFailed {
        reason: "the container is not running".to_owned(),
    };
    let started = folder.started()?.ok_or_else(not_running)?;
    let spec = Spec::load(folder.path().join("bundle/config.json")).map_err(step_failed("config.json"))?;
    // Nothing in the container may look into this process, which still holds the host's descriptors.
    prctl::set_dumpable(false).map_err(step_failed("undumpable"))?;
    let first = started.process.open().ok_or_else(not_running)?;
    Cgroup::of(folder.path())?.join(Pid::this())?;
    setns(&first, all_namespaces()).map_err(step_failed("enter the container"))?;

    let (mut failure_reader, failure_writer) = io::pipe().map_err(step_failed("pipe"))?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(step_failed("fork"))? {
        ForkResult::Child => {
            drop(failure_reader);
            let Err(error) = become_command(&spec, command);
            let _ = (&failure_writer).write_all(error.to_string().as_bytes());
            // SAFETY: _exit ends the child without running destructors that belong to the parent.
            unsafe { nix::libc::_exit(127) }
        }
        ForkResult::Parent { child } => {
            drop(failure_writer);
            let mut failure = String::new();
            failure_reader
                .read_to_string(&mut failure)
                .map_err(step_failed("read the command's start"))?;
            let status = waitpid(child, None).map_err(step_failed("wait for the command"))?;
            if failure.is_empty() {
                Ok(shell_code(status))
            } else {
                Err(RuntimeError::BadCommand { reason: failure })
            }
        }
    }
}

fn all_namespaces() -> CloneFlags {
    CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP
}

/// Takes on the first process's limits and gives up what it has given up; the filter comes last before the command.
fn become_command(spec: &Spec, command: &[OsString]) -> Result<Infallible, RuntimeError> {
    let missing = || RuntimeError::StartFailed {
        reason: "config.json lacks a part".to_owned(),
    };
    let process = spec.process().as_ref().ok_or_else(missing)?;
    let linux = spec.linux().as_ref().ok_or_else(missing)?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(step_failed("death signal"))?;
    setsid().map_err(step_failed("new session"))?;
    for limit in process.rlimits().iter().flatten() {
        let resource = match limit.typ() {
            libcontainer::oci_spec::runtime::PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
            _ => Resource::RLIMIT_CORE,
        };
        setrlimit(resource, limit.soft(), limit.hard()).map_err(step_failed("resource limit"))?;
    }
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(step_failed("open /dev/null"))?;
    dup2_stdin(&null).map_err(step_failed("stdin"))?;
    dup2_stdout(&null).map_err(step_failed("stdout"))?;
    dup2_stderr(&null).map_err(step_failed("stderr"))?;
    let environment: Vec<String> = process.env().iter().flatten().cloned().collect();
    setgroups(&[]).map_err(step_failed("groups"))?;
    setgid(Gid::from_raw(process.user().gid())).map_err(step_failed("group"))?;
    setuid(Uid::from_raw(process.user().uid())).map_err(step_failed("user"))?;
    // Changing the user clears the death signal, see prctl(2).
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(step_failed("death signal"))?;
    chdir(process.cwd().as_path()).map_err(step_failed("working folder"))?;
    let program = find_program(command, &environment)?;
    prctl::set_no_new_privs().map_err(step_failed("no new privileges"))?;
    let none: LinuxCapabilities = process.capabilities().clone().ok_or_else(missing)?;
    drop_privileges(&none, &*create_syscall()).map_err(step_failed("capabilities"))?;
    let arguments = strings(command.iter().map(|argument| argument.as_bytes()))?;
    let environment = strings(environment.iter().map(|variable| variable.as_bytes()))?;
    reset_signals();
    let filter = linux.seccomp().as_ref().ok_or_else(missing)?;
    initialize_seccomp(filter).map_err(step_failed("seccomp"))?;
    let program = strings([program.as_os_str().as_bytes()].into_iter())?.remove(0);
    execve(&program, &arguments, &environment).map_err(|error| RuntimeError::BadCommand {
        reason: format!("{}: {error}", program.to_string_lossy()),
    })
}

/// Finds the command as a shell would, in the container's own files.
fn find_program(command: &[OsString], environment: &[String]) -> Result<PathBuf, RuntimeError> {
    let name = command.first().ok_or_else(|| RuntimeError::BadCommand {
        reason: "no command".to_owned(),
    })?;
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = environment
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or_default();
    let candidates = path.split(':').map(|folder| Path::new(folder).join(name));
    candidates
        .into_iter()
        .find(|candidate| File::open(candidate).is_ok() || candidate.is_file())
        .ok_or_else(|| RuntimeError::BadCommand {
            reason: format!("{} is not in $PATH", name.to_string_lossy()),
        })
}

fn strings<'a>(bytes: impl Iterator<Item = &'a [u8]>) -> Result<Vec<CString>, RuntimeError> {
    bytes
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|_| RuntimeError::BadCommand {
            reason: "an argument holds a zero byte".to_owned(),
        })
}

fn shell_code(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 128,
    }
}
