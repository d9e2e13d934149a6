/**
 * What a umem may be made of: its options, their defaults with reasons, and the check that comes before any memory is mapped.
 */
import { XDP_PACKET_HEADROOM } from "../sys/abi.ts";
import { PAGE_BYTES } from "../sys/memory.ts";

/** `XDP_UMEM_REG` takes powers of two up to the page; smaller than 2048 it refuses. */
export const CHUNK_SIZES = [2048, PAGE_BYTES] as const;
export const LARGEST_CHUNK_BYTES = PAGE_BYTES;

/** Addresses stay below 2^31, so that they are int32 in every register and column. */
export const MAX_UMEM_BYTES = 2 ** 31 - PAGE_BYTES;

export const DEFAULT_CHUNK_BYTES = 2048;
/** What `take` and the kernel leave free in front of a packet beyond XDP_PACKET_HEADROOM. */
export const DEFAULT_HEADROOM_BYTES = 0;
/** The kernel wants headroom < chunk - XDP_PACKET_HEADROOM; an Ethernet frame of the least size must fit behind it. */
const LEAST_PACKET_BYTES = 64;

export interface UmemOptions {
  /** Chunks; rounded up to a whole page of them. */
  readonly chunks: number;
  /** 2048 or 4096. Default 2048. */
  readonly chunkBytes?: number;
  /** Bytes in front of a packet beyond the 256 that the kernel always leaves. Default 0. */
  readonly headroomBytes?: number;
  /** Ask for huge pages (fails with ENOMEM where none are reserved). Default false. */
  readonly hugePages?: boolean;
}

const wholeNumber = (name: string, value: unknown, least: number, most: number): number => {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new TypeError(`${name} is a whole number, not ${typeof value === "number" ? value : typeof value}`);
  }
  if (value < least || value > most) throw new RangeError(`${name} is ${least} to ${most}, not ${value}`);
  return value;
};

const KEYS: ReadonlySet<string> = new Set<keyof UmemOptions>([
  "chunks",
  "chunkBytes",
  "headroomBytes",
  "hugePages",
]);

/** The options of a umem with their defaults; throws a TypeError or RangeError that names the wrong one. */
export const checkUmemOptions = (options: UmemOptions): Required<UmemOptions> => {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`a umem takes an object of options, not ${String(options)}`);
  }
  const unknown = Object.keys(options).find((key) => !KEYS.has(key));
  if (unknown !== undefined) {
    throw new TypeError(`a umem has no option "${unknown}"; it has ${[...KEYS].join(", ")}`);
  }
  const {
    chunkBytes = DEFAULT_CHUNK_BYTES,
    headroomBytes = DEFAULT_HEADROOM_BYTES,
    hugePages = false,
  } = options;
  wholeNumber("chunkBytes", chunkBytes, CHUNK_SIZES[0], PAGE_BYTES);
  if (!(CHUNK_SIZES as readonly number[]).includes(chunkBytes)) {
    throw new RangeError(`chunkBytes is one of ${CHUNK_SIZES.join(", ")}, not ${chunkBytes}`);
  }
  wholeNumber("headroomBytes", headroomBytes, 0, chunkBytes - XDP_PACKET_HEADROOM - LEAST_PACKET_BYTES);
  const chunks = wholeNumber("chunks", options.chunks, 1, Math.floor(MAX_UMEM_BYTES / chunkBytes));
  if (typeof hugePages !== "boolean")
    throw new TypeError(`hugePages is true or false, not ${typeof hugePages}`);
  return { chunks, chunkBytes, headroomBytes, hugePages };
};
