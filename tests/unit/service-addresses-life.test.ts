/** Service addresses under traffic, over two links, on paths that die in silence, and through any course of events. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { MemoryDevice } from "../../stack/device/memory.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import { chooseSource } from "../../stack/ip/addresses/sources.ts";
import { MAX_ADDRESSES } from "../../stack/ip/addresses/addresses.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { pattern } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";
import { askerNumber, macOf, SharedSegment } from "../support/shared-segment.ts";

const FAMILIES = [4, 6] as const;
const SERVICE = { 4: "10.9.9.9", 6: "2001:db8:9::9" } as const;
const PORT = 7;

/** A host with two interfaces on a link, and a client host there that knows the service addresses are on it. */
const withClient = (lab: HostLab) => {
  const segment = new SharedSegment(lab);
  const server = lab.host({ services: Object.values(SERVICE) });
  const legs = [0, 1].map((i) =>
    segment.join(server, `leg${i}`, i + 1, { addresses: [`10.0.0.${11 + i}/24`, `2001:db8::1${i}/64`] }),
  );
  const client = lab.host();
  const { on } = segment.join(client, "client", 9, { addresses: ["10.0.0.9/24", "2001:db8::9/64"] });
  for (const prefix of ["10.9.9.0/24", "2001:db8:9::/64"]) client.routes.add(onLink(prefix, on.index));
  lab.run(10_000);
  return { segment, server, legs, client, on };
};

const onLink = (prefix: string, index: number) => {
  const [address, length] = prefix.split("/");
  return {
    prefix: prefixOf(address!, Number(length)),
    interface: index,
    metric: 10,
    kind: "unicast",
    origin: "manual",
  } as const;
};

const prefixOf = (address: string, length: number): Prefix => Prefix.of(IpAddress.parse(address), length);

describe.each(FAMILIES)("under traffic (IPv%d)", (family) => {
  const service = SERVICE[family];

  test("a flow a millisecond misses the link news and no more, cut after cut", () => {
    using lab = new HostLab();
    const { server, legs, client } = withClient(lab);
    const sources = new Set<string>();
    server.udp(PORT, (datagram) => void datagram.reply());
    let answered = 0;
    const socket = client.udp({}, (datagram) => {
      answered += 1;
      sources.add(datagram.remoteAddress.toString());
    });
    let sent = 0;
    const send = (count: number): void => {
      for (let i = 0; i < count; i++) {
        expect(socket.send({ address: service, port: PORT }, pattern(64))).toBe(true);
        sent += 1;
        lab.run(1);
      }
    };
    send(100);
    expect(answered).toBeGreaterThanOrEqual(99);
    for (let cut = 0; cut < 6; cut++) {
      const { device } = legs[cut % 2]!;
      device.peer!.setUp(false);
      send(100);
      device.peer!.setUp(true);
      send(1200);
    }
    lab.run(10);
    // Links are looked at every 5 ms, and one frame is on its way.
    expect(sent - answered).toBeLessThanOrEqual(6 * 7);
    expect(sources).toEqual(new Set([service]));
  }, 30_000);

  test("the address comes and goes, as do interfaces, and the rest of the traffic doesn't mind", () => {
    using lab = new HostLab();
    const { segment, server, legs, client } = withClient(lab);
    const second = family === 4 ? "10.9.9.10" : "2001:db8:9::10";
    server.udp(PORT, (datagram) => void datagram.reply());
    const answered = { kept: 0, other: 0 };
    const socket = client.udp({}, (datagram) => {
      if (datagram.remoteAddress.toString() === service) answered.kept += 1;
      else answered.other += 1;
    });
    const send = (count: number): void => {
      for (let i = 0; i < count; i++) {
        socket.send({ address: service, port: PORT }, pattern(64));
        socket.send({ address: second, port: PORT }, pattern(64));
        lab.run(1);
      }
    };
    send(10);
    expect(answered.other).toBe(0);
    for (let round = 1; round <= 5; round++) {
      const before = { ...answered };
      server.addService(second, { dad: false });
      // A client that asked in vain asks again when it has forgotten that.
      lab.run(5000);
      send(50);
      expect(answered.other - before.other).toBeGreaterThanOrEqual(49);
      const leaver = legs[round % 2]!;
      server.leave(leaver.on);
      send(50);
      expect(answered.other - before.other).toBeGreaterThanOrEqual(98);
      server.removeService(second);
      const stopped = answered.other;
      send(50);
      expect(answered.other).toBeLessThanOrEqual(stopped + 1);
      const addresses = [`10.0.0.${11 + (round % 2)}/24`, `2001:db8::1${round % 2}/64`];
      const on = server.join(leaver.device, { name: leaver.on.name, addresses, dad: false });
      legs[round % 2] = { ...leaver, on };
      send(50);
      expect(answered.kept - before.kept).toBeGreaterThanOrEqual(198);
    }
    expect(segment.lost).toBe(0);
  }, 30_000);

  test("answers come from it, errors too; sockets bound to it use it, others the interface's own", () => {
    using lab = new HostLab();
    const { server, client } = withClient(lab);
    const own = family === 4 ? "10.0.0.11" : "2001:db8::10";
    const seen: string[] = [];
    const there = client.udp(PORT, (datagram) => void seen.push(datagram.remoteAddress.toString()));
    const here = { address: family === 4 ? "10.0.0.9" : "2001:db8::9", port: PORT };
    server.udp({ address: service }, () => {}).send(here, pattern(1));
    server.udp({}, () => {}).send(here, pattern(1));
    lab.run(1000);
    expect(seen).toEqual([service, own]);
    const errors: string[] = [];
    const asking = client.udp({ onError: ({ reporter }) => void errors.push(String(reporter)) }, () => {});
    asking.send({ address: service, port: 4444 }, pattern(1));
    const echoes: string[] = [];
    client
      .ping(service, { onReply: ({ packet }) => void echoes.push(packet.source.toString()) })
      .send(1, pattern(8));
    lab.run(1000);
    expect(errors).toEqual([service]);
    expect(echoes).toEqual([service]);
    // To oneself as well, and while no interface is there at all.
    for (const on of server.interfaces) server.leave(on);
    const self: string[] = [];
    server.udp({ address: service, port: PORT }, (datagram) => {
      self.push(datagram.remoteAddress.toString());
    });
    server.udp({}, () => {}).send({ address: service, port: PORT }, pattern(1));
    lab.run(10);
    expect(self).toEqual([service]);
    server.removeService(service);
    expect(() => server.udp({ address: service }, () => {})).toThrow(RangeError);
    there.close();
  });
});

test("an interface without addresses of its own sends and asks from the service address, where it speaks for it", () => {
  using lab = new HostLab();
  const segment = new SharedSegment(lab);
  const host = lab.host({ services: [SERVICE[4]] });
  const { on } = segment.join(host, "bare", 1, {});
  host.routes.add(onLink("10.0.0.0/24", on.index));
  host.udp({}, () => {}).send({ address: "10.0.0.1", port: PORT }, pattern(1));
  segment.settle();
  expect(segment.sayings().at(-1)).toBe("bare: request 10.0.0.1 to all");
  // With one of its own it asks from that: who hears the question would look for the service address here.
  on.addresses.add(IpAddress.parse("192.168.7.7"), 24, { dad: false });
  expect(on.addresses.sourceFor(IpAddress.parse("10.0.0.1"))?.toString()).toBe("192.168.7.7");
  expect(on.addresses.sourceFor(IpAddress.parse("10.9.9.1"))?.toString()).toBe("192.168.7.7");
  // Nor does it send from that what asks for no address, however much closer the other one looks (RFC 6724 rule 8).
  const towards = IpAddress.parse("10.9.9.1");
  expect(chooseSource(on.candidates(), towards, on.index)?.address.toString()).toBe("192.168.7.7");
});

test("reports of groups come from the interface's own address, where it has one", () => {
  using lab = new HostLab();
  const { host, station, on } = lab.wire({ linkLocal: false }, { services: [SERVICE[4]] });
  const reporters = (): string[] => {
    const frames = station.take().map((frame) => new DataView(frame.buffer, frame.byteOffset));
    const reports = frames.filter(
      (view) =>
        ethernet.type(view, 0) === ethernet.ETHERTYPE.IPV4 &&
        ipv4.protocol(view, ethernet.HEADER_BYTES) === PROTOCOL.IGMP,
    );
    return reports.map((view) => ipv4.source(view, ethernet.HEADER_BYTES).toString());
  };
  const socket = host.udp(PORT, () => {});
  socket.join("239.1.1.1", { interface: on.name });
  lab.run(5000);
  expect(new Set(reporters())).toEqual(new Set([SERVICE[4]]));
  on.addresses.add(IpAddress.parse("192.168.7.7"), 24, { dad: false });
  socket.join("239.1.1.2", { interface: on.name });
  lab.run(5000);
  expect(new Set(reporters())).toEqual(new Set(["192.168.7.7"]));
});

test("over two links: each has its own speaker, and a loss on one is no matter of the other's", () => {
  using lab = new HostLab();
  const [left, right] = [new SharedSegment(lab), new SharedSegment(lab)];
  const host = lab.host({ services: [SERVICE[4]] });
  left.join(host, "left0", 1, { addresses: ["10.0.1.1/24"] });
  const { device } = right.join(host, "right0", 2, { addresses: ["10.0.2.1/24"] });
  right.join(host, "right1", 3, { addresses: ["10.0.2.2/24"] });
  lab.run(10_000);
  const answer = (segment: SharedSegment): string[] =>
    segment.seek(SERVICE[4], askerNumber(700, 4)).map(({ by }) => by);
  expect([answer(left), answer(right)]).toEqual([["left0"], ["right0"]]);
  left.take();
  device.peer!.setUp(false);
  right.linkNews();
  expect(left.take()).toEqual([]);
  expect([answer(left), answer(right)]).toEqual([["left0"], ["right1"]]);
});

test("where the only speaker known on a link is lost, those of others say again who they are: it may have been theirs", () => {
  using lab = new HostLab();
  const segment = new SharedSegment(lab);
  const host = lab.host({ services: [SERVICE[4]] });
  segment.join(host, "leg0", 1, { addresses: ["10.0.0.11/24"] });
  // Without an address of its own nobody knows that it is on the same link.
  const { on } = segment.join(host, "leg1", 2, { addresses: [], linkLocal: false });
  lab.run(10_000);
  const heard = (): string[] =>
    segment
      .take()
      .filter(({ address }) => address === SERVICE[4])
      .map(({ by }) => by);
  expect(new Set(heard())).toEqual(new Set(["leg0", "leg1"]));
  host.leave(on);
  lab.run(1);
  expect(heard()).toEqual(["leg0", "leg0"]);
});

test("one that took over while it was dead says so again when it lives: nobody heard it", () => {
  using lab = new HostLab();
  const { segment, server, legs } = withClient(lab);
  const set = (on: Interface, state: "up" | "down"): void => {
    for (const path of [...server.paths.values()])
      if (path.interface === on.index) server.paths.set(path, state);
    segment.settle();
  };
  const heard = (): string[] =>
    segment
      .take()
      .filter(({ address }) => address === SERVICE[4])
      .map(({ by }) => by);
  const [first, second] = legs as [(typeof legs)[0], (typeof legs)[0]];
  set(second.on, "down");
  first.device.peer!.setUp(false);
  segment.linkNews();
  lab.run(10_000);
  segment.take();
  // It was the one whose link is up all the while.
  set(second.on, "up");
  expect(heard()).toEqual(["leg1", "leg1"]);
  lab.run(10_000);
  segment.take();
  set(second.on, "up");
  expect(heard()).toEqual([]);
});

test("paths that die in silence take the speaker along; on trial it is used only where there is nothing better", () => {
  using lab = new HostLab();
  const { segment, server, legs } = withClient(lab);
  const answer = (): string[] => segment.seek(SERVICE[4], askerNumber(700, 4)).map(({ by }) => by);
  const set = (on: Interface, state: "up" | "down"): void => {
    for (const path of [...server.paths.values()])
      if (path.interface === on.index) server.paths.set(path, state);
    segment.settle();
  };
  expect(answer()).toEqual(["leg0"]);
  segment.take();
  set(legs[0]!.on, "down");
  expect(segment.take().filter(({ address }) => address === SERVICE[4])).toHaveLength(2);
  expect(answer()).toEqual(["leg1"]);
  // None that is good: whoever is asked answers, for that it was heard proves that it lives, and the speaker may be deaf.
  set(legs[1]!.on, "down");
  expect(answer().toSorted()).toEqual(["leg0", "leg1"]);
  set(legs[0]!.on, "up");
  expect(answer()).toEqual(["leg0"]);
  // The carrier of the other goes and comes: on trial for a second, it is no competition.
  set(legs[1]!.on, "up");
  legs[0]!.device.peer!.setUp(false);
  segment.linkNews();
  expect(answer()).toEqual(["leg1"]);
  legs[0]!.device.peer!.setUp(true);
  segment.linkNews();
  set(legs[1]!.on, "down");
  expect(answer()).toEqual(["leg0"]);
});

test("where an interface has the address in its own right, that stays, and gives way when it goes", () => {
  using lab = new HostLab();
  const segment = new SharedSegment(lab);
  const host = lab.host();
  const address = IpAddress.parse(SERVICE[4]);
  const { on } = segment.join(host, "one", 1, { addresses: [`${SERVICE[4]}/24`, "10.0.0.1/24"] });
  const service = host.addService(address);
  expect(on.addresses.find(address)).toMatchObject({ origin: "manual", prefixLength: 24 });
  host.removeService(address);
  expect(on.addresses.find(address)?.origin).toBe("manual");
  host.addService(address);
  on.addresses.remove(address);
  lab.run(1);
  expect(on.addresses.find(address)).toMatchObject({ origin: "service", state: "preferred" });
  expect(service.address).toBe(address);
  expect(host.statistics().services.refused).toBe(0);
  // One that has no room for it goes without.
  const crowd = Array.from({ length: MAX_ADDRESSES }, (_, i) => `10.1.${i >> 8}.${i & 0xff}/32`);
  const full = segment.join(host, "full", 2, { addresses: crowd }).on;
  expect(full.addresses.find(address)).toBeUndefined();
  expect(host.statistics().services.refused).toBe(1);
});

describe("through any course of events", () => {
  const NAMES = ["a", "b", "c", "d"] as const;
  const SERVICES = [
    ["10.9.9.1", "active"],
    ["10.9.9.2", "spread"],
    ["2001:db8:9::1", "active"],
    ["2001:db8:9::2", "spread"],
  ] as const;
  const index = fc.integer({ min: 0, max: 3 });
  const step = fc.oneof(
    ...(["join", "leave", "up", "down", "add", "remove"] as const).map((what) =>
      index.map((at) => ({ what, at })),
    ),
    fc.constantFrom(3, 500, 2500).map((at) => ({ what: "wait" as const, at })),
  );

  test("on each link with an interface that is up, one that is answers for each address, and one alone", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        using lab = new HostLab();
        const segments = [new SharedSegment(lab), new SharedSegment(lab)];
        const host = lab.host();
        const devices = NAMES.map((name, i) => segments[i >> 1]!.port(name, macOf(i + 1)));
        const joined = new Map<number, Interface>();
        const up = [true, true, true, true];
        const added = new Set<number>();
        const take = ({ what, at }: { readonly what: string; readonly at: number }): void => {
          if (what === "wait") lab.run(at);
          else if (what === "join" && !joined.has(at)) joined.set(at, joinAs(host, devices[at]!, at, NAMES));
          else if (what === "leave" && joined.has(at)) {
            host.leave(joined.get(at)!);
            joined.delete(at);
          } else if (what === "up" || what === "down") {
            up[at] = what === "up";
            devices[at]!.peer!.setUp(up[at]);
          } else if (what === "add" && !added.has(at)) {
            const [address, answer] = SERVICES[at]!;
            host.addService(address, { answer, dad: false });
            added.add(at);
          } else if (what === "remove" && added.delete(at)) host.removeService(SERVICES[at]![0]);
        };
        for (const one of steps) {
          take(one);
          segments[0]!.linkNews();
          for (const [side, segment] of segments.entries()) {
            const able = [2 * side, 2 * side + 1].filter((i) => joined.has(i) && up[i]).map((i) => NAMES[i]);
            for (const [at, [address]] of SERVICES.entries()) {
              const asker = askerNumber(900 + one.at, address.includes(":") ? 6 : 4);
              const answers = segment.seek(address, asker).map(({ by }) => by);
              expect(answers).toHaveLength(added.has(at) && able.length > 0 ? 1 : 0);
              if (answers.length === 1) expect(able as string[]).toContain(answers[0]!);
            }
          }
        }
        for (const segment of segments) segment.close();
      }),
      { numRuns: 40 },
    );
  }, 30_000);
});

const joinAs = (
  host: ReturnType<HostLab["host"]>,
  device: MemoryDevice,
  at: number,
  names: readonly string[],
): Interface =>
  host.join(device, {
    name: names[at]!,
    addresses: [`10.${at >> 1}.0.${at + 11}/16`, `2001:db8:${at >> 1}::${at + 11}/64`],
    dad: false,
    linkLocal: false,
  });
