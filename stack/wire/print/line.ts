/**
 * One line of text that grows to a limit, and what all printers of packets hand to one another.
 */

/** Characters of a line at most: a screen's worth, whatever the packet holds. */
export const MAX_LINE = 1024;
/** What a line that was cut ends with. */
const ELLIPSIS = "...";
/** Bytes of a text or of data that are shown. */
const MAX_SHOWN_BYTES = 48;
const HEX = 16;
const FIRST_PRINTABLE = 0x20;
const LAST_PRINTABLE = 0x7e;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export class Line {
  #text = "";

  /** True where more text would be cut off: printers of lists stop here. */
  get full(): boolean {
    return this.#text.length > MAX_LINE;
  }

  add(text: string): this {
    if (!this.full) this.#text += text;
    return this;
  }

  /** Each item by `write`, with commas between. */
  list<T>(items: Iterable<T>, write: (item: T) => void): this {
    let first = true;
    for (const item of items) {
      if (this.full) break;
      if (!first) this.add(", ");
      first = false;
      write(item);
    }
    return this;
  }

  /** The same in brackets; nothing where there are no items. */
  bracketed(texts: readonly string[]): this {
    return texts.length === 0
      ? this
      : this.add(" [")
          .list(texts, (text) => this.add(text))
          .add("]");
  }

  /** Says that the bytes ended inside of `what`. */
  cut(what: string): this {
    return this.add(`[|${what}]`);
  }

  toString(): string {
    return this.full ? this.#text.slice(0, MAX_LINE - ELLIPSIS.length) + ELLIPSIS : this.#text;
  }
}

/** What an IP header's printer hands to that of the payload. */
export interface Payload {
  readonly line: Line;
  readonly view: DataView;
  readonly at: number;
  /** Behind the last byte. */
  readonly end: number;
  /** Partial sum of the pseudo-header; undefined where bytes are missing, so that no checksum can be judged. */
  readonly pseudo: number | undefined;
  /** Prints an IP packet that lies inside, as far as it is there. */
  readonly inner: (at: number, end: number) => void;
}

/** The name of `value` in a table of constants, in small letters; else its number. */
export const nameOf = (table: Readonly<Record<string, number>>, value: number): string => {
  const found = Object.entries(table).find(([, each]) => each === value);
  return found === undefined ? String(value) : found[0].toLowerCase().replaceAll("_", " ");
};

/** 0x and at least `digits` digits. */
export const hex = (value: number, digits = 1): string =>
  `0x${(value >>> 0).toString(HEX).padStart(digits, "0")}`;

/** Bytes as digits, the first of them. */
export const hexBytes = (bytes: Uint8Array): string => {
  const shown = bytes.subarray(0, MAX_SHOWN_BYTES);
  const digits = Array.from(shown, (byte) => byte.toString(HEX).padStart(2, "0")).join("");
  return shown.length < bytes.length ? digits + ELLIPSIS : digits;
};

/** Bytes as a quoted text, the first of them, whatever they are: what is not printable ASCII is escaped. */
export const quoted = (bytes: Uint8Array): string => {
  const shown = bytes.subarray(0, MAX_SHOWN_BYTES);
  const text = Array.from(shown, (byte) => {
    const plain = byte >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE && byte !== QUOTE && byte !== BACKSLASH;
    return plain ? String.fromCharCode(byte) : `\\x${byte.toString(HEX).padStart(2, "0")}`;
  }).join("");
  return `"${text}"${shown.length < bytes.length ? ELLIPSIS : ""}`;
};
