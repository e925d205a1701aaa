//! The server's log, as plugins write to it.

use plugin_proto::v1;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

use super::super::ctx::Ctx;
use super::super::outbox::{Logged, Sent};
use crate::api::AppError;

macro_rules! levels {
    ($($method:ident $request:ident $response:ident $level:literal;)*) => {
        $(
            pub(in super::super) async fn $method(
                ctx: &Ctx,
                it: v1::$request,
            ) -> Result<v1::$response, AppError> {
                log(ctx, $level, it.msg, it.key_value_pairs);
                Ok(v1::$response::default())
            }
        )*
    };
}

levels! {
    log_debug LogDebugRequest LogDebugResponse "debug";
    log_info LogInfoRequest LogInfoResponse "info";
    log_warn LogWarnRequest LogWarnResponse "warn";
    log_error LogErrorRequest LogErrorResponse "error";
}

/// One record, with the pairs in order. Duplicates and empty keys are kept.
fn log(ctx: &Ctx, level: &'static str, message: String, pairs: Vec<v1::KeyValuePair>) {
    let pairs = pairs.into_iter();
    let fields = pairs.map(|it| (it.key, it.value.map_or(Value::Null, json_of))).collect();
    let plugin_id = ctx.plugin_id().to_string();
    ctx.outbox().send(Sent::Log(Logged { plugin_id, level, message, fields }));
}

/// The JSON that a `google.protobuf.Value` says. A number that JSON has no word for is null.
pub(in super::super) fn json_of(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(it)) => Value::Bool(it),
        Some(Kind::NumberValue(it)) => Number::from_f64(it).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(it)) => Value::String(it),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
        Some(Kind::StructValue(object)) => Value::Object(object_of(object)),
    }
}

/// The JSON object that a `google.protobuf.Struct` says.
pub(in super::super) fn object_of(object: prost_types::Struct) -> Map<String, Value> {
    object.fields.into_iter().map(|(key, value)| (key, json_of(value))).collect()
}
