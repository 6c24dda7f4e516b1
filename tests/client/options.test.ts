import test from "ava";

import { CollectorError, connect } from "../../src/index.js";
import { FakeRadio } from "../support/fake-radio.js";

function refusal(options: object): string {
  try {
    connect(options);
  } catch (error) {
    if (error instanceof CollectorError && error.code === "invalid-argument") return error.message;
    throw error;
  }
  return "taken";
}

test("every option that cannot be used is named in one error", (t) => {
  const message = refusal({ address: "127.0.0.1", bufferBytes: "5s", onRejected: 3 });

  t.is(
    message,
    'connect: bufferBytes: expected a whole number from 1 up, got "5s"; onRejected: expected a function, got 3; ' +
      'address: expected "host:port", as "127.0.0.1:7000", got "127.0.0.1"',
  );
});

test("a misspelt option is told what it may have meant", (t) => {
  t.regex(refusal({ adress: "127.0.0.1:7000" }), /adress: no such option; did you mean "address"\?/);
  t.regex(refusal({ address: "127.0.0.1:7000", color: "red" }), /color: no such option$/);
});

test("one of address, radios and an open sender is needed, and only one", (t) => {
  const radios = [{ radio: "grpc", address: "h:1" }];
  t.regex(refusal({}), /expected one of address, radios and a sender as radio, got none/);
  t.regex(refusal({ address: "h:1", radio: new FakeRadio() }), /got several/);
  t.regex(refusal({ address: "h:1", radios }), /got several/);
  t.regex(refusal({ radios, radio: "grpc" }), /expected one of radio and radios, got both/);
  t.is(refusal({ radios }), "taken");
});

test("a radio is named, and an unknown name is told with the known ones", (t) => {
  t.is(refusal({ radio: "grpc", address: "h:1" }), "taken");
  t.regex(
    refusal({ radio: "pigeon", address: "roof" }),
    /load radio "pigeon": no radio has this name; known are grpc/,
  );
  for (const radios of [[], [{ radio: "grpc" }], [{ radio: 7, address: "h:1" }], "grpc"]) {
    t.regex(refusal({ radios }), /radios: expected a list as/);
  }
});

test("addresses have a host and a port that can be connected to", (t) => {
  for (const address of ["node1.cluster:41235", "[::1]:7000", "10.0.0.7:1"])
    t.is(refusal({ address }), "taken");
  for (const address of ["node1", "node1:", ":7000x", "node1:0", "node1:65536"]) {
    t.regex(refusal({ address }), /address: expected/, address);
  }
});
