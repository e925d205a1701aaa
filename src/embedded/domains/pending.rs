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
    // bot
    update_bot_active
    permanent_delete_bot
    ensure_bot_user
    // command
    execute_slash_command
    // misc
    open_interactive_dialog
    request_trial_license
    send_push_notification
}
