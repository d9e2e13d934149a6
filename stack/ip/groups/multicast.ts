/**
 * Multicast groups of one interface: who joined them with which sources, what arrives, what routers are told.
 *
 * The host's side of IGMPv3 (RFC 3376) and MLDv2 (RFC 3810): one state machine (group-reporter.ts), two codecs.
 */
import { ALL_HOSTS4, ALL_NODES6, IpAddress, MAPPED, SCOPE } from "../../wire/address.ts";
import type { Environment, Outlet } from "../environment.ts";
import { GroupReporter, type ReporterStatistics } from "./group-reporter.ts";
import type { GroupMessage, GroupRefusal } from "./group-reports.ts";
import { IgmpSender, readIgmp } from "./igmp-reports.ts";
import { MldSender, readMld } from "./mld-reports.ts";
import { EVERY_SOURCE, NO_SOURCE, sortedSources, type SourceFilter } from "./source-filter.ts";

/**
 * Groups of one family on one interface. The kernel has no such limit, only 20 a socket; here it bounds the answer to a
 * general query: 14 packets with MLDv2.
 */
export const MAX_GROUPS = 1024;
/**
 * Sources of one filter: the kernel's limit for MLD (`mld_max_msf`; for IGMP it has 10), and an EXCLUDE list of as many
 * IPv6 addresses always fits into one report of 1280 bytes, where it must not be split.
 */
export const MAX_SOURCES = 64;

export interface GroupsIo {
  readonly outlet: Outlet;
  /** The IPv4 address that reports are sent from; undefined while there's none. */
  source4(): IpAddress | undefined;
  /** The valid link-local address that reports are sent from; undefined while there's none (RFC 3590). */
  linkLocal(): IpAddress | undefined;
  /** Someone wants packets of this group now, or nobody does any more: for filters of the device. */
  membership?(group: IpAddress, joined: boolean): void;
}

export interface GroupsOptions {
  /** Groups of each family at most. Default: `MAX_GROUPS`. */
  readonly maxGroups?: number;
  /**
   * Reports groups of 224.0.0.0/24 too, as the kernel does by default. Switches flood these groups anyway (RFC 4541
   * section 2.1.2). Default: false.
   */
  readonly reportLinkLocal?: boolean;
}

export interface GroupsStatistics {
  readonly igmp: ReporterStatistics;
  readonly mld: ReporterStatistics;
  /** Messages with a wrong checksum or shape. */
  readonly malformed: number;
  /** Messages that did not come from this link as they must: hop limit, router alert, source. */
  readonly foreign: number;
  /** Messages that are of no concern to a host, as other hosts' reports of version 3. */
  readonly ignored: number;
}

/** Groups that every host is in; nobody joins them, and nobody is told of them. */
const ALL_NODES_ON_INTERFACE6 = IpAddress.parse("ff01::1");
const ALWAYS = [ALL_HOSTS4, ALL_NODES6, ALL_NODES_ON_INTERFACE6];

export class Groups {
  readonly #io: GroupsIo;
  readonly #igmp: GroupReporter;
  readonly #mld: GroupReporter;
  /** Joined groups by the part of them that their Ethernet address carries, with how many share it. */
  readonly #macs4 = new Map<number, number>();
  readonly #macs6 = new Map<number, number>();
  readonly #refusals: Record<GroupRefusal, number> = { malformed: 0, foreign: 0, ignored: 0 };

  constructor(environment: Environment, io: GroupsIo, options: GroupsOptions = {}) {
    const { outlet } = io;
    const limit = (options.maxGroups ?? MAX_GROUPS) + ALWAYS.length;
    const reportLinkLocal = options.reportLinkLocal ?? false;
    this.#io = io;
    const igmp = new IgmpSender({ outlet, source: () => io.source4(), reportLinkLocal });
    const mld = new MldSender({ outlet, source: () => io.linkLocal() });
    this.#igmp = new GroupReporter(environment, igmp, limit);
    this.#mld = new GroupReporter(environment, mld, limit);
    for (const group of ALWAYS) this.join(ALWAYS, group);
  }

  /**
   * `token` (a socket, say) wants packets of `group` from the sources that `filter` lets through; in place of what it
   * wanted before. False, counted, where the interface has its fill of groups or the group of members or sources.
   *
   * @throws TypeError where the group is no multicast address, or a source no unicast address of its family.
   * @throws RangeError where the filter has more than `MAX_SOURCES` sources.
   */
  join(token: unknown, group: IpAddress, filter: SourceFilter = EVERY_SOURCE): boolean {
    checkFilter(group, filter);
    return this.#set(token, group, { mode: filter.mode, sources: sortedSources(filter.sources) });
  }

  /** As `join`, for a group that `token` is in; false where it is not. */
  change(token: unknown, group: IpAddress, filter: SourceFilter): boolean {
    return this.filterOf(token, group) !== undefined && this.join(token, group, filter);
  }

  /** `token` wants no more packets of `group`. False where it did not want any. */
  leave(token: unknown, group: IpAddress): boolean {
    return this.filterOf(token, group) !== undefined && this.#set(token, group, NO_SOURCE);
  }

  /** What `token` wants of `group`, its sources sorted; undefined where it is not in it. */
  filterOf(token: unknown, group: IpAddress): SourceFilter | undefined {
    return this.#reporter(group.w0, group.w1, group.w2).memberFilter(token, group);
  }

  /** Whether anyone wants a packet to this group from this source, all int32 words. Hot: allocates nothing. */
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
    return this.#reporter(g0, g1, g2).wants(g0, g1, g2, g3, s0, s1, s2, s3);
  }

  /** Whether anyone wants packets to this group from anywhere. Hot: allocates nothing. */
  isJoined(w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#reporter(w0, w1, w2).isJoined(w0, w1, w2, w3);
  }

  /** Whether some joined group has this Ethernet address (`MacAddress.high` and `low`). Hot: allocates nothing. */
  joinedMac(high: number, low: number): boolean {
    if (high >>> PREFIX6_SHIFT === PREFIX6) return this.#macs6.has((high << PREFIX6_SHIFT) | low);
    return (high & PREFIX4_MASK) === PREFIX4 && this.#macs4.has(((high & ~PREFIX4_MASK) << LOW_BITS) | low);
  }

  /** Joined groups of both families, those included that every host is in. */
  joined(): IpAddress[] {
    return [...this.#igmp.joined(), ...this.#mld.joined()].map((state) => state.group);
  }

  /** An IGMP message of `length` bytes at `at`, in the packet whose good IPv4 header is at `ipAt`. */
  receiveIgmp(view: DataView, ipAt: number, at: number, length: number): void {
    this.#heard(this.#igmp, readIgmp(view, ipAt, at, length));
  }

  /** An MLD message of `length` bytes at `at`, in the packet whose good IPv6 header is at `ipAt`. */
  receiveMld(view: DataView, ipAt: number, at: number, length: number): void {
    this.#heard(this.#mld, readMld(view, ipAt, at, length));
  }

  /**
   * Reports all groups of a family anew: after the link came up, and for IPv6 when a link-local address became valid,
   * since routers ignore what was sent without one (RFC 3590 section 4, RFC 3810 section 5.2.13).
   */
  resend(family: 4 | 6): void {
    (family === 4 ? this.#igmp : this.#mld).resend();
  }

  statistics(): GroupsStatistics {
    return { igmp: this.#igmp.statistics(), mld: this.#mld.statistics(), ...this.#refusals };
  }

  /** Forgets all groups without a word to the routers; idempotent. */
  close(): void {
    this.#igmp.close();
    this.#mld.close();
    this.#macs4.clear();
    this.#macs6.clear();
  }

  #reporter(w0: number, w1: number, w2: number): GroupReporter {
    return w0 === 0 && w1 === 0 && w2 === MAPPED ? this.#igmp : this.#mld;
  }

  #set(token: unknown, group: IpAddress, filter: SourceFilter): boolean {
    const reporter = this.#reporter(group.w0, group.w1, group.w2);
    const before = reporter.isJoined(group.w0, group.w1, group.w2, group.w3);
    const done = reporter.set(token, group, filter);
    const after = reporter.isJoined(group.w0, group.w1, group.w2, group.w3);
    if (before !== after) this.#membership(group, after);
    return done;
  }

  #membership(group: IpAddress, joined: boolean): void {
    const macs = group.family === 4 ? this.#macs4 : this.#macs6;
    const key = group.family === 4 ? group.w3 & MAC_BITS4 : group.w3;
    const count = (macs.get(key) ?? 0) + (joined ? 1 : -1);
    if (count === 0) macs.delete(key);
    else macs.set(key, count);
    this.#io.membership?.(group, joined);
  }

  #heard(reporter: GroupReporter, message: GroupMessage | GroupRefusal): void {
    if (typeof message === "string") this.#refusals[message] += 1;
    else if (message.kind === "query") reporter.query(message.query);
    else reporter.overheard(message.group);
  }
}

/** 33:33 and the last word of the group: RFC 2464 section 7. */
const PREFIX6 = 0x3333;
const PREFIX6_SHIFT = 16;
/** 01:00:5e, a zero bit and 23 bits of the group: RFC 1112 section 6.4. */
const PREFIX4 = 0x01005e00;
const PREFIX4_MASK = 0xffffff80 | 0;
const LOW_BITS = 16;
const MAC_BITS4 = 0x7fffff;

const checkFilter = (group: IpAddress, { mode, sources }: SourceFilter): void => {
  if (!group.multicast || (group.family === 6 && group.scope < SCOPE.INTERFACE)) {
    throw new TypeError(`group is a multicast address, not ${group.toString()}`);
  }
  if (mode !== "include" && mode !== "exclude") {
    throw new TypeError(`filter.mode is "include" or "exclude", not ${String(mode)}`);
  }
  if (sources.length > MAX_SOURCES) {
    throw new RangeError(`filter.sources holds at most ${MAX_SOURCES} addresses, not ${sources.length}`);
  }
  for (const source of sources) {
    if (source.family !== group.family || source.multicast || source.unspecified) {
      throw new TypeError(
        `a source of ${group.toString()} is a unicast address of its family, not ${source.toString()}`,
      );
    }
  }
};
