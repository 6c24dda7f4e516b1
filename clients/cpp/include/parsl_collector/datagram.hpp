#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/** Datagrams of the UDP radio, byte for byte as docs/WIRE.md has them. */
namespace parsl_collector {

struct Datagram {
  std::string stream;         ///< 16 random bytes, drawn anew for each socket.
  std::uint64_t counter = 0;  ///< 1, 2, 3, … with each datagram of the stream.
  std::string envelope;       ///< The bytes of a v1::Envelope.
};

/** Why bytes are no datagram of ours. */
enum class DatagramFault {
  kMalformed,
  kForged,  ///< Its HMAC was not made with this key.
};

/** The bytes to send, signed with `key`. Throws std::invalid_argument for a stream that has not 16 bytes. */
std::string seal(std::string_view key, const Datagram& datagram);

std::variant<Datagram, DatagramFault> unseal(std::string_view key, std::string_view bytes);

/** Envelopes that say together what a larger one said, each small enough for a datagram. */
struct EnvelopeParts {
  std::vector<std::string> parts;   ///< Of at most the bytes asked for; a message that is larger has a part alone.
  std::optional<std::string> note;  ///< The closing note in an envelope of its own, to be sent several times.
};

/** Splits the bytes of a v1::Envelope into such of at most `most_bytes`. Throws std::invalid_argument for bytes that
 *  are no envelope. */
EnvelopeParts split(std::string_view envelope, std::size_t most_bytes);

}  // namespace parsl_collector
