//! The functions of the tests. All of it is a thread's own, so that tests run beside each other.

use std::cell::{Cell, RefCell};

use crate::stream::registry::{self, Registry};

use super::{Mutation, Noted, Partition, interrupt};

thread_local! {
    static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
    static BOUND: Cell<usize> = Cell::new(interrupt::bound());
    static EARLY_FLUSH_BYTES: Cell<Option<usize>> = Cell::new(interrupt::early_flush_bytes());
    static IS_NOTING: Cell<bool> = const { Cell::new(false) };
    static NOTES: RefCell<Vec<(Partition, Noted)>> = const { RefCell::new(Vec::new()) };
}

/// Breaks one rule on this thread, or none.
pub fn set_mutation(mutation: Option<Mutation>) {
    BROKEN.set(mutation);
}

/// Makes bounds that [`bound`] is asked for no greater than this on this thread.
pub fn set_bound(max: usize) {
    BOUND.set(max);
}

/// Begins or ends noting on this thread; what was noted so far is forgotten.
pub fn set_noting(is_noting: bool) {
    IS_NOTING.set(is_noting);
    NOTES.with_borrow_mut(Vec::clear);
}

/// Moves what was noted on this thread since the last call to the end of `notes`.
pub fn drain_notes(notes: &mut Vec<(Partition, Noted)>) {
    NOTES.with_borrow_mut(|noted| notes.append(noted));
}

/// Whether a rule is broken on this thread.
#[inline]
pub fn is(mutation: Mutation) -> bool {
    BROKEN.get() == Some(mutation)
}

/// Something was applied to a partition.
#[inline]
pub fn note(partition: Partition, noted: Noted) {
    if IS_NOTING.get() {
        NOTES.with_borrow_mut(|notes| notes.push((partition, noted)));
    }
}

/// Records of the registry were taken in. Keys of the trial kind are `trial/*/VERSION`.
pub fn note_registry(registry: &Registry) {
    let version = |key: &[u8]| std::str::from_utf8(key).ok()?.rsplit('/').next()?.parse().ok();
    let versions = registry.of_kind("trial").filter_map(|(key, _)| version(key));
    note(registry::PARTITION, Noted::RegistryRead(versions.max()));
}

/// A bound as it is used.
#[inline]
pub fn bound(max: usize) -> usize {
    max.min(BOUND.get())
}

/// Sets what [`early_flush_bytes`] gives on this thread, or leaves it as it is in the program.
pub fn set_early_flush_bytes(min: Option<usize>) {
    EARLY_FLUSH_BYTES.set(min);
}

/// From how many bytes on a batch is flushed early.
#[inline]
pub fn early_flush_bytes(min: usize) -> usize {
    EARLY_FLUSH_BYTES.get().unwrap_or(min)
}
