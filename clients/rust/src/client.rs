use crate::{
    Error, Event, Options,
    error::with_sources,
    proto::{ClosingNote, MonitoringMessage, StreamMessagesResponse, UnreadableMessage},
    reconnect::{Pauses, random},
    tls,
    window::{Cut, MOST_ENVELOPES, Window},
};
use prost::{Message, bytes::Bytes};
use std::{
    collections::VecDeque,
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

/// A larger message might be over the collector's limit for a request, 64 MiB.
const LARGEST_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// Longest attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that a collector which has everything is given to end the stream.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Silence before we let ourselves be heard of: the collector takes a run for lost after 90 s.
const HEARTBEAT: Duration = Duration::from_secs(30);

const STREAM_MESSAGES: PathAndQuery = PathAndQuery::from_static("/parsl_collector.v1.CollectorService/StreamMessages");

/// An `Envelope` whose messages are encoded already: on the wire a message is its bytes. Each is encoded once, by who
/// sends it, however often it travels.
#[derive(Clone, PartialEq, Message)]
struct EncodedEnvelope {
    #[prost(string, tag = "1")]
    sender_id: String,
    #[prost(uint64, tag = "2")]
    first_sequence: u64,
    #[prost(string, tag = "3")]
    run_id: String,
    #[prost(string, tag = "4")]
    hostname: String,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    messages: Vec<Bytes>,
    #[prost(message, optional, tag = "7")]
    closing_note: Option<ClosingNote>,
}

/// A `StreamMessagesRequest` of one.
#[derive(Clone, PartialEq, Message)]
struct EncodedRequest {
    #[prost(message, optional, tag = "1")]
    envelope: Option<EncodedEnvelope>,
}

/// How many messages a client has taken, and what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Messages that `send` has taken.
    pub sent: u64,
    /// Those of them that are on the collector's disk, rejected ones included.
    pub acknowledged: u64,
    /// Those of them that no table takes; the collector keeps them with the reason.
    pub rejected: u64,
}

/// Sends messages to one collector. Its methods may be called from many tasks at once; share it in an `Arc`.
///
/// A client that is dropped gives up what is not acknowledged: [`close`](Self::close) it.
pub struct Client {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    address: String,
    sender_id: String,
    options: Options,
    authorization: Option<MetadataValue<Ascii>>,
    state: Mutex<State>,
    /// The bytes that the buffer still has room for. Fair: who waits first is first.
    room: Arc<Semaphore>,
    /// There is something to send.
    work: Notify,
    /// Something was acknowledged, or the client ended.
    progress: Notify,
}

struct State {
    window: Window<OwnedSemaphorePermit>,
    rejected: u64,
    /// Why there is no connection.
    trouble: Option<String>,
    /// How the client ended: all is delivered, or it failed for good.
    ended: Option<Result<(), Error>>,
}

impl Client {
    /// A client of the collector at `address`, as `"127.0.0.1:41235"`. Returns at once: the connection is made in the
    /// background, and again whenever it breaks. Fails for options that cannot be used.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect(address: &str, options: Options) -> Result<Self, Error> {
        let endpoint = endpoint(address, &options)?;
        let shared = Arc::new(Shared {
            address: address.into(),
            sender_id: format!("{:032x}", u128::from_be_bytes(random())),
            authorization: options.token.as_deref().map(authorization).transpose()?,
            state: Mutex::new(State { window: Window::new(), rejected: 0, trouble: None, ended: None }),
            room: Arc::new(Semaphore::new(options.buffer_bytes as usize)),
            work: Notify::new(),
            progress: Notify::new(),
            options,
        });
        let task = tokio::spawn(deliver(shared.clone(), endpoint)).abort_handle();
        Ok(Self { shared, task })
    }

    /// Takes a message, which from now on is sent until it is acknowledged. Waits while the buffer is full; a wait that
    /// is cancelled has taken nothing. Fails with [`Error::TooLarge`], [`Error::Closed`], or the reason for which the
    /// client failed for good.
    pub async fn send(&self, message: impl Into<MonitoringMessage>) -> Result<(), Error> {
        let message = Bytes::from(message.into().encode_to_vec());
        if message.len() > LARGEST_MESSAGE_BYTES {
            return Err(Error::TooLarge { bytes: message.len() });
        }
        // A message that is larger than the buffer has it for itself.
        let bytes = self.shared.options.buffer_bytes.min(message.len() as u32);
        let room = self.shared.room.clone().acquire_many_owned(bytes).await;
        let mut state = self.shared.state();
        if let Some(Err(reason)) = &state.ended {
            return Err(reason.clone());
        }
        match room {
            Ok(room) if !state.window.is_closed() => state.window.push(message, room),
            _ => return Err(Error::Closed),
        }
        if state.window.is_ready() {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Waits until everything that was sent before is acknowledged. Fails with [`Error::Unacknowledged`] when that
    /// takes longer than `patience`, and the client goes on trying; or with the reason for which it failed for good.
    pub async fn flush(&self, patience: Duration) -> Result<(), Error> {
        let last = self.shared.state().window.last_sequence();
        self.within(patience, |state| (state.window.acknowledged() >= last).then_some(Ok(()))).await
    }

    /// Takes no more messages, waits until all are acknowledged, and tells the collector that these were all. Fails as
    /// `flush` does; what is then not acknowledged is given up. Closing again waits for the same end.
    pub async fn close(&self, patience: Duration) -> Result<(), Error> {
        self.shared.room.close();
        let has_sent = {
            let mut state = self.shared.state();
            state.window.close();
            state.window.last_sequence() > 0
        };
        if has_sent {
            self.shared.work.notify_one();
        } else {
            self.task.abort(); // there may be no collector at all
            self.shared.end(Ok(()));
        }
        let closed = self.within(patience, |_| None).await;
        if let Err(reason) = &closed {
            self.task.abort();
            self.shared.end(Err(reason.clone()));
        }
        closed
    }

    /// How many messages were taken so far, and what became of them.
    pub fn counters(&self) -> Counters {
        let State { window, rejected, .. } = &*self.shared.state();
        Counters { sent: window.last_sequence(), acknowledged: window.acknowledged(), rejected: *rejected }
    }

    /// What `check` says as soon as it says something, or how the client ended.
    async fn within(
        &self,
        patience: Duration,
        check: impl Fn(&State) -> Option<Result<(), Error>>,
    ) -> Result<(), Error> {
        let checked = async {
            loop {
                let progress = self.shared.progress.notified(); // before the check, or what comes between is missed
                let verdict = {
                    let state = self.shared.state();
                    check(&state).or_else(|| state.ended.clone())
                };
                match verdict {
                    Some(verdict) => return verdict,
                    None => progress.await,
                }
            }
        };
        timeout(patience, checked).await.unwrap_or_else(|_| Err(self.shared.state().unacknowledged()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn unacknowledged(&self) -> Error {
        Error::Unacknowledged {
            messages: self.window.last_sequence() - self.window.acknowledged(),
            reason: self.trouble.clone().unwrap_or_else(|| "the collector is connected; is its disk slow?".into()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: Event) {
        (self.options.on_event)(&event);
    }

    /// The first end counts.
    fn end(&self, how: Result<(), Error>) {
        self.state().ended.get_or_insert(how);
        self.room.close();
        self.progress.notify_waiters();
    }

    fn request(&self, cut: Cut) -> EncodedRequest {
        EncodedRequest {
            envelope: Some(EncodedEnvelope {
                sender_id: self.sender_id.clone(),
                first_sequence: cut.first_sequence,
                run_id: self.options.run_id.clone(),
                hostname: self.options.hostname.clone(),
                messages: cut.messages,
                closing_note: cut.last_sequence.map(|last_sequence| ClosingNote { last_sequence }),
            }),
        }
    }

    /// What keeps an idle run from being taken for lost.
    fn heartbeat(&self) -> EncodedRequest {
        EncodedRequest {
            envelope: Some(EncodedEnvelope {
                sender_id: self.sender_id.clone(),
                run_id: self.options.run_id.clone(),
                ..EncodedEnvelope::default()
            }),
        }
    }

    fn acknowledged(&self, response: StreamMessagesResponse) -> Result<(), Status> {
        let mut events = VecDeque::new();
        {
            let mut state = self.state();
            for answer in response.acknowledgements {
                let committed = answer.committed.map(|range| (range.first, range.last));
                state.window.acknowledge(committed).map_err(|_| {
                    Status::internal(format!("an acknowledgement out of order, of sequences {committed:?}"))
                })?;
                state.rejected += answer.rejections.len() as u64;
                events.extend(
                    answer.rejections.into_iter().map(|r| Event::Rejected { sequence: r.sequence, reason: r.reason }),
                );
            }
            if state.trouble.take().is_some() {
                events.push_front(Event::Reconnected);
            }
        }
        self.progress.notify_waiters();
        events.into_iter().for_each(|event| self.tell(event));
        Ok(())
    }

    /// The stream ended, or there was none. Fails when no other attempt can end better.
    fn broken(&self, status: &Status) -> Result<(), Error> {
        let reason = with_sources(status.message(), status);
        let reason = format!("stream to collector {}: {:?}: {reason}", self.address, status.code());
        let mut state = self.state();
        let cure = cure(status.code());
        let helps = if is_refused(status) { state.window.refused(|| unreadable(&reason)) } else { cure.is_none() };
        if !helps {
            return Err(Error::Refused(format!("{reason}; {}", cure.unwrap_or("the collector refuses all from here"))));
        }
        state.window.rewind();
        let is_new = state.trouble.replace(reason.clone()).is_none();
        drop(state);
        if is_new {
            self.tell(Event::Disconnected { reason });
        }
        Ok(())
    }
}

fn endpoint(address: &str, options: &Options) -> Result<Endpoint, Error> {
    for (name, value) in [("run_id", &options.run_id), ("hostname", &options.hostname)] {
        if value.chars().count() > 256 {
            return Err(Error::Options(format!("options.{name}: expected 256 characters at most, got {value:?}")));
        }
    }
    if options.buffer_bytes == 0 {
        return Err(Error::Options("options.buffer_bytes: expected a number from 1 up, got 0".into()));
    }
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(|_| Error::Options(format!("address: expected HOST:PORT, got {address:?}")))?
        // A firewall that forgets a silent connection tells nobody.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    match &options.tls {
        Some(tls) => tls::secure(endpoint, tls),
        None => Ok(endpoint),
    }
}

fn authorization(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<_> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::Options("options.token: expected printable ASCII characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Connects and sends, again and again, until everything is acknowledged after `close`, or nothing helps.
async fn deliver(shared: Arc<Shared>, endpoint: Endpoint) {
    let mut pauses = Pauses::default();
    let end = loop {
        let attempt = match timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
            Ok(Ok(channel)) => stream(&shared, channel, &mut pauses).await,
            Ok(Err(reason)) => Err(Status::unavailable(with_sources(&reason.to_string(), &reason))),
            Err(_) => Err(Status::deadline_exceeded("no connection within 10 s")),
        };
        let Err(status) = attempt else { break Ok(()) };
        if let Err(reason) = shared.broken(&status) {
            break Err(reason);
        }
        sleep(pauses.next()).await;
    };
    shared.end(end);
}

/// Sends over one connection, until everything is acknowledged after `close`.
async fn stream(shared: &Shared, channel: Channel, pauses: &mut Pauses) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|reason| Status::unavailable(with_sources(&reason.to_string(), &reason)))?;
    let (outgoing, requests) = mpsc::channel(MOST_ENVELOPES);
    let mut request = Request::new(ReceiverStream::new(requests));
    if let Some(value) = &shared.authorization {
        request.metadata_mut().insert("authorization", value.clone());
    }
    let codec = ProstCodec::<EncodedRequest, StreamMessagesResponse>::default();
    // The collector answers nothing before its first commit, so we send while the call is still being opened.
    let mut call = pin!(grpc.streaming(request, STREAM_MESSAGES, codec));
    let mut responses: Option<Streaming<StreamMessagesResponse>> = None;
    let mut silence = pin!(sleep(HEARTBEAT));
    loop {
        while let Some(cut) = shared.state().window.next() {
            // There is room for a whole window. Where nobody receives any more, the status is about to come.
            let _ = outgoing.try_send(shared.request(cut));
            silence.set(sleep(HEARTBEAT));
        }
        if shared.state().window.is_finished() {
            break;
        }
        tokio::select! {
            () = shared.work.notified() => {}
            opened = &mut call, if responses.is_none() => responses = Some(opened?.into_inner()),
            response = next(&mut responses) => {
                let response = response?.ok_or_else(|| Status::unavailable("the collector ended the stream"))?;
                shared.acknowledged(response)?;
                pauses.succeeded();
            }
            () = &mut silence => {
                let mut state = shared.state();
                // Whoever names no run keeps none from being taken for lost.
                if state.window.is_idle() && !shared.options.run_id.is_empty() {
                    state.window.beat();
                    let _ = outgoing.try_send(shared.heartbeat());
                }
                silence.set(sleep(HEARTBEAT));
            }
        }
    }
    drop(outgoing);
    // Everything is on disk: however this ends, nothing is lost by it.
    let _ = timeout(END_TIMEOUT, async { while let Ok(Some(_)) = next(&mut responses).await {} }).await;
    Ok(())
}

/// The next response; never any before the call is open.
async fn next(
    responses: &mut Option<Streaming<StreamMessagesResponse>>,
) -> Result<Option<StreamMessagesResponse>, Status> {
    match responses {
        Some(responses) => responses.message().await,
        None => pending().await,
    }
}

/// Whether a message is to blame: the status says the same however often it is sent.
fn is_refused(status: &Status) -> bool {
    // Every gRPC library words the first so. Otherwise a limit was met that may be away later.
    let is_too_large = status.code() == Code::ResourceExhausted && status.message().contains("larger than max");
    is_too_large || status.code() == Code::InvalidArgument
}

/// What a person can do about a status for which no other attempt of ours can end better.
fn cure(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => Some("give the token that the collector has for you"),
        Code::PermissionDenied => Some("give a token that may write this run"),
        Code::Unimplemented | Code::NotFound => Some("no collector listens there, check the address"),
        _ => None,
    }
}

/// What takes the place of a message that was refused: the collector keeps it as rejected, with the reason.
fn unreadable(reason: &str) -> Bytes {
    let message = UnreadableMessage { reason: Some(reason.into()), ..UnreadableMessage::default() };
    MonitoringMessage::from(message).encode_to_vec().into()
}
