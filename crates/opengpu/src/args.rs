//! The command line: what can be said, nothing about what it does.

mod deploy;
mod node;
mod stake;
mod values;
mod wallet;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use opengpu_core::ids::BudgetId;

pub(crate) use deploy::{Advance, Deploy};
pub(crate) use node::{Bond, Incentives, Node, NodeChoice, PriceChange, Unbond};
pub(crate) use stake::{Claim, Extend, Lock, Stake, Unlock, Whose};
pub(crate) use values::{ByteCount, CpuMillis, Seconds, UsdMicros, address};
pub(crate) use wallet::{Budget, BudgetOpen, BudgetRevoke, Transfer, Wallet};

/// Rent computing power, or sell it: jobs in containers, metered by the second, paid through an escrow on chain.
#[derive(Debug, Parser)]
#[command(
    name = "opengpu",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Print data as JSON on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Do not ask, go on
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Network of the config file; `local` is the one `opengpu up` starts
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "OPENGPU_NETWORK",
        hide_env_values = true
    )]
    pub(crate) network: Option<String>,
    /// Say more on stderr; twice: even more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one paid job on a network of its own, from order to verified receipt, and stop it all again
    Demo(Demo),
    /// Start a local network: chain, contracts, gateway, one node, a funded payer
    Up(Up),
    /// Stop the local network; its state stays
    Down(Down),
    /// Show what of the local network runs
    Status,
    /// Run a job: `opengpu run IMAGE -- CMD…`
    Run(Box<Run>),
    /// List the jobs started from here
    Ps(Ps),
    /// Show a job's log
    Logs(Logs),
    /// Ask a job to end now
    Stop(Stop),
    /// The same by their long names: `opengpu job run`
    #[command(subcommand)]
    Job(Job),
    /// Show and verify receipts
    #[command(subcommand)]
    Receipt(Receipt),
    /// Credits of the Cloud Wallet
    #[command(subcommand)]
    Wallet(Wallet),
    /// Run a gateway
    #[command(subcommand)]
    Gateway(Gateway),
    /// Stake OPEN: revenue share, votes, discount
    #[command(subcommand)]
    Stake(Stake),
    /// Run a node, and see to its standing on chain
    #[command(subcommand)]
    Node(Node),
    /// Put the contracts on a chain, or go on with it, and verify them
    Deploy(Deploy),
    /// Move a local chain's clock forward
    Advance(Advance),
    /// Keep the local network's chain node running
    #[command(name = "__chain", hide = true)]
    Chain(Config),
    /// Pack a static program into an OCI image folder (the build makes the demo's image with it)
    #[command(name = "__pack-image", hide = true)]
    PackImage(PackImage),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Run a job
    Run(Box<Run>),
    /// List the jobs started from here
    Ps(Ps),
    /// Show a job's log
    Logs(Logs),
    /// Ask a job to end now
    Stop(Stop),
    /// Fetch the output, log and receipt of a job that has ended
    Result(JobResult),
}

#[derive(Debug, Args)]
pub(crate) struct JobResult {
    /// Folder for /out, log and receipt [default: the one `run` would have used]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Job id, or the first digits of one started from here
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Scene to render: a name of the ones that come with it, or a JSON file
    #[arg(long, value_name = "NAME|FILE", default_value = "dusk")]
    pub(crate) scene: String,
    /// Folder for picture and receipt [default: ./demo-<short job id>]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Up {
    /// Port of the chain node; 0 takes a free one [default: as before, else 8545]
    #[arg(long, value_name = "PORT")]
    pub(crate) chain_port: Option<u16>,
    /// Port of the gateway; 0 takes a free one [default: as before, else 8640]
    #[arg(long, value_name = "PORT")]
    pub(crate) gateway_port: Option<u16>,
    /// Port of the node; 0 takes a free one [default: as before, else 8641]
    #[arg(long, value_name = "PORT")]
    pub(crate) node_port: Option<u16>,
    /// What the local node asks for a core-hour, in USD; it counts when the node starts [default: as before, else 1.80]
    #[arg(long, value_name = "USD")]
    pub(crate) core_hour: Option<UsdMicros>,
    /// How long the local node gathers results before it settles them in one transaction [default: as before, else not at all]
    #[arg(long, value_name = "TIME")]
    pub(crate) settle_gather: Option<Seconds>,
    /// What may be owed for a job before the local node collects it while the job runs, in USD [default: as before, else 10]
    #[arg(long, value_name = "USD")]
    pub(crate) collect_above: Option<UsdMicros>,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Also forget the chain's state, the keys and all data of the local network
    #[arg(long)]
    pub(crate) delete: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// File or folder the job reads at /in
    #[arg(long, value_name = "PATH")]
    pub(crate) input: Option<PathBuf>,
    /// Folder for /out, log and receipt [default: ./opengpu-<short job id>]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Most the job may cost, in whole tokens; locked at match, what is not used comes back
    #[arg(long, value_name = "AMOUNT", default_value = "1")]
    pub(crate) max_cost: String,
    /// Token to pay with
    #[arg(long, value_name = "USDC|OPEN", default_value = "USDC", ignore_case = true)]
    pub(crate) token: String,
    /// Pay from this budget, whose payer you are or whose key; its payer's credits are used
    #[arg(long, value_name = "ID")]
    pub(crate) budget: Option<BudgetId>,
    /// Command repeated inside the container each second until it exits 0; the meter starts then
    #[arg(long, value_name = "CMD")]
    pub(crate) ready: Option<String>,
    /// Longest wait from match to ready
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) ready_within: Seconds,
    /// Longest billed time
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) max_duration: Seconds,
    /// How long you think it takes, for the quote
    #[arg(long, value_name = "TIME")]
    pub(crate) expect: Option<Seconds>,
    /// Cores
    #[arg(long, value_name = "CORES", default_value = "1")]
    pub(crate) cpus: CpuMillis,
    /// Memory
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub(crate) memory: ByteCount,
    /// Room for the output
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) disk: ByteCount,
    /// Variable for the program, NAME=VALUE; again for more
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Name for people
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// Leave after the match; the gateway's agent goes on signing
    #[arg(long, conflicts_with = "self_sign")]
    pub(crate) detach: bool,
    /// Co-sign usage in this process instead of the gateway's agent; the job pauses while it is away
    #[arg(long)]
    pub(crate) self_sign: bool,
    /// First part of the default output folder's name: the demo names its own differently
    #[arg(skip = "opengpu".to_owned())]
    pub(crate) folder_prefix: String,
    /// Image: NAME[:TAG][@sha256:…] in a registry, oci:DIR or oci-archive:FILE
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Program and arguments; none runs the image's own
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Ended jobs too
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on as it grows, until the job ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Job id, or the first digits of one started from here
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Return at once instead of waiting for the settlement
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Job id, or the first digits of one started from here
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Show a receipt as a bill
    Show {
        /// Receipt file, job id, or the first digits of one started from here
        #[arg(value_name = "FILE|JOB")]
        receipt: String,
    },
    /// Check a receipt: no server needed; with --network also against the chain
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Receipt file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Folder with the job's output [default: `out` beside the receipt, where it is there]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// The job's log [default: `log.txt` beside the receipt, where it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The job's input
    #[arg(long, value_name = "PATH")]
    pub(crate) input: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Gateway {
    /// Serve until SIGTERM
    Start(Config),
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PackImage {
    /// Static program
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: PathBuf,
    /// Folder for the OCI image layout
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
