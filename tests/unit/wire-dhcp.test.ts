/** DHCP: round trips with long options and overload, where the fields are, and any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ANY4, ANY6, IpAddress } from "../../stack/wire/address.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv4,
  mac,
  mangled,
  uint16,
  uint32,
  uint8,
  viewOf,
} from "../support/records.ts";

/** A format whose messages have at most so many bytes. */
const within = (maxBytes: number) => ({
  parse: dhcp.parse,
  lengthOf: (record: dhcp.DhcpRecord) => dhcp.lengthOf(record, maxBytes),
  emit: (record: dhcp.DhcpRecord, view: DataView, at: number) => dhcp.emit(record, view, at, maxBytes),
});
const BIG = 9000;

const code = fc.integer({ min: 1, max: 254 }).filter((value) => value !== dhcp.OPTION.OVERLOAD);
const options = (maxLength: number, maxBytes: number): fc.Arbitrary<dhcp.DhcpOptions> =>
  fc
    .uniqueArray(fc.tuple(code, bytes(maxBytes)), { maxLength, selector: ([key]) => key })
    .map((entries) => new Map(entries));
const text = (maxLength: number) =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength })
    .map((characters) => String.fromCharCode(...characters));

const recordWith = (all: fc.Arbitrary<dhcp.DhcpOptions>): fc.Arbitrary<dhcp.DhcpRecord> =>
  fc.record({
    op: fc.constantFrom(dhcp.OPERATION.REQUEST, dhcp.OPERATION.REPLY),
    hops: uint8,
    xid: uint32,
    secs: uint16,
    flags: fc.constantFrom(0, dhcp.BROADCAST),
    ciaddr: ipv4,
    yiaddr: ipv4,
    siaddr: ipv4,
    giaddr: ipv4,
    chaddr: mac,
    sname: text(63),
    file: text(127),
    options: all,
  });
const record = recordWith(options(6, 600));

const DISCOVER: dhcp.DhcpRecord = {
  op: dhcp.OPERATION.REQUEST,
  xid: 0x3903f326,
  secs: 2,
  flags: dhcp.BROADCAST,
  ciaddr: ANY4,
  yiaddr: ANY4,
  siaddr: ANY4,
  giaddr: ANY4,
  chaddr: MacAddress.parse("02:00:00:00:00:01"),
  options: new Map([
    [dhcp.OPTION.MESSAGE_TYPE, Uint8Array.of(dhcp.MESSAGE.DISCOVER)],
    [dhcp.OPTION.PARAMETERS, Uint8Array.of(1, 3, 6)],
  ]),
};

describe("DHCP", () => {
  test("reads what it wrote, and its check is content", () => {
    fc.assert(
      fc.property(record, (message) => {
        const written = expectRoundTrip(within(BIG), message);
        expect(dhcp.check(viewOf(written), 0, written.length)).toBe(0);
        expect(written.length).toBeGreaterThanOrEqual(dhcp.MIN_BYTES);
      }),
    );
  });

  test("has its fields where RFC 2131 has them", () => {
    const written = bytesOf(dhcp, DISCOVER);
    expect(written.length).toBe(300);
    const hex = (from: number, to: number) => Buffer.from(written.subarray(from, to)).toString("hex");
    expect(hex(0, 12)).toBe("010106003903f32600028000");
    expect(hex(28, 36)).toBe("0200000000010000");
    expect(hex(236, 250)).toBe("63825363" + "350101" + "3703010306" + "ff00");
    expect(written.subarray(36, 236).every((byte) => byte === 0)).toBe(true);
    expect(dhcp.parse(viewOf(written), 0, 300)).toEqual({ ...DISCOVER, hops: 0, sname: "", file: "" });
    expect(dhcp.messageType(DISCOVER)).toBe(dhcp.MESSAGE.DISCOVER);
    expect(dhcp.messageType({ options: new Map() })).toBe(0);
    expect([dhcp.op(viewOf(written), 0), dhcp.xid(viewOf(written), 0)]).toEqual([1, 0x3903f326]);
  });

  test("long options go in parts and come back joined", () => {
    const long = Uint8Array.from({ length: 600 }, (_, i) => i & 0xff);
    const message = { ...DISCOVER, options: new Map([...DISCOVER.options, [121, long]]) };
    const written = bytesOf(within(BIG), message);
    // 3 + 5 bytes before, three parts of 255, 255 and 90 bytes, and the end.
    expect(written.length).toBe(240 + 8 + 600 + 3 * 2 + 1);
    expect([...written.subarray(248, 250)]).toEqual([121, 255]);
    expect(dhcp.parse(viewOf(written), 0, written.length)?.options.get(121)).toEqual(long);
  });

  test("options that do not fit go into free fields", () => {
    const free = { hops: 0, sname: "", file: "" };
    const option = (key: number, length: number): [number, Uint8Array] => [key, bytesLike(key, length)];
    const bytesLike = (key: number, length: number) => new Uint8Array(length).fill(key);
    const message = {
      ...DISCOVER,
      ...free,
      options: new Map([option(60, 200), option(61, 90), option(62, 100), option(63, 60)]),
    };
    const written = expectRoundTrip(dhcp, message);
    expect(written.length).toBeLessThanOrEqual(dhcp.DEFAULT_MAX_BYTES);
    expect(written[dhcp.FILE]).toBe(62);
    expect(written[dhcp.SNAME]).toBe(63);
    expect(() => dhcp.lengthOf({ ...message, file: "x" })).toThrow(RangeError);
    expect(() => dhcp.lengthOf({ ...message, sname: "x" })).toThrow(RangeError);
    const small = { ...message, options: new Map([option(60, 200), option(61, 90), option(62, 40)]) };
    const onlyFile = expectRoundTrip(dhcp, { ...small, sname: "server" });
    expect(onlyFile[dhcp.SNAME]).toBe("s".charCodeAt(0));
    // A fitting message of any size up to the maximum.
    fc.assert(
      fc.property(recordWith(options(8, 60)), (each) => {
        const message548 = { ...each, ...free };
        const length = dhcp.lengthOf(message548);
        expect(length).toBeLessThanOrEqual(dhcp.DEFAULT_MAX_BYTES);
        expectRoundTrip(dhcp, message548);
      }),
    );
  });

  test("an option that is parted between fields is joined in the order of RFC 3396", () => {
    const written = bytesOf(dhcp, DISCOVER);
    const put = (at: number, ...values: number[]) => written.set(values, at);
    put(dhcp.OPTIONS, dhcp.OPTION.OVERLOAD, 1, 3, 12, 1, 0x61, 255);
    put(dhcp.FILE, 12, 1, 0x62, 255);
    put(dhcp.SNAME, 12, 1, 0x63, 255);
    const parsed = dhcp.parse(viewOf(written), 0, written.length);
    expect(parsed?.options).toEqual(new Map([[12, Uint8Array.of(0x61, 0x62, 0x63)]]));
    expect([parsed?.file, parsed?.sname]).toEqual(["", ""]);
    // A broken option in an overloaded field is as bad as one elsewhere.
    written.fill(0, dhcp.SNAME, dhcp.FILE);
    put(dhcp.FILE - 2, 12, 9);
    expect(dhcp.check(viewOf(written), 0, written.length)).toBe(dhcp.BAD.option);
  });

  test("check names what is wrong", () => {
    const written = bytesOf(dhcp, DISCOVER);
    const changed = (at: number, value: number, length = written.length) => {
      const copy = written.slice(0, length);
      copy[at] = value;
      return dhcp.check(viewOf(copy), 0, copy.length);
    };
    const { BAD } = dhcp;
    expect(changed(0, 1)).toBe(0);
    expect(changed(0, 1, 239)).toBe(BAD.short);
    expect(changed(0, 3)).toBe(BAD.operation);
    expect(changed(dhcp.HARDWARE_TYPE, 6)).toBe(BAD.hardware);
    expect(changed(dhcp.HARDWARE_LENGTH, 16)).toBe(BAD.hardware);
    expect(changed(dhcp.COOKIE, 0)).toBe(BAD.cookie);
    expect(changed(dhcp.OPTIONS + 1, 200)).toBe(BAD.option);
    expect(changed(0, 1, dhcp.OPTIONS + 4)).toBe(BAD.option);
    // Without an end option, but whole.
    expect(changed(0, 1, dhcp.OPTIONS + 3)).toBe(0);
  });

  test("refuses records that no message can hold", () => {
    const view = viewOf(new Uint8Array(2000));
    const bad: Partial<dhcp.DhcpRecord>[] = [
      { op: 3 },
      { hops: 256 },
      { xid: -1 },
      { secs: 65536 },
      { flags: 1 },
      { ciaddr: ANY6 },
      { yiaddr: IpAddress.parse("2001:db8::1") },
      { sname: "x".repeat(64) },
      { file: "x".repeat(128) },
      { file: "\u0100" },
      { file: "\0" },
      { options: new Map([[0, new Uint8Array(1)]]) },
      { options: new Map([[255, new Uint8Array(1)]]) },
      { options: new Map([[52, new Uint8Array(1)]]) },
      { options: new Map([[43, new Uint8Array(1000)]]) },
    ];
    for (const each of bad) expect(() => dhcp.emit({ ...DISCOVER, ...each }, view, 0)).toThrow(RangeError);
    expect(() => dhcp.emit(DISCOVER, view, 0, 299)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(record.map((message) => bytesOf(within(BIG), message))), (input) => {
        const fault = dhcp.check(viewOf(input), 0, input.length);
        expect(fault).toBeLessThanOrEqual(0);
        expect(expectStable(within(BIG), input) !== undefined).toBe(fault === 0);
      }),
      { numRuns: 500 },
    );
  });
});
