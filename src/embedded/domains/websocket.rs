//! Events that a plugin sends to the clients.

use plugin_proto::v1;
use serde_json::Value;

use super::super::ctx::Ctx;
use super::logging::object_of;
use crate::api::AppError;

/// No name and no id is checked: an unknown user, channel or team reaches nobody. Without a broadcast
/// everybody gets it.
pub(in super::super) async fn publish_web_socket_event(
    ctx: &Ctx,
    it: v1::PublishWebSocketEventRequest,
) -> Result<v1::PublishWebSocketEventResponse, AppError> {
    let event = format!("custom_{}_{}", ctx.plugin_id(), it.event);
    let data = Value::Object(it.payload.map(object_of).unwrap_or_default());
    ctx.publish(event, data, it.broadcast.unwrap_or_default());
    Ok(v1::PublishWebSocketEventResponse::default())
}
