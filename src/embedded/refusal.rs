//! How the server says no: AppErrors by what they mean.

use crate::api::AppError;

/// 400: the request breaks a rule.
pub(crate) fn invalid(id: &str, message: &str) -> AppError {
    refused(id, 400, message)
}

/// 403: a rule forbids it, whoever asks.
pub(crate) fn forbidden(id: &str, message: &str) -> AppError {
    refused(id, 403, message)
}

/// 404: what was asked for is not there.
pub(crate) fn not_found(id: &str, message: &str) -> AppError {
    refused(id, 404, message)
}

/// 500: the server cannot do what it should.
pub(crate) fn internal(id: &str, message: &str) -> AppError {
    refused(id, 500, message)
}

/// 501: this server does not do it, for want of a licence or because it is switched off.
pub(crate) fn unavailable(id: &str, message: &str) -> AppError {
    refused(id, 501, message)
}

/// 400: a message that the RPC cannot do without is not set. Mattermost has no answer to that; its
/// handler crashes.
pub(crate) fn absent(field: &str) -> AppError {
    let message = format!("{field} is required: set it in the request.");
    refused("api.context.invalid_body_param.app_error", 400, &message)
}

/// A failure that Mattermost has no id for: an ordinary Go error, which the plugin sees as
/// `INTERNAL` with this text.
pub(crate) fn plain(text: &str) -> AppError {
    AppError::new("", 500).message(format!("internal error: {text}"))
}

/// Any status; an empty `message` is the id, as it is for an id without a translation.
pub(crate) fn refused(id: &str, status_code: i32, message: &str) -> AppError {
    let error = AppError::new(id, status_code);
    if message.is_empty() { error } else { error.message(message) }
}
