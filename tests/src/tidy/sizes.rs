//! Size budgets with a ratchet: what is too large today is listed with its size, and may only shrink.

use std::collections::BTreeMap;

use super::{Finding, TextFile};

/// Most lines of one file. Production files count up to their unit tests.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub production_lines_max: usize,
    pub test_lines_max: usize,
}

/// Files that were too large when they were listed, and how large they may be.
pub type Ratchet = BTreeMap<String, usize>;

/// Reads a list of `path lines`, one per line; `#` begins a comment.
pub fn parse_ratchet(text: &str) -> Result<Ratchet, String> {
    let mut ratchet = Ratchet::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = line
            .split_once(' ')
            .and_then(|(path, lines)| Some((path.to_owned(), lines.trim().parse().ok()?)));
        let (path, lines) = entry.ok_or_else(|| format!("not `path lines`: {line:?}"))?;
        ratchet.insert(path, lines);
    }
    Ok(ratchet)
}

/// Every Rust file is within its budget, or exactly as large as its line in the ratchet.
pub fn check_files(files: &[TextFile], budget: Budget, ratchet: &Ratchet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let lines = counted_lines(file);
        let lines_max = if is_test_file(&file.path) {
            budget.test_lines_max
        } else {
            budget.production_lines_max
        };
        match ratchet.get(&file.path) {
            None if lines > lines_max => findings.push(Finding::new(
                &file.path,
                format!("{lines} lines, and the budget is {lines_max}: split it"),
            )),
            Some(_) if lines <= lines_max => findings.push(Finding::new(
                &file.path,
                "is within its budget now: take it off the list",
            )),
            Some(listed) if lines > *listed => findings.push(Finding::new(
                &file.path,
                format!("grew from {listed} lines to {lines}, and the list may only shrink"),
            )),
            Some(listed) if lines < *listed => findings.push(Finding::new(
                &file.path,
                format!("shrank to {lines} lines: write that into the list"),
            )),
            _ => {}
        }
    }
    for path in ratchet.keys() {
        if !files.iter().any(|file| file.path == *path) {
            findings.push(Finding::new(
                path,
                "is on the list of sizes, but there is no such file",
            ));
        }
    }
    findings
}

/// All production lines below `directory` together stay within `lines_max`.
pub fn check_directory(files: &[TextFile], directory: &str, lines_max: usize) -> Vec<Finding> {
    let lines: usize = files
        .iter()
        .filter(|file| file.path.starts_with(directory) && !is_test_file(&file.path))
        .map(counted_lines)
        .sum();
    if lines <= lines_max {
        return Vec::new();
    }
    vec![Finding::new(
        directory,
        format!("{lines} lines, and the budget is {lines_max}"),
    )]
}

/// Files that hold nothing but tests, benches and what they stand on.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("_test.rs")
        || path
            .split('/')
            .any(|part| matches!(part, "tests" | "benches" | "examples"))
}

/// The number of lines before the unit tests at the end of a file.
pub(crate) fn production_line_count(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let is_test_module = |at: &usize| {
        lines[*at] == "#[cfg(test)]"
            && lines[*at..]
                .iter()
                .find(|line| !line.starts_with('#'))
                .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    (0..lines.len()).find(is_test_module).unwrap_or(lines.len())
}

fn counted_lines(file: &TextFile) -> usize {
    if is_test_file(&file.path) {
        file.text.lines().count()
    } else {
        production_line_count(&file.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget {
        production_lines_max: 2,
        test_lines_max: 4,
    };

    fn findings(path: &str, lines: usize, listed: &str) -> usize {
        let file = TextFile::new(path, &"fn f() {}\n".repeat(lines));
        check_files(&[file], BUDGET, &parse_ratchet(listed).unwrap()).len()
    }

    #[test]
    fn a_file_over_its_budget_is_found() {
        assert_eq!(findings("crates/a/src/b.rs", 2, ""), 0);
        assert_eq!(findings("crates/a/src/b.rs", 3, ""), 1);
        assert_eq!(findings("crates/a/src/b_test.rs", 4, ""), 0);
        assert_eq!(findings("crates/a/src/b_test.rs", 5, ""), 1);
    }

    #[test]
    fn the_list_may_only_shrink() {
        let listed = "# offenders\ncrates/a/src/b.rs 5\n";
        assert_eq!(findings("crates/a/src/b.rs", 5, listed), 0);
        assert_eq!(findings("crates/a/src/b.rs", 6, listed), 1, "it grew");
        assert_eq!(
            findings("crates/a/src/b.rs", 4, listed),
            1,
            "it shrank, the list did not"
        );
        assert_eq!(
            findings("crates/a/src/b.rs", 2, listed),
            1,
            "it is within the budget"
        );
        assert_eq!(
            findings("crates/a/src/c.rs", 1, listed),
            1,
            "the listed file is gone"
        );
        assert!(parse_ratchet("crates/a/src/b.rs many").is_err());
    }

    #[test]
    fn unit_tests_at_the_end_of_a_file_do_not_count() {
        let text = "fn f() {}\n\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod x;\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(production_line_count(text), 6);
        assert_eq!(production_line_count("fn f() {}\n"), 1);
    }

    #[test]
    fn a_directory_over_its_budget_is_found() {
        let files = [
            TextFile::new("crates/a/src/b.rs", "1\n2\n"),
            TextFile::new("crates/a/src/c.rs", "1\n2\n"),
            TextFile::new("crates/a/src/c_test.rs", "1\n2\n"),
            TextFile::new("crates/other/src/c.rs", "1\n2\n"),
        ];
        assert_eq!(check_directory(&files, "crates/a/", 4), []);
        assert_eq!(check_directory(&files, "crates/a/", 3).len(), 1);
    }
}
