/**
 * What a host can be told about its paths, with the checks.
 */
import { type DampingOptions, type DampingSettings, dampingSettings } from "./damping.ts";

export interface PathOptions {
  /** How long nothing may speak against a path that was down before it is used again, in ms. Default 1000. */
  readonly verifyMs?: number;
  /** Leave paths out of use that go down time and again. Default: see `DampingOptions`; false for never. */
  readonly damping?: DampingOptions | false;
}

export interface PathSettings {
  readonly verifyMs: number;
  readonly damping: DampingSettings | undefined;
}

/**
 * A connector that is being pushed in bounces for some tens of ms, and a switch forwards late; another path carries
 * everything meanwhile, so there is no hurry.
 */
export const VERIFY_MS = 1000;
/** A trial of a day is a mistake. */
const MAX_VERIFY_MS = 86_400_000;

const NAMES: readonly string[] = ["verifyMs", "damping"] satisfies (keyof PathOptions)[];

/** @throws TypeError or RangeError that names the option which is no good. */
export const pathSettings = (options: PathOptions = {}): PathSettings => {
  if (typeof options !== "object" || options === null) throw new TypeError("paths is an object of options");
  const unknown = Object.keys(options).find((key) => !NAMES.includes(key));
  if (unknown !== undefined)
    throw new TypeError(`paths has no option "${unknown}"; it has ${NAMES.join(", ")}`);
  const { verifyMs = VERIFY_MS, damping } = options;
  if (!(typeof verifyMs === "number" && verifyMs >= 0 && verifyMs <= MAX_VERIFY_MS))
    throw new RangeError(`verifyMs must be a number from 0 to ${MAX_VERIFY_MS}, not ${String(verifyMs)}`);
  return { verifyMs, damping: damping === false ? undefined : dampingSettings(damping) };
};
