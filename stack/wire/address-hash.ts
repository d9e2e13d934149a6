/**
 * A seeded hash of address words, for tables whose keys a stranger chooses.
 *
 * Additions, rotations and exclusive-ors over three words of secret state, in the order and with the distances of Bob
 * Jenkins' lookup3 (public domain, 2006; Linux hashes addresses with it too). Without the seed nobody can tell which
 * addresses share a bucket.
 */

/** Where lookup3 starts, before length and seed. */
const START = 0xdeadbeef | 0;

/** The three words of state mixed until each bit of them has reached each bit of the last, which is the hash. */
const finish = (a: number, b: number, c: number): number => {
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  return ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
};

/** An int32, every bit of which depends on every bit of the words and the seed. */
export const hashAddress = (w0: number, w1: number, w2: number, w3: number, seed: number): number => {
  let a = (START + seed) | 0;
  let b = a;
  let c = a;
  // An IPv4 address has one word that varies, and one pass mixes it.
  if ((w0 | w1) === 0) return finish((a + w3) | 0, (b + w2) | 0, c);
  a = (a + w0) | 0;
  b = (b + w1) | 0;
  c = (c + w2) | 0;
  a = ((a - c) ^ ((c << 4) | (c >>> 28))) | 0;
  c = (c + b) | 0;
  b = ((b - a) ^ ((a << 6) | (a >>> 26))) | 0;
  a = (a + c) | 0;
  c = ((c - b) ^ ((b << 8) | (b >>> 24))) | 0;
  b = (b + a) | 0;
  a = ((a - c) ^ ((c << 16) | (c >>> 16))) | 0;
  c = (c + b) | 0;
  b = ((b - a) ^ ((a << 19) | (a >>> 13))) | 0;
  a = (a + c) | 0;
  c = ((c - b) ^ ((b << 4) | (b >>> 28))) | 0;
  b = (b + a) | 0;
  return finish((a + w3) | 0, b, c);
};
