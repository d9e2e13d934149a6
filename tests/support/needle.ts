/** Looks for bytes in all the memory of another process: what was copied anywhere is found there. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { PAGE_BYTES, pageFrames } from "./physical.ts";

/** Pages whose presence is asked for at once; a runtime reserves far more address space than it uses. */
const PAGES_AT_ONCE = 65_536;

interface Region {
  readonly from: number;
  readonly to: number;
}

/** What the process can write to, and so can have copied to. */
const writableRegions = (pid: number): Region[] =>
  readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) .w/.exec(line) ?? [];
      return from === undefined || to === undefined
        ? []
        : [{ from: parseInt(from, 16), to: parseInt(to, 16) }];
    });

/** Runs of pages that are there, so that what was never touched is not brought into being by looking at it. */
function* presentRuns(pid: number, region: Region): Generator<Region> {
  for (let at = region.from; at < region.to; at += PAGES_AT_ONCE * PAGE_BYTES) {
    const count = Math.min(PAGES_AT_ONCE, (region.to - at) / PAGE_BYTES);
    const frames = pageFrames(pid, at, count);
    for (let page = 0; page < count; page++) {
      if (frames[page]! < 0) continue;
      const first = page;
      while (page < count && frames[page]! >= 0) page += 1;
      yield { from: at + first * PAGE_BYTES, to: at + page * PAGE_BYTES };
    }
  }
}

/** The addresses in process `pid` at which `needle` stands. */
export const findNeedle = (pid: number, needle: string): number[] => {
  const found: number[] = [];
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const region of writableRegions(pid)) {
      for (const { from, to } of presentRuns(pid, region)) {
        const bytes = Buffer.allocUnsafe(to - from);
        const got = readSync(memory, bytes, 0, bytes.length, from);
        for (let at = bytes.indexOf(needle); at >= 0 && at < got; at = bytes.indexOf(needle, at + 1))
          found.push(from + at);
        // It must not be found in ourselves, should anybody look.
        bytes.fill(0);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
};
