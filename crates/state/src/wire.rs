//! The frame around structured bytes: one format byte, then exactly one CBOR value.

use minicbor::decode::Decoder;
use minicbor::encode::Encode;

use crate::DecodeError;

/// The bytes of `value` behind `format`.
pub(crate) fn encode<T: Encode<()>>(format: u8, value: &T) -> Vec<u8> {
    let mut bytes = vec![format];
    minicbor::encode(value, &mut bytes).expect("invariant: writing to a vector cannot fail");
    bytes
}

/// The value behind the format byte, which must be `format`.
pub(crate) fn decode<'b, T>(
    what: &'static str,
    format: u8,
    bytes: &'b [u8],
) -> Result<T, DecodeError>
where
    T: minicbor::Decode<'b, ()>,
{
    let (&found, body) = bytes.split_first().ok_or(DecodeError::Truncated { what })?;
    if found != format {
        return Err(DecodeError::UnknownFormat { what, found });
    }
    decode_body(what, body)
}

/// The one value that `bytes` hold.
pub(crate) fn decode_body<'b, T>(what: &'static str, bytes: &'b [u8]) -> Result<T, DecodeError>
where
    T: minicbor::Decode<'b, ()>,
{
    let mut decoder = Decoder::new(bytes);
    let value = decoder
        .decode()
        .map_err(|source| DecodeError::Structure { what, source })?;
    if decoder.position() != bytes.len() {
        return Err(DecodeError::TrailingBytes { what });
    }
    Ok(value)
}

/// Refuses bytes that decode but contradict themselves.
pub(crate) fn ensure(
    what: &'static str,
    holds: bool,
    contradiction: &'static str,
) -> Result<(), DecodeError> {
    if holds {
        return Ok(());
    }
    Err(DecodeError::Contradiction {
        what,
        contradiction,
    })
}
