#include "parsl_collector/client.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "stream.hpp"
#include "window.hpp"

namespace parsl_collector {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/** Largest message, in bytes encoded: half of what a collector takes in one request. */
constexpr std::size_t kLargestMessage = 32 * 1024 * 1024;

/** Bounds of the wait between two attempts to connect. */
constexpr milliseconds kFirstPause = 50ms;
constexpr milliseconds kLongestPause = 5s;

/** A run whose senders are silent for 90 s counts as lost. */
constexpr milliseconds kHeartbeat = 30s;

/** Longest wait for the collector to end a stream on which everything is acknowledged. */
constexpr milliseconds kFarewell = 5s;

std::string random_sender_id() {
  std::random_device random;
  std::string id;
  for (int word = 0; word < 4; ++word) {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", random());
    id += digits;
  }
  return id;
}

std::string this_hostname() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

v1::Envelope head_of(const Options& options) {
  v1::Envelope head;
  head.set_sender_id(random_sender_id());
  head.set_run_id(options.run_id);
  head.set_hostname(options.hostname.empty() ? this_hostname() : options.hostname);
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  head.set_utc_offset_seconds(static_cast<std::int32_t>(local.tm_gmtoff));
  return head;
}

bool holds_certificate(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  const bool is_one = certificate != nullptr;
  X509_free(certificate);
  BIO_free(bio);
  ERR_clear_error();
  return is_one;
}

Options checked(Options options) {
  // gRPC ends the whole process for metadata that HTTP/2 does not allow, as the newline at the end of a token's file.
  const auto is_printable = [](unsigned char character) { return character >= 0x20 && character < 0x7f; };
  if (!std::all_of(options.token.begin(), options.token.end(), is_printable)) {
    throw Error(Error::Code::kOptions,
                "Options::token: expected printable ASCII; cut off the newline at the end of a token's file");
  }
  // gRPC tells of these to its own log alone, and goes on as if there were no address.
  if (options.tls && !options.tls->ca.empty() && !holds_certificate(options.tls->ca)) {
    throw Error(Error::Code::kOptions,
                "Options::tls: ca is no certificate in PEM; give the text of the file, not its name");
  }
  if (options.tls && options.tls->certificate.empty() != options.tls->key.empty()) {
    throw Error(Error::Code::kOptions, "Options::tls: certificate and key go together; give both or neither");
  }
  return options;
}

milliseconds jittered(milliseconds pause) {
  thread_local std::minstd_rand random(std::random_device{}());
  return milliseconds(std::uniform_int_distribution(pause.count() / 2, pause.count())(random));
}

const char* name_of(grpc::StatusCode code) {
  constexpr const char* names[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
                                   "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
                                   "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
                                   "UNAUTHENTICATED"};
  return code >= 0 && code < static_cast<int>(std::size(names)) ? names[code] : "an unknown status";
}

/** What to do about a status with which no attempt will ever succeed; null for all others. */
const char* cure_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAUTHENTICATED: return "give the collector's token in Options::token";
    case grpc::StatusCode::PERMISSION_DENIED: return "the run is another token's: give that one, or another run_id";
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::NOT_FOUND: return "no collector listens there: correct the address";
    default: return nullptr;
  }
}

/** Whether what was sent will be refused however often it comes. */
bool is_refusal(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
         (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
          status.error_message().find("larger than max") != std::string::npos);
}

}  // namespace

/** The caller's threads put messages into the window and wait for progress; one thread of ours connects, sends, and
 *  takes in acknowledgements. */
class Client::Impl {
 public:
  Impl(std::string address, Options options)
      : address_(std::move(address)), options_(checked(std::move(options))), window_(head_of(options_)) {
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() { stop(); }

  /** Ends the thread, whatever is left. */
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
      work_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  std::uint64_t send(const v1::MonitoringMessage& message, milliseconds timeout) {
    if (const std::size_t size = message.ByteSizeLong(); size > kLargestMessage) {
      throw Error(Error::Code::kTooLarge, "send a message of " + std::to_string(size) + " bytes to " + address_ +
                                              ": at most " + std::to_string(kLargestMessage) +
                                              " go; cut its longest text");
    }
    const std::string bytes = message.SerializeAsString();
    std::unique_lock lock(mutex_);
    wait(lock, timeout, "send to", [&] {
      const bool has_room = window_.left() == 0 || window_.bytes() + bytes.size() <= options_.buffer_bytes;
      return failure_.empty() && (has_room || is_closing_);
    });
    if (is_closing_) throw Error(Error::Code::kClosed, "send to " + address_ + ": the client was closed before");
    const std::uint64_t sequence = window_.push(bytes);
    if (window_.is_due()) work_.notify_one();
    return sequence;
  }

  void flush(milliseconds timeout) {
    std::unique_lock lock(mutex_);
    const std::uint64_t last = window_.last_sequence();
    wait(lock, timeout, "flush to", [&] { return window_.acknowledged() >= last; });
  }

  void close(milliseconds timeout) {
    std::unique_lock lock(mutex_);
    is_closing_ = true;
    window_.close();
    work_.notify_all();
    progress_.notify_all();
    wait(lock, timeout, "close the client of", [&] { return has_finished_; });
  }

  bool is_closing() const {
    const std::lock_guard lock(mutex_);
    return is_closing_;
  }

  Counts counts() const {
    const std::lock_guard lock(mutex_);
    return {window_.last_sequence(), window_.acknowledged(), rejected_};
  }

  milliseconds destructor_timeout() const { return options_.destructor_timeout; }

  void tell_connection(bool connected, const std::string& text) const {
    if (options_.on_connection) {
      options_.on_connection(connected, text);
    } else if (!connected) {
      std::clog << "parsl-collector: " << text << std::endl;
    }
  }

 private:
  template <typename Predicate>
  void wait(std::unique_lock<std::mutex>& lock, milliseconds timeout, const char* act, Predicate is_done) {
    const auto is_over = [&] { return is_done() || !failure_.empty(); };
    if (timeout == kForever) {
      progress_.wait(lock, is_over);
    } else if (!progress_.wait_for(lock, timeout, is_over)) {
      throw Error(Error::Code::kTimeout, said(act, "not done within " + std::to_string(timeout.count()) + " ms") +
                                             (trouble_.empty() ? "" : "; last trouble: " + trouble_));
    }
    if (!is_done()) throw Error(Error::Code::kRefused, said(act, failure_));
  }

  std::string said(const char* act, const std::string& reason) const {
    return std::string(act) + " " + address_ + ": " + reason + "; " + std::to_string(window_.left()) +
           " messages are left";
  }

  /** Connects again and again until everything is acknowledged and closed, or nothing more can be. */
  void run() {
    milliseconds pause = kFirstPause;
    std::unique_lock lock(mutex_);
    while (true) {
      was_answered_ = false;
      window_.restart();
      const grpc::Status status = run_stream(lock);
      if (is_stopping_ || window_.is_closed()) break;
      settle(lock, status);
      if (!failure_.empty()) break;
      if (was_answered_) pause = kFirstPause;
      work_.wait_for(lock, jittered(pause), [this] { return is_stopping_ || window_.is_closed(); });
      if (is_stopping_ || window_.is_closed()) break;
      pause = std::min(2 * pause, kLongestPause);
    }
    has_finished_ = window_.is_closed();
    progress_.notify_all();
  }

  /** One connection, until it breaks or all is done. */
  grpc::Status run_stream(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    Stream stream(address_, options_, mutex_, work_);
    lock.lock();
    auto deadline = steady_clock::now() + kHeartbeat;
    bool is_half_closed = false;
    bool makes_sense = true;
    while (true) {
      const bool in_time = work_.wait_until(lock, deadline, [&] {
        return is_stopping_ || stream.has_ended() || stream.has_acknowledgements() ||
               (stream.can_write() && !is_half_closed && (window_.is_due() || window_.is_closed()));
      });
      makes_sense = take_in(lock, stream.take_acknowledgements());
      if (is_stopping_ || stream.has_ended() || !makes_sense) break;
      if (window_.is_closed() && window_.last_sequence() == 0) break;  // it may not even be connected
      if (is_half_closed) {
        if (!in_time) break;
        continue;
      }
      const bool is_silent = !in_time && window_.is_idle() && !options_.run_id.empty();
      const auto now = steady_clock::now();
      // Also when nothing can be written, as while the collector does not read: the past cannot be waited for.
      if (!in_time) deadline = now + kHeartbeat;
      if (!stream.can_write()) continue;

      if (window_.is_closed()) {
        is_half_closed = true;
        deadline = now + kFarewell;
        lock.unlock();
        stream.half_close();
        lock.lock();
      } else if (window_.is_due() || is_silent) {
        deadline = now + kHeartbeat;
        const std::string request = window_.is_due() ? window_.take() : window_.take_heartbeat();
        lock.unlock();
        stream.write(request);
        lock.lock();
      }
    }
    lock.unlock();
    grpc::Status status = stream.end();
    lock.lock();
    return makes_sense ? status : grpc::Status(grpc::StatusCode::INTERNAL, "it acknowledges what was not sent");
  }

  /** Notes acknowledgements and tells of them. False when they answer nothing that was sent. */
  bool take_in(std::unique_lock<std::mutex>& lock, const std::vector<v1::Acknowledgement>& acknowledgements) {
    if (acknowledgements.empty()) return true;
    const bool was_connected = std::exchange(is_connected_, true).value_or(false);
    for (const auto& acknowledgement : acknowledgements) {
      if (!window_.acknowledge(acknowledgement)) return false;
      rejected_ += static_cast<std::uint64_t>(acknowledgement.rejections_size());
    }
    was_answered_ = true;
    trouble_.clear();
    progress_.notify_all();
    lock.unlock();
    if (!was_connected) tell_connection(true, "connected to " + address_);
    for (const auto& acknowledgement : acknowledgements) {
      for (const auto& rejection : acknowledgement.rejections()) tell_rejected(rejection);
    }
    lock.lock();
    return true;
  }

  /** Decides what the end of a stream means for the next one. */
  void settle(std::unique_lock<std::mutex>& lock, const grpc::Status& status) {
    trouble_ = status.ok() ? "the collector ended the stream"
                           : std::string(name_of(status.error_code())) + ": " + status.error_message();
    if (const char* cure = cure_of(status.error_code())) {
      failure_ = trouble_ + "; " + cure;
    } else if (is_refusal(status) && !window_.refuse(trouble_)) {
      failure_ = trouble_ + "; it refuses what says who sends: correct run_id and hostname, or the address";
    }
    const bool is_news = std::exchange(is_connected_, false).value_or(true) || !failure_.empty();
    const std::string text = said("send to", failure_.empty() ? trouble_ : failure_);
    if (!is_news) return;
    lock.unlock();
    tell_connection(false, text);
    lock.lock();
  }

  void tell_rejected(const v1::Rejection& rejection) const {
    if (options_.on_rejected) {
      options_.on_rejected(rejection.sequence(), rejection.reason());
    } else {
      std::clog << "parsl-collector: message " << rejection.sequence() << " was rejected: " << rejection.reason()
                << std::endl;
    }
  }

  const std::string address_;
  const Options options_;

  mutable std::mutex mutex_;
  std::condition_variable work_;      ///< For our thread.
  std::condition_variable progress_;  ///< For the caller's.

  // Guarded by the mutex.
  Window window_;
  std::uint64_t rejected_ = 0;
  std::string failure_;              ///< Why nothing will be sent any more; empty while all is well.
  std::string trouble_;              ///< How the last stream ended, until an acknowledgement comes.
  std::optional<bool> is_connected_;  ///< What was last told; unset before the first.
  bool was_answered_ = false;        ///< On this stream.
  bool is_closing_ = false;
  bool is_stopping_ = false;
  bool has_finished_ = false;

  std::thread thread_;
};

Client::Client(std::string address, Options options)
    : impl_(std::make_unique<Impl>(std::move(address), std::move(options))) {}

Client::Client(Client&&) noexcept = default;

Client::~Client() {
  if (!impl_ || impl_->is_closing()) return;
  try {
    close(impl_->destructor_timeout());
  } catch (const Error& error) {
    impl_->stop();
    if (error.code() != Error::Code::kRefused) impl_->tell_connection(false, error.what());  // that was told before
  }
}

std::uint64_t Client::send(const v1::MonitoringMessage& message, milliseconds timeout) {
  return impl_->send(message, timeout);
}

void Client::flush(milliseconds timeout) { impl_->flush(timeout); }

void Client::close(milliseconds timeout) { impl_->close(timeout); }

Counts Client::counts() const { return impl_->counts(); }

}  // namespace parsl_collector
