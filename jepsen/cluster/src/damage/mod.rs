//! Damage to the files of a node that does not run, as disks and people do it.

mod change;
mod vandal;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use change::{cut_tail, flip_bit, put_back, truncate};
pub use vandal::{CANDIDATES, Vandal};

/// What kind of damage is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit is another one.
    FlipBit,
    /// Everything from some place on is gone.
    Truncate,
    /// The last few bytes are gone, as after a write that was torn.
    CutTail,
    /// The file is as it was before, as if writes had been lost.
    PutBack,
}

/// What was done to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    pub file: PathBuf,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    BitFlipped { offset: u64, bit: u8 },
    CutTo { bytes_before: u64, bytes: u64 },
    PutBack { bytes_before: u64, bytes: u64 },
}

/// Why nothing was damaged.
#[derive(Debug, thiserror::Error)]
pub enum DamageError {
    #[error("there is no file in {} to which this can be done", directory.display())]
    NoCandidate { directory: PathBuf },
    #[error("{} ends before byte {offset}", file.display())]
    BeyondTheEnd { file: PathBuf, offset: u64 },
    #[error("{}", file.display())]
    File { file: PathBuf, source: io::Error },
}

impl Damage {
    pub const ALL: [Self; 4] = [Self::FlipBit, Self::Truncate, Self::CutTail, Self::PutBack];
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BitFlipped { offset, bit } => {
                write!(f, "bit {bit} of byte {offset} is flipped")
            }
            Self::CutTo {
                bytes_before,
                bytes,
            } => write!(f, "cut from {bytes_before} to {bytes} bytes"),
            Self::PutBack {
                bytes_before,
                bytes,
            } => write!(
                f,
                "an older copy of {bytes} bytes in the place of {bytes_before} bytes"
            ),
        }
    }
}
