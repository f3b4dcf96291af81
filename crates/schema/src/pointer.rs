//! JSON pointers (RFC 6901), by which errors say where.

use std::fmt;

/// The pointer to `key` inside what `parent` points to.
pub(crate) fn join(parent: &str, key: impl fmt::Display) -> String {
    let key = key.to_string().replace('~', "~0").replace('/', "~1");
    format!("{parent}/{key}")
}

/// A pointer for people: the whole document has an empty one, which nobody would see.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(root)" } else { self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_slashes_and_tildes_are_escaped() {
        assert_eq!(join("/properties", "a/b~c"), "/properties/a~1b~0c");
        assert_eq!(join("", 3), "/3");
    }
}
