/**
 * DHCP printed: the message, the addresses that are not 0, and the options.
 */
import { IpAddress, IPV4_BYTES } from "../address.ts";
import * as dhcp from "../dhcp.ts";
import { hex, hexBytes, type Line, nameOf, quoted } from "./line.ts";

const { OPTION } = dhcp;

const HALF = 2;
const WORD = 4;

const ADDRESSES: ReadonlySet<number> = new Set([
  OPTION.SUBNET_MASK,
  OPTION.ROUTERS,
  OPTION.NAME_SERVERS,
  OPTION.BROADCAST,
  OPTION.TIME_SERVERS,
  OPTION.REQUESTED_ADDRESS,
  OPTION.SERVER,
]);
const TEXTS: ReadonlySet<number> = new Set([
  OPTION.HOST_NAME,
  OPTION.DOMAIN_NAME,
  OPTION.MESSAGE,
  OPTION.VENDOR_CLASS,
]);
const NUMBERS: ReadonlySet<number> = new Set([
  OPTION.MTU,
  OPTION.LEASE_SECONDS,
  OPTION.MAX_MESSAGE_BYTES,
  OPTION.RENEW_SECONDS,
  OPTION.REBIND_SECONDS,
]);

/** Prints the message from `at` to `end`. */
export const printDhcp = (line: Line, view: DataView, at: number, end: number): void => {
  line.add(": DHCP");
  const record = dhcp.parse(view, at, end - at);
  if (record === undefined) {
    line.add(" ").cut("dhcp");
    return;
  }
  const type = dhcp.messageType(record);
  const reply = record.op === dhcp.OPERATION.REPLY ? "reply" : "request";
  line.add(` ${type === 0 ? reply : nameOf(dhcp.MESSAGE, type)}, xid ${hex(record.xid, 8)}`);
  line.add(`, from ${record.chaddr}`);
  if (record.secs !== 0) line.add(`, secs ${record.secs}`);
  if (record.hops) line.add(`, hops ${record.hops}`);
  if (record.flags !== 0) line.add(", broadcast");
  for (const name of ["ciaddr", "yiaddr", "siaddr", "giaddr"] as const)
    if (!record[name].unspecified) line.add(`, ${name} ${record[name]}`);
  if (record.sname) line.add(`, sname ${quoted(bytesOf(record.sname))}`);
  if (record.file) line.add(`, file ${quoted(bytesOf(record.file))}`);
  for (const [code, data] of record.options) {
    if (line.full) break;
    if (code !== OPTION.MESSAGE_TYPE) line.add(`, ${optionText(code, data)}`);
  }
};

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

const optionText = (code: number, data: Uint8Array): string => {
  const name = nameOf(OPTION, code);
  const label = name === String(code) ? `option ${name}` : name;
  return `${label} ${valueText(code, data)}`;
};

const valueText = (code: number, data: Uint8Array): string => {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (ADDRESSES.has(code) && data.length % IPV4_BYTES === 0) {
    const addresses: string[] = [];
    for (let at = 0; at < data.length; at += IPV4_BYTES) addresses.push(String(IpAddress.read4(view, at)));
    return addresses.join(" ");
  }
  if (TEXTS.has(code)) return quoted(data);
  if (code === OPTION.PARAMETERS) return data.join(" ");
  if (NUMBERS.has(code) && data.length === HALF) return String(view.getUint16(0));
  if (NUMBERS.has(code) && data.length === WORD) return String(view.getUint32(0));
  return hexBytes(data);
};
