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
    /// Put OPEN behind a node
    Bond(BondChange),
    /// Ask for a part of the bond back, or take what has matured
    Unbond(BondChange),
    /// Set the most the node may bid; a raise counts after a day. By the owner
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
pub(crate) struct BondChange {
    /// How much, in whole OPEN; `unbond 0` drops the request
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
