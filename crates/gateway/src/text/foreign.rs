//! What speaks to this port and meant another one.

use super::config::TextConfig;
use super::error::{TextCode, TextError};

/// The record of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// The length of a Kafka request has four bytes, and no client begins with 16 MiB.
const KAFKA_LENGTH: u8 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Http,
    /// What gRPC is spoken over.
    Http2,
    Kafka,
    Tls,
}

impl Foreign {
    pub(super) const fn by_first_byte(byte: u8) -> Option<Self> {
        match byte {
            TLS_HANDSHAKE => Some(Self::Tls),
            KAFKA_LENGTH => Some(Self::Kafka),
            _ => None,
        }
    }

    /// A request line, as in `GET / HTTP/1.1`.
    pub(super) fn by_first_line(line: &[u8]) -> Option<Self> {
        match line.rsplit(|byte| *byte == b' ').next() {
            Some(b"HTTP/2.0") => Some(Self::Http2),
            Some(last) if last.starts_with(b"HTTP/") => Some(Self::Http),
            _ => None,
        }
    }

    pub(super) fn error(self, config: &TextConfig) -> TextError {
        let at = |address: &Option<String>| match address {
            Some(address) => format!(" at {address}"),
            None => " on another port of this node".to_owned(),
        };
        let http = at(&config.http_address);
        let grpc = at(&config.grpc_address);
        let text = match self {
            Self::Http => format!(
                "this looks like HTTP, which is spoken{http}; here it is the text protocol: send HELP"
            ),
            Self::Http2 => format!(
                "this looks like HTTP/2: gRPC is spoken{grpc}; here it is the text protocol: send HELP"
            ),
            Self::Kafka => format!(
                "this looks like the Kafka protocol; here it is the text protocol, and gRPC is spoken{grpc}"
            ),
            Self::Tls => format!(
                "this looks like TLS; the text protocol is spoken here, without TLS; HTTP is \
                 spoken{http}, gRPC{grpc}"
            ),
        };
        TextError::new(TextCode::ForeignProtocol, text)
    }
}
