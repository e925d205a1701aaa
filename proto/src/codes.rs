//! The status codes of gRPC and their names.

use tonic::Code;

const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

/// A code as gRPC spells it, for example `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    CODES.iter().find(|(known, _)| *known == code).map_or("UNKNOWN", |(_, name)| name)
}

/// The code of this name, for example of `NOT_FOUND`.
pub fn code_by_name(name: &str) -> Option<Code> {
    CODES.iter().find(|(_, known)| *known == name).map(|(code, _)| *code)
}

/// Every code's name, in the order of their numbers.
pub fn code_names() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(_, name)| *name)
}
