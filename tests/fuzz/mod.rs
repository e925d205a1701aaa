//! Looks for bytes that break a property.

mod corpus;
mod mutation;
//SAB
mod search;

pub(crate) use corpus::{Corpus, folder};
pub(crate) use search::{Fault, assert_holds, search};
