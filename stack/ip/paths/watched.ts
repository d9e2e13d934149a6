/**
 * What monitors share: the host that they are of, and one path at a time that they judge.
 */
import type { Host } from "../host.ts";
import type { Environment } from "../environment.ts";
import type { Verdict } from "./path.ts";

/** What monitors need of a host. */
export type MonitorHost = Pick<Host, "loop" | "network" | "interfaces" | "ping" | "on" | "routes">;

/** Called with each change of verdict and the ms since the last sign of life. */
export type Changed = (verdict: Verdict, silentMs: number) => void;

/** Time and randomness of a host. */
export const environmentOf = ({ loop, network }: MonitorHost): Environment => ({
  timers: loop,
  random: network.random,
});

/** Throws a TypeError where a monitor that judges a path already is given another. */
export const assertIdle = (kind: string, judged: object | undefined): void => {
  if (judged === undefined) return;
  throw new TypeError(`this ${kind} monitor judges a path already: close it first, or make another`);
};
