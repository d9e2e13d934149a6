/**
 * The word, proven on a card: what its queues are offered are the pages of our umem, the frames appear where the card was told
 * to write them, it sends from where we read, and the kernel's copying functions are never called.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { Loop, Transmitter, Umem, type XdpDevice } from "../../../index.ts";
import { type Bed, cardBeds, skipBed } from "../../support/bed.ts";
import { Ground } from "../../support/ground.ts";
import { KernelCalls } from "../../support/kernel-calls.ts";
import type { Lab } from "../../support/lab.ts";
import { monitorUnavailable } from "../../support/monitor.ts";
import { PAGE_BYTES, physicalPages } from "../../support/physical.ts";
import { skipUnless } from "../../support/skip.ts";
import { numbered, numberOf, settleAccounts, stream, turnUntil } from "../../support/stream.ts";
import {
  element,
  nextTaken,
  rxVirtqueue,
  txVirtqueue,
  VIRTIO_HEADER_BYTES,
} from "../../support/virtqueue.ts";

const SMALL = 60;
const FRAMES = 64;
const PAIR = { quiet: true, queues: 1 } as const;
const [virtio, ...others] = cardBeds();

/** Offsets in the umem of the places that the card will write its next `count` frames to. */
const offered = (device: XdpDevice, card: string, count: number): number[] => {
  const pages = physicalPages(device.umem.area);
  const first = nextTaken(card, rxVirtqueue(0));
  return Array.from({ length: count }, (_, i) => {
    const buffers = element(card, rxVirtqueue(0), first + i);
    expect(buffers.length).toBe(1);
    const [{ physical, writable }] = buffers as [(typeof buffers)[number]];
    expect(writable).toBe(true);
    const within = physical % PAGE_BYTES;
    return (pages.get(physical - within) ?? Number.NaN) + within;
  });
};

const send = (from: XdpDevice, count: number): void => {
  const sender = new Transmitter(from.queues[0]!);
  for (let n = 0; n < count; n++) expect(sender.sendBytes(numbered(n, SMALL))).toBe(true);
  from.queues[0]!.flush();
};

/** Where the handler saw each of `count` frames. */
const seenAt = (from: XdpDevice, to: XdpDevice, count: number, then: "drop" | "send"): number[] => {
  using loop = new Loop({ mode: "spin" });
  const places: number[] = [];
  loop.add(from);
  loop.receive(to, (frame) => {
    if (numberOf(frame.copy()) !== places.length) return;
    places.push(frame.at);
    if (then === "send") frame.send();
  });
  send(from, count);
  turnUntil(loop, `${count} frames`, () => places.length === count);
  if (then === "send") turnUntil(loop, "all to be sent back", () => to.umem.accounts().tx === 0);
  return places;
};

describe.skipIf(
  skipBed(virtio!) ||
    skipUnless(monitorUnavailable() === undefined, monitorUnavailable() ?? "", { couldRun: false }),
)("what the emulator sees of a virtio card", () => {
  const ground = new Ground(virtio!);
  afterAll(() => ground.close());

  test("receive: each frame is seen where the card was told to write it", () => {
    ground.between(
      (a, b) => {
        const places = offered(b, ground.lab(PAIR).b.name, FRAMES);
        // The card writes its header first, in the headroom.
        const frames = places.map((place) => place + VIRTIO_HEADER_BYTES);
        expect(frames.every((at) => at % b.umem.chunkBytes === b.umem.headroomBytes)).toBe(true);
        expect(seenAt(a, b, FRAMES, "drop")).toEqual(frames);
      },
      {},
      ground.lab(PAIR),
    );
  });

  test("reflect: the card reads what it sends from where it wrote it", () => {
    ground.between(
      (a, b) => {
        const card = ground.lab(PAIR).b.name;
        const pages = physicalPages(b.umem.area);
        const first = nextTaken(card, txVirtqueue(0));
        const places = seenAt(a, b, FRAMES, "send");
        const read = places.map((_, i) => {
          const buffers = element(card, txVirtqueue(0), first + i);
          const { physical, lengthBytes, writable } = buffers.at(-1)!;
          expect({ lengthBytes, writable }).toEqual({ lengthBytes: SMALL, writable: false });
          return (pages.get(physical - (physical % PAGE_BYTES)) ?? Number.NaN) + (physical % PAGE_BYTES);
        });
        expect(read).toEqual(places);
      },
      {},
      ground.lab(PAIR),
    );
  });

  test("forward: the second card reads it from where the first wrote it", () => {
    const lab = ground.lab({ ...PAIR, pairs: 2 });
    using umem = new Umem({ chunks: 4096 });
    using outside = ground.open("a", {}, lab, 0);
    using left = ground.open("b", { umem }, lab, 0);
    using right = ground.open("b", { umem }, lab, 1);
    using loop = new Loop({ mode: "spin" });
    const pages = physicalPages(umem.area);
    const card = lab.pairs[1]!.b.name;
    const first = nextTaken(card, txVirtqueue(0));
    const places: number[] = [];
    loop.add(outside);
    loop.receive(left, (frame) => {
      if (numberOf(frame.copy()) !== places.length) return;
      places.push(frame.at);
      frame.forward(right);
    });
    send(outside, FRAMES);
    turnUntil(loop, "all to be forwarded", () => right.statistics().txPackets === FRAMES);
    settleAccounts(outside, left, right);
    const read = places.map((_, i) => {
      const { physical } = element(card, txVirtqueue(0), first + i).at(-1)!;
      return (pages.get(physical - (physical % PAGE_BYTES)) ?? Number.NaN) + (physical % PAGE_BYTES);
    });
    expect(read).toEqual(places);
  });

  test("the same look at copy mode finds no page of ours", () => {
    ground.between(
      (_, b) => {
        expect(b.mode.bind).toBe("copy");
        for (const place of offered(b, ground.lab(PAIR).b.name, FRAMES)) expect(place).toBeNaN();
      },
      { bind: "copy" },
      ground.lab(PAIR),
    );
  });
});

/** net/xdp/xsk.c: __xsk_rcv copies a received frame into the umem, __xsk_generic_xmit makes an skb of what is sent. */
const COPYING = ["__xsk_rcv", "__xsk_generic_xmit"] as const;

describe.each([virtio!, ...others] satisfies Bed[])("$name: the kernel's copying functions", (bed) => {
  const skip = skipBed(bed);
  const ground = new Ground(bed);
  afterAll(() => ground.close());

  const calls = (lab: Lab, bind: "copy" | "zero-copy"): number[] => {
    let counts: number[] = [];
    ground.between(
      (a, b) => {
        using counter = new KernelCalls(COPYING);
        stream(a, b, { count: FRAMES, length: () => SMALL, window: 16 });
        counts = COPYING.map((name) => counter.count(name));
      },
      { bind },
      lab,
    );
    return counts;
  };

  test.skipIf(skip)("are not called in zero-copy", () => {
    expect(calls(ground.lab(PAIR), "zero-copy")).toEqual([0, 0]);
  });

  test.skipIf(skip)("are called in copy mode, for every frame that is received", () => {
    const [received = 0, sent = 0] = calls(ground.lab(PAIR), "copy");
    expect(received).toBeGreaterThanOrEqual(FRAMES);
    expect(sent).toBeGreaterThan(0);
  });
});
