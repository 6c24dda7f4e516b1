//! What only a collector of our own making can show: how the client takes refusals, waits at its bound, and ends.

use parsl_collector::{
    Client, Error, Event, Options,
    proto::{
        Acknowledgement, Envelope, MonitoringMessage, Rejection, ResourceInfo, SequenceRange, StreamMessagesRequest,
        StreamMessagesResponse,
        collector_service_server::{CollectorService, CollectorServiceServer},
        monitoring_message::Kind,
    },
};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore, mpsc},
    task::JoinHandle,
    time::{advance, pause, resume, timeout},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming, codegen::BoxStream, transport::Server};

/// Only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pid of a sample that the collector below refuses, and with it the envelope and the stream.
const POISON: u32 = u32::MAX;

/// Keeps messages as a collector does, in memory, and acknowledges an envelope for each permit of `commits`.
#[derive(Clone)]
struct FakeCollector {
    /// Ends every stream.
    status: Option<Status>,
    commits: Arc<Semaphore>,
    stored: Arc<Mutex<Stored>>,
    /// A heartbeat has come.
    heard: Arc<Notify>,
}

#[derive(Default)]
struct Stored {
    messages: BTreeMap<u64, MonitoringMessage>,
    last_sequence: Option<u64>,
    envelopes: u32,
    heartbeats: Vec<Envelope>,
}

impl FakeCollector {
    fn new() -> Self {
        Self { status: None, commits: Arc::new(Semaphore::new(1_000)), stored: Arc::default(), heard: Arc::default() }
    }

    /// Its address, and what ends it when it is dropped.
    async fn start(&self) -> (String, ServerTask) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (address, self.serve(listener))
    }

    fn serve(&self, listener: TcpListener) -> ServerTask {
        let service = CollectorServiceServer::new(self.clone()).max_decoding_message_size(usize::MAX);
        ServerTask(tokio::spawn(async move {
            Server::builder().serve_with_incoming(service, TcpListenerStream::new(listener)).await.unwrap();
        }))
    }

    fn store(&self, envelope: Envelope) -> Result<Acknowledgement, Status> {
        let mut stored = self.stored.lock().unwrap();
        if envelope.messages.iter().any(is_poison) {
            return Err(Status::invalid_argument("the bytes are no envelope"));
        }
        stored.envelopes += 1;
        if envelope.messages.is_empty() && envelope.closing_note.is_none() {
            stored.heartbeats.push(envelope.clone());
            self.heard.notify_one();
        }
        let mut answer = Acknowledgement { sender_id: envelope.sender_id, ..Acknowledgement::default() };
        if !envelope.messages.is_empty() {
            let last = envelope.first_sequence + envelope.messages.len() as u64 - 1;
            answer.committed = Some(SequenceRange { first: envelope.first_sequence, last });
        }
        for (sequence, message) in (envelope.first_sequence..).zip(envelope.messages) {
            if let Some(Kind::UnreadableMessage(unreadable)) = &message.kind {
                answer.rejections.push(Rejection { sequence, reason: unreadable.reason().into() });
            }
            stored.messages.insert(sequence, message);
        }
        if let Some(note) = envelope.closing_note {
            stored.last_sequence = Some(note.last_sequence);
            answer.closed = true;
        }
        Ok(answer)
    }
}

struct ServerTask(JoinHandle<()>);

impl Drop for ServerTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tonic::async_trait]
impl CollectorService for FakeCollector {
    async fn stream_messages(
        &self,
        request: Request<Streaming<StreamMessagesRequest>>,
    ) -> Result<Response<BoxStream<StreamMessagesResponse>>, Status> {
        if let Some(status) = &self.status {
            return Err(status.clone());
        }
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(1_000);
        let collector = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                collector.commits.acquire().await.unwrap().forget();
                let answer = collector
                    .store(request.envelope.unwrap())
                    .map(|acknowledgement| StreamMessagesResponse { acknowledgements: vec![acknowledgement] });
                let is_end = answer.is_err();
                if answers.send(answer).await.is_err() || is_end {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

fn sample(pid: u32) -> ResourceInfo {
    ResourceInfo { psutil_process_pid: Some(pid), ..ResourceInfo::default() }
}

fn is_poison(message: &MonitoringMessage) -> bool {
    matches!(&message.kind, Some(Kind::ResourceInfo(info)) if info.psutil_process_pid == Some(POISON))
}

/// Options that put the client's events where the test finds them.
fn listening() -> (Options, mpsc::UnboundedReceiver<Event>) {
    let (told, events) = mpsc::unbounded_channel();
    let on_event = Box::new(move |event: &Event| told.send(event.clone()).unwrap_or_default());
    (Options { on_event, ..Options::default() }, events)
}

#[tokio::test]
async fn everything_arrives_under_its_sequence_and_the_closing_note_says_how_much_that_was() {
    let collector = FakeCollector::new();
    let (address, _server) = collector.start().await;
    let client = Client::connect(&address, Options::default()).unwrap();

    for pid in 1..=1_200 {
        client.send(sample(pid)).await.unwrap();
    }
    client.flush(PATIENCE).await.unwrap();
    assert_eq!(collector.stored.lock().unwrap().last_sequence, None);
    client.close(PATIENCE).await.unwrap();
    assert_eq!(client.send(sample(1)).await, Err(Error::Closed));

    let stored = collector.stored.lock().unwrap();
    assert_eq!(stored.last_sequence, Some(1_200));
    assert!(stored.messages == (1..=1_200).map(|n| (n.into(), sample(n).into())).collect());
    assert_eq!(client.counters().acknowledged, 1_200);
}

#[tokio::test]
async fn a_client_that_never_sent_closes_without_a_collector() {
    let client = Client::connect("127.0.0.1:1", Options::default()).unwrap();

    assert_eq!(client.close(PATIENCE).await, Ok(()));
}

#[tokio::test]
async fn an_idle_client_of_a_run_is_heard_of_after_30_s() {
    let collector = FakeCollector::new();
    let (address, _server) = collector.start().await;
    let client = Client::connect(&address, Options { run_id: "run".into(), ..Options::default() }).unwrap();
    client.send(sample(1)).await.unwrap();
    client.flush(PATIENCE).await.unwrap();

    // Time passes at once, and stands still for no longer: a paused clock runs ahead of what a socket brings. And once only:
    // a ping may be on its way by then, and be given up when as much time passes again.
    pause();
    advance(Duration::from_secs(30)).await;
    resume();
    timeout(PATIENCE, collector.heard.notified()).await.unwrap();
    client.close(PATIENCE).await.unwrap();

    let stored = collector.stored.lock().unwrap();
    let sender_id = stored.heartbeats[0].sender_id.clone();
    let heartbeat = Envelope { sender_id, run_id: "run".into(), ..Envelope::default() };
    assert_eq!(stored.heartbeats, [heartbeat]);
    assert_eq!(stored.last_sequence, Some(1));
    assert_eq!(client.counters().acknowledged, 1);
}

#[tokio::test]
async fn the_message_to_blame_for_a_refusal_is_replaced_by_its_reason_and_no_other() {
    let collector = FakeCollector::new();
    let (address, _server) = collector.start().await;
    let (options, mut events) = listening();
    let client = Client::connect(&address, options).unwrap();
    // None of these has to wait, so the client's own task gets to run only after them: they share an envelope.
    for pid in [1, 2, POISON, 4, 5] {
        client.send(sample(pid)).await.unwrap();
    }
    client.close(PATIENCE).await.unwrap();

    let stored = collector.stored.lock().unwrap();
    for sequence in [1, 2, 4, 5] {
        assert_eq!(stored.messages[&sequence], sample(sequence as u32).into());
    }
    let Some(Kind::UnreadableMessage(unreadable)) = &stored.messages[&3].kind else {
        panic!("expected an unreadable message, got {:?}", stored.messages[&3])
    };
    assert!(unreadable.reason().contains("the bytes are no envelope"), "{unreadable:?}");
    assert_eq!(client.counters().rejected, 1);
    assert_eq!(stored.envelopes, 5); // each alone
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    use Event::{Disconnected, Reconnected, Rejected};
    let [Disconnected { .. }, Reconnected, Disconnected { .. }, Reconnected, Rejected { sequence: 3, .. }] = &told[..]
    else {
        panic!("{told:?}")
    };
}

#[tokio::test]
async fn a_status_that_no_other_attempt_can_change_ends_the_client_with_the_cure() {
    for (code, cure) in [
        (Code::Unauthenticated, "token"),
        (Code::PermissionDenied, "token"),
        (Code::Unimplemented, "address"),
        (Code::NotFound, "address"),
    ] {
        let collector = FakeCollector { status: Some(Status::new(code, "the reason")), ..FakeCollector::new() };
        let (address, _server) = collector.start().await;
        let client = Client::connect(&address, Options { buffer_bytes: 1, ..Options::default() }).unwrap();
        client.send(sample(1)).await.unwrap();

        // It waits for room, which never comes.
        let refused = timeout(PATIENCE, client.send(sample(2))).await.unwrap().unwrap_err();

        let text = refused.to_string();
        assert!(matches!(refused, Error::Refused(_)), "{text}");
        assert!(text.contains(&address) && text.contains("the reason") && text.contains(cure), "{text}");
        assert_eq!(client.flush(PATIENCE).await, Err(refused.clone()));
        assert_eq!(client.close(PATIENCE).await, Err(refused));
    }
}

#[tokio::test]
async fn send_waits_at_the_bound_until_an_acknowledgement_makes_room() {
    let collector = FakeCollector { commits: Arc::new(Semaphore::new(0)), ..FakeCollector::new() };
    let (address, _server) = collector.start().await;
    let message = ResourceInfo { psutil_process_cwd: Some("x".repeat(1_000)), ..ResourceInfo::default() };
    let client = Client::connect(&address, Options { buffer_bytes: 1_500, ..Options::default() }).unwrap();
    client.send(message.clone()).await.unwrap();

    let mut second = Box::pin(client.send(message.clone()));
    assert!(poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending())).await);
    collector.commits.add_permits(1);
    timeout(PATIENCE, second).await.unwrap().unwrap();
    assert_eq!(client.counters().acknowledged, 1);

    collector.commits.add_permits(10);
    client.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn closing_tells_how_many_messages_are_left_and_why() {
    let (options, mut events) = listening();
    let client = Client::connect("127.0.0.1:1", options).unwrap();
    client.send(sample(1)).await.unwrap();
    client.send(sample(2)).await.unwrap();
    assert!(matches!(events.recv().await, Some(Event::Disconnected { .. })));

    let left = client.close(Duration::ZERO).await.unwrap_err();

    let Error::Unacknowledged { messages: 2, reason } = &left else { panic!("{left:?}") };
    assert!(reason.contains("127.0.0.1:1"), "{reason}");
}

#[tokio::test]
async fn a_message_above_32_mib_is_not_taken() {
    let client = Client::connect("127.0.0.1:1", Options::default()).unwrap();
    let message = ResourceInfo { psutil_process_cwd: Some("x".repeat(32 * 1024 * 1024)), ..ResourceInfo::default() };

    assert!(matches!(client.send(message).await, Err(Error::TooLarge { .. })));
    assert_eq!(client.counters().sent, 0);
}
