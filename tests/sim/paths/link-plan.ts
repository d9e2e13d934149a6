/** From a seed the plan of a small world of one link: two hosts on one switch, each with several interfaces, and a guest with one. */
import { below, chance, type Random } from "../../../stack/device/random.ts";
import type { AnswerMode } from "../../../stack/ip/service/service-address.ts";
import type { Family } from "../../../stack/wire/address.ts";
import { type End, FAMILIES, lifeOf, type LifePlan, pick, type Watch, WATCHES } from "./plan.ts";

/**
 * Who judges the interfaces: a monitor that asks the guest, whose interface is always well; or, for "service", one that asks
 * for the service address of the other end, so that each end's judgement hangs on the other.
 */
export type LinkWatch = Watch | "service";

export interface LinkPlan extends LifePlan {
  /** How many interfaces each end has on the link. */
  readonly seats: { readonly near: number; readonly far: number };
  readonly family: Family;
  /** How both ends answer those who look for their service address. */
  readonly answer: AnswerMode;
  readonly watch: LinkWatch;
  /** The link has a name, so that interfaces are on it also while they have no address there. */
  readonly named: boolean;
}

const ANSWERS = ["active", "spread"] as const;

export const linkPlanOf = (seed: number, random: Random): LinkPlan => {
  const family = pick(random, FAMILIES);
  return {
    seats: { near: 1 + below(random, 2), far: 2 + below(random, 2) },
    family,
    answer: pick(random, ANSWERS),
    watch: pick<LinkWatch>(random, ["service", ...WATCHES]),
    named: chance(random, 0.5),
    ...lifeOf(seed, [family], random),
  };
};

/** Addresses of an end begin here, service addresses there. */
const FIRST_CODE = 10;
const SERVICE_CODE = 90;
const GUEST_CODE = 50;
const NET = 5;

const textOf = (family: Family, code: number): string =>
  family === 4 ? `10.${NET}.0.${code}` : `2001:db8:${NET}::${code}`;

/** The length of the link's network. */
export const lengthOf = (family: Family): number => (family === 4 ? 24 : 64);

/** The address of an end's interface. */
export const seatAddress = (end: End, index: number, family: Family): string =>
  textOf(family, FIRST_CODE * end + index);

export const guestAddress = (family: Family): string => textOf(family, GUEST_CODE);

/** The address that lives on all of an end's interfaces, in the network of the link. */
export const linkService = (end: End, family: Family): string => textOf(family, SERVICE_CODE + end);

export const seatMac = (end: End, index: number): Uint8Array =>
  Uint8Array.of(2, 0, 0, 0, NET, FIRST_CODE * end + index);

export const GUEST_MAC: Uint8Array = Uint8Array.of(2, 0, 0, 0, NET, GUEST_CODE);
