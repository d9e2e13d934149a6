/** What befalls the hosts of the anycast example, one thing after the other, and what it comes to. */
import type { KeptHost } from "./kept-host.ts";
import type { ClientReport } from "./protocol.ts";
import type { Stage } from "./stage.ts";

/** One thing that befalls a host, and how that ends. */
interface Turn {
  readonly what: "drained" | "killed" | "hung" | "frozen";
  readonly tells: string;
  readonly host: number;
  readonly begin: (host: KeptHost) => void | Promise<void>;
  readonly end: (host: KeptHost) => void;
}

/** What a turn came to. Times in ms as the clients saw them. */
export interface Figures {
  readonly what: Turn["what"];
  readonly tells: string;
  readonly host: number;
  /** Of all flows, each host's part in percent: before, without the one, and when that was back. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly back: readonly number[];
  /** Flows of the host that others took over, and the pause that each of them saw. */
  readonly moved: number;
  readonly medianGapMs: number;
  readonly maxGapMs: number;
  /** Flows that changed hosts though theirs lived. */
  readonly disturbed: number;
  /** Questions without an answer while it went, and while it came back. */
  readonly lost: number;
  readonly lostBack: number;
  /** Answers to those after all, when it came back. */
  readonly late: number;
  readonly duplicates: number;
}

/** What keeps a turn from seeming over is a busy machine; it takes less than a second. */
const MOVE_LIMIT_MS = 10_000;
/** A BGP session that has to come up again takes seconds. */
const BACK_LIMIT_MS = 20_000;
/** Long enough that each flow has had many answers. */
const STEADY_MS = 700;

export const TURNS: readonly Turn[] = [
  {
    what: "drained",
    tells: "ended by its operator: withdrawn first",
    host: 1,
    begin: (host) => host.drain(),
    end: (host) => host.start(),
  },
  {
    what: "killed",
    tells: "service killed: its keeper withdraws",
    host: 2,
    begin: (host) => host.strike("SIGKILL"),
    end: () => {},
  },
  {
    what: "hung",
    tells: "service hangs: no heartbeat for 500 ms",
    host: 1,
    begin: (host) => host.strike("SIGSTOP"),
    end: () => {},
  },
  {
    what: "frozen",
    tells: "machine stands still: BFD 3 x 100 ms",
    host: 2,
    begin: (host) => host.freeze(),
    end: (host) => host.thaw(),
  },
];

const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** All that found no answer in time, whether or not one came after all. */
const missed = ({ lost, late }: ClientReport): number => lost + late;

/** Plays one turn to its end, when the host has its part of the flows again. */
export const play = async (stage: Stage, turn: Turn): Promise<Figures> => {
  const host = stage.hosts.find(({ number }) => number === turn.host)!;
  const at = stage.hosts.indexOf(host);
  await stage.pass(STEADY_MS);
  stage.takeMoves();
  const [before, start] = [stage.shares(), stage.report];
  await turn.begin(host);
  await stage.until("its share to move", () => stage.shares()[at] === 0, MOVE_LIMIT_MS);
  await stage.pass(STEADY_MS);
  const [after, moves, gone] = [stage.shares(), stage.takeMoves(), stage.report];
  turn.end(host);
  await stage.until("its share to come back", () => stage.shares()[at]! >= before[at]! / 2, BACK_LIMIT_MS);
  await stage.pass(STEADY_MS);
  const end = stage.report;
  const gaps = moves.filter(({ from }) => from === host.number).map(({ gapMs }) => gapMs);
  return {
    what: turn.what,
    tells: turn.tells,
    host: host.number,
    before,
    after,
    back: stage.shares(),
    moved: gaps.length,
    medianGapMs: medianOf(gaps),
    maxGapMs: Math.max(0, ...gaps),
    disturbed: moves.length - gaps.length,
    lost: missed(gone) - missed(start),
    lostBack: missed(end) - missed(gone),
    late: end.late - start.late,
    duplicates: end.duplicates - start.duplicates,
  };
};
