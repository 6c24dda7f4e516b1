package org.parslcollector.client;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * A sender's messages from the moment that they are taken until they are acknowledged: numbers
 * them, cuts envelopes, and starts again at the first that is not acknowledged when a connection
 * breaks. Knows no clock, no lock and no wire.
 */
final class Window {
  static final int ENVELOPE_MESSAGES = 500;

  /** A single larger message travels alone. */
  static final int ENVELOPE_BYTES = 256 * 1024;

  /** Envelopes that may be unacknowledged: enough to keep the collector's writer busy. */
  private static final int ON_THE_WAY = 8;

  /**
   * What one envelope carries: consecutive messages, already encoded, and whether it has the
   * closing note.
   */
  record Cut(long first, List<byte[]> messages, boolean isLast) {
    /** Sequence of the last message; 0 when there is none. */
    long last() {
      return messages.isEmpty() ? 0 : first + messages.size() - 1;
    }
  }

  private enum Note {
    NONE,
    WANTED,
    ON_THE_WAY,
    ACKNOWLEDGED
  }

  /** Taken, and in no envelope on its way. */
  private final Deque<byte[]> waiting = new ArrayDeque<>();

  private final Deque<Cut> onTheWay = new ArrayDeque<>();
  private long lastSequence;
  private long acknowledged;
  private long bytes;
  private long waitingBytes;

  /**
   * Whether an acknowledgement came since the last cut: then a part-filled envelope need not wait.
   */
  private boolean answered;

  /** Messages up to this sequence travel alone, one after the other. */
  private long aloneUpTo;

  /** Sequence of the last message that was set aside. */
  private long replaced;

  private Note note = Note.NONE;

  /** Sequence of the last message taken; 0 before the first. */
  long lastSequence() {
    return lastSequence;
  }

  /** Everything up to this sequence is acknowledged. */
  long acknowledged() {
    return acknowledged;
  }

  long unacknowledged() {
    return lastSequence - acknowledged;
  }

  /** Bytes of all messages that are not acknowledged. */
  long bytes() {
    return bytes;
  }

  /** Gives the message the next sequence. */
  void take(byte[] message) {
    lastSequence += 1;
    waiting.addLast(message);
    bytes += message.length;
    waitingBytes += message.length;
  }

  /** No message comes any more: the last envelope says so, unless there never was a message. */
  void close() {
    if (note == Note.NONE) {
      note = lastSequence == 0 ? Note.ACKNOWLEDGED : Note.WANTED;
    }
  }

  /** Whether the closing note and everything before it is acknowledged. */
  boolean isFinished() {
    return note == Note.ACKNOWLEDGED && unacknowledged() == 0;
  }

  /** Whether everything that was ever taken is acknowledged, and more may come. */
  boolean isIdle() {
    return lastSequence > 0 && unacknowledged() == 0 && onTheWay.isEmpty() && note == Note.NONE;
  }

  /** Whether there is an envelope to send now. */
  boolean isReady() {
    int most = acknowledged < aloneUpTo ? 1 : ON_THE_WAY;
    if (onTheWay.size() >= most || (waiting.isEmpty() && note != Note.WANTED)) {
      return false;
    }
    boolean isFull = waiting.size() >= ENVELOPE_MESSAGES || waitingBytes >= ENVELOPE_BYTES;
    return onTheWay.isEmpty() || answered || isFull || note == Note.WANTED;
  }

  /** Cuts the next envelope; only when {@link #isReady}, or {@link #isIdle} for a heartbeat. */
  Cut next() {
    long first = lastSequence - waiting.size() + 1;
    int most = first <= aloneUpTo ? 1 : ENVELOPE_MESSAGES;
    List<byte[]> messages = new ArrayList<>(Math.min(most, waiting.size()));
    int size = 0;
    while (!waiting.isEmpty() && messages.size() < most) {
      size += waiting.peekFirst().length;
      if (size > ENVELOPE_BYTES && !messages.isEmpty()) {
        break;
      }
      messages.add(removeFirst());
    }
    boolean isLast = note == Note.WANTED && waiting.isEmpty();
    if (isLast) {
      note = Note.ON_THE_WAY;
    }
    answered = false;
    Cut cut = new Cut(messages.isEmpty() ? 0 : first, messages, isLast);
    onTheWay.addLast(cut);
    return cut;
  }

  /** The envelope that the next acknowledgement answers; null when none is on its way. */
  Cut oldest() {
    return onTheWay.peekFirst();
  }

  /** The oldest envelope on its way is acknowledged. */
  void acknowledge() {
    Cut cut = onTheWay.removeFirst();
    acknowledged += cut.messages().size();
    cut.messages().forEach(message -> bytes -= message.length);
    answered = true;
    if (cut.isLast()) {
      note = Note.ACKNOWLEDGED;
    }
  }

  /** The connection broke: everything that is not acknowledged goes again. */
  void rewind() {
    for (Iterator<Cut> cuts = onTheWay.descendingIterator(); cuts.hasNext(); ) {
      List<byte[]> messages = cuts.next().messages();
      for (int i = messages.size() - 1; i >= 0; i--) {
        addFirst(messages.get(i));
      }
    }
    onTheWay.clear();
    if (note == Note.ON_THE_WAY) {
      note = Note.WANTED;
    }
  }

  /**
   * The collector refuses something on its way for good. Rewinds, and lets what was on its way
   * travel alone, or puts {@code replacement} of a message that did in its place. Returns false
   * when that was refused too, or was no message: then no message is to blame.
   */
  boolean setAside(UnaryOperator<byte[]> replacement) {
    Cut oldest = onTheWay.peekFirst();
    if (oldest == null || oldest.messages().isEmpty() || oldest.first() == replaced) {
      return false;
    }
    boolean isFound = onTheWay.size() == 1 && oldest.messages().size() == 1;
    long last = lastSequence - waiting.size();
    rewind();
    if (isFound) {
      replaced = oldest.first();
      byte[] message = replacement.apply(removeFirst());
      bytes += message.length - oldest.messages().get(0).length;
      addFirst(message);
    } else {
      aloneUpTo = last;
    }
    return true;
  }

  private byte[] removeFirst() {
    byte[] message = waiting.removeFirst();
    waitingBytes -= message.length;
    return message;
  }

  private void addFirst(byte[] message) {
    waiting.addFirst(message);
    waitingBytes += message.length;
  }
}
