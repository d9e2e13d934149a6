/**
 * The coverage of the kernel's own AF_XDP test program, by its names, over a veth pair, in generic and native mode:
 * order and content of every packet, and every chunk accounted for at the end of each test.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { attach, type AttachOptions, Loop, SystemError, Umem, type XdpDevice } from "../../index.ts";
import { Lab } from "../support/lab.ts";
import { numbered, settleAccounts, stream, turnUntil } from "../support/stream.ts";
import { MAX_RING_SIZE } from "../../ffi/xsk/ring.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { Transmitter } from "../../stack/device/transmit.ts";

const SMALL = 60;
const ETHERNET_BYTES = 14;

describe.skipIf(skipWithoutLab(Lab.unavailable())).each(["generic", "native"] as const)("%s mode", (xdp) => {
  let lab: Lab;
  beforeAll(() => {
    lab = Lab.create({ quiet: true });
  });
  afterAll(() => lab.close());

  const open = (side: "a" | "b", options: AttachOptions = {}, where: Lab = lab): XdpDevice =>
    attach(where[side].name, { namespace: where.namespace(side), xdp, bind: "copy", ...options });

  const between = (
    work: (a: XdpDevice, b: XdpDevice) => void,
    options: AttachOptions = {},
    where: Lab = lab,
  ): void => {
    using a = open("a", options, where);
    using b = open("b", options, where);
    work(a, b);
    settleAccounts(a, b);
  };

  test("negotiated mode is what was asked for", () => {
    between((a) => expect(a.mode).toMatchObject({ xdp, bind: "copy", needWakeup: true }));
  });

  test("SEND_RECEIVE", () => {
    between((a, b) => stream(a, b, { count: 4096, length: () => SMALL }));
  });

  test("SEND_RECEIVE of every size from the smallest to a full MTU", () => {
    between((a, b) => stream(a, b, { count: 1455, length: (n) => SMALL + n }));
  });

  test("SEND_RECEIVE_2K_FRAME", () => {
    between((a, b) => stream(a, b, { count: 4096, length: () => SMALL }), { chunkBytes: 2048 });
  });

  test("SEND_RECEIVE in chunks of 4096", () => {
    between((a, b) => stream(a, b, { count: 4096, length: () => 1500 }), { chunkBytes: 4096, chunks: 4096 });
  });

  test("SEND_RECEIVE_SINGLE_PKT", () => {
    between((a, b) => stream(a, b, { count: 1, length: () => SMALL }));
  });

  test("POLL_RX: a sleeping loop is woken by a packet of the kernel's", async () => {
    // A lab of its own: the kernel asks for the address again for seconds, which would disturb tests that count.
    using own = Lab.create({ quiet: true });
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
  });

  test("POLL_TX: more than the ring holds goes out in turns, nothing lost", () => {
    between((a, b) => stream(a, b, { count: 4096, length: () => SMALL, window: 4096 }), {
      rings: { rx: 4096, fill: 4096, tx: 64, completion: 64 },
      chunks: 16384,
    });
  });

  test("POLL_RXQ_FULL: a full rx ring drops and counts; what comes after the drain arrives", () => {
    between(
      (a, b) => {
        const sender = new Transmitter(a.queues[0]!);
        for (let n = 0; n < 200; n++) sender.sendBytes(numbered(n, SMALL));
        const before = b.statistics().rxDropped;
        a.queues[0]!.flush();
        using loop = new Loop({ mode: "spin" });
        loop.add(a);
        turnUntil(loop, "all 200 to have left", () => a.umem.accounts().tx === 0);
        expect(b.statistics().rxDropped - before).toBeGreaterThan(0);
        let got = 0;
        loop.receive(b, () => void (got += 1));
        for (let quiet = 0; quiet < 1000; quiet++) loop.turn();
        expect(got + b.statistics().rxDropped).toBe(200);
      },
      { rings: { rx: 32, fill: 64 } },
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
        while (sent < 4096 && sent - back < 256 && sender.sendBytes(numbered(sent, SMALL))) sent += 1;
        return back === 4096;
      });
      expect(b.statistics()).toMatchObject({ rxPackets: 4096, txPackets: 4096 });
    });
  });

  test("STAT_RX_DROPPED: a frame larger than its chunk is counted", () => {
    between(
      (a, b) => {
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
      },
      { multiBuffer: false, headroomBytes: 600 },
    );
  });

  test("STAT_RX_FULL", () => {
    using a = open("a");
    // More chunks with the kernel than the rx ring has slots: the ring is what runs full.
    using b = open("b", { rings: { rx: 16, fill: 128 } });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < 100; n++) sender.sendBytes(numbered(n, SMALL));
    settleAccounts(a);
    expect(b.queues[0]!.statistics()).toMatchObject({ rxRingFull: 84, rxDropped: 0 });
    settleAccounts(b);
  });

  test("STAT_RX_FILL_EMPTY", () => {
    using a = open("a");
    using b = open("b", { rings: { rx: 128, fill: 16 } });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < 100; n++) sender.sendBytes(numbered(n, SMALL));
    settleAccounts(a);
    expect(b.queues[0]!.statistics()).toMatchObject({ rxFillRingEmptyDescs: 84, rxRingFull: 0 });
  });

  test("XDP_PROG_CLEANUP: no program is left, and the kernel has its traffic again", () => {
    using own = Lab.create({ quiet: true });
    const programs = (): unknown =>
      JSON.parse(own.exec("b", ["ip", "-j", "-d", "link", "show", own.b.name]).stdout)[0].xdp;
    using b = open("b", {}, own);
    // iproute2 prints XDP_ATTACHED_DRV and XDP_ATTACHED_SKB as they are.
    expect(programs()).toMatchObject({ mode: xdp === "native" ? 1 : 2, prog: { name: "steer" } });
    expect(own.exec("a", ["ping", "-c1", "-W1", own.b.ipv4], { check: false }).code).not.toBe(0);
    b.close();
    expect(programs()).toBeUndefined();
    expect(own.exec("a", ["ping", "-c1", "-W1", own.b.ipv4]).stdout).toContain("1 received");
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

  test("XDP_SHARED_UMEM: two devices, one umem, forwarded in place", () => {
    using umem = new Umem({ chunks: 8192 });
    using wide = Lab.create({ quiet: true, pairs: 2 });
    const on = (side: "a" | "b", pair: number): XdpDevice =>
      attach(wide.pairs[pair]![side].name, {
        namespace: wide.namespace(side),
        xdp,
        bind: "copy",
        ...(side === "b" ? { umem } : {}),
      });
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
      while (sent < 4096 && sent - got < 256 && sender.sendBytes(numbered(sent, SMALL))) sent += 1;
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

  test("several queues of one device: each packet on the queue it was sent to", () => {
    using wide = Lab.create({ quiet: true, queues: 4 });
    between(
      (a, b) => {
        expect(b.queues.map((queue) => queue.index)).toEqual([0, 1, 2, 3]);
        using loop = new Loop({ mode: "spin" });
        const seen = [0, 0, 0, 0];
        loop.receive(b, (frame) => {
          // The sender put its queue's number where a stream has the packet's.
          const sentOn = frame.view.getUint32(frame.at + ETHERNET_BYTES);
          // A generic program sees the transmit queue of veth as a recorded receive queue, which counts from one.
          expect(frame.queue.index).toBe(xdp === "native" ? sentOn : Math.max(0, sentOn - 1));
          seen[sentOn]! += 1;
        });
        loop.add(a);
        for (const queue of a.queues) {
          const sender = new Transmitter(queue);
          for (let n = 0; n < 100; n++) sender.sendBytes(numbered(queue.index, SMALL));
        }
        turnUntil(loop, "400 packets", () => seen.every((count) => count === 100));
      },
      {},
      wide,
    );
  });

  test("one queue of four, the others stay the kernel's", () => {
    using wide = Lab.create({ quiet: true, queues: 4 });
    using b = open("b", { queues: [2] }, wide);
    expect(b.queues.map((queue) => queue.index)).toEqual([2]);
    expect(b.umem.chunkCount).toBe(4096);
    expect(() => open("b", { queues: [4] }, wide)).toThrow(
      /serve queue 4 .*EINVAL: the device has queues 0-3/,
    );
  });

  test.each([8, 64, 4096, MAX_RING_SIZE])("HW_SW rings of %p entries", (size) => {
    between((a, b) => stream(a, b, { count: 1000, length: () => SMALL, window: Math.min(size, 256) / 2 }), {
      rings: { rx: size, tx: size, fill: size, completion: size },
      chunks: 16384,
    });
  });

  test("the smallest rings of all: one entry each", () => {
    between((a, b) => stream(a, b, { count: 100, length: () => SMALL, window: 1 }), {
      rings: { rx: 1, tx: 1, fill: 1, completion: 1 },
    });
  });

  test("SEND_RECEIVE_9K_PACKETS: several chunks each, whole packets only", () => {
    using jumbo = Lab.create({ quiet: true, mtu: 9000 });
    between(
      (a, b) => {
        expect(b.mode.multiBuffer).toBe(true);
        stream(a, b, {
          count: 1000,
          length: (n) => 60 + ((n * 977) % (9000 + ETHERNET_BYTES - 60)),
          window: 32,
        });
        stream(a, b, { count: 200, length: () => 9000 + ETHERNET_BYTES, window: 32 });
      },
      { multiBuffer: true },
      jumbo,
    );
  });

  test("9K packets in chunks of 4096, sent back in place", () => {
    using jumbo = Lab.create({ quiet: true, mtu: 9000 });
    between(
      (a, b) => {
        using loop = new Loop({ mode: "spin" });
        let back = 0;
        loop.receive(b, (frame) => {
          expect(frame.chunks).toBe(3);
          frame.send();
        });
        loop.receive(a, (frame) => {
          expect(frame.copy()).toEqual(numbered(back, 9000));
          back += 1;
        });
        const sender = new Transmitter(a.queues[0]!);
        let sent = 0;
        turnUntil(loop, "all to come back", () => {
          while (sent < 200 && sent - back < 32 && sender.sendBytes(numbered(sent, 9000))) sent += 1;
          return back === 200;
        });
      },
      { multiBuffer: true, chunkBytes: 4096 },
      jumbo,
    );
  });

  test("without multi-buffer a 9K packet is dropped and counted, the next one arrives", () => {
    using jumbo = Lab.create({ quiet: true, mtu: 9000 });
    using a = open("a", {}, jumbo);
    using b = open("b", { multiBuffer: false }, jumbo);
    expect(b.mode.multiBuffer).toBe(false);
    const sender = new Transmitter(a.queues[0]!);
    sender.sendBytes(numbered(0, 9000));
    sender.sendBytes(numbered(1, SMALL));
    using loop = new Loop({ mode: "spin" });
    loop.add(a);
    const lengths: number[] = [];
    loop.receive(b, (frame) => void lengths.push(frame.length));
    turnUntil(loop, "the small packet", () => lengths.length > 0);
    expect(lengths).toEqual([SMALL]);
    expect(b.statistics().rxDropped).toBe(1);
    settleAccounts(a, b);
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
    expect(performance.now() - began).toBeLessThan(3000);
    using a = open("a");
    stream(a, b, { count: 100, length: () => SMALL });
    settleAccounts(a, b);
  });
});
