package org.parslcollector.format;

import com.google.protobuf.ByteString;
import java.util.List;
import java.util.Optional;
import org.parslcollector.format.Records.Entry;

/**
 * A file of the filesystem radio: envelopes for a collector that shares a directory with the
 * sender.
 *
 * @param envelopes the bytes of each {@code Envelope}, up to the first fault
 * @param fault why the file is no batch, or not a whole one
 */
public record Batch(List<ByteString> envelopes, Optional<Fault> fault) {
  private static final ByteString MAGIC = ByteString.copyFromUtf8("PCBATCH1");

  /** What can be wrong with a file. */
  public enum Fault {
    EMPTY,
    /** It ends in the middle. */
    TRUNCATED,
    /** A checksum is wrong. */
    DAMAGED,
    /** It is something else. */
    FOREIGN
  }

  /** The bytes of a file with these envelopes. */
  public static ByteString encode(List<ByteString> envelopes) {
    return Records.write(
        MAGIC, envelopes.stream().map(e -> new Entry(Records.ENVELOPE, e)).toList());
  }

  /** What a file holds. Records of unknown kinds are skipped. */
  public static Batch decode(ByteString file) {
    if (file.isEmpty()) {
      return new Batch(List.of(), Optional.of(Fault.EMPTY));
    }
    return Records.read(MAGIC, file)
        .map(read -> new Batch(read.envelopes(), faultOf(read)))
        .orElseGet(
            () ->
                new Batch(
                    List.of(),
                    Optional.of(MAGIC.startsWith(file) ? Fault.TRUNCATED : Fault.FOREIGN)));
  }

  private static Optional<Fault> faultOf(Records.Contents read) {
    if (read.rest().isEmpty()) {
      return Optional.empty();
    }
    return Optional.of(read.isTruncated() ? Fault.TRUNCATED : Fault.DAMAGED);
  }
}
