/**
 * Domain names as bytes, as they stand in messages: labels with their lengths, the root's last (RFC 1035 section 3.1).
 */
import { MAX_LABEL_BYTES, MAX_NAME_BYTES } from "./message.ts";

/** Something in a zone file that makes no sense. The text says what; who reads the file adds where. */
export class ZoneError extends Error {
  override readonly name = "ZoneError";
}

export const ROOT: Uint8Array = Uint8Array.of(0);

/** Of a name's first label. */
const FIRST_LENGTH = 0;
const FIRST_OCTET = FIRST_LENGTH + 1;

const UPPER_A = 0x41;
const LETTERS = 26;
const CASE_BIT = 0x20;
const MAX_OCTET = 255;
const DECIMAL_ESCAPE = /^\d{3}/;
/** What stands for itself in the text of a label. */
const PLAIN = /^[\w*\-/+]$/;

/** One character of a word of a zone file, after `\DDD` and `\X` are read (RFC 1035 section 5.1). */
export interface Octet {
  readonly code: number;
  readonly escaped: boolean;
}

/** The characters of a word. Throws a ZoneError at an escape that says nothing. */
export const octets = (word: string): Octet[] => {
  const found: Octet[] = [];
  for (let i = 0; i < word.length; i++) {
    const escaped = word[i] === "\\";
    if (!escaped) {
      found.push({ code: word.charCodeAt(i), escaped });
      continue;
    }
    const digits = DECIMAL_ESCAPE.exec(word.slice(i + 1))?.[0];
    const code = digits === undefined ? word.charCodeAt(i + 1) : Number(digits);
    if (!(code <= MAX_OCTET)) throw new ZoneError(`${JSON.stringify(word)} has an escape that says nothing`);
    found.push({ code, escaped });
    i += digits === undefined ? 1 : digits.length;
  }
  return found;
};

/** A name from its text; without a dot at the end it is relative to `origin`. Throws a ZoneError for what is no name. */
export const parseName = (text: string, origin: Uint8Array | undefined): Uint8Array => {
  if (text === ".") return ROOT;
  const labels: number[] = [];
  let label: number[] = [];
  let absolute = false;
  const finish = (): void => {
    if (label.length === 0) throw new ZoneError(`the name ${JSON.stringify(text)} has an empty label`);
    if (label.length > MAX_LABEL_BYTES)
      throw new ZoneError(`a label of ${JSON.stringify(text)} is longer than ${MAX_LABEL_BYTES} bytes`);
    labels.push(label.length, ...label);
    label = [];
  };
  const word = text === "@" ? [] : octets(text);
  for (const [i, { code, escaped }] of word.entries()) {
    if (code !== DOT || escaped) label.push(code);
    else {
      finish();
      absolute = i === word.length - 1;
    }
  }
  if (!absolute && text !== "@") finish();
  if (!absolute && origin === undefined)
    throw new ZoneError(`the name ${JSON.stringify(text)} is relative, and nothing says to what: no $ORIGIN`);
  const name = Uint8Array.from([...labels, ...(absolute ? ROOT : (origin ?? ROOT))]);
  if (name.length > MAX_NAME_BYTES)
    throw new ZoneError(`the name ${JSON.stringify(text)} is longer than ${MAX_NAME_BYTES} bytes`);
  return name;
};

const DOT = ".".charCodeAt(0);

/** A name's text, with a dot at the end, and with escapes where they are needed. */
export const formatName = (name: Uint8Array): string => {
  const labels = labelsOf(name).map((at) => {
    const label = name.subarray(at + 1, at + 1 + name[at]!);
    return [...label].map(formatOctet).join("");
  });
  return `${labels.join(".")}.`;
};

const formatOctet = (code: number): string => {
  const text = String.fromCharCode(code);
  return PLAIN.test(text) ? text : `\\${String(code).padStart(3, "0")}`;
};

/** Where each label of a name begins, the root's left out. */
export const labelsOf = (name: Uint8Array): number[] => {
  const starts: number[] = [];
  for (let at = 0; name[at] !== 0; at += 1 + name[at]!) starts.push(at);
  return starts;
};

/** A letter's small form; any other byte is itself. The length of a label is below all letters. */
export const lowerOctet = (code: number): number =>
  (code - UPPER_A) >>> 0 < LETTERS ? code + CASE_BIT : code;

/** What equal names have in common, whatever their case (RFC 4343): a text of one character a byte. */
export const keyOf = (name: Uint8Array): string =>
  Buffer.from(name.buffer, name.byteOffset, name.length)
    .toString("latin1")
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

/** The name without its first label. */
export const parentOf = (name: Uint8Array): Uint8Array => name.subarray(FIRST_OCTET + name[FIRST_LENGTH]!);

/** True where `name` is `ancestor` or below it. */
export const isWithin = (name: Uint8Array, ancestor: Uint8Array): boolean => {
  const at = name.length - ancestor.length;
  return (
    at >= 0 &&
    [...labelsOf(name), name.length - ROOT.length].includes(at) &&
    keyOf(name.subarray(at)) === keyOf(ancestor)
  );
};

/** The name with one more label in front, `*`: the wildcard below it (RFC 4592 section 2.1.1). */
export const wildcardOf = (name: Uint8Array): Uint8Array => Uint8Array.of(1, ASTERISK, ...name);

export const isWildcard = (name: Uint8Array): boolean =>
  name[FIRST_LENGTH] === 1 && name[FIRST_OCTET] === ASTERISK;

const ASTERISK = "*".charCodeAt(0);
