/** Hostile programs on real devices: errors have names, frames come back, and the device works as if nothing had happened. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  attach,
  type AttachOptions,
  type Frame,
  FrameEndedError,
  type Lease,
  Loop,
  OwnerError,
  SystemError,
  Umem,
  type XdpDevice,
} from "../../index.ts";
import { Lab } from "../support/lab.ts";
import { openEnd, sendNumbered, SMALL_BYTES, turnUntilQuiet } from "../support/pair.ts";
import { resources } from "../support/resources.ts";
import { numberOf, settleAccounts, stream, turnUntil } from "../support/stream.ts";
import { skipWithoutLab } from "../support/skip.ts";

describe.skipIf(skipWithoutLab(Lab.unavailable()))("hostile use", () => {
  let lab: Lab;
  beforeAll(() => {
    lab = Lab.create({ quiet: true });
  });
  afterAll(() => lab.close());

  /** Two devices and a loop; afterwards nothing is lent, kept or on its way, and a stream still runs whole. */
  const between = (
    work: (a: XdpDevice, b: XdpDevice, loop: Loop, errors: unknown[]) => void,
    options: AttachOptions = {},
  ): void => {
    using a = openEnd(lab, "a");
    using b = openEnd(lab, "b", options);
    const errors: unknown[] = [];
    {
      using loop = new Loop({ mode: "spin", onError: (error) => void errors.push(error) });
      loop.add(a);
      work(a, b, loop, errors);
    }
    settleAccounts(a, b);
    stream(a, b, { count: 500, length: () => SMALL_BYTES, window: 64 });
    settleAccounts(a, b);
  };

  test("whatever attach is told on a real interface: a device that works, or a named error and nothing left", () => {
    using a = openEnd(lab, "a");
    const odd = fc.constantFrom<unknown>(null, -1, 0.5, "x", {}, [], Number.NaN, 2 ** 40);
    const mostly = <T>(...good: T[]) =>
      fc.oneof({ arbitrary: fc.constantFrom<unknown>(...good), weight: 12 }, { arbitrary: odd, weight: 1 });
    const options = fc.record(
      {
        queues: mostly<unknown>("all", [0], [1], [0, 1]),
        claim: mostly<unknown>("everything", { ethertype: 0x88b5 }, [], [{ udp: 1 }, { ethertype: 0x88b5 }]),
        xdp: mostly("auto", "native", "generic"),
        bind: mostly("auto", "copy", "copy", "zero-copy"),
        chunks: mostly(2, 64, 4096, 1),
        chunkBytes: mostly(2048, 4096),
        headroomBytes: mostly(0, 128, 1727, 1728),
        rings: mostly<unknown>(
          {},
          { rx: 64 },
          { tx: 0 },
          { rx: 0 },
          { tx: 32, completion: 64, fill: 8, rx: 1 },
        ),
        needWakeup: mostly(true, false),
        multiBuffer: mostly(true, false),
      },
      { requiredKeys: [] },
    );
    const before = resources();
    let made = 0;
    let refused = 0;
    const run = (given: object): void => {
      let b: XdpDevice;
      try {
        b = attach(lab.b.name, { namespace: lab.namespace("b"), ...given });
      } catch (error) {
        refused += 1;
        if (!(error instanceof SystemError || error instanceof TypeError || error instanceof RangeError))
          throw error;
        return;
      }
      made += 1;
      sendNumbered(a, 3);
      using loop = new Loop({ mode: "spin" });
      loop.receive(b, (frame) => void frame.send());
      for (let turn = 0; turn < 50; turn++) loop.turn();
      b.umem.accounts();
      b.close();
      settleAccounts(a);
    };
    fc.assert(fc.property(options, run), { numRuns: 60 });
    expect(made).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(5);
    expect(resources()).toEqual(before);
    using b = openEnd(lab, "b");
    stream(a, b, { count: 100, length: () => SMALL_BYTES });
    settleAccounts(a, b);
  }, 60_000);

  describe("use after the end", () => {
    const USES: Readonly<Record<string, (frame: Frame, device: XdpDevice) => unknown>> = {
      at: (frame) => frame.at,
      length: (frame) => frame.length,
      head: (frame) => frame.head,
      chunks: (frame) => frame.chunks,
      chunkAt: (frame) => frame.chunkAt(0),
      chunkLength: (frame) => frame.chunkLength(0),
      copy: (frame) => frame.copy(),
      adjustHead: (frame) => frame.adjustHead(1),
      adjustTail: (frame) => frame.adjustTail(1),
      send: (frame) => frame.send(),
      forward: (frame, device) => frame.forward(device),
      pass: (frame) => frame.pass(),
      keep: (frame) => frame.keep(),
      drop: (frame) => frame.drop(),
    };
    const ENDS: Readonly<Record<string, readonly [(frame: Frame, device: XdpDevice) => unknown, RegExp]>> = {
      returned: [() => {}, /its handler has returned/],
      sent: [(frame) => frame.send(), /it was sent/],
      forwarded: [(frame, device) => frame.forward(device), /it was forwarded/],
      passed: [(frame) => frame.pass(), /it was passed/],
      kept: [(frame) => frame.keep().release(), /it was kept/],
      dropped: [(frame) => frame.drop(), /it was dropped/],
    };

    test.each(Object.keys(ENDS))("of a frame that was %s: every verb says so", (end) => {
      between((a, b, loop, errors) => {
        const [finish, text] = ENDS[end]!;
        const tried: string[] = [];
        let last: Frame | undefined;
        const useAll = (frame: Frame): void => {
          for (const [name, use] of Object.entries(USES)) {
            try {
              use(frame, a);
            } catch (error) {
              expect(error).toBeInstanceOf(FrameEndedError);
              expect((error as Error).message).toMatch(text);
              tried.push(name);
            }
          }
          expect(frame.live).toBe(false);
        };
        loop.receive(b, (frame) => {
          // What is forwarded to the other end comes back here.
          if (last !== undefined) return;
          expect(finish(frame, a) ?? true).toBeTruthy();
          if (end !== "returned") useAll(frame);
          last = frame;
        });
        sendNumbered(a, 1);
        turnUntil(loop, "the packet", () => last !== undefined);
        if (end === "returned") useAll(last!);
        turnUntilQuiet(loop);
        expect(errors).toEqual([]);
        expect(tried).toEqual(Object.keys(USES));
      });
    });

    test("of a lease: released twice, used after release, sent twice", () => {
      between((a, b, loop, errors) => {
        const leases: Lease[] = [];
        loop.receive(b, (frame) => void leases.push(frame.keep()));
        sendNumbered(a, 2);
        turnUntil(loop, "two leases", () => leases.length === 2);
        const [released, sent] = leases as [Lease, Lease];
        const { at } = released;
        released.release();
        expect(() => released.release()).toThrow(FrameEndedError);
        expect(() => released.at).toThrow(/dropped or released/);
        expect(() => b.umem.release(at)).toThrow(OwnerError);
        expect(() => b.umem.keep(at)).toThrow(OwnerError);
        expect(sent.send()).toBe(true);
        expect(() => sent.send()).toThrow(/it was sent/);
        expect(() => sent.release()).toThrow(/it was sent/);
        turnUntilQuiet(loop);
        expect(errors).toEqual([]);
      });
    });
  });

  test("the queue itself refuses what is not ours, with its rings untouched", () => {
    between((_a, b) => {
      const queue = b.queues[0]!;
      const held = b.umem.take();
      const bad: readonly (readonly [number, number])[] = [
        [held, 0],
        [held, -60],
        [held, 0.5],
        [held, Number.NaN],
        [held, b.umem.chunkBytes],
        [held + 2 ** 32, 60],
        [-4096, 60],
        [b.umem.bytes.length, 60],
        [held + b.umem.chunkBytes, 60],
        [Number.NaN, 60],
      ];
      const before = b.umem.accounts();
      for (const [address, length] of bad) {
        expect(() => queue.send(address, length, false)).toThrow(/cannot send/);
        // Passing reads memory by its address: a wrong one would hand the kernel what lies next to the umem.
        expect(() => queue.pass(address, length)).toThrow(/cannot pass/);
      }
      expect(b.umem.accounts()).toEqual(before);
      expect(queue.outstanding().tx).toBe(0);
      expect(b.statistics()).toMatchObject({ txPackets: 0, txBytes: 0, txFull: 0 });
      b.umem.release(held);
    });
  });

  describe("handlers", () => {
    test("that throw each time: every error is counted, every frame comes back", () => {
      between((a, b, loop, errors) => {
        let calls = 0;
        loop.receive(b, (frame) => {
          calls += 1;
          // What it had done with the frame by then must count as well.
          if (calls % 3 === 0) frame.send();
          if (calls % 3 === 1) frame.drop();
          throw new Error(`no ${calls}`);
        });
        for (let sent = 0; sent < 1000; sent += 100) {
          sendNumbered(a, 100, sent);
          turnUntil(loop, "a hundred calls", () => calls >= sent + 100);
        }
        turnUntilQuiet(loop);
        expect(errors.length).toBe(calls);
        expect(loop.statistics().handlerErrors).toBe(calls);
      });
    });

    test("that keep everything: the pool runs dry, counters tell, nothing hangs, all works after the release", () => {
      const chunks = 256;
      between(
        (a, b, loop, errors) => {
          const leases: Lease[] = [];
          loop.receive(b, (frame) => void leases.push(frame.keep()));
          for (let round = 0; round < 20; round++) {
            sendNumbered(a, 32, round * 32);
            turnUntilQuiet(loop, 200);
            settleAccounts(a);
          }
          expect(leases.length).toBe(chunks);
          expect(b.umem.accounts()).toMatchObject({ pool: 0, fill: 0, kept: chunks });
          const [queue] = b.statistics().queues;
          expect(queue!.poolEmpty).toBeGreaterThan(0);
          expect(b.statistics().rxDropped).toBeGreaterThan(0);
          expect(leases.length + b.statistics().rxDropped).toBe(20 * 32);
          expect(b.umem.take()).toBe(-1);
          // What it keeps are the first packets, unharmed.
          leases.forEach((lease, n) => expect(numberOf(lease.copy())).toBe(n));
          // A kept frame can still be sent although the pool is dry.
          expect(leases.pop()!.send()).toBe(true);
          for (const lease of leases) lease.release();
          turnUntilQuiet(loop, 200);
          expect(errors).toEqual([]);
        },
        { chunks },
      );
    });

    test("that never give back what they keep, and close: the memory goes, late uses are errors, not crashes", () => {
      const before = resources();
      using a = openEnd(lab, "a");
      const b = openEnd(lab, "b");
      using loop = new Loop({ mode: "spin" });
      loop.add(a);
      const leases: Lease[] = [];
      loop.receive(b, (frame) => void leases.push(frame.keep()));
      sendNumbered(a, 50);
      turnUntil(loop, "50 leases", () => leases.length === 50);
      const bytes = b.umem.bytes;
      b.close();
      expect(bytes.length).toBe(0);
      const [first, second, third, fourth] = leases as [Lease, Lease, Lease, Lease];
      expect(() => first.view.getUint8(0)).toThrow(TypeError);
      first.release();
      for (const use of [() => second.send(), () => third.copy(), () => fourth.pass(), () => fourth.keep()]) {
        expect(use).toThrow(/closed|detached/);
      }
      settleAccounts(a);
      a.close();
      expect(resources()).toEqual(before);
    });

    test("that keep frames of a shared umem beyond their device: still theirs, and good on the other device", () => {
      using wide = Lab.create({ quiet: true, pairs: 2 });
      using umem = new Umem({ chunks: 4096 });
      const on = (side: "a" | "b", pair: number): XdpDevice =>
        attach(wide.pairs[pair]![side].name, {
          namespace: wide.namespace(side),
          bind: "copy",
          ...(side === "b" ? { umem } : {}),
        });
      using outside = on("a", 0);
      using inside = on("a", 1);
      using left = on("b", 0);
      using right = on("b", 1);
      using loop = new Loop({ mode: "spin" });
      for (const device of [outside, right]) loop.add(device);
      const leases: Lease[] = [];
      loop.receive(left, (frame) => void leases.push(frame.keep()));
      sendNumbered(outside, 40);
      turnUntil(loop, "40 leases", () => leases.length === 40);
      left.close();
      expect(umem.accounts()).toMatchObject({ kept: 40, lent: 0 });
      const numbers: number[] = [];
      loop.receive(inside, (frame) => void numbers.push(numberOf(frame.copy())));
      for (const lease of leases) expect(lease.forward(right)).toBe(true);
      turnUntil(loop, "all of them at the other end", () => numbers.length === 40);
      expect(numbers).toEqual(Array.from({ length: 40 }, (_, n) => n));
      settleAccounts(right, inside, outside);
    });

    test.each([false, true])("that close the device in the middle of a burst (shared umem: %p)", (shared) => {
      using wide = Lab.create({ quiet: true, pairs: 2 });
      using umem = new Umem({ chunks: 2048 });
      const errors: unknown[] = [];
      using a = attach(wide.a.name, { namespace: wide.namespace("a"), bind: "copy" });
      using other = attach(wide.pairs[1]!.b.name, { namespace: wide.namespace("b"), bind: "copy", umem });
      const open = (): XdpDevice =>
        attach(wide.b.name, { namespace: wide.namespace("b"), bind: "copy", ...(shared ? { umem } : {}) });
      using b = open();
      using loop = new Loop({ mode: "spin", onError: (error) => void errors.push(error) });
      loop.add(a);
      let calls = 0;
      loop.receive(b, (frame) => {
        calls += 1;
        if (calls < 5) return;
        b.close();
        if (shared) {
          expect(numberOf(frame.copy())).toBe(calls - 1);
          expect(frame.send()).toBe(false);
        } else {
          expect(() => frame.view.getUint8(frame.at)).toThrow(TypeError);
          expect(() => frame.send()).toThrow(/closed/);
        }
      });
      sendNumbered(a, 32);
      turnUntil(loop, "the fifth frame", () => calls >= 5);
      turnUntilQuiet(loop, 200);
      expect(calls).toBe(5);
      expect(errors).toEqual([]);
      expect(loop.statistics().devices).toBe(1);
      // Every frame of the broken-off burst is back, none marked as the property of a socket that no longer is.
      expect(umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0, total: 2048 });
      using again = open();
      stream(a, again, { count: 100, length: () => SMALL_BYTES });
      settleAccounts(a, again, other);
    });

    test("that stop the loop, unsubscribe, attach another device, and close the loop", async () => {
      using wide = Lab.create({ quiet: true, pairs: 2 });
      using a = attach(wide.a.name, { namespace: wide.namespace("a"), bind: "copy" });
      using b = attach(wide.b.name, { namespace: wide.namespace("b"), bind: "copy" });
      const errors: unknown[] = [];
      using loop = new Loop({ mode: "spin", onError: (error) => void errors.push(error) });
      loop.add(a);
      using more = new DisposableStack();
      let calls = 0;
      const subscription = loop.receive(b, () => {
        calls += 1;
        loop.stop();
        subscription.close();
        const where = { namespace: wide.namespace("b"), bind: "copy" } as const;
        const added = more.use(attach(wide.pairs[1]!.b.name, where));
        loop.receive(added, () => {});
      });
      sendNumbered(a, 10);
      await loop.run();
      expect(calls).toBe(1);
      expect(loop.statistics().devices).toBe(2);
      loop.receive(b, () => {
        calls += 1;
        loop.close();
      });
      sendNumbered(a, 10);
      await loop.run();
      expect(calls).toBe(2);
      expect(errors).toEqual([]);
      settleAccounts(a, b);
    });
  });

  test("after close: verbs do nothing or say why, statistics are those of the end, whoever has the descriptor's number now", () => {
    using a = openEnd(lab, "a");
    const b = openEnd(lab, "b");
    stream(a, b, { count: 100, length: () => SMALL_BYTES });
    const queue = b.queues[0]!;
    const device = b.statistics();
    const socket = queue.statistics();
    b.close();
    b.close();
    // This one takes over the descriptors' numbers, and has counters of its own.
    using again = openEnd(lab, "b", { rings: { rx: 8, fill: 16 } });
    sendNumbered(a, 60);
    settleAccounts(a);
    expect(again.statistics().rxDropped).toBeGreaterThan(0);
    expect(b.statistics()).toEqual(device);
    expect(queue.statistics()).toEqual(socket);
    expect(b.open).toBe(false);
    expect(b.takeLinkEvent()).toBeUndefined();
    expect(queue.reserve(1)).toBe(false);
    expect(() => queue.send(256, 60, false)).toThrow(/closed/);
    expect(() => queue.pass(256, 60)).toThrow(/closed/);
    expect(() => b.setClaims("everything")).toThrow(/closed/);
    using loop = new Loop();
    expect(() => loop.receive(b, () => {})).toThrow(/closed/);
    settleAccounts(a, again);
  });

  test("claims that make no sense change nothing while traffic flows", () => {
    between((a, b) => {
      b.setClaims({ ethertype: 0x88b5 });
      for (const wrong of [
        null,
        5,
        "all",
        [{}],
        { udp: 0 },
        { port: 1, arp: true },
        [{ udp: 5 }, undefined],
      ]) {
        const kind = /claim/;
        expect(() => b.setClaims(wrong as never)).toThrow(kind);
        expect(b.claims).toEqual({ ethertype: 0x88b5 });
      }
      stream(a, b, { count: 200, length: () => SMALL_BYTES });
    });
  });
});
