//! One job's world: what outlives the daemon, and the daemon in a thread that can be killed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use opengpu_chain::network::{Contracts, Network};
use opengpu_core::ids::{BudgetId, ChainId, CidText, JobId, NodeId, Sha256Digest};
use opengpu_core::job::{Limits, Progress, Rates, Terms};
use opengpu_core::money::Amount;
use opengpu_core::order::Order;
use opengpu_core::sign::SecretKey;
use opengpu_core::spec::{Artifact, Image, ImageSource, JobKind, JobSpec, Resources};
use opengpu_core::wire::{SignedOrder, SignedStop};
use opengpu_core::{Address, U256};
use opengpu_store::{BlockStore, import_path};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::fake_chain::FakeChain;
use super::fake_gateway::FakeGateway;
use super::fake_runtime::FakeRuntime;
use crate::bidder::{Capacity, PriceList};
use crate::clock::Clock;
use crate::config::{NodeConfig, RuntimeChoice, Timing};
use crate::daemon::load_cursor;
use crate::ports::{ChainNews, Gateway, Position};
use crate::start::{World, start};

/// Nothing in these tests takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(90);

/// Bytes of the small disk: above what the daemon keeps free for itself, below what takes long to fill.
const SMALL_DISK: &str = "size=96m";

pub(super) struct TestWorld {
    dir: TempDir,
    is_disk_small: bool,
    pub(super) chain: FakeChain,
    pub(super) gateway: FakeGateway,
    pub(super) runtime: FakeRuntime,
}

/// A running daemon.
pub(super) struct TestNode(tokio::runtime::Runtime);

impl TestNode {
    /// As `kill -9`: no task gets to finish what it was doing.
    pub(super) fn kill(self) {
        self.0.shutdown_timeout(Duration::from_secs(5));
    }
}

pub(super) fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

fn network() -> Network {
    Network {
        name: "test".to_owned(),
        rpc_url: "http://127.0.0.1:1".to_owned(),
        chain_id: ChainId::LOCAL,
        contracts: Contracts {
            cloudverse: Address::repeat_byte(9),
            node_registry: Address::repeat_byte(8),
            open_token: Address::repeat_byte(7),
            tokens: Vec::new(),
            staking: None,
            incentives: None,
            deployer: None,
        },
        deployed_at_block: 0,
    }
}

impl Drop for TestWorld {
    fn drop(&mut self) {
        if self.is_disk_small {
            let _ = umount2(&self.dir.path().join("node"), MntFlags::MNT_DETACH);
        }
    }
}

impl TestWorld {
    /// Programs run for `lasts`.
    pub(super) fn new(lasts: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(dir.path().join("second-store")).unwrap();
        Self {
            chain: FakeChain::default(),
            gateway: FakeGateway::new(store, network().domain(), key(2)),
            runtime: FakeRuntime::new(lasts),
            is_disk_small: false,
            dir,
        }
    }

    /// The same with the node's folder on a disk of its own that is soon full. `None` without the right to mount one.
    pub(super) fn on_small_disk(lasts: Duration) -> Option<Self> {
        let mut world = Self::new(lasts);
        let node = world.dir.path().join("node");
        std::fs::create_dir(&node).unwrap();
        let none: Option<&str> = None;
        if let Err(error) = mount(none, &node, Some("tmpfs"), MsFlags::empty(), Some(SMALL_DISK)) {
            eprintln!("SKIPPED: a small disk cannot be mounted: {error}");
            return None;
        }
        world.is_disk_small = true;
        Some(world)
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("node/ballast")
    }

    /// Takes all room there is on the node's disk.
    pub(super) fn fill_disk(&self) {
        assert!(self.is_disk_small, "this disk is not ours to fill");
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    pub(super) fn empty_disk(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn config(&self) -> NodeConfig {
        NodeConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: self.dir.path().join("node"),
            network: network(),
            gateways: Vec::new(),
            node_id: NodeId(U256::from(7)),
            operator_key: key(1),
            gpus: Vec::new(),
            prices: PriceList {
                core_hour_usd_micros: 3_600,
                memory_gib_hour_usd_micros: 0,
                egress_gib_usd_micros: 0,
            },
            capacity: Capacity {
                cpu_millis: 1000,
                memory_bytes: 1 << 30,
                disk_bytes: 1 << 30,
            },
            runtime: RuntimeChoice::Auto,
            timing: Timing {
                confirmations: 3,
                approval_grace_seconds: 60,
                ready_within_seconds: 60,
                settle_gather_seconds: 0,
            },
            collect_above_usd_micros: 0,
        }
    }

    pub(super) fn start_node(&self) -> TestNode {
        let config = self.config();
        let world = World {
            runtime: Arc::new(self.runtime.clone()),
            chain: Arc::new(self.chain.clone()),
            feed: Box::new(self.chain.feed(load_cursor(&config.data_dir.join("cursor.json")))),
            gateways: vec![Arc::new(self.gateway.clone()) as Arc<dyn Gateway>],
            response_window_millis: 60_000,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(start(config, world, CancellationToken::new()))
            .unwrap();
        TestNode(runtime)
    }

    /// The payer gives the order up.
    pub(super) fn give_up(&self, job: JobId) {
        self.give_up_by(3, job);
    }

    /// Somebody says that the order is given up.
    pub(super) fn give_up_by(&self, who: u8, job: JobId) {
        self.gateway.stop(SignedStop::sign(network().domain(), job, &key(who)));
    }

    /// A payer posts an order with an input.
    pub(super) fn post_order(&self) -> JobId {
        self.post_order_number(1)
    }

    /// As [`TestWorld::post_order`]; each number is an order of its own.
    pub(super) fn post_order_number(&self, number: u64) -> JobId {
        self.post_order_paid_from(BudgetId::default(), number)
    }

    /// The same, paid from a budget.
    pub(super) fn post_order_paid_from(&self, budget: BudgetId, number: u64) -> JobId {
        let input = self.dir.path().join("payers-input");
        std::fs::create_dir_all(&input).unwrap();
        std::fs::write(input.join("data"), b"the input").unwrap();
        let imported = import_path(&self.gateway.store, &input, &Default::default()).unwrap();
        let order = order(
            Artifact {
                cid: CidText(imported.cid.to_string()),
                bytes: imported.bytes,
            },
            number,
            budget,
        );
        let job = order.order.job_id(network().domain());
        self.gateway.show(order);
        job
    }

    /// The payer matches the bid.
    pub(super) fn match_order(&self) {
        let bid = self.gateway.bid().unwrap().bid;
        let order = order_of(&self.gateway);
        let position = Position {
            terms: Terms {
                payer: order.payer,
                signer: order.signer,
                token: order.token,
                operator: key(1).address(),
                payee: Address::repeat_byte(6),
                budget: order.budget,
                node: bid.node,
                spec_digest: order.spec_digest,
                escrow: order.max_cost,
                compute_per_hour: bid.compute_per_hour,
                egress_per_gib: bid.egress_per_gib,
                rates: Rates::unpack(U256::ZERO),
                limits: Limits {
                    matched_at: Clock::new().now().chain_seconds(),
                    max_seconds: order.max_seconds,
                    ready_within_seconds: bid.ready_within_seconds,
                    quoted_seconds: bid.quoted_seconds,
                    verify_level: 0,
                    max_attempts: 1,
                    attempt: 1,
                },
            },
            progress: Progress::default(),
        };
        self.gateway.learn_match(position.clone());
        self.chain.emit(bid.job_id, ChainNews::Matched(Box::new(position)));
    }

    pub(super) fn job_folder(&self, job: JobId) -> PathBuf {
        self.dir.path().join("node/jobs").join(format!("{job}-1"))
    }

    pub(super) fn wait(&self, what: &str, is_there: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_there() {
            let (steps, refusals) = (self.gateway.steps(), self.gateway.refusals());
            assert!(
                begun.elapsed() < PATIENCE,
                "waited for {what}; steps {steps:?}, refusals {refusals:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn order_of(gateway: &FakeGateway) -> Order {
    let shown = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    shown.block_on(gateway.orders("", 0)).unwrap().items[0].order.clone()
}

/// The payer's budget, whose key is 7.
pub(super) fn budget() -> BudgetId {
    BudgetId(U256::from(12))
}

fn order(input: Artifact, number: u64, budget: BudgetId) -> SignedOrder {
    let spec = JobSpec {
        version: 1,
        name: String::new(),
        kind: JobKind::Batch,
        image: Image {
            digest: Sha256Digest::of(b"image"),
            source: ImageSource::Registry("127.0.0.1:5000/a".to_owned()),
        },
        command: Vec::new(),
        ready: Vec::new(),
        env: BTreeMap::new(),
        resources: Resources {
            cpu_millis: 1000,
            memory_bytes: 64 << 20,
            disk_bytes: 1 << 20,
            pids: 64,
        },
        input: Some(input),
        voucher_interval_seconds: 5,
        expected_seconds: None,
    };
    let order = Order {
        payer: key(3).address(),
        budget,
        signer: key(2).address(),
        token: Address::repeat_byte(5),
        max_cost: Amount(1_000),
        max_price_per_hour: Amount(3_600),
        max_egress_per_gib: Amount(0),
        spec_digest: spec.digest().unwrap(),
        max_seconds: 100,
        ready_within_seconds: 60,
        min_tier: 0,
        verify_level: 0,
        max_attempts: 1,
        claimable: false,
        expires_at: Clock::new().now().chain_seconds() + 300,
        salt: U256::from(number),
    };
    SignedOrder {
        order,
        signature: vec![0; 64].into(),
        spec,
    }
}
