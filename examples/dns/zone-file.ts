/**
 * From the text of a master file to its records: directives, and what one record takes over from the one before (RFC 1035
 * section 5.1, RFC 2308 section 4).
 */
import { TYPE } from "./message.ts";
import { parseName, ZoneError } from "./names.ts";
import { parseRdata, parseTtl, type Rdata, typeCode } from "./rdata.ts";
import { entriesOf, type Entry, type Word } from "./zone-lexer.ts";

export interface ZoneRecord {
  readonly owner: Uint8Array;
  readonly type: number;
  /** Seconds. */
  readonly ttl: number;
  readonly rdata: Rdata;
  readonly line: number;
}

/** A record with its answers takes some two kilobytes: this many are a gigabyte. */
export const MAX_RECORDS = 500_000;

/** The last number of a SOA record, which also was the TTL of a zone before there was $TTL. */
const MINIMUM_WORDS_FROM_END = 1;
const CLASSES = /^(?:IN|CH|HS|CS|CLASS\d+)$/i;

/** What one entry leaves to the next. */
interface State {
  origin: Uint8Array | undefined;
  /** Of $TTL. */
  defaultTtl: number | undefined;
  owner: Uint8Array | undefined;
  ttl: number | undefined;
}

/**
 * The records of a zone file, one character of `text` a byte. `origin` is what relative names are relative to before the first
 * $ORIGIN. Throws a ZoneError with the line and what is wrong there.
 */
export const parseZoneFile = (text: string, origin?: string): ZoneRecord[] => {
  const start = origin === undefined ? undefined : parseName(origin.replace(/\.?$/, "."), undefined);
  const state: State = { origin: start, defaultTtl: undefined, owner: undefined, ttl: undefined };
  const records: ZoneRecord[] = [];
  for (const entry of entriesOf(text)) {
    try {
      const record = readEntry(entry, state);
      if (record !== undefined) records.push(record);
    } catch (error) {
      if (!(error instanceof ZoneError)) throw error;
      throw new ZoneError(`line ${entry.line}: ${error.message}`, { cause: error });
    }
    if (records.length > MAX_RECORDS) throw new ZoneError(`more than ${MAX_RECORDS} records`);
  }
  return records;
};

const readEntry = (entry: Entry, state: State): ZoneRecord | undefined => {
  const [first] = entry.words;
  if (!entry.continued && first?.quoted === false && first.text.startsWith("$")) {
    direct(first.text.toUpperCase(), entry.words, state);
    return undefined;
  }
  return readRecord(entry, state);
};

const direct = (name: string, words: readonly Word[], state: State): void => {
  const [, value, ...more] = words;
  const known = name === "$ORIGIN" || name === "$TTL";
  if (!known) throw new ZoneError(`${name} is not understood here; only $ORIGIN and $TTL are`);
  if (value === undefined || more.length > 0) throw new ZoneError(`${name} takes one word`);
  if (name === "$ORIGIN") {
    state.origin = parseName(value.text, state.origin);
    return;
  }
  state.defaultTtl = parseTtl(value.text);
  if (state.defaultTtl === undefined) throw new ZoneError(`${JSON.stringify(value.text)} is no TTL`);
};

const readRecord = (entry: Entry, state: State): ZoneRecord => {
  const words = [...entry.words];
  if (!entry.continued) state.owner = parseName(words.shift()!.text, state.origin);
  if (state.owner === undefined) throw new ZoneError("no name stands before the first record");
  const given = readTtlAndClass(words);
  const typeWord = words.shift()?.text ?? "";
  const type = typeCode(typeWord);
  if (type === undefined) throw new ZoneError(`${JSON.stringify(typeWord)} is no type of record`);
  const minimum = type === TYPE.SOA ? parseTtl(words.at(-MINIMUM_WORDS_FROM_END)?.text ?? "") : undefined;
  const ttl = given ?? state.defaultTtl ?? state.ttl ?? minimum;
  if (ttl === undefined) throw new ZoneError("no TTL: neither here nor before, nor by $TTL");
  state.ttl = ttl;
  return { owner: state.owner, type, ttl, rdata: parseRdata(type, words, state.origin), line: entry.line };
};

/** Takes TTL and class, in either order, each at most once; a type is neither. */
const readTtlAndClass = (words: Word[]): number | undefined => {
  let ttl: number | undefined;
  let classed = false;
  for (;;) {
    const text = words[0]?.text ?? "";
    if (!classed && CLASSES.test(text)) {
      if (text.toUpperCase() !== "IN") throw new ZoneError(`class ${text}: only IN is served`);
      classed = true;
    } else if (ttl === undefined && /^\d/.test(text)) {
      ttl = parseTtl(text);
      if (ttl === undefined) throw new ZoneError(`${JSON.stringify(text)} is no TTL`);
    } else return ttl;
    words.shift();
  }
};
