//! Slash commands.

use plugin_conformance::api::AppError;
use plugin_proto::v1;

use super::{Api, PLUGIN, alone, refused};

const TEAM: &str = "tttttttttttttttttttttttttt";
const OTHER: &str = "oooooooooooooooooooooooooo";

fn command(trigger: &str) -> v1::Command {
    v1::Command {
        team_id: TEAM.into(),
        trigger: trigger.into(),
        method: "P".into(),
        url: "https://example.com/hook".into(),
        ..Default::default()
    }
}

async fn create(api: &Api, command: v1::Command) -> Result<v1::Command, AppError> {
    let answer = api.create_command(v1::CreateCommandRequest { cmd: Some(command) }).await;
    answer.map(|answer| answer.command.unwrap())
}

async fn update(api: &Api, id: &str, command: v1::Command) -> Result<v1::Command, AppError> {
    let command_id = id.to_owned();
    let request = v1::UpdateCommandRequest { command_id, updated_cmd: Some(command) };
    api.update_command(request).await.map(|answer| answer.command.unwrap())
}

async fn got(api: &Api, id: &str) -> Result<v1::Command, AppError> {
    let answer = api.get_command(v1::GetCommandRequest { command_id: id.into() }).await;
    answer.map(|answer| answer.command.unwrap())
}

async fn delete(api: &Api, id: &str) {
    api.delete_command(v1::DeleteCommandRequest { command_id: id.into() }).await.unwrap();
}

async fn custom(api: &Api, team_id: &str) -> Vec<v1::Command> {
    let request = v1::ListCustomCommandsRequest { team_id: team_id.into() };
    api.list_custom_commands(request).await.unwrap().commands
}

async fn of_plugins(api: &Api, team_id: &str) -> Vec<v1::Command> {
    let request = v1::ListPluginCommandsRequest { team_id: team_id.into() };
    api.list_plugin_commands(request).await.unwrap().commands
}

async fn register(api: &Api, command: v1::Command) -> Result<(), AppError> {
    let request = v1::RegisterCommandRequest { command: Some(command) };
    api.register_command(request).await.map(drop)
}

async fn unregister(api: &Api, team_id: &str, trigger: &str) {
    let (team_id, trigger) = (team_id.to_owned(), trigger.to_owned());
    let request = v1::UnregisterCommandRequest { team_id, trigger };
    api.unregister_command(request).await.unwrap();
}

fn not_found(answer: Result<v1::Command, AppError>, id: &str) {
    let error = answer.unwrap_err();
    let text = format!("internal error: resource \"Command\" not found, id: {id}");
    assert_eq!((error.id.as_str(), error.status_code, error.message), ("", 500, text));
}

#[tokio::test]
async fn a_stored_command_lives() {
    let (_server, api) = alone();
    let sent = v1::Command {
        create_at: 5,
        creator_id: "ignored".into(),
        username: "name".into(),
        icon_url: "icon".into(),
        auto_complete: true,
        auto_complete_desc: "desc".into(),
        auto_complete_hint: "hint".into(),
        display_name: "display".into(),
        description: "description".into(),
        ..command("Deploy")
    };
    let made = create(&api, sent.clone()).await.unwrap();
    assert_eq!((made.id.len(), made.token.len()), (26, 26));
    assert!(made.create_at > 5 && made.create_at == made.update_at);
    let v1::Command { id, token, create_at, update_at, .. } = made.clone();
    let expected = v1::Command {
        id,
        token,
        create_at,
        update_at,
        creator_id: String::new(),
        plugin_id: PLUGIN.into(),
        trigger: "deploy".into(),
        ..sent
    };
    assert_eq!(made, expected);
    assert_eq!(got(&api, &made.id).await.unwrap(), made);
    assert_eq!(custom(&api, TEAM).await, std::slice::from_ref(&made));
    assert_eq!(custom(&api, OTHER).await, []);

    let sent = v1::Command { team_id: String::new(), method: "G".into(), ..command("ROLL") };
    let updated = update(&api, &made.id, sent).await.unwrap();
    let v1::Command { id, token, create_at, plugin_id, .. } = made.clone();
    let update_at = updated.update_at;
    assert!(update_at > create_at);
    let method = "G".to_owned();
    let rest = command("roll");
    let expected = v1::Command { id, token, create_at, update_at, plugin_id, method, ..rest };
    assert_eq!(updated, expected);

    delete(&api, &made.id).await;
    delete(&api, &made.id).await;
    delete(&api, "no such id").await;
    not_found(got(&api, &made.id).await, &made.id);
    not_found(update(&api, &made.id, command("x")).await, &made.id);
    not_found(got(&api, "").await, "");
    assert_eq!(custom(&api, TEAM).await, []);
    create(&api, command("roll")).await.unwrap();
}

#[tokio::test]
async fn a_stored_command_is_checked() {
    let (_server, api) = alone();
    const TAKEN: &str = "api.command.duplicate_trigger.app_error";
    let first = create(&api, command("one")).await.unwrap();
    refused(create(&api, command("ONE")).await, TAKEN, 400);
    refused(create(&api, command("shrug")).await, TAKEN, 400);
    create(&api, v1::Command { team_id: OTHER.into(), ..command("one") }).await.unwrap();
    let with_id = v1::Command { id: "i".repeat(26), ..command("two") };
    refused(create(&api, with_id).await, "app.command.createcommand.internal_error", 500);
    let cases = [
        (v1::Command { token: "short".into(), ..command("") }, "token"),
        (v1::Command { team_id: "team".into(), ..command("") }, "team_id"),
        (v1::Command { url: String::new(), ..command("") }, "trigger"),
        (command("/two"), "trigger"),
        (command("two words"), "trigger"),
        (command(&"t".repeat(129)), "trigger"),
        (v1::Command { url: String::new(), ..command("two") }, "url"),
        (v1::Command { url: "ftp://a.example".into(), ..command("two") }, "url_http"),
        (v1::Command { method: "POST".into(), ..command("two") }, "method"),
        (v1::Command { display_name: "d".repeat(65), ..command("two") }, "display_name"),
        (v1::Command { description: "d".repeat(129), ..command("two") }, "description"),
    ];
    for (bad, field) in cases {
        let id = format!("model.command.is_valid.{field}.app_error");
        refused(create(&api, bad).await, &id, 400);
    }
    let second = create(&api, command("two")).await.unwrap();
    refused(update(&api, &second.id, command("one")).await, TAKEN, 400);
    let owned = v1::Command { creator_id: "c".repeat(26), ..command("two") };
    let id = "model.command.is_valid.plugin_id.app_error";
    refused(update(&api, &second.id, owned).await, id, 400);
    assert_eq!(custom(&api, TEAM).await, [first, second]);
}

#[tokio::test]
async fn plugins_register_commands() {
    let (server, api) = alone();
    let other = server.api_of("com.example.b");
    let error = register(&api, v1::Command::default()).await.unwrap_err();
    assert_eq!(
        (error.id.as_str(), error.message.as_str()),
        ("", "internal error: invalid command")
    );
    let sent = |trigger: &str, team_id: &str| v1::Command {
        trigger: trigger.into(),
        team_id: team_id.into(),
        display_name: "d".into(),
        auto_complete_hint: "h".into(),
        ..Default::default()
    };
    let more = v1::Command { id: "i".into(), url: "u".into(), ..sent("One", "") };
    register(&api, more).await.unwrap();
    register(&api, sent("two", TEAM)).await.unwrap();
    register(&other, sent("one", "")).await.unwrap();
    assert_eq!(of_plugins(&api, TEAM).await, [sent("one", ""), sent("two", TEAM)]);
    assert_eq!(of_plugins(&api, "unknown").await, [sent("one", "")]);

    let again = v1::Command { auto_complete: true, ..sent("one", "") };
    register(&api, again.clone()).await.unwrap();
    assert_eq!(of_plugins(&api, TEAM).await, [again, sent("two", TEAM)]);

    unregister(&other, "", "TWO").await;
    assert_eq!(of_plugins(&api, TEAM).await.len(), 2, "another team's");
    unregister(&other, "", "One").await;
    unregister(&other, "", "unknown").await;
    assert_eq!(of_plugins(&api, TEAM).await, [sent("two", TEAM)]);
}

#[tokio::test]
async fn all_kinds_are_listed_together() {
    let (_server, api) = alone();
    let request = v1::ListBuiltInCommandsRequest {};
    let built_in = api.list_built_in_commands(request).await.unwrap().commands;
    let find = |trigger: &str| built_in.iter().find(|it| it.trigger == trigger);
    assert_eq!(find("shrug").unwrap().auto_complete_hint, "[message]");
    assert_eq!(find("msg").unwrap().display_name, "message");
    assert!(find("marketplace").is_some());
    assert!(find("test").is_none() && find("invite_people").is_none());
    assert!(built_in.iter().all(|it| it.auto_complete && !it.auto_complete_desc.is_empty()));
    assert_eq!(built_in.len(), 31);

    let mine = v1::Command { trigger: "shrug".into(), ..Default::default() };
    register(&api, mine.clone()).await.unwrap();
    let stored = create(&api, command("one")).await.unwrap();
    let request = v1::ListCommandsRequest { team_id: TEAM.into() };
    let all = api.list_commands(request).await.unwrap().commands;
    assert_eq!(all, [vec![mine], built_in, vec![stored]].concat());
}
