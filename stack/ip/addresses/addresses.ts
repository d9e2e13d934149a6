/**
 * The addresses of one interface: which are ours, for how long, and whether another uses them too.
 *
 * It sends probes and announcements through its io, and is told by ARP and neighbour discovery what others say.
 */
import { MAX_TIMER_MS, type Timer } from "../../loop/timers.ts";
import { AddressTable } from "../../wire/address-table.ts";
import { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import { Prefix } from "../../wire/prefix.ts";
import {
  type AddressChange,
  AddressEntry,
  type AddressOptions,
  type InterfaceAddress,
} from "./address-entry.ts";
import {
  ANNOUNCE_COUNT4,
  ANNOUNCE_COUNT6,
  ANNOUNCE_INTERVAL4_MS,
  ANNOUNCE_INTERVAL6_MS,
  Announcer,
  Defence,
  Detection,
  DETECTION_TIMES4,
  DETECTION_TIMES6,
  type DetectionTimes,
  MAX_CONFLICTS,
  RATE_LIMIT_INTERVAL_MS,
} from "./dad.ts";
import type { Environment } from "../environment.ts";
import { SolicitedGroups } from "./solicited-groups.ts";

export type {
  AddressChange,
  AddressOptions,
  AddressOrigin,
  AddressState,
  Answerer,
  InterfaceAddress,
} from "./address-entry.ts";

/** Addresses of one interface at most: service addresses by the dozen have room, a runaway caller hasn't. */
export const MAX_ADDRESSES = 256;

/** What an address book does outside itself. It may be called from within any of its methods. */
export interface AddressIo {
  /** Sends an ARP probe, or a neighbour solicitation from :: with this nonce. False where it can't be sent now. */
  probe(address: IpAddress, nonce: Uint8Array): boolean;
  /** Sends an ARP announcement, or an unsolicited neighbour advertisement. */
  announce(address: IpAddress): void;
  changed(entry: InterfaceAddress, what: AddressChange): void;
  /** The solicited-node group of an address; once for all addresses that share it. */
  joinGroup(group: IpAddress): void;
  leaveGroup(group: IpAddress): void;
}

export interface AddressBookOptions {
  /** False: new addresses are ours at once. Default: true. */
  readonly dad?: boolean;
  /** Default: DETECTION_TIMES4, DETECTION_TIMES6. */
  readonly times4?: DetectionTimes;
  readonly times6?: DetectionTimes;
  /** Default: MAX_ADDRESSES. */
  readonly limit?: number;
}

export interface AddressStatistics {
  readonly addresses: number;
  /** Addresses refused because the book was full. */
  readonly refused: number;
  /** Addresses that turned out to be another's before they were ours. */
  readonly duplicates: number;
  /** Probes of ours that the network threw back; as long as that goes on, addresses stay tentative (RFC 7527). */
  readonly looped: number;
  /** Packets of others that used an address of ours. */
  readonly conflicts: number;
  /** Addresses given up after such conflicts. */
  readonly yielded: number;
  /** Addresses whose lifetime ended. */
  readonly expired: number;
}

export class AddressBook {
  readonly #environment: Environment;
  readonly #io: AddressIo;
  readonly #dad: boolean;
  readonly #times4: DetectionTimes;
  readonly #times6: DetectionTimes;
  readonly #table: AddressTable<AddressEntry>;
  /** In the order of their addition. */
  readonly #entries = new Set<AddressEntry>();
  readonly #groups: SolicitedGroups;
  /** The broadcast addresses of the subnets, as words. */
  #broadcasts: ReadonlySet<number> = new Set();
  #lifetimes: Timer | undefined;
  readonly #counts = { looped: 0, refused: 0, duplicates: 0, conflicts: 0, yielded: 0, expired: 0 };
  /** For the rate limit of RFC 5227 section 2.1.1. */
  #failures4 = 0;
  #lastProbing4Ms = -Infinity;
  #closed = false;

  constructor(environment: Environment, io: AddressIo, options: AddressBookOptions = {}) {
    this.#environment = environment;
    this.#io = io;
    this.#dad = options.dad ?? true;
    this.#times4 = options.times4 ?? DETECTION_TIMES4;
    this.#times6 = options.times6 ?? DETECTION_TIMES6;
    this.#table = new AddressTable(options.limit ?? MAX_ADDRESSES, environment.random.next());
    this.#groups = new SolicitedGroups(io);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** True where it is ours: neither tentative nor duplicated. Allocates nothing. */
  has(w0: number, w1: number, w2: number, w3: number): boolean {
    const entry = this.#table.get(w0, w1, w2, w3);
    return entry !== undefined && entry.assigned;
  }

  /** The entry with these words, in any state. Allocates nothing. */
  findWords(w0: number, w1: number, w2: number, w3: number): InterfaceAddress | undefined {
    return this.#table.get(w0, w1, w2, w3);
  }

  find(address: IpAddress): InterfaceAddress | undefined {
    return this.#find(address);
  }

  /**
   * True for the broadcast address of a subnet that we have an address in (RFC 1122 section 3.2.1.3); /31 and /32 have
   * none (RFC 3021). 255.255.255.255 is not asked for here. Allocates nothing.
   */
  isBroadcast4(w3: number): boolean {
    return this.#broadcasts.has(w3);
  }

  /** In the order of their addition. */
  values(): Iterable<InterfaceAddress> {
    return this.#entries.values();
  }

  /**
   * Adds an address, and finds out whether it is unique; one that is there is updated, and with `dad` false ours at once.
   * Undefined, counted, where the book is full.
   *
   * @throws RangeError where it is no unicast address or the length doesn't fit it.
   */
  add(address: IpAddress, prefixLength: number, options: AddressOptions = {}): InterfaceAddress | undefined {
    if (address.multicast || address.unspecified || address.limitedBroadcast)
      throw new RangeError(`address must be a unicast address, not ${address.toString()}`);
    const prefix = Prefix.of(address, prefixLength);
    if (this.#closed) return undefined;
    const known = this.#find(address);
    const entry = known ?? new AddressEntry(address, prefix, options);
    if (known === undefined && !this.#table.set(address, entry)) {
      this.#counts.refused += 1;
      return undefined;
    }
    this.#entries.add(entry);
    entry.update(prefix, options);
    this.#findBroadcasts();
    if (known === undefined) {
      this.#groups.join(address);
      this.#io.changed(entry, "added");
    }
    if (this.#entries.has(entry)) this.#settle(entry, options, known === undefined);
    return entry;
  }

  /** False where it was not there. */
  remove(address: IpAddress): boolean {
    const entry = this.#find(address);
    if (entry !== undefined) this.#drop(entry, "removed");
    return entry !== undefined;
  }

  /** Sets when it is deprecated and when it ends, in ms of the loop's clock; Infinity for never. */
  setLifetimes(address: IpAddress, preferredUntilMs: number, validUntilMs: number): void {
    const entry = this.#find(address);
    if (entry === undefined) return;
    entry.preferredUntilMs = Math.min(preferredUntilMs, validUntilMs);
    entry.validUntilMs = validUntilMs;
    this.#age();
  }

  /**
   * The address of ours to ask for `target` from: one of its subnet before one of its scope (for neighbour discovery,
   * where routers are asked for by link-local addresses) before any, preferred before deprecated. Undefined without one.
   */
  sourceFor(target: IpAddress): IpAddress | undefined {
    let best: AddressEntry | undefined;
    let bestRank = -1;
    for (const entry of this.#entries) {
      if (!entry.assigned || entry.address.family !== target.family) continue;
      const rank = entry.rankFor(target);
      if (rank > bestRank) [best, bestRank] = [entry, rank];
    }
    return best?.address;
  }

  /**
   * Another uses the address as its own: the sender of an ARP packet, the target of a neighbour advertisement. True
   * where it is in the book.
   */
  claimed(address: IpAddress): boolean {
    const entry = this.#find(address);
    if (entry === undefined) return false;
    if (entry.detection !== undefined) entry.detection.claimed();
    // Of those that share it on the link one sees to it.
    else if (entry.assigned && entry.announces) this.#defend(entry);
    return true;
  }

  /** Whether this interface is to answer a question for an address of ours; see `Answerer.asked`. */
  answers(target: IpAddress, asker: IpAddress, mac: MacAddress | undefined, toMany: boolean): boolean {
    return this.#find(target)?.answerer?.asked(asker, mac, toMany) ?? true;
  }

  /** Another wants to know whether it may have the address: an ARP probe, or a neighbour solicitation from ::. */
  probed(address: IpAddress, nonce: Uint8Array | undefined): void {
    const detection = this.#find(address)?.detection;
    if (detection?.probed(nonce) === false) this.#counts.looped += 1;
  }

  /** Tells the link that an address is here, some times: after a failover, or where its Ethernet address is new. */
  announce(address: IpAddress): void {
    const entry = this.#find(address);
    if (entry === undefined || !entry.assigned) return;
    entry.announcer?.close();
    const [count, intervalMs] =
      address.family === 4
        ? [ANNOUNCE_COUNT4, ANNOUNCE_INTERVAL4_MS]
        : [ANNOUNCE_COUNT6, ANNOUNCE_INTERVAL6_MS];
    // By the next time another interface may speak for it.
    const send = (): void => {
      if (entry.announces) this.#io.announce(address);
    };
    entry.announcer = new Announcer(this.#environment.timers, count, intervalMs, send);
  }

  /**
   * The link has come up, perhaps another one: what is not ours (yet) is tried from the beginning, and what is, is
   * announced. What interfaces share is seen to by whoever has an eye on all of them.
   */
  linkUp(): void {
    for (const entry of [...this.#entries]) {
      if (entry.origin === "kernel" || entry.origin === "service" || !this.#entries.has(entry)) continue;
      if (entry.assigned) this.announce(entry.address);
      else this.#detect(entry);
    }
  }

  statistics(): AddressStatistics {
    return { addresses: this.#entries.size, ...this.#counts };
  }

  /** Stops all timers, and leaves all groups. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#lifetimes?.cancel();
    for (const entry of [...this.#entries]) this.#drop(entry, "removed");
  }

  #find(address: IpAddress): AddressEntry | undefined {
    return this.#table.get(address.w0, address.w1, address.w2, address.w3);
  }

  /** Brings a new or updated entry to the state that it should have. */
  #settle(entry: AddressEntry, options: AddressOptions, isNew: boolean): void {
    const wantsDad = options.dad ?? (this.#dad && entry.origin !== "kernel" && !entry.address.loopback);
    if (options.state !== undefined) this.#enter(entry, options.state);
    else if (isNew || entry.state === "duplicated" || entry.idle || options.dad === false) {
      if (wantsDad) this.#detect(entry);
      else this.#assign(entry);
    }
    this.#age();
  }

  #detect(entry: AddressEntry): void {
    this.#enter(entry, "tentative");
    if (entry.state !== "tentative" || !this.#entries.has(entry)) return;
    const is4 = entry.address.family === 4;
    const io = {
      probe: (nonce: Uint8Array): boolean => this.#io.probe(entry.address, nonce),
      done: (unique: boolean): void => this.#detected(entry, unique),
    };
    const times = is4 ? this.#times4 : this.#times6;
    entry.detection = new Detection(this.#environment, times, io, is4 ? this.#hold4() : 0);
  }

  /** After many conflicts, one attempt a minute (RFC 5227 section 2.1.1). */
  #hold4(): number {
    const { now } = this.#environment.timers;
    const earliestMs = this.#failures4 >= MAX_CONFLICTS ? this.#lastProbing4Ms + RATE_LIMIT_INTERVAL_MS : now;
    this.#lastProbing4Ms = Math.max(now, earliestMs);
    return this.#lastProbing4Ms - now;
  }

  #detected(entry: AddressEntry, unique: boolean): void {
    entry.detection = undefined;
    if (unique) {
      this.#assign(entry);
      if (entry.assigned && entry.address.family === 4) this.announce(entry.address);
      return;
    }
    this.#counts.duplicates += 1;
    if (entry.address.family === 4) this.#failures4 += 1;
    this.#enter(entry, "duplicated");
  }

  #assign(entry: AddressEntry): void {
    this.#enter(entry, entry.preferredUntilMs > this.#environment.timers.now ? "preferred" : "deprecated");
  }

  #defend(entry: AddressEntry): void {
    this.#counts.conflicts += 1;
    this.#io.changed(entry, "conflict");
    // What to do about IPv6 addresses that are in use is left to those who operate the hosts (RFC 4862 section 5.4.4).
    if (entry.address.family === 6 || entry.origin === "kernel" || !entry.assigned) return;
    entry.defence ??= new Defence(entry.keep);
    const answer = entry.defence.conflict(this.#environment.timers.now);
    if (answer === "announce") {
      this.#io.announce(entry.address);
      entry.answerer?.announced();
    }
    if (answer !== "yield") return;
    this.#counts.yielded += 1;
    this.#failures4 += 1;
    this.#enter(entry, "duplicated");
  }

  #enter(entry: AddressEntry, state: InterfaceAddress["state"]): void {
    entry.stop();
    if (!entry.enter(state)) return;
    this.#io.changed(entry, state);
  }

  #drop(entry: AddressEntry, what: "removed" | "expired"): void {
    if (!this.#entries.delete(entry)) return;
    entry.stop();
    entry.assigned = false;
    this.#table.delete(entry.address);
    this.#findBroadcasts();
    this.#groups.leave(entry.address);
    this.#io.changed(entry, what);
  }

  #findBroadcasts(): void {
    const words = new Set<number>();
    for (const entry of this.#entries) {
      const word = entry.broadcast4;
      if (word !== undefined) words.add(word);
    }
    this.#broadcasts = words;
  }

  /** Lets lifetimes end that have ended, and waits for the next. */
  #age(): void {
    const { now } = this.#environment.timers;
    for (const entry of [...this.#entries]) {
      if (entry.validUntilMs <= now) {
        this.#counts.expired += 1;
        this.#drop(entry, "expired");
      } else if (entry.assigned && this.#entries.has(entry)) this.#prefer(entry, now);
    }
    if (this.#closed) return;
    let nextMs = Infinity;
    for (const entry of this.#entries) nextMs = Math.min(nextMs, entry.nextAgeMs(now));
    this.#lifetimes?.cancel();
    if (nextMs === Infinity) return;
    const waitMs = Math.min(nextMs - now, MAX_TIMER_MS);
    this.#lifetimes = this.#environment.timers.after(waitMs, () => this.#age());
  }

  /** A kernel's addresses are what the kernel says. */
  #prefer(entry: AddressEntry, now: number): void {
    if (entry.origin === "kernel") return;
    const state = entry.preferredUntilMs > now ? "preferred" : "deprecated";
    if (entry.enter(state)) this.#io.changed(entry, state);
  }
}
