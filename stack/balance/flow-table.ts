/**
 * Which backend each flow has: a bounded table in which a packet's lookup touches one cache line most often.
 *
 * It is there for the time when backends come and go: a flow that has begun stays where it is, whatever hashing says by now.
 * Most flows are where hashing would send them anyway, and lose nothing where they are forgotten; so a table that is full
 * forgets those first, and a flood of new flows costs old ones their place only in the few lines that it finds full of exceptions.
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

/** Of a slot: the flow's hash, whose it is, and when it was seen. */
const HASH = FIRST_OWN;
const ENTRY = HASH + 1;
const SEEN = ENTRY + 1;
/** Slots that a flow may be in: four lines in a row, the first of which has nearly all while the table is half empty. */
const WAYS = 8;

/** Of the entry: the backend, the service above it, then whether the flow is about to end, and that the slot is taken. */
const BACKEND_BITS = 12;
const SERVICE_BITS = 12;
const BACKEND_MASK = (1 << BACKEND_BITS) - 1;
const SERVICE_MASK = ((1 << SERVICE_BITS) - 1) << BACKEND_BITS;
const CLOSING = 1 << (BACKEND_BITS + SERVICE_BITS);
const TAKEN = CLOSING << 1;
const KEY_MASK = TAKEN | SERVICE_MASK;

export const MAX_BACKENDS = 1 << BACKEND_BITS;
export const MAX_SERVICES = 1 << SERVICE_BITS;

/** 2 MiB. */
export const DEFAULT_FLOWS = 1 << 16;
/** 128 MiB. */
export const MAX_FLOWS = 1 << 22;
const MIN_FLOWS = 2 * WAYS;

const NOT_FOUND = -1;

/** What the table asks about its flows. */
export interface FlowRules {
  /** The backend that a new flow of the service with this hash would get, negative for none. */
  choose(service: number, hash: number): number;
  /** Seconds without a packet after which a flow of the service is over; `closing` where its end was announced. */
  idleSeconds(service: number, closing: boolean): number;
}

export interface FlowStatistics {
  readonly flows: number;
  readonly capacity: number;
  readonly added: number;
  /** Ended because nothing came for so long. */
  readonly expired: number;
  /** Forgotten for a new one; hashing sends them to the same backend. */
  readonly evicted: number;
  /** Forgotten for a new one, though hashing now sends them elsewhere: these flows moved. */
  readonly evictedAway: number;
}

export class FlowTable {
  readonly #rules: FlowRules;
  readonly #slots: Int32Array;
  readonly #homes: number;
  readonly #wrap: number;
  readonly #ofBackend = new Int32Array(new ArrayBuffer(MAX_BACKENDS * Int32Array.BYTES_PER_ELEMENT));
  #nowSeconds = 0;
  #swept = 0;
  #size = 0;
  #added = 0;
  #expired = 0;
  #evicted = 0;
  #evictedAway = 0;

  /** @throws RangeError where `capacity` is no power of two in range. */
  constructor(capacity: number, rules: FlowRules) {
    const isPower = Number.isInteger(capacity) && (capacity & (capacity - 1)) === 0;
    if (!isPower || capacity < MIN_FLOWS || capacity > MAX_FLOWS)
      throw new RangeError(`flows is a power of two from ${MIN_FLOWS} to ${MAX_FLOWS}, not ${capacity}`);
    this.#rules = rules;
    this.#slots = makeSlots(capacity);
    this.#wrap = this.#slots.length - 1;
    this.#homes = homesOf(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Flows that there are places for. */
  get capacity(): number {
    return (this.#wrap + 1) >> SLOT_SHIFT;
  }

  /** Flows of a backend. */
  flowsOf(backend: number): number {
    return this.#ofBackend[backend]!;
  }

  /** The slot of a flow that is not over, or -1. Allocates nothing, as all that packets call. */
  find(r0: number, r1: number, r2: number, r3: number, ports: number, service: number, hash: number): number {
    const slots = this.#slots;
    const wrap = this.#wrap;
    const key = TAKEN | (service << BACKEND_BITS);
    let at = (hash & this.#homes) << SLOT_SHIFT;
    for (let way = 0; way < WAYS; way++) {
      if (
        slots[at + HASH] === hash &&
        slots[at + PORTS] === ports &&
        (slots[at + ENTRY]! & KEY_MASK) === key &&
        slots[at + WORD_3] === r3 &&
        slots[at + WORD_2] === r2 &&
        slots[at + WORD_1] === r1 &&
        slots[at] === r0
      ) {
        if (!this.#isOver(at)) return at;
        this.#expire(at);
        return NOT_FOUND;
      }
      at = (at + SLOT_WORDS) & wrap;
    }
    return NOT_FOUND;
  }

  backendAt(at: number): number {
    return this.#slots[at + ENTRY]! & BACKEND_MASK;
  }

  /** A packet of the flow came; `closing` where it says that the flow ends, `false` leaves that as it is. */
  touch(at: number, closing: boolean): void {
    this.#slots[at + SEEN] = this.#nowSeconds;
    if (closing) this.#slots[at + ENTRY]! |= CLOSING;
  }

  /** Gives the flow another backend, and a new beginning. */
  move(at: number, backend: number): void {
    const entry = this.#slots[at + ENTRY]!;
    this.#ofBackend[entry & BACKEND_MASK]! -= 1;
    this.#ofBackend[backend]! += 1;
    this.#slots[at + ENTRY] = (entry & KEY_MASK) | backend;
    this.#slots[at + SEEN] = this.#nowSeconds;
  }

  /** Remembers a flow that `find` did not find. */
  add(
    r0: number,
    r1: number,
    r2: number,
    r3: number,
    ports: number,
    service: number,
    hash: number,
    backend: number,
  ): void {
    const at = this.#place((hash & this.#homes) << SLOT_SHIFT);
    const slots = this.#slots;
    writeKey(slots, at, r0, r1, r2, r3, ports);
    slots[at + HASH] = hash;
    slots[at + ENTRY] = TAKEN | (service << BACKEND_BITS) | backend;
    slots[at + SEEN] = this.#nowSeconds;
    this.#ofBackend[backend]! += 1;
    this.#size += 1;
    this.#added += 1;
  }

  /** Sets the time in whole seconds, and ends what is over among the next `slots` slots, so that counts are right in the end. */
  sweep(nowSeconds: number, slots: number): void {
    this.#nowSeconds = nowSeconds | 0;
    const steps = Math.min(slots, this.capacity);
    let at = this.#swept;
    for (let step = 0; step < steps; step++) {
      if (this.#slots[at + ENTRY] !== 0 && this.#isOver(at)) this.#expire(at);
      at = (at + SLOT_WORDS) & this.#wrap;
    }
    this.#swept = at;
  }

  /** Forgets all flows of a backend, or of a service: their numbers may be given anew. Looks at every slot. */
  forget(kind: "backend" | "service", number: number): void {
    const mask = kind === "backend" ? BACKEND_MASK : SERVICE_MASK;
    const wanted = kind === "backend" ? number : number << BACKEND_BITS;
    for (let at = 0; at <= this.#wrap; at += SLOT_WORDS) {
      const entry = this.#slots[at + ENTRY]!;
      if (entry !== 0 && (entry & mask) === wanted) this.#free(at);
    }
  }

  statistics(): FlowStatistics {
    return {
      flows: this.#size,
      capacity: this.capacity,
      added: this.#added,
      expired: this.#expired,
      evicted: this.#evicted,
      evictedAway: this.#evictedAway,
    };
  }

  /** A free slot for a flow at home here: one that is over, or else one that is made free. */
  #place(home: number): number {
    const slots = this.#slots;
    let at = home;
    for (let way = 0; way < WAYS; way++) {
      if (slots[at + ENTRY] === 0) return at;
      if (this.#isOver(at)) {
        this.#expire(at);
        return at;
      }
      at = (at + SLOT_WORDS) & this.#wrap;
    }
    const victim = this.#victim(home);
    this.#free(victim);
    return victim;
  }

  /** Which of the flows that share a home is missed least: the oldest of those that hashing finds again, or of all. */
  #victim(home: number): number {
    const slots = this.#slots;
    let plain = NOT_FOUND;
    let oldest = home;
    let at = home;
    for (let way = 0; way < WAYS; way++) {
      const entry = slots[at + ENTRY]!;
      const usual = this.#rules.choose((entry & SERVICE_MASK) >> BACKEND_BITS, slots[at + HASH]!);
      if (this.#ageAt(at) > this.#ageAt(oldest)) oldest = at;
      if (usual === (entry & BACKEND_MASK) && (plain < 0 || this.#ageAt(at) > this.#ageAt(plain))) plain = at;
      at = (at + SLOT_WORDS) & this.#wrap;
    }
    if (plain < 0) this.#evictedAway += 1;
    else this.#evicted += 1;
    return plain < 0 ? oldest : plain;
  }

  #ageAt(at: number): number {
    return (this.#nowSeconds - this.#slots[at + SEEN]!) | 0;
  }

  #isOver(at: number): boolean {
    const entry = this.#slots[at + ENTRY]!;
    const service = (entry & SERVICE_MASK) >> BACKEND_BITS;
    return this.#ageAt(at) > this.#rules.idleSeconds(service, (entry & CLOSING) !== 0);
  }

  #expire(at: number): void {
    this.#expired += 1;
    this.#free(at);
  }

  #free(at: number): void {
    this.#ofBackend[this.backendAt(at)]! -= 1;
    this.#size -= 1;
    this.#slots[at + ENTRY] = 0;
    this.#slots[at + HASH] = 0;
  }
}
