//! Errors with their causes, as one line of text.

use std::error::Error;

use crate::remedy::remedy;

/// An error and its causes in one line; a cause that repeats the text before it is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The same, and the remedy if the machine has run out of something.
pub(crate) fn chain_with_remedy(error: &(dyn Error + 'static)) -> String {
    let text = chain(error);
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(remedy) = error.downcast_ref().map(|error| remedy(error, ""))
            && !remedy.is_empty()
        {
            return format!("{text}; {remedy}");
        }
        cause = error.source();
    }
    text
}
