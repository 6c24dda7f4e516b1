//! What every implementation reads and writes byte for byte the same: `tests/vectors` of the repository.

use parsl_collector::{
    datagram::{self, Datagram, Parts},
    proto::Envelope,
    records::{self, ENVELOPE, Fault, Format, OWNER, Record},
};
use prost::Message;
use serde_json::Value;
use std::{fs, path::PathBuf};

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name);
    fs::read(&path).unwrap_or_else(|reason| panic!("read {}: {reason}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

fn unhex(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The cases of a file; that there are some makes a test that could not fail one that can.
fn cases(value: &Value) -> Vec<(String, &Value)> {
    let cases: Vec<_> = match value {
        Value::Object(map) => map.iter().map(|(name, case)| (name.clone(), case)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(n, case)| (format!("case {n}"), case)).collect(),
        other => panic!("expected cases, got {other}"),
    };
    assert!(!cases.is_empty());
    cases
}

fn envelopes_of(records: &[Record<'_>]) -> Vec<Vec<u8>> {
    records.iter().filter(|record| record.kind == ENVELOPE).map(|record| record.payload.to_vec()).collect()
}

#[test]
fn an_envelope_parsed_and_serialized_has_the_same_bytes() {
    let file = json("envelope.json");
    for (name, case) in cases(&file) {
        let bytes = unhex(&case["envelope"]);
        assert_eq!(Envelope::decode(&bytes[..]).unwrap().encode_to_vec(), bytes, "{name}");
    }
}

#[test]
fn a_batch_is_read_up_to_its_fault_and_a_whole_one_is_written_the_same() {
    let file = json("batch.json");
    for (name, case) in cases(&file) {
        let bytes = read(&name);
        let (whole, faults): (Vec<_>, Vec<_>) = records::decode(Format::Batch, &bytes).partition(Result::is_ok);
        let whole: Vec<_> = whole.into_iter().flatten().collect();
        let expected: Vec<_> = case["envelopes"].as_array().unwrap().iter().map(unhex).collect();
        assert_eq!(envelopes_of(&whole), expected, "{name}");
        let fault = case.get("fault").map(|fault| match fault.as_str().unwrap() {
            "truncated" => Fault::Truncated,
            "damaged" => Fault::Damaged,
            "foreign" => Fault::Foreign,
            other => panic!("{name}: unknown fault {other}"),
        });
        assert_eq!(faults.into_iter().filter_map(Result::err).collect::<Vec<_>>(), Vec::from_iter(fault), "{name}");
        if fault.is_none() {
            assert_eq!(records::encode(Format::Batch, whole), bytes, "{name}");
        }
    }
}

#[test]
fn a_segment_is_read_up_to_its_rest_and_what_is_whole_is_written_the_same() {
    let file = json("segment.json");
    for (name, case) in cases(&file) {
        let bytes = read(&name);
        let read: Vec<_> = records::decode(Format::Segment, &bytes).collect();
        if case["foreign"] == true {
            assert_eq!(read, [Err(Fault::Foreign)], "{name}");
            continue;
        }
        let whole: Vec<_> = read.into_iter().flatten().collect();
        assert_eq!(whole[0].kind, OWNER, "{name}");
        assert_eq!(serde_json::from_slice::<Value>(whole[0].payload).unwrap(), case["owner"], "{name}");
        let expected: Vec<_> = case["envelopes"].as_array().unwrap().iter().map(unhex).collect();
        assert_eq!(envelopes_of(&whole), expected, "{name}");
        let written = records::encode(Format::Segment, whole);
        assert_eq!(bytes.len() - written.len(), case["rest_bytes"].as_u64().unwrap() as usize, "{name}");
        assert!(bytes.starts_with(&written), "{name}");
    }
}

#[test]
fn a_datagram_is_sealed_to_the_same_bytes_and_opened_again() {
    let file = json("datagram.json");
    for (name, case) in cases(&file["sealed"]) {
        let (key, envelope, bytes) = (unhex(&case["key"]), unhex(&case["envelope"]), unhex(&case["datagram"]));
        let datagram = Datagram {
            stream: unhex(&case["stream"]).try_into().unwrap(),
            counter: case["counter"].as_u64().unwrap(),
            envelope: &envelope,
        };
        assert_eq!(datagram::seal(&key, &datagram), bytes, "{name}");
        assert_eq!(datagram::open(&key, &bytes), Ok(datagram), "{name}");
    }
}

#[test]
fn a_datagram_that_is_none_is_refused_for_the_reason_named() {
    let file = json("datagram.json");
    for (name, case) in cases(&file["refused"]) {
        let fault = match case["why"].as_str().unwrap() {
            "malformed" => datagram::Fault::Malformed,
            "forged" => datagram::Fault::Forged,
            other => panic!("{name}: unknown reason {other}"),
        };
        assert_eq!(datagram::open(&unhex(&case["key"]), &unhex(&case["datagram"])), Err(fault), "{name}");
    }
}

#[test]
fn a_large_envelope_is_taken_apart_as_it_stands_in_the_vectors() {
    let file = json("datagram.json");
    for (name, case) in cases(&file["split"]) {
        let most_bytes = case["most_bytes"].as_u64().unwrap() as usize;
        let expected = Parts {
            parts: case["parts"].as_array().unwrap().iter().map(unhex).collect(),
            note: Some(&case["note"]).filter(|note| !note.is_null()).map(unhex),
        };
        assert_eq!(datagram::split(&unhex(&case["envelope"]), most_bytes), Ok(expected), "{name}");
    }
}
