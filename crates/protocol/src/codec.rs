//! How messages become bytes: as protobuf, with room for the whole message made before.
//!
//! Without that, a large message would be copied again each time its buffer has to grow.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// The codec of every service.
#[derive(Clone, Debug)]
pub(crate) struct RoomyCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for RoomyCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for RoomyCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = RoomyEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        RoomyEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::default().decoder()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct RoomyEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for RoomyEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(message.encoded_len());
        let encoded = message.encode(out);
        encoded.map_err(|error| Status::internal(error.to_string()))
    }
}
