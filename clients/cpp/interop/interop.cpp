// The repository's `npm run interop` drives this: interop ADDRESS RUN_ID COUNT LANGUAGE.

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "parsl_collector/client.hpp"

namespace {

using namespace parsl_collector;

/** n ms and 123 us after the beginning of 2026. */
void set_time(google::protobuf::Timestamp& timestamp, std::uint64_t n) {
  timestamp.set_seconds(static_cast<std::int64_t>(1'767'225'600 + n / 1'000));
  timestamp.set_nanos(static_cast<std::int32_t>(n % 1'000 * 1'000'000 + 123'000));
}

v1::MonitoringMessage start_of(const std::string& language) {
  v1::MonitoringMessage message;
  auto& start = *message.mutable_workflow_info()->mutable_start();
  set_time(*start.mutable_time_began(), 1);
  start.set_workflow_name("interop " + language);
  start.set_workflow_version("1");
  start.set_rundir("/interop");
  start.set_tasks_completed_count(0);
  start.set_tasks_failed_count(0);
  start.set_user("interop");
  start.set_host("interop-" + language);
  start.set_python_version("none");
  start.set_parsl_version("none");
  return message;
}

v1::MonitoringMessage sample_of(std::uint32_t n) {
  v1::MonitoringMessage message;
  auto& sample = *message.mutable_resource_info();
  sample.set_task_id(n % 100);
  sample.set_try_id(0);
  set_time(*sample.mutable_timestamp(), n);
  sample.set_psutil_process_pid(n);
  sample.set_psutil_process_memory_percent(n / 4.0);
  sample.set_psutil_process_time_user(n / 8.0);
  sample.set_psutil_process_disk_write(n * 1'048'576.0);
  sample.set_psutil_process_status("sleeping – ✓");
  return message;
}

v1::MonitoringMessage end_of(std::uint32_t count) {
  v1::MonitoringMessage message;
  auto& end = *message.mutable_workflow_info()->mutable_end();
  end.set_tasks_completed_count(count - 2);
  end.set_tasks_failed_count(0);
  set_time(*end.mutable_time_completed(), count);
  end.set_rundir("/interop");
  return message;
}

std::string read_text(const std::string& path) {
  std::ifstream stream(path);
  if (!stream) throw std::runtime_error("read " + path + ": it cannot be opened");
  return {std::istreambuf_iterator<char>(stream), {}};
}

void run(const std::string& address, const std::string& run_id, std::uint32_t count, const std::string& language) {
  Options options;
  options.run_id = run_id;
  options.hostname = "interop-" + language;
  if (const char* token = std::getenv("PARSL_COLLECTOR_TOKEN")) options.token = token;
  if (const char* ca = std::getenv("PARSL_COLLECTOR_CA_FILE")) options.tls.emplace().ca = read_text(ca);
  Client client(address, options);

  const auto began = std::chrono::steady_clock::now();
  client.send(start_of(language));
  for (std::uint32_t n = 2; n < count; ++n) client.send(sample_of(n));
  client.send(end_of(count));
  client.flush();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  client.close();

  const Counts counts = client.counts();
  std::cout << "{\"sent\":" << counts.sent << ",\"acknowledged\":" << counts.acknowledged
            << ",\"rejected\":" << counts.rejected << ",\"seconds\":" << seconds.count() << "}" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: interop ADDRESS RUN_ID COUNT LANGUAGE" << std::endl;
    return 1;
  }
  try {
    run(argv[1], argv[2], static_cast<std::uint32_t>(std::stoul(argv[3])), argv[4]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "interop: " << error.what() << std::endl;
    return 1;
  }
}
