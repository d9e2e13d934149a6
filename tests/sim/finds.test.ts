/** What worlds of paths find: something is broken on purpose for as long as it takes until a world complains of it. */
import { describe, expect, test } from "bun:test";
import { BfdSession } from "../../stack/bfd/session.ts";
import { Penalty } from "../../stack/ip/paths/damping.ts";
import { LinkSigns } from "../../stack/ip/paths/link-signs.ts";
import { NeighbourMonitor } from "../../stack/ip/paths/neighbour-monitor.ts";
import { ParkedChunks } from "../../stack/ip/parked.ts";
import { RouteTable } from "../../stack/ip/routes/routes.ts";
import { Service } from "../../stack/ip/service/service.ts";
import { Services } from "../../stack/ip/service/services.ts";
import { CopyFilter } from "../../stack/multipath/copy-filter.ts";
import { simulateLink, simulatePaths } from "./paths/simulate.ts";

type Method = (...parameters: never[]) => unknown;

/** One thing that is broken, in which worlds that shows, and what they say. */
interface Break {
  readonly what: string;
  readonly of: object;
  readonly name: string;
  /** Takes the place of the method, or of what a getter gives. */
  readonly with: Method;
  readonly run: typeof simulatePaths | typeof simulateLink;
  readonly says: RegExp;
}

/** Ten times what the slowest takes. */
const SEEDS = 100;
const PATIENCE_MS = 120_000;

const nothing = (): void => {};

const BREAKS: readonly Break[] = [
  {
    what: "routes that never hear of a dead path",
    of: RouteTable.prototype,
    name: "setHopUse",
    with: nothing,
    run: simulatePaths,
    says: /data leaves .* is down/,
  },
  {
    what: "a BFD session that calls everything alive",
    of: BfdSession.prototype,
    name: "verdict",
    with: () => "up",
    run: simulateLink,
    says: /though it is dead|had no answer/,
  },
  {
    what: "a monitor of neighbours that calls everything alive",
    of: NeighbourMonitor.prototype,
    name: "verdict",
    with: () => "up",
    run: simulatePaths,
    says: /though its network is dead|had no answer/,
  },
  {
    what: "a carrier that nobody looks at",
    of: LinkSigns.prototype,
    name: "change",
    with: nothing,
    run: simulatePaths,
    says: /though its network is dead|had no answer|flow .* moves/,
  },
  {
    what: "damping that is forgotten",
    of: Penalty.prototype,
    name: "remainingMs",
    with: () => 0,
    run: simulatePaths,
    says: /it flaps, until/,
  },
  {
    what: "doubles that are handed on",
    of: CopyFilter.prototype,
    name: "take",
    with: function (this: CopyFilter, { at }: { at: number }) {
      return at + this.headerBytes;
    } as Method,
    run: simulatePaths,
    says: /was (heard|answered) twice/,
  },
  {
    what: "packets that are given up and keep their chunks",
    of: ParkedChunks.prototype,
    name: "drop",
    with: nothing,
    run: simulatePaths,
    says: /chunks kept|chunks are (kept|missing)|were lost/,
  },
  {
    what: "a speaker for a service address that is never elected anew",
    of: Services.prototype,
    name: "standingChanged",
    with: nothing,
    run: simulateLink,
    says: /speaks for its host though it is dead|had no answer/,
  },
  {
    what: "a speaker that takes over without a word",
    of: Service.prototype,
    name: "announce",
    with: nothing,
    run: simulateLink,
    says: /guest .* had no answer/,
  },
];

/** Breaks it and runs seeds until a world complains; what that says, and of which seed. */
const firstComplaint = ({ of, name, with: broken, run }: Break): string | undefined => {
  const whole = Object.getOwnPropertyDescriptor(of, name)!;
  const isGetter = whole.get !== undefined;
  Object.defineProperty(of, name, isGetter ? { ...whole, get: broken } : { ...whole, value: broken });
  try {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const [complaint] = run(seed).complaints;
      if (complaint !== undefined) return `seed ${seed}: ${complaint}`;
    }
    return undefined;
  } finally {
    Object.defineProperty(of, name, whole);
  }
};

describe("a world of paths complains of", () => {
  test.each(BREAKS)(
    "$what",
    (one) => {
      expect(firstComplaint(one)).toMatch(one.says);
    },
    PATIENCE_MS,
  );
});
