/**
 * Ethernet frames (IEEE 802.3, RFC 894): two addresses and a type, then the payload. No check sequence: the device keeps it.
 */
import { MAC_BYTES, MacAddress } from "./mac.ts";
import { MAX_UINT16, requireInteger } from "./fields.ts";

export const DESTINATION = 0;
export const SOURCE = DESTINATION + MAC_BYTES;
export const TYPE = SOURCE + MAC_BYTES;
export const HEADER_BYTES = TYPE + 2;

/** The last two bytes of an address within it. */
const LOW = 4;

/** Values of the type field (IEEE 802 numbers, IANA). */
export const ETHERTYPE = {
  IPV4: 0x0800,
  ARP: 0x0806,
  IPV6: 0x86dd,
  /** An 802.1Q tag. */
  VLAN: 0x8100,
  /** An 802.1ad tag. */
  QINQ: 0x88a8,
} as const;

/** What `check` finds wrong. */
export const BAD = { short: -1 } as const;

/** 0 where `length` bytes from `at` hold a header, else one of `BAD`. */
export const check = (_view: DataView, _at: number, length: number): number =>
  length < HEADER_BYTES ? BAD.short : 0;

export const type = (view: DataView, at: number): number => view.getUint16(at + TYPE);
export const destination = (view: DataView, at: number): MacAddress =>
  MacAddress.read(view, at + DESTINATION);
export const source = (view: DataView, at: number): MacAddress => MacAddress.read(view, at + SOURCE);

/** The first four bytes of the destination as an int32. */
export const destinationHigh = (view: DataView, at: number): number => view.getInt32(at + DESTINATION);
/** The last two. */
export const destinationLow = (view: DataView, at: number): number => view.getUint16(at + DESTINATION + LOW);
/** The first four bytes of the source as an int32. */
export const sourceHigh = (view: DataView, at: number): number => view.getInt32(at + SOURCE);
/** The last two. */
export const sourceLow = (view: DataView, at: number): number => view.getUint16(at + SOURCE + LOW);

export const setType = (view: DataView, at: number, value: number): void => view.setUint16(at + TYPE, value);
export const setDestination = (view: DataView, at: number, mac: MacAddress): void =>
  mac.write(view, at + DESTINATION);
export const setSource = (view: DataView, at: number, mac: MacAddress): void => mac.write(view, at + SOURCE);

export const setDestinationWords = (view: DataView, at: number, high: number, low: number): void => {
  view.setInt32(at + DESTINATION, high);
  view.setUint16(at + DESTINATION + LOW, low);
};

export const setSourceWords = (view: DataView, at: number, high: number, low: number): void => {
  view.setInt32(at + SOURCE, high);
  view.setUint16(at + SOURCE + LOW, low);
};

export const writeHeader = (
  view: DataView,
  at: number,
  destination: MacAddress,
  source: MacAddress,
  type: number,
): void => {
  destination.write(view, at + DESTINATION);
  source.write(view, at + SOURCE);
  view.setUint16(at + TYPE, type);
};

/** Turns the frame around: what came from there goes there. */
export const swapAddresses = (view: DataView, at: number): void => {
  const high = destinationHigh(view, at);
  const low = destinationLow(view, at);
  setDestinationWords(view, at, sourceHigh(view, at), sourceLow(view, at));
  setSourceWords(view, at, high, low);
};

/** A header. */
export interface EthernetRecord {
  readonly destination: MacAddress;
  readonly source: MacAddress;
  /** 0 to 0xffff. */
  readonly type: number;
}

export const lengthOf = (_record: EthernetRecord): number => HEADER_BYTES;

export const parse = (view: DataView, at: number, length: number): EthernetRecord | undefined =>
  check(view, at, length) < 0
    ? undefined
    : { destination: destination(view, at), source: source(view, at), type: type(view, at) };

/**
 * Writes the header and gives its length.
 *
 * @throws RangeError where the type is not 16 bits.
 */
export const emit = (record: EthernetRecord, view: DataView, at: number): number => {
  requireInteger("type", record.type, MAX_UINT16);
  writeHeader(view, at, record.destination, record.source, record.type);
  return HEADER_BYTES;
};
