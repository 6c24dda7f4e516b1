use std::{error, fmt};

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An option or the address is not usable; which, and why.
    Options(String),
    /// A message of more than 32 MiB. It was not taken.
    TooLarge {
        /// The message's size when encoded.
        bytes: usize,
    },
    /// The client was closed before. The message was not taken.
    Closed,
    /// The collector will not take what this client sends, however often it tries: the address, the reason, the cure.
    Refused(String),
    /// Not everything was acknowledged in time.
    Unacknowledged {
        /// Messages that may or may not be stored.
        messages: u64,
        /// The last trouble with the connection, or that there is none.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(reason) | Self::Refused(reason) => f.write_str(reason),
            Self::TooLarge { bytes } => {
                write!(f, "send a message of {bytes} bytes: 32 MiB is the most; cut its longest text")
            }
            Self::Closed => f.write_str("send a message: the client was closed before"),
            Self::Unacknowledged { messages, reason } => {
                write!(f, "deliver everything in time: {messages} messages are not acknowledged; {reason}")
            }
        }
    }
}

impl error::Error for Error {}

/// The reasons behind an error, which tonic and hyper keep to themselves, in one line.
pub(crate) fn with_sources(text: &str, error: &dyn error::Error) -> String {
    let mut text = text.to_owned();
    let mut next = error.source();
    while let Some(source) = next {
        let reason = source.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        next = source.source();
    }
    text
}
