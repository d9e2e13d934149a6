/** The addresses of an interface in virtual time: detection of duplicates, conflicts, lifetimes, subnets, groups. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  AddressBook,
  type AddressBookOptions,
  type AddressChange,
  type AddressIo,
  type InterfaceAddress,
} from "../../stack/ip/addresses/addresses.ts";
import { NONCE_BYTES } from "../../stack/ip/addresses/dad.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const ip = (text: string): IpAddress => IpAddress.parse(text);
const V4 = ip("192.0.2.10");
const V6 = ip("2001:db8::10");
const LINK = ip("fe80::10");

/** Notes what a book does. */
class Notes implements AddressIo {
  readonly probes: { readonly address: string; readonly atMs: number; readonly nonce: Uint8Array }[] = [];
  readonly announced: string[] = [];
  readonly changes: string[] = [];
  readonly groups: string[] = [];
  /** False: nothing can be sent. */
  up = true;
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  probe(address: IpAddress, nonce: Uint8Array): boolean {
    if (this.up)
      this.probes.push({ address: address.toString(), atMs: this.#time.now, nonce: nonce.slice() });
    return this.up;
  }

  announce(address: IpAddress): void {
    this.announced.push(`${address.toString()} ${this.#time.now}`);
  }

  changed(entry: InterfaceAddress, what: AddressChange): void {
    this.changes.push(`${entry.address.toString()} ${what}`);
  }

  joinGroup(group: IpAddress): void {
    this.groups.push(`+${group.toString()}`);
  }

  leaveGroup(group: IpAddress): void {
    this.groups.push(`-${group.toString()}`);
  }
}

const setUp = (options: AddressBookOptions = {}, seed = 1) => {
  const time = new VirtualTime(seed);
  const notes = new Notes(time);
  const book = new AddressBook(time, notes, options);
  const has = ({ w0, w1, w2, w3 }: IpAddress): boolean => book.has(w0, w1, w2, w3);
  return { time, notes, book, has };
};

describe("IPv6 duplicate address detection (RFC 4862 section 5.4)", () => {
  test("joins the group, probes once, and has the address a second later", () => {
    const { time, notes, book, has } = setUp();
    const entry = book.add(V6, 64)!;
    expect(entry).toMatchObject({ state: "tentative", origin: "manual", prefixLength: 64, temporary: false });
    expect(notes.groups).toEqual(["+ff02::1:ff00:10"]);
    expect(has(V6)).toBe(false);
    expect(book.findWords(V6.w0, V6.w1, V6.w2, V6.w3)).toBe(entry);
    while (notes.probes.length === 0) time.advance(1);
    expect(time.now).toBeLessThanOrEqual(1001);
    time.advance(998);
    expect(entry.state).toBe("tentative");
    time.advance(2);
    expect(entry.state).toBe("preferred");
    expect(has(V6)).toBe(true);
    expect(notes.probes).toHaveLength(1);
    expect(notes.changes).toEqual(["2001:db8::10 added", "2001:db8::10 preferred"]);
    expect(notes.announced).toEqual([]);
    expect(time.idle).toBe(true);
  });

  test("hosts that start together wait differently", () => {
    const first = Array.from({ length: 20 }, (_, seed) => {
      const { time, notes, book } = setUp({}, seed);
      book.add(V6, 64);
      time.advance(1000);
      return Math.round(notes.probes[0]!.atMs);
    });
    expect(new Set(first).size).toBeGreaterThan(15);
  });

  for (const who of ["claimed", "probed"] as const) {
    test(`another that ${who === "claimed" ? "has" : "probes for"} it makes it a duplicate`, () => {
      const { time, notes, book, has } = setUp();
      const entry = book.add(V6, 64)!;
      time.advance(990);
      if (who === "claimed") expect(book.claimed(V6)).toBe(true);
      else book.probed(V6, undefined);
      expect(entry.state).toBe("duplicated");
      time.advance(100_000);
      expect(has(V6)).toBe(false);
      expect(notes.changes.at(-1)).toBe("2001:db8::10 duplicated");
      expect(book.statistics().duplicates).toBe(1);
      expect(time.idle).toBe(true);
    });
  }

  test("our own probes that come back are none, and it goes on until a round of three stays away (RFC 7527)", () => {
    const { time, notes, book, has } = setUp();
    book.add(V6, 64);
    /** Throws each probe back 500 ms later. */
    const loop = (ms: number): void => {
      for (let i = 0; i < ms; i++) {
        time.advance(1);
        for (const { atMs, nonce } of notes.probes)
          if (time.now - atMs >= 500 && time.now - atMs < 501) book.probed(V6, nonce);
      }
    };
    loop(20_000);
    expect(book.find(V6)!.state).toBe("tentative");
    expect(new Set(notes.probes.map(({ nonce }) => Buffer.from(nonce).toString("hex"))).size).toBe(
      notes.probes.length,
    );
    expect(notes.probes[0]!.nonce).toHaveLength(NONCE_BYTES);
    expect(notes.probes.length).toBeGreaterThan(17);
    expect(book.statistics().looped).toBeGreaterThan(17);
    time.advance(7000);
    expect(has(V6)).toBe(true);
    expect((notes.probes.length - 1) % 3).toBe(0);
    const other = setUp();
    other.book.add(V6, 64);
    other.time.advance(990);
    other.book.probed(V6, new Uint8Array(NONCE_BYTES));
    expect(other.book.find(V6)!.state).toBe("duplicated");
  });

  test("somebody who knows better ends a detection", () => {
    const { book, has, time } = setUp();
    book.add(V6, 64);
    book.add(V6, 64, { dad: false });
    expect(has(V6)).toBe(true);
    expect(time.idle).toBe(true);
  });

  test("a probe that can't be sent proves nothing", () => {
    const { time, notes, book, has } = setUp();
    notes.up = false;
    book.add(V6, 64);
    book.add(V4, 24);
    time.advance(60_000);
    expect([has(V6), has(V4)]).toEqual([false, false]);
    notes.up = true;
    time.advance(8000);
    expect([has(V6), has(V4)]).toEqual([true, true]);
    expect(notes.probes).toHaveLength(4);
  });

  test("an address in use by another too is reported, and kept (RFC 4862 section 5.4.4)", () => {
    const { notes, book, has } = setUp({ dad: false });
    book.add(V6, 64);
    for (let i = 0; i < 3; i++) book.claimed(V6);
    expect(has(V6)).toBe(true);
    expect(notes.changes.slice(-2)).toEqual(["2001:db8::10 conflict", "2001:db8::10 conflict"]);
    expect(book.statistics().conflicts).toBe(3);
    expect(book.claimed(LINK)).toBe(false);
  });
});

describe("IPv4 address conflict detection (RFC 5227)", () => {
  test("three probes one to two seconds apart, two seconds, two announcements two seconds apart", () => {
    const gaps: number[] = [];
    for (let seed = 0; seed < 20; seed++) {
      const { time, notes, book, has } = setUp({}, seed);
      book.add(V4, 24);
      time.advance(20_000);
      const at = notes.probes.map(({ atMs }) => atMs);
      expect(at).toHaveLength(3);
      expect(at[0]!).toBeLessThanOrEqual(1000);
      for (const gap of [at[1]! - at[0]!, at[2]! - at[1]!]) {
        expect(gap).toBeGreaterThanOrEqual(1000);
        expect(gap).toBeLessThanOrEqual(2000.001);
        gaps.push(gap);
      }
      const announced = notes.announced.map((line) => Number(line.split(" ")[1]));
      expect(announced[0]! - at[2]!).toBeCloseTo(2000, 3);
      expect(announced[1]! - announced[0]!).toBeCloseTo(2000, 3);
      expect(announced).toHaveLength(2);
      expect(has(V4)).toBe(true);
      expect(notes.groups).toEqual([]);
      expect(time.idle).toBe(true);
    }
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(700);
  });

  test("another that has or probes for it ends the probing", () => {
    for (const who of ["claimed", "probed"] as const) {
      const { time, notes, book } = setUp();
      const entry = book.add(V4, 24)!;
      time.advance(1100);
      if (who === "claimed") book.claimed(V4);
      else book.probed(V4, undefined);
      expect(entry.state).toBe("duplicated");
      const probes = notes.probes.length;
      time.advance(20_000);
      expect(notes.probes).toHaveLength(probes);
      expect(notes.announced).toEqual([]);
    }
  });

  test("a probe for an address that is ours already takes nothing from us", () => {
    const { book, has } = setUp({ dad: false });
    book.add(V4, 24);
    book.probed(V4, undefined);
    expect(has(V4)).toBe(true);
    expect(book.statistics().conflicts).toBe(0);
  });

  test("one conflict is answered, a second within ten seconds ends it: section 2.4 b", () => {
    const { time, notes, book, has } = setUp({ dad: false });
    book.add(V4, 24, { origin: "dhcp" });
    book.claimed(V4);
    expect(notes.announced).toHaveLength(1);
    time.advance(10_000);
    book.claimed(V4);
    expect(notes.announced).toHaveLength(2);
    expect(has(V4)).toBe(true);
    time.advance(9999);
    book.claimed(V4);
    expect(notes.announced).toHaveLength(2);
    expect(has(V4)).toBe(false);
    expect(book.find(V4)!.state).toBe("duplicated");
    expect(book.statistics()).toMatchObject({ conflicts: 3, yielded: 1 });
  });

  test("a manual one is kept, and defended once in ten seconds: section 2.4 c", () => {
    const { time, notes, book, has } = setUp({ dad: false });
    book.add(V4, 24);
    for (let i = 0; i < 1000; i++) {
      book.claimed(V4);
      time.advance(25);
    }
    expect(has(V4)).toBe(true);
    expect(notes.announced.map((line) => line.split(" ")[1])).toEqual(["0", "10000", "20000"]);
  });

  test("one that is removed when it hears of a conflict is not defended", () => {
    const { time, notes } = setUp();
    const announced: string[] = [];
    const book: AddressBook = new AddressBook(
      time,
      {
        probe: () => true,
        announce: (address) => void announced.push(address.toString()),
        changed: (entry, what) => void (what === "conflict" && book.remove(entry.address)),
        joinGroup: () => {},
        leaveGroup: () => {},
      },
      { dad: false },
    );
    book.add(V4, 24);
    book.claimed(V4);
    expect([announced, notes.announced, book.size]).toEqual([[], [], 0]);
  });

  test("after ten conflicts one address a minute is tried: section 2.1.1", () => {
    const { time, notes, book } = setUp();
    for (let i = 0; i < 10; i++) {
      const address = IpAddress.v4(V4.w3 + i);
      book.add(address, 24);
      time.advance(1100);
      book.claimed(address);
    }
    const tried = [20, 21, 22].map((n) => {
      const address = IpAddress.v4(V4.w3 + n);
      book.add(address, 24);
      return address.toString();
    });
    time.advance(200_000);
    const first = tried.map((address) => notes.probes.find((probe) => probe.address === address)!.atMs);
    expect(first[0]!).toBeGreaterThan(59_000);
    expect(first[1]! - first[0]!).toBeGreaterThan(58_000);
    expect(first[2]! - first[1]!).toBeGreaterThan(58_000);
  });
});

describe("the book", () => {
  test("without detection addresses are there at once", () => {
    const { notes, book, has } = setUp({ dad: false });
    book.add(V4, 24);
    book.add(V6, 64, { origin: "slaac", temporary: true });
    expect([has(V4), has(V6), has(LINK)]).toEqual([true, true, false]);
    expect(book.find(V6)).toMatchObject({ origin: "slaac", temporary: true, state: "preferred" });
    expect(notes.probes).toEqual([]);
    const own = setUp();
    own.book.add(V4, 24, { dad: false });
    expect(own.has(V4)).toBe(true);
  });

  test("a kernel's addresses are what the kernel says", () => {
    const { time, notes, book, has } = setUp();
    book.add(V6, 64, { origin: "kernel", state: "tentative" });
    expect(has(V6)).toBe(false);
    book.add(V6, 64, { origin: "kernel", state: "deprecated" });
    expect(has(V6)).toBe(true);
    book.add(V4, 24, { origin: "kernel" });
    expect(has(V4)).toBe(true);
    time.advance(100_000);
    expect(book.find(V6)!.state).toBe("deprecated");
    for (let i = 0; i < 3; i++) book.claimed(V4);
    expect(has(V4)).toBe(true);
    expect([notes.probes, notes.announced]).toEqual([[], []]);
  });

  test("lifetimes deprecate and end, and may be set anew", () => {
    const { time, notes, book, has } = setUp({ dad: false });
    book.add(V6, 64, { preferredUntilMs: 1000, validUntilMs: 3000 });
    time.advance(999);
    expect(book.find(V6)!.state).toBe("preferred");
    time.advance(1);
    expect(book.find(V6)!.state).toBe("deprecated");
    expect(has(V6)).toBe(true);
    book.setLifetimes(V6, 2000, 4000);
    expect(book.find(V6)!.state).toBe("preferred");
    time.advance(2999);
    expect(book.find(V6)!.state).toBe("deprecated");
    time.advance(1);
    expect(book.find(V6)).toBeUndefined();
    expect(has(V6)).toBe(false);
    expect(notes.changes.slice(2)).toEqual([
      "2001:db8::10 deprecated",
      "2001:db8::10 preferred",
      "2001:db8::10 deprecated",
      "2001:db8::10 expired",
    ]);
    expect(notes.groups).toEqual(["+ff02::1:ff00:10", "-ff02::1:ff00:10"]);
    expect(time.idle).toBe(true);
  });

  test("lifetimes run while an address is tentative", () => {
    const { time, book } = setUp();
    book.add(V6, 64, { preferredUntilMs: 10, validUntilMs: 50_000 });
    time.advance(2001);
    expect(book.find(V6)!.state).toBe("deprecated");
    book.add(LINK, 64, { validUntilMs: time.now + 500 });
    time.advance(500);
    expect(book.find(LINK)).toBeUndefined();
    time.advance(60_000);
    expect(time.idle).toBe(true);
  });

  test("addresses with one solicited-node group join it once", () => {
    const { notes, book } = setUp({ dad: false });
    book.add(V6, 64);
    book.add(LINK, 64);
    book.remove(V6);
    expect(notes.groups).toEqual(["+ff02::1:ff00:10"]);
    expect(book.remove(LINK)).toBe(true);
    expect(book.remove(LINK)).toBe(false);
    expect(notes.groups).toEqual(["+ff02::1:ff00:10", "-ff02::1:ff00:10"]);
  });

  test("subnet broadcasts, and none for /31 and /32 (RFC 3021)", () => {
    const { book } = setUp({ dad: false });
    book.add(ip("192.0.2.10"), 24);
    book.add(ip("192.0.2.20"), 24);
    book.add(ip("198.51.100.1"), 30);
    book.add(ip("203.0.113.0"), 31);
    book.add(ip("203.0.113.9"), 32);
    const broadcasts = (): string[] =>
      ["192.0.2.255", "192.0.2.0", "198.51.100.3", "203.0.113.1", "203.0.113.9", "255.255.255.255"].filter(
        (text) => book.isBroadcast4(ip(text).w3),
      );
    expect(broadcasts()).toEqual(["192.0.2.255", "198.51.100.3"]);
    book.remove(ip("192.0.2.10"));
    expect(broadcasts()).toEqual(["192.0.2.255", "198.51.100.3"]);
    book.remove(ip("192.0.2.20"));
    expect(broadcasts()).toEqual(["198.51.100.3"]);
  });

  test("requests come from the subnet, the scope, and rather not from a deprecated address", () => {
    const { time, book } = setUp({ dad: false });
    const source = (text: string): string | undefined => book.sourceFor(ip(text))?.toString();
    expect(source("192.0.2.1")).toBeUndefined();
    for (const [text, length] of [
      ["192.0.2.10", 24],
      ["198.51.100.1", 24],
      ["fe80::10", 64],
      ["2001:db8:1::1", 64],
      ["2001:db8:2::1", 64],
    ] as const)
      book.add(ip(text), length);
    expect(source("198.51.100.7")).toBe("198.51.100.1");
    expect(source("203.0.113.1")).toBe("192.0.2.10");
    expect(source("fe80::99")).toBe("fe80::10");
    expect(source("2001:db8:2::99")).toBe("2001:db8:2::1");
    expect(source("2001:db8:3::99")).toBe("2001:db8:1::1");
    book.setLifetimes(ip("2001:db8:1::1"), time.now, Infinity);
    expect(source("2001:db8:3::99")).toBe("2001:db8:2::1");
    expect(source("2001:db8:1::99")).toBe("2001:db8:1::1");
  });

  test("announces when asked: two times by ARP, three by neighbour advertisements", () => {
    const { time, notes, book } = setUp({ dad: false });
    book.add(V4, 24);
    book.add(V6, 64);
    book.announce(V4);
    book.announce(V6);
    book.announce(LINK);
    time.advance(10_000);
    expect(notes.announced).toEqual([
      "192.0.2.10 0",
      "2001:db8::10 0",
      "2001:db8::10 1000",
      "192.0.2.10 2000",
      "2001:db8::10 2000",
    ]);
  });

  test("a link that comes up tries again what was a duplicate, and announces the rest", () => {
    const { time, notes, book, has } = setUp();
    book.add(V4, 24, { dad: false });
    book.add(V6, 64);
    book.claimed(V6);
    book.linkUp();
    expect(book.find(V6)!.state).toBe("tentative");
    time.advance(3000);
    expect(has(V6)).toBe(true);
    expect(notes.announced).toHaveLength(2);
  });

  test("is bounded, and takes unicast addresses only", () => {
    const { book } = setUp({ dad: false, limit: 2 });
    book.add(ip("10.0.0.1"), 8);
    book.add(ip("10.0.0.2"), 8);
    expect(book.add(ip("10.0.0.3"), 8)).toBeUndefined();
    expect(book.add(ip("10.0.0.2"), 16)!.prefix.toString()).toBe("10.0.0.0/16");
    expect(book.statistics()).toMatchObject({ addresses: 2, refused: 1 });
    for (const text of ["224.0.0.1", "0.0.0.0", "255.255.255.255", "ff02::1", "::"])
      expect(() => book.add(ip(text), 8)).toThrow("address must be a unicast address");
    expect(() => book.add(ip("10.0.0.9"), 33)).toThrow(RangeError);
  });

  test("whatever happens in whatever order, closing leaves no timer, no address, no group", () => {
    const address = fc.constantFrom(V4, ip("192.0.2.11"), V6, LINK, ip("fe80::1:10"));
    const lifetime = fc.oneof(fc.constant(Infinity), fc.integer({ min: 0, max: 20_000 }));
    const step = fc.record({
      do: fc.constantFrom("add", "remove", "claimed", "probed", "announce", "linkUp", "lifetimes", "wait"),
      address,
      preferred: lifetime,
      valid: lifetime,
      dad: fc.boolean(),
      dhcp: fc.boolean(),
      up: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 99 }), (steps, seed) => {
        const { time, notes, book, has } = setUp({}, seed);
        for (const s of steps) {
          notes.up = s.up;
          const validUntilMs = time.now + s.valid;
          if (s.do === "add")
            book.add(s.address, 24, {
              dad: s.dad,
              origin: s.dhcp ? "dhcp" : "manual",
              preferredUntilMs: time.now + s.preferred,
              validUntilMs,
            });
          else if (s.do === "remove") book.remove(s.address);
          else if (s.do === "claimed") book.claimed(s.address);
          else if (s.do === "probed") book.probed(s.address, undefined);
          else if (s.do === "announce") book.announce(s.address);
          else if (s.do === "linkUp") book.linkUp();
          else if (s.do === "lifetimes") book.setLifetimes(s.address, time.now + s.preferred, validUntilMs);
          else if (s.preferred < Infinity) time.advance(s.preferred);
          for (const entry of book.values()) {
            expect(has(entry.address)).toBe(entry.state === "preferred" || entry.state === "deprecated");
            expect(entry.validUntilMs).toBeGreaterThan(time.now);
            if (entry.state === "preferred") expect(entry.preferredUntilMs).toBeGreaterThan(time.now);
            // What is tentative is on its way.
            if (entry.state === "tentative") expect(time.idle).toBe(false);
          }
          const wanted = new Set(
            [...book.values()]
              .filter((entry) => entry.address.family === 6)
              .map((entry) => entry.address.solicitedNode().toString()),
          );
          const balance = (group: string): number =>
            notes.groups.filter((line) => line === `+${group}`).length -
            notes.groups.filter((line) => line === `-${group}`).length;
          for (const group of ["ff02::1:ff00:10", "ff02::1:ff01:10"])
            expect(balance(group)).toBe(wanted.has(group) ? 1 : 0);
        }
        book.close();
        book.close();
        expect(time.idle).toBe(true);
        expect(book.size).toBe(0);
        expect(book.add(V4, 24)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });
});
