/** Monitors of paths in virtual time: next hops asked by ARP and NDP, echoes, checks of a program, routes that stand behind. */
import { describe, expect, test } from "bun:test";
import { below, seededRandom } from "../../stack/device/random.ts";
import { EchoMonitor } from "../../stack/ip/paths/echo-monitor.ts";
import { type HealthAnswer, HealthMonitor } from "../../stack/ip/paths/health-monitor.ts";
import { NeighbourMonitor } from "../../stack/ip/paths/neighbour-monitor.ts";
import type { PathMonitor } from "../../stack/ip/paths/monitor.ts";
import type { Verdict } from "../../stack/ip/paths/path.ts";
import { MAX_LISTENERS } from "../../stack/ip/neighbours/inquiry.ts";
import { RouteMonitor } from "../../stack/ip/paths/route-monitor.ts";
import type { Host } from "../../stack/ip/host.ts";
import { ALL_NODES6, IpAddress } from "../../stack/wire/address.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ether, ip, STATION_MAC } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";
import { listener, pathOf, type RelayedPath, relayedPath, type Said } from "../support/path-relay.ts";
import { fill } from "../support/wire-frames.ts";

const FAST = { intervalMs: 10, count: 3 };
const DEADLINE_MS = FAST.intervalMs * FAST.count;

/** The two that ask by themselves, over both families. */
const ASKING = (["neighbour", "echo"] as const).flatMap((kind) =>
  ([4, 6] as const).map((family) => ({ kind, family })),
);

interface Watched extends RelayedPath {
  readonly monitor: NeighbourMonitor | EchoMonitor;
  readonly said: Said[];
  readonly verdicts: () => Verdict[];
}

const watched = (lab: HostLab, { kind, family }: (typeof ASKING)[number], options = FAST): Watched => {
  const relayed = relayedPath(lab, family);
  const monitor =
    kind === "neighbour"
      ? new NeighbourMonitor(relayed.near, options)
      : new EchoMonitor(relayed.near, options);
  const { said, changed } = listener(lab);
  monitor.start(relayed.path, changed);
  return { ...relayed, monitor, said, verdicts: () => said.map(({ verdict }) => verdict) };
};

for (const one of ASKING) {
  describe(`${one.kind === "echo" ? "an echo" : "a neighbour"} monitor over IPv${one.family}`, () => {
    test("finds the next hop there, and how far it is", () => {
      using lab = new HostLab();
      const { monitor, relay, said } = watched(lab, one);
      relay.out = () => 2;
      relay.back = () => 3;
      expect(monitor.verdict).toBe("unknown");
      lab.run(1000);
      expect(said.map(({ verdict, silentMs }) => ({ verdict, silentMs }))).toEqual([
        { verdict: "up", silentMs: 0 },
      ]);
      expect([monitor.verdict, monitor.rttMs]).toEqual(["up", 5]);
    });

    for (const cut of ["out", "back", "both"] as const) {
      test(`sees a cut (${cut}) in the time that was set, and the healing`, () => {
        using lab = new HostLab();
        const { monitor, relay, said, verdicts } = watched(lab, one);
        lab.run(503);
        expect(verdicts()).toEqual(["up"]);
        const cutMs = lab.loop.now;
        if (cut !== "back") relay.out = () => undefined;
        if (cut !== "out") relay.back = () => undefined;
        lab.run(2000);
        expect(verdicts()).toEqual(["up", "down"]);
        const { atMs, silentMs } = said[1]!;
        expect(atMs - cutMs).toBeLessThanOrEqual(DEADLINE_MS);
        expect(atMs - cutMs).toBeGreaterThan(DEADLINE_MS - FAST.intervalMs);
        expect(silentMs).toBeCloseTo(DEADLINE_MS, 6);
        relay.out = () => 0;
        relay.back = () => 0;
        lab.run(5000);
        expect(verdicts()).toEqual(["up", "down", "up"]);
        expect(monitor.verdict).toBe("up");
      });
    }

    test("bears answers that come early and late, and losses below the threshold", () => {
      for (let seed = 1; seed <= 5; seed++) {
        using lab = new HostLab();
        const random = seededRandom(seed);
        let inRow = 0;
        const lossy = (): number | undefined => {
          inRow = inRow < FAST.count - 1 && below(random, 3) === 0 ? inRow + 1 : 0;
          return inRow > 0 ? undefined : below(random, 3) / 4;
        };
        const { relay, verdicts } = watched(lab, one);
        lab.run(100);
        relay.back = lossy;
        lab.run(3000);
        expect(verdicts()).toEqual(["up"]);
      }
    });

    test("ends in every state without a word or a timer left, and may begin again", () => {
      for (const state of ["fresh", "up", "down", "recovering"]) {
        using lab = new HostLab();
        const { monitor, relay, said, verdicts, path } = watched(lab, one);
        if (state !== "fresh") lab.run(100);
        if (state === "down" || state === "recovering") {
          relay.out = () => undefined;
          lab.run(500);
          expect(verdicts()).toEqual(["up", "down"]);
        }
        if (state === "recovering") {
          relay.out = () => 0;
          while (monitor.statistics()!.answered === 0 || verdicts().length > 2) lab.run(1);
        }
        const before = said.length;
        monitor.close();
        monitor.close();
        relay.out = () => 0;
        lab.run(1000);
        const sent = relay.sent.frames;
        lab.run(3000);
        expect([state, said.length, monitor.verdict, monitor.rttMs]).toEqual([
          state,
          before,
          "unknown",
          undefined,
        ]);
        // The cache may look after its own; nobody asks every 10 ms.
        expect(relay.sent.frames - sent).toBeLessThan(5);
        const again = listener(lab);
        monitor.start(path, again.changed);
        lab.run(500);
        expect(again.said.map(({ verdict }) => verdict)).toEqual(["up"]);
      }
    });
  });
}

describe("a neighbour monitor", () => {
  test("asks the next hop alone while it answers, and all once in a second while it doesn't", () => {
    using lab = new HostLab();
    const { relay, verdicts } = watched(lab, { kind: "neighbour", family: 4 });
    lab.run(100);
    Object.assign(relay.sent, { asked: 0, askedAll: 0 });
    lab.run(1000);
    expect(relay.sent.askedAll).toBe(0);
    expect(relay.sent.asked).toBeGreaterThan(100);
    relay.out = () => undefined;
    lab.run(1000);
    Object.assign(relay.sent, { asked: 0, askedAll: 0 });
    lab.run(10_000);
    expect(verdicts()).toEqual(["up", "down"]);
    expect(relay.sent.askedAll).toBeGreaterThanOrEqual(9);
    expect(relay.sent.askedAll).toBeLessThanOrEqual(10);
    expect(relay.sent.asked).toBeGreaterThan(100);
    expect(relay.sent.asked).toBeLessThan(150);
  });

  test("asks all at once for a next hop that nobody knows, then once in a second", () => {
    using lab = new HostLab();
    const relayed = relayedPath(lab);
    relayed.relay.out = () => undefined;
    const monitor = new NeighbourMonitor(relayed.near, FAST);
    const { said, changed } = listener(lab);
    const beginMs = lab.loop.now;
    monitor.start(relayed.path, changed);
    lab.run(DEADLINE_MS);
    expect(said).toEqual([{ verdict: "down", silentMs: DEADLINE_MS, atMs: beginMs + DEADLINE_MS }]);
    expect(relayed.relay.sent.askedAll).toBe(3);
    lab.run(5000);
    expect(relayed.relay.sent.askedAll).toBeLessThanOrEqual(3 + 5);
    monitor.close();
  });

  test("finds a next hop that has another Ethernet address after the cut", () => {
    using lab = new HostLab();
    const { farDevice, relay, verdicts } = watched(lab, { kind: "neighbour", family: 4 });
    lab.run(100);
    relay.back = () => undefined;
    // What it announces is lost.
    farDevice.setMac(Uint8Array.of(2, 0, 0, 0, 0, 9));
    lab.run(10_000);
    expect(verdicts()).toEqual(["up", "down"]);
    relay.back = () => 0;
    lab.run(1500);
    expect(verdicts()).toEqual(["up", "down", "up"]);
  });

  test("asks nobody while it has no address to ask from, and says nothing then", () => {
    using lab = new HostLab();
    const [device] = lab.link();
    const host = lab.host();
    const on = host.join(device, { addresses: ["2001:db8::2/64"], linkLocal: false, dad: true });
    const monitor = new NeighbourMonitor(host, FAST);
    const { said, changed } = listener(lab);
    monitor.start(pathOf(on, "2001:db8::1"), changed);
    lab.run(500);
    expect(said).toEqual([]);
    expect(monitor.statistics()).toMatchObject({ asked: 0 });
    // The address is ours after a second or two, and the next hop is not there.
    lab.run(5000);
    expect(said.map(({ verdict }) => verdict)).toEqual(["down"]);
    monitor.close();
  });

  for (const family of [4, 6] as const)
    test(`does not take for an answer what is said unasked, nor a question (IPv${family})`, () => {
      using lab = new HostLab();
      const { far, relay, verdicts } = watched(lab, { kind: "neighbour", family });
      lab.run(100);
      relay.out = () => undefined;
      const { inquiry, protocols } = far.interfaces[0]!;
      const timer = lab.loop.every(5, () => {
        inquiry!.ask(IpAddress.parse(family === 4 ? "10.0.0.2" : "2001:db8::2"), undefined);
        // It announces its addresses then.
        protocols!.macChanged();
      });
      lab.run(200);
      timer.cancel();
      expect(verdicts()).toEqual(["up", "down"]);
    });

  test("judges one path at a time, and needs somebody to ask", () => {
    using lab = new HostLab();
    const { monitor, path, near, on } = watched(lab, { kind: "neighbour", family: 4 });
    expect(() => monitor.start(path, () => {})).toThrow("judges a path already");
    const other = new NeighbourMonitor(near, FAST);
    // Nobody to ask: no next hop, or no interface any more. What comes in the place of a path may be either.
    for (const nobody of [pathOf(on, undefined), { ...path, interface: 99 }]) {
      other.start(nobody, () => expect.unreachable());
      lab.run(100);
      expect([other.verdict, other.statistics()]).toEqual(["unknown", undefined]);
      other.close();
    }
    const { said, changed } = listener(lab);
    new NeighbourMonitor(near, { ...FAST, target: "10.0.0.1" }).start(pathOf(on, undefined), changed);
    lab.run(20);
    expect(said.map(({ verdict }) => verdict)).toEqual(["up"]);
    expect(() => new NeighbourMonitor(near, { interval: 3 } as object)).toThrow('no option "interval"');
    expect(() => new NeighbourMonitor(near, { target: "nobody" })).toThrow(TypeError);
  });

  test("hears of its own next hop alone", () => {
    using lab = new HostLab();
    const { near, path, verdicts, monitor } = watched(lab, { kind: "neighbour", family: 4 });
    const other = new NeighbourMonitor(near, { ...FAST, target: "10.0.0.77" });
    const { said, changed } = listener(lab);
    other.start(path, changed);
    lab.run(1000);
    expect([verdicts(), said.map(({ verdict }) => verdict)]).toEqual([["up"], ["down"]]);
    // It listens no longer than it lasts: an interface has few that do.
    for (let i = 0; i < 2 * MAX_LISTENERS; i++) {
      other.close();
      other.start(path, changed);
    }
    expect(monitor.verdict).toBe("up");
  });

  test("has nothing against a next hop while its own link is down from the beginning", () => {
    using lab = new HostLab();
    const { near, on, path } = relayedPath(lab);
    on.link.up = false;
    const monitor = new NeighbourMonitor(near, FAST);
    const { said, changed } = listener(lab);
    monitor.start(path, changed);
    lab.run(1000);
    expect(said).toEqual([]);
    on.link.up = true;
    lab.run(1000);
    expect(said.map(({ verdict }) => verdict)).toEqual(["up"]);
  });

  test("goes down with its link, and comes back with it", () => {
    using lab = new HostLab();
    const { on, verdicts } = watched(lab, { kind: "neighbour", family: 4 });
    lab.run(100);
    on.link.up = false;
    lab.run(100);
    expect(verdicts()).toEqual(["up", "down"]);
    on.link.up = true;
    lab.run(1000);
    expect(verdicts()).toEqual(["up", "down", "up"]);
  });

  test("outlives the interface that it asks on until it is closed", () => {
    using lab = new HostLab();
    const { monitor, near, on, verdicts } = watched(lab, { kind: "neighbour", family: 6 });
    lab.run(100);
    near.leave(on);
    lab.run(500);
    expect(verdicts()).toEqual(["up", "down"]);
    monitor.close();
  });
});

describe("an echo monitor", () => {
  test("has exact round trips where they are longer than the time between echoes", () => {
    using lab = new HostLab();
    const { monitor, relay, verdicts } = watched(
      lab,
      { kind: "echo", family: 4 },
      { intervalMs: 10, count: 10 },
    );
    relay.out = () => 20;
    relay.back = () => 14;
    lab.run(1000);
    expect(verdicts()).toEqual(["up"]);
    expect(monitor.rttMs).toBe(34);
  });

  test("takes nothing for an answer that came another way", () => {
    using lab = new HostLab();
    // One that forwards takes packets to its addresses on every interface.
    const { near, path, relay } = relayedPath(lab, 4, { forwarding: true });
    const { station } = lab.attach(near, { name: "near1", addresses: ["10.0.1.2/24"] });
    const monitor = new EchoMonitor(near, FAST);
    const { said, changed } = listener(lab);
    monitor.start(path, changed);
    lab.run(100);
    expect(said.map(({ verdict }) => verdict)).toEqual(["up"]);
    // Both interfaces have the same Ethernet address here.
    relay.back = (frame) => void station.put(frame);
    lab.run(500);
    expect([said.length, monitor.verdict]).toEqual([2, "down"]);
    expect(monitor.statistics()!.astray).toBeGreaterThan(5);
    monitor.close();
  });

  test("names what is wrong with its options", () => {
    using lab = new HostLab();
    const { near, on } = relayedPath(lab);
    expect(() => new EchoMonitor(near, { dataBytes: 1401 })).toThrow("dataBytes");
    expect(() => new EchoMonitor(near, { port: 7 } as object)).toThrow('no option "port"');
    const nobody = new EchoMonitor(near);
    nobody.start(pathOf(on, undefined), () => expect.unreachable());
    lab.run(5000);
    expect([nobody.verdict, nobody.statistics()]).toEqual(["unknown", undefined]);
  });
});

describe("a health monitor", () => {
  interface Program {
    readonly monitor: HealthMonitor;
    readonly said: Said[];
    /** What each check does. */
    check: (answer: HealthAnswer) => void | Promise<void>;
    calledMs: number[];
  }

  const program = (lab: HostLab, options: object = { intervalMs: 100, timeoutMs: 40, count: 3 }): Program => {
    const { near, path } = relayedPath(lab);
    const { said, changed } = listener(lab);
    const running: Program = {
      monitor: new HealthMonitor(
        near,
        (of, answer) => {
          expect(of).toBe(path);
          running.calledMs.push(lab.loop.now);
          return running.check(answer);
        },
        options,
      ),
      said,
      check: (answer) => answer.alive(),
      calledMs: [],
    };
    running.monitor.start(path, changed);
    return running;
  };

  test("calls the check every interval, and believes the first word of life", () => {
    using lab = new HostLab();
    const { monitor, said, calledMs } = program(lab);
    const beginMs = lab.loop.now;
    lab.run(1000);
    expect(calledMs.map((ms) => ms - beginMs)).toEqual([
      0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000,
    ]);
    expect(said).toEqual([{ verdict: "up", silentMs: 0, atMs: beginMs }]);
    expect(monitor.rttMs).toBe(0);
    monitor.close();
  });

  test("is down after `count` dead checks in a row, silent ones among them, and up after as many alive", () => {
    using lab = new HostLab();
    const one = program(lab);
    const beginMs = lab.loop.now;
    lab.run(50);
    const ways: Program["check"][] = [
      (answer) => answer.dead(),
      (answer) => answer.alive(),
      (answer) => answer.dead(),
      () => {},
      () => {
        throw new Error("the check is broken");
      },
    ];
    let call = 0;
    one.check = (answer) => ways[Math.min(call++, ways.length - 1)]!(answer);
    lab.run(400);
    expect(one.said).toHaveLength(1);
    lab.run(100);
    // The last that was alive began at 200.
    expect(one.said[1]).toEqual({ verdict: "down", silentMs: 300, atMs: beginMs + 500 });
    expect(one.monitor.lastError).toEqual(new Error("the check is broken"));
    one.check = (answer) => answer.alive(7);
    lab.run(200);
    expect(one.said).toHaveLength(2);
    lab.run(100);
    expect(one.said[2]).toEqual({ verdict: "up", silentMs: 0, atMs: beginMs + 800 });
    expect(one.monitor.rttMs).toBe(7);
    expect(one.monitor.statistics()).toMatchObject({ timeouts: 1, dead: 3, downs: 1, late: 0 });
    one.monitor.close();
  });

  test("measures a check that answers later, and counts what comes too late", () => {
    using lab = new HostLab();
    const one = program(lab);
    one.check = (answer) => void lab.loop.after(30, () => answer.alive());
    lab.run(95);
    expect([one.monitor.verdict, one.monitor.rttMs]).toEqual(["up", 30]);
    one.check = (answer) => {
      lab.loop.after(41, () => answer.alive());
      lab.loop.after(42, () => answer.dead());
    };
    lab.run(410);
    expect(one.monitor.verdict).toBe("down");
    expect(one.monitor.statistics()).toMatchObject({ checks: 6, timeouts: 4, late: 8 });
    one.monitor.close();
    lab.run(100);
    // What was still under way is late too.
    expect(one.monitor.statistics()).toMatchObject({ checks: 6, timeouts: 4, late: 10 });
  });

  test("lets one check run at a time where it takes longer than the interval", () => {
    using lab = new HostLab();
    const one = program(lab, { intervalMs: 10, timeoutMs: 100, count: 2 });
    one.check = (answer) => void lab.loop.after(35, () => answer.alive());
    const beginMs = lab.loop.now;
    lab.run(150);
    expect(one.calledMs.map((ms) => ms - beginMs)).toEqual([0, 35, 70, 105, 140]);
    one.monitor.close();
  });

  test("takes an async function, whose failure is a dead check", async () => {
    using lab = new HostLab();
    const one = program(lab, { intervalMs: 100, count: 1 });
    one.check = async (answer) => {
      await Promise.resolve();
      answer.alive();
    };
    lab.run(1);
    await Bun.sleep(0);
    lab.run(0);
    expect(one.monitor.verdict).toBe("up");
    one.check = async () => {
      await Promise.resolve();
      throw new Error("no connection");
    };
    lab.run(100);
    await Bun.sleep(0);
    lab.run(0);
    expect([one.monitor.verdict, one.monitor.lastError]).toEqual(["down", new Error("no connection")]);
    one.monitor.close();
  });

  test("ends from within a check, and within what it tells", () => {
    using lab = new HostLab();
    const one = program(lab);
    one.check = (answer) => {
      one.monitor.close();
      answer.alive();
    };
    lab.run(1000);
    expect([one.said, one.calledMs.length, one.monitor.statistics().late]).toEqual([[], 1, 1]);
    const { near, path } = relayedPath(lab);
    let calls = 0;
    const monitor: PathMonitor = new HealthMonitor(near, (_, answer) => {
      calls += 1;
      answer.alive();
    });
    monitor.start(path, () => monitor.close());
    lab.run(5000);
    expect(calls).toBe(1);
  });

  test("names what is wrong with its options", () => {
    using lab = new HostLab();
    const { near } = relayedPath(lab);
    expect(() => new HealthMonitor(near, "GET /" as unknown as () => void)).toThrow(
      "a function to check with",
    );
    expect(() => new HealthMonitor(near, () => {}, { timeoutMs: 0 })).toThrow("timeoutMs");
    expect(() => new HealthMonitor(near, () => {}, { rise: 3 } as object)).toThrow('no option "rise"');
  });
});

describe("a route monitor", () => {
  const ROUTE = {
    prefix: Prefix.parse("203.0.113.0/24"),
    gateway: IpAddress.parse("10.0.0.1"),
    metric: 10,
    kind: "unicast",
  } as const;

  const routed = (lab: HostLab, options: object = {}) => {
    const relayed = relayedPath(lab);
    const monitor = new RouteMonitor(relayed.near, "203.0.113.0/24", options);
    const { said, changed } = listener(lab);
    const begin = (): void => {
      monitor.start(relayed.path, changed);
      lab.run(0);
    };
    return { ...relayed, monitor, said, begin, verdicts: () => said.map(({ verdict }) => verdict) };
  };

  test("is up while its route leads over the path, and down at once when that is withdrawn or ends", () => {
    using lab = new HostLab();
    const { near, on, begin, said, verdicts, monitor } = routed(lab);
    begin();
    expect(verdicts()).toEqual(["down"]);
    const route = { ...ROUTE, interface: on.index };
    near.addRoute(route);
    expect(verdicts()).toEqual(["down", "up"]);
    near.routes.remove(route);
    expect(verdicts()).toEqual(["down", "up", "down"]);
    near.addRoute({ ...route, expiresMs: lab.loop.now + 500 });
    const endMs = lab.loop.now + 500;
    lab.run(1000);
    expect(said.slice(3)).toEqual([
      { verdict: "up", silentMs: 0, atMs: endMs - 500 },
      { verdict: "down", silentMs: 0, atMs: endMs },
    ]);
    monitor.close();
    near.addRoute(route);
    lab.run(100);
    expect([said.length, monitor.verdict]).toEqual([5, "unknown"]);
  });

  test("does not take another route for its own", () => {
    using lab = new HostLab();
    const { near, on, begin, verdicts } = routed(lab, { origin: "kernel" });
    const [device] = lab.link();
    const other = near.join(device, { name: "near1", addresses: ["10.0.1.2/24"], dad: false });
    const route = { ...ROUTE, interface: on.index };
    near.addRoute(route);
    begin();
    expect(verdicts()).toEqual(["down"]);
    near.routes.add({ ...route, origin: "kernel", gateway: IpAddress.parse("10.0.0.9") });
    near.routes.add({ ...route, origin: "kernel", interface: other.index });
    near.routes.add({ ...route, origin: "kernel", gateway: undefined });
    near.routes.add({ ...route, origin: "kernel", prefix: Prefix.parse("203.0.113.0/25") });
    expect(verdicts()).toEqual(["down"]);
    near.routes.add({ ...route, origin: "kernel", metric: 99 });
    expect(verdicts()).toEqual(["down", "up"]);
  });

  test("can look for a route with another next hop, or with none", () => {
    using lab = new HostLab();
    const { near, on, begin, verdicts } = routed(lab, { gateway: "10.0.0.9" });
    near.addRoute({ ...ROUTE, interface: on.index, gateway: IpAddress.parse("10.0.0.9") });
    begin();
    expect(verdicts()).toEqual(["up"]);
    const none = routed(lab, { gateway: null });
    none.near.addRoute({ ...ROUTE, interface: none.on.index, gateway: undefined });
    none.begin();
    expect(none.verdicts()).toEqual(["up"]);
    expect(() => new RouteMonitor(near, "203.0.113.0/33")).toThrow();
  });
});

describe("the paths of a host", () => {
  interface Told {
    readonly state: string;
    readonly reason: string;
    readonly silentMs: number;
    readonly atMs: number;
  }

  const told = (host: Host): Told[] => {
    const all: Told[] = [];
    host.on((event) => {
      if (event.kind !== "path" || event.path.monitors.length === 0) return;
      const { state, reason, silentMs, atMs } = event;
      all.push({ state, reason, silentMs, atMs });
    });
    return all;
  };

  test("follow a neighbour monitor, which goes on asking while nothing else may be sent", () => {
    using lab = new HostLab();
    const { near, relay } = relayedPath(lab);
    const [path] = near.paths.peer("10.0.0.1").paths;
    const events = told(near);
    const watch = near.paths.watch(path!, new NeighbourMonitor(near, FAST));
    lab.run(500);
    expect([path!.state, path!.rttMs, events.length]).toEqual(["up", 0, 0]);
    relay.out = () => undefined;
    const cutMs = lab.loop.now;
    lab.run(3000);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ state: "down", reason: "neighbour" });
    expect(events[0]!.silentMs).toBeCloseTo(DEADLINE_MS, 6);
    expect(events[0]!.atMs - cutMs).toBeLessThanOrEqual(DEADLINE_MS);
    relay.out = () => 0;
    lab.run(3000);
    expect(events.slice(1).map(({ state, reason }) => `${state} ${reason}`)).toEqual([
      "verifying neighbour",
      "up verified",
    ]);
    watch.close();
  });

  test("follow echoes to somebody behind the next hop, which take a path that is down", () => {
    using lab = new HostLab();
    const { near, on, relay } = relayedPath(lab);
    const gateway = IpAddress.parse("10.0.0.1");
    near.addRoute({
      prefix: Prefix.parse("0.0.0.0/0"),
      gateway,
      interface: on.index,
      metric: 10,
      kind: "unicast",
    });
    const path = near.paths.find({ gateway })!;
    const events = told(near);
    near.paths.watch({ gateway }, new EchoMonitor(near, { ...FAST, target: "203.0.113.1" }));
    lab.run(500);
    expect([path.state, events.length]).toEqual(["up", 0]);
    relay.back = () => undefined;
    lab.run(1000);
    expect(events.map(({ state, reason }) => `${state} ${reason}`)).toEqual(["down health"]);
    // No route leads there any more, and yet it is asked.
    const { network } = near;
    expect(network.destination(IpAddress.parse("203.0.113.1")).prepare()).toBeLessThan(0);
    relay.back = () => 0;
    lab.run(3000);
    expect(events.slice(1).map(({ state }) => state)).toEqual(["verifying", "up"]);
  });

  test("go with the word of a router, and with its silence, where a route monitor goes by those", () => {
    using lab = new HostLab();
    const { host, station, on } = lab.wire({ slaac: true, dad: false });
    const router = IpAddress.parse("fe80::1");
    const advertise = (lifetimeSeconds: number): void =>
      void station.ask(advertisement(router, lifetimeSeconds));
    const monitor = new RouteMonitor(host, "::/0", { origin: "ra" });
    const { said, changed } = listener(lab);
    // By itself: the path of the router's would end with its route.
    monitor.start(pathOf(on, "fe80::1"), changed);
    lab.run(10);
    advertise(1800);
    advertise(0);
    advertise(5);
    const beginMs = lab.loop.now;
    lab.run(10_000);
    expect(said.map(({ verdict }) => verdict)).toEqual(["down", "up", "down", "up", "down"]);
    expect(said[4]!.atMs - beginMs).toBe(5000);
    monitor.close();
  });
});

/** What a router that is the default router for so long says to all. */
const advertisement = (from: IpAddress, lifetimeSeconds: number): Uint8Array => {
  const said: ndp.RouterAdvertisement = {
    kind: "router-advertisement",
    hopLimit: 64,
    managed: false,
    otherConfiguration: false,
    preference: "medium",
    lifetimeSeconds,
    reachableMs: 0,
    retransMs: 0,
    options: [{ kind: "source-link-layer", mac: STATION_MAC }],
  };
  const message = fill(ndp.lengthOf(said), (view) => ndp.emit(said, view, 0, from, ALL_NODES6));
  const packet = ip(PROTOCOL.ICMPV6, message, { from, to: ALL_NODES6, more6: { hopLimit: ndp.HOP_LIMIT } });
  return ether(packet, { toMac: multicastMac(ALL_NODES6) });
};
