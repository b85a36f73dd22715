//! Fuzzes `bodies::rating`; what it may do is said there.
#![no_main]

#[allow(dead_code, reason = "one body of several")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::rating(data));
