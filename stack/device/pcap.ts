/**
 * Devices around captures: `Replay` receives what a file holds, `record` writes down what passes another device.
 */
import { CaptureReader } from "./capture.ts";
import type { CapturePacket } from "./captureformat.ts";
import type { Burst, Clock, Device, DeviceStatistics, LinkEvent, Queue, Umem } from "./device.ts";
import { DIRECTION, LINKTYPE_ETHERNET, type Direction, type PcapngWriter } from "./pcapng.ts";
import { MemoryUmem, OWNER } from "./pool.ts";

export interface ReplayOptions {
  /** The capture, pcapng or classic pcap. */
  readonly capture: Uint8Array;
  /** Where the packets go. Default: a fresh umem. */
  readonly umem?: MemoryUmem;
  /** Plays by the packets' times, `speed` times as fast (default 1), from the first `receive`. Default: as fast as asked. */
  readonly timing?: { readonly clock: Clock; readonly speed?: number };
  /** Default: "replay". */
  readonly name?: string;
  /** Default: a locally administered address. */
  readonly mac?: Uint8Array;
}

/** The second octet says "replay" to whoever reads a trace; the first has the bit for locally administered. */
const REPLAY_MAC = Uint8Array.of(0x02, 0x72, 0, 0, 0, 1);
const REPLAY_MTU = 65535;

/** A device that receives the Ethernet packets of a capture, in order, and sends into nothing. */
export class Replay implements Device, Queue {
  readonly name: string;
  readonly umem: MemoryUmem;
  readonly mac: Uint8Array;
  readonly mtu = REPLAY_MTU;
  readonly fds: readonly number[] = [];
  readonly queues: readonly Queue[] = [this];
  readonly index = 0;
  readonly #reader: CaptureReader;
  readonly #clock: Clock | undefined;
  readonly #speed: number;
  /** True while the reader's packet waits to be delivered. */
  #pending = false;
  #finished = false;
  #open = true;
  #startMs = Number.NaN;
  #firstSeconds = 0;
  #firstNanoseconds = 0;
  #rxPackets = 0;
  #rxBytes = 0;
  #rxDropped = 0;
  #txDropped = 0;

  constructor(options: ReplayOptions) {
    this.name = options.name ?? "replay";
    this.mac = options.mac ?? REPLAY_MAC;
    this.umem = options.umem ?? new MemoryUmem();
    this.#reader = new CaptureReader(options.capture);
    this.#clock = options.timing?.clock;
    this.#speed = options.timing?.speed ?? 1;
    if (!(this.#speed > 0)) throw new RangeError(`speed is above 0, not ${this.#speed}`);
  }

  get open(): boolean {
    return this.#open;
  }

  /** True once every packet was delivered, or reading ended in trouble. */
  get finished(): boolean {
    return this.#finished;
  }

  /** The capture as it is being read: its interfaces, and what was wrong with it. */
  get reader(): CaptureReader {
    return this.#reader;
  }

  receive(burst: Burst): number {
    let count = 0;
    while (this.#open && this.#load() && this.#isDue()) {
      const chunks = Math.ceil(this.#reader.packet.length / this.umem.roomBytes);
      if (chunks === 0 || chunks > burst.capacity || chunks > this.umem.chunkCount) {
        this.#rxDropped += 1;
        this.#pending = false;
        continue;
      }
      // A full burst or an empty pool: it stays for the next call.
      if (count + chunks > burst.capacity || this.umem.available < chunks) break;
      this.#lend(burst, count, chunks, this.#reader.packet);
      this.#pending = false;
      count += chunks;
    }
    return count;
  }

  settle(burst: Burst, count: number): void {
    for (let i = 0; i < count; i++) this.umem.settle(burst.address[i]!);
  }

  reserve(): boolean {
    return this.#open;
  }

  send(address: number, length: number, more: boolean): boolean {
    if (!this.#open) return false;
    this.umem.accept(address, length);
    this.umem.move(address, OWNER.tx, OWNER.pool);
    if (!more) this.#txDropped += 1;
    return true;
  }

  pass(): boolean {
    return false;
  }

  flush(): void {}

  takeLinkEvent(): LinkEvent | undefined {
    return undefined;
  }

  statistics(): DeviceStatistics {
    return {
      rxPackets: this.#rxPackets,
      rxBytes: this.#rxBytes,
      txPackets: 0,
      txBytes: 0,
      txFull: 0,
      rxDropped: this.#rxDropped,
      txDropped: this.#txDropped,
    };
  }

  close(): void {
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Has the next Ethernet packet in the reader; false at the end. */
  #load(): boolean {
    while (!this.#pending && !this.#finished) {
      if (!this.#reader.next()) this.#finished = true;
      else if (this.#reader.interfaces[this.#reader.packet.interfaceId]?.linkType === LINKTYPE_ETHERNET)
        this.#pending = true;
      else this.#rxDropped += 1;
    }
    return this.#pending;
  }

  #isDue(): boolean {
    if (this.#clock === undefined) return true;
    const { seconds, nanoseconds } = this.#reader.packet;
    const nowMs = this.#clock.nowMs();
    if (Number.isNaN(this.#startMs)) {
      this.#startMs = nowMs;
      this.#firstSeconds = seconds;
      this.#firstNanoseconds = nanoseconds;
    }
    const afterMs = (seconds - this.#firstSeconds) * 1e3 + (nanoseconds - this.#firstNanoseconds) / 1e6;
    return nowMs - this.#startMs >= afterMs / this.#speed;
  }

  #lend(burst: Burst, first: number, chunks: number, packet: CapturePacket): void {
    const { roomBytes, bytes } = this.umem;
    for (let i = 0; i < chunks; i++) {
      const from = packet.at + i * roomBytes;
      const length = Math.min(roomBytes, packet.at + packet.length - from);
      const at = this.umem.take();
      bytes.set(this.#reader.bytes.subarray(from, from + length), at);
      burst.address[first + i] = at;
      burst.length[first + i] = length;
      burst.more[first + i] = i < chunks - 1 ? 1 : 0;
    }
    this.#rxPackets += 1;
    this.#rxBytes += packet.length;
  }
}

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
export class Recorder implements Device {
  readonly inner: Device;
  readonly queues: readonly Queue[];
  readonly #clock: Clock;
  #writer: PcapngWriter;
  #id: number;

  constructor(device: Device, options: RecordOptions) {
    this.inner = device;
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

  get name(): string {
    return this.inner.name;
  }

  get umem(): Umem {
    return this.inner.umem;
  }

  get mac(): Uint8Array {
    return this.inner.mac;
  }

  get mtu(): number {
    return this.inner.mtu;
  }

  get fds(): readonly number[] {
    return this.inner.fds;
  }

  get open(): boolean {
    return this.inner.open;
  }

  takeLinkEvent(): LinkEvent | undefined {
    return this.inner.takeLinkEvent();
  }

  statistics(): DeviceStatistics {
    return this.inner.statistics();
  }

  close(): void {
    if (this.inner.open) this.#writer.setDropped(this.#id, this.inner.statistics().rxDropped);
    this.inner.close();
  }

  [Symbol.dispose](): void {
    this.close();
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
    this.#inner = inner;
    this.#recorder = recorder;
    this.#rx = taps.rx;
    this.#tx = taps.tx;
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

  reserve(chunks: number): boolean {
    return this.#inner.reserve(chunks);
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
