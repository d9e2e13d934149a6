/**
 * Writing captures: pcapng (draft-ietf-opsawg-pcapng) with nanoseconds, several interfaces and directions.
 *
 * Packets are copied into one bounded buffer that goes to the caller's sink when it is full: no allocation per packet.
 */

/** Block types and option codes, draft-ietf-opsawg-pcapng sections 4 and 3.5. */
export const BLOCK = {
  sectionHeader: 0x0a0d0d0a,
  interfaceDescription: 1,
  packet: 2,
  simplePacket: 3,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const LINKTYPE_ETHERNET = 1;

export const OPTION = {
  end: 0,
  sectionApplication: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  interfaceMac: 6,
  interfaceTimeResolution: 9,
  interfaceTimeOffset: 14,
  packetFlags: 2,
  statisticsReceived: 4,
  statisticsDropped: 5,
} as const;

/** Which way a packet went past the tap: the low two bits of epb_flags. */
export const DIRECTION = { unknown: 0, inbound: 1, outbound: 2 } as const;
export type Direction = (typeof DIRECTION)[keyof typeof DIRECTION];

const MAJOR = 1;
const MINOR = 0;
/** if_tsresol of nanoseconds: 10^-9. */
const NANOSECONDS = 9;
const WORD = 4;
const OPTION_HEADER_BYTES = 4;
const U64_BYTES = 8;
const MAC_BYTES = 6;
/** Block type, two block lengths. */
const BLOCK_FRAME_BYTES = 3 * WORD;
/** Interface, timestamp high and low, captured and original length. */
const PACKET_HEADER_BYTES = 5 * WORD;
const PACKET_OPTIONS_BYTES = OPTION_HEADER_BYTES + WORD + OPTION_HEADER_BYTES;
/** What an Enhanced Packet Block has beside the packet and its padding. */
const PACKET_OVERHEAD_BYTES = BLOCK_FRAME_BYTES + PACKET_HEADER_BYTES + PACKET_OPTIONS_BYTES;

/** Wireshark's own default and maximum for a packet (WTAP_MAX_PACKET_SIZE_STANDARD). */
export const MAX_SNAP_LENGTH = 262_144;
/** Interfaces of one file at most; a capture of more is a mistake in the caller. */
export const MAX_INTERFACES = 4096;
/** Bytes of a name or a description: the kernel's IFALIASZ. */
export const MAX_TEXT_BYTES = 256;
/** Room for the blocks that are not packets, above the longest packet. */
export const MIN_BUFFER_BYTES = 4096;

const DEFAULT_BUFFER_BYTES = 512 * 1024;

export interface PcapngOptions {
  /** Gets the file's bytes in order; the array is reused after the call, so write or copy it there and then. */
  readonly sink: (bytes: Uint8Array) => void;
  /** Size of the buffer. Default: 512 KiB, or what the longest packet needs. */
  readonly bufferBytes?: number;
  /** Bytes of each packet that are written at most. Default: 262144. */
  readonly snapLength?: number;
  /** Unix time of the clock's zero. Default: 1970, for clocks that count from there and for virtual time. */
  readonly epoch?: { readonly seconds: number; readonly nanoseconds: number };
  /** Written as shb_userappl. Default: "millrace". */
  readonly application?: string;
}

export interface InterfaceOptions {
  readonly name?: string;
  readonly description?: string;
  readonly mac?: Uint8Array;
}

interface Written {
  received: number;
  dropped: number;
}

/** Writes one file. What the sink throws ends the writing, not the program: see `failure`. */
export class PcapngWriter {
  readonly snapLength: number;
  readonly #sink: (bytes: Uint8Array) => void;
  readonly #epochSeconds: number;
  readonly #epochNanoseconds: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #interfaces: Written[] = [];
  #used = 0;
  #blockStart = 0;
  #left = 0;
  #captured = 0;
  #direction: Direction = DIRECTION.unknown;
  #packets = 0;
  #lost = 0;
  #writtenBytes = 0;
  #closed = false;
  #failure: unknown;
  /** The timestamp in ns as two halves, set by `#setTime`. */
  #timeHigh = 0;
  #timeLow = 0;

  constructor(options: PcapngOptions) {
    this.snapLength = inRange("snapLength", options.snapLength ?? MAX_SNAP_LENGTH, 1, MAX_SNAP_LENGTH);
    const least = Math.max(MIN_BUFFER_BYTES, this.snapLength + WORD + PACKET_OVERHEAD_BYTES);
    const size = inRange(
      "bufferBytes",
      options.bufferBytes ?? Math.max(least, DEFAULT_BUFFER_BYTES),
      least,
      2 ** 30,
    );
    this.#sink = options.sink;
    this.#epochSeconds = options.epoch?.seconds ?? 0;
    this.#epochNanoseconds = options.epoch?.nanoseconds ?? 0;
    const buffer = new ArrayBuffer(size);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#writeSectionHeader(options.application ?? "millrace");
  }

  /** Packets written. */
  get packets(): number {
    return this.#packets;
  }

  /** Packets not written, because the sink had failed or the writer was closed. */
  get lost(): number {
    return this.#lost;
  }

  /** Bytes of the file so far, with those that are still in the buffer. */
  get fileBytes(): number {
    return this.#writtenBytes + this.#used;
  }

  /** What the sink threw, undefined while all is well. Nothing is written after it. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Describes an interface and returns its number in this file. */
  addInterface(options: InterfaceOptions = {}): number {
    if (this.#interfaces.length >= MAX_INTERFACES)
      throw new RangeError(`a capture has at most ${MAX_INTERFACES} interfaces`);
    this.#room(MIN_BUFFER_BYTES);
    this.#beginBlock(BLOCK.interfaceDescription);
    this.#u16(LINKTYPE_ETHERNET);
    this.#u16(0);
    this.#u32(this.snapLength);
    if (options.name !== undefined) this.#textOption(OPTION.interfaceName, options.name);
    if (options.description !== undefined) this.#textOption(OPTION.interfaceDescription, options.description);
    if (options.mac?.length === MAC_BYTES) this.#bytesOption(OPTION.interfaceMac, options.mac);
    this.#bytesOption(OPTION.interfaceTimeResolution, Uint8Array.of(NANOSECONDS));
    this.#endOptions();
    this.#endBlock();
    return this.#interfaces.push({ received: 0, dropped: 0 }) - 1;
  }

  /** Writes a packet that lies in one piece. `timeMs` is the clock's. */
  packet(
    id: number,
    timeMs: number,
    direction: Direction,
    bytes: Uint8Array,
    at: number,
    length: number,
  ): void {
    if (!this.begin(id, timeMs, direction, length)) return;
    this.append(bytes, at, length);
    this.end();
  }

  /** Begins a packet of `length` bytes that follow in pieces. False where nothing is written any more. */
  begin(id: number, timeMs: number, direction: Direction, length: number): boolean {
    const counts = this.#interfaces[id];
    if (counts === undefined) throw new RangeError(`this capture has no interface ${id}`);
    if (this.#closed || this.#failure !== undefined) {
      this.#lost += 1;
      return false;
    }
    counts.received += 1;
    this.#captured = Math.min(length, this.snapLength);
    this.#room(this.#captured + WORD + PACKET_OVERHEAD_BYTES);
    this.#setTime(timeMs);
    this.#direction = direction;
    this.#left = this.#captured;
    this.#beginBlock(BLOCK.enhancedPacket);
    this.#u32(id);
    this.#u32(this.#timeHigh);
    this.#u32(this.#timeLow);
    this.#u32(this.#captured);
    this.#u32(length);
    return true;
  }

  /** The next piece of the packet that was begun; what is beyond the snap length is left out. */
  append(bytes: Uint8Array, at: number, length: number): void {
    const step = Math.min(length, this.#left);
    const to = this.#bytes;
    let used = this.#used;
    // A loop, because a subarray would be garbage per packet, and set() needs one.
    for (let from = at; from < at + step; from++, used++) to[used] = bytes[from]!;
    this.#used = used;
    this.#left -= step;
  }

  /** Ends the packet that was begun. */
  end(): void {
    if (this.#left !== 0) throw new Error(`${this.#left} bytes of the packet are missing`);
    this.#pad();
    this.#u16(OPTION.packetFlags);
    this.#u16(WORD);
    this.#u32(this.#direction);
    this.#endOptions();
    this.#endBlock();
    this.#packets += 1;
  }

  /** Sets what the Interface Statistics Block says was dropped on interface `id`. */
  setDropped(id: number, dropped: number): void {
    const counts = this.#interfaces[id];
    if (counts === undefined) throw new RangeError(`this capture has no interface ${id}`);
    counts.dropped = dropped;
  }

  /** Hands what is in the buffer to the sink. */
  flush(): void {
    if (this.#used === 0) return;
    const part = this.#bytes.subarray(0, this.#used);
    this.#used = 0;
    if (this.#failure !== undefined) return;
    try {
      this.#sink(part);
      this.#writtenBytes += part.length;
    } catch (error) {
      this.#failure = error ?? new Error("the sink threw nothing");
    }
  }

  /** Writes the statistics of each interface as of `timeMs` and flushes. Idempotent. */
  close(timeMs: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#setTime(timeMs);
    for (const [id, counts] of this.#interfaces.entries()) this.#writeStatistics(id, counts);
    this.flush();
  }

  #writeSectionHeader(application: string): void {
    this.#beginBlock(BLOCK.sectionHeader);
    this.#u32(BYTE_ORDER_MAGIC);
    this.#u16(MAJOR);
    this.#u16(MINOR);
    // Section length unknown: -1 in 64 bits.
    this.#u32(0xffffffff);
    this.#u32(0xffffffff);
    this.#textOption(OPTION.sectionApplication, application);
    this.#endOptions();
    this.#endBlock();
  }

  #writeStatistics(id: number, counts: Written): void {
    this.#room(MIN_BUFFER_BYTES);
    this.#beginBlock(BLOCK.interfaceStatistics);
    this.#u32(id);
    this.#u32(this.#timeHigh);
    this.#u32(this.#timeLow);
    this.#u64Option(OPTION.statisticsReceived, counts.received);
    this.#u64Option(OPTION.statisticsDropped, counts.dropped);
    this.#endOptions();
    this.#endBlock();
  }

  #room(bytes: number): void {
    if (this.#used + bytes > this.#bytes.length) this.flush();
  }

  #beginBlock(type: number): void {
    this.#blockStart = this.#used;
    this.#u32(type);
    this.#u32(0);
  }

  #endBlock(): void {
    const length = this.#used + WORD - this.#blockStart;
    this.#view.setUint32(this.#blockStart + WORD, length, true);
    this.#u32(length);
  }

  #endOptions(): void {
    this.#u16(OPTION.end);
    this.#u16(0);
  }

  #textOption(code: number, text: string): void {
    this.#bytesOption(code, new TextEncoder().encode(text).subarray(0, MAX_TEXT_BYTES));
  }

  #bytesOption(code: number, value: Uint8Array): void {
    this.#u16(code);
    this.#u16(value.length);
    this.#bytes.set(value, this.#used);
    this.#used += value.length;
    this.#pad();
  }

  #u64Option(code: number, value: number): void {
    this.#u16(code);
    this.#u16(U64_BYTES);
    this.#u32(value >>> 0);
    this.#u32(Math.floor(value / 2 ** 32));
  }

  #pad(): void {
    while ((this.#used & (WORD - 1)) !== 0) this.#bytes[this.#used++] = 0;
  }

  #u16(value: number): void {
    this.#view.setUint16(this.#used, value, true);
    this.#used += 2;
  }

  #u32(value: number): void {
    this.#view.setUint32(this.#used, value, true);
    this.#used += WORD;
  }

  /** Nanoseconds since 1970 need 61 bits: they are computed in 16-bit steps, each exact in a double. */
  #setTime(timeMs: number): void {
    const wholeSeconds = Math.floor(timeMs / 1000);
    let nanoseconds = this.#epochNanoseconds + Math.round((timeMs - wholeSeconds * 1000) * 1e6);
    let seconds = this.#epochSeconds + wholeSeconds;
    seconds += Math.floor(nanoseconds / 1e9);
    nanoseconds %= 1e9;
    const upper = Math.floor(seconds / 2 ** 16) * 1e9;
    const lower = (seconds % 2 ** 16) * 1e9 + nanoseconds + (upper % 2 ** 16) * 2 ** 16;
    this.#timeHigh = Math.floor(upper / 2 ** 16) + Math.floor(lower / 2 ** 32);
    this.#timeLow = lower % 2 ** 32;
  }
}

const inRange = (name: string, value: number, least: number, most: number): number => {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${String(value)}`);
};
