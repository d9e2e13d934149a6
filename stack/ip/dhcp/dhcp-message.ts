/**
 * The messages of a DHCP client: what goes into each of them (RFC 2131 section 4.4, table 5), and as whole packets.
 */
import { ANY4, BROADCAST4, IpAddress } from "../../wire/address.ts";
import { pseudo4 } from "../../wire/checksum.ts";
import * as dhcp from "../../wire/dhcp.ts";
import { ETHERTYPE } from "../../wire/ethernet.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import { BROADCAST_MAC, MAC_BYTES, type MacAddress } from "../../wire/mac.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import * as udp from "../../wire/udp.ts";
import type { Outlet } from "../environment.ts";

/** What stays the same in all messages of a client. */
export interface DhcpIdentity {
  readonly mac: MacAddress;
  /** The client identifier with its type: RFC 2132 section 9.14, RFC 4361. */
  readonly client: Uint8Array;
  readonly hostName: string | undefined;
  /** Codes of the options that the server should send. */
  readonly parameters: readonly number[];
  /** The longest message that can be received. */
  readonly maxMessageBytes: number;
}

/** What differs. Options that are undefined are left out. */
export interface DhcpFields {
  /** One of dhcp.MESSAGE. */
  readonly type: number;
  readonly xid: number;
  readonly secs: number;
  /** Asks for a broadcast answer. */
  readonly broadcast?: boolean;
  /** The address that the client has and answers for. */
  readonly ciaddr?: IpAddress | undefined;
  readonly requested?: IpAddress | undefined;
  readonly server?: IpAddress | undefined;
}

const { OPTION, MESSAGE } = dhcp;
const HARDWARE_ETHERNET = 1;
/** A client identifier of RFC 4361: this type, four bytes for the interface, a DUID. */
const IDENTIFIER_DUID = 255;
/** DUID-LL: type and hardware type in two bytes each, then the address (RFC 8415 section 11.4). */
const DUID_LINK_LAYER = [0, 3, 0, HARDWARE_ETHERNET] as const;
/** What the interface's four bytes are taken from: the last ones of its address, which differ between interfaces. */
const INTERFACE_BYTES = 4;
const MAX_SECS = 0xffff;
const TTL = 64;
const SHORT_BYTES = 2;

/** The client identifier that most servers expect: the Ethernet address (RFC 2132 section 9.14). */
export const hardwareIdentifier = (mac: MacAddress): Uint8Array =>
  Uint8Array.from([HARDWARE_ETHERNET, ...mac.toBytes()]);

/** The client identifier that goes with DHCPv6: RFC 4361 section 6.1, with a DUID of the Ethernet address. */
export const duidIdentifier = (mac: MacAddress): Uint8Array => {
  const bytes = mac.toBytes();
  const iaid = bytes.subarray(MAC_BYTES - INTERFACE_BYTES);
  return Uint8Array.from([IDENTIFIER_DUID, ...iaid, ...DUID_LINK_LAYER, ...bytes]);
};

const short = (value: number): Uint8Array => {
  const bytes = new Uint8Array(SHORT_BYTES);
  new DataView(bytes.buffer).setUint16(0, value);
  return bytes;
};

/** A message as table 5 of RFC 2131 has it: a client that gives an address back asks for nothing. */
export const messageOf = (identity: DhcpIdentity, fields: DhcpFields): dhcp.DhcpRecord => {
  const options = new Map<number, Uint8Array>([[OPTION.MESSAGE_TYPE, Uint8Array.of(fields.type)]]);
  options.set(OPTION.CLIENT, identity.client);
  if (fields.requested !== undefined) options.set(OPTION.REQUESTED_ADDRESS, fields.requested.toBytes());
  if (fields.server !== undefined) options.set(OPTION.SERVER, fields.server.toBytes());
  if (fields.type === MESSAGE.DISCOVER || fields.type === MESSAGE.REQUEST) {
    if (identity.hostName !== undefined)
      options.set(OPTION.HOST_NAME, new TextEncoder().encode(identity.hostName));
    options.set(OPTION.MAX_MESSAGE_BYTES, short(identity.maxMessageBytes));
    options.set(OPTION.PARAMETERS, Uint8Array.from(identity.parameters));
  }
  return {
    op: dhcp.OPERATION.REQUEST,
    xid: fields.xid,
    secs: Math.min(fields.secs, MAX_SECS),
    flags: fields.broadcast === true ? dhcp.BROADCAST : 0,
    ciaddr: fields.ciaddr ?? ANY4,
    yiaddr: ANY4,
    siaddr: ANY4,
    giaddr: ANY4,
    chaddr: identity.mac,
    options,
  };
};

/** The message as the payload of a datagram. */
export const payloadOf = (message: dhcp.DhcpRecord): Uint8Array => {
  const payload = new Uint8Array(dhcp.lengthOf(message));
  dhcp.emit(message, new DataView(payload.buffer), 0);
  return payload;
};

/** Broadcasts the message from `source`, without a routing table or a neighbour. False where it cannot be sent now. */
export const broadcast = (outlet: Outlet, source: IpAddress, message: dhcp.DhcpRecord): boolean => {
  const datagram: udp.UdpRecord = {
    sourcePort: dhcp.CLIENT_PORT,
    destinationPort: dhcp.SERVER_PORT,
    payload: payloadOf(message),
  };
  const length = udp.lengthOf(datagram);
  return outlet.send(BROADCAST_MAC, ETHERTYPE.IPV4, ipv4.HEADER_BYTES + length, (view, at) => {
    const total = ipv4.HEADER_BYTES + length;
    ipv4.writeHeader(view, at, 0, total, 0, ipv4.DONT_FRAGMENT, TTL, PROTOCOL.UDP, source.w3, BROADCAST4.w3);
    udp.emit(datagram, view, at + ipv4.HEADER_BYTES, pseudo4(view, at, PROTOCOL.UDP, length));
  });
};

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Whether a reply is meant for this client: its address, and its identifier where the server returns it (RFC 6842). */
export const isFor = (identity: DhcpIdentity, reply: dhcp.DhcpRecord): boolean => {
  if (reply.op !== dhcp.OPERATION.REPLY || !reply.chaddr.equals(identity.mac)) return false;
  const client = reply.options.get(OPTION.CLIENT);
  return client === undefined || sameBytes(client, identity.client);
};
