/** Paths under listeners that interfere, interfaces that come back, and hosts that are closed: nothing is left over or out of order. */
import { describe, expect, test } from "bun:test";
import { MAX_TOLD_AT_ONCE } from "../../stack/ip/paths/change-queue.ts";
import type { OwnLife } from "../../stack/ip/own-life.ts";
import { LINK_EVERY_MS } from "../../stack/loop/loop.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { HostLab } from "../support/host-lab.ts";
import { Oracle, SERVICES, told, twoLinks } from "../support/two-links.ts";

const VERIFY_MS = 1000;
const PORT = 7;
const FAR = { address: SERVICES.far, port: PORT };
const HELLO = Uint8Array.of(1, 2, 3);

/** Until a busy loop has asked the devices what happened to their links. */
const settle = (lab: HostLab): void => lab.run(LINK_EVERY_MS);

describe("an interface that comes back", () => {
  test("under its name is as good as new, though its carrier was lost when it left", () => {
    using lab = new HostLab();
    const [before, peer] = lab.link({ names: ["usb0", "far"] });
    const [after] = lab.link({ names: ["usb0", "other"], macs: [mac(9), mac(10)] });
    const host = lab.host();
    const first = host.join(before, { addresses: ["10.1.0.1/24"], gateway: "10.1.0.2" });
    lab.run(0);
    // A card that is pulled loses its carrier first.
    peer.setUp(false);
    settle(lab);
    before.vanish("it was unplugged");
    settle(lab);
    expect(host.interfaces).toEqual([]);
    const again = host.join(after, { addresses: ["10.1.0.1/24"], gateway: "10.1.0.2" });
    expect(again.index).toBe(first.index);
    expect(host.routes.lookup(...words("10.9.0.2"))?.gateway?.toString()).toBe("10.1.0.2");
    expect(host.paths.find({ gateway: "10.1.0.2" })).toMatchObject({ state: "up", name: "usb0" });
    expect(host.udp({}, () => {}).send(FAR, HELLO)).toBe(true);
  });

  test("is no longer down for a route that waited for it", () => {
    using lab = new HostLab();
    const [before] = lab.link({ names: ["eth9", "far"] });
    const [after] = lab.link({ names: ["eth9", "far"] });
    const host = lab.host();
    const { index } = host.join(before, { addresses: ["10.1.0.1/24"] });
    host.leave(host.interfaces[0]!);
    const gateway = IpAddress.parse("10.1.0.2");
    host.addRoute({
      prefix: Prefix.parse("0.0.0.0/0"),
      gateway,
      interface: index,
      metric: 1,
      kind: "unicast",
    });
    expect(host.paths.find({ gateway })).toMatchObject({ state: "down", reason: "gone" });
    host.join(after, { addresses: ["10.1.0.1/24"] });
    expect(host.paths.find({ gateway })).toMatchObject({ state: "verifying", name: "eth9" });
    lab.run(VERIFY_MS);
    expect(host.paths.find({ gateway })?.state).toBe("up");
  });

  test("without a carrier is down from the start, and tried out when it has one", () => {
    using lab = new HostLab();
    const [device, peer] = lab.link({ names: ["eth0", "far"] });
    peer.setUp(false);
    // Told to somebody who was here before.
    expect(device.takeLinkEvent()).toEqual({ kind: "down" });
    const host = lab.host();
    const on = host.join(device, { addresses: ["10.1.0.1/24"], gateway: "10.1.0.2" });
    const path = host.paths.find({ gateway: "10.1.0.2" })!;
    expect(on.link.up).toBe(false);
    expect(path).toMatchObject({ state: "down", reason: "link" });
    using socket = host.udp({}, () => {});
    expect(socket.send(FAR, HELLO)).toBe(false);
    peer.setUp(true);
    settle(lab);
    expect(path).toMatchObject({ state: "verifying", reason: "link" });
    expect(socket.send(FAR, HELLO)).toBe(true);
  });

  test("leaves nothing behind, a thousand times", () => {
    using lab = new HostLab();
    const host = lab.host({ services: ["10.9.9.9"] });
    const oracle = new Oracle("bfd");
    const watch = host.paths.watch({ gateway: "10.1.0.2" }, oracle);
    using peer = host.paths.peer("10.1.0.3");
    const [device] = lab.link({ names: ["eth0", "far"] });
    for (let i = 0; i < 1000; i++) {
      const on = host.join(device, { addresses: ["10.1.0.1/24"], gateway: "10.1.0.2", dad: false });
      expect(watch.path?.interface).toBe(on.index);
      expect(peer.paths).toHaveLength(1);
      oracle.say("up");
      host.leave(on);
      expect(watch.path).toBeUndefined();
    }
    expect(oracle).toMatchObject({ starts: 1000, closes: 1000 });
    expect([...host.paths.values()]).toEqual([]);
    expect(host.statistics()).toMatchObject({
      routes: { routes: 1, nextHops: 0 },
      services: { services: 1, refused: 0 },
    });
    lab.run(60_000);
    // Nobody is left who wants to be woken.
    expect(lab.loop.nextTimerMs).toBe(Infinity);
  });
});

describe("what was known of a path", () => {
  test("that lost its carrier is asked for again: the next hop may have another Ethernet address", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    using socket = near.host.udp({ address: SERVICES.near }, () => {});
    let came = 0;
    far.host.udp(PORT, () => void (came += 1));
    socket.send(FAR, HELLO);
    lab.run(0);
    expect([came, near.paths[0].neighbour?.state]).toEqual([1, "reachable"]);
    // Both in one look of the loop's, as a cable that moves to another box.
    near.devices[0].setUp(false);
    near.devices[0].setUp(true);
    settle(lab);
    expect(near.paths[0].neighbour).toBeUndefined();
    far.devices[0].setMac(mac(0x77));
    settle(lab);
    near.host.paths.set(near.paths[0], "up");
    socket.send(FAR, HELLO);
    lab.run(0);
    expect(came).toBe(2);
    expect(near.paths[0].neighbour).toMatchObject({
      state: "reachable",
      mac: MacAddress.fromBytes(mac(0x77)),
    });
  });

  test("that died, of what it carries, is forgotten; of one that lives it is not", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const { host } = near;
    const carries = (text: string): number => host.pathMtu.of(...words(text));
    const events = lab.events(host);
    host.pathMtu.lower(IpAddress.parse(SERVICES.far), 1300);
    host.pathMtu.lower(IpAddress.parse("10.2.0.2"), 1400);
    host.paths.set(near.paths[0], "down");
    expect([carries(SERVICES.far), carries("10.2.0.2")]).toEqual([0, 1400]);
    expect(events).toContainEqual(expect.objectContaining({ kind: "path-mtu", mtu: 0 }));
    // What the backup carries is its own.
    host.pathMtu.lower(IpAddress.parse(SERVICES.far), 1200);
    host.paths.set(near.paths[0], "up");
    host.paths.set(near.paths[0], "down");
    expect(carries(SERVICES.far)).toBe(1200);
    near.devices[1].setUp(false);
    settle(lab);
    expect([carries(SERVICES.far), carries("10.2.0.2")]).toEqual([0, 0]);
  });

  test("over a router whose reachability changes stays: it is one path, whatever the metric of its route", () => {
    using lab = new HostLab();
    const { host, on } = lab.wire({ addresses: ["10.1.0.1/24"] });
    const route = (metric: number) => ({
      prefix: Prefix.parse("0.0.0.0/0"),
      gateway: IpAddress.parse("10.1.0.2"),
      interface: on.index,
      metric,
      kind: "unicast" as const,
    });
    host.addRoute(route(1));
    const path = host.paths.find({ gateway: "10.1.0.2" });
    host.addRoute(route(2));
    host.routes.remove({ ...route(1), origin: "manual" });
    expect(host.paths.find({ gateway: "10.1.0.2" })).toBe(path);
  });

  test.each([
    ["another router", "10.1.0.2", "10.8.0.1", "10.1.0.3"],
    ["the destination itself", "fe80::2", "2001:db8:8::1", "2001:db8:8::1"],
  ])("that a router sent us to, %s, ends where nobody answers there", (_, router, to, next) => {
    using lab = new HostLab();
    const { host, on } = lab.wire({
      addresses: ["10.1.0.1/24", "2001:db8::1/64"],
      gateway: [router],
      dad: false,
    });
    const [from, destination, target] = [router, to, next].map((text) => IpAddress.parse(text)) as [
      IpAddress,
      IpAddress,
      IpAddress,
    ];
    const life = on.protocols as unknown as OwnLife;
    expect(life.redirected({ from, destination, target })).toBe(true);
    const redirects = (): number => host.routes.all().filter(({ origin }) => origin === "redirect").length;
    using socket = host.udp({}, () => {});
    expect(socket.send({ address: destination, port: 9 }, HELLO)).toBe(true);
    expect(redirects()).toBe(1);
    lab.run(10_000);
    expect(redirects()).toBe(0);
    expect(host.routes.lookup(...words(to))?.gateway).toEqual(from);
  });
});

describe("a listener that interferes", () => {
  test("is heard by nobody out of order", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const { paths } = near.host;
    const [first] = near.paths;
    // The one before the recorder's gives the path back as soon as it hears of its end.
    const heard: string[] = [];
    near.host.on((event) => {
      if (event.kind === "path" && event.state === "down" && event.reason === "administrative")
        paths.set(first, "up");
    });
    near.host.on((event) => {
      if (event.kind === "path") heard.push(told(event));
    });
    paths.set(first, "down");
    expect(heard).toEqual(["eth0 via 10.1.0.2 down: administrative", "eth0 via 10.1.0.2 up: administrative"]);
    expect(first.state).toBe("up");
  });

  test("hears the changes of one cause before those that it made of the first", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const last = new Map<string, string>();
    near.host.on((event) => {
      if (event.kind !== "path") return;
      last.set(event.path.toString(), event.state);
      // The route of the second goes because the first died.
      const other = near.paths[0];
      if (other.live && event.path !== other)
        near.host.routes.remove({ prefix: Prefix.parse(`${SERVICES.far}/32`), interface: other.interface });
    });
    near.devices[0].setUp(false);
    settle(lab);
    expect(near.paths[0]).toMatchObject({ live: false, state: "down" });
    expect(last.get("eth0 via 10.1.0.2")).toBe("down");
    expect(near.paths[0].statistics().downs).toBe(1);
  });

  test("that hears of a packet given up before anybody hears why, and gives the path back, is told in order too", () => {
    using lab = new HostLab();
    const { host } = lab.wire({ addresses: ["10.1.0.1/24"], gateway: "10.1.0.2" });
    const path = host.paths.find({ gateway: "10.1.0.2" })!;
    const heard: string[] = [];
    host.on((event) => {
      if (event.kind === "path") heard.push(`${event.state} ${event.givenUp}`);
    });
    const dropped = (): void => host.paths.set(path, "up");
    host.udp({}, () => {}).send(FAR, HELLO, { notice: { sent: () => {}, dropped } });
    host.paths.set(path, "down");
    expect(heard).toEqual(["down 1", "up 0"]);
    expect(path).toMatchObject({ state: "up" });
    expect(path.statistics()).toMatchObject({ downs: 1, givenUp: 1 });
  });

  test("that never ends to change its mind gives the loop its turns", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const { paths } = near.host;
    const [first] = near.paths;
    let changes = 0;
    const off = near.host.on((event) => {
      if (event.kind !== "path") return;
      changes += 1;
      paths.set(first, event.state === "up" ? "down" : "up");
    });
    paths.set(first, "down");
    expect(changes).toBe(MAX_TOLD_AT_ONCE);
    lab.loop.turn(lab.clock.nowMs());
    expect(changes).toBe(2 * MAX_TOLD_AT_ONCE);
    off.close();
    lab.run(0);
    expect(changes).toBe(2 * MAX_TOLD_AT_ONCE);
  });

  test("takes a route back as soon as it comes: no monitor is left with a path that is not there", () => {
    using lab = new HostLab();
    const { host, on } = lab.wire({ addresses: ["10.1.0.1/24"] });
    const oracles = [new Oracle("bfd"), new Oracle("health")];
    const watches = oracles.map((oracle) => host.paths.watch({ gateway: "10.1.0.2" }, oracle));
    const route = {
      prefix: Prefix.parse("0.0.0.0/0"),
      gateway: IpAddress.parse("10.1.0.2"),
      interface: on.index,
      metric: 1,
      kind: "unicast",
    } as const;
    const off = host.paths.listen(({ path, previous }) => {
      if (previous === undefined && path.gateway !== undefined) host.routes.remove(route);
    });
    host.addRoute(route);
    expect(watches.map(({ path }) => path)).toEqual([undefined, undefined]);
    off.close();
    // The same from within a monitor's start, for the one after it.
    const [rude] = oracles as [Oracle];
    const start = rude.start.bind(rude);
    rude.start = (path, changed) => {
      start(path, changed);
      host.routes.remove(route);
    };
    host.addRoute(route);
    expect(watches.map(({ path }) => path)).toEqual([undefined, undefined]);
    rude.start = start;
    host.addRoute(route);
    expect(watches.map(({ path }) => path?.live)).toEqual([true, true]);
  });

  test("closes a watch at the end of its path: the time that it was down is counted once", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [first] = near.paths;
    const oracle = new Oracle("bfd");
    const watch = near.host.paths.watch(first, oracle);
    oracle.say("down");
    lab.run(500);
    oracle.close = () => watch.close();
    near.host.routes.remove({ prefix: Prefix.parse(`${SERVICES.far}/32`), interface: first.interface });
    lab.run(500);
    expect(first.statistics().downMs).toBe(500);
  });

  test("leaves when the link comes up: nobody solicits or asks for a lease on what has left", () => {
    using lab = new HostLab();
    const { host, on, device, station } = lab.wire({ slaac: true, dhcp: true });
    station.device.setUp(false);
    settle(lab);
    host.on((event) => {
      if (event.kind === "link" && event.change.kind === "up") host.leave(on);
    });
    station.device.setUp(true);
    settle(lab);
    expect(host.interfaces).toEqual([]);
    station.take();
    lab.run(60_000);
    expect(station.take()).toEqual([]);
    expect(device.open).toBe(true);
    expect(lab.loop.nextTimerMs).toBe(Infinity);
  });

  test("puts another interface in the place of the one whose carrier went: nothing of that is said of it", () => {
    using lab = new HostLab();
    const [before, peer] = lab.link({ names: ["eth0", "far"] });
    const [after] = lab.link({ names: ["eth0", "far"], macs: [mac(9), mac(10)] });
    const host = lab.host();
    const options = { addresses: ["10.1.0.1/24"], gateway: "10.1.0.2" };
    const on = host.join(before, options);
    lab.run(0);
    const off = host.on((event) => {
      if (event.kind !== "link") return;
      off.close();
      host.leave(on);
      host.join(after, options);
    });
    peer.setUp(false);
    settle(lab);
    expect(host.interfaces.map(({ link }) => link.device)).toEqual([after]);
    expect(host.paths.find({ gateway: "10.1.0.2" })).toMatchObject({ state: "up", name: "eth0" });
  });

  test("takes out the other interface of a device: it hears nothing of what became of that", () => {
    using lab = new HostLab();
    const [device, peer] = lab.link({ names: ["eth0", "far"] });
    const host = lab.host();
    const both = [1, 2].map((vlan) => host.join(device, { vlan, addresses: [`10.${vlan}.0.1/24`] }));
    lab.run(0);
    const heard: string[] = [];
    host.on((event) => {
      if (event.kind !== "link") return;
      heard.push(event.name);
      for (const on of both) if (on.name !== event.name) host.leave(on);
    });
    peer.setUp(false);
    settle(lab);
    expect(heard).toEqual(["eth0.1"]);
    expect(host.interfaces).toEqual([both[0]!]);
  });

  test("closes the host in the midst of it", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    near.host.paths.listen(() => near.host.close());
    near.devices[0].setUp(false);
    settle(lab);
    expect(near.host.open).toBe(false);
    expect(near.paths.map(({ live }) => live)).toEqual([false, false]);
  });
});

describe("a monitor", () => {
  test("that can't begin is none of the path, and tries the next one", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const oracle = new Oracle("bfd");
    const start = oracle.start.bind(oracle);
    oracle.start = () => {
      throw new RangeError("no room");
    };
    const watch = near.host.paths.watch({ gateway: "10.1.0.9" }, oracle);
    const route = {
      prefix: Prefix.parse("10.8.0.0/16"),
      gateway: IpAddress.parse("10.1.0.9"),
      interface: near.interfaces[0].index,
      metric: 1,
      kind: "unicast",
    } as const;
    near.host.addRoute(route);
    const path = near.host.paths.find({ gateway: "10.1.0.9" })!;
    expect(watch.path).toBeUndefined();
    expect(path.monitors).toEqual([]);
    lab.run(0);
    expect(lab.errors.splice(0).map(String)).toEqual(["RangeError: no room"]);
    oracle.start = start;
    near.host.routes.remove(route);
    near.host.addRoute(route);
    expect(watch.path?.live).toBe(true);
  });

  test("gets no path of a host that is closed, and nobody else anything either", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const { host } = near;
    const [path] = near.paths;
    host.close();
    expect(() => host.paths.watch(path, new Oracle())).toThrow("closed");
    expect(() => host.paths.peer("10.1.0.9")).toThrow("closed");
    expect(() => host.paths.set(path, "up")).toThrow("no path of this host");
    expect(() => host.paths.listen(() => {})).toThrow("closed");
    expect([...host.paths.values()]).toEqual([]);
  });
});

const mac = (last: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, last);

const words = (text: string): [number, number, number, number] => {
  const { w0, w1, w2, w3 } = IpAddress.parse(text);
  return [w0, w1, w2, w3];
};
