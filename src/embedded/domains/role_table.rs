//! The roles of a fresh server and what each of them grants.
//!
//! It is what the built-in defaults and the migrations of the first start make together, as 11.6 has
//! it. No RPC makes or changes a role.

/// A role.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    /// Whether it is given by a flag of a membership, and not by its name.
    pub(super) scheme_managed: bool,
    /// Ids of permissions, between spaces.
    permissions: &'static str,
}

impl Role {
    pub(super) fn grants(&self, permission: &str) -> bool {
        if self.name == ADMIN {
            return is_granted_to_admins(permission);
        }
        words(self.permissions).any(|it| it == permission)
    }
}

/// The role of this name.
pub(super) fn role(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}

/// Whether a permission of this id exists; those that are deprecated are nobody's.
fn is_granted_to_admins(permission: &str) -> bool {
    let section = permission
        .strip_prefix("sysconsole_read_")
        .or_else(|| permission.strip_prefix("sysconsole_write_"));
    match section {
        Some(section) => words(CONSOLE_SECTIONS).any(|it| it == section),
        None => PERMISSIONS.iter().any(|scope| words(scope).any(|it| it == permission)),
    }
}

fn words(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split_ascii_whitespace()
}

const ADMIN: &str = "system_admin";

const fn role_of(name: &'static str, permissions: &'static str) -> Role {
    Role { name, scheme_managed: true, permissions }
}

const fn free_role_of(name: &'static str, permissions: &'static str) -> Role {
    Role { name, scheme_managed: false, permissions }
}

const ROLES: &[Role] = &[
    role_of(
        "system_user",
        "list_public_teams join_public_teams create_direct_channel create_group_channel \
    view_members create_team create_custom_group edit_custom_group delete_custom_group \
    restore_custom_group manage_custom_group_members create_emojis delete_emojis",
    ),
    role_of("system_guest", "create_direct_channel create_group_channel"),
    role_of(ADMIN, ""),
    role_of(
        "team_user",
        "list_team_channels join_public_channels read_public_channel view_team \
    create_public_channel create_private_channel invite_user add_user_to_team \
    playbook_public_create playbook_private_create",
    ),
    role_of(
        "team_admin",
        "remove_user_from_team manage_team import_team manage_team_roles manage_channel_roles \
    manage_own_incoming_webhooks manage_others_incoming_webhooks manage_own_outgoing_webhooks \
    manage_others_outgoing_webhooks manage_own_slash_commands manage_others_slash_commands \
    bypass_incoming_webhook_channel_lock convert_public_channel_to_private \
    convert_private_channel_to_public delete_post delete_others_posts \
    add_bookmark_public_channel edit_bookmark_public_channel delete_bookmark_public_channel \
    order_bookmark_public_channel add_bookmark_private_channel edit_bookmark_private_channel \
    delete_bookmark_private_channel order_bookmark_private_channel \
    manage_public_channel_banner manage_private_channel_banner manage_channel_access_rules \
    create_post add_reaction remove_reaction manage_public_channel_members \
    manage_private_channel_members use_channel_mentions use_group_mentions \
    read_public_channel_groups read_private_channel_groups playbook_public_manage_roles \
    playbook_private_manage_roles upload_file manage_public_channel_auto_translation \
    manage_private_channel_auto_translation",
    ),
    role_of("team_guest", "view_team"),
    role_of(
        "channel_user",
        "read_channel read_channel_content add_reaction remove_reaction \
    manage_public_channel_members upload_file get_public_link create_post use_channel_mentions \
    manage_public_channel_properties delete_public_channel manage_private_channel_properties \
    delete_private_channel manage_private_channel_members delete_post edit_post \
    add_bookmark_public_channel edit_bookmark_public_channel delete_bookmark_public_channel \
    order_bookmark_public_channel add_bookmark_private_channel edit_bookmark_private_channel \
    delete_bookmark_private_channel order_bookmark_private_channel use_group_mentions \
    read_public_channel_groups read_private_channel_groups",
    ),
    role_of(
        "channel_admin",
        "manage_channel_roles use_group_mentions add_bookmark_public_channel \
    edit_bookmark_public_channel delete_bookmark_public_channel order_bookmark_public_channel \
    add_bookmark_private_channel edit_bookmark_private_channel delete_bookmark_private_channel \
    order_bookmark_private_channel manage_public_channel_banner manage_private_channel_banner \
    manage_channel_access_rules create_post add_reaction remove_reaction \
    manage_public_channel_members manage_private_channel_members use_channel_mentions \
    read_public_channel_groups read_private_channel_groups upload_file \
    manage_public_channel_auto_translation manage_private_channel_auto_translation",
    ),
    role_of(
        "channel_guest",
        "read_channel read_channel_content add_reaction remove_reaction upload_file edit_post \
    create_post use_channel_mentions",
    ),
    free_role_of(
        "system_post_all",
        "create_post use_channel_mentions use_group_mentions upload_file",
    ),
    free_role_of(
        "system_post_all_public",
        "create_post_public use_channel_mentions use_group_mentions",
    ),
    free_role_of(
        "team_post_all",
        "create_post use_channel_mentions use_group_mentions upload_file",
    ),
    free_role_of(
        "team_post_all_public",
        "create_post_public use_channel_mentions use_group_mentions",
    ),
    free_role_of(
        "system_user_access_token",
        "create_user_access_token read_user_access_token revoke_user_access_token",
    ),
    free_role_of("custom_group_user", ""),
    role_of(
        "playbook_admin",
        "playbook_public_manage_members playbook_public_manage_roles \
    playbook_public_manage_properties playbook_private_manage_members \
    playbook_private_manage_roles playbook_private_manage_properties \
    playbook_public_make_private",
    ),
    role_of(
        "playbook_member",
        "playbook_public_view playbook_public_manage_members playbook_public_manage_properties \
    playbook_private_view playbook_private_manage_members playbook_private_manage_properties \
    run_create",
    ),
    role_of("run_admin", "run_manage_members run_manage_properties"),
    role_of("run_member", "run_view"),
];

/// The permissions that are not deprecated, by scope, without those of the system console.
const PERMISSIONS: &[&str] = &[
    "assign_system_admin_role manage_roles manage_system create_direct_channel \
    create_group_channel list_public_teams join_public_teams list_private_teams \
    join_private_teams edit_other_users read_other_users_teams get_public_link \
    manage_system_wide_oauth create_team list_users_without_team create_user_access_token \
    read_user_access_token revoke_user_access_token create_bot assign_bot read_bots \
    read_others_bots manage_bots manage_others_bots read_jobs manage_jobs promote_guest \
    demote_to_guest edit_brand manage_shared_channels manage_secure_connections \
    download_compliance_export_result create_data_retention_job manage_data_retention_job \
    read_data_retention_job create_compliance_export_job manage_compliance_export_job \
    read_compliance_export_job read_audits test_site_url test_elasticsearch test_s3 \
    reload_config invalidate_caches recycle_database_connections purge_elasticsearch_indexes \
    test_email create_elasticsearch_post_indexing_job manage_elasticsearch_post_indexing_job \
    create_elasticsearch_post_aggregation_job manage_elasticsearch_post_aggregation_job \
    read_elasticsearch_post_indexing_job read_elasticsearch_post_aggregation_job \
    create_ldap_sync_job manage_ldap_sync_job read_ldap_sync_job test_ldap \
    invalidate_email_invite get_saml_metadata_from_idp add_saml_public_cert \
    add_saml_private_cert add_saml_idp_cert remove_saml_public_cert remove_saml_private_cert \
    remove_saml_idp_cert get_saml_cert_status add_ldap_public_cert add_ldap_private_cert \
    remove_ldap_public_cert remove_ldap_private_cert get_analytics get_logs \
    read_license_information manage_license_information create_custom_group \
    manage_outgoing_oauth_connections manage_oauth",
    "invite_user add_user_to_team manage_own_slash_commands manage_others_slash_commands \
    create_public_channel create_private_channel manage_team_roles list_team_channels \
    join_public_channels read_public_channel manage_own_incoming_webhooks \
    manage_own_outgoing_webhooks manage_others_incoming_webhooks \
    manage_others_outgoing_webhooks bypass_incoming_webhook_channel_lock create_emojis \
    delete_emojis delete_others_emojis remove_user_from_team manage_team import_team view_team \
    view_members invite_guest playbook_public_create playbook_private_create",
    "use_slash_commands manage_public_channel_members manage_private_channel_members \
    manage_channel_roles manage_public_channel_properties manage_private_channel_properties \
    convert_public_channel_to_private convert_private_channel_to_public delete_public_channel \
    delete_private_channel read_channel read_channel_content read_public_channel_groups \
    read_private_channel_groups add_reaction remove_reaction remove_others_reactions \
    upload_file create_post create_post_public create_post_ephemeral read_deleted_posts \
    edit_post edit_others_posts delete_post delete_others_posts use_channel_mentions \
    use_group_mentions add_bookmark_public_channel edit_bookmark_public_channel \
    delete_bookmark_public_channel order_bookmark_public_channel add_bookmark_private_channel \
    edit_bookmark_private_channel delete_bookmark_private_channel \
    order_bookmark_private_channel manage_public_channel_banner manage_private_channel_banner \
    manage_channel_access_rules manage_public_channel_auto_translation \
    manage_private_channel_auto_translation",
    "manage_custom_group_members edit_custom_group delete_custom_group restore_custom_group",
    "playbook_public_manage_properties playbook_public_manage_members \
    playbook_public_manage_roles playbook_public_view playbook_public_make_private \
    playbook_private_manage_properties playbook_private_manage_members \
    playbook_private_manage_roles playbook_private_view playbook_private_make_public \
    run_create",
    "run_manage_properties run_manage_members run_view",
];

/// The sections of the system console; each can be read and written.
const CONSOLE_SECTIONS: &str = "about_edition_and_license billing reporting_site_statistics reporting_team_statistics \
    reporting_server_logs user_management_users user_management_groups user_management_teams \
    user_management_channels user_management_permissions user_management_system_roles \
    environment_web_server environment_database environment_elasticsearch \
    environment_file_storage environment_image_proxy environment_smtp \
    environment_push_notification_server environment_high_availability \
    environment_rate_limiting environment_logging environment_session_lengths \
    environment_performance_monitoring environment_developer environment_mobile_security \
    site_customization site_localization site_users_and_teams site_notifications \
    site_announcement_banner site_emoji site_posts site_file_sharing_and_downloads \
    site_public_links site_notices authentication_signup authentication_email \
    authentication_password authentication_mfa authentication_ldap authentication_saml \
    authentication_openid authentication_guest_access plugins \
    integrations_integration_management integrations_bot_accounts integrations_gif \
    integrations_cors compliance_data_retention_policy compliance_compliance_export \
    compliance_compliance_monitoring compliance_custom_terms_of_service experimental_features \
    experimental_feature_flags products_boards site_ip_filters";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_of_a_role_exists() {
        for role in ROLES {
            let granted = words(role.permissions).filter(|it| !it.is_empty());
            for permission in granted {
                assert!(is_granted_to_admins(permission), "{}: {permission}", role.name);
            }
        }
        assert_eq!(ROLES.iter().filter(|it| it.scheme_managed).count(), 13);
    }

    #[test]
    fn deprecated_and_unknown_permissions_are_nobodys() {
        for permission in ["", "manage_webhooks", "sysconsole_read_site", "fly"] {
            assert!(!ROLES.iter().any(|role| role.grants(permission)), "{permission}");
        }
    }
}
