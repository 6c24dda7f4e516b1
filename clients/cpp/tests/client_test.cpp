#include "parsl_collector/client.hpp"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "parsl_collector/v1/collector_service.grpc.pb.h"

namespace parsl_collector {
namespace {

using namespace std::chrono_literals;
using Code = Error::Code;

/** A collector in memory, which answers as it is told. */
class FakeCollector final : public v1::CollectorService::Service {
 public:
  FakeCollector() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  ~FakeCollector() override {
    set_answering(true);
    server_->Shutdown(std::chrono::system_clock::now());
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  /** Ends every stream with this status before it reads anything. */
  void end_streams_with(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }

  /** Waits until so many streams were opened. */
  void await_streams(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return streams_ >= count; });
  }

  /** Refuses every envelope with this sample in it, by the sample's pid. */
  void refuse_sample(std::uint32_t pid) {
    const std::lock_guard lock(mutex_);
    refused_pid_ = pid;
  }

  /** While it is not answering it reads, and acknowledges nothing. */
  void set_answering(bool is_answering) {
    const std::lock_guard lock(mutex_);
    is_answering_ = is_answering;
    changed_.notify_all();
  }

  /** The envelopes that were acknowledged. */
  std::vector<v1::Envelope> envelopes() const {
    const std::lock_guard lock(mutex_);
    return envelopes_;
  }

  /** Their messages, in the order of their sequences; each once. */
  std::vector<v1::MonitoringMessage> messages() const {
    std::vector<v1::MonitoringMessage> messages;
    for (const auto& envelope : envelopes()) {
      for (int index = 0; index < envelope.messages_size(); ++index) {
        if (envelope.first_sequence() + index == messages.size() + 1) messages.push_back(envelope.messages(index));
      }
    }
    return messages;
  }

 private:
  using ServerStream = grpc::ServerReaderWriter<v1::StreamMessagesResponse, v1::StreamMessagesRequest>;

  grpc::Status StreamMessages(grpc::ServerContext*, ServerStream* stream) override {
    v1::StreamMessagesRequest request;
    {
      const std::lock_guard lock(mutex_);
      ++streams_;
      changed_.notify_all();
      if (!status_.ok()) return status_;
    }
    while (stream->Read(&request)) {
      v1::StreamMessagesResponse response;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return is_answering_; });
        const v1::Envelope& envelope = request.envelope();
        if (is_refused(envelope)) return {grpc::StatusCode::INVALID_ARGUMENT, "no envelope"};
        *response.add_acknowledgements() = acknowledgement_of(envelope);
        envelopes_.push_back(envelope);
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  bool is_refused(const v1::Envelope& envelope) const {
    return std::any_of(envelope.messages().begin(), envelope.messages().end(), [this](const auto& message) {
      return refused_pid_ > 0 && message.resource_info().psutil_process_pid() == refused_pid_;
    });
  }

  static v1::Acknowledgement acknowledgement_of(const v1::Envelope& envelope) {
    v1::Acknowledgement acknowledgement;
    acknowledgement.set_sender_id(envelope.sender_id());
    acknowledgement.set_closed(envelope.has_closing_note());
    if (envelope.messages_size() == 0) return acknowledgement;
    acknowledgement.mutable_committed()->set_first(envelope.first_sequence());
    acknowledgement.mutable_committed()->set_last(envelope.first_sequence() + envelope.messages_size() - 1);
    for (int index = 0; index < envelope.messages_size(); ++index) {
      if (!envelope.messages(index).has_unreadable_message()) continue;
      auto& rejection = *acknowledgement.add_rejections();
      rejection.set_sequence(envelope.first_sequence() + index);
      rejection.set_reason(envelope.messages(index).unreadable_message().reason());
    }
    return acknowledgement;
  }

  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int streams_ = 0;
  grpc::Status status_;
  std::uint32_t refused_pid_ = 0;
  bool is_answering_ = true;
  std::vector<v1::Envelope> envelopes_;
  std::unique_ptr<grpc::Server> server_;
};

v1::MonitoringMessage sample(std::uint32_t pid) {
  v1::MonitoringMessage message;
  message.mutable_resource_info()->set_psutil_process_pid(pid);
  return message;
}

/** The code and text of the error that `act` throws. */
template <typename Act>
std::pair<Code, std::string> error_of(Act act) {
  try {
    act();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

Options quiet() {
  Options options;
  options.run_id = "run-1";
  options.hostname = "node-7";
  options.on_connection = [](bool, const std::string&) {};
  options.on_rejected = [](std::uint64_t, const std::string&) {};
  return options;
}

TEST(Client, NumbersTheMessagesOfManyThreadsWithoutAGapAndSaysHowManyTheyWere) {
  FakeCollector collector;
  Client client(collector.address(), quiet());

  std::vector<std::future<void>> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.push_back(std::async(std::launch::async, [&] {
      for (std::uint32_t pid = 1; pid <= 1'000; ++pid) client.send(sample(pid));
    }));
  }
  for (auto& thread : threads) thread.get();
  client.flush();
  client.close();

  EXPECT_EQ(collector.messages().size(), 4'000);
  EXPECT_EQ(client.counts().acknowledged, 4'000);
  const v1::Envelope last = collector.envelopes().back();
  EXPECT_EQ(last.closing_note().last_sequence(), 4'000);
  EXPECT_EQ(last.run_id(), "run-1");
  EXPECT_EQ(last.hostname(), "node-7");
  EXPECT_EQ(last.sender_id().size(), 32);
}

TEST(Client, PutsTheOneMessageAsideThatTheCollectorRefuses) {
  FakeCollector collector;
  collector.refuse_sample(7);
  Options options = quiet();
  std::vector<std::pair<std::uint64_t, std::string>> rejected;
  options.on_rejected = [&](std::uint64_t sequence, const std::string& reason) {
    rejected.emplace_back(sequence, reason);
  };
  Client client(collector.address(), options);

  for (std::uint32_t pid = 1; pid <= 10; ++pid) client.send(sample(pid));
  client.close();

  const auto messages = collector.messages();
  ASSERT_EQ(messages.size(), 10);
  for (std::uint32_t pid = 1; pid <= 10; ++pid) {
    const auto& message = messages[pid - 1];
    if (pid == 7) {
      EXPECT_EQ(message.unreadable_message().reason(), "INVALID_ARGUMENT: no envelope");
    } else {
      EXPECT_EQ(message.resource_info().psutil_process_pid(), pid);
    }
  }
  const std::vector<std::pair<std::uint64_t, std::string>> expected = {{7, "INVALID_ARGUMENT: no envelope"}};
  EXPECT_EQ(rejected, expected);
  EXPECT_EQ(client.counts().rejected, 1);
}

TEST(Client, EndsWithAnErrorThatNamesAddressReasonAndCureWhenTheCollectorWillNeverTakeIt) {
  FakeCollector collector;
  collector.end_streams_with({grpc::StatusCode::UNAUTHENTICATED, "no token"});
  Client client(collector.address(), quiet());
  client.send(sample(1));

  for (const auto& [code, text] : {error_of([&] { client.flush(); }), error_of([&] { client.close(); })}) {
    EXPECT_EQ(code, Code::kRefused);
    EXPECT_NE(text.find(collector.address()), std::string::npos) << text;
    EXPECT_NE(text.find("UNAUTHENTICATED: no token; give the collector's token"), std::string::npos) << text;
    EXPECT_NE(text.find("1 messages are left"), std::string::npos) << text;
  }
  EXPECT_EQ(error_of([&] { client.send(sample(2)); }).first, Code::kRefused);
}

TEST(Client, WaitsAtItsBoundUntilMessagesAreAcknowledged) {
  FakeCollector collector;
  collector.set_answering(false);
  Options options = quiet();
  options.buffer_bytes = 1'000;
  Client client(collector.address(), options);

  std::uint64_t sent = 0;
  const auto fill = [&] {
    while (sent < 1'000) sent = client.send(sample(1), 0ms);
  };
  EXPECT_EQ(error_of(fill).first, Code::kTimeout);
  EXPECT_EQ(client.counts().sent, sent);
  EXPECT_EQ(error_of([&] { client.flush(0ms); }).first, Code::kTimeout);

  auto waiting = std::async(std::launch::async, [&] { return client.send(sample(2)); });
  collector.set_answering(true);
  EXPECT_EQ(waiting.get(), sent + 1);
  client.close();
  EXPECT_EQ(collector.messages().size(), sent + 1);
}

TEST(Client, DeliversOverBrokenConnectionsWhatWasSentMeanwhileAndTellsOfThemOnce) {
  FakeCollector collector;
  collector.end_streams_with({grpc::StatusCode::UNAVAILABLE, "away"});
  Options options = quiet();
  std::vector<std::pair<bool, std::string>> told;
  options.on_connection = [&](bool connected, const std::string& text) { told.emplace_back(connected, text); };
  Client client(collector.address(), options);
  client.send(sample(1));

  collector.await_streams(3);
  EXPECT_EQ(error_of([&] { client.close(0ms); }).first, Code::kTimeout);
  collector.end_streams_with(grpc::Status::OK);
  client.close();

  EXPECT_EQ(collector.messages().size(), 1);
  ASSERT_EQ(told.size(), 2);
  EXPECT_FALSE(told[0].first);
  EXPECT_NE(told[0].second.find("UNAVAILABLE: away"), std::string::npos) << told[0].second;
  EXPECT_TRUE(told[1].first);
}

TEST(Client, ClosesAtOnceWhenItNeverSentAMessage) {
  Client client("127.0.0.1:1", quiet());
  client.close();
  EXPECT_EQ(error_of([&] { client.send(sample(1)); }).first, Code::kClosed);
}

TEST(Client, RefusesWhatItCouldNeverDeliver) {
  Options with_newline = quiet();
  with_newline.token = "token\n";
  EXPECT_EQ(error_of([&] { Client("127.0.0.1:1", with_newline); }).first, Code::kOptions);
  Options with_path = quiet();
  with_path.tls.emplace().ca = "collector.crt";
  EXPECT_EQ(error_of([&] { Client("127.0.0.1:1", with_path); }).first, Code::kOptions);

  Client client("127.0.0.1:1", quiet());
  v1::MonitoringMessage huge;
  huge.mutable_task_info()->set_task_inputs(std::string(33 * 1024 * 1024, 'x'));
  EXPECT_EQ(error_of([&] { client.send(huge); }).first, Code::kTooLarge);
}

}  // namespace
}  // namespace parsl_collector
