//! Bots.

use plugin_proto::v1;

use super::people::{NOBODY, get_user, user};
use super::{Api, PLUGIN, alone, refused};

const MISSING: &str = "store.sql_bot.get.missing.app_error";

fn named(username: &str) -> v1::Bot {
    v1::Bot { username: username.into(), display_name: "Helper".into(), ..Default::default() }
}

async fn create(api: &Api, bot: v1::Bot) -> Result<v1::Bot, plugin_conformance::api::AppError> {
    api.create_bot(v1::CreateBotRequest { bot: Some(bot) }).await.map(|it| it.bot.unwrap())
}

async fn all(api: &Api, options: v1::BotGetOptions) -> Vec<String> {
    let request = v1::GetBotsRequest { options: Some(options) };
    let bots = api.get_bots(request).await.unwrap().bots;
    bots.into_iter().map(|bot| bot.username).collect()
}

#[tokio::test]
async fn a_bot_is_a_user_of_its_owner() {
    let (_server, api) = alone();
    let bot = create(&api, named("helper")).await.unwrap();
    assert_eq!((bot.owner_id.as_str(), bot.delete_at), (PLUGIN, 0));
    let it = get_user(&api, &bot.user_id).await;
    assert_eq!((it.email.as_str(), it.first_name.as_str()), ("helper@localhost", "Helper"));
    assert_eq!((it.is_bot, it.roles.as_str(), it.password.as_str()), (true, "system_user", ""));

    let field = |field: &str| format!("model.bot.is_valid.{field}.app_error");
    let cases = [
        (
            v1::Bot { owner_id: bot.user_id.clone(), ..named("b") },
            "plugin_api.bot_cant_create_bot".into(),
        ),
        (named("Upper"), field("username")),
        (v1::Bot { display_name: "d".repeat(65), ..named("b") }, field("user_id")),
        (v1::Bot { description: "d".repeat(1025), ..named("b") }, field("description")),
        (v1::Bot { owner_id: "o".repeat(191), ..named("b") }, field("creator_id")),
        (
            v1::Bot { user_id: NOBODY.into(), ..named("b") },
            "app.user.save.existing.app_error".into(),
        ),
        (named("helper"), "app.user.save.username_exists.app_error".into()),
    ];
    for (bot, id) in cases {
        refused(create(&api, bot).await, &id, 400);
    }
}

#[tokio::test]
async fn bots_are_patched_listed_and_disabled() {
    let (_server, api) = alone();
    let ada = user(&api, "ada").await;
    let bot = create(&api, named("helper")).await.unwrap();
    create(&api, v1::Bot { owner_id: ada.id.clone(), ..named("adas") }).await.unwrap();
    let patch = |id: &str, username: &str| {
        let bot_patch = v1::BotPatch { username: Some(username.into()), ..Default::default() };
        let bot_user_id = id.into();
        api.patch_bot(v1::PatchBotRequest { bot_user_id, bot_patch: Some(bot_patch) })
    };
    refused(patch(&ada.id, "x").await, MISSING, 404);
    refused(patch(&bot.user_id, "a b").await, "model.user.is_valid.username.app_error", 400);
    refused(patch(&bot.user_id, "ada").await, "app.user.save.username_exists.app_error", 400);
    refused(patch(&bot.user_id, "Upper").await, "model.bot.is_valid.username.app_error", 400);
    assert_eq!(get_user(&api, &bot.user_id).await.username, "upper", "the user was changed");
    let patched = patch(&bot.user_id, "helper2").await.unwrap().bot.unwrap();
    assert_eq!((patched.username.as_str(), patched.update_at > bot.update_at), ("helper2", true));

    let activate = |id: &str, active: bool| {
        api.update_bot_active(v1::UpdateBotActiveRequest { bot_user_id: id.into(), active })
    };
    let disabled = activate(&bot.user_id, false).await.unwrap().bot.unwrap();
    assert!(disabled.delete_at > 0);
    let get = |include_deleted: bool| {
        let bot_user_id = bot.user_id.clone();
        api.get_bot(v1::GetBotRequest { bot_user_id, include_deleted })
    };
    refused(get(false).await, MISSING, 404);
    assert_eq!(get(true).await.unwrap().bot, Some(disabled));
    refused(activate(NOBODY, true).await, "app.user.missing_account.const", 404);

    let page = || v1::BotGetOptions { per_page: 10, ..Default::default() };
    assert_eq!(all(&api, page()).await, ["adas"]);
    assert_eq!(
        all(&api, v1::BotGetOptions { include_deleted: true, ..page() }).await,
        ["helper2", "adas"]
    );
    assert_eq!(all(&api, v1::BotGetOptions { owner_id: ada.id.clone(), ..page() }).await, ["adas"]);
    assert!(all(&api, v1::BotGetOptions { per_page: 0, ..page() }).await.is_empty());
    assert!(all(&api, v1::BotGetOptions { only_orphaned: true, ..page() }).await.is_empty());
    api.delete_user(v1::DeleteUserRequest { user_id: ada.id.clone() }).await.unwrap();
    let orphans = v1::BotGetOptions { only_orphaned: true, include_deleted: true, ..page() };
    assert_eq!(all(&api, orphans).await, ["adas"], "disabled with its owner");

    let delete = |id: &str| {
        api.permanent_delete_bot(v1::PermanentDeleteBotRequest { bot_user_id: id.into() })
    };
    delete(&bot.user_id).await.unwrap();
    delete(&bot.user_id).await.unwrap();
    refused(get(true).await, MISSING, 404);
}

#[tokio::test]
async fn a_plugin_finds_its_bot_again() {
    let (_server, api) = alone();
    let ensure = |bot: v1::Bot| api.ensure_bot_user(v1::EnsureBotUserRequest { bot: Some(bot) });
    assert!(ensure(v1::Bot::default()).await.is_err());
    let id = ensure(named("helper")).await.unwrap().bot_user_id;
    assert_eq!(ensure(named("renamed")).await.unwrap().bot_user_id, id);
    assert_eq!(get_user(&api, &id).await.username, "renamed");
    api.kv_delete_all(v1::KvDeleteAllRequest {}).await.unwrap();
    assert_eq!(ensure(named("renamed")).await.unwrap().bot_user_id, id);
    api.kv_delete_all(v1::KvDeleteAllRequest {}).await.unwrap();
    let ada = user(&api, "ada").await;
    assert_eq!(
        ensure(named("ada")).await.unwrap().bot_user_id,
        ada.id,
        "a person, as if it were well"
    );
}
