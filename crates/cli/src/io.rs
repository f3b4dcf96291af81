//! What a command reads from, writes to and is stopped by.

use std::io::{self, Read};

use crate::prompt::{Ask, Terminal};
use crate::{Interrupt, Output};

/// The world around a command, handed in so that tests can stand in for it.
pub struct Io {
    /// Data comes from here. It is read on a thread of its own.
    pub input: Box<dyn Read + Send>,
    pub output: Output,
    pub interrupt: Interrupt,
    /// Who is asked for missing arguments, if there is anybody.
    pub(crate) user: Option<Box<dyn Ask>>,
}

impl Io {
    /// The standard streams and signals of this process. Call it inside a tokio runtime.
    pub fn process() -> io::Result<Self> {
        Ok(Self {
            input: Box::new(io::stdin()),
            output: Output::process(),
            interrupt: Interrupt::signals()?,
            user: Terminal::of_this_process().map(|terminal| Box::new(terminal) as _),
        })
    }
}
