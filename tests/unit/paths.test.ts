/** Paths of a host over two links: each way to die with its reason, the trial before the return, and what follows for traffic. */
import { describe, expect, test } from "bun:test";
import type { LinkEvent } from "../../stack/device/device.ts";
import { LINK_EVERY_MS } from "../../stack/loop/loop.ts";
import { REFUSED } from "../../stack/transport/network.ts";
import type { UdpSocket } from "../../stack/udp/socket.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { HostLab } from "../support/host-lab.ts";
import { type End, Oracle, SERVICES, told, twoLinks } from "../support/two-links.ts";

const VERIFY_MS = 1000;
const PORT = 7;
const FAR = { address: SERVICES.far, port: PORT };
const HELLO = Uint8Array.of(1, 2, 3);

/** Until a busy loop has asked the devices what happened to their links. */
const settle = (lab: HostLab): void => lab.run(LINK_EVERY_MS);

/** Datagrams that arrive at the far end, by the name of the interface that they came in on. */
const listen = (far: End): string[] => {
  const came: string[] = [];
  far.host.udp(PORT, (datagram) => void came.push(datagram.interface.name));
  return came;
};

const open = (end: End): UdpSocket => end.host.udp({ address: SERVICES.near }, () => {});

/** Sends one, and says where it arrived: undefined where it didn't. */
const sender = (lab: HostLab, near: End, came: string[]): (() => string | undefined) => {
  const socket = open(near);
  return () => {
    came.length = 0;
    socket.send(FAR, HELLO);
    lab.run(0);
    return came[0];
  };
};

describe("the paths of a host", () => {
  test("are those of its routes, each once, and up from the start", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const all = [...near.host.paths.values()];
    expect(all.map(String)).toEqual([
      "eth0 on-link IPv4",
      "eth1 on-link IPv4",
      "eth0 via 10.1.0.2",
      "eth1 via 10.2.0.2",
    ]);
    expect(all.map(({ state, reason, live }) => [state, reason, live])).toEqual(
      all.map(() => ["up", "new", true]),
    );
    expect(new Set(all.map(({ id }) => id)).size).toBe(4);
    const [first] = near.interfaces;
    const { paths } = near.host;
    expect(paths.find({ interface: "eth1", gateway: null })).toBe(all[1]);
    expect(paths.find({ interface: first.index, family: 4 })).toBe(all[0]);
    expect(paths.find({ gateway: IpAddress.parse("10.2.0.2") })).toBe(all[3]);
    expect(paths.find({ gateway: "10.3.0.2" })).toBeUndefined();
    expect(paths.find({ family: 6 })).toBeUndefined();
    expect(paths.standing(first.index)).toBe("up");
    // The loopback has none, and neither has a number that nobody has.
    expect(paths.usable(999)).toBe(false);
  });

  test("count what a route led over them", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const send = sender(lab, near, listen(far));
    expect([send(), send(), send()]).toEqual(["eth0", "eth0", "eth0"]);
    expect(near.paths.map((path) => path.statistics().sent)).toEqual([3, 0]);
    near.devices[0].setUp(false);
    settle(lab);
    expect(send()).toBe("eth1");
    expect(near.paths.map((path) => path.statistics().sent)).toEqual([3, 1]);
  });

  test("show what is known of the next hop", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const [path] = near.paths;
    const onLink = near.host.paths.find({ interface: "eth0", gateway: null });
    expect([path.neighbour, onLink?.neighbour]).toEqual([undefined, undefined]);
    sender(lab, near, listen(far))();
    const mac = MacAddress.fromBytes(far.devices[0].mac);
    expect(path.neighbour).toEqual({ state: "reachable", mac });
    expect(onLink?.neighbour).toBeUndefined();
    near.devices[0].setUp(false);
    settle(lab);
    near.host.leave(near.interfaces[0]);
    expect(path.neighbour).toBeUndefined();
  });

  test("that were dead have their neighbours asked again: whoever moved meanwhile was not heard", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const [path] = near.paths;
    const { paths } = near.host;
    const send = sender(lab, near, listen(far));
    send();
    expect(path.neighbour?.state).toBe("reachable");
    paths.set(path, "down");
    expect(path.neighbour?.state).toBe("reachable");
    paths.set(path, "up");
    expect(path.neighbour?.state).toBe("stale");
    // It is believed until it has had its chance to answer (RFC 4861 section 7.3.3).
    expect(send()).toBe("eth0");
    expect(path.neighbour?.state).toBe("delay");
    lab.run(10_000);
    expect(path.neighbour?.state).toBe("reachable");
  });

  test("have names in questions, and no others", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const { paths } = near.host;
    expect(() => paths.find({ device: "eth0" } as object)).toThrow('no "device"');
    expect(() => paths.find({ gateway: "ten" })).toThrow("ten");
    expect(() => paths.set(near.paths[0], "dead" as "down")).toThrow("dead");
    expect(() => lab.host({ paths: { verifyMs: -1 } })).toThrow("verifyMs");
    expect(() => lab.host({ paths: { verify: 1 } as object })).toThrow('"verify"');
    expect(() => lab.host({ paths: { damping: { reuse: 0 } } })).toThrow("damping.reuse");
    expect(() => lab.host({ paths: { damping: { reuse: 5000 } } })).toThrow("not be above suppress");
    expect(() => lab.host({ paths: { damping: { maximum: 1 } } })).toThrow("not be below suppress");
    expect(() => lab.host({ paths: { damping: { half: 1 } as object } })).toThrow('"half"');
    const oracle = new Oracle();
    paths.watch(near.paths[0], oracle);
    expect(() => paths.watch(near.paths[1], oracle)).toThrow("already");
    expect(() => paths.peer("224.0.0.1")).toThrow("no station");
  });
});

describe("a carrier", () => {
  test("that is lost moves traffic at once, and its return is tried out first", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const send = sender(lab, near, listen(far));
    expect(send()).toBe("eth0");
    near.devices[0].setUp(false);
    settle(lab);
    expect(near.events.map(told)).toEqual(["eth0 on-link IPv4 down: link", "eth0 via 10.1.0.2 down: link"]);
    const atMs = near.paths[0].changedMs;
    expect(near.events).toMatchObject([
      { atMs, previous: "up", silentMs: 0 },
      { atMs, previous: "up", silentMs: 0 },
    ]);
    expect(near.host.paths.usable(near.interfaces[0].index)).toBe(false);
    expect(send()).toBe("eth1");
    near.events.length = 0;
    near.devices[0].setUp(true);
    settle(lab);
    lab.run(VERIFY_MS - 1 - (lab.loop.now - near.paths[0].changedMs));
    expect(near.events.map(told)).toEqual([
      "eth0 on-link IPv4 verifying: link",
      "eth0 via 10.1.0.2 verifying: link",
    ]);
    expect(near.host.paths.standing(near.interfaces[0].index)).toBe("verifying");
    expect(send()).toBe("eth1");
    near.events.length = 0;
    lab.run(1);
    expect(near.events.map(told)).toEqual([
      "eth0 on-link IPv4 up: verified",
      "eth0 via 10.1.0.2 up: verified",
    ]);
    expect(near.paths[0].changedMs).toBe(lab.loop.now);
    expect(near.paths[0].statistics()).toMatchObject({
      downs: 1,
      downMs: near.events[0]!.atMs - VERIFY_MS - atMs,
    });
    expect(send()).toBe("eth0");
  });

  test("that bounced before the device joined is history", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab, { near: { paths: { damping: false } } });
    const device = near.devices[0];
    near.host.leave(near.interfaces[0]);
    for (const up of [false, true, false, true]) device.setUp(up);
    near.events.length = 0;
    const index = near.host.join(device, { addresses: ["10.1.0.1/24"], dad: false, linkLocal: false }).index;
    lab.run(100);
    expect(near.events.map(told)).toEqual(["eth0 on-link IPv4 up: new"]);
    const path = near.host.paths.find({ interface: index });
    expect(path?.statistics().downs).toBe(0);
    near.host.leave(near.host.interfaces.find((one) => one.index === index)!);
    device.setUp(false);
    near.host.join(device, { addresses: ["10.1.0.1/24"], dad: false, linkLocal: false });
    expect(near.host.paths.find({ interface: index })?.state).toBe("down");
    device.setUp(true);
    settle(lab);
    expect(near.host.paths.find({ interface: index })?.state).toBe("verifying");
  });

  test("that bounces begins its trial anew each time", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab, { near: { paths: { damping: false } } });
    const [path] = near.paths;
    for (let i = 0; i < 5; i++) {
      near.devices[0].setUp(false);
      settle(lab);
      lab.run(10 - LINK_EVERY_MS);
      expect(path.state).toBe("down");
      near.devices[0].setUp(true);
      settle(lab);
      lab.run(VERIFY_MS - 1 - (lab.loop.now - path.changedMs));
      expect(path.state).toBe("verifying");
    }
    lab.run(1);
    expect(path.state).toBe("up");
    const { downs, damped, downMs } = path.statistics();
    expect([downs, damped]).toEqual([5, 0]);
    expect(Math.abs(downMs - 50)).toBeLessThanOrEqual(5 * LINK_EVERY_MS);
  });

  test("that is lost on both leaves no way; whichever lives first is used on trial", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const came = listen(far);
    const send = sender(lab, near, came);
    send();
    for (const device of near.devices) device.setUp(false);
    settle(lab);
    expect(send()).toBeUndefined();
    const way = near.host.network.destination(IpAddress.parse(SERVICES.far));
    expect(way.prepare()).toBe(REFUSED.noRoute);
    near.devices[1].setUp(true);
    settle(lab);
    expect(near.paths.map(({ state }) => state)).toEqual(["down", "verifying"]);
    expect(send()).toBe("eth1");
    lab.run(VERIFY_MS);
    // A better one on trial is no reason to leave one that is up.
    near.devices[0].setUp(true);
    settle(lab);
    expect(near.paths.map(({ state }) => state)).toEqual(["verifying", "up"]);
    expect(send()).toBe("eth1");
  });
});

describe("a device", () => {
  /** Has a device say what a driver would. */
  const says = (end: End, link: 0 | 1): ((event: LinkEvent) => void) => {
    const device = end.devices[link];
    const events: LinkEvent[] = [];
    const own = device.takeLinkEvent.bind(device);
    device.takeLinkEvent = () => events.shift() ?? own();
    return (event) => void events.push(event);
  };

  test("that completes nothing is left until it recovers", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const send = sender(lab, near, listen(far));
    const say = says(near, 0);
    const { turns } = lab.loop.statistics();
    say({ kind: "stalled", queue: 0, reason: "1000 wakeups moved nothing" });
    say({ kind: "stalled", queue: 0, reason: "2000 wakeups moved nothing" });
    settle(lab);
    expect(near.events.map(told)).toContain("eth0 via 10.1.0.2 down: stalled");
    expect(send()).toBe("eth1");
    // Nothing else happens here; the driver is asked in turns nevertheless.
    lab.run(1000);
    expect(lab.loop.statistics().turns - turns).toBeGreaterThan(90);
    say({ kind: "recovered", queue: 0 });
    lab.run(VERIFY_MS);
    expect(near.paths[0].state).toBe("verifying");
    lab.run(10);
    expect(near.paths[0].state).toBe("up");
    expect(near.paths[0].statistics().downs).toBe(1);
    expect(lab.loop.nextTimerMs - lab.loop.now).toBeGreaterThan(100);
  });

  test("that completes nothing for want of a carrier is not asked for again and again", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    lab.run(10_000);
    says(near, 0)({ kind: "stalled", queue: 0, reason: "ENETDOWN" });
    near.devices[0].setUp(false);
    settle(lab);
    expect(near.paths[0]).toMatchObject({ state: "down", reason: "link" });
    const { turns } = lab.loop.statistics();
    lab.run(1000);
    expect(lab.loop.statistics().turns - turns).toBeLessThan(20);
  });

  test("that completes nothing is as new when its link comes up anew", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const say = says(near, 0);
    say({ kind: "stalled", queue: 0, reason: "sendto: ENETDOWN" });
    say({ kind: "stalled", queue: 3, reason: "sendto: ENETDOWN" });
    say({ kind: "recovered", queue: 0 });
    settle(lab);
    expect(near.paths[0]).toMatchObject({ state: "down", reason: "stalled" });
    say({ kind: "down" });
    settle(lab);
    expect(near.paths[0]).toMatchObject({ state: "down", reason: "link" });
    say({ kind: "up" });
    settle(lab);
    expect(near.paths[0]).toMatchObject({ state: "verifying", reason: "link" });
  });

  test("that is gone takes its paths along", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const send = sender(lab, near, listen(far));
    const [path] = near.paths;
    near.devices[0].vanish("pulled out");
    settle(lab);
    expect(near.events.map(told)).toEqual(["eth0 on-link IPv4 down: gone", "eth0 via 10.1.0.2 down: gone"]);
    expect([path.live, path.state]).toEqual([false, "down"]);
    expect([...near.host.paths.values()].map(({ name }) => name)).toEqual(["eth1", "eth1"]);
    expect(send()).toBe("eth1");
    expect(() => near.host.paths.set(path, "up")).toThrow("no path of this host");
  });

  test("had frames that nobody knows of when its path died", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const came = listen(far);
    const send = sender(lab, near, came);
    send();
    came.length = 0;
    const socket = open(near);
    for (let i = 0; i < 5; i++) socket.send(FAR, HELLO);
    // Between the sending and the flush of the turn.
    near.host.paths.set(near.paths[0], "down");
    expect(near.events.map(told)).toEqual(["eth0 via 10.1.0.2 down: administrative"]);
    expect(near.events[0]).toMatchObject({ stranded: 5, givenUp: 0 });
    expect(near.paths[0].statistics()).toMatchObject({ sent: 6, stranded: 5 });
    for (let i = 0; i < 2; i++) socket.send(FAR, HELLO);
    lab.run(0);
    // Not one of them twice.
    expect(came).toEqual(["eth0", "eth0", "eth0", "eth0", "eth0", "eth1", "eth1"]);
  });
});

describe("a monitor", () => {
  for (const kind of ["neighbour", "bfd", "route", "health", "oracle"]) {
    test(`of the kind "${kind}" takes its path out, and lets it back after a trial`, () => {
      using lab = new HostLab();
      const { near, far } = twoLinks(lab);
      const send = sender(lab, near, listen(far));
      const oracle = new Oracle(kind);
      using watch = near.host.paths.watch({ interface: "eth0", gateway: "10.1.0.2" }, oracle);
      expect(watch).toMatchObject({ active: true, path: near.paths[0], monitor: oracle });
      // Somebody who knows nothing yet speaks against nothing.
      expect([near.paths[0].state, send()]).toEqual(["up", "eth0"]);
      const reason = kind === "oracle" ? "health" : kind;
      oracle.say("down", 31.5);
      expect(near.events.map(told)).toEqual([`eth0 via 10.1.0.2 down: ${reason}`]);
      expect(near.events[0]).toMatchObject({ silentMs: 31.5, previous: "up", state: "down" });
      expect(send()).toBe("eth1");
      // What is on the same link without that next hop is another path.
      expect(near.host.paths.find({ interface: "eth0", gateway: null })!.state).toBe("up");
      expect(near.host.paths.usable(near.interfaces[0].index)).toBe(false);
      oracle.say("unknown");
      expect(near.paths[0].state).toBe("verifying");
      lab.run(10 * VERIFY_MS);
      expect([near.paths[0].state, send()]).toEqual(["verifying", "eth1"]);
      oracle.say("up");
      lab.run(VERIFY_MS - 1);
      expect(near.paths[0].state).toBe("verifying");
      lab.run(1);
      expect([near.paths[0].state, near.paths[0].reason, send()]).toEqual(["up", "verified", "eth0"]);
    });
  }

  test("is one of several that all have to agree", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [path] = near.paths;
    const oracles = [new Oracle("bfd", "up"), new Oracle("neighbour", "up"), new Oracle("health", "up")];
    const watches = oracles.map((oracle) => near.host.paths.watch(path, oracle));
    const [bfd, neighbour, health] = oracles as [Oracle, Oracle, Oracle];
    expect(path.monitors).toEqual(oracles);
    neighbour.say("down");
    bfd.say("down");
    expect(path).toMatchObject({ state: "down", reason: "bfd" });
    bfd.say("up");
    expect(path).toMatchObject({ state: "down", reason: "neighbour" });
    neighbour.say("up");
    expect(path.state).toBe("verifying");
    health.say("down");
    expect(path).toMatchObject({ state: "down", reason: "health" });
    // Whoever goes takes his word back.
    watches[2]!.close();
    watches[2]!.close();
    expect([health.closes, path.state]).toEqual([1, "verifying"]);
    lab.run(VERIFY_MS);
    expect(path.state).toBe("up");
    health.say("down");
    expect(path.state).toBe("up");
    neighbour.rttMs = 0.25;
    expect(path.rttMs).toBe(0.25);
    expect(near.events.map(told)).toEqual([
      "eth0 via 10.1.0.2 down: neighbour",
      "eth0 via 10.1.0.2 verifying: neighbour",
      "eth0 via 10.1.0.2 down: health",
      "eth0 via 10.1.0.2 verifying: health",
      "eth0 via 10.1.0.2 up: verified",
    ]);
  });

  test("that comes with an opinion is heard at once", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    near.host.paths.watch(near.paths[0], new Oracle("bfd", "down"));
    expect(near.paths[0].state).toBe("down");
  });

  test("waits for a path that is not there, and goes on with the one that comes after", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [path] = near.paths;
    const oracle = new Oracle();
    const later = new Oracle();
    using watch = near.host.paths.watch(path, oracle);
    using waiting = near.host.paths.watch({ gateway: "10.1.0.77" }, later);
    expect([waiting.path, later.starts]).toEqual([undefined, 0]);
    const [route] = near.host.routes.all().filter(({ gateway }) => gateway?.equals(path.gateway!));
    near.host.routes.remove(route!);
    expect(near.events.map(told)).toEqual(["eth0 via 10.1.0.2 down: route"]);
    expect([oracle.closes, watch.path, watch.active, path.live]).toEqual([1, undefined, true, false]);
    near.host.addRoute({ ...route!, gateway: IpAddress.parse("10.1.0.77") });
    expect(later.path).toBe(waiting.path!);
    near.host.addRoute(route!);
    expect(oracle.starts).toBe(2);
    expect(watch.path).not.toBe(path);
    expect(near.events.map(told).slice(1)).toEqual([
      "eth0 via 10.1.0.77 up: new",
      "eth0 via 10.1.0.2 up: new",
    ]);
    expect(near.events[1]!.previous).toBeUndefined();
    // A path lives as long as any route leads over it.
    near.host.addRoute({ ...route!, metric: 99 });
    near.host.routes.remove({ ...route!, metric: 99 });
    expect(watch.path!.live).toBe(true);
  });

  test("ends with its host, and is not heard any more", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const oracle = new Oracle();
    const watch = near.host.paths.watch(near.paths[0], oracle);
    near.host.close();
    expect([oracle.closes, watch.active]).toEqual([1, false]);
    near.events.length = 0;
    oracle.say("down");
    lab.run(VERIFY_MS);
    expect(near.events).toEqual([]);
  });
});

describe("the program", () => {
  test("takes a path out and gives it back, without a trial", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const send = sender(lab, near, listen(far));
    const [path] = near.paths;
    near.host.paths.set(path, "down");
    expect([path.state, path.reason, send()]).toEqual(["down", "administrative", "eth1"]);
    expect(near.host.paths.standing(near.interfaces[0].index)).toBe("down");
    near.host.paths.set(path, "up");
    expect([path.state, path.reason, send()]).toEqual(["up", "administrative", "eth0"]);
    near.devices[0].setUp(false);
    settle(lab);
    near.host.paths.set(path, "up");
    expect([path.state, path.reason]).toEqual(["down", "link"]);
    near.devices[0].setUp(true);
    settle(lab);
    expect(path.state).toBe("verifying");
    near.host.paths.set(path, "up");
    expect([path.state, send()]).toEqual(["up", "eth0"]);
  });

  test("sends over a path that is down where it says so, for that is how one finds out", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const came = listen(far);
    const socket = open(near);
    const over = near.paths.map((via) => socket.to(SERVICES.far, PORT, { via }));
    near.host.paths.set(near.paths[0], "down");
    for (const to of over) expect(socket.send(to, HELLO)).toBe(true);
    lab.run(0);
    expect(came.sort()).toEqual(["eth0", "eth1"]);
    expect(near.paths.map((path) => path.statistics().sent)).toEqual([1, 1]);
    near.devices[0].setUp(false);
    settle(lab);
    expect(over.map(({ destination }) => destination.prepare())).toEqual([REFUSED.down, 0]);
  });

  test("may throw at the news, which keeps nothing else from being done", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const send = sender(lab, near, listen(far));
    const listening = near.host.paths.listen(() => {
      throw new Error("at the news");
    });
    const oracle = new Oracle();
    near.host.paths.watch(near.paths[0], oracle);
    oracle.close = () => {
      throw new Error("at its end");
    };
    const [route] = near.host.routes.all().filter(({ gateway }) => gateway?.equals(near.paths[0].gateway!));
    near.host.routes.remove(route!);
    near.host.addRoute(route!);
    listening.close();
    expect([oracle.starts, send()]).toEqual([2, "eth0"]);
    expect(lab.errors.splice(0).map(String).sort()).toEqual([
      "Error: at its end",
      "Error: at the news",
      "Error: at the news",
    ]);
    const bad = new Oracle();
    bad.start = () => {
      throw new Error("at the start");
    };
    expect(() => near.host.paths.watch(near.paths[1], bad)).toThrow("at the start");
    expect(near.paths[1].monitors).toEqual([]);
    // It may try again.
    expect(() => near.host.paths.watch(near.paths[1], bad)).toThrow("at the start");
    delete (oracle as { close?: () => void }).close;
  });

  test("hears of each change once, when all of them are made", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const seen: string[][] = [];
    const states = (): string[] => [...near.host.paths.values()].map(({ state }) => state);
    const subscription = near.host.paths.listen(() => void seen.push(states()));
    near.devices[0].setUp(false);
    settle(lab);
    expect(seen).toEqual([
      ["down", "up", "down", "up"],
      ["down", "up", "down", "up"],
    ]);
    subscription.close();
    near.devices[0].setUp(true);
    settle(lab);
    expect(seen).toHaveLength(2);
  });
});
