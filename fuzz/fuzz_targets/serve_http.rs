#![no_main]

use plugin_conformance_fuzz::serve_http::check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
