//! A payer lets another key spend: that key runs jobs alone, within its limits, and for as long as the payer wants.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use opengpu_chain::devnet::dev_key;
use opengpu_chain::{ChainClient, ChainError, Network as Deployment, keys};
use opengpu_core::ids::{BudgetId, NodeId, Sha256Digest};
use opengpu_core::money::Amount;
use opengpu_core::order::{Bid, Order, Signable as _};
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::SignedBid;
use opengpu_core::{Address, U256};
use serde_json::Value;

use crate::network::{Network, assert_adds_up, assert_fails, number, wait_for, words};

/// The local chain's accounts that have gas and nothing else.
const SPENDER: usize = 5;
const STRANGER: usize = 6;
/// Whose key gets a budget under the spender's.
const CHILD: usize = 7;
/// Who operates the local network's node.
const OPERATOR: usize = 3;

/// Somebody with a key and a home folder of their own.
struct Person<'a> {
    network: &'a Network,
    home: PathBuf,
    account: Address,
}

impl<'a> Person<'a> {
    fn new(network: &'a Network, key: &SecretKey) -> Self {
        let home = network.path(&format!("home-of-{}", key.address()));
        fs::create_dir_all(&home).unwrap();
        let account = keys::save(&home.join("key.json"), key, "secret").unwrap();
        keys::write_private(&home.join("password"), b"secret\n").unwrap();
        let state = local_state(network);
        fs::write(home.join("deployment.json"), state["network"].to_string()).unwrap();
        let config = format!(
            "default-network = \"theirs\"\n[network.theirs]\ngateways = [\"http://127.0.0.1:{}\"]\n\
             deployment = \"deployment.json\"\nkeystore = \"key.json\"\npassword-file = \"password\"\n",
            state["ports"]["gateway"]
        );
        fs::write(home.join("config.toml"), config).unwrap();
        Self { network, home, account }
    }

    fn opengpu(&self, arguments: &[&str]) -> Output {
        let mut command = self.network.command(arguments);
        command.env("OPENGPU_HOME", &self.home).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.opengpu(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn run(&self, options: &[&str], script: &str) -> Output {
        let image = self.network.image();
        self.opengpu(&self.network.run_arguments(&image, options, script))
    }

    /// Runs a job that must succeed.
    fn bill(&self, options: &[&str], script: &str) -> Value {
        let output = self.run(options, script);
        assert!(output.status.success(), "{}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A budget as `ls` lists it.
    fn budget(&self, id: &str) -> Value {
        let listed = self.json(&["wallet", "budget", "ls"]);
        let budgets = listed["budgets"].as_array().unwrap();
        let found = budgets.iter().find(|row| row["budget"] == id);
        found.unwrap_or_else(|| panic!("{id} is not in {listed}")).clone()
    }

    /// What a budget may still spend, base units.
    fn left(&self, id: &str) -> u128 {
        number(&self.budget(id)["left"])
    }
}

fn local_state(network: &Network) -> Value {
    serde_json::from_slice(&fs::read(network.data("network.json")).unwrap()).unwrap()
}

#[test]
fn a_key_with_a_budget_runs_jobs_alone_until_cap_or_payer_end_it() {
    let Some(network) = Network::up() else { return };
    let (spender, stranger) = (
        Person::new(&network, &dev_key(SPENDER).unwrap()),
        Person::new(&network, &dev_key(STRANGER).unwrap()),
    );
    let none = spender.opengpu(&["wallet", "budget", "ls"]);
    assert!(
        none.status.success() && words(&none).contains("wallet budget open"),
        "{}",
        words(&none)
    );

    let (key, before) = (spender.account.to_string(), network.credits("USDC"));
    let open = [
        "wallet",
        "budget",
        "open",
        "--key",
        &key,
        "--cap",
        "1.5",
        "--per-job",
        "1",
    ];
    let opened = network.json(&open);
    let budget = opened["budget"].as_str().unwrap().to_owned();
    let paid_by = ["--budget", &budget];

    // The key has no credits of its own; the payer's key is nowhere near.
    let bill = spender.bill(&paid_by, "echo from the budget; echo done > /out/done");
    assert_adds_up(&bill);
    // The agent signed that one, the key itself signs this one.
    let signed = spender.bill(&[&paid_by[..], &["--self-sign"]].concat(), "sleep 1");
    assert_adds_up(&signed);
    let paid = number(&bill["paid"]) + number(&signed["paid"]);
    assert!(paid > 0, "{bill}");
    assert_eq!(before - network.credits("USDC"), paid);
    assert_eq!(
        spender.left(&budget),
        1_500_000 - paid,
        "the refund came back to the budget"
    );
    let receipt = bill["receipt"]["path"].as_str().unwrap();
    let verified = spender.opengpu(&["--network", "theirs", "receipt", "verify", receipt]);
    assert!(verified.status.success(), "{}", words(&verified));

    let child = a_child_stays_within(&spender, &budget);

    a_key_without_gas_is_told_so(&network);

    let too_much = spender.run(&[&paid_by[..], &["--max-cost", "1.2"]].concat(), "true");
    assert_fails(&too_much, 5, "allows 1 USDC for one job");

    // A running job holds most of it.
    let running = spender.bill(&[&paid_by[..], &["--detach"]].concat(), "echo started; sleep 600");
    let job = running["jobId"].as_str().unwrap();
    wait_for("the job's log", || {
        words(&spender.opengpu(&["logs", job]))
            .contains("started")
            .then_some(())
    });
    assert!(spender.json(&["ps"]).to_string().contains(job));
    let second = spender.run(&paid_by, "true");
    assert_fails(&second, 5, &format!("budget {budget} has 0."));
    let around = match_around(&network, &budget, 1);
    assert!(around.is_revert("CloudWallet_BudgetTooLow"), "{around}");

    let elsewhere = nobody_else_gets_in(&network, &stranger, &spender, &budget, job);

    let stopped = spender.opengpu(&["stop", job]);
    assert!(stopped.status.success(), "{}", words(&stopped));
    let ended = spender.opengpu(&["--json", "job", "result", job]);
    let bill: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", words(&ended)));
    assert_adds_up(&bill);
    assert_eq!(
        before - network.credits("USDC"),
        paid + elsewhere + number(&bill["paid"])
    );
    assert_eq!(spender.left(&budget), 1_500_000 - paid - number(&bill["paid"]));

    let revoked = network.json(&["wallet", "budget", "revoke", &budget]);
    assert_eq!(revoked["isRevoked"], true);
    assert_fails(&spender.run(&paid_by, "true"), 5, "was revoked");
    assert_eq!(
        spender.budget(&child)["state"],
        "revoked",
        "a child ends with its parent"
    );
    let around = match_around(&network, &budget, 2);
    assert!(around.is_revert("CloudWallet_BudgetIsRevoked"), "{around}");
}

/// The payer is told that the key it lets spend cannot send yet, and so is whoever has the key.
fn a_key_without_gas_is_told_so(network: &Network) {
    let poor = Person::new(network, &keys::generate());
    let key = poor.account.to_string();
    let opened = network.opengpu(&["--json", "wallet", "budget", "open", "--key", &key, "--cap", "1"]);
    assert!(words(&opened).contains("no coin for gas"), "{}", words(&opened));
    let opened: Value = serde_json::from_slice(&opened.stdout).unwrap();
    let refused = poor.run(&["--budget", opened["budget"].as_str().unwrap()], "true");
    assert_fails(&refused, 1, "not enough for the gas");
    assert!(
        words(&refused).contains(&format!("native coin to {key}")),
        "{}",
        words(&refused)
    );
}

/// The key opens a budget under its own, within its limits and no further; the child's id.
fn a_child_stays_within(spender: &Person<'_>, budget: &str) -> String {
    let key = dev_key(CHILD).unwrap().address().to_string();
    let open = |options: &[&str]| {
        let line = ["--json", "wallet", "budget", "open", "--parent", budget, "--key", &key];
        spender.opengpu(&[&line[..], options].concat())
    };
    assert_fails(&open(&["--cap", "9"]), 5, "--cap 9 USDC is above the 1.5 USDC");
    assert_fails(&open(&["--cap", "1", "--expires", "60d"]), 5, "--expires is later");
    assert_fails(&open(&["--cap", "1", "--token", "OPEN"]), 2, "--token OPEN differs");
    let opened = open(&["--cap", "0.5"]);
    assert!(opened.status.success(), "{}", words(&opened));
    let opened: Value = serde_json::from_slice(&opened.stdout).unwrap();
    let child = opened["budget"].as_str().unwrap().to_owned();
    assert_eq!(spender.budget(&child)["parent"], budget);
    let shown = words(&spender.opengpu(&["wallet", "budget", "ls"]));
    assert!(
        shown.contains(&format!("\n  {child} ")) && shown.contains("0.5 USDC"),
        "{shown}"
    );
    child
}

/// Others cannot use the budget or touch its job, nor can its key touch a job the payer pays for otherwise; what that one cost.
fn nobody_else_gets_in(
    network: &Network,
    stranger: &Person<'_>,
    spender: &Person<'_>,
    budget: &str,
    job: &str,
) -> u128 {
    assert_fails(&stranger.run(&["--budget", budget], "true"), 2, "is for key");
    assert_fails(&stranger.opengpu(&["stop", "--no-wait", job]), 1, "signed the request");
    assert_fails(
        &stranger.opengpu(&["wallet", "budget", "revoke", budget]),
        2,
        "is revoked by its payer",
    );
    assert_fails(
        &spender.opengpu(&["wallet", "budget", "revoke", budget]),
        2,
        "is revoked by its payer",
    );
    let own = network.detached(&[], "echo mine; sleep 600");
    network.wait_for_log(&own, "mine");
    assert_fails(&spender.opengpu(&["stop", "--no-wait", &own]), 1, "signed the request");
    let stopped = network.opengpu(&["stop", &own]);
    assert!(stopped.status.success(), "{}", words(&stopped));
    number(&network.result(&own)["paid"])
}

/// Asks the contract itself, as a program that leaves out all our checks would, for an escrow of 1 USDC.
fn match_around(network: &Network, budget: &str, salt: u64) -> ChainError {
    let state = local_state(network);
    let deployment: Deployment = serde_json::from_value(state["network"].clone()).unwrap();
    let node: NodeId = state["node"].as_str().unwrap().parse().unwrap();
    let budget: BudgetId = budget.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = ChainClient::connect(&deployment, Some(dev_key(SPENDER).unwrap()))
            .await
            .unwrap();
        let now = client.now().await.unwrap();
        let order = Order {
            payer: client.budget(budget).await.unwrap().payer,
            budget,
            signer: dev_key(SPENDER).unwrap().address(),
            token: deployment.token("USDC").unwrap().address,
            max_cost: Amount(1_000_000),
            max_price_per_hour: Amount(u128::MAX),
            max_egress_per_gib: Amount(u128::MAX),
            spec_digest: Sha256Digest::of(b"spec"),
            max_seconds: 60,
            ready_within_seconds: 60,
            min_tier: 0,
            verify_level: 0,
            max_attempts: 1,
            claimable: false,
            expires_at: now + 60,
            salt: U256::from(salt),
        };
        let bid = Bid {
            job_id: order.job_id(client.domain()),
            node,
            compute_per_hour: Amount(3_600),
            egress_per_gib: Amount(0),
            ready_within_seconds: 60,
            quoted_seconds: 60,
            expires_at: now + 60,
        };
        let signature = bid.sign(client.domain(), &dev_key(OPERATOR).unwrap());
        client
            .match_order(&order, &[], &SignedBid { bid, signature })
            .await
            .unwrap_err()
    })
}
