//! Who chooses what is damaged.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::change::{cut_tail, flip_bit, in_file, put_back, truncate, written_bytes};
use super::{Damage, DamageError, Harm};

/// The files of a data directory that hold what must not be lost: `directory/*ending`.
pub const CANDIDATES: [&str; 2] = ["journal/*.log", "tables/*"];

/// Files that a node writes for people, or only to lock them, begin so. Damage there proves nothing.
const UNREAD: [&str; 3] = ["LOCK", "LOG", "OPTIONS-"];
/// A torn write loses less than this.
const TAIL_BYTES_MAX: u64 = 4_096;

/// Damages files that it draws from a seed. The same files and the same calls are damaged in the same way.
#[derive(Debug)]
pub struct Vandal {
    rng: SmallRng,
    candidates: Vec<String>,
    copies: PathBuf,
}

impl Vandal {
    /// `copies` is a directory for older copies: one for each node, or else the copies of one end up in another.
    pub fn new(seed: u64, copies: &Path) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            candidates: CANDIDATES.map(str::to_owned).to_vec(),
            copies: copies.to_owned(),
        }
    }

    /// Damages these instead of [`CANDIDATES`].
    #[must_use]
    pub fn with_candidates(mut self, candidates: &[&str]) -> Self {
        self.candidates = candidates.iter().map(|one| (*one).to_owned()).collect();
        self
    }

    /// Keeps what the files of this data directory hold now, to put it back later. Returns how many there are.
    pub fn keep_copies(&self, data: &Path) -> Result<usize, DamageError> {
        let files = self.files(data)?;
        for file in &files {
            let copy = self.copy_of(data, file);
            if let Some(parent) = copy.parent() {
                fs::create_dir_all(parent).map_err(in_file(parent))?;
            }
            fs::copy(file, &copy).map_err(in_file(file))?;
        }
        Ok(files.len())
    }

    /// Damages one file of this data directory.
    pub fn harm(&mut self, data: &Path, damage: Damage) -> Result<Harm, DamageError> {
        let mut files = self.files(data)?;
        files.retain(|file| damage != Damage::PutBack || self.has_other_copy(data, file));
        if files.is_empty() {
            return Err(DamageError::NoCandidate {
                directory: data.to_owned(),
            });
        }
        let file = files.swap_remove(self.rng.random_range(0..files.len()));
        let written = written_bytes(&file).map_err(in_file(&file))?;
        match damage {
            Damage::FlipBit => {
                let offset = self.rng.random_range(0..written);
                flip_bit(&file, offset, self.rng.random_range(0..8))
            }
            Damage::Truncate => truncate(&file, self.rng.random_range(0..written)),
            Damage::CutTail => {
                let most = written.min(TAIL_BYTES_MAX);
                cut_tail(&file, self.rng.random_range(1..=most))
            }
            Damage::PutBack => put_back(&file, &self.copy_of(data, &file)),
        }
    }

    /// Every candidate with something in it, sorted.
    fn files(&self, data: &Path) -> Result<Vec<PathBuf>, DamageError> {
        let mut files = Vec::new();
        for candidate in &self.candidates {
            let (directory, name) = candidate.rsplit_once('/').unwrap_or((".", candidate));
            let directory = data.join(directory);
            // A node that has never run has none of them.
            if directory.is_dir() {
                files.extend(matching(&directory, name)?);
            }
        }
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    fn has_other_copy(&self, data: &Path, file: &Path) -> bool {
        match (fs::read(file), fs::read(self.copy_of(data, file))) {
            (Ok(now), Ok(before)) => now != before,
            _ => false,
        }
    }

    fn copy_of(&self, data: &Path, file: &Path) -> PathBuf {
        let name = file.strip_prefix(data);
        self.copies
            .join(name.expect("candidates are in the data directory"))
    }
}

/// The files of a directory whose names fit a pattern with one `*`, and in which something was written.
fn matching(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, DamageError> {
    let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    let entries = fs::read_dir(directory).map_err(in_file(directory))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(in_file(directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let fits = name.len() >= start.len() + end.len()
            && name.starts_with(start)
            && name.ends_with(end)
            && !UNREAD.iter().any(|unread| name.starts_with(unread));
        let path = entry.path();
        if fits && path.is_file() && written_bytes(&path).map_err(in_file(&path))? > 0 {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A data directory, and one for copies.
    fn directories() -> (TempDir, TempDir) {
        let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for (name, text) in [
            ("journal/1.log", "a journal"),
            ("journal/spare-1", "no journal"),
            ("tables/CURRENT", "a table"),
            ("tables/LOG", "for people"),
            ("tables/LOG.old.17", "for people"),
            ("tables/LOCK", ""),
            ("tables/000004.log", ""),
        ] {
            let path = data.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (data, copies)
    }

    fn names(vandal: &Vandal, data: &Path) -> Vec<String> {
        let files = vandal.files(data).unwrap().into_iter();
        files
            .map(|file| file.strip_prefix(data).unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn candidates_are_what_holds_something_that_is_read() {
        let (data, copies) = directories();
        let vandal = Vandal::new(1, copies.path());
        assert_eq!(
            names(&vandal, data.path()),
            ["journal/1.log", "tables/CURRENT"]
        );
        let vandal = vandal.with_candidates(&["journal/spare-*"]);
        assert_eq!(names(&vandal, data.path()), ["journal/spare-1"]);
    }

    #[test]
    fn the_same_seed_does_the_same_damage() {
        let harms = |seed| {
            let (data, copies) = directories();
            let mut vandal = Vandal::new(seed, copies.path());
            let harm = |damage| {
                let harm = vandal.harm(data.path(), damage).unwrap();
                harm.to_string()
                    .replace(&data.path().display().to_string(), "")
            };
            [Damage::FlipBit, Damage::CutTail, Damage::FlipBit].map(harm)
        };
        assert_eq!(harms(7), harms(7));
        assert!((8..20).any(|seed| harms(seed) != harms(7)));
    }

    #[test]
    fn only_a_file_that_has_changed_since_can_be_put_back() {
        let (data, copies) = directories();
        let mut vandal = Vandal::new(1, copies.path());
        assert_eq!(vandal.keep_copies(data.path()).unwrap(), 2);
        let unchanged = vandal.harm(data.path(), Damage::PutBack).unwrap_err();
        assert!(
            matches!(unchanged, DamageError::NoCandidate { .. }),
            "{unchanged}"
        );
        let journal = data.path().join("journal/1.log");
        fs::write(&journal, "a journal with more").unwrap();
        vandal.harm(data.path(), Damage::PutBack).unwrap();
        assert_eq!(fs::read_to_string(&journal).unwrap(), "a journal");
    }

    #[test]
    fn a_node_that_has_never_run_has_nothing_to_damage() {
        let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut vandal = Vandal::new(1, copies.path());
        for damage in Damage::ALL {
            assert!(vandal.harm(data.path(), damage).is_err(), "{damage:?}");
        }
    }
}
