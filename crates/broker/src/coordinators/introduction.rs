//! What whoever is coordinated says of itself.

use flotilla_protocol::ApiError;
use flotilla_types::limits::{
    NAME_BYTES_MAX, SESSION_TIMEOUT_MS_DEFAULT, SESSION_TIMEOUT_MS_MAX, SESSION_TIMEOUT_MS_MIN,
};

use crate::errors;

pub(crate) fn read_session_timeout(session_timeout_ms: u32) -> Result<u32, ApiError> {
    match session_timeout_ms {
        0 => Ok(SESSION_TIMEOUT_MS_DEFAULT),
        SESSION_TIMEOUT_MS_MIN..=SESSION_TIMEOUT_MS_MAX => Ok(session_timeout_ms),
        _ => Err(errors::invalid(format!(
            "a session timeout is {SESSION_TIMEOUT_MS_MIN} to {SESSION_TIMEOUT_MS_MAX} ms, not \
             {session_timeout_ms}"
        ))),
    }
}

pub(crate) fn read_client_name(client_name: String) -> Result<String, ApiError> {
    if client_name.len() > NAME_BYTES_MAX {
        return Err(errors::invalid(format!(
            "the client name has at most {NAME_BYTES_MAX} bytes, this one has {}",
            client_name.len()
        )));
    }
    Ok(client_name)
}

#[cfg(test)]
mod tests {
    use flotilla_types::ErrorCode;

    use super::*;

    #[test]
    fn a_session_timeout_has_bounds() {
        let read = |ms| read_session_timeout(ms).map_err(|error| error.code);
        assert_eq!(read(0), Ok(10_000));
        assert_eq!(read(1_000), Ok(1_000));
        for wrong in [1, 999, 1_800_001] {
            assert_eq!(read(wrong), Err(ErrorCode::InvalidArgument));
        }
    }

    #[test]
    fn a_client_name_is_not_longer_than_a_name() {
        assert!(read_client_name("x".repeat(249)).is_ok());
        let error = read_client_name("x".repeat(250)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }
}
