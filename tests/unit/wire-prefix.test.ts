/** Prefixes: texts, what they contain against a model of bits, and the addresses of interfaces. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { maskWord, parseInterfaceAddress, Prefix } from "../../stack/wire/prefix.ts";
import { ipv4, ipv6 } from "../support/records.ts";

/** The bits of an address as text, the family in front. */
const bitsOf = (address: IpAddress): string =>
  [...address.toBytes()].map((byte) => byte.toString(2).padStart(8, "0")).join("");
const withLength = (address: IpAddress) =>
  fc.tuple(fc.constant(address), fc.nat(address.family === 4 ? 32 : 128));
const parts = fc.oneof(ipv4, ipv6).chain(withLength);
/** An address that shares the first `bits` bits with another. */
const near = (address: IpAddress, bits: number): IpAddress => {
  const bytes = address.toBytes();
  const at = bits >> 3;
  if (at < bytes.length) bytes[at]! ^= 0x80 >> (bits & 7);
  return IpAddress.fromBytes(bytes);
};

describe("a prefix", () => {
  test("is read and written, host bits cleared", () => {
    const vectors = [
      ["10.1.2.3/8", "10.0.0.0/8"],
      ["0.0.0.0/0", "0.0.0.0/0"],
      ["192.0.2.1", "192.0.2.1/32"],
      ["2001:db8:ffff::/33", "2001:db8:8000::/33"],
      ["fe80::1/64", "fe80::/64"],
      ["::1", "::1/128"],
      ["::/0", "::/0"],
      ["1:2:3:4:5:6:7:ffff/127", "1:2:3:4:5:6:7:fffe/127"],
    ] as const;
    for (const [text, canonical] of vectors) {
      expect(Prefix.parse(text).toString()).toBe(canonical);
      expect(JSON.stringify(Prefix.parse(text))).toBe(JSON.stringify(canonical));
    }
  });

  test("refuses what is none, and quotes it", () => {
    for (const text of [
      "",
      "/8",
      "10.0.0.0/",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/08",
      "10.0.0.0/-1",
      "10.0.0.0/8/8",
      "10.0.0/8",
      "::/ 1",
    ])
      expect(() => Prefix.parse(text)).toThrow(`${JSON.stringify(text)} is no address prefix`);
    expect(() => Prefix.of(IpAddress.parse("10.0.0.0"), 33)).toThrow(RangeError);
    expect(() => Prefix.of(IpAddress.parse("::1"), 0.5)).toThrow("length");
  });

  test("contains the addresses that begin with its bits, of its family", () => {
    fc.assert(
      fc.property(parts, fc.nat(128), fc.oneof(ipv4, ipv6), ([address, length], at, other) => {
        const prefix = Prefix.of(address, length);
        const bits = bitsOf(address).slice(0, length);
        for (const candidate of [address, near(address, at), other]) {
          const expected = candidate.family === address.family && bitsOf(candidate).startsWith(bits);
          expect(prefix.contains(candidate)).toBe(expected);
        }
        expect(bitsOf(prefix.address)).toBe(bits.padEnd(address.family === 4 ? 32 : 128, "0"));
        expect(prefix.family).toBe(address.family);
        expect(prefix.equals(Prefix.parse(prefix.toString()))).toBe(true);
        expect(prefix.equals(Prefix.parse(`${address}/${length}`))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("of zeros does not contain the other family's addresses", () => {
    expect(Prefix.parse("::/0").contains(IpAddress.parse("10.0.0.1"))).toBe(false);
    expect(Prefix.parse("::/64").contains(IpAddress.parse("0.0.0.0"))).toBe(false);
    expect(Prefix.parse("0.0.0.0/0").contains(IpAddress.parse("::"))).toBe(false);
    expect(Prefix.parse("0.0.0.0/0").equals(Prefix.parse("::/0"))).toBe(false);
  });

  test("shortened is the prefix of fewer bits", () => {
    fc.assert(
      fc.property(parts, fc.nat(128), ([address, length], fewer) => {
        const short = Math.min(length, fewer);
        expect(Prefix.of(address, length).shortened(short)).toEqual(Prefix.of(address, short));
      }),
    );
  });

  test("masks words", () => {
    expect([-1, 0, 1, 8, 31, 32, 33].map((bits) => maskWord(bits) >>> 0)).toEqual([
      0, 0, 0x80000000, 0xff000000, 0xfffffffe, 0xffffffff, 0xffffffff,
    ]);
  });
});

describe("the address of an interface", () => {
  test("keeps its host bits", () => {
    const read = (text: string) => {
      const { address, length } = parseInterfaceAddress(text);
      return `${address} ${length}`;
    };
    expect(read("10.0.0.2/24")).toBe("10.0.0.2 24");
    expect(read("10.0.0.2")).toBe("10.0.0.2 32");
    expect(read("2001:db8::2/64")).toBe("2001:db8::2 64");
    expect(read("fe80::1")).toBe("fe80::1 128");
    expect(() => parseInterfaceAddress("10.0.0.2/40")).toThrow('"10.0.0.2/40" is no interface address');
  });
});
