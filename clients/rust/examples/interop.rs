//! `interop ADDRESS RUN_ID COUNT LANGUAGE`: sends COUNT messages that the repository's `npm run interop` expects.

use parsl_collector::{
    Client, Options, Tls,
    proto::{MonitoringMessage, ResourceInfo, WorkflowEnd, WorkflowStart},
};
use prost_types::Timestamp;
use std::{
    env, fs,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Longer than the collector is away in any run.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("interop: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, run_id, count, language] = &arguments[..] else {
        return Err("usage: interop ADDRESS RUN_ID COUNT LANGUAGE".into());
    };
    let count: u32 = count.parse()?;
    let host = format!("interop-{language}");
    let ca = env::var_os("PARSL_COLLECTOR_CA_FILE").map(fs::read).transpose()?;
    let client = Client::connect(
        address,
        Options {
            run_id: run_id.clone(),
            hostname: host.clone(),
            token: env::var("PARSL_COLLECTOR_TOKEN").ok(),
            tls: ca.map(|ca| Tls { ca: Some(ca), ..Tls::default() }),
            ..Options::default()
        },
    )?;
    let began = Instant::now();
    for n in 1..=count {
        client.send(message(n, count, language, &host)).await?;
    }
    client.flush(PATIENCE).await?;
    let seconds = began.elapsed().as_secs_f64();
    client.close(PATIENCE).await?;
    let counters = client.counters();
    println!(
        r#"{{"sent":{},"acknowledged":{},"rejected":{},"seconds":{seconds:.3}}}"#,
        counters.sent, counters.acknowledged, counters.rejected
    );
    Ok(())
}

fn message(n: u32, count: u32, language: &str, host: &str) -> MonitoringMessage {
    if n == 1 {
        return WorkflowStart {
            python_version: Some("none".into()),
            parsl_version: Some("none".into()),
            time_began: Some(time(1)),
            workflow_name: Some(format!("interop {language}")),
            workflow_version: Some("1".into()),
            rundir: Some("/interop".into()),
            tasks_completed_count: Some(0),
            tasks_failed_count: Some(0),
            user: Some("interop".into()),
            host: Some(host.into()),
        }
        .into();
    }
    if n == count {
        return WorkflowEnd {
            tasks_completed_count: Some(count - 2),
            tasks_failed_count: Some(0),
            time_completed: Some(time(count)),
            rundir: Some("/interop".into()),
        }
        .into();
    }
    ResourceInfo {
        task_id: Some(n % 100),
        try_id: Some(0),
        timestamp: Some(time(n)),
        psutil_process_pid: Some(n),
        psutil_process_memory_percent: Some(f64::from(n) / 4.0),
        psutil_process_time_user: Some(f64::from(n) / 8.0),
        psutil_process_disk_write: Some(f64::from(n) * 1_048_576.0),
        psutil_process_status: Some("sleeping – ✓".into()),
        ..ResourceInfo::default()
    }
    .into()
}

/// n milliseconds and 123 microseconds after the first second of 2026.
fn time(n: u32) -> Timestamp {
    Timestamp { seconds: 1_767_225_600 + i64::from(n / 1000), nanos: (n % 1000) as i32 * 1_000_000 + 123_000 }
}
