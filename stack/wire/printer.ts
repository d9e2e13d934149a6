/**
 * A packet as one line of text, as tcpdump has it, from Ethernet down: for logs, tests and people.
 */
import * as arp from "./arp.ts";
import * as ethernet from "./ethernet.ts";
import { printIp, printIpv4, printIpv6 } from "./print/ip.ts";
import { hex, Line } from "./print/line.ts";
import * as vlan from "./vlan.ts";

export { MAX_LINE } from "./print/line.ts";

const { ETHERTYPE } = ethernet;

/** Below this the type field is the length of an 802.3 frame (IEEE 802.3 clause 3.2.6). */
const FIRST_TYPE = 0x600;
/** Digits of an ethertype. */
const TYPE_DIGITS = 4;

/**
 * One line, at most `MAX_LINE` characters of printable ASCII, about the frame of `length` bytes at `at`. Any bytes are
 * fine, and none throws; bytes beyond the view are missing ones.
 */
export const describe = (view: DataView, at: number, length: number): string => {
  const line = new Line();
  printEthernet(line, view, at, Math.min(at + length, view.byteLength));
  return line.toString();
};

/** The same about an IP packet of either version. */
export const describeIp = (view: DataView, at: number, length: number): string => {
  const line = new Line();
  printIp(line, view, at, Math.min(at + length, view.byteLength));
  return line.toString();
};

const printEthernet = (line: Line, view: DataView, at: number, end: number): void => {
  if (end - at < ethernet.HEADER_BYTES) {
    line.cut("ether");
    return;
  }
  line.add(`${ethernet.source(view, at)} > ${ethernet.destination(view, at)} `);
  let type = ethernet.type(view, at);
  let payloadAt = at + ethernet.HEADER_BYTES;
  while (vlan.isTag(type) && !line.full) {
    if (end - payloadAt < vlan.TAG_BYTES) {
      line.cut("vlan");
      return;
    }
    line.add(`vlan ${vlan.identifier(view, payloadAt)} `);
    if (vlan.priority(view, payloadAt) !== 0) line.add(`priority ${vlan.priority(view, payloadAt)} `);
    if (vlan.dropEligible(view, payloadAt)) line.add("DEI ");
    type = vlan.innerType(view, payloadAt);
    payloadAt += vlan.TAG_BYTES;
  }
  if (type === ETHERTYPE.IPV4) printIpv4(line, view, payloadAt, end);
  else if (type === ETHERTYPE.IPV6) printIpv6(line, view, payloadAt, end);
  else if (type === ETHERTYPE.ARP) printArp(line, view, payloadAt, end);
  else if (type < FIRST_TYPE) line.add(`802.3, length ${type}`);
  else line.add(`ethertype ${hex(type, TYPE_DIGITS)}, length ${end - payloadAt}`);
};

const printArp = (line: Line, view: DataView, at: number, end: number): void => {
  line.add("ARP ");
  if (arp.check(view, at, end - at) < 0) {
    line.cut("arp");
    return;
  }
  const sender = arp.senderAddress(view, at);
  const senderMac = arp.senderMac(view, at);
  const target = arp.targetAddress(view, at);
  const operation = arp.operation(view, at);
  if (operation === arp.OPERATION.REPLY) line.add(`reply ${sender} is at ${senderMac}, to ${target}`);
  else if (operation !== arp.OPERATION.REQUEST) line.add(`operation ${operation}`);
  else if (sender.unspecified) line.add(`probe who has ${target}, from ${senderMac}`);
  else if (sender.equals(target)) line.add(`announcement ${sender} is at ${senderMac}`);
  else line.add(`request who has ${target}, tell ${sender} at ${senderMac}`);
};
