//! Whether the open batch may be flushed early.

use crate::fault;

/// From so many bytes of signals and dead letters on they are flushed early; a batch that holds less is cheaper to repeat than to restore.
const BYTES_MIN: usize = 4 << 20;
/// The most commits without an early flush after an abort.
const WAIT_MAX: u32 = 1_024;

/// After an abort the next batches are short, and can be written again without a restore; the more aborts in a row, the more of
/// them: brokers may be too slow for long transactions.
#[derive(Default)]
pub(super) struct EarlyFlushes {
    commits_to_wait: u32,
    /// For how many commits the last abort made it wait.
    last_wait: u32,
}

impl EarlyFlushes {
    pub fn may_begin(&self, bytes_held: impl FnOnce() -> usize) -> bool {
        self.commits_to_wait == 0 && bytes_held() >= fault::early_flush_bytes(BYTES_MIN)
    }

    pub fn on_committed(&mut self, was_flushed_early: bool) {
        self.commits_to_wait = self.commits_to_wait.saturating_sub(1);
        if was_flushed_early {
            self.last_wait = 0;
        }
    }

    pub fn on_aborted(&mut self) {
        self.last_wait = (2 * self.last_wait).clamp(1, WAIT_MAX);
        self.commits_to_wait = self.last_wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_aborts_nothing_is_flushed_early_for_longer_and_longer() {
        let mut flushes = EarlyFlushes::default();
        let may_begin = |flushes: &EarlyFlushes| flushes.may_begin(|| usize::MAX);
        let mut commits_until_flush = || {
            flushes.on_aborted();
            let mut commits = 0;
            while !may_begin(&flushes) {
                flushes.on_committed(false);
                commits += 1;
            }
            commits
        };
        assert_eq!([1, 2, 4, 8], [(); 4].map(|()| commits_until_flush()));
        assert_eq!(Some(WAIT_MAX), (0..20).map(|_| commits_until_flush()).last());
        flushes.on_committed(true);
        flushes.on_aborted();
        flushes.on_committed(false);
        assert!(may_begin(&flushes), "one that was committed is as good as none aborted");
    }
}
