/**
 * The memory of reassembly, allocated once: slots that are free, being filled, or handed out, found by key and by source.
 */
import { hashAddress } from "../../wire/address.ts";
import { Assembly, type FragmentKey } from "./assembly.ts";
import { copyBytes } from "./copy.ts";
import { NONE, SlotLists } from "./slot-lists.ts";

/** What a slot is used for; each is a list, the longest there first. */
export const USE = { free: 0, filling4: 1, filling6: 2, out: 3 } as const;
const USES = 4;

/** A packet that may lie in several chunks of one area; a `Frame` is one. */
export interface Chunked {
  readonly view: DataView;
  readonly chunks: number;
  chunkAt(i: number): number;
  chunkLength(i: number): number;
}

/** Spreads the identification over all bits of a hash: 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e37_79b1 | 0;

/** Slots and their bookkeeping; who comes and goes is decided by the `Reassembler`. */
export class SlotArena {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly slots: number;
  readonly slotBytes: number;
  /** The state of each slot. */
  readonly assemblies: readonly Assembly[];
  readonly uses: SlotLists;
  readonly #seed: number;
  readonly #bucketMask: number;
  readonly #byKey: SlotLists;
  readonly #bySource: SlotLists;
  #free: number;

  constructor(slots: number, slotBytes: number, seed: number) {
    const buffer = new ArrayBuffer(slots * slotBytes);
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.slots = slots;
    this.slotBytes = slotBytes;
    this.assemblies = Array.from({ length: slots }, () => new Assembly());
    this.#seed = seed;
    let buckets = 1;
    while (buckets < slots) buckets *= 2;
    this.#bucketMask = buckets - 1;
    this.#byKey = new SlotLists(buckets, slots);
    this.#bySource = new SlotLists(buckets, slots);
    this.uses = new SlotLists(USES, slots);
    for (let slot = 0; slot < slots; slot++) this.uses.push(USE.free, slot);
    this.#free = slots;
  }

  /** Slots that are free. */
  get free(): number {
    return this.#free;
  }

  /** Offset of a slot's first byte. */
  base(slot: number): number {
    return slot * this.slotBytes;
  }

  /** The slot that gathers this datagram, or `NONE`. */
  find(key: FragmentKey): number {
    let slot = this.#byKey.first(this.#keyBucket(key));
    while (slot !== NONE && !this.assemblies[slot]!.key.equals(key)) slot = this.#byKey.next(slot);
    return slot;
  }

  /** The oldest datagram from this key's source where it has `limit` of them, else `NONE`. */
  crowded(key: FragmentKey, limit: number): number {
    let oldest = NONE;
    let count = 0;
    let slot = this.#bySource.first(this.#sourceBucket(key));
    for (; slot !== NONE; slot = this.#bySource.next(slot)) {
      if (!this.assemblies[slot]!.key.sameSource(key)) continue;
      if (oldest === NONE) oldest = slot;
      count += 1;
    }
    return count >= limit ? oldest : NONE;
  }

  /** A free slot, which is in no list until `fill` or `handOut`; `NONE` where there is none. */
  take(): number {
    const slot = this.uses.first(USE.free);
    if (slot === NONE) return NONE;
    this.uses.remove(slot);
    this.#free -= 1;
    return slot;
  }

  /** The slot gathers the datagram of its assembly's key from now on. */
  fill(slot: number, use: number): void {
    const { key } = this.assemblies[slot]!;
    this.uses.push(use, slot);
    this.#byKey.push(this.#keyBucket(key), slot);
    this.#bySource.push(this.#sourceBucket(key), slot);
  }

  /** The slot holds a packet, `length` bytes at `at`, for someone who will free it. */
  handOut(slot: number, at: number, length: number): void {
    const assembly = this.assemblies[slot]!;
    assembly.at = at;
    assembly.length = length;
    this.withdraw(slot);
    this.uses.push(USE.out, slot);
  }

  /** The slot is free again. */
  release(slot: number): void {
    this.withdraw(slot);
    this.uses.push(USE.free, slot);
    this.#free += 1;
  }

  /** Copies all chunks but the first `skipBytes` bytes to `at`, one behind the other. */
  copyChunks(packet: Chunked, skipBytes: number, at: number): void {
    let skip = skipBytes;
    for (let i = 0; i < packet.chunks; i++) {
      const length = packet.chunkLength(i);
      const skipped = Math.min(skip, length);
      copyBytes(packet.view, packet.chunkAt(i) + skipped, this.view, at, length - skipped);
      at += length - skipped;
      skip -= skipped;
    }
  }

  /** Slots in use for this: O(slots). */
  count(use: number): number {
    let count = 0;
    for (let slot = this.uses.first(use); slot !== NONE; slot = this.uses.next(slot)) count += 1;
    return count;
  }

  /** Takes the slot out of all lists. */
  withdraw(slot: number): void {
    this.uses.remove(slot);
    this.#byKey.remove(slot);
    this.#bySource.remove(slot);
  }

  #sourceHash(key: FragmentKey): number {
    return hashAddress(key.s0, key.s1, key.s2, key.s3, this.#seed);
  }

  #sourceBucket(key: FragmentKey): number {
    return this.#sourceHash(key) & this.#bucketMask;
  }

  #keyBucket(key: FragmentKey): number {
    const seed = this.#sourceHash(key) ^ (Math.imul(key.identification, GOLDEN) + key.zone);
    return hashAddress(key.d0, key.d1, key.d2, key.d3, seed) & this.#bucketMask;
  }
}
