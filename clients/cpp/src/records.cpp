#include "parsl_collector/records.hpp"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <zlib.h>

#include <utility>

namespace parsl_collector {
namespace {

/** Bytes of a record before its payload: its length and CRC-32, u32 little endian, and its kind. */
constexpr std::size_t kHeadBytes = 9;
constexpr std::size_t kKindAt = 8;

void append_u32(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift);
}

std::uint32_t u32_at(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (int index = 3; index >= 0; --index) value = value << 8 | static_cast<std::uint8_t>(bytes[at + index]);
  return value;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/** Whether a record has all the bytes that its head asks for. */
bool is_long_enough(std::string_view record) {
  return record.size() >= kHeadBytes && record.size() - kHeadBytes >= u32_at(record, 0);
}

bool begins_with(std::string_view text, std::string_view beginning) {
  return text.substr(0, beginning.size()) == beginning;
}

std::string quoted(const std::string& text) {
  google::protobuf::Value value;
  value.set_string_value(text);
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(value, &json);
  return status.ok() ? json : "\"\"";
}

std::vector<std::string> envelopes_of(std::vector<Record> records) {
  std::vector<std::string> envelopes;
  for (auto& [kind, payload] : records) {
    if (kind == Record::kEnvelope) envelopes.push_back(std::move(payload));
  }
  return envelopes;
}

std::optional<SegmentOwner> decode_owner(const std::string& json) {
  google::protobuf::Struct said;
  if (!google::protobuf::util::JsonStringToMessage(json, &said).ok()) return std::nullopt;
  const auto& fields = said.fields();
  const auto has = [&](const char* name, google::protobuf::Value::KindCase kind) {
    const auto field = fields.find(name);
    return field != fields.end() && field->second.kind_case() == kind;
  };
  for (const char* name : {"sender_id", "run_id", "hostname"}) {
    if (!has(name, google::protobuf::Value::kStringValue)) return std::nullopt;
  }
  if (!has("pid", google::protobuf::Value::kNumberValue)) return std::nullopt;
  SegmentOwner owner;
  owner.sender_id = fields.at("sender_id").string_value();
  owner.run_id = fields.at("run_id").string_value();
  owner.hostname = fields.at("hostname").string_value();
  owner.pid = static_cast<std::int64_t>(fields.at("pid").number_value());
  if (has("process_started", google::protobuf::Value::kNumberValue)) {
    owner.process_started = static_cast<std::int64_t>(fields.at("process_started").number_value());
  }
  return owner;
}

}  // namespace

std::string encode_record(std::uint8_t kind, std::string_view payload) {
  std::string content(1, static_cast<char>(kind));
  content += payload;
  std::string record;
  append_u32(record, static_cast<std::uint32_t>(payload.size()));
  append_u32(record, checksum(content));
  return record + content;
}

std::optional<Records> decode_records(std::string_view file, std::string_view magic) {
  if (!begins_with(file, magic)) return std::nullopt;
  Records decoded{{}, file.substr(magic.size())};
  while (is_long_enough(decoded.rest)) {
    const std::string_view content = decoded.rest.substr(kKindAt, 1 + u32_at(decoded.rest, 0));
    if (checksum(content) != u32_at(decoded.rest, 4)) break;
    decoded.records.push_back({static_cast<std::uint8_t>(content.front()), std::string(content.substr(1))});
    decoded.rest.remove_prefix(kKindAt + content.size());
  }
  return decoded;
}

std::string encode_batch(const std::vector<std::string>& envelopes) {
  std::string file(kBatchMagic);
  for (const auto& envelope : envelopes) file += encode_record(Record::kEnvelope, envelope);
  return file;
}

Batch decode_batch(std::string_view file) {
  if (file.empty()) return {{}, Batch::Fault::kEmpty};
  auto decoded = decode_records(file, kBatchMagic);
  if (!decoded) return {{}, begins_with(kBatchMagic, file) ? Batch::Fault::kTruncated : Batch::Fault::kForeign};
  Batch batch{envelopes_of(std::move(decoded->records)), Batch::Fault::kNone};
  if (!decoded->rest.empty()) {
    batch.fault = is_long_enough(decoded->rest) ? Batch::Fault::kDamaged : Batch::Fault::kTruncated;
  }
  return batch;
}

std::string encode_segment_head(const SegmentOwner& owner) {
  const std::string started = owner.process_started ? std::to_string(*owner.process_started) : "null";
  const std::string json = "{\"sender_id\": " + quoted(owner.sender_id) + ", \"run_id\": " + quoted(owner.run_id) +
                           ", \"hostname\": " + quoted(owner.hostname) + ", \"pid\": " + std::to_string(owner.pid) +
                           ", \"process_started\": " + started + "}";
  return std::string(kSegmentMagic) + encode_record(Record::kOwner, json);
}

std::optional<Segment> decode_segment(std::string_view file) {
  auto decoded = decode_records(file, kSegmentMagic);
  if (!decoded || decoded->records.empty() || decoded->records.front().kind != Record::kOwner) return std::nullopt;
  auto owner = decode_owner(decoded->records.front().payload);
  if (!owner) return std::nullopt;
  return Segment{std::move(*owner), envelopes_of(std::move(decoded->records)), decoded->rest.size()};
}

}  // namespace parsl_collector
