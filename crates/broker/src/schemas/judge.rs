//! Whether a text may be the next version of a topic's schema.

use flotilla_protocol::ApiError;
use flotilla_schema::{Schema, check_compatible};
use flotilla_state::metadata::SchemaVersion;
use flotilla_types::{ErrorCode, SchemaCompatibility};

use crate::errors;

/// Where a schema that a topic may have stands among its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The version that it has or would get.
    pub(crate) version: u32,
    /// It is not the latest version.
    pub(crate) is_new: bool,
}

/// Compares `text` with the latest of `versions`. It takes long enough to keep others waiting, so it
/// belongs on a thread that may block.
pub(crate) fn judge(
    versions: &[SchemaVersion],
    mode: SchemaCompatibility,
    text: &str,
) -> Result<Judgement, ApiError> {
    let latest_version = versions.len() as u32;
    let has_latest = Judgement {
        version: latest_version,
        is_new: false,
    };
    let is_next = Judgement {
        version: latest_version + 1,
        is_new: true,
    };
    let latest = versions.last().map(|version| &*version.text);
    // It was checked when it was registered.
    if latest == Some(text) {
        return Ok(has_latest);
    }
    let newer = Schema::parse(text)
        .map_err(|error| refuse(ErrorCode::SchemaInvalid, &error.to_string()))?;
    let Some(latest) = latest else {
        return Ok(is_next);
    };
    match Schema::parse(latest) {
        Ok(older) if newer.same_as(&older) => Ok(has_latest),
        Ok(older) => match check_compatible(mode, &older, &newer) {
            Ok(()) => Ok(is_next),
            Err(reasons) => Err(refuse(
                ErrorCode::SchemaIncompatible,
                &format!(
                    "the schema is not {mode} compatible with version {latest_version}: change it, or set \
                     schema_compatibility of the topic. {reasons}"
                ),
            )),
        },
        Err(_) if mode == SchemaCompatibility::None => Ok(is_next),
        // Another version of this program took it.
        Err(error) => Err(refuse(
            ErrorCode::SchemaIncompatible,
            &format!(
                "version {latest_version} cannot be compared with, because this node does not understand \
                 it: set schema_compatibility of the topic to none to replace it. {error}"
            ),
        )),
    }
}

fn refuse(code: ErrorCode, message: &str) -> ApiError {
    ApiError::new(code, errors::shortened(message))
}

#[cfg(test)]
mod tests {
    use flotilla_types::Timestamp;
    use flotilla_types::limits::SCHEMA_BYTES_MAX;

    use super::*;

    const ORDER: &str =
        r#"{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}"#;
    const ORDER_OTHERWISE_SPACED: &str = r#"{ "required": ["id"], "type": "object",
        "properties": { "id": { "type": "string" } } }"#;
    const ORDER_WITH_NOTE: &str = r#"{"type":"object","properties":{"id":{"type":"string"},
        "note":{"type":"string"}},"required":["id"]}"#;
    const NUMBER: &str = r#"{"type":"number"}"#;

    fn versions(texts: &[&str]) -> Vec<SchemaVersion> {
        let version = |text: &&str| SchemaVersion {
            text: (*text).into(),
            created_at: Timestamp::from_millis(1),
        };
        texts.iter().map(version).collect()
    }

    fn code(texts: &[&str], mode: SchemaCompatibility, text: &str) -> Result<Judgement, ErrorCode> {
        judge(&versions(texts), mode, text).map_err(|error| error.code)
    }

    #[test]
    fn the_first_schema_only_has_to_be_one() {
        let first = Judgement {
            version: 1,
            is_new: true,
        };
        assert_eq!(code(&[], SchemaCompatibility::Full, ORDER), Ok(first));
        let refused = code(&[], SchemaCompatibility::None, "{\"type\":\"colour\"}");
        assert_eq!(refused, Err(ErrorCode::SchemaInvalid));
        let refused = code(&[], SchemaCompatibility::None, "");
        assert_eq!(refused, Err(ErrorCode::SchemaInvalid));
    }

    #[test]
    fn the_latest_schema_however_it_is_spaced_is_no_new_version() {
        let same = Judgement {
            version: 2,
            is_new: false,
        };
        for text in [ORDER, ORDER_OTHERWISE_SPACED] {
            let judged = code(&[NUMBER, ORDER], SchemaCompatibility::Full, text);
            assert_eq!(judged, Ok(same));
        }
    }

    #[test]
    fn an_earlier_schema_is_a_new_version_again() {
        let next = Judgement {
            version: 3,
            is_new: true,
        };
        let judged = code(&[NUMBER, ORDER], SchemaCompatibility::None, NUMBER);
        assert_eq!(judged, Ok(next));
    }

    #[test]
    fn the_mode_says_what_may_follow() {
        let next = Judgement {
            version: 2,
            is_new: true,
        };
        let judged = code(&[ORDER], SchemaCompatibility::Full, ORDER_WITH_NOTE);
        assert_eq!(judged, Ok(next));
        for mode in [SchemaCompatibility::Backward, SchemaCompatibility::Forward] {
            let refused = code(&[ORDER], mode, NUMBER);
            assert_eq!(refused, Err(ErrorCode::SchemaIncompatible));
        }
        let error = judge(&versions(&[ORDER]), SchemaCompatibility::Backward, NUMBER).unwrap_err();
        assert!(error.message.contains("/type"), "{}", error.message);
    }

    #[test]
    fn what_cannot_be_compared_with_can_be_replaced_on_request() {
        let unread = &["no schema"];
        let refused = code(unread, SchemaCompatibility::Backward, ORDER);
        assert_eq!(refused, Err(ErrorCode::SchemaIncompatible));
        assert!(code(unread, SchemaCompatibility::None, ORDER).is_ok());
    }

    #[test]
    fn refusals_of_hostile_texts_stay_short() {
        let key = "k".repeat(SCHEMA_BYTES_MAX / 2);
        let text = format!(r#"{{"properties":{{"{key}":{{"type":1}}}}}}"#);
        let error = judge(&[], SchemaCompatibility::None, &text).unwrap_err();
        assert_eq!(error.code, ErrorCode::SchemaInvalid);
        assert!(error.message.len() < 3_000);
    }
}
