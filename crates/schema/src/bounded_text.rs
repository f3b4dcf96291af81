//! Text of values that others chose, cut to a length that fits a log line.

use std::fmt::{self, Write};

/// Longest message about one value, in bytes before the ellipsis.
const BYTES_MAX: usize = 200;

/// What `value` displays, on one line, and no more of it than is kept.
pub(crate) fn bounded(value: impl fmt::Display) -> String {
    let mut text = Bounded {
        kept: String::new(),
    };
    if write!(text, "{value}").is_err() {
        text.kept.push('…');
    }
    text.kept
}

struct Bounded {
    kept: String,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.kept.len() + character.len_utf8() > BYTES_MAX {
                // An error ends the formatting, so what is cut off is never made.
                return Err(fmt::Error);
            }
            self.kept.push(if character.is_control() {
                ' '
            } else {
                character
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = bounded("é".repeat(1_000));
        assert_eq!(text, format!("{}…", "é".repeat(100)));
    }

    #[test]
    fn text_stays_on_one_line() {
        assert_eq!(bounded("a\nb"), "a b");
    }
}
