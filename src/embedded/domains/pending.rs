//! RPCs without a handler yet. A name leaves this list when a domain has a function of that name: with
//! both, or with neither, the crate does not compile.

use super::super::ctx::Ctx;
use crate::api::{ApiRequest, AppError};

macro_rules! pending {
    ($($method:ident)*) => {
        $(
            pub(in super::super) async fn $method<Q: ApiRequest>(
                _: &Ctx,
                _: Q,
            ) -> Result<Q::Response, AppError> {
                Err(AppError::not_implemented(Q::method()))
            }
        )*

        /// The names in the list.
        pub(super) const PENDING: &[&str] = &[$(stringify!($method)),*];
    };
}

pending! {
    // user
    create_user
    delete_user
    get_users
    get_users_by_ids
    get_user
    get_user_by_email
    get_user_by_username
    get_users_by_usernames
    get_users_in_team
    update_user
    get_user_status
    get_user_statuses_by_ids
    update_user_status
    set_user_status_timed_dnd
    update_user_active
    update_user_custom_status
    remove_user_custom_status
    get_users_in_channel
    get_ldap_user_attributes
    search_users
    get_profile_image
    set_profile_image
    has_permission_to
    has_permission_to_team
    has_permission_to_channel
    publish_user_typing
    update_user_auth
    update_user_roles
    get_session
    create_session
    extend_session_expiry
    revoke_session
    create_user_access_token
    revoke_user_access_token
    // team
    create_team
    delete_team
    get_teams
    get_team
    get_team_by_name
    get_teams_unread_for_user
    update_team
    search_teams
    get_teams_for_user
    create_team_member
    create_team_members
    create_team_members_gracefully
    delete_team_member
    get_team_members
    get_team_member
    get_team_members_for_user
    update_team_member_roles
    get_team_icon
    set_team_icon
    remove_team_icon
    get_team_stats
    // channel
    create_channel
    delete_channel
    get_public_channels_for_team
    get_channel
    get_channel_by_name
    get_channel_by_name_for_team_name
    get_channels_for_team_for_user
    get_channel_stats
    get_direct_channel
    get_group_channel
    update_channel
    search_channels
    add_channel_member
    add_user_to_channel
    get_channel_member
    get_channel_members
    get_channel_members_by_ids
    get_channel_members_for_user
    update_channel_member_roles
    update_channel_member_notifications
    patch_channel_members_notifications
    delete_channel_member
    create_channel_sidebar_category
    get_channel_sidebar_categories
    update_channel_sidebar_categories
    // post
    create_post
    add_reaction
    remove_reaction
    get_reactions
    send_ephemeral_post
    update_ephemeral_post
    delete_ephemeral_post
    delete_post
    get_post_thread
    get_post
    get_posts_since
    get_posts_after
    get_posts_before
    get_posts_for_channel
    update_post
    search_posts_in_team
    search_posts_in_team_for_user
    // emoji
    get_emoji_image
    // plugin
    get_bundle_path
    get_plugins
    enable_plugin
    disable_plugin
    remove_plugin
    get_plugin_status
    install_plugin
    get_plugin_id
    // file
    copy_file_infos
    get_file_info
    set_file_searchable_content
    get_file_infos
    get_file
    get_file_link
    read_file
    upload_file
    create_upload_session
    upload_data
    get_upload_session
    // bot
    create_bot
    patch_bot
    get_bot
    get_bots
    update_bot_active
    permanent_delete_bot
    ensure_bot_user
    // command
    register_command
    unregister_command
    execute_slash_command
    create_command
    list_commands
    list_custom_commands
    list_plugin_commands
    list_built_in_commands
    get_command
    update_command
    delete_command
    // misc
    open_interactive_dialog
    request_trial_license
    roles_grant_permission
    send_push_notification
}
