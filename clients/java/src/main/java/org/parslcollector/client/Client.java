package org.parslcollector.client;

import io.grpc.Grpc;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import java.lang.System.Logger.Level;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.HexFormat;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.parslcollector.client.Window.Cut;
import org.parslcollector.v1.Acknowledgement;
import org.parslcollector.v1.ClosingNote;
import org.parslcollector.v1.Envelope;
import org.parslcollector.v1.MonitoringMessage;
import org.parslcollector.v1.Rejection;

/**
 * Sends messages to a collector and keeps each until it is acknowledged, over as many connections
 * as that takes. An acknowledged message is on the collector's disk exactly once. Safe to use from
 * many threads.
 *
 * <p>Close it: its thread does not keep the JVM alive, and what is not acknowledged when that ends
 * is lost.
 */
public final class Client implements AutoCloseable {
  /**
   * What a client keeps before {@link #send} waits, in bytes, where the builder is not told
   * otherwise.
   */
  public static final long DEFAULT_BUFFER_BYTES = 32L * 1024 * 1024;

  /**
   * Largest message, in bytes. A collector takes requests of 64 MiB, and would refuse a larger one
   * for ever.
   */
  public static final int MOST_MESSAGE_BYTES = 32 * 1024 * 1024;

  /** Longest that {@link #close()} waits for the last acknowledgement. */
  public static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(30);

  /** Silence before we let ourselves be heard of: a run is taken for lost after 90 s. */
  static final Duration HEARTBEAT = Duration.ofSeconds(30);

  private static final Duration FOREVER = Duration.ofNanos(Long.MAX_VALUE);

  /** A peer that accepts and never speaks must not hold us. */
  private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(10);

  private static final long SHORTEST_PAUSE_MS = 50;
  private static final long LONGEST_PAUSE_MS = 5_000;

  /** The statuses after which no attempt helps, and what does. */
  private static final Map<Status.Code, String> CURES =
      Map.of(
          Status.Code.UNAUTHENTICATED, "give the token that the collector has for you",
          Status.Code.PERMISSION_DENIED, "give a token that may write this run",
          Status.Code.UNIMPLEMENTED, "no collector listens there, check the address",
          Status.Code.NOT_FOUND, "no collector listens there, check the address");

  private final String address;
  private final ManagedChannelBuilder<?> channels;
  private final String token;
  private final long bufferBytes;
  private final Listener listener;
  private final Duration heartbeat;

  /** What every envelope says. */
  private final Envelope head;

  /** Guards everything below. */
  private final ReentrantLock lock = new ReentrantLock();

  /** For our thread: something to send, an answer, the end of the stream. */
  private final Condition work = lock.newCondition();

  /** For our thread in a pause between two attempts, which messages do not shorten. */
  private final Condition closing = lock.newCondition();

  /** For callers: an acknowledgement, or the end. */
  private final Condition progress = lock.newCondition();

  private final Window window = new Window();
  private long rejected;
  private boolean isClosing;
  private boolean isGivenUp;

  /** Our thread has ended. */
  private boolean isOver;

  /** Why the client ended before everything was acknowledged. */
  private CollectorException failure;

  /** Attempts that failed since the last acknowledgement. */
  private int failures;

  /**
   * What became of a client's messages: given to {@link #send}, on the collector's disk, and of
   * those kept as rejected.
   */
  public record Counts(long sent, long acknowledged, long rejected) {}

  /** Begins a client of the collector at {@code host:port}. */
  public static ClientBuilder builder(String address) {
    return new ClientBuilder(address);
  }

  Client(ClientBuilder options) {
    address = options.address;
    token = options.token;
    bufferBytes = options.bufferBytes;
    listener = options.listener;
    heartbeat = options.heartbeat;
    byte[] senderId = new byte[16];
    new SecureRandom().nextBytes(senderId);
    head =
        Envelope.newBuilder()
            .setSenderId(HexFormat.of().formatHex(senderId))
            .setRunId(options.runId)
            .setHostname(options.hostname == null ? thisHost() : options.hostname)
            .setUtcOffsetSeconds(OffsetDateTime.now().getOffset().getTotalSeconds())
            .build();
    channels =
        Grpc.newChannelBuilder(address, options.credentials)
            // gRPC's own retries keep what was sent on a long stream for ever; we resume by
            // sequence.
            .disableRetry()
            // Clusters set a proxy on compute nodes, which knows nothing of the collector.
            .proxyDetector(target -> null)
            // An acknowledgement of many rejections is long.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            // A collector whose machine died is noticed, and a firewall keeps the connection.
            .keepAliveTime(30, TimeUnit.SECONDS)
            .keepAliveTimeout(10, TimeUnit.SECONDS)
            .directExecutor();
    if (options.serverName != null) {
      channels.overrideAuthority(options.serverName);
    }
    Thread thread = new Thread(this::run, "parsl-collector-client");
    thread.setDaemon(true);
    thread.start();
  }

  /** The name under which the collector's ledger knows this client. */
  public String senderId() {
    return head.getSenderId();
  }

  /** What became of the messages so far. */
  public Counts counts() {
    lock.lock();
    try {
      return new Counts(window.lastSequence(), window.acknowledged(), rejected);
    } finally {
      lock.unlock();
    }
  }

  /**
   * Takes a message, and returns at once while the buffer has room; waits for acknowledgements
   * otherwise, for as long as the collector is away. Messages are sent in the order of the calls.
   *
   * @throws IllegalArgumentException when the message is larger than {@link #MOST_MESSAGE_BYTES}
   * @throws IllegalStateException when the client is closed
   * @throws CollectorException when the client has failed for good
   * @throws InterruptedException while waiting; the message is not taken then
   */
  public void send(MonitoringMessage message) throws InterruptedException {
    offer(message, FOREVER);
  }

  /**
   * Like {@link #send}, but waits {@code timeout} at most; returns whether the message was taken.
   */
  public boolean offer(MonitoringMessage message, Duration timeout) throws InterruptedException {
    byte[] bytes = Encoding.encode(message);
    if (bytes.length > MOST_MESSAGE_BYTES) {
      throw new IllegalArgumentException(
          "send a message of %,d bytes: the most is %,d; cut its longest text"
              .formatted(bytes.length, MOST_MESSAGE_BYTES));
    }
    lock.lockInterruptibly();
    try {
      if (!await(() -> isClosing || window.bytes() <= bufferBytes, timeout, "send")) {
        return false;
      }
      if (isClosing) {
        throw new IllegalStateException("send: the client of collector " + address + " is closed");
      }
      window.take(bytes);
      if (window.isReady()) {
        work.signal();
      }
      return true;
    } finally {
      lock.unlock();
    }
  }

  /**
   * Returns when everything that was sent before is acknowledged.
   *
   * @throws TimeoutException when that takes longer; the client goes on
   * @throws CollectorException when the client has failed for good
   */
  public void flush(Duration timeout) throws InterruptedException, TimeoutException {
    lock.lockInterruptibly();
    try {
      long last = window.lastSequence();
      if (!await(() -> window.acknowledged() >= last, timeout, "flush")) {
        throw late("flush", timeout);
      }
    } finally {
      lock.unlock();
    }
  }

  /**
   * {@link #close(Duration)} within {@link #CLOSE_TIMEOUT}; throws a {@link CollectorException}
   * when that is not enough.
   */
  @Override
  public void close() {
    try {
      close(CLOSE_TIMEOUT);
    } catch (TimeoutException e) {
      throw new CollectorException(e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CollectorException("close: interrupted before everything was acknowledged", e);
    }
  }

  /**
   * Sends what is left and the closing note, by which the collector can prove that nothing is
   * missing, and returns when all of it is acknowledged and the stream has ended. Closing again has
   * the same outcome.
   *
   * @throws TimeoutException when that takes longer: the client gives up, and the message says how
   *     many messages are left
   * @throws CollectorException when the client has failed for good
   */
  public void close(Duration timeout) throws InterruptedException, TimeoutException {
    lock.lockInterruptibly();
    try {
      isClosing = true;
      window.close();
      work.signal();
      closing.signal();
      progress.signalAll();
      // Should the collector have everything and not end the stream, nothing is lost.
      if (!await(() -> isOver, timeout, "close") && !window.isFinished()) {
        throw late("close", timeout);
      }
    } finally {
      giveUp();
      lock.unlock();
    }
  }

  /** Ends our thread, and tells whoever waits when something is left. */
  private void giveUp() {
    isGivenUp = true;
    if (failure == null && !window.isFinished()) {
      failure =
          new CollectorException(
              "the client of collector " + address + " was closed; " + left(), null);
    }
    work.signal();
    closing.signal();
    progress.signalAll();
  }

  /**
   * Waits until the condition holds; false when that takes too long. Throws what ended the client.
   */
  private boolean await(BooleanSupplier condition, Duration timeout, String act)
      throws InterruptedException {
    long nanos = timeout.toNanos();
    while (true) {
      if (failure != null) {
        throw new CollectorException(act + ": " + failure.getMessage(), failure);
      }
      if (condition.getAsBoolean()) {
        return true;
      }
      if (nanos <= 0) {
        return false;
      }
      nanos = progress.awaitNanos(nanos);
    }
  }

  private TimeoutException late(String act, Duration timeout) {
    return new TimeoutException(
        act + " the client of collector " + address + " within " + timeout + ": " + left());
  }

  private String left() {
    return "%,d of %,d messages are not acknowledged"
        .formatted(window.unacknowledged(), window.lastSequence());
  }

  private void run() {
    lock.lock();
    try {
      boolean goesOn = true;
      while (goesOn) {
        goesOn = goesOnAfter(stream()) && pause();
      }
    } catch (Throwable e) { // whatever it is: callers must not wait for ever
      failure = new CollectorException("the client's thread ended by " + e + "; " + left(), e);
    } finally {
      isOver = true;
      progress.signalAll();
      lock.unlock();
    }
  }

  /** One connection, from the attempt to make it to its end. */
  private Status stream() throws InterruptedException {
    EnvelopeStream stream = unlocked(() -> new EnvelopeStream(channels.build(), token, lock, work));
    try {
      long nanos = CONNECT_TIMEOUT.toNanos();
      while (!stream.isConnected() && stream.end() == null && !isDone()) {
        if (nanos <= 0) {
          stream.cancel("no connection within " + CONNECT_TIMEOUT.toSeconds() + " s");
          break;
        }
        nanos = work.awaitNanos(nanos);
      }
      long silence = heartbeat.toNanos();
      while (true) {
        Acknowledgement acknowledgement = stream.poll();
        if (acknowledgement != null) {
          acknowledge(stream, acknowledgement);
        } else if (stream.end() != null) {
          return stream.end();
        } else if (isGivenUp && !stream.isCancelled()) {
          stream.cancel("the client gave up");
        } else if (window.isFinished() && !stream.isEnding()) {
          if (stream.isConnected()) {
            stream.halfClose();
          } else {
            stream.cancel("nothing was sent");
          }
        } else if (stream.isReady() && window.isReady()) {
          send(stream, window.next());
          silence = heartbeat.toNanos();
        } else if (silence > 0) {
          silence = work.awaitNanos(silence);
        } else {
          sendHeartbeat(stream);
          silence = heartbeat.toNanos();
        }
      }
    } finally {
      stream.disconnect();
    }
  }

  private boolean isDone() {
    return isGivenUp || window.isFinished();
  }

  private void send(EnvelopeStream stream, Cut cut) {
    Envelope.Builder said = head.toBuilder().setFirstSequence(cut.first());
    if (cut.isLast()) {
      said.setClosingNote(ClosingNote.newBuilder().setLastSequence(window.lastSequence()));
    }
    stream.send(Encoding.request(said.build(), cut.messages()));
  }

  /** It keeps an idle run from being taken for lost: whoever names none needs none. */
  private void sendHeartbeat(EnvelopeStream stream) {
    if (!stream.isReady() || !window.isIdle() || head.getRunId().isEmpty()) {
      return;
    }
    Envelope said =
        Envelope.newBuilder().setSenderId(head.getSenderId()).setRunId(head.getRunId()).build();
    stream.send(Encoding.request(said, window.next().messages()));
  }

  private void acknowledge(EnvelopeStream stream, Acknowledgement acknowledgement) {
    Cut cut = window.oldest();
    if (cut == null || acknowledgement.getCommitted().getLast() != cut.last()) {
      stream.cancel("it answered another envelope than the oldest on its way");
      return;
    }
    window.acknowledge();
    rejected += acknowledgement.getRejectionsCount();
    boolean wasAway = failures > 0;
    failures = 0;
    progress.signalAll();
    if (wasAway) {
      tell(() -> listener.reconnected(address));
    }
    for (Rejection rejection : acknowledgement.getRejectionsList()) {
      long sequence = rejection.getSequence();
      MonitoringMessage message =
          Encoding.decode(cut.messages().get(Math.toIntExact(sequence - cut.first())));
      tell(() -> listener.rejected(sequence, message, rejection.getReason()));
    }
  }

  /** Decides what the end of a stream means; whether to connect again. */
  private boolean goesOnAfter(Status end) {
    if (isDone()) {
      return false;
    }
    String reason = describe(end);
    String cure = CURES.get(end.getCode());
    boolean isFatal =
        cure != null
            || (isRefusal(end) && !window.setAside(bytes -> Encoding.unreadable(bytes, reason)));
    if (isFatal) {
      String help = cure == null ? "" : "; " + cure;
      failure = new CollectorException(reason + help + "; " + left(), end.asException());
      return false;
    }
    window.rewind();
    failures += 1;
    if (failures == 1) {
      tell(() -> listener.disconnected(reason));
    }
    return true;
  }

  private String describe(Status end) {
    String description = end.isOk() ? "the collector ended it" : end.getDescription();
    Throwable cause = end.getCause();
    while (cause != null && cause.getCause() != null) {
      cause = cause.getCause(); // the first says only that TLS, say, has a problem
    }
    return Stream.of(
            "stream to collector " + address,
            end.getCode().toString(),
            description == null ? null : description.lines().findFirst().orElse(null),
            cause == null ? null : cause.getMessage())
        .filter(Objects::nonNull)
        .collect(Collectors.joining(": "));
  }

  /**
   * Whether what was sent will never be taken. A peer without room has one of these statuses too.
   */
  private static boolean isRefusal(Status end) {
    return end.getCode() == Status.Code.INVALID_ARGUMENT
        || (end.getCode() == Status.Code.RESOURCE_EXHAUSTED
            && Objects.toString(end.getDescription(), "").contains("larger than max"));
  }

  /**
   * Drawn between the shortest and a ceiling that doubles: senders that lost one collector must not
   * come back as one.
   */
  private boolean pause() throws InterruptedException {
    long ceiling = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS << Math.min(failures, 10));
    long nanos =
        TimeUnit.MILLISECONDS.toNanos(
            ThreadLocalRandom.current().nextLong(SHORTEST_PAUSE_MS, ceiling));
    while (nanos > 0 && !isDone()) {
      nanos = closing.awaitNanos(nanos);
    }
    return !isDone();
  }

  /** Calls a listener, which may take its time, or throw. */
  private void tell(Runnable event) {
    unlocked(
        () -> {
          try {
            event.run();
          } catch (RuntimeException e) {
            System.getLogger(Client.class.getName()).log(Level.WARNING, "a listener failed", e);
          }
          return null;
        });
  }

  /** Does what may take long, while callers can go on. */
  private <T> T unlocked(Supplier<T> act) {
    lock.unlock();
    try {
      return act.get();
    } finally {
      lock.lock();
    }
  }

  private static String thisHost() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException e) {
      return ""; // as unknown as it is to the system
    }
  }
}
