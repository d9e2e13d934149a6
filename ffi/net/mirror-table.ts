/**
 * One mirrored table: what the kernel holds, what of it was told, and how a dump and notifications that cross become one truth.
 *
 * While a dump runs, notifications count at once, and what they were about is left out of the dump's result, which may be
 * older. A dump that nothing crossed is the whole truth. One that was crossed may have missed entries, because the kernel finds
 * its way back into a changed table by counting; so it is repeated, and until one is calm an entry goes only if two in a row lacked it.
 */
import { NLM_F, type Message } from "./message.ts";
import { mannerOf, type Kind } from "./mirror-kind.ts";
import type { SystemChange } from "./system-change.ts";

/** Dumps in a row that notifications crossed; the last one then has to do. */
const MAX_CROSSED = 8;
/** Keys compared in one step of a finished dump. */
const SLICE_KEYS = 512;
/** A table that was full is asked for again when an eighth is free, not at the first free place. */
const FREE_AGAIN = 7 / 8;

/** Counters of one table since it was made. */
export interface TableStatistics {
  /** Keys held now. */
  readonly held: number;
  readonly dumps: number;
  /** Dumps that notifications crossed. */
  readonly crossed: number;
  /** Messages whose lengths did not add up. */
  readonly malformed: number;
  /** Entries left out because the table was full. */
  readonly refused: number;
}

/** The state of one dump that has begun. */
interface Dump<R> {
  readonly found: Map<string, readonly R[]>;
  readonly touched: Set<string>;
  crossed: boolean;
}

export class MirrorTable<R> {
  readonly kind: Kind<R>;
  readonly #limit: number;
  readonly #held = new Map<string, readonly R[]>();
  readonly #told = new Map<string, SystemChange>();
  /** Keys that may differ from what was told. */
  readonly #changed = new Set<string>();
  /** Keys whose next notification is told even where it ends where it began. */
  readonly #again = new Set<string>();
  #dump: Dump<R> | undefined;
  /** What the last dump lacked, if it was crossed. */
  #lacking: ReadonlySet<string> = new Set();
  #crossedInRow = 0;
  #full = false;
  #stale = true;
  #known = false;
  #dumps = 0;
  #crossed = 0;
  #malformed = 0;
  #refused = 0;

  constructor(kind: Kind<R>, limit: number) {
    this.kind = kind;
    this.#limit = limit;
  }

  /** The kernel must be asked anew. */
  get stale(): boolean {
    return this.#stale;
  }

  /** A dump has ended. */
  get known(): boolean {
    return this.#known;
  }

  /** What the kernel holds under a key. */
  records(key: string): readonly R[] {
    return this.#held.get(key) ?? [];
  }

  values(): Iterable<readonly R[]> {
    return this.#held.values();
  }

  /** True for messages about this table. */
  owns({ type, body }: Message): boolean {
    const { types, family } = this.kind;
    return (type === types.NEW || type === types.DEL) && body.byteLength > 0 && body.getUint8(0) === family;
  }

  /** Notifications were lost, or the kernel changes entries without any: what is held may be wrong. */
  doubt(): void {
    this.#stale = true;
    if (this.#dump !== undefined) this.#dump.crossed = true;
  }

  /** Takes a notification. */
  hear(message: Message): void {
    const record = this.#parse(message);
    if (record === undefined) return;
    const key = this.kind.key(record);
    const { records, doubtful } =
      message.type === this.kind.types.NEW
        ? this.kind.add(this.records(key), record, mannerOf(message.flags))
        : this.kind.drop(this.records(key), record);
    this.#hold(key, records);
    if (this.#dump !== undefined) {
      this.#dump.touched.add(key);
      this.#dump.crossed = true;
    }
    if (doubtful) this.#stale = true;
  }

  /** Something was asked about a held key whose answer counts, also one that says the same as before. */
  tellAgain(key: string): void {
    this.#again.add(key);
  }

  /** A dump begins: notifications before this moment have been heard. */
  begin(): void {
    this.#dump = { found: new Map(), touched: new Set(), crossed: false };
    this.#stale = false;
    this.#dumps += 1;
  }

  /** Takes an entry of the dump. */
  collect(message: Message): void {
    const dump = this.#dump;
    if (dump === undefined) throw new Error("no dump has begun");
    if ((message.flags & NLM_F.DUMP_INTR) !== 0) dump.crossed = true;
    // Where a family is not there the kernel answers with all that are.
    if (!this.owns(message)) return;
    const record = this.#parse(message);
    if (record === undefined) return;
    const key = this.kind.key(record);
    const before = dump.found.get(key);
    if (before === undefined && dump.found.size >= this.#limit) return this.#refuse();
    dump.found.set(key, this.kind.add(before ?? [], record, { replace: false, append: true }).records);
  }

  /** The dump has ended, and so have the notifications that crossed it. Yields after every step of bounded work. */
  *finish(): Generator<void, void> {
    const dump = this.#dump;
    if (dump === undefined) throw new Error("no dump has begun");
    const calm = !dump.crossed;
    let steps = 0;
    for (const [key, records] of dump.found) {
      if (!dump.touched.has(key)) this.#hold(key, records);
      if (++steps % SLICE_KEYS === 0) yield;
    }
    const lacking = new Set<string>();
    for (const key of this.#held.keys()) {
      if (++steps % SLICE_KEYS === 0) yield;
      if (dump.found.has(key) || dump.touched.has(key)) continue;
      if (calm || this.#lacking.has(key)) this.#hold(key, []);
      else lacking.add(key);
    }
    this.#dump = undefined;
    this.#known = true;
    this.#lacking = lacking;
    this.#judge(calm);
  }

  /** The next difference to what was told; undefined where there is none. */
  take(): SystemChange | undefined {
    for (const key of this.#changed) {
      this.#changed.delete(key);
      const isAwaited = this.#again.delete(key);
      const before = this.#told.get(key);
      const now = this.kind.tell(this.records(key));
      if (now !== undefined) {
        if (!isAwaited && before !== undefined && Bun.deepEquals(now, before)) continue;
        this.#told.set(key, now);
        return now;
      }
      if (before === undefined) continue;
      this.#told.delete(key);
      return { ...before, present: false };
    }
    return undefined;
  }

  statistics(): TableStatistics {
    return {
      held: this.#held.size,
      dumps: this.#dumps,
      crossed: this.#crossed,
      malformed: this.#malformed,
      refused: this.#refused,
    };
  }

  #judge(calm: boolean): void {
    if (calm) {
      this.#crossedInRow = 0;
      return;
    }
    this.#crossed += 1;
    this.#crossedInRow += 1;
    if (this.#crossedInRow < MAX_CROSSED) this.#stale = true;
    else this.#crossedInRow = 0;
  }

  #parse(message: Message): R | undefined {
    const record = this.kind.parse(message);
    if (record === "malformed") this.#malformed += 1;
    return record === "malformed" || record === "foreign" ? undefined : (record as R);
  }

  #hold(key: string, records: readonly R[]): void {
    if (records.length > 0) {
      if (!this.#held.has(key) && this.#held.size >= this.#limit) return this.#refuse();
      this.#held.set(key, records);
    } else if (this.#held.delete(key) && this.#full && this.#held.size < this.#limit * FREE_AGAIN) {
      this.#full = false;
      this.#stale = true;
    }
    this.#changed.add(key);
  }

  #refuse(): void {
    this.#full = true;
    this.#refused += 1;
  }
}
