package org.parslcollector.format;

import com.google.protobuf.ByteString;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.parslcollector.format.Records.Entry;

/**
 * A file of a spool: what a sender keeps on its own disk while the collector is away.
 *
 * @param owner the process that writes it: JSON of sender_id, run_id, hostname, pid and
 *     process_started
 * @param envelopes the bytes of each {@code Envelope} that is whole
 * @param restBytes bytes behind them that are no whole record: torn off by a crash, or damaged
 */
public record Segment(String owner, List<ByteString> envelopes, int restBytes) {
  private static final ByteString MAGIC = ByteString.copyFromUtf8("PCSPOOL1");

  /** The bytes of a whole segment. */
  public static ByteString encode(String owner, List<ByteString> envelopes) {
    Entry first = new Entry(Records.OWNER, ByteString.copyFromUtf8(owner));
    Stream<Entry> others = envelopes.stream().map(e -> new Entry(Records.ENVELOPE, e));
    return Records.write(MAGIC, Stream.concat(Stream.of(first), others).toList());
  }

  /** What is whole in a file; empty when it is no segment, or does not say whose it is. */
  public static Optional<Segment> decode(ByteString file) {
    return Records.read(MAGIC, file)
        .filter(read -> !read.entries().isEmpty() && read.entries().get(0).kind() == Records.OWNER)
        .map(
            read ->
                new Segment(
                    read.entries().get(0).payload().toStringUtf8(),
                    read.envelopes(),
                    read.rest().size()));
  }
}
