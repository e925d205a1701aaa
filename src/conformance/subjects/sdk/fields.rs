//! Field by field: what became of a message on its way.

use std::collections::BTreeMap;

use plugin_proto::is_secret;
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value,
};

use super::values::is_json;

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is not there, or has its default value.
    Lost,
    /// It is not there, and its value stands in the named field.
    Moved(String),
    /// It holds the value of the named field.
    Swapped(String),
    /// It holds something else: what was given, and what there is.
    Changed(String, String),
    /// It was not given.
    Invented(String),
}

/// One field that did not cross as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, with places in lists and keys of maps: `user.props[key]`.
    pub path: String,
    /// The same without them, as the .proto files name it: `user.props`.
    pub field: String,
    /// The message that has the field, and the field: `mattermost.pluginapi.v1.User.props`.
    pub owner: String,
    /// What became of it.
    pub fate: Fate,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = &self.path;
        match &self.fate {
            Fate::Lost => write!(f, "{path} is lost"),
            Fate::Moved(other) => write!(f, "{path} is lost: its value stands in {other}"),
            Fate::Swapped(other) => write!(f, "{path} is swapped: it holds the value of {other}"),
            Fate::Changed(given, found) => {
                write!(f, "{path} is changed: expected {given}, got {found}")
            }
            Fate::Invented(found) => write!(f, "{path} was not given, and is {found}"),
        }
    }
}

/// Compares what was given with what there is now, in the order of the fields. A message that is
/// there but empty is the same as none.
pub fn differences(given: &DynamicMessage, found: &DynamicMessage) -> Vec<Difference> {
    let mut walk = Walk {
        given: Places::of(given),
        found: Places::of(found),
        crossed: None,
        differences: Vec::new(),
    };
    walk.messages(&At::default(), given, found);
    walk.differences
}

/// Which fields of which messages crossed: the field's full name, and whether it arrived in at
/// least one message. Fields of the outermost message are left out: no other message has them.
pub fn crossings(given: &DynamicMessage, found: &DynamicMessage) -> BTreeMap<String, bool> {
    let mut walk = Walk {
        given: Places::default(),
        found: Places::default(),
        crossed: Some(BTreeMap::new()),
        differences: Vec::new(),
    };
    walk.messages(&At::default(), given, found);
    walk.crossed.unwrap_or_default()
}

/// A place in a message.
#[derive(Debug, Clone, Default)]
struct At {
    path: String,
    field: String,
}

impl At {
    fn field(&self, name: &str) -> Self {
        let join = |before: &str| match before {
            "" => name.to_owned(),
            before => format!("{before}.{name}"),
        };
        Self { path: join(&self.path), field: join(&self.field) }
    }

    fn item(&self, key: &str) -> Self {
        Self { path: format!("{}[{key}]", self.path), field: self.field.clone() }
    }
}

/// Where each value stands, for values that stand in one place only.
#[derive(Debug, Default)]
struct Places(BTreeMap<String, Option<String>>);

impl Places {
    fn of(message: &DynamicMessage) -> Self {
        let mut places = Self::default();
        places.message(&At::default(), message);
        places
    }

    fn message(&mut self, at: &At, message: &DynamicMessage) {
        if message.descriptor().package_name() == "google.protobuf" {
            return;
        }
        for (field, value) in message.fields() {
            self.value(&at.field(field.name()), value);
        }
    }

    fn value(&mut self, at: &At, value: &Value) {
        match value {
            Value::Message(message) => self.message(at, message),
            Value::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.value(&at.item(&place.to_string()), item);
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    self.value(&at.item(&key_text(key)), value);
                }
            }
            value => {
                if let Some(text) = telling(value) {
                    // A second place: the value says nothing.
                    let entry = self.0.entry(text);
                    entry.and_modify(|place| *place = None).or_insert(Some(at.path.clone()));
                }
            }
        }
    }

    fn find(&self, value: &Value, elsewhere: &str) -> Option<String> {
        let place = self.0.get(&telling(value)?)?.clone()?;
        (place != elsewhere).then_some(place)
    }
}

/// The value as text, if it is one by which it can be told from others.
fn telling(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) | Value::EnumNumber(_) => None,
        // The same number may cross as another type.
        Value::I32(number) => Some(number.to_string()),
        Value::I64(number) => Some(number.to_string()),
        Value::U32(number) => Some(number.to_string()),
        Value::U64(number) => Some(number.to_string()),
        Value::F32(number) => Some(number.to_string()),
        Value::F64(number) => Some(number.to_string()),
        Value::String(text) => Some(format!("{text:?}")),
        Value::Bytes(bytes) => Some(format!("{bytes:?}")),
        _ => None,
    }
}

struct Walk {
    given: Places,
    found: Places,
    /// Set while crossings are asked for, and not differences.
    crossed: Option<BTreeMap<String, bool>>,
    differences: Vec<Difference>,
}

impl Walk {
    fn tell(&mut self, at: &At, field: &FieldDescriptor, fate: Fate) {
        self.differences.push(Difference {
            path: at.path.clone(),
            field: at.field.clone(),
            owner: field.full_name().to_owned(),
            fate,
        });
    }

    fn messages(&mut self, at: &At, given: &DynamicMessage, found: &DynamicMessage) {
        let mut fields: Vec<_> = given.descriptor().fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in fields {
            let here = at.field(field.name());
            let (was, is) = (set(given, &field), set(found, &field));
            if let (Some(crossed), true, false) =
                (&mut self.crossed, was.is_some(), at.path.is_empty())
            {
                *crossed.entry(field.full_name().to_owned()).or_default() |= is.is_some();
            }
            match (was, is) {
                (None, None) => {}
                (Some(was), Some(is)) => self.values(&here, &field, &was, &is),
                (Some(was), None) => {
                    let fate = match self.found.find(&was, &here.path) {
                        Some(other) => Fate::Moved(other),
                        None => Fate::Lost,
                    };
                    self.tell(&here, &field, fate);
                }
                (None, Some(is)) => {
                    let fate = match (self.given.find(&is, &here.path), &is) {
                        (Some(other), _) => Fate::Swapped(other),
                        // False and 0 are given by leaving them out.
                        (None, Value::Bool(_) | Value::EnumNumber(_)) => {
                            Fate::Changed(default_text(&field), text(&field, &is))
                        }
                        (None, is) => Fate::Invented(text(&field, is)),
                    };
                    self.tell(&here, &field, fate);
                }
            }
        }
    }

    fn values(&mut self, at: &At, field: &FieldDescriptor, given: &Value, found: &Value) {
        match (given, found) {
            (Value::Message(given), Value::Message(found)) => {
                if given.descriptor().package_name() != "google.protobuf" {
                    return self.messages(at, given, found);
                }
                if given != found {
                    let fate = Fate::Changed(json_text(given), json_text(found));
                    self.tell(at, field, fate);
                }
            }
            (Value::List(given), Value::List(found)) => {
                for (place, item) in given.iter().enumerate() {
                    let here = at.item(&place.to_string());
                    match found.get(place) {
                        Some(other) => self.values(&here, field, item, other),
                        None => self.tell(&here, field, Fate::Lost),
                    }
                }
                if found.len() > given.len() {
                    let more = Fate::Changed(
                        format!("{} items", given.len()),
                        format!("{} items", found.len()),
                    );
                    self.tell(at, field, more);
                }
            }
            (Value::Map(given), Value::Map(found)) => {
                let mut keys: Vec<_> = given.keys().chain(found.keys()).collect();
                keys.sort_by_key(|key| key_text(key));
                keys.dedup();
                for key in keys {
                    let here = at.item(&key_text(key));
                    match (given.get(key), found.get(key)) {
                        (Some(value), Some(other)) => self.values(&here, field, value, other),
                        (Some(_), None) => self.tell(&here, field, Fate::Lost),
                        (None, Some(other)) => {
                            let invented = Fate::Invented(text(field, other));
                            self.tell(&here, field, invented);
                        }
                        (None, None) => {}
                    }
                }
            }
            (given, found) => {
                if same(field, given, found) {
                    return;
                }
                let fate = match self.given.find(found, &at.path) {
                    Some(other) => Fate::Swapped(other),
                    None => Fate::Changed(text(field, given), text(field, found)),
                };
                self.tell(at, field, fate);
            }
        }
    }
}

/// The field's value, if it is set to anything: an empty message is nothing, as is a list without
/// items.
fn set(message: &DynamicMessage, field: &FieldDescriptor) -> Option<Value> {
    if !message.has_field(field) {
        return None;
    }
    let value = message.get_field(field).into_owned();
    let empty = match &value {
        Value::Message(inner) if inner.descriptor().package_name() != "google.protobuf" => {
            inner.descriptor().fields().all(|field| set(inner, &field).is_none())
        }
        _ => false,
    };
    (!empty).then_some(value)
}

fn same(field: &FieldDescriptor, given: &Value, found: &Value) -> bool {
    if given == found {
        return true;
    }
    if !is_json(field) {
        return false;
    }
    // Spaces and the order of keys are free.
    let parse = |value: &Value| -> Option<serde_json::Value> {
        match value {
            Value::String(text) => serde_json::from_str(text).ok(),
            Value::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
            _ => None,
        }
    };
    matches!((parse(given), parse(found)), (Some(given), Some(found)) if given == found)
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
    }
}

fn default_text(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Bool => "false".to_owned(),
        _ => "nothing".to_owned(),
    }
}

/// The value for a person to read.
fn text(field: &FieldDescriptor, value: &Value) -> String {
    const SHOWN: usize = 120;
    // The values that are given here are generated; what else is found may be a real secret.
    if is_secret(field) {
        return "another secret".to_owned();
    }
    let text = match (value, field.kind()) {
        (Value::EnumNumber(number), Kind::Enum(kind)) => kind
            .get_value(*number)
            .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
        (Value::Message(message), _) => json_text(message),
        (Value::String(text), _) => format!("{text:?}"),
        (Value::Bytes(bytes), _) => format!("{bytes:?}"),
        (Value::Bool(value), _) => value.to_string(),
        (value, _) => telling(value).unwrap_or_else(|| format!("{value:?}")),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn json_text(message: &DynamicMessage) -> String {
    crate::api::json::short(&crate::api::json::of_message(message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use plugin_proto::{Method, Service};
    use serde_json::json;

    use super::super::values;
    use super::*;

    fn response(rpc: &str) -> DynamicMessage {
        let method = Method::by_name(Service::PluginAPI, rpc).unwrap();
        values::success(&method.response_descriptor(), 1, 0)
    }

    /// The differences after an edit of the message's JSON.
    fn after(rpc: &str, edit: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        let given = response(rpc);
        let mut json = crate::api::json::of_message(&given);
        edit(&mut json);
        let found = DynamicMessage::deserialize(given.descriptor(), &json).unwrap();
        differences(&given, &found).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_whole_has_no_difference() {
        for method in Service::PluginAPI.methods() {
            let given = values::success(&method.response_descriptor(), 4, 2);
            assert_eq!(differences(&given, &given), [], "{}", method.name);
        }
    }

    #[test]
    fn lost_swapped_moved_and_changed_fields_are_named() {
        let lost = after("GetUser", |json| {
            json["user"].as_object_mut().unwrap().remove("nickname");
        });
        assert_eq!(lost, ["user.nickname is lost"]);

        let all = after("GetUser", |json| *json = json!({}));
        assert_eq!(all, ["user is lost"]);

        let swapped = after("GetUser", |json| {
            let user = json["user"].as_object_mut().unwrap();
            let (first, last) = (user["first_name"].clone(), user["last_name"].clone());
            user.insert("first_name".into(), last);
            user.insert("last_name".into(), first);
        });
        assert_eq!(
            swapped,
            [
                "user.first_name is swapped: it holds the value of user.last_name",
                "user.last_name is swapped: it holds the value of user.first_name"
            ]
        );

        let changed = after("GetUser", |json| json["user"]["create_at"] = json!(7));
        assert_eq!(changed.len(), 1);
        assert!(changed[0].starts_with("user.create_at is changed: expected 16"), "{changed:?}");
        assert!(changed[0].ends_with(", got 7"), "{changed:?}");

        let moved = after("GetUser", |json| {
            let user = json["user"].as_object_mut().unwrap();
            let position = user.remove("position").unwrap();
            user.insert("locale".into(), position);
        });
        assert_eq!(moved[0], "user.position is lost: its value stands in user.locale");

        let falsified = after("GetUser", |json| json["user"]["is_bot"] = json!(false));
        assert_eq!(falsified, ["user.is_bot is lost"]);
    }

    #[test]
    fn items_and_keys_are_named() {
        let short = after("GetUsers", |json| {
            json["users"].as_array_mut().unwrap().pop();
        });
        assert_eq!(short, ["users[1] is lost"]);
        let key = after("GetUser", |json| {
            json["user"]["props"].as_object_mut().unwrap().remove("key");
        });
        assert_eq!(key, ["user.props[key] is lost"]);
    }

    #[test]
    fn json_may_be_written_anew() {
        use base64::Engine as _;
        let same = after("GetConfig", |json| {
            let engine = base64::engine::general_purpose::STANDARD;
            let bytes = engine.decode(json["config_json"].as_str().unwrap()).unwrap();
            let parsed: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let pretty = serde_json::to_vec_pretty(&parsed).unwrap();
            json["config_json"] = json!(engine.encode(pretty));
        });
        assert_eq!(same, Vec::<String>::new());
    }

    #[test]
    fn a_message_that_is_there_but_empty_is_none() {
        let given = response("GetUser");
        let empty = DynamicMessage::new(given.descriptor());
        let mut present = empty.clone();
        let field = given.descriptor().get_field_by_name("user").unwrap();
        let Kind::Message(user) = field.kind() else { panic!("a message") };
        present.set_field(&field, Value::Message(DynamicMessage::new(user)));
        assert_eq!(differences(&empty, &present), []);
    }

    #[test]
    fn crossings_say_which_fields_of_inner_messages_arrived() {
        let given = response("GetUser");
        let mut json = crate::api::json::of_message(&given);
        json["user"].as_object_mut().unwrap().remove("nickname");
        let found = DynamicMessage::deserialize(given.descriptor(), &json).unwrap();
        let crossed = crossings(&given, &found);
        assert!(!crossed["mattermost.pluginapi.v1.User.nickname"]);
        assert!(crossed["mattermost.pluginapi.v1.User.username"]);
        assert!(!crossed.contains_key("mattermost.pluginapi.v1.GetUserResponse.user"));
    }
}
