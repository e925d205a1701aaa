//! Posts, their lists, and posts that nobody keeps.

use std::sync::Arc;

use async_trait::async_trait;
use plugin_conformance::api::AppError;
use plugin_conformance::embedded::{HookSink, Notice, Will};
use plugin_proto::v1;

use super::files::upload;
use super::people::{NOBODY, channel, join_channel, join_team, team, user};
use super::{Api, Told, alone, refused};

/// A channel with its author.
pub(super) struct Place {
    api: Api,
    author: v1::User,
    channel: v1::Channel,
}

impl Place {
    pub(super) async fn of(api: &Api) -> Self {
        let author = user(api, "ada").await;
        let team = team(api, "team").await;
        join_team(api, &team, &author).await;
        let channel = channel(api, &team, "talk").await;
        join_channel(api, &channel, &author).await;
        Self { api: Arc::clone(api), author, channel }
    }

    fn draft(&self, message: &str) -> v1::Post {
        v1::Post {
            user_id: self.author.id.clone(),
            channel_id: self.channel.id.clone(),
            message: message.into(),
            ..Default::default()
        }
    }

    pub(super) async fn post(&self, message: &str) -> v1::Post {
        create(&self.api, self.draft(message)).await.unwrap()
    }

    async fn reply(&self, root: &v1::Post, message: &str) -> v1::Post {
        let post = v1::Post { root_id: root.id.clone(), ..self.draft(message) };
        create(&self.api, post).await.unwrap()
    }

    async fn channel_now(&self) -> v1::Channel {
        let request = v1::GetChannelRequest { channel_id: self.channel.id.clone() };
        self.api.get_channel(request).await.unwrap().channel.unwrap()
    }
}

async fn create(api: &Api, post: v1::Post) -> Result<v1::Post, AppError> {
    let answer = api.create_post(v1::CreatePostRequest { post: Some(post) }).await;
    answer.map(|it| it.post.unwrap())
}

async fn update(api: &Api, post: v1::Post) -> Result<v1::Post, AppError> {
    let answer = api.update_post(v1::UpdatePostRequest { post: Some(post) }).await;
    answer.map(|it| it.post.unwrap())
}

pub(super) async fn get(api: &Api, id: &str) -> Result<v1::Post, AppError> {
    let answer = api.get_post(v1::GetPostRequest { post_id: id.into() }).await;
    answer.map(|it| it.post.unwrap())
}

async fn delete(api: &Api, id: &str) -> Result<v1::DeletePostResponse, AppError> {
    api.delete_post(v1::DeletePostRequest { post_id: id.into() }).await
}

#[tokio::test]
async fn what_is_posted_is_got_told_and_counted() {
    let (server, api) = alone();
    let place = Place::of(&api).await;
    let before = place.channel_now().await;
    let told = Told::by(&server);
    server.outbox().take();
    let sent = v1::Post { pending_post_id: "p".into(), ..place.draft("Hello #world") };
    let made = create(&api, sent).await.unwrap();
    assert_eq!((&*made.hashtags, &*made.pending_post_id), ("#world", "p"));
    assert_eq!((made.create_at, made.reply_count), (made.update_at, 0));
    assert!(made.props.as_ref().unwrap().fields.contains_key("from_plugin"));
    let stored = v1::Post { pending_post_id: String::new(), ..made.clone() };
    assert_eq!(get(&api, &made.id).await.unwrap(), stored);
    let [Notice::MessageHasBeenPosted(notice)] = &told.take()[..] else { panic!("not told") };
    assert_eq!(notice.post.as_ref(), Some(&stored));
    let events = server.outbox().websocket_events();
    assert_eq!((events.len(), &*events[0].event), (1, "posted"));
    assert_eq!(events[0].broadcast.channel_id, place.channel.id);
    let now = place.channel_now().await;
    assert_eq!(now.total_msg_count, before.total_msg_count + 1);
    assert_eq!(now.last_post_at, made.create_at);

    let reply = place.reply(&made, "yes").await;
    assert_eq!((reply.reply_count, get(&api, &made.id).await.unwrap().reply_count), (1, 1));
    assert_eq!(get(&api, &made.id).await.unwrap().update_at, reply.create_at);
    let now = place.channel_now().await;
    assert_eq!(now.total_msg_count_root, before.total_msg_count_root + 1);
}

#[tokio::test]
async fn bad_posts_are_refused() {
    let (_server, api) = alone();
    let place = Place::of(&api).await;
    let root = place.post("root").await;
    let reply = place.reply(&root, "reply").await;
    let good = place.draft("x");
    let root_id = |id: &str| v1::Post { root_id: id.into(), ..good.clone() };
    let elsewhere = v1::Channel { name: "other".into(), ..place.channel.clone() };
    let request = v1::Channel { id: String::new(), create_at: 0, ..elsewhere };
    let request = v1::CreateChannelRequest { channel: Some(request) };
    let other = api.create_channel(request).await.unwrap().channel.unwrap();
    let field = |name: &str| format!("model.post.is_valid.{name}.app_error");
    let no_root = "api.post.create_post.root_id.app_error";
    let cases = [
        (
            v1::Post { channel_id: NOBODY.into(), ..good.clone() },
            "app.channel.get.existing.app_error",
            404,
        ),
        (
            v1::Post { user_id: NOBODY.into(), ..good.clone() },
            "app.user.missing_account.const",
            404,
        ),
        (root_id(NOBODY), no_root, 400),
        (root_id(&reply.id), no_root, 400),
        (
            v1::Post { channel_id: other.id.clone(), ..root_id(&root.id) },
            "api.post.create_post.channel_root_id.app_error",
            500,
        ),
        (v1::Post { id: NOBODY.into(), ..good.clone() }, "app.post.save.existing.app_error", 400),
        (v1::Post { message: "ä".repeat(16_384), ..good.clone() }, &field("message_length"), 400),
        (v1::Post { r#type: "system_ephemeral".into(), ..good.clone() }, &field("type"), 400),
        (
            v1::Post { r#type: "burn_on_read".into(), ..good.clone() },
            "api.post.fill_in_post_props.burn_on_read.license.app_error",
            501,
        ),
        (
            v1::Post { file_ids: (0..11).map(|it| format!("{it:026}")).collect(), ..good.clone() },
            &field("file_ids"),
            400,
        ),
    ];
    for (bad, id, status_code) in cases {
        refused(create(&api, bad).await, id, status_code);
    }
    create(&api, v1::Post { message: "ä".repeat(16_383), ..good }).await.unwrap();
}

#[tokio::test]
async fn an_update_replaces_and_keeps_the_old_version() {
    let (server, api) = alone();
    let place = Place::of(&api).await;
    let made = place.post("one").await;
    let told = Told::by(&server);
    let request = v1::Post { id: made.id.clone(), message: "two #xy".into(), ..Default::default() };
    let new = update(&api, request).await.unwrap();
    assert_eq!((&*new.message, &*new.hashtags, &new.props), ("two #xy", "#xy", &None));
    assert!(new.edit_at == new.update_at && new.user_id == made.user_id);
    let [Notice::MessageHasBeenUpdated(notice)] = &told.take()[..] else { panic!("not told") };
    let old = notice.old_post.as_ref().unwrap();
    assert_eq!((&*old.message, &old.original_id), ("one", &made.id));
    assert_eq!((old.delete_at, old.update_at), (new.update_at, new.update_at));
    refused(get(&api, &old.id).await, "app.post.get.app_error", 404);

    refused(update(&api, v1::Post::default()).await, "app.post.get.app_error", 400);
    let lost = v1::Post { id: NOBODY.into(), ..Default::default() };
    refused(update(&api, lost).await, "app.post.get.app_error", 404);
    let system = v1::Post { r#type: "system_generic".into(), ..place.draft("s") };
    let system = create(&api, system).await.unwrap();
    refused(update(&api, system).await, "api.post.update_post.system_message.app_error", 400);
}

#[tokio::test]
async fn a_deleted_root_takes_its_thread_along() {
    let (server, api) = alone();
    let place = Place::of(&api).await;
    let file = upload(&api, "a.txt", b"x").await;
    let sent = v1::Post { file_ids: vec![file.id.clone()], ..place.draft("root") };
    let root = create(&api, sent).await.unwrap();
    assert_eq!(root.file_ids, std::slice::from_ref(&file.id));
    let reply = place.reply(&root, "reply").await;
    let thread = v1::GetPostThreadRequest { post_id: reply.id.clone() };
    let list = api.get_post_thread(thread.clone()).await.unwrap().post_list.unwrap();
    assert_eq!(list.order, [reply.id.clone(), root.id.clone()]);
    assert!(list.posts.values().all(|post| post.reply_count == 1));

    let told = Told::by(&server);
    server.outbox().take();
    delete(&api, &root.id).await.unwrap();
    let [Notice::MessageHasBeenDeleted(notice)] = &told.take()[..] else { panic!("not told") };
    assert_eq!(notice.post.as_ref().unwrap().delete_at, 0);
    let events = server.outbox().websocket_events();
    assert_eq!(events.iter().filter(|it| it.event == "post_deleted").count(), 2);
    for id in [&root.id, &reply.id] {
        refused(get(&api, id).await, "app.post.get.app_error", 404);
    }
    refused(delete(&api, &root.id).await, "app.post.get.app_error", 400);
    refused(delete(&api, "").await, "app.post.get.app_error", 400);
    refused(api.get_post_thread(thread).await, "app.post.get.app_error", 404);
    let answer = api.get_post_thread(v1::GetPostThreadRequest::default()).await;
    refused(answer, "app.post.get.app_error", 400);
    let answer = api.get_file_info(v1::GetFileInfoRequest { file_id: file.id }).await;
    refused(answer, "app.file_info.get.app_error", 404);
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let (_server, api) = alone();
    let place = Place::of(&api).await;
    let joined = api.get_posts_for_channel(page(&place, 0, 100)).await.unwrap().post_list.unwrap();
    let joined = joined.order.len();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(place.post(&number.to_string()).await.id);
    }
    let list = async |number, per_page| {
        let answer = api.get_posts_for_channel(page(&place, number, per_page)).await;
        answer.map(|it| it.post_list.unwrap().order)
    };
    assert_eq!(list(0, 2).await.unwrap(), [ids[4].clone(), ids[3].clone()]);
    assert_eq!(list(1, 2).await.unwrap(), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(list(0, 100).await.unwrap().len(), 5 + joined);
    assert_eq!(list(0, 0).await.unwrap(), Vec::<String>::new());
    refused(list(0, 1001).await, "app.post.get_posts.app_error", 400);
    refused(list(-1, 1).await, "app.post.get_root_posts.app_error", 500);

    let before = async |id: &str, page, per_page| {
        let (channel_id, post_id) = (place.channel.id.clone(), id.to_owned());
        let request = v1::GetPostsBeforeRequest { channel_id, post_id, page, per_page };
        api.get_posts_before(request).await.map(|it| it.post_list.unwrap().order)
    };
    let after = async |id: &str, page, per_page| {
        let (channel_id, post_id) = (place.channel.id.clone(), id.to_owned());
        let request = v1::GetPostsAfterRequest { channel_id, post_id, page, per_page };
        api.get_posts_after(request).await.map(|it| it.post_list.unwrap().order)
    };
    assert_eq!(before(&ids[3], 0, 2).await.unwrap(), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(after(&ids[0], 0, 2).await.unwrap(), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(after(&ids[0], 1, 2).await.unwrap(), [ids[4].clone(), ids[3].clone()]);
    assert_eq!(after(NOBODY, 0, 2).await.unwrap(), Vec::<String>::new());
    let around = "app.post.get_posts_around.get.app_error";
    refused(before(&ids[0], -1, 2).await, around, 400);
    refused(after(&ids[0], 0, -1).await, around, 400);

    let last = get(&api, &ids[3]).await.unwrap();
    delete(&api, &ids[0]).await.unwrap();
    let (channel_id, time) = (place.channel.id.clone(), last.update_at);
    let request = v1::GetPostsSinceRequest { channel_id, time };
    let since = api.get_posts_since(request).await.unwrap().post_list.unwrap();
    assert_eq!(since.order, [ids[4].clone(), ids[0].clone()]);
    assert!(since.posts[&ids[0]].delete_at > 0);
}

fn page(place: &Place, page: i32, per_page: i32) -> v1::GetPostsForChannelRequest {
    v1::GetPostsForChannelRequest { channel_id: place.channel.id.clone(), page, per_page }
}

#[tokio::test]
async fn ephemeral_posts_are_sent_and_not_kept() {
    let (server, api) = alone();
    let place = Place::of(&api).await;
    server.outbox().take();
    let user_id = place.author.id.clone();
    let post = Some(place.draft("psst"));
    let request = v1::SendEphemeralPostRequest { user_id: user_id.clone(), post: post.clone() };
    let sent = api.send_ephemeral_post(request).await.unwrap().post.unwrap();
    assert_eq!((&*sent.r#type, sent.update_at, sent.id.len()), ("system_ephemeral", 0, 26));
    refused(get(&api, &sent.id).await, "app.post.get.app_error", 404);
    let request = v1::UpdateEphemeralPostRequest { user_id: user_id.clone(), post };
    let updated = api.update_ephemeral_post(request).await.unwrap().post.unwrap();
    assert!(updated.id.is_empty() && updated.create_at == 0 && updated.update_at > 0);
    let kept = place.post("kept").await;
    server.outbox().take();
    let (user, post_id) = (user_id.clone(), kept.id.clone());
    let request = v1::DeleteEphemeralPostRequest { user_id: user, post_id };
    api.delete_ephemeral_post(request).await.unwrap();
    get(&api, &kept.id).await.unwrap();
    let events = server.outbox().websocket_events();
    assert_eq!((&*events[0].event, &events[0].broadcast.user_id), ("post_deleted", &user_id));
}

/// Rewrites, rejects and dismisses by the text of a post.
struct Editor;

fn judged(mut post: v1::Post) -> Will<v1::Post> {
    match &*post.message {
        "reject" => Will::Reject { reason: "because".into() },
        "dismiss" => Will::Dismiss,
        _ => {
            post.message.push('!');
            Will::Pass(post)
        }
    }
}

#[async_trait]
impl HookSink for Editor {
    async fn message_will_be_posted(
        &self,
        request: v1::MessageWillBePostedRequest,
    ) -> Will<v1::Post> {
        judged(request.post.unwrap())
    }

    async fn message_will_be_updated(
        &self,
        request: v1::MessageWillBeUpdatedRequest,
    ) -> Will<v1::Post> {
        judged(request.new_post.unwrap())
    }
}

#[tokio::test]
async fn plugins_are_asked_about_posts() {
    let (server, api) = alone();
    let place = Place::of(&api).await;
    server.set_hooks(Arc::new(Editor));
    let made = place.post("hello").await;
    assert_eq!(made.message, "hello!");
    let rejected = "Post rejected by plugin. because";
    refused(create(&api, place.draft("reject")).await, rejected, 400);
    let dismissed = "plugin.message_will_be_posted.dismiss_post";
    refused(create(&api, place.draft("dismiss")).await, dismissed, 400);
    let change = |text: &str| v1::Post { message: text.into(), ..made.clone() };
    assert_eq!(update(&api, change("other")).await.unwrap().message, "other!");
    refused(update(&api, change("reject")).await, rejected, 400);
}
