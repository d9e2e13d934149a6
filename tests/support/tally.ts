/** How many tests passed, failed and were skipped: added up, written, and read back from what a run printed. */

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NO_TALLY: Tally = { passed: 0, failed: 0, skipped: 0 };

export const plus = (one: Tally, other: Tally): Tally => ({
  passed: one.passed + other.passed,
  failed: one.failed + other.failed,
  skipped: one.skipped + other.skipped,
});

export const formatTally = ({ passed, failed, skipped }: Tally): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

const COUNTS = /(\d+) passed, (\d+) failed, (\d+) skipped/;

/** The tally in a line; undefined where it has none. */
export const readTally = (line: string): Tally | undefined => {
  const [, passed, failed, skipped] = COUNTS.exec(line) ?? [];
  if (passed === undefined) return undefined;
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
};
