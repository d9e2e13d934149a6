/**
 * Where things are in an Ethernet frame, as far as the examples look: offsets by name, each from the one before.
 */

export const MAC_BYTES = 6;
/** Ethernet (IEEE 802.3). */
export const ETHERNET = { destination: 0, source: MAC_BYTES, type: 2 * MAC_BYTES } as const;
const ETHERTYPE_BYTES = 2;
export const ETHERNET_BYTES = ETHERNET.type + ETHERTYPE_BYTES;
/** A VLAN tag (IEEE 802.1Q) puts its control field between two ethertypes. */
const VLAN_BYTES = 4;
const MAX_TAGS = 2;

export const TYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  serviceVlan: 0x88a8,
  /** IEEE 802 local experimental ethertype 1. */
  experimental: 0x88b5,
} as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;

const U16 = 2;
/** RFC 791. */
export const IPV4 = {
  versionLength: 0,
  totalLength: 2,
  identification: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
} as const;
export const IPV4_ADDRESS_BYTES = 4;
export const IPV4_BYTES = IPV4.destination + IPV4_ADDRESS_BYTES;
/** More-fragments and the offset: any of them set means that this is no whole datagram. */
const FRAGMENT_MASK = 0x3fff;

/** RFC 8200. */
export const IPV6 = { payloadLength: 4, next: 6, hopLimit: 7, source: 8, destination: 24 } as const;
export const IPV6_ADDRESS_BYTES = 16;
export const IPV6_BYTES = IPV6.destination + IPV6_ADDRESS_BYTES;

/** RFC 768; TCP and SCTP have their ports in the same place. */
export const UDP = { source: 0, destination: U16, length: 2 * U16, checksum: 3 * U16 } as const;
export const UDP_BYTES = UDP.checksum + U16;
/** RFC 9293. */
export const TCP = { checksum: 16 } as const;
export const TCP_BYTES = 20;
/** RFC 792 and RFC 4443. */
export const ICMP = { type: 0, code: 1, checksum: 2 } as const;
export const ICMP_BYTES = 8;
export const ICMP_TYPE = { echoReply: 0, echoRequest: 8 } as const;
/** RFC 4861: router solicitation to redirect. */
const NEIGHBOUR_FIRST = 133;
const NEIGHBOUR_LAST = 137;

/** RFC 826, over Ethernet and IPv4. */
const ARP_SENDER = 8;
export const ARP = {
  hardware: 0,
  protocol: U16,
  hardwareBytes: 2 * U16,
  protocolBytes: 5,
  operation: 6,
  senderMac: ARP_SENDER,
  senderAddress: ARP_SENDER + MAC_BYTES,
  targetMac: ARP_SENDER + MAC_BYTES + IPV4_ADDRESS_BYTES,
  targetAddress: ARP_SENDER + 2 * MAC_BYTES + IPV4_ADDRESS_BYTES,
} as const;
export const ARP_BYTES = ARP.targetAddress + IPV4_ADDRESS_BYTES;
export const ARP_OPERATION = { request: 1, reply: 2 } as const;

const IHL_MASK = 0x0f;
const IHL_UNIT = 4;

/** What lies where in one frame. One object is reused for all frames: `read` fills it in. */
export class Layers {
  /** Behind VLAN tags. */
  ethertype = 0;
  /** 4, 6, or 0 for anything else. */
  version: 0 | 4 | 6 = 0;
  /** Offset of the network header, -1 without one. */
  network = -1;
  /** IP protocol, -1 without one. */
  protocol = -1;
  /** Offset of the transport header, -1 in fragments and where it is cut short. */
  transport = -1;
  /** Bytes from the transport header to the end of the IP packet, as the IP header has it. */
  transportBytes = 0;

  /** Reads the frame of `length` bytes at `at`; looks no further than it reaches. */
  read(view: DataView, at: number, length: number): this {
    this.version = 0;
    this.network = -1;
    this.protocol = -1;
    this.transport = -1;
    this.ethertype = 0;
    if (length < ETHERNET_BYTES) return this;
    const end = at + length;
    let type = at + ETHERNET.type;
    this.ethertype = view.getUint16(type);
    for (let tags = 0; tags < MAX_TAGS && isTag(this.ethertype); tags++) {
      type += VLAN_BYTES;
      if (type + ETHERTYPE_BYTES > end) return this;
      this.ethertype = view.getUint16(type);
    }
    this.network = type + ETHERTYPE_BYTES;
    if (this.ethertype === TYPE.ipv4) this.#readIpv4(view, end);
    else if (this.ethertype === TYPE.ipv6) this.#readIpv6(view, end);
    return this;
  }

  /** True for what finds neighbours: ARP and IPv6 neighbour discovery. */
  findsNeighbours(view: DataView): boolean {
    if (this.ethertype === TYPE.arp) return true;
    if (this.protocol !== PROTOCOL.icmp6 || this.transport < 0) return false;
    const type = view.getUint8(this.transport + ICMP.type);
    return type >= NEIGHBOUR_FIRST && type <= NEIGHBOUR_LAST;
  }

  #readIpv4(view: DataView, end: number): void {
    const at = this.network;
    if (at + IPV4_BYTES > end) return;
    const header = (view.getUint8(at + IPV4.versionLength) & IHL_MASK) * IHL_UNIT;
    const total = view.getUint16(at + IPV4.totalLength);
    if (header < IPV4_BYTES || total < header) return;
    this.version = 4;
    this.protocol = view.getUint8(at + IPV4.protocol);
    if ((view.getUint16(at + IPV4.fragment) & FRAGMENT_MASK) !== 0) return;
    this.#setTransport(at + header, total - header, end);
  }

  #readIpv6(view: DataView, end: number): void {
    const at = this.network;
    if (at + IPV6_BYTES > end) return;
    this.version = 6;
    // Extension headers are not followed: with one, the protocol is its number and there is no transport.
    this.protocol = view.getUint8(at + IPV6.next);
    this.#setTransport(at + IPV6_BYTES, view.getUint16(at + IPV6.payloadLength), end);
  }

  #setTransport(at: number, bytes: number, end: number): void {
    const least = LEAST_BYTES[this.protocol] ?? Infinity;
    if (bytes < least || at + least > end) return;
    this.transport = at;
    this.transportBytes = bytes;
  }
}

const LEAST_BYTES: Readonly<Record<number, number>> = {
  [PROTOCOL.icmp]: ICMP_BYTES,
  [PROTOCOL.icmp6]: ICMP_BYTES,
  [PROTOCOL.udp]: UDP_BYTES,
  [PROTOCOL.tcp]: TCP_BYTES,
  [PROTOCOL.sctp]: UDP_BYTES,
};

const isTag = (ethertype: number): boolean => ethertype === TYPE.vlan || ethertype === TYPE.serviceVlan;

/** True where the transport header begins with two ports. */
export const hasPorts = (protocol: number): boolean =>
  protocol === PROTOCOL.udp || protocol === PROTOCOL.tcp || protocol === PROTOCOL.sctp;
