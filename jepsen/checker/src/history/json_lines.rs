//! A history as JSON lines: one operation per line, empty lines between them ignored.

use std::io::{self, BufRead, BufReader, Read, Write};

use super::{History, Operation, OperationFault};

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryReadError {
    #[error("reading the history failed")]
    Io(#[source] io::Error),
    #[error("line {line} is not an operation")]
    Line {
        /// From 1.
        line: usize,
        #[source]
        fault: HistoryLineFault,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum HistoryLineFault {
    #[error(transparent)]
    Form(#[from] serde_json::Error),
    #[error(transparent)]
    Operation(#[from] OperationFault),
}

impl History {
    pub fn read_json_lines(reader: impl Read) -> Result<Self, HistoryReadError> {
        let mut history = Self::new();
        let mut reader = BufReader::new(reader);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let byte_count = reader
                .read_until(b'\n', &mut text)
                .map_err(HistoryReadError::Io)?;
            if byte_count == 0 {
                break;
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let operation = parse(&text).map_err(|fault| HistoryReadError::Line { line, fault })?;
            history.push(operation);
        }
        Ok(history)
    }

    pub fn write_json_lines(&self, mut writer: impl Write) -> io::Result<()> {
        for operation in self.operations() {
            serde_json::to_writer(&mut writer, operation)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()
    }
}

fn parse(text: &[u8]) -> Result<Operation, HistoryLineFault> {
    let operation: Operation = serde_json::from_slice(text)?;
    operation.check()?;
    Ok(operation)
}
