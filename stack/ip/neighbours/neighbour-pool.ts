/**
 * The room of a neighbour cache: its table, who has to go where it is full, and the packets that wait.
 *
 * Neighbours whose Ethernet address is known and those still asked for have limits of their own (RFC 6583 section 6.2):
 * whoever makes us ask for addresses that nobody has fills the second, and never pushes out a neighbour that answers.
 */
import type { IpAddress } from "../../wire/address.ts";
import { AddressTable } from "../../wire/address-table.ts";
import type { DiscardReason, NeighbourEntry, NeighbourIo } from "./neighbour.ts";

/** Neighbours with a known Ethernet address; the kernel's gc_thresh3 is 1024 too (net/ipv4/arp.c). */
export const MAX_NEIGHBOURS = 1024;
/** Neighbours that are asked for or did not answer, besides: at 1 ms an answer, room for 256 000 new ones a second. */
export const MAX_UNRESOLVED = 256;
/** Packets that wait for one neighbour: a first burst; RFC 4861 section 7.2.2 wants at least one. */
export const MAX_PARKED = 16;
/** Packets that wait in one cache: they are frames that their device misses meanwhile. */
export const MAX_PARKED_ALL = 256;

export interface PoolLimits {
  /** Neighbours with a known Ethernet address. */
  readonly limit: number;
  /** Neighbours without one, besides. */
  readonly unresolvedLimit: number;
  /** Packets that wait for one neighbour. */
  readonly parkedLimit: number;
  /** Packets that wait for all of them together. */
  readonly parkedTotal: number;
}

export interface PoolStatistics {
  /** Neighbours now, in any state. */
  readonly size: number;
  readonly incomplete: number;
  readonly failed: number;
  /** Packets that wait now. */
  readonly parked: number;
  /** Neighbours made. */
  readonly created: number;
  /** Neighbours that had to make room. */
  readonly evicted: number;
  /** Neighbours that were not made because there was no room. */
  readonly refused: number;
  /** Packets given back because a queue was full, because nobody answered, and at the end. */
  readonly discardedFull: number;
  readonly discardedUnreachable: number;
  readonly discardedClosed: number;
}

/** The limits with defaults, checked. Throws a RangeError that names the wrong one. */
export const poolLimits = (given: Partial<PoolLimits>): PoolLimits => {
  const limits = {
    limit: given.limit ?? MAX_NEIGHBOURS,
    unresolvedLimit: given.unresolvedLimit ?? MAX_UNRESOLVED,
    parkedLimit: given.parkedLimit ?? MAX_PARKED,
    parkedTotal: given.parkedTotal ?? MAX_PARKED_ALL,
  };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new RangeError(`${name} must be a whole number from 1, not ${String(value)}`);
  }
  return limits;
};

export class NeighbourPool<P> {
  readonly #io: NeighbourIo<P>;
  readonly #limits: PoolLimits;
  readonly #table: AddressTable<NeighbourEntry<P>>;
  /** Sets keep the order in which entries came to be known, asked for, failed. */
  readonly #known = new Set<NeighbourEntry<P>>();
  readonly #waiting = new Set<NeighbourEntry<P>>();
  readonly #failed = new Set<NeighbourEntry<P>>();
  readonly #discarded: Record<DiscardReason, number> = { unreachable: 0, full: 0, closed: 0 };
  #parked = 0;
  #created = 0;
  #evicted = 0;
  #refused = 0;

  constructor(io: NeighbourIo<P>, limits: PoolLimits, seed: number) {
    this.#io = io;
    this.#limits = limits;
    this.#table = new AddressTable(limits.limit + limits.unresolvedLimit, seed);
  }

  get(w0: number, w1: number, w2: number, w3: number): NeighbourEntry<P> | undefined {
    return this.#table.get(w0, w1, w2, w3);
  }

  find(address: IpAddress): NeighbourEntry<P> | undefined {
    return this.#table.get(address.w0, address.w1, address.w2, address.w3);
  }

  /**
   * Puts an entry, new or not, where its state belongs. Where that is full, another goes: of those without an address
   * one that failed, else the one asked for longest; of the known ones the least recently used that is stale, else
   * (unless a stranger wants in) the least recently used. False, and the entry is nowhere, where there is no room.
   */
  place(entry: NeighbourEntry<P>, stranger = false): boolean {
    const set = this.#setOf(entry);
    if (set.has(entry)) return true;
    const isNew = !this.#unlink(entry);
    const victim = set === this.#known ? this.#knownVictim(stranger) : this.#unresolvedVictim();
    if (victim === null) {
      this.#refused += 1;
      if (!isNew) this.#table.delete(entry.address);
      return false;
    }
    // The tables are in order before anybody outside hears of it.
    if (victim !== undefined) this.#takeOut(victim);
    set.add(entry);
    if (isNew) {
      this.#created += 1;
      this.#table.set(entry.address, entry);
    }
    if (victim !== undefined) {
      this.#evicted += 1;
      this.end(victim, "full");
    }
    return true;
  }

  remove(entry: NeighbourEntry<P>, reason: DiscardReason): void {
    if (!entry.live) return;
    this.#takeOut(entry);
    this.end(entry, reason);
  }

  /** What becomes of an entry that is in no table: its timer stops, its packets go back, its holders see it. */
  end(entry: NeighbourEntry<P>, reason: DiscardReason): void {
    entry.live = false;
    entry.usable = false;
    entry.timer?.cancel();
    this.discardAll(entry, reason);
    this.#io.changed(entry);
  }

  park(entry: NeighbourEntry<P>, packet: P): void {
    const { parkedLimit, parkedTotal } = this.#limits;
    let loser: NeighbourEntry<P> | undefined;
    if (entry.parked.length >= parkedLimit) loser = entry;
    else if (this.#parked >= parkedTotal) loser = this.#longestParked();
    // RFC 4861 section 7.2.2: the new arrival replaces the oldest.
    const lost = loser?.parked.shift();
    entry.parked.push(packet);
    this.#parked += loser === undefined ? 1 : 0;
    if (loser !== undefined) this.discard(lost!, loser, "full");
  }

  /** Sends what waited for an entry, in the order in which it came. */
  sendAll(entry: NeighbourEntry<P>): void {
    for (const packet of this.#takeParked(entry)) this.#io.send(packet, entry);
  }

  /** Gives back what waited for an entry; returns how many packets that was. */
  discardAll(entry: NeighbourEntry<P>, reason: DiscardReason): number {
    const taken = this.#takeParked(entry);
    for (const packet of taken) this.discard(packet, entry, reason);
    return taken.length;
  }

  discard(packet: P, entry: NeighbourEntry<P>, reason: DiscardReason): void {
    this.#discarded[reason] += 1;
    this.#io.discard(packet, entry, reason);
  }

  *values(): Iterable<NeighbourEntry<P>> {
    yield* this.#known;
    yield* this.#waiting;
    yield* this.#failed;
  }

  statistics(): PoolStatistics {
    return {
      size: this.#table.size,
      incomplete: this.#waiting.size,
      failed: this.#failed.size,
      parked: this.#parked,
      created: this.#created,
      evicted: this.#evicted,
      refused: this.#refused,
      discardedFull: this.#discarded.full,
      discardedUnreachable: this.#discarded.unreachable,
      discardedClosed: this.#discarded.closed,
    };
  }

  /** Ends all entries. */
  close(): void {
    for (const entry of [...this.values()]) this.remove(entry, "closed");
  }

  #setOf(entry: NeighbourEntry<P>): Set<NeighbourEntry<P>> {
    if (entry.state === "incomplete") return this.#waiting;
    return entry.state === "failed" ? this.#failed : this.#known;
  }

  #unlink(entry: NeighbourEntry<P>): boolean {
    return this.#known.delete(entry) || this.#waiting.delete(entry) || this.#failed.delete(entry);
  }

  #takeOut(entry: NeighbourEntry<P>): void {
    if (this.#unlink(entry)) this.#table.delete(entry.address);
  }

  /** Who goes for one more without an address; undefined where there is room. There is always one to go. */
  #unresolvedVictim(): NeighbourEntry<P> | undefined {
    if (this.#waiting.size + this.#failed.size < this.#limits.unresolvedLimit) return undefined;
    for (const entry of this.#failed) return entry;
    for (const entry of this.#waiting) return entry;
    return undefined;
  }

  /** Who goes for one more known; undefined where there is room, null where nobody may go. */
  #knownVictim(stranger: boolean): NeighbourEntry<P> | undefined | null {
    if (this.#known.size < this.#limits.limit) return undefined;
    let stale: NeighbourEntry<P> | null = null;
    let other: NeighbourEntry<P> | null = null;
    for (const entry of this.#known) {
      // Strictly less: of those that were never used, the first to come is the first to go.
      if (entry.state === "stale") {
        if (stale === null || entry.usedMs < stale.usedMs) stale = entry;
      } else if (entry.state !== "permanent") {
        if (other === null || entry.usedMs < other.usedMs) other = entry;
      }
    }
    return stale ?? (stranger ? null : other);
  }

  /** The entry asked for longest that has packets waiting. */
  #longestParked(): NeighbourEntry<P> | undefined {
    for (const entry of this.#waiting) if (entry.parked.length > 0) return entry;
    return undefined;
  }

  #takeParked(entry: NeighbourEntry<P>): readonly P[] {
    const taken = entry.parked.splice(0);
    this.#parked -= taken.length;
    return taken;
  }
}
