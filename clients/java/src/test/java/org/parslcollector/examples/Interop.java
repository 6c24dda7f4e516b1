package org.parslcollector.examples;

import com.google.protobuf.Timestamp;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeoutException;
import org.parslcollector.client.Client;
import org.parslcollector.client.ClientBuilder;
import org.parslcollector.v1.MonitoringMessage;
import org.parslcollector.v1.ResourceInfo;
import org.parslcollector.v1.WorkflowEnd;
import org.parslcollector.v1.WorkflowInfo;
import org.parslcollector.v1.WorkflowStart;

/**
 * Sends COUNT messages, as every client of this repository does, for {@code npm run interop} to
 * compare what the collector has of them.
 */
public final class Interop {
  /** Longer than the run may take: it ends a client that hangs, and says what is left. */
  private static final Duration TIMEOUT = Duration.ofMinutes(10);

  private Interop() {}

  public static void main(String[] args)
      throws InterruptedException, IOException, TimeoutException {
    if (args.length != 4) {
      System.err.println("usage: Interop ADDRESS RUN_ID COUNT LANGUAGE");
      System.exit(1);
    }
    int count = Integer.parseInt(args[2]);
    String language = args[3];
    ClientBuilder options =
        Client.builder(args[0])
            .runId(args[1])
            .hostname("interop-" + language)
            .token(System.getenv("PARSL_COLLECTOR_TOKEN"));
    String caFile = System.getenv("PARSL_COLLECTOR_CA_FILE");
    if (caFile != null) {
      options.credentials(
          TlsChannelCredentials.newBuilder().trustManager(new File(caFile)).build());
    }
    Client client = options.connect();
    long began = System.nanoTime();
    for (int n = 1; n <= count; n++) {
      client.send(message(n, count, language));
    }
    client.flush(TIMEOUT);
    double seconds = (System.nanoTime() - began) / 1e9;
    client.close(TIMEOUT);
    Client.Counts counts = client.counts();
    System.out.printf(
        "{\"sent\":%d,\"acknowledged\":%d,\"rejected\":%d,\"seconds\":%.3f}%n",
        counts.sent(), counts.acknowledged(), counts.rejected(), seconds);
  }

  private static MonitoringMessage message(int n, int count, String language) {
    if (n == 1) {
      WorkflowStart.Builder start =
          WorkflowStart.newBuilder()
              .setTimeBegan(at(n))
              .setWorkflowName("interop " + language)
              .setWorkflowVersion("1")
              .setRundir("/interop")
              .setTasksCompletedCount(0)
              .setTasksFailedCount(0)
              .setUser("interop")
              .setHost("interop-" + language)
              .setPythonVersion("none")
              .setParslVersion("none");
      return MonitoringMessage.newBuilder()
          .setWorkflowInfo(WorkflowInfo.newBuilder().setStart(start))
          .build();
    }
    if (n == count) {
      WorkflowEnd.Builder end =
          WorkflowEnd.newBuilder()
              .setTasksCompletedCount(count - 2)
              .setTasksFailedCount(0)
              .setTimeCompleted(at(n))
              .setRundir("/interop");
      return MonitoringMessage.newBuilder()
          .setWorkflowInfo(WorkflowInfo.newBuilder().setEnd(end))
          .build();
    }
    ResourceInfo.Builder sample =
        ResourceInfo.newBuilder()
            .setTaskId(n % 100)
            .setTryId(0)
            .setTimestamp(at(n))
            .setPsutilProcessPid(n)
            .setPsutilProcessMemoryPercent(n / 4.0)
            .setPsutilProcessTimeUser(n / 8.0)
            .setPsutilProcessDiskWrite(n * 1048576.0)
            .setPsutilProcessStatus("sleeping – ✓");
    return MonitoringMessage.newBuilder().setResourceInfo(sample).build();
  }

  /** n ms and 123 us after the beginning of 2026. */
  private static Timestamp at(int n) {
    return Timestamp.newBuilder()
        .setSeconds(1767225600 + n / 1000)
        .setNanos(n % 1000 * 1_000_000 + 123_000)
        .build();
  }
}
