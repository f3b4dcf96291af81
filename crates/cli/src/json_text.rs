//! JSON as text, whose numbers and order of keys stay as they were written.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// With a line for each member, as people read it. What is not JSON stays as it is.
pub(crate) fn lay_out(text: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut layout = Layout::default();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                layout.begin_value();
                layout.text.push('"');
                layout.push_string(&mut characters);
            }
            '{' | '[' => {
                layout.begin_value();
                layout.open(character);
            }
            '}' | ']' => layout.close(character),
            ',' => {
                layout.text.push(',');
                layout.break_line();
            }
            ':' => layout.text.push_str(": "),
            blank if blank.is_ascii_whitespace() => {}
            other => {
                layout.begin_value();
                layout.text.push(other);
            }
        }
    }
    layout.text
}

/// Without line ends and blanks between the tokens. What is not JSON stays as it is.
pub(crate) fn compact(text: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut layout = Layout::default();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                layout.text.push('"');
                layout.push_string(&mut characters);
            }
            blank if blank.is_ascii_whitespace() => {}
            other => layout.text.push(other),
        }
    }
    layout.text
}

/// A text that grows token by token.
#[derive(Default)]
struct Layout {
    text: String,
    depth: usize,
    /// The last token opened an object or an array, which may be empty.
    is_just_open: bool,
}

impl Layout {
    fn begin_value(&mut self) {
        if std::mem::take(&mut self.is_just_open) {
            self.break_line();
        }
    }

    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
        self.is_just_open = true;
    }

    fn close(&mut self, bracket: char) {
        self.depth = self.depth.saturating_sub(1);
        if !std::mem::take(&mut self.is_just_open) {
            self.break_line();
        }
        self.text.push(bracket);
    }

    fn break_line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }

    /// The rest of a string with its closing quote. What a terminal would act on, or YAML does not
    /// print, is escaped.
    fn push_string(&mut self, characters: &mut impl Iterator<Item = char>) {
        while let Some(character) = characters.next() {
            match character {
                '\\' => {
                    self.text.push('\\');
                    self.text.extend(characters.next());
                }
                '"' => {
                    self.text.push('"');
                    return;
                }
                plain if is_printable(plain) => self.text.push(plain),
                other => self.push_escaped(other),
            }
        }
    }

    fn push_escaped(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(self.text, "\\u{unit:04x}").expect("invariant: a string takes all text");
        }
    }
}

/// Not for controls, line separators, marks of byte order and what no character has been given to.
fn is_printable(character: char) -> bool {
    let is_odd = matches!(
        character,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    );
    !is_odd && !character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_get_lines_and_keep_their_order_and_spelling() {
        let text = r#"{"type":"object","b":[1.50,{"x":{}}],"a": [ ],"s":"a{,:\" b"}"#;
        let laid_out = lay_out(text);
        assert_eq!(
            laid_out,
            "{\n  \"type\": \"object\",\n  \"b\": [\n    1.50,\n    {\n      \"x\": {}\n    }\n  ],\n  \
             \"a\": [],\n  \"s\": \"a{,:\\\" b\"\n}"
        );
        assert_eq!(lay_out(&laid_out), laid_out);
        assert_eq!(
            compact(&laid_out),
            text.replace("[ ]", "[]").replace(": [", ":[")
        );
    }

    #[test]
    fn what_is_not_printable_is_escaped() {
        assert_eq!(lay_out("\"\u{7f}\u{2028}ä😀\""), "\"\\u007f\\u2028ä😀\"");
    }

    #[test]
    fn what_is_not_json_stays_as_it_is() {
        assert_eq!(lay_out("{a"), "{a");
        assert_eq!(compact("{ a"), "{ a");
    }
}
