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
    // post
    search_posts_in_team
    search_posts_in_team_for_user
    // command
    execute_slash_command
    // misc
    open_interactive_dialog
    request_trial_license
    send_push_notification
}
