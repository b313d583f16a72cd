//! The log, pushed as it grows, with offsets: a piece sent twice is ignored there, a gateway that forgot gets all of it again.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Line;
use crate::ports::GatewayFault;

/// How often the file is looked at: what a person following the log waits at most.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Bytes sent in one piece.
const PIECE_BYTES: u64 = 256 << 10;

pub(super) async fn run(line: Arc<Line>, file: PathBuf) {
    let (mut offset, mut generation) = (0, line.generation());
    loop {
        if generation != line.generation() {
            generation = line.generation();
            offset = 0;
        }
        let piece = read_piece(&file, offset).await.unwrap_or_default();
        if piece.is_empty() {
            if line.is_over_within(LOOK_EVERY).await {
                return;
            }
            continue;
        }
        let length = piece.len() as u64;
        let posted = tokio::select! {
            () = line.talking.cancelled() => return,
            posted = line.gateway.post_log(line.job, offset, piece) => posted,
        };
        match posted {
            Ok(()) => offset += length,
            Err(GatewayFault::Refused { status, detail }) => {
                // More than it keeps, or a job that is closed: the whole log is an artifact anyway.
                tracing::info!(job = %line.job, status, detail, "the gateway takes no more of the log");
                return;
            }
            Err(fault) => {
                if fault == GatewayFault::LogGap {
                    offset = 0;
                }
                if line.recover(&fault, "log").await {
                    return;
                }
            }
        }
    }
}

/// The next bytes after `offset`; none where the file ends or does not exist yet.
async fn read_piece(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let path = path.to_path_buf();
    let read = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(offset))?;
        file.take(PIECE_BYTES).read_to_end(&mut piece)?;
        Ok(piece)
    });
    read.await.map_err(io::Error::other)?
}
