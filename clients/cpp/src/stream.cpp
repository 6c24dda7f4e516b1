#include "stream.hpp"

#include <utility>

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

// How gRPC serializes messages comes with the generated service, from wherever the installed gRPC has it.
#include "parsl_collector/v1/collector_service.grpc.pb.h"

namespace parsl_collector {
namespace {

constexpr char kMethod[] = "/parsl_collector.v1.CollectorService/StreamMessages";

/** Longest that an attempt to connect may take, in ms. */
constexpr int kConnectTimeoutMs = 10'000;

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const Options& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = options.tls->ca;
  ssl.pem_cert_chain = options.tls->certificate;
  ssl.pem_private_key = options.tls->key;
  return grpc::SslCredentials(ssl);
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& address, const Options& options) {
  grpc::ChannelArguments arguments;
  // A retry of gRPC's keeps all messages of a long stream; we resume by sequence.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Clusters set http_proxy on compute nodes, and it does not lead to the collector.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // 0: any number of pings while nothing is sent, or gRPC stops to ask after two.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  // gRPC takes the least time between two attempts as the deadline of one.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, kConnectTimeoutMs);
  // Or a new channel would share the last one's wait before it may connect again.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options.tls && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return grpc::CreateCustomChannel(address, credentials_of(options), arguments);
}

}  // namespace

Stream::Stream(const std::string& address, const Options& options, std::mutex& mutex,
               std::condition_variable& changed)
    : mutex_(mutex), changed_(changed), channel_(open_channel(address, options)) {
  if (!options.token.empty()) context_.AddMetadata("authorization", "Bearer " + options.token);
  // Requests are bytes already, made once, so the stub is not the generated one.
  grpc::TemplatedGenericStub<grpc::ByteBuffer, v1::StreamMessagesResponse> stub(channel_);
  stub.PrepareBidiStreamingCall(&context_, kMethod, {}, this);
  AddHold();  // until `end`, for writes that come from outside of gRPC's calls
  StartRead(&response_);
  StartCall();
}

void Stream::write(const std::string& request) {
  {
    const std::lock_guard lock(mutex_);
    is_writing_ = true;
  }
  const grpc::Slice slice(request);
  request_ = grpc::ByteBuffer(&slice, 1);
  StartWrite(&request_);
}

grpc::Status Stream::end() {
  std::unique_lock lock(mutex_);
  if (!has_ended_) {
    lock.unlock();
    context_.TryCancel();
    lock.lock();
  }
  lock.unlock();
  RemoveHold();
  lock.lock();
  changed_.wait(lock, [this] { return is_done_; });
  return status_;
}

void Stream::OnReadDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    if (ok) {
      for (auto& acknowledgement : *response_.mutable_acknowledgements()) {
        acknowledgements_.push_back(std::move(acknowledgement));
      }
    } else {
      has_ended_ = true;
    }
    changed_.notify_all();
  }
  if (ok) StartRead(&response_);
}

void Stream::OnWriteDone(bool) {
  const std::lock_guard lock(mutex_);
  is_writing_ = false;
  changed_.notify_all();
}

void Stream::OnDone(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  status_ = status;
  is_done_ = true;
  changed_.notify_all();  // with the mutex held: the waiting `end` lets this object be destroyed
}

}  // namespace parsl_collector
