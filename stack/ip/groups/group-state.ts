/**
 * One multicast group of one interface: its members, their merged filter, and what has yet to be reported of its changes
 * (RFC 3376 sections 3.2 and 5.1, RFC 3810 sections 4.2 and 6.1).
 */
import type { IpAddress } from "../../wire/address.ts";
import type { Timer } from "../../loop/timers.ts";
import {
  admits,
  difference,
  intersection,
  isEmpty,
  merge,
  NO_SOURCE,
  type SourceFilter,
} from "./source-filter.ts";

/** What a record of a report says: the state as it is, or how it changed. RFC 3376 section 4.2.12. */
export type RecordKind = "is-include" | "is-exclude" | "to-include" | "to-exclude" | "allow" | "block";

/** One group record of a report. */
export interface GroupRecord {
  readonly kind: RecordKind;
  readonly group: IpAddress;
  readonly sources: readonly IpAddress[];
}

/** A source that came or went, and the reports that will still say so. */
interface SourceChange {
  readonly source: IpAddress;
  reportsLeft: number;
}

export class GroupState {
  readonly group: IpAddress;
  /** False for groups that every host is in and none reports. */
  readonly reported: boolean;
  /** What each member asked for, with sorted sources. */
  readonly members = new Map<unknown, SourceFilter>();
  /** All members' filters merged, with sorted sources. */
  filter: SourceFilter = NO_SOURCE;
  /** Runs while a query is to be answered, or, towards older queriers, a join is to be repeated. */
  timer: Timer | undefined;
  /** When `timer` is due. */
  answerAtMs = Infinity;
  /** Sources that the query to answer named; empty where it asked about the group. */
  queried: readonly IpAddress[] = [];
  /** Whether we were the last to report the group, so that it's on us to say that it is left (RFC 2236 section 3). */
  lastReporter = false;
  /** Repetitions of a join still to come towards an older querier. */
  repeatsLeft = 0;
  #modeReportsLeft = 0;
  #changes: SourceChange[] = [];

  constructor(group: IpAddress, reported: boolean) {
    this.group = group;
    this.reported = reported;
  }

  /** Someone wants packets of it. */
  get joined(): boolean {
    return !isEmpty(this.filter);
  }

  /** Changes that are not reported as often as robustness asks. */
  get changing(): boolean {
    return this.#modeReportsLeft > 0 || this.#changes.length > 0;
  }

  /** The merged filter that would be with `token` wanting `filter`, or nothing at all. */
  mergedWith(token: unknown, filter: SourceFilter): SourceFilter {
    const others: SourceFilter[] = [];
    for (const [member, wanted] of this.members) if (member !== token) others.push(wanted);
    return merge(isEmpty(filter) ? others : [...others, filter]);
  }

  /**
   * Takes on a new merged filter and schedules `robustness` reports of the difference: of the mode where that changed,
   * which bring the whole list, else of the sources that came and went.
   */
  become(filter: SourceFilter, robustness: number): void {
    const before = this.filter;
    this.filter = filter;
    if (before.mode !== filter.mode) {
      this.#modeReportsLeft = robustness;
      this.#changes = [];
      return;
    }
    const { sources } = filter;
    this.#schedule(
      [...difference(sources, before.sources), ...difference(before.sources, sources)],
      robustness,
    );
  }

  /** Schedules `robustness` reports of the whole state, as if the group were joined now. */
  announce(robustness: number): void {
    if (this.filter.mode === "exclude") this.#modeReportsLeft = robustness;
    else this.#schedule(this.filter.sources, robustness);
  }

  /** The records that the next state-change report has of this group; counts it as sent. */
  nextChange(): GroupRecord[] {
    const { group, filter } = this;
    const records: GroupRecord[] = [];
    if (this.#modeReportsLeft > 0) {
      this.#modeReportsLeft -= 1;
      records.push({
        kind: filter.mode === "include" ? "to-include" : "to-exclude",
        group,
        sources: filter.sources,
      });
    } else {
      const changed = this.#changes.map((change) => change.source);
      const allowed = changed.filter((s) => admits(filter, s.w0, s.w1, s.w2, s.w3));
      const blocked = changed.filter((s) => !admits(filter, s.w0, s.w1, s.w2, s.w3));
      if (allowed.length > 0) records.push({ kind: "allow", group, sources: allowed });
      if (blocked.length > 0) records.push({ kind: "block", group, sources: blocked });
    }
    for (const change of this.#changes) change.reportsLeft -= 1;
    this.#changes = this.#changes.filter((change) => change.reportsLeft > 0);
    return records;
  }

  /** Drops changes that are not yet reported. */
  settle(): void {
    this.#modeReportsLeft = 0;
    this.#changes = [];
    this.repeatsLeft = 0;
  }

  /** The state as an answer to a query about the group, or about `queried` sources of it: RFC 3376 section 5.2. */
  current(queried: readonly IpAddress[]): GroupRecord | undefined {
    const { group, filter } = this;
    if (!this.joined) return undefined;
    if (queried.length === 0) {
      return {
        kind: filter.mode === "include" ? "is-include" : "is-exclude",
        group,
        sources: filter.sources,
      };
    }
    const wanted =
      filter.mode === "include" ? intersection(filter.sources, queried) : difference(queried, filter.sources);
    return wanted.length === 0 ? undefined : { kind: "is-include", group, sources: wanted };
  }

  #schedule(sources: readonly IpAddress[], reportsLeft: number): void {
    for (const source of sources) {
      const known = this.#changes.find((change) => change.source.equals(source));
      if (known === undefined) this.#changes.push({ source, reportsLeft });
      else known.reportsLeft = reportsLeft;
    }
  }
}
