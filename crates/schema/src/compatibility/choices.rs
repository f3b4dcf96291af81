//! `allOf`, `anyOf`, `oneOf` and `not`, and when no value is valid on both sides.

use serde_json::Value;

use super::judge::{Case, Judge};
use super::side::{self, Keywords, place};
use super::types::TypeSet;
use super::writer::Writer;

impl<'a> Judge<'a> {
    pub(super) fn reads_choices(&mut self, case: &Case<'_, 'a>) -> bool {
        let mut is_read = true;
        for (index, member) in side::list(case.reader, "allOf").iter().enumerate() {
            let at = place(case.at, &["allOf", &index.to_string()]);
            is_read &= self.reads(member, &at, case.writer);
        }
        if let Some(Value::Array(branches)) = case.reader.get("anyOf")
            && !self.member_has_equal(case, &["anyOf"])
            && self.branch_that_reads(case, "anyOf", branches).is_none()
        {
            is_read = self.differ_in_branches(case, "anyOf");
        }
        if let Some(Value::Array(branches)) = case.reader.get("oneOf")
            && !self.member_has_equal(case, &["oneOf"])
            && !self.reads_one_of(case, branches)
        {
            is_read = self.differ_in_branches(case, "oneOf");
        }
        if let Some(schema) = case.reader.get("not")
            && !self.member_has_equal(case, &["not"])
            && !self.is_disjoint(schema, case.writer)
        {
            is_read = self.differ_incomparably(case, "not");
        }
        is_read
    }

    fn differ_in_branches(&mut self, case: &Case<'_, 'a>, keyword: &str) -> bool {
        let one = if keyword == "oneOf" {
            "exactly one branch"
        } else {
            "a branch"
        };
        let what = format!(
            "the {} schema cannot be shown to have {one} of {keyword} for everything that the {} allows",
            self.reader_name(),
            self.writer_name()
        );
        self.differ_at(case, keyword, what)
    }

    fn branch_that_reads(
        &mut self,
        case: &Case<'_, 'a>,
        keyword: &str,
        branches: &'a [Value],
    ) -> Option<usize> {
        (0..branches.len()).find(|index| {
            let at = place(case.at, &[keyword, &index.to_string()]);
            self.tries(|judge| judge.reads(&branches[*index], &at, case.writer))
        })
    }

    /// Whether one branch reads the writer, and no other accepts anything of it.
    fn reads_one_of(&mut self, case: &Case<'_, 'a>, branches: &'a [Value]) -> bool {
        let Some(reading) = self.branch_that_reads(case, "oneOf", branches) else {
            return false;
        };
        let others = branches.iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != reading);
        others.all(|(_, other)| self.is_disjoint(other, case.writer))
    }

    /// Whether nothing that follows `writer` is valid under `schema`.
    pub(super) fn is_disjoint(&mut self, schema: &'a Value, writer: &Writer<'a>) -> bool {
        if !self.spend(10 * writer.size()) || !self.descend() {
            return false;
        }
        let is_disjoint = self.tries(|judge| judge.shows_disjoint(schema, writer));
        self.ascend();
        is_disjoint
    }

    fn shows_disjoint(&mut self, schema: &'a Value, writer: &Writer<'a>) -> bool {
        if writer.sends_nothing() {
            return true;
        }
        let Value::Object(keywords) = schema else {
            return schema == &Value::Bool(false);
        };
        if writer
            .excluded
            .iter()
            .any(|other| self.equal(schema, other))
        {
            return true;
        }
        let types = TypeSet::of_schema(keywords).and(writer.types);
        types.is_empty()
            || self.values_are_disjoint(schema, keywords, writer)
            || (types == TypeSet::OBJECT && self.objects_are_disjoint(keywords, writer))
            || self.parts_are_disjoint(keywords, writer)
            || self.choices_are_disjoint(schema, writer)
    }

    /// Whether the values that one side lists are all refused by the other.
    fn values_are_disjoint(
        &mut self,
        schema: &'a Value,
        keywords: &'a Keywords,
        writer: &Writer<'a>,
    ) -> bool {
        let (reader_draft, writer_draft) = (self.reader_draft, self.writer_draft);
        if let Some(values) = self.finite_values(writer) {
            let mut values = values.iter();
            return values.all(|value| self.accepts(schema, reader_draft, value) == Some(false));
        }
        let listed = match (keywords.get("const"), keywords.get("enum")) {
            (Some(value), _) => std::slice::from_ref(value),
            (None, Some(Value::Array(values))) => values.as_slice(),
            _ => return false,
        };
        listed.iter().all(|value| {
            let mut members = writer.members.iter();
            members.any(|member| self.accepts(member.value, writer_draft, value) == Some(false))
        })
    }

    /// Whether some property has to be there that one side never has, or has with other values.
    fn objects_are_disjoint(&mut self, keywords: &'a Keywords, writer: &Writer<'a>) -> bool {
        let object = writer.as_object();
        let closed = side::additional(keywords)
            .is_some_and(|(value, _)| value == &Value::Bool(false))
            && !side::has_patterns(keywords);
        let mut required = side::names(keywords, "required").chain(writer.required());
        required.any(|name| {
            if !object.may_send(name) {
                return true;
            }
            match side::property(keywords, name) {
                Some(property) => {
                    let values = object.values_of(name);
                    values.iter().all(|value| self.is_disjoint(property, value))
                }
                None => closed,
            }
        })
    }

    /// Whether a member of `allOf`, or every branch of a choice, shows it.
    fn parts_are_disjoint(&mut self, keywords: &'a Keywords, writer: &Writer<'a>) -> bool {
        let mut members = side::list(keywords, "allOf").iter();
        if members.any(|member| self.is_disjoint(member, writer)) {
            return true;
        }
        ["anyOf", "oneOf"].iter().any(|keyword| {
            let branches = side::list(keywords, keyword);
            let mut each = branches.iter();
            !branches.is_empty() && each.all(|branch| self.is_disjoint(branch, writer))
        })
    }

    fn choices_are_disjoint(&mut self, schema: &'a Value, writer: &Writer<'a>) -> bool {
        let Some(choice) = writer.choice() else {
            return false;
        };
        let mut branches = 0..choice.branches.len();
        branches.all(|branch| self.is_disjoint(schema, &writer.choose(branch)))
    }
}
