//! From the command line to a job spec and an order: pure, so that what is signed can be tested without a network.

use std::collections::BTreeMap;

use opengpu_core::ids::{BudgetId, ChainId};
use opengpu_core::money::Amount;
use opengpu_core::order::Order;
use opengpu_core::spec::{Artifact, Image, JobKind, JobSpec, Resources, SpecError};
use opengpu_core::{Address, U256};

use crate::args;
use crate::failure::{Failure, Kind, Outcome};

/// Seconds between vouchers on a local network, where a job of some seconds should show its meter.
const LOCAL_INTERVAL_SECONDS: u32 = 5;
/// Seconds between vouchers elsewhere: the protocol's usual (section 3).
const USUAL_INTERVAL_SECONDS: u32 = 60;
/// Most processes and threads of a job. A multi-core program with its pools stays far below.
const PIDS: u32 = 4_096;
/// Seconds an order may wait for its match: as long as a bid is firm. Nodes go on offering for an order until then, and hold
/// what they offer, so one that was given up should not live longer.
pub(crate) const ORDER_SECONDS: u64 = 60;

/// What the spec needs from the command line, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    name: String,
    command: Vec<String>,
    ready: Vec<String>,
    env: BTreeMap<String, String>,
    resources: Resources,
    expected_seconds: Option<u32>,
    max_seconds: u32,
    ready_within_seconds: u32,
}

impl Wish {
    /// Reads the options that say what to run.
    pub(crate) fn from_args(args: &args::Run) -> Outcome<Self> {
        let env = args
            .env
            .iter()
            .map(|pair| variable(pair))
            .collect::<Outcome<BTreeMap<_, _>>>()?;
        let expected_seconds = args.expect.map(|expect| expect.0);
        if expected_seconds.is_some_and(|expected| expected > args.max_duration.0) {
            return Err(Failure::usage("--expect is longer than --max-duration")
                .hint("give the job at least the time you expect it to take"));
        }
        Ok(Self {
            name: args.name.clone(),
            command: args.command.clone(),
            ready: args.ready.as_deref().map(words).transpose()?.unwrap_or_default(),
            env,
            resources: Resources {
                cpu_millis: args.cpus.0,
                memory_bytes: args.memory.0,
                disk_bytes: args.disk.0,
                pids: PIDS,
            },
            expected_seconds,
            max_seconds: args.max_duration.0,
            ready_within_seconds: args.ready_within.0,
        })
    }

    /// The spec, once image and input have their names.
    pub(crate) fn spec(&self, image: Image, input: Option<Artifact>, chain: ChainId) -> Outcome<JobSpec> {
        let spec = JobSpec {
            version: 1,
            name: self.name.clone(),
            kind: JobKind::Batch,
            image,
            command: self.command.clone(),
            ready: self.ready.clone(),
            env: self.env.clone(),
            resources: self.resources,
            input,
            voucher_interval_seconds: if chain == ChainId::LOCAL {
                LOCAL_INTERVAL_SECONDS
            } else {
                USUAL_INTERVAL_SECONDS
            },
            expected_seconds: self.expected_seconds,
        };
        spec.validate().map_err(bad_spec)?;
        Ok(spec)
    }

    /// The order for `spec`, good until `expires_at` (unix second on the chain's clock).
    ///
    /// It sets no ceiling on hourly prices: the escrow bounds what can be spent, only the payer or its signer may pick a
    /// bid, and a node whose price does not fit still bids, so that the cheapest can be named.
    pub(crate) fn order(
        &self,
        spec: &JobSpec,
        parties: Parties,
        max_cost: Amount,
        expires_at: u64,
        salt: U256,
    ) -> Outcome<Order> {
        Ok(Order {
            payer: parties.payer,
            budget: parties.budget,
            signer: parties.signer,
            token: parties.token,
            max_cost,
            max_price_per_hour: Amount(u128::MAX),
            max_egress_per_gib: Amount(u128::MAX),
            spec_digest: spec.digest().map_err(bad_spec)?,
            max_seconds: self.max_seconds,
            ready_within_seconds: self.ready_within_seconds,
            min_tier: 0,
            verify_level: 0,
            max_attempts: 1,
            claimable: false,
            expires_at,
            salt,
        })
    }
}

/// Who an order names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parties {
    /// Whose credits pay.
    pub(crate) payer: Address,
    /// The payer's budget that is debited; 0 for none.
    pub(crate) budget: BudgetId,
    /// Who co-signs usage: the gateway's agent, or this wallet itself.
    pub(crate) signer: Address,
    /// What is paid with.
    pub(crate) token: Address,
}

fn variable(pair: &str) -> Outcome<(String, String)> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format_args!("`{pair}` is not NAME=VALUE")).hint("for example --env EPOCHS=3")),
    }
}

/// Splits a command as a shell would, without running one: images need not have a shell.
fn words(command: &str) -> Outcome<Vec<String>> {
    shlex::split(command).filter(|words| !words.is_empty()).ok_or_else(|| {
        Failure::usage(format_args!("--ready `{command}` is not a command"))
            .hint("quote it as one word, for example --ready \"test -e /out/started\"")
    })
}

fn bad_spec(error: SpecError) -> Failure {
    Failure::new(Kind::Usage, error).hint("`opengpu run --help` says what each option takes")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use opengpu_core::ids::Sha256Digest;
    use opengpu_core::spec::ImageSource;

    fn wish(line: &[&str]) -> Outcome<Wish> {
        let line = ["opengpu", "run"].iter().chain(line);
        match args::Cli::try_parse_from(line).unwrap().command {
            args::Command::Run(run) => Wish::from_args(&run),
            other => panic!("parsed {other:?}"),
        }
    }

    fn image() -> Image {
        Image {
            digest: Sha256Digest::of(b"manifest"),
            source: ImageSource::Registry("127.0.0.1:5000/a".to_owned()),
        }
    }

    #[test]
    fn the_command_line_becomes_the_spec() {
        let wish = wish(&[
            "--cpus",
            "2",
            "--env",
            "A=b=c",
            "--ready",
            "test -e '/a b'",
            "img",
            "--",
            "sh",
            "-c",
            "x y",
        ])
        .unwrap();
        let spec = wish.spec(image(), None, ChainId::LOCAL).unwrap();
        assert_eq!(spec.command, ["sh", "-c", "x y"]);
        assert_eq!(spec.ready, ["test", "-e", "/a b"]);
        assert_eq!(spec.env["A"], "b=c");
        assert_eq!(spec.resources.cpu_millis, 2_000);
        assert_eq!(spec.voucher_interval_seconds, 5);
        assert_eq!(
            wish.spec(image(), None, ChainId(1)).unwrap().voucher_interval_seconds,
            60
        );
    }

    #[test]
    fn the_order_commits_to_the_spec_and_names_its_parties() {
        let wish = wish(&["--max-duration", "10m", "img"]).unwrap();
        let spec = wish.spec(image(), None, ChainId::LOCAL).unwrap();
        let parties = Parties {
            payer: Address::repeat_byte(1),
            budget: BudgetId(U256::from(4)),
            signer: Address::repeat_byte(2),
            token: Address::repeat_byte(3),
        };
        let order = wish.order(&spec, parties, Amount(5), 1_000, U256::from(7)).unwrap();
        assert_eq!(spec.check(order.spec_digest), Ok(()));
        assert_eq!((order.payer, order.signer), (parties.payer, parties.signer));
        assert_eq!(order.budget, parties.budget);
        assert_eq!((order.max_seconds, order.expires_at), (600, 1_000));
        assert!(!order.claimable);
    }

    #[test]
    fn half_words_and_wrong_pairs_are_usage_errors() {
        for line in [
            &["--ready", "'open", "img"][..],
            &["--env", "=x", "img"],
            &["--expect", "2h", "img"],
        ] {
            assert_eq!(wish(line).unwrap_err().kind(), Kind::Usage, "{line:?}");
        }
        let tiny = wish(&["--memory", "1KiB", "img"])
            .unwrap()
            .spec(image(), None, ChainId::LOCAL)
            .unwrap_err();
        assert!(tiny.to_string().contains("memoryBytes"), "{tiny}");
    }
}
