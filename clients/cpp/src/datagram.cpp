#include "parsl_collector/datagram.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "parsl_collector/v1/envelope.pb.h"

namespace parsl_collector {
namespace {

constexpr std::string_view kMagic = "PCU1";
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kStreamBytes = 16;
constexpr std::size_t kCounterBytes = 8;
constexpr std::size_t kMacAt = kMagic.size();
constexpr std::size_t kStreamAt = kMacAt + kMacBytes;
constexpr std::size_t kCounterAt = kStreamAt + kStreamBytes;
constexpr std::size_t kEnvelopeAt = kCounterAt + kCounterBytes;

/** The highest integer that every language of the wire has exactly. */
constexpr std::uint64_t kLargestCounter = (std::uint64_t{1} << 53) - 1;

std::string hmac(std::string_view key, std::string_view content) {
  std::string mac(kMacBytes, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(content.data()),
       content.size(), reinterpret_cast<unsigned char*>(mac.data()), nullptr);
  return mac;
}

/** Bytes of a message as a field of an envelope, whose tags have one byte. */
std::size_t size_of_field(const google::protobuf::Message& message) {
  const std::size_t size = message.ByteSizeLong();
  return 1 + google::protobuf::io::CodedOutputStream::VarintSize32(static_cast<std::uint32_t>(size)) + size;
}

}  // namespace

std::string seal(std::string_view key, const Datagram& datagram) {
  if (datagram.stream.size() != kStreamBytes) throw std::invalid_argument("seal: a stream has 16 bytes");
  std::string content = datagram.stream;
  for (int shift = 56; shift >= 0; shift -= 8) content += static_cast<char>(datagram.counter >> shift);
  content += datagram.envelope;
  return std::string(kMagic) + hmac(key, content) + content;
}

std::variant<Datagram, DatagramFault> unseal(std::string_view key, std::string_view bytes) {
  if (bytes.size() < kEnvelopeAt || bytes.substr(0, kMacAt) != kMagic) return DatagramFault::kMalformed;
  if (CRYPTO_memcmp(hmac(key, bytes.substr(kStreamAt)).data(), bytes.data() + kMacAt, kMacBytes) != 0) {
    return DatagramFault::kForged;
  }
  std::uint64_t counter = 0;
  for (const char byte : bytes.substr(kCounterAt, kCounterBytes)) {
    counter = counter << 8 | static_cast<std::uint8_t>(byte);
  }
  if (counter < 1 || counter > kLargestCounter) return DatagramFault::kMalformed;
  return Datagram{std::string(bytes.substr(kStreamAt, kStreamBytes)), counter, std::string(bytes.substr(kEnvelopeAt))};
}

EnvelopeParts split(std::string_view bytes, std::size_t most_bytes) {
  v1::Envelope whole;
  if (!whole.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw std::invalid_argument("split: the bytes are no envelope");
  }
  const int pieces = whole.messages_size() + whole.losses_size();
  if (!whole.has_closing_note() && (bytes.size() <= most_bytes || pieces < 2)) {
    return {{std::string(bytes)}, std::nullopt};
  }
  v1::Envelope fields = whole;
  fields.clear_first_sequence();
  fields.clear_messages();
  fields.clear_losses();
  fields.clear_closing_note();
  const std::string head = fields.SerializeAsString();

  EnvelopeParts result;
  if (whole.has_closing_note()) {
    v1::Envelope note;
    *note.mutable_closing_note() = whole.closing_note();
    result.note = head + note.SerializeAsString();
  }

  v1::Envelope part;  // behind the head, which protobuf reads as one envelope with it
  std::size_t room = 0;
  const auto finish = [&] {
    if (part.messages_size() + part.losses_size() > 0) result.parts.push_back(head + part.SerializeAsString());
  };
  const auto make_room = [&](std::size_t size, std::uint64_t sequence) {
    if (size > room) {
      finish();
      part.Clear();
      part.set_first_sequence(sequence);
      const std::size_t used = head.size() + part.ByteSizeLong();
      room = std::max(most_bytes, used + size) - used;
    }
    room -= size;
  };
  for (int index = 0; index < whole.messages_size(); ++index) {
    auto& message = *whole.mutable_messages(index);
    make_room(size_of_field(message), whole.first_sequence() + static_cast<std::uint64_t>(index));
    *part.add_messages() = std::move(message);
  }
  for (auto& loss : *whole.mutable_losses()) {
    make_room(size_of_field(loss), 0);
    *part.add_losses() = std::move(loss);
  }
  finish();
  return result;
}

}  // namespace parsl_collector
