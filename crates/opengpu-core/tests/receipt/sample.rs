//! Jobs to make receipts of.

use opengpu_core::ids::{ChainId, CidText, NodeId, Sha256Digest};
use opengpu_core::job::{Ending, Limits, Rates, Terms, Usage};
use opengpu_core::money::{Amount, Shares};
use opengpu_core::order::{Domain, JobResult, Order, Outcome, Signable};
use opengpu_core::receipt::{
    Attempt, Closing, Gpu, JobFacts, Logs, Measurements, NodeFacts, Receipt, ReceiptFile, ResultFacts, Signatures,
};
use opengpu_core::sign::SecretKey;
use opengpu_core::spec::{Artifact, Image, ImageSource, JobKind, JobSpec, Resources};
use opengpu_core::wire::ApprovedResult;
use opengpu_core::{Address, U256};

pub(crate) struct Sample {
    pub(crate) domain: Domain,
    pub(crate) order: Order,
    pub(crate) spec: JobSpec,
    pub(crate) terms: Terms,
    pub(crate) node: NodeFacts,
    pub(crate) earlier: Vec<Attempt>,
    pub(crate) collected: Vec<Amount>,
    pub(crate) operator: SecretKey,
    pub(crate) signer: SecretKey,
}

pub(crate) fn cid(of: &str) -> CidText {
    CidText(format!("bafy{of}"))
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

const USAGE: Usage = Usage {
    billed_millis: 11_234,
    egress_bytes: 4_096,
};

fn spec() -> JobSpec {
    JobSpec {
        version: 1,
        name: "render".to_owned(),
        kind: JobKind::Batch,
        image: Image {
            digest: Sha256Digest::of(b"manifest"),
            source: ImageSource::Artifact(Artifact {
                cid: cid("image"),
                bytes: 10,
            }),
        },
        command: vec!["render".to_owned()],
        ready: Vec::new(),
        env: Default::default(),
        resources: Resources {
            cpu_millis: 2000,
            memory_bytes: 1 << 28,
            disk_bytes: 1 << 28,
            pids: 64,
        },
        input: Some(Artifact {
            cid: cid("data"),
            bytes: 10,
        }),
        voucher_interval_seconds: 5,
        expected_seconds: Some(12),
    }
}

impl Sample {
    pub(crate) fn new() -> Self {
        let (operator, signer, spec) = (key(3), key(2), spec());
        let order = Order {
            payer: key(1).address(),
            budget: Default::default(),
            signer: signer.address(),
            token: Address::repeat_byte(0x70),
            max_cost: Amount(1_000_000),
            max_price_per_hour: Amount(200_000_000),
            max_egress_per_gib: Amount(90_000),
            spec_digest: spec.digest().unwrap(),
            max_seconds: 3600,
            ready_within_seconds: 60,
            min_tier: 0,
            verify_level: 0,
            max_attempts: 3,
            claimable: false,
            expires_at: 1_800_000_600,
            salt: U256::from(7),
        };
        let terms = Terms {
            payer: order.payer,
            signer: order.signer,
            token: order.token,
            operator: operator.address(),
            payee: Address::repeat_byte(0x60),
            budget: order.budget,
            node: NodeId(U256::from(17)),
            spec_digest: order.spec_digest,
            escrow: order.max_cost,
            compute_per_hour: Amount(180_000_001),
            egress_per_gib: Amount(90_000),
            rates: Rates {
                shares: Shares {
                    stakers_bps: 1200,
                    treasury_bps: 500,
                    discount_bps: 50,
                    bonus_bps: 150,
                },
                ..Rates::unpack(U256::ZERO)
            },
            limits: Limits {
                matched_at: 1_800_000_000,
                max_seconds: 3600,
                ready_within_seconds: 60,
                quoted_seconds: 12,
                verify_level: 0,
                max_attempts: 3,
                attempt: 1,
            },
        };
        let gpus = vec![Gpu {
            model: "RTX 4090".to_owned(),
            count: 2,
        }];
        Self {
            domain: Domain {
                chain_id: ChainId::LOCAL,
                contract: Address::repeat_byte(0xc0),
            },
            order,
            spec,
            terms,
            node: NodeFacts {
                owner: Address::repeat_byte(0x50),
                gpus,
            },
            earlier: Vec::new(),
            collected: Vec::new(),
            operator,
            signer,
        }
    }

    pub(crate) fn facts(&self) -> JobFacts<'_> {
        JobFacts {
            domain: self.domain,
            order: &self.order,
            spec: &self.spec,
            token_symbol: "USDC",
            token_decimals: 6,
            earlier: &self.earlier,
            terms: &self.terms,
            collected: &self.collected,
            node: &self.node,
        }
    }

    pub(crate) fn receipt(&self, usage: Usage) -> Receipt {
        let closing = Closing::Result(ResultFacts {
            usage,
            outcome: Outcome::Completed,
            exit_code: 0,
            output: cid("output"),
            logs: Logs {
                cid: cid("logs"),
                bytes: 321,
            },
            measured: Measurements {
                cpu_millis: 21_000,
                memory_peak_bytes: 1 << 20,
                vouchers: 3,
                ready_after_seconds: 2,
                usage_cid: cid("usage"),
            },
        });
        Receipt::build(&self.facts(), &closing).unwrap()
    }

    pub(crate) fn approve(&self, result: JobResult) -> ApprovedResult {
        let approve = result.approve(self.domain, 4);
        ApprovedResult {
            operator_signature: result.sign(self.domain, &self.operator),
            signer_signature: approve.sign(self.domain, &self.signer),
            result,
            approve,
        }
    }

    pub(crate) fn signed_file(&self, usage: Usage) -> ReceiptFile {
        let receipt = self.receipt(usage);
        let approved = self.approve(receipt.result().unwrap());
        ReceiptFile::new(receipt, Signatures::of_both(&approved)).unwrap()
    }

    /// Ends the current attempt and matches the job again at another node.
    fn rematched(mut self, ending: Ending, usage: Usage, operator: u8) -> Self {
        let ended = self.facts().attempt(Some(ending), usage);
        self.terms.escrow = self.terms.escrow.checked_sub(ended.split.paid).unwrap();
        self.earlier.push(ended);
        self.collected.clear();
        self.operator = key(operator);
        self.terms.operator = self.operator.address();
        self.terms.node = NodeId(U256::from(operator));
        self.terms.compute_per_hour = Amount(150_000_000);
        self.terms.limits.attempt += 1;
        self
    }

    /// Completed and approved, after one voucher was collected.
    pub(crate) fn co_signed() -> ReceiptFile {
        let mut sample = Self::new();
        sample.collected = vec![Amount(100_001)];
        sample.signed_file(USAGE)
    }

    /// The signer stayed silent.
    pub(crate) fn submitted() -> ReceiptFile {
        let sample = Self::new();
        let receipt = sample.receipt(USAGE);
        let result = receipt.result().unwrap();
        let signature = result.sign(sample.domain, &sample.operator);
        ReceiptFile::new(receipt, Signatures::of_node_alone(result, signature)).unwrap()
    }

    /// No input, no GPUs, a second attempt nobody answered for.
    pub(crate) fn rebuilt() -> ReceiptFile {
        let mut sample = Self::new().rematched(Ending::Contested, USAGE, 9);
        sample.spec.input = None;
        sample.node.gpus.clear();
        let closing = Closing::Events {
            ending: Ending::Unanswered,
            usage: Usage::default(),
        };
        let receipt = Receipt::build(&sample.facts(), &closing).unwrap();
        ReceiptFile::new(receipt, Signatures::none()).unwrap()
    }

    /// Two attempts failed, the third one completed.
    pub(crate) fn third_attempt() -> ReceiptFile {
        Self::new()
            .rematched(
                Ending::HardwareFault,
                Usage {
                    billed_millis: 1_001,
                    egress_bytes: 0,
                },
                8,
            )
            .rematched(Ending::Unanswered, Usage::default(), 9)
            .signed_file(USAGE)
    }
}
