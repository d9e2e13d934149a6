/**
 * What a host and its interfaces can be told, with the checks that come before anything is made.
 */
import type { PortKeeper, RouteSource } from "../device/routesource.ts";
import type { Packet } from "../transport/packet.ts";
import { IpAddress } from "../wire/address.ts";
import { parseInterfaceAddress } from "../wire/prefix.ts";
import type { DetectionTimes } from "./addresses/dad.ts";
import type { IdentifierSource } from "./addresses/interface-identifier.ts";
import type { NeighbourOptions } from "./neighbours/neighbours.ts";
import type { PathOptions } from "./paths/path-options.ts";
import { checkService } from "./service/service-address.ts";
import type { ReassemblyOptions } from "./fragments/reassembly.ts";
import type { RateLimitOptions } from "./icmp/rate-limit.ts";

export interface HostOptions {
  /** Send packets of others on between interfaces (RFC 1812). Default false. */
  readonly forwarding?: boolean;
  /** Memory for fragments. Default: 64 packets of the largest size, 4 MiB. */
  readonly reassembly?: ReassemblyOptions;
  /** How many ICMP errors are sent. Default: 10 a second to each, 1000 a second to all. */
  readonly icmpRate?: RateLimitOptions;
  /** Answer echo requests: all, none, or those that a function says true to, which is called with each. Default true. */
  readonly echo?: boolean | ((request: Packet) => boolean);
  /** Addresses that live on all interfaces of the host: "10.9.9.9". More can come and go, with options (`addService`). */
  readonly services?: readonly string[];
  /** When a path that was down is used again. Default: after a second without a sign against it, later where it flaps. */
  readonly paths?: PathOptions;
}

/** A live mirror of the kernel that the interface is shared with; see `KernelMirror`. */
export interface BesideOptions {
  readonly source: RouteSource;
  /** The kernel's number of the interface (ifindex). */
  readonly interface: number;
  /** Takes these ports, and no others, from the kernel's traffic; without it the program claims by itself. */
  readonly claim?: (ports: readonly PortClaim[]) => void;
  /** Keeps our ports from the kernel's own programs, and hears ICMP errors about them. One for all interfaces beside the same kernel. */
  readonly ports?: PortKeeper;
}

/** A port that frames are to be taken from the kernel for. */
export interface PortClaim {
  readonly protocol: number;
  /** Undefined: every address of the interface. */
  readonly address: IpAddress | undefined;
  readonly port: number;
}

export interface JoinOptions {
  /** Default: the device's name, with ".VLAN" behind it. */
  readonly name?: string;
  /** 802.1Q identifier: the interface is this VLAN of the device. Default: frames without a tag. */
  readonly vlan?: number;
  /** Largest IP packet in bytes. Default, and most: the device's. */
  readonly mtu?: number;
  /** "10.0.0.2/24", "2001:db8::2/64": addresses of our own, which the kernel does not know. */
  readonly addresses?: readonly string[];
  /** Routers to the rest of the world, one of each family. */
  readonly gateway?: string | readonly string[];
  /** Ask for an IPv4 address and what belongs to it (RFC 2131). Default false. */
  readonly dhcp?: boolean;
  /** Believe routers about IPv6: addresses, routes, MTU (RFC 4861, RFC 4862). Default false. */
  readonly slaac?: boolean;
  /** Where IPv6 interface identifiers come from. Default: the Ethernet address. */
  readonly identifiers?: IdentifierSource;
  /** Have a link-local IPv6 address. Default true. */
  readonly linkLocal?: boolean;
  /**
   * Find out first whether somebody has an address: true for all, false for none. Default: IPv6 alone, as with the kernel,
   * since IPv4 takes seven seconds for it (RFC 5227); conflicts are seen and defended against in any case.
   */
  readonly dad?: boolean;
  /** The courses of detection. Default: those of the RFCs. */
  readonly dadTimes4?: DetectionTimes;
  readonly dadTimes6?: DetectionTimes;
  readonly neighbours?: NeighbourOptions;
  /**
   * Name of the link, the same for all interfaces that are on it: for one of them answers for service addresses. Default: those
   * with addresses of one network are on one link.
   */
  readonly segment?: string;
  /** Live beside the kernel: share its addresses, use its routes and neighbours. Excludes what configures addresses. */
  readonly beside?: BesideOptions;
  /** Lower is preferred among default routes of several interfaces. Default 1024. */
  readonly metric?: number;
}

/** What the kernel gives to routes from advertisements (IP6_RT_PRIO_USER). */
export const DEFAULT_METRIC = 1024;

/** Join options with texts read. */
export interface CheckedJoinOptions extends JoinOptions {
  readonly parsed: readonly { readonly address: IpAddress; readonly length: number }[];
  readonly gateways: readonly IpAddress[];
  readonly metric: number;
}

const HOST_KEYS: ReadonlySet<string> = new Set<keyof HostOptions>([
  "forwarding",
  "reassembly",
  "icmpRate",
  "echo",
  "services",
  "paths",
]);

const JOIN_KEYS: ReadonlySet<string> = new Set<keyof JoinOptions>([
  "name",
  "vlan",
  "mtu",
  "addresses",
  "gateway",
  "dhcp",
  "slaac",
  "identifiers",
  "linkLocal",
  "dad",
  "dadTimes4",
  "dadTimes6",
  "neighbours",
  "segment",
  "beside",
  "metric",
]);
/** What makes no sense on an interface whose addresses are the kernel's. */
const NOT_BESIDE = ["addresses", "gateway", "dhcp", "slaac", "linkLocal", "dad", "segment"] as const;

const checkKeys = (what: string, given: object, known: ReadonlySet<string>): void => {
  const unknown = Object.keys(given).find((key) => !known.has(key));
  if (unknown !== undefined)
    throw new TypeError(`${what} has no option "${unknown}"; it has ${[...known].join(", ")}`);
};

/** Throws a TypeError that names an option which does not exist. */
export const checkHostOptions = (options: HostOptions): HostOptions => {
  checkKeys("a host", options, HOST_KEYS);
  const { services = [] } = options;
  if (!Array.isArray(services)) throw new TypeError("services is a list of addresses");
  for (const service of services) checkService(service, {});
  return options;
};

/** The options with texts read. Throws a TypeError or RangeError that names the wrong one. */
export const checkJoinOptions = (options: JoinOptions): CheckedJoinOptions => {
  if (typeof options !== "object" || options === null) throw new TypeError("join takes an object of options");
  checkKeys("join", options, JOIN_KEYS);
  if (options.beside !== undefined) {
    const wrong = NOT_BESIDE.find((key) => options[key] !== undefined);
    if (wrong !== undefined)
      throw new TypeError(
        `join takes no "${wrong}" beside the kernel: addresses and routes are the kernel's`,
      );
  }
  const { gateway = [], addresses = [], metric = DEFAULT_METRIC, segment } = options;
  if (segment !== undefined && (typeof segment !== "string" || segment === ""))
    throw new TypeError(`segment is a name, not ${JSON.stringify(segment)}`);
  if (!(Number.isInteger(metric) && metric >= 0))
    throw new RangeError(`metric is a whole number, not ${String(metric)}`);
  const gateways = (typeof gateway === "string" ? [gateway] : gateway).map((text) => IpAddress.parse(text));
  return { ...options, metric, gateways, parsed: addresses.map((text) => parseInterfaceAddress(text)) };
};
