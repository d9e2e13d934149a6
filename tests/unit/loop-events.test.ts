/** The events of a loop as bursts that are pulled: order, what they hold, and frames that are accounted for exactly. */
import { describe, expect, test } from "bun:test";
import { createLink, type LinkOptions } from "../../stack/device/memory.ts";
import type { Device } from "../../stack/device/device.ts";
import { FrameEndedError, type Frame, type Lease } from "../../stack/device/frame.ts";
import { LoopbackDevice } from "../../stack/device/loopback.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { ErrorSource } from "../../stack/loop/errors.ts";
import type { LoopEvent } from "../../stack/loop/events.ts";
import { MAX_WAITING_EVENTS, type BurstEvent } from "../../stack/loop/eventstream.ts";
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

const settled = (...devices: Device[]): void => {
  for (const { umem } of devices) expect(expectWhole(umem)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
};

const microtasks = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

/** The next burst of `stream`, with the loop's steps taken by hand until it comes; undefined at the end. */
const pull = async <E>(
  stream: AsyncIterator<readonly E[]>,
  waiter: ManualWaiter,
  steps = 20,
): Promise<readonly E[] | undefined> => {
  let result: IteratorResult<readonly E[]> | undefined;
  const asked = stream.next().then((next) => (result = next));
  for (let i = 0; i < steps && result === undefined; i++) {
    waiter.step();
    await microtasks();
  }
  if (result === undefined) throw new Error(`nothing came in ${steps} steps`);
  await asked;
  return result.done === true ? undefined : result.value;
};

const firstByte = (frame: Frame): number => frame.bytes[frame.at]!;

const names = (burst: readonly BurstEvent[] | undefined): string[] =>
  (burst ?? []).map((event) => {
    if (event.kind === "frame") return `frame ${event.device.name} ${firstByte(event.frame)}`;
    if (event.kind === "link") return `link ${event.device.name} ${event.change.kind}`;
    return event.kind === "signal" ? `signal ${event.name}` : event.kind;
  });

describe("bursts of events", () => {
  test("hold what a turn brought, in its order: frames, links, ticks, signals, and what was emitted in between", async () => {
    const { loop, waiter, signals, clock } = setUp();
    const a = link({ names: ["left", "a"] });
    const b = link({ names: ["left", "b"] });
    interface Note extends LoopEvent {
      readonly kind: "note";
      readonly text: string;
    }
    const note = (text: string): Note => ({ kind: "note", text, atMs: loop.now });
    const stream = loop.events<Note>({ devices: [a.right, b.right], signals: ["SIGINT"], everyMs: 50 });
    const late = link();
    loop.receive(late.right, () => loop.emit(note("from a handler")));
    loop.after(50, () => loop.emit(note("from a timer")));
    a.send(2);
    b.send(1, 7);
    late.send(1);
    a.left.setUp(false);
    signals.raise("SIGINT");
    clock.advance(50);
    const burst = await pull(stream, waiter);
    const seen: string[] = [];
    for (const event of burst!) {
      if (event.kind === "note") seen.push(`note ${event.text}`);
      else seen.push(...names([event]));
      expect(event.atMs).toBe(1050);
    }
    const frames = seen.slice(0, 4);
    expect(frames.filter((name) => name.startsWith("frame a"))).toEqual(["frame a 0", "frame a 1"]);
    expect(frames.toSorted()).toEqual(["frame a 0", "frame a 1", "frame b 7", "note from a handler"]);
    expect(seen.slice(4)).toEqual(["link a down", "tick", "note from a timer", "signal SIGINT"]);
    await stream.return();
    settled(a.right, b.right, late.right);
  });

  test("lend frames until the next burst is asked for, then settle and flush them", async () => {
    const { loop, waiter } = setUp();
    const { left, right, send } = link();
    const stream = loop.events({ devices: [right] });
    send(5);
    const burst = (await pull(stream, waiter))!;
    expect(names(burst)).toEqual([0, 1, 2, 3, 4].map((i) => `frame right ${i}`));
    const frames = burst.map((event) => (event.kind === "frame" ? event.frame : undefined)!);
    expect(expectWhole(right.umem).lent).toBe(5);
    await microtasks();
    expect(frames[0]!.send()).toBe(true);
    const lease: Lease = frames[1]!.keep();
    frames[2]!.drop();
    expect(right.statistics().txPackets).toBe(0);
    send(1, 9);
    const second = await pull(stream, waiter);
    expect(right.statistics().txPackets).toBe(1);
    expect(left.umem.accounts().lent).toBe(0);
    expect(expectWhole(right.umem)).toMatchObject({ lent: 1, kept: 1 });
    expect(names(second)).toEqual(["frame right 9"]);
    expect(() => frames[4]!.at).toThrow(FrameEndedError);
    expect(firstByte(lease)).toBe(1);
    lease.release();
    await stream.return();
    settled(left, right);
    expect(loop.statistics()).toMatchObject({ packets: 6, devices: 0 });
  });

  test("forward to devices that are not in the loop, in place and as copies", async () => {
    for (const shared of [false, true]) {
      const { loop, waiter } = setUp();
      const from = link({ shared });
      const to = shared ? link({ umems: [from.right.umem, from.left.umem] }) : link();
      const stream = loop.events({ devices: [from.right] });
      from.send(3);
      for (const event of (await pull(stream, waiter))!)
        if (event.kind === "frame") expect(event.frame.forward(to.left)).toBe(true);
      expect(to.left.statistics().txPackets).toBe(0);
      await stream.return();
      expect(to.left.statistics().txPackets).toBe(3);
      loop.turn();
      settled(from.right, to.left);
    }
  });

  test("carry packets of several chunks, and at most so many frames as a turn handles", async () => {
    const { loop, waiter } = setUp({ burst: 18 });
    const { left, right, send } = link({ mtu: 9000 });
    const stream = loop.events({ devices: [right] });
    const packet = Uint8Array.from({ length: 9000 }, (_, i) => i * 7);
    new Transmitter(left.queues[0]!).sendBytes(packet);
    send(100);
    const first = (await pull(stream, waiter))!;
    const event = first[0]!;
    expect(event.kind === "frame" && event.frame.copy()).toEqual(packet);
    const count = first.length;
    expect(count).toBe(18 * BURSTS_PER_TURN - Math.ceil(9000 / left.umem.roomBytes) + 1);
    expect(await pull(stream, waiter)).toHaveLength(101 - count);
    await stream.return();
    settled(left, right);
  });

  test("all queues are served", async () => {
    const { loop, waiter } = setUp();
    const [left, right] = createLink({ queues: 3 });
    for (const queue of left.queues) {
      new Transmitter(queue).sendBytes(Uint8Array.of(1));
      queue.flush();
    }
    const stream = loop.events({ devices: [right] });
    const burst = (await pull(stream, waiter))!;
    expect(burst.map((event) => event.kind === "frame" && event.frame.queue.index)).toEqual([0, 1, 2]);
    await stream.return();
    settled(right);
  });

  test("reuse their events", async () => {
    const { loop, waiter } = setUp();
    const { right, send } = link();
    const stream = loop.events({ devices: [right] });
    const seen = new Set<BurstEvent>();
    const arrays = new Set<readonly BurstEvent[]>();
    for (let i = 0; i < 10; i++) {
      send(3);
      const burst = (await pull(stream, waiter))!;
      arrays.add(burst);
      for (const event of burst) seen.add(event);
    }
    expect([seen.size, arrays.size]).toEqual([3, 2]);
    await stream.return();
  });

  test("what is emitted while one is being worked on comes in the next, bounded, and the turns go on", async () => {
    const { loop, waiter } = setUp();
    const { right, send } = link();
    const event = (i: number) => ({ kind: "note", i, atMs: 0 });
    const stream = loop.events<ReturnType<typeof event> & { kind: "note" }>({ devices: [right] });
    loop.emit(event(0));
    const first = (await pull(stream, waiter))!;
    expect(first).toHaveLength(1);
    for (let i = 0; i < MAX_WAITING_EVENTS + 3; i++) loop.emit(event(i));
    expect([first.length, stream.dropped]).toEqual([1, 3]);
    send(1);
    const second = (await pull(stream, waiter))!;
    expect(second).toHaveLength(MAX_WAITING_EVENTS + 1);
    expect(second[5]).toEqual(event(5) as never);
    expect(second.at(-1)!.kind).toBe("frame");
    await stream.return();
    settled(right);
  });
});

describe("driving by bursts", () => {
  test("sleeps in the waiter until there is something, and ticks wake it", async () => {
    const { loop, waiter } = setUp({ mode: "sleep", napMs: 10 });
    const { right, send } = link();
    const stream = loop.events({ devices: [right], everyMs: 25 });
    expect(names(await pull(stream, waiter))).toEqual(["tick"]);
    expect(waiter.sleeps).toEqual([10, 10, 5]);
    waiter.onSleep = () => send(1);
    expect(names(await pull(stream, waiter))).toEqual(["frame right 0"]);
    expect(waiter.sleeps).toEqual([10, 10, 5, 10]);
    await stream.return();
  });

  test("gives way to the runtime before each burst, also when there is always something", async () => {
    const { loop, waiter } = setUp({ mode: "sleep" });
    const stream = loop.events();
    loop.emit({ kind: "note", atMs: 0 });
    const asked = stream.next();
    let came = false;
    void asked.then(() => (came = true));
    await microtasks();
    expect(came).toBe(false);
    waiter.step();
    await microtasks();
    expect(came).toBe(true);
    expect(loop.statistics().turns).toBe(1);
    expect(waiter.sleeps).toEqual([]);
    await stream.return();
  });

  test("runs the handlers of others without waking the program", async () => {
    const { loop, waiter } = setUp();
    const { right, send } = link();
    let seen = 0;
    loop.receive(right, () => void (seen += 1));
    loop.after(0, () => void (seen += 100));
    const stream = loop.events({ everyMs: 10 });
    send(2);
    const asked = stream.next();
    waiter.step(3);
    expect(seen).toBe(102);
    await stream.return();
    expect(await asked).toEqual({ done: true, value: undefined });
  });

  test("stop lets the burst of its turn through and ends the next; run may follow", async () => {
    const { loop, waiter } = setUp();
    const { right, send } = link();
    const stream = loop.events({ devices: [right] });
    expect(loop.running).toBe(true);
    loop.after(0, () => loop.stop());
    send(2);
    expect(await pull(stream, waiter)).toHaveLength(2);
    send(2);
    expect(await pull(stream, waiter)).toBeUndefined();
    expect(await pull(stream, waiter)).toBeUndefined();
    expect(loop.running).toBe(false);
    settled(right);
    const running = loop.run();
    waiter.step(2);
    loop.stop();
    waiter.step();
    await running;
  });

  test("stop while a burst is being worked on, and while one is waited for", async () => {
    const { loop, waiter } = setUp();
    const { right, send } = link();
    const stream = loop.events({ devices: [right] });
    send(1);
    await pull(stream, waiter);
    loop.stop();
    loop.emit({ kind: "note", atMs: 0 });
    expect(await pull(stream, waiter)).toBeUndefined();
    const again = loop.events({ devices: [right] });
    const asked = again.next();
    waiter.step(2);
    loop.stop();
    waiter.step();
    expect((await asked).done).toBe(true);
    settled(right);
  });

  test("break, a throw in the body and closing the loop give every frame back and flush what was sent", async () => {
    for (const way of ["break", "throw", "close", "dispose"] as const) {
      const { loop, waiter } = setUp();
      const { right, send } = link();
      send(5);
      const iterate = async (): Promise<void> => {
        for await (const burst of loop.events({ devices: [right], signals: ["SIGINT"], everyMs: 5 })) {
          const [first] = burst;
          if (first?.kind === "frame") first.frame.send();
          if (way === "break") break;
          if (way === "throw") throw new Error("in the body");
          if (way === "close") loop.close();
          else loop.stop();
        }
      };
      const iterating = iterate();
      let outcome = "";
      void iterating.then(
        () => (outcome = "ended"),
        (error: Error) => (outcome = error.message),
      );
      for (let i = 0; i < 5 && outcome === ""; i++) {
        waiter.step();
        await microtasks();
      }
      expect(outcome).toBe(way === "throw" ? "in the body" : "ended");
      expect(right.statistics().txPackets).toBe(1);
      settled(right);
      expect([loop.running, loop.statistics().devices, loop.nextTimerMs]).toEqual([false, 0, Infinity]);
    }
  });

  test("ending while a burst is waited for takes no further turn, and others may drive at once", async () => {
    const { loop, waiter } = setUp();
    const asked = loop.events().next();
    waiter.step();
    const again = loop.events.bind(loop);
    expect(again).toThrow("does so already");
    loop.stop();
    waiter.step();
    expect((await asked).done).toBe(true);
    const stream = loop.events();
    const second = stream.next();
    await stream.return();
    expect((await second).done).toBe(true);
    const { turns } = loop.statistics();
    waiter.step();
    expect([loop.statistics().turns, waiter.step()]).toEqual([turns, false]);
    const third = loop.events();
    void third.next();
    await third.return();
    void loop.run();
    waiter.step(2);
    expect(loop.statistics().turns).toBe(turns + 2);
  });

  test("closing the loop while a burst is waited for ends the iteration", async () => {
    const { loop } = setUp();
    const asked = loop.events().next();
    loop.close();
    expect((await asked).done).toBe(true);
    expect(() => loop.events()).toThrow("this loop is closed");
  });

  test("a device that closes or is gone while its frames are held does no harm", async () => {
    for (const way of ["close", "vanish"] as const) {
      const { loop, waiter, clock, errors } = setUp();
      const { left, right, send } = link();
      const stream = loop.events({ devices: [right], everyMs: 1000 });
      send(3);
      const burst = (await pull(stream, waiter))!;
      if (way === "close") right.close();
      else left.vanish("deleted");
      expect(burst[0]!.kind === "frame" && burst[0]!.frame.send()).toBe(false);
      clock.advance(LINK_EVERY_MS);
      expect(names(await pull(stream, waiter, 30000))).toEqual([
        way === "vanish" ? "link right gone" : "tick",
      ]);
      expect(loop.statistics().devices).toBe(0);
      await stream.return();
      settled(right);
      expect(errors).toEqual([]);
    }
  });

  test("frames of a turn in which the device leaves are settled as well", async () => {
    const { loop, waiter } = setUp();
    const { left, right, send } = link();
    const stream = loop.events({ devices: [right] });
    loop.link(right, () => right.close());
    send(3);
    left.setUp(false);
    const burst = (await pull(stream, waiter))!;
    expect(burst.map((event) => event.kind)).toEqual(["frame", "frame", "frame", "link"]);
    await stream.return();
    settled(right);
  });

  test("it and run refuse each other, turn and another iteration, in clear words", async () => {
    const { loop, waiter } = setUp();
    const { right, send } = link();
    const running = loop.run();
    expect(() => loop.events()).toThrow(
      new TypeError(
        "loop.events() takes the turns of the loop itself, but loop.run() does so already: end that one first",
      ),
    );
    expect(loop.run()).toBe(running);
    loop.stop();
    waiter.step();
    await running;
    const stream = loop.events({ devices: [right] });
    expect(() => loop.run()).toThrow("loop.events() does so already");
    expect(() => loop.events()).toThrow(TypeError);
    expect(() => loop.turn()).toThrow(TypeError);
    const first = stream.next();
    const second = stream.next();
    expect(second).rejects.toThrow("ask for one at a time");
    send(1);
    waiter.step();
    expect((await first).done).toBe(false);
    await stream.return();
    expect(loop.turn()).toBe(false);
    settled(right);
  });

  test("throw() and disposal end it", async () => {
    const { loop } = setUp();
    const stream = loop.events();
    expect(stream.throw(new Error("mine"))).rejects.toThrow("mine");
    expect(loop.running).toBe(false);
    {
      await using other = loop.events();
      expect(other[Symbol.asyncIterator]()).toBe(other);
      expect(loop.running).toBe(true);
    }
    expect(loop.running).toBe(false);
  });

  test("what cannot be subscribed to leaves nothing behind", () => {
    const { loop, signals } = setUp();
    const a = link();
    const b = link();
    const taken = loop.receive(b.right, () => {});
    const bad: [unknown, RegExp][] = [
      [null, /object of options/],
      [{ device: a.right }, /no option "device"; it has devices, signals, everyMs/],
      [{ devices: a.right }, /devices of loop.events is an array/],
      [{ signals: "SIGINT" }, /signals of loop.events is an array/],
      [{ devices: [a.right, 5] }, /serves devices/],
      [{ devices: [a.right, b.right] }, /has a receiver/],
      [{ devices: [a.right, a.right] }, /has a receiver/],
      [{ devices: [a.right], signals: ["SIGINT"], everyMs: 0 }, /period/],
    ];
    for (const [options, text] of bad) {
      expect(() => loop.events(options as never)).toThrow(text);
      expect([loop.running, loop.statistics().devices, signals.listeners("SIGINT")]).toEqual([false, 1, 0]);
    }
    taken.close();
    expect(loop.turn()).toBe(false);
  });

  test("a device that throws when it is settled is reported, and the others are settled", async () => {
    const { loop, waiter, errors } = setUp();
    const [bad, good] = [new LoopbackDevice({ name: "bad" }), new LoopbackDevice({ name: "good" })];
    for (const device of [bad, good]) {
      new Transmitter(device.queues[0]).sendBytes(Uint8Array.of(1));
      device.queues[0].flush();
    }
    bad.queues[0].settle = () => {
      throw new Error("broken ring");
    };
    const stream = loop.events({ devices: [bad, good] });
    expect(await pull(stream, waiter)).toHaveLength(2);
    await stream.return();
    expect(errors.map(({ text }) => text)).toEqual(["Error: broken ring"]);
    settled(good);
  });
});

describe("left", () => {
  test("is told once when a device leaves, whatever the reason, and does not keep it", () => {
    const reasons: ((context: ReturnType<typeof setUp>, pair: ReturnType<typeof link>) => void)[] = [
      (_, { right }) => right.close(),
      (_, { left }) => left.vanish("deleted"),
      ({ loop }, { right }) => loop.remove(right),
      ({ loop }) => loop.close(),
    ];
    for (const reason of reasons) {
      const context = setUp();
      const pair = link();
      const { loop, clock } = context;
      expect(() => loop.left(pair.right, () => {})).toThrow(TypeError);
      loop.add(pair.right);
      expect(() => loop.left(pair.right, 5 as never)).toThrow(TypeError);
      let told = 0;
      const subscription = loop.left(pair.right, () => void (told += 1));
      const off = loop.left(pair.right, () => void (told += 100));
      loop.left(pair.right, () => {
        throw new Error("no");
      });
      off.close();
      loop.turn();
      expect([told, subscription.active, off.active]).toEqual([0, true, false]);
      reason(context, pair);
      clock.advance(LINK_EVERY_MS);
      if (reason !== reasons[3]) loop.turn();
      expect([told, subscription.active]).toEqual([1, false]);
      expect(context.errors.filter(({ text }) => text === "Error: no")).toHaveLength(1);
    }
  });
});
