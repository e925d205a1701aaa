//! Users.

use plugin_conformance::embedded::Notice;
use plugin_proto::v1;

use super::people::{get_user, person, user};
use super::{Api, Told, alone, refused};

async fn create(api: &Api, user: v1::User) -> Result<v1::User, plugin_conformance::api::AppError> {
    let request = v1::CreateUserRequest { user: Some(user) };
    api.create_user(request).await.map(|answer| answer.user.unwrap())
}

#[tokio::test]
async fn a_user_is_created_with_defaults_and_told() {
    let (server, api) = alone();
    let told = Told::by(&server);
    let sent = v1::User {
        username: "Ada".into(),
        nickname: "the\u{202e} first".into(),
        roles: "system_guest".into(),
        update_at: 7,
        ..person("Ada")
    };
    let ada = create(&api, sent).await.unwrap();
    assert_eq!((ada.username.as_str(), ada.email.as_str()), ("ada", "ada@example.com"));
    assert_eq!(ada.roles, "system_admin system_user", "the first one administrates");
    assert_eq!((ada.nickname.as_str(), ada.locale.as_str()), ("the first", "en"));
    assert_eq!((ada.update_at, ada.last_password_update), (ada.create_at, ada.create_at));
    assert_eq!((ada.notify_props.len(), ada.timezone.len()), (12, 3));
    assert_eq!(ada.password, "");
    let [Notice::UserHasBeenCreated(notice)] = &told.take()[..] else { panic!("not told") };
    assert_eq!(notice.user.as_ref(), Some(&ada));
    let events = server.outbox().websocket_events();
    assert_eq!(events.iter().map(|it| it.event.as_str()).collect::<Vec<_>>(), ["new_user"]);

    let stored = get_user(&api, &ada.id).await;
    assert!(stored.password.starts_with("$pbkdf2$"), "{}", stored.password);
    assert_eq!(v1::User { password: String::new(), ..stored }, ada);
    assert_eq!(user(&api, "bob").await.roles, "system_user");
    let request = v1::GetPreferencesForUserRequest { user_id: ada.id };
    assert_eq!(api.get_preferences_for_user(request).await.unwrap().preferences.len(), 3);
}

#[tokio::test]
async fn a_user_who_breaks_a_rule_is_refused() {
    let (server, api) = alone();
    user(&api, "ada").await;
    server.outbox().take();
    let told = Told::by(&server);
    let field = |field: &str| format!("model.user.is_valid.{field}.app_error");
    let bob = || person("bob");
    let with = |change: fn(&mut v1::User)| {
        let mut user = bob();
        change(&mut user);
        user
    };
    let cases = [
        (with(|it| it.password = "short".into()), field("pwd_min_length"), 400),
        (with(|it| it.password = "p".repeat(73)), field("pwd_max_length"), 400),
        (with(|it| it.id = "i".repeat(26)), "app.user.save.existing.app_error".into(), 400),
        (with(|it| it.username = "all".into()), field("username"), 400),
        (with(|it| it.username = "a b".into()), field("username"), 400),
        (with(|it| it.username = "u".repeat(65)), field("username"), 400),
        (with(|it| it.email = String::new()), field("email"), 400),
        (with(|it| it.email = "bob".into()), field("email"), 400),
        (with(|it| it.nickname = "ä".repeat(65)), field("nickname"), 400),
        (with(|it| it.position = "ä".repeat(129)), field("position"), 400),
        (with(|it| it.first_name = "ä".repeat(65)), field("first_name"), 400),
        (with(|it| it.last_name = "ä".repeat(65)), field("last_name"), 400),
        (with(|it| it.auth_data = Some("x".into())), field("auth_data_type"), 400),
        (
            with(|it| (it.auth_data, it.auth_service) = (Some("x".into()), "saml".into())),
            field("auth_data_pwd"),
            400,
        ),
        (
            with(|it| drop(it.timezone.insert("zone".into(), "z".repeat(250)))),
            field("timezone_limit"),
            400,
        ),
        (
            with(|it| drop(it.props.insert("customStatus".into(), "no json".into()))),
            field("invalidProperty"),
            400,
        ),
        (
            with(|it| {
                it.notify_props.insert("auto_responder_message".into(), "a".repeat(16_384));
            }),
            "app.user.save.app_error".into(),
            500,
        ),
        (
            v1::User { email: "ADA@example.com".into(), ..bob() },
            "app.user.save.email_exists.app_error".into(),
            400,
        ),
        (person("ADA"), "app.user.save.username_exists.app_error".into(), 400),
    ];
    for (user, id, status_code) in cases {
        refused(create(&api, user).await, &id, status_code);
    }
    refused(
        api.create_user(v1::CreateUserRequest::default()).await,
        "api.context.invalid_body_param.app_error",
        400,
    );
    assert_eq!((told.take(), server.outbox().entries()), (vec![], vec![]));
    create(&api, with(|it| it.locale = "xx-yy-zz".into())).await.unwrap();
}

#[tokio::test]
async fn users_are_found_by_id_name_and_address() {
    let (_server, api) = alone();
    let ada = user(&api, "ada").await;
    let by_email =
        |email: &str| api.get_user_by_email(v1::GetUserByEmailRequest { email: email.into() });
    assert_eq!(by_email("ADA@Example.com").await.unwrap().user.unwrap().id, ada.id);
    refused(by_email("").await, "app.user.missing_account.const", 404);
    let by_name =
        |name: &str| api.get_user_by_username(v1::GetUserByUsernameRequest { name: name.into() });
    assert_eq!(by_name("Ada").await.unwrap().user.unwrap().id, ada.id);
    refused(by_name("@ada").await, "app.user.get_by_username.app_error", 404);
    let unknown = api.get_user(v1::GetUserRequest::default()).await;
    refused(unknown, "app.user.missing_account.const", 404);
}

#[tokio::test]
async fn no_more_than_250_are_active() {
    let (_server, api) = alone();
    for number in 0..250 {
        user(&api, &format!("user{number}")).await;
    }
    let answer = create(&api, person("one.too.many")).await;
    refused(answer, "api.user.create_user.user_limits.exceeded", 400);
}
