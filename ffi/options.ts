/**
 * What `attach` may be told: the options, their defaults with reasons, and the check that comes before any system call.
 */
import { MAX_RING_SIZE } from "./xsk/ring.ts";
import type { RingSizes } from "./xsk/setup.ts";
import { MAX_SOCKETS_PER_UMEM, Umem } from "./xsk/umem.ts";
import { checkUmemOptions } from "./xsk/umem-options.ts";
import { checkClaims, type Claims } from "./xdp/claim.ts";

/** Where the program runs: in the driver, in the kernel's generic hook, or the better one that works. */
export type XdpMode = "auto" | "native" | "generic";
/** How the socket gets its bytes: the device writes them into the umem, the kernel copies them, or the better one. */
export type BindMode = "auto" | "zero-copy" | "copy";

export interface AttachOptions {
  /** Name (under /run/netns) or path of the network namespace that the interface is in. Default: this one. */
  readonly namespace?: string;
  /** Which receive queues to serve: all of them, or these. Default "all". */
  readonly queues?: "all" | readonly number[];
  /** Which traffic is ours; the rest stays the kernel's. Default "everything". */
  readonly claim?: Claims;
  /** Default "auto": native, then generic. */
  readonly xdp?: XdpMode;
  /** Default "auto": zero-copy, then copy. */
  readonly bind?: BindMode;
  /** Memory to share with other devices. Default: one of its own, closed with the device. */
  readonly umem?: Umem;
  /** Chunks of the device's own umem. Default 4096 for each queue. */
  readonly chunks?: number;
  /** 2048 or 4096. Default 2048, and 4096 where the card would cut frames of full size in those without a copy (igb). */
  readonly chunkBytes?: number;
  /** Bytes in front of a packet beyond the kernel's 256. Default 0. */
  readonly headroomBytes?: number;
  /** Ring sizes in entries, powers of two. Default 2048 each; `rx: 0` or `tx: 0` leaves that direction out. */
  readonly rings?: Partial<RingSizes>;
  /** Let the kernel sleep and say when it wants a system call. Default true. */
  readonly needWakeup?: boolean;
  /** Packets of several chunks, above about 1800 bytes with chunks of 2048. Default: where the kernel has it. */
  readonly multiBuffer?: boolean;
  /** Attach beside other programs through libxdp's dispatcher. Default false: a bpf_link that goes with the process. */
  readonly shared?: boolean;
}

/** The options with nothing left open but what depends on the interface. */
export interface Plan {
  readonly namespace: string | undefined;
  readonly queues: "all" | readonly number[];
  readonly claim: Claims;
  readonly xdp: XdpMode;
  readonly bind: BindMode;
  readonly umem: Umem | undefined;
  readonly chunks: number | undefined;
  readonly chunkBytes: number | undefined;
  readonly headroomBytes: number | undefined;
  readonly rings: RingSizes;
  readonly needWakeup: boolean;
  /** Undefined: where the kernel has it. */
  readonly multiBuffer: boolean | undefined;
  readonly shared: boolean;
}

/**
 * 256 entries cost a receiver half its rate, 2048 do not (measured on veth); the completion ring must hold what the
 * tx ring can have in flight.
 */
const DEFAULT_RING = 2048;
/** A full fill ring and as much again for what is being sent or kept. */
export const DEFAULT_CHUNKS_PER_QUEUE = 2 * DEFAULT_RING;
/** struct ifreq, IFNAMSIZ with its NUL. */
const MAX_INTERFACE_NAME = 15;

const KEYS: ReadonlySet<string> = new Set<keyof AttachOptions>([
  "namespace",
  "queues",
  "claim",
  "xdp",
  "bind",
  "umem",
  "chunks",
  "chunkBytes",
  "headroomBytes",
  "rings",
  "needWakeup",
  "multiBuffer",
  "shared",
]);
const RING_KEYS = ["rx", "tx", "fill", "completion"] as const;

/** Names a value without calling anything of its own: an object may have no text, or one that throws. */
const describe = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function" || (typeof value === "object" && value !== null))
    return `a ${typeof value}`;
  return String(value);
};

const oneOf = <T extends string>(name: string, value: unknown, allowed: readonly T[], fallback: T): T => {
  if (value === undefined) return fallback;
  const found = allowed.find((word) => word === value);
  if (found !== undefined) return found;
  throw new TypeError(`${name} is ${allowed.map((word) => `"${word}"`).join(", ")}, not ${describe(value)}`);
};

const truth = (name: string, value: unknown): void => {
  if (value !== undefined && typeof value !== "boolean")
    throw new TypeError(`${name} is true or false, not ${describe(value)}`);
};

const whole = (name: string, value: unknown): number => {
  if (typeof value === "number" && Number.isInteger(value)) return value;
  throw new TypeError(`${name} is a whole number, not ${describe(value)}`);
};

const checkRings = (given: unknown): RingSizes => {
  const sizes = { rx: DEFAULT_RING, tx: DEFAULT_RING, fill: DEFAULT_RING, completion: DEFAULT_RING };
  if (given === undefined) return sizes;
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new TypeError(`rings is an object of sizes, not ${describe(given)}`);
  for (const [key, value] of Object.entries(given)) {
    const ring = RING_KEYS.find((name) => name === key);
    if (ring === undefined)
      throw new TypeError(`rings has ${RING_KEYS.join(", ")}; there is no ${describe(key)}`);
    if (value === undefined) continue;
    const size = whole(`rings.${ring}`, value);
    const optional = ring === "rx" || ring === "tx";
    const power = size > 0 && size <= MAX_RING_SIZE && (size & (size - 1)) === 0;
    if (!power && !(optional && size === 0)) {
      throw new RangeError(
        `rings.${ring} is a power of two up to ${MAX_RING_SIZE}${optional ? ", or 0 for none" : ""}, not ${size}`,
      );
    }
    sizes[ring] = size;
  }
  if (sizes.rx === 0 && sizes.tx === 0)
    throw new RangeError("rings.rx and rings.tx cannot both be 0: the socket would do nothing");
  if (sizes.completion < sizes.tx) {
    throw new RangeError(
      `rings.completion (${sizes.completion}) must not be smaller than rings.tx (${sizes.tx}): sent frames could not come back`,
    );
  }
  return sizes;
};

const checkQueues = (given: unknown): "all" | readonly number[] => {
  if (given === undefined || given === "all") return "all";
  if (!Array.isArray(given))
    throw new TypeError(`queues is "all" or a list of queue numbers, not ${describe(given)}`);
  if (given.length === 0 || given.length > MAX_SOCKETS_PER_UMEM) {
    throw new RangeError(`queues names 1 to ${MAX_SOCKETS_PER_UMEM} queues, not ${given.length}`);
  }
  // Not map(): it would skip the holes of a sparse array.
  const queues = Array.from(given, (queue) => whole("each of queues", queue));
  const negative = queues.find((queue) => queue < 0);
  if (negative !== undefined) throw new RangeError(`each of queues is 0 or more, not ${negative}`);
  if (new Set(queues).size !== queues.length)
    throw new RangeError(`queues names a queue twice: ${queues.join(", ")}`);
  return queues;
};

/** The checks of a umem are its own; what it is made of is asked here too, so that nothing is opened before a refusal. */
const checkMemory = ({ umem, chunks, chunkBytes, headroomBytes }: AttachOptions): void => {
  const sizes = Object.entries({ chunks, chunkBytes, headroomBytes }).filter(
    ([, value]) => value !== undefined,
  );
  if (umem === undefined) {
    checkUmemOptions({ chunks: DEFAULT_CHUNKS_PER_QUEUE, ...Object.fromEntries(sizes) });
    return;
  }
  if (!(umem instanceof Umem)) throw new TypeError(`umem is a Umem, not ${describe(umem)}`);
  if (umem.closing) throw new TypeError("umem is a Umem that has been closed");
  const [own] = sizes;
  if (own !== undefined) throw new TypeError(`${own[0]} is the umem's own; leave it out beside umem`);
};

/** Checks every option and fills in the defaults; throws a TypeError or RangeError that names the option. */
export const planAttach = (interfaceName: unknown, options: unknown): Plan => {
  if (typeof interfaceName !== "string")
    throw new TypeError(`attach takes the name of an interface, not ${describe(interfaceName)}`);
  if (
    !/^[^\s/]+$/.test(interfaceName) ||
    Buffer.byteLength(interfaceName) > MAX_INTERFACE_NAME ||
    interfaceName.includes("\0")
  ) {
    throw new RangeError(
      `an interface name is 1 to ${MAX_INTERFACE_NAME} bytes without spaces or slashes, not ${describe(interfaceName)}`,
    );
  }
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`attach takes an object of options, not ${describe(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key))
      throw new TypeError(`attach has no option ${describe(key)}; it has ${[...KEYS].join(", ")}`);
  }
  const given: AttachOptions = options;
  const { namespace, umem, chunks, chunkBytes, headroomBytes, needWakeup, multiBuffer, shared } = given;
  if (
    namespace !== undefined &&
    (typeof namespace !== "string" || namespace === "" || namespace.includes("\0"))
  ) {
    throw new TypeError(`namespace is a name or a path, not ${describe(namespace)}`);
  }
  for (const [name, value] of Object.entries({ needWakeup, multiBuffer, shared })) truth(name, value);
  checkMemory(given);
  // Only a claim that was left out means everything: a null that got there by mistake must not take all the traffic.
  const claim = given.claim === undefined ? "everything" : given.claim;
  checkClaims(claim);
  return {
    namespace,
    queues: checkQueues(given.queues),
    claim,
    xdp: oneOf("xdp", given.xdp, ["auto", "native", "generic"], "auto"),
    bind: oneOf("bind", given.bind, ["auto", "zero-copy", "copy"], "auto"),
    umem,
    chunks,
    chunkBytes,
    headroomBytes,
    rings: checkRings(given.rings),
    needWakeup: needWakeup ?? true,
    multiBuffer,
    shared: shared ?? false,
  };
};
