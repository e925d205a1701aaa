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
    // team
    // channel
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
    // command
    execute_slash_command
    // misc
    open_interactive_dialog
    request_trial_license
    send_push_notification
}
