/** The Internet checksum against bytes added one by one: every length and alignment, pseudo-headers, updates in place. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  ADDRESSES4,
  ADDRESSES6,
  checksum,
  finish,
  fold,
  isPartial,
  pseudo4,
  pseudo6,
  pseudoOf,
  sum,
  update16,
  update32,
} from "../../stack/wire/checksum.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { bytes, ipv4 as address4, ipv6 as address6, uint16, uint8, viewOf } from "../support/records.ts";

/** RFC 1071 section 1 word by word, in big-endian order, with the carry brought around at once. */
const naive = (data: ArrayLike<number>, initial = 0): number => {
  let total = initial;
  for (let i = 0; i < data.length; i += 2) {
    total += data[i]! * 256 + (data[i + 1] ?? 0);
    while (total > 0xffff) total = (total % 0x10000) + Math.floor(total / 0x10000);
  }
  return total;
};
const word = (value: number): number[] => [
  (value >>> 24) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
];

describe("a sum", () => {
  test("is that of RFC 1071's example", () => {
    const example = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(fold(sum(viewOf(example), 0, example.length))).toBe(0xddf2);
    expect(checksum(viewOf(example), 0, example.length)).toBe(0x220d);
  });

  test("is right for every length and alignment", () => {
    const data = Uint8Array.from({ length: 300 }, (_, i) => (i * 167 + 91) ^ (i >>> 1));
    const view = new DataView(data.buffer);
    for (let at = 0; at < 9; at++)
      for (let length = 0; length < 280; length++)
        expect(fold(sum(view, at, length))).toBe(naive(data.subarray(at, at + length)));
  });

  test("is right for any bytes and any initial sum, and stays a partial sum", () => {
    const partial = fc.integer({ min: 0, max: 2 ** 31 - 1 });
    const corners = fc.array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { maxLength: 80 });
    const anyBytes = fc.oneof(
      bytes(80),
      corners.map((all) => Uint8Array.from(all)),
    );
    fc.assert(
      fc.property(anyBytes, partial, fc.nat(3), (data, initial, skip) => {
        const at = Math.min(skip, data.length);
        const total = sum(viewOf(data), at, data.length - at, initial);
        expect(total).toBeWithin(0, 2 ** 17);
        expect(fold(total)).toBe(naive(data.subarray(at), fold(initial)));
        expect(finish(total)).toBe(0xffff - fold(total));
      }),
      { numRuns: 2000 },
    );
  });

  test("does not run over, whatever is long or large", () => {
    const LENGTHS = [65535, 65536, 65537, 65539, 131_072, 200_001, 1 << 20];
    const ones = new Uint8Array(1 << 20).fill(0xff);
    const mixed = ones.map((_, i) => (i * 197 + (i >>> 8)) & 0xff);
    for (const data of [ones, mixed]) {
      const view = new DataView(data.buffer);
      for (const length of LENGTHS)
        for (const initial of [0, 2 ** 31 - 1])
          expect(fold(sum(view, 0, length, initial))).toBe(naive(data.subarray(0, length), fold(initial)));
    }
  });

  test("can be added to others", () => {
    const data = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
    const view = viewOf(data);
    let total = 0;
    for (let at = 0; at < data.length; at += 2) total += sum(view, at, 2);
    expect(fold(total)).toBe(naive(data));
  });

  test("of what has a right checksum gives the checksum 0", () => {
    fc.assert(
      fc.property(bytes(60, 2), (data) => {
        const view = viewOf(data);
        view.setUint16(0, 0);
        view.setUint16(0, checksum(view, 0, data.length));
        expect(checksum(view, 0, data.length)).toBe(0);
      }),
    );
  });

  test("is 0 only where it was", () => {
    expect([0, 1, 0xffff, 0x10000, 0x1fffe, 0x7fffffff].map(fold)).toEqual([0, 1, 0xffff, 1, 0xffff, 0x7fff]);
  });
});

describe("a pseudo-header", () => {
  test("of IPv4 is that of RFC 768", () => {
    expect(ADDRESSES4).toBe(ipv4.SOURCE);
    fc.assert(
      fc.property(address4, address4, uint8, uint16, (source, destination, protocol, length) => {
        const view = new DataView(new ArrayBuffer(3 + ipv4.HEADER_BYTES));
        source.write(view, 3 + ipv4.SOURCE);
        destination.write(view, 3 + ipv4.DESTINATION);
        const expected = naive([
          ...source.toBytes(),
          ...destination.toBytes(),
          0,
          protocol,
          length >> 8,
          length & 0xff,
        ]);
        expect(fold(pseudo4(view, 3, protocol, length))).toBe(expected);
        expect(fold(pseudoOf(source, destination, protocol, length))).toBe(expected);
      }),
    );
  });

  test("of IPv6 is that of RFC 8200 section 8.1", () => {
    expect(ADDRESSES6).toBe(ipv6.SOURCE);
    fc.assert(
      fc.property(address6, address6, uint8, fc.nat(2 ** 31 - 1), (source, destination, next, length) => {
        const view = new DataView(new ArrayBuffer(3 + ipv6.HEADER_BYTES));
        source.write(view, 3 + ipv6.SOURCE);
        destination.write(view, 3 + ipv6.DESTINATION);
        const expected = naive([
          ...source.toBytes(),
          ...destination.toBytes(),
          ...word(length),
          0,
          0,
          0,
          next,
        ]);
        expect(fold(pseudo6(view, 3, next, length))).toBe(expected);
        expect(fold(pseudoOf(source, destination, next, length))).toBe(expected);
      }),
    );
  });

  test("alone in the field is a partial checksum", () => {
    const pseudo = 0x1fff3;
    expect(isPartial(fold(pseudo), pseudo)).toBe(true);
    expect(isPartial(finish(pseudo), pseudo)).toBe(false);
    expect(isPartial(fold(pseudo) + 1, pseudo)).toBe(false);
  });
});

describe("an update in place", () => {
  test("is that of RFC 1624's example", () => {
    expect(update16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  const body = bytes(40, 6).filter((data) => data.some((byte, i) => i > 5 && byte !== 0));

  test("of 16 bits gives what computing anew gives", () => {
    fc.assert(
      fc.property(body, uint16, (data, after) => {
        const view = viewOf(data);
        view.setUint16(0, 0);
        const before = view.getUint16(2);
        const old = checksum(view, 0, data.length);
        view.setUint16(2, after);
        expect(update16(old, before, after)).toBe(checksum(view, 0, data.length));
      }),
      { numRuns: 1000 },
    );
  });

  test("of 32 bits gives what computing anew gives", () => {
    fc.assert(
      fc.property(body, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (data, after) => {
        const view = viewOf(data);
        view.setUint16(0, 0);
        const before = view.getInt32(2);
        const old = checksum(view, 0, data.length);
        view.setInt32(2, after);
        expect(update32(old, before, after)).toBe(checksum(view, 0, data.length));
      }),
      { numRuns: 1000 },
    );
  });
});
