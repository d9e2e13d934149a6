/** IPv6 headers and extension headers: round trips, the walk to the upper protocol, and any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import { type ExtensionRecord, Walk } from "../../stack/wire/ipv6-extensions.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv6 as address,
  mangled,
  uint16,
  uint32,
  uint8,
  viewOf,
} from "../support/records.ts";

const header = fc.record({
  trafficClass: uint8,
  flowLabel: fc.nat(0xf_ffff),
  payloadLength: uint16,
  nextHeader: uint8,
  hopLimit: uint8,
  source: address,
  destination: address,
});

const filled = (units: number) => fc.nat(units).chain((n) => bytes(4 + 8 * n, 4 + 8 * n));
const option = fc.record({ type: fc.integer({ min: 2, max: 255 }), data: bytes(30) });
const extension: fc.Arbitrary<ExtensionRecord> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("hop-by-hop" as const, "destination-options" as const),
    nextHeader: uint8,
    options: fc.array(option, { maxLength: 6 }),
  }),
  fc.record({
    kind: fc.constant("routing" as const),
    nextHeader: uint8,
    routingType: uint8,
    segmentsLeft: uint8,
    data: filled(6),
  }),
  fc.record({
    kind: fc.constant("fragment" as const),
    nextHeader: uint8,
    offset: fc.nat(0x1fff).map((units) => units * 8),
    more: fc.boolean(),
    identification: uint32,
  }),
  fc.record({
    kind: fc.constant("authentication" as const),
    nextHeader: uint8,
    spi: uint32,
    sequence: uint32,
    icv: filled(4),
  }),
);

/** A payload of these headers, each naming the next, and `upper` behind them. */
const chain = (records: readonly ExtensionRecord[], upper: number, payload: Uint8Array) => {
  const parts = records.map((record, i) => {
    const next = records[i + 1];
    const nextHeader = next === undefined ? upper : extensions.protocolOf(next);
    return bytesOf(extensions, { ...record, nextHeader });
  });
  const first = records[0] === undefined ? upper : extensions.protocolOf(records[0]);
  return { first, bytes: new Uint8Array(Buffer.concat([...parts, payload])) };
};

const walked = (payload: Uint8Array, first: number) => {
  const found = new Walk();
  const result = extensions.walk(viewOf(payload), 0, payload.length, first, found);
  return { result, found };
};

describe("the IPv6 header", () => {
  test("reads what it wrote", () => {
    fc.assert(fc.property(header, (record) => void expectRoundTrip(ipv6, record)));
  });

  test("has its fields where RFC 8200 has them", () => {
    const written = bytesOf(ipv6, {
      trafficClass: 0xb9,
      flowLabel: 0x12345,
      payloadLength: 0x0102,
      nextHeader: 17,
      hopLimit: 64,
      source: IpAddress.parse("2001:db8::1"),
      destination: IpAddress.parse("ff02::16"),
    });
    expect(Buffer.from(written).toString("hex")).toBe(
      "6b912345" +
        "0102" +
        "11" +
        "40" +
        "20010db8000000000000000000000001" +
        "ff020000000000000000000000000016",
    );
    const view = viewOf(written);
    expect(ipv6.dscp(view, 0)).toBe(0xb9 >> 2);
    expect(ipv6.ecn(view, 0)).toBe(0xb9 & 3);
    expect(ipv6.sourceWord(view, 0, 3)).toBe(1);
    expect(ipv6.destinationWord(view, 0, 0)).toBe(0xff020000 | 0);
    expect(ipv6.totalLength(view, 0)).toBe(40 + 0x0102);
  });

  test("setters change their field alone", () => {
    fc.assert(
      fc.property(header, header, (before, after) => {
        const view = viewOf(bytesOf(ipv6, before));
        const now = () => ipv6.parse(view, 0, ipv6.HEADER_BYTES)!;
        ipv6.setTrafficClass(view, 0, after.trafficClass);
        expect(now()).toEqual({ ...before, trafficClass: after.trafficClass });
        ipv6.setFlowLabel(view, 0, after.flowLabel);
        expect(now()).toEqual({ ...before, trafficClass: after.trafficClass, flowLabel: after.flowLabel });
        ipv6.setPayloadLength(view, 0, after.payloadLength);
        ipv6.setNextHeader(view, 0, after.nextHeader);
        ipv6.setHopLimit(view, 0, after.hopLimit);
        expect(now()).toEqual({ ...after, source: before.source, destination: before.destination });
        ipv6.setSource(view, 0, after.source);
        ipv6.setDestination(view, 0, after.destination);
        expect(now()).toEqual(after);
        ipv6.swapAddresses(view, 0);
        expect(now()).toEqual({ ...after, source: after.destination, destination: after.source });
      }),
    );
  });

  test("check names what is wrong", () => {
    const view = viewOf(new Uint8Array(60));
    expect(ipv6.check(view, 0, 39)).toBe(ipv6.BAD.short);
    expect(ipv6.check(view, 0, 40)).toBe(ipv6.BAD.version);
    ipv6.setVersionClassFlow(view, 0, 0, 0);
    expect(ipv6.check(view, 0, 40)).toBe(0);
    ipv6.setPayloadLength(view, 0, 20);
    expect(ipv6.check(view, 0, 59)).toBe(ipv6.BAD.length);
    expect(ipv6.check(view, 0, 60)).toBe(0);
  });

  test("refuses records that no header can hold", () => {
    const good = {
      trafficClass: 0,
      flowLabel: 0,
      payloadLength: 0,
      nextHeader: 0,
      hopLimit: 0,
      source: IpAddress.parse("::1"),
      destination: IpAddress.parse("::2"),
    };
    const view = viewOf(new Uint8Array(40));
    for (const bad of [
      { trafficClass: 256 },
      { flowLabel: 0x10_0000 },
      { payloadLength: -1 },
      { nextHeader: 1.5 },
      { hopLimit: Number.NaN },
      { source: IpAddress.parse("1.2.3.4") },
      { destination: IpAddress.parse("1.2.3.4") },
    ])
      expect(() => ipv6.emit({ ...good, ...bad }, view, 0)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(header.map((record) => bytesOf(ipv6, record))), (input) => {
        expect(ipv6.check(viewOf(input), 0, input.length)).toBeLessThanOrEqual(0);
        expectStable(ipv6, input.length > 40 ? input.slice(0, 40) : input);
      }),
    );
  });
});

describe("extension headers", () => {
  const formatOf = (protocol: number) => ({
    ...extensions,
    parse: (view: DataView, at: number, length: number) => extensions.parse(view, at, length, protocol),
  });

  test("read what they wrote", () => {
    fc.assert(
      fc.property(extension, (record) => {
        const written = expectRoundTrip(formatOf(extensions.protocolOf(record)), record);
        expect(written.length % 8).toBe(0);
      }),
    );
  });

  test("a hop-by-hop header with a router alert, as MLD sends it", () => {
    const record: ExtensionRecord = {
      kind: "hop-by-hop",
      nextHeader: PROTOCOL.ICMPV6,
      options: [{ type: extensions.OPTION.ROUTER_ALERT, data: Uint8Array.of(0, 0) }],
    };
    expect(Buffer.from(bytesOf(extensions, record)).toString("hex")).toBe("3a00050200000100");
    const { result, found } = walked(bytesOf(extensions, record), PROTOCOL.HOP_BY_HOP);
    expect(result).toBe(0);
    expect(found).toMatchObject({
      protocol: PROTOCOL.ICMPV6,
      at: 8,
      length: 0,
      routerAlertAt: 2,
      namedAt: 0,
    });
  });

  test("the walk finds the upper protocol behind any good chain", () => {
    const good = extension
      .filter(({ kind }) => kind !== "hop-by-hop")
      .map((record): ExtensionRecord => {
        if (record.kind === "routing") return { ...record, segmentsLeft: 0 };
        if (record.kind === "fragment") return { ...record, offset: 0, more: false };
        if (record.kind !== "destination-options") return record;
        return { ...record, options: record.options.map(({ data }) => ({ type: 0x1e, data })) };
      });
    fc.assert(
      fc.property(fc.array(good, { maxLength: 8 }), bytes(20), (records, payload) => {
        const { first, bytes: all } = chain(records, PROTOCOL.UDP, payload);
        const { result, found } = walked(all, first);
        expect(result).toBe(0);
        expect(found.protocol).toBe(PROTOCOL.UDP);
        expect(found.length).toBe(payload.length);
        expect(found.at).toBe(all.length - payload.length);
        expect(found.fragmentAt >= 0).toBe(records.some(({ kind }) => kind === "fragment"));
        expect(found.problemAt).toBe(-1);
      }),
    );
  });

  test("the walk ends before a fragment and passes an atomic one", () => {
    const fragment = { kind: "fragment" as const, nextHeader: 0, offset: 0, more: true, identification: 7 };
    const options = { kind: "destination-options" as const, nextHeader: 0, options: [] };
    const first = chain([options, fragment], PROTOCOL.UDP, new Uint8Array(8));
    expect(walked(first.bytes, first.first)).toMatchObject({
      result: 0,
      found: { protocol: PROTOCOL.FRAGMENT, at: 8, length: 16, fragmentAt: 8 },
    });
    const last = chain([{ ...fragment, offset: 1232, more: false }], PROTOCOL.UDP, new Uint8Array(8));
    expect(walked(last.bytes, last.first).found.protocol).toBe(PROTOCOL.FRAGMENT);
    const atomic = chain([{ ...fragment, more: false }], PROTOCOL.UDP, new Uint8Array(8));
    expect(walked(atomic.bytes, atomic.first)).toMatchObject({
      result: 0,
      found: { protocol: PROTOCOL.UDP, at: 8, fragmentAt: 0, namedAt: 0 },
    });
  });

  test("the walk says what is wrong, and where", () => {
    const options = (type: number): ExtensionRecord => ({
      kind: "destination-options",
      nextHeader: 0,
      options: [
        { type: 0x1e, data: new Uint8Array(3) },
        { type, data: new Uint8Array(2) },
      ],
    });
    const hop: ExtensionRecord = { kind: "hop-by-hop", nextHeader: 0, options: [] };
    const routing: ExtensionRecord = {
      kind: "routing",
      nextHeader: 0,
      routingType: 0,
      segmentsLeft: 1,
      data: new Uint8Array(4),
    };
    const none = new Uint8Array(0);
    const run = (records: ExtensionRecord[]) => {
      const { first, bytes: all } = chain(records, PROTOCOL.UDP, none);
      return walked(all, first);
    };
    const { BAD, ACTION } = extensions;
    expect(run([hop, options(0x9e)])).toMatchObject({
      result: BAD.option,
      found: { action: ACTION.REPORT, problemAt: 8 + 2 + 5 },
    });
    expect(run([options(0x5e)])).toMatchObject({ result: BAD.option, found: { action: ACTION.DISCARD } });
    expect(run([options(0xde)])).toMatchObject({
      result: BAD.option,
      found: { action: ACTION.REPORT_UNICAST },
    });
    expect(run([options(0x3e)]).result).toBe(0);
    expect(run([options(0x1e), hop])).toMatchObject({ result: BAD.order, found: { problemAt: 0 } });
    expect(run([hop, routing])).toMatchObject({ result: BAD.routing, found: { problemAt: 8 + 2 } });
    const many = Array.from({ length: 9 }, () => options(0x1e));
    expect(run(many.slice(1)).result).toBe(0);
    expect(run(many).result).toBe(BAD.limit);
    const cut = Uint8Array.of(17, 1, 1, 4, 0, 0, 0, 0);
    expect(walked(cut, PROTOCOL.DESTINATION_OPTIONS).result).toBe(BAD.short);
    const beyond = Uint8Array.of(17, 0, 0x1e, 9, 0, 0, 0, 0);
    expect(walked(beyond, PROTOCOL.DESTINATION_OPTIONS)).toMatchObject({
      result: BAD.malformed,
      found: { problemAt: 2 },
    });
    const pads = new Uint8Array(8 * 6);
    pads.set([17, 5]);
    expect(walked(pads, PROTOCOL.DESTINATION_OPTIONS).result).toBe(BAD.limit);
  });

  test("the first header was named by the IPv6 header", () => {
    const packet = new Uint8Array(48);
    const found = new Walk();
    expect(extensions.walk(viewOf(packet), 40, 8, PROTOCOL.TCP, found)).toBe(0);
    expect(found).toMatchObject({ protocol: PROTOCOL.TCP, at: 40, length: 8, namedAt: ipv6.NEXT_HEADER });
  });

  test("the fragment header in place", () => {
    const view = viewOf(new Uint8Array(8).fill(0xa5));
    extensions.writeFragment(view, 0, PROTOCOL.UDP, 1448, true, -2);
    expect(extensions.fragmentOffset(view, 0)).toBe(1448);
    expect(extensions.moreFragments(view, 0)).toBe(true);
    expect(extensions.identification(view, 0)).toBe(-2);
    expect(extensions.parse(view, 0, 8, PROTOCOL.FRAGMENT)).toEqual({
      kind: "fragment",
      nextHeader: PROTOCOL.UDP,
      offset: 1448,
      more: true,
      identification: 0xffff_fffe,
    });
  });

  test("take any bytes", () => {
    const chained = fc
      .tuple(fc.array(extension, { maxLength: 5 }), bytes(10))
      .map(([records, payload]) => chain(records, PROTOCOL.TCP, payload))
      .chain(({ first, bytes: all }) =>
        fc.record({ first: fc.oneof(fc.constant(first), uint8), input: mangled(fc.constant(all)) }),
      );
    fc.assert(
      fc.property(chained, ({ first, input }) => {
        const { result, found } = walked(input, first);
        expect(result).toBeLessThanOrEqual(0);
        expect(found.at + found.length).toBe(input.length);
        expect(found.length).toBeGreaterThanOrEqual(0);
        expectStable(formatOf(first), input);
      }),
      { numRuns: 500 },
    );
  });
});
