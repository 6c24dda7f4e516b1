package org.parslcollector.format;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * What the UDP radio sends: one envelope, under the run's key.
 *
 * @param stream 16 random bytes, drawn anew for each socket
 * @param counter 1, 2, 3, … with each datagram of the stream, sent again or not
 * @param envelope the bytes of one {@code Envelope}
 */
public record Datagram(ByteString stream, long counter, ByteString envelope) {
  /** Bytes before the envelope: magic, HMAC, stream, counter. */
  private static final int HEAD_BYTES = 4 + 32 + 16 + 8;

  private static final int MAC_AT = 4;
  private static final int STREAM_AT = MAC_AT + 32;
  private static final int COUNTER_AT = STREAM_AT + 16;
  private static final ByteString MAGIC = ByteString.copyFromUtf8("PCU1");
  private static final long MOST_COUNTER = (1L << 53) - 1;

  /** Why bytes are no datagram of the run. */
  public static final class RefusedException extends Exception {
    private static final long serialVersionUID = 1;

    /** {@code malformed} or {@code forged}, as the collector counts them. */
    RefusedException(String reason) {
      super(reason);
    }
  }

  /** The bytes to send, under the run's key: the bytes of the collector's {@code --key-file}. */
  public byte[] seal(byte[] key) {
    byte[] datagram = new byte[HEAD_BYTES + envelope.size()];
    MAGIC.copyTo(datagram, 0);
    stream.copyTo(datagram, STREAM_AT);
    ByteBuffer.wrap(datagram).putLong(COUNTER_AT, counter);
    envelope.copyTo(datagram, HEAD_BYTES);
    System.arraycopy(macOf(key, datagram), 0, datagram, MAC_AT, 32);
    return datagram;
  }

  /**
   * What is in a datagram.
   *
   * @throws RefusedException when it is malformed, or not under this key
   */
  public static Datagram open(byte[] key, byte[] datagram) throws RefusedException {
    ByteString bytes = ByteString.copyFrom(datagram);
    if (bytes.size() < HEAD_BYTES || !bytes.startsWith(MAGIC)) {
      throw new RefusedException("malformed");
    }
    // In constant time: how long it takes must not tell a forger how much of the HMAC is right.
    if (!MessageDigest.isEqual(
        bytes.substring(MAC_AT, STREAM_AT).toByteArray(), macOf(key, datagram))) {
      throw new RefusedException("forged");
    }
    long counter = ByteBuffer.wrap(datagram).getLong(COUNTER_AT);
    if (counter < 1 || counter > MOST_COUNTER) {
      throw new RefusedException("malformed");
    }
    return new Datagram(
        bytes.substring(STREAM_AT, COUNTER_AT), counter, bytes.substring(HEAD_BYTES));
  }

  private static byte[] macOf(byte[] key, byte[] datagram) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      mac.update(datagram, STREAM_AT, datagram.length - STREAM_AT);
      return mac.doFinal();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("HMAC-SHA-256, which every Java has, is missing", e);
    }
  }
}
