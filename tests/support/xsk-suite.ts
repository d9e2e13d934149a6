/**
 * The coverage of the kernel's own AF_XDP test program, by its names, on any bed: order and content of every packet, and
 * every chunk accounted for at the end of each test.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { type AttachOptions, Loop, SystemError, Transmitter, Umem, type XdpDevice } from "../../index.ts";
import { MAX_RING_SIZE } from "../../ffi/xsk/ring.ts";
import { type Bed, skipBed, skipPairs, where } from "./bed.ts";
import { awaitLink, eventually, Ground } from "./ground.ts";
import type { Lab } from "./lab.ts";
import { numbered, settleAccounts, stream, turnUntil } from "./stream.ts";
import { jumboTests } from "./xsk-suite-jumbo.ts";
import { statisticsTests } from "./xsk-suite-statistics.ts";

const SMALL = 60;
const ETHERNET_BYTES = 14;
/** Queues of the tests that need several. */
const SEVERAL = 4;
/** A second of trying, and what comes before and after it; emulated cards have an emulated processor. */
const BUSY_LIMIT_MS = 3000;
const BUSY_CARD_LIMIT_MS = 15_000;

/** Runs the suite on a bed. Call it inside a test file. */
export const xskSuite = (bed: Bed): void => {
  describe.skipIf(skipBed(bed))(bed.name, () => {
    const { facts } = bed;
    const ground = new Ground(bed);
    afterAll(() => ground.close());
    const queues = Math.min(SEVERAL, bed.mostQueues());
    const window = Math.min(256, facts.inFlight);

    const open = (side: "a" | "b", options?: AttachOptions, lab?: Lab, pair?: number): XdpDevice =>
      ground.open(side, options, lab, pair);
    const between: Ground["between"] = (work, options, lab) => ground.between(work, options, lab);

    test("negotiated mode is what was asked for", () => {
      between((a) => expect(a.mode).toMatchObject({ ...bed.attach, needWakeup: true }));
    });

    test("SEND_RECEIVE", () => {
      between((a, b) => stream(a, b, { count: 4096, length: () => SMALL }));
    });

    test("SEND_RECEIVE of every size from the smallest to a full MTU", () => {
      between((a, b) => stream(a, b, { count: 1455, length: (n) => SMALL + n }));
    });

    where(bed.umem.chunkBytes === 2048)("SEND_RECEIVE_2K_FRAME", () => {
      between((a, b) => stream(a, b, { count: 4096, length: () => SMALL }), { chunkBytes: 2048 });
    });

    where(bed.umem.chunkBytes > 2048)(
      "chunks of 2048, in which the card would cut frames: EMSGSIZE says so",
      () => {
        const attempt = (): void => open("b", { chunkBytes: 2048 }).close();
        expect(attempt).toThrow(/EMSGSIZE: igb would cut them at 1024 bytes .* chunkBytes: 4096/);
        using auto = open("b", { chunkBytes: 2048, bind: "auto" });
        expect(auto.mode.bind).toBe("copy");
        expect(auto.mode.refused.map(({ error }) => error.code)).toContain("EMSGSIZE");
      },
    );

    test("SEND_RECEIVE in chunks of 4096", () => {
      between((a, b) => stream(a, b, { count: 4096, length: () => 1500 }), {
        chunkBytes: 4096,
        chunks: 4096,
      });
    });

    test("SEND_RECEIVE_SINGLE_PKT", () => {
      between((a, b) => stream(a, b, { count: 1, length: () => SMALL }));
    });

    test("POLL_RX: a sleeping loop is woken by a packet of the kernel's", async () => {
      // A lab for this alone: the kernel asks for the address again for seconds, which would disturb tests that count.
      const own = ground.freshLab();
      using b = open("b", {}, own);
      const napMs = 5000;
      using loop = new Loop({ mode: "sleep", napMs });
      const began = performance.now();
      loop.receive(b, () => loop.stop());
      own.spawn("a", ["ping", "-c1", "-W1", own.b.ipv4]);
      await loop.run();
      expect(performance.now() - began).toBeLessThan(napMs);
      expect(b.statistics().rxPackets).toBeGreaterThan(0);
      settleAccounts(b);
      b.close();
      ground.close();
    });

    test("POLL_TX: more than the ring holds goes out in turns, nothing lost", () => {
      between(
        (a, b) => stream(a, b, { count: 4096, length: () => SMALL, window: Math.min(4096, facts.inFlight) }),
        {
          rings: { rx: 4096, fill: 4096, tx: 64, completion: 64 },
          chunks: 16384,
        },
      );
    });

    test("POLL_TXQ_FULL: a full tx ring refuses, counts, and gives the chunk back", () => {
      using a = open("a", { rings: { tx: 32, completion: 32 } });
      const sender = new Transmitter(a.queues[0]!);
      let accepted = 0;
      while (sender.sendBytes(numbered(accepted, SMALL))) accepted += 1;
      expect(accepted).toBe(32);
      expect(a.statistics().txFull).toBe(1);
      expect(a.umem.accounts()).toMatchObject({ tx: 32, lent: 0 });
      settleAccounts(a);
    });

    test("UMEM_HEADROOM: packets lie behind it, and can grow into it", () => {
      between(
        (a, b) => {
          expect(b.umem.headroomBytes).toBe(256 + 128);
          stream(a, b, {
            count: 1000,
            length: () => 1500,
            then: (frame) => {
              if (frame.at % 2048 !== 256 + 128) throw new Error(`packet at ${frame.at % 2048} of its chunk`);
              if (!frame.adjustHead(-384)) throw new Error("no headroom");
              if (frame.adjustHead(-1)) throw new Error("grew out of the chunk");
            },
          });
        },
        { headroomBytes: 128 },
      );
    });

    test("TEARDOWN x10", () => {
      for (let i = 0; i < 10; i++) between((a, b) => stream(a, b, { count: 100, length: () => SMALL }));
    });

    test("BIDIRECTIONAL", () => {
      between((a, b) => {
        for (let i = 0; i < 8; i++) {
          stream(a, b, { count: 512, length: () => SMALL });
          stream(b, a, { count: 512, length: () => SMALL });
        }
      });
    });

    test("BIDIRECTIONAL at once: every packet sent back in place", () => {
      between((a, b) => {
        using loop = new Loop({ mode: "spin" });
        let back = 0;
        loop.receive(b, (frame) => void frame.send());
        loop.receive(a, () => void (back += 1));
        const sender = new Transmitter(a.queues[0]!);
        let sent = 0;
        turnUntil(loop, "all to come back", () => {
          while (sent < 4096 && sent - back < window && sender.sendBytes(numbered(sent, SMALL))) sent += 1;
          return back === 4096;
        });
        expect(b.statistics()).toMatchObject({ rxPackets: 4096, txPackets: 4096 });
      });
    });

    test("XDP_PROG_CLEANUP: no program is left, and the kernel has its traffic again", () => {
      const own = ground.freshLab();
      const programs = (): unknown =>
        JSON.parse(own.exec("b", ["ip", "-j", "-d", "link", "show", own.b.name]).stdout)[0].xdp;
      using b = open("b", {}, own);
      // iproute2 prints XDP_ATTACHED_DRV and XDP_ATTACHED_SKB as they are.
      expect(programs()).toMatchObject({
        mode: bed.attach.xdp === "native" ? 1 : 2,
        prog: { name: "steer" },
      });
      expect(own.exec("a", ["ping", "-c1", "-W1", own.b.ipv4], { check: false }).code).not.toBe(0);
      b.close();
      expect(programs()).toBeUndefined();
      awaitLink(bed, own);
      // More than once: the address that was asked for in vain is not asked for again at once.
      const answered = (): boolean =>
        own.exec("a", ["ping", "-c1", "-W1", own.b.ipv4], { check: false }).code === 0;
      expect(eventually(answered, (yes) => yes)).toBe(true);
      ground.close();
    });

    test("XDP_DROP_HALF: a receiver that takes every other packet", () => {
      between((a, b) => {
        const taken: number[] = [];
        stream(a, b, {
          count: 2048,
          length: () => SMALL,
          then: (frame, n) => (n % 2 === 0 ? frame.drop() : void taken.push(n)),
        });
        expect(taken.length).toBe(1024);
      });
    });

    test.skipIf(skipPairs(bed, 2))("XDP_SHARED_UMEM: two devices, one umem, forwarded in place", () => {
      using umem = new Umem({ chunks: 8192, ...bed.umem });
      const wide = ground.lab({ quiet: true, pairs: 2 });
      const on = (side: "a" | "b", pair: number): XdpDevice =>
        open(side, side === "b" ? { umem } : {}, wide, pair);
      using outside = on("a", 0);
      using left = on("b", 0);
      using right = on("b", 1);
      using inside = on("a", 1);
      expect(left.umem).toBe(right.umem);
      using loop = new Loop({ mode: "spin" });
      loop.receive(left, (frame) => void frame.forward(right));
      let got = 0;
      loop.receive(inside, (frame) => {
        expect(frame.view.getUint32(frame.at + ETHERNET_BYTES)).toBe(got);
        got += 1;
      });
      loop.add(outside);
      const sender = new Transmitter(outside.queues[0]!);
      let sent = 0;
      turnUntil(loop, "all to be forwarded", () => {
        while (sent < 4096 && sent - got < window && sender.sendBytes(numbered(sent, SMALL))) sent += 1;
        return got === 4096;
      });
      expect(right.statistics()).toMatchObject({ txPackets: 4096 });
      settleAccounts(outside, left, right, inside);
      left.close();
      // What the first device had is back, and the second still works on the same memory.
      expect(umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0 });
      stream(inside, right, { count: 100, length: () => SMALL });
      settleAccounts(right);
    });

    test.skipIf(queues < 2)("several queues of one device: each packet on the queue it was sent to", () => {
      const wide = ground.lab({ quiet: true, queues });
      between(
        (a, b) => {
          const numbers = Array.from({ length: queues }, (_, queue) => queue);
          expect(b.queues.map((queue) => queue.index)).toEqual(numbers);
          using loop = new Loop({ mode: "spin" });
          const seen = numbers.map(() => 0);
          loop.receive(b, (frame) => {
            // The sender put its queue's number where a stream has the packet's.
            const sentOn = frame.view.getUint32(frame.at + ETHERNET_BYTES);
            if (facts.rxQueueOf !== undefined) expect(frame.queue.index).toBe(facts.rxQueueOf(sentOn));
            seen[sentOn]! += 1;
          });
          loop.add(a);
          for (const queue of a.queues) {
            const sender = new Transmitter(queue);
            for (let n = 0; n < 100; n++) sender.sendBytes(numbered(queue.index, SMALL));
            // A card that puts all of them on one queue has room for so many at a time.
            if (!facts.immediate) turnUntil(loop, `queue ${queue.index}`, () => seen[queue.index] === 100);
          }
          turnUntil(loop, "100 packets of each queue", () => seen.every((count) => count === 100));
        },
        {},
        wide,
      );
    });

    test.skipIf(queues < 2)("one queue of several, the others stay the kernel's", () => {
      const wide = ground.lab({ quiet: true, queues });
      const one = queues >> 1;
      using b = open("b", { queues: [one] }, wide);
      expect(b.queues.map((queue) => queue.index)).toEqual([one]);
      expect(b.umem.chunkCount).toBe(4096);
      expect(() => open("b", { queues: [queues] }, wide)).toThrow(
        new RegExp(`serve queue ${queues} .*EINVAL: the device has queues 0-${queues - 1}`),
      );
    });

    test.each([8, 64, 4096, MAX_RING_SIZE])("HW_SW rings of %p entries", (size) => {
      between(
        (a, b) => stream(a, b, { count: 1000, length: () => SMALL, window: Math.min(size, window) / 2 }),
        {
          rings: { rx: size, tx: size, fill: Math.max(size, facts.leastFill), completion: size },
          chunks: 16384,
        },
      );
    });

    test("the smallest rings of all: one entry each", () => {
      between((a, b) => stream(a, b, { count: 100, length: () => SMALL, window: 1 }), {
        rings: { rx: 1, tx: 1, fill: facts.leastFill, completion: 1 },
      });
    });

    test("XDP_ADJUST_TAIL_SHRINK and GROW: the handler changes the length, the wire shows it", () => {
      between((a, b) => {
        using loop = new Loop({ mode: "spin" });
        const lengths: number[] = [];
        const deltas = [-30, +100, +1000, -1];
        loop.receive(b, (frame) => {
          expect(frame.adjustTail(deltas[frame.view.getUint32(frame.at + ETHERNET_BYTES)]!)).toBe(true);
          frame.send();
        });
        loop.receive(a, (frame) => void lengths.push(frame.length));
        const sender = new Transmitter(a.queues[0]!);
        deltas.forEach((_, n) => sender.sendBytes(numbered(n, 200)));
        turnUntil(loop, "all four", () => lengths.length === deltas.length);
        expect(lengths).toEqual(deltas.map((delta) => 200 + delta));
      });
    });

    test("a queue that another socket owns: EBUSY by name, after a second of trying, and nothing left behind", () => {
      using b = open("b");
      const began = performance.now();
      let caught: unknown;
      try {
        open("b");
      } catch (error) {
        caught = error;
      }
      expect(caught).toBeInstanceOf(SystemError);
      expect((caught as SystemError).code).toBe("EBUSY");
      expect(performance.now() - began).toBeLessThan(facts.immediate ? BUSY_LIMIT_MS : BUSY_CARD_LIMIT_MS);
      using a = open("a");
      stream(a, b, { count: 100, length: () => SMALL });
      settleAccounts(a, b);
    });

    statisticsTests(ground);
    jumboTests(ground);
  });
};
