/** Sockets of Bun's shape on a host, with those of another host at the far end of a link in memory, in virtual time. */
import { describe, expect, test } from "bun:test";
import { createUdpSocket, type Attendance } from "../../stack/bun.ts";
import { type ErrorCode, codeOfSoftError } from "../../stack/bun/errors.ts";
import { createLink } from "../../stack/device/memory.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { Host } from "../../stack/ip/host.ts";
import { Loop } from "../../stack/loop/loop.ts";
import { expectWhole } from "../support/device-contract.ts";
import type { SoftError } from "../../stack/transport/network.ts";
import { localPeer } from "../support/udp-peer.ts";
import { udpSocketSuite } from "../support/udp-socket-suite.ts";
import { failure, loosely, refusal, thrownBy } from "../support/udp-stage.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

/** Above the longest wait of any test: three seconds for a neighbour. */
const PATIENCE_MS = 10_000;
const STEP_MS = 1;

/** Two hosts with addresses of both families on one link. */
const makeWorld = (attendance?: Attendance, more: readonly string[] = []) => {
  const clock = new VirtualClock(1000);
  const errors: unknown[] = [];
  const loop = new Loop({
    clock,
    waiter: new ManualWaiter(clock),
    onError: (error) => void errors.push(error),
  });
  // Room for the longest datagram in fragments, less than a test of it sends.
  const [left, right] = createLink({ txRing: 128, rxRing: 256, chunkCount: 1024, shared: true });
  const here = new Host({ loop, random: seededRandom(1) });
  const there = new Host({ loop, random: seededRandom(2) });
  here.join(left, { addresses: ["10.0.0.2/24", "2001:db8:1::2/64", ...more], dad: false, name: "left" });
  there.join(right, { addresses: ["10.0.0.1/24", "2001:db8:1::1/64"], dad: false, name: "right" });
  const until = async (what: string, look: () => boolean, limitMs = PATIENCE_MS): Promise<void> => {
    for (let waitedMs = 0; !look(); waitedMs += STEP_MS) {
      if (waitedMs > limitMs) throw new Error(`waited in vain for: ${what}`);
      clock.advance(STEP_MS);
      loop.turn(clock.nowMs());
    }
  };
  const open = loosely(createUdpSocket(here, attendance));
  const openThere = createUdpSocket(there);
  const world = {
    open,
    peer: localPeer(openThere),
    own: { v4: "10.0.0.2", v6: "2001:db8:1::2" },
    far: { v4: "10.0.0.1", v6: "2001:db8:1::1" },
    nobody: "10.0.0.77",
    everybody: "10.0.0.255",
    until,
    narrow: () => {},
    widen: () => {},
  };
  const close = (): void => {
    here.close();
    there.close();
    loop.close();
  };
  return { ...world, here, there, loop, errors, close, umem: left.umem, world };
};

let made: ReturnType<typeof makeWorld>;

udpSocketSuite(
  "createUdpSocket in memory",
  () => {
    made = makeWorld();
    return made.world;
  },
  () => {
    expect(made.errors).toEqual([]);
    made.close();
    const { lent, kept } = expectWhole(made.umem);
    expect([lent, kept]).toEqual([0, 0]);
  },
);

describe("a socket of Bun's shape", () => {
  test("sends with the TTL that was set, for groups another", async () => {
    const { open, there, far, own, until, close } = makeWorld();
    const ttls: number[] = [];
    const other = there.udp(7000, (datagram) => void ttls.push(datagram.ttl));
    other.join("239.1.1.1");
    const socket = await open({});
    const send = (): void => {
      socket.send("x", 7000, far.v4);
      socket.send("x", 7000, "239.1.1.1");
    };
    socket.setMulticastInterface(own.v4);
    send();
    socket.setTTL(9);
    send();
    socket.setMulticastTTL(5);
    send();
    await until("all of them", () => ttls.length === 6);
    // What waits for a neighbour comes later.
    expect(ttls.toSorted((a, b) => a - b)).toEqual([1, 1, 5, 9, 9, 64].toSorted((a, b) => a - b));
    close();
  });

  test("looks up no names, and says so", () => {
    const { open, close } = makeWorld();
    for (const options of [{ hostname: "example.com" }, { connect: { hostname: "example.com", port: 5 } }])
      expect(() => open(options)).toThrow(/to be a numeric IP address, not "example\.com".*lookup/);
    close();
  });

  test("reload takes bare handlers too, as its type has it", async () => {
    const { open, own, until, close } = makeWorld();
    const socket = await open({ hostname: own.v4 });
    const heard: string[] = [];
    socket.reload({ data: (_socket, data) => void heard.push(data.toString()) });
    socket.send("to itself", socket.port, own.v4);
    await until("it", () => heard.length === 1);
    expect(heard).toEqual(["to itself"]);
    close();
  });

  test("errors that nobody handles are the loop's, and everybody else hears all the same", async () => {
    const { open, own, far, errors, until, close } = makeWorld();
    const [boom, second] = [new Error("boom"), new Error("second")];
    const throwing = await open({
      hostname: own.v4,
      socket: {
        data: () => {
          throw boom;
        },
      },
    });
    const failing = await open({
      hostname: own.v4,
      socket: {
        data: () => {
          throw boom;
        },
        error: () => {
          throw second;
        },
      },
    });
    throwing.send("x", throwing.port, own.v4);
    throwing.send("x", failing.port, own.v4);
    throwing.send("x", 1, far.v4);
    await until("three errors", () => errors.length === 3);
    expect(errors.filter((one) => one === boom || one === second)).toEqual([boom, second]);
    expect(errors.map((one) => (one as { code?: string }).code)).toContain("ECONNREFUSED");
    close();
  });

  test("drain that throws is told the error handler", async () => {
    const { open, far, until, close } = makeWorld();
    const told: unknown[] = [];
    const boom = new Error("boom");
    const socket = await open({
      socket: {
        drain: () => {
          throw boom;
        },
        error: (error: unknown) => void told.push(error),
      },
    });
    const packets = Array.from({ length: 5000 }, () => ["x", 9, "224.0.0.251"]).flat();
    expect(socket.sendMany(packets)).toBeLessThan(5000);
    await until("drain", () => told.includes(boom));
    expect(far.v4).toBeDefined();
    close();
  });

  test("many datagrams to somebody who does not answer are one error", async () => {
    const { open, nobody, until, close } = makeWorld();
    const told: unknown[] = [];
    const socket = await open({ socket: { error: (error: unknown) => void told.push(error) } });
    for (let i = 0; i < 5; i++) socket.send("x", 9, nobody);
    await until("the error", () => told.length > 0);
    let turns = 0;
    await until("some more turns", () => turns++ > 100);
    expect(told).toHaveLength(1);
    close();
  });

  test("it is said how many sockets are open and how many keep the program alive", async () => {
    const said: (readonly [number, number])[] = [];
    const { open, close } = makeWorld((sockets, held) => void said.push([sockets, held]));
    const one = await open({});
    const two = await open({});
    one.unref();
    two.unref();
    two.ref();
    one.close();
    one.ref();
    two.close();
    two.close();
    expect(said).toEqual([
      [1, 1],
      [2, 2],
      [2, 1],
      [2, 0],
      [2, 1],
      [1, 1],
      [0, 0],
    ]);
    close();
  });

  test("a group for some sources stays so where it is joined again, whatever names the interface", async () => {
    const { open, there, far, own, until, close } = makeWorld();
    const heard: string[] = [];
    const socket = await open({
      socket: { data: (_: unknown, data: Buffer) => void heard.push(data.toString()) },
    });
    socket.addSourceSpecificMembership("10.0.0.77", "232.1.1.1", own.v4);
    for (const on of [own.v4, undefined])
      expect(thrownBy(() => socket.addMembership("232.1.1.1", on))).toMatchObject({ code: "EADDRINUSE" });
    const sender = there.udp({ address: far.v4 }, () => {});
    for (const address of ["232.1.1.1", own.v4])
      sender.send({ address, port: socket.port }, new TextEncoder().encode(address));
    await until("what was sent to it", () => heard.length > 0);
    expect(heard).toEqual([own.v4]);
    close();
  });

  test("of two addresses it uses the one that it is connected from, or that groups leave by", async () => {
    const { open, there, own, far, until, close } = makeWorld(() => {}, ["10.0.0.3/24"]);
    const heard: string[] = [];
    const other = there.udp(
      7000,
      (datagram) => void heard.push(`${datagram.remoteAddress} ${datagram.text()}`),
    );
    other.join("239.1.1.1");
    const free = await open({});
    free.setMulticastInterface("10.0.0.3");
    free.send("by group", 7000, "239.1.1.1");
    await until("it", () => heard.length === 1);
    const hears: string[] = [];
    const connected = await open({
      connect: { hostname: far.v4, port: 7000 },
      socket: { data: (_: unknown, data: Buffer) => void hears.push(data.toString()) },
    });
    expect(connected.address.address).toBe(own.v4);
    for (const address of ["10.0.0.3", own.v4])
      other.send({ address, port: connected.port }, new TextEncoder().encode(address));
    await until("what was sent to it", () => hears.length > 0);
    expect([heard, hears]).toEqual([["10.0.0.3 by group"], [own.v4]]);
    close();
  });

  test("ICMP errors have the kernel's numbers", () => {
    const codes = (family: 4 | 6, kinds: readonly SoftError["kind"][]) =>
      kinds.map((kind) => codeOfSoftError({ kind, family } as SoftError));
    const kinds = [
      "port-unreachable",
      "protocol-unreachable",
      "host-unreachable",
      "network-unreachable",
      "time-exceeded",
      "too-big",
      "parameter-problem",
    ] as const;
    const alike: ErrorCode[] = [
      "ECONNREFUSED",
      "ENOPROTOOPT",
      "EHOSTUNREACH",
      "ENETUNREACH",
      "EHOSTUNREACH",
      "EMSGSIZE",
      "EPROTO",
    ];
    expect([codes(4, kinds), codes(6, kinds)]).toEqual([alike, alike]);
    expect([...codes(4, ["prohibited"]), ...codes(6, ["prohibited"])]).toEqual(["EHOSTUNREACH", "EACCES"]);
  });

  test("limits: groups and sources", async () => {
    const { open, close } = makeWorld();
    const socket = await open({});
    const full = failure("ENOBUFS", 105, "no buffer space available", "setsockopt");
    const join = (i: number): boolean => socket.addMembership(`239.2.${i >> 8}.${i & 255}`);
    const joinUntilFull = (): void => {
      for (let i = 0; i < 5000; i++) join(i);
    };
    expect(thrownBy(joinUntilFull)).toEqual(full);
    const other = await open({});
    const addUntilFull = (): void => {
      for (let i = 1; i < 200; i++) other.addSourceSpecificMembership(`10.9.9.${i}`, "232.1.1.1");
    };
    socket.close();
    expect(thrownBy(addUntilFull)).toEqual(full);
    expect(thrownBy(() => other.addSourceSpecificMembership("239.1.1.1", "232.1.1.2"))).toEqual(
      failure("EINVAL", 22, "invalid argument", "setsockopt"),
    );
    close();
  });

  test("interfaces that are none are refused", async () => {
    const { open, close } = makeWorld();
    const six = await open({ hostname: "::" });
    const noDevice = failure("ENODEV", 19, "no such device", "setsockopt");
    expect(thrownBy(() => six.addMembership("ff15::1", "::%nope"))).toEqual(noDevice);
    expect(thrownBy(() => six.addMembership("ff15::1", "junk"))).toEqual(noDevice);
    expect(six.addMembership("ff15::1", "::%left")).toBe(true);
    expect(six.setMulticastInterface("::%left")).toBe(true);
    expect(thrownBy(() => six.setMulticastInterface("::%nope"))).toEqual(
      failure("EADDRNOTAVAIL", 99, "address not available", "setsockopt"),
    );
    expect(thrownBy(() => six.addMembership("ff15::2", "10.0.0.2"))).toEqual(
      refusal("Family mismatch between address and interface"),
    );
    close();
  });

  test("without an interface there is nothing to join on, and nowhere to send", async () => {
    const clock = new VirtualClock();
    const host = new Host({
      loop: new Loop({ clock, waiter: new ManualWaiter(clock) }),
      random: seededRandom(3),
    });
    const socket = await createUdpSocket(host)({});
    expect(thrownBy(() => socket.addMembership("239.1.1.1"))).toEqual(
      failure("ENODEV", 19, "no such device", "setsockopt"),
    );
    expect(thrownBy(() => socket.send("x", 9, "10.0.0.1"))).toEqual(
      failure("ENETUNREACH", 101, "network is unreachable", "send"),
    );
    host.close();
    expect(socket.closed).toBe(true);
  });

  test("a family is 4 or 6", () => {
    const { here, close } = makeWorld();
    expect(() => here.udp({ family: 5 as 4 }, () => {})).toThrow(new RangeError("family is 4 or 6, not 5"));
    expect(here.udp({ family: 6 }, () => {}).family).toBe(6);
    expect(here.udp({}, () => {}).family).toBe(0);
    close();
  });

  test("a port that the program's other sockets have is in use", () => {
    const { open, here, close } = makeWorld();
    here.udp(5300, () => {});
    expect(() => open({ port: 5300 })).toThrow("bind EADDRINUSE 0.0.0.0");
    close();
  });
});
