//! Arrays: items by their places, how many, and whether they differ.

use serde_json::Value;

use super::judge::{Case, Judge};
use super::side::{self, place};
use super::types::TypeSet;
use super::values::{Counts, count};
use super::writer::Writer;

impl<'a> Judge<'a> {
    pub(super) fn reads_arrays(&mut self, case: &Case<'_, 'a>) -> bool {
        if !case.writer.types.meets(TypeSet::ARRAY) {
            return true;
        }
        let items_max = self.items_max(case.writer);
        let counts = Counts {
            types: TypeSet::ARRAY,
            min_keyword: "minItems",
            max_keyword: "maxItems",
            at_least: 0,
            at_most: items_max,
        };
        let mut is_read = self.reads_counts(case, &counts);
        is_read &= self.reads_items(case, items_max);
        if case.reader.get("uniqueItems") == Some(&Value::Bool(true))
            && items_max.is_none_or(|max| max > 1)
            && !self.member_has_equal(case, &["uniqueItems"])
        {
            let what = format!(
                "the {} schema wants items to differ, and the {} does not",
                self.reader_name(),
                self.writer_name()
            );
            is_read = self.differ_at(case, "uniqueItems", what);
        }
        if case.reader.contains_key("contains")
            && !self.member_has_equal(case, &["contains", "minContains", "maxContains"])
        {
            is_read = self.differ_incomparably(case, "contains");
        }
        is_read
    }

    fn reads_items(&mut self, case: &Case<'_, 'a>, items_max: Option<u64>) -> bool {
        let draft = self.reader_draft;
        let (prefix, prefix_keyword) = side::prefix(case.reader, draft);
        let rest = side::rest(case.reader, draft);
        let places = prefix.len().max(case.writer.prefix_length());
        let sent = items_max.map_or(places, |max| places.min(max as usize));
        let mut is_read = true;
        for index in 0..sent {
            let (schema, at) = match (prefix.get(index), rest) {
                (Some(item), _) => {
                    let at = place(case.at, &[prefix_keyword, &index.to_string()]);
                    (item, at)
                }
                (None, Some((rest, keyword))) => (rest, place(case.at, &[keyword])),
                (None, None) => break,
            };
            is_read &= self.reads(schema, &at, &case.writer.item_at(index));
        }
        if let Some((rest, keyword)) = rest
            && items_max.is_none_or(|max| max > places as u64)
        {
            let at = place(case.at, &[keyword]);
            is_read &= self.reads(rest, &at, &case.writer.later_item());
        }
        is_read
    }

    /// Most items that an array of the writer has.
    fn items_max(&mut self, writer: &Writer<'a>) -> Option<u64> {
        let members = writer.members.iter();
        let counted = members.filter_map(|member| count(member.schema, "maxItems"));
        let counted = counted.min();
        let places = writer.prefix_length();
        let end = (0..places)
            .find(|index| {
                self.spend(writer.size());
                writer.item_at(*index).sends_nothing()
            })
            .or_else(|| writer.later_item().sends_nothing().then_some(places));
        end.map(|end| end as u64).into_iter().chain(counted).min()
    }
}
