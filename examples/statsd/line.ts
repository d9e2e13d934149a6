/**
 * StatsD lines read where they lie in a datagram, without an allocation: `name:value|type|@rate|#tag:value,tag`.
 *
 * The grammar is that of Etsy's StatsD with DataDog's additions: tags, several values in one line (`name:1:2:3|ms`),
 * histograms and distributions; parts of a line that begin with another letter (`|c:container`, `|T1700000000`) are skipped.
 */

/** What a line reports. Timers are in milliseconds; histograms and distributions have no unit. */
export const KIND = { counter: 1, gauge: 2, timer: 3, histogram: 4, set: 5 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** The line that was read last. `name` and `tags` are places in the bytes; -1 stands for no tags. */
export interface StatsdLine {
  readonly kind: Kind;
  readonly nameAt: number;
  readonly nameLength: number;
  readonly tagsAt: number;
  readonly tagsLength: number;
  /** Where the values are, with a colon between two. */
  readonly valuesAt: number;
  readonly valuesEnd: number;
  /** Between 0 and 1: how much of what happened was reported. */
  readonly rate: number;
}

const CODE = {
  newline: 0x0a,
  return: 0x0d,
  hash: 0x23,
  plus: 0x2b,
  minus: 0x2d,
  dot: 0x2e,
  zero: 0x30,
  nine: 0x39,
  colon: 0x3a,
  at: 0x40,
  bar: 0x7c,
  c: 0x63,
  d: 0x64,
  e: 0x65,
  g: 0x67,
  h: 0x68,
  m: 0x6d,
  s: 0x73,
} as const;
/** The two letters of "ms" in one number. */
const MS = (CODE.m << 8) | CODE.s;
const TEN = 10;
/** What a letter has that is no capital. */
const LOWER_CASE = 0x20;
/** Exponents beyond this leave the range of a double anyway. */
const MAX_EXPONENT = 400;

/** Where `code` is in the bytes, or `end`. */
const find = (bytes: Uint8Array, from: number, end: number, code: number): number => {
  let at = from;
  while (at < end && bytes[at] !== code) at += 1;
  return at;
};

/** A decimal number of `bytes` from `from` to `end`, with a sign and an exponent if it likes; NaN for anything else. */
export const readNumber = (bytes: Uint8Array, from: number, end: number): number => {
  let at = from;
  const sign = bytes[at];
  if (at < end && (sign === CODE.minus || sign === CODE.plus)) at += 1;
  let mantissa = 0;
  let digits = 0;
  let decimals = 0;
  let fraction = false;
  for (; at < end; at++) {
    const code = bytes[at]!;
    if (code >= CODE.zero && code <= CODE.nine) {
      mantissa = mantissa * TEN + (code - CODE.zero);
      digits += 1;
      if (fraction) decimals += 1;
    } else if (code === CODE.dot && !fraction) fraction = true;
    else break;
  }
  if (digits === 0) return Number.NaN;
  const exponent = at === end ? 0 : readExponent(bytes, at, end);
  const power = exponent - decimals;
  // Dividing by a whole power rounds once; multiplying by its inverse would round twice.
  const value = power < 0 ? mantissa / TEN ** -power : mantissa * TEN ** power;
  return sign === CODE.minus ? -value : value;
};

/** "e-3", with a capital letter too. */
const readExponent = (bytes: Uint8Array, from: number, end: number): number => {
  let at = from + 1;
  if ((bytes[from]! | LOWER_CASE) !== CODE.e || at >= end) return Number.NaN;
  const sign = bytes[at];
  if (sign === CODE.minus || sign === CODE.plus) at += 1;
  if (at >= end) return Number.NaN;
  let value = 0;
  for (; at < end; at++) {
    const code = bytes[at]!;
    if (code < CODE.zero || code > CODE.nine) return Number.NaN;
    value = Math.min(value * TEN + (code - CODE.zero), MAX_EXPONENT);
  }
  return sign === CODE.minus ? -value : value;
};

/** True where a value has a sign in front: for a gauge it is then a change. */
export const isSigned = (bytes: Uint8Array, at: number): boolean =>
  bytes[at] === CODE.plus || bytes[at] === CODE.minus;

const kindOf = (bytes: Uint8Array, at: number, end: number): Kind | 0 => {
  if (end - at === 2 && ((bytes[at]! << 8) | bytes[at + 1]!) === MS) return KIND.timer;
  if (end - at !== 1) return 0;
  switch (bytes[at]) {
    case CODE.c:
      return KIND.counter;
    case CODE.g:
      return KIND.gauge;
    case CODE.h:
    case CODE.d:
      return KIND.histogram;
    case CODE.s:
      return KIND.set;
    default:
      return 0;
  }
};

/** Reads the lines of a datagram one after the other. One object serves them all. */
export class StatsdLines implements StatsdLine {
  kind: Kind = KIND.counter;
  nameAt = 0;
  nameLength = 0;
  tagsAt = -1;
  tagsLength = 0;
  valuesAt = 0;
  valuesEnd = 0;
  rate = 1;
  /** Lines that made no sense, since the beginning. */
  malformed = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;

  /** Begins with the `length` bytes at `at`. */
  begin(bytes: Uint8Array, at: number, length: number): void {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = at + length;
  }

  /** Reads the next line that makes sense; false at the end. */
  next(): boolean {
    const bytes = this.#bytes;
    while (this.#at < this.#end) {
      const from = this.#at;
      const newline = find(bytes, from, this.#end, CODE.newline);
      this.#at = newline + 1;
      const end = newline > from && bytes[newline - 1] === CODE.return ? newline - 1 : newline;
      if (end === from) continue;
      if (this.#read(bytes, from, end)) return true;
      this.malformed += 1;
    }
    return false;
  }

  /** The value that begins at `at`; its end. */
  valueEnd(at: number): number {
    return find(this.#bytes, at, this.valuesEnd, CODE.colon);
  }

  #read(bytes: Uint8Array, from: number, end: number): boolean {
    const bar = find(bytes, from, end, CODE.bar);
    const colon = find(bytes, from, bar, CODE.colon);
    if (colon === from || colon >= bar - 1 || bar === end) return false;
    const kindEnd = find(bytes, bar + 1, end, CODE.bar);
    const kind = kindOf(bytes, bar + 1, kindEnd);
    if (kind === 0) return false;
    this.kind = kind;
    this.nameAt = from;
    this.nameLength = colon - from;
    this.valuesAt = colon + 1;
    this.valuesEnd = bar;
    this.tagsAt = -1;
    this.tagsLength = 0;
    this.rate = 1;
    for (let at = kindEnd + 1; at <= end;) {
      const partEnd = find(bytes, at, end, CODE.bar);
      if (!this.#readPart(bytes, at, partEnd)) return false;
      at = partEnd + 1;
    }
    return true;
  }

  /** A part behind the type. */
  #readPart(bytes: Uint8Array, at: number, end: number): boolean {
    if (at === end) return false;
    if (bytes[at] === CODE.hash) {
      this.tagsAt = at + 1;
      this.tagsLength = end - at - 1;
    } else if (bytes[at] === CODE.at) {
      this.rate = readNumber(bytes, at + 1, end);
      return this.rate > 0 && this.rate <= 1;
    }
    return true;
  }
}
