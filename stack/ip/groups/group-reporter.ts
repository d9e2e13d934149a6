/**
 * The state machine that both families share: an interface's multicast groups, reported to the routers on the link.
 *
 * RFC 3376 section 5 (IGMPv3) and RFC 3810 section 6 (MLDv2), and sections 7 and 8 there: towards an older querier it
 * speaks the older protocol. Dialects carry IGMP's numbers: 3 for IGMPv3 and MLDv2, 2 for IGMPv2 and MLDv1, 1 for IGMPv1.
 */
import { RANDOM_RANGE } from "../../device/random.ts";
import type { Timer } from "../../loop/timers.ts";
import type { IpAddress } from "../../wire/address.ts";
import { AddressTable } from "../../wire/address-table.ts";
import type { Environment } from "../environment.ts";
import { GroupState, type GroupRecord } from "./group-state.ts";
import { OlderQueriers, type Dialect } from "./older-queriers.ts";
import { admits, isEmpty, sameFilter, union, type SourceFilter } from "./source-filter.ts";

/** A query as it was received. */
export interface GroupQuery {
  readonly dialect: Dialect;
  /** The group that it asks about; undefined asks about all. */
  readonly group: IpAddress | undefined;
  /** Sources of the group that it asks about, sorted; empty asks about all. */
  readonly sources: readonly IpAddress[];
  readonly maxResponseMs: number;
  /** The querier's robustness variable, 0 to 7; 0 says nothing. Dialect 3 only. */
  readonly robustness: number;
  /** The querier's query interval; 0 says nothing. Dialect 3 only. */
  readonly intervalMs: number;
}

/** How reports get onto the wire; false where one could not be sent. */
export interface ReportSender {
  /** Records of dialect 3, in as many packets as they need. */
  report(records: readonly GroupRecord[]): boolean;
  /** A report of an older dialect. */
  oldReport(dialect: Dialect, group: IpAddress): boolean;
  /** The end of a membership in dialect 2. */
  oldLeave(group: IpAddress): boolean;
  /** Whether routers are told of this group at all. */
  isReported(group: IpAddress): boolean;
}

export interface ReporterStatistics {
  /** Groups held, those included whose end is still being reported. */
  readonly groups: number;
  /** Joins refused because the interface has its fill of groups, a group of members, or a merged list of sources. */
  readonly refused: number;
  /** Queries heeded. */
  readonly queries: number;
  /** Reports that could not be sent. */
  readonly unsent: number;
  /** Answers left out because another host gave them (older dialects). */
  readonly suppressed: number;
  /** The dialect spoken now. */
  readonly dialect: Dialect;
}

/** Members (sockets) of one group on one interface: more is a leak in the program. */
export const MAX_MEMBERS = 4096;
/** Sources that all members of a group want or block together: sixteen full filters; beyond, ask for all sources. */
export const MAX_MERGED_SOURCES = 1024;
/** Sources that queries have named for one pending answer; beyond, the answer is about the whole group. */
export const MAX_QUERIED_SOURCES = 1024;
/** Unsolicited Report Interval: RFC 3376 section 8.11, RFC 3810 section 9.11. */
export const REPORT_INTERVAL_MS = 1_000;
/** The same of the older protocols: RFC 2236 section 8.10, RFC 2710 section 7.10. */
export const OLD_REPORT_INTERVAL_MS = 10_000;
/** Robustness Variable until a querier says otherwise: RFC 3376 section 8.1, RFC 3810 section 9.1. */
export const ROBUSTNESS = 2;

export class GroupReporter {
  readonly #environment: Environment;
  readonly #sender: ReportSender;
  readonly #groups: AddressTable<GroupState>;
  readonly #limit: number;
  readonly #olderQueriers: OlderQueriers;
  #robustness = ROBUSTNESS;
  /** Repeats state changes; one for all groups, so that changes that come together are repeated together. */
  #changeTimer: Timer | undefined;
  #generalTimer: Timer | undefined;
  #generalAtMs = Infinity;
  #refused = 0;
  #queries = 0;
  #unsent = 0;
  #suppressed = 0;

  constructor(environment: Environment, sender: ReportSender, limit: number) {
    this.#environment = environment;
    this.#sender = sender;
    this.#limit = limit;
    this.#groups = new AddressTable(limit, environment.random.next() | 0);
    this.#olderQueriers = new OlderQueriers(environment.timers, () => this.#dialectChanged());
  }

  /** Whether a packet from this source to this group is wanted. Hot: allocates nothing. */
  wants(
    g0: number,
    g1: number,
    g2: number,
    g3: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
  ): boolean {
    const state = this.#groups.get(g0, g1, g2, g3);
    return state !== undefined && admits(state.filter, s0, s1, s2, s3);
  }

  /** Whether anyone wants packets of this group from anywhere. Hot: allocates nothing. */
  isJoined(w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#groups.get(w0, w1, w2, w3)?.joined ?? false;
  }

  /** What `token` asked for of a group. */
  memberFilter(token: unknown, group: IpAddress): SourceFilter | undefined {
    return this.#find(group)?.members.get(token);
  }

  /** Groups that are joined. */
  *joined(): Generator<GroupState> {
    for (const state of this.#groups.values()) if (state.joined) yield state;
  }

  /** Sets what `token` wants of a group; nothing ends its membership. False, counted, where a limit is reached. */
  set(token: unknown, group: IpAddress, filter: SourceFilter): boolean {
    const state = this.#find(group) ?? this.#create(group, filter);
    if (state === undefined) return isEmpty(filter) || this.#refuse();
    const merged = state.mergedWith(token, filter);
    const full = merged.sources.length > MAX_MERGED_SOURCES;
    const crowded = !state.members.has(token) && state.members.size >= MAX_MEMBERS;
    if (!isEmpty(filter) && (full || crowded)) return this.#refuse();
    // A leave is never refused; a list grown too long by it (an EXCLUDE went) is cut to what is wanted at least.
    const next = full ? { ...merged, sources: merged.sources.slice(0, MAX_MERGED_SOURCES) } : merged;
    if (isEmpty(filter)) state.members.delete(token);
    else state.members.set(token, filter);
    if (!sameFilter(state.filter, next)) this.#changed(state, next);
    return true;
  }

  /** Reports every group anew, as after the link or the address to report from came up. */
  resend(): void {
    for (const state of this.#groups.values()) {
      if (!state.reported || !state.joined) continue;
      if (this.#olderQueriers.dialect < 3) this.#startOld(state);
      else state.announce(this.#robustness);
    }
    if (this.#olderQueriers.dialect === 3) this.#reportChanges(this.#groups.values());
  }

  /** A query came in: RFC 3376 section 5.2, RFC 3810 section 6.2. */
  query(query: GroupQuery): void {
    this.#queries += 1;
    if (query.dialect === 3) this.#robustness = query.robustness > 0 ? query.robustness : ROBUSTNESS;
    this.#olderQueriers.heard(query, this.#robustness);
    if (this.#olderQueriers.dialect < 3) this.#scheduleOld(query);
    else if (query.group === undefined) this.#scheduleGeneral(query.maxResponseMs);
    else this.#scheduleGroup(query.group, query);
  }

  /** Another host reported a group in an older dialect: in those, one answer is enough (RFC 2236 section 3). */
  overheard(group: IpAddress): void {
    const state = this.#find(group);
    if (this.#olderQueriers.dialect === 3 || state === undefined || !state.joined) return;
    if (state.timer?.active === true) this.#suppressed += 1;
    state.timer?.cancel();
    state.answerAtMs = Infinity;
    state.repeatsLeft = 0;
    state.lastReporter = false;
  }

  statistics(): ReporterStatistics {
    return {
      groups: this.#groups.size,
      refused: this.#refused,
      queries: this.#queries,
      unsent: this.#unsent,
      suppressed: this.#suppressed,
      dialect: this.#olderQueriers.dialect,
    };
  }

  /** Says nothing more and forgets all groups. */
  close(): void {
    this.#olderQueriers.close();
    this.#changeTimer?.cancel();
    this.#generalTimer?.cancel();
    for (const state of this.#groups.values()) state.timer?.cancel();
    this.#groups.clear();
  }

  #find(group: IpAddress): GroupState | undefined {
    return this.#groups.get(group.w0, group.w1, group.w2, group.w3);
  }

  #refuse(): false {
    this.#refused += 1;
    return false;
  }

  #create(group: IpAddress, filter: SourceFilter): GroupState | undefined {
    if (isEmpty(filter)) return undefined;
    if (this.#groups.size >= this.#limit) this.#forgetDeparted();
    const state = new GroupState(group, this.#sender.isReported(group));
    return this.#groups.set(group, state) ? state : undefined;
  }

  /** Makes room for a group by forgetting those that are left and only still reported as such. */
  #forgetDeparted(): void {
    for (const state of [...this.#groups.values()]) if (!state.joined) this.#drop(state);
  }

  #drop(state: GroupState): void {
    state.timer?.cancel();
    this.#groups.delete(state.group);
  }

  #changed(state: GroupState, filter: SourceFilter): void {
    const wasJoined = state.joined;
    state.become(filter, this.#robustness);
    if (!state.reported) state.settle();
    else if (this.#olderQueriers.dialect === 3) this.#reportChanges([state]);
    else this.#changedOld(state, wasJoined);
    this.#dropIfDone(state);
  }

  #changedOld(state: GroupState, wasJoined: boolean): void {
    state.settle();
    if (!wasJoined) this.#startOld(state);
    else if (!state.joined && state.lastReporter && this.#olderQueriers.dialect === 2) {
      this.#count(this.#sender.oldLeave(state.group));
    }
  }

  #dropIfDone(state: GroupState): void {
    if (!state.joined && !state.changing) this.#drop(state);
  }

  #count(sent: boolean): void {
    if (!sent) this.#unsent += 1;
  }

  /** Sends one state-change report about these groups; whatever is not said often enough is said again. */
  #reportChanges(states: Iterable<GroupState>): void {
    const changing = [...states].filter((state) => state.changing);
    const records = changing.flatMap((state) => state.nextChange());
    if (records.length > 0) this.#count(this.#sender.report(records));
    const unfinished = changing.some((state) => state.changing);
    if (!unfinished || this.#changeTimer?.active === true) return;
    this.#changeTimer = this.#restart(this.#changeTimer, this.#upTo(REPORT_INTERVAL_MS), () =>
      this.#repeatChanges(),
    );
  }

  #repeatChanges(): void {
    const states = [...this.#groups.values()];
    this.#reportChanges(states);
    for (const state of states) this.#dropIfDone(state);
  }

  #scheduleGeneral(maxResponseMs: number): void {
    const atMs = this.#environment.timers.now + this.#upTo(maxResponseMs);
    if (this.#generalTimer?.active === true && this.#generalAtMs <= atMs) return;
    this.#generalAtMs = atMs;
    this.#generalTimer = this.#restart(this.#generalTimer, atMs - this.#environment.timers.now, () =>
      this.#answerGeneral(),
    );
  }

  #answerGeneral(): void {
    const records: GroupRecord[] = [];
    for (const state of this.#groups.values()) {
      const record = state.reported ? state.current([]) : undefined;
      if (record !== undefined) records.push(record);
    }
    if (records.length > 0) this.#count(this.#sender.report(records));
  }

  /** A query about a group: RFC 3376 section 5.2, rules 1 and 3 to 5. */
  #scheduleGroup(group: IpAddress, { sources, maxResponseMs }: GroupQuery): void {
    const state = this.#find(group);
    if (state === undefined || !state.reported || !state.joined) return;
    const atMs = this.#environment.timers.now + this.#upTo(maxResponseMs);
    if (this.#generalTimer?.active === true && this.#generalAtMs <= atMs) return;
    const pending = state.timer?.active === true;
    const aboutAll = sources.length === 0 || (pending && state.queried.length === 0);
    const queried = aboutAll ? [] : pending ? union(state.queried, sources) : sources;
    state.queried = queried.length > MAX_QUERIED_SOURCES ? [] : queried;
    this.#answerBy(state, atMs, () => this.#answerGroup(state));
  }

  #answerGroup(state: GroupState): void {
    const record = state.current(state.queried);
    if (record !== undefined) this.#count(this.#sender.report([record]));
  }

  /** Sets the group's timer, unless it is due earlier anyway. */
  #answerBy(state: GroupState, atMs: number, fn: () => void): void {
    if (state.timer?.active === true && state.answerAtMs <= atMs) return;
    state.answerAtMs = atMs;
    state.timer?.cancel();
    state.timer = this.#environment.timers.after(atMs - this.#environment.timers.now, fn);
  }

  /** A query answered in an older dialect: a timer for each group that it asks about (RFC 2236 section 3). */
  #scheduleOld({ group, maxResponseMs }: GroupQuery): void {
    for (const state of group === undefined ? this.joined() : [this.#find(group)]) {
      if (state === undefined || !state.reported || !state.joined) continue;
      const atMs = this.#environment.timers.now + this.#upTo(maxResponseMs);
      this.#answerBy(state, atMs, () => this.#reportOld(state));
    }
  }

  /** Reports a join at once, and again after a while in case that one gets lost. */
  #startOld(state: GroupState): void {
    state.repeatsLeft = this.#robustness;
    this.#reportOld(state);
  }

  #reportOld(state: GroupState): void {
    state.lastReporter = true;
    this.#count(this.#sender.oldReport(this.#olderQueriers.dialect, state.group));
    if (state.repeatsLeft > 0) state.repeatsLeft -= 1;
    if (state.repeatsLeft === 0) return;
    state.answerAtMs = this.#environment.timers.now + this.#upTo(OLD_REPORT_INTERVAL_MS);
    state.timer?.cancel();
    state.timer = this.#environment.timers.after(state.answerAtMs - this.#environment.timers.now, () =>
      this.#reportOld(state),
    );
  }

  /** The dialect changed: what was promised in the old one is off (RFC 3376 section 7.2.1, RFC 3810 section 8.2.1). */
  #dialectChanged(): void {
    this.#changeTimer?.cancel();
    this.#generalTimer?.cancel();
    for (const state of [...this.#groups.values()]) {
      state.timer?.cancel();
      state.settle();
      // After the change nobody knows who reported last, and a leave too many does no harm.
      state.lastReporter = state.joined;
      this.#dropIfDone(state);
    }
  }

  #restart(timer: Timer | undefined, ms: number, fn: () => void): Timer {
    if (timer === undefined) return this.#environment.timers.after(ms, fn);
    timer.restart(ms);
    return timer;
  }

  /** A random time up to `ms`. */
  #upTo(ms: number): number {
    return (this.#environment.random.next() / RANDOM_RANGE) * ms;
  }
}
