//! Where a command's words go: data to one writer, everything else to another.

#[cfg(test)]
mod captured;
mod table;

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

#[cfg(test)]
pub(crate) use captured::Captured;
pub(crate) use table::{Table, or_dash};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns and plain text, for people
    #[default]
    Table,
    /// One JSON object a line, for programs
    Json,
}

/// The two writers.
///
/// Writing waits for a slow reader. The command does it on the thread that entered the runtime,
/// while the client's tasks go on with the others.
pub struct Output {
    data: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    data_is_terminal: bool,
    notes_is_terminal: bool,
    /// The last thing on the terminal is a progress line, which the next note replaces.
    progress_is_shown: bool,
    /// The cursor is behind a question, which the next note does not continue.
    question_is_open: bool,
}

impl Output {
    /// stdout and stderr.
    pub fn process() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            data_is_terminal: stdout.is_terminal(),
            notes_is_terminal: stderr.is_terminal(),
            data: Box::new(BufWriter::with_capacity(64 << 10, stdout)),
            notes: Box::new(stderr),
            progress_is_shown: false,
            question_is_open: false,
        }
    }

    /// Other writers, of which none is a terminal.
    pub fn new(data: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self {
            data,
            notes,
            data_is_terminal: false,
            notes_is_terminal: false,
            progress_is_shown: false,
            question_is_open: false,
        }
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.data.write_all(bytes).map_err(Failure::Write)
    }

    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.data, "{text}").map_err(Failure::Write)
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.data, value)
            .map_err(|error| Failure::Write(error.into()))?;
        self.data(b"\n")
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.data.flush().map_err(Failure::Write)
    }

    /// A line for people beside the data.
    pub(crate) fn note(&mut self, text: impl Display) {
        self.clear_progress();
        if std::mem::take(&mut self.question_is_open) {
            let _ = writeln!(self.notes);
        }
        // Where stderr is closed, nobody is left to be told.
        let _ = writeln!(self.notes, "{text}");
    }

    /// Words behind which the user types an answer.
    pub(crate) fn question(&mut self, text: impl Display) {
        self.clear_progress();
        let _ = write!(self.notes, "{text}");
        let _ = self.notes.flush();
        self.question_is_open = true;
    }

    /// The user has answered, and ended the line by that.
    pub(crate) fn answered(&mut self) {
        self.question_is_open = false;
    }

    pub(crate) fn note_json(&mut self, value: &serde_json::Value) {
        self.note(value);
    }

    /// Progress is worth printing: somebody watches, and no data is printed in between.
    pub(crate) fn can_show_progress(&self, prints_data: bool) -> bool {
        self.notes_is_terminal && !(self.data_is_terminal && prints_data)
    }

    /// Replaces the progress line. Call it only where [`Self::can_show_progress`].
    pub(crate) fn progress(&mut self, text: impl Display) {
        let _ = write!(self.notes, "\r\x1b[2K{text}");
        let _ = self.notes.flush();
        self.progress_is_shown = true;
    }

    pub(crate) fn clear_progress(&mut self) {
        if std::mem::take(&mut self.progress_is_shown) {
            let _ = write!(self.notes, "\r\x1b[2K");
        }
    }
}
