//! A file that the command line names.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flotilla_types::limits::TOPICS_FILE_BYTES_MAX;

use crate::failure::Failure;

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Written `-`.
    Stdin,
    File(PathBuf),
}

impl Source {
    /// For `value_parser`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("the name of the file is empty".to_owned()),
            "-" => Ok(Self::Stdin),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }

    /// What a path inside of the text is relative to.
    pub(crate) fn directory(&self) -> &Path {
        match self {
            Self::Stdin => Path::new(""),
            Self::File(path) => path.parent().unwrap_or_else(|| Path::new("")),
        }
    }

    /// Reads all of it, on a thread that may wait. `input` is stdin, which is gone afterwards.
    pub(crate) async fn read(&self, input: &mut Box<dyn Read + Send>) -> Result<String, Failure> {
        let name = self.to_string();
        let reading = match self {
            Self::Stdin => {
                let input = std::mem::replace(input, Box::new(io::empty()));
                tokio::task::spawn_blocking(move || read_text(input, &name))
            }
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || read_file(&path))
            }
        };
        reading
            .await
            .unwrap_or_else(|gone| std::panic::resume_unwind(gone.into_panic()))
    }
}

/// Reads all of a file that is text.
pub(crate) fn read_file(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    if path.is_dir() {
        return Err(Failure::file(format!("{name} is a directory: name a file")));
    }
    let file = std::fs::File::open(path).map_err(|source| Failure::Read {
        name: name.clone(),
        source,
    })?;
    read_text(file, &name)
}

fn read_text(from: impl Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let limit = TOPICS_FILE_BYTES_MAX as u64 + 1;
    let read = from.take(limit).read_to_end(&mut bytes);
    read.map_err(|source| Failure::Read {
        name: name.to_owned(),
        source,
    })?;
    if bytes.len() > TOPICS_FILE_BYTES_MAX {
        return Err(Failure::file(format!(
            "{name} has more than {TOPICS_FILE_BYTES_MAX} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Failure::file(format!("{name} is not UTF-8")))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(source: &Source, input: &'static [u8]) -> Result<String, Failure> {
        source.read(&mut (Box::new(input) as _)).await
    }

    #[tokio::test]
    async fn a_dash_is_stdin() {
        let source = Source::parse("-").unwrap();
        assert_eq!(read(&source, b"text").await.unwrap(), "text");
        assert_eq!(source.directory(), Path::new(""));
    }

    #[tokio::test]
    async fn a_directory_and_bytes_that_are_no_text_are_refused() {
        let directory = Source::parse("/").unwrap();
        let error = read(&directory, b"").await.unwrap_err();
        assert!(error.message().contains("directory"), "{error}");
        let error = read(&Source::Stdin, b"\xff").await.unwrap_err();
        assert!(error.message().contains("UTF-8"), "{error}");
        assert!(Source::parse("").is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let missing = Source::parse("/no/such/file").unwrap();
        let error = read(&missing, b"").await.unwrap_err();
        assert!(error.message().contains("/no/such/file"), "{error}");
    }
}
