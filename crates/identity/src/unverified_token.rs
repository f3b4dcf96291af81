//! A token taken apart. Nothing that it says is true yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flotilla_types::Timestamp;
use serde_json::Value;

use crate::refused::{ClaimFault, TokenRefused};
use crate::shown::Shown;
use crate::strict_json::{JsonFault, Members, parse_object};

/// Largest token that is looked at, in bytes: it has to fit into one header of a request.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 << 10;
/// The last second of the year 9999. What lies behind it is not meant as a time.
const SECONDS_MAX: i64 = 253_402_300_799;

/// The parts of a JWS in compact form (RFC 7515, section 7.1) with JSON objects in the first two.
pub(crate) struct UnverifiedToken<'a> {
    /// What is signed: the header, a point, and the claims, as they came.
    pub(crate) message: &'a str,
    pub(crate) signature: &'a str,
    header: Members,
    claims: Members,
}

impl<'a> UnverifiedToken<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenRefused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::TooLarge { bytes: token.len() });
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let problem = "it does not have three parts with points between them";
            return Err(TokenRefused::NotAJwt { problem });
        };
        Ok(Self {
            message: &token[..header.len() + 1 + claims.len()],
            signature,
            header: parse_part("header", header)?,
            claims: parse_part("claims", claims)?,
        })
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.header.contains_key(name)
    }

    /// A header that is a string, if there is one of that name.
    pub(crate) fn header(&self, name: &'static str) -> Result<Option<&str>, TokenRefused> {
        match self.header.get(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(TokenRefused::InvalidHeader { name }),
        }
    }

    /// A claim that is a string, if there is one of that name.
    pub(crate) fn text(&self, claim: &str) -> Result<Option<&str>, TokenRefused> {
        match self.claims.get(claim) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(claim, "a string")),
        }
    }

    /// A claim that is a string or an array of strings, if there is one of that name.
    pub(crate) fn texts(&self, claim: &str) -> Result<Option<Vec<&str>>, TokenRefused> {
        let found = match self.claims.get(claim) {
            None => return Ok(None),
            Some(Value::String(value)) => Some(vec![value.as_str()]),
            Some(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        let expected = "a string or an array of strings";
        found.map(Some).ok_or_else(|| wrong_type(claim, expected))
    }

    /// A claim that is a time, if there is one of that name: seconds since 1970, and fractions of
    /// them (RFC 7519, section 2). A number in a string is none.
    pub(crate) fn time(&self, claim: &str) -> Result<Option<Timestamp>, TokenRefused> {
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        let millis = match (value.as_i64(), value.as_f64()) {
            (Some(seconds), _) if (0..=SECONDS_MAX).contains(&seconds) => Some(seconds * 1_000),
            (None, Some(seconds)) if (0.0..=SECONDS_MAX as f64).contains(&seconds) => {
                Some((seconds * 1_000.0) as i64)
            }
            _ => None,
        };
        let expected = "a number of seconds between the years 1970 and 9999";
        millis
            .map(|millis| Some(Timestamp::from_millis(millis)))
            .ok_or_else(|| wrong_type(claim, expected))
    }

    /// The claims that are strings, in the order of their names.
    pub(crate) fn all_texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.claims.iter();
        claims.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }
}

pub(crate) fn missing(claim: &str) -> TokenRefused {
    TokenRefused::InvalidClaim {
        claim: Shown::new(claim),
        fault: ClaimFault::Missing,
    }
}

pub(crate) fn wrong_type(claim: &str, expected: &'static str) -> TokenRefused {
    TokenRefused::InvalidClaim {
        claim: Shown::new(claim),
        fault: ClaimFault::WrongType { expected },
    }
}

fn parse_part(part: &'static str, text: &str) -> Result<Members, TokenRefused> {
    let Ok(json) = URL_SAFE_NO_PAD.decode(text) else {
        let problem = "a part of it is not base64url without padding";
        return Err(TokenRefused::NotAJwt { problem });
    };
    parse_object(&json).map_err(|fault| match fault {
        JsonFault::NotAnObject => TokenRefused::NotAJwt {
            problem: "its header or its claims are not a JSON object",
        },
        JsonFault::Duplicate(name) => TokenRefused::Duplicate { part, name },
    })
}
