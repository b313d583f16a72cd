//! Small steps into other namespaces, each undone before it returns.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use libcontainer::network::link::LinkClient;
use libcontainer::network::wrapper::create_network_client;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::runtime::RuntimeError;

use super::step_failed;
use super::user::RANGE;

/// Index of the loopback interface in every fresh network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// Brings up loopback in a process's network namespace: programs that talk to themselves need it, and it leads nowhere.
pub(crate) fn bring_up_loopback(pid: Pid) -> Result<(), RuntimeError> {
    let own = File::open("/proc/self/ns/net").map_err(step_failed("own network namespace"))?;
    let theirs = File::open(format!("/proc/{pid}/ns/net")).map_err(step_failed("network namespace"))?;
    setns(&theirs, CloneFlags::CLONE_NEWNET).map_err(step_failed("enter network namespace"))?;
    let result = LinkClient::new(create_network_client()).and_then(|mut client| client.set_up(LOOPBACK_INDEX));
    setns(&own, CloneFlags::CLONE_NEWNET).map_err(step_failed("leave network namespace"))?;
    result.map_err(step_failed("loopback"))
}

/// A user namespace that maps the ids 0..65536 to the host's `first_id`…: what an id-mapped mount is described by.
///
/// A namespace needs a process to be made; the process is gone when this returns. Single-threaded callers only.
pub(crate) fn user_namespace(first_id: u32) -> Result<File, RuntimeError> {
    let (mut ready_reader, ready_writer) = io::pipe().map_err(step_failed("pipe"))?;
    let (hold_reader, hold_writer) = io::pipe().map_err(step_failed("pipe"))?;
    // SAFETY: this process has one thread; the child only makes system calls and exits.
    match unsafe { fork() }.map_err(step_failed("fork"))? {
        ForkResult::Child => {
            drop((ready_reader, hold_writer));
            let code = i32::from(unshare(CloneFlags::CLONE_NEWUSER).is_err());
            drop(ready_writer);
            if code == 0 {
                let _ = (&hold_reader).read(&mut [0]);
            }
            // SAFETY: _exit ends the child without running destructors that belong to the parent.
            unsafe { nix::libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop((ready_writer, hold_reader));
            let result = ready_reader
                .read(&mut [0])
                .map_err(step_failed("user namespace"))
                .and_then(|_| map_ids(child, first_id));
            drop(hold_writer);
            let _ = kill(child, Signal::SIGKILL);
            waitpid(child, None).map_err(step_failed("wait for namespace maker"))?;
            result
        }
    }
}

fn map_ids(child: Pid, first_id: u32) -> Result<File, RuntimeError> {
    let folder = Path::new("/proc").join(child.to_string());
    let map = format!("0 {first_id} {RANGE}\n");
    for name in ["uid_map", "gid_map"] {
        std::fs::write(folder.join(name), &map).map_err(step_failed("write id map"))?;
    }
    File::open(folder.join("ns/user")).map_err(step_failed("open user namespace"))
}
