/** How a `udpSocket` begins and ends, and what it says of itself in between. */
import { expect, test } from "bun:test";
import { failure, type LooseSocket, refusal, type Stage, thrownBy } from "./udp-stage.ts";

export const udpSocketLifeTests = (stage: Stage): void => {
  openingTests(stage);
  lifeTests(stage);
};

const openingTests = (stage: Stage): void => {
  const { open } = stage;
  test("a socket without options stands on all addresses of IPv4, on a free port", async () => {
    const socket = await open();
    expect(socket.port).toBeWithin(1024, 65_536);
    expect(socket).toMatchObject({ hostname: "0.0.0.0", binaryType: "buffer", closed: false });
    expect(socket.address).toEqual({ address: "0.0.0.0", family: "IPv4", port: socket.port });
    expect(socket.address).toBe(socket.address);
    expect(socket.remoteAddress).toBeUndefined();
    expect(Object.prototype.toString.call(socket)).toBe("[object UDPSocket]");
    for (const empty of [
      { hostname: "", port: 0 },
      { hostname: null, port: null, connect: null, socket: null },
    ])
      expect(await open(empty)).toMatchObject({ hostname: "0.0.0.0" });
  });

  test("a socket says what it was bound to", async () => {
    const { own } = stage.world;
    for (const [hostname, family] of [
      [own.v4, "IPv4"],
      [own.v6, "IPv6"],
      ["::", "IPv6"],
      ["127.0.0.1", "IPv4"],
      ["::1", "IPv6"],
      [`::ffff:${own.v4}`, "IPv6"],
    ] as const) {
      const socket = await open({ hostname });
      expect(socket.hostname).toBe(hostname);
      expect(socket.address).toEqual({ address: hostname, family, port: socket.port });
    }
    const local = await open({ hostname: "localhost" });
    expect([local.hostname, local.address.address]).toEqual(["localhost", "127.0.0.1"]);
  });

  test("a port may be a text, and is free again after close", async () => {
    const first = await open();
    const { port } = first;
    first.close();
    expect((await open({ port: String(port) })).port).toBe(port);
  });

  test("the promise is fulfilled when it is returned", () => {
    const promise = stage.world.open({});
    expect(Bun.peek.status(promise)).toBe("fulfilled");
    (Bun.peek(promise) as LooseSocket).close();
  });
};

const lifeTests = (stage: Stage): void => {
  const { open, listen, peer, arrived } = stage;

  test("ref and unref may be called at any time", async () => {
    const socket = await open();
    expect([socket.ref(), socket.unref(), socket.ref()]).toEqual([undefined, undefined, undefined]);
    socket.close();
    expect([socket.ref(), socket.unref()]).toEqual([undefined, undefined]);
  });

  test("a closed socket keeps its name and refuses everything", async () => {
    const { far } = stage.world;
    const socket = await open();
    const { port, address } = socket;
    expect([socket.close(), socket.close()]).toEqual([undefined, undefined]);
    expect(socket).toMatchObject({ closed: true, port, hostname: "0.0.0.0" });
    expect(socket.address).toBe(address);
    expect(() => socket.send("x", 9, far.v4)).toThrow("Socket is closed");
    expect(() => socket.sendMany(["x", 9, far.v4])).toThrow("Socket is closed");
    const closed = failure("EBADF", 9, "bad file descriptor", "setsockopt");
    for (const call of [
      () => socket.setBroadcast(true),
      () => socket.setTTL(3),
      () => socket.setMulticastTTL(3),
      () => socket.setMulticastLoopback(true),
      () => socket.setMulticastInterface("0.0.0.0"),
      () => socket.addMembership("239.1.1.1"),
      () => socket.dropMembership("239.1.1.1"),
      () => socket.addSourceSpecificMembership(far.v4, "232.1.1.1"),
      () => socket.dropSourceSpecificMembership(far.v4, "232.1.1.1"),
    ])
      expect(thrownBy(call)).toEqual(closed);
  });

  test("`using` closes", async () => {
    const socket = await open();
    {
      using _ = socket;
      expect(socket.closed).toBe(false);
    }
    expect(socket.closed).toBe(true);
  });

  test("closing in the handler ends it there: what came behind is not heard", async () => {
    const { own, far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const heard: string[] = [];
    const socket = await open({
      hostname: own.v4,
      socket: {
        data(self: LooseSocket, data: Buffer) {
          heard.push(data.toString());
          self.close();
        },
      },
    });
    for (const text of ["one", "two", "three"]) other.send(text, socket.port, own.v4);
    await stage.world.until("the socket to close", () => socket.closed);
    const marker = await listen({ hostname: own.v4 });
    other.send("marker", marker.socket.port, own.v4);
    await arrived(marker.heard, 1);
    expect(heard).toEqual(["one"]);
  });

  test("reload takes handlers in the place of those before, and leaves the others", async () => {
    const { own, far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const errors: unknown[] = [];
    const error = (one: unknown): void => void errors.push(one);
    const handlers: Record<string, unknown> = { error };
    const { socket, heard } = await listen({ hostname: own.v4 }, handlers);
    const reload = (given: unknown): void => socket.reload(given as Bun.udp.SocketHandler<"buffer">);
    // What it was made with is not looked at again.
    handlers["error"] = undefined;
    const boom = new RangeError("boom");
    const data = (): void => {
      throw boom;
    };
    reload({ socket: { data } });
    other.send("thrown at", socket.port, own.v4);
    await stage.world.until("the error", () => errors.length > 0);
    expect([errors, heard]).toEqual([[boom], []]);
    const types: unknown[] = [];
    const take = (_: unknown, given: object): void => void types.push(given.constructor);
    reload({ binaryType: "arraybuffer", socket: { data: take } });
    other.send("another", socket.port, own.v4);
    await stage.world.until("the new handler", () => types.length > 0);
    reload({ socket: {} });
    other.send("same handler, default type", socket.port, own.v4);
    await stage.world.until("the new handler again", () => types.length > 1);
    expect(types).toEqual([ArrayBuffer, Buffer]);
    expect(thrownBy(() => (socket.reload as () => void).call(socket))).toEqual(
      refusal("Expected 1 argument"),
    );
    expect(thrownBy(() => reload(null))).toEqual(refusal("Expected an object"));
    expect(thrownBy(() => reload({ socket: { data: 5 } }))).toEqual(
      refusal('Expected "socket.data" to be a function'),
    );
  });
};
