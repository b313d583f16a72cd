//! A chain with everything deployed, and the five accounts of a local network.

use std::collections::BTreeMap;
use std::path::Path;

use opengpu_chain::devnet::{Devnet, DevnetConfig, dev_key};
use opengpu_chain::{Batch, ChainClient, DeployConfig, Envelope, JobRecord, Network, deploy};
use opengpu_core::ids::{BudgetId, JobId, NodeId, Sha256Digest};
use opengpu_core::money::Amount;
use opengpu_core::order::{Bid, JobResult, Order, Outcome, Signable as _, Voucher};
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{ApprovedResult, SignedBid, SignedVoucher};
use opengpu_core::{Address, U256};

/// USDC has six decimals.
pub(crate) const USDC: u128 = 1_000_000;
/// 1,000 base units a second.
pub(crate) const PRICE_PER_HOUR: u128 = 3_600_000;

pub(crate) struct World {
    pub(crate) devnet: Option<Devnet>,
    pub(crate) network: Network,
    pub(crate) usdc: Address,
    pub(crate) governance: ChainClient,
    pub(crate) payer: ChainClient,
    pub(crate) owner: ChainClient,
    pub(crate) operator: ChainClient,
    pub(crate) agent: ChainClient,
    pub(crate) node: NodeId,
}

pub(crate) fn key(index: usize) -> SecretKey {
    dev_key(index).unwrap()
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::on(&DevnetConfig::ephemeral().unwrap()).await
    }

    pub(crate) async fn kept_in(folder: &Path) -> Self {
        Self::on(&DevnetConfig {
            state: Some(folder.to_owned()),
            ..DevnetConfig::ephemeral().unwrap()
        })
        .await
    }

    pub(crate) async fn on(config: &DevnetConfig) -> Self {
        let devnet = Devnet::start(config).await.unwrap();
        let network = deploy(&DeployConfig::local(devnet.rpc_url()), key(0)).await.unwrap();
        let usdc = network.token("USDC").unwrap().address;
        let governance = ChainClient::connect(&network, Some(key(0))).await.unwrap();
        let by = |index| governance.with_key(Some(key(index))).unwrap();
        let (payer, owner, operator, agent) = (by(1), by(2), by(3), by(4));
        payer
            .mint_test_stablecoin(usdc, key(1).address(), Amount(1_000 * USDC))
            .await
            .unwrap();
        let (node, _) = owner
            .register_node(key(3).address(), Sha256Digest::of(b"hardware"), "CPU only")
            .await
            .unwrap();
        owner.set_list_price(node, 10_000_000).await.unwrap();
        Self {
            devnet: Some(devnet),
            network,
            usdc,
            governance,
            payer,
            owner,
            operator,
            agent,
            node,
        }
    }

    /// Another node, of another owner: account 5 owns it, 6 operates it.
    pub(crate) async fn second_node(&self) -> NodeId {
        let owner = self.governance.with_key(Some(key(5))).unwrap();
        let digest = Sha256Digest::of(b"other hardware");
        let (node, _) = owner.register_node(key(6).address(), digest, "CPU only").await.unwrap();
        owner.set_list_price(node, 10_000_000).await.unwrap();
        node
    }

    pub(crate) async fn order(&self, salt: u64) -> Order {
        Order {
            payer: key(1).address(),
            budget: BudgetId::default(),
            signer: key(4).address(),
            token: self.usdc,
            max_cost: Amount(USDC),
            max_price_per_hour: Amount(PRICE_PER_HOUR),
            max_egress_per_gib: Amount(1_000),
            spec_digest: Sha256Digest::of(b"spec"),
            max_seconds: 600,
            ready_within_seconds: 60,
            min_tier: 0,
            verify_level: 0,
            max_attempts: 2,
            claimable: false,
            expires_at: self.payer.now().await.unwrap() + 3_600,
            salt: U256::from(salt),
        }
    }

    pub(crate) async fn bid(&self, order: &Order, node: NodeId, operator: &SecretKey) -> SignedBid {
        let bid = Bid {
            job_id: order.job_id(self.network.domain()),
            node,
            compute_per_hour: Amount(PRICE_PER_HOUR),
            egress_per_gib: Amount(1_000),
            ready_within_seconds: 30,
            quoted_seconds: 100,
            expires_at: self.payer.now().await.unwrap() + 600,
        };
        SignedBid {
            signature: bid.sign(self.network.domain(), operator),
            bid,
        }
    }

    /// Matches a new order on the first node; the payer has credits.
    pub(crate) async fn matched(&self, salt: u64) -> (Order, JobId) {
        self.payer.deposit(self.usdc, Amount(10 * USDC)).await.unwrap();
        let order = self.order(salt).await;
        let bid = self.bid(&order, self.node, &key(3)).await;
        self.payer.match_order(&order, &[], &bid).await.unwrap();
        let job = order.job_id(self.network.domain());
        (order, job)
    }

    pub(crate) async fn record(&self, job: JobId) -> JobRecord {
        let (record, _) = self.payer.job_record(job).await.unwrap().unwrap();
        let slot = self.payer.job(job).await.unwrap();
        assert_eq!((record.state, record.entered_at), (slot.state, slot.entered_at));
        assert_eq!(record.hash().unwrap(), slot.hash, "the record missed something");
        record
    }

    pub(crate) async fn voucher(&self, job: JobId, seq: u32, billed_millis: u64) -> SignedVoucher {
        let voucher = Voucher {
            job_id: job,
            attempt: 1,
            seq,
            signed_at: self.payer.now().await.unwrap(),
            billed_millis,
            egress_bytes: 0,
            durable_millis: billed_millis,
            durable_egress_bytes: 0,
            usage_root: Sha256Digest::of(b"usage"),
            log_root: Sha256Digest::of(b"log"),
        };
        SignedVoucher {
            operator_signature: voucher.sign(self.network.domain(), &key(3)),
            signer_signature: voucher.sign(self.network.domain(), &key(4)),
            voucher,
        }
    }

    pub(crate) fn approved(&self, job: JobId, billed_millis: u64) -> ApprovedResult {
        let result = JobResult {
            job_id: job,
            attempt: 1,
            billed_millis,
            egress_bytes: 0,
            ready_after_seconds: 3,
            outcome: Outcome::Completed,
            exit_code: 0,
            receipt_digest: Sha256Digest::of(b"receipt"),
        };
        let approve = result.approve(self.network.domain(), 5);
        ApprovedResult {
            operator_signature: result.sign(self.network.domain(), &key(3)),
            signer_signature: approve.sign(self.network.domain(), &key(4)),
            result,
            approve,
        }
    }

    pub(crate) async fn credits(&self, index: usize) -> u128 {
        self.payer.credits(key(index).address(), self.usdc).await.unwrap().0
    }
}

/// What an indexer keeps: events by place, rolled back when told to.
#[derive(Default)]
pub(crate) struct Ledger {
    events: BTreeMap<(u64, u64), Envelope>,
    pub(crate) rollbacks: Vec<u64>,
}

impl Ledger {
    pub(crate) fn apply(&mut self, batch: Batch) {
        if let Some(block) = batch.rolled_back_to {
            self.rollbacks.push(block);
            self.events.retain(|(number, _), _| *number <= block);
        }
        for envelope in batch.events {
            let place = (envelope.block, envelope.log_index);
            assert!(
                self.events.insert(place, envelope).is_none(),
                "an event was handed out twice"
            );
        }
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.events.values().map(|envelope| envelope.event.name()).collect()
    }

    /// What a follower that starts from nothing sees.
    pub(crate) async fn assert_equals_a_fresh_read(&self, client: &ChainClient, up_to: u64) {
        let from = client.network().deployed_at_block;
        let fresh = client.events_of(from, up_to, None).await.unwrap();
        let kept: Vec<Envelope> = self.events.values().cloned().collect();
        assert_eq!(kept, fresh);
    }
}
