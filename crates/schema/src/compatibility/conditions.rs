//! Keywords that apply under conditions, and those that look at what others left over.

use serde_json::Value;

use super::judge::{Case, Judge};
use super::side::{self, place};
use super::types::TypeSet;

impl<'a> Judge<'a> {
    pub(super) fn reads_conditions(&mut self, case: &Case<'_, 'a>) -> bool {
        let mut is_read = self.reads_if(case);
        if case.writer.types.meets(TypeSet::OBJECT) {
            for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
                is_read &= self.reads_dependents(case, keyword);
            }
        }
        // Equal schemas are compatible and were found before. Anything else about these depends on
        // every keyword around them.
        if let Some(keyword) = side::entangled(case.reader) {
            is_read = self.differ_incomparably(case, keyword);
        }
        is_read
    }

    /// Whatever the condition says, one of the two consequences applies.
    fn reads_if(&mut self, case: &Case<'_, 'a>) -> bool {
        if !case.reader.contains_key("if") || self.member_has_equal(case, &["if", "then", "else"]) {
            return true;
        }
        let reads_both = ["then", "else"].into_iter().all(|keyword| {
            case.reader.get(keyword).is_none_or(|schema| {
                let at = place(case.at, &[keyword]);
                self.tries(|judge| judge.reads(schema, &at, case.writer))
            })
        });
        reads_both || self.differ_incomparably(case, "if")
    }

    fn reads_dependents(&mut self, case: &Case<'_, 'a>, keyword: &str) -> bool {
        if self.member_has_equal(case, &[keyword]) {
            return true;
        }
        let object = case.writer.as_object();
        let mut is_read = true;
        for (name, dependent) in side::map(case.reader, keyword) {
            let holds = !object.may_send(name)
                || match dependent {
                    Value::Array(names) => {
                        let mut names = names.iter().filter_map(Value::as_str);
                        names.all(|name| case.writer.requires(name))
                    }
                    schema => {
                        let at = place(case.at, &[keyword, name]);
                        self.tries(|judge| judge.reads(schema, &at, case.writer))
                    }
                };
            if !holds {
                is_read = self.differ_incomparably(case, keyword);
            }
        }
        is_read
    }
}
