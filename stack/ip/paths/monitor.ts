/**
 * Who says whether a path lives: what the paths ask of a monitor, whatever it goes by. Types only.
 */
import type { Judge, Path, Verdict } from "./path.ts";

export type { Verdict } from "./path.ts";

/** BFD sessions, probes of neighbours, checks of an application: they judge one path at a time. */
export interface PathMonitor extends Judge {
  /**
   * Begins to judge `path`. `changed` is to be called after each change of verdict, with the ms from the last sign of life to
   * now (the detection time; 0 where the peer said it itself). May be called again after `close`, for the same path or the
   * one that came in its place.
   */
  start(path: Path, changed: (verdict: Verdict, silentMs: number) => void): void;
  /** Ends: the path went, or nobody wants to know any more. `changed` is not called after that. Idempotent. */
  close(): void;
}

/** What `paths.watch` returns: the bond between a monitor and a path, which lasts while paths come and go. */
export interface PathWatch {
  /** The path that it judges now; undefined while there is none that fits. */
  readonly path: Path | undefined;
  readonly monitor: PathMonitor;
  /** False after `close`. */
  readonly active: boolean;
  /** Ends it and its monitor. Idempotent. */
  close(): void;
  [Symbol.dispose](): void;
}
