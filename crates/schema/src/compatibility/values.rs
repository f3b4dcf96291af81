//! Numbers, strings, and how many there are of anything.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::judge::{Case, Judge};
use super::side::Keywords;
use super::types::TypeSet;
use crate::numbers;

/// One end of the range of a number.
#[derive(Clone, Copy)]
enum End {
    Lower,
    Upper,
}

/// The bound of a range: a number, and whether the number itself is outside.
#[derive(Clone, Copy)]
struct Bound<'a> {
    number: &'a Number,
    is_exclusive: bool,
    keyword: &'static str,
}

/// Counts of a writer that follow from more than the keywords for them.
pub(super) struct Counts {
    pub(super) types: TypeSet,
    pub(super) min_keyword: &'static str,
    pub(super) max_keyword: &'static str,
    pub(super) at_least: u64,
    pub(super) at_most: Option<u64>,
}

impl<'a> Judge<'a> {
    pub(super) fn reads_numbers(&mut self, case: &Case<'_, 'a>) -> bool {
        if !case.writer.types.meets(TypeSet::NUMBER) {
            return true;
        }
        let mut is_read = true;
        for end in [End::Lower, End::Upper] {
            is_read &= self.reads_bound(case, end);
        }
        is_read & self.reads_multiple(case)
    }

    fn reads_bound(&mut self, case: &Case<'_, 'a>, end: End) -> bool {
        let Some(reader) = bound(case.reader, end) else {
            return true;
        };
        let members = case.writer.members.iter();
        let mut bounds = members.filter_map(|member| bound(member.schema, end));
        if bounds.any(|writer| order(&writer, &reader, end) != Ordering::Less) {
            return true;
        }
        let what = format!(
            "the {} schema has {} {}, and the {} allows more",
            self.reader_name(),
            reader.keyword,
            reader.number,
            self.writer_name()
        );
        self.differ_at(case, reader.keyword, what)
    }

    fn reads_multiple(&mut self, case: &Case<'_, 'a>) -> bool {
        let Some(Value::Number(divisor)) = case.reader.get("multipleOf") else {
            return true;
        };
        let one = Number::from(1);
        let integers = !case.writer.types.is_within(TypeSet::INTEGER);
        let integers = (!integers).then_some(&one);
        let members = case.writer.members.iter();
        let multiples = members.filter_map(|member| match member.schema.get("multipleOf") {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        });
        if multiples
            .chain(integers)
            .any(|number| numbers::is_multiple(number, divisor))
        {
            return true;
        }
        let what = format!(
            "the {} schema accepts multiples of {divisor} only, and the {} allows others",
            self.reader_name(),
            self.writer_name()
        );
        self.differ_at(case, "multipleOf", what)
    }

    pub(super) fn reads_strings(&mut self, case: &Case<'_, 'a>) -> bool {
        if !case.writer.types.meets(TypeSet::STRING) {
            return true;
        }
        let lengths = Counts {
            types: TypeSet::STRING,
            min_keyword: "minLength",
            max_keyword: "maxLength",
            at_least: 0,
            at_most: None,
        };
        let is_read = self.reads_counts(case, &lengths);
        if !case.reader.contains_key("pattern") || self.member_has_equal(case, &["pattern"]) {
            return is_read;
        }
        let what = format!(
            "the {} schema has a pattern that the {} does not have, and patterns cannot be compared",
            self.reader_name(),
            self.writer_name()
        );
        self.differ_at(case, "pattern", what)
    }

    pub(super) fn reads_counts(&mut self, case: &Case<'_, 'a>, counts: &Counts) -> bool {
        if !case.writer.types.meets(counts.types) {
            return true;
        }
        let members = || case.writer.members.iter().map(|member| member.schema);
        let least = members().filter_map(|schema| count(schema, counts.min_keyword));
        let least = least.max().unwrap_or(0).max(counts.at_least);
        let most = members().filter_map(|schema| count(schema, counts.max_keyword));
        let most = most.chain(counts.at_most).min();
        let mut is_read = true;
        if let Some(min) = count(case.reader, counts.min_keyword).filter(|min| least < *min) {
            is_read = self.differ_in_count(case, counts.min_keyword, min);
        }
        let max = count(case.reader, counts.max_keyword);
        if let Some(max) = max.filter(|max| most.is_none_or(|most| most > *max)) {
            is_read = self.differ_in_count(case, counts.max_keyword, max);
        }
        is_read
    }

    fn differ_in_count(&mut self, case: &Case<'_, 'a>, keyword: &str, bound: u64) -> bool {
        let what = format!(
            "the {} schema has {keyword} {bound}, and the {} allows more",
            self.reader_name(),
            self.writer_name()
        );
        self.differ_at(case, keyword, what)
    }
}

pub(super) fn count(schema: &Keywords, keyword: &str) -> Option<u64> {
    match schema.get(keyword) {
        Some(Value::Number(number)) => Some(numbers::count(number)),
        _ => None,
    }
}

/// The narrower of the two bounds that a schema can have at one end.
fn bound(schema: &Keywords, end: End) -> Option<Bound<'_>> {
    let keywords = match end {
        End::Lower => [("minimum", false), ("exclusiveMinimum", true)],
        End::Upper => [("maximum", false), ("exclusiveMaximum", true)],
    };
    let bounds = keywords.into_iter().filter_map(|(keyword, is_exclusive)| {
        let Some(Value::Number(number)) = schema.get(keyword) else {
            return None;
        };
        Some(Bound {
            number,
            is_exclusive,
            keyword,
        })
    });
    bounds.max_by(|left, right| order(left, right, end))
}

/// How narrow a bound is beside another.
fn order(left: &Bound<'_>, right: &Bound<'_>, end: End) -> Ordering {
    let numbers = numbers::order(left.number, right.number);
    let numbers = match end {
        End::Lower => numbers,
        End::Upper => numbers.reverse(),
    };
    numbers.then(left.is_exclusive.cmp(&right.is_exclusive))
}
