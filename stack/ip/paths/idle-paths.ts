/**
 * How many paths of each interface and family are not in use, so that nobody walks over all of them at each change of one.
 */
import type { PathRecord } from "./path-record.ts";

export class IdlePaths {
  /** By interface and family. */
  readonly #idle = new Map<string, Set<PathRecord>>();

  /** Takes a path as it is now; true where all of its interface and family are in use. */
  count(path: PathRecord): boolean {
    const key = `${path.interface} ${path.family}`;
    const idle = this.#idle.get(key) ?? new Set();
    if (path.live && path.state !== "up") idle.add(path);
    else idle.delete(path);
    if (idle.size > 0) this.#idle.set(key, idle);
    else this.#idle.delete(key);
    return idle.size === 0;
  }

  /** An interface left, and all of its paths end. */
  left(interfaceIndex: number): void {
    for (const family of [4, 6]) this.#idle.delete(`${interfaceIndex} ${family}`);
  }
}
