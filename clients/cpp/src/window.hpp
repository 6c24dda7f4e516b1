#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "parsl_collector/v1/envelope.pb.h"

namespace parsl_collector {

/** Appends a length-delimited protobuf field to `out`. */
void append_field(std::string& out, int number, std::string_view bytes);

/** The messages that were taken and are not acknowledged, and the envelopes that carry them. Knows sequences and
 *  bytes; no I/O, no locks, no time. */
class Window {
 public:
  /** `head` is what every envelope says. */
  explicit Window(v1::Envelope head) : head_(std::move(head)) {}

  /** Takes an encoded MonitoringMessage and returns its sequence. */
  std::uint64_t push(std::string_view message);

  /** No more messages come: what is left may go at once, and then the closing note. */
  void close() { closing_ = true; }

  /** Whether an envelope should go now. */
  bool is_due() const;

  /** The bytes of the StreamMessagesRequest that is due; it is on its way from now on. */
  std::string take();

  /** The same for an envelope that says nothing but that this sender lives. */
  std::string take_heartbeat();

  /** Answers the oldest envelope on its way. False when it cannot be that one's answer. */
  bool acknowledge(const v1::Acknowledgement& acknowledgement);

  /** A new connection: nothing is on its way, and everything unacknowledged goes again. */
  void restart();

  /** What is on its way was refused for ever. Puts the message to blame aside when it was alone, else sees to it
   *  that each goes alone. False when no message is to blame. */
  bool refuse(const std::string& reason);

  std::size_t bytes() const { return bytes_; }
  std::size_t left() const { return messages_.size(); }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t last_sequence() const { return acknowledged_ + messages_.size(); }
  /** Nothing waits, and something was sent: what a sender without messages is silent about nobody waits for. */
  bool is_idle() const { return on_the_way_.empty() && messages_.empty() && last_sequence() > 0; }

  /** Everything is acknowledged, the closing note too. A sender without messages need not say it. */
  bool is_closed() const { return closing_ && (note_acknowledged_ || last_sequence() == 0); }

 private:
  struct Message {
    std::string field;  ///< As it stands in an envelope.
    bool is_set_aside = false;
  };
  struct OnTheWay {
    std::uint64_t first = 0;
    std::size_t count = 0;
    bool has_note = false;
  };

  std::string take(std::size_t count);
  Message& message_at(std::uint64_t sequence) { return messages_[sequence - acknowledged_ - 1]; }
  bool must_go_alone() const { return cut_ < isolated_; }

  v1::Envelope head_;
  std::deque<Message> messages_;
  std::size_t bytes_ = 0;
  std::size_t unsent_bytes_ = 0;
  std::uint64_t acknowledged_ = 0;  ///< Every sequence up to this one is.
  std::uint64_t cut_ = 0;           ///< Up to this sequence: in an envelope on its way.
  std::uint64_t isolated_ = 0;      ///< Up to this sequence each message goes alone, to find the one to blame.
  std::deque<OnTheWay> on_the_way_;
  bool was_answered_ = false;  ///< Since the last envelope.
  bool closing_ = false;
  bool note_acknowledged_ = false;
};

}  // namespace parsl_collector
