/**
 * DHCP messages (RFC 2131) over Ethernet, in place and as records.
 */
import { IPV4_BYTES, IpAddress } from "./address.ts";
import * as dhcp from "./dhcp-options.ts";
import type { DhcpOptions, Field } from "./dhcp-options.ts";
import { MAX_UINT16, MAX_UINT32, MAX_UINT8, need, requireInteger, writeZeros } from "./fields.ts";
import { MAC_BYTES, MacAddress } from "./mac.ts";

export { type DhcpOptions, MESSAGE, OPTION, OVERLOAD } from "./dhcp-options.ts";

export const OP = 0;
export const HARDWARE_TYPE = OP + 1;
export const HARDWARE_LENGTH = HARDWARE_TYPE + 1;
export const HOPS = HARDWARE_LENGTH + 1;
export const XID = HOPS + 1;
export const SECS = XID + 4;
export const FLAGS = SECS + 2;
export const CIADDR = FLAGS + 2;
export const YIADDR = CIADDR + IPV4_BYTES;
export const SIADDR = YIADDR + IPV4_BYTES;
export const GIADDR = SIADDR + IPV4_BYTES;
export const CHADDR = GIADDR + IPV4_BYTES;
export const SNAME = CHADDR + 16;
export const FILE = SNAME + 64;
export const COOKIE = FILE + 128;
export const OPTIONS = COOKIE + 4;

const CHADDR_BYTES = SNAME - CHADDR;
const SNAME_BYTES = FILE - SNAME;
const FILE_BYTES = COOKIE - FILE;

/** Client to server, and back. */
export const OPERATION = { REQUEST: 1, REPLY: 2 } as const;
/** The flag of a client that cannot take unicast before it has an address. */
export const BROADCAST = 0x8000;
/** What says that options follow (RFC 2131 section 3). */
export const MAGIC_COOKIE = 0x6382_5363;
const ETHERNET = 1;

/** UDP ports. */
export const SERVER_PORT = 67;
export const CLIENT_PORT = 68;

/** Messages are padded to this: relays and old servers drop shorter ones (RFC 1542 section 2.1). */
export const MIN_BYTES = 300;
/** What every client and server takes: an IP packet of 576 bytes less its headers (RFC 2131 section 2). */
export const DEFAULT_MAX_BYTES = 548;

/** What `check` finds wrong. */
export const BAD = {
  /** Fewer bytes than the fixed fields and the cookie. */
  short: -1,
  /** Neither a request nor a reply. */
  operation: -2,
  /** Not of Ethernet. */
  hardware: -3,
  /** BOOTP without options, or none at all. */
  cookie: -4,
  /** An option beyond the end of its field. */
  option: -5,
} as const;

/** Judges the message of `length` bytes at `at`: 0, or one of `BAD`. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < OPTIONS) return BAD.short;
  const operation = op(view, at);
  if (operation !== OPERATION.REQUEST && operation !== OPERATION.REPLY) return BAD.operation;
  if (view.getUint8(at + HARDWARE_TYPE) !== ETHERNET || view.getUint8(at + HARDWARE_LENGTH) !== MAC_BYTES)
    return BAD.hardware;
  if (view.getUint32(at + COOKIE) !== MAGIC_COOKIE) return BAD.cookie;
  const options: Field = { at: at + OPTIONS, bytes: length - OPTIONS };
  if (!dhcp.areWhole(view, options)) return BAD.option;
  return overloaded(at, dhcp.overloadOf(view, options)).every((field) => dhcp.areWhole(view, field))
    ? 0
    : BAD.option;
};

/** The fields that hold options by this overload, in the order in which they are joined (RFC 3396 section 5). */
const overloaded = (at: number, overload: number): Field[] => {
  const fields: Field[] = [];
  if ((overload & dhcp.OVERLOAD.FILE) !== 0) fields.push({ at: at + FILE, bytes: FILE_BYTES });
  if ((overload & dhcp.OVERLOAD.NAME) !== 0) fields.push({ at: at + SNAME, bytes: SNAME_BYTES });
  return fields;
};

export const op = (view: DataView, at: number): number => view.getUint8(at + OP);
/** What an answer has in common with its question. */
export const xid = (view: DataView, at: number): number => view.getUint32(at + XID);

export interface DhcpRecord {
  /** One of `OPERATION`. */
  readonly op: number;
  /** Relays passed; 0 where absent. */
  readonly hops?: number;
  /** 32 bits, unsigned. */
  readonly xid: number;
  /** Seconds since the client began. */
  readonly secs: number;
  /** `BROADCAST` or 0; the other bits must be 0, and are taken as 0. */
  readonly flags: number;
  /** The client's address, where it has one already. */
  readonly ciaddr: IpAddress;
  /** "Your" address. */
  readonly yiaddr: IpAddress;
  /** The next server of a boot. */
  readonly siaddr: IpAddress;
  /** The relay. */
  readonly giaddr: IpAddress;
  /** The client's Ethernet address. */
  readonly chaddr: MacAddress;
  /** Server name: characters of one byte up to a zero, 63 at most; empty where absent, or where it holds options. */
  readonly sname?: string;
  /** Boot file: the same, 127 at most. */
  readonly file?: string;
  /** By code, each with its parts joined, in the order of appearance. */
  readonly options: DhcpOptions;
}

/** The message type (one of `MESSAGE`); 0 where there is none. */
export const messageType = ({ options }: Pick<DhcpRecord, "options">): number => {
  const data = options.get(dhcp.OPTION.MESSAGE_TYPE);
  return data?.length === 1 ? data[0]! : 0;
};

/** The message of `length` bytes at `at`; undefined where `check` finds fault. */
export const parse = (view: DataView, at: number, length: number): DhcpRecord | undefined => {
  if (check(view, at, length) < 0) return undefined;
  const options: Field = { at: at + OPTIONS, bytes: length - OPTIONS };
  const overload = dhcp.overloadOf(view, options);
  const hasName = (overload & dhcp.OVERLOAD.NAME) === 0;
  const hasFile = (overload & dhcp.OVERLOAD.FILE) === 0;
  return {
    op: op(view, at),
    hops: view.getUint8(at + HOPS),
    xid: xid(view, at),
    secs: view.getUint16(at + SECS),
    flags: view.getUint16(at + FLAGS) & BROADCAST,
    ciaddr: IpAddress.read4(view, at + CIADDR),
    yiaddr: IpAddress.read4(view, at + YIADDR),
    siaddr: IpAddress.read4(view, at + SIADDR),
    giaddr: IpAddress.read4(view, at + GIADDR),
    chaddr: MacAddress.read(view, at + CHADDR),
    sname: hasName ? readText(view, at + SNAME, SNAME_BYTES) : "",
    file: hasFile ? readText(view, at + FILE, FILE_BYTES) : "",
    options: dhcp.parseOptions(view, [options, ...overloaded(at, overload)]),
  };
};

/** Up to the first zero; the last byte is one in any case. */
const readText = (view: DataView, at: number, bytes: number): string => {
  let text = "";
  for (const end = at + bytes - 1; at < end && view.getUint8(at) !== 0; at++)
    text += String.fromCharCode(view.getUint8(at));
  return text;
};

const layoutOf = (record: DhcpRecord, maxBytes: number): dhcp.Layout =>
  dhcp.layoutOf(
    record.options,
    maxBytes - OPTIONS,
    record.file ? 0 : FILE_BYTES,
    record.sname ? 0 : SNAME_BYTES,
  );

/** Bytes that `emit` writes with the same `maxBytes`; RangeError where the options do not fit. */
export const lengthOf = (record: DhcpRecord, maxBytes: number = DEFAULT_MAX_BYTES): number =>
  Math.max(MIN_BYTES, OPTIONS + layoutOf(record, maxBytes).bytes);

/**
 * Writes the message at `at`; gives its bytes, `maxBytes` (300 or more) at most: options that do not fit go into the
 * fields of file and server name where they are free. RangeError where they still do not, or the record is out of range.
 */
export const emit = (
  record: DhcpRecord,
  view: DataView,
  at: number,
  maxBytes: number = DEFAULT_MAX_BYTES,
): number => {
  requireInteger("maxBytes", maxBytes, MAX_UINT16, MIN_BYTES);
  const layout = layoutOf(record, maxBytes);
  const length = Math.max(MIN_BYTES, OPTIONS + layout.bytes);
  emitFixed(record, view, at);
  const [options = [], file = [], name = []] = layout.fields;
  dhcp.writeField(options, layout.overload, view, { at: at + OPTIONS, bytes: length - OPTIONS });
  if (name.length > 0) dhcp.writeField(name, 0, view, { at: at + SNAME, bytes: SNAME_BYTES });
  else writeText("sname", record.sname ?? "", view, at + SNAME, SNAME_BYTES);
  if (file.length > 0) dhcp.writeField(file, 0, view, { at: at + FILE, bytes: FILE_BYTES });
  else writeText("file", record.file ?? "", view, at + FILE, FILE_BYTES);
  return length;
};

const emitFixed = (record: DhcpRecord, view: DataView, at: number): void => {
  requireInteger("op", record.op, OPERATION.REPLY, OPERATION.REQUEST);
  requireInteger("hops", record.hops ?? 0, MAX_UINT8);
  requireInteger("xid", record.xid, MAX_UINT32);
  requireInteger("secs", record.secs, MAX_UINT16);
  need(record.flags === 0 || record.flags === BROADCAST, "flags", "be 0 or BROADCAST");
  view.setUint8(at + OP, record.op);
  view.setUint8(at + HARDWARE_TYPE, ETHERNET);
  view.setUint8(at + HARDWARE_LENGTH, MAC_BYTES);
  view.setUint8(at + HOPS, record.hops ?? 0);
  view.setUint32(at + XID, record.xid);
  view.setUint16(at + SECS, record.secs);
  view.setUint16(at + FLAGS, record.flags);
  writeAddress("ciaddr", record.ciaddr, view, at + CIADDR);
  writeAddress("yiaddr", record.yiaddr, view, at + YIADDR);
  writeAddress("siaddr", record.siaddr, view, at + SIADDR);
  writeAddress("giaddr", record.giaddr, view, at + GIADDR);
  record.chaddr.write(view, at + CHADDR);
  writeZeros(view, at + CHADDR + MAC_BYTES, CHADDR_BYTES - MAC_BYTES);
  view.setUint32(at + COOKIE, MAGIC_COOKIE);
};

const writeAddress = (name: string, address: IpAddress, view: DataView, at: number): void => {
  need(address.family === 4, name, "be an IPv4 address");
  address.write(view, at);
};

const writeText = (name: string, text: string, view: DataView, at: number, bytes: number): void => {
  requireInteger(`${name}.length`, text.length, bytes - 1);
  writeZeros(view, at, bytes);
  for (let i = 0; i < text.length; i++) {
    requireInteger(`character of ${name}`, text.charCodeAt(i), MAX_UINT8, 1);
    view.setUint8(at + i, text.charCodeAt(i));
  }
};
