/**
 * A DHCP lease: what an acknowledgement's options say (RFC 2132, RFC 3397, RFC 3442), checked before anyone believes it.
 */
import { IpAddress, IPV4_BYTES } from "../../wire/address.ts";
import { OPTION, type DhcpOptions } from "../../wire/dhcp.ts";
import { Prefix } from "../../wire/prefix.ts";
import { nameList } from "./dns-names.ts";

export interface DhcpRoute {
  readonly prefix: Prefix;
  /** Undefined where the prefix is on the link itself. */
  readonly gateway: IpAddress | undefined;
}

/** An address and all that came with it. Times are ms of the clock; `Infinity` never comes. */
export interface DhcpLease {
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** The server identifier: whom to ask for renewal. */
  readonly server: IpAddress;
  /** Classless static routes where there are any, else a default route for each router. */
  readonly routes: readonly DhcpRoute[];
  readonly nameServers: readonly IpAddress[];
  readonly timeServers: readonly IpAddress[];
  readonly hostName: string | undefined;
  readonly domainName: string | undefined;
  readonly searchDomains: readonly string[];
  /** Bytes of an IP packet at most. */
  readonly mtu: number | undefined;
  readonly broadcast: IpAddress | undefined;
  /** Vendor-specific bytes as they came. */
  readonly vendor: Uint8Array | undefined;
  readonly obtainedAtMs: number;
  /** T1: from here on the server is asked to renew. */
  readonly renewAtMs: number;
  /** T2: from here on any server is asked. */
  readonly rebindAtMs: number;
  readonly expiresAtMs: number;
}

/** Addresses or routes taken from one option: more is no configuration. */
export const MAX_LISTED = 64;
/** A lease for ever: RFC 2131 section 3.3. */
const INFINITE_SECONDS = 0xffffffff;
/** T1 and T2 as parts of the lease where the server names none: RFC 2131 section 4.4.5. */
const RENEW_PART = 0.5;
const REBIND_PART = 0.875;
/** The least that an MTU option may say: RFC 2132 section 5.1. */
const MIN_MTU = 68;
const WORD_BITS = 32;
const BYTE_BITS = 8;
const SECOND_MS = 1_000;
const MTU_BYTES = 2;
const DEFAULT_ROUTE = Prefix.parse("0.0.0.0/0");

/** The view of an option, which may be a part of a larger buffer. */
const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.length);

const word = (options: DhcpOptions, code: number): number | undefined => {
  const data = options.get(code);
  return data?.length === IPV4_BYTES ? viewOf(data).getInt32(0) : undefined;
};

/** An option of one address. */
export const addressOption = (options: DhcpOptions, code: number): IpAddress | undefined => {
  const value = word(options, code);
  return value === undefined ? undefined : IpAddress.v4(value);
};

/** An option of addresses; those that name no host are left out. */
const addresses = (options: DhcpOptions, code: number): IpAddress[] => {
  const data = options.get(code);
  const found: IpAddress[] = [];
  if (data === undefined || data.length % IPV4_BYTES !== 0) return found;
  for (let at = 0; at < data.length && found.length < MAX_LISTED; at += IPV4_BYTES) {
    const address = IpAddress.read4(viewOf(data), at);
    if (isHost(address)) found.push(address);
  }
  return found;
};

const seconds = (options: DhcpOptions, code: number): number | undefined => {
  const value = word(options, code);
  return value === undefined ? undefined : value >>> 0;
};

const MAX_NAME_LENGTH = 253;
/** Letters of names: anything else never gets from the network into a program's hands. */
const NAME = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?$/i;

/** Whether a text is a host or domain name, 253 letters at most (RFC 1035 section 2.3.4). */
export const isName = (text: string): boolean => text.length <= MAX_NAME_LENGTH && NAME.test(text);

/** An option with a name; some servers end it with zeros (RFC 2132 section 2). */
const name = (options: DhcpOptions, code: number): string | undefined => {
  const data = options.get(code);
  if (data === undefined) return undefined;
  const text = String.fromCharCode(...data).replace(/\0+$/, "");
  return isName(text) ? text : undefined;
};

/** Whether an address can belong to one host. */
export const isHost = (address: IpAddress): boolean =>
  address.family === 4 &&
  !address.unspecified &&
  !address.multicast &&
  !address.loopback &&
  !address.limitedBroadcast &&
  address.w3 >>> RESERVED_SHIFT < RESERVED;

/** 240.0.0.0/4 and above belong to nobody (RFC 1112 section 4). */
const RESERVED = 0xf;
const RESERVED_SHIFT = 28;

/** The first bits of an address tell its class: 0, 10, 110 (RFC 791 section 3.2). */
const CLASS_B_BIT = 0x80000000 | 0;
const CLASS_C_BIT = 0x40000000;
const CLASS_A_LENGTH = 8;
const CLASS_B_LENGTH = 16;
const CLASS_C_LENGTH = 24;

/** The mask's length, or that of the address's class where there is none (RFC 950). */
const prefixLength = (options: DhcpOptions, address: IpAddress): number => {
  const mask = word(options, OPTION.SUBNET_MASK);
  const length = mask === undefined ? 0 : Math.clz32(~mask);
  // The ones of a mask stand together.
  if (length > 0 && mask === -1 << (WORD_BITS - length)) return length;
  if ((address.w3 & CLASS_B_BIT) === 0) return CLASS_A_LENGTH;
  return (address.w3 & CLASS_C_BIT) === 0 ? CLASS_B_LENGTH : CLASS_C_LENGTH;
};

/** RFC 3442: a length in bits, as many bytes of the destination as it needs, a router. */
export const classlessRoutes = (data: Uint8Array): DhcpRoute[] | undefined => {
  const routes: DhcpRoute[] = [];
  const view = viewOf(data);
  for (let at = 0; at < data.length && routes.length < MAX_LISTED;) {
    const length = view.getUint8(at);
    if (length > WORD_BITS) return undefined;
    const significant = Math.ceil(length / BYTE_BITS);
    const destinationAt = at + 1;
    const routerAt = destinationAt + significant;
    if (routerAt + IPV4_BYTES > data.length) return undefined;
    let destination = 0;
    for (let i = 0; i < significant; i++) {
      destination |= view.getUint8(destinationAt + i) << (WORD_BITS - BYTE_BITS * (i + 1));
    }
    const router = IpAddress.read4(view, routerAt);
    routes.push({
      prefix: Prefix.of(IpAddress.v4(destination), length),
      gateway: router.unspecified ? undefined : router,
    });
    at = routerAt + IPV4_BYTES;
  }
  return routes;
};

/** Where there are classless routes, the option of routers doesn't count (RFC 3442, "DHCP Client Behavior"). */
const routesOf = (options: DhcpOptions): DhcpRoute[] => {
  const data = options.get(OPTION.CLASSLESS_ROUTES);
  const classless = data === undefined ? undefined : classlessRoutes(data);
  if (classless !== undefined && classless.length > 0) return classless;
  return addresses(options, OPTION.ROUTERS).map((gateway) => ({ prefix: DEFAULT_ROUTE, gateway }));
};

const mtuOf = (options: DhcpOptions): number | undefined => {
  const data = options.get(OPTION.MTU);
  const mtu = data?.length === MTU_BYTES ? viewOf(data).getUint16(0) : 0;
  return mtu >= MIN_MTU ? mtu : undefined;
};

interface LeaseTimes {
  readonly obtainedAtMs: number;
  readonly renewAtMs: number;
  readonly rebindAtMs: number;
  readonly expiresAtMs: number;
}

/** T1 < T2 < the lease's end, by the server's word where it keeps that order. RFC 2131 section 4.4.5. */
const timesOf = (options: DhcpOptions, leaseSeconds: number, obtainedAtMs: number): LeaseTimes => {
  if (leaseSeconds === INFINITE_SECONDS) {
    return { obtainedAtMs, renewAtMs: Infinity, rebindAtMs: Infinity, expiresAtMs: Infinity };
  }
  const named = seconds(options, OPTION.REBIND_SECONDS);
  const rebind =
    named !== undefined && named > 0 && named < leaseSeconds ? named : leaseSeconds * REBIND_PART;
  const early = seconds(options, OPTION.RENEW_SECONDS);
  const half = Math.min(leaseSeconds * RENEW_PART, rebind);
  const renew = early !== undefined && early > 0 && early < rebind ? early : half;
  return {
    obtainedAtMs,
    renewAtMs: obtainedAtMs + renew * SECOND_MS,
    rebindAtMs: obtainedAtMs + rebind * SECOND_MS,
    expiresAtMs: obtainedAtMs + leaseSeconds * SECOND_MS,
  };
};

/**
 * The lease that an offer or acknowledgement grants; undefined where it lacks what a lease needs: a host's address, a
 * server, a time. It counts from `sentAtMs`, when the request was sent (RFC 2131 section 4.4.1).
 */
export const leaseOf = (
  address: IpAddress,
  options: DhcpOptions,
  sentAtMs: number,
  knownServer?: IpAddress,
): DhcpLease | undefined => {
  const server = addressOption(options, OPTION.SERVER) ?? knownServer;
  const leaseSeconds = seconds(options, OPTION.LEASE_SECONDS);
  if (!isHost(address) || server === undefined || !isHost(server)) return undefined;
  if (leaseSeconds === undefined || leaseSeconds === 0) return undefined;
  const search = options.get(OPTION.SEARCH_DOMAINS);
  return {
    address,
    prefixLength: prefixLength(options, address),
    server,
    routes: routesOf(options),
    nameServers: addresses(options, OPTION.NAME_SERVERS),
    timeServers: addresses(options, OPTION.TIME_SERVERS),
    hostName: name(options, OPTION.HOST_NAME),
    domainName: name(options, OPTION.DOMAIN_NAME),
    searchDomains: (search === undefined ? [] : nameList(search)).filter(isName),
    mtu: mtuOf(options),
    broadcast: addressOption(options, OPTION.BROADCAST),
    vendor: options.get(OPTION.VENDOR),
    ...timesOf(options, leaseSeconds, sentAtMs),
  };
};
