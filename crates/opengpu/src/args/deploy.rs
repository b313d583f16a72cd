//! `opengpu deploy` and `opengpu advance`.

use std::path::PathBuf;

use clap::Args;

use super::Seconds;

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// What the deployment fixes for ever, see docs/genesis.example.toml [default: on chain 31337 that of a local network]
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// JSON-RPC endpoint of the chain [default: the network's]
    #[arg(long, value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// Makes another set of addresses for the same key
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) salt: String,
    /// Print addresses and steps, send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Advance {
    /// How far, such as 1h or 14d
    #[arg(value_name = "TIME")]
    pub(crate) time: Seconds,
}
