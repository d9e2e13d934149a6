/** What a laboratory of two paths consists of: addresses of its ends and routers, and the shell lines that set them up. */
import type { End, Lab, Side } from "./lab.ts";

/**
 * What lies between the client and the host: "switched": a bridge of its own on each path, and a network of its own;
 * "routed": a router (the kernel's forwarding) on each path, between two networks; "segment": two bridges joined by a trunk,
 * so that all four interfaces share one network.
 */
export type PathShape = "switched" | "routed" | "segment";
/** Who has the addresses of an end: the kernel of its namespace, or a program, before which the kernel falls silent. */
export type Owner = "kernel" | "program";
/** Whether kernels reach the far address over the first path and after it the second, or somebody else makes routes. */
export type RoutePlan = "backup" | "none";

/** One end of one path. */
export interface PathEnd extends Pick<End, "side" | "namespace" | "name" | "index" | "mac"> {
  /** Without the prefix length, which is 24 or 64. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** Who takes packets to the far side: the far end itself, or the router of the path. */
  readonly gateways: { readonly 4: string; readonly 6: string };
}

export interface TwoPath {
  /** 0 or 1. */
  readonly number: number;
  /** The namespace between, and its interfaces towards the client and towards the host. */
  readonly middle: Extract<Side, "m" | "n">;
  readonly towards: { readonly client: string; readonly host: string };
  readonly client: PathEnd;
  readonly host: PathEnd;
}

/** An address of each family that belongs to an end and to none of its interfaces. */
export interface EndAddress {
  readonly 4: string;
  readonly 6: string;
}

/** Of the host: it lives on both of its interfaces. */
export const SERVICE: EndAddress = { 4: "10.9.9.9", 6: "fd99::9" };
/** Of the client, likewise. */
export const CALLER: EndAddress = { 4: "10.8.8.8", 6: "fd88::8" };

/** The host's on a shared segment: of the segment's network. */
export const SEGMENT_SERVICE: EndAddress = { 4: "10.77.0.99", 6: "fd77::99" };

/** The last host of a network of 24 bits; readable as hexadecimal in the other family. */
const ROUTER = { 4: 254, 6: "fe" } as const;
/** On a shared segment the second path's ends have numbers so much higher. */
const SECOND = 10;
const NUMBERS = { client: 1, host: 2 } as const;
const FAMILIES = [4, 6] as const;
/** Of the routes over the first and the second path. */
const METRICS = [10, 20] as const;
/** Of the trunk's two ends: above all that a lab chooses, and unlike each other, for the reason that `End.index` gives. */
const TRUNK_INDEX = 151;
/** Polls of a few milliseconds: a link comes up in one or two. */
const UP_POLLS = 2000;

const network6 = (first: string, path: number): string =>
  path === 0 ? `${first}::` : `${first}:0:0:${path}::`;

/** The far side's networks have the second octet 78 behind a router. */
const networks = (shape: PathShape, end: "client" | "host", path: number) => {
  const number = shape === "segment" ? 0 : path;
  const second = shape === "routed" && end === "host" ? "78" : "77";
  return { 4: `10.${second}.${number}.`, 6: network6(`fd${second}`, number) };
};

const addressOf = (shape: PathShape, end: "client" | "host", path: number): EndAddress => {
  const network = networks(shape, end, path);
  const number = NUMBERS[end] + (shape === "segment" ? SECOND * path : 0);
  return { 4: `${network[4]}${number}`, 6: `${network[6]}${number}` };
};

const routerOf = (end: "client" | "host", path: number): EndAddress => {
  const network = networks("routed", end, path);
  return { 4: `${network[4]}${ROUTER[4]}`, 6: `${network[6]}${ROUTER[6]}` };
};

const endOf = (shape: PathShape, which: "client" | "host", path: number, of: End): PathEnd => {
  const { side, namespace, name, index, mac } = of;
  const own = addressOf(shape, which, path);
  const far = addressOf(shape, which === "client" ? "host" : "client", path);
  const gateways = shape === "routed" ? routerOf(which, path) : far;
  return { side, namespace, name, index, mac, ipv4: own[4], ipv6: own[6], gateways };
};

/** The two paths of a lab with two middles. */
export const planPaths = (lab: Lab, shape: PathShape): readonly [TwoPath, TwoPath] => {
  const path = (number: number): TwoPath => {
    const near = lab.pairs[2 * number]!;
    const far = lab.pairs[2 * number + 1]!;
    return {
      number,
      middle: number === 0 ? "m" : "n",
      towards: { client: near.b.name, host: far.a.name },
      client: endOf(shape, "client", number, near.a),
      host: endOf(shape, "host", number, far.b),
    };
  };
  return [path(0), path(1)];
};

const sysctl = (settings: Readonly<Record<string, number>>): string[] =>
  Object.entries(settings).map(([key, value]) => `echo ${value} > /proc/sys/net/${key.replaceAll(".", "/")}`);

/** The lines of one interface of an end that belongs to a program: the kernel there has no address and says nothing. */
export const silentLines = ({ name }: PathEnd): string[] => [
  ...sysctl({ [`ipv6.conf.${name}.disable_ipv6`]: 1 }),
  `ip addr flush dev ${name}`,
];

/** The same of one that the kernel owns; it stops using the interface when its carrier is gone. */
export const kernelLines = ({ name, ipv4, ipv6 }: PathEnd): string[] => [
  ...sysctl({
    [`ipv4.conf.${name}.rp_filter`]: 0,
    [`ipv4.conf.${name}.ignore_routes_with_linkdown`]: 1,
    [`ipv6.conf.${name}.ignore_routes_with_linkdown`]: 1,
    // An interface that goes down keeps its IPv6 addresses, as it does those of IPv4.
    [`ipv6.conf.${name}.keep_addr_on_down`]: 1,
  }),
  `ip addr flush dev ${name} scope global`,
  `ip addr replace ${ipv4}/24 dev ${name}`,
  `ip addr replace ${ipv6}/64 dev ${name} nodad`,
];

/** Once for each end that the kernel owns: the address that none of its interfaces has. */
export const ownerLines = (own: EndAddress): string[] => [
  ...sysctl({ "ipv4.conf.all.rp_filter": 0 }),
  `ip addr replace ${own[4]}/32 dev lo`,
  `ip addr replace ${own[6]}/128 dev lo nodad`,
];

/** The lines that lead packets from an end over one of its paths; idempotent. */
export const routeLines = (
  end: PathEnd,
  number: number,
  own: EndAddress,
  far: EndAddress,
  plan: RoutePlan,
): string[] => {
  if (plan === "none") return [];
  return FAMILIES.map(
    (family) =>
      `ip -${family} route replace ${far[family]} via ${end.gateways[family]} dev ${end.name} ` +
      `src ${own[family]} metric ${METRICS[number]}`,
  );
};

/** The lines that withdraw what `routeLines` made. */
export const withdrawLines = (end: PathEnd, far: EndAddress): string[] =>
  FAMILIES.map(
    (family) => `ip -${family} route del ${far[family]} via ${end.gateways[family]} dev ${end.name}`,
  );

/** The middle of a path as a bridge. */
export const bridgeLines = ({ towards }: TwoPath, more: readonly string[]): string[] => [
  ...sysctl({ "ipv6.conf.all.disable_ipv6": 1, "ipv6.conf.default.disable_ipv6": 1 }),
  // A port forwards at once, also after it was down; and nobody's groups are guessed.
  "ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
  ...[towards.client, towards.host, ...more].map((port) => `ip link set dev ${port} master br0`),
  ...[...more, "br0"].map((name) => `ip link set dev ${name} up`),
];

/** The trunk between the bridges of a segment, made in the first path's middle. */
export const trunkLine = (peerNamespace: string): string =>
  `ip link add name trunk index ${TRUNK_INDEX} type veth peer name trunk index ${TRUNK_INDEX + 1} netns ${peerNamespace}`;
export const TRUNK = "trunk";

/** The middle of a path as a router, without its routes. */
export const routerLines = ({ number, towards }: TwoPath): string[] => [
  ...sysctl({
    "ipv4.ip_forward": 1,
    "ipv6.conf.all.forwarding": 1,
    "ipv4.conf.all.rp_filter": 0,
    [`ipv4.conf.${towards.client}.rp_filter`]: 0,
    [`ipv4.conf.${towards.host}.rp_filter`]: 0,
    [`ipv6.conf.${towards.client}.keep_addr_on_down`]: 1,
    [`ipv6.conf.${towards.host}.keep_addr_on_down`]: 1,
  }),
  ...(["client", "host"] as const).flatMap((end) => [
    `ip addr flush dev ${towards[end]} scope global`,
    `ip addr replace ${routerOf(end, number)[4]}/24 dev ${towards[end]}`,
    `ip addr replace ${routerOf(end, number)[6]}/64 dev ${towards[end]} nodad`,
  ]),
];

/** The router's ways to the addresses of both ends; idempotent, for the kernel forgets them when a link goes down. */
export const routerRouteLines = ({ client, host, towards }: TwoPath): string[] => [
  `ip -4 route replace ${SERVICE[4]} via ${host.ipv4} dev ${towards.host}`,
  `ip -6 route replace ${SERVICE[6]} via ${host.ipv6} dev ${towards.host}`,
  `ip -4 route replace ${CALLER[4]} via ${client.ipv4} dev ${towards.client}`,
  `ip -6 route replace ${CALLER[6]} via ${client.ipv6} dev ${towards.client}`,
];

/** The ways to the host, withdrawn: the router answers the client that it knows none. */
export const routerWithdrawLines = (): string[] =>
  FAMILIES.map((family) => `ip -${family} route del ${SERVICE[family]}`);

/** Waits until an interface is up and has its carrier. */
export const awaitUpLine = (name: string): string =>
  `n=0; until ip -br link show ${name} | grep -q LOWER_UP; do ` +
  `n=$((n+1)); [ $n -lt ${UP_POLLS} ] || { echo "${name} does not come up" >&2; exit 1; }; sleep 0.005; done`;
