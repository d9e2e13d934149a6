/** Service addresses in virtual time: who answers for them on a link, who says so when that changes, and who hears. */
import { describe, expect, test } from "bun:test";
import type { HostEvent } from "../../stack/ip/events.ts";
import type { HostOptions } from "../../stack/ip/options.ts";
import { MAX_SERVICES } from "../../stack/ip/service/services.ts";
import { LINK_EVERY_MS } from "../../stack/loop/loop.ts";
import { REFUSED } from "../../stack/transport/network.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ether, ip, pattern, udpFrame, udpOf } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";
import {
  askerNumber,
  claim,
  macOf,
  nobody,
  type Said,
  saying,
  SharedSegment,
} from "../support/shared-segment.ts";
import { extension, join } from "../support/wire-frames.ts";

const FAMILIES = [4, 6] as const;
const SERVICE = { 4: "10.9.9.9", 6: "2001:db8:9::9" } as const;
/** What an interface says to all in one go. */
const announcement = (name: string, family: 4 | 6): string[] =>
  family === 4
    ? [`${name}: gratuitous request ${SERVICE[4]} to all`, `${name}: gratuitous reply ${SERVICE[4]} to all`]
    : [`${name}: advertisement ${SERVICE[6]} to all override`];

/** Two interfaces of one host on one link: "one" at 02:…:01 and "two" at 02:…:02. */
const onOneLink = (lab: HostLab, options: HostOptions = {}) => {
  const segment = new SharedSegment(lab);
  const host = lab.host(options);
  const events = lab.events(host);
  const one = segment.join(host, "one", 1, { addresses: ["10.0.0.11/16", "2001:db8::11/64"] });
  const two = segment.join(host, "two", 2, { addresses: ["10.0.0.12/16", "2001:db8::12/64"] });
  lab.run(10_000);
  segment.settle();
  segment.take();
  events.length = 0;
  return { segment, host, events, one, two };
};

const moves = (events: readonly HostEvent[]): string[] =>
  events.flatMap((event) =>
    event.kind === "service" ? `${event.address} on ${event.name} after ${event.previous}` : [],
  );

/** A datagram in two fragments. */
const inFragments = (options: Parameters<typeof udpOf>[1] & Parameters<typeof ether>[1]): Uint8Array[] => {
  const whole = udpOf(pattern(64), options);
  return [0, FIRST_BYTES].map((at) => {
    const more = at === 0;
    const part = whole.slice(at, more ? FIRST_BYTES : undefined);
    if (options!.to!.family === 4) {
      const more4 = { fragmentOffset: at, moreFragments: more, dontFragment: false, identification: 1 };
      return ether(ip(PROTOCOL.UDP, part, { ...options, more4 }), options);
    }
    const header = extension({
      kind: "fragment",
      nextHeader: PROTOCOL.UDP,
      offset: at,
      more,
      identification: 1,
    });
    return ether(ip(PROTOCOL.FRAGMENT, join(header, part), options), options);
  });
};
const FIRST_BYTES = 40;

describe.each(FAMILIES)("on one link (IPv%d)", (family) => {
  const service = SERVICE[family];
  const asker = askerNumber(1, family);
  const reply = (name: string): string =>
    family === 4
      ? `${name}: reply ${service} to ${asker.mac}`
      : `${name}: advertisement ${service} to ${asker.mac} solicited override`;

  test("one interface announces it, some times, and answers for it", () => {
    using lab = new HostLab();
    const { segment, host } = onOneLink(lab);
    const added = host.addService(service, { dad: false });
    segment.settle();
    expect(segment.sayings()).toEqual(announcement("one", family));
    lab.run(10_000);
    const later = segment.take();
    const times = family === 4 ? 1 : 2;
    expect(later.map(saying)).toEqual(Array(times).fill(announcement("one", family)).flat());
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("one")]);
    expect(added.carriers()).toEqual([
      { interface: 2, name: "one", state: "preferred", announces: true },
      { interface: 3, name: "two", state: "preferred", announces: false },
    ]);
    expect(host.services).toEqual([added]);
  });

  test("another takes over at once when the carrier goes, says so some times, and keeps it", () => {
    using lab = new HostLab();
    const { segment, host, events, one } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    segment.take();
    const diedMs = lab.clock.nowMs();
    one.device.peer!.setUp(false);
    segment.linkNews();
    const heard = segment.take();
    expect(heard.map(saying)).toEqual(announcement("two", family));
    expect(heard.every(({ atMs }) => atMs - diedMs <= LINK_EVERY_MS)).toBe(true);
    expect(moves(events)).toEqual([`${service} on one after 0`, `${service} on two after 2`]);
    lab.run(10_000);
    const times = family === 4 ? 1 : 2;
    expect(segment.sayings()).toEqual(Array(times).fill(announcement("two", family)).flat());
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("two")]);
    // What comes back is the one in reserve from now on.
    one.device.peer!.setUp(true);
    lab.run(10_000);
    expect(segment.sayings().filter((words) => words.includes(service))).toEqual([]);
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("two")]);
    expect(moves(events)).toHaveLength(2);
  });

  test.each([
    ["the one that speaks says so as it does when it takes over, each time once", "one"],
    ["the one in reserve says nothing of it", "two"],
  ] as const)("with another Ethernet address %s", (_, which) => {
    using lab = new HostLab();
    const { segment, host, ...legs } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    segment.take();
    const mac = macOf(0x99);
    legs[which].device.setMac(mac.toBytes());
    segment.linkNews();
    const about = (): string[] => segment.sayings().filter((words) => words.includes(service));
    const heard = which === "one" ? announcement(mac.toString(), family) : [];
    expect(about()).toEqual(heard);
    lab.run(10_000);
    const times = family === 4 ? 1 : 2;
    expect(about()).toEqual(Array(times).fill(heard).flat());
  });

  test("announcements of one that lost its turn do not go on", () => {
    using lab = new HostLab();
    const { segment, host, one } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(100);
    // Down and up again, before it would have said it the second time.
    one.device.peer!.setUp(false);
    lab.run(10);
    one.device.peer!.setUp(true);
    segment.take();
    lab.run(10_000);
    const speakers = segment.take().filter(({ address }) => address === service);
    expect(new Set(speakers.map(({ by }) => by))).toEqual(new Set(["two"]));
  });

  test("another takes over when the interface leaves, before its last word is needed", () => {
    using lab = new HostLab();
    const { segment, host, events, one } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    segment.take();
    host.leave(one.on);
    segment.settle();
    expect(segment.sayings().filter((words) => words.includes(service))).toEqual(announcement("two", family));
    expect(moves(events).at(-1)).toBe(`${service} on two after 2`);
    // One that joins is the reserve.
    const three = segment.join(host, "three", 3, { addresses: ["10.0.0.13/16", "2001:db8::13/64"] });
    lab.run(10_000);
    segment.take();
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("two")]);
    expect(three.on.addresses.find(IpAddress.parse(service))?.state).toBe("preferred");
    // And a device that goes is an interface that leaves.
    (host.interfaces[0]!.link.device as typeof one.device).close();
    segment.linkNews();
    expect(segment.sayings().filter((words) => words.includes(service))).toEqual(
      announcement("three", family),
    );
  });

  test("with one interface that comes up again, perhaps on another link, that hears of it", () => {
    using lab = new HostLab();
    const segment = new SharedSegment(lab);
    const host = lab.host({});
    const { device } = segment.join(host, "one", 1);
    host.addService(service, { dad: false });
    lab.run(10_000);
    device.peer!.setUp(false);
    lab.run(1000);
    segment.take();
    device.peer!.setUp(true);
    segment.linkNews();
    expect(segment.sayings()).toEqual(announcement("one", family));
  });

  test("both down: whichever comes up first has it", () => {
    using lab = new HostLab();
    const { segment, host, one, two } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    for (const { device } of [one, two]) device.peer!.setUp(false);
    lab.run(1000);
    segment.take();
    one.device.peer!.setUp(true);
    segment.linkNews();
    expect(segment.sayings().filter((words) => words.includes(service))).toEqual(announcement("one", family));
    two.device.peer!.setUp(true);
    lab.run(10_000);
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("one")]);
  });

  test("a question that reaches the wrong one alone is answered by the right one", () => {
    using lab = new HostLab();
    const { segment, host } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    const told =
      family === 4
        ? `one: gratuitous request ${service} to ${asker.mac}`
        : `one: advertisement ${service} to ${asker.mac} override`;
    expect(segment.seek(service, asker, macOf(2)).map(saying)).toEqual([told]);
    expect(segment.seek(service, asker, macOf(1)).map(saying)).toEqual([reply("one")]);
    expect(host.statistics().services).toMatchObject({ services: 1, handedOn: 1, moves: 0 });
  });

  test("interfaces of one host are no strangers to each other: no conflict, and nothing learned", () => {
    using lab = new HostLab();
    const { segment, host, events, one, two } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    one.device.peer!.setUp(false);
    lab.run(10_000);
    one.device.peer!.setUp(true);
    lab.run(10_000);
    two.device.peer!.setUp(false);
    lab.run(10_000);
    const conflicts = events.filter((event) => event.kind === "address" && event.change === "conflict");
    expect(conflicts).toEqual([]);
    const { arp, ndp, addresses } = one.on.statistics().protocols!;
    expect(addresses).toMatchObject({ conflicts: 0, duplicates: 0 });
    expect(family === 4 ? arp.own : ndp.own).toBeGreaterThan(0);
    segment.take();
  });

  test("a stranger who has it: one interface says whose it is, once", () => {
    using lab = new HostLab();
    const { segment, host, events } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    events.length = 0;
    const said = segment.ask(claim(IpAddress.parse(service), macOf(0x77)));
    const conflicts = events.filter((event) => event.kind === "address" && event.change === "conflict");
    expect(conflicts).toHaveLength(1);
    // For IPv6 that is for those who operate the hosts (RFC 4862 section 5.4.4).
    expect(said.map(saying)).toEqual(family === 4 ? announcement("one", 4) : []);
    expect(segment.ask(claim(IpAddress.parse(service), macOf(0x77)))).toEqual([]);
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("one")]);
  });

  test("somebody else looks whether it is free: one interface says no", () => {
    using lab = new HostLab();
    const { segment, host } = onOneLink(lab);
    host.addService(service, { dad: false });
    lab.run(10_000);
    const said = segment.seek(service, nobody(family));
    expect(said.map(({ by }) => by)).toEqual(["one"]);
  });

  test("is found to be unique by one interface, before any has it", () => {
    using lab = new HostLab();
    const { segment, host, one, two } = onOneLink(lab);
    const added = host.addService(service, { dad: true });
    const states = (): string[] => added.carriers().map(({ state }) => state);
    segment.settle();
    expect(states()).toEqual(["tentative", "tentative"]);
    const way = host.network.destination(asker.address, { source: IpAddress.parse(service) });
    const probes: Said[] = [];
    while (states().includes("tentative")) {
      // Nothing comes from an address that may be another's.
      expect(way.prepare()).toBe(REFUSED.noSource);
      probes.push(...segment.take());
      lab.run(1);
    }
    expect(probes.map(saying)).toEqual(Array(family === 4 ? 3 : 1).fill(`one: probe ${service} to all`));
    expect(states()).toEqual(["preferred", "preferred"]);
    // Whoever had it before is in caches still.
    lab.run(10);
    expect(segment.sayings()).toEqual(announcement("one", family));
    // One more that joins the link takes the word of the others for it.
    segment.take();
    const three = segment.join(host, "three", 3, { addresses: ["10.0.0.13/16", "2001:db8::13/64"] });
    expect(three.on.addresses.find(IpAddress.parse(service))?.state).toBe("preferred");
    lab.run(10_000);
    expect(segment.take().filter(({ what }) => what === "probe")).toEqual([]);
    expect([one, two, three].map(({ on }) => on.statistics().protocols!.addresses.duplicates)).toEqual([
      0, 0, 0,
    ]);
    expect(way.prepare()).toBe(0);
  });

  test("the one that finds out goes: the other begins anew", () => {
    using lab = new HostLab();
    const { segment, host, one } = onOneLink(lab);
    const added = host.addService(service, { dad: true });
    while (segment.take().length === 0) lab.run(10);
    one.device.peer!.setUp(false);
    lab.run(10_000);
    const said = segment.take().filter(({ address }) => address === service);
    expect(said.map(({ what }) => what).filter((what) => what === "probe")).toHaveLength(
      family === 4 ? 3 : 1,
    );
    expect(said.every(({ by }) => by === "two")).toBe(true);
    expect(added.carriers().map(({ state }) => state)).toEqual(["preferred", "preferred"]);
  });

  test("that is another's is not taken by any, until the link comes up again and it is free", () => {
    using lab = new HostLab();
    const { segment, host, one } = onOneLink(lab);
    const added = host.addService(service, { dad: true });
    while (!segment.take().some(({ what }) => what === "probe")) lab.run(10);
    segment.ask(claim(IpAddress.parse(service), macOf(0x77)));
    expect(added.carriers().map(({ state }) => state)).toEqual(["duplicated", "duplicated"]);
    expect(segment.seek(service, asker)).toEqual([]);
    lab.run(100_000);
    expect(segment.seek(service, asker)).toEqual([]);
    one.device.peer!.setUp(false);
    segment.linkNews();
    expect(added.carriers().map(({ state }) => state)).toEqual(["duplicated", "duplicated"]);
    host.leave(one.on);
    const { device } = segment.join(host, "three", 3, { addresses: ["10.0.0.13/16", "2001:db8::13/64"] });
    lab.run(100);
    device.peer!.setUp(false);
    lab.run(100);
    const second = host.interfaces[0]!.link.device as typeof device;
    second.peer!.setUp(false);
    lab.run(100);
    second.peer!.setUp(true);
    lab.run(70_000);
    expect(added.carriers().map(({ state }) => state)).toEqual(["preferred", "preferred"]);
    expect(segment.seek(service, asker).map(saying)).toEqual([reply("two")]);
  });

  test("fragments of one datagram may come in over several; those for another address only over its own", () => {
    using lab = new HostLab();
    const { segment, host } = onOneLink(lab);
    host.addService(service, { dad: false });
    const heard: string[] = [];
    host.udp(53, (datagram) => void heard.push(`${datagram.localAddress} ${datagram.length}`));
    const put = (to: string, first: number, last: number): void => {
      const ends = { from: asker.address, to: IpAddress.parse(to), fromMac: asker.mac };
      const fragments = [first, last].map((leg, i) => inFragments({ ...ends, toMac: macOf(leg) })[i]!);
      segment.ask(...fragments);
    };
    for (const [first, last] of [
      [1, 1],
      [1, 2],
      [2, 1],
    ] as const) {
      put(service, first, last);
      expect(heard.splice(0)).toEqual([`${service} 64`]);
    }
    const own = family === 4 ? "10.0.0.11" : "2001:db8::11";
    put(own, 1, 2);
    expect(heard).toEqual([]);
    put(own, 1, 1);
    expect(heard).toEqual([`${own} 64`]);
    // One that stays without the rest is reported to its sender, over an interface that is up.
    const [first] = inFragments({
      from: asker.address,
      to: IpAddress.parse(service),
      fromMac: asker.mac,
      toMac: macOf(2),
    });
    segment.ask(first!);
    const exceeded = (): number => {
      const { icmp4, icmp6 } = host.statistics();
      return (family === 4 ? icmp4 : icmp6).errorsSent;
    };
    const before = exceeded();
    lab.run(120_000);
    expect(exceeded()).toBe(before + 1);
  });

  test("routed frames are taken on each interface; other addresses only on their own", () => {
    using lab = new HostLab();
    const { segment, host } = onOneLink(lab);
    host.addService(service, { dad: false });
    const heard: string[] = [];
    host.udp(53, (datagram) => void heard.push(`${datagram.interface.name} ${datagram.localAddress}`));
    const own = family === 4 ? "10.0.0.11" : "2001:db8::11";
    const frame = (to: string, mac: number) =>
      udpFrame(pattern(9), {
        from: asker.address,
        to: IpAddress.parse(to),
        toMac: macOf(mac),
        fromMac: asker.mac,
      });
    segment.ask(frame(service, 1), frame(service, 2), frame(own, 1), frame(own, 2));
    expect(heard.toSorted()).toEqual([`one ${own}`, `one ${service}`, `two ${service}`].toSorted());
    expect(host.statistics().ip.notOurs).toBe(1);
    const way = host.network.destination(asker.address, { source: IpAddress.parse(service) });
    expect(way.prepare()).toBe(0);
    expect(host.removeService(service)).toBe(true);
    // It may be somebody else's by now.
    expect(way.prepare()).toBe(REFUSED.noSource);
    expect(host.removeService(service)).toBe(false);
    segment.ask(frame(service, 1), frame(service, 2));
    expect(heard).toHaveLength(3);
    expect(segment.seek(service, asker)).toEqual([]);
    expect(host.services).toEqual([]);
  });
});

test("what is no service address, is one already, or one too many is refused with its name", () => {
  using lab = new HostLab();
  const host = lab.host({ services: ["10.9.9.9", "2001:db8::9"] });
  expect(host.services.map(({ address }) => address.toString())).toEqual(["10.9.9.9", "2001:db8::9"]);
  const wrong = [
    "10.9.9.9",
    "224.0.0.1",
    "0.0.0.0",
    "127.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "169.254.1.1",
  ];
  for (const text of wrong)
    expect(() => host.addService(text)).toThrow(new RegExp(text.replaceAll(".", "\\.")));
  expect(() => host.addService("ten")).toThrow(TypeError);
  expect(() => host.addService("10.9.9.8", { answer: "both" as "spread" })).toThrow(/answer/);
  expect(() => host.addService("10.9.9.8", { dad: 1 as unknown as boolean })).toThrow(/dad/);
  expect(() => host.addService("10.9.9.8", { what: 1 } as object)).toThrow(/no option "what"/);
  expect(() => lab.host({ services: "10.9.9.9" as unknown as string[] })).toThrow(/list/);
  expect(() => lab.host({ services: ["224.0.0.1"] })).toThrow(/224/);
  for (let i = host.services.length; i < MAX_SERVICES; i++) host.addService(`10.8.${i >> 8}.${i & 0xff}`);
  expect(() => host.addService("10.7.0.1")).toThrow(new RegExp(String(MAX_SERVICES)));
  expect(host.removeService("10.8.0.100")).toBe(true);
  host.addService("10.7.0.1");
  host.close();
  expect(() => host.addService("10.7.0.2")).toThrow(/closed/);
});
