/** Address resolution in virtual time: what is sent byte by byte, what is learned, and two hosts on one wire. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AddressBook } from "../../stack/ip/addresses/addresses.ts";
import { Arp, type ArpOptions } from "../../stack/ip/neighbours/arp.ts";
import { NeighbourCache } from "../../stack/ip/neighbours/neighbours.ts";
import { ANY4, IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import { ETHERTYPE } from "../../stack/wire/ethernet.ts";
import { BROADCAST_MAC, MacAddress } from "../../stack/wire/mac.ts";
import { RecordingOutlet, type SentFrame, VirtualTime } from "../support/virtual-ip.ts";

const ip = (text: string): IpAddress => IpAddress.parse(text);
const US = ip("192.0.2.1");
const PEER = ip("192.0.2.2");
const OTHER = ip("192.0.2.3");
const PEER_MAC = MacAddress.parse("02:00:00:00:00:02");
const NO_MAC = MacAddress.parse("00:00:00:00:00:00");
const { REQUEST, REPLY } = arp.OPERATION;

/** One interface with its cache, book and ARP. */
class Host {
  readonly outlet: RecordingOutlet;
  readonly book: AddressBook;
  readonly cache: NeighbourCache<string>;
  readonly arp: Arp<string>;
  readonly delivered: string[] = [];
  readonly discarded: string[] = [];

  constructor(time: VirtualTime, mac = "02:00:00:00:00:01", dad = false, options: ArpOptions = {}) {
    this.outlet = new RecordingOutlet(time, mac);
    this.cache = new NeighbourCache<string>(time, {
      solicit: (neighbour, unicast) => this.arp.solicit(neighbour, unicast),
      send: (packet, neighbour) => {
        this.cache.used(neighbour);
        this.delivered.push(`${packet} ${neighbour.mac!.toString()}`);
      },
      discard: (packet, _, reason) => void this.discarded.push(`${packet} ${reason}`),
      changed: () => {},
    });
    this.book = new AddressBook(
      time,
      {
        probe: (address) => this.arp.probe(address),
        announce: (address) => void this.arp.announce(address),
        changed: () => {},
        joinGroup: () => {},
        leaveGroup: () => {},
      },
      { dad },
    );
    this.arp = new Arp(time, this.outlet, this.book, this.cache, options);
  }

  /** Hears a packet, with the padding of a short frame behind it. */
  hear(packet: arp.ArpRecord): void {
    const view = new DataView(new ArrayBuffer(50));
    arp.emit(packet, view, 4);
    this.arp.receive(view, 4, 46);
  }

  sent(): arp.ArpRecord[] {
    return this.outlet.take().map((frame) => parsed(frame));
  }

  knows(address: IpAddress): string | undefined {
    const neighbour = this.cache.lookup(address.w0, address.w1, address.w2, address.w3);
    return neighbour && `${neighbour.state} ${neighbour.mac?.toString() ?? "-"}`;
  }

  send(address: IpAddress, packet: string): void {
    const neighbour =
      this.cache.lookup(address.w0, address.w1, address.w2, address.w3) ?? this.cache.resolve(address)!;
    if (neighbour.usable) this.cache.used(neighbour);
    if (neighbour.usable) this.delivered.push(`${packet} ${neighbour.mac!.toString()}`);
    else this.cache.park(neighbour, packet);
  }
}

const parsed = (frame: SentFrame): arp.ArpRecord => {
  expect(frame.etherType).toBe(ETHERTYPE.ARP);
  expect(frame.view.byteLength).toBe(arp.PACKET_BYTES);
  return arp.parse(frame.view, 0, frame.view.byteLength)!;
};

const packet = (
  operation: number,
  senderAddress: IpAddress,
  targetAddress: IpAddress,
  senderMac = PEER_MAC,
  targetMac = NO_MAC,
): arp.ArpRecord => ({ operation, senderMac, senderAddress, targetMac, targetAddress });

const setUp = (options: ArpOptions = {}) => {
  const time = new VirtualTime();
  const host = new Host(time, undefined, false, options);
  host.book.add(US, 24);
  return { time, host };
};

describe("what is sent", () => {
  test("a request, byte by byte (RFC 826)", () => {
    const { host } = setUp();
    host.cache.resolve(PEER);
    const [frame] = host.outlet.sent;
    expect(frame!.destination.equals(BROADCAST_MAC)).toBe(true);
    expect(Buffer.from(frame!.view.buffer).toString("hex")).toBe(
      "0001" + "0800" + "06" + "04" + "0001" + "020000000001" + "c0000201" + "000000000000" + "c0000202",
    );
  });

  test("a reply to who asked, byte by byte", () => {
    const { host } = setUp();
    host.hear(packet(REQUEST, PEER, US));
    const [frame] = host.outlet.sent;
    expect(frame!.destination.equals(PEER_MAC)).toBe(true);
    expect(Buffer.from(frame!.view.buffer).toString("hex")).toBe(
      "0001" + "0800" + "06" + "04" + "0002" + "020000000001" + "c0000201" + "020000000002" + "c0000202",
    );
  });

  test("probes from nobody and announcements from the address to itself, to all (RFC 5227 sections 2.1.1, 2.3)", () => {
    const { host } = setUp();
    host.arp.probe(OTHER);
    host.arp.announce(US);
    expect(host.outlet.sent.every(({ destination }) => destination.broadcast)).toBe(true);
    const [probe, announcement] = host.sent();
    expect(probe).toMatchObject({ operation: REQUEST, senderAddress: ANY4, targetAddress: OTHER });
    expect(probe!.targetMac.equals(NO_MAC)).toBe(true);
    expect(announcement).toMatchObject({ operation: REQUEST, senderAddress: US, targetAddress: US });
  });

  test("doubt is asked of the neighbour itself (RFC 1122 section 2.3.2.1)", () => {
    const { time, host } = setUp();
    host.cache.learn(PEER, PEER_MAC, "stale");
    host.send(PEER, "p");
    time.advance(5000);
    expect(host.outlet.sent).toHaveLength(1);
    expect(host.outlet.sent[0]!.destination.equals(PEER_MAC)).toBe(true);
    expect(parsed(host.outlet.sent[0]!)).toMatchObject({ operation: REQUEST, targetAddress: PEER });
  });

  test("nothing without an address of ours, and what has no room is counted", () => {
    const time = new VirtualTime();
    const host = new Host(time);
    host.cache.resolve(PEER);
    expect(host.outlet.sent).toEqual([]);
    host.outlet.up = false;
    expect(host.arp.probe(PEER)).toBe(false);
    expect(host.arp.statistics()).toMatchObject({ sourceless: 1, unsent: 1, probesSent: 0 });
  });
});

describe("what is heard", () => {
  test("a request for us makes the asker known, one for another doesn't", () => {
    const { host } = setUp();
    host.hear(packet(REQUEST, PEER, OTHER));
    expect(host.knows(PEER)).toBeUndefined();
    expect(host.sent()).toEqual([]);
    host.hear(packet(REQUEST, PEER, US));
    expect(host.knows(PEER)).toBe("stale 02:00:00:00:00:02");
    expect(host.sent()).toHaveLength(1);
  });

  test("whatever a known one sends updates it (RFC 826)", () => {
    const { host } = setUp();
    host.cache.learn(PEER, PEER_MAC, "reachable");
    const moved = MacAddress.parse("02:00:00:00:00:99");
    host.hear(packet(REQUEST, PEER, OTHER));
    expect(host.knows(PEER)).toBe("reachable 02:00:00:00:00:02");
    host.hear(packet(REQUEST, PEER, OTHER, moved));
    expect(host.knows(PEER)).toBe("stale 02:00:00:00:00:99");
    // Gratuitous, both ways.
    host.hear(packet(REQUEST, PEER, PEER));
    expect(host.knows(PEER)).toBe("stale 02:00:00:00:00:02");
    host.hear(packet(REPLY, PEER, PEER, moved, BROADCAST_MAC));
    expect(host.knows(PEER)).toBe("stale 02:00:00:00:00:99");
  });

  test("an announcement makes nobody known", () => {
    const { host } = setUp();
    host.hear(packet(REQUEST, PEER, PEER));
    host.hear(packet(REPLY, PEER, PEER, PEER_MAC, BROADCAST_MAC));
    host.hear(packet(REPLY, PEER, US, PEER_MAC, host.outlet.mac));
    expect(host.knows(PEER)).toBeUndefined();
  });

  test("a reply to us answers, one to another only tells", () => {
    for (const [targetMac, target, state] of [
      [undefined, US, "reachable"],
      [PEER_MAC, US, "stale"],
      [undefined, OTHER, "stale"],
    ] as const) {
      const { host } = setUp();
      host.send(PEER, "p");
      host.hear(packet(REPLY, PEER, target, PEER_MAC, targetMac ?? host.outlet.mac));
      expect(host.delivered).toEqual(["p 02:00:00:00:00:02"]);
      // What waited was sent: a stale one is in use then.
      expect(host.knows(PEER)).toBe(`${state === "stale" ? "delay" : state} 02:00:00:00:00:02`);
    }
  });

  test("a probe for our address is answered, and makes nobody known", () => {
    const { host } = setUp();
    host.hear(packet(REQUEST, ANY4, US));
    const [reply] = host.sent();
    expect(reply).toMatchObject({ operation: REPLY, senderAddress: US, targetAddress: ANY4 });
    expect(host.knows(ANY4)).toBeUndefined();
  });

  test("tentative addresses are neither answered for nor asked from", () => {
    const time = new VirtualTime();
    const host = new Host(time, undefined, true);
    host.book.add(US, 24);
    host.hear(packet(REQUEST, PEER, US));
    expect(host.sent()).toEqual([]);
    host.cache.resolve(PEER);
    expect(host.arp.statistics().sourceless).toBe(1);
  });

  test("a probe of another for an address that we probe for ends ours", () => {
    const time = new VirtualTime();
    const host = new Host(time, undefined, true);
    host.book.add(US, 24);
    host.hear(packet(REQUEST, ANY4, OTHER));
    expect(host.book.find(US)!.state).toBe("tentative");
    host.hear(packet(REQUEST, ANY4, US));
    expect(host.book.find(US)!.state).toBe("duplicated");
  });

  test("another with our address is a conflict: not learned, not answered, defended once", () => {
    const { host } = setUp();
    host.hear(packet(REQUEST, US, OTHER));
    host.hear(packet(REPLY, US, OTHER));
    host.hear(packet(REQUEST, US, US));
    expect(host.knows(US)).toBeUndefined();
    expect(host.sent()).toMatchObject([{ operation: REQUEST, senderAddress: US, targetAddress: US }]);
    expect(host.arp.statistics().conflicting).toBe(3);
    expect(host.book.statistics().conflicts).toBe(3);
  });

  test("our own packets that come back are no conflict", () => {
    const time = new VirtualTime();
    const host = new Host(time, undefined, true);
    host.book.add(US, 24);
    for (let i = 0; i < 20_000; i++) {
      time.advance(1);
      for (const own of host.sent()) host.hear(own);
    }
    expect(host.book.find(US)!.state).toBe("preferred");
    expect(host.arp.statistics()).toMatchObject({
      own: 5,
      conflicting: 0,
      probesSent: 3,
      announcementsSent: 2,
    });
  });

  test("what no station can say is counted and nothing more", () => {
    const { host } = setUp();
    for (const odd of [
      packet(REQUEST, PEER, US, BROADCAST_MAC),
      packet(REQUEST, PEER, US, MacAddress.parse("01:00:5e:00:00:01")),
      packet(REQUEST, PEER, US, NO_MAC),
      packet(REQUEST, ip("224.0.0.1"), US),
      packet(REQUEST, ip("255.255.255.255"), US),
      packet(REQUEST, ip("192.0.2.255"), US),
      packet(REQUEST, ip("127.0.0.1"), US),
      packet(REPLY, ANY4, US),
    ])
      host.hear(odd);
    host.hear(packet(9, PEER, US));
    host.arp.receive(new DataView(new ArrayBuffer(27)), 0, 27);
    host.arp.receive(new DataView(new ArrayBuffer(28)), 0, 28);
    expect(host.arp.statistics()).toMatchObject({ received: 11, malformed: 10, unknown: 1, repliesSent: 0 });
    expect([...host.cache.values()]).toEqual([]);
  });

  test("a flood of requests is answered at a bounded rate", () => {
    const { time, host } = setUp({ replyRate: { perSecond: 100, burst: 10 } });
    for (let i = 0; i < 1000; i++) {
      host.hear(packet(REQUEST, PEER, US));
      time.advance(1);
    }
    const { repliesSent, throttled } = host.arp.statistics();
    expect(repliesSent).toBeGreaterThanOrEqual(105);
    expect(repliesSent).toBeLessThanOrEqual(110);
    expect(repliesSent + throttled).toBe(1000);
  });

  test("any bytes are heard without a throw, and the cache stays bounded", () => {
    const { host } = setUp();
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 28, maxLength: 60 }),
        fc.boolean(),
        fc.nat(60),
        (bytes, repair, length) => {
          const view = new DataView(new Uint8Array(bytes).buffer);
          if (repair)
            arp.emit({ ...packet(REQUEST, PEER, US), senderAddress: IpAddress.read4(view, 14) }, view, 0);
          host.arp.receive(view, 0, Math.min(length, bytes.length));
          expect(host.cache.statistics().size).toBeLessThanOrEqual(1280);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("closed, it is silent", () => {
    const { host } = setUp();
    host.arp.close();
    host.hear(packet(REQUEST, PEER, US));
    host.cache.resolve(PEER);
    expect(host.arp.probe(OTHER)).toBe(false);
    expect(host.outlet.sent).toEqual([]);
  });
});

describe("two hosts on one wire", () => {
  const wire = (dad: boolean) => {
    const time = new VirtualTime();
    const a = new Host(time, "02:00:00:00:00:01", dad);
    const b = new Host(time, "02:00:00:00:00:02", dad);
    /** Carries what both sent, until there is silence, for `ms`. */
    const run = (ms: number): void => {
      for (let i = 0; i < ms; i++) {
        for (let busy = true; busy;) {
          const [fromA, fromB] = [a.sent(), b.sent()];
          for (const one of fromA) b.hear(one);
          for (const one of fromB) a.hear(one);
          busy = fromA.length + fromB.length > 0;
        }
        time.advance(1);
      }
    };
    return { time, a, b, run };
  };

  test("resolve each other, and stay in touch", () => {
    const { a, b, run } = wire(false);
    a.book.add(US, 24);
    b.book.add(PEER, 24);
    a.send(PEER, "p1");
    run(1);
    expect(a.delivered).toEqual(["p1 02:00:00:00:00:02"]);
    expect(a.knows(PEER)).toBe("reachable 02:00:00:00:00:02");
    b.send(US, "q1");
    expect(b.delivered).toEqual(["q1 02:00:00:00:00:01"]);
    for (let i = 0; i < 120; i++) {
      a.send(PEER, "p");
      run(1000);
      expect(a.knows(PEER)).toMatch(/^(reachable|stale|delay|probe) 02:00:00:00:00:02$/);
    }
    expect(a.delivered).toHaveLength(121);
    expect(a.arp.statistics().requestsSent).toBeLessThan(10);
  });

  test("the later of two with one address sees it, and the first keeps it", () => {
    const { a, b, run } = wire(true);
    a.book.add(US, 24);
    run(10_000);
    expect(a.book.find(US)!.state).toBe("preferred");
    b.book.add(US, 24);
    run(10_000);
    expect(b.book.find(US)!.state).toBe("duplicated");
    expect(a.book.find(US)!.state).toBe("preferred");
  });

  test("of two that probe at once none gets it", () => {
    const { a, b, run } = wire(true);
    a.book.add(US, 24);
    b.book.add(US, 24);
    run(15_000);
    expect([a.book.find(US)!.state, b.book.find(US)!.state]).toContain("duplicated");
    expect([a, b].filter((host) => host.book.has(US.w0, US.w1, US.w2, US.w3)).length).toBeLessThanOrEqual(1);
  });
});
