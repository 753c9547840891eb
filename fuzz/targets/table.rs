//! See `tributary_fuzz::table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_fuzz::table::run(data));
