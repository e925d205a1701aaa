//! Posts that one user sees and nobody keeps.

use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::refusal::absent;
use super::{post_events, post_props as props};
use crate::api::AppError;

const TYPE: &str = "system_ephemeral";

fn filled(ctx: &Ctx, mut post: v1::Post) -> v1::Post {
    post.r#type = TYPE.to_owned();
    post.props.get_or_insert_default();
    props::fill_actions(&mut post, || ctx.new_id(), true);
    post
}

fn answered(post: v1::Post) -> v1::Post {
    props::answered(post)
}

pub(in super::super) async fn send_ephemeral_post(
    ctx: &Ctx,
    it: v1::SendEphemeralPostRequest,
) -> Result<v1::SendEphemeralPostResponse, AppError> {
    let Some(post) = it.post else { return Err(absent("post")) };
    let mut post = filled(ctx, post);
    if post.id.is_empty() {
        post.id = ctx.new_id();
    }
    if post.create_at == 0 {
        post.create_at = ctx.now();
    }
    post_events::publish_to_user(ctx, "ephemeral_message", &post, &it.user_id);
    Ok(v1::SendEphemeralPostResponse { post: Some(answered(post)), error: None })
}

/// Nobody checks that the post was ever sent.
pub(in super::super) async fn update_ephemeral_post(
    ctx: &Ctx,
    it: v1::UpdateEphemeralPostRequest,
) -> Result<v1::UpdateEphemeralPostResponse, AppError> {
    let Some(post) = it.post else { return Err(absent("post")) };
    let mut post = filled(ctx, post);
    post.update_at = ctx.now();
    post_events::publish_to_user(ctx, "post_edited", &post, &it.user_id);
    Ok(v1::UpdateEphemeralPostResponse { post: Some(answered(post)), error: None })
}

pub(in super::super) async fn delete_ephemeral_post(
    ctx: &Ctx,
    it: v1::DeleteEphemeralPostRequest,
) -> Result<v1::DeleteEphemeralPostResponse, AppError> {
    let now = ctx.now();
    let post = v1::Post {
        id: it.post_id,
        user_id: it.user_id.clone(),
        r#type: TYPE.to_owned(),
        delete_at: now,
        update_at: now,
        ..Default::default()
    };
    post_events::publish_to_user(ctx, "post_deleted", &post, &it.user_id);
    Ok(v1::DeleteEphemeralPostResponse::default())
}
