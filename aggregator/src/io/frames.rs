//! Whole messages off a stream, bounded in bytes, and onto it. Knows no meaning.

use quinn::{ReadExactError, RecvStream, SendStream};
use tallyman_common::codec::CodecError;
use tallyman_common::message::Message;

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The stream ended between two messages.
    #[error("the stream ended")]
    Ended,
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Broken(#[from] ReadExactError),
    /// Larger than this kind of stream allows, or absurd.
    #[error("a message of {bytes} bytes came where at most {limit} are allowed")]
    TooLarge {
        /// What it says it has.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Bytes of a message behind its length, as its front says.
pub async fn read_length(stream: &mut RecvStream, limit: usize) -> Result<usize, StreamError> {
    let mut front = [0; 4];
    match stream.read_exact(&mut front).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Err(StreamError::Ended),
        Err(error) => return Err(error.into()),
    }
    let bytes = u32::from_le_bytes(front) as usize;
    if (2..=limit).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(StreamError::TooLarge { bytes, limit })
    }
}

/// The message behind its length.
pub async fn read_content(stream: &mut RecvStream, bytes: usize) -> Result<Message, StreamError> {
    let mut kind = [0; 2];
    stream.read_exact(&mut kind).await?;
    let mut body = vec![0; bytes - kind.len()];
    stream.read_exact(&mut body).await?;
    if u16::from_le_bytes(kind) == BATCH {
        return Ok(Message::Batch(body));
    }
    Ok(Message::decode_content(&[&kind[..], &body].concat())?)
}

/// The next message, of at most `limit` bytes.
pub async fn read_message(stream: &mut RecvStream, limit: usize) -> Result<Message, StreamError> {
    let bytes = read_length(stream, limit).await?;
    read_content(stream, bytes).await
}

/// Sends a message; false when nobody waits for it.
pub async fn say(stream: &mut SendStream, message: &Message) -> bool {
    stream.write_all(&message.encode()).await.is_ok()
}

/// Sends the last message of a stream and waits until the other side has it: closing the connection would overtake it.
pub async fn say_last(stream: &mut SendStream, message: &Message) {
    if say(stream, message).await && stream.finish().is_ok() {
        // Whether it was taken or given up: there is nothing left to do.
        drop(stream.stopped().await);
    }
}

/// Kind of a batch: taken as it is, without a copy.
const BATCH: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_kind_that_is_read_without_a_copy() {
        let bytes = Message::Batch(vec![9]).encode();
        assert_eq!(bytes[4..6], BATCH.to_le_bytes());
    }
}
