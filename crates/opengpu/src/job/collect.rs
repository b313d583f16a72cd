//! What a job leaves behind, brought home: output, log and receipt, every byte checked against its CID.

use std::fs;
use std::path::Path;

use opengpu_core::ids::CidText;
use opengpu_core::receipt::{Receipt, ReceiptFile, Signatures};
use opengpu_store::{BlockStore, Cid, Limits, export, fetch};

use super::record::JobRecord;
use crate::failure::{Failure, OrFail, Outcome};
use crate::home::write_whole;
use crate::session::{Session, store_folder};

/// Folder of the job's output inside the user's output folder.
pub(crate) const OUTPUT_FOLDER: &str = "out";
/// The job's log inside the user's output folder.
pub(crate) const LOG_FILE: &str = "log.txt";
/// The receipt inside the user's output folder.
pub(crate) const RECEIPT_FILE: &str = "receipt.json";

/// What to bring.
#[derive(Debug, Clone)]
pub(crate) struct Download {
    store: BlockStore,
    output: Option<Cid>,
    logs: Option<Cid>,
    limits: Limits,
}

/// Most bytes a job's log has: what gateways take of one.
const LOG_BYTES: u64 = 64 << 20;

impl Download {
    /// What the receipt names.
    pub(crate) fn of_receipt(session: &Session, record: &JobRecord, receipt: &Receipt) -> Outcome<Self> {
        let room = record.order.spec.resources.disk_bytes.max(LOG_BYTES);
        Ok(Self {
            // The node may not hand over more than was rented: a small CAR can name a huge file.
            limits: Limits {
                bytes: room,
                ..Limits::default()
            },
            store: BlockStore::open(store_folder(&session.home)).or_fail("cannot open the store")?,
            output: receipt
                .output
                .as_ref()
                .map(|output| parse_cid(&output.cid))
                .transpose()?,
            logs: receipt.logs.as_ref().map(|logs| parse_cid(&logs.cid)).transpose()?,
        })
    }

    /// Brings all of it into the local store.
    pub(crate) async fn fetch(&self, session: &Session) -> Outcome {
        for cid in [self.output, self.logs].iter().flatten() {
            let gateways = &session.profile.gateways;
            fetch(session.gateway.http(), gateways, cid, &self.store, &self.limits)
                .await
                .map_err(|error| {
                    Failure::error(format_args!("cannot fetch {cid}: {error}"))
                        .hint("the receipt names it; fetch it later from any gateway or IPFS node")
                })?;
        }
        Ok(())
    }

    /// Writes output and log below `folder`, which is made when missing.
    pub(crate) async fn write(&self, folder: &Path) -> Outcome {
        let (this, folder) = (self.clone(), folder.to_owned());
        tokio::task::spawn_blocking(move || this.write_now(&folder))
            .await
            .or_fail("cannot write the output")?
    }

    fn write_now(&self, folder: &Path) -> Outcome {
        fs::create_dir_all(folder).or_fail(format_args!("cannot make {}", folder.display()))?;
        for (cid, name) in [(self.output, OUTPUT_FOLDER), (self.logs, LOG_FILE)] {
            let Some(cid) = cid else { continue };
            let target = folder.join(name);
            export(&self.store, &cid, &target, &self.limits).map_err(|error| {
                Failure::error(format_args!("cannot write {}: {error}", target.display()))
                    .hint("the output is kept; run the command again with --output set to an empty folder")
            })?;
        }
        Ok(())
    }
}

/// Refuses an output folder that holds a former job's files, before anything is paid.
pub(crate) fn check_output_folder(folder: &Path) -> Outcome {
    for name in [OUTPUT_FOLDER, LOG_FILE, RECEIPT_FILE] {
        let path = folder.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::usage(format_args!("{} exists already", path.display()))
                .hint("--output takes a folder without results of another job"));
        }
    }
    if folder.exists() && !folder.is_dir() {
        return Err(
            Failure::usage(format_args!("{} is not a folder", folder.display())).hint("--output takes a folder")
        );
    }
    Ok(())
}

/// Writes the receipt file below `folder`.
pub(crate) fn write_receipt(folder: &Path, receipt: Receipt, signatures: Signatures) -> Outcome<ReceiptFile> {
    let file = ReceiptFile::new(receipt, signatures).or_fail("cannot write the receipt")?;
    let json = file.to_json().or_fail("cannot write the receipt")?;
    write_whole(&folder.join(RECEIPT_FILE), json.as_bytes())?;
    Ok(file)
}

/// Reads a CID that came in a message.
pub(crate) fn parse_cid(text: &CidText) -> Outcome<Cid> {
    text.0.parse().map_err(|error| {
        Failure::error(format_args!("`{text}` is not a CID: {error}"))
            .hint("the message that named it is damaged; get it again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_former_result_is_refused_before_the_match() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check_output_folder(folder.path()), Ok(()));
        assert_eq!(check_output_folder(&folder.path().join("new")), Ok(()));
        fs::write(folder.path().join("receipt.json"), "{}").unwrap();
        let failure = check_output_folder(folder.path()).unwrap_err();
        assert!(failure.to_string().contains("receipt.json exists already"), "{failure}");
    }
}
