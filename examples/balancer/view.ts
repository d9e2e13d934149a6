/**
 * What a balancer does, in lines for a terminal.
 */
import type { BackendState, BalancerStatistics } from "millrace";
import { gauge, green, red, yellow } from "../support/paint.ts";
import { grouped, packetRate } from "../support/meter.ts";
import type { MemberReport } from "./pool.ts";

const BAR = 24;
const ADDRESS_WIDTH = 22;
const MS_DIGITS = 2;
/** Width of the longest state. */
const STATE_WIDTH = 8;

const PAINT: Readonly<Record<BackendState, (text: string) => string>> = {
  up: green,
  draining: yellow,
  down: red,
  removed: red,
};

/** What the balancer counted, and how many flows lost their backend and got another. */
export interface Told extends BalancerStatistics {
  readonly moved: number;
}

/** A backend with what it gets by now. */
export interface Seen extends MemberReport {
  readonly pps: number;
}

/** One line for each backend: its state, its share of the packets as a bar, and its figures. */
export const backendLines = (all: readonly Seen[]): string[] => {
  const most = Math.max(1, ...all.map(({ pps }) => pps));
  return all.map(({ address, state, weight, flows, pps, packets, rttMs }) => {
    const rtt = rttMs === null ? "" : `  ${rttMs.toFixed(MS_DIGITS)} ms`;
    return (
      `${address.padEnd(ADDRESS_WIDTH)} ${PAINT[state](state.padEnd(STATE_WIDTH))} x${weight}  ${gauge(pps, most, BAR)} ` +
      `${packetRate(pps).padStart(10)}  ${grouped(flows)} flows, ${grouped(packets)} packets${rtt}`
    );
  });
};

/** All together in one line. */
export const summaryLine = (pps: number, now: Told): string => {
  const { forwarded, flows, unserved, tooBig, cut, full, unreachable, unresolved, icmpErrors, moved } = now;
  return (
    `${packetRate(pps).padStart(10)}   ${grouped(forwarded)} sent on, ${grouped(flows.flows)} flows, ${grouped(moved)} moved, ` +
    `${icmpErrors} ICMP errors handed on, ${tooBig} too big, ${cut} cut, ` +
    `${unserved + unreachable + unresolved + full} lost`
  );
};
