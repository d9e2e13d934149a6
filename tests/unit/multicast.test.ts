/** Multicast groups against a scripted querier, in virtual time: IGMPv3 and MLDv2 by the same scripts, and what is older. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { MAX_MERGED_SOURCES } from "../../stack/ip/groups/group-reporter.ts";
import { Groups, MAX_SOURCES } from "../../stack/ip/groups/multicast.ts";
import {
  EVERY_SOURCE,
  merge,
  NO_SOURCE,
  sortedSources,
  type SourceFilter,
} from "../../stack/ip/groups/source-filter.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { pseudo6 } from "../../stack/wire/checksum.ts";
import { RECORD } from "../../stack/wire/group-records.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import * as igmp from "../../stack/wire/igmp.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import * as mld from "../../stack/wire/mld.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { VirtualLink, type SentFrame } from "../support/virtual-link.ts";

const ip = (text: string): IpAddress => IpAddress.parse(text);
const include = (...texts: string[]): SourceFilter => ({ mode: "include", sources: texts.map(ip) });
const exclude = (...texts: string[]): SourceFilter => ({ mode: "exclude", sources: texts.map(ip) });
const wants = (groups: Groups, group: IpAddress, source: IpAddress): boolean =>
  groups.wants(group.w0, group.w1, group.w2, group.w3, source.w0, source.w1, source.w2, source.w3);
const isJoined = (groups: Groups, g: IpAddress): boolean => groups.isJoined(g.w0, g.w1, g.w2, g.w3);

const NAMES: Readonly<Record<number, string>> = {
  [RECORD.MODE_IS_INCLUDE]: "is-in",
  [RECORD.MODE_IS_EXCLUDE]: "is-ex",
  [RECORD.CHANGE_TO_INCLUDE]: "to-in",
  [RECORD.CHANGE_TO_EXCLUDE]: "to-ex",
  [RECORD.ALLOW_NEW_SOURCES]: "allow",
  [RECORD.BLOCK_OLD_SOURCES]: "block",
};

/** A querier's word; times in ms. */
interface Asked {
  readonly group?: IpAddress;
  readonly sources?: readonly IpAddress[];
  readonly maxResponseMs?: number;
  readonly robustness?: number;
  readonly intervalSeconds?: number;
  /** 1 to 3, in the numbers of IGMP. */
  readonly version?: 1 | 2 | 3;
  readonly ttl?: number;
  readonly alert?: boolean;
  readonly from?: string;
}

/** What differs between the families in these scripts. */
interface Family {
  readonly name: string;
  readonly family: 4 | 6;
  readonly groups: readonly IpAddress[];
  readonly sources: readonly string[];
  readonly routers: string;
  read(frame: SentFrame): string;
  query(groups: Groups, asked: Asked): void;
  overheard(groups: Groups, group: IpAddress): void;
}

const recordTexts = (records: readonly igmp.GroupRecord[] | readonly mld.GroupRecord[]): string =>
  records.map((r) => [NAMES[r.type], r.group, ...r.sources].join(" ")).join("; ");

/** Reads an IGMP packet as a router would, and everything that has to be so is so. */
const readIgmp = ({ view, length, destination }: SentFrame): string => {
  expect(ipv4.check(view, 0, length)).toBe(0);
  const header = ipv4.parse(view, 0, length)!;
  expect(header).toMatchObject({ ttl: 1, protocol: PROTOCOL.IGMP, dscp: 48 });
  expect(header.options).toEqual([{ type: 148, data: new Uint8Array(2) }]);
  expect(destination).toEqual(multicastMac(header.destination));
  const at = ipv4.headerBytes(view, 0);
  expect(igmp.check(view, at, length - at)).toBe(0);
  const message = igmp.parse(view, at, length - at)!;
  if (message.kind === "source-report") return `${header.destination}: ${recordTexts(message.records)}`;
  if (message.kind === "query") throw new Error("a host asks nothing");
  return `${header.destination}: ${message.kind}${message.kind === "report" ? message.version : ""} ${message.group}`;
};

const sendIgmp = (groups: Groups, message: igmp.IgmpRecord, to: IpAddress, asked: Asked = {}): void => {
  const view = new DataView(new ArrayBuffer(2048));
  const at = ipv4.emit(
    {
      dscp: 48,
      ecn: 0,
      identification: 0,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: asked.ttl ?? 1,
      protocol: PROTOCOL.IGMP,
      source: ip(asked.from ?? "10.0.0.1"),
      destination: to,
      options:
        asked.alert === false
          ? [{ type: ipv4.OPTION.NO_OPERATION, data: new Uint8Array(0) }]
          : [{ type: ipv4.OPTION.ROUTER_ALERT, data: new Uint8Array(2) }],
      payloadLength: igmp.lengthOf(message),
    },
    view,
    0,
  );
  const length = igmp.emit(message, view, at);
  groups.receiveIgmp(view, 0, at, length);
};

const NO_DETAILS = { suppress: false, robustness: 0, intervalSeconds: 0 };

const igmpFamily: Family = {
  name: "IGMP",
  family: 4,
  groups: ["239.1.1.1", "239.1.1.2", "239.1.1.3"].map(ip),
  sources: ["10.1.0.1", "10.1.0.2", "10.1.0.3", "192.0.2.1"],
  routers: "224.0.0.22",
  read: readIgmp,
  query: (groups, asked) => {
    const version = asked.version ?? 3;
    const details =
      version === 3
        ? {
            suppress: false,
            robustness: asked.robustness ?? 2,
            intervalSeconds: asked.intervalSeconds ?? 125,
          }
        : NO_DETAILS;
    const message: igmp.Query = {
      kind: "query",
      version,
      group: asked.group ?? ip("0.0.0.0"),
      maxResponseMs: asked.maxResponseMs ?? 10_000,
      sources: asked.sources ?? [],
      ...details,
    };
    sendIgmp(groups, message, asked.group ?? ip("224.0.0.1"), asked);
  },
  overheard: (groups, group) => sendIgmp(groups, { kind: "report", version: 2, group }, group),
};

/** As `readIgmp`. */
const readMld = ({ view, length, destination }: SentFrame): string => {
  expect(ipv6.check(view, 0, length)).toBe(0);
  const header = ipv6.parse(view, 0, length)!;
  expect(header).toMatchObject({ hopLimit: 1, nextHeader: PROTOCOL.HOP_BY_HOP });
  expect(destination).toEqual(multicastMac(header.destination));
  const found = new extensions.Walk();
  expect(extensions.walk(view, ipv6.HEADER_BYTES, length - ipv6.HEADER_BYTES, header.nextHeader, found)).toBe(
    0,
  );
  expect(found.protocol).toBe(PROTOCOL.ICMPV6);
  expect(found.routerAlertAt).toBeGreaterThan(0);
  const { at } = found;
  expect(icmpv6.check(view, at, found.length, pseudo6(view, 0, PROTOCOL.ICMPV6, found.length))).toBe(0);
  const message = mld.parse(view, at, found.length)!;
  if (message.kind === "source-report") return `${header.destination}: ${recordTexts(message.records)}`;
  if (message.kind === "query") throw new Error("a host asks nothing");
  return `${header.destination}: ${message.kind === "done" ? "leave" : "report2"} ${message.group}`;
};

const sendMld = (groups: Groups, message: mld.MldRecord, to: IpAddress, asked: Asked = {}): void => {
  const view = new DataView(new ArrayBuffer(2048));
  const from = ip(asked.from ?? "fe80::1");
  const alert: extensions.OptionsHeader = {
    kind: "hop-by-hop",
    nextHeader: PROTOCOL.ICMPV6,
    options: asked.alert === false ? [] : [{ type: extensions.OPTION.ROUTER_ALERT, data: new Uint8Array(2) }],
  };
  const header = {
    trafficClass: 0,
    flowLabel: 0,
    payloadLength: extensions.lengthOf(alert) + mld.lengthOf(message),
    nextHeader: PROTOCOL.HOP_BY_HOP,
    hopLimit: asked.ttl ?? 1,
    source: from,
    destination: to,
  };
  const alertAt = ipv6.emit(header, view, 0);
  const at = alertAt + extensions.emit(alert, view, alertAt);
  const length = mld.emit(message, view, at, from, to);
  groups.receiveMld(view, 0, at, length);
};

const mldFamily: Family = {
  name: "MLD",
  family: 6,
  groups: ["ff15::1", "ff15::2", "ff15::3"].map(ip),
  sources: ["2001:db8::1", "2001:db8::2", "2001:db8:8000::3", "fd00::1"],
  routers: "ff02::16",
  read: readMld,
  query: (groups, asked) => {
    const version = asked.version ?? 3;
    const details =
      version === 3
        ? {
            suppress: false,
            robustness: asked.robustness ?? 2,
            intervalSeconds: asked.intervalSeconds ?? 125,
          }
        : NO_DETAILS;
    const message: mld.Query = {
      kind: "query",
      version: version === 3 ? 2 : 1,
      group: asked.group ?? ip("::"),
      maxResponseMs: asked.maxResponseMs ?? 10_000,
      sources: asked.sources ?? [],
      ...details,
    };
    sendMld(groups, message, asked.group ?? ip("ff02::1"), asked);
  },
  overheard: (groups, group) => sendMld(groups, { kind: "report", group }, group),
};

const setUp = (options: { maxGroups?: number; reportLinkLocal?: boolean } = {}) => {
  const link = new VirtualLink();
  const addresses: { v4: IpAddress | undefined; v6: IpAddress | undefined } = {
    v4: ip("10.0.0.2"),
    v6: ip("fe80::2"),
  };
  const memberships: string[] = [];
  const groups = new Groups(
    link.environment,
    {
      outlet: link.outlet,
      source4: () => addresses.v4,
      linkLocal: () => addresses.v6,
      membership: (group, joined) => void memberships.push(`${joined ? "+" : "-"}${group}`),
    },
    options,
  );
  memberships.length = 0;
  return { link, groups, addresses, memberships };
};

for (const family of [igmpFamily, mldFamily]) {
  const [g1, g2, g3] = family.groups as [IpAddress, IpAddress, IpAddress];
  const [a, b, c, d] = family.sources as [string, string, string, string];
  const { routers } = family;

  describe(family.name, () => {
    const start = (options = {}) => {
      const set = setUp(options);
      const said = (): string[] => set.link.take().map((frame) => family.read(frame));
      return { ...set, said };
    };

    test("a join is reported at once and once more, a leave too, then nothing is left", () => {
      const { link, groups, said, memberships } = start();
      const idle = link.timers;
      expect(groups.join("s", g1)).toBe(true);
      expect(said()).toEqual([`${routers}: to-ex ${g1}`]);
      link.advance(499);
      expect(said()).toEqual([]);
      link.advance(1);
      expect(said()).toEqual([`${routers}: to-ex ${g1}`]);
      link.advance(100_000);
      expect(said()).toEqual([]);
      expect(groups.leave("s", g1)).toBe(true);
      expect(wants(groups, g1, ip(a))).toBe(false);
      expect(said()).toEqual([`${routers}: to-in ${g1}`]);
      link.advance(100_000);
      expect(said()).toEqual([`${routers}: to-in ${g1}`]);
      expect(link.timers).toBe(idle);
      expect(groups.leave("s", g1)).toBe(false);
      expect(memberships).toEqual([`+${g1}`, `-${g1}`]);
      const held = groups.statistics()[family.family === 4 ? "igmp" : "mld"].groups;
      expect(held).toBe(family.family === 4 ? 1 : 2);
    });

    test("the filters of all members are merged, and what changes is said", () => {
      const { link, groups, said } = start();
      groups.join("one", g1, include(a, b));
      expect(said()).toEqual([`${routers}: allow ${g1} ${a} ${b}`]);
      link.advance(10_000);
      said();
      groups.join("two", g1, include(b, c));
      expect(said()).toEqual([`${routers}: allow ${g1} ${c}`]);
      expect([a, b, c, d].map((s) => wants(groups, g1, ip(s)))).toEqual([true, true, true, false]);
      link.advance(10_000);
      expect(said()).toEqual([`${routers}: allow ${g1} ${c}`]);
      groups.join("three", g1, exclude(c, d));
      expect(said()).toEqual([`${routers}: to-ex ${g1} ${d}`]);
      expect([a, b, c, d].map((s) => wants(groups, g1, ip(s)))).toEqual([true, true, true, false]);
      link.advance(10_000);
      said();
      expect(groups.change("two", g1, include(b))).toBe(true);
      expect(said()).toEqual([`${routers}: block ${g1} ${c}`]);
      link.advance(10_000);
      said();
      groups.leave("three", g1);
      expect(said()).toEqual([`${routers}: to-in ${g1} ${a} ${b}`]);
      link.advance(10_000);
      said();
      groups.leave("one", g1);
      expect(said()).toEqual([`${routers}: block ${g1} ${a}`]);
      expect(groups.filterOf("two", g1)).toEqual(include(b));
      expect(groups.change("one", g1, include(a))).toBe(false);
      expect(groups.join("two", g1, include())).toBe(true);
      expect(isJoined(groups, g1)).toBe(false);
    });

    test("a change before the repetition is merged with it", () => {
      const { link, groups, said } = start();
      groups.join("s", g1, include(a));
      groups.change("s", g1, include(b));
      // The allowed source that went again is now one to block, still within its repetitions.
      expect(said()).toEqual([
        `${routers}: allow ${g1} ${a}`,
        `${routers}: allow ${g1} ${b}; block ${g1} ${a}`,
      ]);
      link.advance(1_000);
      expect(said()).toEqual([`${routers}: allow ${g1} ${b}; block ${g1} ${a}`]);
      groups.join("t", g1);
      groups.change("t", g1, exclude(d));
      // A report of the mode repeats the whole list, and as many follow as after the change of the mode.
      expect(said()).toEqual([`${routers}: to-ex ${g1}`, `${routers}: to-ex ${g1} ${d}`]);
      link.advance(10_000);
      expect(said()).toEqual([`${routers}: block ${g1} ${d}`]);
    });

    test("robustness is the querier's, and 0 is the default", () => {
      const { link, groups, said } = start();
      family.query(groups, { robustness: 5 });
      groups.join("s", g1);
      link.advance(20_000);
      expect(said().filter((text) => text.includes("to-ex"))).toHaveLength(5);
      family.query(groups, { robustness: 0 });
      groups.join("s", g2);
      link.advance(20_000);
      expect(said().filter((text) => text.includes("to-ex"))).toHaveLength(2);
    });

    test("a general query is answered once, within its time, with the state of every group", () => {
      const { link, groups, said } = start();
      groups.join("s", g1, exclude(a));
      groups.join("s", g2, include(b, c));
      link.advance(10_000);
      said();
      family.query(groups, { maxResponseMs: 10_000 });
      link.advance(2_000);
      // Nearer than the first answer would be: this one counts.
      family.query(groups, { maxResponseMs: 2_000 });
      // Later: the pending answer serves it too.
      family.query(groups, { maxResponseMs: 10_000 });
      family.query(groups, { group: g1, maxResponseMs: 10_000 });
      link.advance(999);
      expect(said()).toEqual([]);
      link.advance(1);
      const answer = said();
      expect(answer).toHaveLength(1);
      const [head, records] = answer[0]!.split(": ");
      expect(head).toBe(routers);
      expect(new Set(records!.split("; "))).toEqual(new Set([`is-ex ${g1} ${a}`, `is-in ${g2} ${b} ${c}`]));
      link.advance(60_000);
      expect(said()).toEqual([]);
    });

    test("queries about a group and its sources", () => {
      const { link, groups, said } = start();
      groups.join("s", g1, exclude(a, b));
      groups.join("s", g2, include(a, b));
      link.advance(10_000);
      said();
      const ask = (asked: Asked): string[] => {
        family.query(groups, { maxResponseMs: 1_000, ...asked });
        link.advance(1_000);
        return said();
      };
      expect(ask({ group: g1 })).toEqual([`${routers}: is-ex ${g1} ${a} ${b}`]);
      expect(ask({ group: g2 })).toEqual([`${routers}: is-in ${g2} ${a} ${b}`]);
      expect(ask({ group: g3 })).toEqual([]);
      expect(ask({ group: g1, sources: [a, c, d].map(ip) })).toEqual([`${routers}: is-in ${g1} ${c} ${d}`]);
      expect(ask({ group: g1, sources: [a].map(ip) })).toEqual([]);
      expect(ask({ group: g2, sources: [d, b].map(ip) })).toEqual([`${routers}: is-in ${g2} ${b}`]);
      expect(ask({ group: g2, sources: [c].map(ip) })).toEqual([]);
      // Sources of two queries are answered together, and a query about the whole group takes their place.
      family.query(groups, { maxResponseMs: 4_000, group: g2, sources: [ip(a)] });
      expect(ask({ group: g2, sources: [ip(b)] })).toEqual([`${routers}: is-in ${g2} ${a} ${b}`]);
      family.query(groups, { maxResponseMs: 4_000, group: g1, sources: [ip(c)] });
      expect(ask({ group: g1 })).toEqual([`${routers}: is-ex ${g1} ${a} ${b}`]);
      family.query(groups, { maxResponseMs: 1_000, group: g1 });
      expect(ask({ group: g1, sources: [ip(c)] })).toEqual([`${routers}: is-ex ${g1} ${a} ${b}`]);
      // Nobody wants it any more when the answer is due.
      family.query(groups, { maxResponseMs: 8_000, group: g1 });
      groups.leave("s", g1);
      link.advance(10_000);
      expect(said()).toEqual([`${routers}: to-in ${g1}`, `${routers}: to-in ${g1}`]);
    });

    test("towards an older querier: its reports, suppressed by others', and leaves", () => {
      const { link, groups, said } = start();
      groups.join("s", g1, include(a));
      link.advance(10_000);
      said();
      family.query(groups, { version: 2, maxResponseMs: 4_000 });
      link.advance(2_000);
      expect(said()).toEqual([`${g1}: report2 ${g1}`]);
      // What the state machine of version 3 would say is not said: the group is just joined.
      groups.change("s", g1, include(a, b));
      link.advance(5_000);
      expect(said()).toEqual([]);
      groups.join("s", g2);
      expect(said()).toEqual([`${g2}: report2 ${g2}`]);
      link.advance(5_000);
      expect(said()).toEqual([`${g2}: report2 ${g2}`]);
      link.advance(60_000);
      expect(said()).toEqual([]);
      // Another host answers for the second group, so leaving it needs no word from us.
      family.query(groups, { version: 2, maxResponseMs: 4_000 });
      family.overheard(groups, g2);
      link.advance(4_000);
      expect(said()).toEqual([`${g1}: report2 ${g1}`]);
      groups.leave("s", g2);
      expect(said()).toEqual([]);
      groups.leave("s", g1);
      expect(said()).toEqual([`${family.family === 4 ? "224.0.0.2" : "ff02::2"}: leave ${g1}`]);
      expect(groups.statistics()[family.family === 4 ? "igmp" : "mld"]).toMatchObject({
        suppressed: 1,
        dialect: 2,
      });
    });

    test("an older querier is forgotten after its time", () => {
      const { link, groups, said } = start();
      family.query(groups, { version: 2, maxResponseMs: 10_000 });
      groups.join("s", g1);
      link.advance(2 * 125_000 + 10_000 - 1);
      said();
      groups.join("s", g2);
      expect(said()).toEqual([`${g2}: report2 ${g2}`]);
      // The repetition is due after the dialect changed, and is off.
      link.advance(10_000);
      expect(said()).toEqual([]);
      groups.leave("s", g2);
      expect(said()).toEqual([`${routers}: to-in ${g2}`]);
    });

    test("a query about a group does not make the querier an old one, and a change of dialect stops what is pending", () => {
      const { link, groups, said } = start();
      groups.join("s", g1);
      said();
      family.query(groups, { version: 2, group: g1, maxResponseMs: 1_000 });
      link.advance(500);
      expect(said()).toEqual([`${routers}: to-ex ${g1}`, `${routers}: is-ex ${g1}`]);
      family.query(groups, { maxResponseMs: 8_000 });
      groups.join("s", g2);
      said();
      family.query(groups, { version: 2, maxResponseMs: 60_000 / 10 });
      link.advance(1_000);
      expect(said()).toEqual([]);
      link.advance(2_000);
      expect(said().sort()).toEqual([`${g1}: report2 ${g1}`, `${g2}: report2 ${g2}`]);
      // What was promised in the other dialect is off.
      link.advance(60_000);
      expect(said()).toEqual([]);
    });

    test("many groups go over several packets, none longer than the link takes", () => {
      const { link, groups } = start();
      link.mtu = 1280;
      const group = (i: number): IpAddress => IpAddress.words(g1.w0, g1.w1, g1.w2, g1.w3 + i);
      for (let i = 0; i < 500; i++) groups.join("s", group(i), i % 3 === 0 ? exclude(a, b) : EVERY_SOURCE);
      link.advance(10_000);
      link.take();
      family.query(groups, {});
      link.advance(10_000);
      const frames = link.take();
      for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(1280);
      const told = frames.flatMap((frame) =>
        family
          .read(frame)
          .slice(routers.length + 2)
          .split("; "),
      );
      expect(new Set(told.map((text) => text.split(" ")[1])).size).toBe(500);
      expect(told).toHaveLength(500);
      // No packet is less than nine tenths full but the last.
      for (const frame of frames.slice(0, -1)) expect(frame.length).toBeGreaterThan(1152);
    });

    test("what a host must not answer", () => {
      const { link, groups, said } = start();
      groups.join("s", g1);
      link.advance(10_000);
      said();
      family.query(groups, { ttl: 2 });
      family.query(groups, { alert: false });
      family.query(groups, { version: 2, ttl: 255 });
      expect(groups.statistics()).toMatchObject({ foreign: 3, malformed: 0 });
      family.query(groups, { sources: [ip(a)] });
      family.query(groups, { group: ip(a) });
      expect(groups.statistics()).toMatchObject({ foreign: 3, malformed: 2 });
      link.advance(60_000);
      expect(said()).toEqual([]);
      expect(groups.statistics()[family.family === 4 ? "igmp" : "mld"]).toMatchObject({
        queries: 0,
        dialect: 3,
      });
    });

    test("groups, sources and members are bounded, and refusals counted", () => {
      const { groups, link } = start({ maxGroups: 2 });
      const extra = family.family === 4 ? 2 : 1;
      const group = (i: number): IpAddress => IpAddress.words(g1.w0, g1.w1, g1.w2, g1.w3 + i);
      for (let i = 0; i < 2 + extra; i++) expect(groups.join("s", group(i))).toBe(true);
      expect(groups.join("s", group(9))).toBe(false);
      expect(isJoined(groups, group(9))).toBe(false);
      const statistics = () => groups.statistics()[family.family === 4 ? "igmp" : "mld"];
      expect(statistics()).toMatchObject({ refused: 1, groups: 5 });
      // A group that is left, but still reported as such, makes room.
      groups.leave("s", group(0));
      expect(groups.join("s", group(9))).toBe(true);
      const source = (i: number): IpAddress => IpAddress.words(ip(a).w0, ip(a).w1, ip(a).w2, ip(a).w3 + i);
      const many = (from: number): SourceFilter => ({
        mode: "include",
        sources: Array.from({ length: MAX_SOURCES }, (_, i) => source(from + i)),
      });
      groups.leave("s", group(9));
      for (let i = 0; i < MAX_MERGED_SOURCES / MAX_SOURCES; i++) {
        expect(groups.join(i, group(9), many(i * MAX_SOURCES))).toBe(true);
      }
      expect(groups.join("more", group(9), many(5000))).toBe(false);
      expect(groups.filterOf("more", group(9))).toBeUndefined();
      expect(groups.join("more", group(9), many(0))).toBe(true);
      expect(() =>
        groups.join("s", group(9), { mode: "include", sources: [...many(0).sources, ip(a)] }),
      ).toThrow(RangeError);
      link.advance(10_000);
      // Long lists go over several packets, none longer than the link takes, and none lost.
      link.take();
      family.query(groups, { group: group(9), maxResponseMs: 100 });
      link.advance(100);
      const frames = link.take();
      expect(frames.length).toBeGreaterThan(1);
      for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(1500);
      const told = frames.flatMap((frame) => family.read(frame).split(" ").slice(3));
      expect(new Set(told).size).toBe(MAX_MERGED_SOURCES);
      expect(told).toHaveLength(MAX_MERGED_SOURCES);
    });

    test("with the link down reports count as unsent, and resend says all anew", () => {
      const { link, groups, said } = start();
      link.up = false;
      groups.join("s", g1, exclude(a));
      groups.join("s", g2, include(b));
      link.advance(10_000);
      expect(groups.statistics()[family.family === 4 ? "igmp" : "mld"].unsent).toBeGreaterThan(2);
      link.up = true;
      groups.resend(family.family);
      const [first] = said();
      expect(new Set(first!.slice(routers.length + 2).split("; "))).toEqual(
        new Set([`to-ex ${g1} ${a}`, `allow ${g2} ${b}`]),
      );
      link.advance(10_000);
      expect(said()).toHaveLength(1);
      family.query(groups, { version: 2 });
      link.advance(10_000);
      said();
      groups.resend(family.family);
      expect(said().sort()).toEqual([`${g1}: report2 ${g1}`, `${g2}: report2 ${g2}`]);
    });

    test("close sends nothing and leaves no timer", () => {
      const { link, groups, said } = start();
      groups.join("s", g1);
      family.query(groups, { version: 2 });
      family.query(groups, {});
      said();
      groups.close();
      groups.close();
      expect(link.timers).toBe(0);
      link.advance(1e6);
      expect(said()).toEqual([]);
      expect(isJoined(groups, g1)).toBe(false);
    });
  });
}

describe("what only one family has", () => {
  test("IGMPv1: version 1 reports, no leaves, 10 s to answer", () => {
    const { link, groups } = setUp();
    groups.join("s", ip("239.1.1.1"));
    link.advance(10_000);
    link.take();
    // Version 1 asks about all groups, whatever the field of the group holds.
    igmpFamily.query(groups, { version: 1, alert: false, group: ip("239.9.9.9") });
    link.advance(4_999);
    expect(link.take()).toEqual([]);
    link.advance(1);
    expect(link.take().map(readIgmp)).toEqual(["239.1.1.1: report1 239.1.1.1"]);
    // A querier of version 2 as well: the oldest counts.
    igmpFamily.query(groups, { version: 2 });
    expect(groups.statistics().igmp.dialect).toBe(1);
    link.advance(10_000);
    link.take();
    groups.leave("s", ip("239.1.1.1"));
    expect(link.take()).toEqual([]);
  });

  test("groups that every host is in are wanted and never reported", () => {
    const { link, groups } = setUp();
    for (const text of ["224.0.0.1", "ff02::1", "ff01::1"]) {
      expect(wants(groups, ip(text), ip(text.includes(":") ? "fe80::9" : "10.0.0.9"))).toBe(true);
      expect(groups.join("s", ip(text))).toBe(true);
      expect(groups.leave("s", ip(text))).toBe(true);
      expect(isJoined(groups, ip(text))).toBe(true);
    }
    groups.join("s", ip("224.0.0.251"));
    groups.join("s", ip("ff01::5"));
    expect(isJoined(groups, ip("224.0.0.251"))).toBe(true);
    igmpFamily.query(groups, {});
    mldFamily.query(groups, {});
    link.advance(100_000);
    groups.leave("s", ip("224.0.0.251"));
    link.advance(100_000);
    expect(link.take()).toEqual([]);
    expect(groups.statistics().igmp.groups).toBe(1);
  });

  test("link-local groups of IPv4 are reported on request, those of IPv6 always", () => {
    const { link, groups } = setUp({ reportLinkLocal: true });
    groups.join("s", ip("224.0.0.251"));
    expect(link.take().map(readIgmp)).toEqual(["224.0.0.22: to-ex 224.0.0.251"]);
    groups.join("s", ip("ff02::1:ff00:1"));
    expect(link.take().map(readMld)).toEqual(["ff02::16: to-ex ff02::1:ff00:1"]);
  });

  test("without an address reports come from the unspecified one", () => {
    const { link, groups, addresses } = setUp();
    const source = (): string[] =>
      link
        .take()
        .map(
          ({ view, etherType }) => `${etherType === 0x0800 ? ipv4.source(view, 0) : ipv6.source(view, 0)}`,
        );
    groups.join("s", ip("239.1.1.1"));
    groups.join("s", ip("ff02::1:ff00:1"));
    expect(source()).toEqual(["10.0.0.2", "fe80::2"]);
    addresses.v4 = addresses.v6 = undefined;
    groups.join("s", ip("239.1.1.2"));
    groups.join("s", ip("ff02::1:ff00:2"));
    expect(source()).toEqual(["0.0.0.0", "::"]);
  });

  test("queries of MLD come from link-local addresses alone", () => {
    const { groups } = setUp();
    mldFamily.query(groups, { from: "2001:db8::1" });
    mldFamily.query(groups, { from: "::" });
    expect(groups.statistics()).toMatchObject({ foreign: 2 });
    mldFamily.query(groups, {});
    expect(groups.statistics().mld.queries).toBe(1);
  });

  test("what is not an older report or a query is ignored, and a bad checksum is malformed", () => {
    const { groups } = setUp();
    sendIgmp(groups, { kind: "leave", group: ip("239.1.1.1") }, ip("224.0.0.2"));
    sendIgmp(groups, { kind: "source-report", records: [] }, ip("224.0.0.22"));
    sendMld(groups, { kind: "done", group: ip("ff15::1") }, ip("ff02::2"));
    sendMld(groups, { kind: "source-report", records: [] }, ip("ff02::16"));
    expect(groups.statistics()).toMatchObject({ ignored: 4, malformed: 0, foreign: 0 });
    const view = new DataView(new ArrayBuffer(64));
    view.setUint8(0, 0x45);
    view.setUint8(20, 0x11);
    groups.receiveIgmp(view, 0, 20, 8);
    groups.receiveMld(view, 0, 40, 24);
    expect(groups.statistics()).toMatchObject({ malformed: 2 });
  });

  test("Ethernet addresses of joined groups, which several may share", () => {
    const { groups } = setUp();
    const has = (text: string): boolean => {
      const mac = multicastMac(ip(text));
      return groups.joinedMac(mac.high, mac.low);
    };
    expect(has("224.0.0.1")).toBe(true);
    expect(has("ff02::1")).toBe(true);
    expect(has("239.1.1.1")).toBe(false);
    groups.join("s", ip("239.1.1.1"));
    groups.join("s", ip("238.129.1.1"));
    groups.join("s", ip("ff15::8000:1"));
    expect(["239.1.1.1", "238.129.1.1", "239.1.1.2", "ff1e::8000:1", "ff15::1:1"].map(has)).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
    groups.leave("s", ip("239.1.1.1"));
    expect(has("239.1.1.1")).toBe(true);
    groups.leave("s", ip("238.129.1.1"));
    expect(has("239.1.1.1")).toBe(false);
    expect(groups.joinedMac(-1, 0xffff)).toBe(false);
    expect(groups.joinedMac(0x02005e00, 1)).toBe(false);
  });

  test("what is no group or no source is a mistake of the caller", () => {
    const { groups } = setUp();
    const bad: [IpAddress, SourceFilter][] = [
      [ip("10.0.0.1"), EVERY_SOURCE],
      [ip("fe80::1"), EVERY_SOURCE],
      [ip("239.1.1.1"), include("2001:db8::1")],
      [ip("239.1.1.1"), include("239.1.1.2")],
      [ip("ff15::1"), exclude("::")],
      [ip("ff15::1"), { mode: "neither" as "include", sources: [] }],
    ];
    for (const [group, filter] of bad) expect(() => groups.join("s", group, filter)).toThrow(TypeError);
  });
});

describe("properties", () => {
  const address = fc
    .integer({ min: 0, max: 11 })
    .map((i) => IpAddress.v4((i < 6 ? 0x0a000001 : 0xc0000001) + i));
  const filter: fc.Arbitrary<SourceFilter> = fc.record({
    mode: fc.constantFrom("include" as const, "exclude" as const),
    sources: fc.array(address, { maxLength: 8 }),
  });
  const lets = ({ mode, sources }: SourceFilter, source: IpAddress): boolean =>
    sources.some((each) => each.equals(source)) === (mode === "include");

  test("the merged filter lets through what any member wants, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(filter, { maxLength: 5 }), address, (filters, source) => {
        const merged = merge(filters.map((f) => ({ mode: f.mode, sources: sortedSources(f.sources) })));
        expect(lets(merged, source)).toBe(filters.some((each) => lets(each, source)));
      }),
    );
    expect(merge([])).toEqual(NO_SOURCE);
  });

  test("a router that heard all reports, or every other one, knows what is wanted", () => {
    const group = ip("239.9.9.9");
    const step = fc.record({
      token: fc.integer({ min: 0, max: 2 }),
      filter,
      waitMs: fc.constantFrom(0, 300, 700, 5_000),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 12 }),
        fc.integer(),
        fc.constantFrom(0, 1, 2),
        (steps, seed, lost) => {
          const link = new VirtualLink(seededRandom(seed));
          link.fraction = undefined;
          const io = { outlet: link.outlet, source4: () => undefined, linkLocal: () => undefined };
          const groups = new Groups(link.environment, io);
          for (const { token, filter: wanted, waitMs } of steps) {
            groups.join(token, group, wanted);
            link.advance(waitMs);
          }
          link.advance(10_000);
          // Everything is said in two reports in a row, so a router that misses every other one hears of it.
          const heard = link.take().filter((_, i) => lost === 2 || i % 2 !== lost);
          const router = new ScriptedRouter();
          for (const frame of heard) router.hear(frame);
          for (let i = 0; i < 12; i++) {
            const source = IpAddress.v4((i < 6 ? 0x0a000001 : 0xc0000001) + i);
            expect(router.forwards(source)).toBe(wants(groups, group, source));
          }
          groups.close();
          expect(link.timers).toBe(0);
        },
      ),
    );
  });

  test("any bytes at all are taken without a throw", () => {
    const { groups, link } = setUp();
    groups.join("s", ip("239.1.1.1"));
    groups.join("s", ip("ff15::1"));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 128 }), fc.boolean(), (bytes, fix) => {
        const view = new DataView(bytes.slice().buffer);
        const at4 = 20;
        const at6 = 48;
        view.setUint8(0, 0x46);
        view.setUint8(8, 1);
        if (fix) {
          view.setUint8(24, [0x11, 0x12, 0x16, 0x22][bytes[60]! & 3]!);
          igmp.setChecksum(view, 24, view.byteLength - 24);
        }
        groups.receiveIgmp(view, 0, fix ? 24 : at4, view.byteLength - (fix ? 24 : at4));
        view.setUint8(6, 0);
        view.setUint8(7, 1);
        view.setUint32(40, 0x3a000502);
        view.setUint32(44, 0x00000100);
        if (fix) {
          view.setUint8(at6, [130, 131, 132, 143][bytes[61]! & 3]!);
          const length = view.byteLength - at6;
          icmpv6.setChecksum(view, at6, length, pseudo6(view, 0, PROTOCOL.ICMPV6, length));
        }
        groups.receiveMld(view, 0, at6, view.byteLength - at6);
        link.advance(100);
      }),
      { numRuns: 2000 },
    );
  });
});

/** A router's view of one group, by the table of RFC 3376 section 6.4 without timers: what it would forward. */
class ScriptedRouter {
  #mode: "include" | "exclude" = "include";
  #sources = new Set<string>();

  forwards(source: IpAddress): boolean {
    return this.#sources.has(source.toString()) === (this.#mode === "include");
  }

  hear({ view, length }: SentFrame): void {
    const at = ipv4.headerBytes(view, 0);
    const message = igmp.parse(view, at, length - at);
    if (message?.kind !== "source-report") throw new Error("not a report of version 3");
    for (const { type, sources } of message.records) {
      const named = sources.map(String);
      const isMode = type === RECORD.CHANGE_TO_INCLUDE || type === RECORD.CHANGE_TO_EXCLUDE;
      if (isMode) {
        this.#mode = type === RECORD.CHANGE_TO_INCLUDE ? "include" : "exclude";
        this.#sources = new Set(named);
        continue;
      }
      const allow = type === RECORD.ALLOW_NEW_SOURCES;
      for (const source of named) {
        if (allow === (this.#mode === "include")) this.#sources.add(source);
        else this.#sources.delete(source);
      }
    }
  }
}
