package org.parslcollector.format;

import com.google.protobuf.ByteString;
import com.google.protobuf.ByteString.Output;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32;

/** The framing that batches and segments share: eight bytes that name the format, then records. */
final class Records {
  static final byte OWNER = 1;
  static final byte ENVELOPE = 2;

  /** Length of the payload, checksum, kind. */
  private static final int HEAD_BYTES = 9;

  private Records() {}

  record Entry(byte kind, ByteString payload) {}

  /** What is whole in a file, and the bytes behind it. */
  record Contents(List<Entry> entries, ByteString rest) {
    List<ByteString> envelopes() {
      return entries.stream().filter(e -> e.kind() == ENVELOPE).map(Entry::payload).toList();
    }

    /**
     * Whether the file ends before the record that the rest begins; otherwise a checksum is wrong.
     */
    boolean isTruncated() {
      return rest.size() < HEAD_BYTES || lengthIn(rest) > rest.size() - HEAD_BYTES;
    }
  }

  static ByteString write(ByteString magic, List<Entry> entries) {
    Output file = ByteString.newOutput();
    try {
      magic.writeTo(file);
      for (Entry entry : entries) {
        ByteBuffer head = ByteBuffer.allocate(HEAD_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        head.putInt(entry.payload().size())
            .putInt(checksum(entry.kind(), entry.payload()))
            .put(entry.kind());
        file.write(head.array());
        entry.payload().writeTo(file);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e); // not from memory
    }
    return file.toByteString();
  }

  /**
   * Everything up to the first record that is short or fails its checksum; empty for another
   * format.
   */
  static Optional<Contents> read(ByteString magic, ByteString file) {
    if (!file.startsWith(magic)) {
      return Optional.empty();
    }
    List<Entry> entries = new ArrayList<>();
    ByteString rest = file.substring(magic.size());
    while (rest.size() >= HEAD_BYTES) {
      long length = lengthIn(rest);
      if (length > rest.size() - HEAD_BYTES) {
        break;
      }
      int end = HEAD_BYTES + (int) length;
      Entry entry = new Entry(rest.byteAt(8), rest.substring(HEAD_BYTES, end));
      if (int32At(4, rest) != checksum(entry.kind(), entry.payload())) {
        break;
      }
      entries.add(entry);
      rest = rest.substring(end);
    }
    return Optional.of(new Contents(entries, rest));
  }

  /** Length of the payload; up to 2^32 - 1, so not an int. */
  private static long lengthIn(ByteString record) {
    return Integer.toUnsignedLong(int32At(0, record));
  }

  private static int int32At(int offset, ByteString record) {
    return record.substring(offset).asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).getInt();
  }

  private static int checksum(byte kind, ByteString payload) {
    CRC32 crc = new CRC32();
    crc.update(kind);
    crc.update(payload.asReadOnlyByteBuffer());
    return (int) crc.getValue();
  }
}
