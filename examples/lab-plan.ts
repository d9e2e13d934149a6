/** What a lab consists of: names, addresses and settings, computed from the options. */
export type Side = "a" | "m" | "n" | "b";

/** True for the namespaces between the ends: "m", and "n" on the second path. */
export const isMiddle = (side: Side): boolean => side === "m" || side === "n";

/** Two interfaces of the namespace that a lab is made from, joined by a cable. */
export interface Cable {
  readonly a: string;
  readonly b: string;
}

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
  /**
   * True puts a third namespace between the ends: `va` - `ma` | `mb` - `vb`, nothing forwarding between `ma` and `mb`. With two
   * pairs each has a namespace of its own in the middle: `va0` - `ma0` | `mb0` - `vb0` in "m", those of the second in "n".
   */
  readonly middle?: boolean;
  /**
   * True gives each end of a lab with a middle a network of its own, and a router for all others (`End.gateways`), whose
   * addresses nobody has yet: they are for what is put in the middle.
   */
  readonly routed?: boolean;
  /**
   * Existing interfaces of the namespace that the lab is made from, joined by cables, instead of veth pairs that are made:
   * `pairs` takes the first so many of them, a middle two. They keep their names and come back, as they were, when it closes.
   */
  readonly devices?: readonly Cable[];
  /** Fixed prefix of the namespaces' names instead of one made from the pid; for a lab that a person plays in. */
  readonly name?: string;
  /** True leaves the lab standing when the process ends; only with `name`. */
  readonly keep?: boolean;
}

/** One end of a veth pair or of a cable. */
export interface End {
  readonly side: Side;
  /** Name of its namespace. */
  readonly namespace: string;
  /** Name of the interface. */
  readonly name: string;
  /**
   * Interface index. No two veths of a lab share one: the kernel tells at once of a veth that goes up if its peer's differs.
   * Devices keep the one they had, where the namespace has it free.
   */
  readonly index: number;
  /** Ethernet address, lower case with colons. */
  readonly mac: string;
  /** Address without prefix length (24); empty for the inner ends of a lab with a middle. */
  readonly ipv4: string;
  /** Address without prefix length (64); empty for inner ends, in a quiet lab, and below an MTU of 1280. */
  readonly ipv6: string;
  /** Addresses of the router that it sends everything else to; none unless the lab is routed. */
  readonly gateways: readonly string[];
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
  /** The inner ends of the first path. */
  readonly middle: { readonly a: End; readonly b: End } | undefined;
  readonly queues: { readonly a: number; readonly b: number };
  readonly mtu: number;
  readonly offloads: boolean;
  readonly quiet: boolean;
  readonly neighbours: boolean;
  /** True where the pairs are devices that were there before. */
  readonly moved: boolean;
}

/** One digit of the addresses names the pair, and no test needs more paths than that. */
const MAX_PAIRS = 8;
/** Middles have names of one letter, and a host that outlives a path needs one more. */
const MAX_MIDDLES = 2;
/** A veth may have 4096 queues; each costs memory, and machines that run tests have few cores. */
const MAX_QUEUES = 64;
/** ETH_MIN_MTU (include/uapi/linux/if_ether.h) and the largest MTU of veth (drivers/net/veth.c). */
const MIN_MTU = 68;
const MAX_MTU = 65_535;
/** RFC 8200 section 5: IPv6 does not work below, and Linux takes it off the link. */
const MIN_IPV6_MTU = 1280;
/** IFNAMSIZ does not bind namespaces, but they must be file names that need no quoting in the shell. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,40}$/;
/** IFNAMSIZ with its NUL, and nothing that needs quoting in the shell. */
const DEVICE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/;
/** Above those that a fresh namespace gives its own devices (lo, and tunnels where their modules are loaded). */
const FIRST_INDEX = 101;
/** The host part of a router's addresses, the last that a network of 24 bits has. */
const ROUTER = 254;
const HEXADECIMAL = 16;
/** Two ends, or four with a middle. */
const ENDS_PER_PATH = 4;
const CABLES_PER_MIDDLE = 2;

const integer = (value: number, low: number, high: number, what: string): number => {
  if (!Number.isInteger(value) || value < low || value > high)
    throw new RangeError(`${what} is ${low} to ${high}, not ${value}`);
  return value;
};

const vethNames = (middle: boolean, count: number): readonly Cable[] => {
  if (middle) {
    return Array.from({ length: count }, (_, i) => (count === 1 ? "" : String(i))).flatMap((path) => [
      { a: `va${path}`, b: `ma${path}` },
      { a: `mb${path}`, b: `vb${path}` },
    ]);
  }
  if (count === 1) return [{ a: "va", b: "vb" }];
  return Array.from({ length: count }, (_, i) => ({ a: `va${i}`, b: `vb${i}` }));
};

/** The cables that a lab of so many pairs takes. */
const chooseCables = (devices: readonly Cable[], needed: number): readonly Cable[] => {
  if (devices.length < needed)
    throw new RangeError(`devices: ${needed} pairs are needed, there are ${devices.length}`);
  const chosen = devices.slice(0, needed);
  const names = chosen.flatMap((cable) => [cable.a, cable.b]);
  const wrong = names.find((name) => typeof name !== "string" || !DEVICE_NAME.test(name));
  if (wrong !== undefined)
    throw new RangeError(`devices: not the name of an interface: ${JSON.stringify(wrong)}`);
  if (new Set(names).size !== names.length)
    throw new RangeError(`devices: one is named twice: ${names.join(", ")}`);
  return chosen;
};

/** Names, addresses and settings of a lab. Throws RangeError for options that make no sense. */
export const labTopology = (name: string, options: LabOptions): Plan => {
  if (!NAME.test(name)) throw new RangeError(`not a lab name: ${JSON.stringify(name)}`);
  const count = integer(options.pairs ?? 1, 1, MAX_PAIRS, "pairs");
  const middle = options.middle ?? false;
  if (middle && count > MAX_MIDDLES)
    throw new RangeError(`a lab with a middle has ${MAX_MIDDLES} paths at most`);
  if (middle && count > 1 && options.devices !== undefined)
    throw new RangeError("a lab of devices with a middle has one path");
  if (options.keep === true && options.name === undefined)
    throw new RangeError("only a lab with a name can be kept");
  const routed = options.routed ?? false;
  if (routed && (!middle || options.neighbours === true))
    throw new RangeError("a routed lab has a middle, and finds its neighbours itself");
  if (routed && count > 1) throw new RangeError("a routed lab has one path");
  const given = options.queues ?? 1;
  const each = typeof given === "number" ? { a: given, b: given } : given;
  const quiet = options.quiet ?? false;
  const mtu = integer(options.mtu ?? 1500, MIN_MTU, MAX_MTU, "mtu");
  const withoutIpv6 = quiet || mtu < MIN_IPV6_MTU;
  const network6 = (pair: number): string => (pair === 0 ? "fd77::" : `fd77:0:0:${pair}::`);
  const end = (side: Side, on: string, host: number, pair: number, addressed: boolean): End => ({
    side,
    namespace: `${name}-${side}`,
    name: on,
    index: FIRST_INDEX + ENDS_PER_PATH * pair + (isMiddle(side) ? 1 + host : host - 1),
    // Locally administered, so that no vendor's device has them; readable in a capture.
    mac: `02:00:00:00:0${pair}:${isMiddle(side) ? "c" : "a"}${host}`,
    ipv4: addressed ? `10.77.${pair}.${host}` : "",
    ipv6: !addressed || withoutIpv6 ? "" : `${network6(pair)}${host}`,
    gateways: [
      ...(routed && addressed ? [`10.77.${pair}.${ROUTER}`] : []),
      ...(routed && addressed && !withoutIpv6 ? [`${network6(pair)}${ROUTER.toString(HEXADECIMAL)}`] : []),
    ],
  });
  const cables =
    options.devices === undefined
      ? vethNames(middle, count)
      : chooseCables(options.devices, middle ? 2 : count);
  const pairs: Pair[] = middle
    ? Array.from({ length: count }, (_, path) => path).flatMap((path) => {
        const [near, far] = cables.slice(CABLES_PER_MIDDLE * path) as [Cable, Cable];
        const side = path === 0 ? "m" : "n";
        return [
          { a: end("a", near.a, 1, path, true), b: end(side, near.b, 1, path, false) },
          {
            a: end(side, far.a, 2, path, false),
            b: end("b", far.b, 2, routed ? 1 : path, true),
          },
        ];
      })
    : cables.map((cable, i) => ({ a: end("a", cable.a, 1, i, true), b: end("b", cable.b, 2, i, true) }));
  const first = pairs[0]!;
  const last = middle ? pairs[1]! : first;
  const middles = middle ? { m: `${name}-m`, ...(count === MAX_MIDDLES ? { n: `${name}-n` } : {}) } : {};
  return {
    name,
    namespaces: { a: `${name}-a`, ...middles, b: `${name}-b` },
    pairs,
    a: first.a,
    b: last.b,
    middle: middle ? { a: first.b, b: last.a } : undefined,
    queues: { a: integer(each.a, 1, MAX_QUEUES, "queues"), b: integer(each.b, 1, MAX_QUEUES, "queues") },
    mtu,
    offloads: options.offloads ?? true,
    quiet,
    neighbours: options.neighbours ?? false,
    moved: options.devices !== undefined,
  };
};
