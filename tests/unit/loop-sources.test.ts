/** Sources that a loop watches, and events that parts of a program tell each other through it. */
import { describe, expect, test } from "bun:test";
import type { EventSource } from "../../stack/device/routesource.ts";
import { LoopbackDevice } from "../../stack/device/loopback.ts";
import type { ErrorSource } from "../../stack/loop/errors.ts";
import { MAX_EMIT_DEPTH, MAX_EVENT_HANDLERS, type LoopEvent } from "../../stack/loop/events.ts";
import { LINK_EVERY_MS, Loop } from "../../stack/loop/loop.ts";
import type { LoopOptions } from "../../stack/loop/options.ts";
import { MAX_SOURCES } from "../../stack/loop/sources.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const setUp = (options: Partial<LoopOptions> = {}) => {
  const clock = new VirtualClock(1000);
  const waiter = new ManualWaiter(clock);
  const errors: { text: string; source: ErrorSource }[] = [];
  const onError = (error: unknown, source: ErrorSource) => void errors.push({ text: String(error), source });
  const loop = new Loop({ clock, waiter, onError, ...options });
  return { clock, waiter, errors, loop };
};

/** A source that has `backlog` events and takes at most `bound` of them at a time. */
class Backlog implements EventSource {
  readonly name: string;
  readonly fds: readonly number[];
  backlog = 0;
  bound = 4;
  asked = 0;
  constructor(name: string, ...fds: number[]) {
    this.name = name;
    this.fds = fds;
  }
  take(): number {
    this.asked += 1;
    const taken = Math.min(this.bound, this.backlog);
    this.backlog -= taken;
    return taken;
  }
}

class Readable extends LoopbackDevice {
  override readonly fds = [7];
}

describe("watched sources", () => {
  test("are asked every LINK_EVERY_MS while the loop is busy, without any device", () => {
    const { loop, clock } = setUp();
    const source = new Backlog("routes");
    loop.watch(source);
    expect(loop.turn()).toBe(false);
    for (let i = 0; i < 10; i++) loop.turn();
    expect(source.asked).toBe(1);
    clock.advance(LINK_EVERY_MS);
    source.backlog = 3;
    expect(loop.turn()).toBe(true);
    expect(source.asked).toBe(2);
    expect(loop.statistics().sourceEvents).toBe(3);
    expect(loop.statistics().linkEvents).toBe(0);
  });

  test("that had something are asked in the next turn too, until they have no more", () => {
    const { loop } = setUp();
    const source = new Backlog("routes");
    source.backlog = 10;
    loop.watch(source);
    for (let i = 0; i < 10; i++) loop.turn();
    expect(source.backlog).toBe(0);
    expect(source.asked).toBe(4);
  });

  test("end a sleep with their descriptors and are asked at once after it", () => {
    const { loop, waiter } = setUp({ mode: "sleep" });
    const source = new Backlog("routes", 11, 12);
    const subscription = loop.watch(source);
    void loop.run();
    waiter.step();
    expect(waiter.watched).toEqual([[11, 12]]);
    expect(source.asked).toBe(2);
    waiter.onSleep = () => void (source.backlog = 2);
    waiter.step();
    expect(loop.statistics().sourceEvents).toBe(2);
    waiter.onSleep = () => {};
    loop.add(new Readable());
    waiter.step(2);
    subscription.close();
    waiter.step(2);
    expect(waiter.watched).toEqual([[11, 12], [7, 11, 12], [7]]);
  });

  test("that throw are reported, asked again, and stop nobody", () => {
    const { loop, clock, errors } = setUp();
    let tries = 0;
    const fds: number[] = [];
    loop.watch({
      name: "bad",
      fds,
      take() {
        tries += 1;
        throw new Error("no buffer");
      },
    });
    const good = new Backlog("good");
    loop.watch(good);
    loop.turn();
    clock.advance(LINK_EVERY_MS);
    loop.turn();
    expect([tries, good.asked]).toEqual([2, 2]);
    expect(errors).toHaveLength(2);
    expect(errors[0]).toEqual({ text: "Error: no buffer", source: { kind: "source", name: "bad" } });
  });

  test("may be closed by a source that is asked before, and by the loop's end", () => {
    const { loop } = setUp();
    const first = new Backlog("first");
    const second = new Backlog("second");
    first.take = () => {
      onSecond.close();
      return 0;
    };
    const onFirst = loop.watch(first);
    const onSecond = loop.watch(second);
    loop.turn();
    expect([second.asked, onFirst.active, onSecond.active]).toEqual([0, true, false]);
    onSecond.close();
    loop.close();
    expect(onFirst.active).toBe(false);
    expect(() => loop.watch(first)).toThrow("this loop is closed");
  });

  test("are bounded in number, and refused where they are none", () => {
    const { loop } = setUp();
    for (const bad of [undefined, null, 5, {}, { take() {} }, { fds: [] }])
      expect(() => loop.watch(bad as never)).toThrow(TypeError);
    for (let i = 0; i < MAX_SOURCES; i++) loop.watch(new Backlog(`${i}`));
    expect(() => loop.watch(new Backlog("one more"))).toThrow(RangeError);
  });
});

describe("emitted events", () => {
  const event = (kind: string): LoopEvent => ({ kind, atMs: 1 });

  test("reach all handlers at once, in order, outside a turn as well", () => {
    const { loop } = setUp();
    const seen: string[] = [];
    loop.on((what) => void seen.push(`a ${what.kind}`));
    const same = (what: LoopEvent) => void seen.push(`b ${what.kind}`);
    const first = loop.on(same);
    loop.on(same);
    loop.emit(event("route"));
    expect(seen).toEqual(["a route", "b route", "b route"]);
    first.close();
    first.close();
    expect(first.active).toBe(false);
    loop.emit(event("mtu"));
    expect(seen.slice(3)).toEqual(["a mtu", "b mtu"]);
  });

  test("never throw: a handler that does is reported and the others hear of it", () => {
    const { loop, errors } = setUp();
    let heard = 0;
    loop.on(() => {
      throw new Error("no");
    });
    loop.on(() => void (heard += 1));
    loop.emit(event("route"));
    loop.emit(undefined as never);
    expect(heard).toBe(2);
    expect(errors.map(({ source }) => source)).toEqual([
      { kind: "event", name: "route" },
      { kind: "event", name: "undefined" },
    ]);
    expect(loop.statistics().handlerErrors).toBe(2);
  });

  test("within events are delivered at once, and an endless exchange ends with a report", () => {
    const { loop, errors } = setUp();
    const seen: string[] = [];
    loop.on((what) => {
      seen.push(`a ${what.kind}`);
      if (what.kind === "outer") loop.emit(event("inner"));
      if (what.kind === "endless") loop.emit(what);
    });
    loop.on((what) => void seen.push(`b ${what.kind}`));
    loop.emit(event("outer"));
    expect(seen).toEqual(["a outer", "a inner", "b inner", "b outer"]);
    seen.length = 0;
    loop.emit(event("endless"));
    expect(seen).toHaveLength(2 * MAX_EMIT_DEPTH);
    expect(errors).toHaveLength(1);
    expect(errors[0]!.text).toContain(`${MAX_EMIT_DEPTH} deep`);
    seen.length = 0;
    loop.emit(event("again"));
    expect(seen).toHaveLength(2);
  });

  test("handlers may add and remove others meanwhile", () => {
    const { loop } = setUp();
    const seen: string[] = [];
    loop.on(() => {
      seen.push("first");
      second.close();
      loop.on(() => void seen.push("late"));
    });
    const second = loop.on(() => void seen.push("second"));
    loop.emit(event("x"));
    expect(seen).toEqual(["first"]);
    loop.emit(event("x"));
    expect(seen).toEqual(["first", "first", "late"]);
  });

  test("end with the loop; handlers are functions, and bounded in number", () => {
    const { loop } = setUp();
    let heard = 0;
    for (const bad of [undefined, 5, {}]) expect(() => loop.on(bad as never)).toThrow(TypeError);
    const on = loop.on(() => void (heard += 1));
    for (let i = 1; i < MAX_EVENT_HANDLERS; i++) loop.on(() => {});
    expect(() => loop.on(() => {})).toThrow(RangeError);
    loop.close();
    loop.emit(event("x"));
    expect([heard, on.active]).toEqual([0, false]);
    expect(() => loop.on(() => {})).toThrow("this loop is closed");
  });
});
