/** The part of the suite of AF_XDP tests that is about frames which find no room, and the counters that say so. */
import { expect, test } from "bun:test";
import { type AttachOptions, Loop, SystemError, Transmitter } from "../../index.ts";
import { where } from "./bed.ts";
import { eventually, type Ground } from "./ground.ts";
import { turnUntilQuiet } from "./pair.ts";
import { numbered, settleAccounts, stream, turnUntil } from "./stream.ts";

const SMALL = 60;
/** Chunks that leave 1192 bytes for a packet, on interfaces of the usual MTU. */
const SMALL_CHUNKS: AttachOptions = { multiBuffer: false, headroomBytes: 600 };

/** Declares the tests; call it inside the suite of the ground's bed. */
export const statisticsTests = (ground: Ground): void => {
  const { facts } = ground.bed;
  const refusesSmallChunks = facts.smallChunks === "is refused";

  test("POLL_RXQ_FULL: a full rx ring drops and counts; what comes after the drain arrives", () => {
    ground.between(
      (a, b) => {
        const sender = new Transmitter(a.queues[0]!);
        for (let n = 0; n < 200; n++) sender.sendBytes(numbered(n, SMALL));
        const before = b.statistics().rxDropped;
        a.queues[0]!.flush();
        using loop = new Loop({ mode: "spin" });
        loop.add(a);
        turnUntil(loop, "all 200 to have left", () => a.umem.accounts().tx === 0);
        const dropped = (): number => b.statistics().rxDropped - before;
        // All that do not fit, or, where a card loses some uncounted, any.
        const beyond = 200 - 32;
        eventually(dropped, (count) => count >= (facts.countsEveryLoss ? beyond : 1));
        expect(dropped()).toBeGreaterThan(0);
        let got = 0;
        loop.receive(b, () => void (got += 1));
        turnUntilQuiet(loop, 1000);
        if (facts.countsEveryLoss) expect(got + b.statistics().rxDropped).toBe(200);
        else expect(got + b.statistics().rxDropped).toBeLessThanOrEqual(200);
        // What the ring held when it was full comes out of it, and the way is free again.
        expect(got).toBeGreaterThanOrEqual(32);
        for (let n = 0; n < 8; n++) sender.sendBytes(numbered(n, SMALL));
        const wanted = got + 8;
        turnUntil(loop, "what comes after the drain", () => got === wanted);
      },
      { rings: { rx: 32, fill: 64 } },
    );
  });

  where(!refusesSmallChunks)("STAT_RX_DROPPED: a frame larger than its chunk is counted", () => {
    // The sender has chunks that the large frame fits in: in several it could not be sent without multi-buffer.
    using a = ground.open("a", { multiBuffer: false, chunkBytes: 4096 });
    using b = ground.open("b", SMALL_CHUNKS);
    const fits = b.umem.roomBytes;
    const sender = new Transmitter(a.queues[0]!);
    sender.sendBytes(numbered(0, fits));
    sender.sendBytes(numbered(1, fits + 1));
    sender.sendBytes(numbered(2, SMALL));
    using loop = new Loop({ mode: "spin" });
    loop.add(a);
    const lengths: number[] = [];
    loop.receive(b, (frame) => void lengths.push(frame.length));
    turnUntil(loop, "the packet after the large one", () => lengths.length === 2);
    expect(lengths).toEqual([fits, SMALL]);
    expect(b.statistics().rxDropped).toBe(1);
    settleAccounts(a, b);
  });

  where(refusesSmallChunks)("chunks that the MTU does not fit into: no bind, and the errno says why", () => {
    let caught: unknown;
    try {
      ground.open("b", { ...SMALL_CHUNKS, chunkBytes: 2048 }).close();
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(SystemError);
    // The kernel's own word, or ours for a card that would cut frames there.
    expect((caught as SystemError).code).toBe(ground.bed.umem.chunkBytes > 2048 ? "EMSGSIZE" : "EINVAL");
    ground.between((a, b) => stream(a, b, { count: 100, length: () => SMALL }));
  });

  test("STAT_RX_FULL", () => {
    using a = ground.open("a");
    // More chunks with the kernel than the rx ring has slots: the ring is what runs full.
    using b = ground.open("b", { rings: { rx: 16, fill: 128 } });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < 100; n++) sender.sendBytes(numbered(n, SMALL));
    settleAccounts(a);
    const queue = b.queues[0]!;
    const overflow = 100 - 16;
    const full = eventually(
      () => queue.statistics().rxRingFull,
      (count) => count >= (facts.countsEveryLoss ? overflow : 1),
    );
    if (facts.countsEveryLoss) expect(full).toBe(overflow);
    else expect(full).toBeWithin(1, overflow + 1);
    expect(queue.statistics().rxDropped).toBe(0);
    settleAccounts(b);
  });

  test("STAT_RX_FILL_EMPTY", () => {
    using a = ground.open("a");
    using b = ground.open("b", { rings: { rx: 128, fill: 16 } });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < 100; n++) sender.sendBytes(numbered(n, SMALL));
    settleAccounts(a);
    const queue = b.queues[0]!;
    const without = 100 - 16;
    const empty = eventually(
      () => queue.statistics().rxFillRingEmptyDescs,
      (count) => count >= (facts.fillEmptyCounts === "frames" ? without : 1),
    );
    if (facts.fillEmptyCounts === "frames") expect(empty).toBe(without);
    else expect(empty).toBeGreaterThan(0);
    expect(queue.statistics().rxRingFull).toBe(0);
  });
};
