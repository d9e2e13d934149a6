/**
 * IPv4 and IPv6 packets printed: header, options and extension headers, then the payload by its protocol.
 */
import { pseudo4, pseudo6 } from "../checksum.ts";
import * as ipv4 from "../ipv4.ts";
import * as ipv6 from "../ipv6.ts";
import * as extensions from "../ipv6-extensions.ts";
import { PROTOCOL } from "../protocol.ts";
import { printIgmp } from "./groups.ts";
import { printIcmpv4, printIcmpv6 } from "./icmp.ts";
import { hex, type Line, nameOf, type Payload } from "./line.ts";
import { portsOf, printSctp, printTcp, printUdp } from "./transport.ts";

/** Packets in packets that are printed: a quoted one, and one that it quotes or tunnels. */
const MAX_DEPTH = 3;
const VERSION_SHIFT = 4;
const VERSION_4 = 4;

const printInner = ({ at, end, inner }: Payload): void => inner(at, end);

const PRINTERS: ReadonlyMap<number, (payload: Payload) => void> = new Map([
  [PROTOCOL.ICMP, printIcmpv4],
  [PROTOCOL.ICMPV6, printIcmpv6],
  [PROTOCOL.IGMP, printIgmp],
  [PROTOCOL.UDP, printUdp],
  [PROTOCOL.TCP, printTcp],
  [PROTOCOL.SCTP, printSctp],
  [PROTOCOL.IPV4, printInner],
  [PROTOCOL.IPV6, printInner],
]);

/** Prints the packet of either version from `at` to `end`. */
export const printIp = (line: Line, view: DataView, at: number, end: number, depth = 0): void => {
  if (depth >= MAX_DEPTH) line.add("...");
  else if (at >= end) line.cut("ip");
  else if (view.getUint8(at) >>> VERSION_SHIFT === VERSION_4) printIpv4(line, view, at, end, depth);
  else printIpv6(line, view, at, end, depth);
};

const printUpper = (
  line: Line,
  view: DataView,
  at: number,
  end: number,
  protocol: number,
  pseudo: number | undefined,
  depth: number,
): void => {
  const printer = PRINTERS.get(protocol);
  const inner = (innerAt: number, innerEnd: number) => printIp(line, view, innerAt, innerEnd, depth + 1);
  if (printer === undefined) line.add(`${nameOf(PROTOCOL, protocol)}, length ${end - at}`);
  else printer({ line, view, at, end, pseudo, inner });
};

/** Prints the IPv4 packet from `at` to `end`, which may lie behind it, or cut it off. */
export const printIpv4 = (line: Line, view: DataView, at: number, end: number, depth = 0): void => {
  line.add("IP ");
  if (end - at < ipv4.HEADER_BYTES) {
    line.cut("ip");
    return;
  }
  if (ipv4.version(view, at) !== VERSION_4) {
    line.add(`bad version ${ipv4.version(view, at)}`);
    return;
  }
  const header = ipv4.headerBytes(view, at);
  const total = ipv4.totalLength(view, at);
  const payloadAt = at + header;
  const missing = at + total - end;
  const stop = Math.min(end, at + total);
  const whole = header >= ipv4.HEADER_BYTES && payloadAt <= stop;
  const protocol = ipv4.protocol(view, at);
  const first = whole && ipv4.fragmentOffset(view, at) === 0;
  const [sourcePort, destinationPort] = first ? portsOf(view, payloadAt, stop, protocol) : ["", ""];
  line.add(`${ipv4.source(view, at)}${sourcePort} > ${ipv4.destination(view, at)}${destinationPort}`);
  if (!whole) {
    line.add(`: bad length, header ${header}, total ${total}`);
    return;
  }
  printNotes4(line, view, at, header);
  if (missing > 0 && depth === 0) line.add(`${missing} bytes missing, `);
  if (!first) {
    line.add(`fragment of ${nameOf(PROTOCOL, protocol)}, length ${stop - payloadAt}`);
    return;
  }
  const complete = missing <= 0 && !ipv4.isFragment(view, at);
  const pseudo = complete ? pseudo4(view, at, protocol, stop - payloadAt) : undefined;
  printUpper(line, view, payloadAt, stop, protocol, pseudo, depth);
};

const printNotes4 = (line: Line, view: DataView, at: number, header: number): void => {
  line.add(` (ttl ${ipv4.ttl(view, at)}`);
  if (ipv4.typeOfService(view, at) !== 0) line.add(`, tos ${hex(ipv4.typeOfService(view, at), 2)}`);
  if (ipv4.identification(view, at) !== 0) line.add(`, id ${ipv4.identification(view, at)}`);
  if (ipv4.dontFragment(view, at)) line.add(", DF");
  if (ipv4.isFragment(view, at))
    line.add(`, offset ${ipv4.fragmentOffset(view, at)}${ipv4.moreFragments(view, at) ? "+" : ""}`);
  if (header > ipv4.HEADER_BYTES) {
    const options = ipv4.parseOptions(view, at + ipv4.OPTIONS, at + header);
    if (options === undefined) line.add(", ").cut("options");
    else line.add(", options").bracketed(options.map(({ type }) => nameOf(ipv4.OPTION, type)));
  }
  if (ipv4.check(view, at, Number.POSITIVE_INFINITY) === ipv4.BAD.checksum) line.add(", bad header checksum");
  line.add("): ");
};

/** The same of IPv6. */
export const printIpv6 = (line: Line, view: DataView, at: number, end: number, depth = 0): void => {
  line.add("IP6 ");
  if (end - at < ipv6.HEADER_BYTES) {
    line.cut("ip6");
    return;
  }
  if (ipv6.version(view, at) !== ipv6.VERSION) {
    line.add(`bad version ${ipv6.version(view, at)}`);
    return;
  }
  const missing = at + ipv6.totalLength(view, at) - end;
  const stop = Math.min(end, at + ipv6.totalLength(view, at));
  const chain = chainOf(view, at + ipv6.HEADER_BYTES, stop, ipv6.nextHeader(view, at));
  const readable = !chain.later && !chain.broken;
  const [sourcePort, destinationPort] = readable ? portsOf(view, chain.at, stop, chain.protocol) : ["", ""];
  line.add(`${ipv6.source(view, at)}${sourcePort} > ${ipv6.destination(view, at)}${destinationPort}`);
  line.add(` (hlim ${ipv6.hopLimit(view, at)}`);
  if (ipv6.trafficClass(view, at) !== 0) line.add(`, class ${hex(ipv6.trafficClass(view, at), 2)}`);
  if (ipv6.flowLabel(view, at) !== 0) line.add(`, flow ${hex(ipv6.flowLabel(view, at), 5)}`);
  for (const text of chain.texts) line.add(`, ${text}`);
  line.add("): ");
  if (missing > 0 && depth === 0) line.add(`${missing} bytes missing, `);
  if (chain.broken) line.cut("extension");
  else if (chain.later)
    line.add(`fragment of ${nameOf(PROTOCOL, chain.protocol)}, length ${stop - chain.at}`);
  else {
    const complete = missing <= 0 && !chain.partial;
    const pseudo = complete ? pseudo6(view, at, chain.protocol, stop - chain.at) : undefined;
    printUpper(line, view, chain.at, stop, chain.protocol, pseudo, depth);
  }
};

interface Chain {
  readonly protocol: number;
  readonly at: number;
  readonly texts: readonly string[];
  /** A fragment that begins later in its packet: what follows is no header. */
  readonly later: boolean;
  /** Any fragment: not the whole payload. */
  readonly partial: boolean;
  /** An extension header that is cut off or malformed, or too many of them. */
  readonly broken: boolean;
}

const chainOf = (view: DataView, at: number, end: number, protocol: number): Chain => {
  const texts: string[] = [];
  let later = false;
  let partial = false;
  while (!later && extensions.isExtension(protocol)) {
    const bytes = extensions.headerBytes(view, at, end - at, protocol);
    const record = extensions.parse(view, at, end - at, protocol);
    if (record === undefined || bytes < 0 || texts.length === extensions.MAX_HEADERS)
      return { protocol, at, texts, later, partial, broken: true };
    texts.push(extensionText(record));
    if (record.kind === "fragment") {
      later = record.offset > 0;
      partial ||= later || record.more;
    }
    protocol = record.nextHeader;
    at += bytes;
  }
  return { protocol, at, texts, later, partial, broken: false };
};

const extensionText = (record: extensions.ExtensionRecord): string => {
  switch (record.kind) {
    case "fragment":
      return `fragment ${hex(record.identification, 8)} offset ${record.offset}${record.more ? "+" : ""}`;
    case "routing":
      return `routing type ${record.routingType} left ${record.segmentsLeft}`;
    case "authentication":
      return `AH spi ${hex(record.spi)} seq ${record.sequence}`;
    default: {
      const options = record.options.map(({ type }) => nameOf(extensions.OPTION, type));
      return `${record.kind}${options.length > 0 ? ` [${options.join(" ")}]` : ""}`;
    }
  }
};
