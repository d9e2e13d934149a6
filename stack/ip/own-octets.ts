/**
 * A first look whether an address is one of ours, or the broadcast address of a network that we are in: by its last octet,
 * which settles it for nearly all senders in a load and a shift.
 */
import type { AddressBook } from "./addresses/addresses.ts";

const OCTETS = 256;
const OCTET_MASK = OCTETS - 1;
const BITS_PER_BYTE = 8;
/** Bits of a word, as a shift; JavaScript's own shifts take a number modulo this. */
const WORD_SHIFT = 5;

/** True where the address may be ours: ask further. `bits` of `OwnOctets`, the last word of an address of either family. */
export const mayBeOwn = (bits: Int32Array, w3: number): boolean =>
  (bits[(w3 & OCTET_MASK) >>> WORD_SHIFT]! & (1 << w3)) !== 0;

export class OwnOctets {
  /** A bit for each octet. Read by `mayBeOwn`, which the path of every packet takes. */
  readonly bits = new Int32Array(new ArrayBuffer(OCTETS / BITS_PER_BYTE));

  /** Learns all anew. */
  collect(books: Iterable<AddressBook>): void {
    this.bits.fill(0);
    for (const book of books) {
      for (const { address, prefix, prefixLength } of book.values()) {
        this.#note(address.w3);
        // All host bits set; of a /32 that is one octet too many, which costs nothing but a second look.
        if (address.family === 4) this.#note(prefix.address.w3 | (-1 >>> prefixLength));
      }
    }
  }

  #note(w3: number): void {
    this.bits[(w3 & OCTET_MASK) >>> WORD_SHIFT]! |= 1 << w3;
  }
}
