/** Features of sockets and frames: the two ways of binding, wakeups, long packets, shared memory. */
import { type AttachOptions, Loop, Transmitter, Umem, type XdpDevice } from "../../../../index.ts";
import * as abi from "../../../../ffi/sys/abi.ts";
import { SystemError } from "../../../../ffi/sys/errno.ts";
import { setOption } from "../../../../ffi/xsk/setup.ts";
import {
  checkNumbered,
  numbered,
  numberOf,
  settleAccounts,
  stream,
  turnUntil,
} from "../../../support/stream.ts";
import { type Feature, Wrong } from "./feature.ts";
import { type Stage, warm, WINDOW } from "./stage.ts";

const COUNT = 200;
const SMALL = 60;
const FULL = 1514;
const JUMBO_MTU = 9000;
const JUMBO_COUNT = 60;
const QUEUE_COUNT = 64;
/** An MTU that a page holds and a chunk of 2048 bytes does not. */
const BIG_MTU = 3000;
const BIG_BYTES = 2500;
const BIG_COUNT = 20;
/** Above the 32 packets that a call sends by itself (net/xdp/xsk.c, TX_BATCH_SIZE). */
const BUDGET = 256;

/** Chunks in which every driver has room for a whole frame, for what is not about sizes. */
const LARGE = { chunkBytes: 4096 } as const;

/** Numbered frames of all sizes both ways, each checked. */
const exchange = (a: XdpDevice, b: XdpDevice): void => {
  const length = (n: number): number => SMALL + ((n * 97) % (FULL - SMALL + 1));
  stream(a, b, { count: COUNT, length, window: WINDOW });
  stream(b, a, { count: COUNT, length, window: WINDOW });
};

const describe = ({ mode }: XdpDevice): string =>
  `${mode.xdp}, ${mode.bind}${mode.needWakeup ? ", need_wakeup" : ""}${mode.multiBuffer ? ", multi-buffer" : ""}`;

const both = (stage: Stage, options: AttachOptions): string =>
  stage.between((a, b) => {
    exchange(a, b);
    return `${COUNT} frames each way: ${describe(b)}`;
  }, options);

/** Drivers count the room of a chunk in units of their cards: what 2048 bytes do not hold, 4096 may. */
const zeroCopy = (stage: Stage): string => {
  try {
    return both(stage, { bind: "zero-copy" });
  } catch (error) {
    if (!(error instanceof Error) || error.cause instanceof SystemError || error instanceof SystemError)
      throw error;
    both(stage, { bind: "zero-copy", ...LARGE });
    throw new Wrong(error.message, `chunkBytes: ${LARGE.chunkBytes}`);
  }
};

const jumbo = (stage: Stage): string =>
  stage.between(
    (a, b) => {
      const length = (n: number): number => 5000 + n * 50;
      stream(a, b, { count: JUMBO_COUNT, length, window: WINDOW / 8 });
      return `${JUMBO_COUNT} frames of up to 8 kB: ${describe(b)}`;
    },
    { bind: "copy", multiBuffer: true },
  );

/** Frames that fit no chunk must show in the counters, each of them, and leave the queue working. */
const tooLarge = (stage: Stage): string =>
  stage.between(
    (a, b) => {
      const before = b.statistics().rxDropped;
      using loop = new Loop({ mode: "spin" });
      let seen = 0;
      loop.receive(b, (frame) => void (seen += numberOf(frame.copy()) < 0 ? 0 : 1));
      loop.add(a);
      const sender = new Transmitter(a.queues[0]!);
      for (let n = 0; n < BIG_COUNT; n++) sender.sendBytes(numbered(n, BIG_BYTES));
      turnUntil(
        loop,
        `${BIG_COUNT} dropped frames in the counters`,
        () => b.statistics().rxDropped - before >= BIG_COUNT,
      );
      if (seen > 0) throw new Error(`${seen} frames of ${BIG_BYTES} bytes came out of chunks of 2048`);
      exchange(a, b);
      return `${BIG_COUNT} of ${BIG_COUNT} counted as dropped`;
    },
    { bind: "copy", multiBuffer: false },
    { chunkBytes: 4096 },
  );

/** Two devices on one umem, what comes in on one goes out of the other without a copy. */
const forward = (stage: Stage): string => {
  const { a: near, b: far, middle } = stage.lab;
  using umem = new Umem({ chunks: 8192, ...LARGE });
  using from = stage.open(near, LARGE);
  using left = stage.open(middle!.a, { umem });
  using right = stage.open(middle!.b, { umem });
  using to = stage.open(far, LARGE);
  stage.awaitLinks();
  warm(from, left);
  warm(right, to);
  let failure: unknown;
  using loop = new Loop({ mode: "spin", onError: (error) => void (failure ??= error) });
  let got = 0;
  loop.receive(left, (frame) => void frame.forward(right));
  loop.receive(to, (frame) => {
    const packet = frame.copy();
    if (failure !== undefined || numberOf(packet) < 0) return;
    checkNumbered(packet, got, FULL);
    got += 1;
  });
  loop.add(from);
  loop.add(right);
  const sender = new Transmitter(from.queues[0]!);
  let sent = 0;
  turnUntil(loop, `${COUNT} forwarded frames`, () => {
    while (sent < COUNT && sent - got < WINDOW && sender.sendBytes(numbered(sent, FULL))) sent += 1;
    if (failure !== undefined) throw failure;
    return got === COUNT;
  });
  // Both devices give back into the one pool, each when it is turned.
  turnUntil(loop, "all forwarded chunks to come back", () => umem.accounts().tx === 0);
  settleAccounts(from, left, right, to);
  return `${COUNT} frames: ${left.mode.bind} from "${left.name}", ${right.mode.bind} to "${right.name}"`;
};

const budget = (stage: Stage): string => {
  using device = stage.open(stage.lab.b, { claim: [] });
  const code = setOption(device.queues[0]!.fd, abi.XDP_MAX_TX_SKB_BUDGET, BUDGET);
  if (code === 0) return `${BUDGET} copies a call`;
  throw new SystemError({
    operation: "set XDP_MAX_TX_SKB_BUDGET",
    errno: code,
    remedy: "none needed: a call sends 32 copies, and millrace calls again for the rest",
  });
};

const statistics = (stage: Stage): string =>
  stage.between((a, b) => {
    exchange(a, b);
    const { rxPackets, rxDropped, program, queues } = b.statistics();
    const [queue] = queues;
    if (rxPackets < COUNT || program.redirected !== rxPackets + rxDropped)
      throw new Error(`${program.redirected} redirected, ${rxPackets} received, ${rxDropped} dropped`);
    if (queue!.rxForged !== 0 || queue!.completionForged !== 0) throw new Error("descriptors of nobody's");
    return `${program.redirected} redirected, ${rxPackets} received, ${rxDropped} dropped`;
  }, LARGE);

const wakeups = (stage: Stage): string =>
  stage.between(
    (a, b) => {
      exchange(a, b);
      const calls = a.statistics().queues[0]!.txWakeups;
      return `${describe(a)}; ${calls} calls to send ${a.statistics().txPackets} frames`;
    },
    { needWakeup: true, ...LARGE },
  );

const twoQueues = (stage: Stage): string =>
  // One frame on the way at a time: queues overtake each other.
  stage.between((a, b) => {
    stream(a, b, { count: QUEUE_COUNT, length: () => FULL, window: 1 });
    return `${b.queues.length} sockets on one umem: ${describe(b)}`;
  }, LARGE);

export const FRAME_FEATURES: readonly Feature[] = [
  { name: "send and receive, copy", attempt: (stage) => both(stage, { bind: "copy" }) },
  {
    name: "bind zero-copy",
    attempt: (stage) => {
      using device = stage.open(stage.lab.b, { bind: "zero-copy", claim: [] });
      return describe(device);
    },
  },
  { name: "send and receive, zero-copy", attempt: zeroCopy },
  { name: "need_wakeup", attempt: wakeups },
  { name: "without need_wakeup", attempt: (stage) => both(stage, { needWakeup: false, ...LARGE }) },
  { name: "XDP_MAX_TX_SKB_BUDGET", attempt: budget },
  { name: "statistics add up", attempt: statistics },
  {
    name: "multi-buffer, zero-copy",
    attempt: (stage) => both(stage, { bind: "zero-copy", multiBuffer: true }),
  },
  { name: "multi-buffer, copy, MTU 9000", shape: { mtu: JUMBO_MTU }, attempt: jumbo },
  { name: "frames larger than a chunk are counted", shape: { mtu: BIG_MTU }, attempt: tooLarge },
  { name: "one umem, several queues", shape: { queues: 2 }, attempt: twoQueues },
  {
    name: "one umem, two devices, in place",
    shape: { middle: true },
    attempt: forward,
  },
];
