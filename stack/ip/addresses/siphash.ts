/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012): 64 bits from bytes and a key of 128 bits, that tell nothing of the key.
 *
 * RFC 7217 wants a pseudorandom function for interface identifiers; this one is short enough to be read, and fast enough
 * on int32 pairs for the seldom times that an address is made.
 */

/** Bytes of a key. */
export const KEY_BYTES = 16;

/** Words of 64 bits are kept as two int32: at an index their upper half, after it the lower one. */
const V0 = 0;
const V1 = V0 + 2;
const V2 = V1 + 2;
const V3 = V2 + 2;

const BLOCK_BYTES = 8;
const HALF_BYTES = 4;
const ROUNDS_PER_BLOCK = 2;
const ROUNDS_AT_END = 4;
const END_MARK = 0xff;

/** "somepseudorandomlygeneratedbytes" in four words. */
const INITIAL = [
  0x736f6d65, 0x70736575, 0x646f7261, 0x6e646f6d, 0x6c796765, 0x6e657261, 0x74656462, 0x79746573,
] as const;

/** The hash of `data` as its upper and lower 32 bits. Throws a RangeError for a key of another length. */
export const siphash = (key: Uint8Array, data: Uint8Array): readonly [high: number, low: number] => {
  if (key.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes, not ${key.length}`);
  const v = Int32Array.from(INITIAL);
  const keyView = new DataView(key.buffer, key.byteOffset, key.length);
  xorInto(v, V0, keyView, 0);
  xorInto(v, V1, keyView, BLOCK_BYTES);
  xorInto(v, V2, keyView, 0);
  xorInto(v, V3, keyView, BLOCK_BYTES);
  const padded = pad(data);
  for (let at = 0; at < padded.byteLength; at += BLOCK_BYTES) {
    xorInto(v, V3, padded, at);
    for (let i = 0; i < ROUNDS_PER_BLOCK; i++) round(v);
    xorInto(v, V0, padded, at);
  }
  v[V2 + 1]! ^= END_MARK;
  for (let i = 0; i < ROUNDS_AT_END; i++) round(v);
  return [v[V0]! ^ v[V1]! ^ v[V2]! ^ v[V3]!, v[V0 + 1]! ^ v[V1 + 1]! ^ v[V2 + 1]! ^ v[V3 + 1]!];
};

/** Whole blocks; the very last byte holds the length modulo 256. */
const pad = (data: Uint8Array): DataView => {
  const blocks = Math.floor(data.length / BLOCK_BYTES) + 1;
  const padded = new Uint8Array(blocks * BLOCK_BYTES);
  padded.set(data);
  padded[padded.length - 1] = data.length & END_MARK;
  return new DataView(padded.buffer);
};

/** Words of the input are little-endian. */
const xorInto = (v: Int32Array, word: number, view: DataView, at: number): void => {
  v[word]! ^= view.getInt32(at + HALF_BYTES, true);
  v[word + 1]! ^= view.getInt32(at, true);
};

const add = (v: Int32Array, to: number, from: number): void => {
  const low = (v[to + 1]! >>> 0) + (v[from + 1]! >>> 0);
  v[to] = v[to]! + v[from]! + (low > 0xffffffff ? 1 : 0);
  v[to + 1] = low;
};

const xor = (v: Int32Array, to: number, from: number): void => {
  v[to]! ^= v[from]!;
  v[to + 1]! ^= v[from + 1]!;
};

/** To the left, by less than 32. */
const rotate = (v: Int32Array, word: number, bits: number): void => {
  const high = v[word]!;
  const low = v[word + 1]!;
  v[word] = (high << bits) | (low >>> (32 - bits));
  v[word + 1] = (low << bits) | (high >>> (32 - bits));
};

const swapHalves = (v: Int32Array, word: number): void => {
  const high = v[word]!;
  v[word] = v[word + 1]!;
  v[word + 1] = high;
};

const round = (v: Int32Array): void => {
  add(v, V0, V1);
  add(v, V2, V3);
  rotate(v, V1, 13);
  rotate(v, V3, 16);
  xor(v, V1, V0);
  xor(v, V3, V2);
  swapHalves(v, V0);
  add(v, V2, V1);
  add(v, V0, V3);
  rotate(v, V1, 17);
  rotate(v, V3, 21);
  xor(v, V1, V2);
  xor(v, V3, V0);
  swapHalves(v, V2);
};
