/**
 * Which path is meant: a query, or a path itself, as a test of paths.
 */
import { IpAddress } from "../../wire/address.ts";
import type { Path, PathQuery } from "./path.ts";

const KEYS: readonly string[] = ["interface", "family", "gateway"] satisfies (keyof PathQuery)[];

const isPath = (which: Path | PathQuery): which is Path => "changedMs" in which;

/**
 * A test that is true for paths that fit. A path itself stands for whichever is in its place.
 *
 * @throws TypeError that names what is wrong with a query.
 */
export const queryOf = (which: Path | PathQuery): ((path: Path) => boolean) => {
  if (typeof which !== "object" || which === null)
    throw new TypeError("a path is named by { interface, family, gateway }");
  if (isPath(which)) return (path) => path.interface === which.interface && sameHop(path, which);
  const unknown = Object.keys(which).find((key) => !KEYS.includes(key));
  if (unknown !== undefined)
    throw new TypeError(`a path has no "${unknown}" to be found by; it has ${KEYS.join(", ")}`);
  const { interface: on, family, gateway } = which;
  const next = typeof gateway === "string" ? IpAddress.parse(gateway) : gateway;
  return (path) =>
    (on === undefined || path.interface === on || path.name === on) &&
    (family === undefined || path.family === family) &&
    (next === undefined ||
      (next === null ? path.gateway === undefined : path.gateway?.equals(next) === true));
};

const sameHop = (one: Path, other: Path): boolean =>
  one.family === other.family &&
  (one.gateway === undefined || other.gateway === undefined
    ? one.gateway === other.gateway
    : one.gateway.equals(other.gateway));
