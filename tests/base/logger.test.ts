import test from "ava";

import { toggleDebugBy } from "../../src/base/logger.js";
import { recordingLogger } from "../support/log-lines.js";

test("a signal turns debug on and off for a logger and its children", (t) => {
  const { logger, lines } = recordingLogger();
  logger.level = "warn";
  toggleDebugBy("SIGUSR2", logger);
  t.teardown(() => process.removeAllListeners("SIGUSR2"));
  const child = logger.child({ radio: "udp" });
  const say = (text: string): void => {
    logger.debug(text);
    child.debug(`${text}, by a child`);
  };

  say("before");
  process.emit("SIGUSR2");
  say("between");
  process.emit("SIGUSR2");
  say("after");

  t.deepEqual(
    lines.map(({ msg, logLevel }) => [msg, logLevel]),
    [
      ["log level changed", "debug"],
      ["between", undefined],
      ["between, by a child", undefined],
      ["log level changed", "warn"],
    ],
  );
});
