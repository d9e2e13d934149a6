/**
 * A service address as others see it, and what can be asked of one: an address that lives on all of a host's interfaces.
 */
import { IpAddress } from "../../wire/address.ts";
import type { AddressState } from "../addresses/addresses.ts";

/**
 * Which interface answers those who look for the address on a link that several interfaces are on. "active": one for all,
 * the same as long as it is usable. "spread": each asker has one of those that are usable, by a hash of who asks for what;
 * where one goes, only its askers move.
 */
export type AnswerMode = "active" | "spread";

export interface ServiceOptions {
  /** Default "active". */
  readonly answer?: AnswerMode;
  /**
   * Find out first, once a link, whether somebody has the address. False for one that several hosts offer. Default: IPv6 alone,
   * as with other addresses.
   */
  readonly dad?: boolean;
}

/** One interface that has a service address. */
export interface ServiceCarrier {
  /** The host's number of the interface, and its name. */
  readonly interface: number;
  readonly name: string;
  /** It receives only what is for an address that is "preferred" here. */
  readonly state: AddressState;
  /** It speaks for the address on its link: it announces it, and in "active" mode answers for it. */
  readonly announces: boolean;
}

/** What `host.addService` gives. */
export interface ServiceAddress {
  readonly address: IpAddress;
  readonly answer: AnswerMode;
  /** The interfaces that have it now, by their numbers. */
  carriers(): readonly ServiceCarrier[];
}

/** Another interface speaks for a service address on a link than before. */
export interface ServiceMove {
  readonly address: IpAddress;
  /** The interface that does now. */
  readonly interface: number;
  readonly name: string;
  /** The one that did, which may have left; 0 where none did. */
  readonly previous: number;
}

export interface ServiceStatistics {
  readonly services: number;
  /** How often another interface took over on a link, counted for each address. */
  readonly moves: number;
  /** Questions that reached an interface whose turn it was not, alone: the one whose turn it was told the asker. */
  readonly handedOn: number;
  /** Askers that are remembered because each may have another interface. */
  readonly askers: number;
  /** Askers that were forgotten to make room; what moves is announced to all for their sake. */
  readonly forgotten: number;
  /** Interfaces that had no room for an address. */
  readonly refused: number;
}

const ANSWER_MODES: ReadonlySet<unknown> = new Set<AnswerMode>(["active", "spread"]);
const KEYS: ReadonlySet<string> = new Set<keyof ServiceOptions>(["answer", "dad"]);

/** Reads what `addService` is given. Throws a TypeError or RangeError that names what is wrong. */
export const checkService = (
  given: string | IpAddress,
  options: ServiceOptions,
): { readonly address: IpAddress; readonly answer: AnswerMode; readonly dad: boolean } => {
  const address = given instanceof IpAddress ? given : IpAddress.parse(given);
  const unknown = Object.keys(options).find((key) => !KEYS.has(key));
  if (unknown !== undefined)
    throw new TypeError(`a service has no option "${unknown}"; it has ${[...KEYS].join(", ")}`);
  const { answer = "active", dad = address.family === 6 } = options;
  if (!ANSWER_MODES.has(answer)) throw new TypeError(`answer is "active" or "spread", not ${String(answer)}`);
  if (typeof dad !== "boolean") throw new TypeError(`dad is true or false, not ${String(dad)}`);
  const { multicast, unspecified, limitedBroadcast, loopback, linkLocal } = address;
  if (multicast || unspecified || limitedBroadcast || loopback)
    throw new RangeError(`a service address must be a unicast address, not ${address}`);
  if (linkLocal) throw new RangeError(`a service address must mean the same on all links, not ${address}`);
  return { address, answer, dad };
};
