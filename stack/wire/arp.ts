/**
 * Address resolution packets (RFC 826) between Ethernet and IPv4, 28 bytes each.
 */
import { IpAddress, IPV4_BYTES } from "./address.ts";
import { MAX_UINT16, need, requireInteger } from "./fields.ts";
import { MAC_BYTES, MacAddress } from "./mac.ts";

export const HARDWARE = 0;
export const PROTOCOL = HARDWARE + 2;
export const HARDWARE_BYTES = PROTOCOL + 2;
export const PROTOCOL_BYTES = HARDWARE_BYTES + 1;
export const OPERATION_FIELD = PROTOCOL_BYTES + 1;
export const SENDER_MAC = OPERATION_FIELD + 2;
export const SENDER_ADDRESS = SENDER_MAC + MAC_BYTES;
export const TARGET_MAC = SENDER_ADDRESS + IPV4_BYTES;
export const TARGET_ADDRESS = TARGET_MAC + MAC_BYTES;
export const PACKET_BYTES = TARGET_ADDRESS + IPV4_BYTES;

/** Values of the operation field. */
export const OPERATION = { REQUEST: 1, REPLY: 2 } as const;

/** IANA, "ARP Hardware Types". */
const ETHERNET = 1;
/** Protocols are named by their Ethernet type. */
const IPV4 = 0x0800;

/** What `check` finds wrong. */
export const BAD = {
  short: -1,
  /** It is not about Ethernet. */
  hardware: -2,
  /** It is not about IPv4. */
  protocol: -3,
  /** A length does not fit the addresses of the two. */
  length: -4,
} as const;

/** 0 where `length` bytes from `at` hold a packet about Ethernet and IPv4, else one of `BAD`. Any operation is good. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < PACKET_BYTES) return BAD.short;
  if (view.getUint16(at + HARDWARE) !== ETHERNET) return BAD.hardware;
  if (view.getUint16(at + PROTOCOL) !== IPV4) return BAD.protocol;
  const fits =
    view.getUint8(at + HARDWARE_BYTES) === MAC_BYTES && view.getUint8(at + PROTOCOL_BYTES) === IPV4_BYTES;
  return fits ? 0 : BAD.length;
};

export const operation = (view: DataView, at: number): number => view.getUint16(at + OPERATION_FIELD);
export const senderMac = (view: DataView, at: number): MacAddress => MacAddress.read(view, at + SENDER_MAC);
export const senderAddress = (view: DataView, at: number): IpAddress =>
  IpAddress.read4(view, at + SENDER_ADDRESS);
/** Int32. */
export const senderWord = (view: DataView, at: number): number => view.getInt32(at + SENDER_ADDRESS);
export const targetMac = (view: DataView, at: number): MacAddress => MacAddress.read(view, at + TARGET_MAC);
export const targetAddress = (view: DataView, at: number): IpAddress =>
  IpAddress.read4(view, at + TARGET_ADDRESS);
/** Int32. */
export const targetWord = (view: DataView, at: number): number => view.getInt32(at + TARGET_ADDRESS);

export const setOperation = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + OPERATION_FIELD, value);
export const setSenderMac = (view: DataView, at: number, mac: MacAddress): void =>
  mac.write(view, at + SENDER_MAC);
export const setSenderWord = (view: DataView, at: number, value: number): void =>
  view.setInt32(at + SENDER_ADDRESS, value);
export const setTargetMac = (view: DataView, at: number, mac: MacAddress): void =>
  mac.write(view, at + TARGET_MAC);
export const setTargetWord = (view: DataView, at: number, value: number): void =>
  view.setInt32(at + TARGET_ADDRESS, value);

/** A packet. */
export interface ArpRecord {
  /** One of `OPERATION`, or another number of 16 bits. */
  readonly operation: number;
  readonly senderMac: MacAddress;
  readonly senderAddress: IpAddress;
  readonly targetMac: MacAddress;
  readonly targetAddress: IpAddress;
}

export const lengthOf = (_record: ArpRecord): number => PACKET_BYTES;

/** Bytes behind the packet are padding. */
export const parse = (view: DataView, at: number, length: number): ArpRecord | undefined =>
  check(view, at, length) < 0
    ? undefined
    : {
        operation: operation(view, at),
        senderMac: senderMac(view, at),
        senderAddress: senderAddress(view, at),
        targetMac: targetMac(view, at),
        targetAddress: targetAddress(view, at),
      };

/**
 * Writes the packet and gives its length.
 *
 * @throws RangeError where the operation is not 16 bits or an address is not of IPv4.
 */
export const emit = (record: ArpRecord, view: DataView, at: number): number => {
  requireInteger("operation", record.operation, MAX_UINT16);
  need(record.senderAddress.family === 4, "senderAddress", "be of IPv4");
  need(record.targetAddress.family === 4, "targetAddress", "be of IPv4");
  view.setUint16(at + HARDWARE, ETHERNET);
  view.setUint16(at + PROTOCOL, IPV4);
  view.setUint8(at + HARDWARE_BYTES, MAC_BYTES);
  view.setUint8(at + PROTOCOL_BYTES, IPV4_BYTES);
  setOperation(view, at, record.operation);
  setSenderMac(view, at, record.senderMac);
  setSenderWord(view, at, record.senderAddress.w3);
  setTargetMac(view, at, record.targetMac);
  setTargetWord(view, at, record.targetAddress.w3);
  return PACKET_BYTES;
};
