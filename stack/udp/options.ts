/**
 * What a UDP socket can be told, with the checks that come before anything is opened.
 */
import type { MultipathPolicy, SoftError } from "../transport/network.ts";
import { type Family, IpAddress } from "../wire/address.ts";

/** An address and port in words. */
export interface EndpointText {
  /** "10.0.0.1", "2001:db8::1", or "fe80::1%eth0" where the interface must be said. */
  readonly address: string | IpAddress;
  readonly port: number;
}

export interface UdpOptions {
  /** 1 to 65535; 0 (the default) takes a free one, RFC 6056. */
  readonly port?: number;
  /** The address of ours that it hears on. Default: all, of both families. */
  readonly address?: string | IpAddress;
  /** Hear IPv4 or IPv6 alone. Default: both, where no address says which. */
  readonly family?: Family;
  /** Hear from this one alone, and send there without naming it. */
  readonly remote?: EndpointText;
  /** Hear on this interface alone, and send there. By name. */
  readonly interface?: string;
  /** Share the port with other sockets that say so too: each gets what is sent to a group or to everybody. Default false. */
  readonly reuse?: boolean;
  /** TTL or hop limit of unicast datagrams. Default: the host's, 64. */
  readonly ttl?: number;
  /** The same for groups. Default 1 (RFC 1112 section 6.1). */
  readonly multicastTtl?: number;
  /** What is sent to a group comes back to members on this host (RFC 1112 section 6.1). Default true. */
  readonly multicastLoopback?: boolean;
  /** DSCP and ECN bits of what is sent. Default 0. */
  readonly trafficClass?: number;
  /**
   * Which of several paths its datagrams take: "handover" the best that lives; "spread" one of the equally good ones, the same
   * for all between two ports, as long as it lives. Default "handover".
   */
  readonly multipath?: MultipathPolicy;
  /** What "spread" goes by in the place of both ports: sockets of one flow stay together. A whole number of 32 bits. */
  readonly flow?: number;
  /** Hear of ICMP errors about datagrams that it sent. */
  readonly onError?: (error: SoftError) => void;
  /** Called when sending is possible again after a `send` that found no room. */
  readonly onDrain?: () => void;
}

/** Options with nothing left open. */
export interface CheckedUdpOptions {
  readonly port: number;
  readonly address: IpAddress | undefined;
  readonly family: Family | undefined;
  readonly remote:
    | { readonly address: IpAddress; readonly port: number; readonly interface: string | undefined }
    | undefined;
  readonly interface: string | undefined;
  readonly reuse: boolean;
  readonly ttl: number | undefined;
  readonly multicastTtl: number;
  readonly multicastLoopback: boolean;
  readonly trafficClass: number;
  readonly multipath: MultipathPolicy;
  readonly flow: number | undefined;
  readonly onError: ((error: SoftError) => void) | undefined;
  readonly onDrain: (() => void) | undefined;
}

const MAX_PORT = 65_535;
const MAX_OCTET = 255;
const MAX_FLOW = 0xffff_ffff;
const DEFAULT_MULTICAST_TTL = 1;

const KEYS: ReadonlySet<string> = new Set<keyof UdpOptions>([
  "port",
  "address",
  "family",
  "remote",
  "interface",
  "reuse",
  "ttl",
  "multicastTtl",
  "multicastLoopback",
  "trafficClass",
  "multipath",
  "flow",
  "onError",
  "onDrain",
]);

const whole = (name: string, value: unknown, least: number, most: number): number => {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${String(value)}`);
};

const oneFamily = (value: unknown): Family => {
  if (value === 4 || value === 6) return value;
  throw new RangeError(`family is 4 or 6, not ${String(value)}`);
};

/** An address with the interface that may stand behind it. Throws a TypeError for anything else. */
export const readAddress = (
  value: unknown,
): { readonly address: IpAddress; readonly interface: string | undefined } => {
  if (value instanceof IpAddress) return { address: value, interface: undefined };
  if (typeof value !== "string") throw new TypeError(`an address is a text, not ${typeof value}`);
  const [text, ...zone] = value.split("%");
  return { address: IpAddress.parse(text!), interface: zone.length === 0 ? undefined : zone.join("%") };
};

/** An address and port to send to. Throws a TypeError or RangeError for anything else. */
export const readEndpoint = (value: EndpointText) => {
  if (typeof value !== "object" || value === null)
    throw new TypeError("somebody to send to is { address, port }");
  return { ...readAddress(value.address), port: whole("port", value.port, 1, MAX_PORT) };
};

/** The options with defaults, checked. Throws a TypeError or RangeError that names the wrong one. */
export const checkUdpOptions = (options: UdpOptions): CheckedUdpOptions => {
  if (typeof options !== "object" || options === null) throw new TypeError("udp takes a port or options");
  const unknown = Object.keys(options).find((key) => !KEYS.has(key));
  if (unknown !== undefined)
    throw new TypeError(`udp has no option "${unknown}"; it has ${[...KEYS].join(", ")}`);
  const own = options.address === undefined ? undefined : readAddress(options.address);
  const remote = options.remote === undefined ? undefined : readEndpoint(options.remote);
  const { ttl, multicastLoopback = true, multipath = "handover", flow, onError, onDrain } = options;
  if (multipath !== "handover" && multipath !== "spread")
    throw new TypeError(`multipath is "handover" or "spread", not ${String(multipath)}`);
  if (typeof multicastLoopback !== "boolean") throw new TypeError("multicastLoopback is true or false");
  for (const [name, fn] of Object.entries({ onError, onDrain })) {
    if (fn !== undefined && typeof fn !== "function") throw new TypeError(`${name} is a function`);
  }
  const address = own === undefined || own.address.unspecified ? undefined : own.address;
  if (address !== undefined && remote !== undefined && address.family !== remote.address.family)
    throw new RangeError(`address ${address} and remote ${remote.address} are of two families`);
  return {
    port: whole("port", options.port ?? 0, 0, MAX_PORT),
    address,
    family: options.family === undefined ? undefined : oneFamily(options.family),
    remote,
    interface: options.interface ?? own?.interface,
    reuse: options.reuse ?? false,
    ttl: ttl === undefined ? undefined : whole("ttl", ttl, 1, MAX_OCTET),
    multicastTtl: whole("multicastTtl", options.multicastTtl ?? DEFAULT_MULTICAST_TTL, 0, MAX_OCTET),
    multicastLoopback,
    trafficClass: whole("trafficClass", options.trafficClass ?? 0, 0, MAX_OCTET),
    multipath,
    flow: flow === undefined ? undefined : whole("flow", flow, 0, MAX_FLOW),
    onError,
    onDrain,
  };
};
