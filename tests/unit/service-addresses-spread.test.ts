/** Service addresses whose askers have one of several interfaces each, and which interfaces are on one link. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Interface } from "../../stack/ip/interface.ts";
import { Askers, chooseFor } from "../../stack/ip/service/askers.ts";
import { segmentsOf } from "../../stack/ip/service/segments.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { HostLab } from "../support/host-lab.ts";
import { askerNumber, claim, macOf, type Said, saying, SharedSegment } from "../support/shared-segment.ts";

const FAMILIES = [4, 6] as const;
const SERVICE = { 4: "10.9.9.9", 6: "2001:db8:9::9" } as const;
const ASKERS = 60;

const spreadOver = (lab: HostLab, count: number, family: 4 | 6) => {
  const segment = new SharedSegment(lab);
  const host = lab.host();
  const legs = Array.from({ length: count }, (_, i) =>
    segment.join(host, `leg${i}`, i + 1, { addresses: [`10.0.200.1${i}/16`, `2001:db8::1${i}/64`] }),
  );
  host.addService(SERVICE[family], { answer: "spread", dad: false });
  lab.run(10_000);
  segment.settle();
  segment.take();
  return { segment, host, legs };
};

describe.each(FAMILIES)("spread (IPv%d)", (family) => {
  const service = SERVICE[family];
  const askers = Array.from({ length: ASKERS }, (_, i) => askerNumber(i + 1, family));
  /** Who answers whom; each exactly one. */
  const answers = (segment: SharedSegment): Map<string, string> => {
    const found = new Map<string, string>();
    for (const asker of askers) {
      const said = segment.seek(service, asker);
      expect(said).toHaveLength(1);
      expect(said[0]).toMatchObject({ to: asker.mac.toString(), address: service });
      found.set(asker.mac.toString(), said[0]!.by);
    }
    return found;
  };
  const told = (name: string, mac: string): string =>
    family === 4
      ? `${name}: gratuitous request ${service} to ${mac}`
      : `${name}: advertisement ${service} to ${mac} override`;

  test("each asker has one answer, always the same, and all interfaces have some", () => {
    using lab = new HostLab();
    const { segment, host } = spreadOver(lab, 3, family);
    const first = answers(segment);
    expect(new Set(first.values())).toEqual(new Set(["leg0", "leg1", "leg2"]));
    expect(answers(segment)).toEqual(first);
    expect(host.statistics().services).toMatchObject({ askers: ASKERS, forgotten: 0, handedOn: 0 });
  });

  test("where one goes its askers move, each told by itself, twice, and come back when it does", () => {
    using lab = new HostLab();
    const { segment, legs } = spreadOver(lab, 3, family);
    const before = answers(segment);
    const [, , gone] = legs;
    gone!.device.peer!.setUp(false);
    segment.linkNews();
    const moved = segment.take().filter(({ address }) => address === service);
    const losers = [...before].filter(([, name]) => name === "leg2").map(([mac]) => mac);
    expect(moved.map(({ to }) => to).toSorted()).toEqual(losers.toSorted());
    expect(moved.some(({ by }) => by === "leg2")).toBe(false);
    lab.run(3000);
    const again = segment.take().filter(({ address }) => address === service);
    expect(again.map(saying).toSorted()).toEqual(moved.map(saying).toSorted());
    const during = answers(segment);
    for (const { by, to } of moved) expect(during.get(to)).toBe(by);
    for (const [mac, name] of before) if (name !== "leg2") expect(during.get(mac)).toBe(name);
    gone!.device.peer!.setUp(true);
    // It is on trial first, and used when that is over.
    lab.run(500);
    expect(segment.take().filter(({ address }) => address === service)).toEqual([]);
    lab.run(1000);
    const back = segment.take().filter(({ address }) => address === service);
    expect(back.map(saying).toSorted()).toEqual(losers.map((mac) => told("leg2", mac)).toSorted());
    expect(answers(segment)).toEqual(before);
  });

  test("where the one that speaks goes, all hear of another, and those of others of theirs after that", () => {
    using lab = new HostLab();
    const { segment, host, legs } = spreadOver(lab, 3, family);
    const before = answers(segment);
    host.leave(legs[0]!.on);
    segment.settle();
    const said = segment.take().filter(({ address }) => address === service);
    const announced = said.findIndex(({ to }) => to === "all");
    expect(said[announced]).toMatchObject({ by: "leg1" });
    // Whom the caches of everybody have last is who it is to be.
    lab.run(10_000);
    const all = [...said, ...segment.take().filter(({ address }) => address === service)];
    const believed = new Map<string, string>();
    for (const { to, by } of all) {
      if (to === "all") for (const asker of askers) believed.set(asker.mac.toString(), by);
      else believed.set(to, by);
    }
    const now = answers(segment);
    expect(believed).toEqual(now);
    // Frames of two interfaces may overtake each other, so that there is some time between.
    const toAll = all.flatMap(({ to, atMs }) => (to === "all" ? [atMs] : []));
    for (const spokenMs of toAll)
      expect(all.some(({ by, atMs }) => by === "leg2" && atMs > spokenMs && atMs < spokenMs + 100)).toBe(
        true,
      );
    for (const [mac, name] of before) if (name !== "leg0") expect(now.get(mac)).toBe(name);
  });

  test("a question to one interface alone is answered by it or handed on to the right one", () => {
    using lab = new HostLab();
    const { segment } = spreadOver(lab, 2, family);
    const before = answers(segment);
    for (const asker of askers.slice(0, 20)) {
      const right = before.get(asker.mac.toString())!;
      for (const [i, name] of ["leg0", "leg1"].entries()) {
        const said = segment.seek(service, asker, macOf(i + 1)).map(saying);
        if (name === right) expect(said).toHaveLength(1);
        else expect(said).toEqual([told(right, asker.mac.toString())]);
        expect(said[0]!.startsWith(right)).toBe(true);
      }
    }
  });

  test("one with another Ethernet address tells its askers; one that takes its leave for good is forgotten", () => {
    using lab = new HostLab();
    const { segment, host, legs } = spreadOver(lab, 2, family);
    const before = answers(segment);
    legs[1]!.device.setMac(macOf(0x99).toBytes());
    segment.linkNews();
    const said = segment.take().filter(({ address }) => address === service);
    const its = [...before].filter(([, name]) => name === "leg1").map(([mac]) => mac);
    expect(said.map(({ by, to }) => `${by} ${to}`).toSorted()).toEqual(
      its.map((mac) => `${macOf(0x99)} ${mac}`).toSorted(),
    );
    for (const { on } of legs) host.leave(on);
    expect(host.statistics().services.askers).toBe(0);
  });

  /** Whom each asker believes to have it, of what was said on the link before its answer by anybody. */
  const believed = (said: readonly Said[], before: ReadonlyMap<string, string>): Map<string, string> => {
    const now = new Map(before);
    for (const { address, to, by } of said) {
      if (address !== service) continue;
      if (to === "all") for (const mac of now.keys()) now.set(mac, by);
      else now.set(to, by);
    }
    return now;
  };

  test("one that speaks, with another Ethernet address, tells all; then those of others hear of theirs again", () => {
    using lab = new HostLab();
    const { segment, legs } = spreadOver(lab, 2, family);
    const before = answers(segment);
    const mac = macOf(0x99);
    legs[0]!.device.setMac(mac.toBytes());
    segment.linkNews();
    lab.run(10_000);
    const said = segment.take();
    expect(said.filter(({ address, to }) => address === service && to === "all")).not.toEqual([]);
    const hoped = new Map([...before].map(([asker, by]) => [asker, by === "leg0" ? mac.toString() : by]));
    expect(believed(said, before)).toEqual(hoped);
  });

  test("that somebody else claims is defended; those of others hear of theirs after that", () => {
    using lab = new HostLab();
    const { segment } = spreadOver(lab, 2, family);
    const before = answers(segment);
    const at = IpAddress.parse(service);
    const said = segment.ask(claim(at, macOf(0x66)));
    lab.run(10_000);
    said.push(...segment.take());
    const toAll = said.filter(({ by, to, address }) => by === "leg0" && to === "all" && address === service);
    // IPv6 leaves it to those who operate the hosts (RFC 4862 section 5.4.4).
    expect(toAll.length > 0).toBe(family === 4);
    if (family === 4) expect(believed(said, before)).toEqual(before);
  });
});

test("two hosts that have one by mistake: the first hears of it, and a defence is no storm", () => {
  using lab = new HostLab();
  const segment = new SharedSegment(lab);
  const hosts = [0, 1].map((i) => {
    const host = lab.host();
    segment.join(host, `host${i}`, i + 1, { addresses: [`10.0.200.1${i}/16`, `2001:db8::1${i}/64`] });
    return host;
  });
  const conflicts = hosts.map((host) => {
    const found = new Set<string>();
    host.on((event) => {
      if (event.kind === "address" && event.change === "conflict")
        found.add(event.address.address.toString());
    });
    return found;
  });
  const said: string[] = [];
  for (const host of hosts) {
    for (const service of Object.values(SERVICE)) host.addService(service, { dad: false });
    lab.run(20_000);
    segment.settle();
    said.push(...segment.sayings());
  }
  // IPv6 defends nothing (RFC 4862 section 5.4.4): who came second hears of nobody.
  expect(conflicts.map((found) => [...found].toSorted())).toEqual([[SERVICE[4], SERVICE[6]], [SERVICE[4]]]);
  // Two announcements of either form each, and one of defence each (RFC 5227 section 2.4 c): no storm.
  const about = said.filter((one) => one.includes(SERVICE[4]));
  expect(about.length).toBeGreaterThan(2 * 2 * 2);
  expect(about.length).toBeLessThanOrEqual(2 * 2 * 2 + 2 * 2 * 2);
});

test("networks and names say which interfaces are on one link, also when they are known late", () => {
  using lab = new HostLab();
  const segment = new SharedSegment(lab);
  const host = lab.host({ services: ["10.9.9.9"] });
  const speakers = (): string[] =>
    host.services[0]!.carriers().flatMap(({ name, announces }) => (announces ? [name] : []));
  const join = (name: string, number: number, address: string, more: object = {}) =>
    segment.join(host, name, number, { addresses: [address], ...more }).on;
  const a = join("a", 1, "10.0.0.1/24");
  join("b", 2, "10.0.0.2/24");
  join("c", 3, "10.0.1.3/24");
  expect(speakers()).toEqual(["a", "c"]);
  // By an address that comes later the third turns out to be on the same link; the eldest goes on, and says so.
  lab.run(10_000);
  segment.take();
  a.addresses.add(IpAddress.parse("10.0.1.1"), 24, { dad: false });
  lab.run(1);
  segment.settle();
  expect(speakers()).toEqual(["a"]);
  const said = segment.take().filter(({ address }) => address === "10.9.9.9");
  expect(said.map(({ by }) => by)).toEqual(["a", "a"]);
  a.addresses.remove(IpAddress.parse("10.0.1.1"));
  lab.run(1);
  expect(speakers()).toEqual(["a", "c"]);
  // A name goes before networks.
  join("d", 4, "10.0.0.4/24", { segment: "left" });
  join("e", 5, "10.0.7.5/24", { segment: "left" });
  join("f", 6, "10.0.0.6/24", { segment: "right" });
  expect(speakers()).toEqual(["a", "c", "d", "f"]);
  const [device] = lab.link();
  expect(() => host.join(device, { segment: "" })).toThrow(/segment/);
});

describe("parts", () => {
  const anAddress = fc
    .integer({ min: 1, max: 0xdfff_ffff })
    .map((word) => IpAddress.words(0, 0, 0xffff, word | 0));
  const members = (count: number) => Array.from({ length: count }, (_, i) => ({ on: { index: i + 1 } }));

  test("whoever goes moves only its own askers, and all have about the same share", () => {
    const service = IpAddress.parse(SERVICE[4]);
    fc.assert(
      fc.property(
        anAddress,
        fc.integer(),
        fc.integer({ min: 2, max: 8 }),
        fc.nat(),
        (asker, seed, count, at) => {
          const all = members(count);
          const chosen = chooseFor(all, service, asker, seed)!;
          const gone = all[at % count]!;
          const after = chooseFor(
            all.filter((member) => member !== gone),
            service,
            asker,
            seed,
          );
          if (chosen !== gone) expect(after).toBe(chosen);
          else expect(after).not.toBe(gone);
        },
      ),
    );
    expect(chooseFor([], service, service, 1)).toBeUndefined();
    for (const seed of [1, 77, -5]) {
      const shares = new Map<number, number>();
      for (let i = 0; i < 4000; i++) {
        const { on } = chooseFor(members(4), service, askerNumber(i, 4).address, seed)!;
        shares.set(on.index, (shares.get(on.index) ?? 0) + 1);
      }
      for (const share of shares.values()) expect(Math.abs(share - 1000)).toBeLessThan(150);
    }
  });

  test("so many askers are remembered; who asked longest ago makes room", () => {
    const remembered = new Askers<number>(3);
    const service = IpAddress.parse(SERVICE[4]);
    const note = (number: number): void => {
      const { address, mac } = askerNumber(number, 4);
      remembered.note(service, address, mac, number);
    };
    for (const number of [1, 2, 3, 1, 4, 5]) note(number);
    expect([...remembered.values()].map(({ member }) => member)).toEqual([1, 4, 5]);
    expect([remembered.size, remembered.forgotten]).toEqual([3, 2]);
    const [first] = remembered.values();
    expect(remembered.has(first!)).toBe(true);
    note(1);
    expect(remembered.has(first!)).toBe(false);
    remembered.forget(({ member }) => member === 4);
    expect([...remembered.values()].map(({ member }) => member)).toEqual([5, 1]);
  });

  test("links: interfaces are together where a chain of networks joins them, each in one group, in their order", () => {
    const networks = fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(networks, { maxLength: 10 }), (all) => {
        const placed = all.map((numbers) => ({ on: inNetworks(numbers), segment: undefined }));
        const groups = segmentsOf(placed);
        expect(groups.flat().toSorted((a, b) => placed.indexOf(a) - placed.indexOf(b))).toEqual(placed);
        for (const group of groups)
          expect(group).toEqual(group.toSorted((a, b) => placed.indexOf(a) - placed.indexOf(b)));
        for (const [i, mine] of all.entries())
          for (const [j, theirs] of all.entries())
            if (mine.some((number) => theirs.includes(number)))
              expect(groups.find((group) => group.includes(placed[i]!))).toContain(placed[j]!);
        // No group falls into parts that share nothing.
        for (const group of groups)
          expect(connected(group.map((one) => all[placed.indexOf(one)]!))).toBe(true);
      }),
    );
  });
});

/** An interface that has an address in each of these networks. */
const inNetworks = (numbers: readonly number[]): Interface =>
  ({
    addresses: {
      values: () =>
        numbers.map((number) => {
          const address = IpAddress.parse(`10.1.${number}.1`);
          return { address, prefix: Prefix.of(address, 24), state: "preferred", origin: "manual" };
        }),
    },
  }) as unknown as Interface;

const connected = (sets: readonly (readonly number[])[]): boolean => {
  const [first, ...rest] = sets;
  const reached = new Set(first);
  let left = rest;
  for (;;) {
    const touching = left.filter((set) => set.some((number) => reached.has(number)));
    if (touching.length === 0) return left.length === 0;
    for (const number of touching.flat()) reached.add(number);
    left = left.filter((set) => !touching.includes(set));
  }
};
