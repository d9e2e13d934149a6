/**
 * Reading captures: pcapng and classic pcap, either byte order, packet after packet without a copy.
 *
 * The bytes come from anywhere, so nothing in them throws or hangs: what cannot be read is counted, and where reading
 * cannot go on `trouble` says why.
 */
import type { CaptureInterface, CapturePacket, CaptureParser, CaptureTrouble } from "./captureformat.ts";
import { ClassicParser, isClassic } from "./classicpcap.ts";
import { DIRECTION } from "./pcapng.ts";
import { isPcapng, PcapngParser } from "./pcapngparser.ts";

/** Stands for bytes that are no capture. */
const NO_CAPTURE: CaptureParser = {
  next: () => false,
  interfaces: [],
  skipped: 0,
  malformed: 0,
  trouble: "not a capture",
};

const choose = (bytes: Uint8Array): CaptureParser => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isPcapng(view)) return new PcapngParser(view);
  return isClassic(view) ? new ClassicParser(view) : NO_CAPTURE;
};

export class CaptureReader {
  readonly bytes: Uint8Array;
  readonly packet: CapturePacket = {
    at: 0,
    length: 0,
    originalLength: 0,
    seconds: 0,
    nanoseconds: 0,
    interfaceId: 0,
    direction: DIRECTION.unknown,
  };
  #parser: CaptureParser;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#parser = choose(bytes);
  }

  /** Reads the next packet into `packet`; false at the end, or where `trouble` says. */
  next(): boolean {
    return this.#parser.next(this.packet);
  }

  /** Begins again. */
  rewind(): void {
    this.#parser = choose(this.bytes);
  }

  /** Interfaces described so far, over all sections of the file. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#parser.interfaces;
  }

  /** Blocks of kinds that hold no packets, or that are not known here. */
  get skipped(): number {
    return this.#parser.skipped;
  }

  /** Blocks or records that contradict themselves; they are left out. */
  get malformed(): number {
    return this.#parser.malformed;
  }

  /** Why reading ended early, undefined where it did not. */
  get trouble(): CaptureTrouble | undefined {
    return this.#parser.trouble;
  }
}
