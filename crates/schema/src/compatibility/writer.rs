//! What a producer sends that follows a schema.
//!
//! A value that follows a schema is valid under several at once: the schema itself, the members of its
//! `allOf`, the branch of an `anyOf` that was chosen. These are the **members** of the writer, and every
//! one of them holds. Beside them are **hints**: schemas that may hold too, like the other branches of
//! an `anyOf` or a `then`. They promise nothing, but a producer may send the properties that they
//! declare.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::side::{self, Keywords, Placed, is_anything, place};
use super::types::TypeSet;
use crate::draft::Draft;

#[derive(Clone)]
pub(super) struct Member<'a> {
    pub(super) value: &'a Value,
    pub(super) schema: &'a Keywords,
    pub(super) at: Rc<str>,
}

#[derive(Clone)]
struct Hint<'a> {
    schema: &'a Keywords,
    at: Rc<str>,
    /// Whether a producer that sends what this declares also makes it as declared. What is named in an
    /// `if` may be sent with any value.
    holds: bool,
}

/// An `anyOf` or a `oneOf` of which no branch is chosen yet.
#[derive(Clone)]
pub(super) struct Choice<'a> {
    pub(super) branches: &'a [Value],
    at: Rc<str>,
    is_exclusive: bool,
}

#[derive(Clone)]
pub(super) struct Writer<'a> {
    pub(super) draft: Draft,
    pub(super) members: Vec<Member<'a>>,
    pub(super) types: TypeSet,
    /// Schemas that no value is valid under, because another branch of their `oneOf` was chosen.
    pub(super) excluded: Vec<&'a Value>,
    hints: Vec<Hint<'a>>,
    choices: Vec<Choice<'a>>,
    is_impossible: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn of(schema: &'a Value, draft: Draft) -> Self {
        let mut writer = Self::of_anything(draft);
        writer.add((schema, Rc::from("")));
        writer
    }

    const fn of_anything(draft: Draft) -> Self {
        Self {
            draft,
            members: Vec::new(),
            types: TypeSet::ANY,
            excluded: Vec::new(),
            hints: Vec::new(),
            choices: Vec::new(),
            is_impossible: false,
        }
    }

    /// Whether nothing follows this.
    pub(super) fn sends_nothing(&self) -> bool {
        self.is_impossible || self.types.is_empty()
    }

    pub(super) fn size(&self) -> u64 {
        (1 + self.members.len() + self.hints.len() + self.choices.len()) as u64
    }

    /// The next choice that is open.
    pub(super) fn choice(&self) -> Option<&Choice<'a>> {
        self.choices.last()
    }

    /// The writer after it has chosen a branch of the next choice.
    pub(super) fn choose(&self, branch: usize) -> Self {
        let mut chosen = self.clone();
        let Some(choice) = chosen.choices.pop() else {
            return chosen;
        };
        for (index, schema) in choice.branches.iter().enumerate() {
            let placed = (schema, place(&choice.at, &[&index.to_string()]));
            if index == branch {
                chosen.add(placed);
            } else if choice.is_exclusive {
                chosen.excluded.push(schema);
            } else {
                chosen.hint(placed, true);
            }
        }
        chosen
    }

    pub(super) fn only(&self, types: TypeSet) -> Self {
        let mut narrowed = self.clone();
        narrowed.types = self.types.and(types);
        narrowed
    }

    fn add(&mut self, (value, at): Placed<'a>) {
        let Value::Object(schema) = value else {
            self.is_impossible |= value == &Value::Bool(false);
            return;
        };
        self.types = self.types.and(TypeSet::of_schema(schema));
        for (keyword, is_exclusive) in [("anyOf", false), ("oneOf", true)] {
            if let Some(Value::Array(branches)) = schema.get(keyword) {
                self.choices.push(Choice {
                    branches,
                    at: place(&at, &[keyword]),
                    is_exclusive,
                });
            }
        }
        for (index, member) in side::list(schema, "allOf").iter().enumerate() {
            self.add((member, place(&at, &["allOf", &index.to_string()])));
        }
        self.members.push(Member { value, schema, at });
    }

    fn hint(&mut self, (value, at): Placed<'a>, holds: bool) {
        let Value::Object(schema) = value else {
            return;
        };
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for (index, member) in side::list(schema, keyword).iter().enumerate() {
                self.hint((member, place(&at, &[keyword, &index.to_string()])), holds);
            }
        }
        self.hint_conditions(schema, &at, holds);
        self.hints.push(Hint { schema, at, holds });
    }

    /// The schemas that a schema applies under some condition.
    fn hint_conditions(&mut self, schema: &'a Keywords, at: &str, holds: bool) {
        for (keyword, holds) in [("if", false), ("then", holds), ("else", holds)] {
            if let Some(condition) = schema.get(keyword) {
                self.hint((condition, place(at, &[keyword])), holds);
            }
        }
        for keyword in ["dependentSchemas", "dependencies"] {
            for (name, condition) in side::map(schema, keyword) {
                self.hint((condition, place(at, &[keyword, name])), holds);
            }
        }
    }

    /// Everything that is said about an item: what the members say holds, what hints say may hold.
    fn item(&self, schema_of: impl Fn(&'a Keywords, &str) -> Option<Placed<'a>>) -> Self {
        let mut item = Self::of_anything(self.draft);
        for hint in &self.all_hints() {
            if let Some(placed) = schema_of(hint.schema, &hint.at) {
                item.hint(placed, hint.holds);
            }
        }
        for member in &self.members {
            if let Some(placed) = schema_of(member.schema, &member.at) {
                item.add(placed);
            }
        }
        item
    }

    pub(super) fn item_at(&self, index: usize) -> Self {
        let draft = self.draft;
        self.item(|schema, at| {
            let (prefix, keyword) = side::prefix(schema, draft);
            match prefix.get(index) {
                Some(item) => Some((item, place(at, &[keyword, &index.to_string()]))),
                None => rest_at(schema, at, draft),
            }
        })
    }

    pub(super) fn later_item(&self) -> Self {
        let draft = self.draft;
        self.item(|schema, at| rest_at(schema, at, draft))
    }

    /// How many first items have a schema of their own.
    pub(super) fn prefix_length(&self) -> usize {
        let members = self.members.iter().map(|member| member.schema);
        let hints = self.all_hints();
        let schemas = members.chain(hints.iter().map(|hint| hint.schema));
        let lengths = schemas.map(|schema| side::prefix(schema, self.draft).0.len());
        lengths.max().unwrap_or(0)
    }

    pub(super) fn requires(&self, name: &str) -> bool {
        self.required().any(|required| required == name)
    }

    pub(super) fn required(&self) -> impl Iterator<Item = &'a str> {
        let members = self.members.iter();
        members.flat_map(|member| side::names(member.schema, "required"))
    }

    /// The hints given so far, those of conditions, and those of choices that are open.
    fn all_hints(&self) -> Vec<Hint<'a>> {
        let mut hinted = Self::of_anything(self.draft);
        for member in &self.members {
            hinted.hint_conditions(member.schema, &member.at, true);
        }
        for choice in &self.choices {
            for (index, branch) in choice.branches.iter().enumerate() {
                hinted.hint((branch, place(&choice.at, &[&index.to_string()])), true);
            }
        }
        hinted.hints.extend(self.hints.iter().cloned());
        hinted.hints
    }

    pub(super) fn as_object(&self) -> ObjectWriter<'_, 'a> {
        let is_free = !self.members.iter().any(|member| {
            let schema = member.schema;
            schema.contains_key("properties")
                || side::has_patterns(schema)
                || side::additional(schema).is_some_and(|(value, _)| !is_anything(value))
        });
        ObjectWriter {
            hints: self.all_hints(),
            writer: self,
            is_free,
        }
    }
}

fn rest_at<'a>(schema: &'a Keywords, at: &str, draft: Draft) -> Option<Placed<'a>> {
    side::rest(schema, draft).map(|(rest, keyword)| (rest, place(at, &[keyword])))
}

/// A writer seen as one of objects.
pub(super) struct ObjectWriter<'w, 'a> {
    writer: &'w Writer<'a>,
    hints: Vec<Hint<'a>>,
    /// Whether its schemas say nothing about properties, so that anything may be in the object.
    pub(super) is_free: bool,
}

impl<'a> ObjectWriter<'_, 'a> {
    /// The properties that are declared or required by name.
    pub(super) fn names(&self) -> BTreeSet<&'a str> {
        let schemas = self.schemas();
        schemas
            .flat_map(|(schema, _)| {
                let declared = side::map(schema, "properties").map(|(name, _)| name.as_str());
                declared.chain(side::names(schema, "required"))
            })
            .collect()
    }

    /// Where `name` is declared.
    pub(super) fn place_of(&self, name: &str) -> Option<Rc<str>> {
        let mut schemas = self.schemas();
        let declares = |schema: &Keywords| side::property(schema, name).is_some();
        let (_, at) = schemas.find(|(schema, _)| declares(schema))?;
        Some(place(at, &["properties", name]))
    }

    /// Whether an object of this writer can have the property.
    pub(super) fn may_send(&self, name: &str) -> bool {
        let is_named = self.names().contains(name);
        (is_named || !self.undeclared().is_empty())
            && self
                .values_of(name)
                .iter()
                .any(|value| !value.sends_nothing())
    }

    /// What the property's value follows: one of these.
    pub(super) fn values_of(&self, name: &str) -> Vec<Writer<'a>> {
        let base = self.value_of(name);
        let members = &self.writer.members;
        let is_declared = members
            .iter()
            .any(|member| side::property(member.schema, name).is_some());
        if is_declared || self.is_free || self.writer.requires(name) {
            return vec![base];
        }
        let mut values = Vec::new();
        for hint in &self.hints {
            let is_required = side::names(hint.schema, "required").any(|required| required == name);
            match side::property(hint.schema, name) {
                Some(property) if hint.holds => {
                    let mut value = base.clone();
                    value.add((property, place(&hint.at, &["properties", name])));
                    values.push(value);
                }
                Some(_) => values.push(base.clone()),
                None if is_required => values.push(base.clone()),
                None => {}
            }
        }
        for (placed, holds) in self.declared_by_rule() {
            let mut value = base.clone();
            if holds {
                value.add(placed);
            }
            values.push(value);
        }
        values
    }

    /// What the values of properties without a declared name follow: one of these.
    pub(super) fn undeclared(&self) -> Vec<Writer<'a>> {
        let anything = Writer::of_anything(self.writer.draft);
        if self.is_free {
            return vec![anything];
        }
        let is_closed = self.writer.members.iter().any(|member| {
            let additional = side::additional(member.schema);
            additional.is_some_and(|(value, _)| value == &Value::Bool(false))
                && !side::has_patterns(member.schema)
        });
        if is_closed {
            return Vec::new();
        }
        let rules = self.declared_by_rule();
        let follow = |(placed, holds): (Placed<'a>, bool)| {
            let mut value = anything.clone();
            for (other, holds) in self.declared_by_rule() {
                value.hint(other, holds);
            }
            if holds {
                value.add(placed);
            }
            value
        };
        rules.into_iter().map(follow).collect()
    }

    /// What the members say of the value of `name`, and what hints say that it may have.
    fn value_of(&self, name: &str) -> Writer<'a> {
        let mut value = Writer::of_anything(self.writer.draft);
        for (placed, holds) in self.declared_by_rule() {
            value.hint(placed, holds);
        }
        for hint in &self.hints {
            if let Some(property) = side::property(hint.schema, name) {
                let at = place(&hint.at, &["properties", name]);
                value.hint((property, at), hint.holds);
            }
        }
        for Member { schema, at, .. } in &self.writer.members {
            if let Some(property) = side::property(schema, name) {
                value.add((property, place(at, &["properties", name])));
            } else if let Some((additional, keyword)) = side::additional(schema)
                && !side::has_patterns(schema)
            {
                value.add((additional, place(at, &[keyword])));
            }
        }
        value
    }

    /// The schemas for properties that are declared without a name: those of patterns, and of
    /// additional properties that are more than allowed.
    fn declared_by_rule(&self) -> Vec<(Placed<'a>, bool)> {
        let mut rules = Vec::new();
        let members = self.writer.members.iter();
        let members = members.map(|member| (member.schema, &member.at, true));
        let hints = self.hints.iter();
        let hints = hints.map(|hint| (hint.schema, &hint.at, hint.holds));
        for (schema, at, holds) in members.chain(hints) {
            for (pattern, value) in side::map(schema, "patternProperties") {
                rules.push(((value, place(at, &["patternProperties", pattern])), holds));
            }
            for keyword in ["additionalProperties", "unevaluatedProperties"] {
                if let Some(value @ Value::Object(keywords)) = schema.get(keyword)
                    && !keywords.is_empty()
                {
                    rules.push(((value, place(at, &[keyword])), holds));
                }
            }
        }
        rules
    }

    fn schemas(&self) -> impl Iterator<Item = (&'a Keywords, &Rc<str>)> {
        let members = self.writer.members.iter();
        let members = members.map(|member| (member.schema, &member.at));
        members.chain(self.hints.iter().map(|hint| (hint.schema, &hint.at)))
    }
}
