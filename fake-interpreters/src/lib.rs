//! `fake-python`: one compiled program that stands where `python` stands.
//!
//! A bundle whose interpreter is `fake-python` behaves as its script says: well, badly, or not at
//! all. The script is YAML ([`script`] documents every word of it); what the program saw and did
//! is left beside the script as `report.json` ([`report::Report`]).
//!
//! - [`run::main`] is the whole program, for a binary of two lines.
//! - [`characters::CHARACTERS`] are scripts ready to use, from `well-behaved` to `blocks-thread`.
//! - [`sample`] makes the messages that both sides of the process boundary expect of each other,
//!   and [`compare`] says where one of them differs.
//! - [`wire`] carries any RPC as bytes.
//! - [`sdk_driver`] is a client for `check sdk`, right or wrong in one way.
//!
//! ```
//! use fake_interpreters::characters::Character;
//! use fake_interpreters::script::Script;
//!
//! let character = Character::by_name("well-behaved").unwrap();
//! let script = Script::parse(character.script, "plugin.py".as_ref()).unwrap();
//! assert!(!script.life.is_empty());
//! ```

#[cfg(windows)]
compile_error!(
    "fake-python runs on Linux and macOS: Mattermost servers with Python plugins do too"
);

pub mod characters;
pub mod compare;
mod deeds;
mod lock;
mod protocol;
pub mod report;
pub mod run;
mod say;
pub mod script;
pub mod sdk_driver;
pub mod wire;

pub use characters::Character;
pub use plugin_proto::{names, sample};
pub use protocol::{control, hook_control};
pub use report::Report;
pub use script::Script;
