//! `report.json`: what an interpreter saw and did.

mod contents;
mod hook_call;
mod hooks;
mod http_record;
mod reporter;

pub use contents::{
    CallReport, Environment, FILE_NAME, GoPlugin, RepeatReport, Report, ReportError, SCHEMA,
    StopReport,
};
pub use hooks::{HookCallReport, HookEnd, HttpReport, ReplyEnd, RequestEnd};

pub(crate) use hook_call::HookCall;
pub(crate) use hooks::MOST_CALLS;
pub(crate) use http_record::HttpRecord;
pub(crate) use reporter::Reporter;
