/**
 * Runs millrace and its peers in turns (A B A B ...) and makes lines of their readings.
 */
import { lineOf, type Line } from "./report.ts";

/** What one run measured, by metric. */
export type Readings = Readonly<Record<string, number>>;

export interface Contender {
  readonly name: string;
  /** One run: set up, warm up, measure, tear down. */
  run(): Promise<Readings>;
}

export interface Contest {
  /** The lines to make: each from one metric of the readings. */
  readonly metrics: readonly { readonly metric: string; readonly name: string; readonly unit: string }[];
  readonly conditions: string;
  readonly millrace: Contender;
  readonly peers: readonly Contender[];
  /** True names the first peer in its line, too: `name/peer`. */
  readonly everyPeerNamed?: boolean;
}

/** A failed run is tried again so many times: a machine under load may drop a packet that something waited for. */
const RETRIES = 2;

const attempt = async (contender: Contender, what: string): Promise<Readings> => {
  for (let tried = 0; ; tried++) {
    try {
      return await contender.run();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (tried === RETRIES) throw new Error(`${what}: ${contender.name}: ${text}`, { cause: error });
      console.error(`${what}: ${contender.name}: ${text}; once more`);
    }
  }
};

/** Readings of one metric over all pairs. */
const column = (readings: readonly Readings[], metric: string): number[] =>
  readings.map((each) => {
    const value = each[metric];
    if (value === undefined || !Number.isFinite(value)) throw new Error(`a run gave no reading of ${metric}`);
    return value;
  });

/**
 * Runs `pairs` rounds. The bare name is the line against the first peer, unless every peer is to be named; `name/peer` those
 * against the others.
 */
export const hold = async (contest: Contest, pairs: number): Promise<Line[]> => {
  const { metrics, conditions, millrace, peers, everyPeerNamed = false } = contest;
  const what = metrics[0]?.name ?? "contest";
  const ours: Readings[] = [];
  const theirs = peers.map((): Readings[] => []);
  for (let pair = 0; pair < pairs; pair++) {
    console.error(`${what}: pair ${pair + 1} of ${pairs}`);
    ours.push(await attempt(millrace, what));
    for (const [i, peer] of peers.entries()) theirs[i]?.push(await attempt(peer, what));
  }
  return metrics.flatMap(({ metric, name, unit }) => {
    const mine = column(ours, metric);
    if (peers.length === 0) return [lineOf({ name, unit, conditions }, mine, null, [])];
    return peers.map((peer, i) =>
      lineOf(
        { name: i === 0 && !everyPeerNamed ? name : `${name}/${peer.name}`, unit, conditions },
        mine,
        peer.name,
        column(theirs[i] ?? [], metric),
      ),
    );
  });
};
