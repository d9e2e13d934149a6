/** IGMP and MLD: round trips, the versions of queries, codes of times, and any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { pseudoOf } from "../../stack/wire/checksum.ts";
import * as codes from "../../stack/wire/group-codes.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import * as igmp from "../../stack/wire/igmp.ts";
import * as mld from "../../stack/wire/mld.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv4,
  ipv6,
  mangled,
  uint16,
  uint8,
  viewOf,
} from "../support/records.ts";

const SOURCE = IpAddress.parse("fe80::1");
const DESTINATION = IpAddress.parse("ff02::16");

const mldFormat = {
  ...mld,
  emit: (record: mld.MldRecord, view: DataView, at: number) =>
    mld.emit(record, view, at, SOURCE, DESTINATION),
};

const details = fc.record({
  suppress: fc.boolean(),
  robustness: fc.nat(7),
  intervalSeconds: uint8.map(codes.decodeByte),
});

const groupRecords = (address: fc.Arbitrary<IpAddress>) =>
  fc.array(
    fc.record({
      type: uint8,
      group: address,
      sources: fc.array(address, { maxLength: 5 }),
      auxiliary: fc.nat(3).chain((words) => bytes(4 * words, 4 * words)),
    }),
    { maxLength: 5 },
  );

const igmpMessage: fc.Arbitrary<igmp.IgmpRecord> = fc.oneof(
  fc.tuple(details, ipv4, uint8, fc.array(ipv4, { maxLength: 5 })).map(([detail, group, code, sources]) => ({
    kind: "query" as const,
    version: 3 as const,
    group,
    maxResponseMs: codes.decodeByte(code) * 100,
    ...detail,
    sources,
  })),
  fc.tuple(ipv4, fc.integer({ min: 1, max: 255 })).map(([group, tenths]) => ({
    kind: "query" as const,
    version: 2 as const,
    group,
    maxResponseMs: tenths * 100,
    ...codes.NO_DETAILS,
    sources: [],
  })),
  ipv4.map((group) => ({
    kind: "query" as const,
    version: 1 as const,
    group,
    maxResponseMs: igmp.VERSION_1_RESPONSE_MS,
    ...codes.NO_DETAILS,
    sources: [],
  })),
  fc.record({
    kind: fc.constant("report" as const),
    version: fc.constantFrom(1 as const, 2 as const),
    group: ipv4,
  }),
  fc.record({ kind: fc.constant("leave" as const), group: ipv4 }),
  fc.record({ kind: fc.constant("source-report" as const), records: groupRecords(ipv4) }),
);

const mldMessage: fc.Arbitrary<mld.MldRecord> = fc.oneof(
  fc.tuple(details, ipv6, uint16, fc.array(ipv6, { maxLength: 5 })).map(([detail, group, code, sources]) => ({
    kind: "query" as const,
    version: 2 as const,
    group,
    maxResponseMs: codes.decodeHalf(code),
    ...detail,
    sources,
  })),
  fc.tuple(ipv6, uint16).map(([group, maxResponseMs]) => ({
    kind: "query" as const,
    version: 1 as const,
    group,
    maxResponseMs,
    ...codes.NO_DETAILS,
    sources: [],
  })),
  fc.record({ kind: fc.constantFrom("report" as const, "done" as const), group: ipv6 }),
  fc.record({ kind: fc.constant("source-report" as const), records: groupRecords(ipv6) }),
);

describe("codes of times", () => {
  test("are those of RFC 3376 and RFC 3810", () => {
    expect(codes.decodeByte(0x7f)).toBe(127);
    expect(codes.decodeByte(0x80)).toBe(128);
    expect(codes.decodeByte(0x8f)).toBe(31 << 3);
    expect(codes.decodeByte(0xff)).toBe(31 << 10);
    expect(codes.decodeHalf(0x7fff)).toBe(32767);
    expect(codes.decodeHalf(0x8000)).toBe(32768);
    expect(codes.decodeHalf(0xffff)).toBe(0x1fff << 10);
  });

  test("are their numbers' own, and those between go down", () => {
    for (let code = 0; code < 256; code++) {
      expect(codes.encodeByte(codes.decodeByte(code))).toBe(code);
      expect(codes.encodeByte(codes.decodeByte(code) + 0.5)).toBe(code);
    }
    for (let code = 0; code < 65536; code++) {
      const back = codes.encodeHalf(codes.decodeHalf(code));
      if (back !== code) expect(back).toBe(code);
    }
    expect(codes.encodeByte(1e9)).toBe(0xff);
    expect(codes.encodeHalf(1e9)).toBe(0xffff);
    expect(codes.encodeByte(-1)).toBe(0);
  });
});

describe("IGMP", () => {
  test("reads what it wrote, and its check is content", () => {
    fc.assert(
      fc.property(igmpMessage, (record) => {
        const written = expectRoundTrip(igmp, record);
        expect(igmp.check(viewOf(written), 0, written.length)).toBe(0);
      }),
    );
  });

  test("has its fields where RFC 3376 has them", () => {
    const report = bytesOf(igmp, {
      kind: "source-report",
      records: [
        {
          type: igmp.RECORD.CHANGE_TO_EXCLUDE,
          group: IpAddress.parse("239.1.2.3"),
          sources: [IpAddress.parse("10.0.0.1")],
          auxiliary: new Uint8Array(0),
        },
      ],
    });
    report.fill(0, igmp.CHECKSUM, igmp.CHECKSUM + 2);
    expect(Buffer.from(report).toString("hex")).toBe(
      "22000000" + "00000001" + "04000001ef010203" + "0a000001",
    );
    const query = bytesOf(igmp, {
      kind: "query",
      version: 3,
      group: IpAddress.parse("0.0.0.0"),
      maxResponseMs: 10_000,
      suppress: true,
      robustness: 2,
      intervalSeconds: 125,
      sources: [],
    });
    // 0x1164 + 0x0a7d = 0x1be1.
    expect(Buffer.from(query).toString("hex")).toBe("1164e41e" + "00000000" + "0a7d0000");
    expect(igmp.groupWord(viewOf(query), 0)).toBe(0);
  });

  test("check names what is wrong, and the version of a query", () => {
    const query = (length: number, response: number) => {
      const view = viewOf(new Uint8Array(length));
      view.setUint8(0, igmp.TYPE.QUERY);
      view.setUint8(1, response);
      igmp.setChecksum(view, 0, length);
      return { fault: igmp.check(view, 0, length), version: igmp.queryVersion(view, 0, length) };
    };
    expect(query(8, 0)).toEqual({ fault: 0, version: 1 });
    expect(query(8, 100)).toEqual({ fault: 0, version: 2 });
    expect(query(12, 0)).toEqual({ fault: 0, version: 3 });
    expect(query(10, 0).fault).toBe(igmp.BAD.length);
    const sources = viewOf(new Uint8Array(20));
    sources.setUint8(0, igmp.TYPE.QUERY);
    for (const [count, fault] of [
      [2, 0],
      [3, igmp.BAD.length],
    ] as const) {
      sources.setUint16(igmp.SOURCE_COUNT, count);
      igmp.setChecksum(sources, 0, 20);
      expect(igmp.check(sources, 0, 20)).toBe(fault);
    }
    const view = viewOf(bytesOf(igmp, { kind: "leave", group: IpAddress.parse("239.0.0.1") }));
    expect(igmp.check(view, 0, 7)).toBe(igmp.BAD.short);
    view.setUint8(7, 2);
    expect(igmp.check(view, 0, 8)).toBe(igmp.BAD.checksum);
    const report = viewOf(Uint8Array.of(0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 239, 0, 0, 1));
    igmp.setChecksum(report, 0, 16);
    expect(igmp.check(report, 0, 16)).toBe(igmp.BAD.length);
  });

  test("refuses records that no message can hold", () => {
    const view = viewOf(new Uint8Array(200));
    const group = IpAddress.parse("239.0.0.1");
    const query = { kind: "query" as const, group, ...codes.NO_DETAILS, sources: [] };
    const record = { type: 1, group, sources: [], auxiliary: new Uint8Array(0) };
    const bad: igmp.IgmpRecord[] = [
      { kind: "leave", group: DESTINATION },
      { ...query, version: 1, maxResponseMs: 100 },
      { ...query, version: 2, maxResponseMs: 0 },
      { ...query, version: 2, maxResponseMs: 150 },
      { ...query, version: 2, maxResponseMs: 100, robustness: 2 },
      { ...query, version: 2, maxResponseMs: 100, suppress: true },
      { ...query, version: 2, maxResponseMs: 100, intervalSeconds: 1 },
      { ...query, version: 2, maxResponseMs: 100, sources: [group] },
      { ...query, version: 3, maxResponseMs: 12_900 },
      { ...query, version: 3, maxResponseMs: Number.NaN },
      { ...query, version: 3, maxResponseMs: 100, robustness: 8 },
      { ...query, version: 3, maxResponseMs: 100, intervalSeconds: 129 },
      { kind: "source-report", records: [{ ...record, type: 256 }] },
      { kind: "source-report", records: [{ ...record, sources: [SOURCE] }] },
      { kind: "source-report", records: [{ ...record, auxiliary: new Uint8Array(3) }] },
    ];
    for (const each of bad) expect(() => igmp.emit(each, view, 0)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(igmpMessage.map((record) => bytesOf(igmp, record))), (input) => {
        expect(igmp.check(viewOf(input), 0, input.length)).toBeLessThanOrEqual(0);
        expectStable(igmp, input);
        // With a right checksum the shape is judged too.
        if (input.length < igmp.HEADER_BYTES) return;
        const view = viewOf(input);
        igmp.setChecksum(view, 0, input.length);
        const known = (Object.values(igmp.TYPE) as number[]).includes(input[0]!);
        expect(igmp.parse(view, 0, input.length) !== undefined).toBe(
          known && igmp.check(view, 0, input.length) === 0,
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe("MLD", () => {
  test("reads what it wrote, and both checks are content", () => {
    fc.assert(
      fc.property(mldMessage, (record) => {
        const written = expectRoundTrip(mldFormat, record);
        const { length } = written;
        const sum = pseudoOf(SOURCE, DESTINATION, 58, length);
        expect(mld.check(viewOf(written), 0, length)).toBe(0);
        expect(icmpv6.check(viewOf(written), 0, length, sum)).toBe(0);
      }),
    );
  });

  test("has its fields where RFC 3810 has them", () => {
    const hex = (record: mld.MldRecord) => {
      const written = bytesOf(mldFormat, record);
      written.fill(0, icmpv6.CHECKSUM, icmpv6.CHECKSUM + 2);
      return Buffer.from(written).toString("hex");
    };
    const group = IpAddress.parse("ff05::1:3");
    const text = "ff050000000000000000000000010003";
    const done = viewOf(bytesOf(mldFormat, { kind: "done", group }));
    const words = [0, 1, 2, 3].map((index) => mld.groupWord(done, 0, index));
    expect(words).toEqual([group.w0, group.w1, group.w2, group.w3]);
    const auxiliary = new Uint8Array(0);
    expect(
      hex({
        kind: "source-report",
        records: [{ type: mld.RECORD.MODE_IS_EXCLUDE, group, sources: [SOURCE], auxiliary }],
      }),
    ).toBe(`8f000000${"00000001"}${"02000001"}${text}fe800000000000000000000000000001`);
    expect(
      hex({
        kind: "query",
        version: 2,
        group,
        maxResponseMs: 10_000,
        suppress: false,
        robustness: 2,
        intervalSeconds: 125,
        sources: [],
      }),
    ).toBe(`82000000${"27100000"}${text}027d0000`);
    expect(hex({ kind: "done", group })).toBe(`84000000${"00000000"}${text}`);
  });

  test("check names what is wrong, and the version of a query", () => {
    const query = (length: number) => {
      const view = viewOf(new Uint8Array(length));
      if (length > 0) view.setUint8(0, icmpv6.TYPE.LISTENER_QUERY);
      return mld.check(view, 0, length);
    };
    const { BAD } = mld;
    expect([7, 8, 23, 24, 25, 27, 28].map(query)).toEqual([
      BAD.short,
      BAD.short,
      BAD.short,
      0,
      BAD.length,
      BAD.length,
      0,
    ]);
    expect([24, 28].map(mld.queryVersion)).toEqual([1, 2]);
    expect(mld.check(viewOf(new Uint8Array(24)), 0, 24)).toBe(BAD.type);
    const sources = viewOf(new Uint8Array(60));
    sources.setUint8(0, icmpv6.TYPE.LISTENER_QUERY);
    sources.setUint16(mld.SOURCE_COUNT, 2);
    expect(mld.check(sources, 0, 60)).toBe(0);
    sources.setUint16(mld.SOURCE_COUNT, 3);
    expect(mld.check(sources, 0, 60)).toBe(BAD.length);
    const report = viewOf(Uint8Array.of(143, 0, 0, 0, 0, 0, 0, 1));
    expect(mld.check(report, 0, 8)).toBe(BAD.length);
  });

  test("refuses records that no message can hold", () => {
    const view = viewOf(new Uint8Array(200));
    const group = IpAddress.parse("ff05::1:3");
    const other = IpAddress.parse("239.0.0.1");
    const query = { kind: "query" as const, group, ...codes.NO_DETAILS, sources: [] };
    const bad: mld.MldRecord[] = [
      { kind: "report", group: other },
      { ...query, version: 1, maxResponseMs: 65536 },
      { ...query, version: 1, maxResponseMs: 1, robustness: 1 },
      { ...query, version: 2, maxResponseMs: 32769 },
      { ...query, version: 2, maxResponseMs: 1, sources: [other] },
      {
        kind: "source-report",
        records: [{ type: 1, group: other, sources: [], auxiliary: new Uint8Array(0) }],
      },
    ];
    for (const each of bad) expect(() => mldFormat.emit(each, view, 0)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(mldMessage.map((record) => bytesOf(mldFormat, record))), (input) => {
        const fault = mld.check(viewOf(input), 0, input.length);
        expect(fault).toBeLessThanOrEqual(0);
        expect(expectStable(mldFormat, input) === undefined || fault === 0).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
