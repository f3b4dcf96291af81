//! Names and words that the house does not use, and notes that nobody would find again.

use super::{Finding, TextFile};

/// File and directory names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "common",
    "helper",
    "helpers",
    "impls",
    "misc",
    "shared_utils",
    "util",
    "utils",
];

/// Words with a better one in the glossary, and that one.
const BANNED_WORDS: [(&str, &str); 6] = [
    ("DLQ", "dead-letter topic"),
    ("DLQs", "dead-letter topics"),
    ("ISR", "replicas, or lag"),
    ("in-sync", "lag"),
    ("low watermark", "log start offset"),
    ("message queue", "topic"),
];

/// Marks that promise work. Only `TODO(#n)` says where it is kept.
const NOTES: [&str; 4] = ["FIXME", "HACK", "TODO", "XXX"];

/// This file has to spell what it bans.
const SELF: &str = "tests/src/tidy/words.rs";

pub fn check_names(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let parts = file.path.split('/');
        for stem in parts.map(|part| part.split('.').next().unwrap_or(part)) {
            if EMPTY_NAMES.contains(&stem) {
                findings.push(Finding::new(
                    &file.path,
                    format!("{stem:?} says nothing: name it"),
                ));
            }
        }
    }
    findings
}

pub fn check_words(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, index, line) in lines_of(files) {
        for (word, better) in BANNED_WORDS {
            if contains_word(line, word) {
                let what = format!("{word:?} is not our word: say {better:?}");
                findings.push(Finding::at_line(&file.path, index, what));
            }
        }
    }
    findings
}

pub fn check_notes(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, index, line) in lines_of(files) {
        for note in NOTES {
            if contains_word(line, note) && !names_an_issue(line) {
                let what = format!("{note} without an issue: write TODO(#n)");
                findings.push(Finding::at_line(&file.path, index, what));
            }
        }
    }
    findings
}

fn lines_of(files: &[TextFile]) -> impl Iterator<Item = (&TextFile, usize, &str)> {
    files
        .iter()
        .filter(|file| file.path != SELF)
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            lines.map(move |(index, line)| (file, index, line))
        })
}

/// Whether `word` stands in `line` by itself. Words in capitals are found in capitals only.
fn contains_word(line: &str, word: &str) -> bool {
    let is_acronym = word.bytes().any(|byte| byte.is_ascii_uppercase());
    let line = if is_acronym {
        line.to_owned()
    } else {
        line.to_lowercase()
    };
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn names_an_issue(line: &str) -> bool {
    line.split("TODO(#").skip(1).any(|rest| {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(')')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> usize {
        check_words(&[TextFile::new("crates/a/src/b.rs", text)]).len()
    }

    fn notes(text: &str) -> usize {
        check_notes(&[TextFile::new("crates/a/src/b.rs", text)]).len()
    }

    #[test]
    fn empty_names_are_found_as_files_and_as_directories() {
        for path in [
            "crates/a/src/utils.rs",
            "crates/a/src/common/mod.rs",
            "tests/misc.py",
        ] {
            assert_eq!(check_names(&[TextFile::new(path, "")]).len(), 1, "{path}");
        }
        assert_eq!(
            check_names(&[TextFile::new("crates/a/src/common_name.rs", "")]),
            []
        );
    }

    #[test]
    fn banned_words_are_found_whole_and_no_matter_the_case() {
        assert_eq!(words("// the ISR shrinks"), 1);
        assert_eq!(words("// DLQ\n// DLQ"), 2);
        assert_eq!(words("//! A Message Queue."), 1);
        assert_eq!(words("// the disrupted isr_count of advISRor"), 0);
    }

    #[test]
    fn notes_need_an_issue() {
        assert_eq!(notes("// TODO: later"), 1);
        assert_eq!(notes("// TODO(someone) later"), 1);
        assert_eq!(notes("// TODO(#) later"), 1);
        assert_eq!(notes("// FIXME"), 1);
        assert_eq!(notes("// TODO(#12): later"), 0);
        assert_eq!(notes("let TODOS = 1;"), 0);
    }
}
