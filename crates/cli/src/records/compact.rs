//! JSON text without the white space between its tokens.
//!
//! The text stays as it was written otherwise: a parsed and reprinted number may lose digits, and
//! an object its order.

/// `json` must be valid.
pub(super) fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let mut in_string = false;
    let mut is_escaped = false;
    for character in json.chars() {
        match character {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' if !is_escaped => in_string = !in_string,
            _ => {}
        }
        is_escaped = character == '\\' && !is_escaped;
        compact.push(character);
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_goes() {
        let json = r#" { "a b" : [ 1.0 , 12345678901234567890123 ] , "c\" \\" : " x " } "#;
        let expected = r#"{"a b":[1.0,12345678901234567890123],"c\" \\":" x "}"#;
        assert_eq!(compact(json), expected);
    }
}
