/** Silent cuts: the nftables rules in the middle of a path that lose frames of one direction on one cable, and count them. */
import type { TwoPath } from "./two-path-plan.ts";

/** Which way frames go. */
export type Direction = "to-host" | "to-client";
/** The cable on which something happens to a path: the client's or the host's. */
export type Cable = "client" | "host";

export const DIRECTIONS = ["to-host", "to-client"] as const;
const CABLES = ["client", "host"] as const;
const TABLE = "cuts";
/** Shares are drawn from so many numbers. */
const DRAWS = 1000;

const chain = (direction: Direction, at: Cable): string => `${direction}-at-${at}`;

/** Frames from an end enter the middle on its own cable; they leave it on the other's. */
const hookOf = ({ towards }: TwoPath, direction: Direction, at: Cable): string => {
  const enters = (direction === "to-host") === (at === "client");
  return `type filter hook ${enters ? "ingress" : "egress"} device "${towards[at]}" priority 0`;
};

/** Text for `nft -f` that makes the table: a chain for each direction and cable, each with its counter, and no rules. */
export const cutTable = (path: TwoPath): string => {
  const all = DIRECTIONS.flatMap((direction) => CABLES.map((at) => ({ direction, at })));
  const counters = all.map(({ direction, at }) => `  counter ${chain(direction, at)} {}`);
  const chains = all.map(
    ({ direction, at }) =>
      `  chain ${chain(direction, at)} { ${hookOf(path, direction, at)}; policy accept; }`,
  );
  return [`table netdev ${TABLE} {`, ...counters, ...chains, "}", ""].join("\n");
};

/** Text for `nft -f`: a share of what goes this way on this cable is lost from now on, all or nothing included. */
export const cutText = (direction: Direction, at: Cable, share: number): string => {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`share is 0 to 1, not ${share}`);
  const name = chain(direction, at);
  const lost = Math.round(share * DRAWS);
  const some = lost === DRAWS ? "" : `numgen random mod ${DRAWS} < ${lost} `;
  const rule = lost === 0 ? [] : [`add rule netdev ${TABLE} ${name} ${some}counter name "${name}" drop`];
  return [`flush chain netdev ${TABLE} ${name}`, ...rule, ""].join("\n");
};

/** Text for `nft -f` that loses nothing any more. */
export const healText = (): string =>
  DIRECTIONS.flatMap((direction) => CABLES.map((at) => cutText(direction, at, 0))).join("");

/** The words that show the counters, and how many frames of each direction they say were lost. */
export const COUNTERS = ["nft", "-j", "list", "counters", "table", "netdev", TABLE] as const;

export const readCounters = (json: string): Record<Direction, number> => {
  const { nftables } = JSON.parse(json) as {
    readonly nftables: readonly { readonly counter?: { readonly name: string; readonly packets: number } }[];
  };
  const sum = (direction: Direction): number =>
    nftables.reduce(
      (all, { counter }) => all + (counter?.name.startsWith(`${direction}-`) === true ? counter.packets : 0),
      0,
    );
  return { "to-host": sum("to-host"), "to-client": sum("to-client") };
};
