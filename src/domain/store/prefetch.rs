//! Memory that is needed soon is asked for, and nobody waits for it.

/// So many bytes come to a processor together.
pub const CACHE_LINE: usize = 64;

/// Has a place brought to the processor's caches. A hint without any effect that could be seen, and nothing at all on processors for
/// which the compiler does not have it.
#[inline]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        #[expect(unsafe_code, reason = "there is no safe call for it")]
        // SAFETY: every processor of this architecture has it, and it may be given any address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
