/**
 * Lets the first copy of each datagram through and drops the others, by their header or by a key of the application's.
 *
 * Datagrams are looked at where they lie; nothing is allocated for one, nor copied.
 */
import type { Random } from "../device/random.ts";
import type { Datagram } from "../udp/datagram.ts";
import { ARRIVAL, type Arrival, type FirstCopy } from "./arrival.ts";
import * as header from "./copy-header.ts";
import { type PathScore, PathScores } from "./path-scores.ts";
import { RecentKeys } from "./recent-keys.ts";
import type { CheckedRedundantOptions } from "./redundant-options.ts";
import { SequenceWindows } from "./sequence-windows.ts";
import { StreamTable } from "./stream-table.ts";

/** Counters of what came in, in datagrams unless the name says otherwise. */
export interface CopyStatistics {
  /** First copies, which were handed on. */
  readonly received: number;
  /** Further copies, which were dropped. */
  readonly duplicates: number;
  /** Handed on after newer ones of their stream. */
  readonly reordered: number;
  /** Numbers that were jumped over and have not come since, over any path. Not known with keys: 0. */
  readonly missing: number;
  /** Dropped because they are too old for the window to tell whether they are copies. */
  readonly stale: number;
  /** Without the header, or without a key. */
  readonly malformed: number;
  /** Senders known now, and those that were forgotten for others. */
  readonly streams: number;
  readonly evicted: number;
  /** By interface. */
  readonly paths: readonly PathScore[];
}

/** In place of an offset: this one is not handed on. */
export const DROPPED = -1;

/** Judges one datagram; what it says about the first copy of a duplicate is in `first`. */
interface Judge {
  readonly first: FirstCopy;
  /** Bytes in front of the payload. */
  readonly headerBytes: number;
  /** Negative for what can't be told apart. */
  judge(view: DataView, at: number, length: number, path: number, nowMs: number): Arrival | -1;
}

export class CopyFilter {
  /** Bytes in front of the payload. */
  readonly headerBytes: number;
  readonly #judge: Judge;
  readonly #windows: SequenceWindows | undefined;
  readonly #table: StreamTable | undefined;
  readonly #scores = new PathScores();
  readonly #onDuplicate: CheckedRedundantOptions["onDuplicate"];
  #received = 0;
  #duplicates = 0;
  #reordered = 0;
  #stale = 0;
  #malformed = 0;

  constructor({ key, window, streams, onDuplicate }: CheckedRedundantOptions, random: Random) {
    this.#onDuplicate = onDuplicate;
    if (key === undefined) {
      const windows = new SequenceWindows(streams, window);
      const table = new StreamTable(streams, random.next() | 0);
      this.#judge = byHeader(table, windows);
      this.#windows = windows;
      this.#table = table;
    } else {
      this.#judge = byKey(key, new RecentKeys(window, random.next() | 0));
    }
    this.headerBytes = this.#judge.headerBytes;
  }

  /** The offset of the payload where this is the first copy, else `DROPPED`. */
  take(datagram: Datagram, nowMs: number): number {
    const { at } = datagram;
    const scores = this.#scores;
    const path = scores.numberOf(datagram.interface);
    const judge = this.#judge;
    const arrival = judge.judge(datagram.view, at, datagram.length, path, nowMs);
    if (arrival === ARRIVAL.newest || arrival === ARRIVAL.overtaken) {
      this.#received += 1;
      if (arrival === ARRIVAL.overtaken) this.#reordered += 1;
      scores.first(path);
      return at + judge.headerBytes;
    }
    if (arrival === ARRIVAL.duplicate) {
      const lateMs = nowMs - judge.first.firstMs;
      this.#duplicates += 1;
      scores.duplicate(path, lateMs);
      this.#onDuplicate?.(lateMs, scores.nameOf(path));
    } else if (arrival === ARRIVAL.stale) {
      this.#stale += 1;
    } else {
      this.#malformed += 1;
    }
    return DROPPED;
  }

  statistics(): CopyStatistics {
    return {
      received: this.#received,
      duplicates: this.#duplicates,
      reordered: this.#reordered,
      missing: this.#windows === undefined ? 0 : this.#windows.skipped - this.#windows.filled,
      stale: this.#stale,
      malformed: this.#malformed,
      streams: this.#table?.size ?? 0,
      evicted: this.#table?.evicted ?? 0,
      paths: this.#scores.values(),
    };
  }
}

const byHeader = (table: StreamTable, windows: SequenceWindows): Judge => ({
  first: windows,
  headerBytes: header.HEADER_BYTES,
  judge(view, at, length, path, nowMs) {
    if (header.check(view, at, length) < 0) return -1;
    const high = header.streamHigh(view, at);
    const low = header.streamLow(view, at);
    const sequence = header.sequence(view, at);
    let stream = table.find(high, low);
    if (stream < 0) {
      stream = table.add(high, low);
      windows.begin(stream, sequence);
    }
    return windows.judge(stream, sequence, path, nowMs);
  },
});

const byKey = (key: NonNullable<CheckedRedundantOptions["key"]>, keys: RecentKeys): Judge => ({
  first: keys,
  headerBytes: 0,
  judge(view, at, length, path, nowMs) {
    const value = key(view, at, length);
    return Number.isSafeInteger(value) ? keys.judge(value, path, nowMs) : -1;
  },
});
