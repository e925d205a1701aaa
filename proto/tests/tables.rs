//! The compiled descriptors are the contract's tables, to the last column.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use plugin_proto::prost_reflect::{Cardinality, FieldDescriptor, Kind};
use plugin_proto::{DESCRIPTORS, METHODS, PACKAGE, Service};

/// Rows of a table, without its head.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().skip(1).map(|line| line.split('\t').collect())
}

/// Names each row that only one side has.
#[track_caller]
fn same(actual: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(actual).collect();
    let surplus: Vec<_> = actual.difference(expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "only in the table: {missing:#?}\nonly in the build: {surplus:#?}"
    );
}

#[test]
fn services_are_those_of_the_table() {
    let expected = rows(include_str!("contract/services.tsv")).map(|row| row.join("\t")).collect();
    let stream = |streams| if streams { "stream" } else { "unary" };
    let mut actual = BTreeSet::new();
    for service in DESCRIPTORS.services() {
        for method in service.methods() {
            actual.insert(
                [
                    service.full_name(),
                    method.name(),
                    method.input().name(),
                    method.output().name(),
                    stream(method.is_client_streaming()),
                    stream(method.is_server_streaming()),
                ]
                .join("\t"),
            );
        }
    }
    same(&actual, &expected);
    assert_eq!(actual.len(), 236 + 42);
}

fn type_name(kind: &Kind) -> String {
    let full_name = match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(kind) => kind.full_name().to_owned(),
        scalar => return format!("{scalar:?}").to_lowercase(),
    };
    let short = full_name.strip_prefix(&format!("{PACKAGE}."));
    short.map_or(full_name.clone(), str::to_owned)
}

fn field_row(field: &FieldDescriptor) -> (String, String) {
    let proto = field.field_descriptor_proto();
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { panic!("a map is a message") };
        let key = type_name(&entry.map_entry_key_field().kind());
        let value = type_name(&entry.map_entry_value_field().kind());
        return ("map".to_owned(), format!("map<{key},{value}>"));
    }
    let label = match field.cardinality() {
        Cardinality::Repeated => "repeated",
        _ if proto.proto3_optional() => "optional",
        _ => "singular",
    };
    (label.to_owned(), type_name(&field.kind()))
}

#[test]
fn messages_are_those_of_the_table() {
    let mut expected = BTreeSet::new();
    for row in rows(include_str!("contract/messages.tsv")) {
        expected.insert(row[1..6].join("\t"));
        assert_eq!(row[6], "-", "the contract has no oneof");
    }
    let mut actual = BTreeSet::new();
    let mut messages = 0;
    for message in DESCRIPTORS.all_messages() {
        if message.package_name() != PACKAGE || message.is_map_entry() {
            continue;
        }
        messages += 1;
        let name = message.name();
        for field in message.fields() {
            let (label, kind) = field_row(&field);
            let number = field.number().to_string();
            actual.insert([name, &number, field.name(), &label, &kind].join("\t"));
        }
        if message.fields().len() == 0 {
            actual.insert([name, "-", "-", "-", "-"].join("\t"));
        }
        let real_oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
        assert_eq!(real_oneofs.count(), 0, "{}", message.full_name());
    }
    same(&actual, &expected);
    assert_eq!(messages, 648);
}

#[test]
fn enums_are_those_of_the_table() {
    let expected: BTreeSet<_> = rows(include_str!("contract/enums.tsv"))
        .map(|row| [row[1], row[2], row[3]].join("\t"))
        .collect();
    let mut actual = BTreeSet::new();
    for kind in DESCRIPTORS.all_enums().filter(|kind| kind.package_name() == PACKAGE) {
        for value in kind.values() {
            actual.insert([kind.name(), &value.number().to_string(), value.name()].join("\t"));
        }
    }
    same(&actual, &expected);
}

#[test]
fn catalogue_has_the_groups_and_channels_of_the_table() {
    let expected: BTreeSet<_> = rows(include_str!("contract/rpcs.tsv"))
        .map(|row| [row[0], row[1], row[2]].join("\t"))
        .collect();
    let actual: BTreeSet<_> = Service::PluginAPI
        .methods()
        .map(|method| [method.name, method.group, &method.error_channel.to_string()].join("\t"))
        .collect();
    same(&actual, &expected);
}

#[test]
fn catalogue_says_what_the_descriptors_say() {
    for (index, method) in METHODS.iter().enumerate() {
        assert_eq!(method.index, index);
        let (service, name) = method.path[1..].split_once('/').unwrap();
        assert_eq!((service, name), (method.service.full_name(), method.name));
        let services = DESCRIPTORS.get_service_by_name(service).unwrap();
        let found = services.methods().find(|found| found.name() == name).unwrap();
        assert_eq!(found.input(), method.request_descriptor());
        assert_eq!(found.output(), method.response_descriptor());
        assert_eq!(method.is_unary(), method.name != "ServeHTTP");
    }
}

#[test]
fn every_api_response_has_its_error_in_field_1() {
    for method in Service::PluginAPI.methods() {
        let error = method.response_descriptor().get_field_by_name("error").unwrap();
        assert_eq!(error.number(), 1, "{}", method.name);
        assert_eq!(type_name(&error.kind()), "AppError", "{}", method.name);
    }
}

#[test]
fn every_rpc_has_a_comment() {
    let bare: Vec<_> = METHODS.iter().filter(|method| method.doc.is_empty()).collect();
    assert!(bare.is_empty(), "no comment in the .proto file: {bare:#?}");
}
