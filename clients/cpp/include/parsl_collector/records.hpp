#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/** The files of the filesystem radio and of a spool, byte for byte as docs/WIRE.md has them. Envelopes are the bytes
 *  of a serialized v1::Envelope. */
namespace parsl_collector {

inline constexpr std::string_view kBatchMagic = "PCBATCH1";
inline constexpr std::string_view kSegmentMagic = "PCSPOOL1";

struct Record {
  static constexpr std::uint8_t kOwner = 1;
  static constexpr std::uint8_t kEnvelope = 2;

  std::uint8_t kind = kEnvelope;  ///< Others than those two are of later versions: skip them.
  std::string payload;
};

struct Records {
  std::vector<Record> records;
  std::string_view rest;  ///< The end of the file, from the first record that is short or fails its checksum.
};

std::string encode_record(std::uint8_t kind, std::string_view payload);

/** Unset for a file that does not begin with `magic`. */
std::optional<Records> decode_records(std::string_view file, std::string_view magic);

/** What a batch file holds. */
struct Batch {
  enum class Fault {
    kNone,
    kEmpty,      ///< The file has no bytes.
    kTruncated,  ///< It ends in the middle of a record.
    kDamaged,    ///< A checksum is wrong.
    kForeign,    ///< It is no batch.
  };

  std::vector<std::string> envelopes;  ///< Those before the fault.
  Fault fault = Fault::kNone;
};

std::string encode_batch(const std::vector<std::string>& envelopes);
Batch decode_batch(std::string_view file);

/** The process that writes a segment of a spool. */
struct SegmentOwner {
  std::string sender_id;
  std::string run_id;
  std::string hostname;
  std::int64_t pid = 0;
  std::optional<std::int64_t> process_started;  ///< Field 22 of /proc/<pid>/stat, in clock ticks since boot.
};

/** What is whole in a segment. */
struct Segment {
  SegmentOwner owner;
  std::vector<std::string> envelopes;
  std::size_t rest_bytes = 0;  ///< Bytes at its end that are no whole record: torn off by a crash, or damaged.
};

/** The beginning of a segment. What is appended to it are records of envelopes. */
std::string encode_segment_head(const SegmentOwner& owner);

/** Unset for a file that is no segment. */
std::optional<Segment> decode_segment(std::string_view file);

}  // namespace parsl_collector
