/** What happens to flows while backends come, go, drain, weigh more, die and return; and the checks that say so. */
import { describe, expect, test } from "bun:test";
import { BackendCheck, type CheckOptions, type Probe } from "../../stack/balance/check.ts";
import { EchoProbe, UdpProbe } from "../../stack/balance/probes.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { ask, backendAddress, BalanceLab, backendMac, FLAGS, segment } from "../support/balance-lab.ts";
import { ether, pattern } from "../support/host-frames.ts";
import { line } from "../support/host-lab.ts";

const FLOWS = 60;
const PORTS = Array.from({ length: FLOWS }, (_, i) => 2000 + i);

/** The backend of each of so many flows, by a datagram of each. */
const spread = (bed: BalanceLab): number[] =>
  bed.reach(...PORTS.map((fromPort) => ask(pattern(3), { fromPort })));
const acks = (bed: BalanceLab): number[] =>
  bed.reach(...PORTS.map((fromPort) => segment({ fromPort, payload: pattern(3) })));
const syns = (bed: BalanceLab): number[] =>
  bed.reach(...PORTS.map((fromPort) => segment({ fromPort, flags: FLAGS.syn })));
const add = (bed: BalanceLab, i: number, weight = 1) =>
  bed.service.add({ address: backendAddress(i), mac: backendMac(i).toString(), weight });

describe("flows", () => {
  test("go to all backends, and each to the same one again and again", () => {
    using bed = new BalanceLab();
    const first = spread(bed);
    expect(new Set(first).size).toBe(3);
    for (let again = 0; again < 3; again++) expect(spread(bed)).toEqual(first);
    expect(bed.service.backends.map(({ flows }) => flows)).toEqual(
      [1, 2, 3].map((i) => first.filter((each) => each === i).length),
    );
  });

  test("go by weight, and nowhere by a weight of 0", () => {
    using bed = new BalanceLab({ backends: 2 });
    bed.backend(1).setWeight(0);
    expect(new Set(spread(bed))).toEqual(new Set([2]));
    bed.backend(1).setWeight(3);
    const places = bed.service.shares();
    const ratio = places.get(backendAddress(1))! / places.get(backendAddress(2))!;
    expect(ratio).toBeCloseTo(3, 1);
  });

  test("agree on two balancers with one seed, in whichever order they know the backends", () => {
    using one = new BalanceLab({ backends: 4 });
    using other = new BalanceLab({ backends: 0 });
    for (const i of [3, 1, 4, 2]) add(other, i);
    expect(spread(other)).toEqual(spread(one));
  });

  test("stay where they are when a backend comes, and new ones find it", () => {
    using bed = new BalanceLab();
    const before = spread(bed);
    add(bed, 4);
    expect(spread(bed)).toEqual(before);
    const fresh = bed.reach(...PORTS.map((port) => ask(pattern(3), { fromPort: port + 10_000 })));
    expect(new Set(fresh).size).toBe(4);
    expect(bed.service.statistics()).toMatchObject({ moved: 0 });
  });

  test("stay at a backend that drains until they are over; no new ones come", () => {
    using bed = new BalanceLab({ idleSeconds: 10 });
    const before = spread(bed);
    bed.backend(2).drain();
    expect(bed.backend(2).state).toBe("draining");
    expect(spread(bed)).toEqual(before);
    const fresh = bed.reach(...PORTS.map((port) => ask(pattern(3), { fromPort: port + 10_000 })));
    expect(fresh).not.toContain(2);
    expect(bed.backend(2).flows).toBe(before.filter((each) => each === 2).length);
    bed.lab.run(25_000);
    expect(bed.backend(2).flows).toBe(0);
    expect(spread(bed)).not.toContain(2);
    bed.backend(2).resume();
    expect(bed.backend(2).state).toBe("up");
    expect(spread(bed)).not.toContain(2);
    bed.lab.run(25_000);
    expect(spread(bed)).toEqual(before);
  });

  test("move from one that died, only they do, and stay where they then are", () => {
    using bed = new BalanceLab();
    const before = spread(bed);
    bed.backend(2).setHealthy(false);
    const after = spread(bed);
    for (const [i, backend] of before.entries()) {
      if (backend === 2) expect([1, 3]).toContain(after[i]!);
      else expect(after[i]).toBe(backend);
    }
    expect(bed.service.moved).toBe(before.filter((each) => each === 2).length);
    bed.backend(2).setHealthy(true);
    expect(spread(bed)).toEqual(after);
  });

  test("move from one that was removed, whose name and number are free again", () => {
    using bed = new BalanceLab();
    const before = spread(bed);
    const gone = bed.backend(2);
    gone.remove();
    gone.remove();
    expect(gone.state).toBe("removed");
    const after = spread(bed);
    expect(after).not.toContain(2);
    expect(after.filter((each, i) => before[i] !== 2 && each !== before[i])).toEqual([]);
    expect(add(bed, 2).number).toBe(gone.number);
    expect(spread(bed)).toEqual(after);
  });

  test("of one that was removed are not those of another with its number", () => {
    using bed = new BalanceLab();
    const before = spread(bed);
    const gone = bed.backend(2);
    gone.remove();
    expect(add(bed, 9).number).toBe(gone.number);
    expect(bed.service.backend(backendAddress(9))!.flows).toBe(0);
    const heirs = new Set(spread(bed).filter((_, i) => before[i] === 2));
    expect(heirs.size).toBeGreaterThan(1);
  });

  test("have nowhere to go without backends, and are told", () => {
    using bed = new BalanceLab();
    for (const backend of bed.service.backends) backend.setHealthy(false);
    expect(bed.reach(ask(pattern(3)))).toEqual([]);
    expect(line(bed.clients.takeIp()[0]!)).toContain("destination unreachable: host");
    expect(bed.balancer.statistics()).toMatchObject({ unserved: 1, forwarded: 0 });
    bed.backend(1).setHealthy(true);
    expect(bed.reach(ask(pattern(3)))).toEqual([1]);
  });

  test("are forwarded without memory of them, too, as hashing says", () => {
    using bed = new BalanceLab({ balancer: { flows: 16 } });
    const before = spread(bed);
    expect(spread(bed)).toEqual(before);
    expect(bed.balancer.statistics().flows.evicted).toBeGreaterThan(0);
    expect(bed.balancer.statistics().flows.evictedAway).toBe(0);
  });
});

describe("connections", () => {
  test("that begin with the ports of an old one leave a backend that drains; others stay", () => {
    using bed = new BalanceLab({ protocol: "tcp" });
    const before = syns(bed);
    bed.backend(2).drain();
    expect(acks(bed)).toEqual(before);
    const after = syns(bed);
    expect(after).not.toContain(2);
    expect(after.filter((each, i) => before[i] !== 2 && each !== before[i])).toEqual([]);
    expect(acks(bed)).toEqual(after);
    expect(bed.backend(2).flows).toBe(0);
  });

  test.each(["fin", "rst"] as const)("that ended with %s are over sooner than silent ones", (end) => {
    using bed = new BalanceLab({ protocol: "tcp", backends: 1 });
    bed.reach(segment({ fromPort: 1, flags: FLAGS.syn }), segment({ fromPort: 2, flags: FLAGS.syn }));
    bed.reach(segment({ fromPort: 1, flags: FLAGS[end] | FLAGS.ack }));
    bed.lab.run(140_000);
    expect(bed.backend(1).flows).toBe(1);
    bed.lab.run(800_000);
    expect(bed.backend(1).flows).toBe(0);
  });
});

describe("a check", () => {
  /** A probe that a test answers. */
  class Oracle implements Probe {
    good: boolean | undefined = true;
    asked = 0;
    closed = 0;
    late: ((good: boolean) => void) | undefined;
    ask(told: (good: boolean) => void): void {
      this.asked += 1;
      this.late = told;
      if (this.good !== undefined) told(this.good);
    }
    close(): void {
      this.closed += 1;
    }
  }

  const checked = (bed: BalanceLab, good: boolean | undefined, more: CheckOptions = {}) => {
    const probe = new Oracle();
    probe.good = good;
    const changes: boolean[] = [];
    const check = new BackendCheck(bed.lab.loop, bed.backend(1), probe, {
      intervalMs: 100,
      timeoutMs: 40,
      ...more,
      onChange: (healthy) => changes.push(healthy),
    });
    return { probe, check, changes };
  };

  test("keeps a backend out until its first good answer", () => {
    using bed = new BalanceLab({ backends: 1 });
    const { probe, check } = checked(bed, undefined);
    expect([bed.backend(1).state, check.verdict]).toEqual(["down", "unknown"]);
    bed.lab.run(30);
    probe.late!(true);
    expect([bed.backend(1).state, check.verdict, check.rttMs]).toEqual(["up", "up", 30]);
  });

  test("needs three bad answers in a row to take it out, and two good ones to bring it back", () => {
    using bed = new BalanceLab({ backends: 1 });
    const { probe, changes } = checked(bed, true);
    const states: string[] = [];
    for (const good of [false, false, true, false, undefined, false, false, true, false, true, true]) {
      probe.good = good;
      bed.lab.run(100);
      states.push(bed.backend(1).state);
    }
    // Silence counts when its time is over, in the interval that follows the question.
    expect(states).toEqual([
      ...["up", "up", "up", "up", "up", "down", "down"],
      ...["down", "down", "down", "up"],
    ]);
    expect(changes).toEqual([true, false, true]);
  });

  test("hears no answer that comes too late, and none after it was closed", () => {
    using bed = new BalanceLab({ backends: 1 });
    const { probe, check } = checked(bed, undefined, { rise: 1 });
    const { late } = probe;
    bed.lab.run(100);
    late!(true);
    expect(check.verdict).toBe("down");
    check.close();
    check.close();
    probe.late!(true);
    bed.lab.run(1000);
    expect([check.verdict, probe.asked, probe.closed]).toEqual(["down", 2, 1]);
  });

  test.each([
    ["intervalMs", { intervalMs: 1 }],
    ["timeoutMs", { intervalMs: 100, timeoutMs: 100 }],
    ["rise", { rise: 0 }],
    ["fall", { fall: 1.5 }],
  ])("names a wrong %s", (name, options) => {
    using bed = new BalanceLab({ backends: 1 });
    const make = () => new BackendCheck(bed.lab.loop, bed.backend(1), new Oracle(), options);
    expect(make).toThrow(RangeError);
    expect(make).toThrow(name);
    expect(bed.backend(1).state).toBe("up");
  });

  test("by echo requests follows a station that goes silent and comes back", () => {
    using bed = new BalanceLab({ backends: 1 });
    const address = IpAddress.parse(backendAddress(1));
    bed.backends.introduce(backendAddress(1));
    let answers = true;
    const { lab, backends } = bed;
    const turned = (frame: Uint8Array): Uint8Array => {
      const bytes = frame.slice(14);
      const from = bytes.slice(12, 16);
      bytes.set(bytes.slice(16, 20), 12);
      bytes.set(from, 16);
      // Type 8 becomes 0, and the checksum follows.
      bytes[20] = 0;
      const view = new DataView(bytes.buffer);
      const sum = view.getUint16(22) + 0x0800;
      view.setUint16(22, (sum & 0xffff) + (sum >> 16));
      return ether(bytes, { toMac: backendMac(0), fromMac: backends.mac });
    };
    using check = new BackendCheck(lab.loop, bed.backend(1), new EchoProbe(bed.host, address), {
      intervalMs: 100,
    });
    const step = (times: number): void => {
      for (let i = 0; i < times; i++) {
        lab.run(0);
        for (const frame of backends.takeIp()) {
          const view = new DataView(frame.buffer, frame.byteOffset);
          const answer = turned(frame);
          answer.set(new Uint8Array(view.buffer, view.byteOffset + 6, 6), 0);
          if (answers) backends.put(answer);
        }
        lab.run(100);
      }
    };
    step(2);
    expect(check.verdict).toBe("up");
    answers = false;
    step(5);
    expect([check.verdict, bed.backend(1).state]).toEqual(["down", "down"]);
    answers = true;
    step(4);
    expect([check.verdict, bed.backend(1).state]).toEqual(["up", "up"]);
  });

  test("by datagrams sends its question from an address that is no service's", () => {
    using bed = new BalanceLab({ backends: 1 });
    bed.backends.introduce(backendAddress(1));
    const probe = new UdpProbe(bed.host, IpAddress.parse(backendAddress(1)), 53, pattern(4));
    using check = new BackendCheck(bed.lab.loop, bed.backend(1), probe, { intervalMs: 100 });
    bed.lab.run(0);
    expect(line(bed.backends.takeIp()[0]!)).toMatch(/IP 10\.9\.0\.2\.\d+ > 10\.9\.0\.11\.53 .*length 4/);
    bed.lab.run(500);
    expect(check.verdict).toBe("down");
  });
});
