/**
 * The pcapng format as a reader sees it (draft-ietf-opsawg-pcapng): sections, interfaces, packets, and blocks to skip.
 */
import type { CaptureInterface, CapturePacket, CaptureParser, CaptureTrouble } from "./captureformat.ts";
import { BLOCK, BYTE_ORDER_MAGIC, DIRECTION, MAX_INTERFACES, OPTION, type Direction } from "./pcapng.ts";

const WORD = 4;
const HALF = 2;
const TYPE_AT = 0;
const TOTAL_AT = TYPE_AT + WORD;
const BODY_AT = TOTAL_AT + WORD;
const TRAILER_BYTES = WORD;
const MIN_BLOCK_BYTES = BODY_AT + TRAILER_BYTES;

/** Section Header Block. */
const ORDER_AT = BODY_AT;
const MAJOR_AT = ORDER_AT + WORD;
const MIN_SECTION_BYTES = MAJOR_AT + 2 * HALF + 2 * WORD + TRAILER_BYTES;
const MAJOR = 1;

/** Interface Description Block. */
const LINK_AT = BODY_AT;
const SNAP_AT = LINK_AT + 2 * HALF;
const INTERFACE_OPTIONS_AT = SNAP_AT + WORD;

/** Enhanced Packet Block, and the obsolete Packet Block, which has a u16 interface and a u16 of drops in its place. */
const INTERFACE_AT = BODY_AT;
const TIME_HIGH_AT = INTERFACE_AT + WORD;
const TIME_LOW_AT = TIME_HIGH_AT + WORD;
const CAPTURED_AT = TIME_LOW_AT + WORD;
const ORIGINAL_AT = CAPTURED_AT + WORD;
const DATA_AT = ORIGINAL_AT + WORD;

/** Simple Packet Block. */
const SIMPLE_ORIGINAL_AT = BODY_AT;
const SIMPLE_DATA_AT = SIMPLE_ORIGINAL_AT + WORD;

const CODE_AT = 0;
const LENGTH_AT = CODE_AT + HALF;
const VALUE_AT = LENGTH_AT + HALF;

/** if_tsresol: the top bit says that the rest is a power of two, not of ten. Absent: 10^-6. */
const BINARY_RESOLUTION = 0x80;
const DEFAULT_RESOLUTION = 6;
const DIRECTION_MASK = 3;
const NS_PER_SECOND = 1_000_000_000n;
const U64_BYTES = 8;

interface ParsedInterface extends CaptureInterface {
  readonly unitsPerSecond: bigint;
  readonly offsetSeconds: number;
}

/** True where the bytes begin with a Section Header Block. Its type reads the same in both byte orders. */
export const isPcapng = (view: DataView): boolean =>
  view.byteLength >= WORD && view.getUint32(TYPE_AT, true) === BLOCK.sectionHeader;

export class PcapngParser implements CaptureParser {
  readonly interfaces: ParsedInterface[] = [];
  readonly #view: DataView;
  #little = true;
  #at = 0;
  /** Index of this section's first interface. */
  #first = 0;
  #skipped = 0;
  #malformed = 0;
  #trouble: CaptureTrouble | undefined;

  constructor(view: DataView) {
    this.#view = view;
  }

  get skipped(): number {
    return this.#skipped;
  }

  get malformed(): number {
    return this.#malformed;
  }

  get trouble(): CaptureTrouble | undefined {
    return this.#trouble;
  }

  next(packet: CapturePacket): boolean {
    while (this.#trouble === undefined && this.#at < this.#view.byteLength) {
      const at = this.#at;
      const total = this.#blockLength(at);
      if (total === 0) return false;
      // At least MIN_BLOCK_BYTES on: this loop ends.
      this.#at = at + total;
      if (this.#readBlock(at, total, packet)) return true;
    }
    return false;
  }

  /** Length of the block at `at`, 0 in trouble. A section header sets the byte order first. */
  #blockLength(at: number): number {
    const view = this.#view;
    const left = view.byteLength - at;
    if (left < MIN_BLOCK_BYTES) return this.#fail("truncated");
    if (view.getUint32(at + TYPE_AT, true) === BLOCK.sectionHeader) {
      if (view.getUint32(at + ORDER_AT, true) === BYTE_ORDER_MAGIC) this.#little = true;
      else if (view.getUint32(at + ORDER_AT, false) === BYTE_ORDER_MAGIC) this.#little = false;
      else return this.#fail("bad byte order");
    }
    const total = view.getUint32(at + TOTAL_AT, this.#little);
    if (total < MIN_BLOCK_BYTES || total % WORD !== 0) return this.#fail("bad block length");
    if (total > left) return this.#fail("truncated");
    const trailer = view.getUint32(at + total - TRAILER_BYTES, this.#little);
    return trailer === total ? total : this.#fail("bad block length");
  }

  #fail(trouble: CaptureTrouble): 0 {
    this.#trouble = trouble;
    return 0;
  }

  /** True where the block holds a packet, which is then in `packet`. */
  #readBlock(at: number, total: number, packet: CapturePacket): boolean {
    const end = at + total - TRAILER_BYTES;
    switch (this.#view.getUint32(at + TYPE_AT, this.#little)) {
      case BLOCK.enhancedPacket:
        return this.#readPacket(at, end, false, packet);
      case BLOCK.packet:
        return this.#readPacket(at, end, true, packet);
      case BLOCK.simplePacket:
        return this.#readSimple(at, end, packet);
      case BLOCK.interfaceDescription:
        return this.#readInterface(at, end);
      case BLOCK.sectionHeader:
        return this.#readSection(at, total);
      default:
        this.#skipped += 1;
        return false;
    }
  }

  #readSection(at: number, total: number): false {
    this.#first = this.interfaces.length;
    if (total < MIN_SECTION_BYTES || this.#view.getUint16(at + MAJOR_AT, this.#little) !== MAJOR) {
      this.#fail("unknown version");
    }
    return false;
  }

  #readInterface(at: number, end: number): false {
    if (at + INTERFACE_OPTIONS_AT > end || this.interfaces.length >= MAX_INTERFACES) return this.#reject();
    const view = this.#view;
    const little = this.#little;
    let name = "";
    let resolution = DEFAULT_RESOLUTION;
    let offsetSeconds = 0;
    this.#eachOption(at + INTERFACE_OPTIONS_AT, end, (code, from, length) => {
      if (code === OPTION.interfaceName) {
        name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + from, length));
      } else if (code === OPTION.interfaceTimeResolution && length === 1) resolution = view.getUint8(from);
      else if (code === OPTION.interfaceTimeOffset && length === U64_BYTES) {
        offsetSeconds = Number(view.getBigInt64(from, little));
      }
    });
    const exponent = BigInt(resolution & ~BINARY_RESOLUTION);
    this.interfaces.push({
      name,
      linkType: view.getUint16(at + LINK_AT, little),
      snapLength: view.getUint32(at + SNAP_AT, little),
      unitsPerSecond: (resolution & BINARY_RESOLUTION) === 0 ? 10n ** exponent : 2n ** exponent,
      offsetSeconds,
    });
    return false;
  }

  #readPacket(at: number, end: number, obsolete: boolean, packet: CapturePacket): boolean {
    if (at + DATA_AT > end) return this.#reject();
    const view = this.#view;
    const little = this.#little;
    const id = obsolete
      ? view.getUint16(at + INTERFACE_AT, little)
      : view.getUint32(at + INTERFACE_AT, little);
    const captured = view.getUint32(at + CAPTURED_AT, little);
    const from = this.interfaces[this.#first + id];
    if (from === undefined || captured > end - at - DATA_AT) return this.#reject();
    packet.at = at + DATA_AT;
    packet.length = captured;
    packet.originalLength = view.getUint32(at + ORIGINAL_AT, little);
    packet.interfaceId = this.#first + id;
    this.#readTime(
      view.getUint32(at + TIME_HIGH_AT, little),
      view.getUint32(at + TIME_LOW_AT, little),
      from,
      packet,
    );
    packet.direction = DIRECTION.unknown;
    const optionsAt = at + DATA_AT + Math.ceil(captured / WORD) * WORD;
    this.#eachOption(optionsAt, end, (code, value, length) => {
      if (code === OPTION.packetFlags && length === WORD) {
        packet.direction = directionOf(view.getUint32(value, little));
      }
    });
    return true;
  }

  #readSimple(at: number, end: number, packet: CapturePacket): boolean {
    const from = this.interfaces[this.#first];
    if (from === undefined || at + SIMPLE_DATA_AT > end) return this.#reject();
    const original = this.#view.getUint32(at + SIMPLE_ORIGINAL_AT, this.#little);
    const snap = from.snapLength === 0 ? original : from.snapLength;
    packet.at = at + SIMPLE_DATA_AT;
    packet.length = Math.min(original, snap, end - packet.at);
    packet.originalLength = original;
    packet.seconds = 0;
    packet.nanoseconds = 0;
    packet.interfaceId = this.#first;
    packet.direction = DIRECTION.unknown;
    return true;
  }

  #readTime(high: number, low: number, from: ParsedInterface, packet: CapturePacket): void {
    const units = (BigInt(high) << 32n) | BigInt(low);
    packet.seconds = Number(units / from.unitsPerSecond) + from.offsetSeconds;
    packet.nanoseconds = Number(((units % from.unitsPerSecond) * NS_PER_SECOND) / from.unitsPerSecond);
  }

  /** Calls `each` for the options from `at` to `end`; a list that runs over its block is malformed and ends. */
  #eachOption(at: number, end: number, each: (code: number, from: number, length: number) => void): void {
    const view = this.#view;
    while (at + VALUE_AT <= end) {
      const code = view.getUint16(at + CODE_AT, this.#little);
      const length = view.getUint16(at + LENGTH_AT, this.#little);
      if (code === OPTION.end) return;
      if (at + VALUE_AT + length > end) {
        this.#malformed += 1;
        return;
      }
      each(code, at + VALUE_AT, length);
      at += VALUE_AT + Math.ceil(length / WORD) * WORD;
    }
  }

  #reject(): false {
    this.#malformed += 1;
    return false;
  }
}

const directionOf = (flags: number): Direction => {
  const direction = flags & DIRECTION_MASK;
  return direction === DIRECTION.inbound || direction === DIRECTION.outbound ? direction : DIRECTION.unknown;
};
