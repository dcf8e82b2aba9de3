//! The gRPC codec of every call: prost's, with a look at the shape of a message before anything is allocated for it. The other side's
//! limit on bytes alone is not enough: an element that takes two bytes on the wire takes hundreds in memory.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

mod shape;

pub use shape::Shaped;

/// Encodes `T`, decodes `U`. Named by the generated code.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Decodes one message whose elements were counted first.
#[derive(Debug)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Shaped + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

impl<U: Message + Default + Shaped> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decode(buffer).map(Some)
    }
}

/// Decodes a message, or says why not in the words gRPC has for it.
fn decode<U: Message + Default + Shaped>(buffer: &mut impl Buf) -> Result<U, Status> {
    let bytes = buffer.copy_to_bytes(buffer.remaining());
    let elements = U::SHAPE.elements(&bytes).ok_or_else(|| Status::invalid_argument("malformed message"))?;
    if elements > crate::limit::MESSAGE_ELEMENTS_MAX {
        return Err(Status::resource_exhausted(format!("a message of {elements} elements")));
    }
    U::decode(bytes).map_err(|error| Status::invalid_argument(format!("malformed message: {error}")))
}

#[cfg(test)]
mod tests;
