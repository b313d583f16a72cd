//! The gateway's clock: what vouchers are checked against, and what streams are stamped with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use opengpu_core::ids::ChainId;

/// The machine's clock; on a local network moved forward by as much as its chain's time was advanced.
pub(crate) struct Clock {
    chain: ChainId,
    ahead_millis: AtomicU64,
}

impl Clock {
    pub(crate) fn new(chain: ChainId) -> Self {
        Self {
            chain,
            ahead_millis: AtomicU64::new(0),
        }
    }

    /// Unix milliseconds.
    pub(crate) fn now_millis(&self) -> u64 {
        machine_millis().saturating_add(self.ahead_millis.load(Ordering::Relaxed))
    }

    /// Unix seconds.
    pub(crate) fn now_seconds(&self) -> u64 {
        self.now_millis() / 1000
    }

    /// Learns the newest block's time, unix seconds. Only a local chain is followed: elsewhere nobody may move our clock.
    pub(crate) fn learn(&self, block_timestamp: u64) {
        if self.chain == ChainId::LOCAL {
            let ahead = block_timestamp.saturating_mul(1000).saturating_sub(machine_millis());
            self.ahead_millis.store(ahead, Ordering::Relaxed);
        }
    }
}

fn machine_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_local_chain_moves_the_clock() {
        let tomorrow = machine_millis() / 1000 + 86_400;
        for (chain, moved) in [(ChainId::LOCAL, true), (ChainId(1), false)] {
            let clock = Clock::new(chain);
            clock.learn(tomorrow);
            assert_eq!(clock.now_seconds() + 60 > tomorrow, moved, "{chain}");
        }
    }
}
