package org.parslcollector.format;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.util.JsonFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.parslcollector.v1.Envelope;

/** The repository's vectors, which every client is tested on. */
class VectorsTest {
  private static final Path VECTORS = Path.of("../../tests/vectors");

  static Stream<Arguments> envelopes() throws IOException {
    return entries("envelope.json");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("envelopes")
  void anEnvelopeIsTheSameBytesAfterParsingItOrItsJson(String name, JsonObject vector)
      throws IOException {
    ByteString bytes = bytesOf(vector, "envelope");
    Envelope.Builder fromJson = Envelope.newBuilder();

    JsonFormat.parser().merge(vector.get("json").toString(), fromJson);
    if (name.equals("extremes")) { // JsonFormat reads -0.0 as 0.0
      fromJson.getMessagesBuilder(0).getResourceInfoBuilder().setPsutilProcessTimeUser(-0.0);
    }

    assertEquals(bytes, Envelope.parseFrom(bytes).toByteString());
    assertEquals(bytes, fromJson.build().toByteString());
  }

  static Stream<Arguments> batches() throws IOException {
    return entries("batch.json");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("batches")
  void aBatchHoldsItsEnvelopesUpToTheFault(String name, JsonObject vector) throws IOException {
    ByteString file = fileOf(name);

    Batch batch = Batch.decode(file);

    assertEquals(envelopesOf(vector), batch.envelopes());
    assertEquals(
        Optional.ofNullable(vector.get("fault")).map(JsonElement::getAsString),
        batch.fault().map(fault -> fault.name().toLowerCase()));
    assertIsWrittenAsRead("PCBATCH1", file);
    assertEquals(
        new Batch(batch.envelopes(), Optional.empty()),
        Batch.decode(Batch.encode(batch.envelopes())));
  }

  static Stream<Arguments> segments() throws IOException {
    return entries("segment.json");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("segments")
  void aSegmentHoldsItsOwnerAndWhatIsWhole(String name, JsonObject vector) throws IOException {
    ByteString file = fileOf(name);

    Optional<Segment> segment = Segment.decode(file);

    assertEquals(vector.has("foreign"), segment.isEmpty());
    segment.ifPresent(
        read -> {
          assertEquals(vector.get("owner"), JsonParser.parseString(read.owner()));
          assertEquals(envelopesOf(vector), read.envelopes());
          assertEquals(vector.get("rest_bytes").getAsInt(), read.restBytes());
          assertIsWrittenAsRead("PCSPOOL1", file);
          assertEquals(
              Optional.of(new Segment(read.owner(), read.envelopes(), 0)),
              Segment.decode(Segment.encode(read.owner(), read.envelopes())));
        });
  }

  /** Byte for byte, records of unknown kinds too, which batches and segments skip. */
  private static void assertIsWrittenAsRead(String magic, ByteString file) {
    ByteString begin = ByteString.copyFromUtf8(magic);
    Records.read(begin, file)
        .ifPresent(
            read -> {
              ByteString whole = file.substring(0, file.size() - read.rest().size());
              assertEquals(whole, Records.write(begin, read.entries()));
            });
  }

  static Stream<Arguments> sealed() throws IOException {
    return elements("datagram.json", "sealed");
  }

  @ParameterizedTest
  @MethodSource("sealed")
  void aDatagramIsSealedAndOpened(JsonObject vector) throws Exception {
    byte[] key = bytesOf(vector, "key").toByteArray();
    byte[] sealed = bytesOf(vector, "datagram").toByteArray();
    Datagram datagram =
        new Datagram(
            bytesOf(vector, "stream"),
            vector.get("counter").getAsLong(),
            bytesOf(vector, "envelope"));

    assertArrayEquals(sealed, datagram.seal(key));
    assertEquals(datagram, Datagram.open(key, sealed));
  }

  static Stream<Arguments> refused() throws IOException {
    return elements("datagram.json", "refused");
  }

  @ParameterizedTest
  @MethodSource("refused")
  void whatIsNoDatagramOfTheRunIsRefused(JsonObject vector) {
    byte[] key = bytesOf(vector, "key").toByteArray();
    byte[] datagram = bytesOf(vector, "datagram").toByteArray();

    Exception refusal =
        assertThrows(Datagram.RefusedException.class, () -> Datagram.open(key, datagram));

    assertEquals(vector.get("why").getAsString(), refusal.getMessage());
  }

  static Stream<Arguments> split() throws IOException {
    return elements("datagram.json", "split");
  }

  @ParameterizedTest
  @MethodSource("split")
  void aLargeEnvelopeIsTakenApart(JsonObject vector) throws Exception {
    Datagram.Parts parts =
        Datagram.split(bytesOf(vector, "envelope"), vector.get("most_bytes").getAsInt());

    assertEquals(listOf(vector, "parts"), parts.parts());
    Optional<ByteString> note =
        Optional.of(vector.get("note")).filter(hex -> !hex.isJsonNull()).map(VectorsTest::bytesOf);
    assertEquals(note, parts.note());
  }

  private static Stream<Arguments> entries(String file) throws IOException {
    return read(file).entrySet().stream().map(e -> Arguments.of(e.getKey(), e.getValue()));
  }

  private static Stream<Arguments> elements(String file, String list) throws IOException {
    return StreamSupport.stream(read(file).getAsJsonArray(list).spliterator(), false)
        .map(Arguments::of);
  }

  private static JsonObject read(String file) throws IOException {
    return JsonParser.parseString(Files.readString(VECTORS.resolve(file))).getAsJsonObject();
  }

  private static ByteString fileOf(String name) throws IOException {
    return ByteString.copyFrom(Files.readAllBytes(VECTORS.resolve(name)));
  }

  private static List<ByteString> envelopesOf(JsonObject vector) {
    return listOf(vector, "envelopes");
  }

  private static List<ByteString> listOf(JsonObject vector, String field) {
    List<ByteString> list = new ArrayList<>();
    vector.getAsJsonArray(field).forEach(hex -> list.add(bytesOf(hex)));
    return list;
  }

  private static ByteString bytesOf(JsonObject vector, String field) {
    return bytesOf(vector.get(field));
  }

  private static ByteString bytesOf(JsonElement hex) {
    return ByteString.copyFrom(HexFormat.of().parseHex(hex.getAsString()));
  }
}
