//! Changes to single files. They are synced, so that no power cut repairs them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Change, DamageError, Harm};

/// Flips a bit, counted from the lowest one, of the byte at `offset`.
pub fn flip_bit(file: &Path, offset: u64, bit: u8) -> Result<Harm, DamageError> {
    let bit = bit % 8;
    let flip = || {
        let handle = File::options().read(true).write(true).open(file)?;
        let mut byte = [0];
        handle.read_exact_at(&mut byte, offset)?;
        byte[0] ^= 1 << bit;
        handle.write_all_at(&byte, offset)?;
        handle.sync_all()
    };
    match flip() {
        Ok(()) => Ok(harm(file, Change::BitFlipped { offset, bit })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(DamageError::BeyondTheEnd {
                file: file.to_owned(),
                offset,
            })
        }
        Err(source) => Err(in_file(file)(source)),
    }
}

/// Leaves this much of the front of a file.
pub fn truncate(file: &Path, bytes: u64) -> Result<Harm, DamageError> {
    let bytes_before = size(file)?;
    if bytes > bytes_before {
        return Err(DamageError::BeyondTheEnd {
            file: file.to_owned(),
            offset: bytes,
        });
    }
    let cut = || {
        let handle = File::options().write(true).open(file)?;
        handle.set_len(bytes)?;
        handle.sync_all()
    };
    cut().map_err(in_file(file))?;
    let change = Change::CutTo {
        bytes_before,
        bytes,
    };
    Ok(harm(file, change))
}

/// Takes this much from the end of what was written to a file, and with it the noughts behind, which are room for what
/// would have come.
pub fn cut_tail(file: &Path, bytes: u64) -> Result<Harm, DamageError> {
    let written = written_bytes(file).map_err(in_file(file))?;
    truncate(file, written.saturating_sub(bytes))
}

/// Puts what is in `copy` in the place of a file.
pub fn put_back(file: &Path, copy: &Path) -> Result<Harm, DamageError> {
    let bytes_before = size(file)?;
    let replace = || {
        let bytes = fs::copy(copy, file)?;
        File::open(file)?.sync_all()?;
        Ok(bytes)
    };
    let bytes = replace().map_err(in_file(file))?;
    let change = Change::PutBack {
        bytes_before,
        bytes,
    };
    Ok(harm(file, change))
}

/// Where the noughts at the end of a file begin.
pub(super) fn written_bytes(file: &Path) -> io::Result<u64> {
    const PIECE: u64 = 1 << 20;
    let handle = File::open(file)?;
    let mut end = handle.metadata()?.len();
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        let length = usize::try_from(end - start).expect("a piece is small");
        piece.resize(length, 0);
        handle.read_exact_at(&mut piece, start)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

pub(super) fn in_file(file: &Path) -> impl FnOnce(io::Error) -> DamageError + use<> {
    let file = file.to_owned();
    |source| DamageError::File { file, source }
}

fn size(file: &Path) -> Result<u64, DamageError> {
    let found = fs::metadata(file).map_err(in_file(file))?;
    Ok(found.len())
}

fn harm(file: &Path, change: Change) -> Harm {
    Harm {
        file: file.to_owned(),
        change,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, bytes).unwrap();
        (directory, file)
    }

    #[test]
    fn a_flipped_bit_is_the_only_change_and_flips_back() {
        let (_directory, file) = file(b"abc");
        let harm = flip_bit(&file, 1, 0).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"acc");
        assert!(
            harm.to_string()
                .ends_with("file: bit 0 of byte 1 is flipped")
        );
        flip_bit(&file, 1, 0).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"abc");
        let beyond = flip_bit(&file, 3, 0).unwrap_err();
        assert!(
            matches!(beyond, DamageError::BeyondTheEnd { offset: 3, .. }),
            "{beyond}"
        );
    }

    #[test]
    fn a_cut_file_keeps_its_front() {
        let (_directory, file) = file(b"abcdef");
        let harm = truncate(&file, 4).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"abcd");
        assert!(harm.to_string().ends_with("cut from 6 to 4 bytes"));
        assert!(truncate(&file, 5).is_err(), "a cut never adds anything");
    }

    #[test]
    fn the_tail_is_that_of_what_was_written() {
        let mut bytes = vec![0; 3 << 20];
        bytes[..6].copy_from_slice(b"abcdef");
        let (_directory, file) = file(&bytes);
        assert_eq!(written_bytes(&file).unwrap(), 6);
        cut_tail(&file, 2).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"abcd");
        cut_tail(&file, 10).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"");
    }

    #[test]
    fn an_older_copy_takes_the_place_of_the_file() {
        let (directory, file) = file(b"new and long");
        let copy = directory.path().join("copy");
        fs::write(&copy, b"old").unwrap();
        put_back(&file, &copy).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
    }
}
