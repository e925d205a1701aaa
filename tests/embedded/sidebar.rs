//! Sidebar categories, direct messages and notification settings.

use std::collections::BTreeMap;

use plugin_proto::v1;

use super::people::{NOBODY, channel, join_channel, join_team, team, user};
use super::{Api, alone, refused};

const FAILING: &str = "app.channel.sidebar_categories.app_error";

async fn categories(api: &Api, user: &v1::User, team: &v1::Team) -> v1::OrderedSidebarCategories {
    let (user_id, team_id) = (user.id.clone(), team.id.clone());
    let request = v1::GetChannelSidebarCategoriesRequest { user_id, team_id };
    api.get_channel_sidebar_categories(request).await.unwrap().categories.unwrap()
}

#[tokio::test]
async fn channels_are_in_categories() {
    let (_server, api) = alone();
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    let create = |user_id: &str, category: v1::SidebarCategoryWithChannels| {
        let (user_id, team_id) = (user_id.into(), core.id.clone());
        api.create_channel_sidebar_category(v1::CreateChannelSidebarCategoryRequest {
            user_id,
            team_id,
            new_category: Some(category),
        })
    };
    refused(create(&ada.id, Default::default()).await, FAILING, 404);
    join_team(&api, &core, &ada).await;
    let dev = channel(&api, &core, "dev").await;
    join_channel(&api, &dev, &ada).await;
    let three = categories(&api, &ada, &core).await;
    let kinds: Vec<_> = three.categories.iter().map(|it| it.r#type.as_str()).collect();
    assert_eq!(kinds, ["favorites", "channels", "direct_messages"]);
    assert_eq!(three.categories[1].channel_ids.len(), 3);
    assert_eq!(three.order[0], format!("favorites_{}_{}", ada.id, core.id));

    let sent = v1::SidebarCategoryWithChannels {
        display_name: "mine".into(),
        channel_ids: vec![dev.id.clone()],
        collapsed: true,
        ..Default::default()
    };
    let twice = vec![dev.id.clone(), dev.id.clone()];
    let bad = v1::SidebarCategoryWithChannels { channel_ids: twice, ..sent.clone() };
    refused(create(&ada.id, bad).await, FAILING, 500);
    let mine = create(&ada.id, sent).await.unwrap().category.unwrap();
    assert_eq!((mine.r#type.as_str(), mine.collapsed), ("custom", false));
    let four = categories(&api, &ada, &core).await;
    assert_eq!((four.order[1].as_str(), four.order.len()), (mine.id.as_str(), 4));
    assert_eq!(four.categories[1].channel_ids, std::slice::from_ref(&dev.id));

    let update = |category: v1::SidebarCategoryWithChannels| {
        let (user_id, team_id) = (ada.id.clone(), core.id.clone());
        let request = v1::UpdateChannelSidebarCategoriesRequest {
            user_id,
            team_id,
            categories: vec![category],
        };
        api.update_channel_sidebar_categories(request)
    };
    let unknown = v1::SidebarCategoryWithChannels { id: NOBODY.into(), ..mine.clone() };
    refused(update(unknown).await, FAILING, 500);
    let muted = v1::SidebarCategoryWithChannels { muted: true, ..mine };
    assert_eq!(update(muted.clone()).await.unwrap().categories, [muted]);
    let (channel_id, user_id) = (dev.id.clone(), ada.id.clone());
    let request = v1::GetChannelMemberRequest { channel_id, user_id };
    let member = api.get_channel_member(request).await.unwrap().channel_member.unwrap();
    assert_eq!(member.notify_props["mark_unread"], "mention");

    let favourite = v1::Preference {
        user_id: ada.id.clone(),
        category: "favorite_channel".into(),
        name: dev.id.clone(),
        value: "true".into(),
    };
    let (user_id, preferences) = (ada.id.clone(), vec![favourite]);
    let request = v1::UpdatePreferencesForUserRequest { user_id, preferences };
    api.update_preferences_for_user(request).await.unwrap();
    let now = categories(&api, &ada, &core).await;
    assert_eq!(now.categories[0].channel_ids, std::slice::from_ref(&dev.id));
    assert!(now.categories[1].channel_ids.is_empty());
}

#[tokio::test]
async fn messages_have_channels_of_their_own() {
    let (_server, api) = alone();
    let (ada, bob) = (user(&api, "ada").await, user(&api, "bob").await);
    let cyd = user(&api, "cyd").await;
    let direct = |one: &str, other: &str| {
        let (user_id_1, user_id_2) = (one.into(), other.into());
        api.get_direct_channel(v1::GetDirectChannelRequest { user_id_1, user_id_2 })
    };
    let unknown = direct(&ada.id, NOBODY).await;
    refused(unknown, "api.channel.create_direct_channel.invalid_user.app_error", 400);
    let channel = direct(&ada.id, &bob.id).await.unwrap().channel.unwrap();
    assert_eq!((channel.r#type(), channel.shared), (v1::ChannelType::Direct, Some(false)));
    assert_eq!(direct(&bob.id, &ada.id).await.unwrap().channel.unwrap(), channel);

    let group = |ids: &[&str]| {
        let user_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        api.get_group_channel(v1::GetGroupChannelRequest { user_ids })
    };
    let api_id = |id: &str| format!("api.channel.create_group.{id}.app_error");
    refused(group(&[&ada.id, &bob.id]).await, &api_id("bad_size"), 400);
    refused(group(&[&ada.id, &bob.id, &bob.id]).await, &api_id("bad_user"), 400);
    refused(group(&[&ada.id, &bob.id, NOBODY]).await, &api_id("bad_user"), 400);
    let channel = group(&[&cyd.id, &bob.id, &ada.id]).await.unwrap().channel.unwrap();
    assert_eq!((channel.display_name.as_str(), channel.name.len()), ("ada, bob, cyd", 40));
    assert_eq!(group(&[&ada.id, &bob.id, &cyd.id]).await.unwrap().channel.unwrap(), channel);
}

#[tokio::test]
async fn notification_settings_are_merged() {
    let (_server, api) = alone();
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    join_team(&api, &core, &ada).await;
    let dev = channel(&api, &core, "dev").await;
    join_channel(&api, &dev, &ada).await;
    let settings = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let update = |user_id: &str, notifications: BTreeMap<String, String>| {
        let (channel_id, user_id) = (dev.id.clone(), user_id.into());
        let request =
            v1::UpdateChannelMemberNotificationsRequest { channel_id, user_id, notifications };
        api.update_channel_member_notifications(request)
    };
    let missing = "app.channel.get_member.missing.app_error";
    refused(update(NOBODY, settings("desktop", "all")).await, missing, 404);
    let member = update(&ada.id, settings("desktop", "odd")).await.unwrap().channel_member.unwrap();
    assert_eq!(member.notify_props["desktop"], "odd", "values are not looked at");
    let member = update(&ada.id, settings("unknown", "x")).await.unwrap().channel_member.unwrap();
    assert!(!member.notify_props.contains_key("unknown"));

    let patch = |user_ids: &[&str], notify_props: BTreeMap<String, String>| {
        let channel_id = dev.id.clone();
        let members = user_ids.iter().map(|id| v1::ChannelMemberIdentifier {
            channel_id: channel_id.clone(),
            user_id: (*id).to_owned(),
        });
        let members = members.collect();
        api.patch_channel_members_notifications(v1::PatchChannelMembersNotificationsRequest {
            members,
            notify_props,
        })
    };
    let field = |field: &str| format!("model.channel_member.is_valid.{field}.app_error");
    let patch_id = "app.channel.patch_channel_members_notify_props";
    refused(
        patch(&[NOBODY; 201], settings("push", "all")).await,
        &format!("{patch_id}.too_many"),
        400,
    );
    refused(patch(&[&ada.id], BTreeMap::new()).await, &format!("{patch_id}.app_error"), 500);
    refused(patch(&[&ada.id], settings("push", "odd")).await, &field("push_level"), 400);
    patch(&[&ada.id, NOBODY], settings("push", "none")).await.unwrap();
    let push = || async {
        let (channel_id, user_id) = (dev.id.clone(), ada.id.clone());
        let request = v1::GetChannelMemberRequest { channel_id, user_id };
        let member = api.get_channel_member(request).await.unwrap().channel_member.unwrap();
        member.notify_props["push"].clone()
    };
    assert_eq!(push().await, "default", "one who is no member hinders all");
    patch(&[&ada.id], settings("push", "none")).await.unwrap();
    assert_eq!(push().await, "none");

    let roles = |new_roles: &str| {
        let (channel_id, user_id) = (dev.id.clone(), ada.id.clone());
        let new_roles = new_roles.into();
        let request = v1::UpdateChannelMemberRolesRequest { channel_id, user_id, new_roles };
        api.update_channel_member_roles(request)
    };
    let api_id = |id: &str| format!("api.channel.update_channel_member_roles.{id}.app_error");
    refused(roles("nobody").await, "app.role.get_by_name.app_error", 400);
    refused(roles("team_user").await, &api_id("scheme_role"), 400);
    refused(roles("channel_user channel_guest").await, &api_id("guest_and_user"), 400);
    refused(roles("channel_guest").await, &api_id("changing_guest_role"), 400);
    refused(roles("channel_user").await, &field("notify_level"), 400);
    update(&ada.id, settings("desktop", "all")).await.unwrap();
    let member = roles("channel_admin team_post_all channel_user").await.unwrap();
    let member = member.channel_member.unwrap();
    assert_eq!(member.roles, "team_post_all channel_user channel_admin");
}
