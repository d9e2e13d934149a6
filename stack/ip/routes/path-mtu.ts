/**
 * What paths carry: the largest packet to each destination, as routers reported it (RFC 1191, RFC 8201).
 *
 * A report only ever lowers an estimate. It is forgotten after ten minutes, and the next packet of the link's size finds
 * out whether the path still is so narrow.
 */
import { AddressTable } from "../../wire/address-table.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { Timer } from "../../loop/timers.ts";
import type { Environment } from "../environment.ts";

/** No link of IPv6 carries less (RFC 8200 section 5); a report of less is discarded whole (RFC 8201 section 4). */
export const MIN_PATH_MTU6 = 1280;
/**
 * What an IPv4 report lowers to at most: 512 bytes of data and two headers of 20, the smallest that Linux believes
 * (min_pmtu in ip-sysctl). The 68 bytes of RFC 791 would let one forged report cut a flow into crumbs (RFC 5927 section
 * 7); a path that is really narrower is served by `fragmentable`.
 */
export const MIN_PATH_MTU4 = 552;
/** No IPv4 packet and no IPv6 payload is larger. */
export const MAX_PATH_MTU = 0xffff;
/** How long a report is believed, and how long nothing larger is tried: RFC 1191 section 6.3, RFC 8201 section 4. */
export const PATH_MTU_AGE_MS = 600_000;
/** Destinations remembered: beyond, the one reported longest ago goes. An entry is some 200 bytes. */
export const PATH_MTU_ENTRIES = 4096;

/**
 * Sizes that were usual on links when routers did not report theirs yet, from RFC 1191 section 7 table 7-1, downwards.
 */
export const PLATEAUS: readonly number[] = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

export interface PathMtuOptions {
  /** Destinations remembered; `PATH_MTU_ENTRIES`. */
  readonly entries?: number;
  /** How long a report is believed, in ms; `PATH_MTU_AGE_MS`. */
  readonly ageMs?: number;
  /** How long after a report `raise` is refused, in ms; `PATH_MTU_AGE_MS`. Useful where it is less than the age. */
  readonly raiseAfterMs?: number;
  /** Hears of every change; `mtu` is 0 where nothing is known any more. */
  readonly changed?: (destination: IpAddress, mtu: number) => void;
  /** What packets to a destination go over now, for `forgetOver`. Default: nothing is known of that. */
  readonly over?: (destination: IpAddress) => object | undefined;
}

/** What became of the reports and of the entries. */
export interface PathMtuStatistics {
  readonly entries: number;
  /** Reports that lowered an estimate. */
  readonly lowered: number;
  /** Validated sizes that raised one. */
  readonly raised: number;
  /** Reports of less than IPv6 allows. */
  readonly tooSmall: number;
  /** Reports that were not below the estimate, or not below the packet that they are about. */
  readonly notLower: number;
  /** Reports without a size that can't be made out from the packet either. */
  readonly unknown: number;
  /** Entries that grew old. */
  readonly expired: number;
  /** Entries that made room for others. */
  readonly evicted: number;
}

interface Entry {
  readonly destination: IpAddress;
  mtu: number;
  /** The path reported less than the floor. */
  narrow: boolean;
  loweredMs: number;
  /** What packets went over when that was reported. */
  over: object | undefined;
}

/** The table of one host. */
export class PathMtus {
  readonly #environment: Environment;
  readonly #entries: AddressTable<Entry>;
  /** The same entries in the order of their last report, the oldest first: all live equally long. */
  readonly #byAge = new Set<Entry>();
  readonly #limit: number;
  readonly #ageMs: number;
  readonly #raiseAfterMs: number;
  readonly #changed: (destination: IpAddress, mtu: number) => void;
  readonly #over: (destination: IpAddress) => object | undefined;
  #timer: Timer | undefined;
  #closed = false;
  readonly #counts = {
    lowered: 0,
    raised: 0,
    tooSmall: 0,
    notLower: 0,
    unknown: 0,
    expired: 0,
    evicted: 0,
  };

  /** @throws RangeError that names the option which is out of range. */
  constructor(environment: Environment, options: PathMtuOptions = {}) {
    const { entries = PATH_MTU_ENTRIES, ageMs = PATH_MTU_AGE_MS } = options;
    if (!Number.isInteger(entries) || entries < 1)
      throw new RangeError(`entries must be a positive integer, not ${entries}`);
    if (!(ageMs > 0)) throw new RangeError(`ageMs must be positive, not ${ageMs}`);
    this.#environment = environment;
    this.#entries = new AddressTable<Entry>(entries, environment.random.next() | 0);
    this.#limit = entries;
    this.#ageMs = ageMs;
    this.#raiseAfterMs = options.raiseAfterMs ?? PATH_MTU_AGE_MS;
    this.#changed = options.changed ?? ((): void => {});
    this.#over = options.over ?? ((): undefined => {});
  }

  /** Destinations that something is known of. */
  get size(): number {
    return this.#byAge.size;
  }

  /** The largest packet that this destination's path is known to carry, in bytes; 0 where nothing is known. */
  of(w0: number, w1: number, w2: number, w3: number): number {
    const entry = this.#entries.get(w0, w1, w2, w3);
    return entry === undefined ? 0 : entry.mtu;
  }

  /** True where this IPv4 path reported less than the floor: packets to it must be sent without "don't fragment". */
  fragmentable(w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#entries.get(w0, w1, w2, w3)?.narrow === true;
  }

  /**
   * A router says that a packet of `sentBytes` to this destination was too big, and that `mtu` bytes would pass; 0 is
   * from a router before RFC 1191, and the next plateau below the packet is taken. `sentBytes` comes from the quoted
   * header, 0 where unknown. True where the estimate was lowered.
   */
  lower(destination: IpAddress, mtu: number, sentBytes = 0): boolean {
    if (this.#closed) return false;
    const told = mtu === 0 ? this.#plateauBelow(destination, sentBytes) : mtu;
    if (!Number.isInteger(told) || told <= 0) return this.#ignored("unknown");
    if (destination.family === 6 && told < MIN_PATH_MTU6) return this.#ignored("tooSmall");
    // What was too big was larger than what fits; anything else is forged or confused.
    if (told > MAX_PATH_MTU || (sentBytes > 0 && told >= sentBytes)) return this.#ignored("notLower");
    const narrow = destination.family === 4 && told < MIN_PATH_MTU4;
    const bytes = narrow ? MIN_PATH_MTU4 : told;
    const entry = this.#entryOf(destination);
    const over = this.#over(destination);
    if (entry === undefined) {
      this.#add({ destination, mtu: bytes, narrow, loweredMs: this.#environment.timers.now, over });
    } else {
      const lowers = bytes < entry.mtu || (bytes === entry.mtu && narrow && !entry.narrow);
      // The same again is news of its age only.
      if (lowers || bytes === entry.mtu) this.#renew(entry);
      if (!lowers) return this.#ignored("notLower");
      entry.mtu = bytes;
      entry.narrow = narrow;
      entry.over = over;
    }
    this.#counts.lowered += 1;
    this.#arm();
    this.#changed(destination, bytes);
    return true;
  }

  /**
   * A packet of `mtu` bytes is known to have arrived there. Raises the estimate, but not before `raiseAfterMs` have
   * passed since the last report, because until then the proof may be of a path that is no more.
   */
  raise(destination: IpAddress, mtu: number): boolean {
    const entry = this.#entryOf(destination);
    if (entry === undefined || !Number.isInteger(mtu) || mtu <= entry.mtu || mtu > MAX_PATH_MTU) return false;
    if (this.#environment.timers.now - entry.loweredMs < this.#raiseAfterMs) return false;
    entry.mtu = mtu;
    entry.narrow = false;
    this.#counts.raised += 1;
    this.#changed(destination, mtu);
    return true;
  }

  /** Forgets what is known of a destination, as when the route to it changed. True where anything was. */
  forget(destination: IpAddress): boolean {
    const entry = this.#entryOf(destination);
    if (entry === undefined) return false;
    this.#remove(entry);
    this.#arm();
    return true;
  }

  /** Forgets what was reported while packets went over this, for they go another way now (RFC 8201 section 5.2). */
  forgetOver(over: object): void {
    if (this.size === 0) return;
    for (const entry of [...this.#byAge]) if (entry.over === over) this.#remove(entry);
    this.#arm();
  }

  statistics(): PathMtuStatistics {
    return { entries: this.#byAge.size, ...this.#counts };
  }

  /** Forgets everything and cancels the timer. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#byAge.clear();
    this.#entries.clear();
  }

  #entryOf(destination: IpAddress): Entry | undefined {
    return this.#entries.get(destination.w0, destination.w1, destination.w2, destination.w3);
  }

  #plateauBelow(destination: IpAddress, sentBytes: number): number {
    // An IPv6 router always has its MTU to report; a zero there is as small as any other small number.
    if (destination.family === 6) return 1;
    const below = sentBytes > 0 ? sentBytes : (this.#entryOf(destination)?.mtu ?? 0);
    return PLATEAUS.find((plateau) => plateau < below) ?? 0;
  }

  #ignored(reason: "tooSmall" | "notLower" | "unknown"): false {
    this.#counts[reason] += 1;
    return false;
  }

  #add(entry: Entry): void {
    if (this.#byAge.size >= this.#limit) {
      for (const oldest of this.#byAge) {
        this.#counts.evicted += 1;
        this.#remove(oldest);
        break;
      }
    }
    if (this.#entries.set(entry.destination, entry)) this.#byAge.add(entry);
  }

  #renew(entry: Entry): void {
    entry.loweredMs = this.#environment.timers.now;
    this.#byAge.delete(entry);
    this.#byAge.add(entry);
  }

  #remove(entry: Entry): void {
    this.#byAge.delete(entry);
    this.#entries.delete(entry.destination);
    this.#changed(entry.destination, 0);
  }

  /** Sets the timer to the moment when the oldest entry ends. */
  #arm(): void {
    for (const oldest of this.#byAge) {
      const ms = Math.max(0, oldest.loweredMs + this.#ageMs - this.#environment.timers.now);
      if (this.#timer === undefined) this.#timer = this.#environment.timers.after(ms, () => this.#expire());
      else this.#timer.restart(ms);
      return;
    }
    this.#timer?.cancel();
  }

  #expire(): void {
    const now = this.#environment.timers.now;
    for (const entry of this.#byAge) {
      if (entry.loweredMs + this.#ageMs > now) break;
      this.#counts.expired += 1;
      this.#remove(entry);
    }
    this.#arm();
  }
}
