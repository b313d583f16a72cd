//! Copies a Docker container's output into its log file, also when the copying was interrupted by the daemon's death.

use std::path::PathBuf;

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;

use crate::shim::CappedLog;

/// Follows the output to its end. What the file has already is skipped: Docker gives all of it from the start.
pub(super) async fn follow(docker: Docker, container: String, path: PathBuf, limit: u64) {
    let mut log = match CappedLog::open(&path, limit) {
        Ok(log) => log,
        Err(error) => return tracing::error!(%error, path = %path.display(), "the log file cannot be opened"),
    };
    let mut skip = log.len();
    let options = LogsOptionsBuilder::default()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .tail("all")
        .build();
    let mut output = std::pin::pin!(docker.logs(&container, Some(options)));
    while let Some(part) = output.next().await {
        match part {
            Ok(part) => {
                let bytes = part.into_bytes();
                let old = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                skip -= old as u64;
                log.keep(&bytes[old..]);
            }
            Err(error) => return tracing::warn!(%error, container, "following the output stopped"),
        }
    }
}
