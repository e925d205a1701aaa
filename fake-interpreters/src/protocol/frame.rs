//! Frames: a length of four bytes, the most significant first, and a message.

use std::io;

use plugin_proto::prost::Message;

use crate::wire::MAX_MESSAGE;

/// The largest frame: a message, and what stands around it.
const MAX_FRAME: usize = MAX_MESSAGE + (1 << 20);

/// The message of one frame, as encoded.
pub(crate) fn read_frame(reader: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let mut bytes = vec![0; checked(u32::from_be_bytes(length))?];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_be_bytes());
    bytes.extend(message.encode_to_vec());
    bytes
}

pub(crate) fn checked(length: u32) -> io::Result<usize> {
    let length = length as usize;
    if length > MAX_FRAME {
        let problem = format!("a frame of {length} bytes, more than {MAX_FRAME}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(length)
}
