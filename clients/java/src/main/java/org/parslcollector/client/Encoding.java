package org.parslcollector.client;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import org.parslcollector.v1.Envelope;
import org.parslcollector.v1.MonitoringMessage;
import org.parslcollector.v1.StreamMessagesRequest;
import org.parslcollector.v1.UnreadableMessage;

/**
 * Messages as they stand in an envelope's bytes. In protobuf the bytes of two parts of a message,
 * one after the other, are the bytes of both together: so an envelope is made, and made again after
 * a reconnect, by joining parts, and no message is encoded twice.
 */
final class Encoding {
  private Encoding() {}

  static byte[] encode(MonitoringMessage message) {
    return Envelope.newBuilder().addMessages(message).build().toByteArray();
  }

  /** The message of bytes that {@link #encode} made. */
  static MonitoringMessage decode(byte[] message) {
    try {
      return Envelope.parseFrom(message).getMessages(0);
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalArgumentException("decode a message: these bytes are none", e);
    }
  }

  /** What takes the place of a message that is refused, so that its sequence is no hole. */
  static byte[] unreadable(byte[] refused, String reason) {
    UnreadableMessage.Builder unreadable =
        UnreadableMessage.newBuilder()
            .setReason("refused on its way: " + reason)
            .setText(decode(refused).getKindCase() + " of " + refused.length + " bytes");
    return encode(MonitoringMessage.newBuilder().setUnreadableMessage(unreadable).build());
  }

  /** The bytes of a request with one envelope: {@code head} and the messages. */
  static byte[] request(Envelope head, List<byte[]> messages) {
    int size = head.getSerializedSize() + messages.stream().mapToInt(m -> m.length).sum();
    int field = StreamMessagesRequest.ENVELOPE_FIELD_NUMBER;
    int headBytes =
        CodedOutputStream.computeTagSize(field) + CodedOutputStream.computeUInt32SizeNoTag(size);
    byte[] request = new byte[headBytes + size];
    CodedOutputStream out = CodedOutputStream.newInstance(request);
    try {
      out.writeTag(field, WireFormat.WIRETYPE_LENGTH_DELIMITED);
      out.writeUInt32NoTag(size);
      head.writeTo(out);
      for (byte[] message : messages) {
        out.writeRawBytes(message);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e); // not into memory
    }
    return request;
  }
}
