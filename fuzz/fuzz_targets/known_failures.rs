#![no_main]

use plugin_conformance_fuzz::known_failures::check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
