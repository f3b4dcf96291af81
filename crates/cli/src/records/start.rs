//! Where to begin to read.

use chrono::DateTime;
use flotilla_client::{Offset, OffsetSpec, Timestamp};

use crate::values::parse_duration;

/// A place in a partition, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Earliest,
    Latest,
    Offset(Offset),
    /// The first record that is at least as young.
    At(Timestamp),
    /// As `At`, this long before now.
    Ago {
        millis: u64,
    },
}

impl Start {
    /// For `value_parser`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected start, end, an offset, an RFC 3339 time, @ and milliseconds since 1970, or a \
             time before now such as -10m"
                .to_owned()
        };
        match text {
            "start" => return Ok(Self::Earliest),
            "end" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix('-') {
            let ago = parse_duration(ago).map_err(|_| expected())?;
            let millis = u64::try_from(ago.as_millis()).map_err(|_| expected())?;
            return Ok(Self::Ago { millis });
        }
        if let Some(millis) = text.strip_prefix('@') {
            let millis = millis.parse().map_err(|_| expected())?;
            return Ok(Self::At(Timestamp::from_millis(millis)));
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(Offset::new(offset)));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| expected())?;
        Ok(Self::At(Timestamp::from_millis(time.timestamp_millis())))
    }

    pub(crate) fn to_spec(self, now: Timestamp) -> OffsetSpec {
        match self {
            Self::Earliest => OffsetSpec::Earliest,
            Self::Latest => OffsetSpec::Latest,
            Self::Offset(offset) => OffsetSpec::Offset(offset),
            Self::At(timestamp) => OffsetSpec::Timestamp(timestamp),
            Self::Ago { millis } => OffsetSpec::Timestamp(now.minus_millis(millis)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Result<Start, String> {
        Ok(Start::At(Timestamp::from_millis(millis)))
    }

    #[test]
    fn places_are_words_offsets_or_times() {
        assert_eq!(Start::parse("start"), Ok(Start::Earliest));
        assert_eq!(Start::parse("end"), Ok(Start::Latest));
        assert_eq!(Start::parse("0"), Ok(Start::Offset(Offset::ZERO)));
        assert_eq!(Start::parse("@-1"), at(-1));
        assert_eq!(Start::parse("1970-01-02T00:00:00Z"), at(86_400_000));
        assert_eq!(Start::parse("1970-01-01T01:00:00.5+01:00"), at(500));
        assert_eq!(Start::parse("-10m"), Ok(Start::Ago { millis: 600_000 }));
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            "",
            "first",
            "-1",
            "-",
            "@",
            "@x",
            "2024-01-01",
            "1.5",
            "10m",
        ] {
            assert!(Start::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_ago_counts_from_now() {
        let now = Timestamp::from_millis(1_000_000);
        let start = Start::parse("-10m").unwrap();
        let spec = OffsetSpec::Timestamp(Timestamp::from_millis(400_000));
        assert_eq!(start.to_spec(now), spec);
    }
}
