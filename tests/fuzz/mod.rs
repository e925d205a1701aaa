//! Looks for bytes that break a property.

mod corpus;
mod mutation;
mod saboteurs;
mod search;

pub(crate) use corpus::{Corpus, folder};
pub(crate) use search::{assert_holds, search};
