package org.parslcollector.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import java.time.Duration;
import java.util.Objects;

/** The options of a client. Plaintext and without a token unless told otherwise. */
public final class ClientBuilder {
  final String address;
  String runId = "";
  String hostname;
  long bufferBytes = Client.DEFAULT_BUFFER_BYTES;
  ChannelCredentials credentials = InsecureChannelCredentials.create();
  String serverName;
  String token;
  Listener listener = new Listener() {};
  Duration heartbeat = Client.HEARTBEAT;

  ClientBuilder(String address) {
    this.address = Objects.requireNonNull(address, "address");
  }

  /** The run of every message that names none. */
  public ClientBuilder runId(String runId) {
    this.runId = Objects.requireNonNull(runId, "runId");
    return this;
  }

  /**
   * The host of every message that names none. This host's name by default; empty when you relay.
   */
  public ClientBuilder hostname(String hostname) {
    this.hostname = Objects.requireNonNull(hostname, "hostname");
    return this;
  }

  /**
   * Bytes of messages that are kept before {@link Client#send} waits; {@link
   * Client#DEFAULT_BUFFER_BYTES} by default.
   */
  public ClientBuilder bufferBytes(long bufferBytes) {
    if (bufferBytes < 0) {
      throw new IllegalArgumentException("bufferBytes: expected 0 or more, got " + bufferBytes);
    }
    this.bufferBytes = bufferBytes;
    return this;
  }

  /**
   * TLS: {@code TlsChannelCredentials.newBuilder().trustManager(new
   * File("collector.crt")).build()}, with {@code keyManager} for a certificate of your own.
   */
  public ClientBuilder credentials(ChannelCredentials credentials) {
    this.credentials = Objects.requireNonNull(credentials, "credentials");
    return this;
  }

  /** The name that the collector's certificate must have, where you know the host by another. */
  public ClientBuilder serverName(String serverName) {
    this.serverName = serverName;
    return this;
  }

  /** The token that every call shows. */
  public ClientBuilder token(String token) {
    this.token = token;
    return this;
  }

  /**
   * Is told of rejected messages and of trouble with the connection; writes both to the log by
   * default.
   */
  public ClientBuilder listener(Listener listener) {
    this.listener = Objects.requireNonNull(listener, "listener");
    return this;
  }

  /** Returns at once: the connection is made in the background, and made again for ever. */
  public Client connect() {
    return new Client(this);
  }
}
