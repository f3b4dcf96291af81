//! Until when what a caller has shown counts. A call may go on for longer than that.

use flotilla_protocol::ApiError;
use flotilla_types::{ErrorCode, Timestamp};

/// Tokens count so much longer, at the most: the clocks of issuers and nodes differ.
const LEEWAY_MS: u64 = 60_000;

/// The end of a proof, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValidUntil(Option<Timestamp>);

impl ValidUntil {
    /// Until it is taken back.
    pub(crate) const FOREVER: Self = Self(None);

    pub(crate) const fn at(end: Timestamp) -> Self {
        Self(Some(end))
    }

    /// For the end of a token, which may be judged by a clock that is behind.
    pub(crate) fn just_after(end: Timestamp) -> Self {
        let leeway = i64::try_from(LEEWAY_MS).unwrap_or(i64::MAX);
        Self::at(Timestamp::from_millis(
            end.as_millis().saturating_add(leeway),
        ))
    }

    pub(crate) const fn end(self) -> Option<Timestamp> {
        self.0
    }

    /// Refuses what has ended.
    pub(crate) fn check(self, now: Timestamp) -> Result<(), ApiError> {
        match self.0 {
            Some(end) if now > end => Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "the token or certificate has expired: show a new one",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_up_to_its_end() {
        let at = Timestamp::from_millis;
        assert!(ValidUntil::FOREVER.check(at(i64::MAX)).is_ok());
        assert!(ValidUntil::at(at(5)).check(at(5)).is_ok());
        assert!(ValidUntil::at(at(5)).check(at(6)).is_err());
        assert!(ValidUntil::just_after(at(5)).check(at(60_005)).is_ok());
        assert!(ValidUntil::just_after(at(5)).check(at(60_006)).is_err());
        assert!(ValidUntil::just_after(at(i64::MAX)).check(at(0)).is_ok());
    }
}
