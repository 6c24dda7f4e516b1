//! Files of records: a batch for the filesystem radio, and a segment of a spool.
//!
//! After eight bytes of magic come records: the payload's length and the CRC-32 of kind and payload, both u32 in little
//! endian, the kind in one byte, the payload.

use crc32fast::Hasher;
use std::{error, fmt};

/// What a file of records is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Envelopes for the filesystem radio.
    Batch,
    /// Envelopes of one sender, after a record that says who that is.
    Segment,
}

impl Format {
    /// How the file begins.
    pub fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Batch => b"PCBATCH1",
            Self::Segment => b"PCSPOOL1",
        }
    }
}

/// The kind of a segment's first record: JSON that says whose it is.
pub const OWNER: u8 = 1;
/// The kind of a record with the bytes of an `Envelope`.
pub const ENVELOPE: u8 = 2;

/// Bytes of a record before its kind.
const KIND_AT: usize = 8;

/// One record. Skip kinds that you do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// [`OWNER`], [`ENVELOPE`], or one that a later version wrote.
    pub kind: u8,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// Why a file cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It begins otherwise, or is a segment of nobody.
    Foreign,
    /// The last record is short.
    Truncated,
    /// A record fails its checksum.
    Damaged,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "read a file of records: it is none, or of another version",
            Self::Truncated => "read a record: the file ends before it does",
            Self::Damaged => "read a record: its checksum is wrong",
        })
    }
}

impl error::Error for Fault {}

/// The bytes of a file.
pub fn encode<'a>(format: Format, records: impl IntoIterator<Item = Record<'a>>) -> Vec<u8> {
    let mut file = format.magic().to_vec();
    for record in records {
        append(&mut file, record);
    }
    file
}

/// Puts a record behind what is there.
///
/// # Panics
/// When the payload has 4 GiB or more.
pub fn append(file: &mut Vec<u8>, record: Record<'_>) {
    let length = u32::try_from(record.payload.len()).expect("a payload has less than 4 GiB");
    file.extend(length.to_le_bytes());
    file.extend(checksum(record).to_le_bytes());
    file.push(record.kind);
    file.extend(record.payload);
}

/// The whole records of a file, in their order; in place of the first that is not whole, why, and nothing after it.
pub fn decode(format: Format, file: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Fault>> {
    let mut rest = match file.strip_prefix(format.magic()) {
        Some(rest) if format == Format::Batch || rest.get(KIND_AT) == Some(&OWNER) => Ok(rest),
        _ => Err(Fault::Foreign),
    };
    std::iter::from_fn(move || {
        if rest == Ok(&[]) {
            return None;
        }
        let (record, after) = match rest.and_then(first) {
            Ok((record, after)) => (Ok(record), after),
            Err(fault) => (Err(fault), &[][..]),
        };
        rest = Ok(after);
        Some(record)
    })
}

fn first(file: &[u8]) -> Result<(Record<'_>, &[u8]), Fault> {
    let (head, rest) = file.split_at_checked(KIND_AT + 1).ok_or(Fault::Truncated)?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (payload, rest) = rest.split_at_checked(number(0) as usize).ok_or(Fault::Truncated)?;
    let record = Record { kind: head[KIND_AT], payload };
    if checksum(record) != number(4) {
        return Err(Fault::Damaged);
    }
    Ok((record, rest))
}

fn checksum(record: Record<'_>) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&[record.kind]);
    hasher.update(record.payload);
    hasher.finalize()
}
