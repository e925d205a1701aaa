//! The properties of posts that the server itself reads or writes.

use plugin_proto::v1;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::super::ids::ID_LENGTH;

/// A text.
pub(super) fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

/// An object of texts; other values have no place in it.
pub(super) fn object(object: serde_json::Value) -> Struct {
    let serde_json::Value::Object(object) = object else { return Struct::default() };
    let texts = object.into_iter().filter_map(|(name, it)| Some((name, text(it.as_str()?))));
    Struct { fields: texts.collect() }
}

/// True or false.
pub(super) fn flag(flag: bool) -> Value {
    Value { kind: Some(Kind::BoolValue(flag)) }
}

/// A property that is a text.
pub(super) fn text_of<'a>(post: &'a v1::Post, name: &str) -> Option<&'a str> {
    match post.props.as_ref()?.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

pub(super) fn set(post: &mut v1::Post, name: &str, value: Value) {
    post.props.get_or_insert_default().fields.insert(name.to_owned(), value);
}

pub(super) fn remove(post: &mut v1::Post, name: &str) {
    if let Some(props) = &mut post.props {
        props.fields.remove(name);
    }
}

fn attachments(post: &v1::Post) -> Option<&Value> {
    post.props.as_ref()?.fields.get("attachments")
}

/// Whether both have the same attachments.
pub(super) fn same_attachments(one: &v1::Post, other: &v1::Post) -> bool {
    attachments(one) == attachments(other)
}

fn list(value: Option<&mut Value>) -> &mut [Value] {
    match value.and_then(|value| value.kind.as_mut()) {
        Some(Kind::ListValue(list)) => &mut list.values,
        _ => &mut [],
    }
}

fn fields(value: &mut Value) -> Option<&mut Struct> {
    match value.kind.as_mut() {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

/// Gives ids to the actions of attachments that have none, and a cookie to each if `cookies`.
pub(super) fn fill_actions(post: &mut v1::Post, mut new_id: impl FnMut() -> String, cookies: bool) {
    let Some(props) = &mut post.props else { return };
    for attachment in list(props.fields.get_mut("attachments")) {
        let Some(attachment) = fields(attachment) else { continue };
        for action in list(attachment.fields.get_mut("actions")) {
            let Some(action) = fields(action) else { continue };
            let has_id = matches!(
                action.fields.get("id").and_then(|id| id.kind.as_ref()),
                Some(Kind::StringValue(id)) if !id.is_empty()
            );
            if !has_id {
                action.fields.insert("id".to_owned(), text(&new_id()));
            }
            if cookies {
                let cookie: String = new_id().chars().rev().take(ID_LENGTH).collect();
                action.fields.insert("cookie".to_owned(), text(&cookie));
            }
        }
    }
}

/// The texts of a post in which channels can be mentioned.
pub(super) fn texts(post: &v1::Post) -> Vec<String> {
    let mut texts = vec![post.message.clone()];
    let mut attachments = attachments(post).cloned();
    for attachment in list(attachments.as_mut()) {
        let Some(attachment) = fields(attachment) else { continue };
        for name in ["pretext", "text"] {
            if let Some(Kind::StringValue(text)) =
                attachment.fields.get(name).and_then(|value| value.kind.clone())
            {
                texts.push(text);
            }
        }
    }
    texts
}

/// A post as it goes to plugins: without what only clients get.
pub(super) fn shown(mut post: v1::Post) -> v1::Post {
    post.metadata = None;
    if post.r#type == "custom_up_notification" {
        remove(&mut post, "requested_features");
    }
    post
}

/// A post as the call that has just written it answers it: without what depends on who looks. With
/// attachments no properties come back at all: Mattermost cannot convert them at this point.
pub(super) fn answered(post: v1::Post) -> v1::Post {
    let mut post = shown(post);
    if attachments(&post).is_some() {
        post.props = None;
    }
    remove(&mut post, "channel_mentions");
    remove(&mut post, "previewed_post");
    post
}
