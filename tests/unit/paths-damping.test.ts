/** The penalty of flapping paths: its arithmetic, and what it keeps out of use for how long. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DAMPING, dampingSettings, Penalty } from "../../stack/ip/paths/damping.ts";
import { MAX_PAST, PastPenalties } from "../../stack/ip/paths/past.ts";
import { HostLab } from "../support/host-lab.ts";
import { Oracle, told, twoLinks } from "../support/two-links.ts";

const VERIFY_MS = 1000;
/** From the highest penalty to the threshold of reuse: three half-lives. */
const LONGEST_MS = 3 * DAMPING.halfLifeMs;

describe("a penalty", () => {
  test("halves in a half-life", () => {
    const penalty = new Penalty(dampingSettings());
    penalty.add(100);
    expect(penalty.at(100)).toBe(1000);
    expect(penalty.at(100 + DAMPING.halfLifeMs)).toBe(500);
    expect(penalty.at(100 + 3 * DAMPING.halfLifeMs)).toBe(125);
    penalty.add(100 + DAMPING.halfLifeMs);
    expect(penalty.at(100 + DAMPING.halfLifeMs)).toBe(1500);
    expect([penalty.spent(100 + DAMPING.halfLifeMs), penalty.spent(100_000)]).toEqual([false, true]);
  });

  test("damps above the upper threshold, until it is at the lower", () => {
    const penalty = new Penalty(dampingSettings({ suppress: 2500, reuse: 500, halfLifeMs: 1000 }));
    penalty.add(0);
    penalty.add(0);
    expect(penalty.remainingMs(0)).toBe(0);
    penalty.add(0);
    // 3000 to 500.
    expect(penalty.remainingMs(0)).toBeCloseTo(Math.log2(6) * 1000, 6);
    expect(penalty.remainingMs(2000)).toBeCloseTo(Math.log2(6) * 1000 - 2000, 6);
    expect(penalty.remainingMs(Math.log2(6) * 1000)).toBe(0);
    // Between the thresholds it depends on where it came from.
    penalty.add(5000);
    expect(penalty.remainingMs(5000)).toBe(0);
    penalty.forgive();
    expect([penalty.at(5000), penalty.remainingMs(5000)]).toEqual([0, 0]);
  });

  test("that is raised while it damps, damps for longer, though it is below the upper threshold by then", () => {
    const penalty = new Penalty(dampingSettings({ suppress: 2500, reuse: 500, halfLifeMs: 1000 }));
    for (let i = 0; i < 3; i++) penalty.add(0);
    penalty.add(2000);
    expect(penalty.at(2000)).toBe(1750);
    expect(penalty.remainingMs(2000)).toBeCloseTo(Math.log2(3.5) * 1000, 6);
  });

  test("has an end, however often it is raised, and comes to it exactly when it said", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 20_000, noNaN: true }), { maxLength: 60 }), (gaps) => {
        const penalty = new Penalty(dampingSettings());
        let nowMs = 0;
        for (const gap of gaps) {
          nowMs += gap;
          penalty.add(nowMs);
          expect(penalty.at(nowMs)).toBeLessThanOrEqual(DAMPING.maximum);
          const left = penalty.remainingMs(nowMs);
          expect(left).toBeLessThanOrEqual(LONGEST_MS + 1e-6);
          expect(penalty.remainingMs(nowMs + left)).toBeLessThan(1e-6);
          if (left > 0) expect(penalty.at(nowMs + left)).toBeCloseTo(DAMPING.reuse, 3);
        }
      }),
    );
  });
});

describe("penalties of the past", () => {
  test("are given back to who comes again, and forgotten when they are spent", () => {
    const past = new PastPenalties(dampingSettings());
    const one = past.take("a")!;
    for (let i = 0; i < 4; i++) one.add(0);
    past.keep("a", one, 0);
    const fresh = past.take("b")!;
    expect(fresh).not.toBe(one);
    past.keep("b", fresh, 0);
    expect(past.size).toBe(1);
    expect(past.take("a")).toBe(one);
    past.keep("a", one, 0);
    const later = past.take("c")!;
    later.add(1e6);
    past.keep("c", later, 1e6);
    expect(past.size).toBe(1);
    expect(new PastPenalties(undefined).take("a")).toBeUndefined();
  });

  test("are no more than there can be paths", () => {
    const past = new PastPenalties(dampingSettings());
    for (let i = 0; i < MAX_PAST + 10; i++) {
      const penalty = past.take(`path ${i}`)!;
      penalty.add(i);
      past.keep(`path ${i}`, penalty, i);
    }
    expect(past.size).toBe(MAX_PAST);
    expect(past.take("path 0")!.at(0)).toBe(0);
  });
});

describe("a path that flaps", () => {
  test("is left out of use until its penalty has decayed, and not longer", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [path] = near.paths;
    const oracle = new Oracle("bfd", "up");
    near.host.paths.watch(path, oracle);
    for (let i = 0; i < 4; i++) {
      oracle.say("down", 30);
      lab.run(10);
      oracle.say("up");
      lab.run(10);
    }
    const fellMs = path.changedMs - 10;
    lab.run(VERIFY_MS - 10);
    expect(path).toMatchObject({ state: "damped", reason: "flapping" });
    expect(path.statistics()).toMatchObject({ downs: 4, damped: 1 });
    // Almost 4000, three times 20 ms of decay taken off; two half-lives to 1000.
    const [whole, part] = [2 * DAMPING.halfLifeMs, 100];
    lab.run(fellMs + whole - part - lab.loop.now);
    expect(path.state).toBe("damped");
    lab.run(part);
    expect(path).toMatchObject({ state: "up", reason: "verified" });
    expect(near.events.map(told).slice(-3)).toEqual([
      "eth0 via 10.1.0.2 verifying: bfd",
      "eth0 via 10.1.0.2 damped: flapping",
      "eth0 via 10.1.0.2 up: verified",
    ]);
  });

  test("goes down while it is damped, and waits longer for it", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab, { near: { paths: { verifyMs: 0 } } });
    const [path] = near.paths;
    const oracle = new Oracle("bfd", "up");
    near.host.paths.watch(path, oracle);
    const flap = (): void => {
      oracle.say("down");
      oracle.say("up");
    };
    for (let i = 0; i < 3; i++) flap();
    expect(path.state).toBe("up");
    for (let i = 0; i < 30; i++) flap();
    expect(path.state).toBe("damped");
    expect(path.statistics()).toMatchObject({ downs: 33, damped: 30 });
    lab.run(LONGEST_MS - 1);
    expect(path.state).toBe("damped");
    oracle.say("unknown");
    expect(path.state).toBe("verifying");
    lab.run(LONGEST_MS);
    expect(path.state).toBe("verifying");
    oracle.say("up");
    lab.run(0);
    expect(path.state).toBe("up");
  });

  test("is used while it is damped where nothing else leads there", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab, { near: { paths: { verifyMs: 0 } } });
    const came: string[] = [];
    far.host.udp(7, (datagram) => void came.push(datagram.interface.name));
    const socket = near.host.udp({}, () => {});
    const oracles = near.paths.map((path) => {
      const oracle = new Oracle("bfd", "up");
      near.host.paths.watch(path, oracle);
      return oracle;
    });
    for (let i = 0; i < 9; i++)
      for (const oracle of oracles) for (const say of ["down", "up"] as const) oracle.say(say);
    expect(near.paths.map(({ state }) => state)).toEqual(["damped", "damped"]);
    const send = (): void => {
      socket.send({ address: "10.9.0.2", port: 7 }, Uint8Array.of(1));
      lab.run(0);
    };
    send();
    oracles[0]!.say("down");
    send();
    oracles[1]!.say("down");
    send();
    expect(came).toEqual(["eth0", "eth1"]);
    near.host.paths.set(near.paths[1], "up");
    oracles[1]!.say("up");
    lab.run(0);
    send();
    expect(came).toEqual(["eth0", "eth1", "eth1"]);
  });

  test("is vouched for by the program", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [path] = near.paths;
    const oracle = new Oracle("bfd", "up");
    near.host.paths.watch(path, oracle);
    for (let i = 0; i < 9; i++) for (const say of ["down", "up"] as const) oracle.say(say);
    lab.run(VERIFY_MS);
    expect(path.state).toBe("damped");
    near.host.paths.set(path, "up");
    expect(path).toMatchObject({ state: "up", reason: "administrative" });
    oracle.say("down");
    oracle.say("up");
    lab.run(VERIFY_MS);
    expect(path.state).toBe("up");
  });

  test("because its route comes and goes is damped as well", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [route] = near.host.routes.all().filter(({ gateway }) => gateway?.equals(near.paths[0].gateway!));
    const ids = new Set<number>();
    for (let i = 0; i < 4; i++) {
      near.host.routes.remove(route!);
      near.host.addRoute(route!);
      ids.add(near.host.paths.find({ gateway: "10.1.0.2" })!.id);
    }
    expect(ids.size).toBe(4);
    const path = near.host.paths.find({ gateway: "10.1.0.2" })!;
    expect(path).toMatchObject({ state: "damped", reason: "flapping" });
    lab.run(2 * DAMPING.halfLifeMs);
    expect(path.state).toBe("up");
  });

  test("is not damped where nobody wants that", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab, { near: { paths: { damping: false, verifyMs: 0 } } });
    const oracle = new Oracle("bfd", "up");
    near.host.paths.watch(near.paths[0], oracle);
    for (let i = 0; i < 99; i++) for (const say of ["down", "up"] as const) oracle.say(say);
    expect(near.paths[0].state).toBe("up");
    expect(near.paths[0].statistics()).toMatchObject({ downs: 99, damped: 0 });
  });
});
