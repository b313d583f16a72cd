//! Ctrl-C and its relatives, as something to wait for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use opengpu_chain::ChainClient;
use opengpu_core::B256;

use crate::failure::{Failure, Kind, OrFail, Outcome};
use crate::output::say;

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
            _ = self.next() => Err(interrupted().hint(what_is_left)),
        }
    }
}

/// Runs what may send transactions until it ends or somebody wants the process gone, who is told which one is on its way.
pub(crate) async fn sending<T>(chain: &ChainClient, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupts.next() => Err(left(chain.on_its_way())),
    }
}

/// The same for a transaction that is better waited for: the first wish is answered with why it takes a while, and whoever listened
/// before hears of it afterwards; the second is obeyed.
pub(crate) async fn waiting_for_block<T>(chain: &ChainClient, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let mut interrupts = Interrupts::listen()?;
    tokio::pin!(work);
    tokio::select! {
        outcome = &mut work => return outcome,
        _ = interrupts.next() => {}
    }
    if let Some(transaction) = chain.on_its_way() {
        say(&format!(
            "note     transaction {transaction} waits for its block; the next Ctrl-C leaves it there"
        ));
    }
    tokio::select! {
        outcome = &mut work => outcome,
        _ = interrupts.next() => Err(left(chain.on_its_way())),
    }
}

/// What whoever ends a command is told.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Kind::Interrupted, "interrupted")
}

fn left(on_its_way: Option<B256>) -> Failure {
    match on_its_way {
        Some(transaction) => Failure::new(
            Kind::Interrupted,
            format_args!("interrupted while transaction {transaction} waited for its block"),
        )
        .hint("it may still be included: see how things stand before you run the same command again"),
        None => interrupted().hint("no transaction is on its way"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_told_which_transaction_may_still_be_included() {
        let failure = left(Some(B256::repeat_byte(7)));
        assert_eq!(failure.kind(), Kind::Interrupted);
        let said = failure.to_string();
        assert!(
            said.contains("transaction 0x0707") && said.contains("may still be included"),
            "{said}"
        );
        assert!(left(None).to_string().ends_with("hint: no transaction is on its way"));
    }
}
