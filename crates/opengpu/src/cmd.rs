//! The commands. Each file is one of them: it reads its options, calls what does the work, and prints.

mod advance;
mod budget;
mod demo;
mod deploy;
mod down;
mod jobs;
mod logs;
mod node;
mod pack_image;
mod ps;
mod receipt;
mod run;
mod stake;
mod status;
mod stop;
mod up;
mod wallet;

use crate::args::{Command, Gateway, Global, Job, Node};
use crate::daemons;
use crate::failure::Outcome;
use crate::home::Home;

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The user's folder.
    pub(crate) home: Home,
    /// The options every command understands.
    pub(crate) global: Global,
}

/// Does what the command line says.
pub(crate) async fn dispatch(context: Context, command: Command) -> Outcome {
    match command {
        Command::Demo(args) => demo::demo(&context, &args).await,
        Command::Up(args) => up::up(&context, &args).await,
        Command::Down(args) => down::down(&context, &args).await,
        Command::Status => status::status(&context).await,
        Command::Run(args) | Command::Job(Job::Run(args)) => run::run(&context, &args).await,
        Command::Ps(args) | Command::Job(Job::Ps(args)) => ps::ps(&context, &args).await,
        Command::Logs(args) | Command::Job(Job::Logs(args)) => logs::logs(&context, &args).await,
        Command::Stop(args) | Command::Job(Job::Stop(args)) => stop::stop(&context, &args).await,
        Command::Job(Job::Result(args)) => jobs::result(&context, &args).await,
        Command::Receipt(args) => receipt::receipt(&context, &args).await,
        Command::Wallet(args) => wallet::wallet(&context, &args).await,
        Command::Gateway(Gateway::Start(args)) => daemons::run_gateway(&args.config).await,
        Command::Stake(args) => stake::stake(&context, &args).await,
        Command::Node(Node::Start(args)) => daemons::run_node(&args.config).await,
        Command::Node(args) => node::node(&context, &args).await,
        Command::Deploy(args) => deploy::deploy(&context, &args).await,
        Command::Advance(args) => advance::advance(&context, &args).await,
        Command::Chain(args) => daemons::run_chain(&args.config).await,
        Command::PackImage(args) => pack_image::pack_image(&args),
    }
}
