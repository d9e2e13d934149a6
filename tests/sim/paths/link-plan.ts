/** From a seed the plan of a small world of one link: two hosts on one switch, each with several interfaces and a service address. */
import { below, chance, type Random } from "../../../stack/device/random.ts";
import type { AnswerMode } from "../../../stack/ip/service/service-address.ts";
import type { Family } from "../../../stack/wire/address.ts";
import { type End, NEAR, POLICIES } from "./plan.ts";

export interface LinkPlan {
  readonly seed: number;
  /** How many interfaces each end has on the link. */
  readonly seats: { readonly near: number; readonly far: number };
  readonly family: Family;
  readonly policy: (typeof POLICIES)[number];
  /** How both ends answer those who look for their service address. */
  readonly answer: AnswerMode;
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

const FAMILIES = [4, 6] as const;
const ANSWERS = ["active", "spread"] as const;
const VERIFY_MS = [0, 200, 1000] as const;

const pick = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;

export const linkPlanOf = (seed: number, random: Random): LinkPlan => ({
  seed,
  seats: { near: 1 + below(random, 2), far: 2 + below(random, 2) },
  family: pick(random, FAMILIES),
  policy: pick(random, POLICIES),
  answer: pick(random, ANSWERS),
  damping: chance(random, 0.7),
  verifyMs: pick(random, VERIFY_MS),
  inPlace: chance(random, 0.5),
  sockets: 1 + below(random, 3),
  actions: 6 + below(random, 8),
  devicesFirst: chance(random, 0.3),
});

/** Addresses of an end begin here, service addresses there. */
const FIRST_CODE = 10;
const SERVICE_CODE = 90;
const NET = 5;

const textOf = (family: Family, code: number): string =>
  family === 4 ? `10.${NET}.0.${code}` : `2001:db8:${NET}::${code}`;

/** The address of an end's interface, with the length of its network. */
export const seatAddress = (end: End, index: number, family: Family): string =>
  `${textOf(family, FIRST_CODE * end + index)}/${family === 4 ? 24 : 64}`;

/** The address that lives on all of an end's interfaces, in the network of the link. */
export const linkService = (end: End, family: Family): string => textOf(family, SERVICE_CODE + end);

export const seatMac = (end: End, index: number): Uint8Array =>
  Uint8Array.of(2, 0, 0, 0, NET, FIRST_CODE * end + index);

export const endName = (end: End): "near" | "far" => (end === NEAR ? "near" : "far");
