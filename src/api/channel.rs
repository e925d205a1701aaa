//! How an AppError travels: the error channels of `methods.tsv`, in two dialects.

use bytes::Bytes;
use plugin_proto::prost::Message;
use plugin_proto::{ErrorChannel, Method, PACKAGE, v1};
use prost_types::Any;
use tonic::{Code, Status};

use super::AppError;

/// Which channel failures take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// As the Go server does it: each RPC by its row in `methods.tsv`.
    #[default]
    GoServer,
    /// As the contract's authors documented it: every AppError in the response's field `error`,
    /// with gRPC status OK.
    Embedded,
}

impl Dialect {
    /// The channel that a failure of `method` takes.
    pub fn channel(self, method: &Method) -> ErrorChannel {
        match self {
            Self::GoServer => method.error_channel,
            Self::Embedded => ErrorChannel::Embedded,
        }
    }

    /// What goes on the wire when the implementation of `method` fails with `error`.
    ///
    /// A failure of an RPC that cannot fail (`none`) is an `INTERNAL` status: the plugin must not
    /// take it for a success.
    pub(super) fn fail(
        self,
        method: &Method,
        error: AppError,
        budget: ErrorBudget,
    ) -> Result<Bytes, Status> {
        match self.channel(method) {
            ErrorChannel::Embedded => Ok(embed(error.into())),
            ErrorChannel::Status | ErrorChannel::Mixed => {
                let code = code_of_http_status(error.status_code);
                Err(status(code, error.into(), budget))
            }
            ErrorChannel::None => Err(status(Code::Internal, error.into(), budget)),
        }
    }
}

/// The gRPC code for an AppError's HTTP status.
///
/// ```
/// use plugin_conformance::api::code_of_http_status;
/// use tonic::Code;
///
/// assert_eq!(code_of_http_status(404), Code::NotFound);
/// assert_eq!(code_of_http_status(402), Code::Internal);
/// ```
pub fn code_of_http_status(status_code: i32) -> Code {
    match status_code {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::AlreadyExists,
        413 | 429 => Code::ResourceExhausted,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The failure as a gRPC status, as a server sends it that has the whole AppError in its details.
pub(crate) fn status_failure(error: v1::AppError) -> Status {
    status(code_of_http_status(error.status_code), error, ErrorBudget::default())
}

/// The failure as a response: gRPC status OK, and `error` set.
pub(crate) fn embedded_failure(error: v1::AppError) -> Bytes {
    embed(error)
}

/// A response of any RPC that holds only its `error`: field 1 in all 236 of them (a test says so).
fn embed(error: v1::AppError) -> Bytes {
    #[derive(Clone, PartialEq, prost::Message)]
    struct AnyResponse {
        #[prost(message, optional, tag = "1")]
        error: Option<v1::AppError>,
    }
    AnyResponse { error: Some(error) }.encode_to_vec().into()
}

/// How many bytes of HTTP/2 header list a failure may take, counted as HPACK counts them.
///
/// A client refuses a reply whose metadata exceeds its own limit (grpc's C core starts to at
/// 8 KiB), and then sees that instead of the failure. What does not fit is shortened: parameters
/// first, then detailed error, then message; never the code or the id.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorBudget(pub(super) usize);

impl Default for ErrorBudget {
    fn default() -> Self {
        Self(7 * 1024)
    }
}

/// google.rpc.Status, the form in which gRPC libraries expect details.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

fn status(code: Code, mut error: v1::AppError, budget: ErrorBudget) -> Status {
    let fits = |error: &v1::AppError| {
        let message = format!("{}: {}", error.id, error.message);
        let details = details(code, &message, error);
        let size = percent_encoded(&message) + details.len().div_ceil(3) * 4;
        (size <= budget.0).then(|| Status::with_details(code, message, details.into()))
    };
    if let Some(status) = fits(&error) {
        return status;
    }
    tracing::warn!(id = error.id, "an AppError too large for gRPC metadata is shortened");
    error.params = None;
    for shorten in [
        (|error| &mut error.detailed_error) as fn(&mut v1::AppError) -> &mut String,
        |error| &mut error.message,
        |error| &mut error.r#where,
        |error| &mut error.request_id,
        |error| &mut error.id,
    ] {
        let mut keep = shorten(&mut error).len();
        while keep > 0 {
            if let Some(status) = fits(&error) {
                return status;
            }
            keep /= 2;
            shortened(shorten(&mut error), keep);
        }
    }
    fits(&error).unwrap_or_else(|| Status::new(code, ""))
}

/// Cuts `text` to at most `keep` bytes, at a character, and marks the cut.
pub(super) fn shortened(text: &mut String, keep: usize) {
    if text.len() <= keep {
        return;
    }
    let end = (0..=keep.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    if !text.is_empty() {
        text.push('…');
    }
}

fn details(code: Code, message: &str, error: &v1::AppError) -> Vec<u8> {
    let any = Any {
        type_url: format!("type.googleapis.com/{PACKAGE}.AppError"),
        value: error.encode_to_vec(),
    };
    RpcStatus { code: code.into(), message: message.to_owned(), details: vec![any] }.encode_to_vec()
}

/// Upper bound of a text's length in `grpc-message`.
fn percent_encoded(text: &str) -> usize {
    let wide =
        text.bytes().filter(|byte| !(b'!'..=b'~').contains(byte) || b"\"#%<>`?{}".contains(byte));
    text.len() + 2 * wide.count()
}

/// The AppError that a status carries as a detail, whole.
///
/// `None` when there is none: a failure that is no AppError (a panic, a limit, a deadline), or a
/// server that drops it.
pub fn app_error_of_status(status: &Status) -> Option<AppError> {
    let status = RpcStatus::decode(status.details()).ok()?;
    let any = status
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/mattermost.pluginapi.v1.AppError"))?;
    v1::AppError::decode(any.value.as_slice()).ok().map(AppError::from)
}
