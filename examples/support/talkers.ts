/**
 * Who sends how much: a table of fixed size from source addresses to packets and bytes, without an allocation per packet.
 */
import { ETHERNET, IPV4, IPV6, type Layers } from "./packet.ts";

/** Talkers that are told apart; all others are counted together. A /20 of them fills it. */
const MAX_TALKERS = 4096;
/** Twice as many places as talkers keep the chains of an open table short. */
const SLOTS = 2 * MAX_TALKERS;
const KEY_WORDS = 4;
const WORD_BYTES = 4;
/** The key of a link address: its 48 bits behind a word that no IP address here begins with. */
const KIND = { ipv4: 4, ipv6: 6, mac: 1 } as const;
/** 2^32 over the golden ratio: spreads keys that differ in few bits. */
const SPREAD = 0x9e3779b1;
const SPREAD_SHIFT = 15;

export interface Talker {
  readonly address: string;
  readonly packets: number;
  readonly bytes: number;
}

export class Talkers {
  readonly #keys = new Uint32Array(SLOTS * KEY_WORDS);
  readonly #kinds = new Uint8Array(SLOTS);
  readonly #packets = new Float64Array(SLOTS);
  readonly #bytes = new Float64Array(SLOTS);
  readonly #key = new Uint32Array(new ArrayBuffer(KEY_WORDS * WORD_BYTES));
  #count = 0;
  #otherPackets = 0;

  /** Different sources seen, at most 4096. */
  get count(): number {
    return this.#count;
  }

  /** Packets of sources beyond the limit. */
  get otherPackets(): number {
    return this.#otherPackets;
  }

  /** Counts a frame under its IP source address, or its MAC address where it has none. */
  add(view: DataView, at: number, lengthBytes: number, layers: Layers): void {
    const kind = this.#readKey(view, at, layers);
    const slot = this.#find(kind);
    if (slot < 0) {
      this.#otherPackets += 1;
      return;
    }
    this.#packets[slot]! += 1;
    this.#bytes[slot]! += lengthBytes;
  }

  /** The busiest `count`, by packets. */
  top(count: number): Talker[] {
    return Array.from({ length: SLOTS }, (_, slot) => slot)
      .filter((slot) => this.#kinds[slot] !== 0)
      .sort((one, other) => this.#packets[other]! - this.#packets[one]!)
      .slice(0, count)
      .map((slot) => ({
        address: addressText(
          this.#kinds[slot]!,
          this.#keys.subarray(slot * KEY_WORDS, (slot + 1) * KEY_WORDS),
        ),
        packets: this.#packets[slot]!,
        bytes: this.#bytes[slot]!,
      }));
  }

  #readKey(view: DataView, at: number, layers: Layers): number {
    const key = this.#key;
    key.fill(0);
    if (layers.version === 4) {
      key[0] = view.getUint32(layers.network + IPV4.source);
      return KIND.ipv4;
    }
    if (layers.version === 6) {
      const from = layers.network + IPV6.source;
      for (let i = 0; i < KEY_WORDS; i++) key[i] = view.getUint32(from + i * WORD_BYTES);
      return KIND.ipv6;
    }
    key[0] = view.getUint16(at + ETHERNET.source);
    key[1] = view.getUint32(at + ETHERNET.source + Uint16Array.BYTES_PER_ELEMENT);
    return KIND.mac;
  }

  /** The slot of the key just read, a fresh one if need be, or -1 where the table is full. */
  #find(kind: number): number {
    const key = this.#key;
    let hash = kind;
    for (let i = 0; i < KEY_WORDS; i++) {
      hash = Math.imul(hash ^ key[i]!, SPREAD);
      hash ^= hash >>> SPREAD_SHIFT;
    }
    for (let slot = hash & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      if (this.#kinds[slot] === 0) return this.#claim(slot, kind);
      if (this.#kinds[slot] === kind && this.#holds(slot)) return slot;
    }
  }

  #claim(slot: number, kind: number): number {
    if (this.#count === MAX_TALKERS) return -1;
    this.#count += 1;
    this.#kinds[slot] = kind;
    this.#keys.set(this.#key, slot * KEY_WORDS);
    return slot;
  }

  #holds(slot: number): boolean {
    for (let i = 0; i < KEY_WORDS; i++) {
      if (this.#keys[slot * KEY_WORDS + i] !== this.#key[i]) return false;
    }
    return true;
  }
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");

const addressText = (kind: number, key: Uint32Array): string => {
  const [first = 0, second = 0] = key;
  if (kind === KIND.ipv4)
    return [first >>> 24, (first >>> 16) & 0xff, (first >>> 8) & 0xff, first & 0xff].join(".");
  if (kind === KIND.mac) return (hex(first, 4) + hex(second, 8)).match(/../g)?.join(":") ?? "";
  const groups = [...key].flatMap((word) => [(word >>> 16).toString(16), (word & 0xffff).toString(16)]);
  return shortest(groups.join(":"));
};

/** RFC 5952: the longest run of zero groups becomes "::". */
const shortest = (text: string): string => {
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const [run] = runs;
  if (run === undefined) return text;
  const end = run.index + run[0].length;
  return `${text.slice(0, run.index)}::${text.slice(end + 1)}`;
};
