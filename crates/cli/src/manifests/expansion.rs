//! `${NAME}` and `${NAME:-default}` in a topics file.
//!
//! What is expanded is a value of the tree, not the text of the file, so that a variable cannot add
//! keys or topics. Inline schemas are left as they are: `${` means something else there.

use super::fault::Faults;
use super::node::{Node, Value};

/// Looks a variable up.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The key below which nothing is expanded.
const SCHEMA: &str = "schema";

/// Why a text cannot be expanded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ExpansionError {
    #[error("the variable {name} is not set: set it, or write ${{{name}:-default}}")]
    Unset { name: String },
    #[error("${{ is not closed: write }} after it, or $${{ for the characters themselves")]
    Open,
    #[error("an expression inside of another one is not understood")]
    Nested,
    #[error("{found:?} is not the name of a variable")]
    Name { found: String },
}

/// Expands every value of the tree.
pub(super) fn expand(node: &mut Node, variables: Variables<'_>, faults: &mut Faults) {
    match &mut node.value {
        Value::Text { text, is_expanded } => match expand_text(text, variables) {
            Ok(expanded) => (*text, *is_expanded) = expanded,
            Err(error) => faults.add(node.place, error),
        },
        Value::List(items) => {
            for item in items {
                expand(item, variables, faults);
            }
        }
        Value::Map(entries) => {
            for (_, value) in entries.iter_mut().filter(|(key, _)| key.name != SCHEMA) {
                expand(value, variables, faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text, and whether all of it is what one expression stands for.
fn expand_text(text: &str, variables: Variables<'_>) -> Result<(String, bool), ExpansionError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_one_expression = false;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(kept) = before.strip_suffix('$') {
            expanded.push_str(kept);
            expanded.push_str("${");
            rest = &from[2..];
            continue;
        }
        let end = from.find('}').ok_or(ExpansionError::Open)?;
        is_one_expression = at == 0 && rest.len() == text.len() && end + 1 == from.len();
        expanded.push_str(before);
        expanded.push_str(&evaluate(&from[2..end], variables)?);
        rest = &from[end + 1..];
    }
    expanded.push_str(rest);
    Ok((expanded, is_one_expression))
}

/// The value of what stands between the braces. As in a shell, an empty variable has the default too.
fn evaluate(expression: &str, variables: Variables<'_>) -> Result<String, ExpansionError> {
    if expression.contains("${") {
        return Err(ExpansionError::Nested);
    }
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    if !is_name(name) {
        return Err(ExpansionError::Name {
            found: name.to_owned(),
        });
    }
    match (variables(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(ExpansionError::Unset {
            name: name.to_owned(),
        }),
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_allowed)
        && text
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "COUNT" => Some("3".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("${COUNT}\nname: x".to_owned()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<(String, bool), ExpansionError> {
        expand_text(text, &variables)
    }

    #[test]
    fn variables_defaults_and_escapes_are_expanded() {
        for (text, expected, is_one_expression) in [
            ("plain $5", "plain $5", false),
            ("${COUNT}", "3", true),
            ("${COUNT:-7}", "3", true),
            ("${NONE:-7}", "7", true),
            ("${NONE:-}", "", true),
            ("${EMPTY:-7}", "7", true),
            ("${EMPTY}", "", true),
            ("a${COUNT}b${COUNT}", "a3b3", false),
            ("${COUNT}${COUNT}", "33", false),
            ("$${COUNT}", "${COUNT}", false),
            ("$${COUNT}${COUNT}", "${COUNT}3", false),
            ("${NONE:-a b:c}", "a b:c", true),
        ] {
            assert_eq!(
                expanded(text),
                Ok((expected.to_owned(), is_one_expression)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_a_variable_says_is_not_expanded_again() {
        assert_eq!(expanded("${ODD}").unwrap().0, "${COUNT}\nname: x");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = expanded("${NONE}").unwrap_err().to_string();
        assert_eq!(
            error,
            "the variable NONE is not set: set it, or write ${NONE:-default}"
        );
        for wrong in ["${", "${COUNT", "${}", "${1A}", "${A-B}", "${A:-${COUNT}}"] {
            assert!(expanded(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn schemas_are_left_alone() {
        let text = "name: ${COUNT}\nschema:\n  pattern: ${COUNT}\n";
        let mut node = Node::parse(text).unwrap();
        let mut faults = Faults::default();
        expand(&mut node, &variables, &mut faults);
        assert!(faults.is_empty());
        assert_eq!(
            serde_json::to_string(&node).unwrap(),
            r#"{"name":"3","schema":{"pattern":"${COUNT}"}}"#
        );
    }
}
