//! `workflow ADDRESS DATABASE`: reports a little workflow of its own, then reads it back from the collector's SQLite
//! file: five tasks, of which one fails at first and is tried again. Exit code 1 when it reads something else than it
//! sent.

use parsl_collector::{
    Client, Error, Options,
    proto::{ResourceInfo, TaskInfo, WorkerTaskInfo, WorkflowEnd, WorkflowStart},
};
use prost_types::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::{
    env,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const TASKS: u32 = 5;
const FLAKY_TASK: u32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("workflow: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, database] = &arguments[..] else { return Err("usage: workflow ADDRESS DATABASE".into()) };
    let run_id = format!("rust-example-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros());
    let client = Client::connect(address, Options { run_id: run_id.clone(), ..Options::default() })?;

    Workflow { client: &client, clock: SystemTime::now() }.report().await?;
    client.close(Duration::from_secs(30)).await?; // all of it is on the collector's disk

    let found = read_back(database, &run_id)?;
    println!("{:>4} {:>5} {:12} {:>7}", "task", "tries", "status", "samples");
    for Row { task, tries, status, samples } in &found {
        println!("{task:>4} {tries:>5} {status:12} {samples:>7}");
    }
    let expected = (0..TASKS).map(|task| {
        let tries = if task == FLAKY_TASK { 2 } else { 1 };
        Row { task, tries, status: "exec_done".into(), samples: 2 * tries }
    });
    if !expected.eq(found) || client.counters().rejected > 0 {
        return Err(format!("{database} holds something else than was sent").into());
    }
    Ok(())
}

struct Workflow<'a> {
    client: &'a Client,
    /// This workflow does nothing, and its events come a quarter of a second after each other.
    clock: SystemTime,
}

impl Workflow<'_> {
    async fn report(mut self) -> Result<(), Error> {
        let start = WorkflowStart {
            time_began: self.next_event(),
            workflow_name: Some("example".into()),
            workflow_version: Some("1".into()),
            rundir: Some(env::current_dir().unwrap_or_default().to_string_lossy().into()),
            user: Some(env::var("USER").unwrap_or_else(|_| "unknown".into())),
            host: Some(Options::default().hostname),
            ..WorkflowStart::default()
        };
        self.client.send(start).await?;
        for task in 0..TASKS {
            let failures = if task == FLAKY_TASK { 1 } else { 0 };
            for attempt in 0..=failures {
                self.report_try(task, attempt, attempt < failures).await?;
            }
        }
        let end = WorkflowEnd {
            time_completed: self.next_event(),
            tasks_completed_count: Some(TASKS),
            tasks_failed_count: Some(0),
            ..WorkflowEnd::default()
        };
        self.client.send(end).await
    }

    async fn report_try(&mut self, task: u32, attempt: u32, fails: bool) -> Result<(), Error> {
        let (task_id, try_id) = (Some(task), Some(attempt));
        self.report_state(task, attempt, attempt, "pending").await?;
        self.report_state(task, attempt, attempt, "launched").await?;
        let timestamp = self.next_event();
        let started = WorkerTaskInfo { task_id, try_id, timestamp, first_msg: Some(true), ..Default::default() };
        self.client.send(started).await?;
        for seconds in [0.2, 0.4] {
            let timestamp = self.next_event();
            let psutil_process_time_user = Some(seconds);
            let usage = ResourceInfo { task_id, try_id, timestamp, psutil_process_time_user, ..Default::default() };
            self.client.send(usage).await?;
        }
        let timestamp = self.next_event();
        let ended = WorkerTaskInfo { task_id, try_id, timestamp, last_msg: Some(true), ..Default::default() };
        self.client.send(ended).await?;
        if fails {
            self.report_state(task, attempt, attempt + 1, "fail_retryable").await
        } else {
            self.report_state(task, attempt, attempt, "exec_done").await
        }
    }

    async fn report_state(&mut self, task: u32, attempt: u32, failures: u32, state: &str) -> Result<(), Error> {
        let info = TaskInfo {
            task_id: Some(task),
            try_id: Some(attempt),
            timestamp: self.next_event(),
            task_status_name: Some(state.into()),
            task_func_name: Some("simulate".into()),
            task_executor: Some("none".into()),
            task_memoize: Some(false),
            task_fail_count: Some(failures),
            task_fail_cost: Some(failures.into()),
            ..TaskInfo::default()
        };
        self.client.send(info).await
    }

    fn next_event(&mut self) -> Option<Timestamp> {
        self.clock += Duration::from_millis(250);
        Some(self.clock.into())
    }
}

#[derive(PartialEq)]
struct Row {
    task: u32,
    tries: u32,
    status: String,
    samples: u32,
}

fn read_back(database: &str, run_id: &str) -> rusqlite::Result<Vec<Row>> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut query = db.prepare(
        "SELECT task_id,
           (SELECT count(*) FROM try WHERE try.run_id = task.run_id AND try.task_id = task.task_id),
           (SELECT task_status_name FROM status WHERE status.run_id = task.run_id AND status.task_id = task.task_id
             ORDER BY timestamp DESC LIMIT 1),
           (SELECT count(*) FROM resource WHERE resource.run_id = task.run_id AND resource.task_id = task.task_id)
         FROM task WHERE run_id = ? ORDER BY task_id",
    )?;
    let rows = query.query_map([run_id], |row| {
        Ok(Row { task: row.get(0)?, tries: row.get(1)?, status: row.get(2)?, samples: row.get(3)? })
    })?;
    rows.collect()
}
