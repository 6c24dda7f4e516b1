#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

#include "parsl_collector/datagram.hpp"
#include "parsl_collector/records.hpp"
#include "parsl_collector/v1/envelope.pb.h"

namespace parsl_collector {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

std::string file(const std::string& name) {
  std::ifstream stream(std::string(VECTORS_DIRECTORY) + "/" + name, std::ios::binary);
  if (!stream) throw std::runtime_error("read tests/vectors/" + name + ": no such file");
  return {std::istreambuf_iterator<char>(stream), {}};
}

/** The entries of a JSON file, by name. */
std::map<std::string, Value> vectors(const std::string& name) {
  Struct parsed;
  const auto status = google::protobuf::util::JsonStringToMessage(file(name), &parsed);
  if (!status.ok() || parsed.fields().empty()) throw std::runtime_error("read tests/vectors/" + name + ": no vectors");
  return {parsed.fields().begin(), parsed.fields().end()};
}

/** The entries of a list of datagram.json. */
std::vector<Value> datagram_vectors(const std::string& name) {
  const auto values = vectors("datagram.json").at(name).list_value().values();
  return {values.begin(), values.end()};
}

const Value& field(const Value& object, const std::string& name) { return object.struct_value().fields().at(name); }

bool has(const Value& object, const std::string& name) { return object.struct_value().fields().count(name) > 0; }

std::string text(const Value& object, const std::string& name) { return field(object, name).string_value(); }

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t at = 0; at < hex.size(); at += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
  }
  return bytes;
}

std::string bytes(const Value& object, const std::string& name) { return from_hex(text(object, name)); }

std::vector<std::string> list_of_bytes(const Value& object, const std::string& name) {
  std::vector<std::string> list;
  for (const auto& value : field(object, name).list_value().values()) list.push_back(from_hex(value.string_value()));
  return list;
}

/** Maps in the order of their keys, as the vectors have them. */
std::string serialized(const v1::Envelope& envelope) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  envelope.SerializeToCodedStream(&coded);
  coded.Trim();
  return out;
}

/** A file of records, encoded anew from what was decoded. */
std::string rewritten(const std::string& file, std::string_view magic) {
  const auto decoded = decode_records(file, magic);
  if (!decoded) throw std::runtime_error("a file does not begin with its magic");
  std::string written(magic);
  for (const auto& [kind, payload] : decoded->records) written += encode_record(kind, payload);
  return written.append(decoded->rest);
}

TEST(Vectors, EnvelopesAreReadAndWrittenByteForByte) {
  for (const auto& [name, vector] : vectors("envelope.json")) {
    SCOPED_TRACE(name);
    const std::string expected = bytes(vector, "envelope");

    v1::Envelope from_bytes;
    ASSERT_TRUE(from_bytes.ParseFromString(expected));
    EXPECT_EQ(serialized(from_bytes), expected);

    std::string json;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(field(vector, "json"), &json).ok());
    // A Struct prints -0.0 as -0, which is read as an integer and loses its sign; its fields have no fixed order.
    for (const char* zero : {":-0,", ":-0}"}) {
      if (const auto at = json.find(zero); at != std::string::npos) json.insert(at + 3, ".0");
    }
    v1::Envelope from_json;
    const auto status = google::protobuf::util::JsonStringToMessage(json, &from_json);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(serialized(from_json), expected);
  }
}

TEST(Vectors, BatchesAreReadUpToTheirFaultAndWrittenByteForByte) {
  using Fault = Batch::Fault;
  const std::map<std::string, Fault> faults = {
      {"truncated", Fault::kTruncated}, {"damaged", Fault::kDamaged}, {"foreign", Fault::kForeign}};

  for (const auto& [name, vector] : vectors("batch.json")) {
    SCOPED_TRACE(name);
    const Batch batch = decode_batch(file(name));
    EXPECT_EQ(batch.envelopes, list_of_bytes(vector, "envelopes"));
    EXPECT_EQ(batch.fault, has(vector, "fault") ? faults.at(text(vector, "fault")) : Fault::kNone);
  }
  EXPECT_EQ(rewritten(file("batch-unknown-kind.bin"), kBatchMagic), file("batch-unknown-kind.bin"));
  for (const char* name : {"batch.bin", "batch-single.bin"}) {
    EXPECT_EQ(encode_batch(decode_batch(file(name)).envelopes), file(name)) << name;
  }
  EXPECT_EQ(decode_batch("").fault, Fault::kEmpty);
}

TEST(Vectors, SegmentsAreReadUpToTheirFaultAndWrittenByteForByte) {
  for (const auto& [name, vector] : vectors("segment.json")) {
    SCOPED_TRACE(name);
    const auto segment = decode_segment(file(name));
    ASSERT_EQ(segment.has_value(), !has(vector, "foreign"));
    if (!segment) continue;

    const Value& owner = field(vector, "owner");
    EXPECT_EQ(segment->owner.sender_id, text(owner, "sender_id"));
    EXPECT_EQ(segment->owner.run_id, text(owner, "run_id"));
    EXPECT_EQ(segment->owner.hostname, text(owner, "hostname"));
    EXPECT_EQ(segment->owner.pid, field(owner, "pid").number_value());
    EXPECT_EQ(segment->owner.process_started, field(owner, "process_started").number_value());
    EXPECT_EQ(segment->envelopes, list_of_bytes(vector, "envelopes"));
    EXPECT_EQ(segment->rest_bytes, field(vector, "rest_bytes").number_value());

    EXPECT_EQ(file(name).find(encode_segment_head(segment->owner)), 0);
    EXPECT_EQ(rewritten(file(name), kSegmentMagic), file(name));
  }
}

TEST(Vectors, DatagramsAreSealedByteForByteAndOpened) {
  for (const auto& vector : datagram_vectors("sealed")) {
    const std::string key = bytes(vector, "key");
    const auto counter = static_cast<std::uint64_t>(field(vector, "counter").number_value());
    const Datagram datagram{bytes(vector, "stream"), counter, bytes(vector, "envelope")};
    EXPECT_EQ(seal(key, datagram), bytes(vector, "datagram"));

    const auto opened = unseal(key, bytes(vector, "datagram"));
    ASSERT_TRUE(std::holds_alternative<Datagram>(opened));
    EXPECT_EQ(std::get<Datagram>(opened).stream, datagram.stream);
    EXPECT_EQ(std::get<Datagram>(opened).counter, datagram.counter);
    EXPECT_EQ(std::get<Datagram>(opened).envelope, datagram.envelope);
  }
}

TEST(Vectors, DatagramsThatAreNoneAreRefusedWithTheirFault) {
  const std::map<std::string, DatagramFault> faults = {{"malformed", DatagramFault::kMalformed},
                                                       {"forged", DatagramFault::kForged}};
  for (const auto& vector : datagram_vectors("refused")) {
    const auto opened = unseal(bytes(vector, "key"), bytes(vector, "datagram"));
    ASSERT_TRUE(std::holds_alternative<DatagramFault>(opened)) << text(vector, "why");
    EXPECT_EQ(std::get<DatagramFault>(opened), faults.at(text(vector, "why")));
  }
}

TEST(Vectors, EnvelopesAreSplitByteForByte) {
  for (const auto& vector : datagram_vectors("split")) {
    const auto most_bytes = static_cast<std::size_t>(field(vector, "most_bytes").number_value());
    const EnvelopeParts parts = split(bytes(vector, "envelope"), most_bytes);
    EXPECT_EQ(parts.parts, list_of_bytes(vector, "parts"));
    const bool has_note = field(vector, "note").kind_case() == Value::kStringValue;
    ASSERT_EQ(parts.note.has_value(), has_note);
    if (has_note) {
      EXPECT_EQ(*parts.note, bytes(vector, "note"));
    }
  }
}

}  // namespace
}  // namespace parsl_collector
