/** Errors of `udpSocket` and its sockets: what is thrown, what the error handler hears, with Bun's texts, codes and numbers. */
import { expect, test } from "bun:test";
import { failure, factsOf, refusal, type Stage, thrownBy } from "./udp-stage.ts";

/** The kernel gives a neighbour 3 s to answer. */
const SILENCE_MS = 15_000;

export const udpSocketErrorTests = (stage: Stage): void => {
  optionTests(stage);
  bindingTests(stage);
  sendingTests(stage);
  handlerTests(stage);
};

const optionTests = (stage: Stage): void => {
  const port = "an integer between 0 and 65535";
  const wrong: readonly (readonly [unknown, string])[] = [
    [undefined, "Expected an object"],
    [null, "Expected an object"],
    ["x", "Expected an object"],
    [{ port: "abc" }, `Expected "port" to be ${port}`],
    [{ port: -1 }, `Expected "port" to be ${port}`],
    [{ port: 70_000 }, `Expected "port" to be ${port}`],
    [{ port: 1.5 }, `Expected "port" to be ${port}`],
    [{ hostname: 5 }, 'Expected "hostname" to be a string'],
    [{ socket: "x" }, 'Expected "socket" to be an object'],
    [{ socket: { data: "x" } }, 'Expected "socket.data" to be a function'],
    [{ socket: { drain: 5 } }, 'Expected "socket.drain" to be a function'],
    [{ socket: { error: {} } }, 'Expected "socket.error" to be a function'],
    [
      { binaryType: "dataview", socket: {} },
      `Expected "socket.binaryType" to be 'arraybuffer', 'uint8array', or 'buffer'`,
    ],
    [{ binaryType: 5, socket: {} }, 'Expected "socket.binaryType" to be a string'],
    [{ connect: "x" }, 'Expected "connect" to be an object'],
    [{ connect: {} }, 'Expected "connect.hostname" to be a string'],
    [{ connect: { port: 5 } }, 'Expected "connect.hostname" to be a string'],
    [{ connect: { hostname: 5, port: 5 } }, 'Expected "connect.hostname" to be a string'],
    [{ connect: { hostname: "127.0.0.1" } }, 'Expected "connect.port" to be an integer'],
    [
      { connect: { hostname: "127.0.0.1", port: 0 } },
      'Expected "connect.port" to be an integer between 1 and 65535',
    ],
  ];
  for (const [options, message] of wrong) {
    test(`options ${JSON.stringify(options)} are refused at once`, () => {
      expect(thrownBy(() => void stage.world.open(options))).toEqual(refusal(message));
    });
  }

  test("a type of data without handlers is not looked at", async () => {
    expect((await stage.open({ binaryType: "dataview" })).binaryType).toBe("buffer");
  });
};

const bindingTests = (stage: Stage): void => {
  const { open } = stage;
  const taken = (hostname: string, code = "EADDRINUSE", errno = 98) => ({
    name: "Error",
    message: `bind ${code} ${hostname}`,
    code,
    errno,
    syscall: "bind",
    address: hostname,
  });

  test("a port is had once: for an address, for all, and over both families", async () => {
    const { own } = stage.world;
    const collisions = [
      ["0.0.0.0", "0.0.0.0"],
      ["0.0.0.0", own.v4],
      ["0.0.0.0", "::"],
      [own.v4, own.v4],
      [own.v4, "0.0.0.0"],
      [own.v4, "::"],
      ["::", "::"],
      ["::", own.v6],
      ["::", own.v4],
      [own.v6, own.v6],
      [own.v6, "::"],
    ] as const;
    for (const [first, second] of collisions) {
      const { port } = await open({ hostname: first });
      const thrown = thrownBy(() => void stage.world.open({ hostname: second, port }));
      expect(thrown).toEqual(taken(second));
    }
    for (const [first, second] of [
      ["0.0.0.0", own.v6],
      [own.v4, own.v6],
      [own.v4, "127.0.0.1"],
    ] as const) {
      const { port } = await open({ hostname: first });
      expect((await open({ hostname: second, port })).port).toBe(port);
    }
  });

  test("an address of others is refused", () => {
    const { far } = stage.world;
    for (const address of [far.v4, far.v6])
      expect(thrownBy(() => void stage.world.open({ hostname: address }))).toEqual(
        taken(address, "EADDRNOTAVAIL", 99),
      );
    expect(thrownBy(() => void stage.world.open({ hostname: "fe80::1" }))).toEqual(
      taken("fe80::1", "EINVAL", 22),
    );
  });

  test("a name that nobody has is refused", () => {
    const { code } = thrownBy(() => void stage.world.open({ hostname: "no.such.name.invalid" }));
    expect(["ESRCH", "ERR_INVALID_ARG_TYPE"]).toContain(code as string);
  });

  test("connecting fails where there is no way", () => {
    const { own, far, everybody } = stage.world;
    const family = failure("EAFNOSUPPORT", 97, "address family not supported", "connect");
    const unreachable = failure("ENETUNREACH", 101, "network is unreachable", "connect");
    for (const [hostname, to, error] of [
      ["0.0.0.0", far.v6, family],
      [own.v4, far.v6, family],
      [own.v6, far.v4, family],
      ["0.0.0.0", "198.51.100.1", unreachable],
      ["::", "2001:db8:ffff::1", unreachable],
      [own.v4, everybody, failure("EACCES", 13, "permission denied", "connect")],
    ] as const) {
      const thrown = thrownBy(() => void stage.world.open({ hostname, connect: { hostname: to, port: 5 } }));
      expect(thrown).toEqual(error);
    }
  });
};

const sendingTests = (stage: Stage): void => {
  const { open } = stage;

  test("wrong arguments of send are refused", async () => {
    const { far } = stage.world;
    const socket = await open();
    const send = socket.send as (...given: unknown[]) => boolean;
    const payload = "Expected ArrayBufferView or string as first argument";
    const port = 'Expected "port" to be an integer between 1 and 65535';
    const wrong: readonly (readonly [readonly unknown[], string])[] = [
      [[], "Expected 3 arguments, got 0"],
      [["x"], "Expected 3 arguments, got 1"],
      [["x", 5], "Expected 3 arguments, got 2"],
      [[5, 9, far.v4], payload],
      [[{}, 9, far.v4], payload],
      [[null, 9, far.v4], payload],
      [[new Blob(["x"]), 9, far.v4], payload],
      [["x", "abc", far.v4], port],
      [["x", 0, far.v4], port],
      [["x", -1, far.v4], port],
      [["x", 70_000, far.v4], port],
      [["x", 1.5, far.v4], port],
      [["x", NaN, far.v4], port],
      [["x", 9, "localhost"], "Invalid address"],
      [["x", 9, undefined], "Invalid address"],
      [["x", 9, "10.0.0.256"], "Invalid address"],
      [["x", 9, ""], "Invalid address"],
    ];
    for (const [given, message] of wrong)
      expect(thrownBy(() => send.apply(socket, [...given]))).toEqual(refusal(message));
    expect(thrownBy(() => (socket.sendMany as () => number).call(socket))).toEqual(
      refusal("Expected 1 argument, got 0"),
    );
    const connected = await open({ connect: { hostname: far.v4, port: 9 } });
    const sendThere = connected.send as (...given: unknown[]) => boolean;
    expect(thrownBy(() => sendThere.call(connected))).toEqual(refusal("Expected 1 argument, got 0"));
    expect(thrownBy(() => sendThere.call(connected, "x", 9, far.v4))).toEqual(
      refusal("Cannot specify destination on connected socket"),
    );
    expect(thrownBy(() => connected.sendMany(["x", 5]))).toEqual(
      refusal("Expected ArrayBufferView or string as payload"),
    );
  });

  test("what can't be sent throws what the kernel says", async () => {
    const { own, far } = stage.world;
    const four = await open();
    const six = await open({ hostname: "::" });
    const sixAlone = await open({ hostname: own.v6 });
    const family = failure("EAFNOSUPPORT", 97, "address family not supported", "send");
    const unreachable = failure("ENETUNREACH", 101, "network is unreachable", "send");
    const tooLong = failure("EMSGSIZE", 90, "message too long", "send");
    for (const [socket, length, to, error] of [
      [four, 1, far.v6, family],
      [four, 1, `::ffff:${far.v4}`, family],
      [four, 1, "198.51.100.1", unreachable],
      [four, 65_508, far.v4, tooLong],
      [six, 1, "2001:db8:ffff::1", unreachable],
      [six, 1, "198.51.100.1", unreachable],
      [six, 65_528, far.v6, tooLong],
      [sixAlone, 1, far.v4, unreachable],
    ] as const)
      expect(thrownBy(() => socket.send(new Uint8Array(length), 9, to))).toEqual(error);
  });

  test("options of the wrong value are refused", async () => {
    const socket = await open();
    const invalid = failure("EINVAL", 22, "invalid argument", "setsockopt");
    const few = refusal("Expected 1 argument, got 0");
    for (const set of [socket.setTTL, socket.setMulticastTTL] as ((...given: unknown[]) => number)[]) {
      for (const value of [0, 256, -1, "x", NaN, null])
        expect(thrownBy(() => set.call(socket, value))).toEqual(invalid);
      expect([1, 64, 255, 1.5, "5"].map((value) => set.call(socket, value))).toEqual([1, 64, 255, 1, 5]);
      expect(thrownBy(() => set.call(socket))).toEqual(few);
    }
    for (const set of [socket.setBroadcast, socket.setMulticastLoopback] as ((
      ...given: unknown[]
    ) => unknown)[]) {
      expect([true, false, 1, 0].map((value) => set.call(socket, value))).toEqual([true, false, 1, 0]);
      expect(thrownBy(() => set.call(socket))).toEqual(few);
    }
  });
};

const handlerTests = (stage: Stage): void => {
  const { open, peer, arrived } = stage;

  /** Options of a socket whose errors are kept, with what they were called with. */
  const failing = (more: object = {}) => {
    const calls: { readonly self: unknown; readonly given: readonly unknown[] }[] = [];
    const error = function (this: unknown, ...given: unknown[]): void {
      calls.push({ self: this, given });
    };
    return { calls, handlers: { error, ...more } };
  };

  test("what data throws goes to the error handler, and the socket lives on", async () => {
    const { own, far } = stage.world;
    const boom = new RangeError("boom");
    const { calls, handlers } = failing({
      data: () => {
        throw boom;
      },
    });
    const socket = await open({ hostname: own.v4, socket: handlers });
    const other = await peer({ hostname: far.v4 });
    other.send("one", socket.port, own.v4);
    other.send("two", socket.port, own.v4);
    await stage.world.until("two errors", () => calls.length === 2);
    for (const { self, given } of calls) {
      expect(self).toBe(socket);
      expect(given).toEqual([boom]);
    }
    expect(socket.closed).toBe(false);
  });

  test("a port that nobody has is an error of the socket, connected or not", async () => {
    const { far } = stage.world;
    const refused = failure("ECONNREFUSED", 111, "connection refused", "recv");
    const gone = await peer({ hostname: far.v4 });
    const { port } = gone;
    await gone.close();
    for (const [options, given] of [
      [{}, ["x", port, far.v4]],
      [{ hostname: "::" }, ["x", port, far.v6]],
      [{ connect: { hostname: far.v4, port } }, ["x"]],
    ] as const) {
      const { calls, handlers } = failing();
      const socket = await open({ ...options, socket: handlers });
      const send = (): boolean => (socket.send as (...all: unknown[]) => boolean).apply(socket, [...given]);
      expect(send()).toBe(true);
      await stage.world.until("the error", () => calls.length === 1);
      expect(calls[0]!.self).toBe(socket);
      expect(calls[0]!.given.map(factsOf)).toEqual([refused]);
      expect(socket.closed).toBe(false);
      expect(send()).toBe(true);
      await stage.world.until("the error again", () => calls.length === 2);
    }
    const socket = await open({ socket: failing().handlers });
    const other = await peer({ hostname: far.v4 });
    socket.send("x", port, far.v4);
    await Bun.sleep(0);
    await stage.world.until("room for another", () => {
      try {
        return socket.send("alive", other.port, far.v4);
      } catch {
        // The kernel tells the next call of the error, where that comes first.
        return false;
      }
    });
    expect(await arrived(other.received, 1)).toEqual(["alive"]);
  });

  test(
    "somebody who does not answer on the link is an error of the socket",
    async () => {
      const { nobody } = stage.world;
      const { calls, handlers } = failing();
      const socket = await open({ socket: handlers });
      expect(socket.send("anybody?", 9, nobody)).toBe(true);
      await stage.world.until("the error", () => calls.length > 0, SILENCE_MS);
      expect(calls[0]!.given.map(factsOf)).toEqual([
        failure("EHOSTUNREACH", 113, "host is unreachable", "recv"),
      ]);
    },
    SILENCE_MS,
  );
};
