/**
 * The options of an IPv4 header (RFC 791 section 3.1): a bounded walk in place, and records of type and data.
 */
import { MAX_UINT8, readBytes, requireInteger, writeBytes, writeZeros } from "./fields.ts";

/** Option types (IANA, "IP Option Numbers"). */
export const OPTION = {
  END: 0,
  NO_OPERATION: 1,
  RECORD_ROUTE: 7,
  TIMESTAMP: 68,
  LOOSE_SOURCE_ROUTE: 131,
  STRICT_SOURCE_ROUTE: 137,
  /** RFC 2113; IGMP sends it. */
  ROUTER_ALERT: 148,
} as const;

/** Offsets in an option that is more than its type. */
export const OPTION_TYPE = 0;
export const OPTION_LENGTH = OPTION_TYPE + 1;
export const OPTION_DATA = OPTION_LENGTH + 1;

/** What room the header length field leaves for options. */
export const MAX_OPTION_BYTES = 40;
/** Options fill whole words. */
const WORD_MASK = 3;

/** No option follows. */
export const NO_OPTION = -1;
/** The bytes that follow are no option: too short, or longer than the header. */
export const BAD_OPTION = -2;

export const optionType = (view: DataView, at: number): number => view.getUint8(at + OPTION_TYPE);

/** Bytes of the option at `at`, with type and length. */
export const optionBytes = (view: DataView, at: number): number =>
  optionType(view, at) === OPTION.NO_OPERATION ? 1 : view.getUint8(at + OPTION_LENGTH);

/**
 * The offset of the option that starts at `at` or behind it, before `end`: no-operations are skipped.
 * `NO_OPTION` at the end of the list, `BAD_OPTION` where the bytes are no option. The next search begins at the found
 * offset plus `optionBytes`.
 */
export const findOption = (view: DataView, at: number, end: number): number => {
  while (at < end && optionType(view, at) === OPTION.NO_OPERATION) at += 1;
  if (at >= end || optionType(view, at) === OPTION.END) return NO_OPTION;
  if (end - at < OPTION_DATA) return BAD_OPTION;
  const bytes = view.getUint8(at + OPTION_LENGTH);
  return bytes < OPTION_DATA || bytes > end - at ? BAD_OPTION : at;
};

/** An option; a no-operation has no data. The end of the list is no option: `emit` writes it where it pads. */
export interface Ipv4Option {
  /** 1 to 255. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** All options before `end`, no-operations too, or undefined where they are malformed. */
export const parseOptions = (view: DataView, at: number, end: number): Ipv4Option[] | undefined => {
  const options: Ipv4Option[] = [];
  while (at < end && optionType(view, at) !== OPTION.END) {
    const type = optionType(view, at);
    if (type !== OPTION.NO_OPERATION && findOption(view, at, end) < 0) return undefined;
    const next = at + optionBytes(view, at);
    const data = Math.min(at + OPTION_DATA, next);
    options.push({ type, data: readBytes(view, data, next - data) });
    at = next;
  }
  return options;
};

/** Bytes of the options with their padding. */
export const optionsLength = (options: readonly Ipv4Option[]): number => {
  let length = 0;
  for (const { type, data } of options)
    length += type === OPTION.NO_OPERATION ? 1 : OPTION_DATA + data.length;
  return (length + WORD_MASK) & ~WORD_MASK;
};

/** @throws RangeError where an option cannot be, or all of them are more than a header can hold. */
export const checkOptionRecords = (options: readonly Ipv4Option[]): void => {
  for (const { type, data } of options) {
    requireInteger("option.type", type, MAX_UINT8, OPTION.NO_OPERATION);
    if (type === OPTION.NO_OPERATION) requireInteger("option.data.length", data.length, 0);
  }
  requireInteger("bytes of options", optionsLength(options), MAX_OPTION_BYTES);
};

/** Writes the options and zeros behind them, to a whole number of words. */
export const emitOptions = (options: readonly Ipv4Option[], view: DataView, at: number): void => {
  const end = at + optionsLength(options);
  for (const { type, data } of options) {
    view.setUint8(at + OPTION_TYPE, type);
    if (type === OPTION.NO_OPERATION) {
      at += 1;
      continue;
    }
    view.setUint8(at + OPTION_LENGTH, OPTION_DATA + data.length);
    at += OPTION_DATA + writeBytes(view, at + OPTION_DATA, data);
  }
  writeZeros(view, at, end - at);
};
