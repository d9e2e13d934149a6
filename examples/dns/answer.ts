/**
 * An answer as it is kept: the bytes behind the question, with names compressed also into the question that they will follow.
 *
 * Offsets in a message depend on the question's length. They are written for the name that the answer was made with; a name of
 * another length, below a wildcard or below nothing at all, has them moved by the difference. What they point to is either the
 * end that such names have in common, or behind the question, so all of them move alike; only the pointer to the name itself
 * stays where it is.
 */
import {
  CLASS_IN,
  FLAG,
  HEADER_BYTES,
  HEADER_RCODE_BITS,
  HEADER_RCODE_MASK,
  MAX_NAME_BYTES,
  MAX_UDP_BYTES,
  POINTER,
  QUESTION_TAIL_BYTES,
  type Rcode,
} from "./message.ts";
import { keyOf, labelsOf, ROOT } from "./names.ts";
import { nameIn, type Rdata } from "./rdata.ts";
import type { Outcome, Placed } from "./resolve.ts";

/** One compiled answer. Lengths are in bytes behind the question, counts in records. */
export interface Answer {
  readonly rcode: Rcode;
  /** The bits of the header's flags that are the answer's: AA and the code. */
  readonly flags: number;
  /** Upper bits of the code, for the OPT record. */
  readonly extendedRcode: number;
  /** Bytes of the name that the offsets were written for. */
  readonly nameBytes: number;
  /** Where its bytes begin in the store. */
  readonly start: number;
  /** Without what can be left out, and with it. */
  readonly leastBytes: number;
  readonly fullBytes: number;
  readonly answers: number;
  readonly authorities: number;
  readonly leastAdditionals: number;
  readonly fullAdditionals: number;
  /** Places of the pointers that move, ascending, from the first byte behind the question. */
  readonly moving: Int32Array;
}

const OWNER_IS_QUESTION = POINTER | HEADER_BYTES;
/** What 14 bits reach, less what a longer name can move it by. */
const MAX_TARGET = 0x3fff - MAX_NAME_BYTES;
const LENGTH_BYTES = 2;
const OCTET_BITS = 8;
const OCTET_MASK = 0xff;
const U16_BITS = 16;
const U16_MASK = 0xffff;
const NO_POINTERS = new Int32Array(0);
const FIRST_STORE_BYTES = 1 << 16;
const ALIGNMENT = Int32Array.BYTES_PER_ELEMENT;

/** The bytes of all answers in one area, each begun at a multiple of four, so that they are copied in words. */
export class AnswerStore {
  #bytes = new Uint8Array(FIRST_STORE_BYTES);
  #used = 0;

  /** Takes in the bytes; returns where they begin. */
  add(bytes: Uint8Array): number {
    const start = this.#used;
    const end = start + Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, start);
    this.#used = end;
    return start;
  }

  /** What has been added, as words. */
  words(): Int32Array {
    return new Int32Array(this.#bytes.buffer, 0, this.#used / ALIGNMENT);
  }
}

/** Nothing but a code. */
export const bareAnswer = (rcode: Rcode): Answer => ({
  rcode,
  flags: rcode & HEADER_RCODE_MASK,
  extendedRcode: rcode >> HEADER_RCODE_BITS,
  nameBytes: 0,
  start: 0,
  leastBytes: 0,
  fullBytes: 0,
  answers: 0,
  authorities: 0,
  leastAdditionals: 0,
  fullAdditionals: 0,
  moving: NO_POINTERS,
});

/**
 * Compiles the outcome for the question `name`. Where the answer serves `many` names, only what stands behind the first label is
 * the same in all of them.
 */
export const compileAnswer = (
  outcome: Outcome,
  name: Uint8Array,
  many: boolean,
  store: AnswerStore,
): Answer => {
  const { rcode, answer, authority, glue, extra } = outcome;
  const writer = new Writer(name, many);
  const write = (placed: readonly Placed[]): number =>
    placed.reduce((count, each) => count + writer.records(each), 0);
  const answers = write(answer);
  const authorities = write(authority);
  const leastAdditionals = write(glue);
  const leastBytes = writer.length;
  // What is longer than any datagram of ours goes out cut, so its bytes need no place.
  const keep = leastBytes <= MAX_UDP_BYTES;
  const more = keep ? write(extra) : 0;
  const bytes = keep ? writer.bytes() : new Uint8Array(0);
  return {
    ...bareAnswer(rcode),
    flags: (outcome.authoritative ? FLAG.AA : 0) | (rcode & HEADER_RCODE_MASK),
    nameBytes: name.length,
    start: store.add(bytes),
    leastBytes,
    fullBytes: writer.length,
    answers,
    authorities,
    leastAdditionals,
    fullAdditionals: leastAdditionals + more,
    moving: Int32Array.from(writer.moving),
  };
};

/** Writes records behind a question, and remembers where names stand. */
class Writer {
  /** Places of pointers that move with the length of the question. */
  readonly moving: number[] = [];
  readonly #bytes: number[] = [];
  /** Offset in the message of each name that stands in it already. */
  readonly #places = new Map<string, number>();
  /** Offset in the message of the first byte behind the question. */
  readonly #start: number;

  constructor(question: Uint8Array, many: boolean) {
    this.#start = HEADER_BYTES + question.length + QUESTION_TAIL_BYTES;
    for (const at of labelsOf(question).slice(many ? 1 : 0))
      this.#remember(keyOf(question.subarray(at)), HEADER_BYTES + at);
  }

  get length(): number {
    return this.#bytes.length;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** Writes the records of a set; returns how many. */
  records({ set, asked, ttl }: Placed): number {
    for (const data of set.data) {
      if (asked) this.#u16(OWNER_IS_QUESTION);
      else this.#name(set.owner);
      this.#u16(set.type);
      this.#u16(CLASS_IN);
      this.#u16(ttl >>> U16_BITS);
      this.#u16(ttl & U16_MASK);
      this.#data(data);
    }
    return set.data.length;
  }

  #data(data: Rdata): void {
    const lengthAt = this.length;
    this.#u16(0);
    let copied = 0;
    for (const at of data.compressible) {
      const name = nameIn(data, at);
      this.#bytes.push(...data.bytes.subarray(copied, at));
      this.#name(name);
      copied = at + name.length;
    }
    for (const byte of data.bytes.subarray(copied)) this.#bytes.push(byte);
    const length = this.length - lengthAt - LENGTH_BYTES;
    this.#bytes[lengthAt] = length >>> OCTET_BITS;
    this.#bytes[lengthAt + 1] = length & OCTET_MASK;
  }

  /** A name, as a pointer as soon as the rest of it stands somewhere (RFC 1035 section 4.1.4). */
  #name(name: Uint8Array): void {
    for (const at of labelsOf(name)) {
      const key = keyOf(name.subarray(at));
      const place = this.#places.get(key);
      if (place !== undefined) {
        this.moving.push(this.length);
        this.#u16(POINTER | place);
        return;
      }
      this.#remember(key, this.#start + this.length);
      this.#bytes.push(...name.subarray(at, at + 1 + name[at]!));
    }
    this.#bytes.push(...ROOT);
  }

  #remember(key: string, offset: number): void {
    if (offset <= MAX_TARGET) this.#places.set(key, offset);
  }

  #u16(value: number): void {
    this.#bytes.push(value >>> OCTET_BITS, value & OCTET_MASK);
  }
}
