/**
 * Connected sockets of one local port by their remote address and port: a hash table that a lookup reads one line of.
 *
 * Open addressing with linear probing over one typed array: 100 000 flows cost a cache miss each, not a chain of them. The
 * hash has a seed, so that nobody can send packets that all fall into one place.
 */
import { hashAddress } from "../wire/address.ts";

/** What the table holds: sockets, in tests anything. */
export interface Flow {
  readonly r0: number;
  readonly r1: number;
  readonly r2: number;
  readonly r3: number;
  readonly remotePort: number;
}

/** Words of a slot: the five of the key and the number of the flow plus one, 0 where it is free. */
const WORD_1 = 1;
const WORD_2 = 2;
const WORD_3 = 3;
const PORT = 4;
const ENTRY = 5;
/** Two slots share a cache line of 64 bytes. */
const SLOT_WORDS = 8;
const SLOT_SHIFT = 3;

const FIRST_SLOTS = 16;
/** Of four slots three are taken at most: probes stay short. */
const FULL_NUMERATOR = 3;
const FULL_DENOMINATOR = 4;

export class FlowTable<F extends Flow> {
  readonly #seed: number;
  #slots: Int32Array;
  #mask: number;
  #flows: (F | undefined)[] = [];
  /** Numbers of `#flows` that are free again. */
  #free: number[] = [];
  #size = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#slots = new Int32Array(new ArrayBuffer(FIRST_SLOTS * SLOT_WORDS * Int32Array.BYTES_PER_ELEMENT));
    this.#mask = FIRST_SLOTS - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The flow with this remote end. Allocates nothing. */
  find(r0: number, r1: number, r2: number, r3: number, port: number): F | undefined {
    const entry = this.#slots[this.#locate(r0, r1, r2, r3, port) + ENTRY]!;
    return entry === 0 ? undefined : this.#flows[entry - 1];
  }

  /** False where there is one with the same remote end already. */
  add(flow: F): boolean {
    if ((this.#size + 1) * FULL_DENOMINATOR > (this.#mask + 1) * FULL_NUMERATOR) this.#grow();
    const at = this.#locate(flow.r0, flow.r1, flow.r2, flow.r3, flow.remotePort);
    if (this.#slots[at + ENTRY] !== 0) return false;
    const number = this.#free.pop() ?? this.#flows.length;
    this.#flows[number] = flow;
    this.#write(at, flow, number + 1);
    this.#size += 1;
    return true;
  }

  delete(flow: F): boolean {
    let hole = this.#locate(flow.r0, flow.r1, flow.r2, flow.r3, flow.remotePort);
    const entry = this.#slots[hole + ENTRY]!;
    if (entry === 0 || this.#flows[entry - 1] !== flow) return false;
    this.#flows[entry - 1] = undefined;
    this.#free.push(entry - 1);
    this.#size -= 1;
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
        slots[next + PORT]!,
      );
      if (((next - home) & wrap) < ((next - hole) & wrap)) continue;
      slots.copyWithin(hole, next, next + SLOT_WORDS);
      hole = next;
    }
    slots[hole + ENTRY] = 0;
    return true;
  }

  *values(): Iterable<F> {
    for (const flow of this.#flows) if (flow !== undefined) yield flow;
  }

  /** The slot of the key, or the free one where it would be. */
  #locate(r0: number, r1: number, r2: number, r3: number, port: number): number {
    const slots = this.#slots;
    const wrap = slots.length - 1;
    let at = this.#homeOf(r0, r1, r2, r3, port);
    while (slots[at + ENTRY] !== 0) {
      if (
        slots[at + WORD_3] === r3 &&
        slots[at + PORT] === port &&
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

  #homeOf(r0: number, r1: number, r2: number, r3: number, port: number): number {
    return (hashAddress(r0, r1, r2, r3, this.#seed ^ port) & this.#mask) << SLOT_SHIFT;
  }

  #write(at: number, flow: F, entry: number): void {
    const slots = this.#slots;
    slots[at] = flow.r0;
    slots[at + WORD_1] = flow.r1;
    slots[at + WORD_2] = flow.r2;
    slots[at + WORD_3] = flow.r3;
    slots[at + PORT] = flow.remotePort;
    slots[at + ENTRY] = entry;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(new ArrayBuffer(2 * old.byteLength));
    this.#mask = 2 * (this.#mask + 1) - 1;
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      const entry = old[at + ENTRY]!;
      if (entry === 0) continue;
      const flow = this.#flows[entry - 1]!;
      this.#write(this.#locate(flow.r0, flow.r1, flow.r2, flow.r3, flow.remotePort), flow, entry);
    }
  }
}
