/**
 * A device that receives what a capture file holds, as fast as it is asked or by the packets' own times.
 */
import { MAX_PACKET_CHUNKS } from "./transmit.ts";
import { CaptureReader } from "./capture.ts";
import type { CapturePacket } from "./captureformat.ts";
import type { Burst, Clock, Device, DeviceStatistics, LinkEvent, Queue, Umem } from "./device.ts";
import { LINKTYPE_ETHERNET } from "./pcapng.ts";
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
  readonly maxChunks = MAX_PACKET_CHUNKS;
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
