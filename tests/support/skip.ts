/**
 * Tests that this machine cannot run say why, and in CI a test that it could have run must run.
 *
 * Use: `test.skipIf(skipUnless(isRoot, "needs root", { couldRun: true }))("...", ...)`, or with `describe.skipIf`.
 */

/** Every reason given in this process, for whoever prints the summary. */
export const skipped: string[] = [];

/**
 * True (skip) where `condition` does not hold. `couldRun` says whether a machine like this one could satisfy it (being
 * root, a package installed), in contrast to what its kernel or hardware refuses: in CI the former is an error.
 */
export const skipUnless = (
  condition: boolean,
  reason: string,
  options: { readonly couldRun: boolean },
): boolean => {
  if (condition) return false;
  if (options.couldRun && process.env.CI === "true") throw new Error(`CI must not skip this: ${reason}`);
  skipped.push(reason);
  console.warn(`skipped: ${reason}${options.couldRun ? "" : " (not possible on this machine)"}`);
  return true;
};

/** True (skip) where no lab can be made: not root, or a tool is missing. */
export const skipWithoutLab = (unavailable: string | undefined): boolean =>
  skipUnless(unavailable === undefined, unavailable ?? "", { couldRun: true });
