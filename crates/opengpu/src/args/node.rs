//! `opengpu node …`.

use clap::{Args, Subcommand};
use opengpu_core::ids::NodeId;

use super::{Config, UsdMicros};

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Work until SIGTERM; running jobs go on without the daemon
    Start(Config),
    /// Show a node: price, tier and what the next one needs, bond, record
    Show(NodeChoice),
    /// Raise a node to the tier its record and bond have earned; anyone may
    Promote(NodeChoice),
    /// Put OPEN behind a node; only its owner gets it back
    Bond(Bond),
    /// Ask for a part of the bond back, or take what has matured. By the owner
    #[command(
        after_help = "Asked for once, it waits 21 days, unless governance has set another time; then the same command takes it, \
                      within 7 days. Taking it costs the node its tier."
    )]
    Unbond(Unbond),
    /// Set the most the node may bid; a raise counts after a day. By the owner
    #[command(
        after_help = "A raise takes a day to count, and costs the node its tier at once if the bond does not carry the tier at the \
                      new price."
    )]
    Price(PriceChange),
    /// OPEN for the week's jobs, where governance pays it
    #[command(subcommand)]
    Incentives(Incentives),
    /// Take no new jobs; open ones go on. By the owner
    Drain(NodeChoice),
    /// Take new jobs again, after draining or a suspension. By the owner
    Resume(NodeChoice),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Incentives {
    /// Show what the node's jobs of this week and before bring; off until governance sets a rate
    Show(NodeChoice),
    /// Report the node's jobs of this week and the last, and have what is due paid to its payee; anyone may
    Claim(NodeChoice),
}

#[derive(Debug, Args)]
pub(crate) struct NodeChoice {
    /// The node's id [default: the local network's node]
    #[arg(value_name = "NODE")]
    pub(crate) node: Option<NodeId>,
}

#[derive(Debug, Args)]
pub(crate) struct Bond {
    /// How much more, in whole OPEN
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// The node's id [default: the local network's node]
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeId>,
}

#[derive(Debug, Args)]
pub(crate) struct Unbond {
    /// How much, in whole OPEN; it replaces what was asked for before, and 0 drops that
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// The node's id [default: the local network's node]
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeId>,
}

#[derive(Debug, Args)]
pub(crate) struct PriceChange {
    /// USD per hour for the whole machine, at most six digits after the point
    #[arg(value_name = "USD")]
    pub(crate) usd: UsdMicros,
    /// The node's id [default: the local network's node]
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeId>,
}
