#include "window.hpp"

#include <algorithm>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "parsl_collector/v1/collector_service.pb.h"

namespace parsl_collector {
namespace {

constexpr std::size_t kMostOnTheWay = 8;
constexpr std::size_t kMostMessages = 500;
constexpr std::size_t kMostBytes = 256 * 1024;

}  // namespace

void append_field(std::string& out, int number, std::string_view bytes) {
  using google::protobuf::io::CodedOutputStream;
  using google::protobuf::internal::WireFormatLite;
  std::uint8_t head[10];  // two varints of 32 bits
  const auto tag = WireFormatLite::MakeTag(number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  std::uint8_t* end = CodedOutputStream::WriteVarint32ToArray(tag, head);
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<std::uint32_t>(bytes.size()), end);
  out.reserve(out.size() + static_cast<std::size_t>(end - head) + bytes.size());
  out.append(head, end).append(bytes);
}

std::uint64_t Window::push(std::string_view message) {
  Message& added = messages_.emplace_back();
  append_field(added.field, v1::Envelope::kMessagesFieldNumber, message);
  bytes_ += added.field.size();
  unsent_bytes_ += added.field.size();
  return last_sequence();
}

bool Window::is_due() const {
  if (on_the_way_.size() >= (must_go_alone() ? 1 : kMostOnTheWay)) return false;
  const std::uint64_t unsent = last_sequence() - cut_;
  if (unsent == 0) {
    const bool note_is_on_its_way = !on_the_way_.empty() && on_the_way_.back().has_note;
    return closing_ && !is_closed() && !note_is_on_its_way;
  }
  return on_the_way_.empty() || was_answered_ || closing_ || unsent >= kMostMessages || unsent_bytes_ >= kMostBytes;
}

std::string Window::take() {
  const std::size_t begin = cut_ - acknowledged_;
  const std::size_t most = must_go_alone() ? 1 : kMostMessages;
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (begin + count < messages_.size() && count < most) {
    bytes += messages_[begin + count].field.size();
    if (count > 0 && bytes > kMostBytes) break;
    ++count;
  }
  return take(count);
}

std::string Window::take_heartbeat() { return take(0); }

std::string Window::take(std::size_t count) {
  const OnTheWay envelope{cut_ + 1, count, closing_ && cut_ + count == last_sequence()};
  v1::Envelope head = head_;
  if (count > 0) head.set_first_sequence(envelope.first);
  if (envelope.has_note) head.mutable_closing_note()->set_last_sequence(last_sequence());

  std::string bytes = head.SerializeAsString();
  for (std::uint64_t sequence = envelope.first; sequence < envelope.first + count; ++sequence) {
    const std::string& field = message_at(sequence).field;
    bytes += field;
    unsent_bytes_ -= field.size();
  }
  cut_ += count;
  was_answered_ = false;
  on_the_way_.push_back(envelope);

  std::string request;
  append_field(request, v1::StreamMessagesRequest::kEnvelopeFieldNumber, bytes);
  return request;
}

bool Window::acknowledge(const v1::Acknowledgement& acknowledgement) {
  if (on_the_way_.empty()) return false;
  const OnTheWay& envelope = on_the_way_.front();
  const v1::SequenceRange& committed = acknowledgement.committed();
  if (envelope.count > 0 &&
      (committed.first() != envelope.first || committed.last() != envelope.first + envelope.count - 1)) {
    return false;
  }
  for (std::size_t index = 0; index < envelope.count; ++index) {
    bytes_ -= messages_.front().field.size();
    messages_.pop_front();
  }
  acknowledged_ += envelope.count;
  was_answered_ = true;
  note_acknowledged_ = envelope.has_note && acknowledgement.closed();
  on_the_way_.pop_front();
  return true;
}

void Window::restart() {
  on_the_way_.clear();
  cut_ = acknowledged_;
  unsent_bytes_ = bytes_;
}

bool Window::refuse(const std::string& reason) {
  isolated_ = std::max(isolated_, cut_);
  if (on_the_way_.size() != 1 || on_the_way_.front().count > 1) return true;
  if (on_the_way_.front().count == 0) return false;
  Message& message = message_at(on_the_way_.front().first);
  if (message.is_set_aside) return false;

  v1::MonitoringMessage substitute;
  substitute.mutable_unreadable_message()->set_reason(reason);
  bytes_ -= message.field.size();
  message = {{}, true};
  append_field(message.field, v1::Envelope::kMessagesFieldNumber, substitute.SerializeAsString());
  bytes_ += message.field.size();
  return true;
}

}  // namespace parsl_collector
