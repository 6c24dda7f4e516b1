//! Datagrams for where only UDP passes: one envelope each, sealed with the run's key.

use prost::{
    DecodeError,
    encoding::{self, DecodeContext, WireType},
};
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

/// Numbers of `Envelope`'s fields.
const FIRST_SEQUENCE: u32 = 2;
const MESSAGES: u32 = 6;
const CLOSING_NOTE: u32 = 7;
const LOSSES: u32 = 8;

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

/// What is sent in place of an envelope: such as say the same, each small enough for a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The messages, and behind them the losses.
    pub parts: Vec<Vec<u8>>,
    /// The closing note alone, which is worth more than any other datagram.
    pub note: Option<Vec<u8>>,
}

/// Takes an `Envelope` apart into such of at most `most_bytes` each; a message or loss that is larger travels alone.
/// Fields are moved as they stand, so that kinds which are not known here come through. Fails for bytes that are no
/// envelope.
pub fn split(envelope: &[u8], most_bytes: usize) -> Result<Parts, DecodeError> {
    let (mut head, mut messages, mut losses, mut closing) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut first = 0;
    let mut rest = envelope;
    while !rest.is_empty() {
        let start = rest;
        let (number, wire_type) = encoding::decode_key(&mut rest)?;
        if (number, wire_type) == (FIRST_SEQUENCE, WireType::Varint) {
            first = encoding::decode_varint(&mut rest)?;
            continue;
        }
        encoding::skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        let field = &start[..start.len() - rest.len()];
        match number {
            MESSAGES => messages.push(field),
            LOSSES => losses.push(field),
            CLOSING_NOTE => closing = Some(field),
            _ => head.extend_from_slice(field),
        }
    }
    if closing.is_none() && (envelope.len() <= most_bytes || messages.len() + losses.len() < 2) {
        return Ok(Parts { parts: vec![envelope.to_vec()], note: None });
    }
    let numbered = messages.into_iter().zip((first..).map(Some));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (field, sequence) in numbered.chain(losses.into_iter().map(|loss| (loss, None))) {
        if let Some(last) = parts.last_mut().filter(|last| last.len() + field.len() <= most_bytes) {
            last.extend_from_slice(field);
            continue;
        }
        let mut part = head.clone();
        if let Some(sequence) = sequence {
            encoding::uint64::encode(FIRST_SEQUENCE, &sequence, &mut part);
        }
        part.extend_from_slice(field);
        parts.push(part);
    }
    Ok(Parts { parts, note: closing.map(|note| [&head, note].concat()) })
}
