//! The files of the repository, as text with paths from its root.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no work of ours.
const SKIPPED: [&str; 5] = [".git", "target", "data", "node_modules", "corpus"];

/// One file: its path from the root, with `/`, and its text.
#[derive(Clone, Debug)]
pub struct TextFile {
    pub path: String,
    pub text: String,
}

impl TextFile {
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

/// The checkout that these tests were built from.
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub fn here() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package
            .parent()
            .expect("the package is a directory of the root");
        Self {
            root: root.to_owned(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn read(&self, path: &str) -> String {
        let whole = self.root.join(path);
        fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
    }

    /// Every file whose name ends in one of `endings`, sorted by path. What is not UTF-8 is left out.
    pub fn files(&self, endings: &[&str]) -> Vec<TextFile> {
        let mut files = Vec::new();
        self.collect(&self.root, endings, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// The names of the directories in `path`, sorted.
    pub fn directories(&self, path: &str) -> Vec<String> {
        let mut names: Vec<_> = entries(&self.root.join(path))
            .into_iter()
            .filter(|entry| entry.is_dir())
            .filter_map(|entry| Some(entry.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }

    fn collect(&self, directory: &Path, endings: &[&str], files: &mut Vec<TextFile>) {
        for path in entries(directory) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if path.is_dir() {
                if !SKIPPED.contains(&name) {
                    self.collect(&path, endings, files);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                // Another process may be editing: what vanished since the listing is no finding.
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                let relative = path.strip_prefix(&self.root).expect("found below the root");
                let path = relative.to_string_lossy().into_owned();
                files.push(TextFile { path, text });
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let listing =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    listing
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_finds_this_file_and_skips_git() {
        let files = Workspace::here().files(&[".rs", "HEAD"]);
        let found = |path: &str| files.iter().any(|file| file.path == path);
        assert!(found("tests/src/tidy/workspace.rs"));
        assert!(!found(".git/HEAD"));
    }

    #[test]
    fn a_path_splits_into_directory_and_name() {
        let file = TextFile::new("crates/types/src/lib.rs", "");
        assert_eq!(
            (file.directory(), file.name()),
            ("crates/types/src", "lib.rs")
        );
        assert_eq!(TextFile::new("README.md", "").directory(), "");
    }
}
