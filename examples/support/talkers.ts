/**
 * Who sends how much: a table of fixed size from source addresses to packets and bytes, without an allocation per packet.
 */
import { ethernet, IpAddress, ipv4, ipv6, MacAddress, MAPPED } from "millrace/wire";
import type { Layers } from "./layers.ts";

/** Talkers that are told apart; all others are counted together. A /20 of them fills it. */
const MAX_TALKERS = 4096;
/** Twice as many places as talkers keep the chains of an open table short. */
const SLOTS = 2 * MAX_TALKERS;
const KEY_WORDS = 4;
const WORD_BYTES = 4;
/** What the words of a key are: those of an IP address, IPv4 in its mapped form, or the two of a link address. */
const KIND = { ip: 1, mac: 2 } as const;
/** 2^32 over the golden ratio: spreads keys that differ in few bits. */
const SPREAD = 0x9e3779b1;
const SPREAD_SHIFT = 15;

export interface Talker {
  readonly address: string;
  readonly packets: number;
  readonly bytes: number;
}

export class Talkers {
  readonly #keys = new Int32Array(SLOTS * KEY_WORDS);
  readonly #kinds = new Uint8Array(SLOTS);
  readonly #packets = new Float64Array(SLOTS);
  readonly #bytes = new Float64Array(SLOTS);
  readonly #key = new Int32Array(new ArrayBuffer(KEY_WORDS * WORD_BYTES));
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
    const { version, network } = layers;
    if (version === 4) this.addIp(0, 0, MAPPED, ipv4.sourceWord(view, network), lengthBytes);
    else if (version === 6) {
      for (let i = 0; i < KEY_WORDS; i++) this.#key[i] = ipv6.sourceWord(view, network, i);
      this.#add(KIND.ip, lengthBytes);
    } else {
      this.#setKey(ethernet.sourceHigh(view, at), ethernet.sourceLow(view, at), 0, 0);
      this.#add(KIND.mac, lengthBytes);
    }
  }

  /** Counts a packet under an IP address in words, as a host has them. */
  addIp(w0: number, w1: number, w2: number, w3: number, lengthBytes: number): void {
    this.#setKey(w0, w1, w2, w3);
    this.#add(KIND.ip, lengthBytes);
  }

  /** The busiest `count`, by packets. */
  top(count: number): Talker[] {
    return Array.from({ length: SLOTS }, (_, slot) => slot)
      .filter((slot) => this.#kinds[slot] !== 0)
      .sort((one, other) => this.#packets[other]! - this.#packets[one]!)
      .slice(0, count)
      .map((slot) => ({
        address: this.#addressOf(slot),
        packets: this.#packets[slot]!,
        bytes: this.#bytes[slot]!,
      }));
  }

  /** Forgets everybody. */
  clear(): void {
    this.#kinds.fill(0);
    this.#packets.fill(0);
    this.#bytes.fill(0);
    this.#count = 0;
    this.#otherPackets = 0;
  }

  #setKey(w0: number, w1: number, w2: number, w3: number): void {
    const key = this.#key;
    key[0] = w0;
    key[1] = w1;
    key[2] = w2;
    key[3] = w3;
  }

  #add(kind: number, lengthBytes: number): void {
    const slot = this.#find(kind);
    if (slot < 0) {
      this.#otherPackets += 1;
      return;
    }
    this.#packets[slot]! += 1;
    this.#bytes[slot]! += lengthBytes;
  }

  #addressOf(slot: number): string {
    const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = this.#keys.subarray(slot * KEY_WORDS, (slot + 1) * KEY_WORDS);
    const address =
      this.#kinds[slot] === KIND.mac ? MacAddress.words(w0, w1) : IpAddress.words(w0, w1, w2, w3);
    return address.toString();
  }

  /** The slot of the key just set, a fresh one if need be, or -1 where the table is full. */
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
