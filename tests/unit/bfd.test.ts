/** Two hosts with BFD between them, in virtual time: up, loss and delay, cuts, operators, times, echoes, whose packets are whose. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Bfd } from "../../stack/bfd/bfd.ts";
import type { BfdChange } from "../../stack/bfd/change.ts";
import type { BfdSessionOptions } from "../../stack/bfd/options.ts";
import type { BfdSession } from "../../stack/bfd/session.ts";
import { seededRandom } from "../../stack/device/random.ts";
import type { Host } from "../../stack/ip/host.ts";
import type { Verdict } from "../../stack/ip/paths/monitor.ts";
import type { Path } from "../../stack/ip/paths/path.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as echoPacket from "../../stack/bfd/echo-packet.ts";
import * as bfd from "../../stack/wire/bfd.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ether, ip, udpOf } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";
import { LossyWire } from "../support/lossy-wire.ts";
import { bytesOf, mangled, uint32 } from "../support/records.ts";

const ADDRESSES = { left: ["10.0.0.1/24", "2001:db8::1/64"], right: ["10.0.0.2/24", "2001:db8::2/64"] };

let lab: HostLab;
let wire: LossyWire;
let left: Host;
let right: Host;
let leftBfd: Bfd;
let rightBfd: Bfd;

beforeEach(() => {
  lab = new HostLab();
  wire = new LossyWire(lab, seededRandom(7));
  left = lab.host();
  right = lab.host();
  left.join(wire.left, { dad: false, addresses: ADDRESSES.left });
  right.join(wire.right, { dad: false, addresses: ADDRESSES.right });
  leftBfd = new Bfd(left);
  rightBfd = new Bfd(right);
  lab.run(10);
});

afterEach(() => {
  leftBfd.close();
  rightBfd.close();
  lab.close();
});

type More = Partial<BfdSessionOptions>;
const FAST = { intervalMs: 10, multiplier: 3 };

/** A session at each end, of one family. */
const pair = (more: More = {}, theirs: More = more, family: 4 | 6 = 4): readonly [BfdSession, BfdSession] => [
  leftBfd.session({
    peer: family === 4 ? "10.0.0.2" : "2001:db8::2",
    interface: "left",
    ...FAST,
    ...more,
  }),
  rightBfd.session({
    peer: family === 4 ? "10.0.0.1" : "2001:db8::1",
    interface: "right",
    ...FAST,
    ...theirs,
  }),
];

const bothUp = (...sessions: readonly BfdSession[]): boolean => sessions.every((one) => one.state === "up");

describe("two hosts", () => {
  for (const family of [4, 6] as const) {
    test(`agree that each hears the other, over IPv${family}`, () => {
      const [one, other] = pair({}, {}, family);
      lab.runUntil(() => bothUp(one, other));
      lab.run(100);
      expect([one.verdict, other.verdict]).toEqual(["up", "up"]);
      expect([one.polling, other.polling]).toEqual([false, false]);
      expect([one.transmitMs, one.detectionMs]).toEqual([10, 30]);
      expect([other.transmitMs, other.detectionMs]).toEqual([10, 30]);
      expect(left.statistics().udp.noPort).toBe(0);
    });
  }

  test("have a session for each family over the same link", () => {
    const all = [...pair(), ...pair({}, {}, 6)];
    lab.runUntil(() => bothUp(...all));
    expect(leftBfd.sessions).toHaveLength(2);
  });

  test("may speak between link-local addresses", () => {
    const [here, there] = [left, right].map(
      (host) => [...host.interfaces[0]!.addresses.values()].find(({ address }) => address.linkLocal)!.address,
    );
    const [one, other] = pair({ peer: there!, echoMs: 10 }, { peer: here!, reflectEchoMs: 10 });
    lab.runUntil(() => bothUp(one, other));
    lab.runUntil(() => one.echoing, 200);
    expect(other.statistics().refused).toBe(0);
  });

  test("stay up through any loss below the multiplier in a row, with delays that vary", () => {
    const [one, other] = pair({ multiplier: 4 });
    lab.runUntil(() => bothUp(one, other));
    // Up to three in a row of each direction never arrive; a delay may eat most of the rest of the time.
    for (const weather of [wire.toLeft, wire.toRight]) {
      let inRow = 0;
      const random = seededRandom(3);
      weather.passes = () => {
        const lost = inRow < 3 && random.next() % 4 !== 0;
        inRow = lost ? inRow + 1 : 0;
        return !lost;
      };
      weather.delayMs = [2, 2];
    }
    lab.run(20_000);
    expect([one.statistics().downs, other.statistics().downs]).toEqual([0, 0]);
    expect(bothUp(one, other)).toBe(true);
  });

  test("come up through five packets of a hundred lost, and stay up mostly", () => {
    for (const weather of [wire.toLeft, wire.toRight])
      Object.assign(weather, { loss: 0.05, delayMs: [1, 6] });
    const [one, other] = pair({ multiplier: 5 });
    lab.runUntil(() => bothUp(one, other), 20_000);
    lab.run(20_000);
    expect(one.statistics().downs).toBe(0);
    expect(one.statistics().received).toBeGreaterThan(1800);
  });

  test("see a silent cut within the detection time, in whichever direction, and come up again", () => {
    const cuts = [["toLeft"], ["toRight"], ["toLeft", "toRight"]] as const;
    for (const directions of cuts) {
      const changes: BfdChange[] = [];
      const note = (change: BfdChange): void => void changes.push(change);
      const [one, other] = pair({ onChange: note });
      lab.runUntil(() => bothUp(one, other));
      lab.run(200);
      changes.length = 0;
      const cutMs = lab.clock.nowMs();
      for (const direction of directions) wire[direction].cut = true;
      lab.runUntil(() => one.state === "down" && other.state === "down", 100);
      // The one that hears nothing sees it by its timer; the other is told by it, where it can be.
      const [first] = changes;
      expect(first).toMatchObject({ previous: "up", diagnostic: bfd.DIAGNOSTIC.DETECTION_TIME_EXPIRED });
      expect(first!.silentMs).toBeCloseTo(30, 6);
      expect(first!.atMs - cutMs).toBeLessThanOrEqual(30);
      expect([one.verdict, other.verdict]).toEqual(["down", "down"]);
      for (const direction of directions) wire[direction].cut = false;
      lab.runUntil(() => bothUp(one, other), 5000);
      expect([one.verdict, other.verdict]).toEqual(["up", "up"]);
      one.close();
      other.close();
      lab.run(4000);
      expect(leftBfd.statistics().sessions).toBe(0);
    }
  });

  test("tell each other of operators, which is no failure of the path", () => {
    const [one, other] = pair();
    lab.runUntil(() => bothUp(one, other));
    one.disable();
    lab.run(1);
    expect([one.state, one.verdict]).toEqual(["admin-down", "unknown"]);
    expect([other.state, other.remoteState, other.verdict]).toEqual(["down", "admin-down", "unknown"]);
    lab.run(5000);
    expect(other.state).toBe("down");
    one.enable();
    lab.runUntil(() => bothUp(one, other), 4000);
    expect([one.verdict, other.verdict]).toEqual(["up", "up"]);
  });

  test("change their times by a poll sequence, without a gap", () => {
    const [one, other] = pair();
    lab.runUntil(() => bothUp(one, other));
    lab.run(100);
    one.update({ intervalMs: 50, multiplier: 4 });
    lab.run(200);
    expect([one.transmitMs, one.detectionMs]).toEqual([50, 150]);
    expect([other.transmitMs, other.detectionMs]).toEqual([50, 200]);
    other.update({ intervalMs: 5 });
    one.update({ intervalMs: 5 });
    lab.run(500);
    expect([one.transmitMs, one.detectionMs, other.detectionMs]).toEqual([5, 15, 20]);
    expect([one.statistics().downs, other.statistics().downs]).toEqual([0, 0]);
  });

  test("see the end of a session that is closed, and one that is opened in its place", () => {
    const [one, other] = pair();
    lab.runUntil(() => bothUp(one, other));
    one.close();
    lab.run(1);
    expect(other.remoteState).toBe("admin-down");
    expect(leftBfd.sessions).toEqual([]);
    expect(left.statistics().udp.sockets).toBe(2);
    const again = leftBfd.session({ peer: "10.0.0.2", interface: "left", ...FAST });
    // The one that was leaving has made room, its port included.
    expect(left.statistics().udp.sockets).toBe(2);
    lab.runUntil(() => bothUp(again, other), 4000);
    expect(() => leftBfd.session({ peer: "10.0.0.2", interface: "left" })).toThrow(
      'there is a BFD session with 10.0.0.2 on "left"',
    );
    again.close();
    lab.run(4000);
    // Nothing is left of it: the ports are free.
    expect(left.statistics().udp.sockets).toBe(0);
  });

  test("leave nothing behind where a port is somebody's, or the host closes first", () => {
    const taken = left.udp(bfd.ECHO_PORT, () => {});
    expect(() => leftBfd.session({ peer: "10.0.0.2", interface: "left", echoMs: 10 })).toThrow("3785");
    expect(left.statistics().udp.sockets).toBe(1);
    taken.close();
    const [one] = pair({ echoMs: 10 });
    left.close();
    lab.run(1000);
    expect(one.statistics().refused).toBeGreaterThan(0);
    leftBfd.close();
  });

  test("begin where one of them is passive, and not where both are", () => {
    const [one, other] = pair({ passive: true }, { passive: true });
    lab.run(5000);
    expect(one.statistics().sent + other.statistics().sent).toBe(0);
    other.close();
    lab.run(4000);
    const active = rightBfd.session({ peer: "10.0.0.1", interface: "right", ...FAST });
    lab.runUntil(() => bothUp(one, active), 4000);
  });

  test("believe each other by every kind of key, and nobody by another", () => {
    for (const kind of ["password", "md5", "meticulous-md5", "sha1", "meticulous-sha1"] as const) {
      const authentication = { kind, key: "open sesame", keyId: 3 };
      const [one, other] = pair({ authentication });
      lab.runUntil(() => bothUp(one, other));
      lab.run(1000);
      expect(bothUp(one, other)).toBe(true);
      expect(one.statistics().unproven).toBe(0);
      for (const session of [one, other]) session.close();
      lab.run(4000);
      for (const wrong of [
        { kind, key: "open barley", keyId: 3 },
        { kind, key: "open sesame", keyId: 4 },
        undefined,
      ]) {
        const [here, there] = pair({ authentication }, wrong === undefined ? {} : { authentication: wrong });
        lab.run(3000);
        expect([here.state, there.state]).toEqual(["down", "down"]);
        expect(here.statistics().unproven).toBeGreaterThan(0);
        for (const session of [here, there]) session.close();
        lab.run(4000);
      }
    }
  });
});

describe("a packet played again", () => {
  test("is not taken where every packet has its number, and is within the window where it need not", () => {
    for (const [kind, unproven] of [
      ["meticulous-sha1", 1],
      ["sha1", 0],
    ] as const) {
      const [one, other] = pair({ authentication: { kind, key: "open sesame" } });
      lab.runUntil(() => bothUp(one, other));
      lab.run(500);
      let copy: Uint8Array | undefined;
      wire.toRight.passes = (frame) => {
        copy ??= frame;
        return true;
      };
      lab.runUntil(() => copy !== undefined, 50);
      lab.runUntil(() => wire.passedRight > 0, 50);
      const before = other.statistics().unproven;
      wire.toRight.passes = () => true;
      wire.inject("right", copy!);
      lab.run(0);
      expect(other.statistics().unproven - before).toBe(unproven);
      for (const session of [one, other]) session.close();
      lab.run(4000);
    }
  });
});

describe("a monitor of a path", () => {
  const path = { interface: 2, name: "left", family: 4 } as unknown as Path;

  test("tells verdicts with the time that they took, and can be started again", () => {
    const [one, other] = pair();
    const told: [Verdict, number][] = [];
    const index = left.interfaces[0]!.index;
    one.start({ ...path, interface: index }, (verdict, silentMs) => void told.push([verdict, silentMs]));
    expect(one.kind).toBe("bfd");
    expect(one.verdict).toBe("unknown");
    lab.runUntil(() => bothUp(one, other));
    wire.toLeft.cut = true;
    lab.runUntil(() => one.verdict === "down", 100);
    wire.toLeft.cut = false;
    lab.runUntil(() => one.verdict === "up", 5000);
    expect(told[0]![1]).toBeLessThan(2000);
    expect(told).toEqual([
      ["up", expect.any(Number)],
      ["down", expect.closeTo(30, 6)],
      ["up", expect.any(Number)],
    ]);
    one.close();
    lab.run(5000);
    expect(told).toHaveLength(3);
    for (const use of [() => one.enable(), () => one.disable(), () => one.update({ multiplier: 4 })])
      expect(use).toThrow("the BFD session with 10.0.0.2 is closed");
    one.start({ ...path, interface: index }, (verdict, silentMs) => void told.push([verdict, silentMs]));
    lab.runUntil(() => one.verdict === "up", 5000);
    expect(told).toHaveLength(4);
    expect(() => one.start({ ...path, interface: 99 }, () => {})).toThrow('"left"');
  });
});

describe("a path", () => {
  test("is down while its session is, and the session goes on over it", () => {
    const prefix = Prefix.parse("10.9.0.0/16");
    const gateway = IpAddress.parse("10.0.0.2");
    left.addRoute({ prefix, interface: left.interfaces[0]!.index, gateway, kind: "unicast", metric: 1 });
    const [one, other] = pair();
    const watch = left.paths.watch({ interface: "left", gateway }, one);
    lab.runUntil(() => bothUp(one, other) && watch.path?.state === "up", 5000);
    wire.toLeft.cut = true;
    lab.runUntil(() => watch.path?.state === "down", 40);
    expect(watch.path).toMatchObject({ state: "down", reason: "bfd" });
    wire.toLeft.cut = false;
    lab.runUntil(() => watch.path?.state === "up", 10_000);
    watch.close();
    expect(leftBfd.sessions).toEqual([]);
  });

  for (const strict of [false, true])
    test(`whose session was never up ${strict ? "counts as dead where that is strict" : "is used"}`, () => {
      const gateway = IpAddress.parse("10.0.0.2");
      const peer = left.paths.peer(gateway);
      const session = leftBfd.session({ peer: gateway, interface: "left", ...FAST, strict });
      const watch = left.paths.watch({ gateway }, session);
      lab.run(1000);
      const before = strict ? ["down", "bfd", "down"] : ["up", "new", "unknown"];
      const seen = (): unknown[] => [watch.path?.state, watch.path?.reason, session.verdict];
      expect(seen()).toEqual(before);
      const other = rightBfd.session({ peer: "10.0.0.1", interface: "right", ...FAST });
      lab.runUntil(() => bothUp(session, other) && watch.path?.state === "up", 10_000);
      // An operator at the other end says nothing of the path, strict or not.
      other.disable();
      lab.runUntil(() => session.verdict === "unknown", 100);
      expect(watch.path?.state).toBe("up");
      other.enable();
      lab.runUntil(() => bothUp(session, other), 10_000);
      // Who begins anew knows nothing again.
      watch.close();
      lab.run(1000);
      wire.toLeft.cut = true;
      const again = left.paths.watch({ gateway }, session);
      lab.run(2000);
      expect([again.path?.state, session.verdict]).toEqual(strict ? ["down", "down"] : ["up", "unknown"]);
      peer.close();
    });
});

describe("echoes", () => {
  for (const family of [4, 6] as const) {
    test(`come back from a host that offers it, and are seen to stop, over IPv${family}`, () => {
      const [one, other] = pair({ echoMs: 10 }, { reflectEchoMs: 20 }, family);
      for (const weather of [wire.toLeft, wire.toRight]) weather.delayMs = [1, 1];
      lab.runUntil(() => bothUp(one, other));
      lab.run(2000);
      expect(one.echoing).toBe(true);
      expect(other.echoing).toBe(false);
      const { echoesSent, echoesReturned } = one.statistics();
      expect(echoesSent).toBeGreaterThan(100);
      expect(echoesSent - echoesReturned).toBeLessThanOrEqual(1);
      expect(rightBfd.statistics().reflected).toBe(echoesReturned);
      expect(one.rttMs).toBeCloseTo(2, 6);
      // Control packets to us come once a second by now, but echoes see the cut.
      expect(other.transmitMs).toBe(1000);
      const cutMs = lab.clock.nowMs();
      wire.toLeft.cut = true;
      lab.runUntil(() => one.state === "down", 200);
      expect(one.diagnostic).toBe(bfd.DIAGNOSTIC.ECHO_FAILED);
      expect(lab.clock.nowMs() - cutMs).toBeLessThanOrEqual(61);
      wire.toLeft.cut = false;
      lab.runUntil(() => bothUp(one, other), 5000);
      expect(left.statistics().ip.martian).toBe(0);
    });
  }

  test("to our own address, as some peers send them, are answered once", () => {
    const [one, other] = pair({ reflectEchoMs: 20 }, { reflectEchoMs: 20 });
    lab.runUntil(() => bothUp(one, other));
    const peer = IpAddress.parse("10.0.0.2");
    const ours = IpAddress.parse("10.0.0.1");
    const back: { ttl: number; to: number; first: number }[] = [];
    wire.toRight.passes = (frame) => {
      const view = new DataView(frame.buffer, frame.byteOffset);
      if (view.getUint16(36) === 50_001)
        back.push({ ttl: frame[22]!, to: view.getUint32(30), first: frame[42]! });
      return true;
    };
    for (const ttl of [255, 254]) {
      const datagram = udpOf(Uint8Array.of(77, 2, 3), {
        from: peer,
        to: ours,
        port: bfd.ECHO_PORT,
        fromPort: 50_001,
      });
      wire.inject("left", ether(ip(PROTOCOL.UDP, datagram, { from: peer, to: ours, more4: { ttl } })));
      lab.run(1);
    }
    expect(back).toEqual([{ ttl: 254, to: 0x0a00_0002, first: 77 }]);
    expect(leftBfd.statistics()).toMatchObject({ reflected: 1, strayEchoes: 1 });
  });

  test("that nobody sent are not believed, and are nobody's to send back", () => {
    const [one, other] = pair({ echoMs: 10 }, { reflectEchoMs: 20 });
    lab.runUntil(() => bothUp(one, other));
    lab.run(200);
    const own = IpAddress.parse("10.0.0.1");
    const forged = new Uint8Array(16);
    const inject = (payload: Uint8Array, from: IpAddress, to: IpAddress, ttl: number): void => {
      const datagram = udpOf(payload, { from, to, port: bfd.ECHO_PORT, fromPort: bfd.ECHO_PORT });
      wire.inject("left", ether(ip(PROTOCOL.UDP, datagram, { from, to, more4: { ttl } })));
      lab.run(0);
    };
    const { martian, notOurs } = left.statistics().ip;
    // Whose echo it is can be seen on the link; what nobody has seen there before is the nonce.
    const guessed = new Uint8Array(16);
    const before = one.statistics().echoesReturned;
    wire.toLeft.cut = true;
    lab.run(9);
    for (let sequence = 0; sequence < 30; sequence++) {
      echoPacket.write(new DataView(guessed.buffer), 0, one.discriminator, 0x1234, sequence);
      inject(guessed, own, own, 254);
    }
    expect(one.statistics().echoesReturned).toBe(before);
    expect(leftBfd.statistics().strayEchoes).toBe(30);
    wire.toLeft.cut = false;
    inject(forged, own, own, 254);
    expect(left.statistics().ip.martian).toBe(martian + 1);
    // This end has not offered to send anything back.
    inject(forged, IpAddress.parse("10.0.0.2"), IpAddress.parse("10.0.0.2"), 255);
    expect(left.statistics().ip.notOurs).toBe(notOurs + 1);
  });
});

describe("a control packet", () => {
  const RIGHT = IpAddress.parse("10.0.0.2");
  const LEFT = IpAddress.parse("10.0.0.1");
  const packet = (more: Partial<bfd.BfdRecord> = {}): Uint8Array =>
    bytesOf(bfd, {
      diagnostic: 0,
      state: bfd.STATE.DOWN,
      poll: false,
      final: false,
      independent: false,
      demand: false,
      detectMultiplier: 3,
      myDiscriminator: 5,
      yourDiscriminator: 0,
      desiredMinTxUs: 1_000_000,
      requiredMinRxUs: 1_000_000,
      requiredMinEchoRxUs: 0,
      authentication: undefined,
      ...more,
    });
  const hear = (payload: Uint8Array, ttl = 255, from = RIGHT): void => {
    const datagram = udpOf(payload, { from, to: LEFT, port: bfd.CONTROL_PORT, fromPort: 50_000 });
    wire.inject("left", ether(ip(PROTOCOL.UDP, datagram, { from, to: LEFT, more4: { ttl } })));
    lab.run(0);
  };

  test("is counted for what it is, and never believed without cause", () => {
    const session = leftBfd.session({ peer: RIGHT, interface: "left" });
    const before = leftBfd.statistics();
    hear(packet(), 254);
    hear(packet({ yourDiscriminator: session.discriminator }), 1);
    hear(packet().subarray(0, 20));
    hear(packet({ yourDiscriminator: (session.discriminator ^ 1) >>> 0 }));
    hear(packet(), 255, IpAddress.parse("10.0.0.3"));
    expect(session.state).toBe("down");
    expect(leftBfd.statistics()).toEqual({
      ...before,
      notOneHop: 2,
      malformed: 1,
      noSession: 2,
    });
    hear(packet());
    expect(session.state).toBe("init");
    // By its number it finds the session from wherever on the link it comes.
    hear(
      packet({ state: bfd.STATE.INIT, yourDiscriminator: session.discriminator }),
      255,
      IpAddress.parse("10.0.0.3"),
    );
    expect(session.state).toBe("up");
    expect(leftBfd.statistics().received).toBe(2);
  });

  test("may be anything, and nothing is thrown", () => {
    const session = leftBfd.session({
      peer: RIGHT,
      interface: "left",
      ...FAST,
      echoMs: 10,
      reflectEchoMs: 10,
    });
    const valid = fc
      .record({
        state: fc.constantFrom(...Object.values(bfd.STATE)),
        flags: fc.nat(0x3f),
        your: fc.constantFrom(0, session.discriminator),
        times: fc.tuple(uint32, uint32, uint32),
      })
      .map(({ state, flags, your, times: [tx, rx, echo] }) => {
        const bytes = packet({ desiredMinTxUs: tx, requiredMinRxUs: rx, requiredMinEchoRxUs: echo });
        const view = new DataView(bytes.buffer);
        view.setUint8(bfd.STATE_FLAGS, (state << 6) | flags);
        view.setUint32(bfd.YOUR_DISCRIMINATOR, your);
        return bytes;
      });
    fc.assert(
      fc.property(
        mangled(valid),
        fc.constantFrom(bfd.CONTROL_PORT, bfd.ECHO_PORT),
        fc.nat(20),
        (data, port, ms) => {
          const datagram = udpOf(data, { from: RIGHT, to: LEFT, port, fromPort: 50_000 });
          wire.inject(
            "left",
            ether(ip(PROTOCOL.UDP, datagram, { from: RIGHT, to: LEFT, more4: { ttl: 255 } })),
          );
          lab.run(ms);
          expect(lab.errors).toEqual([]);
        },
      ),
      { numRuns: 1000 },
    );
    expect(leftBfd.statistics().malformed).toBeGreaterThan(0);
    expect(leftBfd.statistics().received).toBeGreaterThan(0);
  });

  test("of a session that came in on another interface says nothing about its path", () => {
    const second = new LossyWire(lab, seededRandom(8), ["left2", "right2"]);
    left.join(second.left, { dad: false, addresses: ["10.0.1.1/24"] });
    const session = leftBfd.session({ peer: RIGHT, interface: "left" });
    lab.run(10);
    const datagram = udpOf(packet({ yourDiscriminator: session.discriminator }), {
      from: RIGHT,
      to: IpAddress.parse("10.0.1.1"),
      port: bfd.CONTROL_PORT,
      fromPort: 50_000,
    });
    const to = IpAddress.parse("10.0.1.1");
    second.inject("left", ether(ip(PROTOCOL.UDP, datagram, { from: RIGHT, to, more4: { ttl: 255 } })));
    lab.run(0);
    expect(session.state).toBe("down");
    expect(leftBfd.statistics().otherInterface).toBe(1);
  });
});

describe("what leaves", () => {
  test("has one hop to go, its own port of the dynamic range, and that port alone", () => {
    const seen: { ttl: number; port: number; to: number; tos: number }[] = [];
    wire.toRight.passes = (frame) => {
      const view = new DataView(frame.buffer, frame.byteOffset);
      if (view.getUint16(12) === 0x0800 && frame[23] === PROTOCOL.UDP)
        seen.push({ ttl: frame[22]!, tos: frame[15]!, port: view.getUint16(34), to: view.getUint16(36) });
      return true;
    };
    const returned: number[] = [];
    wire.toLeft.passes = (frame) => {
      const view = new DataView(frame.buffer, frame.byteOffset);
      if (frame[23] === PROTOCOL.UDP && view.getUint16(36) === bfd.ECHO_PORT) returned.push(frame[22]!);
      return true;
    };
    const [one, other] = pair({ echoMs: 10 }, { reflectEchoMs: 20 });
    lab.runUntil(() => bothUp(one, other));
    lab.run(300);
    const control = seen.filter(({ to }) => to === bfd.CONTROL_PORT);
    const echoes = seen.filter(({ to }) => to === bfd.ECHO_PORT);
    expect(control.length).toBeGreaterThan(5);
    expect(echoes.length).toBeGreaterThan(10);
    expect(seen.every(({ ttl, tos }) => ttl === 255 && tos === 0xc0)).toBe(true);
    // What comes back has gone one hop further, and is right but for that.
    expect(returned.length).toBe(echoes.length);
    expect(new Set(returned)).toEqual(new Set([254]));
    expect(one.statistics().echoesReturned).toBe(echoes.length);
    expect(new Set(control.map(({ port }) => port)).size).toBe(1);
    expect(control[0]!.port).toBeGreaterThanOrEqual(49_152);
  });
});

describe("options", () => {
  test("that make no sense are named", () => {
    const opened =
      (more: object): (() => unknown) =>
      () =>
        leftBfd.session({ peer: "10.0.0.2", interface: "left", ...more });
    for (const [more, says] of [
      [{ intervalMs: 0.5 }, "intervalMs"],
      [{ minReceiveMs: 1e9 }, "minReceiveMs"],
      [{ multiplier: 0 }, "multiplier"],
      [{ multiplier: 256 }, "multiplier"],
      [{ echoMs: Number.NaN }, "echoMs"],
      [{ peer: "224.0.0.1" }, "peer"],
      [{ local: "::1" }, "two families"],
      [{ local: "10.9.9.9" }, "no address of this host"],
      [{ interface: "nowhere" }, "nowhere"],
      [{ authentication: { kind: "rot13", key: "x" } }, "rot13"],
      [{ authentication: { kind: "md5", key: "" } }, "1 to 16 bytes"],
      [{ authentication: { kind: "sha1", key: "x".repeat(21) } }, "1 to 20 bytes"],
      [{ onchange: () => {} }, '"onchange"'],
    ] as const)
      expect(opened(more)).toThrow(says);
    expect(left.statistics().udp.sockets).toBe(0);
  });
});
