//! How a node says on whose behalf it passes a call on.
//!
//! Only the port for the other nodes believes it. On the port for clients these headers mean nothing.

use flotilla_protocol::ApiError;
use flotilla_protocol::internal::v1::Caller;
use flotilla_types::{ErrorCode, Principal, PrincipalKind, Timestamp};
use tonic::metadata::{MetadataMap, MetadataValue};

use super::valid_until::ValidUntil;

const CALLER: &str = "flotilla-caller-bin";

/// Notes the caller in a request to another node. A node says nothing of itself.
pub(crate) fn write(caller: &Principal, valid_until: ValidUntil, headers: &mut MetadataMap) {
    if caller.kind() == PrincipalKind::Node {
        return;
    }
    let claims = caller.claims();
    let message = Caller {
        principal: caller.to_string(),
        scopes: caller.scopes().map(str::to_owned).collect(),
        claims: claims
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        valid_until_ms: valid_until.end().map(Timestamp::as_millis),
    };
    headers.insert_bin(CALLER, MetadataValue::from_bytes(&message.to_bytes()));
}

/// Who the caller is, as another node has it.
pub(crate) fn read(headers: &MetadataMap) -> Result<(Principal, ValidUntil), ApiError> {
    let Some(value) = headers.get_bin(CALLER) else {
        return Ok((Principal::node(), ValidUntil::FOREVER));
    };
    let refuse = || ApiError::new(ErrorCode::InvalidArgument, "the caller cannot be read");
    let bytes = value.to_bytes().map_err(|_| refuse())?;
    let message = Caller::from_bytes(&bytes).ok_or_else(refuse)?;
    let principal = Principal::parse(&message.principal).map_err(|_| refuse())?;
    let end = message.valid_until_ms.map(Timestamp::from_millis);
    let valid_until = end.map_or(ValidUntil::FOREVER, ValidUntil::at);
    let principal = principal.with_facts(message.scopes, message.claims);
    Ok((principal, valid_until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_told_who_calls_and_what_its_token_says() {
        let caller = Principal::parse("token:weather").unwrap();
        let claims = [("client_id".to_owned(), "weather".to_owned())];
        let caller = caller.with_facts(["publish".to_owned()], claims);
        let mut headers = MetadataMap::new();
        for end in [
            ValidUntil::FOREVER,
            ValidUntil::at(Timestamp::from_millis(7)),
        ] {
            write(&caller, end, &mut headers);
            assert_eq!(read(&headers).unwrap(), (caller.clone(), end));
        }
    }

    #[test]
    fn a_node_speaks_for_itself_by_saying_nothing() {
        let mut headers = MetadataMap::new();
        write(&Principal::node(), ValidUntil::FOREVER, &mut headers);
        assert!(headers.is_empty());
        assert_eq!(read(&headers).unwrap().0, Principal::node());
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        let mut headers = MetadataMap::new();
        headers.insert_bin(CALLER, MetadataValue::from_bytes(b"\xff\xff"));
        assert!(read(&headers).is_err());
        headers.insert_bin(CALLER, MetadataValue::from_bytes(b""));
        assert!(read(&headers).is_err(), "an empty caller is not the node");
    }
}
