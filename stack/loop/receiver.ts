/**
 * What one device's queues do in a turn: a burst of chunks becomes calls of a handler over a fixed set of frames.
 *
 * This is the path of every packet. Nothing here allocates: one `Frame` object stands for each slot of a burst and is
 * begun and ended around the call.
 */
import type { Burst, Device, Queue } from "../device/device.ts";
import { createBurst, Frame, type Outbox } from "../device/frame.ts";

/** Called with each frame. What it returns is ignored; a promise is reported as a mistake. */
export type FrameHandler = (frame: Frame) => void;

/** Called with each burst. All its frames end when the handler returns. */
export type BurstHandler = (frames: FrameBurst) => void;

/** Called with each burst before the first of its frames is handed over: `count` entries of it hold something. */
export type BurstPreview = (queue: Queue, burst: Burst, count: number) => void;

/** What a receiver does with frames: one of the two handlers. */
export interface ReceiverHandlers {
  readonly onFrame?: FrameHandler;
  readonly onBurst?: BurstHandler;
  readonly preview?: BurstPreview | undefined;
}

/**
 * Bursts that one queue delivers in one turn at most: with bursts of 64 it is 256 packets, some 50 us of small handlers,
 * and the runtime's own turn (0.7 us) costs 3 ns a packet.
 */
export const BURSTS_PER_TURN = 4;

/** Whoever receives a device's frames. */
export interface TurnReceiver {
  /** Receives what has arrived, bounded, and adds to `received`. */
  turn(received: Received): void;
  /** No frames after this. */
  close(): void;
}

/** What a turn did for one device. A reused object: the loop adds it up. */
export interface Received {
  bursts: number;
  packets: number;
}

/** The packets of one burst, for handlers that want them together: `for (const frame of frames)`. */
export class FrameBurst implements Iterable<Frame> {
  readonly #frames: readonly Frame[];
  readonly #iterator: FrameIterator;
  #length = 0;

  constructor(frames: readonly Frame[]) {
    this.#frames = frames;
    this.#iterator = new FrameIterator(this);
  }

  /** Packets in this burst. */
  get length(): number {
    return this.#length;
  }

  /** Packet `i`, undefined past the end. */
  at(i: number): Frame | undefined {
    return i < this.#length ? this.#frames[i] : undefined;
  }

  /** The one reused iterator, or a fresh one where that is in the middle of another loop. */
  [Symbol.iterator](): Iterator<Frame> {
    const iterator = this.#iterator;
    return iterator.idle ? iterator.start() : new FrameIterator(this).start();
  }

  /** Makes it hold the first `length` frames; for the receiver. */
  fill(length: number): void {
    this.#length = length;
    this.#iterator.return();
  }
}

class FrameIterator implements Iterator<Frame> {
  readonly #burst: FrameBurst;
  readonly #result: { done: boolean; value: Frame | undefined } = { done: true, value: undefined };
  idle = true;
  #next = 0;

  constructor(burst: FrameBurst) {
    this.#burst = burst;
  }

  start(): this {
    this.#next = 0;
    this.idle = false;
    return this;
  }

  next(): IteratorResult<Frame> {
    const frame = this.#burst.at(this.#next);
    this.#next += 1;
    const result = this.#result;
    result.value = frame;
    result.done = frame === undefined;
    if (frame === undefined) this.idle = true;
    return result as IteratorResult<Frame>;
  }

  return(): IteratorResult<Frame> {
    this.idle = true;
    this.#result.done = true;
    this.#result.value = undefined;
    return this.#result as IteratorResult<Frame>;
  }
}

/**
 * Frames that a lane's packets take turns in, a burst each: so long is a frame that outlived its handler recognised
 * for certain, and so few stay in the processor's first cache. A power of two.
 */
const FRAME_SET = 8;

/** A queue with the burst and the frames that stand for its packets. */
class Lane {
  readonly queue: Queue;
  readonly burst: Burst;
  readonly list: FrameBurst;
  readonly frames: readonly Frame[];
  #turn = 0;

  /** `together`: the handler wants all packets of a burst at once, so each needs a frame of its own. */
  constructor(queue: Queue, capacity: number, together: boolean, outbox: Outbox) {
    this.queue = queue;
    this.burst = createBurst(capacity);
    const count = together ? capacity : FRAME_SET;
    this.frames = Array.from({ length: count }, () => new Frame(queue, this.burst, outbox));
    this.list = new FrameBurst(this.frames);
  }

  /** The frame of the next burst. */
  nextFrame(): Frame {
    this.#turn = (this.#turn + 1) & (FRAME_SET - 1);
    return this.frames[this.#turn]!;
  }
}

/** One device's handler and the frames that it is called with. */
export class Receiver implements TurnReceiver {
  readonly #device: Device;
  readonly #lanes: readonly Lane[];
  readonly #onFrame: ((frame: Frame) => unknown) | undefined;
  readonly #onBurst: ((frames: FrameBurst) => unknown) | undefined;
  readonly #preview: BurstPreview | undefined;
  readonly #failed: (error: unknown) => void;
  #open = true;
  #warned = false;
  /** The entry after the packet that the handler has now: where to go on if it throws. */
  #next = 0;
  #packets = 0;

  /** `failed` hears of what a handler throws, `outbox` of what it forwards. */
  constructor(
    device: Device,
    burst: number,
    { onFrame, onBurst, preview }: ReceiverHandlers,
    failed: (error: unknown) => void,
    outbox: Outbox,
  ) {
    this.#device = device;
    this.#preview = preview;
    this.#lanes = device.queues.map((queue) => new Lane(queue, burst, onBurst !== undefined, outbox));
    this.#onFrame = onFrame;
    this.#onBurst = onBurst;
    this.#failed = failed;
  }

  /** No handler call after this, not even within the burst that is being delivered; its other frames are dropped. */
  close(): void {
    this.#open = false;
  }

  /** Delivers what has arrived, at most BURSTS_PER_TURN bursts a queue, and adds to `received`. */
  turn(received: Received): void {
    this.#packets = 0;
    for (const lane of this.#lanes) {
      for (let bursts = 0; bursts < BURSTS_PER_TURN && this.#open; bursts++) {
        const count = lane.queue.receive(lane.burst);
        if (count === 0) break;
        received.bursts += 1;
        this.#preview?.(lane.queue, lane.burst, count);
        if (this.#onFrame === undefined) this.#deliverBurst(lane, count);
        else this.#deliver(lane, count);
        lane.queue.settle(lane.burst, count);
        lane.queue.flush();
      }
    }
    received.packets += this.#packets;
  }

  /** Calls the handler for each packet of a burst; one that throws costs no more than its own packet. */
  #deliver(lane: Lane, count: number): void {
    const frame = lane.nextFrame();
    this.#next = 0;
    while (this.#next < count) {
      try {
        this.#deliverFrom(lane.burst, frame, count);
      } catch (error) {
        this.#failed(error);
        frame.end();
      }
    }
  }

  /** The innermost loop, free of try: what is alive in a try block stays out of registers. */
  #deliverFrom(burst: Burst, frame: Frame, count: number): void {
    const { address, length, more } = burst;
    const onFrame = this.#onFrame!;
    const device = this.#device;
    let i = this.#next;
    // Asked at every packet, because the handler may close the subscription or the device: its memory is gone then.
    while (i < count && this.#open && device.open) {
      if (more[i] === 0) {
        frame.begin(address[i]!, length[i]!, length[i]!, i, 1);
        i += 1;
      } else i = beginLong(frame, burst, i, count);
      this.#next = i;
      this.#packets += 1;
      const result = onFrame(frame);
      if (typeof result === "object") this.#checkResult(result);
      frame.end();
    }
    this.#next = count;
  }

  #deliverBurst(lane: Lane, count: number): void {
    const { frames, burst, list } = lane;
    const { address, length, more } = burst;
    let packets = 0;
    for (let i = 0; i < count; packets++) {
      const frame = frames[packets]!;
      if (more[i] === 0) {
        frame.begin(address[i]!, length[i]!, length[i]!, i, 1);
        i += 1;
      } else i = beginLong(frame, burst, i, count);
    }
    list.fill(packets);
    try {
      const result = this.#onBurst!(list);
      if (typeof result === "object") this.#checkResult(result);
    } catch (error) {
      this.#failed(error);
    }
    for (let i = 0; i < packets; i++) frames[i]!.end();
    list.fill(0);
    this.#packets += packets;
  }

  /** An async handler would read frames after their end: said once, and its rejections are not lost. */
  #checkResult(result: object | null): void {
    if (!(result instanceof Promise)) return;
    result.catch((error: unknown) => this.#failed(error));
    if (this.#warned) return;
    this.#warned = true;
    this.#failed(
      new TypeError(
        "a frame handler returned a promise: frames end when the handler returns; " +
          "make it synchronous and keep() the frames that outlive it",
      ),
    );
  }
}

/** Begins a packet of several chunks at entry `i` and returns the entry after it. */
export const beginLong = (frame: Frame, burst: Burst, i: number, count: number): number => {
  let last = i;
  let total = burst.length[i]!;
  // Devices hand over whole packets; the bound by `count` keeps a faulty one from making us read past the burst.
  while (burst.more[last] !== 0 && last + 1 < count) {
    last += 1;
    total += burst.length[last]!;
  }
  frame.begin(burst.address[i]!, burst.length[i]!, total, i, last - i + 1);
  return last + 1;
};
