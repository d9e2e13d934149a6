/**
 * What `Bun.udpSocket` does, as tests that any `udpSocket` of its shape can be put to: Bun's own has to pass them all, so that
 * nothing is expected of ours that Bun does not do.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { udpSocketErrorTests } from "./udp-socket-suite-errors.ts";
import { udpSocketGroupTests } from "./udp-socket-suite-groups.ts";
import { udpSocketLifeTests } from "./udp-socket-suite-life.ts";
import { failure, refusal, Stage, thrownBy, type UdpWorld } from "./udp-stage.ts";

/** The kernel's timeout for a neighbour is 3 s; starting a program in a namespace may take another. */
const SLOW_MS = 20_000;

export const udpSocketSuite = (
  name: string,
  setUp: () => UdpWorld,
  tearDown: () => void,
  skip = false,
): void => {
  const stage = new Stage();
  describe.skipIf(skip)(name, () => {
    beforeAll(() => void (stage.world = setUp()), SLOW_MS);
    afterEach(() => stage.closeAll());
    afterAll(tearDown);
    datagramTests(stage);
    connectedTests(stage);
    manyTests(stage);
    udpSocketLifeTests(stage);
    udpSocketErrorTests(stage);
    udpSocketGroupTests(stage);
  });
};

const datagramTests = (stage: Stage): void => {
  const { open, listen, peer, arrived } = stage;

  test("a datagram comes with its sender, over IPv4 and IPv6", async () => {
    const { own, far } = stage.world;
    for (const [family, ipv6] of [
      ["v4", false],
      ["v6", true],
    ] as const) {
      const { socket, heard } = await listen({ hostname: own[family] });
      const other = await peer({ hostname: far[family] });
      other.send("hello", socket.port, own[family]);
      expect(await arrived(heard, 1)).toEqual(["hello"]);
      const { self, given } = heard[0]!;
      expect(self).toBe(socket);
      expect(given[0]).toBe(socket);
      expect(given[1]).toBeInstanceOf(Buffer);
      expect(given.slice(2)).toEqual([other.port, far[family], { truncated: false, ipv6 }]);
      expect(socket.send("world", other.port, far[family])).toBe(true);
      expect(await arrived(other.received, 1)).toEqual(["world"]);
      expect(other.received[0]).toMatchObject({ address: own[family], port: socket.port });
    }
  });

  test("sockets of one machine reach each other", async () => {
    const { heard, socket } = await listen({ hostname: "127.0.0.1" });
    const other = await open({ hostname: "127.0.0.1" });
    other.send("near", socket.port, "127.0.0.1");
    expect(await arrived(heard, 1)).toEqual(["near"]);
    expect(heard[0]!.given.slice(2, 4)).toEqual([other.port, "127.0.0.1"]);
  });

  test('"::" hears and reaches both families, and writes IPv4 addresses as mapped', async () => {
    const { own, far } = stage.world;
    const { socket, heard } = await listen({ hostname: "::" });
    const four = await peer({ hostname: far.v4 });
    const six = await peer({ hostname: far.v6 });
    four.send("four", socket.port, own.v4);
    await arrived(heard, 1);
    six.send("six", socket.port, own.v6);
    expect(await arrived(heard, 2)).toEqual(["four", "six"]);
    const flags = { truncated: false, ipv6: true };
    expect(heard[0]!.given.slice(2)).toEqual([four.port, `::ffff:${far.v4}`, flags]);
    expect(heard[1]!.given.slice(2)).toEqual([six.port, far.v6, flags]);
    for (const [address, to] of [
      [far.v4, four],
      [`::ffff:${far.v4}`, four],
      [far.v6, six],
    ] as const)
      expect(socket.send("back", to.port, address)).toBe(true);
    expect(await arrived(four.received, 2)).toEqual(["back", "back"]);
    expect(await arrived(six.received, 1)).toEqual(["back"]);
  });

  test("0.0.0.0 does not hear IPv6: its sender is told that nobody is there", async () => {
    const { own, far } = stage.world;
    const { socket, heard } = await listen();
    const six = await peer({ hostname: far.v6 });
    six.send("six", socket.port, own.v6);
    await stage.world.until("an error at the sender", () => six.errors.length > 0);
    expect(six.errors).toEqual(["ECONNREFUSED"]);
    expect(heard).toEqual([]);
  });

  test("a link-local sender is named with its interface", async () => {
    const { socket, heard } = await listen({ hostname: "::" });
    const other = await peer({ hostname: "::", group: ["ff02::4d:1"] });
    const group = await listen({ hostname: "::", port: 0 });
    group.socket.addMembership("ff02::4d:2");
    other.send("from link-local", group.socket.port, "ff02::4d:2");
    await arrived(group.heard, 1);
    expect(group.heard[0]!.given[3]).toMatch(/^fe80::[0-9a-f:]+%\w+$/);
    expect([socket.closed, heard]).toEqual([false, []]);
  });

  test("text, buffers and views of any kind are sent as their bytes", async () => {
    const { far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const socket = await open();
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const shared = new Uint8Array(new SharedArrayBuffer(2));
    shared.set([9, 8]);
    const detached = new ArrayBuffer(4);
    const empty = new Uint16Array(detached);
    structuredClone(detached, { transfer: [detached] });
    const payloads: readonly (readonly [unknown, readonly number[]])[] = [
      ["h\u00e9", [0x68, 0xc3, 0xa9]],
      [new String("zz"), [0x7a, 0x7a]],
      ["", []],
      [bytes, [...bytes]],
      [bytes.subarray(2, 4), [3, 4]],
      [bytes.buffer, [...bytes]],
      [new DataView(bytes.buffer, 1, 2), [2, 3]],
      [new Uint16Array(bytes.buffer, 2, 1), [3, 4]],
      [new BigInt64Array(bytes.buffer), [...bytes]],
      [Buffer.from("ab"), [0x61, 0x62]],
      [shared.buffer, [9, 8]],
      [detached, []],
      [empty, []],
      [new Uint8Array(0), []],
    ];
    for (const [payload] of payloads) expect(socket.send(payload as string, other.port, far.v4)).toBe(true);
    await arrived(other.received, payloads.length);
    expect(other.received.map((one) => [...one.bytes])).toEqual(payloads.map(([, wanted]) => [...wanted]));
  });

  test("a port to send to may be a text", async () => {
    const { far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    (await open()).send("x", String(other.port) as unknown as number, far.v4);
    expect(await arrived(other.received, 1)).toEqual(["x"]);
  });

  test("data comes as the type that was asked for, in memory of its own", async () => {
    const { own, far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    for (const [binaryType, type] of [
      ["buffer", Buffer],
      ["Buffer", Buffer],
      [undefined, Buffer],
      ["uint8array", Uint8Array],
      ["arraybuffer", ArrayBuffer],
    ] as const) {
      const { socket, heard } = await listen({ hostname: own.v4, binaryType });
      expect(socket.binaryType).toBe((binaryType ?? "buffer").toLowerCase() as "buffer");
      other.send("one", socket.port, own.v4);
      other.send("two", socket.port, own.v4);
      await arrived(heard, 2);
      const data = heard.map(({ given }) => given[1] as Uint8Array);
      expect(data.map((one) => one.constructor)).toEqual([type, type]);
      expect(data.map((one) => new TextDecoder().decode(one))).toEqual(["one", "two"]);
    }
  });

  test("the longest datagram goes both ways, and an empty one", async () => {
    const { own, far } = stage.world;
    const { socket, heard } = await listen({ hostname: own.v4 });
    const other = await peer({ hostname: far.v4 });
    const long = new Uint8Array(65_507).map((_, i) => i);
    expect(socket.send(long, other.port, far.v4)).toBe(true);
    await arrived(other.received, 1);
    expect(other.received[0]!.bytes).toEqual(long);
    other.send(long, socket.port, own.v4);
    await arrived(heard, 1);
    expect(heard[0]!.bytes).toEqual(long);
    other.send("", socket.port, own.v4);
    expect((await arrived(heard, 2))[1]).toBe("");
  });
};

const connectedTests = (stage: Stage): void => {
  const { open, listen, peer, arrived } = stage;

  test("a connected socket has two ends, and hears the other one alone", async () => {
    const { own, far } = stage.world;
    for (const [family, ip] of [
      ["v4", "IPv4"],
      ["v6", "IPv6"],
    ] as const) {
      const other = await peer({ hostname: far[family] });
      const stranger = await peer({ hostname: far[family] });
      const hostname = family === "v4" ? "0.0.0.0" : "::";
      const { socket, heard } = await listen({
        hostname,
        connect: { hostname: far[family], port: other.port },
      });
      expect(socket.hostname).toBe(hostname);
      expect(socket.address).toEqual({ address: own[family], family: ip, port: socket.port });
      expect(socket.remoteAddress).toEqual({ address: far[family], family: ip, port: other.port });
      expect((socket.send as (data: string) => boolean).call(socket, "there")).toBe(true);
      expect(await arrived(other.received, 1)).toEqual(["there"]);
      stranger.send("stranger", socket.port, own[family]);
      await stage.world.until("the stranger to be told", () => stranger.errors.length > 0);
      other.send("back", socket.port, own[family]);
      expect(await arrived(heard, 1)).toEqual(["back"]);
    }
  });

  test('"::" connects to IPv4 as well', async () => {
    const { own, far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const connect = { hostname: far.v4, port: other.port };
    const { socket, heard } = await listen({ hostname: "::", connect });
    expect(socket.address.address).toBe(`::ffff:${own.v4}`);
    expect(socket.remoteAddress!.address).toBe(`::ffff:${far.v4}`);
    other.send("hello", socket.port, own.v4);
    await arrived(heard, 1);
    expect(heard[0]!.given.slice(2)).toEqual([
      other.port,
      `::ffff:${far.v4}`,
      { truncated: false, ipv6: true },
    ]);
  });
};

const manyTests = (stage: Stage): void => {
  const { open, peer, arrived } = stage;

  test("sendMany sends many, to several", async () => {
    const { far } = stage.world;
    const one = await peer({ hostname: far.v4 });
    const two = await peer({ hostname: far.v4 });
    const socket = await open();
    expect(socket.sendMany([])).toBe(0);
    const mixed = [
      "a",
      one.port,
      far.v4,
      Uint8Array.of(0x62),
      two.port,
      far.v4,
      "c",
      String(one.port),
      far.v4,
    ];
    expect(socket.sendMany(mixed)).toBe(3);
    expect(await arrived(one.received, 2)).toEqual(["a", "c"]);
    expect(await arrived(two.received, 1)).toEqual(["b"]);
  });

  test("sendMany of a connected socket takes payloads alone", async () => {
    const { far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const socket = await open({ connect: { hostname: far.v4, port: other.port } });
    const texts = Array.from({ length: 50 }, (_, i) => `number ${i}`);
    expect(socket.sendMany(texts)).toBe(50);
    expect(await arrived(other.received, 50)).toEqual(texts);
  });

  test("sendMany stops at what can't be sent, and throws where that is the first", async () => {
    const { far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const socket = await open();
    const long = new Uint8Array(70_000);
    expect(
      socket.sendMany(["x", other.port, far.v4, long, other.port, far.v4, "y", other.port, far.v4]),
    ).toBe(1);
    expect(thrownBy(() => socket.sendMany([long, other.port, far.v4, "y", other.port, far.v4]))).toEqual(
      failure("EMSGSIZE", 90, "message too long", "send"),
    );
    expect(await arrived(other.received, 1)).toEqual(["x"]);
  });

  test("sendMany sends nothing where one of many is wrong", async () => {
    const { far } = stage.world;
    const other = await peer({ hostname: far.v4 });
    const socket = await open();
    const wrong: readonly (readonly [unknown, string])[] = [
      [["x", other.port, far.v4, "y", other.port, "foo"], "Invalid address"],
      [["x", other.port, far.v4, 5, other.port, far.v4], "Expected ArrayBufferView or string as payload"],
      [["x", other.port, far.v4, "y"], "Expected 3 arguments for each packet"],
      [{ length: 0 }, "Expected first argument to be a array for 'sendMany'."],
    ];
    for (const [given, message] of wrong)
      expect(thrownBy(() => socket.sendMany(given as string[]))).toEqual(refusal(message));
    socket.send("marker", other.port, far.v4);
    expect(await arrived(other.received, 1)).toEqual(["marker"]);
  });

  test("without room send says false, and drain when there is some", async () => {
    const { world } = stage;
    const { far } = world;
    const other = await peer({ hostname: far.v4 });
    const drained: unknown[][] = [];
    const socket = await open({ socket: { drain: (...given: unknown[]) => void drained.push(given) } });
    // The neighbour is known from here on.
    socket.send("first", other.port, far.v4);
    await arrived(other.received, 1);
    let refused = 0;
    world.narrow();
    try {
      // Bun calls it once at the beginning, too.
      drained.length = 0;
      const packets = Array.from({ length: 20_000 }, () => [new Uint8Array(500), other.port, far.v4]).flat();
      const sent = socket.sendMany(packets);
      expect(sent).toBeWithin(1, 20_000);
      // Something may have left since.
      while (socket.send(`number ${refused}`, other.port, far.v4)) refused += 1;
    } finally {
      world.widen();
    }
    await stage.world.until("drain", () => drained.length > 0);
    expect(drained).toEqual([[socket]]);
    expect(socket.send("room", other.port, far.v4)).toBe(true);
    await stage.world.until("what was sent last", () => other.received.at(-1)!.text === "room");
    expect(other.received.map((one) => one.text)).not.toContain(`number ${refused}`);
  });
};
