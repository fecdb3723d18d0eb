//! Filter and sidecar may be one minor version apart: each version understands the messages of the version
//! before, and the other way round.
//!
//! `baseline/` keeps the descriptor set of each release that may still be in use; `examples/describe.rs`
//! writes one.

use std::fs;
use std::path::Path;

use headroom_api::v1;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};

use crate::descriptors;

/// Greater than every field number that the contract will ever use.
const FUTURE_NUMBER: i32 = 19_999 + 1_000;

fn baseline() -> FileDescriptorSet {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline/0.1.binpb");
    FileDescriptorSet::decode(&*fs::read(path).unwrap()).unwrap()
}

fn current() -> FileDescriptorSet {
    descriptors::current().unwrap()
}

/// What protobuf's rules forbid between two versions that communicate, as one sentence each.
fn faults(old: &FileDescriptorSet, new: &FileDescriptorSet) -> Vec<String> {
    let mut faults = Vec::new();
    for file in &old.file {
        let same_package = || new.file.iter().filter(|other| other.package == file.package);
        for message in &file.message_type {
            match same_package()
                .flat_map(|other| &other.message_type)
                .find(|other| other.name == message.name)
            {
                Some(other) => message_faults(message, other, &mut faults),
                None => faults.push(format!("message {} is gone", message.name())),
            }
        }
        for values in &file.enum_type {
            match same_package().flat_map(|other| &other.enum_type).find(|other| other.name == values.name) {
                Some(other) => enum_faults(values, other, &mut faults),
                None => faults.push(format!("enum {} is gone", values.name())),
            }
        }
        for service in &file.service {
            match same_package().flat_map(|other| &other.service).find(|other| other.name == service.name) {
                Some(other) => service_faults(service, other, &mut faults),
                None => faults.push(format!("service {} is gone", service.name())),
            }
        }
    }
    faults
}

fn message_faults(old: &DescriptorProto, new: &DescriptorProto, faults: &mut Vec<String>) {
    let name = old.name();
    // The contract has no nested types; a nested type would need the same comparison one level down.
    if !(old.nested_type.is_empty() && old.enum_type.is_empty()) {
        faults.push(format!("{name} nests types, which nothing compares"));
    }
    for field in &old.field {
        let what = format!("{name}.{} = {}", field.name(), field.number());
        let Some(other) = new.field.iter().find(|other| other.number == field.number) else {
            let reserved =
                new.reserved_range.iter().any(|range| (range.start()..range.end()).contains(&field.number()));
            if !reserved {
                faults.push(format!("{what} is gone and its number is not reserved"));
            }
            continue;
        };
        if other.name != field.name {
            faults.push(format!("{what} is now {}", other.name()));
        }
        let shape = |field: &FieldDescriptorProto| (field.r#type, field.type_name.clone(), field.label);
        if shape(other) != shape(field) {
            faults.push(format!("{what} has another type"));
        }
        let choice = |field: &FieldDescriptorProto| field.oneof_index.is_some() && !field.proto3_optional();
        if choice(other) != choice(field) {
            faults.push(format!("{what} has moved into or out of a oneof"));
        }
    }
}

fn enum_faults(old: &EnumDescriptorProto, new: &EnumDescriptorProto, faults: &mut Vec<String>) {
    for value in &old.value {
        let what = format!("{} = {}", value.name(), value.number());
        match new.value.iter().find(|other| other.number == value.number) {
            Some(other) if other.name == value.name => {}
            Some(other) => faults.push(format!("{what} is now {}", other.name())),
            None => {
                // Ends are included here, unlike those of a message's ranges.
                let reserved = new
                    .reserved_range
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&value.number()));
                if !reserved {
                    faults.push(format!("{what} is gone and its number is not reserved"));
                }
            }
        }
    }
}

fn service_faults(old: &ServiceDescriptorProto, new: &ServiceDescriptorProto, faults: &mut Vec<String>) {
    for method in &old.method {
        let what = format!("{}.{}", old.name(), method.name());
        match new.method.iter().find(|other| other.name == method.name) {
            None => faults.push(format!("{what} is gone")),
            Some(other)
                if other.input_type != method.input_type
                    || other.output_type != method.output_type
                    || other.client_streaming() != method.client_streaming()
                    || other.server_streaming() != method.server_streaming() =>
            {
                faults.push(format!("{what} takes or gives something else"));
            }
            Some(_) => {}
        }
    }
}

#[test]
fn the_contract_keeps_what_the_last_release_has_promised() {
    assert_eq!(faults(&baseline(), &current()), Vec::<String>::new());
}

#[test]
fn each_breach_of_the_rules_is_found() {
    type Breach = fn(&mut FileDescriptorSet);
    let breaches: [(Breach, &str); 10] = [
        (|set| drop(set.file[0].message_type.remove(0)), "is gone"),
        (|set| drop(set.file[0].message_type[0].field.remove(0)), "not reserved"),
        (|set| set.file[0].message_type[0].field[0].set_type(Type::Int64), "another type"),
        (|set| set.file[0].message_type[0].field[0].set_label(Label::Repeated), "another type"),
        (|set| set.file[0].message_type[0].field[0].name = Some("other".into()), "is now other"),
        (|set| set.file[0].message_type[0].field[0].number = Some(FUTURE_NUMBER), "not reserved"),
        (|set| set.file[0].message_type[0].field[0].oneof_index = Some(0), "oneof"),
        (|set| drop(set.file[0].enum_type[0].value.remove(1)), "not reserved"),
        (|set| set.file[0].service[0].method[0].input_type = Some(".x".into()), "something else"),
        (|set| drop(set.file[0].service.remove(0)), "is gone"),
    ];
    for (breach, expected) in breaches {
        let mut broken = current();
        breach(&mut broken);
        let found = faults(&current(), &broken).join("; ");
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn new_fields_messages_and_reserved_numbers_are_allowed() {
    assert_eq!(faults(&current(), &next(&current())), Vec::<String>::new());
    let mut without = current();
    let message = &mut without.file[0].message_type[0];
    let removed = message.field.remove(0);
    message.reserved_range.push(prost_types::descriptor_proto::ReservedRange {
        start: removed.number,
        end: Some(removed.number() + 1),
    });
    assert_eq!(faults(&current(), &without), Vec::<String>::new());
}

/// The contract of a possible later release: every message has one more field.
fn next(set: &FileDescriptorSet) -> FileDescriptorSet {
    let mut set = set.clone();
    for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
        message.field.push(FieldDescriptorProto {
            name: Some("from_the_future".into()),
            json_name: Some("fromTheFuture".into()),
            number: Some(FUTURE_NUMBER),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::String.into()),
            ..FieldDescriptorProto::default()
        });
    }
    set
}

/// A message with every field set to something that is not a default.
fn filled(message: MessageDescriptor) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let value = sample(&field);
        let value = if field.is_list() { Value::List(vec![value.clone(), value]) } else { value };
        filled.set_field(&field, value);
    }
    filled
}

fn sample(field: &FieldDescriptor) -> Value {
    let number = field.number();
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number + 7),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::from(number) << 40),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(-7),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(-(7 << 40)),
        Kind::Float => Value::F32(0.5),
        Kind::Double => Value::F64(0.25),
        Kind::String => Value::String(format!("{} é", field.name())),
        Kind::Bytes => Value::Bytes(vec![0, 255, 7].into()),
        Kind::Enum(values) => Value::EnumNumber(values.values().last().unwrap().number()),
        Kind::Message(message) => Value::Message(filled(message)),
    }
}

/// A message after this version has read it and written it again.
fn through_this_version<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
    M::decode(bytes).unwrap().encode_to_vec()
}

type Through = fn(&[u8]) -> Vec<u8>;

const MESSAGES: [(&str, Through); 18] = [
    ("headroom.v1.ReportRequest", through_this_version::<v1::ReportRequest>),
    ("headroom.v1.ReportResponse", through_this_version::<v1::ReportResponse>),
    ("headroom.v1.LimitsRequest", through_this_version::<v1::LimitsRequest>),
    ("headroom.v1.LimitsResponse", through_this_version::<v1::LimitsResponse>),
    ("headroom.v1.AdmitRequest", through_this_version::<v1::AdmitRequest>),
    ("headroom.v1.AdmitResponse", through_this_version::<v1::AdmitResponse>),
    ("headroom.v1.RetrieveRequest", through_this_version::<v1::RetrieveRequest>),
    ("headroom.v1.RetrieveResponse", through_this_version::<v1::RetrieveResponse>),
    ("headroom.v1.MemoryCallRequest", through_this_version::<v1::MemoryCallRequest>),
    ("headroom.v1.MemoryCallResponse", through_this_version::<v1::MemoryCallResponse>),
    ("headroom.v1.MemoryContextRequest", through_this_version::<v1::MemoryContextRequest>),
    ("headroom.v1.MemoryContextResponse", through_this_version::<v1::MemoryContextResponse>),
    ("headroom.v1.FindAnswerRequest", through_this_version::<v1::FindAnswerRequest>),
    ("headroom.v1.FindAnswerResponse", through_this_version::<v1::FindAnswerResponse>),
    ("headroom.v1.KeepAnswerRequest", through_this_version::<v1::KeepAnswerRequest>),
    ("headroom.v1.KeepAnswerResponse", through_this_version::<v1::KeepAnswerResponse>),
    ("headroom.v1.DecideRequest", through_this_version::<v1::DecideRequest>),
    ("headroom.v1.DecideResponse", through_this_version::<v1::DecideResponse>),
];

fn message(set: FileDescriptorSet, name: &str) -> MessageDescriptor {
    DescriptorPool::from_file_descriptor_set(set).unwrap().get_message_by_name(name).unwrap()
}

#[test]
fn every_message_of_a_method_is_tried() {
    let set = current();
    let methods = set.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    for method in methods {
        for used in [method.input_type(), method.output_type()] {
            assert!(MESSAGES.iter().any(|(name, _)| format!(".{name}") == used), "{used} is not in MESSAGES");
        }
    }
}

#[test]
fn what_the_last_release_sends_arrives_whole() {
    let pool = DescriptorPool::from_file_descriptor_set(baseline()).unwrap();
    for (name, through) in MESSAGES {
        // The last release does not send messages that were added since.
        let Some(old) = pool.get_message_by_name(name) else { continue };
        let sent = filled(old.clone());
        let received = DynamicMessage::decode(old, &*through(&sent.encode_to_vec())).unwrap();
        assert_eq!(received, sent, "{name}");
    }
}

#[test]
fn what_a_later_release_adds_is_passed_over_and_the_rest_arrives() {
    for (name, through) in MESSAGES {
        let sent = filled(message(next(&current()), name));
        let known = message(current(), name);
        let received = DynamicMessage::decode(known.clone(), &*through(&sent.encode_to_vec())).unwrap();
        assert_eq!(received, filled(known), "{name}");
    }
}
