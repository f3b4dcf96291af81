//! What goes in: the changelogs of this machine's packages, a line a record.
//!
//! Reading all of them would take longer than the demo, so every package gives its first lines, small
//! ones all of them and large ones about the same number each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

/// One record as it is produced. Its running number is its place in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InputRecord {
    /// The package.
    pub(super) key: Bytes,
    /// A line, without its end.
    pub(super) value: Bytes,
}

/// All records, in the order in which they are produced.
#[derive(Debug)]
pub(super) struct Input {
    records: Vec<InputRecord>,
    line_count: usize,
    package_count: usize,
    kind: &'static str,
}

/// A file of a package, and what it is worth reading last for: its size.
struct Document {
    bytes: u64,
    package: String,
    path: PathBuf,
}

impl Input {
    /// Reads the packages whose directories are in `documents`. If they have fewer than `count`
    /// lines, the lines are repeated.
    pub(super) fn read(documents: &Path, count: usize) -> anyhow::Result<Self> {
        let mut kind = "changelogs";
        let mut found = find(documents, |name| {
            name.starts_with("changelog") && name.ends_with(".gz")
        })?;
        if found.is_empty() {
            // Small images of Debian come without changelogs.
            kind = "copyright files";
            found = find(documents, |name| name == "copyright")?;
        }
        let lines = read_lines(&mut found, count)?;
        let package_count = lines.len();
        let records = interleave(lines);
        let line_count = records.len();
        ensure!(
            line_count > 0,
            "no package below {} has a changelog",
            documents.display()
        );
        let records = records.iter().cycle().take(count).cloned().collect();
        Ok(Self {
            records,
            line_count: line_count.min(count),
            package_count,
            kind,
        })
    }

    #[cfg(test)]
    pub(super) fn of_records(records: Vec<InputRecord>) -> Self {
        Self {
            line_count: records.len(),
            package_count: 1,
            kind: "samples",
            records,
        }
    }

    pub(super) fn records(&self) -> &[InputRecord] {
        &self.records
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Keys and values.
    pub(super) fn byte_count(&self) -> usize {
        let bytes = |record: &InputRecord| record.key.len() + record.value.len();
        self.records.iter().map(bytes).sum()
    }

    pub(super) fn line_count(&self) -> usize {
        self.line_count
    }

    pub(super) fn package_count(&self) -> usize {
        self.package_count
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }
}

fn find(documents: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Document>> {
    let mut found = Vec::new();
    let context = || format!("cannot list {}", documents.display());
    for package in fs::read_dir(documents).with_context(context)? {
        let package = package.with_context(context)?;
        // A link leads to the directory of another package, which is read as its own.
        if !package.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(package.path())? {
            let file = file?;
            let name = file.file_name();
            let is_wanted = file.file_type()?.is_file() && name.to_str().is_some_and(&wanted);
            if is_wanted {
                found.push(Document {
                    bytes: file.metadata()?.len(),
                    package: package.file_name().to_string_lossy().into_owned(),
                    path: file.path(),
                });
            }
        }
    }
    Ok(found)
}

/// The first lines of every document, `count` in all if there are so many. The smallest documents
/// come first: what they lack of their share is left to the larger ones.
fn read_lines(
    documents: &mut [Document],
    count: usize,
) -> anyhow::Result<BTreeMap<String, Vec<Bytes>>> {
    documents.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let mut packages: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    let mut left = count;
    for (position, document) in documents.iter().enumerate() {
        let share = left.div_ceil(documents.len() - position);
        let lines = packages.entry(document.package.clone()).or_default();
        let before = lines.len();
        read_document(&document.path, share, lines)
            .with_context(|| format!("cannot read {}", document.path.display()))?;
        left -= lines.len() - before;
    }
    packages.retain(|_, lines| !lines.is_empty());
    Ok(packages)
}

fn read_document(path: &Path, limit: usize, lines: &mut Vec<Bytes>) -> anyhow::Result<()> {
    let file = File::open(path)?;
    let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
    let plain: Box<dyn Read> = match is_compressed {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    for line in BufReader::new(plain).split(b'\n').take(limit) {
        lines.push(line?.into());
    }
    Ok(())
}

/// Spreads the lines of every package evenly over the whole input, so that all keys have records at
/// all times.
fn interleave(packages: BTreeMap<String, Vec<Bytes>>) -> Vec<InputRecord> {
    let mut placed = Vec::new();
    for (package, lines) in packages {
        let key = Bytes::from(package);
        let count = lines.len() as f64;
        let places = (0..lines.len()).map(|position| (position as f64 + 0.5) / count);
        placed.extend(places.zip(lines).map(|(place, value)| {
            let key = key.clone();
            (place, InputRecord { key, value })
        }));
    }
    // The sort is stable, so lines keep their order.
    placed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    placed.into_iter().map(|(_, record)| record).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    use super::*;

    fn documents(files: &[(&str, &str)]) -> TempDir {
        let directory = TempDir::new().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
            file.write_all(text.as_bytes()).unwrap();
            file.finish().unwrap();
        }
        directory
    }

    fn read(documents: &TempDir, count: usize) -> Vec<(String, String)> {
        let input = Input::read(documents.path(), count).unwrap();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let records = input.records().iter();
        records
            .map(|record| (text(&record.key), text(&record.value)))
            .collect()
    }

    fn expected(records: &[(&str, &str)]) -> Vec<(String, String)> {
        let records = records.iter();
        records
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn packages_are_spread_and_lines_keep_their_order() {
        let documents = documents(&[
            ("bash/changelog.gz", "one\n\nthree\n"),
            ("zlib/changelog.Debian.gz", "eins\nzwei"),
            ("zlib/NEWS.gz", "not asked for"),
        ]);
        let all = [
            ("bash", "one"),
            ("zlib", "eins"),
            ("bash", ""),
            ("zlib", "zwei"),
            ("bash", "three"),
        ];
        assert_eq!(read(&documents, 5), expected(&all));
    }

    #[test]
    fn what_a_small_package_lacks_comes_from_a_large_one() {
        let long: String = (0..1_000).map(|line| format!("{line}\n")).collect();
        let documents = documents(&[("a/changelog.gz", "x\n"), ("b/changelog.gz", &long)]);
        let records = read(&documents, 100);
        assert_eq!(records.len(), 100);
        let large: Vec<_> = (0..99)
            .map(|line| ("b".to_owned(), line.to_string()))
            .collect();
        let found: Vec<_> = records
            .iter()
            .filter(|(key, _)| key == "b")
            .cloned()
            .collect();
        assert_eq!(found, large);
    }

    #[test]
    fn too_few_lines_are_repeated() {
        let documents = documents(&[("a/changelog.gz", "x\ny\n")]);
        let all = [("a", "x"), ("a", "y"), ("a", "x")];
        assert_eq!(read(&documents, 3), expected(&all));
        let input = Input::read(documents.path(), 3).unwrap();
        assert_eq!((input.line_count(), input.package_count()), (2, 1));
    }

    #[test]
    fn a_machine_without_changelogs_is_told_so() {
        let empty = TempDir::new().unwrap();
        let error = Input::read(empty.path(), 3).unwrap_err();
        assert!(error.to_string().contains("has a changelog"), "{error}");
    }
}
