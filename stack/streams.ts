/**
 * The way to Web Streams, at the edge only: packets leave as copies and come in as bytes.
 *
 * For programs that pipe packets into files, sockets or transforms. Each packet costs an allocation and a copy here; what
 * must be fast stays with the frames of a loop.
 */
import type { Device } from "./device/device.ts";
import type { Frame } from "./device/frame.ts";
import { Transmitter } from "./device/transmit.ts";
import type { Loop } from "./loop/loop.ts";
import type { Timer } from "./loop/timers.ts";

export interface FrameStreamOptions {
  /** Packets that the stream holds, 1 to 65536. Default: 1024 to read, 64 to write. */
  readonly queuePackets?: number;
}

export interface WritableFramesOptions extends FrameStreamOptions {
  /** Index of the device's queue that packets leave by. Default: 0. */
  readonly queue?: number;
}

/** With packets of 1.5 kB it is 98 MB. */
export const MAX_QUEUE_PACKETS = 1 << 16;

/** As many as a device's receive ring holds: a reader may be away for as long as a loop may. */
const DEFAULT_READ_PACKETS = 1024;
/** A burst. More would only wait here rather than with the writer. */
const DEFAULT_WRITE_PACKETS = 64;

/** Waits between two tries to send into a full ring: a ring of 1024 takes 1 ms to drain at 12 Gbit/s. */
const FIRST_RETRY_MS = 0.05;
const LAST_RETRY_MS = 1;

/** Packets of a device, copied. */
export class ReadableFrames extends ReadableStream<Uint8Array> {
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #counters: { readonly dropped: number };

  /** For `readableFrames`. */
  constructor(loop: Loop, device: Device, queuePackets: number) {
    const offs: (() => void)[] = [];
    const off = (): void => offs.splice(0).forEach((each) => each());
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    super(
      {
        start: (own) => void (controller = own),
        cancel: off,
      },
      new CountQueuingStrategy({ highWaterMark: queuePackets }),
    );
    this.#controller = controller!;
    const counters = { dropped: 0 };
    this.#counters = counters;
    const receiving = loop.receive(device, (frame) => {
      if (this.#hasRoom()) this.#controller.enqueue(frame.copy());
      else counters.dropped += 1;
    });
    let gone: Error | undefined;
    const linked = loop.link(device, (event) => {
      if (event.kind === "gone") gone = new Error(`device "${device.name}" is gone: ${event.reason}`);
    });
    const left = loop.left(device, () => {
      off();
      if (gone === undefined) this.#controller.close();
      else this.#controller.error(gone);
    });
    // First the one that would take the others' closing for the device's leaving.
    for (const subscription of [left, linked, receiving]) offs.push(() => subscription.close());
  }

  /** Packets that were lost because nobody read those before. */
  get dropped(): number {
    return this.#counters.dropped;
  }

  #hasRoom(): boolean {
    return (this.#controller.desiredSize ?? 0) > 0;
  }
}

/**
 * The packets that a device receives, as copies. It takes the place of a handler: the device may have no other receiver in
 * the loop. At most `queuePackets` wait for a reader; more are dropped and counted. `cancel` ends the receiving. It closes
 * when the device or the loop closes, and fails when the device is gone.
 */
export const readableFrames = (
  loop: Loop,
  device: Device,
  options: FrameStreamOptions = {},
): ReadableFrames =>
  new ReadableFrames(loop, device, checkPackets(options.queuePackets ?? DEFAULT_READ_PACKETS));

/**
 * A stream whose packets the device sends. A packet that ring or pool has no room for is waited with, so that a pipe's
 * source slows down; none is lost here. It fails with a RangeError for a packet that no frame can hold, and when the
 * device or the loop closes. `close` waits for the packets before it, `abort` does not.
 */
export const writableFrames = (
  loop: Loop,
  device: Device,
  options: WritableFramesOptions = {},
): WritableStream<Uint8Array> => {
  const highWaterMark = checkPackets(options.queuePackets ?? DEFAULT_WRITE_PACKETS);
  const sink = new FrameSink(loop, device, options.queue ?? 0);
  return new WritableStream<Uint8Array>(
    {
      start: (controller) => sink.start(controller as AbortableController),
      write: (packet) => sink.write(packet),
      close: () => sink.close(),
      abort: () => sink.close(),
    },
    new CountQueuingStrategy({ highWaterMark }),
  );
};

interface Waiting {
  readonly packet: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The standard's controller; the type of the runtime lacks `signal`, which tells of an abort before its time comes. */
interface AbortableController extends WritableStreamDefaultController {
  readonly signal: AbortSignal;
}

/** Sends one packet after the other, and tries again where there is no room. */
class FrameSink {
  readonly #loop: Loop;
  readonly #device: Device;
  readonly #transmitter: Transmitter;
  readonly #offLeft: () => void;
  #controller: AbortableController | undefined;
  #waiting: Waiting | undefined;
  #timer: Timer | undefined;
  #retryMs = 0;

  constructor(loop: Loop, device: Device, index: number) {
    const queue = device.queues[index];
    if (queue === undefined) throw new RangeError(`device "${device.name}" has no queue ${index}`);
    this.#loop = loop;
    this.#device = device;
    this.#transmitter = new Transmitter(queue);
    loop.add(device);
    const left = loop.left(device, () => this.#fail(new Error(`device "${device.name}" has left the loop`)));
    this.#offLeft = () => left.close();
  }

  start(controller: AbortableController): void {
    this.#controller = controller;
    // A packet that waits for room would hold up abort(): it is given up at once.
    controller.signal.addEventListener("abort", () => this.#giveUp(controller.signal.reason));
  }

  write(packet: Uint8Array): Promise<void> | undefined {
    try {
      if (this.#transmitter.sendBytes(packet)) return undefined;
    } catch (error) {
      // The stream fails with this, and then calls neither close nor abort.
      this.#end();
      throw error;
    }
    this.#retryMs = 0;
    return new Promise((resolve, reject) => {
      this.#waiting = { packet, resolve, reject };
      this.#tryLater();
    });
  }

  close(): void {
    this.#end();
    if (this.#device.open) this.#transmitter.queue.flush();
  }

  #tryLater(): void {
    this.#timer ??= this.#loop.after(this.#retryMs, () => this.#tryAgain());
    if (!this.#timer.active) this.#timer.restart(this.#retryMs);
    this.#retryMs = Math.min(LAST_RETRY_MS, Math.max(FIRST_RETRY_MS, 2 * this.#retryMs));
  }

  #tryAgain(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (!this.#transmitter.sendBytes(waiting.packet)) {
      this.#tryLater();
      return;
    }
    this.#waiting = undefined;
    waiting.resolve();
  }

  #fail(error: Error): void {
    this.#end();
    this.#giveUp(error);
    this.#controller?.error(error);
  }

  #giveUp(reason: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#timer?.cancel();
    waiting?.reject(reason);
  }

  #end(): void {
    this.#timer?.cancel();
    this.#offLeft();
    this.#loop.remove(this.#device);
  }
}

const checkPackets = (queuePackets: number): number => {
  if (Number.isInteger(queuePackets) && queuePackets >= 1 && queuePackets <= MAX_QUEUE_PACKETS)
    return queuePackets;
  throw new RangeError(
    `queuePackets is a whole number from 1 to ${MAX_QUEUE_PACKETS}, not ${String(queuePackets)}`,
  );
};
