#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include "parsl_collector/client.hpp"
#include "parsl_collector/v1/collector_service.pb.h"

namespace parsl_collector {

/** One StreamMessages call on a connection of its own. What happens to it is noted under its owner's mutex and told
 *  by its owner's condition variable, so that one thread can wait for the stream and for everything else at once. */
class Stream final : private grpc::ClientBidiReactor<grpc::ByteBuffer, v1::StreamMessagesResponse> {
 public:
  /** Begins to connect. */
  Stream(const std::string& address, const Options& options, std::mutex& mutex, std::condition_variable& changed);

  // With the mutex held.

  bool can_write() const { return !is_writing_ && !has_ended_; }
  bool has_ended() const { return has_ended_; }
  bool has_acknowledgements() const { return !acknowledgements_.empty(); }
  std::vector<v1::Acknowledgement> take_acknowledgements() { return std::exchange(acknowledgements_, {}); }

  // Without it, since gRPC may answer from within the call. `write` and `half_close` only when `can_write`.

  void write(const std::string& request);
  void half_close() { StartWritesDone(); }

  /** Cancels the call unless it has ended, and returns how it ended. To be called once, and last. */
  grpc::Status end();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  std::mutex& mutex_;
  std::condition_variable& changed_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  v1::StreamMessagesResponse response_;

  // Guarded by the mutex.
  std::vector<v1::Acknowledgement> acknowledgements_;
  bool is_writing_ = false;
  bool has_ended_ = false;
  bool is_done_ = false;
  grpc::Status status_;
};

}  // namespace parsl_collector
