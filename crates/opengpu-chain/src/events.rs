//! What happened on chain, in core's words.

use alloy::primitives::{B256, LogData};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEventInterface as _;
use opengpu_core::ids::{BudgetId, JobId, NodeId, Sha256Digest};
use opengpu_core::job::{Progress, Settlement, Terms, Usage, UsdRate};
use opengpu_core::money::Amount;
use opengpu_core::order::{JobResult, Voucher};
use opengpu_core::{Address, U256};

use crate::bindings::Cloudverse::CloudverseEvents as Market;
use crate::bindings::NodeRegistry::NodeRegistryEvents as Registry;
use crate::convert::{amount, malformed, progress_from, result_from, settlement_from, terms_from, voucher_from};
use crate::error::ChainError;
use crate::network::Contracts;

/// An event and where it is on chain. Ordered by block and log index, each is unique until its block is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Height of its block.
    pub block: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Unix second of its block.
    pub timestamp: u64,
    /// The transaction that emitted it.
    pub transaction: B256,
    /// Its number within the block.
    pub log_index: u64,
    /// What happened.
    pub event: ChainEvent,
}

/// The events of `Cloudverse` and `NodeRegistry`. Amounts are base units of the job's token unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "fields are those of the Solidity events, documented in contracts/src/interfaces"
)]
pub enum ChainEvent {
    /// An order was matched: its escrow is locked. Progress is all zero, the attempt is 1.
    Matched { job: JobId, terms: Terms },
    /// An interrupted job was matched again.
    Rematched {
        job: JobId,
        terms: Terms,
        progress: Progress,
    },
    /// An order was withdrawn before it was matched.
    OrderCancelled { job: JobId, payer: Address, by: Address },
    /// A running attempt got more escrow and time; `terms` replaces the former ones.
    Extended {
        job: JobId,
        add_cost: Amount,
        add_seconds: u32,
        terms: Terms,
    },
    /// A voucher was cashed. The parts are what this call moved; `value` and `usage` are cumulative.
    Collected {
        job: JobId,
        node: NodeId,
        payer: Address,
        seq: u32,
        usage: Usage,
        value: Amount,
        node_part: Amount,
        stakers_part: Amount,
        treasury_part: Amount,
    },
    /// The payer's side reported a fault and declared its newest voucher.
    FaultReported {
        job: JobId,
        node: NodeId,
        by: Address,
        declared: Option<Voucher>,
        progress: Progress,
    },
    /// A newer voucher was shown: it ends the report (`is_over`) or replaces the declared one.
    FaultAnswered {
        job: JobId,
        node: NodeId,
        is_over: bool,
        voucher: Option<Voucher>,
        progress: Progress,
    },
    /// A node contested a report at V2: it runs on.
    FaultContested {
        job: JobId,
        node: NodeId,
        progress: Progress,
    },
    /// A report stayed unanswered; the bond gave the payer `make_good` base units of OPEN of the `asked` ones.
    Faulted {
        job: JobId,
        node: NodeId,
        payer: Address,
        asked: Amount,
        make_good: Amount,
    },
    /// An attempt ended and the job may be matched again within an hour.
    Interrupted {
        job: JobId,
        node: NodeId,
        payer: Address,
        settlement: Settlement,
        progress: Progress,
    },
    /// V2: a result waits for challenges.
    ResultSubmitted {
        job: JobId,
        node: NodeId,
        payer: Address,
        result_hash: B256,
        result: JobResult,
        progress: Progress,
    },
    /// The job is closed with its last attempt.
    Settled {
        job: JobId,
        node: NodeId,
        payer: Address,
        settlement: Settlement,
    },
    /// An interrupted job was closed without another attempt.
    Closed {
        job: JobId,
        payer: Address,
        refunded: Amount,
    },

    /// Credits were bought; `credits` is the account's new balance.
    Deposited {
        account: Address,
        token: Address,
        from: Address,
        amount: Amount,
        credits: Amount,
    },
    /// Credits became tokens again; `credits` is the account's new balance.
    Withdrawn {
        account: Address,
        token: Address,
        to: Address,
        amount: Amount,
        credits: Amount,
    },
    /// A budget was opened.
    BudgetOpened {
        budget: BudgetId,
        payer: Address,
        key: Address,
        parent: BudgetId,
        token: Address,
        cap: Amount,
        per_job: Amount,
        expires_at: u64,
    },
    /// A budget was revoked, and with it the spending of all below it.
    BudgetRevoked { budget: BudgetId, by: Address },
    /// A token's rate or T0 cap was set; a rate of 0 de-lists it.
    ListingSet {
        token: Address,
        usd_rate: UsdRate,
        t0_cap: Amount,
    },
    /// The fee shares of new matches were set, basis points.
    FeesSet { stakers_bps: u16, treasury_bps: u16 },
    /// A finished week's stakers' part left for the staking contract.
    StakersRevenuePulled { week: u64, token: Address, amount: Amount },
    /// A finished week's treasury part became credits of the treasury.
    TreasuryRevenuePulled { week: u64, token: Address, amount: Amount },

    /// A node joined.
    NodeRegistered {
        node: NodeId,
        owner: Address,
        operator: Address,
        hardware_digest: Sha256Digest,
        gpu_model: String,
    },
    /// A node changed hands (also when it was minted, `from` zero).
    NodeTransferred { node: NodeId, from: Address, to: Address },
    /// A node's hot key was set until unix second `expires`.
    OperatorSet {
        node: NodeId,
        operator: Address,
        expires: u64,
    },
    /// The node's part goes elsewhere from the next match on.
    PayeeSet { node: NodeId, payee: Address },
    /// The list price changes at unix second `from`, millionths of a USD per hour.
    ListPriceSet { node: NodeId, list_price: u64, from: u64 },
    /// The owner stopped new matches.
    NodeDrained { node: NodeId },
    /// The owner allowed new matches again.
    NodeResumed { node: NodeId },
    /// Unanswered faults stopped new matches.
    NodeSuspended { node: NodeId },
    /// OPEN was put behind a node; `bond` is the new total.
    Bonded {
        node: NodeId,
        from: Address,
        amount: Amount,
        bond: Amount,
    },
    /// A part of the bond was asked back.
    UnbondRequested {
        node: NodeId,
        amount: Amount,
        unbonds_at: u64,
        lapses_at: u64,
    },
    /// A part of the bond left; `bond` is the new total.
    Unbonded {
        node: NodeId,
        to: Address,
        amount: Amount,
        bond: Amount,
    },
    /// A payer was made good out of the bond; `bond` is the new total.
    MadeGood {
        node: NodeId,
        asked: Amount,
        amount: Amount,
        bond: Amount,
    },
    /// The node's tier rose or fell.
    TierChanged { node: NodeId, old_tier: u8, tier: u8 },
    /// The time an unbond request takes was set.
    UnbondingSecondsSet { seconds: u32 },
}

impl ChainEvent {
    /// The job it is about, if any.
    #[must_use]
    pub const fn job(&self) -> Option<JobId> {
        match self {
            Self::Matched { job, .. }
            | Self::Rematched { job, .. }
            | Self::OrderCancelled { job, .. }
            | Self::Extended { job, .. }
            | Self::Collected { job, .. }
            | Self::FaultReported { job, .. }
            | Self::FaultAnswered { job, .. }
            | Self::FaultContested { job, .. }
            | Self::Faulted { job, .. }
            | Self::Interrupted { job, .. }
            | Self::ResultSubmitted { job, .. }
            | Self::Settled { job, .. }
            | Self::Closed { job, .. } => Some(*job),
            _ => None,
        }
    }

    /// Its name in the contracts.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Matched { .. } => "Matched",
            Self::Rematched { .. } => "Rematched",
            Self::OrderCancelled { .. } => "OrderCancelled",
            Self::Extended { .. } => "Extended",
            Self::Collected { .. } => "Collected",
            Self::FaultReported { .. } => "FaultReported",
            Self::FaultAnswered { .. } => "FaultAnswered",
            Self::FaultContested { .. } => "FaultContested",
            Self::Faulted { .. } => "Faulted",
            Self::Interrupted { .. } => "Interrupted",
            Self::ResultSubmitted { .. } => "ResultSubmitted",
            Self::Settled { .. } => "Settled",
            Self::Closed { .. } => "Closed",
            Self::Deposited { .. } => "Deposited",
            Self::Withdrawn { .. } => "Withdrawn",
            Self::BudgetOpened { .. } => "BudgetOpened",
            Self::BudgetRevoked { .. } => "BudgetRevoked",
            Self::ListingSet { .. } => "ListingSet",
            Self::FeesSet { .. } => "FeesSet",
            Self::StakersRevenuePulled { .. } => "StakersRevenuePulled",
            Self::TreasuryRevenuePulled { .. } => "TreasuryRevenuePulled",
            Self::NodeRegistered { .. } => "NodeRegistered",
            Self::NodeTransferred { .. } => "Transfer",
            Self::OperatorSet { .. } => "UpdateUser",
            Self::PayeeSet { .. } => "PayeeSet",
            Self::ListPriceSet { .. } => "ListPriceSet",
            Self::NodeDrained { .. } => "NodeDrained",
            Self::NodeResumed { .. } => "NodeResumed",
            Self::NodeSuspended { .. } => "NodeSuspended",
            Self::Bonded { .. } => "Bonded",
            Self::UnbondRequested { .. } => "UnbondRequested",
            Self::Unbonded { .. } => "Unbonded",
            Self::MadeGood { .. } => "MadeGood",
            Self::TierChanged { .. } => "TierChanged",
            Self::UnbondingSecondsSet { .. } => "UnbondingSecondsSet",
        }
    }
}

/// Decodes a log of one of the network's contracts. `None` for events that say nothing about jobs, money or nodes (approvals) and for ones
/// a later contract may add.
///
/// # Errors
/// [`ChainError::Malformed`] when a known event does not decode, or the log lacks its place: then the ABI we were built with is wrong.
pub(crate) fn decode(log: &Log, timestamp: u64, contracts: &Contracts) -> Result<Option<Envelope>, ChainError> {
    let event = if log.address() == contracts.cloudverse {
        market_event(&log.inner.data)?
    } else if log.address() == contracts.node_registry {
        registry_event(&log.inner.data)?
    } else {
        None
    };
    let Some(event) = event else { return Ok(None) };
    let place = || malformed("an event without its place on chain");
    Ok(Some(Envelope {
        block: log.block_number.ok_or_else(place)?,
        block_hash: log.block_hash.ok_or_else(place)?,
        timestamp,
        transaction: log.transaction_hash.ok_or_else(place)?,
        log_index: log.log_index.ok_or_else(place)?,
        event,
    }))
}

fn market_event(data: &LogData) -> Result<Option<ChainEvent>, ChainError> {
    let topics = data.topics();
    let Some(first) = topics.first() else { return Ok(None) };
    if !Market::SELECTORS.contains(&first.0) {
        return Ok(None);
    }
    let event = Market::decode_raw_log(topics, &data.data).map_err(malformed)?;
    Ok(Some(match event {
        Market::Matched(e) => ChainEvent::Matched {
            job: JobId(e.jobId),
            terms: terms_from(&e.terms)?,
        },
        Market::Rematched(e) => ChainEvent::Rematched {
            job: JobId(e.jobId),
            terms: terms_from(&e.terms)?,
            progress: progress_from(&e.progress),
        },
        Market::OrderCancelled(e) => ChainEvent::OrderCancelled {
            job: JobId(e.jobId),
            payer: e.payer,
            by: e.by,
        },
        Market::Extended(e) => ChainEvent::Extended {
            job: JobId(e.jobId),
            add_cost: Amount(e.addCost),
            add_seconds: e.addSeconds,
            terms: terms_from(&e.terms)?,
        },
        Market::Collected(e) => ChainEvent::Collected {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            payer: e.payer,
            seq: e.seq,
            usage: Usage {
                billed_millis: e.billedMillis,
                egress_bytes: e.egressBytes,
            },
            value: Amount(e.value),
            node_part: Amount(e.nodePart),
            stakers_part: Amount(e.stakersPart),
            treasury_part: Amount(e.treasuryPart),
        },
        Market::Interrupted(e) => ChainEvent::Interrupted {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            payer: e.payer,
            settlement: settlement_from(&e.settlement)?,
            progress: progress_from(&e.progress),
        },
        Market::ResultSubmitted(e) => ChainEvent::ResultSubmitted {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            payer: e.payer,
            result_hash: e.resultHash,
            result: result_from(&e.result)?,
            progress: progress_from(&e.progress),
        },
        Market::Settled(e) => ChainEvent::Settled {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            payer: e.payer,
            settlement: settlement_from(&e.settlement)?,
        },
        Market::Closed(e) => ChainEvent::Closed {
            job: JobId(e.jobId),
            payer: e.payer,
            refunded: Amount(e.refunded),
        },
        other => return Ok(fault_event(&other).or_else(|| wallet_event(&other))),
    }))
}

fn fault_event(event: &Market) -> Option<ChainEvent> {
    Some(match event {
        Market::FaultReported(e) => ChainEvent::FaultReported {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            by: e.by,
            declared: voucher_from(&e.declared),
            progress: progress_from(&e.progress),
        },
        Market::FaultAnswered(e) => ChainEvent::FaultAnswered {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            is_over: e.isOver,
            voucher: voucher_from(&e.voucher),
            progress: progress_from(&e.progress),
        },
        Market::FaultContested(e) => ChainEvent::FaultContested {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            progress: progress_from(&e.progress),
        },
        Market::Faulted(e) => ChainEvent::Faulted {
            job: JobId(e.jobId),
            node: NodeId(e.node),
            payer: e.payer,
            asked: amount(e.asked),
            make_good: amount(e.makeGood),
        },
        _ => return None,
    })
}

fn wallet_event(event: &Market) -> Option<ChainEvent> {
    Some(match event {
        Market::Deposited(e) => ChainEvent::Deposited {
            account: e.account,
            token: e.token,
            from: e.from,
            amount: amount(e.amount),
            credits: amount(e.credits),
        },
        Market::Withdrawn(e) => ChainEvent::Withdrawn {
            account: e.account,
            token: e.token,
            to: e.to,
            amount: amount(e.amount),
            credits: amount(e.credits),
        },
        Market::BudgetOpened(e) => ChainEvent::BudgetOpened {
            budget: BudgetId(e.budget),
            payer: e.payer,
            key: e.key,
            parent: BudgetId(e.parent),
            token: e.token,
            cap: Amount(e.cap),
            per_job: Amount(e.perJob),
            expires_at: e.expiresAt.saturating_to(),
        },
        Market::BudgetRevoked(e) => ChainEvent::BudgetRevoked {
            budget: BudgetId(e.budget),
            by: e.by,
        },
        Market::ListingSet(e) => ChainEvent::ListingSet {
            token: e.token,
            usd_rate: UsdRate(e.usdRate.saturating_to()),
            t0_cap: Amount(e.t0Cap),
        },
        Market::FeesSet(e) => ChainEvent::FeesSet {
            stakers_bps: e.stakersBps,
            treasury_bps: e.treasuryBps,
        },
        Market::StakersRevenuePulled(e) => ChainEvent::StakersRevenuePulled {
            week: week(e.week),
            token: e.token,
            amount: amount(e.amount),
        },
        Market::TreasuryRevenuePulled(e) => ChainEvent::TreasuryRevenuePulled {
            week: week(e.week),
            token: e.token,
            amount: amount(e.amount),
        },
        _ => return None,
    })
}

fn registry_event(data: &LogData) -> Result<Option<ChainEvent>, ChainError> {
    let topics = data.topics();
    let Some(first) = topics.first() else { return Ok(None) };
    if !Registry::SELECTORS.contains(&first.0) {
        return Ok(None);
    }
    let event = Registry::decode_raw_log(topics, &data.data).map_err(malformed)?;
    Ok(Some(match event {
        Registry::NodeRegistered(e) => ChainEvent::NodeRegistered {
            node: NodeId(e.node),
            owner: e.owner,
            operator: e.operator,
            hardware_digest: Sha256Digest(e.hardwareDigest),
            gpu_model: e.gpuModel,
        },
        Registry::Transfer(e) => ChainEvent::NodeTransferred {
            node: NodeId(e.tokenId),
            from: e.from,
            to: e.to,
        },
        Registry::UpdateUser(e) => ChainEvent::OperatorSet {
            node: NodeId(e.tokenId),
            operator: e.user,
            expires: e.expires,
        },
        Registry::PayeeSet(e) => ChainEvent::PayeeSet {
            node: NodeId(e.node),
            payee: e.payee,
        },
        Registry::ListPriceSet(e) => ChainEvent::ListPriceSet {
            node: NodeId(e.node),
            list_price: e.listPrice,
            from: e.from,
        },
        Registry::NodeDrained(e) => ChainEvent::NodeDrained { node: NodeId(e.node) },
        Registry::NodeResumed(e) => ChainEvent::NodeResumed { node: NodeId(e.node) },
        Registry::NodeSuspended(e) => ChainEvent::NodeSuspended { node: NodeId(e.node) },
        Registry::TierChanged(e) => ChainEvent::TierChanged {
            node: NodeId(e.node),
            old_tier: e.oldTier,
            tier: e.tier,
        },
        other => return Ok(bond_event(&other)),
    }))
}

fn bond_event(event: &Registry) -> Option<ChainEvent> {
    Some(match event {
        Registry::Bonded(e) => ChainEvent::Bonded {
            node: NodeId(e.node),
            from: e.from,
            amount: Amount(e.amount),
            bond: Amount(e.bond),
        },
        Registry::UnbondRequested(e) => ChainEvent::UnbondRequested {
            node: NodeId(e.node),
            amount: Amount(e.amount),
            unbonds_at: e.unbondsAt,
            lapses_at: e.lapsesAt,
        },
        Registry::Unbonded(e) => ChainEvent::Unbonded {
            node: NodeId(e.node),
            to: e.to,
            amount: Amount(e.amount),
            bond: Amount(e.bond),
        },
        Registry::MadeGood(e) => ChainEvent::MadeGood {
            node: NodeId(e.node),
            asked: amount(e.asked),
            amount: amount(e.amount),
            bond: Amount(e.bond),
        },
        Registry::UnbondingSecondsSet(e) => ChainEvent::UnbondingSecondsSet { seconds: e.newSeconds },
        _ => return None,
    })
}

fn week(week: U256) -> u64 {
    week.saturating_to()
}
