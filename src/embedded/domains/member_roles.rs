//! The roles of a membership: flags, and roles that were given by name.

use super::super::refusal::invalid;
use super::role_table::role;
use crate::api::AppError;

/// What a membership grants: the three flags, and the names of further roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemberRoles {
    pub(super) guest: bool,
    pub(super) user: bool,
    pub(super) admin: bool,
    /// Between spaces.
    pub(super) explicit: String,
}

impl MemberRoles {
    /// All names: the further ones first. `place` is `team` or `channel`.
    pub(super) fn names(&self, place: &str) -> String {
        let flags = [("guest", self.guest), ("user", self.user), ("admin", self.admin)];
        let flags = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| format!("{place}_{flag}"));
        let explicit = self.explicit.split_whitespace().map(str::to_owned);
        explicit.chain(flags).collect::<Vec<_>>().join(" ")
    }

    /// What these names mean in a place, for a member who is or is not a guest.
    pub(super) fn parsed(place: &str, names: &str, is_guest: bool) -> Result<Self, AppError> {
        let mut roles = Self::default();
        let mut explicit = Vec::new();
        for name in names.split_whitespace() {
            let Some(role) = role(name) else {
                let message = format!("There is no role {name}.");
                return Err(invalid("app.role.get_by_name.app_error", &message));
            };
            let flag = name.strip_prefix(place).and_then(|rest| rest.strip_prefix('_'));
            match flag {
                _ if !role.scheme_managed => explicit.push(name),
                Some("guest") => roles.guest = true,
                Some("user") => roles.user = true,
                Some("admin") => roles.admin = true,
                _ => {
                    let id =
                        format!("api.channel.update_{place}_member_roles.scheme_role.app_error");
                    let message = format!("The role {name} is not one of a {place}'s member.");
                    return Err(invalid(&id, &message));
                }
            }
        }
        if roles.guest && roles.user {
            let api = place;
            let id = format!("api.{api}.update_{place}_member_roles.guest_and_user.app_error");
            return Err(invalid(&id, "A member is a guest or a user, not both."));
        }
        if roles.guest != is_guest {
            let id =
                format!("api.channel.update_{place}_member_roles.changing_guest_role.app_error");
            return Err(invalid(
                &id,
                "A guest cannot become a user like this, nor a user a guest.",
            ));
        }
        roles.explicit = explicit.join(" ");
        Ok(roles)
    }
}
