//! A payer, a node's operator, a stranger and the agent; and what they sign.

use std::collections::BTreeMap;

use opengpu_core::ids::CidText;
use opengpu_core::ids::{BudgetId, JobId, NodeId, Sha256Digest};
use opengpu_core::job::{Ending, Limits, Rates, Settlement, Terms, Usage, UsdRate};
use opengpu_core::money::{Amount, Shares};
use opengpu_core::order::{Bid, Domain, JobResult, Order, Outcome, Signable as _, Voucher};
use opengpu_core::receipt::{Closing, JobFacts, Logs, Measurements, NodeFacts, Receipt, ResultFacts};
use opengpu_core::sign::SecretKey;
use opengpu_core::spec::{Image, ImageSource, JobKind, JobSpec, Resources};
use opengpu_core::wire::{ResultProposal, SignedBid, SignedOrder, SignedVoucher, VoucherProposal};
use opengpu_core::{Address, U256};
use opengpu_gateway::projector::Change;

use super::now;

/// What the fake chain takes for a contract wallet's signature.
pub const WALLET_SIGNATURE: &[u8] = b"the wallet says yes";

pub fn payer() -> SecretKey {
    SecretKey::from_bytes([1; 32]).unwrap()
}

pub fn operator() -> SecretKey {
    SecretKey::from_bytes([3; 32]).unwrap()
}

pub fn agent() -> SecretKey {
    SecretKey::from_bytes([4; 32]).unwrap()
}

/// Key of the payer's budget 7.
pub fn spender() -> SecretKey {
    SecretKey::from_bytes([7; 32]).unwrap()
}

/// Key of the payer's budget 8.
pub fn other_spender() -> SecretKey {
    SecretKey::from_bytes([8; 32]).unwrap()
}

/// The budgets of the fake chain: id, payer, key. Budget 9 is the stranger's own.
pub fn budgets() -> [(BudgetId, Address, Address); 3] {
    [
        (7, payer(), spender()),
        (8, payer(), other_spender()),
        (9, stranger(), stranger()),
    ]
    .map(|(id, payer, key)| (BudgetId(U256::from(id)), payer.address(), key.address()))
}

pub fn stranger() -> SecretKey {
    SecretKey::from_bytes([66; 32]).unwrap()
}

pub fn spec() -> JobSpec {
    JobSpec {
        version: 1,
        name: "test".to_owned(),
        kind: JobKind::Batch,
        image: Image {
            digest: Sha256Digest::of(b"manifest"),
            source: ImageSource::Registry("127.0.0.1:5000/a".to_owned()),
        },
        command: vec!["true".to_owned()],
        ready: Vec::new(),
        env: BTreeMap::new(),
        resources: Resources {
            cpu_millis: 1000,
            memory_bytes: 64 << 20,
            disk_bytes: 1 << 20,
            pids: 64,
        },
        input: None,
        voucher_interval_seconds: 5,
        expected_seconds: None,
    }
}

/// An order with its payer's signature; `salt` makes it one of its own.
pub fn order(domain: Domain, token: Address, salt: u64) -> SignedOrder {
    order_that(domain, token, salt, |_| {})
}

pub fn order_that(domain: Domain, token: Address, salt: u64, change: impl FnOnce(&mut Order)) -> SignedOrder {
    let spec = spec();
    let mut order = Order {
        payer: payer().address(),
        budget: BudgetId::default(),
        signer: agent().address(),
        token,
        max_cost: Amount(100_000),
        max_price_per_hour: Amount(600_000),
        max_egress_per_gib: Amount(0),
        spec_digest: spec.digest().unwrap(),
        max_seconds: 300,
        ready_within_seconds: 120,
        min_tier: 0,
        verify_level: 0,
        max_attempts: 2,
        claimable: false,
        expires_at: now() + 600,
        salt: U256::from(salt),
    };
    change(&mut order);
    let signature = order.sign(domain, &payer()).0.to_vec().into();
    SignedOrder { order, signature, spec }
}

/// The payer's order, paid from one of its budgets and signed by `by`.
pub fn budget_order(domain: Domain, token: Address, salt: u64, budget: u64, by: &SecretKey) -> SignedOrder {
    let mut signed = order_that(domain, token, salt, |order| order.budget = BudgetId(U256::from(budget)));
    signed.signature = signed.order.sign(domain, by).0.to_vec().into();
    signed
}

pub fn bid(domain: Domain, job: JobId, node: NodeId, by: &SecretKey) -> SignedBid {
    let bid = Bid {
        job_id: job,
        node,
        compute_per_hour: Amount(500_000),
        egress_per_gib: Amount(0),
        ready_within_seconds: 60,
        quoted_seconds: 30,
        expires_at: now() + 60,
    };
    SignedBid {
        signature: bid.sign(domain, by),
        bid,
    }
}

/// The terms an order and a bid come to.
pub fn terms(order: &Order, bid: &Bid) -> Terms {
    Terms {
        payer: order.payer,
        signer: order.signer,
        token: order.token,
        operator: operator().address(),
        payee: super::chain::owner(),
        budget: order.budget,
        node: bid.node,
        spec_digest: order.spec_digest,
        escrow: order.max_cost,
        compute_per_hour: bid.compute_per_hour,
        egress_per_gib: bid.egress_per_gib,
        rates: Rates {
            usd_rate: UsdRate(1),
            open_rate: UsdRate(1),
            shares: Shares {
                stakers_bps: 1200,
                treasury_bps: 500,
                discount_bps: 0,
                bonus_bps: 0,
            },
        },
        limits: Limits {
            matched_at: now(),
            max_seconds: order.max_seconds,
            ready_within_seconds: bid.ready_within_seconds,
            quoted_seconds: bid.quoted_seconds,
            verify_level: 0,
            max_attempts: order.max_attempts,
            attempt: 1,
        },
    }
}

pub fn voucher(job: JobId, seq: u32, billed_millis: u64) -> Voucher {
    Voucher {
        job_id: job,
        attempt: 1,
        seq,
        signed_at: now(),
        billed_millis,
        egress_bytes: 0,
        durable_millis: billed_millis,
        durable_egress_bytes: 0,
        usage_root: Sha256Digest::of(b"usage"),
        log_root: Sha256Digest::of(b"log"),
    }
}

pub fn propose(domain: Domain, voucher: Voucher, previous: Option<SignedVoucher>) -> VoucherProposal {
    VoucherProposal {
        operator_signature: voucher.sign(domain, &operator()),
        voucher,
        previous,
    }
}

/// How a node closes a job that ran one second and gave these.
pub struct Run<'a> {
    pub domain: Domain,
    pub order: &'a SignedOrder,
    pub terms: &'a Terms,
    pub owner: Address,
    pub symbol: &'a str,
    pub decimals: u8,
    pub output: &'a str,
    pub logs: (&'a str, u64),
    pub by: &'a SecretKey,
}

impl Run<'_> {
    pub fn propose(&self, previous: Option<SignedVoucher>) -> ResultProposal {
        let node = NodeFacts {
            owner: self.owner,
            gpus: Vec::new(),
        };
        let facts = JobFacts {
            domain: self.domain,
            order: &self.order.order,
            spec: &self.order.spec,
            token_symbol: self.symbol,
            token_decimals: self.decimals,
            earlier: &[],
            terms: self.terms,
            collected: &[],
            node: &node,
        };
        let output = CidText(self.output.to_owned());
        let logs = CidText(self.logs.0.to_owned());
        let closing = Closing::Result(ResultFacts {
            usage: Usage {
                billed_millis: 1000,
                egress_bytes: 0,
            },
            outcome: Outcome::Completed,
            exit_code: 0,
            output: output.clone(),
            logs: Logs {
                cid: logs.clone(),
                bytes: self.logs.1,
            },
            measured: Measurements {
                cpu_millis: 900,
                memory_peak_bytes: 1 << 20,
                vouchers: 1,
                ready_after_seconds: 0,
                usage_cid: logs.clone(),
            },
        });
        let receipt = Receipt::build(&facts, &closing).unwrap();
        let result: JobResult = receipt.result().unwrap();
        ResultProposal {
            operator_signature: result.sign(self.domain, self.by),
            result,
            receipt: String::from_utf8(receipt.canonical_json().unwrap()).unwrap(),
            output,
            logs,
            previous,
        }
    }
}

/// How the chain closes it.
pub fn settled(terms: &Terms) -> Change {
    let usage = Usage {
        billed_millis: 1000,
        egress_bytes: 0,
    };
    let bill = terms.bill(usage);
    Change::Settled {
        settlement: Settlement {
            ending: Ending::Completed,
            rating: 0,
            usage,
            ready_after_seconds: 0,
            quoted_seconds: terms.limits.quoted_seconds,
            value: bill.value,
            usd_rate: terms.rates.usd_rate,
            node_part: bill.split.node,
            stakers_part: bill.split.stakers,
            treasury_part: bill.split.treasury,
            refunded: bill.unused,
            spec_digest: terms.spec_digest,
            receipt_digest: Sha256Digest::of(b"receipt"),
        },
    }
}
