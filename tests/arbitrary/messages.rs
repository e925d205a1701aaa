//! Messages of any type, from its descriptor: a proptest strategy that knows what goes wrong in
//! messages, and that shrinks to the fields that matter.

use std::collections::HashMap;

use bytes::Bytes;
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use proptest::prelude::{Rng as _, RngExt as _};
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::{TestRng, TestRunner};

/// A message is filled up to so many values …
const NODES: usize = 250;
/// … and so many bytes of text.
const BYTES: usize = 160 * 1024;
/// Structs and lists of values stand in each other to this depth.
pub const STRUCT_DEPTH: usize = 4;
/// So many messages of another type stand in one of their own type.
const RECURSION: usize = 1;

/// HTTP statuses of AppErrors: each that has a code of its own, and some that have none.
const STATUSES: [i32; 20] = [
    400, 401, 403, 404, 409, 413, 429, 501, 503, 500, 402, 418, 502, 504, 200, 0, 99, 600, -404,
    1404,
];

const NASTY: [&str; 20] = [
    " ",
    "\0",
    "a\0b",
    "\u{feff}bom",
    "e\u{301}",
    "\u{202e}right to left",
    "%",
    "%41%zz",
    "100 %",
    "\r\n",
    "\t tab and spaces ",
    "\u{7f}\u{80}\u{9f}",
    "\u{fffd}",
    "\u{fffe}\u{ffff}",
    "\u{d7ff}\u{e000}",
    "\u{10ffff}",
    "👩‍👩‍👧‍👦",
    "\"quoted\" {json: [1]} <b>`x`</b> #?",
    "null",
    "-1e999",
];

/// Any value of one message type.
#[derive(Debug, Clone)]
pub struct Messages {
    descriptor: MessageDescriptor,
    unset: &'static [&'static str],
    long: bool,
}

impl Messages {
    pub fn of(descriptor: MessageDescriptor) -> Self {
        Self { descriptor, unset: &[], long: false }
    }

    /// These top-level fields stay unset.
    pub fn without(self, unset: &'static [&'static str]) -> Self {
        Self { unset, ..self }
    }

    /// Every third text has some kilobytes.
    pub fn long(self) -> Self {
        Self { long: true, ..self }
    }
}

impl Strategy for Messages {
    type Tree = Tree;
    type Value = DynamicMessage;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut maker = Maker {
            rng: runner.rng(),
            open: Vec::new(),
            nodes: NODES,
            bytes: BYTES,
            long: self.long,
        };
        let current = maker.message(&self.descriptor, self.unset);
        Ok(Tree { current, before: None, at: 0, smaller: false })
    }
}

struct Maker<'a> {
    rng: &'a mut TestRng,
    /// The messages around the one being made.
    open: Vec<MessageDescriptor>,
    nodes: usize,
    bytes: usize,
    long: bool,
}

impl Maker<'_> {
    fn message(&mut self, descriptor: &MessageDescriptor, unset: &[&str]) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let chance = if self.open.is_empty() { 0.85 } else { 0.65 };
        self.open.push(descriptor.clone());
        for field in descriptor.fields() {
            let alone = field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic());
            if alone && !unset.contains(&field.name()) && self.rng.random_bool(chance) {
                self.fill(&mut message, &field);
            }
        }
        for oneof in descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            // One of them, or now and then none.
            let pick = self.rng.random_range(0..2 * oneof.fields().len() + 1) / 2;
            if let Some(field) = oneof.fields().nth(pick) {
                self.fill(&mut message, &field);
            }
        }
        self.open.pop();
        message
    }

    /// Sets a field, as long as there is room.
    fn fill(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor) {
        let kind = field.kind();
        let full =
            matches!(&kind, Kind::Message(inner) if !field.is_map() && !self.has_room(inner));
        if self.nodes == 0 || full {
            return;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = &kind else { return };
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            assert!(
                key.kind() == Kind::String,
                "no strategy for the keys of {}",
                field.full_name()
            );
            let length = self.length();
            let entry = |_| (MapKey::String(self.text()), self.single(&value));
            Value::Map((0..length).map(entry).collect::<HashMap<_, _>>())
        } else if field.is_list() {
            Value::List((0..self.length()).map(|_| self.single(field)).collect())
        } else {
            self.single(field)
        };
        message.set_field(field, value);
    }

    fn has_room(&self, inner: &MessageDescriptor) -> bool {
        let is_struct =
            |name: &str| matches!(name, "google.protobuf.Struct" | "google.protobuf.ListValue");
        let open = self.open.iter();
        match inner.full_name() {
            "google.protobuf.Value" => true,
            name if is_struct(name) => {
                open.filter(|around| is_struct(around.full_name())).count() < STRUCT_DEPTH
            }
            _ => open.filter(|around| *around == inner).count() <= RECURSION,
        }
    }

    /// Of a list or a map: 0 to 4, fewer when room is short.
    fn length(&mut self) -> usize {
        self.rng.random_range(0..=4).min(self.nodes)
    }

    /// One value of the field's type.
    fn single(&mut self, field: &FieldDescriptor) -> Value {
        self.nodes = self.nodes.saturating_sub(1);
        match field.kind() {
            Kind::Message(inner) => Value::Message(self.message(&inner, &[])),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.bytes()),
            Kind::Bool => Value::Bool(self.rng.random()),
            Kind::Double => Value::F64(self.double()),
            Kind::Int64 => Value::I64(self.integer(&[i64::MIN, i64::MAX, 1 << 31, 1 << 53]) as i64),
            Kind::Int32 if field.full_name().ends_with(".AppError.status_code") => {
                match self.rng.random_range(0..2 * STATUSES.len()) {
                    at if at < STATUSES.len() => Value::I32(STATUSES[at]),
                    _ => Value::I32(self.integer(&[i32::MIN.into(), i32::MAX.into()]) as i32),
                }
            }
            Kind::Int32 => Value::I32(self.integer(&[i32::MIN.into(), i32::MAX.into()]) as i32),
            Kind::Uint32 => Value::U32(self.integer(&[u32::MAX.into(), 1 << 31]) as u32),
            Kind::Enum(kind) => {
                let known: Vec<_> = kind.values().map(|value| value.number()).collect();
                // An enum is open: a newer peer knows more values.
                Value::EnumNumber(match self.rng.random_range(0..10) {
                    0 => self.integer(&[i32::MIN.into(), i32::MAX.into()]) as i32,
                    _ => known[self.rng.random_range(0..known.len())],
                })
            }
            kind => panic!("no strategy for {kind:?}, the type of {}", field.full_name()),
        }
    }

    /// One of the extremes, or a small number, or any.
    fn integer(&mut self, extremes: &[i64]) -> u64 {
        match self.rng.random_range(0..8) {
            0..=2 => extremes[self.rng.random_range(0..extremes.len())] as u64,
            3 => u64::MAX,
            4 => 0,
            5 => self.rng.random_range(1..300),
            _ => self.rng.next_u64() >> self.rng.random_range(0..64),
        }
    }

    fn double(&mut self) -> f64 {
        const EXTREMES: [f64; 14] = [
            0.0,
            -0.0,
            0.1,
            -1.5,
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            f64::EPSILON,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            9_007_199_254_740_993.0,
            1e100,
        ];
        match self.rng.random_range(0..2) {
            0 => EXTREMES[self.rng.random_range(0..EXTREMES.len())],
            _ => f64::from_bits(self.rng.next_u64()),
        }
    }

    /// How long a text is.
    fn size(&mut self) -> usize {
        let size = match self.rng.random_range(0..2000) {
            n if self.long && n < 700 => self.rng.random_range(1000..12_000),
            0 => 64 * 1024,
            1..=20 => self.rng.random_range(1024..4096),
            21..=220 => 0,
            221..=800 => 26,
            _ => self.rng.random_range(1..16),
        };
        let size = size.min(self.bytes);
        self.bytes -= size;
        size
    }

    fn text(&mut self) -> String {
        let size = self.size();
        let (from, to) = match self.rng.random_range(0..9) {
            0 if size > 0 => return NASTY[self.rng.random_range(0..NASTY.len())].to_owned(),
            1 => (0, 0x20),
            2 => (0x20, 0x30),
            3 => (0xa0, 0x600),
            4 => (0x4e00, 0xa000),
            5 => (0x1_f300, 0x1_f700),
            6 => (0, 0x11_0000),
            _ => (0x61, 0x7b),
        };
        let mut text = String::with_capacity(size);
        while text.len() < size {
            // A surrogate is no character.
            text.push(char::from_u32(self.rng.random_range(from..to)).unwrap_or('\u{fffd}'));
        }
        text
    }

    fn bytes(&mut self) -> Bytes {
        let mut bytes = vec![0; self.size()];
        self.rng.fill_bytes(&mut bytes);
        bytes.into()
    }
}

/// A message and the smaller ones that are tried in its place.
#[derive(Debug, Clone)]
pub struct Tree {
    current: DynamicMessage,
    /// What `current` was before the edit that is being tried.
    before: Option<DynamicMessage>,
    /// The edit that is next.
    at: usize,
    /// Whether an edit held since the first one was tried.
    smaller: bool,
}

impl ValueTree for Tree {
    type Value = DynamicMessage;

    fn current(&self) -> DynamicMessage {
        self.current.clone()
    }

    fn simplify(&mut self) -> bool {
        self.smaller |= self.before.take().is_some();
        loop {
            let mut candidate = self.current.clone();
            if (Edits { left: self.at }).message(&mut candidate) {
                self.before = Some(std::mem::replace(&mut self.current, candidate));
                return true;
            }
            // An edit that failed may hold now that others did.
            if !std::mem::take(&mut self.smaller) {
                return false;
            }
            self.at = 0;
        }
    }

    fn complicate(&mut self) -> bool {
        let Some(before) = self.before.take() else { return false };
        self.current = before;
        self.at += 1;
        true
    }
}

/// Counts the ways to make a message smaller, and goes the one at which the count is up.
struct Edits {
    left: usize,
}

impl Edits {
    fn due(&mut self) -> bool {
        let due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        due
    }

    fn message(&mut self, message: &mut DynamicMessage) -> bool {
        let mut fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in &fields {
            if self.due() {
                message.clear_field(field);
                return true;
            }
        }
        fields.iter().any(|field| self.value(message.get_field_mut(field)))
    }

    fn value(&mut self, value: &mut Value) -> bool {
        match value {
            Value::Message(message) => self.message(message),
            Value::List(list) => {
                for at in 0..list.len() {
                    if self.due() {
                        list.remove(at);
                        return true;
                    }
                }
                list.iter_mut().any(|value| self.value(value))
            }
            Value::Map(map) => {
                let text = |key: &MapKey| key.as_str().unwrap_or_default().to_owned();
                let mut keys: Vec<_> = map.keys().cloned().collect();
                keys.sort_by_key(text);
                for key in &keys {
                    if self.due() {
                        map.remove(key);
                        return true;
                    }
                }
                keys.iter().any(|key| map.get_mut(key).is_some_and(|value| self.value(value)))
            }
            Value::String(text) => {
                let cut = |from: usize, to: usize| {
                    let (from, to) = (text.ceil_char_boundary(from), text.floor_char_boundary(to));
                    text.get(from..to).unwrap_or_default().to_owned()
                };
                let (half, end) = (text.len() / 2, text.len());
                let smaller = [
                    cut(0, 0),
                    "a".to_owned(),
                    cut(0, half),
                    cut(half, end),
                    cut(1, end),
                    cut(0, end.saturating_sub(1)),
                ];
                let simpler = |other: &String| {
                    other.len() < text.len() || other.len() == 1 && text != "a" && !text.is_empty()
                };
                match smaller.into_iter().filter(simpler).find(|_| self.due()) {
                    Some(smaller) => *text = smaller,
                    None => return false,
                }
                true
            }
            Value::Bytes(bytes) => {
                let (half, end) = (bytes.len() / 2, bytes.len());
                let smaller = [0..0, 0..half, half..end, 1..end, 0..end.saturating_sub(1)];
                match smaller.into_iter().filter(|cut| cut.len() < end).find(|_| self.due()) {
                    Some(cut) => *bytes = bytes.slice(cut),
                    None => return false,
                }
                true
            }
            Value::I64(number) => self.number(*number).map(|to| *number = to).is_some(),
            Value::I32(number) | Value::EnumNumber(number) => {
                self.number((*number).into()).map(|to| *number = to as i32).is_some()
            }
            Value::U32(number) => {
                self.number((*number).into()).map(|to| *number = to as u32).is_some()
            }
            Value::F64(number) => {
                let simple = [0.0, 1.0].iter().position(|simple| simple == number).unwrap_or(2);
                match [0.0, 1.0].into_iter().take(simple).find(|_| self.due()) {
                    Some(to) => *number = to,
                    None => return false,
                }
                true
            }
            _ => false,
        }
    }

    fn number(&mut self, number: i64) -> Option<i64> {
        let smaller = [0, 1, number / 2, number - number.signum()];
        let simpler = |other: &i64| other.unsigned_abs() < number.unsigned_abs();
        smaller.into_iter().filter(simpler).find(|_| self.due())
    }
}
