// Reports a little workflow of its own to a collector and reads it back from the collector's SQLite file:
// workflow ADDRESS DATABASE.

#include <sqlite3.h>

#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "parsl_collector/client.hpp"

namespace {

using namespace parsl_collector;
using std::chrono::microseconds;
using std::chrono::system_clock;

constexpr std::uint32_t kTasks = 5;
constexpr std::uint32_t kRetried = 3;  // this one's first try fails

/** The present, and never the same twice: the time is part of the key of some tables. */
void set_now(google::protobuf::Timestamp& timestamp) {
  static microseconds last{};
  const auto now = std::chrono::duration_cast<microseconds>(system_clock::now().time_since_epoch());
  last = std::max(now, last + microseconds(1));
  timestamp.set_seconds(last.count() / 1'000'000);
  timestamp.set_nanos(static_cast<std::int32_t>(last.count() % 1'000'000 * 1'000));
}

std::string random_run_id() {
  std::random_device random;
  return "cpp-" + std::to_string(random()) + "-" + std::to_string(random());
}

/** Says what happens in the workflow. */
class Reporter {
 public:
  explicit Reporter(Client& client) : client_(client) {}

  void workflow_started() {
    v1::MonitoringMessage message;
    auto& start = *message.mutable_workflow_info()->mutable_start();
    set_now(*start.mutable_time_began());
    start.set_workflow_name("C++ example");
    start.set_workflow_version("1");
    start.set_rundir("/tmp");
    start.set_user("example");
    start.set_host("submit-host");
    client_.send(message);
  }

  void workflow_ended() {
    v1::MonitoringMessage message;
    auto& end = *message.mutable_workflow_info()->mutable_end();
    end.set_tasks_completed_count(kTasks);
    end.set_tasks_failed_count(0);
    set_now(*end.mutable_time_completed());
    client_.send(message);
  }

  void task_is(std::uint32_t task, std::uint32_t attempt, const std::string& status) {
    v1::MonitoringMessage message;
    auto& info = *message.mutable_task_info();
    info.set_task_id(task);
    info.set_try_id(attempt);
    set_now(*info.mutable_timestamp());
    info.set_task_status_name(status);
    info.set_task_func_name("simulate");
    info.set_task_memoize(false);
    info.set_task_fail_count(attempt);
    info.set_task_fail_cost(attempt);
    info.set_task_executor("threads");
    if (status == "launched") set_now(*info.mutable_task_try_time_launched());
    if (status == "exec_done") set_now(*info.mutable_task_time_returned());
    client_.send(message);
  }

  void worker_began(std::uint32_t task, std::uint32_t attempt) {
    auto message = worker_message(task, attempt);
    message.mutable_worker_task_info()->set_first_msg(true);
    client_.send(message);
  }

  void worker_ended(std::uint32_t task, std::uint32_t attempt) {
    auto message = worker_message(task, attempt);
    message.mutable_worker_task_info()->set_last_msg(true);
    client_.send(message);
  }

  void sampled(std::uint32_t task, std::uint32_t attempt, double cpu_seconds) {
    v1::MonitoringMessage message;
    auto& sample = *message.mutable_resource_info();
    sample.set_task_id(task);
    sample.set_try_id(attempt);
    set_now(*sample.mutable_timestamp());
    sample.set_psutil_process_time_user(cpu_seconds);
    sample.set_psutil_process_status("running");
    client_.send(message);
  }

 private:
  v1::MonitoringMessage worker_message(std::uint32_t task, std::uint32_t attempt) {
    v1::MonitoringMessage message;
    auto& info = *message.mutable_worker_task_info();
    info.set_task_id(task);
    info.set_try_id(attempt);
    set_now(*info.mutable_timestamp());
    return message;
  }

  Client& client_;
};

/** One try of a task, from launch to end. */
void run_try(Reporter& reporter, std::uint32_t task, std::uint32_t attempt, const std::string& outcome) {
  reporter.task_is(task, attempt, "launched");
  reporter.worker_began(task, attempt);
  reporter.sampled(task, attempt, 0.5);
  reporter.sampled(task, attempt, 1.0);
  reporter.worker_ended(task, attempt);
  reporter.task_is(task, attempt, outcome);
}

void run_workflow(Client& client) {
  Reporter reporter(client);
  reporter.workflow_started();
  for (std::uint32_t task = 0; task < kTasks; ++task) {
    reporter.task_is(task, 0, "pending");
    if (task == kRetried) {
      run_try(reporter, task, 0, "fail_retryable");
      reporter.task_is(task, 1, "pending");
      run_try(reporter, task, 1, "exec_done");
    } else {
      run_try(reporter, task, 0, "exec_done");
    }
  }
  reporter.workflow_ended();
}

/** A task as the database tells of it: number, tries, last status, samples. */
using Row = std::tuple<int, int, std::string, int>;

std::vector<Row> read_back(const std::string& database, const std::string& run_id) {
  sqlite3* opened = nullptr;
  const int failed = sqlite3_open_v2(database.c_str(), &opened, SQLITE_OPEN_READONLY, nullptr);
  const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> connection(opened, sqlite3_close);
  if (failed) throw std::runtime_error("open " + database + ": " + sqlite3_errmsg(opened));

  const char* query = R"(
    SELECT task_id,
           (SELECT count(*) FROM try WHERE try.run_id = task.run_id AND try.task_id = task.task_id),
           (SELECT task_status_name FROM status WHERE status.run_id = task.run_id AND status.task_id = task.task_id
             ORDER BY timestamp DESC LIMIT 1),
           (SELECT count(*) FROM resource WHERE resource.run_id = task.run_id AND resource.task_id = task.task_id)
    FROM task WHERE run_id = ? ORDER BY task_id)";
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(opened, query, -1, &prepared, nullptr)) {
    throw std::runtime_error("read " + database + ": " + sqlite3_errmsg(opened));
  }
  const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement(prepared, sqlite3_finalize);
  sqlite3_bind_text(prepared, 1, run_id.c_str(), -1, SQLITE_TRANSIENT);

  std::vector<Row> rows;
  int result = SQLITE_ROW;
  while ((result = sqlite3_step(prepared)) == SQLITE_ROW) {
    const auto* status = reinterpret_cast<const char*>(sqlite3_column_text(prepared, 2));
    rows.emplace_back(sqlite3_column_int(prepared, 0), sqlite3_column_int(prepared, 1), status ? status : "",
                      sqlite3_column_int(prepared, 3));
  }
  if (result != SQLITE_DONE) throw std::runtime_error("read " + database + ": " + sqlite3_errmsg(opened));
  return rows;
}

std::vector<Row> expected_rows() {
  std::vector<Row> rows;
  for (std::uint32_t task = 0; task < kTasks; ++task) {
    const int tries = task == kRetried ? 2 : 1;
    rows.emplace_back(task, tries, "exec_done", 2 * tries);
  }
  return rows;
}

void run(const std::string& address, const std::string& database) {
  Options options;
  options.run_id = random_run_id();
  Client client(address, options);
  run_workflow(client);
  client.close(std::chrono::seconds(30));

  const auto rows = read_back(database, options.run_id);
  std::cout << "task  tries  last status  samples\n";
  for (const auto& [task, tries, status, samples] : rows) {
    std::cout << std::setw(4) << task << std::setw(7) << tries << "  " << std::left << std::setw(11) << status
              << std::right << std::setw(9) << samples << "\n";
  }
  if (rows != expected_rows()) throw std::runtime_error("the database does not hold what was sent");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: workflow ADDRESS DATABASE" << std::endl;
    return 1;
  }
  try {
    run(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "workflow: " << error.what() << std::endl;
    return 1;
  }
}
