//! What a job runs: the normal form of a job file.
//!
//! The normal form has its units resolved and its image pinned by digest; the order carries the sha2-256 of its JCS form
//! (RFC 8785), the bulletin carries the spec itself. Whoever reads one checks the digest first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{CidText, Sha256Digest};

/// Why a spec is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A field holds what no node could run.
    #[error("{field}: {problem}")]
    BadField {
        /// Path of the field in the job file.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The spec does not hash to the order's `specDigest`.
    #[error("spec has digest {actual}, the order says {expected}")]
    WrongDigest {
        /// The order's.
        expected: Sha256Digest,
        /// The spec's.
        actual: Sha256Digest,
    },
    /// The value has no canonical JSON form.
    #[error("spec cannot be written as canonical JSON: {0}")]
    NotCanonical(String),
}

/// A job in normal form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// Version of this format: 1.
    pub version: u32,
    /// A name for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What kind of job.
    pub kind: JobKind,
    /// The container image.
    pub image: Image,
    /// Program and arguments; empty runs the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Program and arguments repeated inside the container each second until it exits 0; empty: READY = program started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<String>,
    /// Environment of the program, beside what the node sets ([`ENV_INPUT`], [`ENV_OUTPUT`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What the machine must give.
    pub resources: Resources,
    /// UnixFS content mounted read-only at [`INPUT_PATH`]; none: an empty folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Artifact>,
    /// Seconds between voucher proposals (5..180).
    pub voucher_interval_seconds: u32,
    /// The payer's estimate of billed seconds, from which the quote is made; none: it cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<u32>,
}

/// What kind of job. More kinds come with their own issues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    /// Runs once and ends.
    Batch,
}

/// Where the container image comes from; always pinned to a manifest digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// sha2-256 of the image manifest (or index): what the node verifies.
    pub digest: Sha256Digest,
    /// Where its bytes are.
    pub source: ImageSource,
}

/// Where an image's bytes are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ImageSource {
    /// A registry reference without tag or digest: `127.0.0.1:5000/team/image`.
    Registry(String),
    /// An OCI image layout, stored as a UnixFS folder beside the job's other artifacts.
    Artifact(Artifact),
}

/// Content by its CID.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// UnixFS root.
    pub cid: CidText,
    /// Total bytes of its files, for quotas and progress.
    pub bytes: u64,
}

/// What the machine must give the job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a CPU core.
    pub cpu_millis: u32,
    /// Bytes of memory; more ends the job as out of memory.
    pub memory_bytes: u64,
    /// Bytes the job may write to its output.
    pub disk_bytes: u64,
    /// Most processes and threads.
    pub pids: u32,
}

/// Where the job finds its input.
pub const INPUT_PATH: &str = "/in";
/// Where the job leaves its output.
pub const OUTPUT_PATH: &str = "/out";
/// Environment variable naming the input folder.
pub const ENV_INPUT: &str = "OPENGPU_INPUT";
/// Environment variable naming the output folder.
pub const ENV_OUTPUT: &str = "OPENGPU_OUTPUT";

/// The voucher intervals the protocol allows, in seconds (section 3).
pub const VOUCHER_INTERVAL_SECONDS: std::ops::RangeInclusive<u32> = 5..=180;

impl JobSpec {
    /// The JCS bytes whose digest the order carries.
    ///
    /// # Errors
    /// [`SpecError::NotCanonical`] when a value has no canonical form.
    pub fn canonical_json(&self) -> Result<Vec<u8>, SpecError> {
        serde_json_canonicalizer::to_vec(self).map_err(|error| SpecError::NotCanonical(error.to_string()))
    }

    /// sha2-256 of the JCS form.
    ///
    /// # Errors
    /// As [`Self::canonical_json`].
    pub fn digest(&self) -> Result<Sha256Digest, SpecError> {
        Ok(Sha256Digest::of(&self.canonical_json()?))
    }

    /// Checks the spec against an order's digest and the format's rules.
    ///
    /// # Errors
    /// [`SpecError`] naming the field.
    pub fn check(&self, expected: Sha256Digest) -> Result<(), SpecError> {
        let actual = self.digest()?;
        if actual != expected {
            return Err(SpecError::WrongDigest { expected, actual });
        }
        self.validate()
    }

    /// Checks the format's rules.
    ///
    /// # Errors
    /// [`SpecError::BadField`] naming the first field that breaks one.
    pub fn validate(&self) -> Result<(), SpecError> {
        let bad = |field, problem: String| Err(SpecError::BadField { field, problem });
        if self.version != 1 {
            return bad("version", format!("must be 1, got {}", self.version));
        }
        if !VOUCHER_INTERVAL_SECONDS.contains(&self.voucher_interval_seconds) {
            return bad(
                "voucherIntervalSeconds",
                format!("must be 5..180, got {}", self.voucher_interval_seconds),
            );
        }
        let Resources {
            cpu_millis,
            memory_bytes,
            disk_bytes: _,
            pids,
        } = self.resources;
        if cpu_millis == 0 {
            return bad("resources.cpuMillis", "must be at least 1".to_owned());
        }
        if memory_bytes < 4 << 20 {
            return bad(
                "resources.memoryBytes",
                format!("must be at least 4 MiB, got {memory_bytes}"),
            );
        }
        if pids == 0 {
            return bad("resources.pids", "must be at least 1".to_owned());
        }
        let is_name = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        if let Some(name) = self.env.keys().find(|name| !is_name(name)) {
            return bad("env", format!("`{name}` is not an environment variable's name"));
        }
        let words = self.command.iter().chain(&self.ready).chain(self.env.values());
        if words.into_iter().any(|word| word.contains('\0')) {
            return bad("command", "must not contain a NUL byte".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            version: 1,
            name: String::new(),
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
            voucher_interval_seconds: 60,
            expected_seconds: None,
        }
    }

    #[test]
    fn spec_with_another_digest_is_refused() {
        let digest = spec().digest().unwrap();
        assert_eq!(spec().check(digest), Ok(()));
        let mut other = spec();
        other.command.push("--now".to_owned());
        assert!(matches!(other.check(digest), Err(SpecError::WrongDigest { .. })));
    }

    #[test]
    fn spec_survives_its_json() {
        let json = spec().canonical_json().unwrap();
        assert_eq!(serde_json::from_slice::<JobSpec>(&json).unwrap(), spec());
    }

    #[test]
    fn unknown_field_is_refused() {
        let mut json = serde_json::to_value(spec()).unwrap();
        json["gpus"] = 4.into();
        assert!(serde_json::from_value::<JobSpec>(json).is_err());
    }

    #[test]
    fn voucher_interval_out_of_range_names_the_field() {
        let mut bad = spec();
        bad.voucher_interval_seconds = 4;
        assert!(
            bad.validate()
                .unwrap_err()
                .to_string()
                .starts_with("voucherIntervalSeconds")
        );
    }
}
