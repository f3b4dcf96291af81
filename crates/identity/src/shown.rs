//! Values of strangers, as messages may show them.

use std::fmt;

/// Most characters of a foreign value that are shown.
const SHOWN_CHARS_MAX: usize = 128;

/// The beginning of a value that a stranger sent: at most 128 characters, without any that would
/// move a cursor or turn the direction of writing.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub fn new(value: &str) -> Self {
        let mut shown: String = value
            .chars()
            .take(SHOWN_CHARS_MAX)
            .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
            .collect();
        if value.chars().nth(SHOWN_CHARS_MAX).is_some() {
            shown.push('…');
        }
        Self(shown)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_harmless(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric()
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value that may be missing.
pub(crate) struct OrMissing<'a>(pub(crate) &'a Option<Shown>);

impl fmt::Display for OrMissing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(shown) => shown.fmt(f),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut() {
        let shown = Shown::new(&"ü".repeat(10_000));
        assert_eq!(shown.as_str().chars().count(), SHOWN_CHARS_MAX + 1);
        assert!(shown.as_str().ends_with('…'));
        assert_eq!(Shown::new("kbroker-inbox").to_string(), "\"kbroker-inbox\"");
    }

    #[test]
    fn what_would_move_the_cursor_is_replaced() {
        let shown = Shown::new("a\u{1b}[2J\n\u{0}\u{202e}b");
        assert_eq!(shown.as_str(), "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}b");
    }
}
