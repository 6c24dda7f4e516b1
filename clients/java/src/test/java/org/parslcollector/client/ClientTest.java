package org.parslcollector.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.parslcollector.v1.Acknowledgement;
import org.parslcollector.v1.CollectorServiceGrpc.CollectorServiceImplBase;
import org.parslcollector.v1.Envelope;
import org.parslcollector.v1.MonitoringMessage;
import org.parslcollector.v1.MonitoringMessage.KindCase;
import org.parslcollector.v1.ResourceInfo;
import org.parslcollector.v1.SequenceRange;
import org.parslcollector.v1.StreamMessagesRequest;
import org.parslcollector.v1.StreamMessagesResponse;

/** What a run against a real collector does not show. */
@Timeout(60)
class ClientTest {
  private static final Duration LONG = Duration.ofSeconds(30);

  /** What the server does with an envelope; acknowledges by default. */
  private volatile BiConsumer<Envelope, StreamObserver<StreamMessagesResponse>> answer =
      ClientTest::acknowledge;

  private final BlockingQueue<Envelope> received = new LinkedBlockingQueue<>();
  private Server server;
  private String address;

  @BeforeEach
  void listen() throws IOException {
    server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
            .addService(new Service())
            .build()
            .start();
    address = "127.0.0.1:" + server.getPort();
  }

  @AfterEach
  void stop() throws InterruptedException {
    server.shutdownNow().awaitTermination();
  }

  @Test
  void whatIsNotAcknowledgedGoesAgainWithTheSameSequences() throws Exception {
    answer =
        (envelope, responses) -> {
          answer = ClientTest::acknowledge;
          responses.onError(Status.UNAVAILABLE.asException());
        };

    try (Client client = connect()) {
      client.send(message(1));
      client.flush(LONG);

      assertEquals(1, received.take().getFirstSequence());
      Envelope again = received.take();
      assertEquals(1, again.getFirstSequence());
      assertEquals(message(1), again.getMessages(0));
    }
  }

  @Test
  void theMessageToBlameIsFoundAndSetAside() throws Exception {
    int bad = 7;
    answer =
        (envelope, responses) -> {
          if (envelope.getMessagesList().contains(message(bad))) {
            responses.onError(Status.INVALID_ARGUMENT.withDescription("no envelope").asException());
          } else {
            acknowledge(envelope, responses);
          }
        };

    Client client = connect();
    for (int n = 1; n <= 20; n++) {
      client.send(message(n));
    }
    client.close(LONG);

    assertEquals(new Client.Counts(20, 20, 0), client.counts());
    List<MonitoringMessage> replacements =
        received.stream()
            .flatMap(
                envelope ->
                    IntStream.range(0, envelope.getMessagesCount())
                        .filter(i -> envelope.getFirstSequence() + i == bad)
                        .mapToObj(envelope::getMessages))
            .filter(message -> message.getKindCase() == KindCase.UNREADABLE_MESSAGE)
            .toList();
    assertEquals(1, replacements.size());
    assertTrue(
        replacements
            .get(0)
            .getUnreadableMessage()
            .getReason()
            .contains("INVALID_ARGUMENT: no envelope"));
  }

  @Test
  void aClientFailsWhenNoMessageIsToBlame() throws Exception {
    answer = (envelope, responses) -> responses.onError(Status.INVALID_ARGUMENT.asException());

    Client client = connect();
    client.send(message(1));

    assertThrows(CollectorException.class, () -> client.flush(LONG));
    assertThrows(CollectorException.class, client::close);
  }

  @Test
  void aStatusThatNoAttemptHelpsEndsTheClientAndSaysTheCure() throws Exception {
    answer =
        (envelope, responses) ->
            responses.onError(Status.UNAUTHENTICATED.withDescription("no token").asException());

    Client client = connect();
    client.send(message(1));

    String told = assertThrows(CollectorException.class, () -> client.flush(LONG)).getMessage();
    assertTrue(told.contains(address + ": UNAUTHENTICATED: no token; give the token"), told);
    assertTrue(told.contains("1 of 1 messages are not acknowledged"), told);
    assertThrows(CollectorException.class, () -> client.send(message(2)));
    assertThrows(CollectorException.class, client::close);
  }

  @Test
  void sendWaitsAtTheBoundUntilSomethingIsAcknowledged() throws Exception {
    BlockingQueue<Runnable> answers = new LinkedBlockingQueue<>();
    answer = (envelope, responses) -> answers.add(() -> acknowledge(envelope, responses));

    try (Client client = Client.builder(address).bufferBytes(0).connect()) {
      client.send(message(1));
      Runnable first = answers.take();

      assertFalse(client.offer(message(2), Duration.ZERO));
      answer = ClientTest::acknowledge;
      first.run();
      assertTrue(client.offer(message(2), LONG));
    }
  }

  @Test
  void aMessageThatNoCollectorTakesIsRefusedAtOnce() {
    try (Client client = connect()) {
      ResourceInfo.Builder sample =
          ResourceInfo.newBuilder().setPsutilProcessCwd("x".repeat(Client.MOST_MESSAGE_BYTES));
      MonitoringMessage message = MonitoringMessage.newBuilder().setResourceInfo(sample).build();

      assertThrows(IllegalArgumentException.class, () -> client.send(message));
      assertEquals(0, client.counts().sent());
    }
  }

  @Test
  void closeSendsTheClosingNote() throws Exception {
    try (Client client = connect()) {
      client.send(message(1));
      client.send(message(2));
    }

    List<Envelope> noted = received.stream().filter(Envelope::hasClosingNote).toList();
    assertEquals(1, noted.size());
    assertEquals(2, noted.get(0).getClosingNote().getLastSequence());
  }

  @Test
  void aClientWithoutMessagesClosesAtOnceWhereNobodyListens() {
    server.shutdownNow();

    assertTimeout(LONG.dividedBy(2), () -> connect().close());
  }

  @Test
  void anIdleClientOfARunIsHeardOf() throws Exception {
    ClientBuilder builder = Client.builder(address).runId("run");
    builder.heartbeat = Duration.ofMillis(1);
    try (Client client = builder.connect()) {
      client.send(message(1));

      assertEquals(1, received.take().getFirstSequence());
      Envelope heartbeat =
          Envelope.newBuilder().setSenderId(client.senderId()).setRunId("run").build();
      assertEquals(heartbeat, received.take());
      assertEquals(heartbeat, received.take());

      client.close(LONG);
      assertEquals(new Client.Counts(1, 1, 0), client.counts());
    }
    assertEquals(1, received.stream().filter(Envelope::hasClosingNote).count());
  }

  @Test
  void closeSaysHowManyMessagesAreLeft() throws Exception {
    answer = (envelope, responses) -> {};
    Client client = connect();
    client.send(message(1));
    received.take();

    String told =
        assertThrows(TimeoutException.class, () -> client.close(Duration.ZERO)).getMessage();

    assertTrue(told.contains("1 of 1 messages are not acknowledged"), told);
    assertThrows(CollectorException.class, () -> client.flush(LONG));
  }

  @Test
  void troubleIsToldOnceUntilTheCollectorAcknowledgesAgain() throws Exception {
    BlockingQueue<String> told = new LinkedBlockingQueue<>();
    Listener listener =
        new Listener() {
          @Override
          public void disconnected(String reason) {
            told.add("disconnected");
          }

          @Override
          public void reconnected(String address) {
            told.add("reconnected");
          }
        };
    AtomicInteger failures = new AtomicInteger(3);
    answer =
        (envelope, responses) -> {
          if (failures.decrementAndGet() < 0) {
            acknowledge(envelope, responses);
          } else {
            responses.onError(Status.UNAVAILABLE.asException());
          }
        };

    try (Client client = Client.builder(address).listener(listener).connect()) {
      client.send(message(1));
      assertEquals("disconnected", told.poll(30, TimeUnit.SECONDS));
      assertEquals("reconnected", told.poll(30, TimeUnit.SECONDS));
    }
    assertTrue(told.isEmpty());
  }

  private Client connect() {
    return Client.builder(address).connect();
  }

  private static MonitoringMessage message(int n) {
    return MonitoringMessage.newBuilder()
        .setResourceInfo(ResourceInfo.newBuilder().setTaskId(n))
        .build();
  }

  private static void acknowledge(
      Envelope envelope, StreamObserver<StreamMessagesResponse> responses) {
    Acknowledgement.Builder answer =
        Acknowledgement.newBuilder()
            .setSenderId(envelope.getSenderId())
            .setClosed(envelope.hasClosingNote());
    if (envelope.getMessagesCount() > 0) {
      long first = envelope.getFirstSequence();
      answer.setCommitted(
          SequenceRange.newBuilder()
              .setFirst(first)
              .setLast(first + envelope.getMessagesCount() - 1));
    }
    responses.onNext(StreamMessagesResponse.newBuilder().addAcknowledgements(answer).build());
  }

  private final class Service extends CollectorServiceImplBase {
    @Override
    public StreamObserver<StreamMessagesRequest> streamMessages(
        StreamObserver<StreamMessagesResponse> responses) {
      return new StreamObserver<>() {
        @Override
        public void onNext(StreamMessagesRequest request) {
          received.add(request.getEnvelope());
          answer.accept(request.getEnvelope(), responses);
        }

        @Override
        public void onError(Throwable broken) {}

        @Override
        public void onCompleted() {
          responses.onCompleted();
        }
      };
    }
  }
}
