//! What can happen to a job, and what the node does about it.

use opengpu_core::ids::Sha256Digest;
use opengpu_core::order::{JobResult, Voucher};
use opengpu_core::wire::{ApprovedResult, Refusal, ResultProposal, SignedStop, SignedVoucher, Step, VoucherProposal};

use crate::image::PreparedImage;
use crate::ports::{ChainFault, ChainNews, EarlierAttempt, Leavings, Position};
use crate::runtime::{ContainerStatus, Sample, Signal};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// The chain says so, in this block.
    Chain {
        /// The block.
        block: u64,
        /// What it says.
        news: ChainNews,
    },
    /// What the chain said about blocks after this one is void.
    RolledBack {
        /// The last block that still holds.
        to: u64,
    },
    /// The chain's newest block.
    Head {
        /// Its number.
        block: u64,
    },
    /// The signer signed a voucher.
    VoucherSigned(Box<SignedVoucher>),
    /// The signer approved a result.
    ResultApproved(Box<ApprovedResult>),
    /// The signer refused something.
    Refused(Refusal),
    /// Payer or signer wants the job to end.
    StopRequested(SignedStop),
    /// A task that was asked for is done.
    Done(Done),
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// Image and input are here.
    Prepared(Result<PreparedImage, TaskFault>),
    /// The container runs.
    Started(Result<(), TaskFault>),
    /// What the container does.
    Status(Result<ContainerStatus, TaskFault>),
    /// Exit code of the readiness check.
    ReadyChecked(Result<i32, TaskFault>),
    /// Whether the output folder holds more than the job asked disk for.
    DiskChecked(bool),
    /// The counters, and the roots of usage log and log with them.
    Sampled(Result<Gauge, TaskFault>),
    /// The container is frozen.
    Paused(Result<(), TaskFault>),
    /// The container goes on.
    Resumed(Result<(), TaskFault>),
    /// The signal is sent.
    Killed(Result<(), TaskFault>),
    /// Output and logs are stored.
    Stored(Result<Stored, TaskFault>),
    /// `collect` was sent.
    Collected(Result<(), ChainFault>),
    /// `settle` was sent.
    Settled(Result<(), ChainFault>),
    /// `submit` was sent.
    Submitted(Result<(), ChainFault>),
    /// `answerFault` was sent.
    Answered(Result<(), ChainFault>),
    /// `contest` was sent.
    Contested(Result<(), ChainFault>),
}

/// What a result is made of besides how the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Output and logs.
    pub leavings: Leavings,
    /// The job's attempts on other nodes, oldest first.
    pub earlier: Vec<EarlierAttempt>,
}

/// What the gauges show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// The container's counters.
    pub sample: Sample,
    /// Commits to the usage samples so far.
    pub usage_root: Sha256Digest,
    /// Commits to the log so far.
    pub log_root: Sha256Digest,
    /// Whether the output folder holds more than the job asked disk for.
    pub is_disk_over: bool,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFault {
    /// Who has to act.
    pub blame: Blame,
    /// One line for people.
    pub reason: String,
}

/// Who has to act on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The job's author: bad image, bad command, bad output.
    User,
    /// This machine: disk full, broken engine.
    Machine,
    /// Nobody yet: try again.
    Passing,
    /// Nobody can tell: the container ran and its outcome is lost.
    Unknown,
}

/// Something to do. Each task is asked for once until its [`Done`] came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the gateways how far the job is.
    Report(Step),
    /// Fetch image and input.
    Prepare,
    /// Start the container, or attach to it.
    Start(PreparedImage),
    /// Ask what the container does.
    ReadStatus,
    /// Run the readiness check.
    CheckReady,
    /// Look at the output's size: before READY, when no counters are read.
    CheckDisk,
    /// Read the counters and add a line to the usage log.
    Sample {
        /// Milliseconds billed at this moment.
        billed_millis: u64,
        /// Unix milliseconds of this moment.
        at_millis: u64,
    },
    /// Freeze the container.
    Pause,
    /// Thaw it.
    Resume,
    /// Signal it.
    Kill(Signal),
    /// Ask the signer for a voucher.
    ProposeVoucher(Box<VoucherProposal>),
    /// Store output and logs, and read up on earlier attempts if this is not the first.
    Store {
        /// Which attempt this is, from 1.
        attempt: u8,
        /// The last line of the usage log: milliseconds billed.
        billed_millis: u64,
        /// And CPU milliseconds.
        cpu_millis: u64,
        /// And egress.
        egress_bytes: u64,
        /// At this unix millisecond.
        at_millis: u64,
        /// Whether to leave the output folder out.
        without_output: bool,
    },
    /// Ask the signer to approve a result.
    ProposeResult(Box<ResultProposal>),
    /// Send `collect`: be paid for what has run.
    Collect {
        /// What the chain knows.
        at: Box<Position>,
        /// A voucher whose time is over.
        voucher: Box<SignedVoucher>,
    },
    /// Send `settle`.
    Settle {
        /// What the chain knows.
        at: Box<Position>,
        /// What both signed.
        approved: Box<ApprovedResult>,
    },
    /// Send `submit`.
    Submit {
        /// What the chain knows.
        at: Box<Position>,
        /// The node's result.
        result: Box<JobResult>,
        /// The receipt it names, to be stored first.
        receipt: String,
        /// The newest voucher.
        newest: Option<Box<SignedVoucher>>,
    },
    /// Send `answerFault`.
    Answer {
        /// What the chain knows.
        at: Box<Position>,
        /// What the report declared.
        declared: Option<Box<Voucher>>,
        /// A voucher signed since.
        newer: Box<SignedVoucher>,
    },
    /// Send `contest`.
    Contest {
        /// What the chain knows.
        at: Box<Position>,
        /// What the report declared.
        declared: Option<Box<Voucher>>,
        /// The newest voucher.
        newest: Option<Box<SignedVoucher>>,
    },
    /// The bid lapsed or its order was given up: others may have the capacity.
    FreeCapacity,
    /// The bid lapsed long ago: forget the job.
    Forget,
    /// The job is over for good: remove container and files, free the capacity.
    Close,
}
