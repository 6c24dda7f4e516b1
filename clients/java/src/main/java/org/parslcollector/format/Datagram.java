package org.parslcollector.format;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.parslcollector.v1.Envelope;

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

  /** The tag of that field. */
  private static final int FIRST_SEQUENCE = Envelope.FIRST_SEQUENCE_FIELD_NUMBER << 3; // a varint

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

  /**
   * What is sent in place of an envelope: such as say the same, each small enough for a datagram.
   *
   * @param note the closing note alone, which is worth more than any other datagram
   */
  public record Parts(List<ByteString> parts, Optional<ByteString> note) {}

  /**
   * Takes an envelope apart into such of at most {@code mostBytes} each; a message or loss that is
   * larger travels alone. Fields are moved as they stand, so that kinds which are not known here
   * come through.
   *
   * @throws InvalidProtocolBufferException when the bytes are no envelope
   */
  public static Parts split(ByteString envelope, int mostBytes)
      throws InvalidProtocolBufferException {
    ByteString head = ByteString.EMPTY;
    long sequence = 0;
    List<ByteString> messages = new ArrayList<>();
    List<ByteString> losses = new ArrayList<>();
    Optional<ByteString> closing = Optional.empty();
    CodedInputStream in = envelope.newCodedInput();
    try {
      while (!in.isAtEnd()) {
        int start = in.getTotalBytesRead();
        int tag = in.readTag();
        if (tag == FIRST_SEQUENCE) {
          sequence = in.readUInt64();
          continue;
        }
        in.skipField(tag);
        ByteString field = envelope.substring(start, in.getTotalBytesRead());
        switch (WireFormat.getTagFieldNumber(tag)) {
          case Envelope.MESSAGES_FIELD_NUMBER -> messages.add(field);
          case Envelope.LOSSES_FIELD_NUMBER -> losses.add(field);
          case Envelope.CLOSING_NOTE_FIELD_NUMBER -> closing = Optional.of(field);
          default -> head = head.concat(field);
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw e;
    } catch (IOException e) {
      throw new UncheckedIOException(e); // not from memory
    }
    if (closing.isEmpty()
        && (envelope.size() <= mostBytes || messages.size() + losses.size() < 2)) {
      return new Parts(List.of(envelope), closing);
    }
    List<ByteString> parts = new ArrayList<>();
    for (ByteString message : messages) {
      add(message, head.concat(firstSequence(sequence)), parts, mostBytes);
      sequence += 1;
    }
    for (ByteString loss : losses) {
      add(loss, head, parts, mostBytes);
    }
    return new Parts(parts, closing.map(head::concat));
  }

  /** Puts a field into the last part, or into a new one where that has no room. */
  private static void add(
      ByteString field, ByteString opening, List<ByteString> parts, int mostBytes) {
    int last = parts.size() - 1;
    if (last >= 0 && parts.get(last).size() + field.size() <= mostBytes) {
      parts.set(last, parts.get(last).concat(field));
    } else {
      parts.add(opening.concat(field));
    }
  }

  private static ByteString firstSequence(long sequence) {
    return Envelope.newBuilder().setFirstSequence(sequence).build().toByteString();
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
