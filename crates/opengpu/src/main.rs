//! The one binary: helpers of the container runtime first, then the command line.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a test that cannot go on should panic"
    )
)]

mod args;
mod client;
mod cmd;
mod daemons;
mod failure;
mod genesis;
mod home;
mod interrupts;
mod job;
mod network;
mod output;
mod session;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, Node};
use crate::cmd::Context;
use crate::failure::{Failure, OrFail, Outcome};
use crate::home::Home;
use crate::output::tell_failure;

fn main() -> ExitCode {
    // Before anything else: these helpers fork and change namespaces, which only a process with one thread may do.
    if let Some(code) = opengpu_node::shim::helper_main(std::env::args_os()) {
        return ExitCode::from(code);
    }
    // Both ring and aws-lc-rs are in the tree, so rustls must be told which to use. A second call would be harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, asks_for_json(std::env::args_os())),
    };
    let is_json = cli.global.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell_failure(&failure, is_json);
            failure.exit_code()
        }
    }
}

/// Whether a command line that could not be read asks for JSON. What follows `--` is for the job.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut ours = arguments.take_while(|argument| argument != "--");
    ours.any(|argument| argument == "--json")
}

fn run(cli: Cli) -> Outcome {
    log_to_stderr(&cli);
    let context = Context {
        home: Home::from_environment()?,
        global: cli.global,
    };
    let runtime = tokio::runtime::Runtime::new().or_fail("cannot start")?;
    let outcome = runtime.block_on(cmd::dispatch(context, cli.command));
    // A thread may still wait for an answer that nobody will type.
    runtime.shutdown_background();
    outcome
}

/// Daemons log what they do; commands only what is asked for. `RUST_LOG` overrides both.
fn log_to_stderr(cli: &Cli) {
    let is_daemon = matches!(
        cli.command,
        Command::Gateway(_) | Command::Node(Node::Start(_)) | Command::Chain(_)
    );
    let level = match (is_daemon, cli.global.verbose) {
        (false, 0) => "off",
        (true, 0) | (false, 1) => "info",
        (_, 1..=2) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .init();
}

/// Help and version go to stdout as clap writes them; a mistake becomes one line and a hint.
fn usage(error: &clap::Error, is_json: bool) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let failure = if error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        usage_failure(&error.render().to_string())
    } else if is_json {
        Failure::usage("no command is given")
    } else {
        let _ = error.print();
        return Failure::usage("").exit_code();
    };
    tell_failure(&failure, is_json);
    failure.exit_code()
}

/// Clap writes a first line, perhaps a list, tips, and the usage; the tips, or the usage, are the hint.
fn usage_failure(text: &str) -> Failure {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut message = String::new();
    let mut hint = None;
    for part in text.split("\n\n") {
        let part = part.trim();
        if let Some(tips) = part.strip_prefix("tip: ") {
            let first = tips.split("tip: ").next().unwrap_or(tips);
            hint.get_or_insert_with(|| first.trim().to_owned());
        } else if let Some(usage) = part.strip_prefix("Usage: ") {
            hint.get_or_insert_with(|| format!("usage: {usage}"));
        } else if !part.starts_with("For more information") {
            message = format!("{message} {part}");
        }
    }
    Failure::usage(message.trim())
        .hint(hint.unwrap_or_else(|| "the same command with --help says what it takes".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_asked_for_before_the_jobs_own_command() {
        let asks = |line: &[&str]| asks_for_json(line.iter().map(OsString::from));
        assert!(asks(&["opengpu", "run", "--json"]));
        assert!(!asks(&["opengpu", "run", "img", "--", "x", "--json"]));
    }

    #[test]
    fn a_mistake_becomes_one_line_and_a_hint() {
        let error = Cli::try_parse_from(["opengpu", "run"]).unwrap_err();
        let failure = usage_failure(&error.render().to_string());
        let expected = "error: the following required arguments were not provided: <IMAGE>\nhint: usage: opengpu run";
        assert!(failure.to_string().starts_with(expected), "{failure}");
    }
}
