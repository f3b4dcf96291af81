//! Writers with a finite number of values: each is given to the reader's schema to judge.

use serde_json::Value;

use super::judge::Judge;
use super::types::TypeSet;
use super::writer::Writer;
use crate::bounded_text::bounded;
use crate::draft::Draft;
use crate::engine;
use crate::pointer::join;

impl<'a> Judge<'a> {
    /// Everything that a writer with `enum` or `const`, or without any but small types, can send.
    pub(super) fn finite_values(&mut self, writer: &Writer<'a>) -> Option<Vec<Value>> {
        let listed = writer.members.iter().find_map(|member| {
            if let Some(value) = member.schema.get("const") {
                return Some(vec![value.clone()]);
            }
            member.schema.get("enum")?.as_array().cloned()
        });
        let small = TypeSet::NULL.or(TypeSet::BOOLEAN);
        let candidates = match listed {
            Some(values) => values,
            None if writer.types.is_within(small) => {
                vec![Value::Null, Value::Bool(false), Value::Bool(true)]
            }
            None => return None,
        };
        let is_sent = |value: &Value| TypeSet::of_value(value).is_within(writer.types);
        let mut values: Vec<_> = candidates.into_iter().filter(is_sent).collect();
        let draft = self.writer_draft;
        for member in &writer.members {
            values.retain(|value| self.accepts(member.value, draft, value) != Some(false));
        }
        Some(values)
    }

    pub(super) fn reads_values(&mut self, reader: &'a Value, at: &str, values: &[Value]) -> bool {
        let draft = self.reader_draft;
        for value in values {
            if self.accepts(reader, draft, value) != Some(true) {
                let keyword = ["enum", "const", "type"]
                    .into_iter()
                    .find(|keyword| reader.get(keyword).is_some());
                let pointer = keyword.map_or_else(|| at.to_owned(), |keyword| join(at, keyword));
                let what = format!(
                    "the {} schema does not accept {}, and the {} does",
                    self.reader_name(),
                    bounded(value),
                    self.writer_name()
                );
                return self.differ(pointer, what);
            }
        }
        true
    }

    /// Whether a part of a schema accepts a value; nothing if that costs too much to find out.
    pub(super) fn accepts(
        &mut self,
        schema: &'a Value,
        draft: Draft,
        value: &Value,
    ) -> Option<bool> {
        if !self.spend(nodes(value)) {
            return None;
        }
        // The schemas outlive the judge, so that an address stays that of one schema.
        let key = std::ptr::from_ref(schema);
        if !self.validators.contains_key(&key) {
            if !self.spend(10 * nodes(schema)) {
                return None;
            }
            let compiled = engine::compile(schema, draft).ok();
            self.validators.insert(key, compiled);
        }
        let validator = self.validators.get(&key)?.as_ref()?;
        Some(validator.is_valid(value))
    }
}

fn nodes(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<u64>(),
        Value::Object(members) => 1 + members.values().map(nodes).sum::<u64>(),
        _ => 1,
    }
}
