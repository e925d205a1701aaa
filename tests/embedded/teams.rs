//! Teams, their members, and what joining brings.

use plugin_conformance::api::AppError;
use plugin_conformance::embedded::Notice;
use plugin_proto::v1;

use super::people::{NOBODY, join_team, open_team, team, user};
use super::{Api, Told, alone, refused};

async fn create(api: &Api, team: v1::Team) -> Result<v1::Team, AppError> {
    let request = v1::CreateTeamRequest { team: Some(team) };
    api.create_team(request).await.map(|answer| answer.team.unwrap())
}

#[tokio::test]
async fn a_team_comes_with_two_channels() {
    let (server, api) = alone();
    let told = Told::by(&server);
    let sent =
        v1::Team { invite_id: "mine".into(), policy_id: Some("p".into()), ..open_team("core") };
    let core = create(&api, sent).await.unwrap();
    assert_ne!(core.invite_id, "mine");
    assert_eq!((core.policy_id.as_deref(), core.create_at), (Some("p"), core.update_at));
    let request = v1::GetTeamRequest { team_id: core.id.clone() };
    let got = api.get_team(request).await.unwrap().team.unwrap();
    assert_eq!(got, v1::Team { policy_id: None, ..core.clone() });
    let request =
        v1::GetPublicChannelsForTeamRequest { team_id: core.id.clone(), page: 0, per_page: 10 };
    let channels = api.get_public_channels_for_team(request).await.unwrap().channels;
    let names: Vec<_> = channels.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["off-topic", "town-square"]);
    assert_eq!((told.take(), server.outbox().entries()), (vec![], vec![]));

    let field = |field: &str| format!("model.team.is_valid.{field}.app_error");
    let existing = "store.sql_team.save_team.existing.app_error";
    let cases = [
        (v1::Team { id: NOBODY.into(), ..open_team("ab") }, existing.into()),
        (v1::Team { email: "No".into(), ..open_team("ab") }, field("email")),
        (v1::Team { display_name: String::new(), ..open_team("ab") }, field("name")),
        (v1::Team { display_name: "A".into(), ..open_team(&"a".repeat(65)) }, field("url")),
        (v1::Team { description: "d".repeat(256), ..open_team("ab") }, field("description")),
        (open_team("posters"), field("reserved")),
        (open_team("a_b"), field("characters")),
        (v1::Team { r#type: 0, ..open_team("ab") }, field("type")),
        (v1::Team { company_name: "c".repeat(65), ..open_team("ab") }, field("company")),
        (v1::Team { allowed_domains: "d".repeat(501), ..open_team("ab") }, field("domains")),
        (open_team("core"), existing.into()),
    ];
    for (team, id) in cases {
        refused(create(&api, team).await, &id, 400);
    }
}

#[tokio::test]
async fn who_joins_a_team_is_in_its_channels() {
    let (server, api) = alone();
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    server.outbox().take();
    let told = Told::by(&server);
    let member = join_team(&api, &core, &ada).await;
    assert_eq!((member.roles.as_str(), member.scheme_user), ("team_user", true));
    let joined = told.take();
    let joined: Vec<_> =
        joined.iter().filter(|it| matches!(it, Notice::UserHasJoinedTeam(_))).collect();
    assert_eq!(joined.len(), 1);
    let events = server.outbox().websocket_events();
    let added = events.iter().filter(|it| it.event == "added_to_team").count();
    assert_eq!((added, events.iter().filter(|it| it.event == "user_added").count()), (2, 2));

    let request = v1::GetChannelsForTeamForUserRequest {
        team_id: core.id.clone(),
        user_id: ada.id.clone(),
        include_deleted: false,
    };
    let channels = api.get_channels_for_team_for_user(request).await.unwrap().channels;
    assert_eq!(channels.len(), 2);
    assert_eq!(join_team(&api, &core, &ada).await, member, "again is no error");

    let add = |team_id: &str, user_id: &str| {
        let (team_id, user_id) = (team_id.into(), user_id.into());
        api.create_team_member(v1::CreateTeamMemberRequest { team_id, user_id })
    };
    refused(add(NOBODY, NOBODY).await, "app.team.get.find.app_error", 404);
    refused(add(&core.id, NOBODY).await, "app.user.missing_account.const", 404);
}
