//! Makes users, teams and channels for the tests of what they do.

use plugin_proto::v1;

use super::Api;

/// A well-formed id that nobody has.
pub(super) const NOBODY: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnn";

pub(super) fn person(name: &str) -> v1::User {
    v1::User {
        username: name.into(),
        email: format!("{name}@example.com"),
        password: "correct horse".into(),
        ..Default::default()
    }
}

pub(super) async fn user(api: &Api, name: &str) -> v1::User {
    let request = v1::CreateUserRequest { user: Some(person(name)) };
    api.create_user(request).await.unwrap().user.unwrap()
}

pub(super) fn open_team(name: &str) -> v1::Team {
    let mut team =
        v1::Team { name: name.into(), display_name: name.to_uppercase(), ..Default::default() };
    team.set_type(v1::TeamType::Open);
    team
}

pub(super) async fn team(api: &Api, name: &str) -> v1::Team {
    let request = v1::CreateTeamRequest { team: Some(open_team(name)) };
    api.create_team(request).await.unwrap().team.unwrap()
}

pub(super) async fn join_team(api: &Api, team: &v1::Team, user: &v1::User) -> v1::TeamMember {
    let (team_id, user_id) = (team.id.clone(), user.id.clone());
    let request = v1::CreateTeamMemberRequest { team_id, user_id };
    api.create_team_member(request).await.unwrap().team_member.unwrap()
}

pub(super) fn open_channel(team: &v1::Team, name: &str) -> v1::Channel {
    let mut channel = v1::Channel {
        team_id: team.id.clone(),
        name: name.into(),
        display_name: name.chars().take(20).collect::<String>().to_uppercase(),
        ..Default::default()
    };
    channel.set_type(v1::ChannelType::Open);
    channel
}

pub(super) async fn channel(api: &Api, team: &v1::Team, name: &str) -> v1::Channel {
    let request = v1::CreateChannelRequest { channel: Some(open_channel(team, name)) };
    api.create_channel(request).await.unwrap().channel.unwrap()
}

pub(super) async fn join_channel(
    api: &Api,
    channel: &v1::Channel,
    user: &v1::User,
) -> v1::ChannelMember {
    let (channel_id, user_id) = (channel.id.clone(), user.id.clone());
    let request = v1::AddChannelMemberRequest { channel_id, user_id };
    api.add_channel_member(request).await.unwrap().channel_member.unwrap()
}

pub(super) async fn get_user(api: &Api, id: &str) -> v1::User {
    let request = v1::GetUserRequest { user_id: id.into() };
    api.get_user(request).await.unwrap().user.unwrap()
}

pub(super) async fn get_channel(api: &Api, id: &str) -> v1::Channel {
    let request = v1::GetChannelRequest { channel_id: id.into() };
    api.get_channel(request).await.unwrap().channel.unwrap()
}
