package org.parslcollector.client;

/**
 * A client ended before everything that it was given was acknowledged. The message says why, how
 * many are left, and what helps.
 */
public final class CollectorException extends RuntimeException {
  private static final long serialVersionUID = 1;

  CollectorException(String message, Throwable cause) {
    super(message, cause);
  }
}
