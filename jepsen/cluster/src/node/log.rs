//! What a node has written to its log, in all its lives.

/// What a thread that panics says first.
const PANIC: &str = "panicked at";

pub(super) fn tail(log: &str, line_count: usize) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(line_count)..].join("\n")
}

/// Where and why threads panicked: the line that says so and the one behind it, which has the reason.
pub(super) fn panics(log: &str) -> Vec<String> {
    let mut lines = log.lines().peekable();
    let mut panics = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains(PANIC) {
            let reason = lines.peek().copied().unwrap_or_default();
            panics.push(format!("{line} {reason}").trim_end().to_owned());
        }
    }
    panics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_with_its_reason() {
        let log = "fine\nthread 'main' panicked at src/a.rs:1:2:\nno way out\nnote: ...\n";
        let found = ["thread 'main' panicked at src/a.rs:1:2: no way out"];
        assert_eq!(panics(log), found);
        assert!(panics("fine\n").is_empty());
    }

    #[test]
    fn the_tail_of_a_short_log_is_all_of_it() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 2), "a");
    }
}
