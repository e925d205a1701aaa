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
    delete_user
    get_users
    get_users_by_ids
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
    get_team_icon
    set_team_icon
    remove_team_icon
    // channel
    update_channel_sidebar_categories
    // post
    search_posts_in_team
    search_posts_in_team_for_user
    // kv
    publish_web_socket_event
    // configuration
    load_plugin_configuration
    get_config
    get_unsanitized_config
    save_config
    get_plugin_config
    save_plugin_config
    // plugin
    get_bundle_path
    get_plugins
    enable_plugin
    disable_plugin
    remove_plugin
    get_plugin_status
    install_plugin
    get_plugin_id
    // bot
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
    // oauth
    create_o_auth_app
    get_o_auth_app
    update_o_auth_app
    delete_o_auth_app
    // group
    get_group
    get_group_by_name
    get_group_member_users
    get_groups_by_source
    get_groups_for_user
    upsert_group_member
    upsert_group_members
    get_group_by_remote_id
    create_group
    update_group
    delete_group
    restore_group
    delete_group_member
    get_group_syncable
    get_group_syncables
    upsert_group_syncable
    update_group_syncable
    delete_group_syncable
    get_groups
    create_default_syncable_memberships
    delete_group_constrained_memberships
    // shared_channel
    register_plugin_for_shared_channels
    unregister_plugin_for_shared_channels
    share_channel
    update_shared_channel
    unshare_channel
    update_shared_channel_cursor
    sync_shared_channel
    invite_remote_to_channel
    uninvite_remote_from_channel
    // audit
    log_audit_rec
    log_audit_rec_with_level
    // misc
    plugin_http
    get_cloud_limits
    open_interactive_dialog
    publish_plugin_cluster_event
    register_collection_and_topic
    request_trial_license
    send_mail
    send_push_notification
}
