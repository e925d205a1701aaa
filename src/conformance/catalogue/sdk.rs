//! The checks of an SDK's client: up to nine for each RPC of PluginAPI.

use plugin_proto::prost_reflect::{Kind, MessageDescriptor};
use plugin_proto::{Method, Service};

use super::Level::{Recommended, Required};
use super::SubjectKind::Sdk;
use super::{Check, leaked};

/// The checks of an RPC, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SdkCheck {
    /// The SDK has a method.
    Present,
    /// The request arrives once, whole.
    Request,
    /// A filled answer comes back whole.
    Answer,
    /// Fields of a newer server are no error.
    UnknownFields,
    /// An empty answer is no crash.
    Empty,
    /// An AppError in the response is an error with its id and status.
    ErrorEmbedded,
    /// An AppError as a gRPC status is an error with its id and status.
    ErrorStatus,
    /// Failures of gRPC are errors.
    GrpcFailures,
    /// Every field is offered.
    Offers,
}

impl SdkCheck {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Present,
        Self::Request,
        Self::Answer,
        Self::UnknownFields,
        Self::Empty,
        Self::ErrorEmbedded,
        Self::ErrorStatus,
        Self::GrpcFailures,
        Self::Offers,
    ];

    /// Those that can be made of `method`. A response without fields is always empty, and so is one
    /// that says false and nothing else; where there are no fields, none can be left out.
    pub fn of(method: &Method) -> impl Iterator<Item = Self> {
        let fields = |descriptor: MessageDescriptor| -> Vec<_> {
            descriptor.fields().filter(|field| field.name() != "error").collect()
        };
        let (asked, answered) =
            (fields(method.request_descriptor()), fields(method.response_descriptor()));
        let says_nothing = match answered.as_slice() {
            [] => true,
            [only] => only.kind() == Kind::Bool && !only.is_list(),
            _ => false,
        };
        let has_fields = !(asked.is_empty() && answered.is_empty());
        Self::ALL.into_iter().filter(move |check| match check {
            Self::Empty => !says_nothing,
            Self::Offers => has_fields,
            _ => true,
        })
    }

    /// The last part of the check's id.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::UnknownFields => "unknown-fields",
            Self::Empty => "empty",
            Self::ErrorEmbedded => "error-embedded",
            Self::ErrorStatus => "error-status",
            Self::GrpcFailures => "grpc-failures",
            Self::Offers => "offers",
        }
    }

    /// The check's id, for example `sdk.GetUser.request`.
    pub fn id(self, method: &Method) -> String {
        format!("sdk.{}.{}", method.name, self.name())
    }
}

/// RPC by RPC.
pub(super) fn checks() -> Vec<Check> {
    let of = |method| SdkCheck::of(method).map(move |check| row(method, check));
    Service::PluginAPI.methods().flat_map(of).collect()
}

fn row(method: &Method, check: SdkCheck) -> Check {
    let name = method.name;
    let (title, harm, remedy) = match check {
        SdkCheck::Present => (
            format!("the SDK has a method for {name}"),
            "a plugin on this SDK cannot use the call",
            "add the method, or name it in the driver if it is called otherwise",
        ),
        SdkCheck::Request => (
            format!("{name}: the request arrives once, with every field as it was given"),
            "the server does something else than the plugin asked for",
            "compare the named field in the SDK's method with the request message: names and types are those of the .proto files",
        ),
        SdkCheck::Answer => (
            format!("{name}: a filled answer comes back whole"),
            "a plugin works with other values than the server sent",
            "compare the named field in what the SDK makes of the response message",
        ),
        SdkCheck::UnknownFields => (
            format!("{name}: fields of a newer server are no error"),
            "plugins break when the server is updated",
            "leave unknown fields alone",
        ),
        SdkCheck::Empty => (
            format!("{name}: an answer without fields is no crash"),
            "a plugin crashes where the server has nothing to say, for it leaves out what is empty",
            "look whether a message is there before it is used",
        ),
        SdkCheck::ErrorEmbedded => (
            format!("{name}: an AppError in the response is an error with its id and status"),
            "a plugin takes a failure for a success, or cannot tell which failure it was",
            "look at the response's field error, and keep id and status_code",
        ),
        SdkCheck::ErrorStatus => (
            format!("{name}: an AppError as a gRPC status is an error with its id and status"),
            "a plugin takes a failure for a success, or cannot tell which failure it was",
            "read the AppError in grpc-status-details-bin, or else the id before \": \" in the status message; the HTTP status follows from the code",
        ),
        SdkCheck::GrpcFailures => (
            format!("{name}: UNAVAILABLE, DEADLINE_EXCEEDED and a dropped connection are errors"),
            "a plugin takes a call that never happened for a success",
            "raise an error for every gRPC status other than OK",
        ),
        SdkCheck::Offers => (
            format!("{name}: the SDK offers every field of request and response"),
            "a plugin on this SDK cannot give or see the field",
            "add the field to the SDK's method or type",
        ),
    };
    let level = match check {
        SdkCheck::Offers => Recommended,
        _ => Required,
    };
    let source = match check {
        SdkCheck::ErrorEmbedded | SdkCheck::ErrorStatus => {
            "proto/methods.tsv, column error_channel"
        }
        SdkCheck::UnknownFields | SdkCheck::Empty => "proto3: unknown and absent fields",
        SdkCheck::GrpcFailures => "gRPC status codes",
        _ => "proto/proto/mattermost/pluginapi/v1",
    };
    Check::new(Sdk, level, leaked(check.id(method)), leaked(title))
        .harm(harm)
        .source(source)
        .remedy(remedy)
}
