package org.parslcollector.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class WindowTest {
  private final Window window = new Window();

  @Test
  void aLoneMessageLeavesAtOnceAndTheNextOnesGatherUntilItIsAnswered() {
    take(1, 10);
    window.next();
    take(2, 10);
    assertFalse(window.isReady());

    window.acknowledge();

    assertTrue(window.isReady());
    Window.Cut second = window.next();
    assertEquals(2, second.first());
    assertEquals(3, second.last());
  }

  @Test
  void eightFullEnvelopesMayBeOnTheWay() {
    take(9 * Window.ENVELOPE_MESSAGES, 1);

    for (int i = 1; i <= 8; i++) {
      assertEquals((long) i * Window.ENVELOPE_MESSAGES, window.next().last());
    }

    assertFalse(window.isReady());
    window.acknowledge();
    assertTrue(window.isReady());
  }

  @Test
  void anEnvelopeIsBoundInBytesAndALargerMessageTravelsAlone() {
    take(1, 1);
    take(1, 2 * Window.ENVELOPE_BYTES);
    take(2, Window.ENVELOPE_BYTES / 2);
    take(1, 1);

    assertEquals(1, window.next().last());
    assertEquals(2, window.next().last());
    assertEquals(4, window.next().last());
  }

  @Test
  void afterABreakEverythingGoesAgainFromTheFirstThatIsNotAcknowledged() {
    take(3 * Window.ENVELOPE_MESSAGES, 1);
    window.close();
    window.next();
    window.next();
    assertTrue(window.next().isLast());
    window.acknowledge();

    window.rewind();

    assertEquals(Window.ENVELOPE_MESSAGES + 1, window.next().first());
    window.acknowledge();
    assertTrue(window.next().isLast());
    assertFalse(window.isFinished());
    window.acknowledge();
    assertTrue(window.isFinished());
    assertEquals(0, window.bytes());
  }

  @Test
  void aWindowWithoutMessagesNeedsNoClosingNote() {
    window.close();

    assertFalse(window.isReady());
    assertTrue(window.isFinished());
  }

  @Test
  void itIsIdleOnceAllIsAcknowledgedAndUntilItIsClosed() {
    assertFalse(window.isIdle());
    take(1, 10);
    assertFalse(window.isIdle());
    window.next();
    assertFalse(window.isIdle());
    window.acknowledge();
    assertTrue(window.isIdle());

    assertEquals(0, window.next().last());
    assertFalse(window.isIdle());
    window.acknowledge();
    assertTrue(window.isIdle());
    assertEquals(1, window.acknowledged());

    window.close();
    assertFalse(window.isIdle());
  }

  private void take(int count, int bytes) {
    IntStream.range(0, count).forEach(i -> window.take(new byte[bytes]));
  }
}
