//! Datagrams for where only UDP passes: one envelope each, sealed with the run's key.

use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use std::{error, fmt};

/// The most that UDP carries over IPv4. With several messages keep to 1,400 on the way to another host.
pub const MOST_BYTES: usize = 65_507;

/// Bytes of a datagram before its envelope.
pub const HEAD_BYTES: usize = COUNTER_AT + 8;

const MAGIC: &[u8; 4] = b"PCU1";
const STREAM_AT: usize = MAGIC.len() + 32;
const COUNTER_AT: usize = STREAM_AT + 16;
const MOST_COUNTER: u64 = (1 << 53) - 1;

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Random, drawn anew for each socket.
    pub stream: [u8; 16],
    /// 1, 2, 3, … with each datagram of the stream, sent again or not.
    pub counter: u64,
    /// The bytes of an `Envelope`.
    pub envelope: &'a [u8],
}

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is short, begins otherwise, or its counter is 0 or beyond 2^53 − 1.
    Malformed,
    /// It was not sealed with this key.
    Forged,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "open a datagram: it is none",
            Self::Forged => "open a datagram: it was sealed with another key, or changed",
        })
    }
}

impl error::Error for Fault {}

/// The bytes to send, [`HEAD_BYTES`] more than the envelope has. The key is all bytes of the collector's key file.
pub fn seal(key: &[u8], datagram: &Datagram<'_>) -> Vec<u8> {
    let signed = [&datagram.stream[..], &datagram.counter.to_be_bytes(), datagram.envelope].concat();
    [MAGIC, sign(&Key::new(HMAC_SHA256, key), &signed).as_ref(), &signed].concat()
}

/// What is in a datagram that was sealed with this key.
pub fn open<'a>(key: &[u8], bytes: &'a [u8]) -> Result<Datagram<'a>, Fault> {
    if bytes.len() < HEAD_BYTES || !bytes.starts_with(MAGIC) {
        return Err(Fault::Malformed);
    }
    let (seal, signed) = bytes[MAGIC.len()..].split_at(STREAM_AT - MAGIC.len());
    verify(&Key::new(HMAC_SHA256, key), signed, seal).map_err(|_| Fault::Forged)?;
    let stream = bytes[STREAM_AT..COUNTER_AT].try_into().expect("16 bytes");
    let counter = u64::from_be_bytes(bytes[COUNTER_AT..HEAD_BYTES].try_into().expect("8 bytes"));
    if !(1..=MOST_COUNTER).contains(&counter) {
        return Err(Fault::Malformed);
    }
    Ok(Datagram { stream, counter, envelope: &bytes[HEAD_BYTES..] })
}
