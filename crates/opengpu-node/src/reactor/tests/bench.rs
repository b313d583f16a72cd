//! A job on the bench: no clock, no container, no chain; the test says what happens and sees what the node would do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use opengpu_core::ids::{BudgetId, ChainId, CidText, NodeId, Sha256Digest};
use opengpu_core::job::{Limits, Progress, Rates, Terms, UsdRate};
use opengpu_core::money::Amount;
use opengpu_core::order::{Bid, Domain, Order, Signable, Voucher};
use opengpu_core::sign::SecretKey;
use opengpu_core::spec::{Image, ImageSource, JobKind, JobSpec, Resources};
use opengpu_core::wire::{
    ApprovedResult, ResultProposal, SignedBid, SignedOrder, SignedVoucher, Step, VoucherProposal,
};
use opengpu_core::{Address, U256};

use crate::clock::{BootId, Now};
use crate::image::{Digest, ImageConfig, PreparedImage};
use crate::ports::{ChainNews, Leavings, Position};
use crate::reactor::record::Facts;
use crate::reactor::{Done, Effect, Event, Gauge, Job, JobRecord, Rules, Stored};
use crate::runtime::{ContainerStatus, ExitOutcome, ExitRecord, Moment, Sample};

/// The second of the match.
pub(super) const MATCHED_AT: u64 = 1_800_000_000;
/// The block of the match.
pub(super) const MATCH_BLOCK: u64 = 100;
/// Boot time of the bench's clock at the match.
const BOOT_AT_MATCH: u64 = 50_000;

/// A base unit of the job's token is a millionth of a USD.
const USD_A_TOKEN: UsdRate = UsdRate(1_000_000_000_000_000_000_000_000);

pub(super) struct Bench {
    pub(super) job: Job,
    pub(super) rules: Rules,
    pub(super) now: Now,
}

pub(super) fn operator() -> SecretKey {
    SecretKey::from_bytes([1; 32]).unwrap()
}

pub(super) fn signer() -> SecretKey {
    SecretKey::from_bytes([2; 32]).unwrap()
}

/// Key of the budget that pays.
pub(super) fn spender() -> SecretKey {
    SecretKey::from_bytes([7; 32]).unwrap()
}

pub(super) fn payer() -> SecretKey {
    SecretKey::from_bytes([3; 32]).unwrap()
}

pub(super) fn stranger() -> SecretKey {
    SecretKey::from_bytes([4; 32]).unwrap()
}

fn rules() -> Rules {
    Rules {
        domain: Domain {
            chain_id: ChainId::LOCAL,
            contract: Address::repeat_byte(9),
        },
        node: NodeId(U256::from(7)),
        key: operator(),
        gpus: Vec::new(),
        confirmations: 3,
        approval_grace_millis: 20_000,
        response_window_millis: 60_000,
        collect_above_usd_micros: 0,
    }
}

/// A job of at most 100 s at a cent an hour's thousandth: 3,600 base units an hour, one a second; a voucher every 5 s.
fn spec(ready: &[&str]) -> JobSpec {
    JobSpec {
        version: 1,
        name: String::new(),
        kind: JobKind::Batch,
        image: Image {
            digest: Sha256Digest::of(b"image"),
            source: ImageSource::Registry("127.0.0.1:5000/a".to_owned()),
        },
        command: vec!["work".to_owned()],
        ready: ready.iter().map(|word| (*word).to_owned()).collect(),
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

fn order(spec: JobSpec, max_cost: u128) -> SignedOrder {
    let order = Order {
        payer: payer().address(),
        budget: BudgetId::default(),
        signer: signer().address(),
        token: Address::repeat_byte(5),
        max_cost: Amount(max_cost),
        max_price_per_hour: Amount(3_600),
        max_egress_per_gib: Amount(0),
        spec_digest: spec.digest().unwrap(),
        max_seconds: 100,
        ready_within_seconds: 60,
        min_tier: 0,
        verify_level: 0,
        max_attempts: 1,
        claimable: false,
        expires_at: MATCHED_AT + 300,
        salt: U256::from(1),
    };
    SignedOrder {
        order,
        signature: vec![0; 64].into(),
        spec,
    }
}

impl Bench {
    /// A job that was bid for.
    pub(super) fn offered(ready: &[&str], max_cost: u128) -> Self {
        let rules = rules();
        let order = order(spec(ready), max_cost);
        let job_id = order.order.job_id(rules.domain);
        let bid = Bid {
            job_id,
            node: rules.node,
            compute_per_hour: Amount(3_600),
            egress_per_gib: Amount(0),
            ready_within_seconds: 60,
            quoted_seconds: 100,
            expires_at: MATCHED_AT + 30,
        };
        let signature = bid.sign(rules.domain, &rules.key);
        let facts = Facts {
            owner: Address::repeat_byte(6),
            token_symbol: "USDC".to_owned(),
            token_decimals: 6,
            budget_key: Some(spender().address()),
        };
        let record = JobRecord::offered(job_id, order, SignedBid { bid, signature }, facts);
        let moment = Moment {
            unix_millis: MATCHED_AT * 1000,
            boot_millis: BOOT_AT_MATCH,
        };
        let now = Now {
            moment,
            boot_id: BootId("boot".into()),
            chain_ahead_millis: 0,
        };
        Self {
            job: Job::new(record),
            rules,
            now,
        }
    }

    /// A job that was matched and is being prepared.
    pub(super) fn matched(ready: &[&str], max_cost: u128) -> Self {
        let mut bench = Self::offered(ready, max_cost);
        let position = bench.position();
        let effects = bench.tell(Event::Chain {
            block: MATCH_BLOCK,
            news: ChainNews::Matched(Box::new(position)),
        });
        assert_eq!(effects, [Effect::Report(Step::Preparing), Effect::Prepare]);
        bench
    }

    /// A job that is READY, whose first voucher is signed.
    pub(super) fn running(max_cost: u128) -> Self {
        let mut bench = Self::matched(&[], max_cost);
        bench.tell(Event::Done(Done::Prepared(Ok(image()))));
        bench.tell(Event::Done(Done::Started(Ok(()))));
        let started_at = bench.now.moment;
        bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Running { started_at }))));
        let effects = bench.sampled();
        bench.sign(&proposal_in(&effects));
        bench
    }

    pub(super) fn position(&self) -> Position {
        let order = &self.job.record.order.order;
        Position {
            terms: Terms {
                payer: order.payer,
                signer: order.signer,
                token: order.token,
                operator: operator().address(),
                payee: Address::repeat_byte(6),
                budget: order.budget,
                node: self.rules.node,
                spec_digest: order.spec_digest,
                escrow: order.max_cost,
                compute_per_hour: Amount(3_600),
                egress_per_gib: Amount(0),
                rates: Rates {
                    usd_rate: USD_A_TOKEN,
                    ..Rates::unpack(U256::ZERO)
                },
                limits: Limits {
                    matched_at: MATCHED_AT,
                    max_seconds: 100,
                    ready_within_seconds: 60,
                    quoted_seconds: 100,
                    verify_level: 0,
                    max_attempts: 1,
                    attempt: 1,
                },
            },
            progress: Progress::default(),
        }
    }

    pub(super) fn tell(&mut self, event: Event) -> Vec<Effect> {
        self.job.react(&self.rules, event, &self.now)
    }

    /// Lets time pass and ticks.
    pub(super) fn after(&mut self, millis: u64) -> Vec<Effect> {
        self.now.moment.unix_millis += millis;
        self.now.moment.boot_millis += millis;
        self.tell(Event::Tick)
    }

    /// The moment now.
    pub(super) fn moment(&self) -> Moment {
        self.now.moment
    }

    /// The counters were read.
    pub(super) fn sampled(&mut self) -> Vec<Effect> {
        self.tell(Event::Done(Done::Sampled(Ok(gauge()))))
    }

    /// One second of a running job: a tick whose tasks all come back. Gives every effect.
    pub(super) fn second(&mut self) -> Vec<Effect> {
        let mut effects = self.after(1000);
        let started_at = self.moment();
        if effects.contains(&Effect::ReadStatus) {
            effects.extend(self.tell(Event::Done(Done::Status(Ok(ContainerStatus::Running { started_at })))));
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Sample { .. })) {
            effects.extend(self.sampled());
        }
        effects
    }

    /// Seconds of a running job whose signer signs each voucher at once. Gives every effect.
    pub(super) fn signed_seconds(&mut self, seconds: u32) -> Vec<Effect> {
        let mut effects = Vec::new();
        for _ in 0..seconds {
            let of_second = self.second();
            if of_second
                .iter()
                .any(|effect| matches!(effect, Effect::ProposeVoucher(_)))
            {
                effects.extend(self.sign(&proposal_in(&of_second)));
            }
            effects.extend(of_second);
        }
        effects
    }

    /// The signer signs what was proposed.
    pub(super) fn sign(&mut self, proposal: &VoucherProposal) -> Vec<Effect> {
        let signed = self.signed(proposal, &signer());
        self.tell(Event::VoucherSigned(Box::new(signed)))
    }

    pub(super) fn signed(&self, proposal: &VoucherProposal, key: &SecretKey) -> SignedVoucher {
        SignedVoucher {
            voucher: proposal.voucher.clone(),
            operator_signature: proposal.operator_signature,
            signer_signature: proposal.voucher.sign(self.rules.domain, key),
        }
    }

    pub(super) fn approved(&self, proposal: &ResultProposal, key: &SecretKey) -> ApprovedResult {
        let approve = proposal.result.approve(self.rules.domain, 0);
        ApprovedResult {
            result: proposal.result.clone(),
            operator_signature: proposal.operator_signature,
            signer_signature: approve.sign(self.rules.domain, key),
            approve,
        }
    }

    /// The program ends now with `outcome`.
    pub(super) fn exits(&mut self, outcome: ExitOutcome, oom_killed: bool) -> Vec<Effect> {
        let at = self.moment();
        let record = ExitRecord {
            outcome,
            oom_killed,
            started_at: at,
            finished_at: at,
            usage: sample(),
        };
        self.tell(Event::Done(Done::Status(Ok(ContainerStatus::Exited(record)))))
    }

    /// Output and logs are stored; gives the proposal that follows.
    pub(super) fn stored(&mut self) -> ResultProposal {
        let effects = self.tell(Event::Done(Done::Stored(Ok(stored()))));
        match effects.as_slice() {
            [Effect::ProposeResult(proposal)] => (**proposal).clone(),
            other => panic!("expected a proposal alone, got {other:?}"),
        }
    }

    /// The daemon is killed and comes back `millis` later: only the record is left, through its JSON.
    pub(super) fn is_killed_for(&mut self, millis: u64) -> Vec<Effect> {
        let json = serde_json::to_vec(&self.job.record).unwrap();
        self.job = Job::new(serde_json::from_slice(&json).unwrap());
        self.after(millis)
    }
}

/// The only voucher proposal among the effects.
pub(super) fn proposal_in(effects: &[Effect]) -> VoucherProposal {
    let proposals: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ProposeVoucher(proposal) => Some((**proposal).clone()),
            _ => None,
        })
        .collect();
    match proposals.as_slice() {
        [only] => only.clone(),
        other => panic!("expected one proposal, got {} in {effects:?}", other.len()),
    }
}

/// The effects without reports and the routine of looking at the container.
pub(super) fn notable(effects: Vec<Effect>) -> Vec<Effect> {
    let is_routine = |effect: &Effect| matches!(effect, Effect::Report(_) | Effect::ReadStatus | Effect::Sample { .. });
    effects.into_iter().filter(|effect| !is_routine(effect)).collect()
}

pub(super) fn image() -> PreparedImage {
    PreparedImage {
        digest: Digest::of(b"image"),
        folder: PathBuf::from("/image"),
        config: ImageConfig::default(),
    }
}

pub(super) fn sample() -> Sample {
    Sample {
        cpu_nanos: 2_000_000_000,
        memory_bytes: 1 << 20,
        memory_peak_bytes: 2 << 20,
        pids: 1,
        egress_bytes: 0,
    }
}

pub(super) fn gauge() -> Gauge {
    Gauge {
        sample: sample(),
        usage_root: Sha256Digest::of(b"usage"),
        log_root: Sha256Digest::of(b"log"),
        is_disk_over: false,
    }
}

pub(super) fn leavings() -> Leavings {
    Leavings {
        output: CidText("bafyoutput".to_owned()),
        logs: CidText("bafylogs".to_owned()),
        log_bytes: 6,
        usage: CidText("bafyusage".to_owned()),
        log_root: Sha256Digest::of(b"log"),
        usage_root: Sha256Digest::of(b"usage"),
    }
}

pub(super) fn stored() -> Stored {
    Stored {
        leavings: leavings(),
        earlier: Vec::new(),
    }
}

/// A voucher as a report would declare it.
pub(super) fn old_voucher(bench: &Bench) -> Voucher {
    bench
        .job
        .record
        .attempt
        .as_ref()
        .unwrap()
        .newest
        .as_ref()
        .unwrap()
        .voucher
        .clone()
}
