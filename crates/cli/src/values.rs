//! How values on the command line are read.

use std::time::Duration;

use flotilla_types::{Compression, NodeId, PartitionIndex};

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Records per second, above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    pub(crate) const fn per_second(self) -> f64 {
        self.0
    }
}

pub(crate) fn parse_key_value(text: &str) -> Result<KeyValue, String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the key is empty".to_owned()),
        Some((key, value)) => Ok(KeyValue {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
        None => Err("expected KEY=VALUE".to_owned()),
    }
}

pub(crate) fn parse_partition(text: &str) -> Result<PartitionIndex, String> {
    let index = text.parse().map(PartitionIndex::new);
    index.map_err(|_| "expected the number of a partition".to_owned())
}

pub(crate) fn parse_node(text: &str) -> Result<NodeId, String> {
    let id = text.parse().map(NodeId::new);
    id.map_err(|_| "expected the number of a node".to_owned())
}

pub(crate) fn parse_compression(text: &str) -> Result<Compression, String> {
    let names = Compression::ALL.map(Compression::as_str).join(", ");
    Compression::parse(text).ok_or_else(|| format!("expected one of {names}"))
}

/// A whole number with its unit, such as `250ms` or `10m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 250ms, 10s, 5m, 2h or 1d".to_owned();
    let (count, unit) = split_unit(text);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    let count: u64 = count.parse().map_err(|_| expected())?;
    let millis = count.checked_mul(unit_ms).ok_or_else(expected)?;
    Ok(Duration::from_millis(millis))
}

/// Bytes, or multiples of 1024 of them: `100`, `64KiB`, `1MiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let expected = || "expected bytes such as 1000, 64KiB or 1MiB".to_owned();
    let (count, unit) = split_unit(text);
    let unit_bytes: usize = match unit {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(expected()),
    };
    let count: usize = count.parse().map_err(|_| expected())?;
    count.checked_mul(unit_bytes).ok_or_else(expected)
}

/// `500`, `500/s`, `0.5` or `10k/s`.
pub(crate) fn parse_rate(text: &str) -> Result<Rate, String> {
    let count = text.strip_suffix("/s").unwrap_or(text);
    let (count, factor) = match count.strip_suffix(['k', 'K']) {
        Some(thousands) => (thousands, 1_000.0),
        None => (count, 1.0),
    };
    match count.parse::<f64>().map(|count| count * factor) {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Rate(rate)),
        _ => Err("expected records per second such as 500 or 10k/s".to_owned()),
    }
}

/// Text that is not empty, with the escapes of [`read_escape`].
pub(crate) fn parse_separator(text: &str) -> Result<String, String> {
    let mut separator = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        separator.push(match character {
            '\\' => read_escape(characters.next())?.into(),
            other => other,
        });
    }
    match separator.is_empty() {
        true => Err("it must not be empty".to_owned()),
        false => Ok(separator),
    }
}

/// The character that a backslash and `escape` stand for.
pub(crate) fn read_escape(escape: Option<char>) -> Result<u8, String> {
    match escape {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some(other) => Err(format!(
            "\\{other} is no escape: use \\n \\t \\r \\0 or \\\\"
        )),
        None => Err("a character is missing after the last \\".to_owned()),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let unit_start = text.find(|character: char| !character.is_ascii_digit());
    text.split_at(unit_start.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "10", "s", "-1s", "1.5s", "1w", "18446744073709551615d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_may_have_a_binary_unit() {
        assert_eq!(parse_bytes("100"), Ok(100));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("1M"), Ok(1_048_576));
        assert_eq!(parse_bytes("2GiB"), Ok(2_147_483_648));
        for wrong in ["", "KiB", "1GB", "99999999999999999M", "-1"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(parse_rate("500"), Ok(Rate(500.0)));
        assert_eq!(parse_rate("10k/s"), Ok(Rate(10_000.0)));
        assert_eq!(parse_rate("0.5/s"), Ok(Rate(0.5)));
        for wrong in ["0", "-1", "inf", "NaN", "fast", ""] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn separators_may_be_written_as_escapes() {
        assert_eq!(parse_separator(r"\t").unwrap(), "\t");
        assert_eq!(parse_separator("::").unwrap(), "::");
        assert!(parse_separator("").is_err());
        assert!(parse_separator(r"\x").is_err());
    }

    #[test]
    fn only_the_first_equals_sign_separates() {
        let pair = parse_key_value("a=b=c").unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("a", "b=c"));
        assert_eq!(parse_key_value("a=").unwrap().value, "");
        assert!(parse_key_value("=b").is_err());
        assert!(parse_key_value("a").is_err());
    }
}
