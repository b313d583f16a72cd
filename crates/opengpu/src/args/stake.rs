//! `opengpu stake …`.

use clap::{Args, Subcommand};
use opengpu_core::Address;

use super::address;

#[derive(Debug, Subcommand)]
pub(crate) enum Stake {
    /// Lock OPEN for 14 to 365 days: revenue share, votes, and a payer's discount
    Lock(Lock),
    /// Lock what is staked for longer
    Extend(Extend),
    /// Take OPEN back once its lock has ended
    Unlock(Unlock),
    /// Take your part of the revenue that has streamed so far
    Claim(Claim),
    /// Show stake, tier, what can be claimed, and the trailing yield
    Show(Whose),
}

#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// How much, in whole OPEN, at least 1
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Days from now, 14 to 365; the longer, the more weight: 1 to 4 times
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(14..=365))]
    pub(crate) days: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// Days from now, 14 to 365, ending later than the present lock
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(14..=365))]
    pub(crate) days: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// How much, in whole OPEN [default: all of it]
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Claim {
    /// Only this token; again for more [default: every listed one]
    #[arg(long, value_name = "USDC|OPEN", ignore_case = true)]
    pub(crate) token: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// Whose stake [default: yours]
    #[arg(value_name = "ACCOUNT", value_parser = address)]
    pub(crate) account: Option<Address>,
}
