#![no_main]

use libfuzzer_sys::fuzz_target;
use retention_signals_fuzz::properties;

fuzz_target!(|bytes: &[u8]| {
    properties::conditions(bytes);
});
