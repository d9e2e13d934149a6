/** What a mirror of the kernel's tables told, and what `ip` prints of them, as texts that can be compared. */
import type { KernelMirror } from "../../ffi/net/kernel-mirror.ts";
import type { SystemChange } from "../../ffi/net/system-change.ts";
import type { Lab, Side } from "./lab.ts";

/** An address as `ip` writes it. */
export const addressText = (bytes: Uint8Array): string => {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]/`).hostname.slice(1, -1);
};

/** The bytes of an address that `ip` wrote. */
export const addressOfText = (text: string): Uint8Array => {
  if (!text.includes(":")) return Uint8Array.from(text.split(".").map(Number));
  const [front = "", back] = text.split("::");
  const groups = (part: string | undefined): string[] =>
    part === undefined || part === "" ? [] : part.split(":");
  const [first, last] = [groups(front), groups(back)];
  const zeros = new Array<string>(8 - first.length - last.length).fill("0");
  const all = back === undefined ? first : [...first, ...zeros, ...last];
  return Uint8Array.from(
    all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
};

export const macText = (mac: Uint8Array): string =>
  [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");

const keyOf = (change: SystemChange): string =>
  change.kind === "route"
    ? `route ${addressText(change.destination)}/${change.prefixLength} ${change.metric}`
    : `${change.kind} ${change.interface} ${addressText(change.address)}`;

/** What a mirror told so far, put together. It throws where something is taken back that was not told. */
export class Told {
  readonly mirror: KernelMirror;
  readonly #all = new Map<string, SystemChange>();

  constructor(mirror: KernelMirror) {
    this.mirror = mirror;
  }

  /** Takes what is new, up to `limit` changes, and returns it. */
  drain(limit = Infinity): SystemChange[] {
    const changes: SystemChange[] = [];
    while (changes.length < limit) {
      const change = this.mirror.next();
      if (change === undefined) break;
      const key = keyOf(change);
      if (change.present) this.#all.set(key, change);
      else if (!this.#all.delete(key)) throw new Error(`taken back, but never told: ${key}`);
      changes.push(change);
    }
    return changes;
  }

  get(kind: SystemChange["kind"]): SystemChange[] {
    return [...this.#all.values()].filter((change) => change.kind === kind);
  }

  /** One line for each thing known, sorted. */
  lines(nameOf: (index: number) => string): string[] {
    return [...this.#all.values()].map((change) => lineOf(change, nameOf)).sort();
  }
}

interface Hop {
  readonly gateway: string | undefined;
  readonly dev: string;
  readonly weight: number;
}

const hopsText = (hops: readonly Hop[]): string =>
  hops
    .map((hop) => `[${hop.gateway ?? "link"} ${hop.dev} ${hop.weight}]`)
    .sort()
    .join("");

const lineOf = (change: SystemChange, nameOf: (index: number) => string): string => {
  switch (change.kind) {
    case "address":
      return `address ${nameOf(change.interface)} ${addressText(change.address)}/${change.prefixLength}${change.tentative ? " tentative" : ""}${change.deprecated ? " deprecated" : ""}${change.temporary ? " temporary" : ""}`;
    case "route": {
      const hops = change.hops.map((hop) => ({
        gateway: hop.gateway && addressText(hop.gateway),
        dev: nameOf(hop.interface),
        weight: hop.weight,
      }));
      return `route ${change.type} ${addressText(change.destination)}/${change.prefixLength} ${change.metric} ${change.source === undefined ? "-" : addressText(change.source)} ${change.mtu ?? "-"} ${hopsText(hops)}`;
    }
    case "neighbour":
      return `neighbour ${nameOf(change.interface)} ${addressText(change.address)} ${change.mac === undefined ? "-" : macText(change.mac)} ${settled(change.state)}${change.router ? " router" : ""}`;
  }
};

/** The kernel tells nobody that an entry went from stale to delay. */
const settled = (state: string): string => (state === "delay" ? "stale" : state);

interface IpAddress {
  readonly ifname: string;
  readonly addr_info: readonly {
    readonly local: string;
    readonly address?: string;
    readonly prefixlen: number;
    readonly family: string;
    readonly tentative?: boolean;
    readonly dadfailed?: boolean;
    readonly deprecated?: boolean;
    readonly temporary?: boolean;
  }[];
}
interface IpHop {
  readonly gateway?: string;
  readonly via?: { readonly host: string };
  readonly dev: string;
  readonly weight?: number;
  readonly flags: readonly string[];
}
interface IpRoute extends Partial<IpHop> {
  readonly type: string;
  readonly dst: string;
  readonly metric?: number;
  readonly prefsrc?: string;
  readonly flags: readonly string[];
  readonly nexthops?: readonly IpHop[];
  readonly metrics?: readonly { readonly mtu?: number }[];
}
interface IpNeighbour {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
  readonly router?: null;
}

/** Everything that `ip` prints of a side's addresses, routes and neighbours, as `Told.lines` writes it. */
export const ipLines = (lab: Lab, side: Side = "b"): string[] => {
  const ask = <T>(command: string): T[] => {
    const { code, stdout, stderr } = lab.exec(side, ["ip", "-j", ...command.split(" ")], { check: false });
    // A table is made with its first route.
    if (code !== 0 && !stderr.includes("FIB table does not exist"))
      throw new Error(`ip ${command}: ${stderr}`);
    return code !== 0 || stdout.trim() === "" ? [] : (JSON.parse(stdout) as T[]);
  };
  const tables = ["local", "main", "default"];
  return [
    ...ask<IpAddress>("address show").flatMap(addressLines),
    ...tables
      .flatMap((table) => ask<IpRoute>(`-4 -d route show table ${table}`))
      .flatMap((route) => routeLines([route], 32)),
    ...tables.flatMap((table) =>
      joined(ask<IpRoute>(`-6 -d route show table ${table}`)).flatMap((group) => routeLines(group, 128)),
    ),
    ...ask<IpNeighbour>("neigh show").map(neighbourLine),
  ].sort();
};

const addressLines = ({ ifname, addr_info: all }: IpAddress): string[] =>
  all.map((each) => {
    const length = each.address === undefined ? each.prefixlen : each.family === "inet" ? 32 : 128;
    const tentative = each.tentative === true || each.dadfailed === true;
    return `address ${ifname} ${each.local}/${length}${tentative ? " tentative" : ""}${each.deprecated === true ? " deprecated" : ""}${each.temporary === true ? " temporary" : ""}`;
  });

/** IPv6 routes with the same prefix, metric and type: the mirror tells them as one. */
const joined = (routes: readonly IpRoute[]): IpRoute[][] => {
  const groups = Map.groupBy(routes, (route) => `${route.dst} ${route.metric ?? 0} ${route.type}`);
  return [...groups.values()];
};

const NOWHERE = ["blackhole", "unreachable", "prohibit"];

const routeLines = (group: readonly IpRoute[], bits: number): string[] => {
  const [first] = group;
  if (first === undefined) return [];
  const written = first.dst === "default" ? (bits === 32 ? "0.0.0.0/0" : "::/0") : first.dst;
  const dst = written.includes("/") ? written : `${written}/${bits}`;
  const type = first.type === "anycast" ? "local" : first.type;
  const all = group.flatMap((route) => route.nexthops ?? [route as IpHop]);
  const hops = all
    .filter((hop) => hop.dev !== undefined && !(hop.flags ?? []).includes("dead"))
    .map((hop) => ({ gateway: hop.gateway ?? hop.via?.host, dev: hop.dev, weight: hop.weight ?? 1 }));
  if (type === "unicast" && hops.length === 0) return [];
  const mtu = first.metrics?.find((metric) => metric.mtu !== undefined)?.mtu;
  return [
    `route ${type} ${dst} ${first.metric ?? 0} ${first.prefsrc ?? "-"} ${mtu ?? "-"} ${hopsText(NOWHERE.includes(type) ? [] : hops)}`,
  ];
};

const neighbourLine = (each: IpNeighbour): string => {
  const state = each.state[0]!.toLowerCase();
  const mac = state === "failed" || state === "incomplete" ? undefined : each.lladdr;
  return `neighbour ${each.dev} ${each.dst} ${mac ?? "-"} ${settled(state)}${each.router === undefined ? "" : " router"}`;
};
