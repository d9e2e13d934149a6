/**
 * Zero-copy sockets of one direction only, and the wakeup flags of both: the driver raises and lowers them, and frames go
 * both ways with and without them, also where the loop sleeps between two frames.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { type AttachOptions, type Frame, Loop } from "../../../index.ts";
import type { Lease } from "../../../stack/device/frame.ts";
import { Transmitter } from "../../../stack/device/transmit.ts";
import { LINK_LIMIT_MS, live, RINGS } from "../../support/bad-day.ts";
import { type Bed, cardBeds, skipBed } from "../../support/bed.ts";
import { Ground } from "../../support/ground.ts";
import { until } from "../../support/lab.ts";
import { numbered, settleAccounts, stream, turnUntil } from "../../support/stream.ts";
import { WakeupFlags } from "../../support/wakeup-flags.ts";

const TEST_MS = 240_000;
const SMALL = 60;
const COUNT = 2000;
const WINDOW = 64;
/** The fill ring holds several times what the emulated cards' rings do (256): an igb that is not filled up asks for ever. */
const FILL = 1024;
const CHUNKS = 2 * FILL;
const NARROW: AttachOptions = {
  queues: [0],
  chunks: CHUNKS,
  rings: { rx: FILL, tx: 64, fill: FILL, completion: 64 },
};

const suite = (bed: Bed): void => {
  const ground = new Ground(bed);
  afterAll(() => ground.close());
  const narrow = (options: AttachOptions = {}): AttachOptions => ({
    ...NARROW,
    ...options,
    rings: { ...NARROW.rings, ...options.rings },
  });

  test.each([true, false])(
    "a tx-only socket sends to an rx-only one, needWakeup %p",
    (needWakeup) => {
      using a = ground.open("a", narrow({ needWakeup, rings: { rx: 0 } }));
      using b = ground.open("b", narrow({ needWakeup, rings: { tx: 0 } }));
      expect([a.mode.bind, b.mode.bind]).toEqual([bed.attach.bind, bed.attach.bind]);
      expect([a.mode.needWakeup, b.mode.needWakeup]).toEqual([needWakeup, needWakeup]);
      stream(a, b, { count: COUNT, length: () => SMALL, window: WINDOW });
      settleAccounts(a, b);
      expect(a.umem.accounts()).toMatchObject({ fill: 0, tx: 0, pool: CHUNKS });
      expect(b.queues[0]!.reserve(1)).toBe(false);
      expect(b.statistics()).toMatchObject({ txPackets: 0, txFull: 1 });
      expect(a.statistics().rxPackets).toBe(0);
    },
    TEST_MS,
  );

  test(
    "the fill flag is raised when the driver finds no chunks, and lowered when it has some again",
    () => {
      using a = ground.open("a", narrow());
      using b = ground.open("b", narrow());
      using flags = new WakeupFlags(b.queues[0]!.fd);
      using loop = new Loop({ mode: "spin" });
      const kept: Lease[] = [];
      const keep = (frame: Frame): void => void kept.push(frame.keep());
      const receiver = loop.receive(b, keep);
      loop.add(a);
      const sender = new Transmitter(a.queues[0]!);
      turnUntil(
        loop,
        "the driver to ask for a wakeup",
        () => {
          if (a.umem.available > CHUNKS / 4) sender.sendBytes(numbered(0, SMALL));
          return b.umem.available === 0 && flags.fill;
        },
        LINK_LIMIT_MS,
      );
      const { rxWakeups } = b.queues[0]!.statistics();

      for (const lease of kept.splice(0)) lease.release();
      receiver.close();
      loop.receive(b, () => {});
      turnUntil(loop, "the flag to be lowered", () => !flags.fill, LINK_LIMIT_MS);
      const { rxPackets } = b.statistics();
      turnUntil(
        loop,
        "frames in the new chunks",
        () => {
          if (a.umem.available > CHUNKS / 4) sender.sendBytes(numbered(0, SMALL));
          return b.statistics().rxPackets > rxPackets + WINDOW;
        },
        LINK_LIMIT_MS,
      );
      expect(b.queues[0]!.statistics().rxWakeups).toBeGreaterThan(rxWakeups);
      settleAccounts(a, b);
    },
    TEST_MS,
  );

  test(
    "the tx flag is raised while the driver rests, and one system call starts it",
    () => {
      using a = ground.open("a", narrow());
      using b = ground.open("b", narrow());
      using flags = new WakeupFlags(a.queues[0]!.fd);
      using loop = new Loop({ mode: "spin" });
      loop.add(a);
      loop.receive(b, () => {});
      const sender = new Transmitter(a.queues[0]!);
      for (let round = 0; round < 10; round++) {
        turnUntil(loop, "the driver to rest", () => flags.tx, LINK_LIMIT_MS);
        const { txWakeups } = a.queues[0]!.statistics();
        const before = b.statistics().rxPackets;
        expect(sender.sendBytes(numbered(round, SMALL))).toBe(true);
        // Nobody else wakes it: no poll, no later turn.
        a.queues[0]!.flush();
        expect(a.queues[0]!.statistics().txWakeups).toBe(txWakeups + 1);
        turnUntil(loop, "the frame to arrive", () => b.statistics().rxPackets > before, LINK_LIMIT_MS);
        turnUntil(loop, "its completion", () => a.umem.accounts().tx === 0, LINK_LIMIT_MS);
      }
      settleAccounts(a, b);
    },
    TEST_MS,
  );

  test(
    "without needWakeup neither flag is ever raised",
    () => {
      using a = ground.open("a", narrow({ needWakeup: false }));
      using b = ground.open("b", narrow({ needWakeup: false }));
      using flags = new WakeupFlags(b.queues[0]!.fd);
      using sending = new WakeupFlags(a.queues[0]!.fd);
      let raised = 0;
      stream(a, b, {
        count: COUNT,
        length: () => SMALL,
        window: WINDOW,
        then: () => void (raised += Number(flags.fill) + Number(sending.fill)),
      });
      expect(raised).toBe(0);
      expect(b.queues[0]!.statistics().rxWakeups).toBe(0);
      settleAccounts(a, b);
    },
    TEST_MS,
  );

  test.each([true, false])(
    "a loop that sleeps gets its frames and its completions, needWakeup %p",
    (needWakeup) =>
      live(
        bed,
        ground.freshLab(),
        async ({ loop, a, b }) => {
          await Promise.all([a.traffic("in a sleeping loop"), b.traffic("in a sleeping loop")]);
          const { sleeps } = loop.statistics();
          await until("the loop to sleep", () => loop.statistics().sleeps > sleeps, LINK_LIMIT_MS);
          await Promise.all([a.traffic("after sleeps"), b.traffic("after sleeps")]);
          // More than the rings hold: completions came back all the time.
          await until(
            "more frames than a ring has entries",
            () => a.device.statistics().txPackets > 2 * RINGS.tx,
            LINK_LIMIT_MS,
          );
        },
        { attach: { needWakeup }, mode: "sleep" },
      ),
    TEST_MS,
  );
};

for (const bed of cardBeds()) describe.skipIf(skipBed(bed))(bed.name, () => suite(bed));
