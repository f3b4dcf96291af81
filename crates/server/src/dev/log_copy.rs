//! What a node writes to stderr: all of it to its log file, what matters to the terminal too.

use std::path::Path;

use tokio::fs::OpenOptions;
use tokio::io::{self, AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, BufWriter};

use super::say;

/// Copies until the node closes its end. The file grows from start to start.
pub(super) async fn copy_log(
    name: String,
    from: impl AsyncRead + Unpin,
    file: &Path,
) -> io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .await?;
    let mut file = BufWriter::new(file);
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await? > 0 {
        if matters(&String::from_utf8_lossy(&line)) {
            say(&format!(
                "{name}: {}",
                String::from_utf8_lossy(&line).trim_end()
            ));
        }
        file.write_all(&line).await?;
        line.clear();
        if from.buffer().is_empty() {
            file.flush().await?;
        }
    }
    file.flush().await
}

/// A warning, an error, or something that is no log line at all.
fn matters(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let stamped = words
        .next()
        .is_some_and(|word| word.ends_with('Z') && word.contains('T'));
    !stamped || matches!(words.next(), Some("WARN" | "ERROR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_errors_and_strange_lines_are_shown() {
        let line = |level: &str| format!("2026-01-02T03:04:05.678901Z {level} flotilla: something");
        assert!(matters(&line(" WARN")));
        assert!(matters(&line("ERROR")));
        assert!(matters("memory allocation of 1 bytes failed"));
        assert!(!matters(&line(" INFO")));
        assert!(!matters(&line("DEBUG")));
    }

    #[tokio::test]
    async fn every_line_reaches_the_file_even_one_that_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("node.log");
        for text in [
            "2026-01-02T03:04:05Z  INFO a\n",
            "2026-01-02T03:04:06Z  INFO b",
        ] {
            copy_log("node-1".to_owned(), text.as_bytes(), &file)
                .await
                .unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            written,
            "2026-01-02T03:04:05Z  INFO a\n2026-01-02T03:04:06Z  INFO b"
        );
    }
}
