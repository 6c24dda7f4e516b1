import { tmpdir } from "node:os";

import test from "ava";

import { networkFilesystemOf } from "../../src/base/network-filesystem.js";

test("a local folder is on no network filesystem", (t) => {
  t.is(networkFilesystemOf(tmpdir()), undefined);
});
