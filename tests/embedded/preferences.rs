//! Preferences.

use plugin_conformance::embedded::Notice;
use plugin_proto::v1;
use serde_json::json;

use super::{Api, Told, alone, refused};

const USER: &str = "uuuuuuuuuuuuuuuuuuuuuuuuuu";
const OTHER: &str = "oooooooooooooooooooooooooo";

fn preference(category: &str, name: &str, value: &str) -> v1::Preference {
    v1::Preference {
        user_id: USER.into(),
        category: category.into(),
        name: name.into(),
        value: value.into(),
    }
}

async fn update(
    api: &Api,
    preferences: Vec<v1::Preference>,
) -> Result<v1::UpdatePreferencesForUserResponse, plugin_conformance::api::AppError> {
    let user_id = USER.into();
    api.update_preferences_for_user(v1::UpdatePreferencesForUserRequest { user_id, preferences })
        .await
}

async fn all(api: &Api) -> Vec<v1::Preference> {
    let request = v1::GetPreferencesForUserRequest { user_id: USER.into() };
    api.get_preferences_for_user(request).await.unwrap().preferences
}

#[tokio::test]
async fn what_is_updated_is_got_and_told() {
    let (server, api) = alone();
    let told = Told::by(&server);
    let sent = vec![preference("b", "", "2"), preference("a", "x", ""), preference("a", "b", "1")];
    update(&api, sent.clone()).await.unwrap();
    assert_eq!(all(&api).await, [sent[2].clone(), sent[1].clone(), sent[0].clone()]);

    let [Notice::PreferencesHaveChanged(notice)] = &told.take()[..] else { panic!("not told") };
    assert_eq!(notice.preferences, sent);
    let events = server.outbox().websocket_events();
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["sidebar_category_updated", "preferences_changed"]);
    assert_eq!(events[1].broadcast.user_id, USER);
    let list = events[1].data["preferences"].as_str().unwrap();
    let list: serde_json::Value = serde_json::from_str(list).unwrap();
    let first = json!({ "user_id": USER, "category": "b", "name": "", "value": "2" });
    assert_eq!((list.as_array().unwrap().len(), &list[0]), (3, &first));

    update(&api, vec![preference("a", "b", "9")]).await.unwrap();
    let request = v1::GetPreferenceForUserRequest {
        user_id: USER.into(),
        category: "a".into(),
        name: "b".into(),
    };
    let got = api.get_preference_for_user(request).await.unwrap().preference;
    assert_eq!(got, Some(preference("a", "b", "9")));
}

#[tokio::test]
async fn a_missing_one_is_400() {
    let (_server, api) = alone();
    let answer = api.get_preference_for_user(v1::GetPreferenceForUserRequest::default()).await;
    refused(answer, "app.preference.get.app_error", 400);
    assert_eq!(all(&api).await, []);
}

#[tokio::test]
async fn one_bad_entry_stores_nothing() {
    let (server, api) = alone();
    let told = Told::by(&server);
    let good = || preference("a", "good", "1");
    let foreign = v1::Preference { user_id: OTHER.into(), ..good() };
    let answer = update(&api, vec![good(), foreign.clone()]).await;
    refused(answer, "api.preference.update_preferences.set.app_error", 403);

    let id = |field: &str| format!("model.preference.is_valid.{field}.app_error");
    let cases = [
        (preference("", "n", ""), "category"),
        (preference(&"c".repeat(33), "n", ""), "category"),
        (preference("c", &"n".repeat(33), ""), "name"),
        (preference("c", "n", &"ä".repeat(20_001)), "value"),
        (preference("sidebar_settings", "limit_visible_dms_gms", "41"), "limit_visible_dms_gms"),
        (preference("sidebar_settings", "limit_visible_dms_gms", "x"), "limit_visible_dms_gms"),
    ];
    for (bad, field) in cases {
        refused(update(&api, vec![good(), bad]).await, &id(field), 400);
    }
    assert_eq!(all(&api).await, []);
    assert_eq!((told.take(), server.outbox().entries()), (vec![], vec![]));

    let longest = preference(&"c".repeat(32), &"n".repeat(32), &"ä".repeat(20_000));
    let limit = preference("sidebar_settings", "limit_visible_dms_gms", "40");
    update(&api, vec![longest, limit]).await.unwrap();
    assert_eq!(all(&api).await.len(), 2);

    let user_id = USER.to_owned();
    let preferences = vec![foreign];
    let request = v1::DeletePreferencesForUserRequest { user_id, preferences };
    let answer = api.delete_preferences_for_user(request).await;
    refused(answer, "api.preference.delete_preferences.delete.app_error", 403);
}

#[tokio::test]
async fn themes_are_made_of_colours() {
    let (_server, api) = alone();
    let cases = [
        (
            r##"{"b":"#12aF00","a":"#abc","codeTheme":"github","c":"red","d":1}"##,
            r##"{"a":"#abc","b":"#12aF00","c":"#ffffff","codeTheme":"github","d":"#ffffff"}"##,
        ),
        ("no json", "null"),
        ("[]", "null"),
    ];
    for (sent, stored) in cases {
        update(&api, vec![preference("theme", "", sent)]).await.unwrap();
        assert_eq!(all(&api).await, [preference("theme", "", stored)]);
    }
}

#[tokio::test]
async fn a_favourite_that_is_no_channel_fails_after_it_was_stored() {
    let (server, api) = alone();
    let told = Told::by(&server);
    let answer = update(&api, vec![preference("favorite_channel", "no id", "true")]).await;
    refused(answer, "api.preference.update_preferences.update_sidebar.app_error", 500);
    assert_eq!(all(&api).await.len(), 1);
    assert_eq!(told.take(), []);
    update(&api, vec![preference("favorite_channel", "no id", "false")]).await.unwrap();
}

#[tokio::test]
async fn deleting_tells_clients_and_no_plugin() {
    let (server, api) = alone();
    update(&api, vec![preference("a", "1", "x"), preference("a", "2", "x")]).await.unwrap();
    server.outbox().take();
    let told = Told::by(&server);
    let preferences = vec![preference("a", "1", "whatever"), preference("a", "missing", "")];
    let request = v1::DeletePreferencesForUserRequest { user_id: USER.into(), preferences };
    api.delete_preferences_for_user(request).await.unwrap();
    assert_eq!(all(&api).await, [preference("a", "2", "x")]);
    let events = server.outbox().websocket_events();
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["sidebar_category_updated", "preferences_deleted"]);
    assert_eq!(told.take(), []);
}
