//! What the targets check. It is shared with the trials of the corpus, which run on stable Rust in the package's own tests.

use std::alloc::{GlobalAlloc, Layout, System};

#[path = "../../tests/it/fuzz/properties/mod.rs"]
pub mod properties;

/// A snapshot's block has 64 MiB at most; nothing else that is read comes near it.
const ALLOCATION_BYTES_MAX: usize = 128 << 20;

/// Ends the process where more memory is asked for at once than any input may cause. libFuzzer's own limit needs a sanitizer.
struct Bounded;

// SAFETY: the system's allocator does all of the work.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check(bytes);
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn check(bytes: usize) {
    if bytes > ALLOCATION_BYTES_MAX {
        eprintln!("{bytes} bytes were asked for at once");
        std::process::abort();
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;
