//! A mapping whose keys are taken one by one; what is left is not known.

use super::fault::{Faults, Place};
use super::node::{Key, Node, Value};

/// Names closer than this are worth suggesting.
const SIMILARITY_MIN: f64 = 0.7;

/// A mapping of the file.
pub(super) struct Section {
    pub(super) place: Place,
    entries: Vec<(Key, Node)>,
}

impl Section {
    /// `None` for what is no mapping, which is a fault.
    pub(super) fn open(node: Node, what: &str, faults: &mut Faults) -> Option<Self> {
        let kind = node.kind();
        let place = node.place;
        match node.value {
            Value::Map(entries) => Some(Self { place, entries }),
            _ => {
                faults.add(place, format_args!("{what} is a mapping, not {kind}"));
                None
            }
        }
    }

    /// The value of a key, if it is there. A key without a value is a fault: it may be a mistake in
    /// the indentation.
    pub(super) fn take(&mut self, name: &str, faults: &mut Faults) -> Option<Node> {
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        let (key, node) = self.entries.remove(at);
        if matches!(node.value, Value::Null) {
            faults.add(key.place, format_args!("{name} has no value"));
            return None;
        }
        Some(node)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.name == name)
    }

    /// A whole number in a range.
    pub(super) fn take_u32(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
        faults: &mut Faults,
    ) -> Option<u32> {
        let node = self.take(name, faults)?;
        let number = node.to_u32().filter(|number| range.contains(number));
        if number.is_none() {
            let (first, last) = range.into_inner();
            let found = found(&node);
            let message = format_args!("{name} is a number from {first} to {last}, not {found}");
            faults.add(node.place, message);
        }
        number
    }

    /// Text and where it stands, read by `parse`.
    pub(super) fn take_text<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        faults: &mut Faults,
    ) -> Option<(T, Place)> {
        let node = self.take(name, faults)?;
        let Some(text) = node.as_text() else {
            let kind = node.kind();
            let help = match node.to_scalar() {
                Some(_) => ": put it in quotes",
                None => "",
            };
            faults.add(node.place, format_args!("{name} is text, not {kind}{help}"));
            return None;
        };
        match parse(text) {
            Ok(value) => Some((value, node.place)),
            Err(error) => {
                faults.add(node.place, error);
                None
            }
        }
    }

    /// All keys that are left.
    pub(super) fn into_entries(self) -> Vec<(Key, Node)> {
        self.entries
    }

    /// Complains about every key that was not taken.
    pub(super) fn close<'a>(
        self,
        known: impl Iterator<Item = &'a str> + Clone,
        faults: &mut Faults,
    ) {
        for (key, _) in self.entries {
            add_unknown(&key, known.clone(), faults);
        }
    }
}

/// Complains about a key, and names the one that is most like it.
pub(super) fn add_unknown<'a>(
    key: &Key,
    known: impl Iterator<Item = &'a str>,
    faults: &mut Faults,
) {
    let scored = known.map(|name| (strsim::jaro_winkler(&key.name, name), name));
    let nearest = scored
        .filter(|(score, _)| *score >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    let suggestion =
        nearest.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"));
    let message = format!("unknown key {}{suggestion}", key.name);
    faults.add(key.place, message);
}

/// A value as a complaint shows it.
pub(super) fn found(node: &Node) -> String {
    match &node.value {
        Value::Text { text, .. } => format!("{text:?}"),
        _ => node.to_scalar().unwrap_or_else(|| node.kind().to_owned()),
    }
}
