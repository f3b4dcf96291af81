//! Pages that stay true: links lead somewhere, and the map shows every crate.

use std::path::Path;

use super::{Finding, TextFile};

/// Every relative link of a page leads to something in the repository.
pub fn check_links(pages: &[TextFile], exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages {
        for (index, line) in page.text.lines().enumerate() {
            for target in links_of(line) {
                let path = target.split('#').next().unwrap_or(target);
                if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                    continue;
                }
                if !exists(&Path::new(page.directory()).join(path)) {
                    let what = format!("the link {target:?} leads nowhere");
                    findings.push(Finding::at_line(&page.path, index, what));
                }
            }
        }
    }
    findings
}

/// Every crate is named in the page, as `crates/<name>`.
pub fn check_map(page: &TextFile, crates: &[String]) -> Vec<Finding> {
    let is_missing = |name: &&String| !page.text.contains(&format!("`crates/{name}`"));
    crates
        .iter()
        .filter(is_missing)
        .map(|name| Finding::new(&page.path, format!("does not show `crates/{name}`")))
        .collect()
}

/// The targets of the inline links in a line: what stands between `](` and `)`.
fn links_of(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_links(text: &str) -> usize {
        let page = TextFile::new("docs/page.md", text);
        check_links(&[page], |path| path == Path::new("docs/there.md")).len()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        assert_eq!(
            dead_links("see [it](there.md) and [a part](there.md#part)"),
            0
        );
        assert_eq!(dead_links("see [it](gone.md), [it](gone/)"), 2);
        assert_eq!(
            dead_links("see [it](https://example.org/x) and [below](#below)"),
            0
        );
    }

    #[test]
    fn a_crate_that_the_map_does_not_show_is_found() {
        let page = TextFile::new("MAP.md", "| `crates/types` | words |");
        let crates = ["types".to_owned(), "type".to_owned()];
        assert_eq!(check_map(&page, &crates).len(), 1);
        assert_eq!(check_map(&page, &crates[..1]), []);
    }
}
