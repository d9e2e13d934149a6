/** The life of a host: interfaces that join, leave and come back under traffic, devices that go, duplicates, and events. */
import { describe, expect, test } from "bun:test";
import { createLink } from "../../stack/device/memory.ts";
import type { HostEvent } from "../../stack/ip/events.ts";
import { stable } from "../../stack/ip/addresses/interface-identifier.ts";
import type { JoinOptions } from "../../stack/ip/options.ts";
import { MAX_INTERFACES } from "../../stack/ip/routing.ts";
import type { KeptDatagram } from "../../stack/udp/datagram.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { ADDRESSES, HOST6, pattern, STATION4, udpFrame } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";

const short = (event: HostEvent): string => {
  switch (event.kind) {
    case "link":
      return `link ${event.name} ${event.change.kind}`;
    case "address":
      return `address ${event.address.address} ${event.change}`;
    case "route":
      return `route ${event.route.prefix} ${event.change}`;
    case "neighbour":
      return `neighbour ${event.address} ${event.live ? event.state : "gone"}`;
    case "path":
      return `path ${event.path.toString()} ${event.state}: ${event.reason}`;
    default:
      return event.kind;
  }
};

describe("an interface", () => {
  test("that leaves takes its addresses and routes along, and what comes later is nobody's", () => {
    using lab = new HostLab();
    const { host, station, on, device } = lab.wire({ addresses: ADDRESSES, gateway: "10.0.0.1" });
    station.introduce("10.0.0.1");
    let heard = 0;
    const socket = host.udp(53, () => void (heard += 1));
    station.ask(udpFrame(pattern(1)));
    host.leave(on);
    host.leave(on);
    expect(host.interfaces).toEqual([]);
    expect(host.routes.all()).toEqual([]);
    station.ask(udpFrame(pattern(1)));
    expect([heard, socket.send({ address: "10.0.0.1", port: 7 }, pattern(1))]).toEqual([1, false]);
    expect(device.open).toBe(true);
    lab.run(60_000);
    expect(station.take()).toEqual([]);
  });

  test("that leaves in the middle of a burst hears no more of it", () => {
    using lab = new HostLab();
    const { host, station, on } = lab.wire({ addresses: ADDRESSES });
    let heard = 0;
    host.udp(53, (datagram) => {
      heard += 1;
      datagram.reply();
      host.leave(on);
    });
    station.ask(...Array.from({ length: 30 }, () => udpFrame(pattern(1))));
    expect(heard).toBe(1);
    lab.expectWhole();
  });

  test("that comes back under its name is the same one to sockets and ways, over and over, under traffic", () => {
    using lab = new HostLab();
    const [left, right] = lab.link();
    const [a, b] = [lab.host(), lab.host()];
    const options: JoinOptions = { name: "eth", addresses: ["10.0.0.1/24", "2001:db8::1/64"], dad: false };
    let on = a.join(left, { ...options, addresses: ADDRESSES });
    b.join(right, options);
    let heard = 0;
    b.udp(7, (datagram) => void datagram.reply());
    const socket = a.udp({ interface: "eth" }, () => void (heard += 1));
    const ways = [socket.to("10.0.0.1", 7), socket.to("2001:db8::1", 7)];
    const numbers = new Set<number>();
    for (let round = 0; round < 50; round++) {
      numbers.add(on.index);
      // Some wait for their neighbour when the interface goes.
      for (const way of ways)
        for (let i = 0; i < 3; i++) expect(socket.send(way, pattern(2000 * i))).toBe(true);
      if (round % 2 === 0) lab.run(3);
      a.leave(on);
      for (const way of ways) expect(socket.send(way, pattern(1))).toBe(false);
      lab.run(1);
      lab.expectWhole();
      on = a.join(left, { ...options, addresses: ADDRESSES });
    }
    lab.run(1);
    expect(numbers.size).toBe(1);
    expect(heard).toBe(25 * 6);
  });

  test("never has the number of another that was there before", () => {
    using lab = new HostLab();
    const { host, on } = lab.wire({ name: "one", addresses: ADDRESSES });
    const socket = host.udp({ port: 53, interface: "one" }, () => {});
    const heard: string[] = [];
    const group = host.udp({ port: 54 }, (datagram) => void heard.push(datagram.interface.name));
    group.join("224.0.0.1");
    host.leave(on);
    const second = lab.attach(host, { name: "two", addresses: ADDRESSES });
    expect(second.on.index).not.toBe(on.index);
    second.station.ask(udpFrame(pattern(1)));
    expect(socket.statistics().received).toBe(0);
    const all = IpAddress.parse("224.0.0.1");
    second.station.ask(udpFrame(pattern(1), { to: all, port: 54 }));
    expect(heard).toEqual([]);
  });

  test("comes and goes thousands of times without a trace", () => {
    using lab = new HostLab();
    const host = lab.host();
    const [device] = lab.link();
    for (let i = 0; i < 3000; i++) host.leave(host.join(device, { name: `eth${i}`, linkLocal: false }));
    const one = host.join(device, { name: "last", linkLocal: false });
    expect([one.index, host.interfaces.length]).toEqual([3002, 1]);
    lab.run(0);
  });

  test("there are so many of them at most", () => {
    using lab = new HostLab();
    const host = lab.host();
    const [device] = lab.link();
    for (let vlan = 1; vlan < MAX_INTERFACES; vlan++) host.join(device, { vlan, linkLocal: false });
    expect(() => host.join(device, { vlan: MAX_INTERFACES })).toThrow(RangeError);
  });

  const wrong: readonly (readonly [JoinOptions, RegExp])[] = [
    [{ addresses: ["10.0.0.2/33"] }, /33/],
    [{ addresses: ["224.0.0.1/4"] }, /unicast address/],
    [{ addresses: ["10.0.0.2/24"], gateway: "ten" }, /no IP address/],
    [{ vlan: 4095 }, /vlan/],
    [{ mtu: 10 }, /mtu/],
    [{ metric: -1 }, /metric/],
    [{ what: 1 } as unknown as JoinOptions, /no option "what"/],
  ];
  test.each(wrong)("that can't join with %p leaves nothing behind", (options, text) => {
    using lab = new HostLab();
    const host = lab.host();
    const [device] = lab.link();
    expect(() => host.join(device, options)).toThrow(text);
    expect([host.interfaces, host.routes.all(), lab.loop.statistics().devices]).toEqual([[], [], 1]);
    expect(host.join(device, { addresses: ADDRESSES }).index).toBeGreaterThan(1);
  });

  test("a device belongs to one host, and to nobody who receives its frames besides", () => {
    using lab = new HostLab();
    const [one, two] = [lab.host(), lab.host()];
    const [device] = lab.link();
    one.join(device, { addresses: ADDRESSES });
    expect(() => two.join(device, { addresses: ["10.0.0.9/24"] })).toThrow(TypeError);
    expect([two.interfaces, two.routes.all()]).toEqual([[], []]);
    const socket = two.udp({}, () => {});
    expect(socket.send({ address: "10.0.0.1", port: 7 }, pattern(1))).toBe(false);
  });
});

describe("a device", () => {
  test("that is gone takes its interfaces along, and says so once", () => {
    using lab = new HostLab();
    const { host, station, device } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    host.join(device, { vlan: 5, addresses: ["10.5.0.2/24"], dad: false, linkLocal: false });
    const events = lab.events(host);
    const told: string[] = [];
    const kept: KeptDatagram[] = [];
    host.udp(53, (datagram) => void kept.push(datagram.keep()));
    station.ask(udpFrame(pattern(9)));
    const socket = host.udp({}, () => {});
    const notice = { sent: () => {}, dropped: (reason: string) => void told.push(reason) };
    socket.send({ address: "10.0.0.1", port: 7 }, pattern(1), { notice });
    device.vanish("pulled out");
    lab.run(10);
    // The station's end is gone too, and nobody asked to hear of it.
    expect(lab.errors.splice(0)).toHaveLength(1);
    expect(events.filter((event) => event.kind === "link").map(short)).toEqual([
      "link left gone",
      "link left.5 gone",
    ]);
    expect([host.interfaces, told, host.routes.all()]).toEqual([[], ["closed"], []]);
    expect(kept[0]!.reply()).toBe(false);
    expect([...kept[0]!.copy()]).toEqual([...pattern(9)]);
    kept[0]!.release();
    lab.expectWhole();
  });

  test("that its owner closes is as gone", () => {
    using lab = new HostLab();
    const { host, device } = lab.wire({ addresses: ADDRESSES });
    const events = lab.events(host);
    device.close();
    lab.run(10);
    expect(events.filter((event) => event.kind === "link").map(short)).toEqual(["link left gone"]);
    expect(host.interfaces).toEqual([]);
  });

  test("that goes down and up keeps what it had, and announces it anew", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    station.introduce("10.0.0.1");
    const events = lab.events(host);
    const socket = host.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    expect(socket.send(to, pattern(1))).toBe(true);
    station.device.setUp(false);
    lab.run(10);
    expect(socket.send(to, pattern(1))).toBe(false);
    station.device.setUp(true);
    lab.run(10);
    station.introduce("10.0.0.1");
    expect(socket.send(to, pattern(1))).toBe(true);
    expect(events.filter((event) => event.kind === "link").map(short)).toEqual([
      "link left down",
      "link left up",
    ]);
    expect(socket.statistics()).toMatchObject({ sent: 2, refusedOther: 1 });
  });

  test("whose MTU or address changes is followed by the next packet", () => {
    using lab = new HostLab();
    const { host, station, device, on } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    station.introduce("10.0.0.1", "2001:db8::1");
    const socket = host.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    const frames = () => {
      socket.send(to, pattern(1400));
      lab.run(0);
      return station.takeIp();
    };
    expect(frames()).toHaveLength(1);
    device.setMtu(1000);
    device.setMac(Uint8Array.of(2, 0, 0, 0, 0, 9));
    lab.run(10);
    expect([on.mtu, frames().length]).toEqual([1000, 2]);
    expect(`${on.link.mac}`).toBe("02:00:00:00:00:09");
    // Frames for the old address are somebody else's.
    host.udp(53, (datagram) => void datagram.reply());
    expect(station.ask(udpFrame(pattern(1)))).toEqual([]);
    expect(station.ask(udpFrame(pattern(1), { toMac: on.link.mac }))).toHaveLength(1);
  });
});

describe("a host that closes", () => {
  test("gives everything back, whatever waits, and says nothing more", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({
      addresses: ADDRESSES,
      gateway: "10.0.0.1",
      slaac: true,
      dhcp: true,
    });
    const events = lab.events(host);
    const dropped: string[] = [];
    const notice = { sent: () => {}, dropped: (reason: string) => void dropped.push(reason) };
    const socket = host.udp(53, () => {});
    socket.join("239.1.1.1");
    socket.send({ address: "10.0.0.7", port: 7 }, pattern(1), { notice });
    socket.send({ address: "192.0.2.1", port: 7 }, pattern(9000), { notice, lifetimeMs: 10 });
    socket.send({ address: "2001:db8::7", port: 7 }, pattern(1), { notice });
    const echo = host.ping("10.0.0.8", { onReply: () => {} });
    echo.send(1, pattern(10));
    station.put(udpFrame(pattern(1)));
    host.close();
    host.close();
    expect(dropped.sort()).toEqual(["closed", "closed", "closed"]);
    const told = events.length;
    lab.run(1000);
    station.take();
    lab.run(3_600_000);
    expect(station.take()).toEqual([]);
    expect(events.length).toBe(told);
    lab.expectWhole();
    expect(() => host.udp(5, () => {})).toThrow(/closed/);
    expect(() => host.ping("10.0.0.1", { onReply: () => {} })).toThrow(/closed/);
    expect(() => host.join(createLink()[0])).toThrow(/closed/);
    expect(echo.send(2, pattern(1))).toBeLessThan(0);
    expect(host.statistics().udp.sockets).toBe(0);
  });

  test("can do so from within any handler", () => {
    for (const when of ["datagram", "event", "notice", "timer"]) {
      using lab = new HostLab();
      const { host, station } = lab.wire({ addresses: ADDRESSES });
      const close = (): void => host.close();
      const socket = host.udp(53, (datagram) => {
        if (when === "datagram") close();
        if (when === "event")
          host.addRoute({ prefix: Prefix.parse("192.0.2.0/24"), interface: 2, metric: 1, kind: "unicast" });
        if (datagram.live && host.open) datagram.reply();
      });
      if (when === "event") host.on(close);
      if (when === "timer") lab.loop.after(1, close);
      if (when === "notice")
        socket.send({ address: "10.0.0.5", port: 5 }, pattern(9), {
          notice: { sent: close, dropped: close },
          lifetimeMs: 5,
        });
      station.put(udpFrame(pattern(1)));
      station.put(udpFrame(pattern(1)));
      lab.run(50);
      expect(host.open).toBe(false);
      lab.expectWhole();
    }
  });
});

describe("duplicates", () => {
  test("of a link-local address from the Ethernet address: the second has none, and goes on without", () => {
    using lab = new HostLab();
    const [left, right] = lab.link();
    const [a, b] = [lab.host(), lab.host()];
    const same = (): JoinOptions => ({
      identifiers: stable({ secret: new Uint8Array(16), interface: "same" }),
    });
    const first = a.join(left, same());
    lab.run(3000);
    const events = lab.events(b);
    const second = b.join(right, { ...same(), addresses: ["2001:db8::5/64"] });
    lab.run(10_000);
    const of = (one: typeof first) =>
      [...one.addresses.values()]
        .filter(({ address }) => address.linkLocal)
        .map(({ address, state }) => `${address} ${state}`);
    const [kept] = of(first);
    const [fresh] = of(second);
    expect(kept).toEndWith("preferred");
    expect(fresh).toEndWith("preferred");
    expect(fresh).not.toBe(kept);
    const texts = events.map(short);
    expect(texts.some((text) => text.endsWith("duplicated"))).toBe(true);
    expect(texts).toContain("address 2001:db8::5 preferred");
  });

  test("of an address that was given by hand: it is not ours, and nothing is answered for it", () => {
    using lab = new HostLab();
    const [left, right] = lab.link();
    const [a, b] = [lab.host(), lab.host()];
    a.join(left, { addresses: ["2001:db8::2/64", "fe80::5/64"], linkLocal: false });
    lab.run(3000);
    const events = lab.events(b);
    const second = b.join(right, { addresses: ["2001:db8::2/64", "fe80::5/64"], linkLocal: false });
    lab.run(3000);
    expect([...second.addresses.values()].map(({ state }) => state)).toEqual(["duplicated", "duplicated"]);
    expect(events.map(short)).toContain("address 2001:db8::2 duplicated");
    expect(b.routes.all()).toEqual([]);
    const socket = b.udp({}, () => {});
    expect(socket.send({ address: "2001:db8::2", port: 5 }, pattern(1))).toBe(false);
    expect(second.hasAddress(HOST6.w0, HOST6.w1, HOST6.w2, HOST6.w3)).toBe(false);
  });
});

test("events tell what happened, in order, each with its time, and each host its own", () => {
  using lab = new HostLab();
  const [left, right] = lab.link();
  const [a, b] = [lab.host(), lab.host()];
  const events = lab.events(a);
  const others = lab.events(b);
  const times: number[] = [];
  a.on((event) => void times.push(event.atMs));
  const on = a.join(left, { addresses: ["10.0.0.2/24"], linkLocal: false });
  b.join(right, { addresses: ["10.0.0.1/24"], linkLocal: false });
  b.udp(7, (datagram) => void datagram.reply());
  a.udp({}, () => {}).send({ address: STATION4, port: 7 }, pattern(1));
  lab.run(10);
  a.leave(on);
  expect(events.map(short)).toEqual([
    "address 10.0.0.2 added",
    "path left on-link IPv4 up: new",
    "route 10.0.0.0/24 added",
    "address 10.0.0.2 preferred",
    "neighbour 10.0.0.1 incomplete",
    "neighbour 10.0.0.1 stale",
    "neighbour 10.0.0.1 reachable",
    "path left on-link IPv4 down: gone",
    "route 10.0.0.0/24 removed",
    "address 10.0.0.2 removed",
    "neighbour 10.0.0.1 gone",
  ]);
  expect(others.map(short).every((text) => !text.includes("10.0.0.1 reachable"))).toBe(true);
  expect(times).toEqual([...times].sort((x, y) => x - y));
  expect(times).toHaveLength(events.length);
});
