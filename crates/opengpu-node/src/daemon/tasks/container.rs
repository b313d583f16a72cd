//! How a job's container is named, and what it is given.

use opengpu_core::ids::JobId;
use opengpu_core::spec::{ENV_INPUT, ENV_OUTPUT, INPUT_PATH, JobSpec, OUTPUT_PATH};

use crate::artifacts::JobFolder;
use crate::image::PreparedImage;
use crate::runtime::{BindMount, ContainerId, ContainerSpec, MountAccess};

/// Log bytes kept of a job: what a person may want to read, far below what fills a disk.
const LOG_MAX_BYTES: u64 = 64 << 20;
/// The largest `/tmp` of a container; it lives in the job's memory, of which it may take half.
const TMP_MAX_BYTES: u64 = 1 << 30;
/// Most attempts of a job (protocol, section 1).
const MAX_ATTEMPTS: u8 = 4;

/// The container of one attempt: 32 hexadecimal digits of the job's id and the attempt.
pub(super) fn container_id(job: JobId, attempt: u8) -> Option<ContainerId> {
    let hex = job.to_string();
    let short = hex.get(2..34)?;
    format!("{short}-{attempt}").parse().ok()
}

/// Every container a job may have.
pub(in crate::daemon) fn container_ids(job: JobId) -> impl Iterator<Item = ContainerId> {
    (1..=MAX_ATTEMPTS).filter_map(move |attempt| container_id(job, attempt))
}

pub(super) fn container_spec(
    id: ContainerId,
    image: PreparedImage,
    spec: &JobSpec,
    folder: &JobFolder,
) -> ContainerSpec {
    let mut env: Vec<(String, String)> = spec.env.clone().into_iter().collect();
    env.push((ENV_INPUT.to_owned(), INPUT_PATH.to_owned()));
    env.push((ENV_OUTPUT.to_owned(), OUTPUT_PATH.to_owned()));
    let mount = |host, inside: &str, access| BindMount {
        host,
        inside: inside.to_owned(),
        access,
    };
    ContainerSpec {
        id,
        image,
        argv: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env,
        working_folder: None,
        mounts: vec![
            mount(folder.input(), INPUT_PATH, MountAccess::ReadOnly),
            mount(folder.output(), OUTPUT_PATH, MountAccess::Writable),
        ],
        memory_bytes: spec.resources.memory_bytes,
        cpu_millis: spec.resources.cpu_millis,
        pids_max: spec.resources.pids,
        tmp_bytes: (spec.resources.memory_bytes / 2).min(TMP_MAX_BYTES),
        log_path: folder.log(),
        log_max_bytes: LOG_MAX_BYTES,
    }
}
