//! Channels and their members.

use plugin_conformance::api::AppError;
use plugin_conformance::embedded::Notice;
use plugin_proto::v1;

use super::people::{
    NOBODY, channel, get_channel, join_channel, join_team, open_channel, team, user,
};
use super::{Api, Told, alone, refused};

async fn create(api: &Api, channel: v1::Channel) -> Result<v1::Channel, AppError> {
    let request = v1::CreateChannelRequest { channel: Some(channel) };
    api.create_channel(request).await.map(|answer| answer.channel.unwrap())
}

#[tokio::test]
async fn a_channel_is_created_and_told() {
    let (server, api) = alone();
    let core = team(&api, "core").await;
    let told = Told::by(&server);
    let sent = v1::Channel {
        display_name: " Dev ".into(),
        policy_enforced: true,
        header: "h".into(),
        default_category_name: "c".into(),
        ..open_channel(&core, "dev")
    };
    let dev = create(&api, sent).await.unwrap();
    assert_eq!((dev.display_name.as_str(), dev.policy_enforced), ("Dev", true));
    let stored = get_channel(&api, &dev.id).await;
    assert_eq!(stored, v1::Channel { policy_enforced: false, ..dev.clone() });
    assert!(matches!(&told.take()[..], [Notice::ChannelHasBeenCreated(_)]));
    assert_eq!(server.outbox().entries(), []);

    let field = |field: &str| format!("model.channel.is_valid.{field}.app_error");
    let open = |name: &str| open_channel(&core, name);
    let banner = |text: &str, colour: &str| v1::Channel {
        banner_info: Some(v1::ChannelBannerInfo {
            enabled: Some(true),
            text: Some(text.into()),
            background_color: Some(colour.into()),
        }),
        ..open("ab")
    };
    let with_type = |kind: v1::ChannelType| v1::Channel { r#type: kind.into(), ..open("ab") };
    let store = |id: &str| format!("store.sql_channel.{id}.app_error");
    let cases = [
        (v1::Channel { delete_at: 1, ..open("ab") }, store("save.archived_channel"), 400),
        (with_type(v1::ChannelType::Direct), store("save.direct_channel"), 400),
        (v1::Channel { id: NOBODY.into(), ..open("ab") }, store("save_channel.existing"), 400),
        (v1::Channel { display_name: "ä".repeat(65), ..open("ab") }, field("display_name"), 400),
        (open(""), field("1_or_more"), 400),
        (open("-a"), field("1_or_more"), 400),
        (with_type(v1::ChannelType::Unspecified), field("type"), 400),
        (v1::Channel { header: "ä".repeat(1025), ..open("ab") }, field("header"), 400),
        (v1::Channel { purpose: "ä".repeat(251), ..open("ab") }, field("purpose"), 400),
        (v1::Channel { creator_id: "c".repeat(27), ..open("ab") }, field("creator_id"), 400),
        (open(&format!("{NOBODY}__{NOBODY}")), field("name"), 400),
        (banner("", "#fff"), field("banner_info.text.empty"), 400),
        (banner(&"t".repeat(1025), "#fff"), field("banner_info.text.invalid_length"), 400),
        (banner("t", ""), field("banner_info.background_color.empty"), 400),
        (banner("t", "red"), field("banner_info.background_color.invalid"), 400),
        (open("dev"), store("save_channel.exists"), 400),
        (open(&"a".repeat(65)), "app.channel.create_channel.internal_error".into(), 500),
    ];
    for (channel, id, status_code) in cases {
        refused(create(&api, channel).await, &id, status_code);
    }
    create(&api, banner("t", "#12aF00")).await.unwrap();
}

#[tokio::test]
async fn members_of_the_team_can_be_added_and_leave() {
    let (server, api) = alone();
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    let dev = channel(&api, &core, "dev").await;
    let add = |channel_id: &str, user_id: &str| {
        let (channel_id, user_id) = (channel_id.into(), user_id.into());
        api.add_channel_member(v1::AddChannelMemberRequest { channel_id, user_id })
    };
    refused(add(NOBODY, &ada.id).await, "app.channel.get.existing.app_error", 404);
    refused(add(&dev.id, NOBODY).await, "app.user.missing_account.const", 404);
    refused(add(&dev.id, &ada.id).await, "app.team.get_member.missing.app_error", 404);
    join_team(&api, &core, &ada).await;
    server.outbox().take();
    let told = Told::by(&server);
    let member = join_channel(&api, &dev, &ada).await;
    assert_eq!((member.roles.as_str(), member.notify_props.len()), ("channel_user", 6));
    let joined = told.take();
    let joined = joined.iter().filter(|it| matches!(it, Notice::UserHasJoinedChannel(_)));
    assert_eq!(joined.count(), 1);
    assert_eq!(join_channel(&api, &dev, &ada).await, member, "again is no error");

    let remove = |channel_id: &str, user_id: &str| {
        let (channel_id, user_id) = (channel_id.into(), user_id.into());
        api.delete_channel_member(v1::DeleteChannelMemberRequest { channel_id, user_id })
    };
    remove(&dev.id, &ada.id).await.unwrap();
    let left = told.take();
    let left = left.iter().filter(|it| matches!(it, Notice::UserHasLeftChannel(_)));
    assert_eq!(left.count(), 1);
    let missing = "app.channel.get_member.missing.app_error";
    refused(remove(&dev.id, &ada.id).await, missing, 404);
    let request = v1::GetChannelByNameRequest {
        team_id: core.id.clone(),
        name: "town-square".into(),
        include_deleted: false,
    };
    let square = api.get_channel_by_name(request).await.unwrap().channel.unwrap();
    refused(remove(&square.id, &ada.id).await, "api.channel.remove.default.app_error", 400);
    let request =
        v1::GetDirectChannelRequest { user_id_1: ada.id.clone(), user_id_2: ada.id.clone() };
    let own = api.get_direct_channel(request).await.unwrap().channel.unwrap();
    refused(remove(&own.id, &ada.id).await, "api.channel.leave.direct.app_error", 400);
}
