/** What the two ends are told on the command line, and what they tell. */
import type { HostEvent } from "millrace";
import { readIp } from "../support/address.ts";
import { readOwn } from "../support/own-address.ts";
import { green, red, yellow } from "../support/paint.ts";
import { UsageError } from "../support/program.ts";
import type { Owner, PathEnd, PathSide, TwoPathLab } from "../two-path-lab.ts";
import type { Leg, Pulse } from "./end.ts";
import type { FlowFigures } from "./ledger.ts";

type PathEvent = Extract<HostEvent, { readonly kind: "path" }>;

const DIGITS = 1;

/**
 * "eth0,10.0.0.2/24,10.0.0.1": an interface, then its addresses with lengths and its next hops; "eth0,10.0.0.1" leaves the
 * addresses to the kernel.
 */
export const readLeg = (text: string): Leg => {
  const [device = "", ...words] = text.split(",");
  const addresses = words.filter((word) => word.includes("/"));
  const gateways = words.filter((word) => !word.includes("/"));
  if (device === "" || gateways.length === 0)
    throw new UsageError(`a leg is IFACE,ADDRESS/LEN,GATEWAY or IFACE,GATEWAY, not ${JSON.stringify(text)}`);
  for (const word of addresses) readOwn("the address of a leg", word);
  for (const word of gateways) readIp("the gateway of a leg", word);
  return { device, addresses, gateways };
};

/** One end of a laboratory's path as a leg. */
export const legOf = ({ name, ipv4, ipv6, gateways }: PathEnd, owner: Owner = "program"): Leg => ({
  device: name,
  addresses: owner === "kernel" ? [] : [`${ipv4}/24`, `${ipv6}/64`],
  gateways: [gateways[4], gateways[6]],
});

/** The arguments that make a program one of the ends of a laboratory. */
export const endArguments = (lab: TwoPathLab, end: PathSide): string[] => {
  const legs = lab.paths.map((path) => {
    const { device, addresses, gateways } = legOf(path[end], lab.ownerOf(end));
    return [device, ...addresses, ...gateways].join(",");
  });
  const own = Object.values(lab.addressOf(end)).flatMap((address: string) => ["--own", address]);
  const other = end === "client" ? "host" : "client";
  const far = Object.values(lab.addressOf(other)).flatMap((address: string) => ["--far", address]);
  return [...legs, ...own, ...far];
};

/** "10x3": three packets, 10 ms apart. */
export const readPulse = (name: string, text: string): Pulse => {
  const [, intervalMs, count] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (intervalMs === undefined || count === undefined)
    throw new UsageError(`${name} is MSxN such as 10x3, not ${JSON.stringify(text)}`);
  return { intervalMs: Number(intervalMs), count: Number(count) };
};

/** A time of this process's loop in ms since 1970, which every program of the machine counts by. */
export const epochMs = (loopMs: number): number => performance.timeOrigin + loopMs;

/** A change of a path for programs. */
export const pathRecord = ({ path, state, previous, reason, silentMs, stranded, atMs }: PathEvent) => ({
  path: path.toString(),
  state,
  previous,
  reason,
  silentMs,
  stranded,
  atMs: epochMs(atMs),
});

const COLOURS = { up: green, verifying: yellow, damped: yellow, down: red } as const;

/** The same for people, without which path it is. */
export const changeText = ({
  state,
  reason,
  silentMs,
  stranded,
}: Pick<PathEvent, "state" | "reason" | "silentMs" | "stranded">): string => {
  const isDown = state === "down";
  const seen = isDown && silentMs > 0 ? `, seen after ${silentMs.toFixed(DIGITS)} ms` : "";
  const lost = isDown && stranded > 0 ? `, ${stranded} frame${stranded === 1 ? "" : "s"} on the way` : "";
  return `${COLOURS[state](state)} (${reason}${seen}${lost})`;
};

/** The same with the path, and what it was before. */
export const pathText = (event: PathEvent): string =>
  `path ${event.path.toString()} is ${changeText(event)}; it was ${event.previous ?? "not there"}`;

/** What became of the questions of a second or of another window. */
export const figuresText = (figures: FlowFigures): string => {
  const { sent, answered, lost, duplicated, reordered, gapMs } = figures;
  const gap = `${gapMs.toFixed(DIGITS)} ms`;
  const worse = [
    ...(lost > 0 ? [`${lost} lost`] : []),
    ...(duplicated > 0 ? [`${duplicated} answered twice`] : []),
    ...(reordered > 0 ? [`${reordered} overtaken`] : []),
  ];
  return `${answered} of ${sent} answered, ${worse.length === 0 ? "" : `${worse.join(", ")}, `}longest silence ${gap}`;
};
