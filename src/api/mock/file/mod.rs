//! Mocks in a YAML file, for `plugin-conformance serve --mocks FILE` and
//! `check plugin DIR --mocks FILE`, and for [`MockApi::from_yaml_file`](super::MockApi::from_yaml_file).
//!
//! ```yaml
//! otherwise: generated        # calls without a mock get generated answers; default: unmatched
//! mocks:
//!   - given: GetUser                       # the RPC
//!     with: {user_id: abc}                 # fields of the request; without `with` any request
//!     respond: {user: {id: abc, username: ada}}
//!     expect: 1                            # or {at_least: 1, at_most: 3}; default: any number
//!   - given: KVGet
//!     with:
//!       key: {regex: "^count_"}
//!     fail: {id: app.kv.error, message: no luck, status_code: 500}
//!     delay_ms: 50
//!     up_to: 1                             # afterwards the mocks above it answer
//!   - given: KVList
//!     name: the second page is empty       # for the messages
//!     sequence:                            # one after the other; the last one repeats
//!       - respond: {keys: [a, b]}
//!       - {respond: {keys: []}, delay_ms: 10}
//!       - fail: {id: app.kv.gone}
//! ```
//!
//! Of several mocks that match a call, the one furthest down answers, until it is used up: begin
//! with the general and end with the special. `expect` is no limit; it is verified at the end.
//!
//! # A mock
//!
//! | key | what it says |
//! |---|---|
//! | `given` | the RPC |
//! | `with` | what must hold of the request's fields, all of it |
//! | `respond` | the response message in proto3 JSON: enums by name, `bytes` in base64 |
//! | `fail` | an AppError: `id`, and perhaps `message` (by default the id), `status_code` (500), `detailed_error`, `where`, `request_id`, `params`; it takes the error channel of its RPC |
//! | `sequence` | a list of `respond` or `fail`, each perhaps with `delay_ms` |
//! | `delay_ms` | how much later the answer comes |
//! | `expect` | how many calls must come: a number, or `at_least` and `at_most` |
//! | `up_to` | how many calls the mock answers |
//! | `name` | what messages call it |
//!
//! # `with`
//!
//! Fields stand by name, inner fields either as a map (`post: {channel_id: abc}`) or by a dotted
//! path (`post.channel_id: abc`); items of a list by number. Fields that are not named do not
//! matter. What stands behind a field is its value, or a map of these:
//!
//! | key | what must hold |
//! |---|---|
//! | `equals` | this is the value; of a message all of it, fields that are not named being unset |
//! | `contains` | the text has this in it, or the list has this item |
//! | `text` | the text is this; for `bytes`, whose `equals` is in base64 |
//! | `regex` | something in the text matches the regular expression |
//! | `set` | `true`: the field has a value other than the default; `false`: it has none |
//!
//! `contains`, `text` and `regex` read `bytes` as UTF-8.

mod error;
mod mocks;
mod node;
mod reader;

pub use error::MockFileError;
pub use mocks::{MockFile, Otherwise};
