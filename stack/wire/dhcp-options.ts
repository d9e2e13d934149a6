/**
 * The options of DHCP (RFC 2132): their codes, and how they are spread over the fields of a message, with option overload
 * (RFC 2132 section 9.3) and long options in parts (RFC 3396).
 */
import { MAX_UINT8, readBytes, requireInteger, writeBytes, writeZeros } from "./fields.ts";

/** Option codes (RFC 2132; search domains RFC 3397; classless routes RFC 3442; agent information RFC 3046). */
export const OPTION = {
  PAD: 0,
  SUBNET_MASK: 1,
  ROUTERS: 3,
  NAME_SERVERS: 6,
  HOST_NAME: 12,
  DOMAIN_NAME: 15,
  MTU: 26,
  BROADCAST: 28,
  TIME_SERVERS: 42,
  VENDOR: 43,
  REQUESTED_ADDRESS: 50,
  LEASE_SECONDS: 51,
  OVERLOAD: 52,
  MESSAGE_TYPE: 53,
  SERVER: 54,
  PARAMETERS: 55,
  MESSAGE: 56,
  MAX_MESSAGE_BYTES: 57,
  RENEW_SECONDS: 58,
  REBIND_SECONDS: 59,
  VENDOR_CLASS: 60,
  CLIENT: 61,
  AGENT: 82,
  SEARCH_DOMAINS: 119,
  CLASSLESS_ROUTES: 121,
  END: 255,
} as const;

/** Values of the message type option (RFC 2132 section 9.6). */
export const MESSAGE = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const;

/** Bits of the overload option: these fields hold options too. */
export const OVERLOAD = { FILE: 1, NAME: 2 } as const;

/** Within an option that is neither pad nor end. */
const CODE = 0;
const LENGTH = CODE + 1;
const DATA = LENGTH + 1;
const OVERLOAD_BYTES = DATA + 1;
const END_BYTES = 1;
const MAX_PART_BYTES = MAX_UINT8;

/** Options by code, each with its parts joined. */
export type DhcpOptions = ReadonlyMap<number, Uint8Array>;

/** Where options lie, or may lie: `bytes` bytes at `at`. */
export interface Field {
  readonly at: number;
  readonly bytes: number;
}

/** Bytes of the option at `at`, 1 for a pad; 0 where it is cut off by `end`. */
export const optionBytes = (view: DataView, at: number, end: number): number => {
  if (view.getUint8(at + CODE) === OPTION.PAD) return 1;
  if (at + DATA > end) return 0;
  const bytes = DATA + view.getUint8(at + LENGTH);
  return at + bytes > end ? 0 : bytes;
};

/**
 * True where the options of the field are whole. One that its end cuts off is malformed; a missing end option is not,
 * since what came is certain without it.
 */
export const areWhole = (view: DataView, { at, bytes }: Field): boolean => {
  const end = at + bytes;
  while (at < end && view.getUint8(at + CODE) !== OPTION.END) {
    const step = optionBytes(view, at, end);
    if (step === 0) return false;
    at += step;
  }
  return true;
};

/** Where the first option of `code` lies in a field that is whole; -1 where there is none. */
export const findOption = (view: DataView, { at, bytes }: Field, code: number): number => {
  const end = at + bytes;
  while (at < end && view.getUint8(at + CODE) !== OPTION.END) {
    if (view.getUint8(at + CODE) === code) return at;
    at += optionBytes(view, at, end);
  }
  return -1;
};

/** What the overload option of this field says: bits of `OVERLOAD`; 0 without one. */
export const overloadOf = (view: DataView, field: Field): number => {
  const at = findOption(view, field, OPTION.OVERLOAD);
  if (at < 0 || view.getUint8(at + LENGTH) !== 1) return 0;
  return view.getUint8(at + DATA) & (OVERLOAD.FILE | OVERLOAD.NAME);
};

/** The options of fields that are whole, in that order; parts of one code are joined (RFC 3396 section 7). */
export const parseOptions = (view: DataView, fields: readonly Field[]): Map<number, Uint8Array> => {
  const parts = new Map<number, Uint8Array[]>();
  for (const { at: start, bytes } of fields) {
    const end = start + bytes;
    for (let at = start; at < end; at += optionBytes(view, at, end)) {
      const code = view.getUint8(at + CODE);
      if (code === OPTION.END) break;
      if (code === OPTION.PAD || code === OPTION.OVERLOAD) continue;
      const data = readBytes(view, at + DATA, view.getUint8(at + LENGTH));
      const before = parts.get(code);
      if (before === undefined) parts.set(code, [data]);
      else before.push(data);
    }
  }
  return new Map([...parts].map(([code, all]) => [code, joined(all)]));
};

const joined = (parts: readonly Uint8Array[]): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

/** One option, or one part of a long one. */
interface Part {
  readonly code: number;
  readonly data: Uint8Array;
}

const partBytes = (parts: readonly Part[]): number =>
  parts.reduce((bytes, { data }) => bytes + DATA + data.length, 0);

/** RangeError where a code is not an option's. */
const partsOf = (options: DhcpOptions): Part[] => {
  const parts: Part[] = [];
  for (const [code, data] of options) {
    requireInteger("option code", code, OPTION.END - 1, OPTION.PAD + 1);
    if (code === OPTION.OVERLOAD) throw new RangeError("the overload option is emit's to write");
    let at = 0;
    do {
      parts.push({ code, data: data.subarray(at, at + MAX_PART_BYTES) });
      at += MAX_PART_BYTES;
    } while (at < data.length);
  }
  return parts;
};

/** The parts that each field gets; a field of no capacity gets none. Undefined where they do not fit. */
const spread = (parts: readonly Part[], capacities: readonly number[]): Part[][] | undefined => {
  const fields: Part[][] = capacities.map(() => []);
  let field = 0;
  for (const part of parts) {
    while (field < fields.length && partBytes([...fields[field]!, part]) > capacities[field]!) field += 1;
    if (field === fields.length) return undefined;
    fields[field]!.push(part);
  }
  return fields;
};

/** How options are spread: what goes to the options field, to `file`, to `sname`, and the overload that says so. */
export interface Layout {
  readonly fields: readonly (readonly Part[])[];
  readonly overload: number;
  /** Bytes of the options field up to its end option. */
  readonly bytes: number;
}

/**
 * Spreads the options over an options field of `room` bytes, and where they do not fit over `file` and `sname` of so
 * many bytes, 0 where they are not free. RangeError where they do not fit even so.
 */
export const layoutOf = (options: DhcpOptions, room: number, fileRoom: number, nameRoom: number): Layout => {
  const parts = partsOf(options);
  const bytes = partBytes(parts) + END_BYTES;
  if (bytes <= room) return { fields: [parts, [], []], overload: 0, bytes };
  const fields = spread(parts, [
    room - OVERLOAD_BYTES - END_BYTES,
    Math.max(0, fileRoom - END_BYTES),
    Math.max(0, nameRoom - END_BYTES),
  ]);
  if (fields === undefined) throw new RangeError(`options of ${bytes} bytes do not fit the message`);
  const [first = [], file = [], name = []] = fields;
  const overload = (file.length > 0 ? OVERLOAD.FILE : 0) | (name.length > 0 ? OVERLOAD.NAME : 0);
  return { fields, overload, bytes: partBytes(first) + OVERLOAD_BYTES + END_BYTES };
};

/** Writes the parts, the overload option where it is not 0, the end option, and pads to the end of the field. */
export const writeField = (parts: readonly Part[], overload: number, view: DataView, field: Field): void => {
  let { at } = field;
  const all = overload === 0 ? parts : [...parts, { code: OPTION.OVERLOAD, data: Uint8Array.of(overload) }];
  for (const { code, data } of all) {
    view.setUint8(at + CODE, code);
    view.setUint8(at + LENGTH, data.length);
    at += DATA + writeBytes(view, at + DATA, data);
  }
  view.setUint8(at, OPTION.END);
  at += END_BYTES;
  // Zeros are pad options.
  writeZeros(view, at, field.at + field.bytes - at);
};
