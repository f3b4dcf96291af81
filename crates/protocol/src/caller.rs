//! The bytes of a caller, as they stand in the metadata of a call between nodes.

use prost::Message;

use crate::internal::v1::Caller;

impl Caller {
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}
