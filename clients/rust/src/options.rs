use std::fmt;

/// How a [`Client`](crate::Client) sends. Start from `Options::default()`.
pub struct Options {
    /// The run of all messages that name none; 256 characters at most. Default: none.
    pub run_id: String,
    /// The host of all messages that name none; 256 characters at most, and empty for who relays. Default: this
    /// host's name.
    pub hostname: String,
    /// Bytes of messages that are kept until they are acknowledged; at this bound `send` waits. Default: 32 MiB.
    pub buffer_bytes: u32,
    /// How to make sure of the collector. Default: no TLS.
    pub tls: Option<Tls>,
    /// What the collector is shown to let us in. Default: none.
    pub token: Option<String>,
    /// Told of what no call of yours can return. Called by the client's own task, which waits for it.
    /// Default: a line on standard error.
    pub on_event: Box<dyn Fn(&Event) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            run_id: String::new(),
            hostname: hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            buffer_bytes: 32 * 1024 * 1024,
            tls: None,
            token: None,
            on_event: Box::new(|event| eprintln!("parsl-collector: {event}")),
        }
    }
}

/// How TLS makes sure of the collector, and the collector of us. All in PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who vouches for the collector; its own `collector.crt` will do. Default: the authorities of this system.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its private key, for a collector that asks for them.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the collector's certificate. Default: the host of the address.
    pub server_name: Option<String>,
}

/// What happened to a client while nobody asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The connection broke, or none could be made. Said once, until it is there again; the client goes on trying.
    Disconnected {
        /// The address and the reason.
        reason: String,
    },
    /// The collector acknowledges again.
    Reconnected,
    /// No table takes this message. The collector keeps it with the reason; sending it again would change nothing.
    Rejected {
        /// The how manieth of this client's messages it is, from 1.
        sequence: u64,
        /// Why, in at most 150 characters.
        reason: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected { reason } => write!(f, "{reason}; trying again"),
            Self::Reconnected => f.write_str("connected again"),
            Self::Rejected { sequence, reason } => write!(f, "message {sequence} was rejected: {reason}"),
        }
    }
}
