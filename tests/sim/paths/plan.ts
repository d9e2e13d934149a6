/**
 * From a seed the plan of a small world of paths: two hosts, each with a service address, and the networks between them.
 *
 * A network is a cable between both, or a router with a cable to each. Everything that somebody watches is watched at both
 * ends: what only one end sees dead the other goes on using.
 */
import { below, chance, type Random } from "../../../stack/device/random.ts";
import type { Family } from "../../../stack/wire/address.ts";

/** Who judges the paths over a network. Only a check of the whole way sees beyond a router. */
export type Watch = "bfd" | "neighbour" | "health";

export interface NetworkPlan {
  readonly index: number;
  readonly routed: boolean;
  readonly watch: Watch;
  /** Of each cable, one way. */
  readonly delayMs: number;
  /** The same on all networks where they are equally good. */
  readonly metric: number;
}

/** What a plan of either kind of world says: of two hosts, one that asks and one that answers, and of what befalls them. */
export interface LifePlan {
  readonly seed: number;
  readonly families: readonly Family[];
  readonly policy: (typeof POLICIES)[number];
  readonly damping: boolean;
  readonly verifyMs: number;
  /** The serving host turns questions around in their frames, or sends answers of its own. */
  readonly inPlace: boolean;
  readonly sockets: number;
  /** Things that happen before all is healed. */
  readonly actions: number;
  /** The devices are closed before the hosts. */
  readonly devicesFirst: boolean;
}

export interface PathsPlan extends LifePlan {
  readonly networks: readonly NetworkPlan[];
}

const DELAYS_MS = [0, 0, 0.5, 12] as const;
export const WATCHES: readonly Watch[] = ["bfd", "neighbour", "health"];
/** How questions take one of several paths, or all. */
export const POLICIES = ["handover", "spread", "redundant"] as const;
const VERIFY_MS = [0, 200, 1000, 4000] as const;
export const FAMILIES = [4, 6] as const;
const SPOKEN = [[4], [6], [4, 6]] as const;

export const pick = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;

export const planOf = (seed: number, random: Random): PathsPlan => {
  const equal = chance(random, 0.6);
  const count = 2 + below(random, 2);
  const networks = Array.from({ length: count }, (_, index): NetworkPlan => {
    const routed = chance(random, 0.25);
    return {
      index,
      routed,
      watch: routed ? "health" : pick(random, WATCHES),
      delayMs: pick(random, DELAYS_MS),
      metric: equal ? 10 : 10 + index,
    };
  });
  return { networks, ...lifeOf(seed, pick(random, SPOKEN), random) };
};

/** The part that plans of all kinds have. */
export const lifeOf = (seed: number, families: readonly Family[], random: Random): LifePlan => ({
  seed,
  families,
  policy: pick(random, POLICIES),
  damping: chance(random, 0.7),
  verifyMs: pick(random, VERIFY_MS),
  inPlace: chance(random, 0.5),
  sockets: 1 + below(random, 3),
  actions: 6 + below(random, 8),
  devicesFirst: chance(random, 0.3),
});

/** Hosts by their part: the one that asks, the one that answers, and routers. */
export const NEAR = 1;
export const FAR = 2;
const ROUTER = 9;
/** Beyond a router the network has another number. */
const BEYOND = 64;
const SERVICE_NET = 99;

export type End = typeof NEAR | typeof FAR;

export const otherOf = (end: End): End => (end === NEAR ? FAR : NEAR);
export const endName = (end: End): "near" | "far" => (end === NEAR ? "near" : "far");

/** The number of the cable that an end is on. */
const cableOf = ({ index, routed }: NetworkPlan, end: End): number =>
  1 + index + (routed && end === FAR ? BEYOND : 0);

const text4 = (net: number, code: number): string => `10.${net}.0.${code}`;
const text6 = (net: number, code: number): string => `2001:db8:${net.toString(16)}::${code}`;
const textOf = (family: Family, net: number, code: number): string =>
  family === 4 ? text4(net, code) : text6(net, code);

/** The address of an end on a network. */
export const addressOf = (network: NetworkPlan, end: End, family: Family): string =>
  textOf(family, cableOf(network, end), end);

/** The router's address that an end sees; undefined where there is none. */
export const routerOf = (network: NetworkPlan, end: End, family: Family): string | undefined =>
  network.routed ? textOf(family, cableOf(network, end), ROUTER) : undefined;

/** The address that lives on all networks of an end. */
export const serviceOf = (end: End, family: Family): string => textOf(family, SERVICE_NET, end);

/** Locally administered: the last two octets name cable and station. */
export const macOf = (network: NetworkPlan, end: End, isRouter: boolean): Uint8Array =>
  Uint8Array.of(2, 0, 0, 0, cableOf(network, end), isRouter ? ROUTER : end);

/** A prefix length that is one address. */
export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);
