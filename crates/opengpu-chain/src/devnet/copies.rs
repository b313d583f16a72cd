//! Copies of a local chain's state on disk, each complete or not there.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{DynProvider, Provider as _};
use flate2::read::GzDecoder;
use opengpu_core::{B256, U256};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::DevnetError;

/// How often the chain is looked at: a kill loses about this much.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A chain that only grows empty blocks is copied this rarely; all it would lose is time.
const COPY_IDLE_CHAIN_EVERY: Duration = Duration::from_secs(30);
/// A copy may take this part of the time at most (one n-th), so that a chain of days does not keep the machine busy.
const COPYING_SHARE: u32 = 4;
/// A copy during which a block was mined is thrown away and taken again, this often.
const TRIES: usize = 20;

/// The folder with the newest copy and the one before it.
#[derive(Debug, Clone)]
pub(super) struct Copies {
    folder: PathBuf,
}

impl Copies {
    pub(super) fn open(folder: &Path) -> Result<Self, DevnetError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn newest(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    fn previous(&self) -> PathBuf {
        self.folder.join("state.previous.json")
    }

    /// The copies there are.
    pub(super) fn newest_first(&self) -> Vec<PathBuf> {
        let mut copies = vec![self.newest(), self.previous()];
        copies.retain(|path| path.is_file());
        copies
    }

    /// Puts a copy in place: complete on disk before it gets its name, the former newest kept beside it.
    fn put(&self, state: &[u8]) -> Result<(), DevnetError> {
        let scratch = self.folder.join("state.new.json");
        let write = || -> io::Result<()> {
            let mut file = File::create(&scratch)?;
            file.write_all(state)?;
            file.sync_all()
        };
        write().map_err(io_error(&scratch))?;
        if self.newest().is_file() {
            // A second name for the former newest, so that there is no moment without a `state.json`.
            let former = self.folder.join("state.former.json");
            let _ = fs::remove_file(&former);
            fs::hard_link(self.newest(), &former).map_err(io_error(&former))?;
            fs::rename(&former, self.previous()).map_err(io_error(&self.previous()))?;
        }
        fs::rename(&scratch, self.newest()).map_err(io_error(&self.newest()))?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(&self.folder))
    }
}

/// The chain's clock in a copy, unix seconds; `None` for a copy that cannot be read.
pub(super) fn clock_of(copy: &Path) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct State {
        block: Block,
    }
    #[derive(serde::Deserialize)]
    struct Block {
        timestamp: U256,
    }
    let file = File::open(copy).ok()?;
    let state: State = serde_json::from_reader(BufReader::new(file)).ok()?;
    u64::try_from(state.block.timestamp).ok()
}

/// The newest block, which names all that happened before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    number: u64,
    hash: B256,
}

/// Copies the chain's state whenever it did something, until told to stop, which it does between two copies. What goes wrong is logged and
/// tried again at the next look.
pub(super) async fn keep_copies(provider: DynProvider, copies: Copies, stop: Arc<Notify>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut copied: Option<Head> = None;
    let mut not_before = Instant::now();
    let mut idle_copy_at = Instant::now();
    loop {
        tokio::select! {
            () = stop.notified() => return,
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        if now < not_before || (now < idle_copy_at && !has_news(&provider, copied).await) {
            continue;
        }
        match take(&provider, &copies).await {
            Ok(Some(head)) => copied = Some(head),
            Ok(None) => continue,
            Err(error) => tracing::warn!(%error, "the local chain's state was not copied"),
        }
        let done = Instant::now();
        not_before = done + (done - now) * COPYING_SHARE;
        idle_copy_at = done + COPY_IDLE_CHAIN_EVERY;
    }
}

/// Whether blocks since the last copy carry transactions, or replace copied ones. An unreachable chain has no news.
async fn has_news(provider: &DynProvider, copied: Option<Head>) -> bool {
    let Some(copied) = copied else { return true };
    let Some(head) = head(provider).await else { return false };
    if head.number < copied.number || (head.number == copied.number && head.hash != copied.hash) {
        return true;
    }
    for number in copied.number + 1..=head.number {
        let count = provider
            .get_block_transaction_count_by_number(BlockNumberOrTag::Number(number))
            .await;
        if !matches!(count, Ok(Some(0))) {
            return true;
        }
    }
    false
}

/// Copies the state once. `None` when the chain does not answer or mines too fast to be caught between two blocks.
///
/// Anvil collects blocks and accounts one after the other; a block mined in between would be in one and not in the other, and its
/// events lost for ever. So a copy counts only when the head was the same before and after.
pub(super) async fn take(provider: &DynProvider, copies: &Copies) -> Result<Option<Head>, DevnetError> {
    for _ in 0..TRIES {
        let Some(before) = head(provider).await else {
            return Ok(None);
        };
        let Ok(packed) = provider.anvil_dump_state().await else {
            return Ok(None);
        };
        if before.number == 0 {
            // Nothing happened yet, and anvil makes another genesis block at each start anyway.
            return Ok(None);
        }
        if head(provider).await != Some(before) {
            continue;
        }
        let copies = copies.clone();
        let stored = tokio::task::spawn_blocking(move || -> Result<(), DevnetError> {
            let mut state = Vec::new();
            GzDecoder::new(packed.as_ref())
                .read_to_end(&mut state)
                .map_err(io_error(&copies.folder))?;
            copies.put(&state)
        });
        return match stored.await {
            Ok(result) => result.map(|()| Some(before)),
            Err(_) => Ok(None),
        };
    }
    tracing::warn!("the local chain mines too fast to be copied");
    Ok(None)
}

async fn head(provider: &DynProvider) -> Option<Head> {
    let block = provider.get_block_by_number(BlockNumberOrTag::Latest).await.ok()??;
    Some(Head {
        number: block.header.number,
        hash: block.header.hash,
    })
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DevnetError + '_ {
    move |source| DevnetError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_before_the_newest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::open(folder.path()).unwrap();
        for state in ["one", "two", "three"] {
            copies.put(state.as_bytes()).unwrap();
        }
        let texts: Vec<String> = copies
            .newest_first()
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        assert_eq!(texts, ["three", "two"]);
    }

    #[test]
    fn an_unfinished_copy_is_not_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::open(folder.path()).unwrap();
        copies.put(b"whole").unwrap();
        fs::write(folder.path().join("state.new.json"), "ha").unwrap();
        assert_eq!(copies.newest_first(), [copies.newest()]);
        copies.put(b"next").unwrap();
        assert_eq!(fs::read_to_string(copies.newest()).unwrap(), "next");
    }
}
