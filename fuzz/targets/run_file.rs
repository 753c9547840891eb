//! See `tributary_fuzz::run_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_fuzz::run_file::run(data));
