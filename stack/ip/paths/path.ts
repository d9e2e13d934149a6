/**
 * A path as others see it: a way out of the host over one interface to one next hop, and whether it lives. Types only.
 */
import type { Family, IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import type { NeighbourState } from "../neighbours/neighbour.ts";

/**
 * "up" is used. "verifying" and "damped" are used only where no path that is up leads to a destination: they lived last time
 * that anybody looked, and are on trial. "down" is not used.
 */
export type PathState = "up" | "verifying" | "damped" | "down";

/** Why a path is in its state. */
export type PathReason =
  /** It was not there before. */
  | "new"
  /** The carrier was lost, or the device closed. */
  | "link"
  /** The interface left the host. */
  | "gone"
  /** The device takes frames and completes none. */
  | "stalled"
  /** A monitor of that kind says so. */
  | "neighbour"
  | "bfd"
  | "route"
  | "health"
  /** Nothing has spoken against it for long enough. */
  | "verified"
  /** It went down too often. */
  | "flapping"
  /** The program said so. */
  | "administrative";

/** "unknown" is neutral for a path that never was down; one that was comes back only when all its monitors say "up". */
export type Verdict = "unknown" | "up" | "down";

/** What everybody may see of a monitor. */
export interface Judge {
  /** What it goes by, which becomes the reason of a change: "neighbour", "bfd", "route", "health"; another counts as "health". */
  readonly kind: string;
  /** Its judgement now. */
  readonly verdict: Verdict;
  /** The last round trip that it measured, in ms. */
  readonly rttMs: number | undefined;
}

/** The next hop of a path on its link. */
export interface PathNeighbour {
  /** What is known of its being there (RFC 4861 section 7.3.2); beside the kernel, what the kernel knows. */
  readonly state: NeighbourState;
  readonly mac: MacAddress | undefined;
}

/** Counters of a path since it came. */
export interface PathStatistics {
  /**
   * Packets of the host's own that a route led over it. Answers in the frame that their question came in go back without a
   * route, and count for the interface alone, as what is forwarded does.
   */
  readonly sent: number;
  /** How often it went down. */
  readonly downs: number;
  /** How often it was kept out of use for going down too often. */
  readonly damped: number;
  /**
   * Frames that its device had taken and not completed when it went down: nobody knows whether they left. All of the device's,
   * so that paths which die together each tell of the same ones.
   */
  readonly stranded: number;
  /** Packets that waited for the next hop's Ethernet address when it went down, and were given up. */
  readonly givenUp: number;
  /** How long it was down, all told, in ms; up to now where it is. */
  readonly downMs: number;
}

/** One object for the life of a path, which ends with the last route over it. */
export interface Path {
  /** The host's number for it, never used again. */
  readonly id: number;
  /** The host's number of the interface. */
  readonly interface: number;
  /** The interface's name. */
  readonly name: string;
  /** Of the packets that go over it. */
  readonly family: Family;
  /** The next hop; undefined for whoever is on the link. */
  readonly gateway: IpAddress | undefined;
  /** The next hop as the interface's table of neighbours has it now; undefined without one, and where nobody has asked for it. */
  readonly neighbour: PathNeighbour | undefined;
  readonly state: PathState;
  readonly reason: PathReason;
  /** When it came into its state, in ms of the loop's clock. */
  readonly changedMs: number;
  /** Round trip to the next hop or beyond, in ms, by the last of its monitors that has measured one. */
  readonly rttMs: number | undefined;
  readonly monitors: readonly Judge[];
  /** False once the last route over it is gone. */
  readonly live: boolean;
  statistics(): PathStatistics;
  /** "eth0 via 10.0.0.1", "eth0 on-link IPv4". */
  toString(): string;
}

/** What changed about a path, why, and how long it took to see. */
export interface PathChange {
  readonly path: Path;
  readonly state: PathState;
  /** Undefined for a path that was not there before. */
  readonly previous: PathState | undefined;
  readonly reason: PathReason;
  /** Ms from the last sign of life to the moment that the change was seen; 0 where the change itself was told. */
  readonly silentMs: number;
  /** Of this change, where it went down; see `PathStatistics`. */
  readonly stranded: number;
  readonly givenUp: number;
}

/** Which path: every field that is given has to fit. */
export interface PathQuery {
  /** Name, or the host's number. */
  readonly interface?: string | number;
  readonly family?: Family;
  /** The next hop; null for the path to whoever is on the link. */
  readonly gateway?: string | IpAddress | null;
}
