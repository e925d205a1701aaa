//! What a caller of the API may have to know.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use plugin_proto::REDACTED;
use subtle::ConstantTimeEq as _;

/// The environment variable in which a plugin finds its token, when the launch has one: see
/// [`SupervisorBuilder::api_token`](crate::supervisor::SupervisorBuilder::api_token).
pub const TOKEN_VARIABLE: &str = "MATTERMOST_PLUGIN_API_TOKEN";

/// Random bytes of a generated token: 256 bits.
const RANDOM_BYTES: usize = 32;

/// A secret between the API server and its plugin. A call proves it with the metadata
/// `authorization: Bearer <token>`.
///
/// It is not shown by `Debug`, and compared in a time that does not depend on where two tokens
/// differ.
///
/// ```
/// use plugin_conformance::api::ApiToken;
///
/// let token = ApiToken::new("not-very-secret")?;
/// assert_eq!(format!("{token:?}"), "ApiToken((redacted))");
/// assert!(ApiToken::new("two words").is_err());
/// # Ok::<_, plugin_conformance::api::TokenError>(())
/// ```
#[derive(Clone)]
pub struct ApiToken(String);

/// There is no such token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Metadata could not carry it.
    #[error(
        "an API token is one word of visible ASCII characters, for it travels in a header; leave out spaces and other characters"
    )]
    NoWord,
    /// The system's source of random numbers failed.
    #[error("the system gives no random numbers for an API token: {0}")]
    NoRandomness(getrandom::Error),
}

impl ApiToken {
    /// This token.
    ///
    /// # Errors
    /// [`TokenError::NoWord`] when it is empty or has other than visible ASCII characters.
    pub fn new(token: impl Into<String>) -> Result<Self, TokenError> {
        let token = token.into();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(token)),
            false => Err(TokenError::NoWord),
        }
    }

    /// A token that nobody can guess: 256 random bits.
    ///
    /// # Errors
    /// [`TokenError::NoRandomness`].
    pub fn random() -> Result<Self, TokenError> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(TokenError::NoRandomness)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The secret itself, for whoever hands it to a caller.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether the caller knows it.
    pub(super) fn is_known_to(&self, metadata: &HeaderMap) -> bool {
        let mut given = metadata.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, token)) = given.as_bytes().split_at_checked(b"Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && token.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({REDACTED})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[&'static str]) -> bool {
        let mut metadata = HeaderMap::new();
        for value in values {
            metadata.append(AUTHORIZATION, value.parse().unwrap());
        }
        ApiToken::new("secret").unwrap().is_known_to(&metadata)
    }

    #[test]
    fn only_the_token_itself_will_do() {
        assert!(known(&["Bearer secret"]) && known(&["bearer secret"]));
        for wrong in [
            &[][..],
            &[""],
            &["Bearer "],
            &["Bearer secre"],
            &["Bearer secrets"],
            &["Bearer Secret"],
            &["Basic secret"],
            &["secret"],
            &["Bearer secret", "Bearer secret"],
        ] {
            assert!(!known(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn random_tokens_differ_and_are_long() {
        let (one, other) = (ApiToken::random().unwrap(), ApiToken::random().unwrap());
        assert_ne!(one.secret(), other.secret());
        assert_eq!(one.secret().len(), 43);
        assert!(ApiToken::new(one.secret()).is_ok());
    }
}
