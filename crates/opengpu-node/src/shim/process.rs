//! Naming a process so that a reused pid is never taken for it, and signalling it without that race.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// A process by pid and start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    /// The pid, as the host sees it.
    pub(crate) pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks from boot to its start.
    pub(crate) start_ticks: u64,
}

impl ProcessIdentity {
    /// Of a process that exists now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self {
            pid,
            start_ticks: start_ticks(&stat)?,
        })
    }

    /// Opens the process; `None` when it has ended, even when another has its pid by now.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: the kernel just returned this descriptor and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // The pid is checked after opening: from here on the descriptor names one process only.
        (Self::of(self.pid)? == *self).then_some(fd)
    }

    /// Sends a signal; a process that has ended is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let Some(fd) = self.open() else { return Ok(()) };
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and a null siginfo is what kill(2) does.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal as i32, no_info, 0) };
        match Errno::result(result) {
            Err(Errno::ESRCH) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Field 22 of a stat line. The name in field 2 may hold spaces and brackets, so counting starts after its last `)`.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_name() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 0 0";
        assert_eq!(start_ticks(stat), Some(98765));
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let me = ProcessIdentity::of(std::process::id() as i32).unwrap();
        assert!(me.open().is_some());
        let other = ProcessIdentity {
            start_ticks: me.start_ticks + 1,
            ..me
        };
        assert!(other.open().is_none());
        assert_eq!(other.signal(Signal::SIGKILL), Ok(()));
    }
}
