/**
 * Who watches which path: the bonds between monitors and paths, which hold while paths come and go.
 */
import type { PathMonitor, PathWatch } from "./monitor.ts";
import type { PathRecord } from "./path-record.ts";

/** Monitors of one host: one for each path that there can be. */
export const MAX_WATCHES = 4096;
/** Monitors of one path: each is asked at every change of it. */
export const MAX_MONITORS = 16;

/** What a watch asks of the paths. */
export interface WatchIo {
  /** The first path that fits. */
  seek(fits: (path: PathRecord) => boolean): PathRecord | undefined;
  /** A monitor of the path has another opinion, or came or went. */
  judged(path: PathRecord, monitor: PathMonitor, silentMs: number): void;
  /** A path came back whose monitor knew it alive before, and has yet to say so again. */
  doubted(path: PathRecord, monitor: PathMonitor): void;
  /** Does what may throw, and reports that later. */
  safely(act: () => void): void;
}

class Watch implements PathWatch {
  readonly monitor: PathMonitor;
  readonly fits: (path: PathRecord) => boolean;
  path: PathRecord | undefined;
  active = true;
  /** The monitor has called a path alive: its silence about the next one says something. */
  sawLife = false;
  readonly #watches: Watches;

  constructor(watches: Watches, monitor: PathMonitor, fits: (path: PathRecord) => boolean) {
    this.#watches = watches;
    this.monitor = monitor;
    this.fits = fits;
  }

  close(): void {
    this.#watches.end(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export class Watches {
  readonly #io: WatchIo;
  readonly #watches = new Set<Watch>();

  constructor(io: WatchIo) {
    this.#io = io;
  }

  /**
   * A bond between a monitor and the first path that fits. Throws a TypeError where the monitor has one already, and a
   * RangeError where there are too many.
   */
  add(monitor: PathMonitor, fits: (path: PathRecord) => boolean): PathWatch {
    for (const watch of this.#watches)
      if (watch.monitor === monitor)
        throw new TypeError("this monitor watches a path already: it takes one of its own");
    if (this.#watches.size >= MAX_WATCHES)
      throw new RangeError(`a host has at most ${MAX_WATCHES} monitors of paths`);
    const watch = new Watch(this, monitor, fits);
    const path = this.#io.seek((one) => fits(one));
    if (path !== undefined && path.monitors.length >= MAX_MONITORS)
      throw new RangeError(`a path has at most ${MAX_MONITORS} monitors; "${path.toString()}" has them`);
    this.#watches.add(watch);
    try {
      if (path !== undefined) this.#bind(watch, path);
    } catch (error) {
      this.end(watch);
      throw error;
    }
    return watch;
  }

  /** A path came: those who waited for one like it begin. */
  came(path: PathRecord): void {
    for (const watch of [...this.#watches])
      // One before it may have ended the path.
      if (path.live && watch.path === undefined && path.monitors.length < MAX_MONITORS && watch.fits(path))
        this.#io.safely(() => this.#bind(watch, path));
  }

  /** A path went: its monitors end, and begin again with another that fits. */
  went(path: PathRecord): void {
    for (const watch of [...this.#watches]) {
      if (watch.path !== path) continue;
      this.#unbind(watch, path);
      const other = this.#io.seek((one) => one.monitors.length < MAX_MONITORS && watch.fits(one));
      if (other !== undefined) this.#io.safely(() => this.#bind(watch, other));
    }
  }

  end(watch: Watch): void {
    if (!this.#watches.delete(watch)) return;
    watch.active = false;
    const { path, monitor } = watch;
    if (path === undefined) return;
    this.#unbind(watch, path);
    this.#io.judged(path, monitor, 0);
  }

  /** Ends all. */
  close(): void {
    for (const watch of [...this.#watches]) {
      this.#watches.delete(watch);
      watch.active = false;
      if (watch.path !== undefined) this.#unbind(watch, watch.path);
    }
  }

  #bind(watch: Watch, path: PathRecord): void {
    const { monitor } = watch;
    watch.path = path;
    path.monitors.push(monitor);
    const sawLife = watch.sawLife;
    try {
      monitor.start(path, (verdict, silentMs) => {
        // One that speaks after its end is not heard.
        if (watch.path !== path) return;
        if (verdict === "up") watch.sawLife = true;
        this.#io.judged(path, monitor, silentMs);
      });
    } catch (error) {
      // It judges nothing: the path must not wait for its word.
      if (watch.path === path) this.#unbind(watch, path);
      throw error;
    }
    if (watch.path !== path) return;
    // It may have come with an opinion.
    if (monitor.verdict === "up") watch.sawLife = true;
    if (monitor.verdict !== "unknown") this.#io.judged(path, monitor, 0);
    else if (sawLife) this.#io.doubted(path, monitor);
  }

  #unbind(watch: Watch, path: PathRecord): void {
    watch.path = undefined;
    const at = path.monitors.indexOf(watch.monitor);
    if (at >= 0) path.monitors.splice(at, 1);
    this.#io.safely(() => watch.monitor.close());
  }
}
