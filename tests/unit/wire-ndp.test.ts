/** Neighbour discovery: round trips of messages and options, the rules of RFC 4861, and any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { pseudoOf } from "../../stack/wire/checksum.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv6,
  mac,
  mangled,
  uint16,
  uint32,
  uint8,
  viewOf,
} from "../support/records.ts";

const SOURCE = IpAddress.parse("fe80::1");
const DESTINATION = IpAddress.parse("ff02::1");

const format = {
  ...ndp,
  emit: (record: ndp.NdpRecord, view: DataView, at: number) =>
    ndp.emit(record, view, at, SOURCE, DESTINATION),
};

const unicast = ipv6.filter((address) => !address.multicast);
const preference = fc.constantFrom("low" as const, "medium" as const, "high" as const);
/** 6 bytes, or 8 more, as what fills options of its own has. */
const filling = (units: number) => fc.nat(units).chain((n) => bytes(6 + 8 * n, 6 + 8 * n));

/** The prefix with zeros behind the first 0, 8 or 16 bytes. */
const cutPrefix = (address: IpAddress, length: number): IpAddress => {
  if (length > 64) return address;
  return length === 0 ? IpAddress.words(0, 0, 0, 0) : IpAddress.words(address.w0, address.w1, 0, 0);
};

const label = fc.stringMatching(/^[a-z0-9_-]{1,12}$/);
const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));

const option: fc.Arbitrary<ndp.NdpOption> = fc.oneof(
  fc.record({ kind: fc.constantFrom("source-link-layer" as const, "target-link-layer" as const), mac }),
  fc.record({
    kind: fc.constant("prefix-information" as const),
    prefix: ipv6,
    prefixLength: fc.nat(128),
    onLink: fc.boolean(),
    autonomous: fc.boolean(),
    validSeconds: uint32,
    preferredSeconds: uint32,
  }),
  fc.record({
    kind: fc.constant("redirected-header" as const),
    packet: fc.nat(8).chain((units) => bytes(8 * units, 8 * units)),
  }),
  fc.record({ kind: fc.constant("mtu" as const), mtu: uint32 }),
  fc.record({ kind: fc.constant("nonce" as const), nonce: filling(3) }),
  fc.tuple(ipv6, fc.nat(128), preference, uint32).map(([address, prefixLength, wish, lifetimeSeconds]) => ({
    kind: "route-information" as const,
    prefix: cutPrefix(address, prefixLength),
    prefixLength,
    preference: wish,
    lifetimeSeconds,
  })),
  fc.record({
    kind: fc.constant("rdnss" as const),
    lifetimeSeconds: uint32,
    servers: fc.array(ipv6, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant("dnssl" as const),
    lifetimeSeconds: uint32,
    domains: fc.array(domain, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant("other" as const),
    type: fc.constantFrom(0, 6, 13, 37, 38, 253, 255),
    data: filling(3),
  }),
);
const options = fc.array(option, { maxLength: 5 });

const message: fc.Arbitrary<ndp.NdpRecord> = fc.oneof(
  fc.record({ kind: fc.constant("router-solicitation" as const), options }),
  fc.record({
    kind: fc.constant("router-advertisement" as const),
    hopLimit: uint8,
    managed: fc.boolean(),
    otherConfiguration: fc.boolean(),
    preference,
    lifetimeSeconds: uint16,
    reachableMs: uint32,
    retransMs: uint32,
    options,
  }),
  fc.record({ kind: fc.constant("neighbour-solicitation" as const), target: unicast, options }),
  fc.record({
    kind: fc.constant("neighbour-advertisement" as const),
    router: fc.boolean(),
    solicited: fc.boolean(),
    override: fc.boolean(),
    target: unicast,
    options,
  }),
  fc.record({ kind: fc.constant("redirect" as const), target: unicast, destination: unicast, options }),
);

describe("neighbour discovery", () => {
  test("reads what it wrote, and both checks are content", () => {
    fc.assert(
      fc.property(message, (record) => {
        const written = expectRoundTrip(format, record);
        const { length } = written;
        const sum = pseudoOf(SOURCE, DESTINATION, PROTOCOL.ICMPV6, length);
        expect(ndp.check(viewOf(written), 0, length)).toBe(0);
        expect(icmpv6.check(viewOf(written), 0, length, sum)).toBe(0);
        expect(ndp.isType(icmpv6.type(viewOf(written), 0))).toBe(true);
      }),
    );
  });

  test("has its fields where the RFCs have them", () => {
    const hex = (record: ndp.NdpRecord) => {
      const written = bytesOf(format, record);
      written.fill(0, icmpv6.CHECKSUM, icmpv6.CHECKSUM + 2);
      return Buffer.from(written).toString("hex");
    };
    const target = IpAddress.parse("2001:db8::5");
    const text = "20010db8000000000000000000000005";
    const sender = MacAddress.parse("02:00:00:00:00:01");
    expect(
      hex({
        kind: "neighbour-solicitation",
        target,
        options: [
          { kind: "source-link-layer", mac: sender },
          { kind: "nonce", nonce: Uint8Array.of(1, 2, 3, 4, 5, 6) },
        ],
      }),
    ).toBe(`87000000${"00000000"}${text}0101020000000001${"0e01010203040506"}`);
    expect(
      hex({
        kind: "neighbour-advertisement",
        router: true,
        solicited: false,
        override: true,
        target,
        options: [{ kind: "target-link-layer", mac: sender }],
      }),
    ).toBe(`88000000${"a0000000"}${text}0201020000000001`);
    expect(
      hex({
        kind: "router-advertisement",
        hopLimit: 64,
        managed: false,
        otherConfiguration: true,
        preference: "low",
        lifetimeSeconds: 1800,
        reachableMs: 30000,
        retransMs: 1000,
        options: [
          {
            kind: "prefix-information",
            prefix: IpAddress.parse("2001:db8::"),
            prefixLength: 64,
            onLink: true,
            autonomous: true,
            validSeconds: 86400,
            preferredSeconds: 14400,
          },
          { kind: "mtu", mtu: 1500 },
          { kind: "rdnss", lifetimeSeconds: 600, servers: [target] },
          { kind: "dnssl", lifetimeSeconds: 600, domains: ["a.bc"] },
          {
            kind: "route-information",
            prefix: IpAddress.parse("2001:db8:1::"),
            prefixLength: 48,
            preference: "high",
            lifetimeSeconds: 60,
          },
        ],
      }),
    ).toBe(
      "86000000" +
        "40" +
        "58" +
        "0708" +
        "00007530" +
        "000003e8" +
        "030440c0" +
        "00015180" +
        "00003840" +
        "00000000" +
        "20010db8000000000000000000000000" +
        "05010000000005dc" +
        "1903000000000258" +
        text +
        "1f02000000000258" +
        "0161026263000000" +
        "18023008" +
        "0000003c" +
        "20010db800010000",
    );
  });

  test("the target in place", () => {
    const target = IpAddress.parse("fe80:1:2:3:4:5:6:7");
    const view = viewOf(bytesOf(format, { kind: "neighbour-solicitation", target, options: [] }));
    const words = [0, 1, 2, 3].map((index) => ndp.targetWord(view, 0, index));
    expect(words).toEqual([target.w0, target.w1, target.w2, target.w3]);
  });

  test("check follows RFC 4861", () => {
    const written = bytesOf(format, {
      kind: "neighbour-solicitation",
      target: IpAddress.parse("fe80::9"),
      options: [{ kind: "nonce", nonce: new Uint8Array(6) }],
    });
    const changed = (at: number, value: number, length = written.length) => {
      const copy = written.slice(0, length);
      copy[at] = value;
      return ndp.check(viewOf(copy), 0, copy.length);
    };
    const { BAD } = ndp;
    expect(changed(0, 135)).toBe(0);
    expect(changed(0, 135, 23)).toBe(BAD.short);
    expect(changed(0, 128)).toBe(BAD.type);
    expect(changed(1, 1)).toBe(BAD.code);
    expect(changed(ndp.TARGET, 0xff)).toBe(BAD.target);
    expect(changed(ndp.NEIGHBOUR_OPTIONS + 1, 0)).toBe(BAD.option);
    expect(changed(ndp.NEIGHBOUR_OPTIONS + 1, 2)).toBe(BAD.option);
    expect(changed(0, 135, 28)).toBe(BAD.option);
    expect(changed(0, 137)).toBe(BAD.short);
  });

  test("unknown options pass, known ones of a wrong form are left out", () => {
    const written = bytesOf(format, {
      kind: "router-solicitation",
      options: [
        { kind: "mtu", mtu: 1280 },
        { kind: "other", type: 200, data: new Uint8Array(14) },
        { kind: "source-link-layer", mac: MacAddress.words(1, 2) },
      ],
    });
    // The option of 16 bytes gets the type of MTU, which has 8.
    written[ndp.SOLICITATION_OPTIONS + 8] = ndp.OPTION.MTU;
    expect(ndp.parse(viewOf(written), 0, written.length)).toEqual({
      kind: "router-solicitation",
      options: [
        { kind: "mtu", mtu: 1280 },
        { kind: "source-link-layer", mac: MacAddress.words(1, 2) },
      ],
    });
    const view = viewOf(written);
    const find = (type: number) => ndp.findOption(view, ndp.SOLICITATION_OPTIONS, written.length, type);
    expect(find(ndp.OPTION.SOURCE_LINK_LAYER)).toBe(ndp.SOLICITATION_OPTIONS + 24);
    expect(find(ndp.OPTION.NONCE)).toBe(-1);
  });

  test("a search list that is malformed is left out", () => {
    const option = (...names: number[]) => {
      const size = Math.ceil((8 + names.length) / 8) * 8;
      const written = new Uint8Array(ndp.SOLICITATION_OPTIONS + size + 8);
      written[0] = icmpv6.TYPE.ROUTER_SOLICITATION;
      written.set([ndp.OPTION.DNSSL, size / 8, 0, 0, 0, 0, 0, 9, ...names], ndp.SOLICITATION_OPTIONS);
      // Behind it an option whose bytes no name may reach into.
      written.set([ndp.OPTION.MTU, 1, 0, 0, 0, 0, 5, 0], written.length - 8);
      const record = ndp.parse(viewOf(written), 0, written.length);
      expect(record?.options.at(-1)).toEqual({ kind: "mtu", mtu: 1280 });
      return record?.options.length === 2 ? record.options[0] : undefined;
    };
    const a = 0x61;
    expect(option(1, a, 1, a, 0, 0, 0, 0)).toMatchObject({ domains: ["a.a"] });
    expect(option(1, a, 0, 2, a, a, 0, 0)).toMatchObject({ domains: ["a", "aa"], lifetimeSeconds: 9 });
    expect(option(7, a, a, a, a, a, a, a)).toBeUndefined();
    expect(option(8, a, a, a, a, a, a, a)).toBeUndefined();
    expect(option(4, a, a, a, a, 1, a, 1)).toBeUndefined();
    expect(option(1, 0x2e, 0, 0, 0, 0, 0, 0)).toBeUndefined();
    expect(option(1, 0x20, 0, 0, 0, 0, 0, 0)).toBeUndefined();
    expect(option(0, 0, 0, 0, 0, 0, 0, 0)).toBeUndefined();
    const label = (length: number) => [length, ...Array<number>(length).fill(a)];
    expect(option(...label(63), 0)).toMatchObject({ domains: ["a".repeat(63)] });
    expect(option(...label(64), 0)).toBeUndefined();
    // 255 bytes in all is the most.
    expect(option(...label(63), ...label(63), ...label(63), ...label(61), 0)).toBeDefined();
    expect(option(...label(63), ...label(63), ...label(63), ...label(62), 0)).toBeUndefined();
  });

  test("a prefix that cannot be is left out", () => {
    const prefix = IpAddress.parse("2001:db8::");
    const written = bytesOf(format, {
      kind: "router-solicitation",
      options: [
        {
          kind: "prefix-information",
          prefix,
          prefixLength: 128,
          onLink: true,
          autonomous: false,
          validSeconds: 1,
          preferredSeconds: 1,
        },
      ],
    });
    const found = () => ndp.parse(viewOf(written), 0, written.length)?.options;
    expect(found()).toMatchObject([{ prefix, prefixLength: 128 }]);
    written[ndp.SOLICITATION_OPTIONS + ndp.PREFIX_LENGTH] = 129;
    expect(found()).toEqual([]);
    written[ndp.SOLICITATION_OPTIONS + ndp.PREFIX_LENGTH] = 96;
    written.set([...new Uint8Array(10), 0xff, 0xff], ndp.SOLICITATION_OPTIONS + ndp.PREFIX);
    expect(found()).toEqual([]);
  });

  test("the reserved preference is medium in a router, none in a route", () => {
    expect(ndp.preferenceOf(0x10)).toBeUndefined();
    const written = bytesOf(format, {
      kind: "router-advertisement",
      hopLimit: 0,
      managed: false,
      otherConfiguration: false,
      preference: "low",
      lifetimeSeconds: 0,
      reachableMs: 0,
      retransMs: 0,
      options: [],
    });
    written[ndp.ROUTER_FLAGS] = 0x10;
    expect(ndp.parse(viewOf(written), 0, written.length)).toMatchObject({ preference: "medium" });
  });

  test("refuses records that no message can hold", () => {
    const view = viewOf(new Uint8Array(3000));
    const target = IpAddress.parse("fe80::9");
    const solicitation = (bad: ndp.NdpOption) => ({ kind: "router-solicitation" as const, options: [bad] });
    const bad: ndp.NdpRecord[] = [
      { kind: "neighbour-solicitation", target: IpAddress.parse("10.0.0.1"), options: [] },
      { kind: "neighbour-solicitation", target: DESTINATION, options: [] },
      { kind: "redirect", target, destination: DESTINATION, options: [] },
      solicitation({ kind: "nonce", nonce: new Uint8Array(7) }),
      solicitation({ kind: "other", type: ndp.OPTION.MTU, data: new Uint8Array(6) }),
      solicitation({ kind: "other", type: 99, data: new Uint8Array(2046) }),
      solicitation({ kind: "rdnss", lifetimeSeconds: 1, servers: [] }),
      solicitation({ kind: "rdnss", lifetimeSeconds: 1, servers: [IpAddress.parse("1.1.1.1")] }),
      solicitation({ kind: "dnssl", lifetimeSeconds: 1, domains: ["a..b"] }),
      solicitation({ kind: "dnssl", lifetimeSeconds: 1, domains: ["a b"] }),
      solicitation({ kind: "dnssl", lifetimeSeconds: 1, domains: ["x".repeat(64)] }),
      solicitation({
        kind: "route-information",
        prefix: target,
        prefixLength: 64,
        preference: "low",
        lifetimeSeconds: 0,
      }),
    ];
    for (const record of bad) expect(() => format.emit(record, view, 0)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(message.map((record) => bytesOf(format, record))), (input) => {
        const fault = ndp.check(viewOf(input), 0, input.length);
        expect(fault).toBeLessThanOrEqual(0);
        const record = expectStable(format, input);
        if (fault < 0) expect(record).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });
});
