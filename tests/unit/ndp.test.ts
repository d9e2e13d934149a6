/** Neighbour discovery in virtual time: what is sent and judged, answers, detection of duplicates, two hosts on one wire. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AddressBook } from "../../stack/ip/addresses/addresses.ts";
import { Ndp, type NdpOptions, type RedirectNotice } from "../../stack/ip/neighbours/ndp.ts";
import { NeighbourCache } from "../../stack/ip/neighbours/neighbours.ts";
import { ALL_NODES6, ALL_ROUTERS6, ANY6, IpAddress } from "../../stack/wire/address.ts";
import * as checksum from "../../stack/wire/checksum.ts";
import { ETHERTYPE } from "../../stack/wire/ethernet.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { RecordingOutlet, type SentFrame, VirtualTime } from "../support/virtual-ip.ts";

const ip = (text: string): IpAddress => IpAddress.parse(text);
const US = ip("fe80::1");
const GLOBAL = ip("2001:db8::1");
const PEER = ip("fe80::2");
const OTHER = ip("fe80::3");
const PEER_MAC = MacAddress.parse("02:00:00:00:00:02");
const MOVED = MacAddress.parse("02:00:00:00:00:99");

/** One packet as it is heard or was sent. */
interface Packet {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly message: ndp.NdpRecord;
  readonly hopLimit?: number;
}

/** One interface with its cache, book and neighbour discovery. */
class Host {
  readonly outlet: RecordingOutlet;
  readonly book: AddressBook;
  readonly cache: NeighbourCache<string>;
  readonly ndp: Ndp<string>;
  readonly delivered: string[] = [];
  readonly routers: string[] = [];
  readonly redirects: RedirectNotice[] = [];
  believes = true;

  constructor(time: VirtualTime, mac = "02:00:00:00:00:01", dad = false, options: NdpOptions = {}) {
    this.outlet = new RecordingOutlet(time, mac);
    this.cache = new NeighbourCache<string>(time, {
      solicit: (neighbour, unicast) => this.ndp.solicit(neighbour, unicast),
      send: (packet, neighbour) => void this.delivered.push(`${packet} ${neighbour.mac!.toString()}`),
      discard: () => {},
      changed: () => {},
    });
    this.book = new AddressBook(
      time,
      {
        probe: (address, nonce) => this.ndp.probe(address, nonce),
        announce: (address) => void this.ndp.announce(address),
        changed: () => {},
        joinGroup: () => {},
        leaveGroup: () => {},
      },
      { dad },
    );
    this.ndp = new Ndp(
      time,
      this.outlet,
      this.book,
      this.cache,
      {
        routerAdvertised: (source, { lifetimeSeconds }) =>
          void this.routers.push(`${source.toString()} ${lifetimeSeconds}`),
        redirected: (redirect) => {
          this.redirects.push(redirect);
          return this.believes;
        },
      },
      options,
    );
  }

  hear({ source, destination, message, hopLimit = 255 }: Packet): void {
    const length = ndp.lengthOf(message);
    const view = new DataView(new ArrayBuffer(14 + ipv6.HEADER_BYTES + length));
    const at = 14 + ipv6.HEADER_BYTES;
    ipv6.emit(
      { trafficClass: 0, flowLabel: 0, payloadLength: length, nextHeader: 58, hopLimit, source, destination },
      view,
      14,
    );
    ndp.emit(message, view, at, source, destination);
    this.ndp.receive(view, 14, at, length);
  }

  /** What was sent since the last call, each one judged as a receiver would. */
  sent(): Packet[] {
    return this.outlet.take().map((frame) => parsed(frame));
  }

  knows(address: IpAddress): string | undefined {
    const neighbour = this.cache.lookup(address.w0, address.w1, address.w2, address.w3);
    return (
      neighbour &&
      `${neighbour.state} ${neighbour.mac?.toString() ?? "-"}${neighbour.isRouter ? " router" : ""}`
    );
  }
}

const parsed = ({ view, etherType, destination: mac }: SentFrame): Packet => {
  expect(etherType).toBe(ETHERTYPE.IPV6);
  const header = ipv6.parse(view, 0, view.byteLength)!;
  expect(header).toMatchObject({ nextHeader: PROTOCOL.ICMPV6, hopLimit: 255, trafficClass: 0 });
  expect(ipv6.totalLength(view, 0)).toBe(view.byteLength);
  const length = header.payloadLength;
  const sum = checksum.sum(
    view,
    ipv6.HEADER_BYTES,
    length,
    checksum.pseudo6(view, 0, PROTOCOL.ICMPV6, length),
  );
  expect(checksum.finish(sum)).toBe(0);
  expect(mac.multicast).toBe(header.destination.multicast);
  if (mac.multicast)
    expect([mac.high >>> 16, ((mac.high << 16) | mac.low) >>> 0]).toEqual([
      0x3333,
      header.destination.w3 >>> 0,
    ]);
  return {
    source: header.source,
    destination: header.destination,
    message: ndp.parse(view, ipv6.HEADER_BYTES, length)!,
  };
};

const source = (mac = PEER_MAC): ndp.NdpOption => ({ kind: "source-link-layer", mac });
const target = (mac = PEER_MAC): ndp.NdpOption => ({ kind: "target-link-layer", mac });

const solicitation = (of: IpAddress, options: readonly ndp.NdpOption[]): ndp.NeighbourSolicitation => ({
  kind: "neighbour-solicitation",
  target: of,
  options,
});

const advertisement = (
  of: IpAddress,
  flags: string,
  options: readonly ndp.NdpOption[],
): ndp.NeighbourAdvertisement => ({
  kind: "neighbour-advertisement",
  target: of,
  router: flags.includes("R"),
  solicited: flags.includes("S"),
  override: flags.includes("O"),
  options,
});

const ask = (of: IpAddress, options: readonly ndp.NdpOption[] = [source()]): Packet => ({
  source: PEER,
  destination: of.solicitedNode(),
  message: solicitation(of, options),
});

const routerSays = (options: readonly ndp.NdpOption[] = [source()]): Packet => ({
  source: PEER,
  destination: ALL_NODES6,
  message: {
    kind: "router-advertisement",
    hopLimit: 64,
    managed: false,
    otherConfiguration: false,
    preference: "medium",
    lifetimeSeconds: 1800,
    reachableMs: 0,
    retransMs: 0,
    options,
  },
});

const redirect = (to: IpAddress, destination: IpAddress, options = [target()]): Packet => ({
  source: PEER,
  destination: US,
  message: { kind: "redirect", target: to, destination, options },
});

const setUp = (options: NdpOptions = {}) => {
  const time = new VirtualTime();
  const host = new Host(time, undefined, false, options);
  host.book.add(US, 64);
  host.book.add(GLOBAL, 64);
  return { time, host };
};

describe("what is sent", () => {
  test("a solicitation to the group, from an address of the target's subnet, with our Ethernet address", () => {
    const { host } = setUp();
    host.cache.resolve(ip("2001:db8::99"));
    host.cache.resolve(PEER);
    expect(host.sent()).toMatchObject([
      {
        source: GLOBAL,
        destination: ip("ff02::1:ff00:99"),
        message: { target: ip("2001:db8::99"), options: [source(host.outlet.mac)] },
      },
      { source: US, destination: ip("ff02::1:ff00:2"), message: { target: PEER } },
    ]);
  });

  test("doubt is asked of the neighbour itself", () => {
    const { host } = setUp();
    host.cache.learn(PEER, PEER_MAC, "stale");
    host.cache.probe(host.cache.resolve(PEER)!);
    expect(host.outlet.sent[0]!.destination.equals(PEER_MAC)).toBe(true);
    expect(host.sent()).toMatchObject([{ source: US, destination: PEER, message: { target: PEER } }]);
  });

  test("a probe comes from nobody, with its nonce and without our Ethernet address (RFC 4861 4.3, RFC 7527)", () => {
    const { host } = setUp();
    const nonce = Uint8Array.of(1, 2, 3, 4, 5, 6);
    expect(host.ndp.probe(OTHER, nonce)).toBe(true);
    expect(host.sent()).toMatchObject([
      {
        source: ANY6,
        destination: ip("ff02::1:ff00:3"),
        message: { target: OTHER, options: [{ kind: "nonce", nonce }] },
      },
    ]);
  });

  test("an announcement goes to all nodes, unsolicited and overriding", () => {
    const { host } = setUp();
    host.ndp.isRouter = true;
    host.ndp.announce(GLOBAL);
    expect(host.sent()).toEqual([
      {
        source: GLOBAL,
        destination: ALL_NODES6,
        message: advertisement(GLOBAL, "RO", [target(host.outlet.mac)]),
      },
    ]);
  });

  test("routers are asked from the link-local address, or from nobody without the option", () => {
    const { host } = setUp();
    host.ndp.solicitRouters();
    host.book.remove(US);
    host.ndp.solicitRouters();
    expect(host.sent()).toEqual([
      {
        source: US,
        destination: ALL_ROUTERS6,
        message: { kind: "router-solicitation", options: [source(host.outlet.mac)] },
      },
      { source: ANY6, destination: ALL_ROUTERS6, message: { kind: "router-solicitation", options: [] } },
    ]);
  });

  test("nothing without an address of ours, and what has no room is counted", () => {
    const time = new VirtualTime();
    const host = new Host(time);
    host.cache.resolve(PEER);
    host.outlet.up = false;
    expect(host.ndp.probe(PEER, new Uint8Array(6))).toBe(false);
    expect(host.ndp.statistics()).toMatchObject({
      sourceless: 1,
      unsent: 1,
      probesSent: 0,
      solicitationsSent: 0,
    });
  });
});

describe("solicitations (RFC 4861 section 7.2.3)", () => {
  test("are answered to who asked, who is made known", () => {
    const { host } = setUp();
    host.hear(ask(US));
    expect(host.knows(PEER)).toBe("delay 02:00:00:00:00:02");
    expect(host.outlet.sent[0]!.destination.equals(PEER_MAC)).toBe(true);
    expect(host.sent()).toEqual([
      { source: US, destination: PEER, message: advertisement(US, "SO", [target(host.outlet.mac)]) },
    ]);
    host.hear(ask(US, [source(MOVED)]));
    expect(host.outlet.sent[0]!.destination.equals(MOVED)).toBe(true);
  });

  test("without the asker's Ethernet address go to the one that is known, or wait until it is", () => {
    const { host } = setUp();
    const direct: Packet = { source: PEER, destination: US, message: solicitation(US, []) };
    host.hear(direct);
    expect(host.sent()).toMatchObject([{ message: { kind: "neighbour-solicitation", target: PEER } }]);
    expect(host.ndp.statistics().unanswered).toBe(1);
    host.hear({ source: PEER, destination: US, message: advertisement(PEER, "SO", [target()]) });
    host.hear(direct);
    expect(host.sent()).toMatchObject([{ destination: PEER, message: { kind: "neighbour-advertisement" } }]);
  });

  test("that tell the Ethernet address of a group are not answered there: the asker is asked for its own", () => {
    const { host } = setUp();
    host.hear(ask(US, [source(MacAddress.parse("33:33:00:00:00:02"))]));
    expect(host.sent()).toMatchObject([{ message: { kind: "neighbour-solicitation", target: PEER } }]);
    expect(host.ndp.statistics().unanswered).toBe(1);
  });

  test("are answered also where the cache has no room for the asker", () => {
    const { host } = setUp();
    for (let i = 0; i < 1024; i++)
      host.cache.learn(IpAddress.words(0x20010db8, 0, 0, 4096 + i), MOVED, "permanent");
    host.hear(ask(US));
    expect(host.knows(PEER)).toBeUndefined();
    expect(host.sent()).toMatchObject([{ destination: PEER, message: { target: US } }]);
  });

  test("from nobody are answered to all, unsolicited", () => {
    const { host } = setUp();
    host.hear({ source: ANY6, destination: US.solicitedNode(), message: solicitation(US, []) });
    expect(host.sent()).toEqual([
      { source: US, destination: ALL_NODES6, message: advertisement(US, "O", [target(host.outlet.mac)]) },
    ]);
    expect([...host.cache.values()]).toEqual([]);
  });

  test("for others, for tentative addresses, from ourselves are not answered", () => {
    const { host } = setUp();
    host.book.add(OTHER, 64, { dad: true });
    host.hear(ask(ip("fe80::77")));
    host.hear(ask(OTHER));
    host.hear({ source: GLOBAL, destination: US.solicitedNode(), message: solicitation(US, [source()]) });
    host.hear(ask(US, [source(host.outlet.mac)]));
    expect(host.sent()).toEqual([]);
    expect([...host.cache.values()]).toEqual([]);
    expect(host.book.find(OTHER)!.state).toBe("tentative");
    expect(host.ndp.statistics()).toMatchObject({ ignored: 2, own: 2 });
  });

  test("are answered at a bounded rate", () => {
    const { time, host } = setUp({ advertisementRate: { perSecond: 100, burst: 10 } });
    for (let i = 0; i < 1000; i++) {
      host.hear(ask(US));
      time.advance(1);
    }
    const { advertisementsSent, throttled } = host.ndp.statistics();
    expect(advertisementsSent).toBeGreaterThanOrEqual(105);
    expect(advertisementsSent).toBeLessThanOrEqual(110);
    expect(advertisementsSent + throttled).toBe(1000);
  });
});

describe("advertisements (RFC 4861 section 7.2.5)", () => {
  test("resolve, with their flags", () => {
    const { host } = setUp();
    host.cache.park(host.cache.resolve(PEER)!, "p");
    host.hear({ source: PEER, destination: US, message: advertisement(PEER, "RSO", [target()]) });
    expect(host.knows(PEER)).toBe("reachable 02:00:00:00:00:02 router");
    expect(host.delivered).toEqual(["p 02:00:00:00:00:02"]);
    host.hear({ source: PEER, destination: ALL_NODES6, message: advertisement(PEER, "O", [target(MOVED)]) });
    expect(host.knows(PEER)).toBe("stale 02:00:00:00:00:99");
    host.hear({ source: PEER, destination: US, message: advertisement(PEER, "S", []) });
    expect(host.knows(PEER)).toBe("reachable 02:00:00:00:00:99");
  });

  test("of an address of ours by another are a conflict, by ourselves none", () => {
    const { host } = setUp();
    const claim = { source: US, destination: ALL_NODES6 };
    host.hear({ ...claim, message: advertisement(US, "O", [target(host.outlet.mac)]) });
    host.hear({ ...claim, message: advertisement(US, "O", [target()]) });
    expect(host.ndp.statistics()).toMatchObject({ own: 1, conflicting: 1 });
    expect(host.knows(US)).toBeUndefined();
    host.book.add(OTHER, 64, { dad: true });
    host.hear({ ...claim, message: advertisement(OTHER, "O", [target()]) });
    expect(host.book.find(OTHER)!.state).toBe("duplicated");
  });
});

describe("routers", () => {
  test("their advertisements make them known as routers and go on", () => {
    const { host } = setUp();
    host.hear(routerSays());
    expect(host.knows(PEER)).toBe("stale 02:00:00:00:00:02 router");
    host.hear({ source: PEER, destination: US, message: advertisement(PEER, "S", []) });
    expect(host.knows(PEER)).toBe("reachable 02:00:00:00:00:02");
    host.hear(routerSays([]));
    expect(host.knows(PEER)).toBe("reachable 02:00:00:00:00:02 router");
    expect(host.routers).toEqual(["fe80::2 1800", "fe80::2 1800"]);
    host.hear({ ...routerSays(), source: US });
    expect(host.routers).toHaveLength(2);
  });

  test("redirects that are believed tell of the target", () => {
    const { host } = setUp();
    const away = ip("2001:db8:9::9");
    host.hear(redirect(OTHER, away));
    expect(host.redirects).toMatchObject([{ from: PEER, destination: away, target: OTHER }]);
    expect(host.knows(OTHER)).toBe("stale 02:00:00:00:00:02 router");
    host.hear(redirect(away, away, [target(MOVED)]));
    expect(host.knows(away)).toBe("stale 02:00:00:00:00:99");
    host.believes = false;
    host.hear(redirect(ip("fe80::4"), away));
    expect(host.knows(ip("fe80::4"))).toBeUndefined();
    expect(host.ndp.statistics().ignored).toBe(1);
  });
});

describe("what has to be discarded (RFC 4861 sections 6.1.2, 7.1, 8.1)", () => {
  const away = ip("2001:db8:9::9");
  const odd: Record<string, Packet> = {
    "from another link": { ...ask(US), hopLimit: 254 },
    "a group as the source": { ...ask(US), source: ALL_NODES6 },
    "a probe to an address": { source: ANY6, destination: US, message: solicitation(US, []) },
    "a probe to another group": { source: ANY6, destination: ALL_NODES6, message: solicitation(US, []) },
    "a probe with an Ethernet address": {
      source: ANY6,
      destination: US.solicitedNode(),
      message: solicitation(US, [source()]),
    },
    "an answer to all that says it was asked for": {
      source: PEER,
      destination: ALL_NODES6,
      message: advertisement(PEER, "SO", [target()]),
    },
    "an advertisement from nobody": {
      source: ANY6,
      destination: ALL_NODES6,
      message: advertisement(PEER, "O", [target()]),
    },
    "a router that is not link-local": { ...routerSays(), source: away },
    "a redirect from one that is not link-local": { ...redirect(OTHER, away), source: away },
    "a redirect to a router that is not link-local": redirect(ip("2001:db8::7"), away),
    "a redirect from another link": { ...redirect(OTHER, away), hopLimit: 64 },
    "a router solicitation from nobody with an Ethernet address": {
      source: ANY6,
      destination: ALL_ROUTERS6,
      message: { kind: "router-solicitation", options: [source()] },
    },
  };
  for (const [name, packet] of Object.entries(odd)) {
    test(name, () => {
      const { host } = setUp();
      host.cache.resolve(PEER);
      host.outlet.take();
      host.hear(packet);
      expect(host.ndp.statistics()).toMatchObject({ received: 1, malformed: 1 });
      expect(host.sent()).toEqual([]);
      expect(host.knows(PEER)).toBe("incomplete -");
      expect([host.routers, host.redirects]).toEqual([[], []]);
    });
  }

  test("any bytes are heard without a throw", () => {
    const { host } = setUp();
    const length = 32;
    const valid = new DataView(new ArrayBuffer(ipv6.HEADER_BYTES + length));
    ndp.emit(solicitation(US, [source()]), valid, ipv6.HEADER_BYTES, PEER, US);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(valid.byteLength - 1), fc.nat(255)), { maxLength: 12 }),
        fc.nat(length),
        fc.integer({ min: 133, max: 137 }),
        (changes, bytes, type) => {
          const view = new DataView(valid.buffer.slice(0));
          ipv6.setHopLimit(view, 0, 255);
          ipv6.setSource(view, 0, PEER);
          ipv6.setDestination(view, 0, US);
          view.setUint8(ipv6.HEADER_BYTES, type);
          for (const [at, value] of changes) view.setUint8(at, value);
          host.ndp.receive(view, 0, ipv6.HEADER_BYTES, bytes);
          expect(host.cache.statistics().size).toBeLessThanOrEqual(1280);
        },
      ),
      { numRuns: 3000 },
    );
    expect(host.ndp.statistics().malformed).toBeGreaterThan(100);
    for (const sent of host.sent()) expect(sent.message).toBeDefined();
  });
});

describe("two hosts on one wire", () => {
  const wire = (dad: boolean) => {
    const time = new VirtualTime();
    const a = new Host(time, "02:00:00:00:00:01", dad);
    const b = new Host(time, "02:00:00:00:00:02", dad);
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

  test("resolve each other; one that falls silent is found gone", () => {
    const { time, a, b, run } = wire(false);
    a.book.add(US, 64);
    b.book.add(PEER, 64);
    const neighbour = a.cache.resolve(PEER)!;
    a.cache.park(neighbour, "p");
    run(1);
    expect(a.delivered).toEqual(["p 02:00:00:00:00:02"]);
    expect(a.knows(PEER)).toBe("reachable 02:00:00:00:00:02");
    // The answer was a packet to one that was stale: b makes sure of a too.
    run(6000);
    expect(b.knows(US)).toBe("reachable 02:00:00:00:00:01");
    b.ndp.close();
    for (let i = 0; i < 60 && neighbour.live; i++) {
      a.cache.used(neighbour);
      run(1000);
    }
    expect(neighbour).toMatchObject({ live: false, usable: false });
    expect(time.now).toBeLessThan(60_000);
  });

  test("the later of two with one address sees it", () => {
    const { a, b, run } = wire(true);
    a.book.add(US, 64);
    run(3000);
    b.book.add(US, 64);
    run(3000);
    expect([a.book.find(US)!.state, b.book.find(US)!.state]).toEqual(["preferred", "duplicated"]);
  });

  test("of two that probe at once none gets it", () => {
    const { a, b, run } = wire(true);
    a.book.add(US, 64);
    b.book.add(US, 64);
    run(3000);
    expect([a.book.find(US)!.state, b.book.find(US)!.state]).toContain("duplicated");
    expect([a, b].filter((host) => host.book.has(US.w0, US.w1, US.w2, US.w3)).length).toBeLessThanOrEqual(1);
  });

  test("a wire that throws our packets back is no other host (RFC 7527)", () => {
    const time = new VirtualTime();
    const host = new Host(time, undefined, true);
    host.book.add(US, 64);
    for (let i = 0; i < 10_000; i++) {
      time.advance(1);
      for (const own of host.sent()) host.hear(own);
    }
    expect(host.book.find(US)!.state).toBe("tentative");
    expect(host.book.statistics()).toMatchObject({ duplicates: 0, looped: host.ndp.statistics().probesSent });
    // The loop is taken away.
    time.advance(6000);
    expect(host.book.find(US)!.state).toBe("preferred");
  });
});
