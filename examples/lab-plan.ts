/** What a lab consists of: names and addresses computed from the options, and the shell script that makes them. */
export type Side = "a" | "m" | "b";

export interface LabOptions {
  /** veth pairs between the two ends. 1 (`va`, `vb`) unless given; with more they are `va0`, `vb0`, `va1`, ... At most 8. */
  readonly pairs?: number;
  /** Receive and transmit queues of every veth, or of each side apart. 1 unless given. */
  readonly queues?: number | { readonly a: number; readonly b: number };
  /** MTU of every veth in bytes. 1500 unless given. */
  readonly mtu?: number;
  /** False switches checksum offload off on every veth, so that what the kernel sends carries complete checksums. */
  readonly offloads?: boolean;
  /** True disables IPv6 on every veth: then the kernel sends nothing of its own but ARP. */
  readonly quiet?: boolean;
  /** True enters each end's address in the other's neighbour tables for good: no ARP, no neighbour solicitation. */
  readonly neighbours?: boolean;
  /** True puts a third namespace between the ends: `va` - `ma` | `mb` - `vb`, nothing forwarding between `ma` and `mb`. */
  readonly middle?: boolean;
  /** Fixed prefix of the namespaces' names instead of one made from the pid; for a lab that a person plays in. */
  readonly name?: string;
  /** True leaves the lab standing when the process ends; only with `name`. */
  readonly keep?: boolean;
}

/** One end of a veth pair. */
export interface End {
  readonly side: Side;
  /** Name of its namespace. */
  readonly namespace: string;
  /** Name of the interface. */
  readonly name: string;
  /** Interface index. No two ends of a lab share one: the kernel tells at once of a veth that goes up if its peer's differs. */
  readonly index: number;
  /** Ethernet address, lower case with colons. */
  readonly mac: string;
  /** Address without prefix length (24); empty for the inner ends of a lab with a middle. */
  readonly ipv4: string;
  /** Address without prefix length (64); empty for inner ends, in a quiet lab, and below an MTU of 1280. */
  readonly ipv6: string;
}

export interface Pair {
  readonly a: End;
  readonly b: End;
}

export interface Plan {
  readonly name: string;
  readonly namespaces: Readonly<Partial<Record<Side, string>>>;
  readonly pairs: readonly Pair[];
  readonly a: End;
  readonly b: End;
  readonly middle: { readonly a: End; readonly b: End } | undefined;
  readonly queues: { readonly a: number; readonly b: number };
  readonly mtu: number;
  readonly offloads: boolean;
  readonly quiet: boolean;
  readonly neighbours: boolean;
}

/** One digit of the addresses names the pair, and no test needs more paths than that. */
const MAX_PAIRS = 8;
/** A veth may have 4096 queues; each costs memory, and machines that run tests have few cores. */
const MAX_QUEUES = 64;
/** ETH_MIN_MTU (include/uapi/linux/if_ether.h) and the largest MTU of veth (drivers/net/veth.c). */
const MIN_MTU = 68;
const MAX_MTU = 65_535;
/** RFC 8200 section 5: IPv6 does not work below, and Linux takes it off the link. */
const MIN_IPV6_MTU = 1280;
/** IFNAMSIZ does not bind namespaces, but they must be file names that need no quoting in the shell. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,40}$/;
/** 2 000 polls of a few milliseconds: a link comes up in one or two of them. */
const UP_POLLS = 2000;
/** Above those that a fresh namespace gives its own devices (lo, and tunnels where their modules are loaded). */
const FIRST_INDEX = 101;
/** Two ends, or four with a middle. */
const ENDS_PER_PATH = 4;

const integer = (value: number, low: number, high: number, what: string): number => {
  if (!Number.isInteger(value) || value < low || value > high)
    throw new RangeError(`${what} is ${low} to ${high}, not ${value}`);
  return value;
};

/** Names, addresses and settings of a lab. Throws RangeError for options that make no sense. */
export const labTopology = (name: string, options: LabOptions): Plan => {
  if (!NAME.test(name)) throw new RangeError(`not a lab name: ${JSON.stringify(name)}`);
  const count = integer(options.pairs ?? 1, 1, MAX_PAIRS, "pairs");
  const middle = options.middle ?? false;
  if (middle && count !== 1) throw new RangeError("a lab with a middle has one path");
  if (options.keep === true && options.name === undefined)
    throw new RangeError("only a lab with a name can be kept");
  const given = options.queues ?? 1;
  const each = typeof given === "number" ? { a: given, b: given } : given;
  const quiet = options.quiet ?? false;
  const mtu = integer(options.mtu ?? 1500, MIN_MTU, MAX_MTU, "mtu");
  const withoutIpv6 = quiet || mtu < MIN_IPV6_MTU;
  const end = (side: Side, on: string, host: number, pair: number, addressed: boolean): End => ({
    side,
    namespace: `${name}-${side}`,
    name: on,
    index: FIRST_INDEX + ENDS_PER_PATH * pair + (side === "m" ? 1 + host : host - 1),
    // Locally administered, so that no vendor's device has them; readable in a capture.
    mac: `02:00:00:00:0${pair}:${side === "m" ? "c" : "a"}${host}`,
    ipv4: addressed ? `10.77.${pair}.${host}` : "",
    ipv6: !addressed || withoutIpv6 ? "" : pair === 0 ? `fd77::${host}` : `fd77:0:0:${pair}::${host}`,
  });
  const pairs: Pair[] = [];
  if (middle) {
    pairs.push({ a: end("a", "va", 1, 0, true), b: end("m", "ma", 1, 0, false) });
    pairs.push({ a: end("m", "mb", 2, 0, false), b: end("b", "vb", 2, 0, true) });
  } else {
    for (let i = 0; i < count; i++) {
      const digit = count === 1 ? "" : String(i);
      pairs.push({ a: end("a", `va${digit}`, 1, i, true), b: end("b", `vb${digit}`, 2, i, true) });
    }
  }
  const first = pairs[0]!;
  const last = middle ? pairs[1]! : first;
  return {
    name,
    namespaces: { a: `${name}-a`, ...(middle ? { m: `${name}-m` } : {}), b: `${name}-b` },
    pairs,
    a: first.a,
    b: last.b,
    middle: middle ? { a: first.b, b: last.a } : undefined,
    queues: { a: integer(each.a, 1, MAX_QUEUES, "queues"), b: integer(each.b, 1, MAX_QUEUES, "queues") },
    mtu,
    offloads: options.offloads ?? true,
    quiet,
    neighbours: options.neighbours ?? false,
  };
};

/**
 * Settings that keep the kernel from sending frames nobody asked for. They go to `default` before the links exist, so that
 * the links inherit them. Duplicate address detection also delays the use of an address, by a second.
 */
const sysctls = (quiet: boolean): string => {
  const v6: Record<string, number> = {
    disable_ipv6: quiet ? 1 : 0,
    accept_dad: 0,
    dad_transmits: 0,
    router_solicitations: 0,
    accept_ra: 0,
    autoconf: 0,
  };
  const writes = Object.entries(v6).map(([key, value]) => `echo ${value} > ${key}`);
  // A machine without IPv6 has no such folder, and needs none of this.
  return `cd /proc/sys/net/ipv6/conf/default 2>/dev/null && { ${writes.join("; ")}; } || true`;
};

const batch = (on: string, lines: readonly string[]): string =>
  `ip ${on} -batch - <<EOF\n${lines.join("\n")}\nEOF`;

/** Shell text (for `sh -e`) that removes `stale`, makes the plan's lab, and ends when every link is up. */
export const labScript = (plan: Plan, stale: readonly string[]): string => {
  const names = Object.values(plan.namespaces);
  const ends = plan.pairs.flatMap((pair) => [pair.a, pair.b]);
  const lines: string[] = [];
  // Another run may reap the same ones at the same time: not finding them is fine.
  if (stale.length > 0) lines.push(removalScript(stale));
  lines.push(
    batch(
      "",
      names.map((name) => `netns add ${name}`),
    ),
  );
  for (const name of names) lines.push(`nsenter --net=/run/netns/${name} sh -c '${sysctls(plan.quiet)}'`);
  lines.push(
    batch(
      "",
      plan.pairs.map((pair) => linkLine(plan, pair)),
    ),
  );
  for (const name of names) {
    const here = ends.filter((end) => end.namespace === name);
    lines.push(batch(`-n ${name}`, ["link set dev lo up", ...here.flatMap((end) => endLines(plan, end))]));
  }
  if (!plan.offloads) {
    for (const end of ends) {
      lines.push(`nsenter --net=/run/netns/${end.namespace} ethtool -K ${end.name} tx off rx off >/dev/null`);
    }
  }
  for (const end of ends) lines.push(awaitUp(end));
  return lines.join("\n");
};

/** Shell text that removes namespaces, whether or not each still exists. */
export const removalScript = (names: readonly string[]): string =>
  `ip -force -batch - >/dev/null 2>&1 <<EOF || true\n${names.map((name) => `netns del ${name}`).join("\n")}\nEOF`;

const linkLine = (plan: Plan, { a, b }: Pair): string => {
  // Middle ends take the count of the side they face: a veth needs as many receive queues as its peer has transmit queues.
  const queues = (end: End, peer: End): string => {
    const side = end.side === "m" ? peer.side : end.side;
    const count = side === "b" ? plan.queues.b : plan.queues.a;
    return `numtxqueues ${count} numrxqueues ${count}`;
  };
  const half = (end: End): string => `mtu ${plan.mtu} address ${end.mac} netns ${end.namespace}`;
  return (
    `link add name ${a.name} index ${a.index} ${half(a)} ${queues(a, b)} type veth ` +
    `peer name ${b.name} index ${b.index} ${half(b)} ${queues(b, a)}`
  );
};

const endLines = (plan: Plan, end: End): string[] => {
  const lines: string[] = [];
  if (end.ipv4 !== "") lines.push(`addr add ${end.ipv4}/24 dev ${end.name}`);
  if (end.ipv6 !== "") lines.push(`addr add ${end.ipv6}/64 dev ${end.name} nodad`);
  lines.push(`link set dev ${end.name} up`);
  if (plan.neighbours) {
    for (const other of farEnds(plan, end)) {
      for (const address of [other.ipv4, other.ipv6]) {
        if (address !== "")
          lines.push(`neigh replace ${address} lladdr ${other.mac} dev ${end.name} nud permanent`);
      }
    }
  }
  return lines;
};

/** The ends that `end` talks to as hosts: its peer, or the far side of the middle. */
const farEnds = (plan: Plan, end: End): readonly End[] => {
  if (end.side === "m") return [];
  if (plan.middle !== undefined) return [end.side === "a" ? plan.b : plan.a];
  return plan.pairs.flatMap((pair) => (pair.a === end ? [pair.b] : pair.b === end ? [pair.a] : []));
};

const awaitUp = (end: End): string =>
  `n=0; until ip -n ${end.namespace} -br link show ${end.name} | grep -q ' UP '; do ` +
  `n=$((n+1)); [ $n -lt ${UP_POLLS} ] || { echo "${end.name} does not come up" >&2; exit 1; }; sleep 0.005; done`;
