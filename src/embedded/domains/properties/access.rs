//! Who may see and change what in the group `custom_profile_attributes`.
//!
//! The attributes of a field say it: `protected` fields are written by the plugin named in
//! `source_plugin_id` alone; with `access_mode` `source_only` or `shared_only` other plugins see
//! neither options nor values.

use plugin_proto::v1;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::super::super::store::{Fault, Tx};

/// The group with rules of its own.
pub(super) const GROUP: &str = "custom_profile_attributes";

const PROTECTED: &str = "protected";
const SOURCE: &str = "source_plugin_id";
const MODE: &str = "access_mode";

/// Whether the group is the one with rules.
pub(super) fn guarded(tx: &Tx<'_>, group_id: &str) -> Result<bool, Fault> {
    tx.exists(
        "SELECT 1 FROM property_groups WHERE id = ?1 AND name = 'custom_profile_attributes'",
        [group_id],
    )
}

fn text<'a>(field: &'a v1::PropertyField, key: &str) -> &'a str {
    let attribute = field.attrs.as_ref().and_then(|attrs| attrs.fields.get(key));
    match attribute.and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

fn protected(field: &v1::PropertyField) -> bool {
    let attribute = field.attrs.as_ref().and_then(|attrs| attrs.fields.get(PROTECTED));
    matches!(attribute.and_then(|value| value.kind.as_ref()), Some(Kind::BoolValue(true)))
}

/// Whether `caller` may write the field and its values.
pub(super) fn may_write(field: &v1::PropertyField, caller: &str) -> Result<(), String> {
    if protected(field) && text(field, SOURCE) != caller {
        return Err(format!("field {} is protected: {caller} is not its source plugin", field.id));
    }
    Ok(())
}

/// Whether `caller` may delete the field. One without a source plugin is anybody's.
pub(super) fn may_delete(field: &v1::PropertyField, caller: &str) -> Result<(), String> {
    if text(field, SOURCE).is_empty() { Ok(()) } else { may_write(field, caller) }
}

/// Makes the caller the source of a field that is to be created, and checks how it is to be seen.
pub(super) fn create(field: &mut v1::PropertyField, caller: &str) -> Result<(), String> {
    let source = Value { kind: Some(Kind::StringValue(caller.to_owned())) };
    field.attrs.get_or_insert_with(Struct::default).fields.insert(SOURCE.to_owned(), source);
    valid_mode(field)
}

/// Whether `caller` may make `new` of `old`.
pub(super) fn update(
    old: &v1::PropertyField,
    new: &v1::PropertyField,
    caller: &str,
) -> Result<(), String> {
    may_write(old, caller)?;
    if text(old, SOURCE) != text(new, SOURCE) {
        return Err(format!("{SOURCE} of field {} cannot be changed", old.id));
    }
    if protected(new) && text(new, SOURCE) != caller {
        return Err(format!("only the source plugin may protect field {}", old.id));
    }
    valid_mode(new)
}

fn valid_mode(field: &v1::PropertyField) -> Result<(), String> {
    match text(field, MODE) {
        "" => return Ok(()),
        "source_only" => {}
        "shared_only" if matches!(field.r#type.as_str(), "select" | "multiselect") => {}
        "shared_only" => return Err(format!("{MODE} shared_only is for fields with options")),
        other => return Err(format!("{other:?} is no {MODE}")),
    }
    if protected(field) { Ok(()) } else { Err(format!("{MODE} needs {PROTECTED}")) }
}

/// Whether the field's options and values are hidden from `caller`. What only those see who share it
/// is hidden from every other plugin, for a plugin has no values of its own.
pub(super) fn hidden(field: &v1::PropertyField, caller: &str) -> bool {
    !text(field, MODE).is_empty() && text(field, SOURCE) != caller
}

/// The field as `caller` sees it.
pub(super) fn seen(mut field: v1::PropertyField, caller: &str) -> v1::PropertyField {
    if hidden(&field, caller)
        && let Some(options) = field.attrs.as_mut().and_then(|it| it.fields.get_mut("options"))
    {
        options.kind = Some(Kind::ListValue(ListValue::default()));
    }
    field
}
