//! What applying a topics file changes, as people and as programs read it.

use std::fmt;

use flotilla_client::{AppliedManifest, FieldChange, TopicChange, TopicChangeKind};
use serde_json::{Value, json};

use crate::Output;
use crate::failure::Failure;

/// How many topics are touched in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) created: usize,
    pub(super) updated: usize,
    pub(super) deleted: usize,
    pub(super) unchanged: usize,
}

impl Counts {
    pub(super) fn of(applied: &AppliedManifest) -> Self {
        let count = |kind| {
            let changes = applied.changes.iter();
            changes.filter(|change| change.kind == kind).count()
        };
        Self {
            created: count(TopicChangeKind::Create),
            updated: count(TopicChangeKind::Update),
            deleted: count(TopicChangeKind::Delete),
            unchanged: applied.unchanged as usize,
        }
    }
}

/// Prints what would change.
pub(super) fn print(plan: &AppliedManifest, output: &mut Output) -> Result<(), Failure> {
    for change in &plan.changes {
        let (mark, verb) = match change.kind {
            TopicChangeKind::Create => ('+', "create"),
            TopicChangeKind::Update => ('~', "update"),
            TopicChangeKind::Delete => ('-', "delete"),
        };
        output.line(format_args!("{mark} {verb} {}", change.topic))?;
        if change.kind != TopicChangeKind::Delete {
            for field in &change.fields {
                output.line(format_args!("    {}", Field(field)))?;
            }
        }
    }
    for topic in &plan.protected {
        output.line(format_args!("= keep {topic}, which is protected"))?;
    }
    let Counts {
        created,
        updated,
        deleted,
        unchanged,
    } = Counts::of(plan);
    output.line(format_args!(
        "{created} to create, {updated} to update, {deleted} to delete, {unchanged} unchanged"
    ))
}

/// Prints what has changed.
pub(super) fn print_done(applied: &AppliedManifest, output: &mut Output) -> Result<(), Failure> {
    let Counts {
        created,
        updated,
        deleted,
        unchanged,
    } = Counts::of(applied);
    output.line(format_args!(
        "{created} created, {updated} updated, {deleted} deleted, {unchanged} unchanged"
    ))
}

pub(super) fn to_json(plan: &AppliedManifest, is_applied: bool) -> Value {
    let counts = Counts::of(plan);
    let changes: Vec<_> = plan.changes.iter().map(change_json).collect();
    let protected: Vec<_> = plan.protected.iter().map(|name| name.as_str()).collect();
    json!({
        "applied": is_applied,
        "changes": changes,
        "created": counts.created,
        "updated": counts.updated,
        "deleted": counts.deleted,
        "unchanged": counts.unchanged,
        "protected": protected,
        "etag": plan.etag,
    })
}

fn change_json(change: &TopicChange) -> Value {
    let kind = match change.kind {
        TopicChangeKind::Create => "create",
        TopicChangeKind::Update => "update",
        TopicChangeKind::Delete => "delete",
    };
    let fields = change
        .fields
        .iter()
        .map(|field| json!({ "name": field.name, "before": field.before, "after": field.after }));
    let fields: Vec<_> = fields.collect();
    json!({ "topic": change.topic.as_str(), "kind": kind, "fields": fields })
}

/// One change in one line.
struct Field<'a>(&'a FieldChange);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldChange {
            name,
            before,
            after,
        } = self.0;
        let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
        match before {
            None => write!(f, "{name}: {}", show(after)),
            Some(_) => write!(f, "{name}: {} -> {}", show(before), show(after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_client::TopicName;

    use super::*;
    use crate::output::Captured;

    fn change(topic: &str, kind: TopicChangeKind, fields: &[[&str; 3]]) -> TopicChange {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let fields = fields.iter().map(|[name, before, after]| FieldChange {
            name: (*name).to_owned(),
            before: some(before),
            after: some(after),
        });
        TopicChange {
            topic: TopicName::parse(topic).unwrap(),
            kind,
            fields: fields.collect(),
        }
    }

    fn plan() -> AppliedManifest {
        let create = [["partitions", "", "3"]];
        let update = [
            ["retention_ms", "604800000", "-1"],
            ["schema", "version 1", "version 2"],
        ];
        AppliedManifest {
            changes: vec![
                change("a", TopicChangeKind::Create, &create),
                change("b", TopicChangeKind::Update, &update),
                change("c", TopicChangeKind::Delete, &[["partitions", "1", ""]]),
            ],
            etag: "9".to_owned(),
            unchanged: 4,
            protected: vec![TopicName::parse("d").unwrap()],
        }
    }

    #[test]
    fn a_plan_says_what_becomes_of_every_topic() {
        let (mut output, captured) = Captured::new();
        print(&plan(), &mut output).unwrap();
        print_done(&plan(), &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "+ create a\n\
             \x20   partitions: 3\n\
             ~ update b\n\
             \x20   retention_ms: 604800000 -> -1\n\
             \x20   schema: version 1 -> version 2\n\
             - delete c\n\
             = keep d, which is protected\n\
             1 to create, 1 to update, 1 to delete, 4 unchanged\n\
             1 created, 1 updated, 1 deleted, 4 unchanged\n"
        );
    }

    #[test]
    fn a_program_gets_the_same_as_an_object() {
        let told = to_json(&plan(), false);
        assert_eq!(told["applied"], false);
        assert_eq!(told["changes"][1]["kind"], "update");
        let schema = json!({ "name": "schema", "before": "version 1", "after": "version 2" });
        assert_eq!(told["changes"][1]["fields"][1], schema);
        assert_eq!(
            (&told["deleted"], &told["unchanged"]),
            (&json!(1), &json!(4))
        );
        assert_eq!(
            (&told["protected"], &told["etag"]),
            (&json!(["d"]), &json!("9"))
        );
    }
}
