#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "parsl_collector/v1/messages.pb.h"

namespace parsl_collector {

/** No timeout: wait for as long as it takes. */
inline constexpr std::chrono::milliseconds kForever = std::chrono::milliseconds::max();

/** What every failure of a Client is thrown as. The text names act, address, reason and cure. */
class Error : public std::runtime_error {
 public:
  enum class Code {
    kTimeout,   ///< It is not done yet. What was sent stays queued and is still being delivered.
    kTooLarge,  ///< One message above 32 MiB. It was not taken.
    kRefused,   ///< The collector, or what listens there, will never take what this client sends.
    kClosed,    ///< The client was closed before.
    kOptions,   ///< An option that cannot be used.
  };

  Error(Code code, const std::string& text) : std::runtime_error(text), code_(code) {}

  Code code() const { return code_; }

 private:
  Code code_;
};

/** TLS to the collector. All but `server_name` are texts in PEM. */
struct Tls {
  std::string ca;           ///< Whom to trust: a collector's own certificate, or an authority's. Empty: the system's.
  std::string certificate;  ///< Shown to a collector that asks for one (mTLS).
  std::string key;          ///< The certificate's private key.
  std::string server_name;  ///< Name that the collector's certificate must have. Empty: the address's host.
};

struct Options {
  std::string run_id;    ///< The run of every message that names none.
  std::string hostname;  ///< The host of every message that names none. Empty: this host's name.

  /** Bound of what is kept until it is acknowledged, in bytes. At the bound `send` waits. */
  std::size_t buffer_bytes = 32 * 1024 * 1024;

  std::optional<Tls> tls;  ///< Unset: plaintext.
  std::string token;       ///< The collector's token. Empty: none.

  /** How long the destructor of a client that was not closed tries to deliver what is left. */
  std::chrono::milliseconds destructor_timeout = std::chrono::seconds(10);

  // Hooks are called on the client's own thread, one at a time; the destructor's on the thread that destroys. They
  // must neither throw nor wait for the client.

  /** A message that no table takes was kept by the collector as rejected. Unset: a line on std::clog. */
  std::function<void(std::uint64_t sequence, const std::string& reason)> on_rejected;

  /** Whether messages are being acknowledged, with the reason when not; called when that changes. Unset: trouble
   *  is a line on std::clog. */
  std::function<void(bool connected, const std::string& text)> on_connection;
};

/** How many messages a client was given, and what became of them. */
struct Counts {
  std::uint64_t sent = 0;
  std::uint64_t acknowledged = 0;  ///< On the collector's disk, the rejected ones included.
  std::uint64_t rejected = 0;
};

/** Sends monitoring messages to a collector, each exactly once, whatever breaks in between.
 *
 *  A message is kept until the collector has it on its disk, and sent again after every broken connection. Usable
 *  from many threads at once. Do not use it in a forked child: a client belongs to the process that made it. */
class Client {
 public:
  /** Returns at once. The connection to `address`, "host:port", is made in the background, and again whenever it
   *  breaks. Throws Error for options that cannot be used. */
  explicit Client(std::string address, Options options = {});

  /** Closes, for `Options::destructor_timeout` at most; messages that are left then are lost, and told to
   *  `on_connection`. Call `close` to know. */
  ~Client();

  Client(Client&&) noexcept;
  Client& operator=(Client&&) = delete;

  /** Takes a message for delivery and returns its sequence. Waits while the buffer is full. */
  std::uint64_t send(const v1::MonitoringMessage& message, std::chrono::milliseconds timeout = kForever);

  /** Waits until everything that was sent before is acknowledged. */
  void flush(std::chrono::milliseconds timeout = kForever);

  /** Delivers everything, tells the collector that this was all, and ends the connection. After a timeout it may be
   *  called again; closing twice is harmless. */
  void close(std::chrono::milliseconds timeout = kForever);

  Counts counts() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace parsl_collector
