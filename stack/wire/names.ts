/**
 * Domain names on the wire (RFC 1035 section 3.1), uncompressed and one after another, as lists of search domains have
 * them (RFC 8106 section 5.2).
 */
import { need, requireInteger } from "./fields.ts";

/** RFC 1035 section 2.3.4. */
const MAX_LABEL_BYTES = 63;
const MAX_NAME_BYTES = 255;
/** What a label may hold here, so that a text reads back as itself: printable ASCII but the dot that separates labels. */
const FIRST_PRINTABLE = 0x21;
const LAST_PRINTABLE = 0x7e;
const DOT = 0x2e;

const isPlain = (byte: number): boolean => byte >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE && byte !== DOT;

/**
 * The names from `at` to `end`, without their last dots; zeros behind the last one are padding. Undefined where a name
 * goes beyond `end`, is too long, or holds what no plain text can.
 */
export const readNames = (view: DataView, at: number, end: number): string[] | undefined => {
  const names: string[] = [];
  while (at < end) {
    const length = nameLength(view, at, end);
    if (length === 0) return undefined;
    // An empty name is padding.
    if (length > 1) names.push(readName(view, at, at + length - 1));
    at += length;
  }
  return names;
};

/** Bytes of the name at `at` with its ending zero; 0 where it is malformed. */
const nameLength = (view: DataView, at: number, end: number): number => {
  const start = at;
  while (at < end && at - start < MAX_NAME_BYTES) {
    const bytes = view.getUint8(at);
    at += 1;
    if (bytes === 0) return at - start;
    if (bytes > MAX_LABEL_BYTES || at + bytes > end) return 0;
    for (const stop = at + bytes; at < stop; at++) if (!isPlain(view.getUint8(at))) return 0;
  }
  return 0;
};

const readName = (view: DataView, at: number, end: number): string => {
  let text = "";
  while (at < end) {
    const stop = at + 1 + view.getUint8(at);
    if (text !== "") text += ".";
    for (at += 1; at < stop; at++) text += String.fromCharCode(view.getUint8(at));
  }
  return text;
};

/** Bytes of the names with their ending zeros. A dot becomes the length of the label behind it. */
export const namesLength = (names: readonly string[]): number =>
  names.reduce((bytes, name) => bytes + 1 + name.length + 1, 0);

/** Writes the names; gives their bytes. RangeError where one is no name. */
export const writeNames = (names: readonly string[], view: DataView, at: number): number => {
  const start = at;
  for (const name of names) {
    requireInteger("bytes of domain name", namesLength([name]), MAX_NAME_BYTES);
    for (const label of name.split(".")) {
      requireInteger("bytes of label", label.length, MAX_LABEL_BYTES, 1);
      view.setUint8(at++, label.length);
      for (let i = 0; i < label.length; i++) {
        const byte = label.charCodeAt(i);
        need(isPlain(byte), "domain name", "be printable ASCII");
        view.setUint8(at++, byte);
      }
    }
    view.setUint8(at++, 0);
  }
  return at - start;
};
