/**
 * What every capture format gives its reader: packets, interfaces, and a name for the trouble that ended the reading.
 */
import type { Direction } from "./pcapng.ts";

/** Why reading ended before the end of the bytes. */
export type CaptureTrouble =
  "not a capture" | "truncated" | "bad block length" | "bad byte order" | "unknown version";

export interface CaptureInterface {
  readonly name: string;
  /** tcpdump.org's LINKTYPE number: 1 is Ethernet. */
  readonly linkType: number;
  readonly snapLength: number;
}

/** The packet that was read last. Its bytes are those of the capture from `at` on. */
export interface CapturePacket {
  at: number;
  /** Bytes captured. */
  length: number;
  /** Bytes that it had. */
  originalLength: number;
  /** Unix time. */
  seconds: number;
  nanoseconds: number;
  /** Index in `interfaces`. */
  interfaceId: number;
  direction: Direction;
}

/** What a format's parser does. */
export interface CaptureParser {
  /** Reads the next packet into `packet`; false at the end or in trouble. */
  next(packet: CapturePacket): boolean;
  readonly interfaces: readonly CaptureInterface[];
  readonly skipped: number;
  readonly malformed: number;
  readonly trouble: CaptureTrouble | undefined;
}
