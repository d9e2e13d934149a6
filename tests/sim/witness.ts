/**
 * What is seen on the wire of one host's port: every frame it emits must have a reason, and all go into the trace.
 *
 * A frame comes from the port's Ethernet address and from an IP address that the host had, or it is somebody's whom the
 * host heard and forwards. Answers (ICMP errors, echo replies, ARP replies, advertisements) go to those alone who spoke.
 */
import * as arp from "../../stack/wire/arp.ts";
import { type IpAddress, MAPPED } from "../../stack/wire/address.ts";
import { fold, pseudo4, pseudo6, sum } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import * as icmp6 from "../../stack/wire/icmpv6.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { describe } from "../../stack/wire/printer.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as vlan from "../../stack/wire/vlan.ts";

/** A set of addresses by their words. */
export class AddressSet {
  readonly #all = new Set<string>();

  add(address: IpAddress): void {
    this.addWords(address.w0, address.w1, address.w2, address.w3);
  }

  addWords(w0: number, w1: number, w2: number, w3: number): void {
    this.#all.add(`${w0},${w1},${w2},${w3}`);
  }

  has(address: IpAddress): boolean {
    return this.#all.has(`${address.w0},${address.w1},${address.w2},${address.w3}`);
  }
}

/** What is known of a host by those who watch it. */
export interface Suspect {
  readonly name: string;
  /** It sends on what others sent. */
  readonly forwards: boolean;
  /** Addresses that it ever had. */
  readonly owned: AddressSet;
  /** Addresses that its programs sent to. */
  readonly asked: AddressSet;
  /** Addresses that it heard from. */
  readonly heard: AddressSet;
}

/** All of a world's frames, in their order. */
export class Trace {
  frames = 0;
  hash = 0;
  /** The last lines, where they are wanted. */
  readonly lines: string[] = [];
  readonly complaints: string[] = [];
  readonly #now: () => number;
  readonly #keeps: boolean;
  /** The moment of the last frame, and its hash. */
  #stampedMs = NaN;
  #stamp = 0;

  constructor(now: () => number, keeps: boolean) {
    this.#now = now;
    this.#keeps = keeps;
  }

  /** Takes in a frame's first chunk. */
  frame(mark: string, view: DataView, at: number, head: number, lengthBytes: number): void {
    this.frames += 1;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, head);
    const now = this.#now();
    if (now !== this.#stampedMs) {
      // Many frames belong to one moment.
      this.#stampedMs = now;
      this.#stamp = Bun.hash.xxHash32(String(now));
    }
    this.hash = Bun.hash.xxHash32(bytes, this.hash ^ this.#stamp ^ lengthBytes);
    if (this.#keeps) this.say(`${mark} ${describe(view, at, head)}`);
  }

  /** Shows a frame's first chunk that came from somebody whose frames are taken in where they are sent. */
  heard(mark: string, view: DataView, at: number, head: number): void {
    if (this.#keeps) this.say(`${mark} ${describe(view, at, head)}`);
  }

  /** Takes in something else that happened. */
  note(text: string): void {
    this.hash = Bun.hash.xxHash32(text, this.hash);
    if (this.#keeps) this.say(text);
  }

  say(text: string): void {
    this.lines.push(`${this.#now().toFixed(3)} ${text}`);
    if (this.lines.length > KEPT_LINES) this.lines.shift();
  }

  complain(text: string): void {
    if (this.#keeps) this.say(`WRONG: ${text}`);
    this.complaints.push(`at ${this.#now().toFixed(3)} ms: ${text}`);
  }
}

const KEPT_LINES = 400;
const ALL_ONES = 0xffff;
const DHCP_CLIENT_PORT = 68;
const LIMITED_BROADCAST = -1;
const MULTICAST_NIBBLE = 0xe;
const CLASS_SHIFT = 28;

export class Witness {
  readonly #trace: Trace;
  readonly #suspect: Suspect;
  readonly #mac: () => Uint8Array;
  readonly #name: string;

  constructor(trace: Trace, suspect: Suspect, name: string, mac: () => Uint8Array) {
    this.#trace = trace;
    this.#suspect = suspect;
    this.#name = name;
    this.#mac = mac;
  }

  readonly received = (view: DataView, at: number, head: number, lengthBytes: number): void => {
    this.#trace.frame(`${this.#name} <`, view, at, head, lengthBytes);
    if (head < ethernet.HEADER_BYTES) return;
    const { type, ipAt, left } = unwrap(view, at, head);
    const { heard } = this.#suspect;
    if (type === ethernet.ETHERTYPE.ARP && left >= arp.PACKET_BYTES)
      heard.addWords(0, 0, MAPPED, arp.senderWord(view, ipAt));
    else if (type === ethernet.ETHERTYPE.IPV4 && left >= ipv4.HEADER_BYTES)
      heard.addWords(0, 0, MAPPED, ipv4.sourceWord(view, ipAt));
    else if (type === ethernet.ETHERTYPE.IPV6 && left >= ipv6.HEADER_BYTES)
      heard.add(ipv6.source(view, ipAt));
  };

  readonly sent = (view: DataView, at: number, head: number, lengthBytes: number): void => {
    this.#trace.frame(`${this.#name} >`, view, at, head, lengthBytes);
    const wrong = this.#judge(view, at, head, lengthBytes);
    if (wrong !== undefined) this.#trace.complain(`${this.#name} sent ${describe(view, at, head)}: ${wrong}`);
  };

  #judge(view: DataView, at: number, head: number, lengthBytes: number): string | undefined {
    if (head < ethernet.HEADER_BYTES) return "no frame";
    const source = ethernet.source(view, at);
    if (!source.equals(MacAddress.fromBytes(this.#mac()))) return `from the Ethernet address ${source}`;
    const { type, ipAt, left } = unwrap(view, at, head);
    const whole = lengthBytes - (ipAt - at);
    if (type === ethernet.ETHERTYPE.ARP) return this.#judgeArp(view, ipAt, left);
    if (type === ethernet.ETHERTYPE.IPV4) return this.#judge4(view, ipAt, head - (ipAt - at), whole);
    if (type === ethernet.ETHERTYPE.IPV6) return this.#judge6(view, ipAt, head - (ipAt - at), whole);
    return `of the type ${type}`;
  }

  #judgeArp(view: DataView, at: number, left: number): string | undefined {
    if (arp.check(view, at, left) !== 0) return "no ARP";
    const { owned, asked, heard } = this.#suspect;
    const sender = arp.senderAddress(view, at);
    const target = arp.targetAddress(view, at);
    if (!sender.unspecified && !owned.has(sender)) return `ARP from ${sender}, which is not its own`;
    if (arp.operation(view, at) === arp.OPERATION.REPLY) {
      return heard.has(target) || target.equals(sender)
        ? undefined
        : `an ARP reply to ${target}, who never spoke`;
    }
    const known = owned.has(target) || asked.has(target) || heard.has(target) || this.#suspect.forwards;
    return known ? undefined : `a question about ${target}, whom nobody wants`;
  }

  #judge4(view: DataView, at: number, head: number, whole: number): string | undefined {
    if (ipv4.check(view, at, whole) !== 0) return "no IPv4";
    const total = ipv4.totalLength(view, at);
    if (total !== whole) return `${whole} bytes with a packet of ${total}`;
    const { owned, asked, heard, forwards } = this.#suspect;
    const source = ipv4.source(view, at);
    const destination = ipv4.destination(view, at);
    const protocol = ipv4.protocol(view, at);
    const upper = at + ipv4.headerBytes(view, at);
    if (!owned.has(source) && !(source.unspecified && mayBeNobody(view, upper, protocol))) {
      return forwards && heard.has(source) ? undefined : `from ${source}, which is not its own`;
    }
    const many = destination.w3 === LIMITED_BROADCAST || destination.w3 >>> CLASS_SHIFT === MULTICAST_NIBBLE;
    if (!many && !asked.has(destination) && !heard.has(destination))
      return `to ${destination}, who never spoke and was not asked`;
    if (ipv4.isFragment(view, at) || total > head) return undefined;
    const length = total - (upper - at);
    if (protocol === PROTOCOL.ICMP) return judgeIcmp4(view, upper, length, heard.has(destination));
    if (protocol !== PROTOCOL.UDP) return undefined;
    return sumsUp(view, upper, length, pseudo4(view, at, protocol, length))
      ? undefined
      : "a bad UDP checksum";
  }

  #judge6(view: DataView, at: number, head: number, whole: number): string | undefined {
    if (ipv6.check(view, at, whole) !== 0) return "no IPv6";
    const length = ipv6.payloadLength(view, at);
    if (ipv6.HEADER_BYTES + length !== whole) return `${whole} bytes with a payload of ${length}`;
    const { owned, asked, heard, forwards } = this.#suspect;
    const source = ipv6.source(view, at);
    const destination = ipv6.destination(view, at);
    const protocol = ipv6.nextHeader(view, at);
    if (!owned.has(source) && !source.unspecified)
      return forwards && heard.has(source) ? undefined : `from ${source}, which is not its own`;
    const upper = at + ipv6.HEADER_BYTES;
    const type = protocol === PROTOCOL.ICMPV6 ? view.getUint8(upper) : -1;
    // A router asks for whoever is the next of those for whom it forwards.
    const mayAsk = type === icmp6.TYPE.NEIGHBOUR_SOLICITATION && forwards;
    if (!destination.multicast && !asked.has(destination) && !heard.has(destination) && !mayAsk)
      return `to ${destination}, who never spoke and was not asked`;
    if (whole > head || (protocol !== PROTOCOL.UDP && protocol !== PROTOCOL.ICMPV6)) return undefined;
    if (!sumsUp(view, upper, length, pseudo6(view, at, protocol, length))) return "a bad checksum";
    const answers = type === icmp6.TYPE.ECHO_REPLY || (type >= 0 && type < icmp6.TYPE.ECHO_REQUEST);
    return answers && !heard.has(destination) ? `an answer to ${destination}, who never spoke` : undefined;
  }
}

const unwrap = (view: DataView, at: number, head: number) => {
  const type = ethernet.type(view, at);
  const ipAt = at + ethernet.HEADER_BYTES;
  const left = head - ethernet.HEADER_BYTES;
  if (type !== ethernet.ETHERTYPE.VLAN || left < vlan.TAG_BYTES) return { type, ipAt, left };
  return { type: vlan.innerType(view, ipAt), ipAt: ipAt + vlan.TAG_BYTES, left: left - vlan.TAG_BYTES };
};

/** Who has no address yet asks for one, or reports the groups that it is in (RFC 3376 section 4.2.13). */
const mayBeNobody = (view: DataView, upper: number, protocol: number): boolean =>
  protocol === PROTOCOL.IGMP || (protocol === PROTOCOL.UDP && view.getUint16(upper) === DHCP_CLIENT_PORT);

const sumsUp = (view: DataView, at: number, length: number, pseudo: number): boolean =>
  fold(sum(view, at, length, pseudo)) === ALL_ONES;

const judgeIcmp4 = (view: DataView, at: number, length: number, spoke: boolean): string | undefined => {
  if (icmp4.check(view, at, length) !== 0) return "a bad ICMP message";
  const type = icmp4.type(view, at);
  const answers = type === icmp4.TYPE.ECHO_REPLY || icmp4.isError(type);
  return answers && !spoke ? "an answer to somebody who never spoke" : undefined;
};
