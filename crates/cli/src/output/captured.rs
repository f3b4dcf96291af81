//! Writers in memory, for tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::Output;

/// What a command wrote.
#[derive(Clone, Default)]
pub(crate) struct Captured {
    data: Shared,
    notes: Shared,
}

impl Captured {
    pub(crate) fn new() -> (Output, Self) {
        let captured = Self::default();
        let output = Output::new(
            Box::new(captured.data.clone()),
            Box::new(captured.notes.clone()),
        );
        (output, captured)
    }

    pub(crate) fn data(&self) -> String {
        self.data.text()
    }

    pub(crate) fn notes(&self) -> String {
        self.notes.text()
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
