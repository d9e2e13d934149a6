/** What befalls BFD sessions: operators, listeners that throw, peers that restart, interfaces that leave, loops that come late. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Bfd, MAX_SESSIONS } from "../../stack/bfd/bfd.ts";
import type { BfdChange } from "../../stack/bfd/change.ts";
import type { BfdSessionOptions } from "../../stack/bfd/options.ts";
import type { BfdSession } from "../../stack/bfd/session.ts";
import { seededRandom } from "../../stack/device/random.ts";
import type { Host } from "../../stack/ip/host.ts";
import type { Verdict } from "../../stack/ip/paths/monitor.ts";
import type { Path } from "../../stack/ip/paths/path.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as bfd from "../../stack/wire/bfd.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { PEER } from "../support/bfd-bench.ts";
import { ether, HOST4, ip, STATION4, udpOf } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";
import { LossyWire } from "../support/lossy-wire.ts";
import { bytesOf } from "../support/records.ts";

const LEFT = IpAddress.parse("10.0.0.1");
const RIGHT = IpAddress.parse("10.0.0.2");
const FAST = { intervalMs: 10, multiplier: 3 };

let lab: HostLab;

beforeEach(() => {
  lab = new HostLab();
});
afterEach(() => {
  lab.close();
});

const bothUp = (...sessions: readonly BfdSession[]): boolean => sessions.every((one) => one.state === "up");

describe("of two hosts", () => {
  let wire: LossyWire;
  let left: Host;
  let right: Host;
  let leftBfd: Bfd;
  let rightBfd: Bfd;

  beforeEach(() => {
    wire = new LossyWire(lab, seededRandom(7));
    left = lab.host();
    right = lab.host();
    left.join(wire.left, { dad: false, addresses: ["10.0.0.1/24"] });
    right.join(wire.right, { dad: false, addresses: ["10.0.0.2/24"] });
    leftBfd = new Bfd(left);
    rightBfd = new Bfd(right);
    lab.run(10);
  });
  afterEach(() => {
    leftBfd.close();
    rightBfd.close();
  });

  type More = Partial<BfdSessionOptions>;
  const openLeft = (more: More = {}): BfdSession =>
    leftBfd.session({ peer: RIGHT, interface: "left", ...FAST, ...more });
  const openRight = (more: More = {}): BfdSession =>
    rightBfd.session({ peer: LEFT, interface: "right", ...FAST, ...more });
  /** The verdicts of a session, from now on. */
  const verdictsOf = (session: BfdSession): [Verdict, number][] => {
    const told: [Verdict, number][] = [];
    session.start({ interface: session.interface } as Path, (verdict, silentMs) => {
      told.push([verdict, silentMs]);
    });
    return told;
  };
  const cutBoth = (cut: boolean): void => {
    wire.toLeft.cut = cut;
    wire.toRight.cut = cut;
  };

  describe("an operator's hand", () => {
    test("on a session that is down already says so, and no more that the path is dead (RFC 5882 section 3.2)", () => {
      const [one, other] = [openLeft(), openRight()];
      const told = verdictsOf(one);
      lab.runUntil(() => bothUp(one, other));
      cutBoth(true);
      lab.runUntil(() => one.verdict === "down", 100);
      other.disable();
      cutBoth(false);
      lab.runUntil(() => one.verdict === "unknown", 2000);
      expect([one.state, one.remoteState]).toEqual(["down", "admin-down"]);
      expect(told.map(([verdict]) => verdict)).toEqual(["up", "down", "unknown"]);
      // The peer said it itself.
      expect(told[2]![1]).toBe(0);
    });

    for (const whose of ["ours", "theirs"] as const)
      test(`does not make a strict session call the path dead when it lets go: ${whose}`, () => {
        const [one, other] = [openLeft({ strict: true }), openRight()];
        const told = verdictsOf(one);
        expect(one.verdict).toBe("down");
        lab.runUntil(() => bothUp(one, other));
        const held = whose === "ours" ? one : other;
        held.disable();
        lab.run(10_000);
        held.enable();
        lab.runUntil(() => bothUp(one, other), 5000);
        expect(told.map(([verdict]) => verdict)).toEqual(["up", "unknown", "up"]);
      });

    test("is one from the beginning too, and gone with the peer's voice where the session is strict", () => {
      const other = openRight();
      other.disable();
      const one = openLeft({ strict: true });
      const told = verdictsOf(one);
      lab.runUntil(() => one.verdict === "unknown", 3000);
      cutBoth(true);
      lab.runUntil(() => one.verdict === "down", 4000);
      expect(told.map(([verdict]) => verdict)).toEqual(["unknown", "down"]);
      // A detection time at the slow beat, and what it took to be sure.
      expect(told[1]![1]).toBeGreaterThanOrEqual(3000);
      expect(told[1]![1]).toBeLessThan(3100);
    });

    test("that lets go where only one of both is heard leaves a strict session dead after all", () => {
      const [one, other] = [openLeft({ strict: true }), openRight()];
      const told = verdictsOf(one);
      lab.runUntil(() => bothUp(one, other));
      one.disable();
      lab.run(1000);
      wire.toRight.cut = true;
      one.enable();
      lab.run(10_000);
      expect(told.map(([verdict]) => verdict)).toEqual(["up", "unknown", "down"]);
      expect(one.state).toBe("init");
    });
  });

  test("a listener that throws keeps no session from being what it is", () => {
    const [one, other] = [
      openLeft({
        onChange: ({ state }) => {
          throw new Error(`heard of ${state}`);
        },
      }),
      openRight({ passive: true }),
    ];
    lab.runUntil(() => bothUp(one, other));
    cutBoth(true);
    lab.runUntil(() => !bothUp(one) && !bothUp(other), 100);
    // The other waits for packets of this one.
    lab.run(5000);
    cutBoth(false);
    lab.runUntil(() => bothUp(one, other), 3000);
    expect(lab.errors.splice(0).map(String)).toEqual(
      ["up", "down", "up"].map((state) => `Error: heard of ${state}`),
    );
    one.close();
    expect(leftBfd.sessions).toEqual([]);
    lab.runUntil(() => other.remoteState === "admin-down", 10);
    expect(lab.errors.splice(0).map(String)).toEqual(["Error: heard of admin-down"]);
  });

  test("a session that a listener opens again as it is closed is open, and stays so", () => {
    let again = true;
    const one: BfdSession = openLeft({
      onChange: ({ state }) => {
        if (state !== "admin-down" || !again) return;
        again = false;
        one.close();
        one.start({ interface: one.interface } as Path, () => {});
      },
    });
    const other = openRight();
    lab.runUntil(() => bothUp(one, other));
    one.close();
    expect(again).toBe(false);
    lab.run(10_000);
    expect([one.open, one.state]).toEqual([true, "up"]);
  });

  test("the last word is said for as long as a peer waits that wants packets seldom (RFC 5880 section 6.8.16)", () => {
    const [one, other] = [openLeft(), openRight({ intervalMs: 4000 })];
    lab.runUntil(() => bothUp(one, other));
    const words: number[] = [];
    wire.toRight.passes = (frame) => {
      const view = new DataView(frame.buffer, frame.byteOffset);
      if (view.getUint16(36) === bfd.CONTROL_PORT) words.push(bfd.state(view, 42));
      return true;
    };
    one.close();
    lab.run(11_900);
    expect(leftBfd.statistics().sessions).toBe(0);
    expect(left.statistics().udp.sockets).toBe(2);
    lab.run(200);
    expect(left.statistics().udp.sockets).toBe(0);
    expect(words.length).toBeGreaterThanOrEqual(3);
    expect(new Set(words)).toEqual(new Set([bfd.STATE.ADMIN_DOWN]));
  });

  test("the last word is not said for hours to a peer that asks for one in an hour, nor kept for who asks for none", () => {
    for (const [requiredMinRxUs, waitsMs] of [
      [0, 0],
      [0xffff_ffff, 180_000],
    ] as const) {
      const one = openLeft();
      const packet = bytesOf(bfd, { ...PEER, yourDiscriminator: one.discriminator, requiredMinRxUs });
      const datagram = udpOf(packet, { from: RIGHT, to: LEFT, port: bfd.CONTROL_PORT, fromPort: 50_000 });
      wire.inject("left", ether(ip(PROTOCOL.UDP, datagram, { from: RIGHT, to: LEFT, more4: { ttl: 255 } })));
      lab.run(1);
      expect(one.state).toBe("init");
      one.close();
      lab.run(Math.max(0, waitsMs - 100));
      expect(left.statistics().udp.sockets).toBe(waitsMs === 0 ? 0 : 2);
      lab.run(200);
      expect(left.statistics().udp.sockets).toBe(0);
    }
  });

  test("a peer that comes back as another is known by its new number at once", () => {
    const [one, other] = [openLeft(), openRight()];
    const changes: BfdChange[] = [];
    lab.runUntil(() => bothUp(one, other));
    // It dies without a word.
    wire.toLeft.cut = true;
    rightBfd.close();
    wire.toLeft.cut = false;
    rightBfd = new Bfd(right);
    const born = openRight({ onChange: (change) => void changes.push(change) });
    expect(born.discriminator).not.toBe(other.discriminator);
    lab.runUntil(() => bothUp(one, born), 2000);
    lab.run(1000);
    expect(one.statistics()).toMatchObject({ ups: 2, downs: 1 });
    expect(changes.map(({ state }) => state)).toEqual(["up"]);
    expect(one.detectionMs).toBe(30);
  });

  test("an interface that leaves and comes back finds its session waiting", () => {
    const [one, other] = [openLeft(), openRight()];
    lab.runUntil(() => bothUp(one, other));
    left.leave(left.interfaces[0]!);
    lab.runUntil(() => !bothUp(one) && !bothUp(other), 100);
    lab.run(3000);
    expect(one.statistics().refused).toBeGreaterThan(0);
    left.join(wire.left, { dad: false, addresses: ["10.0.0.1/24"] });
    lab.runUntil(() => bothUp(one, other), 3000);
    expect([one.detectionMs, other.detectionMs]).toEqual([30, 30]);
    lab.expectWhole();
  });

  test("one that was closed for long knows nobody when it opens again", () => {
    const [one, other] = [openLeft({ passive: true }), openRight()];
    lab.runUntil(() => bothUp(one, other));
    wire.toLeft.cut = true;
    one.close();
    // Another takes its place, so that it ends before it has missed anybody.
    leftBfd.session({ peer: RIGHT, interface: "left", passive: true }).close();
    lab.run(60_000);
    const { sent } = one.statistics();
    one.start({ interface: one.interface } as Path, () => {});
    lab.run(60_000);
    // Who is passive does not speak to a number of long ago.
    expect(one.statistics().sent).toBe(sent);
    wire.toLeft.cut = false;
    lab.runUntil(() => bothUp(one, other), 3000);
  });

  test("a key is changed at one end after the other, and no path is called dead for it", () => {
    const keyed = (key: string): More => ({ authentication: { kind: "meticulous-sha1", key } });
    const [one, other] = [openLeft(keyed("open sesame")), openRight(keyed("open sesame"))];
    const told = [verdictsOf(one), verdictsOf(other)];
    lab.runUntil(() => bothUp(one, other));
    one.close();
    const oneAnew = openLeft(keyed("open barley"));
    told.push(verdictsOf(oneAnew));
    lab.run(5000);
    expect([oneAnew.verdict, other.verdict]).toEqual(["unknown", "unknown"]);
    expect(oneAnew.statistics().unproven).toBeGreaterThan(0);
    other.close();
    const otherAnew = openRight(keyed("open barley"));
    told.push(verdictsOf(otherAnew));
    lab.runUntil(() => bothUp(oneAnew, otherAnew), 5000);
    expect(told.flat().map(([verdict]) => verdict)).not.toContain("down");
  });

  test("packets that prove nothing confirm nobody's Ethernet address", () => {
    const authentication = { kind: "sha1", key: "open sesame" } as const;
    const patient = { intervalMs: 1000, multiplier: 255, authentication };
    const [one, other] = [openLeft(patient), openRight(patient)];
    lab.runUntil(() => bothUp(one, other));
    lab.run(5000);
    wire.toLeft.cut = true;
    const forged = bytesOf(bfd, {
      ...PEER,
      state: bfd.STATE.UP,
      yourDiscriminator: one.discriminator,
      myDiscriminator: other.discriminator,
    });
    const datagram = udpOf(forged, { from: RIGHT, to: LEFT, port: bfd.CONTROL_PORT, fromPort: 50_000 });
    const frame = ether(ip(PROTOCOL.UDP, datagram, { from: RIGHT, to: LEFT, more4: { ttl: 255 } }));
    const { w0, w1, w2, w3 } = RIGHT;
    const state = (): unknown => left.interfaces[0]!.neighboursOf(4).lookup(w0, w1, w2, w3)?.state;
    for (let second = 0; second < 90; second++) {
      wire.inject("left", frame);
      lab.run(1000);
    }
    expect(one.state).toBe("up");
    expect(one.statistics().unproven).toBe(90);
    // Nobody answers what it is asked itself, so it is forgotten, or asked for again and again.
    expect(state()).not.toBe("reachable");
  });

  test("one that leaves makes room for another of the same peer where all places are taken", () => {
    const sessions = Array.from({ length: MAX_SESSIONS }, (_, i) =>
      leftBfd.session({ peer: `10.1.${i >> 8}.${i & 255}`.replace(".0.0", ".9.9"), interface: "left" }),
    );
    const more = { peer: "10.2.0.1", interface: "left" };
    expect(() => leftBfd.session(more)).toThrow("at most 1024 BFD sessions");
    const { peer } = sessions[5]!;
    sessions[5]!.close();
    leftBfd.session({ peer, interface: "left" });
    expect(leftBfd.sessions).toHaveLength(MAX_SESSIONS);
    expect(() => leftBfd.session(more)).toThrow("at most 1024 BFD sessions");
  });
});

describe("a loop that comes late", () => {
  const PEERS = 8;
  const peerOf = (i: number): IpAddress => IpAddress.parse(`10.0.0.${100 + i}`);
  const JUNK = udpOf(new Uint8Array(20), { from: STATION4, to: HOST4, port: 9 });

  test("takes what lies in the rings beyond its first burst for life, and silence for death all the same", () => {
    const { host, station } = lab.wire({ addresses: ["10.0.0.2/24"] });
    station.introduce(...Array.from({ length: PEERS }, (_, i) => String(peerOf(i))));
    const protocol = new Bfd(host);
    const sessions = Array.from({ length: PEERS }, (_, i) =>
      protocol.session({ peer: peerOf(i), interface: host.interfaces[0]!.name, ...FAST }),
    );
    const say = (i: number, state: bfd.State): void => {
      const [from, to] = [peerOf(i), HOST4];
      const yourDiscriminator = sessions[i]!.discriminator;
      const packet = bytesOf(bfd, { ...PEER, state, yourDiscriminator });
      const datagram = udpOf(packet, { from, to, port: bfd.CONTROL_PORT, fromPort: 50_000 + i });
      station.put(ether(ip(PROTOCOL.UDP, datagram, { from, to, more4: { ttl: 255 } })));
    };
    const sayAll = (state: bfd.State): void => {
      for (let i = 0; i < PEERS; i++) say(i, state);
    };
    sayAll(bfd.STATE.INIT);
    lab.run(5);
    sayAll(bfd.STATE.UP);
    lab.run(1);
    expect(bothUp(...sessions)).toBe(true);
    station.hear = () => {};
    for (const awayMs of [31, 35, 100, 1000]) {
      // Three bursts of others lie in front.
      for (let i = 0; i < 200; i++) station.put(ether(ip(PROTOCOL.UDP, JUNK)));
      sayAll(bfd.STATE.UP);
      lab.clock.advance(awayMs);
      lab.run(5);
      expect(bothUp(...sessions)).toBe(true);
      sayAll(bfd.STATE.UP);
      lab.run(20);
    }
    // One of them said nothing meanwhile, and is the only one that dies.
    sayAll(bfd.STATE.UP);
    lab.run(1);
    for (let i = 0; i < 200; i++) station.put(ether(ip(PROTOCOL.UDP, JUNK)));
    for (let i = 1; i < PEERS; i++) say(i, bfd.STATE.UP);
    lab.clock.advance(100);
    for (let step = 0; step < 10; step++) {
      lab.run(5);
      for (let i = 1; i < PEERS; i++) say(i, bfd.STATE.UP);
    }
    expect(sessions.map((one) => one.statistics().downs)).toEqual([1, ...Array(PEERS - 1).fill(0)]);
    station.hear = undefined;
    protocol.close();
    lab.run(0);
  });
});
