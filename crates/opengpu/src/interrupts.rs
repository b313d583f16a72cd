//! Ctrl-C and its relatives, as something to wait for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, OrFail, Outcome};

/// Wishes from outside that this process end: SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal went away).
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What was wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// A person pressed Ctrl-C and may be asked something.
    CtrlC,
    /// Somebody wants the process gone.
    Terminate,
}

impl Interrupts {
    /// Takes the signals over; from now on they no longer end the process by themselves.
    pub(crate) fn listen() -> Outcome<Self> {
        let listen = |kind| signal(kind).or_fail("cannot listen to signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::CtrlC,
            _ = self.terminate.recv() => Interrupt::Terminate,
            _ = self.hangup.recv() => Interrupt::Terminate,
        }
    }

    /// Runs `work` until it ends or somebody wants the process gone; then `work` is dropped where it stands, and `what_is_left`
    /// is the hint: what was done so far and what to do about it.
    pub(crate) async fn or<T>(
        &mut self,
        work: impl Future<Output = Outcome<T>>,
        what_is_left: impl std::fmt::Display,
    ) -> Outcome<T> {
        tokio::select! {
            outcome = work => outcome,
            _ = self.next() => Err(Failure::error("interrupted").hint(what_is_left)),
        }
    }
}
