/**
 * The classic pcap format: one header, then records (draft-ietf-opsawg-pcap), us or ns, either byte order.
 */
import type { CaptureInterface, CapturePacket, CaptureParser, CaptureTrouble } from "./captureformat.ts";
import { DIRECTION } from "./pcapng.ts";

const MAGIC_US = 0xa1b2c3d4;
const MAGIC_NS = 0xa1b23c4d;
const MAJOR = 2;

const WORD = 4;
const HALF = 2;
const MAGIC_AT = 0;
const MAJOR_AT = MAGIC_AT + WORD;
const MINOR_AT = MAJOR_AT + HALF;
/** Two words that used to be the time zone and the accuracy. */
const RESERVED_AT = MINOR_AT + HALF;
const SNAP_AT = RESERVED_AT + 2 * WORD;
const LINK_AT = SNAP_AT + WORD;
const HEADER_BYTES = LINK_AT + WORD;
/** The upper half of the link word says how long the frame check sequence is. */
const LINK_MASK = 0xffff;

const SECONDS_AT = 0;
const FRACTION_AT = SECONDS_AT + WORD;
const CAPTURED_AT = FRACTION_AT + WORD;
const ORIGINAL_AT = CAPTURED_AT + WORD;
const RECORD_BYTES = ORIGINAL_AT + WORD;

const US_PER_SECOND = 1_000_000;
const NS_PER_SECOND = 1_000_000_000;
const NS_PER_US = 1000;

const magicOf = (view: DataView, little: boolean): number =>
  view.byteLength >= WORD ? view.getUint32(MAGIC_AT, little) : 0;

const knows = (magic: number): boolean => magic === MAGIC_US || magic === MAGIC_NS;

/** True where the bytes begin like a classic capture. */
export const isClassic = (view: DataView): boolean =>
  knows(magicOf(view, true)) || knows(magicOf(view, false));

export class ClassicParser implements CaptureParser {
  readonly interfaces: readonly CaptureInterface[];
  readonly skipped = 0;
  readonly #view: DataView;
  readonly #little: boolean;
  readonly #unitsPerSecond: number;
  #malformed = 0;
  #trouble: CaptureTrouble | undefined;
  #at = HEADER_BYTES;

  constructor(view: DataView) {
    this.#view = view;
    this.#little = knows(magicOf(view, true));
    const whole = view.byteLength >= HEADER_BYTES;
    if (!whole) this.#trouble = "truncated";
    else if (view.getUint16(MAJOR_AT, this.#little) !== MAJOR) this.#trouble = "unknown version";
    this.#unitsPerSecond = magicOf(view, this.#little) === MAGIC_NS ? NS_PER_SECOND : US_PER_SECOND;
    const linkType = whole ? view.getUint32(LINK_AT, this.#little) & LINK_MASK : 0;
    const snapLength = whole ? view.getUint32(SNAP_AT, this.#little) : 0;
    this.interfaces = whole ? [{ name: "", linkType, snapLength }] : [];
  }

  get malformed(): number {
    return this.#malformed;
  }

  get trouble(): CaptureTrouble | undefined {
    return this.#trouble;
  }

  next(packet: CapturePacket): boolean {
    const view = this.#view;
    const little = this.#little;
    while (this.#trouble === undefined && this.#at < view.byteLength) {
      const at = this.#at;
      const left = view.byteLength - at - RECORD_BYTES;
      const captured = left < 0 ? 0 : view.getUint32(at + CAPTURED_AT, little);
      if (left < 0 || captured > left) {
        this.#trouble = "truncated";
        return false;
      }
      this.#at = at + RECORD_BYTES + captured;
      const fraction = view.getUint32(at + FRACTION_AT, little);
      if (fraction >= this.#unitsPerSecond) {
        this.#malformed += 1;
        continue;
      }
      packet.at = at + RECORD_BYTES;
      packet.length = captured;
      packet.originalLength = view.getUint32(at + ORIGINAL_AT, little);
      packet.seconds = view.getUint32(at + SECONDS_AT, little);
      packet.nanoseconds = this.#unitsPerSecond === NS_PER_SECOND ? fraction : fraction * NS_PER_US;
      packet.interfaceId = 0;
      packet.direction = DIRECTION.unknown;
      return true;
    }
    return false;
  }
}
