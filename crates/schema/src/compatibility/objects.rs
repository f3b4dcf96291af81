//! Objects: the properties that are declared on either side, and what is required of them.

use serde_json::Value;

use super::judge::{Case, Judge};
use super::side::{self, is_anything, place};
use super::types::TypeSet;
use super::values::Counts;
use super::writer::{ObjectWriter, Writer};

impl<'a> Judge<'a> {
    pub(super) fn reads_objects(&mut self, case: &Case<'_, 'a>) -> bool {
        if !case.writer.types.meets(TypeSet::OBJECT) {
            return true;
        }
        let object = case.writer.as_object();
        let mut required: Vec<_> = case.writer.required().collect();
        required.sort_unstable();
        required.dedup();
        let counts = Counts {
            types: TypeSet::OBJECT,
            min_keyword: "minProperties",
            max_keyword: "maxProperties",
            at_least: required.len() as u64,
            at_most: None,
        };
        let mut is_read = self.reads_counts(case, &counts);
        is_read &= self.reads_required(case, &required);
        is_read &= self.reads_named(case, &object);
        is_read &= self.reads_undeclared(case, &object);
        is_read &= self.reads_patterns(case);
        is_read & self.reads_names(case)
    }

    fn reads_required(&mut self, case: &Case<'_, 'a>, required: &[&str]) -> bool {
        let mut is_read = true;
        for name in side::names(case.reader, "required") {
            if required.binary_search(&name).is_err() {
                let what = format!(
                    "the {} schema requires {name:?}, and the {} does not",
                    self.reader_name(),
                    self.writer_name()
                );
                is_read = self.differ_at(case, "required", what);
            }
        }
        is_read
    }

    /// Reads the properties that the writer declares by name.
    fn reads_named(&mut self, case: &Case<'_, 'a>, object: &ObjectWriter<'_, 'a>) -> bool {
        let additional = side::additional(case.reader);
        let mut is_read = true;
        for name in object.names() {
            if !self.spend(case.writer.size()) {
                return false;
            }
            let declared = side::property(case.reader, name);
            let closed = additional.is_some_and(|(value, _)| value == &Value::Bool(false));
            if declared.is_none() && closed {
                is_read &= self.reads_removed(case, object, name);
                continue;
            }
            let (schema, at) = match (declared, additional) {
                (Some(property), _) => (property, place(case.at, &["properties", name])),
                (None, Some((value, keyword))) => (value, place(case.at, &[keyword])),
                (None, None) => continue,
            };
            for value in object.values_of(name) {
                is_read &= self.reads(schema, &at, &value);
            }
        }
        is_read
    }

    /// A property that the writer declares, and that the reader does not accept.
    fn reads_removed(
        &mut self,
        case: &Case<'_, 'a>,
        object: &ObjectWriter<'_, 'a>,
        name: &str,
    ) -> bool {
        if !object.may_send(name) {
            return true;
        }
        let what = format!(
            "the {} schema does not accept the property {name:?}, which the {} has",
            self.reader_name(),
            self.writer_name()
        );
        let declared = object.place_of(name);
        let pointer = declared.unwrap_or_else(|| place(case.at, &["additionalProperties"]));
        self.differ(pointer.to_string(), what)
    }

    /// Reads the properties that the writer declares without a name. They can have the names of
    /// properties that only the reader declares.
    fn reads_undeclared(&mut self, case: &Case<'_, 'a>, object: &ObjectWriter<'_, 'a>) -> bool {
        let values = object.undeclared();
        if values.is_empty() {
            return true;
        }
        let names = object.names();
        let properties = side::map(case.reader, "properties")
            .filter(|(name, _)| !names.contains(name.as_str()))
            .map(|(name, schema)| (schema, place(case.at, &["properties", name])));
        let additional = side::additional(case.reader)
            .map(|(schema, keyword)| (schema, place(case.at, &[keyword])));
        let mut is_read = true;
        for (schema, at) in properties.chain(additional) {
            let mut read = |value: &Writer<'a>| self.reads(schema, &at, value);
            is_read &= values.iter().all(&mut read);
        }
        is_read
    }

    fn reads_patterns(&mut self, case: &Case<'_, 'a>) -> bool {
        let mut is_read = true;
        for (pattern, schema) in side::map(case.reader, "patternProperties") {
            let mut members = case.writer.members.iter();
            let has_equal = members.any(|member| {
                let patterns = member.schema.get("patternProperties");
                let own = patterns.and_then(|patterns| patterns.get(pattern));
                own.is_some_and(|own| self.equal(schema, own))
            });
            if !has_equal && !is_anything(schema) {
                is_read = self.differ_incomparably(case, "patternProperties");
            }
        }
        is_read
    }

    fn reads_names(&mut self, case: &Case<'_, 'a>) -> bool {
        let judges = case
            .reader
            .get("propertyNames")
            .is_some_and(|schema| !is_anything(schema));
        !judges
            || self.member_has_equal(case, &["propertyNames"])
            || self.differ_incomparably(case, "propertyNames")
    }
}
