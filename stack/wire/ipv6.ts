/**
 * The IPv6 header (RFC 8200 section 3): accessors over a frame, the check before them, and its record.
 */
import { IPV6_BYTES, IpAddress } from "./address.ts";
import { MAX_UINT16, MAX_UINT8, need, requireInteger } from "./fields.ts";

/** Version (4 bits), traffic class (8) and flow label (20). */
export const VERSION_CLASS_FLOW = 0;
export const PAYLOAD_LENGTH = VERSION_CLASS_FLOW + 4;
export const NEXT_HEADER = PAYLOAD_LENGTH + 2;
export const HOP_LIMIT = NEXT_HEADER + 1;
export const SOURCE = HOP_LIMIT + 1;
export const DESTINATION = SOURCE + IPV6_BYTES;
export const HEADER_BYTES = DESTINATION + IPV6_BYTES;

export const VERSION = 6;
/** Every IPv6 link carries packets of this many bytes (RFC 8200 section 5). */
export const MINIMUM_MTU = 1280;
/** Largest packet without the jumbo payload option: the header and a 16-bit payload length. */
export const MAX_PACKET_BYTES = HEADER_BYTES + MAX_UINT16;

const WORD_SHIFT = 2;
const VERSION_SHIFT = 28;
const CLASS_SHIFT = 20;
const CLASS_MASK = 0xff;
const FLOW_MASK = 0xf_ffff;
const ECN_BITS = 2;
const ECN_MASK = 3;

/** What `check` finds wrong. */
export const BAD = {
  /** Fewer bytes than a header. */
  short: -1,
  /** The version is not 6. */
  version: -2,
  /** The payload length goes beyond the bytes there are. */
  length: -3,
} as const;

/**
 * Judges the packet of at most `length` bytes at `at`: 0, or one of `BAD`. Bytes after the payload are padding and good.
 */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  if (version(view, at) !== VERSION) return BAD.version;
  return HEADER_BYTES + payloadLength(view, at) > length ? BAD.length : 0;
};

export const version = (view: DataView, at: number): number =>
  view.getUint32(at + VERSION_CLASS_FLOW) >>> VERSION_SHIFT;

/** DSCP and ECN together (RFC 2474, RFC 3168). */
export const trafficClass = (view: DataView, at: number): number =>
  (view.getUint32(at + VERSION_CLASS_FLOW) >>> CLASS_SHIFT) & CLASS_MASK;
export const dscp = (view: DataView, at: number): number => trafficClass(view, at) >>> ECN_BITS;
export const ecn = (view: DataView, at: number): number => trafficClass(view, at) & ECN_MASK;
export const flowLabel = (view: DataView, at: number): number =>
  view.getUint32(at + VERSION_CLASS_FLOW) & FLOW_MASK;
/** Bytes after the header: extension headers and the upper layer. */
export const payloadLength = (view: DataView, at: number): number => view.getUint16(at + PAYLOAD_LENGTH);
/** Header and payload in bytes. */
export const totalLength = (view: DataView, at: number): number => HEADER_BYTES + payloadLength(view, at);
export const nextHeader = (view: DataView, at: number): number => view.getUint8(at + NEXT_HEADER);
export const hopLimit = (view: DataView, at: number): number => view.getUint8(at + HOP_LIMIT);
/** Word `index` (0-3) of the source as int32. */
export const sourceWord = (view: DataView, at: number, index: number): number =>
  view.getInt32(at + SOURCE + (index << WORD_SHIFT));
/** Word `index` (0-3) of the destination as int32. */
export const destinationWord = (view: DataView, at: number, index: number): number =>
  view.getInt32(at + DESTINATION + (index << WORD_SHIFT));
export const source = (view: DataView, at: number): IpAddress => IpAddress.read6(view, at + SOURCE);
export const destination = (view: DataView, at: number): IpAddress => IpAddress.read6(view, at + DESTINATION);

/** Writes the first word whole: version 6, `trafficClass` (8 bits) and `flowLabel` (20 bits). */
export const setVersionClassFlow = (
  view: DataView,
  at: number,
  trafficClassValue: number,
  flowLabelValue: number,
): void =>
  view.setInt32(
    at + VERSION_CLASS_FLOW,
    (VERSION << VERSION_SHIFT) |
      ((trafficClassValue & CLASS_MASK) << CLASS_SHIFT) |
      (flowLabelValue & FLOW_MASK),
  );
export const setTrafficClass = (view: DataView, at: number, value: number): void =>
  setVersionClassFlow(view, at, value, flowLabel(view, at));
export const setFlowLabel = (view: DataView, at: number, value: number): void =>
  setVersionClassFlow(view, at, trafficClass(view, at), value);
export const setPayloadLength = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + PAYLOAD_LENGTH, value);
export const setNextHeader = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + NEXT_HEADER, value);
export const setHopLimit = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + HOP_LIMIT, value);
export const setSourceWord = (view: DataView, at: number, index: number, value: number): void =>
  view.setInt32(at + SOURCE + (index << WORD_SHIFT), value);
export const setDestinationWord = (view: DataView, at: number, index: number, value: number): void =>
  view.setInt32(at + DESTINATION + (index << WORD_SHIFT), value);
export const setSource = (view: DataView, at: number, address: IpAddress): void =>
  void address.write(view, at + SOURCE);
export const setDestination = (view: DataView, at: number, address: IpAddress): void =>
  void address.write(view, at + DESTINATION);

/** Writes the header but for its addresses. */
export const writeHeader = (
  view: DataView,
  at: number,
  trafficClassValue: number,
  flowLabelValue: number,
  payloadLengthValue: number,
  nextHeaderValue: number,
  hopLimitValue: number,
): void => {
  setVersionClassFlow(view, at, trafficClassValue, flowLabelValue);
  setPayloadLength(view, at, payloadLengthValue);
  setNextHeader(view, at, nextHeaderValue);
  setHopLimit(view, at, hopLimitValue);
};

/** Exchanges source and destination, for an answer in place; a sum over both stays the same. */
export const swapAddresses = (view: DataView, at: number): void => {
  for (let offset = 0; offset < IPV6_BYTES; offset += 4) {
    const word = view.getInt32(at + SOURCE + offset);
    view.setInt32(at + SOURCE + offset, view.getInt32(at + DESTINATION + offset));
    view.setInt32(at + DESTINATION + offset, word);
  }
};

/** An IPv6 header. */
export interface Ipv6Record {
  /** 0-255: DSCP and ECN. */
  readonly trafficClass: number;
  /** 0-0xfffff (RFC 6437). */
  readonly flowLabel: number;
  /** Bytes after the header, 0-65535. */
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
}

/** Bytes that `emit` writes. */
export const lengthOf = (_record: Ipv6Record): number => HEADER_BYTES;

/**
 * The header at `at`; undefined where it is short, of another version, or has an IPv4-mapped address, which never is on
 * the wire. Its payload may be cut off, as it is in the quotation of an ICMP error: `check` judges whole packets.
 */
export const parse = (view: DataView, at: number, length: number): Ipv6Record | undefined => {
  if (length < HEADER_BYTES || version(view, at) !== VERSION) return undefined;
  const from = source(view, at);
  const to = destination(view, at);
  if (from.family !== VERSION || to.family !== VERSION) return undefined;
  return {
    trafficClass: trafficClass(view, at),
    flowLabel: flowLabel(view, at),
    payloadLength: payloadLength(view, at),
    nextHeader: nextHeader(view, at),
    hopLimit: hopLimit(view, at),
    source: from,
    destination: to,
  };
};

/** Writes the header at `at`; gives its bytes. RangeError where the record is out of range. */
export const emit = (record: Ipv6Record, view: DataView, at: number): number => {
  requireInteger("trafficClass", record.trafficClass, MAX_UINT8);
  requireInteger("flowLabel", record.flowLabel, FLOW_MASK);
  requireInteger("payloadLength", record.payloadLength, MAX_UINT16);
  requireInteger("nextHeader", record.nextHeader, MAX_UINT8);
  requireInteger("hopLimit", record.hopLimit, MAX_UINT8);
  need(record.source.family === VERSION, "source", "be an IPv6 address");
  need(record.destination.family === VERSION, "destination", "be an IPv6 address");
  const { trafficClass, flowLabel, payloadLength, nextHeader, hopLimit } = record;
  writeHeader(view, at, trafficClass, flowLabel, payloadLength, nextHeader, hopLimit);
  setSource(view, at, record.source);
  setDestination(view, at, record.destination);
  return HEADER_BYTES;
};
