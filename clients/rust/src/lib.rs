//! Reliable sending of Parsl's monitoring messages to a parsl-collector.
//!
//! A [`Client`] numbers each message, keeps it until the collector has acknowledged that it is on its disk, and sends
//! it again after every broken connection. An acknowledged message is stored exactly once.
//!
//! ```no_run
//! use parsl_collector::{Client, Options, proto::ResourceInfo};
//! use std::time::{Duration, SystemTime};
//!
//! # async fn example() -> Result<(), parsl_collector::Error> {
//! let options = Options { run_id: "6f1c9b1e-6a52-4f0e-9a53-0d3c5a8f2b11".into(), ..Options::default() };
//! let client = Client::connect("127.0.0.1:41235", options)?;
//! client
//!     .send(ResourceInfo {
//!         task_id: Some(3),
//!         try_id: Some(0),
//!         timestamp: Some(SystemTime::now().into()),
//!         psutil_process_time_user: Some(1.5),
//!         ..ResourceInfo::default()
//!     })
//!     .await?;
//! client.close(Duration::from_secs(30)).await
//! # }
//! ```
//!
//! [`records`] and [`datagram`] are the formats of the ways without an answer: files in a shared directory, spools,
//! UDP.

mod client;
mod error;
mod messages;
mod options;
mod reconnect;
mod tls;
mod window;

pub mod datagram;
pub mod records;

/// The messages and the service, generated from `proto/parsl_collector/v1`.
pub mod proto {
    #![allow(missing_docs)] // the text is that of the .proto files
    tonic::include_proto!("parsl_collector.v1");
}

pub use client::{Client, Counters};
pub use error::Error;
pub use options::{Event, Options, Tls};
