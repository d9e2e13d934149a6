/**
 * What redundant sending can be told, with the checks that come before anything is opened.
 */
import type { EndpointText, UdpOptions } from "../udp/options.ts";

/**
 * What an application knows a datagram by: the whole number that the `length` bytes at (view, at) carry, the same in each copy
 * and in no other datagram of the last so many. NaN for what is none of its datagrams.
 */
export type DatagramKey = (view: DataView, at: number, length: number) => number;

/** Numbers of a stream that are told apart: at a million datagrams a second a millisecond between two paths. */
export const DEFAULT_WINDOW = 1024;
/** 64 Ki numbers of a stream are 576 KiB. */
export const MAX_WINDOW = 65_536;
const MIN_WINDOW = 64;
/** Senders that are heard at once; with the default window 2.3 MB. */
export const DEFAULT_STREAMS = 256;
export const MAX_STREAMS = 65_536;
/** Numbers of all streams together: 9 bytes each. */
export const MAX_REMEMBERED_NUMBERS = 2 ** 26;
/** Addresses of one peer: more copies are no more redundancy. */
export const MAX_REMOTES = 8;

/** What UDP is told as well; where to send and on what interfaces is said otherwise here. */
export interface RedundantOptions extends Omit<UdpOptions, "remote" | "interface" | "multipath" | "flow"> {
  /**
   * Where `send` goes: one address of the peer, which is sent to on every interface with a route there, or several, each of
   * which is sent to once ("10.0.0.1%eth0" names the interface).
   */
  readonly remote?: EndpointText | readonly EndpointText[];
  /** Send on these interfaces alone, by name. Default: all, also those that join later. */
  readonly interfaces?: readonly string[];
  /** Tell copies apart by the header that is put in front of each datagram (`copy-header.ts`). Default, where there is no key. */
  readonly header?: boolean;
  /** Tell copies apart by what is in the datagrams anyway, and send them as they are. */
  readonly key?: DatagramKey;
  /** Numbers of each stream, or keys, that are remembered: a power of two, 64 to 65536. Default 1024. */
  readonly window?: number;
  /**
   * Senders that are told apart, 1 to 65536. The one that was silent longest is forgotten first; of those that were heard once a
   * quarter of so many are remembered where there are more. Default 256.
   */
  readonly streams?: number;
  /** Hears of each further copy, how much later than the first it came, and over which interface. */
  readonly onDuplicate?: (lateMs: number, interfaceName: string) => void;
}

/** The options with nothing left open. */
export interface CheckedRedundantOptions {
  readonly udp: UdpOptions;
  readonly remotes: readonly EndpointText[];
  readonly interfaces: readonly string[] | undefined;
  /** Undefined: the header. */
  readonly key: DatagramKey | undefined;
  readonly window: number;
  readonly streams: number;
  readonly onDuplicate: ((lateMs: number, interfaceName: string) => void) | undefined;
}

const whole = (name: string, value: unknown, least: number, most: number): number => {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${String(value)}`);
};

/** A power of two, so that a number's place is some of its bits. */
export const powerOfTwo = (name: string, value: unknown, least: number, most: number): number => {
  const size = whole(name, value, least, most);
  if ((size & (size - 1)) === 0) return size;
  throw new RangeError(`${name} is a power of two, not ${size}`);
};

/** A list of one to `MAX_REMOTES` endpoints. */
export const readRemotes = (remote: EndpointText | readonly EndpointText[]): readonly EndpointText[] => {
  const list: readonly EndpointText[] = Array.isArray(remote) ? remote : [remote as EndpointText];
  if (list.some((one) => typeof one !== "object" || one === null))
    throw new TypeError("remote is { address, port }, or a list of such");
  if (list.length >= 1 && list.length <= MAX_REMOTES) return list;
  throw new RangeError(`remote is 1 to ${MAX_REMOTES} endpoints, not ${list.length}`);
};

/** The options with defaults, checked; UDP checks its own. Throws a TypeError or RangeError that names the wrong one. */
export const checkRedundantOptions = (options: RedundantOptions): CheckedRedundantOptions => {
  if (typeof options !== "object" || options === null)
    throw new TypeError("redundant takes an object of options");
  const { remote, interfaces, header, key, window, streams, onDuplicate, ...udp } = options;
  for (const name of ["interface", "multipath", "flow"])
    if (name in udp) throw new TypeError(`redundant has no option "${name}": it sends on several interfaces`);
  for (const [name, fn] of Object.entries({ key, onDuplicate }))
    if (fn !== undefined && typeof fn !== "function") throw new TypeError(`${name} is a function`);
  if (header !== undefined && typeof header !== "boolean") throw new TypeError("header is true or false");
  if (key !== undefined && header === true)
    throw new TypeError("copies are told apart by a header or by a key, not by both");
  if (key === undefined && header === false)
    throw new TypeError("without a header copies are told apart by a key: say which");
  if (interfaces !== undefined && !(Array.isArray(interfaces) && interfaces.length > 0))
    throw new TypeError("interfaces is a list of names");
  const checked = {
    window: powerOfTwo("window", window ?? DEFAULT_WINDOW, MIN_WINDOW, MAX_WINDOW),
    streams: whole("streams", streams ?? DEFAULT_STREAMS, 1, MAX_STREAMS),
  };
  if (key === undefined && checked.window * checked.streams > MAX_REMEMBERED_NUMBERS)
    throw new RangeError(`window times streams is at most ${MAX_REMEMBERED_NUMBERS}`);
  return {
    udp,
    remotes: remote === undefined ? [] : readRemotes(remote),
    interfaces,
    key,
    ...checked,
    onDuplicate,
  };
};
