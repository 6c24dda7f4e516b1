package org.parslcollector.client;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import org.parslcollector.v1.MonitoringMessage;

/**
 * Is told what happens behind a {@link Client}. Writes it to the log unless you override it. Called
 * from the client's own thread, which sends nothing meanwhile: be quick.
 */
public interface Listener {
  /**
   * The collector keeps a message, but no table takes it. Sending it again would change nothing.
   */
  default void rejected(long sequence, MonitoringMessage message, String reason) {
    log().log(Level.WARNING, "message {0} is rejected: {1}", Long.toString(sequence), reason);
  }

  /**
   * The connection broke, or cannot be made; it is tried again for ever. Said once, until it works
   * again.
   */
  default void disconnected(String reason) {
    log().log(Level.WARNING, "{0}; trying again", reason);
  }

  /** The collector acknowledges again. */
  default void reconnected(String address) {
    log().log(Level.INFO, "collector {0} acknowledges again", address);
  }

  private static Logger log() {
    return System.getLogger(Client.class.getName());
  }
}
