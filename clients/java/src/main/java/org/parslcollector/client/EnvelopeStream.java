package org.parslcollector.client;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;
import org.parslcollector.v1.Acknowledgement;
import org.parslcollector.v1.CollectorServiceGrpc;
import org.parslcollector.v1.StreamMessagesResponse;

/**
 * One stream to the collector, on a connection of its own. What comes is kept until it is asked
 * for; the condition tells of it. All but the constructor is for the holder of the lock.
 */
final class EnvelopeStream extends ClientCall.Listener<StreamMessagesResponse> {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** Requests are bytes already: each message is encoded once, and resent as it is. */
  private static final MethodDescriptor<byte[], StreamMessagesResponse> METHOD =
      CollectorServiceGrpc.getStreamMessagesMethod().toBuilder(
              new BytesMarshaller(),
              CollectorServiceGrpc.getStreamMessagesMethod().getResponseMarshaller())
          .build();

  private final ManagedChannel channel;
  private final ClientCall<byte[], StreamMessagesResponse> call;
  private final Lock lock;
  private final Condition changed;
  private final Queue<Acknowledgement> acknowledgements = new ArrayDeque<>();
  private boolean isConnected;
  private boolean isHalfClosed;
  private boolean isCancelled;
  private Status end;

  /** Begins to connect. {@code token} may be null. */
  EnvelopeStream(ManagedChannel channel, String token, Lock lock, Condition changed) {
    this.channel = channel;
    this.lock = lock;
    this.changed = changed;
    call = channel.newCall(METHOD, CallOptions.DEFAULT);
    Metadata headers = new Metadata();
    if (token != null) {
      headers.put(AUTHORIZATION, "Bearer " + token);
    }
    call.start(this, headers);
    // The window bounds what can come.
    call.request(Integer.MAX_VALUE);
  }

  /** Whether the connection is there, or was. */
  boolean isConnected() {
    return isConnected;
  }

  /** Whether the connection takes more. */
  boolean isReady() {
    return !isEnding() && call.isReady();
  }

  boolean isCancelled() {
    return isCancelled;
  }

  /** Whether its end was asked for, or came. */
  boolean isEnding() {
    return isHalfClosed || isCancelled || end != null;
  }

  /** Sends a request, which {@link Encoding#request} made. */
  void send(byte[] request) {
    call.sendMessage(request);
  }

  /** The next acknowledgement, null when none has come. */
  Acknowledgement poll() {
    return acknowledgements.poll();
  }

  /** How the stream ended; null while it has not. */
  Status end() {
    return end;
  }

  /** Nothing more will be sent. */
  void halfClose() {
    isHalfClosed = true;
    call.halfClose();
  }

  /** Ends the stream with CANCELLED and the reason. */
  void cancel(String reason) {
    isCancelled = true;
    call.cancel(reason, null);
  }

  /** Ends the connection. */
  void disconnect() {
    channel.shutdownNow();
  }

  @Override
  public void onReady() {
    happen(() -> isConnected = true);
  }

  @Override
  public void onMessage(StreamMessagesResponse response) {
    happen(() -> acknowledgements.addAll(response.getAcknowledgementsList()));
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    happen(() -> end = status);
  }

  private void happen(Runnable event) {
    lock.lock();
    try {
      event.run();
      changed.signal();
    } finally {
      lock.unlock();
    }
  }

  private static final class BytesMarshaller implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      throw new UnsupportedOperationException("a client reads no requests");
    }
  }
}
