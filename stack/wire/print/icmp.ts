/**
 * ICMP of both families printed, with the packets that errors quote.
 */
import * as icmpv4 from "../icmpv4.ts";
import * as icmpv6 from "../icmpv6.ts";
import * as mld from "../mld.ts";
import * as ndp from "../ndp.ts";
import { printMld } from "./groups.ts";
import { hex, nameOf, type Payload } from "./line.ts";
import { printNdp } from "./ndp.ts";

export const printIcmpv4 = (payload: Payload): void => {
  const { line, view, at, end, pseudo } = payload;
  const length = end - at;
  line.add("ICMP");
  if (length < icmpv4.HEADER_BYTES) {
    line.add(" ").cut("icmp");
    return;
  }
  const type = icmpv4.type(view, at);
  const code = icmpv4.code(view, at);
  line.add(` ${nameOf(icmpv4.TYPE, type)}`);
  if (pseudo !== undefined && icmpv4.check(view, at, length) === icmpv4.BAD.checksum)
    line.add(`, bad checksum ${hex(icmpv4.checksum(view, at), 4)}`);
  if (type === icmpv4.TYPE.ECHO_REQUEST || type === icmpv4.TYPE.ECHO_REPLY)
    line.add(`, id ${icmpv4.identifier(view, at)}, seq ${icmpv4.sequence(view, at)}, length ${length}`);
  else if (!icmpv4.isError(type)) line.add(`, code ${code}, length ${length}`);
  else {
    line.add(`: ${codeText4(type, code)}${detailText4(view, at, type, code)}`);
    printQuote(payload, icmpv4.QUOTE, icmpv4.quoteLength(view, at, length));
  }
};

const CODES4 = new Map<number, Readonly<Record<string, number>>>([
  [icmpv4.TYPE.DESTINATION_UNREACHABLE, icmpv4.UNREACHABLE],
  [icmpv4.TYPE.REDIRECT, icmpv4.REDIRECT],
  [icmpv4.TYPE.TIME_EXCEEDED, icmpv4.EXCEEDED],
  [icmpv4.TYPE.PARAMETER_PROBLEM, icmpv4.PROBLEM],
]);

const codeText4 = (type: number, code: number): string => nameOf(CODES4.get(type) ?? {}, code);

const detailText4 = (view: DataView, at: number, type: number, code: number): string => {
  if (type === icmpv4.TYPE.PARAMETER_PROBLEM) return `, pointer ${icmpv4.pointer(view, at)}`;
  if (type === icmpv4.TYPE.REDIRECT) return `, to ${icmpv4.gateway(view, at)}`;
  const hasMtu =
    type === icmpv4.TYPE.DESTINATION_UNREACHABLE && code === icmpv4.UNREACHABLE.FRAGMENTATION_NEEDED;
  return hasMtu ? `, mtu ${icmpv4.mtu(view, at)}` : "";
};

const printQuote = ({ line, at, end, inner }: Payload, offset: number, length: number): void => {
  line.add(", quoting (");
  inner(at + offset, at + offset + length);
  line.add(")");
  const extensions = end - at - offset - length;
  if (extensions > 0) line.add(`, extensions of ${extensions} bytes`);
};

export const printIcmpv6 = (payload: Payload): void => {
  const { line, view, at, end, pseudo } = payload;
  const length = end - at;
  line.add("ICMP6");
  if (length < icmpv6.HEADER_BYTES) {
    line.add(" ").cut("icmp6");
    return;
  }
  const type = icmpv6.type(view, at);
  if (pseudo !== undefined && icmpv6.check(view, at, length, pseudo) === icmpv6.BAD.checksum)
    line.add(`, bad checksum ${hex(icmpv6.checksum(view, at), 4)}`);
  if (ndp.isType(type)) printNdp(line, view, at, end);
  else if (mld.isType(type)) printMld(line, view, at, end);
  else printMessage6(payload, type, length);
};

const CODES6 = new Map<number, Readonly<Record<string, number>>>([
  [icmpv6.TYPE.DESTINATION_UNREACHABLE, icmpv6.UNREACHABLE],
  [icmpv6.TYPE.TIME_EXCEEDED, icmpv6.EXCEEDED],
  [icmpv6.TYPE.PARAMETER_PROBLEM, icmpv6.PROBLEM],
]);

const printMessage6 = (payload: Payload, type: number, length: number): void => {
  const { line, view, at } = payload;
  const code = icmpv6.code(view, at);
  line.add(` ${nameOf(icmpv6.TYPE, type)}`);
  if (type === icmpv6.TYPE.ECHO_REQUEST || type === icmpv6.TYPE.ECHO_REPLY)
    line.add(`, id ${icmpv6.identifier(view, at)}, seq ${icmpv6.sequence(view, at)}, length ${length}`);
  else if (!icmpv6.isError(type)) line.add(`, code ${code}, length ${length}`);
  else {
    if (type === icmpv6.TYPE.PACKET_TOO_BIG) line.add(`: mtu ${icmpv6.mtu(view, at)}`);
    else line.add(`: ${nameOf(CODES6.get(type) ?? {}, code)}`);
    if (type === icmpv6.TYPE.PARAMETER_PROBLEM) line.add(`, pointer ${icmpv6.pointer(view, at)}`);
    printQuote(payload, icmpv6.QUOTE, icmpv6.quoteLength(view, at, length));
  }
};
