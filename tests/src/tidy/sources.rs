//! What every Rust file owes its reader: a module doc at the root of a module, a place in the module
//! tree, and a reason for every sleep in a test.

use super::sizes::{is_test_file, production_line_count};
use super::{Finding, TextFile};

const ROOTS: [&str; 3] = ["lib.rs", "main.rs", "mod.rs"];

/// The root of each crate and of each module with children begins with its module doc.
pub fn check_module_docs(files: &[TextFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| ROOTS.contains(&file.name()) && !file.text.starts_with("//!"))
        .map(|file| Finding::new(&file.path, "does not begin with a module doc"))
        .collect()
}

/// Every file below a `src` belongs to a module. A test file that nobody names never runs.
pub fn check_module_tree(files: &[TextFile]) -> Vec<Finding> {
    let in_tree = |file: &&TextFile| {
        let is_own_crate = file.directory().ends_with("/src/bin");
        file.path.contains("/src/") && !is_own_crate && !is_crate_root(file)
    };
    let orphans = files
        .iter()
        .filter(in_tree)
        .filter(|file| !is_declared(file, files));
    orphans
        .map(|file| Finding::new(&file.path, "is in no module: nothing compiles it"))
        .collect()
}

/// A test that sleeps says why no condition can be waited for, on the line or right above it.
pub fn check_sleeps(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let lines: Vec<_> = file.text.lines().collect();
        let first_test_line = if is_test_file(&file.path) {
            0
        } else {
            production_line_count(&file.text)
        };
        for index in first_test_line..lines.len() {
            let above = index
                .checked_sub(1)
                .map_or("", |above| lines[above].trim_start());
            let has_reason = above.starts_with("//") || lines[index].contains("//");
            if calls_sleep(lines[index]) && !has_reason {
                let what = "a test sleeps without a reason: wait for a condition";
                findings.push(Finding::at_line(&file.path, index, what));
            }
        }
    }
    findings
}

fn is_crate_root(file: &TextFile) -> bool {
    file.directory().ends_with("/src") && ["lib.rs", "main.rs"].contains(&file.name())
}

/// Whether a file that may declare the module of `file` does so.
fn is_declared(file: &TextFile, files: &[TextFile]) -> bool {
    let is_module_root = file.name() == "mod.rs";
    let (home, stem) = match file.directory().rsplit_once('/') {
        Some((parent, directory)) if is_module_root => (parent, directory),
        _ => (file.directory(), file.name().trim_end_matches(".rs")),
    };
    let declaration = format!("mod {stem};");
    let by_path = format!("#[path = \"{}\"]", file.name());
    files
        .iter()
        .filter(|other| other.directory() == home)
        .any(|other| {
            let declares = |line: &str| line.trim_end().ends_with(&declaration);
            let names_path = |line: &str| line.trim() == by_path;
            let may_declare = ROOTS.contains(&other.name());
            let mut lines = other.text.lines();
            lines.any(|line| {
                (may_declare && declares(line)) || (!is_module_root && names_path(line))
            })
        })
}

fn calls_sleep(line: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//") && !code.starts_with("fn ") && calls(code, "sleep(")
}

/// Whether `call` occurs in `code` as the whole end of a path, outside string literals.
fn calls(code: &str, call: &str) -> bool {
    code.match_indices(call).any(|(at, _)| {
        let before = &code[..at];
        let quotes = before.matches('"').count() - before.matches("\\\"").count();
        let is_quoted = quotes % 2 == 1;
        let is_longer = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        !is_quoted && !is_longer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_without_a_module_doc_is_found() {
        let root = |text| check_module_docs(&[TextFile::new("crates/a/src/b/mod.rs", text)]).len();
        assert_eq!(root("//! What it is for.\n"), 0);
        assert_eq!(root("mod c;\n"), 1);
        assert_eq!(
            check_module_docs(&[TextFile::new("crates/a/src/c.rs", "mod d;\n")]),
            []
        );
    }

    #[test]
    fn a_file_outside_the_module_tree_is_found() {
        let root = |text: &str| TextFile::new("crates/a/src/lib.rs", text);
        let test = TextFile::new("crates/a/src/topics_test.rs", "");
        let child = TextFile::new("crates/a/src/log/mod.rs", "");
        assert_eq!(
            check_module_tree(&[root("mod log;"), test.clone(), child.clone()]).len(),
            1
        );
        assert_eq!(
            check_module_tree(&[root("mod topics_test;"), test.clone(), child]).len(),
            1
        );
        assert_eq!(
            check_module_tree(&[root("#[cfg(test)]\nmod topics_test;"), test.clone()]),
            []
        );
        let sibling = TextFile::new(
            "crates/a/src/topics.rs",
            "#[cfg(test)]\n#[path = \"topics_test.rs\"]\nmod tests;",
        );
        assert_eq!(
            check_module_tree(&[root("pub mod topics;"), sibling, test]),
            []
        );
    }

    #[test]
    fn a_sleep_in_a_test_needs_a_reason() {
        let sleeps = |path, text| check_sleeps(&[TextFile::new(path, text)]).len();
        let call = "    tokio::time::sleep(pause).await;\n";
        assert_eq!(sleeps("crates/a/tests/b.rs", call), 1);
        assert_eq!(
            sleeps("crates/a/src/b.rs", call),
            0,
            "production code has other rules"
        );
        let unit = format!("#[cfg(test)]\nmod tests {{\n{call}}}\n");
        assert_eq!(sleeps("crates/a/src/b.rs", &unit), 1);
        let reason = format!("    // The kernel frees the port late.\n{call}");
        assert_eq!(sleeps("crates/a/src/b_test.rs", &reason), 0);
        assert_eq!(sleeps("crates/a/src/b_test.rs", "    no_sleep(1);\n"), 0);
        assert_eq!(
            sleeps("crates/a/src/b_test.rs", "    let text = \"sleep(1)\";\n"),
            0
        );
    }
}
