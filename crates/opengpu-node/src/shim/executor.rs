//! The last steps of a container's first process before it becomes the job's program.

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

/// Marks, in the one string libcontainer passes out of the container, an error that is the job's own fault.
pub(crate) const BAD_COMMAND: &str = "bad command: ";

/// Runs the program, tied to the life of the shim.
#[derive(Clone)]
pub(crate) struct JobExecutor;

impl Executor for JobExecutor {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        // From here on the kernel kills this process, and with it its whole pid namespace, when the shim dies.
        prctl::set_pdeathsig(Signal::SIGKILL)
            .map_err(|error| ExecutorValidationError::ArgValidationError(format!("death signal: {error}")))?;
        DefaultExecutor {}
            .validate(spec)
            .map_err(|error| ExecutorValidationError::ArgValidationError(format!("{BAD_COMMAND}{error}")))
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        reset_signals();
        let result = DefaultExecutor {}.exec(spec);
        if let Err(error) = &result {
            // Standard error is the job's log by now: the only place left to say it.
            eprintln!("opengpu: the command could not be run: {error}");
        }
        result
    }
}

/// Gives the program the signal settings it would have from a shell: Rust programs ignore SIGPIPE, and that is inherited.
pub(crate) fn reset_signals() {
    // SAFETY: installing the default action runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}
