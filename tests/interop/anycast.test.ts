/**
 * The anycast example as a person runs it: BIRD announces the address of two hosts, a kernel spreads flows over them, and each
 * way for a host to end moves its share and nothing else.
 */
import { describe, expect, test } from "bun:test";
import { Ground } from "../../examples/anycast/ground.ts";
import type { Figures } from "../../examples/anycast/story.ts";
import { Example } from "../support/example.ts";
import { skipUnless } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const reason = Ground.unavailable();
const without = skipUnless(reason === undefined, reason ?? "", { couldRun: true });
/** Of 64 flows; that a fair spread misses this range happens less than once in a million runs. */
const FAIR = { least: 18, most: 82 };
/** A machine busy with other tests takes its time; without the withdrawal the gap has no end. */
const LONGEST_GAP_MS = 8000;

interface Record {
  readonly pps: number;
  readonly answeredPps: number;
  readonly established: number;
  /** Percent of the flows of each family, host by host. */
  readonly byFamily: { readonly 4: readonly number[]; readonly 6: readonly number[] };
}

describe.skipIf(without)("anycast", () => {
  test(
    "each host's share moves when it ends, in four ways, and comes back; flows of the other notice nothing",
    async () => {
      using example = new Example("anycast", ["--json"]);
      expect(await example.ended()).toBe(0);
      expect(await example.stderr).toBe("");
      const records: readonly object[] = example.records;
      const turns = records.filter((each): each is Figures => "what" in each);
      expect(turns.map(({ what }) => what)).toEqual(["drained", "killed", "hung", "frozen"]);
      for (const { host, before, after, back, moved, disturbed, duplicates, maxGapMs } of turns) {
        const [gone, other] = host === 1 ? [0, 1] : [1, 0];
        expect(before[gone]).toBeWithin(FAIR.least, FAIR.most);
        expect(before[gone]! + before[other]!).toBe(100);
        expect([after[gone], after[other]]).toEqual([0, 100]);
        // The router's hash is the same as before, so the same flows are back.
        expect(back).toEqual(before);
        expect(moved).toBe(Math.round((64 * before[gone]!) / 100));
        expect({ disturbed, duplicates }).toEqual({ disturbed: 0, duplicates: 0 });
        expect(maxGapMs).toBeLessThan(LONGEST_GAP_MS);
      }
      // Who says goodbye first loses nothing; who is struck down loses what was on its way until that is known.
      expect(turns.map(({ lost }) => lost > 0)).toEqual([false, true, true, true]);
      const seconds = records.filter((each): each is Record => "established" in each);
      const frozenAt = records.indexOf(turns[2]!);
      const calm = seconds.filter((each) => records.indexOf(each) < frozenAt && each.answeredPps > 0);
      // Both families are spread, and moved: of neither has a host that is gone a flow left.
      for (const family of [4, 6] as const) {
        const shares = seconds.map(({ byFamily }) => byFamily[family]);
        expect(shares.some((each) => each.every((share) => share > 0))).toBe(true);
        for (const alone of [
          [100, 0],
          [0, 100],
        ])
          expect(shares).toContainEqual(alone);
      }
      // The daemon's sessions are the kernel's, and stay up whatever becomes of the service beside them.
      expect(calm.length).toBeGreaterThan(3);
      expect(new Set(calm.map(({ established }) => established))).toEqual(new Set([2]));
      expect(records.at(-1)).toEqual({ done: true, good: true });
    },
    LIMIT_MS,
  );

  test(
    "one family alone is enough, and Ctrl-C ends it at any time with nothing left",
    async () => {
      using example = new Example("anycast", ["--json", "--flows", "16", "--address", "fd77:9::9"]);
      await example.record("answers", (each) => (each["answeredPps"] ?? 0) > 0);
      expect(await example.end()).toBe(0);
      expect(await example.stderr).toBe("");
    },
    LIMIT_MS,
  );

  test(
    "says what it does not understand",
    async () => {
      for (const [args, said] of [
        [["--address", "here"], '--address is an IP address, not "here"'],
        [
          ["--address", "10.9.9.9", "--address", "10.9.9.8"],
          "--address is one of each family at most, not 10.9.9.9 and 10.9.9.8",
        ],
        [["eth0"], 'takes no words, not "eth0"'],
      ] as const) {
        using example = new Example("anycast", args);
        expect(await example.ended()).toBe(2);
        expect(await example.stderr).toStartWith(said);
      }
    },
    LIMIT_MS,
  );
});
