/** The loop in virtual time: turns, fairness, errors, timers, signals, sleeping and stopping. */
import { describe, expect, test } from "bun:test";
import { createLink, type LinkOptions, type MemoryDevice } from "../../stack/device/memory.ts";
import type { Device, LinkEvent, Queue } from "../../stack/device/device.ts";
import { FrameEndedError, type Frame, type Lease } from "../../stack/device/frame.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { ErrorSource } from "../../stack/loop/errors.ts";
import { LINK_EVERY_MS, Loop } from "../../stack/loop/loop.ts";
import type { LoopOptions } from "../../stack/loop/options.ts";
import { BURSTS_PER_TURN } from "../../stack/loop/receiver.ts";
import { expectWhole } from "../support/device-contract.ts";
import { ManualSignals, ManualWaiter, VirtualClock } from "../support/virtual.ts";

const setUp = (options: Partial<LoopOptions> = {}) => {
  const clock = new VirtualClock(1000);
  const waiter = new ManualWaiter(clock);
  const signals = new ManualSignals();
  const errors: { text: string; source: ErrorSource }[] = [];
  const onError = (error: unknown, source: ErrorSource) => void errors.push({ text: String(error), source });
  const loop = new Loop({ clock, waiter, signals, onError, ...options });
  return { clock, waiter, signals, errors, loop };
};

const link = (options: LinkOptions = {}) => {
  const [left, right] = createLink({ chunkCount: 2048, ...options });
  const transmitter = new Transmitter(left.queues[0]!);
  const send = (count: number, first = 0): void => {
    for (let i = 0; i < count; i++) transmitter.sendBytes(Uint8Array.of(first + i, 2, 3, 4));
    left.queues[0]!.flush();
  };
  return { left, right, send };
};

/** `target` with some members replaced. */
const altered = <T extends object>(target: T, changes: Partial<T>): T =>
  new Proxy(target, {
    get: (_, key) => {
      if (key in changes) return changes[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

const settled = (device: Device): void => {
  expect(expectWhole(device.umem)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
};

describe("receiving", () => {
  test("a handler sees each frame in order; doing nothing drops it", () => {
    const { loop } = setUp();
    const { right, send } = link();
    const seen: number[] = [];
    let leaked: Frame | undefined;
    loop.receive(right, (frame) => {
      seen.push(frame.bytes[frame.at]!);
      expect(frame.length).toBe(4);
      leaked = frame;
    });
    send(100);
    expect(loop.turn()).toBe(true);
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(() => leaked!.at).toThrow(FrameEndedError);
    expect(loop.turn()).toBe(false);
    expect(loop.statistics()).toMatchObject({ packets: 100, bursts: 2, turns: 2, idleTurns: 1 });
    settled(right);
  });

  test("frames that are sent back are submitted in the same turn", () => {
    const { loop } = setUp();
    const { left, right, send } = link();
    const back: number[] = [];
    loop.receive(right, (frame) => frame.send());
    send(3);
    loop.turn();
    loop.receive(left, (frame) => back.push(frame.bytes[frame.at]!));
    loop.turn();
    expect(back).toEqual([0, 1, 2]);
    settled(left);
    settled(right);
  });

  test("frames forwarded to a device that was served before are submitted in the same turn too", () => {
    for (let start = 0; start < 2; start++) {
      const { loop } = setUp();
      const a = link({ shared: true });
      const b = link({ umems: [a.right.umem, a.left.umem] });
      loop.receive(a.right, (frame) => frame.forward(b.left));
      loop.receive(b.left, () => {});
      for (let i = 0; i < start; i++) loop.turn();
      a.send(3);
      loop.turn();
      expect(b.left.statistics()).toMatchObject({ txPackets: 3 });
    }
  });

  test("a packet of several chunks is one frame", () => {
    const { loop } = setUp();
    const { left, right } = link({ mtu: 9000 });
    const packet = Uint8Array.from({ length: 9000 }, (_, i) => i * 7);
    const copies: Uint8Array[] = [];
    loop.receive(right, (frame) => copies.push(frame.copy()));
    new Transmitter(left.queues[0]!).sendBytes(packet);
    left.queues[0]!.flush();
    loop.turn();
    expect(copies).toEqual([packet]);
    settled(right);
  });

  test("a turn's work is bounded, and the rest comes in the next", () => {
    const { loop } = setUp({ burst: 18 });
    const { right, send } = link();
    let seen = 0;
    loop.receive(right, () => void (seen += 1));
    send(200);
    loop.turn();
    expect(seen).toBe(18 * BURSTS_PER_TURN);
    loop.turn();
    expect(seen).toBe(2 * 18 * BURSTS_PER_TURN);
  });

  test("no device waits for another: all are served in each turn, each first as often as the others", () => {
    const { loop } = setUp({ burst: 18 });
    const links = [link(), link(), link()];
    const order: number[] = [];
    const first: number[] = [0, 0, 0];
    links.forEach(({ right }, i) => loop.receive(right, () => void order.push(i)));
    for (let turn = 0; turn < 30; turn++) {
      links[0]!.send(200);
      links[1]!.send(1);
      links[2]!.send(1);
      order.length = 0;
      loop.turn();
      expect(new Set(order)).toEqual(new Set([0, 1, 2]));
      first[order[0]!]! += 1;
    }
    expect(first).toEqual([10, 10, 10]);
  });

  test("all queues of a device are served", () => {
    const { loop } = setUp();
    const [left, right] = createLink({ queues: 3 });
    const seen: number[] = [];
    loop.receive(right, (frame) => void seen.push(frame.queue.index));
    for (const queue of left.queues) {
      new Transmitter(queue).sendBytes(Uint8Array.of(1));
      queue.flush();
    }
    loop.turn();
    expect(seen).toEqual([0, 1, 2]);
  });

  test("a handler that throws is reported, gets its frame back, and the next frames come", () => {
    const { loop, errors } = setUp();
    const { right, send } = link();
    let seen = 0;
    loop.receive(right, (frame) => {
      seen += 1;
      if (frame.bytes[frame.at] === 1) throw new Error("second");
    });
    send(3);
    loop.turn();
    expect(seen).toBe(3);
    expect(errors).toEqual([{ text: "Error: second", source: { kind: "frame", name: "right" } }]);
    expect(loop.statistics().handlerErrors).toBe(1);
    settled(right);
  });

  test("an error handler that throws does not end the loop", () => {
    const errorOf = console.error;
    const printed: unknown[] = [];
    console.error = (...args: unknown[]) => void printed.push(args);
    try {
      const { loop } = setUp({
        onError: () => {
          throw new Error("worse");
        },
      });
      const { right, send } = link();
      loop.receive(right, () => {
        throw new Error("bad");
      });
      send(2);
      loop.turn();
      expect(loop.statistics()).toMatchObject({ packets: 2, handlerErrors: 4 });
      expect(printed).toHaveLength(2);
    } finally {
      console.error = errorOf;
    }
  });

  test("without an error handler each distinct error is printed once", () => {
    const errorOf = console.error;
    const printed: string[] = [];
    console.error = (text: string) => void printed.push(text);
    try {
      const clock = new VirtualClock();
      const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
      const { right, send } = link();
      loop.receive(right, (frame) => {
        throw new Error(frame.bytes[frame.at]! % 2 === 0 ? "even" : "odd");
      });
      send(10);
      loop.turn();
      expect(printed).toHaveLength(2);
      expect(printed[0]).toContain("even");
      expect(loop.statistics().handlerErrors).toBe(10);
    } finally {
      console.error = errorOf;
    }
  });

  test("an async handler is named as the mistake that it is, once, and its rejection is not lost", async () => {
    const { loop, errors } = setUp();
    const { right, send } = link();
    loop.receive(right, async () => {
      await Promise.resolve();
      throw new Error("late");
    });
    send(3);
    loop.turn();
    expect(errors).toHaveLength(1);
    expect(errors[0]!.text).toContain("keep()");
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(errors.slice(1).map((error) => error.text)).toEqual(["Error: late", "Error: late", "Error: late"]);
    settled(right);
  });

  test("a handler that keeps everything starves itself, not the loop, and recovers", () => {
    for (const shared of [false, true]) {
      const { loop } = setUp();
      const { left, right, send } = link({ chunkCount: 64, rxRing: 32, txRing: 32, shared });
      const leases: Lease[] = [];
      loop.receive(right, (frame) => void leases.push(frame.keep()));
      for (let i = 0; i < 20; i++) {
        send(8);
        loop.turn();
      }
      expect(leases.length).toBe(64);
      expect(loop.turn()).toBe(false);
      expect(expectWhole(right.umem)).toMatchObject({ kept: 64, pool: 0 });
      for (const lease of leases.splice(0)) lease.release();
      loop.turn();
      send(8, 100);
      loop.turn();
      expect(leases.map((lease) => lease.bytes[lease.at]!)).toEqual([100, 101, 102, 103, 104, 105, 106, 107]);
      for (const lease of leases) lease.release();
      settled(left);
    }
  });

  test("two receivers of one device are refused; a closed one makes room", () => {
    const { loop } = setUp();
    const { right, send } = link();
    const first = loop.receive(right, () => {});
    expect(() => loop.bursts(right, () => {})).toThrow('device "right" has a receiver');
    first.close();
    first.close();
    expect(first.active).toBe(false);
    let seen = 0;
    using second = loop.receive(right, () => void (seen += 1));
    expect(second.active).toBe(true);
    send(2);
    loop.turn();
    expect(seen).toBe(2);
  });

  test("a handler may unsubscribe itself: no further frame comes, and the rest of the burst is dropped", () => {
    const { loop } = setUp();
    const { right, send } = link();
    let seen = 0;
    const subscription = loop.receive(right, () => {
      seen += 1;
      if (seen === 2) subscription.close();
    });
    send(10);
    loop.turn();
    loop.turn();
    expect(seen).toBe(2);
    expect(loop.statistics().devices).toBe(0);
    settled(right);
  });

  test("a handler may subscribe, swap and unsubscribe others", () => {
    const { loop } = setUp();
    const a = link();
    const b = link();
    const c = link();
    const seen: string[] = [];
    const onB = loop.receive(b.right, () => void seen.push("b"));
    loop.receive(a.right, () => {
      if (onB.active) {
        onB.close();
        loop.receive(c.right, () => void seen.push("c"));
      }
      seen.push("a");
    });
    for (const each of [a, b, c]) each.send(1);
    for (let i = 0; i < 3; i++) loop.turn();
    expect(seen.filter((name) => name === "a")).toHaveLength(1);
    expect(seen.filter((name) => name === "c")).toHaveLength(1);
    expect(loop.statistics().devices).toBe(2);
  });

  test("a handler may close its device in the middle of a burst", () => {
    const { loop, errors } = setUp();
    const { right, send } = link();
    let seen = 0;
    loop.receive(right, () => {
      seen += 1;
      right.close();
    });
    send(10);
    loop.turn();
    loop.turn();
    expect(seen).toBe(1);
    expect(errors).toEqual([]);
    expect(loop.statistics().devices).toBe(0);
    settled(right);
  });

  test("turns do not nest", () => {
    const { loop, errors } = setUp();
    const { right, send } = link();
    loop.receive(right, () => void loop.turn());
    send(1);
    loop.turn();
    expect(errors[0]!.text).toContain("turns do not nest");
    loop.turn();
  });

  test("a device that throws is reported and leaves", () => {
    const { loop, errors } = setUp();
    const { right } = link();
    const receive = (): number => {
      throw new Error("broken ring");
    };
    const broken: Device = altered<Device>(right, {
      queues: [altered<Queue>(right.queues[0]!, { receive })],
    });
    loop.receive(broken, () => {});
    loop.turn();
    loop.turn();
    expect(errors.map((error) => error.source.kind)).toEqual(["device"]);
    expect(loop.statistics().devices).toBe(0);
  });
});

describe("bursts", () => {
  test("are iterated without losing a frame, also nested and broken off", () => {
    const { loop } = setUp();
    const { right, send } = link();
    const all: number[] = [];
    let pairs = 0;
    const early: number[] = [];
    loop.bursts(right, (frames) => {
      for (const frame of frames) all.push(frame.bytes[frame.at]!);
      for (const _ of frames) for (const __ of frames) pairs += 1;
      for (const frame of frames) {
        early.push(frame.bytes[frame.at]!);
        break;
      }
      expect(frames.at(0)!.length).toBe(4);
      expect(frames.at(frames.length)).toBeUndefined();
    });
    send(10);
    loop.turn();
    expect(all).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(pairs).toBe(100);
    expect(early).toEqual([0]);
    settled(right);
  });

  test("a thrower's frames come back, what it sent is sent", () => {
    const { loop, errors } = setUp();
    const { right, send } = link();
    loop.bursts(right, (frames) => {
      frames.at(0)!.send();
      throw new Error("half way");
    });
    send(5);
    loop.turn();
    expect(errors[0]!.source).toEqual({ kind: "burst", name: "right" });
    expect(right.statistics().txPackets).toBe(1);
    settled(right);
  });

  test("its frames end with the handler", () => {
    const { loop } = setUp();
    const { right, send } = link();
    let held: Frame | undefined;
    loop.bursts(right, (frames) => void (held = frames.at(0)));
    send(1);
    loop.turn();
    expect(() => held!.length).toThrow("its handler has returned");
  });
});

describe("links", () => {
  const kinds = (loop: Loop, device: MemoryDevice): string[] => {
    const seen: string[] = [];
    loop.link(device, (event: LinkEvent) => void seen.push(event.kind));
    return seen;
  };

  test("events come, at the latest LINK_EVERY_MS later", () => {
    const { loop, clock } = setUp();
    const { left, right } = link();
    const seen = kinds(loop, right);
    loop.turn();
    left.setUp(false);
    loop.turn();
    expect(seen).toEqual([]);
    clock.advance(LINK_EVERY_MS);
    expect(loop.turn()).toBe(true);
    expect(seen).toEqual(["down"]);
  });

  test("a device that is gone leaves after it said so, and the loop does not spin on it", () => {
    const { loop, clock, errors } = setUp();
    const { left, right, send } = link();
    const seen = kinds(loop, right);
    loop.receive(right, () => {});
    send(1);
    loop.turn();
    left.vanish("deleted");
    clock.advance(LINK_EVERY_MS);
    loop.turn();
    expect(seen).toEqual(["gone"]);
    expect(loop.statistics().devices).toBe(0);
    expect(loop.turn()).toBe(false);
    expect(errors).toEqual([]);
  });

  test("a device that goes unheard is reported", () => {
    const { loop, errors } = setUp();
    const { left, right } = link();
    loop.receive(right, () => {});
    left.vanish("deleted");
    loop.turn();
    expect(errors[0]!.text).toContain('device "right" is gone: deleted');
    expect(() => loop.receive(right, () => {})).toThrow('device "right" is closed');
  });

  test("the same handler twice is two subscriptions", () => {
    const { loop } = setUp();
    const { right, left } = link();
    let seen = 0;
    const handler = () => void (seen += 1);
    const first = loop.link(right, handler);
    loop.link(right, handler);
    first.close();
    left.setUp(false);
    loop.turn();
    expect(seen).toBe(1);
  });
});

describe("senders", () => {
  test("are flushed each turn while they are added", () => {
    const { loop } = setUp();
    const { left, right } = link();
    const transmitter = new Transmitter(left.queues[0]!);
    loop.add(left);
    loop.every(1, () => void transmitter.sendBytes(Uint8Array.of(1)));
    loop.turn(1001);
    expect(right.queues[0]!.fillChunks).toBeGreaterThan(0);
    expect(left.statistics().txPackets).toBe(1);
    loop.remove(left);
    loop.remove(left);
    loop.turn(1002);
    expect(left.statistics().txPackets).toBe(1);
    expect(loop.statistics().devices).toBe(0);
  });
});

describe("signals", () => {
  test("run in a turn, once however often they came, and not after they were taken off", () => {
    const { loop, signals } = setUp();
    let seen = 0;
    const subscription = loop.signal("SIGUSR1", () => void (seen += 1));
    signals.raise("SIGUSR1");
    signals.raise("SIGUSR1");
    expect(seen).toBe(0);
    expect(loop.turn()).toBe(true);
    expect(seen).toBe(1);
    expect(loop.turn()).toBe(false);
    signals.raise("SIGUSR1");
    subscription.close();
    expect(signals.listeners("SIGUSR1")).toBe(0);
    loop.turn();
    expect(seen).toBe(1);
  });

  test("a thrower is reported, and its neighbours run", () => {
    const { loop, signals, errors } = setUp();
    let seen = 0;
    loop.signal("SIGINT", () => {
      throw new Error("no");
    });
    loop.signal("SIGINT", () => void (seen += 1));
    signals.raise("SIGINT");
    loop.turn();
    expect(seen).toBe(1);
    expect(errors[0]!.source).toEqual({ kind: "signal", name: "SIGINT" });
  });

  test("need a source", () => {
    const clock = new VirtualClock();
    const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
    expect(() => loop.signal("SIGINT", () => {})).toThrow("without a source of signals");
  });
});

describe("running", () => {
  const ends = async (promise: Promise<void>): Promise<boolean> => {
    let ended = false;
    void promise.then(() => (ended = true));
    for (let i = 0; i < 5; i++) await Promise.resolve();
    return ended;
  };

  test("stops from a handler, a timer, a signal and from outside", async () => {
    const stoppers: ((context: ReturnType<typeof setUp>) => void)[] = [
      ({ loop }) => {
        const { right, send } = link();
        loop.receive(right, () => loop.stop());
        send(1);
      },
      ({ loop }) => void loop.after(0, () => loop.stop()),
      ({ loop, signals }) => {
        loop.signal("SIGINT", () => loop.stop());
        signals.raise("SIGINT");
      },
      ({ loop }) => queueMicrotask(() => loop.stop()),
      ({ loop }) => queueMicrotask(() => loop.close()),
    ];
    for (const stopper of stoppers) {
      const context = setUp();
      stopper(context);
      const running = context.loop.run();
      expect(await ends(running)).toBe(stopper === stoppers[4]);
      context.waiter.step(2);
      expect(await ends(running)).toBe(true);
      expect(context.loop.running).toBe(false);
      expect(context.waiter.step()).toBe(false);
    }
  });

  test("runs again after a stop; a second run gives the same promise", async () => {
    const { loop, waiter } = setUp();
    loop.stop();
    const first = loop.run();
    expect(loop.run()).toBe(first);
    expect(waiter.step(3)).toBe(true);
    loop.stop();
    waiter.step();
    await first;
    const second = loop.run();
    expect(second).not.toBe(first);
    expect(waiter.step(3)).toBe(true);
    loop.stop();
    waiter.step();
    await second;
  });

  test("spin never sleeps; sleep sleeps at once; adaptive after spinMs without a frame", () => {
    const spin = setUp({ mode: "spin" });
    void spin.loop.run();
    spin.waiter.step(100);
    expect(spin.waiter.sleeps).toEqual([]);

    const sleep = setUp({ mode: "sleep" });
    void sleep.loop.run();
    sleep.waiter.step(3);
    expect(sleep.waiter.sleeps).toEqual([10, 10, 10]);

    const adaptive = setUp({ spinMs: 0.1, napMs: 2 });
    const { right, send } = link();
    adaptive.loop.receive(right, () => {});
    void adaptive.loop.run();
    for (let i = 0; i < 9; i++) {
      adaptive.clock.advance(0.01);
      adaptive.waiter.step();
    }
    expect(adaptive.waiter.sleeps).toEqual([]);
    adaptive.clock.advance(0.02);
    adaptive.waiter.step();
    expect(adaptive.waiter.sleeps).toEqual([2]);
    send(1);
    adaptive.waiter.step(2);
    expect(adaptive.waiter.sleeps).toEqual([2]);
  });

  test("a sleep ends at the next timer, and what it woke for is handled before the loop yields", () => {
    const { loop, waiter, clock } = setUp({ mode: "sleep" });
    const { right, send } = link();
    const seen: number[] = [];
    loop.receive(right, () => void seen.push(clock.nowMs()));
    loop.after(3, () => void seen.push(-clock.nowMs()));
    waiter.onSleep = () => send(1);
    void loop.run();
    waiter.step();
    expect(waiter.sleeps).toEqual([3]);
    expect(seen).toEqual([1003, -1003]);
  });

  test("the waiter watches the descriptors of the devices that are in the loop", () => {
    const { loop, waiter } = setUp({ mode: "sleep" });
    const { left, right } = link();
    const a: Device = altered<Device>(left, { fds: [7, 8] });
    const b: Device = altered<Device>(right, { fds: [9] });
    const subscription = loop.receive(a, () => {});
    loop.add(b);
    void loop.run();
    waiter.step(2);
    subscription.close();
    waiter.step(2);
    expect(waiter.watched).toEqual([[7, 8, 9], [9]]);
  });

  test("servers, promises and timers of the runtime live beside it", async () => {
    const clock = { nowMs: () => performance.now() };
    const waiter = {
      watch() {},
      yield: (turn: () => void) => void setImmediate(turn),
      sleep() {},
      close() {},
    };
    using loop = new Loop({ clock, waiter, mode: "spin" });
    const { left, right, send } = link();
    loop.receive(right, (frame) => frame.send());
    loop.receive(left, (frame) => frame.send());
    send(50);
    await using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("alive") });
    let ticks = 0;
    const ticking = setInterval(() => void (ticks += 1), 1);
    const running = loop.run();
    for (let i = 0; i < 20; i++) expect(await (await fetch(server.url)).text()).toBe("alive");
    while (ticks < 5) await Bun.sleep(1);
    clearInterval(ticking);
    loop.stop();
    await running;
    expect(loop.statistics().packets).toBeGreaterThan(100);
  });

  test("close is idempotent, ends everything, leaves devices open", () => {
    const { loop, waiter, signals } = setUp();
    const { right, send } = link();
    let seen = 0;
    const subscription = loop.receive(right, () => void (seen += 1));
    loop.signal("SIGINT", () => {});
    const timer = loop.every(1, () => void (seen += 1));
    loop.close();
    loop.close();
    send(1);
    expect([timer.active, subscription.active, signals.listeners("SIGINT"), waiter.closed]).toEqual([
      false,
      false,
      0,
      1,
    ]);
    expect(right.open).toBe(true);
    for (const use of [
      () => loop.turn(),
      () => loop.run(),
      () => loop.after(1, () => {}),
      () => loop.receive(right, () => {}),
    ]) {
      expect(use).toThrow("this loop is closed");
    }
    expect(seen).toBe(0);
  });

  test("a handler may close the loop", () => {
    const { loop } = setUp();
    const { right, send } = link();
    let seen = 0;
    loop.receive(right, () => {
      seen += 1;
      loop.close();
    });
    send(5);
    loop.turn();
    expect(seen).toBe(1);
    settled(right);
  });

  test("refuses options that make no sense", () => {
    for (const options of [
      { burst: 17 },
      { burst: 64.5 },
      { burst: 2000 },
      { spinMs: -1 },
      { napMs: 0 },
      { napMs: Number.NaN },
    ]) {
      expect(() => setUp(options)).toThrow(RangeError);
    }
    expect(() => setUp({ mode: "lazy" as "spin" })).toThrow(TypeError);
    const { loop } = setUp();
    const { right } = link();
    for (const bad of [undefined, 5, {}]) {
      expect(() => loop.receive(right, bad as unknown as () => void)).toThrow(TypeError);
      expect(() => loop.bursts(right, bad as unknown as () => void)).toThrow(TypeError);
      expect(() => loop.link(right, bad as unknown as () => void)).toThrow(TypeError);
      expect(() => loop.after(1, bad as unknown as () => void)).toThrow(TypeError);
      expect(() => loop.signal("SIGINT", bad as unknown as () => void)).toThrow(TypeError);
    }
    expect(loop.statistics().devices).toBe(0);
  });
});

describe("hostile use", () => {
  test.each([
    [{ burst: null }, /burst/],
    [{ napMs: "5" }, /napMs/],
    [{ mode: 3 }, /mode/],
    [{ spin: 1 }, /no option "spin"/],
  ])("options %p are refused by name", (options, text) => {
    expect(() => setUp(options as never)).toThrow(text);
  });

  test.each([["5"], [[5]], [null], [undefined], [{}]])("a timer of %p is a TypeError", (ms) => {
    const { loop } = setUp();
    expect(() => loop.after(ms as never, () => {})).toThrow(TypeError);
    expect(() => loop.every(ms as never, () => {})).toThrow(TypeError);
    expect(loop.nextTimerMs).toBe(Infinity);
  });

  test.each([[null], [undefined], [5], [{}]])("a device that is %p is a TypeError", (device) => {
    const { loop } = setUp();
    expect(() => loop.receive(device as never, () => {})).toThrow(/serves devices/);
    expect(() => loop.add(device as never)).toThrow(/serves devices/);
  });

  test.each([["text"], [new Uint16Array(40)], [null]])("a packet that is %p is a TypeError", (packet) => {
    const [left] = createLink({ chunkCount: 64 });
    const transmitter = new Transmitter(left.queues[0]!);
    expect(() => transmitter.sendBytes(packet as never)).toThrow(TypeError);
    expect(expectWhole(left.umem)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
  });
});
