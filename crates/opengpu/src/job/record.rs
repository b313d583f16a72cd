//! The jobs started from here, one file each: enough to find, follow, stop and bill them later.

use std::fs;
use std::path::PathBuf;

use opengpu_core::ids::JobId;
use opengpu_core::matching::Quote;
use opengpu_core::wire::{SignedBid, SignedOrder};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Outcome};
use crate::home::{Home, read_json, write_json};

/// A job as it was matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobRecord {
    /// Its id.
    pub(crate) job_id: JobId,
    /// Name of the network in the config.
    pub(crate) network: String,
    /// The image as the user named it.
    pub(crate) image: String,
    /// Unix second of the order.
    pub(crate) ordered_at: u64,
    /// The order.
    pub(crate) order: SignedOrder,
    /// The bid taken.
    pub(crate) bid: SignedBid,
    /// What was shown before the match.
    pub(crate) quote: Quote,
    /// Gas the match used.
    pub(crate) match_gas: u64,
    /// Where the output goes, or went.
    pub(crate) output: PathBuf,
}

/// All records of a home folder.
#[derive(Debug, Clone)]
pub(crate) struct Records(PathBuf);

impl Records {
    /// In `<home>/jobs`.
    pub(crate) fn of(home: &Home) -> Self {
        Self(home.join("jobs"))
    }

    /// Keeps a record, replacing the one of the same job.
    pub(crate) fn save(&self, record: &JobRecord) -> Outcome {
        write_json(&self.0.join(format!("{}.json", record.job_id)), record)
    }

    /// All of a network, oldest first. Files that cannot be read are skipped: they are of no use to anybody.
    pub(crate) fn of_network(&self, network: &str) -> Outcome<Vec<JobRecord>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.or_fail(format_args!("cannot read {}", self.0.display()))?,
        };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut records: Vec<JobRecord> = paths.filter_map(|path| read_json(&path).ok().flatten()).collect();
        records.retain(|record| record.network == network);
        records.sort_by_key(|record| (record.ordered_at, record.job_id));
        Ok(records)
    }

    /// The job a user means: a whole id, or the first digits of one on record.
    pub(crate) fn find(&self, network: &str, text: &str) -> Outcome<(JobId, Option<JobRecord>)> {
        let digits = text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
        let starts = |job: JobId| job.to_string()[2..].starts_with(&digits);
        let mut found = self.of_network(network)?;
        found.retain(|record| starts(record.job_id));
        match (found.len(), format!("0x{digits}").parse::<JobId>()) {
            (_, Ok(job)) => Ok((job, found.pop())),
            (1, _) if !digits.is_empty() => {
                let record = found.remove(0);
                Ok((record.job_id, Some(record)))
            }
            (0, _) => Err(Failure::usage(format_args!("no job on record starts with `{text}`"))
                .hint("`opengpu ps --all` lists them")),
            (several, _) => {
                Err(Failure::usage(format_args!("{several} jobs start with `{text}`"))
                    .hint("give more digits of the id"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::plan::Parties;
    use clap::Parser;
    use opengpu_core::ids::{ChainId, NodeId, Sha256Digest};
    use opengpu_core::money::{Amount, Price};
    use opengpu_core::order::{Bid, Domain, Signable};
    use opengpu_core::sign::SecretKey;
    use opengpu_core::spec::{Image, ImageSource};
    use opengpu_core::{Address, U256};

    /// A record whose job differs by `salt`.
    fn record(salt: u64) -> JobRecord {
        let cli = crate::args::Cli::try_parse_from(["opengpu", "run", "img"]).unwrap();
        let crate::args::Command::Run(run) = cli.command else {
            panic!("not run")
        };
        let wish = crate::job::plan::Wish::from_args(&run).unwrap();
        let source = ImageSource::Registry("img".to_owned());
        let image = Image {
            digest: Sha256Digest::of(b"x"),
            source,
        };
        let spec = wish.spec(image, None, ChainId::LOCAL).unwrap();
        let key = SecretKey::from_bytes([7; 32]).unwrap();
        let domain = Domain {
            chain_id: ChainId::LOCAL,
            contract: Address::repeat_byte(9),
        };
        let parties = Parties {
            payer: key.address(),
            budget: Default::default(),
            signer: key.address(),
            token: Address::repeat_byte(3),
        };
        let order = wish
            .order(&spec, parties, Amount(1_000_000), 1_000, U256::from(salt))
            .unwrap();
        let job_id = order.job_id(domain);
        let bid = Bid {
            job_id,
            node: NodeId(U256::from(1)),
            compute_per_hour: Amount(3_600_000),
            egress_per_gib: Amount(0),
            ready_within_seconds: 60,
            quoted_seconds: 60,
            expires_at: 2_000,
        };
        let price = Price {
            compute_per_hour: Amount(3_600_000),
            egress_per_gib: Amount(0),
        };
        JobRecord {
            job_id,
            network: "local".to_owned(),
            image: "img".to_owned(),
            ordered_at: 1_000 + salt,
            order: SignedOrder {
                signature: order.sign(domain, &key).0.to_vec().into(),
                order,
                spec,
            },
            bid: SignedBid {
                signature: bid.sign(domain, &key),
                bid,
            },
            quote: Quote::of(price, 60, Amount(1_000_000)),
            match_gas: 100_000,
            output: PathBuf::from("/tmp/out"),
        }
    }

    #[test]
    fn a_job_is_found_by_its_first_digits_and_only_when_they_name_one() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::of(&Home::at(folder.path().to_owned()));
        for salt in 0..20 {
            records.save(&record(salt)).unwrap();
        }
        let wanted = record(3);
        let id = wanted.job_id.to_string();
        assert_eq!(
            records.find("local", &id).unwrap(),
            (wanted.job_id, Some(wanted.clone()))
        );
        assert_eq!(records.find("local", &id[2..14]).unwrap().0, wanted.job_id);
        assert!(
            records
                .find("local", "zz")
                .unwrap_err()
                .to_string()
                .contains("no job on record")
        );
        assert!(
            records
                .find("local", "")
                .unwrap_err()
                .to_string()
                .contains("20 jobs start with")
        );
        assert!(records.find("other", &id[..10]).is_err());
        assert_eq!(records.of_network("local").unwrap().len(), 20);
    }
}
