//! What belongs nowhere else.

use bytes::Bytes;
use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::outbox::Sent;
use crate::api::AppError;

/// The limits of a server that is not in the cloud: a JSON object without entries.
pub(in super::super) async fn get_cloud_limits(
    _: &Ctx,
    _: v1::GetCloudLimitsRequest,
) -> Result<v1::GetCloudLimitsResponse, AppError> {
    Ok(v1::GetCloudLimitsResponse { limits_json: Bytes::from_static(b"{}"), error: None })
}

/// There is no cluster: nothing happens, in the plugin itself least of all, and nothing is checked.
/// The outbox shows what would have been sent.
pub(in super::super) async fn publish_plugin_cluster_event(
    ctx: &Ctx,
    it: v1::PublishPluginClusterEventRequest,
) -> Result<v1::PublishPluginClusterEventResponse, AppError> {
    ctx.outbox().send(Sent::ClusterEvent(it));
    Ok(v1::PublishPluginClusterEventResponse::default())
}

/// Has no effect in Mattermost either.
pub(in super::super) async fn register_collection_and_topic(
    _: &Ctx,
    _: v1::RegisterCollectionAndTopicRequest,
) -> Result<v1::RegisterCollectionAndTopicResponse, AppError> {
    Ok(v1::RegisterCollectionAndTopicResponse::default())
}

/// No plugin can be reached from here: where several run, their environment answers this call.
pub(in super::super) async fn plugin_http(
    _: &Ctx,
    it: v1::PluginHttpRequest,
) -> Result<v1::PluginHttpResponse, AppError> {
    let wrong = |what: &str| (400, format!("{what} Form of URL should be /<pluginid>/*"));
    let uri = it.url.parse::<http::Uri>();
    let path = uri.as_ref().map_or("", |uri| uri.path());
    let path = if it.url.is_empty() { "" } else { path };
    let (status_code, body) = match path.trim_start_matches('/').split_once('/') {
        _ if path.starts_with("//") => wrong("No plugin specified."),
        None => wrong("Not enough URL."),
        Some(_) => (404, "404 page not found\n".to_owned()),
    };
    let mut response =
        v1::PluginHttpResponse { status_code, body: body.into(), ..Default::default() };
    if status_code == 404 {
        let text = "text/plain; charset=utf-8".to_owned();
        response.headers.insert("Content-Type".to_owned(), text);
        response.headers.insert("X-Content-Type-Options".to_owned(), "nosniff".to_owned());
    }
    Ok(response)
}
