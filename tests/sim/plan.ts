/**
 * From a seed the plan of a small world: segments, the hosts on them, their addresses, limits, and what goes wrong.
 *
 * Segments make a tree whose inner nodes are routers. Codes of addresses differ in two bits at the least, so that a bit
 * that falls over on the way never makes one host look like another.
 */
import type { FaultRates } from "../../stack/device/fault.ts";
import { below, chance, type Random } from "../../stack/device/random.ts";

export interface SegmentPlan {
  readonly index: number;
  /** The part of addresses that names the segment. */
  readonly net: number;
  readonly mtu: number;
  /** Two stations may share a cable; more need a switch. */
  readonly kind: "cable" | "switch";
  /** 802.1Q tag of everybody on it. */
  readonly vlan: number | undefined;
  readonly faults: { readonly tx: FaultRates; readonly rx: FaultRates };
  /** Both ends of a cable live in one umem. */
  readonly shared: boolean;
  /** Somebody leases addresses and advertises the network. */
  readonly served: boolean;
}

export interface PortPlan {
  readonly segment: SegmentPlan;
  readonly mac: Uint8Array;
  readonly address4: string;
  readonly address6: string;
  readonly chunkCount: number;
  readonly ring: number;
  /** Addresses come from those who serve the segment, not from here. */
  readonly configured: boolean;
  /** Ask whether an address is free before it is used. */
  readonly dad: boolean;
}

export interface StationPlan {
  readonly index: number;
  readonly router: boolean;
  readonly ports: readonly PortPlan[];
  /** All ports of it live in one umem: it forwards in place. */
  readonly oneUmem: boolean;
  readonly neighbours: number;
  readonly slots: number;
}

export interface Plan {
  readonly seed: number;
  readonly segments: readonly SegmentPlan[];
  readonly stations: readonly StationPlan[];
  /** How many things happen before all is healed. */
  readonly actions: number;
  /** Bits may fall over, on the first segment. */
  readonly corrupts: boolean;
  /** The devices are closed before the hosts. */
  readonly devicesFirst: boolean;
}

/** Pairwise two bits apart: numbers with an even count of ones. */
const CODES = [3, 5, 6, 9, 10, 12, 15, 17] as const;
const MAX_STATIONS = 6;
const MTUS = [1500, 1500, 1500, 1400, 1280, 9000, 4000] as const;
const RINGS = [16, 64, 256] as const;
const CHUNKS = [64, 96, 256, 512] as const;
const NEIGHBOUR_LIMITS = [3, 8, 64] as const;
const SLOTS = [2, 8, 16] as const;
/** Locally administered addresses: the last two octets name segment and station. */
const macOf = (net: number, code: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, net, code);

const pick = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;

const faultsOf = (random: Random, corrupts: boolean): SegmentPlan["faults"] => {
  const mood = below(random, 4);
  const rate = (most: number): number => (mood === 0 ? 0 : (below(random, 1000) / 1000) * most * mood);
  const delayMs = [0.01, pick(random, [0.2, 5, 80])] as const;
  const line = (): FaultRates => ({
    drop: rate(0.06),
    duplicate: rate(0.04),
    reorder: rate(0.04),
    delay: mood === 1 ? 1 : rate(0.2),
    delayMs,
  });
  // A bit falls over in one direction of one segment, so a packet meets this once and its checksum always tells.
  return { tx: { ...line(), corrupt: corrupts ? 0.02 : 0 }, rx: line() };
};

const segmentOf = (random: Random, index: number, stations: number, corrupts: boolean): SegmentPlan => {
  const kind = stations > 2 || chance(random, 0.4) ? "switch" : "cable";
  const served = kind === "switch" && chance(random, 0.35);
  return {
    index,
    net: CODES[index]!,
    mtu: pick(random, MTUS),
    kind,
    vlan: !served && chance(random, 0.15) ? pick(random, CODES) : undefined,
    faults: faultsOf(random, corrupts && index === 0),
    shared: kind === "cable" && chance(random, 0.3),
    served,
  };
};

/** Which segments each station is on: a leaf for every segment, a router for every one but the first, more leaves. */
const placesOf = (random: Random): { readonly count: number; readonly places: number[][] } => {
  const count = 1 + below(random, 3);
  const places: number[][] = [];
  for (let segment = 1; segment < count; segment++) {
    const up = below(random, segment);
    const known = places.find((segments) => segments.includes(up));
    if (known !== undefined && chance(random, 0.4)) known.push(segment);
    else places.push([up, segment]);
  }
  for (let segment = 0; segment < count; segment++) places.push([segment]);
  while (places.length < 2 || (places.length < MAX_STATIONS && chance(random, 0.4)))
    places.push([below(random, count)]);
  return { count, places };
};

export const planOf = (seed: number, random: Random): Plan => {
  const corrupts = chance(random, 0.3);
  const { count, places } = placesOf(random);
  const segments = Array.from({ length: count }, (_, i) =>
    segmentOf(random, i, places.filter((segmentsOf) => segmentsOf.includes(i)).length, corrupts),
  );
  const stations = places.map((on, index): StationPlan => {
    const router = on.length > 1;
    const small = chance(random, 0.3);
    return {
      index,
      router,
      oneUmem: router && chance(random, 0.5),
      neighbours: small ? pick(random, NEIGHBOUR_LIMITS) : 64,
      slots: pick(random, SLOTS),
      ports: on.map((number): PortPlan => {
        const segment = segments[number]!;
        const code = CODES[index]!;
        return {
          segment,
          mac: macOf(segment.net, code),
          address4: `10.${segment.net}.0.${code}`,
          address6: `2001:db8:${segment.net.toString(16)}::${code.toString(16)}`,
          chunkCount: pick(random, CHUNKS),
          ring: pick(random, RINGS),
          configured: segment.served && !router && chance(random, 0.6),
          dad: chance(random, 0.3),
        };
      }),
    };
  });
  return {
    seed,
    segments,
    stations,
    actions: 60 + below(random, 120),
    corrupts,
    devicesFirst: chance(random, 0.3),
  };
};

/** Of the segment's tree the router that leads from each station to a segment that it is not on. */
export const gatewayOf = (plan: Plan, from: StationPlan, target: SegmentPlan) => {
  const seen = new Set<StationPlan>([from]);
  let edge = from.ports.map((port) => ({ port, first: undefined as StationPlan | undefined, out: port }));
  while (edge.length > 0) {
    const next: typeof edge = [];
    for (const { port, first, out } of edge) {
      for (const station of plan.stations) {
        const here = station.ports.find((other) => other.segment === port.segment);
        if (!station.router || here === undefined || seen.has(station)) continue;
        seen.add(station);
        const hop = first ?? station;
        if (station.ports.some((other) => other.segment === target)) {
          const gateway = hop.ports.find((other) => other.segment === out.segment)!;
          return { out, gateway };
        }
        for (const other of station.ports)
          if (other.segment !== port.segment) next.push({ port: other, first: hop, out });
      }
    }
    edge = next;
  }
  return undefined;
};
