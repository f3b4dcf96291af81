//! The comparison of two schemas: one reads, the other writes.

use std::collections::HashMap;

use flotilla_types::limits::{SCHEMA_COMPARISON_STEPS_MAX, VIOLATIONS_MAX};
use serde_json::Value;

use super::Incompatibility;
use super::side::{Keywords, is_anything};
use super::types::TypeSet;
use super::writer::Writer;
use crate::Schema;
use crate::draft::Draft;
use crate::pointer::join;

/// Deepest nesting of comparisons. Schemas are less deep, but every choice adds one.
const DEPTH_MAX: usize = 128;

/// What the reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// The newer schema reads what producers of the older one wrote.
    Older,
    /// The older schema reads what producers of the newer one write.
    Newer,
}

/// A schema of the reader, and what it has to read.
pub(super) struct Case<'c, 'a> {
    pub(super) reader: &'a Keywords,
    pub(super) at: &'c str,
    pub(super) writer: &'c Writer<'a>,
}

pub(super) struct Judge<'a> {
    pub(super) reader_draft: Draft,
    pub(super) writer_draft: Draft,
    pub(super) validators: HashMap<*const Value, Option<jsonschema::Validator>>,
    reads: Reads,
    /// Whether equal schemas judge alike. Drafts disagree on what `unevaluatedItems` has to look at.
    equals_are_alike: bool,
    steps_left: u64,
    depth: usize,
    /// How many trials are under way, whose differences nobody asked for.
    trials: usize,
    found: Vec<Incompatibility>,
    schemas: std::marker::PhantomData<&'a Value>,
}

impl<'a> Judge<'a> {
    /// What keeps `reader` from reading what follows `writer`.
    pub(super) fn compare(
        reader: &'a Schema,
        writer: &'a Schema,
        reads: Reads,
    ) -> Vec<Incompatibility> {
        let looks_at_items =
            [reader, writer].map(|schema| mentions(schema.reduced(), "unevaluatedItems"));
        let mut judge = Self {
            reader_draft: reader.draft(),
            writer_draft: writer.draft(),
            validators: HashMap::new(),
            reads,
            equals_are_alike: reader.draft() == writer.draft() || looks_at_items == [false; 2],
            steps_left: SCHEMA_COMPARISON_STEPS_MAX,
            depth: 0,
            trials: 0,
            found: Vec::new(),
            schemas: std::marker::PhantomData,
        };
        let follows = Writer::of(writer.reduced(), writer.draft());
        let is_read = judge.reads(reader.reduced(), "", &follows);
        if !is_read && judge.steps_left == 0 {
            return vec![Incompatibility {
                pointer: String::new(),
                message: "the schemas are too complex to compare: use compatibility none for this \
                          change"
                    .to_owned(),
            }];
        }
        if !is_read && judge.found.is_empty() {
            judge.differ(
                String::new(),
                "it cannot be shown to be compatible".to_owned(),
            );
        }
        judge.found
    }

    /// Whether `reader` accepts everything that follows `writer`.
    pub(super) fn reads(&mut self, reader: &'a Value, at: &str, writer: &Writer<'a>) -> bool {
        // A comparison allocates, and costs about ten times what comparing two values does.
        if !self.spend(10 * writer.size()) {
            return false;
        }
        if writer.sends_nothing() || is_anything(reader) {
            return true;
        }
        let Value::Object(keywords) = reader else {
            let what = format!("the {} schema accepts nothing here", self.reader_name());
            return self.differ(at.to_owned(), what);
        };
        if self.equals_a_member(reader, writer) {
            return true;
        }
        if let Some(values) = self.finite_values(writer) {
            return self.reads_values(reader, at, &values);
        }
        if !self.descend() {
            return false;
        }
        let case = Case {
            reader: keywords,
            at,
            writer,
        };
        let is_read = self.reads_case(&case, reader);
        self.ascend();
        is_read
    }

    /// Goes one comparison deeper. What is too deep is as good as what takes too long.
    pub(super) const fn descend(&mut self) -> bool {
        if self.depth == DEPTH_MAX {
            self.steps_left = 0;
            return false;
        }
        self.depth += 1;
        true
    }

    pub(super) const fn ascend(&mut self) {
        self.depth -= 1;
    }

    /// Reads the writer as a whole, or else every one of its choices.
    fn reads_case(&mut self, case: &Case<'_, 'a>, reader: &'a Value) -> bool {
        if let Some(choice) = case.writer.choice() {
            if self.tries(|judge| judge.reads_keywords(case)) {
                return true;
            }
            let branches = 0..choice.branches.len();
            let mut chosen = branches.map(|branch| case.writer.choose(branch));
            return chosen.all(|writer| self.reads(reader, case.at, &writer));
        }
        let has_branches = ["anyOf", "oneOf"]
            .iter()
            .any(|k| case.reader.contains_key(*k));
        if has_branches && case.writer.types.singles().count() > 1 {
            if self.tries(|judge| judge.reads_keywords(case)) {
                return true;
            }
            let mut types = case.writer.types.singles();
            return types.all(|single| self.reads(reader, case.at, &case.writer.only(single)));
        }
        self.reads_keywords(case)
    }

    fn reads_keywords(&mut self, case: &Case<'_, 'a>) -> bool {
        let checks = [
            Self::reads_types,
            Self::reads_numbers,
            Self::reads_strings,
            Self::reads_arrays,
            Self::reads_objects,
            Self::reads_choices,
            Self::reads_conditions,
        ];
        let mut is_read = true;
        for check in checks {
            is_read &= check(self, case);
            // A trial is lost with its first difference; a report wants them all.
            if !is_read && (self.trials > 0 || self.steps_left == 0) {
                return false;
            }
        }
        is_read
    }

    fn reads_types(&mut self, case: &Case<'_, 'a>) -> bool {
        if case.reader.contains_key("enum") || case.reader.contains_key("const") {
            let keyword = if case.reader.contains_key("enum") {
                "enum"
            } else {
                "const"
            };
            let what = format!(
                "the {} schema accepts only the listed values, and the {} others too",
                self.reader_name(),
                self.writer_name()
            );
            return self.differ_at(case, keyword, what);
        }
        let accepted = TypeSet::of_schema(case.reader);
        if case.writer.types.is_within(accepted) {
            return true;
        }
        let what = format!(
            "the {} schema accepts {}, and the {} allows {}",
            self.reader_name(),
            accepted.names(),
            self.writer_name(),
            case.writer.types.names()
        );
        self.differ_at(case, "type", what)
    }

    /// Whether the reader's schema is one that everything of the writer is valid under anyway.
    fn equals_a_member(&mut self, reader: &Value, writer: &Writer<'a>) -> bool {
        let mut members = writer.members.iter();
        members.any(|member| self.equal(reader, member.value))
    }

    /// Whether some member of the writer has the same value under each of the keywords.
    pub(super) fn member_has_equal(&mut self, case: &Case<'_, 'a>, keywords: &[&str]) -> bool {
        case.writer.members.iter().any(|member| {
            keywords.iter().all(|keyword| {
                match (case.reader.get(*keyword), member.schema.get(*keyword)) {
                    (Some(reader), Some(writer)) => self.equal(reader, writer),
                    (None, None) => true,
                    _ => false,
                }
            })
        })
    }

    /// Whether two schemas are equal, and judge alike.
    pub(super) fn equal(&mut self, left: &Value, right: &Value) -> bool {
        self.equals_are_alike && self.equal_values(left, right)
    }

    fn equal_values(&mut self, left: &Value, right: &Value) -> bool {
        if !self.spend(1) {
            return false;
        }
        match (left, right) {
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(l, r)| self.equal_values(l, r))
            }
            (Value::Object(left), Value::Object(right)) => {
                left.len() == right.len()
                    && left.iter().all(|(key, l)| match right.get(key) {
                        Some(r) => self.equal_values(l, r),
                        None => false,
                    })
            }
            _ => left == right,
        }
    }

    /// Whether `trial` succeeds. What it finds is not reported.
    pub(super) fn tries(&mut self, trial: impl FnOnce(&mut Self) -> bool) -> bool {
        self.trials += 1;
        let succeeded = trial(self);
        self.trials -= 1;
        succeeded
    }

    /// Takes from what the comparison may cost. Once it is used up, nothing is compatible any more.
    pub(super) fn spend(&mut self, steps: u64) -> bool {
        self.steps_left = self.steps_left.saturating_sub(steps);
        self.steps_left > 0
    }

    pub(super) const fn reader_name(&self) -> &'static str {
        match self.reads {
            Reads::Older => "newer",
            Reads::Newer => "older",
        }
    }

    pub(super) const fn writer_name(&self) -> &'static str {
        match self.reads {
            Reads::Older => "older",
            Reads::Newer => "newer",
        }
    }

    /// Notes a difference in a keyword of the reader. It is shown in the newer schema if that has it.
    pub(super) fn differ_at(&mut self, case: &Case<'_, 'a>, keyword: &str, what: String) -> bool {
        let mut pointer = join(case.at, keyword);
        if self.reads == Reads::Newer {
            let mut members = case.writer.members.iter();
            if let Some(member) = members.find(|member| member.schema.contains_key(keyword)) {
                pointer = join(&member.at, keyword);
            }
        }
        self.differ(pointer, what)
    }

    /// Notes a difference, and returns what it means: the reader does not read the writer.
    pub(super) fn differ(&mut self, pointer: String, message: String) -> bool {
        let found = Incompatibility { pointer, message };
        if self.trials == 0 && self.found.len() < VIOLATIONS_MAX && !self.found.contains(&found) {
            self.found.push(found);
        }
        false
    }

    pub(super) fn differ_incomparably(&mut self, case: &Case<'_, 'a>, keyword: &str) -> bool {
        let what = format!(
            "{keyword} cannot be compared, and counts as incompatible: use compatibility none for \
             this change"
        );
        self.differ_at(case, keyword, what)
    }
}

fn mentions(schema: &Value, keyword: &str) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(|item| mentions(item, keyword)),
        Value::Object(members) => {
            members.contains_key(keyword) || members.values().any(|value| mentions(value, keyword))
        }
        _ => false,
    }
}
