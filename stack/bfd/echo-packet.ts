/**
 * What our echoes carry, for ourselves alone (RFC 5880 section 5): whose they are, which of them, and a word that nobody else
 * knows.
 */
export const MAGIC = 0;
export const DISCRIMINATOR = MAGIC + 4;
export const NONCE = DISCRIMINATOR + 4;
export const SEQUENCE = NONCE + 4;
export const ECHO_BYTES = SEQUENCE + 4;

/** "mrE1": tells ours from the peer's, which have the same port. */
const OURS = 0x6d72_4531;

/** True where the `length` bytes at `at` may be an echo of ours. */
export const isOurs = (view: DataView, at: number, length: number): boolean =>
  length === ECHO_BYTES && view.getUint32(at + MAGIC) === OURS;

export const discriminator = (view: DataView, at: number): number => view.getUint32(at + DISCRIMINATOR);
export const nonce = (view: DataView, at: number): number => view.getUint32(at + NONCE);
export const sequence = (view: DataView, at: number): number => view.getUint32(at + SEQUENCE);

/** Writes an echo; all numbers are unsigned and of 32 bits. */
export const write = (
  view: DataView,
  at: number,
  discriminator: number,
  nonce: number,
  sequence: number,
): void => {
  view.setUint32(at + MAGIC, OURS);
  view.setUint32(at + DISCRIMINATOR, discriminator);
  view.setUint32(at + NONCE, nonce);
  view.setUint32(at + SEQUENCE, sequence);
};
