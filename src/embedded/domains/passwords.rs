//! Passwords as they are stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::super::refusal::invalid;
use crate::api::AppError;

/// How often the hash is repeated. Mattermost takes 600,000, against somebody who steals a database of
/// real people; no RPC ever compares a password, and a test server makes users by the hundred.
const ROUNDS: u32 = 1000;
const MAX_BYTES: usize = 72;

/// PBKDF2 in the PHC string format. `salt` is an id that nothing else has.
pub(super) fn hashed(password: &str, salt: &str) -> Result<String, AppError> {
    if password.len() > MAX_BYTES {
        let id = "model.user.pre_save.password_too_long.app_error";
        return Err(invalid(id, "The password is too long."));
    }
    let salt = salt.as_bytes();
    let hash = pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>(password.as_bytes(), salt, ROUNDS);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$pbkdf2$f=SHA256,w={ROUNDS},l=32${salt}${hash}"))
}
