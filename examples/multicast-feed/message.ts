/**
 * A datagram of the feed: which run of its publisher it is of, and its number. 8 bytes in network order, then the payload.
 */

const SESSION = 0;
const NUMBER = SESSION + 4;
export const HEADER_BYTES = NUMBER + 4;

/** Of 32 bits, drawn by the publisher when it starts; NaN for what is too short. */
export const session = (view: DataView, at: number, length: number): number =>
  length < HEADER_BYTES ? Number.NaN : view.getUint32(at + SESSION);

/** Counts up from 0 and wraps around at 2^32; NaN for what is too short. */
export const number = (view: DataView, at: number, length: number): number =>
  length < HEADER_BYTES ? Number.NaN : view.getUint32(at + NUMBER);

export const write = (view: DataView, at: number, session: number, number: number): void => {
  view.setUint32(at + SESSION, session);
  view.setUint32(at + NUMBER, number);
};
