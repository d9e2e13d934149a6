/**
 * A device around another one that writes down every packet that passes it, in either direction, as pcapng.
 */
import type { Burst, Clock, Device, Queue, Umem } from "./device.ts";
import { DIRECTION, type Direction, type PcapngWriter } from "./pcapng.ts";
import { Wrapper } from "./wrapper.ts";

export interface RecordOptions {
  readonly writer: PcapngWriter;
  readonly clock: Clock;
  /** Record what arrives. Default: true. */
  readonly rx?: boolean;
  /** Record what is sent. Default: true. */
  readonly tx?: boolean;
}

/** Wraps `device` so that all that passes it is written down. The wrapper owns it: closing the one closes the other. */
export const record = (device: Device, options: RecordOptions): Recorder => new Recorder(device, options);

/** A device whose traffic is recorded. The writer stays its maker's: close it after the device. */
export class Recorder extends Wrapper {
  readonly queues: readonly Queue[];
  readonly #clock: Clock;
  #writer: PcapngWriter;
  #id: number;

  constructor(device: Device, options: RecordOptions) {
    super(device);
    this.#clock = options.clock;
    this.#writer = options.writer;
    this.#id = this.#describe();
    const taps = { rx: options.rx ?? true, tx: options.tx ?? true };
    this.queues = device.queues.map((queue) => new RecordedQueue(queue, this, taps));
  }

  get writer(): PcapngWriter {
    return this.#writer;
  }

  /** Goes on in another file: for rings of files. The old writer is the caller's to close. */
  set writer(writer: PcapngWriter) {
    this.#writer = writer;
    this.#id = this.#describe();
  }

  override close(): void {
    if (this.inner.open) this.#writer.setDropped(this.#id, this.inner.statistics().rxDropped);
    super.close();
  }

  /** Writes the packet that lies in entries `first` to `last` of the columns. For its queues. */
  write(burst: Pick<Burst, "address" | "length">, first: number, last: number, direction: Direction): void {
    let total = 0;
    for (let i = first; i <= last; i++) total += burst.length[i]!;
    if (!this.#writer.begin(this.#id, this.#clock.nowMs(), direction, total)) return;
    for (let i = first; i <= last; i++)
      this.#writer.append(this.umem.bytes, burst.address[i]!, burst.length[i]!);
    this.#writer.end();
  }

  #describe(): number {
    return this.#writer.addInterface({ name: this.inner.name, mac: this.inner.mac });
  }
}

/** Chunks of one packet whose pieces are remembered until the last one is sent; more than any device takes. */
const MAX_PIECES = 64;

class RecordedQueue implements Queue {
  readonly index: number;
  readonly umem: Umem;
  readonly maxChunks: number;
  readonly #inner: Queue;
  readonly #recorder: Recorder;
  readonly #rx: boolean;
  readonly #tx: boolean;
  readonly #pieces = {
    address: new Int32Array(new ArrayBuffer(MAX_PIECES * Int32Array.BYTES_PER_ELEMENT)),
    length: new Int32Array(new ArrayBuffer(MAX_PIECES * Int32Array.BYTES_PER_ELEMENT)),
  };
  #pieceCount = 0;

  constructor(inner: Queue, recorder: Recorder, taps: { readonly rx: boolean; readonly tx: boolean }) {
    this.index = inner.index;
    this.umem = inner.umem;
    this.maxChunks = inner.maxChunks;
    this.#inner = inner;
    this.#recorder = recorder;
    this.#rx = taps.rx;
    this.#tx = taps.tx;
  }

  get inFlight(): number {
    return this.#inner.inFlight ?? 0;
  }

  receive(burst: Burst): number {
    const count = this.#inner.receive(burst);
    for (let i = 0, first = 0; this.#rx && i < count; i++) {
      if (burst.more[i] !== 0) continue;
      this.#recorder.write(burst, first, i, DIRECTION.inbound);
      first = i + 1;
    }
    return count;
  }

  settle(burst: Burst, count: number): void {
    this.#inner.settle(burst, count);
  }

  reserve(chunks: number, packets = 1): boolean {
    return this.#inner.reserve(chunks, packets);
  }

  send(address: number, length: number, more: boolean): boolean {
    if (!this.#inner.send(address, length, more)) {
      this.#pieceCount = 0;
      return false;
    }
    if (!this.#tx) return true;
    const last = Math.min(this.#pieceCount, MAX_PIECES - 1);
    this.#pieces.address[last] = address;
    this.#pieces.length[last] = length;
    this.#pieceCount = more ? last + 1 : 0;
    // Written before the flush that submits it: until then nobody else writes to its chunks.
    if (!more) this.#recorder.write(this.#pieces, 0, last, DIRECTION.outbound);
    return true;
  }

  pass(address: number, length: number): boolean {
    return this.#inner.pass(address, length);
  }

  flush(): void {
    this.#inner.flush();
  }
}
