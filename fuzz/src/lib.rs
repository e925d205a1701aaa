//! What must hold of every reader whatever it is given: properties of bytes, as plain functions.
//!
//! A property takes bytes and panics if something does not hold of them. The fuzz targets beside
//! this crate run one property each; `tests/fuzz_properties.rs` includes this file as a module and
//! runs all of them over the same corpus and over mutations of it.
//!
//! Each has a second form, which takes the reader: by that the tests prove that a broken reader is
//! found.

pub mod coverage;
pub mod handshake;
pub mod interpreter_script;
pub mod known_failures;
pub mod manifest;
pub mod messages;
pub mod mocks;
pub mod report;
mod saved;
pub mod script_path;
pub mod serve_http;
pub mod status;
pub mod stderr;
mod text;

/// A property and the name of its fuzz target and of its folder in the corpus.
#[derive(Clone, Copy)]
pub struct Property {
    /// For example `handshake`.
    pub name: &'static str,
    /// Panics if the property does not hold of these bytes.
    pub check: fn(&[u8]),
}

/// All properties.
pub const PROPERTIES: &[Property] = &[
    Property { name: "coverage", check: coverage::check },
    Property { name: "handshake", check: handshake::check },
    Property { name: "interpreter_script", check: interpreter_script::check },
    Property { name: "known_failures", check: known_failures::check },
    Property { name: "manifest", check: manifest::check },
    Property { name: "messages", check: messages::check },
    Property { name: "mocks", check: mocks::check },
    Property { name: "report", check: report::check },
    Property { name: "script_path", check: script_path::check },
    Property { name: "serve_http", check: serve_http::check },
    Property { name: "status", check: status::check },
    Property { name: "stderr", check: stderr::check },
];
