//! Bringing a job what it is given: its input and its image.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opengpu_core::spec::{Artifact, Image, ImageSource, JobSpec};
use opengpu_store::{BlockStore, Cid, ExportError, Limits, ReadError, StoreError, export};

use super::{Depot, JobFolder, blocking, exists, limits_for, machine, parse_cid, passing};
use crate::image::{Digest, ImageReference};
use crate::ports::{Gateway, GatewayFault};
use crate::reactor::{Blame, TaskFault};

/// The name of an input that is a single file: folders are mounted, files are not.
const SINGLE_FILE_NAME: &str = "input";

/// Fetches input and image, verified, and says where the image now is. May be repeated; what is here stays.
pub(crate) async fn deliver(
    depot: &Depot,
    gateways: &[Arc<dyn Gateway>],
    folder: &JobFolder,
    spec: &JobSpec,
) -> Result<ImageReference, TaskFault> {
    let made = folder.clone();
    blocking(move || made.make().map_err(machine)).await?;
    let delivered = deliver_all(depot, gateways, folder, spec).await;
    if delivered.as_ref().is_err_and(|fault| fault.blame == Blame::Machine) {
        depot.make_room().await;
    }
    delivered
}

async fn deliver_all(
    depot: &Depot,
    gateways: &[Arc<dyn Gateway>],
    folder: &JobFolder,
    spec: &JobSpec,
) -> Result<ImageReference, TaskFault> {
    let _transferring = depot.transferring().await;
    match &spec.input {
        Some(input) => deliver_artifact(&depot.store, gateways, input, folder.input()).await?,
        None => {
            let input = folder.input();
            blocking(move || fs::create_dir_all(input).map_err(machine)).await?;
        }
    }
    let Image { digest, source } = &spec.image;
    let digest = Some(Digest::from_hash(digest.0.0));
    match source {
        ImageSource::Registry(name) => Ok(ImageReference::Registry {
            name: name.clone(),
            digest,
        }),
        ImageSource::Artifact(layout) => {
            deliver_artifact(&depot.store, gateways, layout, folder.image()).await?;
            Ok(ImageReference::Layout {
                folder: folder.image(),
                digest,
            })
        }
    }
}

/// Fetches an artifact from the first gateway that has it, and writes it to `destination` as a folder.
async fn deliver_artifact(
    store: &BlockStore,
    gateways: &[Arc<dyn Gateway>],
    artifact: &Artifact,
    destination: PathBuf,
) -> Result<(), TaskFault> {
    if exists(&destination) {
        return Ok(());
    }
    let cid = parse_cid(&artifact.cid.0)?;
    let limits = limits_for(artifact.bytes);
    fetch(store, gateways, &cid, &limits).await?;
    let store = store.clone();
    blocking(move || write_folder(&store, &cid, &destination, &limits)).await
}

async fn fetch(store: &BlockStore, gateways: &[Arc<dyn Gateway>], cid: &Cid, limits: &Limits) -> Result<(), TaskFault> {
    let mut reasons = Vec::new();
    for gateway in gateways {
        match gateway.fetch(cid, store, limits).await {
            Ok(()) => return Ok(()),
            Err(fault @ GatewayFault::DiskFull(_)) => return Err(machine(fault)),
            Err(fault) => reasons.push(fault.to_string()),
        }
    }
    // The payer uploads after the match: not there yet is the usual reason.
    Err(passing(format!("{cid}: {}", reasons.join("; "))))
}

/// Writes beside, then renames: `destination` is there whole or not at all.
fn write_folder(store: &BlockStore, cid: &Cid, destination: &Path, limits: &Limits) -> Result<(), TaskFault> {
    let beside = destination.with_extension("new");
    let cleared = if beside.is_dir() {
        fs::remove_dir_all(&beside)
    } else {
        fs::remove_file(&beside)
    };
    drop(cleared);
    export(store, cid, &beside, limits).map_err(export_fault)?;
    // Not followed: what a link points to is not the payer's to give.
    if fs::symlink_metadata(&beside).map_err(machine)?.is_file() {
        let folder = destination.with_extension("folder");
        fs::create_dir_all(&folder).map_err(machine)?;
        fs::rename(&beside, folder.join(SINGLE_FILE_NAME)).map_err(machine)?;
        return fs::rename(&folder, destination).map_err(machine);
    }
    fs::rename(&beside, destination).map_err(machine)
}

fn export_fault(error: ExportError) -> TaskFault {
    let blame = match &error {
        ExportError::Write(_) | ExportError::Exists { .. } => Blame::Machine,
        ExportError::Read(ReadError::Store(StoreError::DiskFull { .. } | StoreError::Io { .. })) => Blame::Machine,
        ExportError::Read(ReadError::Store(_)) => Blame::Passing,
        _ => Blame::User,
    };
    TaskFault {
        blame,
        reason: error.to_string(),
    }
}
