//! The JSON that clients get of teams, channels and members: a text within the event's data.

use plugin_proto::v1;
use serde_json::{Value, json};

/// `O` or `I`; empty for none.
pub(super) fn team_type(it: v1::TeamType) -> &'static str {
    match it {
        v1::TeamType::Open => "O",
        v1::TeamType::Invite => "I",
        v1::TeamType::Unspecified => "",
    }
}

/// `O`, `P`, `D` or `G`; empty for none.
pub(super) fn channel_type(it: v1::ChannelType) -> &'static str {
    match it {
        v1::ChannelType::Open => "O",
        v1::ChannelType::Private => "P",
        v1::ChannelType::Direct => "D",
        v1::ChannelType::Group => "G",
        v1::ChannelType::Unspecified => "",
    }
}

/// Without the address and the invitation.
pub(super) fn sanitised_team(it: &v1::Team) -> String {
    let team = json!({
        "id": it.id,
        "create_at": it.create_at,
        "update_at": it.update_at,
        "delete_at": it.delete_at,
        "display_name": it.display_name,
        "name": it.name,
        "description": it.description,
        "email": "",
        "type": team_type(it.r#type()),
        "company_name": it.company_name,
        "allowed_domains": it.allowed_domains,
        "invite_id": "",
        "allow_open_invite": it.allow_open_invite,
        "last_team_icon_update": it.last_team_icon_update,
        "scheme_id": it.scheme_id,
        "group_constrained": it.group_constrained,
        "policy_id": it.policy_id,
        "cloud_limits_archived": it.cloud_limits_archived,
    });
    team.to_string()
}

pub(super) fn team_member(it: &v1::TeamMember) -> String {
    let member = json!({
        "team_id": it.team_id,
        "user_id": it.user_id,
        "roles": it.roles,
        "delete_at": it.delete_at,
        "scheme_guest": it.scheme_guest,
        "scheme_user": it.scheme_user,
        "scheme_admin": it.scheme_admin,
        "explicit_roles": "",
    });
    member.to_string()
}

pub(super) fn channel(it: &v1::Channel) -> String {
    let banner = it.banner_info.as_ref().map(|banner| {
        json!({
            "enabled": banner.enabled,
            "text": banner.text,
            "background_color": banner.background_color,
        })
    });
    let channel = json!({
        "id": it.id,
        "create_at": it.create_at,
        "update_at": it.update_at,
        "delete_at": it.delete_at,
        "team_id": it.team_id,
        "type": channel_type(it.r#type()),
        "display_name": it.display_name,
        "name": it.name,
        "header": it.header,
        "purpose": it.purpose,
        "last_post_at": it.last_post_at,
        "total_msg_count": it.total_msg_count,
        "extra_update_at": it.extra_update_at,
        "creator_id": it.creator_id,
        "scheme_id": it.scheme_id,
        "group_constrained": it.group_constrained,
        "shared": it.shared,
        "total_msg_count_root": it.total_msg_count_root,
        "policy_id": it.policy_id,
        "last_root_post_at": it.last_root_post_at,
        "banner_info": banner,
    });
    channel.to_string()
}

pub(super) fn channel_member(it: &v1::ChannelMember) -> String {
    let member = json!({
        "channel_id": it.channel_id,
        "user_id": it.user_id,
        "roles": it.roles,
        "last_viewed_at": it.last_viewed_at,
        "msg_count": it.msg_count,
        "mention_count": it.mention_count,
        "mention_count_root": it.mention_count_root,
        "msg_count_root": it.msg_count_root,
        "urgent_mention_count": it.urgent_mention_count,
        "notify_props": it.notify_props,
        "last_update_at": it.last_update_at,
        "scheme_guest": it.scheme_guest,
        "scheme_user": it.scheme_user,
        "scheme_admin": it.scheme_admin,
        "explicit_roles": "",
    });
    member.to_string()
}

pub(super) fn categories(categories: &[v1::SidebarCategoryWithChannels]) -> String {
    let categories = categories.iter().map(|it| {
        let sorting = match it.sorting {
            1 => "manual",
            2 => "recent",
            3 => "alpha",
            _ => "",
        };
        json!({
            "id": it.id,
            "user_id": it.user_id,
            "team_id": it.team_id,
            "display_name": it.display_name,
            "type": it.r#type,
            "sorting": sorting,
            "muted": it.muted,
            "collapsed": it.collapsed,
            "channel_ids": it.channel_ids,
        })
    });
    Value::Array(categories.collect()).to_string()
}
