//! `opengpu wallet …`.

use clap::{Args, Subcommand};
use opengpu_core::Address;
use opengpu_core::ids::BudgetId;

use super::{Seconds, address};

#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Show credits and tokens
    Show,
    /// Turn tokens into credits
    Deposit(Transfer),
    /// Turn credits into tokens
    Withdraw(Transfer),
    /// Let another key spend some of your credits
    #[command(subcommand)]
    Budget(Budget),
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// How much, in whole tokens
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Which token
    #[arg(long, value_name = "USDC|OPEN", default_value = "USDC", ignore_case = true)]
    pub(crate) token: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Budget {
    /// Let another key spend up to a cap of your credits
    Open(BudgetOpen),
    /// List the budgets you pay for, those you may spend, and what was opened under them
    Ls,
    /// End a budget and all below it; what its jobs have locked stays locked until they end
    Revoke(BudgetRevoke),
}

#[derive(Debug, Args)]
pub(crate) struct BudgetOpen {
    /// Account that may spend; it needs some of the chain's coin for gas, and no credits
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) key: Address,
    /// Most it may spend in all, in whole tokens; refunds do not count
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) cap: String,
    /// Most it may lock for one job [default: the cap]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_job: Option<String>,
    /// Token it may spend [default: USDC, or the parent's]
    #[arg(long, value_name = "USDC|OPEN", ignore_case = true)]
    pub(crate) token: Option<String>,
    /// How long it is good [default: 30d, or as long as the parent]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<Seconds>,
    /// Open it under this budget, within its limits; by the payer or that budget's key
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<BudgetId>,
}

#[derive(Debug, Args)]
pub(crate) struct BudgetRevoke {
    /// The budget's id
    #[arg(value_name = "ID")]
    pub(crate) budget: BudgetId,
}
