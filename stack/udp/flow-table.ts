/**
 * Connected sockets by remote address and both ports: a hash table in which a datagram's lookup, and the count of it, touch
 * one cache line.
 *
 * Open addressing with linear probing over one typed array: what a datagram of a flow needs (the key, a tag that stands for
 * its handler, the counters) lies in one slot, so that of 100 000 flows none costs more than one miss. The hash has a seed,
 * so that nobody can send packets that all fall into one place.
 */
import {
  FIRST_OWN,
  homesOf,
  makeSlots,
  PORTS,
  SLOT_SHIFT,
  SLOT_WORDS,
  WORD_1,
  WORD_2,
  WORD_3,
  writeKey,
} from "../transport/flow-slots.ts";
import { hashAddress } from "../wire/address.ts";

/** What the table holds: sockets, in tests anything. */
export interface Flow {
  readonly r0: number;
  readonly r1: number;
  readonly r2: number;
  readonly r3: number;
  readonly remotePort: number;
  readonly localPort: number;
  /** Counts of the flow but for those still in the table; see `collect`. */
  receivedDatagrams: number;
  receivedBytes: number;
}

/** Of a slot: number of the flow, and above it its tag plus one; 0 where the slot is free. */
const ENTRY = FIRST_OWN;
/** What was counted since the last `collect`. */
const DATAGRAMS = ENTRY + 1;
const BYTES = DATAGRAMS + 1;

const NUMBER_BITS = 20;
const NUMBER_MASK = (1 << NUMBER_BITS) - 1;
/** Flows in one table at most. */
export const MAX_FLOWS = 1 << NUMBER_BITS;
/** The largest tag: the entry's other bits but for the sign, less one. */
export const MAX_TAG = (1 << (31 - NUMBER_BITS)) - 2;

const FIRST_SLOTS = 16;
/** Of four slots three are taken at most: probes stay short. */
const FULL_NUMERATOR = 3;
const FULL_DENOMINATOR = 4;
/** From so many slots on (512 KiB) the table no longer stays in the processor's second cache beside all the rest. */
const LARGE_SLOTS = 1 << 14;

/** Slots noted for one `reach` at most: a usual burst. */
const MAX_NOTED = 64;

/** Brings the upper half of a product, which depends on most of its factors' bits, into the lower one. */
const MIX_SHIFT = 15;

const PORT_BITS = 16;
const ALL_PORTS = 1 << PORT_BITS;
const BITS_PER_BYTE = 8;
/** Bits of a word, as a shift; JavaScript's own shifts take a number modulo this. */
const WORD_SHIFT = 5;

/** Both ports of a flow as they lie in the header of what it receives: the remote one in the upper half. Int32. */
export const portsOf = (remotePort: number, localPort: number): number =>
  (remotePort << PORT_BITS) | localPort;

export class FlowTable<F extends Flow> {
  // A multiplication mixes a word in three cycles where a round of shifts takes seven; the factors are odd and nobody's
  // to know, so that no two keys share a home but by chance.
  readonly #factor0: number;
  readonly #factor1: number;
  readonly #factor2: number;
  readonly #factor3: number;
  readonly #factor4: number;
  #slots: Int32Array;
  /** Picks the home of a hash: an even slot. */
  #homes: number;
  #flows: (F | undefined)[] = [];
  /** Numbers of `#flows` that are free again. */
  #free: number[] = [];
  #size = 0;
  /** What was noted, and behind it what the last `reach` read. */
  readonly #notes = new Int32Array(new ArrayBuffer((MAX_NOTED + 1) * Int32Array.BYTES_PER_ELEMENT));
  #noted = 0;
  /** A bit for each local port that has a flow, and how many it has. */
  readonly #heard = new Int32Array(new ArrayBuffer(ALL_PORTS / BITS_PER_BYTE));
  readonly #flowsOfPort = new Map<number, number>();

  constructor(seed: number) {
    const factor = (i: number): number => hashAddress(0, 0, 0, i, seed) | 1;
    this.#factor0 = factor(0);
    this.#factor1 = factor(1);
    this.#factor2 = factor(2);
    this.#factor3 = factor(3);
    this.#factor4 = factor(4);
    this.#slots = makeSlots(FIRST_SLOTS);
    this.#homes = homesOf(FIRST_SLOTS);
  }

  get size(): number {
    return this.#size;
  }

  /** True where a look at a slot most often is a cache miss, so that reaching for many at once pays. */
  get large(): boolean {
    return this.#slots.length > LARGE_SLOTS * SLOT_WORDS;
  }

  /** True where a local port has flows. */
  hears(localPort: number): boolean {
    return (this.#heard[localPort >>> WORD_SHIFT]! & (1 << localPort)) !== 0;
  }

  /** The slot of the flow with this remote end and these ports (`portsOf`), -1 where there is none. Allocates nothing. */
  locate(r0: number, r1: number, r2: number, r3: number, ports: number): number {
    const at = this.#place(r0, r1, r2, r3, ports);
    return this.#slots[at + ENTRY] === 0 ? -1 : at;
  }

  /** Notes where a `locate` would look first, for `reach`. */
  note(r0: number, r1: number, r2: number, r3: number, ports: number): void {
    if (this.#noted === MAX_NOTED) this.reach();
    this.#notes[this.#noted] = this.#homeOf(r0, r1, r2, r3, ports);
    this.#noted += 1;
  }

  /** Reads what was noted. There is nothing else in this loop, so that the processor waits for many reads at a time. */
  reach(): void {
    const notes = this.#notes;
    const slots = this.#slots;
    const noted = this.#noted;
    let sum = 0;
    for (let i = 0; i < noted; i++) sum ^= slots[notes[i]!]!;
    this.#noted = 0;
    // Written somewhere, or the engine would see that nobody needs the reads.
    notes[MAX_NOTED] = sum;
  }

  /** The flow with this remote end and these ports. Allocates nothing. */
  find(r0: number, r1: number, r2: number, r3: number, ports: number): F | undefined {
    const at = this.locate(r0, r1, r2, r3, ports);
    return at < 0 ? undefined : this.#flows[this.numberAt(at)];
  }

  /** The tag that the flow in a slot was added with. */
  tagAt(at: number): number {
    return (this.#slots[at + ENTRY]! >>> NUMBER_BITS) - 1;
  }

  /** The number of the flow in a slot, for `flowOf`: slots move when others come and go, numbers stay. */
  numberAt(at: number): number {
    return this.#slots[at + ENTRY]! & NUMBER_MASK;
  }

  flowOf(number: number): F | undefined {
    return this.#flows[number];
  }

  /** Counts a datagram of the flow in a slot. */
  count(at: number, lengthBytes: number): void {
    const slots = this.#slots;
    const datagrams = (slots[at + DATAGRAMS]! + 1) | 0;
    const bytes = (slots[at + BYTES]! + lengthBytes) | 0;
    slots[at + DATAGRAMS] = datagrams;
    slots[at + BYTES] = bytes;
    // Past 2^31 they look negative; read without a sign they are right.
    if ((datagrams | bytes) < 0) this.#collectAt(at);
  }

  /** Moves the counts in the table into the flow's own. */
  collect(flow: F): void {
    const at = this.#placeOf(flow);
    const entry = this.#slots[at + ENTRY]!;
    if (entry !== 0 && this.#flows[entry & NUMBER_MASK] === flow) this.#collectAt(at);
  }

  /** False where there is one with the same ends already. `tag` is 0 to MAX_TAG, and comes back from `tagAt`. */
  add(flow: F, tag: number): boolean {
    if (this.#size >= MAX_FLOWS) return false;
    const slots = this.#slots.length >>> SLOT_SHIFT;
    if ((this.#size + 1) * FULL_DENOMINATOR > slots * FULL_NUMERATOR) this.#grow();
    const at = this.#placeOf(flow);
    if (this.#slots[at + ENTRY] !== 0) return false;
    const number = this.#free.pop() ?? this.#flows.length;
    this.#flows[number] = flow;
    this.#write(at, flow, ((tag + 1) << NUMBER_BITS) | number);
    this.#size += 1;
    this.#notePort(flow.localPort, 1);
    return true;
  }

  delete(flow: F): boolean {
    let hole = this.#placeOf(flow);
    const entry = this.#slots[hole + ENTRY]!;
    const number = entry & NUMBER_MASK;
    if (entry === 0 || this.#flows[number] !== flow) return false;
    this.#collectAt(hole);
    this.#flows[number] = undefined;
    this.#free.push(number);
    this.#size -= 1;
    this.#notePort(flow.localPort, -1);
    // Those behind it move up, so that no probe ends at the hole before it has seen them.
    const slots = this.#slots;
    const wrap = slots.length - 1;
    for (
      let next = (hole + SLOT_WORDS) & wrap;
      slots[next + ENTRY] !== 0;
      next = (next + SLOT_WORDS) & wrap
    ) {
      const home = this.#homeOf(
        slots[next]!,
        slots[next + WORD_1]!,
        slots[next + WORD_2]!,
        slots[next + WORD_3]!,
        slots[next + PORTS]!,
      );
      if (((next - home) & wrap) < ((next - hole) & wrap)) continue;
      slots.copyWithin(hole, next, next + SLOT_WORDS);
      hole = next;
    }
    slots.fill(0, hole, hole + SLOT_WORDS);
    return true;
  }

  *values(): Iterable<F> {
    for (const flow of this.#flows) if (flow !== undefined) yield flow;
  }

  /** The slot of the key, or the free one where it would be. */
  #place(r0: number, r1: number, r2: number, r3: number, ports: number): number {
    const slots = this.#slots;
    const wrap = slots.length - 1;
    let at = this.#homeOf(r0, r1, r2, r3, ports);
    while (slots[at + ENTRY] !== 0) {
      if (
        slots[at + WORD_3] === r3 &&
        slots[at + PORTS] === ports &&
        slots[at + WORD_2] === r2 &&
        slots[at + WORD_1] === r1 &&
        slots[at] === r0
      ) {
        return at;
      }
      at = (at + SLOT_WORDS) & wrap;
    }
    return at;
  }

  #placeOf({ r0, r1, r2, r3, remotePort, localPort }: F): number {
    return this.#place(r0, r1, r2, r3, portsOf(remotePort, localPort));
  }

  /** The first slot of a line: the second is looked at next, and costs no further miss. */
  #homeOf(r0: number, r1: number, r2: number, r3: number, ports: number): number {
    const upper = Math.imul(r0, this.#factor0) + Math.imul(r1, this.#factor1) + Math.imul(r2, this.#factor2);
    let hash = Math.imul((upper + r3) | 0, this.#factor3);
    hash = Math.imul(((hash ^ (hash >>> MIX_SHIFT)) + ports) | 0, this.#factor4);
    return ((hash ^ (hash >>> MIX_SHIFT)) & this.#homes) << SLOT_SHIFT;
  }

  #write(at: number, { r0, r1, r2, r3, remotePort, localPort }: F, entry: number): void {
    const slots = this.#slots;
    writeKey(slots, at, r0, r1, r2, r3, portsOf(remotePort, localPort));
    slots[at + ENTRY] = entry;
  }

  #collectAt(at: number): void {
    const slots = this.#slots;
    const flow = this.#flows[this.numberAt(at)]!;
    flow.receivedDatagrams += slots[at + DATAGRAMS]! >>> 0;
    flow.receivedBytes += slots[at + BYTES]! >>> 0;
    slots[at + DATAGRAMS] = 0;
    slots[at + BYTES] = 0;
  }

  #notePort(localPort: number, change: number): void {
    const flows = (this.#flowsOfPort.get(localPort) ?? 0) + change;
    const bit = 1 << localPort;
    if (flows === 0) {
      this.#flowsOfPort.delete(localPort);
      this.#heard[localPort >>> WORD_SHIFT]! &= ~bit;
    } else {
      this.#flowsOfPort.set(localPort, flows);
      this.#heard[localPort >>> WORD_SHIFT]! |= bit;
    }
  }

  #grow(): void {
    const old = this.#slots;
    const count = (2 * old.length) >>> SLOT_SHIFT;
    const slots = makeSlots(count);
    this.#slots = slots;
    this.#homes = homesOf(count);
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      const entry = old[at + ENTRY]!;
      if (entry === 0) continue;
      const to = this.#placeOf(this.#flows[entry & NUMBER_MASK]!);
      for (let word = 0; word < SLOT_WORDS; word++) slots[to + word] = old[at + word]!;
    }
  }
}
