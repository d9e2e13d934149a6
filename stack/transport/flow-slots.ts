/**
 * How hash tables of flows lay out their slots: whom the flow is with, both ports, and words of the table's own.
 *
 * All that a packet's lookup needs lies in one slot, and two slots are a cache line: of any number of flows none costs more than
 * one miss. Slots are named by the place of their first word.
 */

/** Words of a slot: the other end's address, from 0 on, both ports, and then those of the table's own. */
export const WORD_1 = 1;
export const WORD_2 = WORD_1 + 1;
export const WORD_3 = WORD_2 + 1;
export const PORTS = WORD_3 + 1;
export const FIRST_OWN = PORTS + 1;
/** 32 bytes. */
export const SLOT_WORDS = 8;
/** From the number of a slot to the place of its first word. */
export const SLOT_SHIFT = 3;

/** So many slots, all of them zeroes; a power of two. */
export const makeSlots = (count: number): Int32Array<ArrayBuffer> =>
  new Int32Array(new ArrayBuffer(count * SLOT_WORDS * Int32Array.BYTES_PER_ELEMENT));

/**
 * A mask that makes the home of a flow from its hash: the number of the first slot of a line. The second one is looked at next,
 * and costs no further miss.
 */
export const homesOf = (count: number): number => count - 2;

/** Writes whom a flow is with, and its ports. */
export const writeKey = (
  slots: Int32Array,
  at: number,
  r0: number,
  r1: number,
  r2: number,
  r3: number,
  ports: number,
): void => {
  slots[at] = r0;
  slots[at + WORD_1] = r1;
  slots[at + WORD_2] = r2;
  slots[at + WORD_3] = r3;
  slots[at + PORTS] = ports;
};
