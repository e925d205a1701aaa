//! Groups, fields and values of properties.

use plugin_proto::v1;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::{Api, PLUGIN, alone, refused};

const TARGET: &str = "tttttttttttttttttttttttttt";

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    value(Kind::StringValue(text.into()))
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Struct {
    Struct { fields: fields.map(|(key, value)| (key.to_owned(), value)).into() }
}

async fn group(api: &Api, name: &str) -> String {
    let request = v1::RegisterPropertyGroupRequest { name: name.into() };
    api.register_property_group(request).await.unwrap().group.unwrap().id
}

fn field(group_id: &str, name: &str) -> v1::PropertyField {
    v1::PropertyField {
        group_id: group_id.into(),
        name: name.into(),
        r#type: "text".into(),
        ..Default::default()
    }
}

async fn create(api: &Api, field: v1::PropertyField) -> v1::PropertyField {
    let request = v1::CreatePropertyFieldRequest { field: Some(field) };
    api.create_property_field(request).await.unwrap().field.unwrap()
}

fn of(field: &v1::PropertyField, json: &str) -> v1::PropertyValue {
    v1::PropertyValue {
        group_id: field.group_id.clone(),
        field_id: field.id.clone(),
        target_id: TARGET.into(),
        target_type: "post".into(),
        value: Some(text(json)),
        ..Default::default()
    }
}

async fn upsert(api: &Api, value: v1::PropertyValue) -> v1::PropertyValue {
    let request = v1::UpsertPropertyValueRequest { value: Some(value) };
    api.upsert_property_value(request).await.unwrap().value.unwrap()
}

async fn search_values(
    api: &Api,
    group_id: &str,
    page: i32,
    per_page: i32,
) -> Vec<v1::PropertyValue> {
    let opts = v1::PropertyValueSearchOpts { page, per_page, ..Default::default() };
    let request = v1::SearchPropertyValuesRequest { group_id: group_id.into(), opts: Some(opts) };
    api.search_property_values(request).await.unwrap().values
}

#[tokio::test]
async fn a_group_is_registered_once() {
    let (_server, api) = alone();
    let id = group(&api, "Mine").await;
    assert_eq!(group(&api, "Mine").await, id);
    assert_ne!(group(&api, "mine").await, id);
    let get =
        |name: &str| api.get_property_group(v1::GetPropertyGroupRequest { name: name.into() });
    let found = get("Mine").await.unwrap().group.unwrap();
    assert_eq!((found.id, found.name.as_str()), (id, "Mine"));
    assert!(get("custom_profile_attributes").await.is_ok());
    refused(get("other").await, "app.property_group.get.app_error", 500);
    refused(get("").await, "app.property_group.get.app_error", 500);
    for name in [String::new(), "x".repeat(65)] {
        let answer = api.register_property_group(v1::RegisterPropertyGroupRequest { name }).await;
        refused(answer, "app.property_group.register.app_error", 500);
    }
}

#[tokio::test]
async fn the_built_in_group_has_its_fields() {
    let (_server, api) = alone();
    let group_id = group(&api, "content_flagging").await;
    let count = v1::CountPropertyFieldsRequest { group_id: group_id.clone(), ..Default::default() };
    assert_eq!(api.count_property_fields(count).await.unwrap().count, 11);
    let request =
        v1::GetPropertyFieldByNameRequest { group_id, name: "status".into(), ..Default::default() };
    let status = api.get_property_field_by_name(request).await.unwrap().field.unwrap();
    let Some(Kind::ListValue(options)) = &status.attrs.unwrap().fields["options"].kind else {
        panic!("no options")
    };
    assert_eq!(options.values.len(), 4);
}

#[tokio::test]
async fn a_field_is_stored_whole_and_its_options_get_ids() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    let options = ListValue {
        values: vec![
            value(Kind::StructValue(object([("name", text("red"))]))),
            value(Kind::StructValue(object([("id", text("kept")), ("name", text("blue"))]))),
        ],
    };
    let sent = v1::PropertyField {
        r#type: "select".into(),
        attrs: Some(object([
            ("options", value(Kind::ListValue(options))),
            ("n", value(Kind::NumberValue(1.5))),
        ])),
        target_id: "any text".into(),
        target_type: "post".into(),
        create_at: 5,
        delete_at: 6,
        ..field(&group_id, "colour")
    };
    let made = create(&api, sent.clone()).await;
    assert_eq!((made.id.len(), made.delete_at), (26, 0));
    assert!(made.create_at > 5 && made.create_at == made.update_at);
    let attrs = made.attrs.clone().unwrap();
    assert_eq!(attrs.fields["n"], value(Kind::NumberValue(1.5)));
    let Some(Kind::ListValue(list)) = &attrs.fields["options"].kind else { panic!("no options") };
    let id = |at: usize| match &list.values[at].kind {
        Some(Kind::StructValue(option)) => match &option.fields["id"].kind {
            Some(Kind::StringValue(id)) => id.clone(),
            _ => panic!("no id"),
        },
        _ => panic!("no option"),
    };
    assert_eq!((id(0).len(), id(1).as_str()), (26, "kept"));
    let request =
        v1::GetPropertyFieldRequest { group_id: String::new(), field_id: made.id.clone() };
    assert_eq!(api.get_property_field(request).await.unwrap().field, Some(made.clone()));

    const CREATE: &str = "app.property_field.create.app_error";
    let again = |field| api.create_property_field(v1::CreatePropertyFieldRequest { field });
    refused(again(None).await, "app.property_field.invalid_input.app_error", 400);
    refused(again(Some(made)).await, CREATE, 500);
    refused(again(Some(sent.clone())).await, CREATE, 500);
    let nowhere = v1::PropertyField { group_id: "x".into(), ..sent.clone() };
    refused(again(Some(nowhere)).await, "model.property_field.is_valid.app_error", 400);
    let unknown = v1::PropertyField { r#type: "rank".into(), name: "r".into(), ..sent.clone() };
    refused(again(Some(unknown)).await, "model.property_field.is_valid.app_error", 400);
    let null = ListValue { values: vec![value(Kind::NullValue(0))] };
    let null = v1::PropertyField {
        attrs: Some(object([("options", value(Kind::ListValue(null)))])),
        name: "null".into(),
        ..sent
    };
    refused(again(Some(null)).await, CREATE, 500);
}

#[tokio::test]
async fn fields_are_got_together_or_not_at_all() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    let a = create(&api, field(&group_id, "a")).await;
    let b = create(&api, field(&group_id, "b")).await;
    let get = |ids: Vec<&str>| {
        let ids = ids.into_iter().map(str::to_owned).collect();
        api.get_property_fields(v1::GetPropertyFieldsRequest { group_id: group_id.clone(), ids })
    };
    assert_eq!(get(vec![&a.id, &b.id]).await.unwrap().fields.len(), 2);
    assert!(get(vec![]).await.unwrap().fields.is_empty());
    const NOT_ALL: &str = "app.property_field.get_many.fields_not_found.app_error";
    refused(get(vec![&a.id, &a.id]).await, NOT_ALL, 400);
    refused(get(vec![&a.id, TARGET]).await, NOT_ALL, 400);
    let request = v1::GetPropertyFieldRequest { group_id: TARGET.into(), field_id: a.id.clone() };
    refused(api.get_property_field(request).await, "app.property_field.get.app_error", 500);
}

#[tokio::test]
async fn an_update_overwrites_all_but_group_and_creation() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    let a = create(&api, field(&group_id, "a")).await;
    let b = create(&api, field(&group_id, "b")).await;
    let sent = v1::PropertyField {
        id: a.id.clone(),
        group_id: TARGET.into(),
        name: "new".into(),
        r#type: "date".into(),
        create_at: 7,
        ..Default::default()
    };
    let update = |fields: Vec<v1::PropertyField>| {
        api.update_property_fields(v1::UpdatePropertyFieldsRequest {
            group_id: group_id.clone(),
            fields,
        })
    };
    let answer = update(vec![sent.clone()]).await.unwrap().fields.remove(0);
    assert_eq!((answer.create_at, answer.group_id.as_str()), (7, TARGET));
    let get = |id: &str| {
        let request =
            v1::GetPropertyFieldRequest { group_id: group_id.clone(), field_id: id.into() };
        api.get_property_field(request)
    };
    let stored = get(&a.id).await.unwrap().field.unwrap();
    let expected = v1::PropertyField {
        name: "new".into(),
        r#type: "date".into(),
        update_at: answer.update_at,
        ..a.clone()
    };
    assert_eq!(stored, expected);

    refused(update(vec![]).await, "app.property_field.invalid_input.app_error", 400);
    const EXISTING: &str = "app.property_field.update.get_existing.app_error";
    refused(update(vec![sent.clone(), sent.clone()]).await, EXISTING, 500);
    let unknown = v1::PropertyField { id: TARGET.into(), ..sent.clone() };
    refused(update(vec![b.clone(), unknown]).await, EXISTING, 500);
    const UPDATE: &str = "app.property_field.update.app_error";
    let never_made = v1::PropertyField { create_at: 0, ..sent.clone() };
    refused(update(vec![never_made]).await, UPDATE, 500);
    let clash = v1::PropertyField { name: "b".into(), ..sent };
    let other = v1::PropertyField { r#type: "user".into(), ..b.clone() };
    refused(update(vec![other, clash]).await, UPDATE, 500);
    assert_eq!(get(&b.id).await.unwrap().field, Some(b), "all of them or none");
}

#[tokio::test]
async fn a_deleted_field_takes_its_values_along() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    let a = create(&api, field(&group_id, "a")).await;
    let made = upsert(&api, of(&a, "1")).await;
    let delete = |id: &str| {
        let request =
            v1::DeletePropertyFieldRequest { group_id: group_id.clone(), field_id: id.into() };
        api.delete_property_field(request)
    };
    delete(&a.id).await.unwrap();
    assert!(search_values(&api, &group_id, 0, 10).await.is_empty());
    let request = v1::GetPropertyValueRequest { group_id: group_id.clone(), value_id: made.id };
    let gone = api.get_property_value(request).await.unwrap().value.unwrap();
    assert!(gone.delete_at > 0 && gone.update_at == made.update_at);
    let count = |include_deleted| {
        let request =
            v1::CountPropertyFieldsRequest { group_id: group_id.clone(), include_deleted };
        api.count_property_fields(request)
    };
    assert_eq!(count(false).await.unwrap().count, 0);
    assert_eq!(count(true).await.unwrap().count, 1);
    delete(&a.id).await.unwrap();
    refused(delete(TARGET).await, "app.property_field.delete.get_existing.app_error", 500);
    create(&api, field(&group_id, "a")).await;
    let target = v1::CountPropertyFieldsForTargetRequest {
        group_id: group_id.clone(),
        ..Default::default()
    };
    assert_eq!(api.count_property_fields_for_target(target).await.unwrap().count, 1);
}

#[tokio::test]
async fn fields_are_searched_in_order_of_creation() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    for name in ["c", "a", "b"] {
        create(&api, field(&group_id, name)).await;
    }
    let search = |page, per_page| {
        let opts = v1::PropertyFieldSearchOpts { page, per_page, ..Default::default() };
        let request =
            v1::SearchPropertyFieldsRequest { group_id: group_id.clone(), opts: Some(opts) };
        api.search_property_fields(request)
    };
    let names = |fields: Vec<v1::PropertyField>| -> Vec<String> {
        fields.into_iter().map(|field| field.name).collect()
    };
    assert_eq!(names(search(0, 2).await.unwrap().fields), ["c", "a"]);
    assert_eq!(names(search(1, 2).await.unwrap().fields), ["b"]);
    assert!(search(2, 2).await.unwrap().fields.is_empty());
    refused(search(0, 0).await, "app.property_field.search.app_error", 500);
    refused(search(-1, 2).await, "app.property_field.search.app_error", 500);
}

#[tokio::test]
async fn values_are_written_and_read_back() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    let a = create(&api, field(&group_id, "a")).await;
    const CREATE: &str = "app.property_value.create.app_error";
    let create = |value| api.create_property_value(v1::CreatePropertyValueRequest { value });
    let made = create(Some(of(&a, "1"))).await.unwrap().value.unwrap();
    assert_eq!((made.id.len(), made.create_at), (26, made.update_at));
    refused(create(None).await, "app.property_value.invalid_input.app_error", 400);
    refused(create(Some(of(&a, "2"))).await, CREATE, 500);
    let nobody = v1::PropertyValue { target_id: "post".into(), ..of(&a, "3") };
    refused(create(Some(nobody)).await, CREATE, 500);
    let nothing = v1::PropertyValue { value: None, ..of(&a, "3") };
    refused(create(Some(nothing)).await, CREATE, 500);
    refused(create(Some(made.clone())).await, CREATE, 500);

    let get = |ids: Vec<String>| {
        api.get_property_values(v1::GetPropertyValuesRequest { group_id: group_id.clone(), ids })
    };
    assert_eq!(get(vec![made.id.clone()]).await.unwrap().values, std::slice::from_ref(&made));
    const MANY: &str = "app.property_value.get_many.app_error";
    refused(get(vec![made.id.clone(), made.id.clone()]).await, MANY, 500);
    refused(get(vec![TARGET.into()]).await, MANY, 500);
    let request =
        v1::GetPropertyValueRequest { group_id: group_id.clone(), value_id: TARGET.into() };
    refused(api.get_property_value(request).await, "app.property_value.get.app_error", 500);

    let update = |value: v1::PropertyValue| {
        let request =
            v1::UpdatePropertyValueRequest { group_id: group_id.clone(), value: Some(value) };
        api.update_property_value(request)
    };
    let sent =
        v1::PropertyValue { target_type: "user".into(), value: Some(text("new")), ..made.clone() };
    let answer = update(sent).await.unwrap().value.unwrap();
    let stored = get(vec![made.id.clone()]).await.unwrap().values.remove(0);
    let expected =
        v1::PropertyValue { value: Some(text("new")), update_at: answer.update_at, ..made.clone() };
    assert_eq!(stored, expected);
    assert!(stored.update_at > made.update_at);
    let unknown = v1::PropertyValue { id: TARGET.into(), ..made };
    refused(update(unknown).await, "app.property_value.update.app_error", 500);
}

#[tokio::test]
async fn an_upsert_keeps_the_id_of_a_living_value_only() {
    let (_server, api) = alone();
    let group_id = group(&api, "g").await;
    let a = create(&api, field(&group_id, "a")).await;
    let first = upsert(&api, of(&a, "1")).await;
    let second = upsert(&api, v1::PropertyValue { create_at: 9, ..of(&a, "2") }).await;
    assert_eq!((&second.id, second.create_at), (&first.id, first.create_at));
    assert_eq!(second.value, Some(text("2")));
    let delete = |value_id: &str| {
        let request = v1::DeletePropertyValueRequest {
            group_id: group_id.clone(),
            value_id: value_id.into(),
        };
        api.delete_property_value(request)
    };
    delete(&first.id).await.unwrap();
    delete(&first.id).await.unwrap();
    refused(delete(TARGET).await, "app.property_value.delete.app_error", 500);
    let third = upsert(&api, of(&a, "3")).await;
    assert_ne!(third.id, first.id);

    let many = |values| api.upsert_property_values(v1::UpsertPropertyValuesRequest { values });
    let stored = many(vec![of(&a, "4"), of(&a, "5")]).await.unwrap().values;
    assert_eq!((&stored[0].id, &stored[1].id), (&third.id, &third.id));
    assert_eq!(search_values(&api, &group_id, 0, 10).await, [stored[1].clone()]);
    const UPSERT: &str = "app.property_value.upsert_many.app_error";
    refused(many(vec![]).await, "app.property_value.invalid_input.app_error", 400);
    let elsewhere = v1::PropertyValue { group_id: TARGET.into(), ..of(&a, "6") };
    refused(many(vec![of(&a, "6"), elsewhere]).await, UPSERT, 500);
    let broken = v1::PropertyValue { target_type: String::new(), ..of(&a, "6") };
    refused(many(vec![of(&a, "6"), broken]).await, UPSERT, 500);
    assert_eq!(search_values(&api, &group_id, 0, 10).await[0].value, Some(text("5")));

    let request = v1::DeletePropertyValuesForFieldRequest {
        group_id: group_id.clone(),
        field_id: a.id.clone(),
    };
    api.delete_property_values_for_field(request).await.unwrap();
    assert!(search_values(&api, &group_id, 0, 10).await.is_empty());
    let target = |target_type: &str| v1::DeletePropertyValuesForTargetRequest {
        group_id: group_id.clone(),
        target_type: target_type.into(),
        target_id: TARGET.into(),
    };
    let answer = api.delete_property_values_for_target(target("")).await;
    refused(answer, "app.property_value.delete_for_target.app_error", 500);
    api.delete_property_values_for_target(target("post")).await.unwrap();
    let request = v1::GetPropertyValueRequest { group_id, value_id: third.id };
    refused(api.get_property_value(request).await, "app.property_value.get.app_error", 500);
}

#[tokio::test]
async fn profile_attributes_belong_to_their_source() {
    let (server, api) = alone();
    let other: Api = server.api_of("com.example.b");
    let group_id = group(&api, "custom_profile_attributes").await;
    let secret = |name: &str| {
        let options =
            ListValue { values: vec![value(Kind::StructValue(object([("name", text("x"))])))] };
        v1::PropertyField {
            r#type: "select".into(),
            attrs: Some(object([
                ("protected", value(Kind::BoolValue(true))),
                ("access_mode", text("source_only")),
                ("source_plugin_id", text("somebody")),
                ("options", value(Kind::ListValue(options))),
            ])),
            ..field(&group_id, name)
        }
    };
    let made = create(&api, secret("a")).await;
    let source = |field: &v1::PropertyField| {
        field.attrs.as_ref().unwrap().fields["source_plugin_id"].clone()
    };
    assert_eq!(source(&made), text(PLUGIN));
    let options =
        |field: &v1::PropertyField| match &field.attrs.as_ref().unwrap().fields["options"].kind {
            Some(Kind::ListValue(list)) => list.values.len(),
            _ => panic!("no options"),
        };
    let get = v1::GetPropertyFieldRequest { group_id: group_id.clone(), field_id: made.id.clone() };
    assert_eq!(options(&api.get_property_field(get.clone()).await.unwrap().field.unwrap()), 1);
    assert_eq!(options(&other.get_property_field(get).await.unwrap().field.unwrap()), 0);

    let theirs = of(&made, "1");
    let answer = other
        .create_property_value(v1::CreatePropertyValueRequest { value: Some(theirs.clone()) })
        .await;
    refused(answer, "app.property_value.create.app_error", 500);
    let stored = upsert(&api, theirs).await;
    assert_eq!(search_values(&api, &group_id, 0, 10).await.len(), 1);
    assert!(search_values(&other, &group_id, 0, 10).await.is_empty());
    let get = v1::GetPropertyValueRequest { group_id: group_id.clone(), value_id: stored.id };
    assert_eq!(other.get_property_value(get).await.unwrap().value, None);

    let update = v1::UpdatePropertyFieldRequest {
        group_id: group_id.clone(),
        field: Some(v1::PropertyField { name: "mine".into(), ..made.clone() }),
    };
    refused(
        other.update_property_field(update.clone()).await,
        "app.property_field.update.app_error",
        500,
    );
    api.update_property_field(update).await.unwrap();
    let without = v1::UpdatePropertyFieldRequest {
        group_id: group_id.clone(),
        field: Some(v1::PropertyField { attrs: None, ..made.clone() }),
    };
    refused(api.update_property_field(without).await, "app.property_field.update.app_error", 500);
    let delete = v1::DeletePropertyFieldRequest { group_id: group_id.clone(), field_id: made.id };
    refused(
        other.delete_property_field(delete.clone()).await,
        "app.property_field.delete.app_error",
        500,
    );
    api.delete_property_field(delete).await.unwrap();
    let open = v1::PropertyField {
        attrs: Some(object([("access_mode", text("source_only"))])),
        ..field(&group_id, "z")
    };
    let answer =
        api.create_property_field(v1::CreatePropertyFieldRequest { field: Some(open) }).await;
    refused(answer, "app.property_field.create.app_error", 500);
}
