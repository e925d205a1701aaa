//! What a configuration must keep to be saved.

use super::super::super::config::Config;
use super::super::super::limits::{is_http_url, runes};

const SHORTEST_SALT: usize = 32;
const LONGEST_SITE_NAME: usize = 30;
const SHORTEST_BATCHING_SECONDS: i64 = 30;
const SHORTEST_TYPING_MILLISECONDS: i64 = 1000;

/// The first rule that is broken, in Mattermost's order: the part of its id between
/// `model.config.is_valid.` and `.app_error`.
pub(super) fn check(config: &Config) -> Result<(), &'static str> {
    let rules = first(config)
        .into_iter()
        .chain(teams(config))
        .chain(storage(config))
        .chain(mail_and_passwords(config))
        .chain(services(config));
    rules.into_iter().find(|(_, holds)| !holds).map_or(Ok(()), |(rule, _)| Err(rule))
}

type Rule = (&'static str, bool);

fn is_one_of(config: &Config, section: &str, name: &str, words: &[&str]) -> bool {
    words.contains(&config.text(section, name))
}

fn first(config: &Config) -> Vec<Rule> {
    let without_site = config.text("ServiceSettings", "SiteURL").is_empty();
    let batches = config.flag("EmailSettings", "EnableEmailBatching");
    let cluster = config.flag("ClusterSettings", "Enable");
    let cookies = config.flag("ServiceSettings", "AllowCookiesForSubdomains");
    vec![
        ("site_url_email_batching", !(without_site && batches)),
        ("cluster_email_batching", !(cluster && batches)),
        ("cache_type", is_one_of(config, "CacheSettings", "CacheType", &["lru", "redis"])),
        ("allow_cookies_for_subdomains", !(without_site && cookies)),
    ]
}

fn teams(config: &Config) -> Vec<Rule> {
    let number = |name| config.number("TeamSettings", name);
    let is_one_of = |name, words: &[&str]| is_one_of(config, "TeamSettings", name, words);
    let names = ["full_name", "nickname_full_name", "username"];
    let archived = config.flag("TeamSettings", "ExperimentalViewArchivedChannels");
    vec![
        ("max_users", number("MaxUsersPerTeam") > 0),
        ("max_channels", number("MaxChannelsPerTeam") > 0),
        ("user_status_away_timeout", number("UserStatusAwayTimeout") > 0),
        ("max_notify_per_channel", number("MaxNotificationsPerChannel") > 0),
        ("restrict_direct_message", is_one_of("RestrictDirectMessage", &["any", "team"])),
        ("teammate_name_display", is_one_of("TeammateNameDisplay", &names)),
        ("sitename_length", runes(config.text("TeamSettings", "SiteName")) <= LONGEST_SITE_NAME),
        ("experimental_view_archived_channels", archived),
    ]
}

fn storage(config: &Config) -> Vec<Rule> {
    let is_salt = |section, name| {
        let salt = config.text(section, name);
        salt.is_empty() || salt.len() >= SHORTEST_SALT
    };
    let certificates = config.flag("ExperimentalSettings", "ClientSideCertEnable");
    let drivers = ["local", "amazons3"];
    vec![
        ("client_side_cert_enable", !certificates),
        ("sql_driver", config.text("SqlSettings", "DriverName") == "postgres"),
        ("sql_data_src", !config.text("SqlSettings", "DataSource").is_empty()),
        ("encrypt_sql", is_salt("SqlSettings", "AtRestEncryptKey")),
        ("max_file_size", config.number("FileSettings", "MaxFileSize") > 0),
        ("file_driver", is_one_of(config, "FileSettings", "DriverName", &drivers)),
        ("file_salt", is_salt("FileSettings", "PublicLinkSalt")),
        ("directory", !config.text("FileSettings", "Directory").is_empty()),
    ]
}

fn mail_and_passwords(config: &Config) -> Vec<Rule> {
    let mail = |name| config.number("EmailSettings", name);
    let rate = |name| config.number("RateLimitSettings", name);
    let security = ["", "TLS", "STARTTLS"];
    let shortest = config.number("PasswordSettings", "MinimumLength");
    vec![
        ("email_security", is_one_of(config, "EmailSettings", "ConnectionSecurity", &security)),
        ("email_batching_buffer_size", mail("EmailBatchingBufferSize") > 0),
        ("email_batching_interval", mail("EmailBatchingInterval") >= SHORTEST_BATCHING_SECONDS),
        ("password_length", (5..=72).contains(&shortest)),
        ("rate_mem", rate("MemoryStoreSize") > 0),
        ("rate_sec", rate("PerSec") > 0),
        ("max_burst", rate("MaxBurst") > 0),
    ]
}

fn services(config: &Config) -> Vec<Rule> {
    let text = |name| config.text("ServiceSettings", name);
    let number = |name| config.number("ServiceSettings", name);
    let is_one_of = |name, words: &[&str]| is_one_of(config, "ServiceSettings", name, words);
    let unread = ["disabled", "default_on", "default_off"];
    let threads = ["disabled", "default_on", "default_off", "always_on"];
    let follows = text("CollapsedThreads") == "disabled"
        || config.flag("ServiceSettings", "ThreadAutoFollow");
    let typing = number("TimeBetweenUserTypingUpdatesMilliseconds");
    let integrations = number("OutgoingIntegrationRequestsTimeout");
    vec![
        ("webserver_security", is_one_of("ConnectionSecurity", &["", "TLS"])),
        ("max_payload_size", number("MaximumPayloadSizeBytes") > 0),
        ("max_url_length", number("MaximumURLLength") > 0),
        ("read_timeout", number("ReadTimeout") > 0),
        ("write_timeout", number("WriteTimeout") > 0),
        ("time_between_user_typing", typing >= SHORTEST_TYPING_MILLISECONDS),
        ("login_attempts", number("MaximumLoginAttempts") > 0),
        ("site_url", is_empty_or_uri(text("SiteURL"))),
        ("websocket_url", is_empty_or_uri(text("WebsocketURL"))),
        ("listen_address", is_address(text("ListenAddress"))),
        ("outgoing_integrations_request_timeout", integrations > 0),
        ("group_unread_channels", is_one_of("ExperimentalGroupUnreadChannels", &unread)),
        ("collapsed_threads.autofollow", follows),
        ("collapsed_threads", is_one_of("CollapsedThreads", &threads)),
    ]
}

/// Go's request URIs: a path from the root, or a scheme and what it leads to.
fn is_empty_or_uri(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        let letters = |it: u8| it.is_ascii_alphanumeric() || b"+-.".contains(&it);
        scheme.starts_with(|it: char| it.is_ascii_alphabetic())
            && scheme.bytes().all(letters)
            && rest.starts_with('/')
    });
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    text.is_empty()
        || text.starts_with('/')
        || scheme && !text.contains(' ') && (!is_web || is_http_url(text))
}

/// A host, which may be left out, and a port.
fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}
