/** ICMP of both families: round trips, checksums, quotations with and without extensions, and any bytes at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { pseudoOf } from "../../stack/wire/checksum.ts";
import * as icmpv4 from "../../stack/wire/icmpv4.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import {
  bytes,
  bytesOf,
  expectRoundTrip,
  expectStable,
  ipv4,
  mangled,
  uint16,
  uint32,
  uint8,
  viewOf,
} from "../support/records.ts";

const SOURCE = IpAddress.parse("fe80::1");
const DESTINATION = IpAddress.parse("2001:db8::2");
const pseudo = (length: number) => pseudoOf(SOURCE, DESTINATION, PROTOCOL.ICMPV6, length);

/** ICMPv6 between two addresses. */
const v6 = {
  ...icmpv6,
  emit: (record: icmpv6.Icmpv6Record, view: DataView, at: number) =>
    icmpv6.emit(record, view, at, SOURCE, DESTINATION),
};

const echo = fc.record({
  kind: fc.constantFrom("echo-request" as const, "echo-reply" as const),
  identifier: uint16,
  sequence: uint16,
  data: bytes(80),
});

/** A quotation and what follows it: extensions only behind 128 bytes or more, in whole units. */
const quoting = (least: number, unit: number) =>
  fc.oneof(
    fc.record({ quote: bytes(200, least), extensions: fc.constant(new Uint8Array(0)) }),
    fc
      .integer({ min: Math.ceil(128 / unit), max: 255 })
      .chain((units) => fc.record({ quote: bytes(units * unit, units * unit), extensions: bytes(40, 1) })),
  );

const message4: fc.Arbitrary<icmpv4.Icmpv4Record> = fc.oneof(
  echo,
  fc.record({
    kind: fc.constantFrom("timestamp-request" as const, "timestamp-reply" as const),
    identifier: uint16,
    sequence: uint16,
    originate: uint32,
    receive: uint32,
    transmit: uint32,
  }),
  fc.tuple(uint8, uint16, quoting(20, 4)).map(([code, mtu, quote]) => ({
    kind: "destination-unreachable" as const,
    code,
    mtu: code === icmpv4.UNREACHABLE.FRAGMENTATION_NEEDED ? mtu : 0,
    ...quote,
  })),
  fc.tuple(uint16, quoting(20, 4)).map(([mtu, quote]) => ({
    kind: "destination-unreachable" as const,
    code: icmpv4.UNREACHABLE.FRAGMENTATION_NEEDED,
    mtu,
    ...quote,
  })),
  fc
    .tuple(uint8, quoting(20, 4))
    .map(([code, quote]) => ({ kind: "time-exceeded" as const, code, ...quote })),
  fc.tuple(uint8, uint8, quoting(20, 4)).map(([code, pointer, quote]) => ({
    kind: "parameter-problem" as const,
    code,
    pointer,
    ...quote,
  })),
  fc.record({ kind: fc.constant("redirect" as const), code: uint8, gateway: ipv4, quote: bytes(100, 20) }),
  fc.record({
    kind: fc.constant("other" as const),
    type: fc.constantFrom(1, 2, 4, 9, 10, 17, 42, 255),
    code: uint8,
    body: bytes(60, 4),
  }),
);

const message6: fc.Arbitrary<icmpv6.Icmpv6Record> = fc.oneof(
  echo,
  fc
    .tuple(
      fc.constantFrom("destination-unreachable" as const, "time-exceeded" as const),
      uint8,
      quoting(40, 8),
    )
    .map(([kind, code, quote]) => ({ kind, code, ...quote })),
  fc.record({
    kind: fc.constant("packet-too-big" as const),
    code: uint8,
    mtu: uint32,
    quote: bytes(200, 40),
  }),
  fc.record({
    kind: fc.constant("parameter-problem" as const),
    code: uint8,
    pointer: uint32,
    quote: bytes(200, 40),
  }),
  fc.record({
    kind: fc.constant("other" as const),
    type: fc.constantFrom(0, 5, 100, 127, 130, 135, 200, 255),
    code: uint8,
    body: bytes(60, 4),
  }),
);

describe("ICMPv4", () => {
  test("reads what it wrote, and its check is content", () => {
    fc.assert(
      fc.property(message4, (record) => {
        const written = expectRoundTrip(icmpv4, record);
        const error = icmpv4.isError(icmpv4.type(viewOf(written), 0));
        if (!error || written.length >= 28) expect(icmpv4.check(viewOf(written), 0, written.length)).toBe(0);
      }),
    );
  });

  test("has its fields where RFC 792 has them", () => {
    const written = bytesOf(icmpv4, {
      kind: "echo-request",
      identifier: 0x1234,
      sequence: 2,
      data: Uint8Array.of(0xab),
    });
    // 0x0800 + 0x1234 + 0x0002 + 0xab00 = 0xc536.
    expect(Buffer.from(written).toString("hex")).toBe("08003ac912340002ab");
    const view = viewOf(written);
    expect([icmpv4.identifier(view, 0), icmpv4.sequence(view, 0)]).toEqual([0x1234, 2]);
  });

  test("check names what is wrong", () => {
    const written = bytesOf(icmpv4, {
      kind: "time-exceeded",
      code: 0,
      quote: new Uint8Array(28).fill(1),
      extensions: new Uint8Array(0),
    });
    const view = viewOf(written);
    expect(icmpv4.check(view, 0, 7)).toBe(icmpv4.BAD.short);
    expect(icmpv4.check(view, 0, written.length)).toBe(0);
    view.setUint8(9, 2);
    expect(icmpv4.check(view, 0, written.length)).toBe(icmpv4.BAD.checksum);
    icmpv4.setChecksum(view, 0, 27);
    expect(icmpv4.check(view, 0, 27)).toBe(icmpv4.BAD.quote);
  });

  test("errors are errors and what they quote is found", () => {
    const { TYPE } = icmpv4;
    const errors = [
      TYPE.DESTINATION_UNREACHABLE,
      TYPE.SOURCE_QUENCH,
      TYPE.REDIRECT,
      TYPE.TIME_EXCEEDED,
      TYPE.PARAMETER_PROBLEM,
    ];
    for (let type = 0; type < 256; type++)
      expect(icmpv4.isError(type)).toBe((errors as number[]).includes(type));
    const packet = viewOf(Uint8Array.from({ length: 1500 }, (_, i) => i & 0xff));
    const view = viewOf(new Uint8Array(600).fill(0xa5));
    const { MTU, QUOTE, UNREACHABLE } = icmpv4;
    const quoted = icmpv4.quotable(1500);
    expect(20 + QUOTE + quoted).toBe(576);
    expect(icmpv4.quotable(60)).toBe(60);
    const written = icmpv4.writeError(
      view,
      2,
      TYPE.DESTINATION_UNREACHABLE,
      UNREACHABLE.FRAGMENTATION_NEEDED,
      icmpv4.restOfMtu(1400),
      packet,
      100,
      quoted,
    );
    expect(written).toBe(QUOTE + quoted);
    expect(icmpv4.check(view, 2, written)).toBe(0);
    expect(icmpv4.mtu(view, 2)).toBe(1400);
    expect(view.getUint16(2 + MTU)).toBe(1400);
    expect(icmpv4.quoteLength(view, 2, written)).toBe(quoted);
    expect(icmpv4.parse(view, 2, written)).toMatchObject({
      mtu: 1400,
      quote: Uint8Array.from({ length: quoted }, (_, i) => (i + 100) & 0xff),
    });
    icmpv4.writeError(view, 2, TYPE.PARAMETER_PROBLEM, 0, icmpv4.restOfPointer(200), packet, 0, 28);
    expect(icmpv4.pointer(view, 2)).toBe(200);
  });

  test("a writer may quote from the same frame", () => {
    const frame = viewOf(Uint8Array.from({ length: 100 }, (_, i) => i));
    icmpv4.writeError(frame, 4, icmpv4.TYPE.TIME_EXCEEDED, 0, 0, frame, 0, 40);
    const record = icmpv4.parse(frame, 4, 48);
    expect(record).toMatchObject({ quote: Uint8Array.from({ length: 40 }, (_, i) => i) });
  });

  test("a length field that is garbage means no extensions", () => {
    const quote = new Uint8Array(60).fill(7);
    const view = viewOf(
      bytesOf(icmpv4, { kind: "time-exceeded", code: 0, quote, extensions: new Uint8Array(0) }),
    );
    view.setUint8(icmpv4.QUOTE_WORDS, 3);
    expect(icmpv4.quoteLength(view, 0, 68)).toBe(60);
    view.setUint8(icmpv4.QUOTE_WORDS, 200);
    expect(icmpv4.quoteLength(view, 0, 68)).toBe(60);
  });

  test("refuses records that no message can hold", () => {
    const view = viewOf(new Uint8Array(2000));
    const none = new Uint8Array(0);
    const quote = new Uint8Array(28);
    const bad: icmpv4.Icmpv4Record[] = [
      { kind: "echo-request", identifier: 65536, sequence: 0, data: none },
      { kind: "echo-reply", identifier: 0, sequence: -1, data: none },
      { kind: "time-exceeded", code: 256, quote, extensions: none },
      { kind: "time-exceeded", code: 0, quote: none, extensions: none },
      { kind: "time-exceeded", code: 0, quote, extensions: quote },
      { kind: "time-exceeded", code: 0, quote: new Uint8Array(130), extensions: quote },
      { kind: "destination-unreachable", code: 3, mtu: 1400, quote, extensions: none },
      { kind: "parameter-problem", code: 0, pointer: 300, quote, extensions: none },
      { kind: "redirect", code: 0, gateway: SOURCE, quote },
      { kind: "other", type: icmpv4.TYPE.ECHO_REPLY, code: 0, body: quote },
      { kind: "other", type: 200, code: 0, body: none },
    ];
    for (const record of bad) expect(() => icmpv4.emit(record, view, 0)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(message4.map((record) => bytesOf(icmpv4, record))), (input) => {
        expect(icmpv4.check(viewOf(input), 0, input.length)).toBeLessThanOrEqual(0);
        expectStable(icmpv4, input);
      }),
      { numRuns: 500 },
    );
  });
});

describe("ICMPv6", () => {
  test("reads what it wrote, and its check is content", () => {
    fc.assert(
      fc.property(message6, (record) => {
        const written = expectRoundTrip(v6, record);
        const { length } = written;
        if (!icmpv6.isError(written[0]!) || length >= 48)
          expect(icmpv6.check(viewOf(written), 0, length, pseudo(length))).toBe(0);
        // Of another source it is not the same message.
        const elsewhere = pseudoOf(IpAddress.parse("fe80::2"), DESTINATION, PROTOCOL.ICMPV6, length);
        expect(icmpv6.check(viewOf(written), 0, length, elsewhere)).toBe(icmpv6.BAD.checksum);
      }),
    );
  });

  test("the checksum of an echo request, added by hand", () => {
    const message = Uint8Array.from(Buffer.from("80000000000100010001020304050607", "hex"));
    const view = viewOf(message);
    const sum = pseudoOf(IpAddress.parse("fd00:77::1"), IpAddress.parse("fd00:77::2"), 58, message.length);
    icmpv6.setChecksum(view, 0, message.length, sum);
    // Both addresses, the length, the next header, then the message.
    const words = [0xfd00, 0x77, 1, 0xfd00, 0x77, 2, 16, 58, 0x8000, 1, 1, 0x0001, 0x0203, 0x0405, 0x0607];
    let byHand = words.reduce((a, b) => a + b, 0);
    while (byHand > 0xffff) byHand = (byHand & 0xffff) + (byHand >>> 16);
    expect(icmpv6.checksum(view, 0)).toBe(~byHand & 0xffff);
    expect(icmpv6.check(view, 0, message.length, sum)).toBe(0);
  });

  test("errors are below 128, and what they quote is found", () => {
    for (let type = 0; type < 256; type++) expect(icmpv6.isError(type)).toBe(type < 128);
    const packet = viewOf(Uint8Array.from({ length: 1500 }, (_, i) => i & 0xff));
    const view = viewOf(new Uint8Array(1300).fill(0xa5));
    const quoted = icmpv6.quotable(1500);
    const length = icmpv6.QUOTE + quoted;
    expect(40 + length).toBe(1280);
    const { TYPE } = icmpv6;
    expect(icmpv6.writeError(view, 1, TYPE.PACKET_TOO_BIG, 0, 1400, packet, 0, quoted, pseudo(length))).toBe(
      length,
    );
    expect(icmpv6.check(view, 1, length, pseudo(length))).toBe(0);
    expect(icmpv6.mtu(view, 1)).toBe(1400);
    expect(icmpv6.quoteLength(view, 1, length)).toBe(quoted);
    expect(icmpv6.check(view, 1, 7, pseudo(7))).toBe(icmpv6.BAD.short);
    icmpv6.setChecksum(view, 1, 47, pseudo(47));
    expect(icmpv6.check(view, 1, 47, pseudo(47))).toBe(icmpv6.BAD.quote);
  });

  test("has its fields where RFC 4443 and RFC 4884 have them", () => {
    const head = (record: icmpv6.Icmpv6Record) => {
      const written = bytesOf(v6, record);
      written.fill(0, icmpv6.CHECKSUM, icmpv6.CHECKSUM + 2);
      return Buffer.from(written.subarray(0, 8)).toString("hex");
    };
    const none = new Uint8Array(0);
    const quote = new Uint8Array(136);
    const { UNREACHABLE, EXCEEDED } = icmpv6;
    expect(head({ kind: "destination-unreachable", code: UNREACHABLE.PORT, quote, extensions: none })).toBe(
      "0104000000000000",
    );
    expect(head({ kind: "time-exceeded", code: EXCEEDED.REASSEMBLY, quote, extensions: quote })).toBe(
      "0301000011000000",
    );
    expect(head({ kind: "packet-too-big", code: 0, mtu: 1500, quote })).toBe("02000000000005dc");
    expect(head({ kind: "parameter-problem", code: 2, pointer: 42, quote })).toBe("040200000000002a");
  });

  test("refuses records that no message can hold", () => {
    const view = viewOf(new Uint8Array(2000));
    const none = new Uint8Array(0);
    const quote = new Uint8Array(40);
    const bad: icmpv6.Icmpv6Record[] = [
      { kind: "echo-request", identifier: 0, sequence: 65536, data: none },
      { kind: "packet-too-big", code: 0, mtu: -1, quote },
      { kind: "packet-too-big", code: 0, mtu: 1280, quote: new Uint8Array(39) },
      { kind: "parameter-problem", code: 0, pointer: 2 ** 32, quote },
      { kind: "time-exceeded", code: 0, quote, extensions: quote },
      { kind: "time-exceeded", code: 0, quote: new Uint8Array(132), extensions: quote },
      { kind: "other", type: icmpv6.TYPE.PACKET_TOO_BIG, code: 0, body: quote },
    ];
    for (const record of bad) expect(() => v6.emit(record, view, 0)).toThrow(RangeError);
  });

  test("takes any bytes", () => {
    fc.assert(
      fc.property(mangled(message6.map((record) => bytesOf(v6, record))), (input) => {
        expect(icmpv6.check(viewOf(input), 0, input.length, 0)).toBeLessThanOrEqual(0);
        expectStable(v6, input);
      }),
      { numRuns: 500 },
    );
  });
});
