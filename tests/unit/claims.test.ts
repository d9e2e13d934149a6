/** Claims without a kernel: what is refused and how it is said, address prefixes, and the table that comes of a list. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkClaims, type Claims, MAX_CLAIMS } from "../../ffi/xdp/claim.ts";
import { compileClaims } from "../../ffi/xdp/claims.ts";
import {
  KEY,
  KIND,
  NODE,
  TREE,
  TREE_DEPTH,
  VALUE_ANY,
  VALUE_HAS_PARENT,
  VALUE_NONE,
} from "../../ffi/xdp/layout.ts";
import { maskWords, parsePrefix } from "../../ffi/xdp/prefix.ts";

const ANY_VALUE = undefined as unknown;

/** [what is given, the error's class, words that its text must have] */
const refused: readonly (readonly [unknown, typeof TypeError | typeof RangeError, RegExp])[] = [
  ["nothing", TypeError, /claims are "everything", a claim or a list/],
  [null, TypeError, /claims are "everything"/],
  [42, TypeError, /not 42/],
  [ANY_VALUE, TypeError, /claims are/],
  [{}, TypeError, /claim 0 is empty/],
  [[{ udp: 1 }, {}], TypeError, /claim 1 is empty/],
  [[[]], TypeError, /claim 0 is an object/],
  [[null], TypeError, /claim 0 is an object/],
  [["everything"], TypeError, /claim 0 is an object/],
  // A hole in a list is no claim.
  [[{ udp: 1 }, , { udp: 2 }], TypeError, /claim 1 is an object/],
  [{ upd: 9000 }, TypeError, /unknown field upd; there are ethertype/],
  [{ udp: 9000, [Symbol("x")]: 1 }, TypeError, /unknown field/],
  [{ udp: "9000" }, TypeError, /claim 0: udp is a number from 1 to 65535, not "9000"/],
  [{ udp: ANY_VALUE }, TypeError, /udp/],
  [{ udp: 9000n }, TypeError, /9000n/],
  [{ udp: 0 }, RangeError, /udp is a whole number from 1 to 65535, not 0/],
  [{ tcp: 65_536 }, RangeError, /tcp/],
  [{ sctp: 1.5 }, RangeError, /sctp/],
  [{ port: -1 }, RangeError, /port/],
  [{ port: Number.NaN }, RangeError, /port/],
  [{ protocol: 256 }, RangeError, /protocol is a whole number from 0 to 255/],
  [{ protocol: "upd" }, RangeError, /protocol is 0 to 255 or one of icmp, tcp/],
  [{ protocol: "toString" }, RangeError, /protocol/],
  [{ protocol: true }, TypeError, /protocol/],
  [{ ethertype: 0x0500 }, RangeError, /ethertype/],
  [{ ethertype: 0x1_0000 }, RangeError, /ethertype/],
  [{ ethertype: 0x8100 }, RangeError, /VLAN tag/],
  [{ ethertype: 0x88a8, udp: 1 }, RangeError, /VLAN tag/],
  [{ arp: false }, TypeError, /arp is true, or left out/],
  [{ icmp: 1 }, TypeError, /icmp is true/],
  [{ icmp6: ANY_VALUE }, TypeError, /icmp6 is true/],
  [{ udp: 1, tcp: 1 }, TypeError, /tcp and udp exclude one another/],
  [{ udp: 1, port: 1 }, TypeError, /exclude/],
  [{ protocol: "udp", udp: 1 }, TypeError, /exclude/],
  [{ arp: true, udp: 1 }, TypeError, /arp and udp exclude/],
  [{ icmp: true, port: 7 }, TypeError, /exclude/],
  [{ icmp: true, icmp6: true }, TypeError, /exclude/],
  [{ protocol: "icmp", port: 7 }, TypeError, /port goes with protocol tcp, udp, sctp, not "icmp"/],
  [{ protocol: 47, port: 7 }, TypeError, /port goes with/],
  [{ ethertype: 0x0806, udp: 9000 }, TypeError, /ethertype 0x806 is not IP, so udp means nothing/],
  [{ ethertype: 0x88cc, protocol: 6 }, TypeError, /not IP/],
  [{ ethertype: 0x88cc, source: "10.0.0.1" }, TypeError, /has no addresses/],
  [{ ethertype: 0x0800, arp: true }, TypeError, /not ARP/],
  [{ ethertype: 0x0800, icmp6: true }, TypeError, /ethertype 0x0800 is IPv4 but icmp6 is IPv6/],
  [{ ethertype: 0x86dd, protocol: "icmp" }, TypeError, /IPv6 but icmp is IPv4/],
  [{ ethertype: 0x86dd, source: "10.0.0.1" }, TypeError, /IPv6 but source is IPv4/],
  [{ source: "10.0.0.1", destination: "::1" }, TypeError, /source is IPv4 but destination is IPv6/],
  [{ icmp6: true, destination: "10.0.0.1" }, TypeError, /icmp6 is IPv6 but destination is IPv4/],
  [{ arp: true, destination: "::1" }, TypeError, /arp is IPv4 but destination is IPv6/],
  [{ source: 10 }, TypeError, /source is a string/],
  [{ source: "10.0.0.1/33" }, RangeError, /length that is not 0 to 32/],
  [{ destination: "10.0.0.1/8" }, RangeError, /bits set beyond its length of 8/],
  [{ destination: "localhost" }, RangeError, /is not an IPv4 or IPv6 address/],
  [
    Array.from({ length: MAX_CLAIMS + 1 }, () => ({ udp: 1 })),
    RangeError,
    /16385 claims are more than the 16384/,
  ],
];

describe("claims that make no sense", () => {
  const named = refused.map(
    (row) =>
      [Bun.inspect(row[0], { depth: 3, compact: true }).replace(/\s+/g, " ").slice(0, 60), ...row] as const,
  );
  test.each(named)("%s", (_, given, kind, words) => {
    const check = (): unknown => checkClaims(given as Claims);
    expect(check).toThrow(kind);
    expect(check).toThrow(words);
  });

  test("any value at all is either accepted or refused by TypeError or RangeError", () => {
    const field = fc.constantFrom(
      "udp",
      "port",
      "protocol",
      "source",
      "destination",
      "arp",
      "icmp",
      "ethertype",
    );
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.dictionary(field, fc.anything())), (given) => {
        try {
          checkClaims(given as Claims);
        } catch (error) {
          expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
        }
      }),
    );
  });
});

describe("prefixes", () => {
  const good: readonly (readonly [string, 4 | 6, readonly number[], number])[] = [
    ["10.0.0.0/8", 4, [0x0a00_0000, 0, 0, 0], 8],
    ["255.255.255.255", 4, [0xffff_ffff, 0, 0, 0], 32],
    ["0.0.0.0/0", 4, [0, 0, 0, 0], 0],
    ["::", 6, [0, 0, 0, 0], 128],
    ["::/0", 6, [0, 0, 0, 0], 0],
    ["::1", 6, [0, 0, 0, 1], 128],
    ["1::", 6, [0x1_0000, 0, 0, 0], 128],
    ["2001:db8::/32", 6, [0x2001_0db8, 0, 0, 0], 32],
    ["2001:DB8:0:1:2:3:4:5", 6, [0x2001_0db8, 1, 0x2_0003, 0x4_0005], 128],
    ["1:2:3:4:5:6:7::", 6, [0x1_0002, 0x3_0004, 0x5_0006, 0x7_0000], 128],
    ["::ffff:192.0.2.1", 6, [0, 0, 0xffff, 0xc000_0201], 128],
    ["64:ff9b::192.0.2.0/120", 6, [0x64_ff9b, 0, 0, 0xc000_0200], 120],
    ["1:2:3:4:5:6:7.8.9.10", 6, [0x1_0002, 0x3_0004, 0x5_0006, 0x0708_090a], 128],
    ["8000::/1", 6, [0x8000_0000, 0, 0, 0], 1],
  ];
  test.each(good)("%s", (text, family, words, length) => {
    expect(parsePrefix(text)).toEqual({ family, words: words as [number, number, number, number], length });
  });

  test.each([
    "",
    "/8",
    "10.0.0.1/",
    "10.0.0",
    "10.0.0.0.0",
    "10.0.0.256",
    "10.0.0.01",
    "10.0.0.1 ",
    " ::1",
    "10.0.0.-1",
    "1e1.0.0.1",
    ":::",
    "1::2::3",
    "12345::",
    "g::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    ":1",
    "1:",
    "::1%eth0",
    "::1/129",
    "::1/-1",
    "::1/064",
    "::/1.0",
    "1.2.3.4::",
    "::1.2.3.4:1",
    "::1.2.3",
    "::1/0",
  ])("%j is refused", (text) => {
    expect(typeof parsePrefix(text)).toBe("string");
  });

  test("masking keeps the first bits and no others", () => {
    const all = [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff] as const;
    for (let length = 0; length <= 128; length++) {
      const bits = maskWords(all, length)
        .map((word) => word.toString(2).padStart(32, "0"))
        .join("");
      expect(bits).toBe("1".repeat(length) + "0".repeat(128 - length));
    }
  });
});

/** A compiled list as entries that a test can read: `kind/length selector` -> value. */
const entries = (claims: Claims): ReadonlyMap<string, number> => {
  const { keys, values, count } = compileClaims(checkClaims(claims));
  const view = new DataView(keys.buffer);
  const found = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const at = i * KEY.bytes;
    const place = view.getUint32(at + KEY.kind_length, true);
    const address = view.getUint32(at + KEY.address, false).toString(16);
    found.set(
      `${place >> 8}/${place & 255} ${view.getUint32(at + KEY.selector, true).toString(16)} ${address}`,
      values[i]!,
    );
  }
  return found;
};

describe("the table", () => {
  test("a port without addresses is one entry a family", () => {
    expect([...entries({ udp: 9000 })]).toEqual([
      [`${KIND.ipv4 + 2}/0 112328 0`, VALUE_ANY],
      [`${KIND.ipv6 + 2}/0 112328 0`, VALUE_ANY],
    ]);
  });

  test("no two entries have the same key, whatever is claimed twice", () => {
    const list = [
      { udp: 1 },
      { udp: 1 },
      { port: 1 },
      { ethertype: 0x88cc },
      { ethertype: 0x88cc },
      { arp: true },
      { ethertype: 0x0806 },
    ] as const;
    const { count } = compileClaims(checkClaims(list));
    expect(entries(list).size).toBe(count);
    expect(count).toBe(2 * 3 + 2);
  });

  test("a destination within one that takes any source is left out", () => {
    expect(
      entries([{ destination: "10.0.0.0/8" }, { destination: "10.1.0.0/16", source: "1.1.1.1" }]).size,
    ).toBe(1);
  });

  test("a destination within one that takes some sources names that set as its parent", () => {
    const found = entries([
      { destination: "10.0.0.0/8", source: "1.1.1.1" },
      { destination: "10.1.0.0/16", source: "2.2.2.2" },
    ]);
    expect(found.get(`${KIND.ipv4}/8 0 a000000`)).toBe(1);
    expect(found.get(`${KIND.ipv4}/16 0 a010000`)).toBe(VALUE_HAS_PARENT + 2);
    expect(found.get(`${KIND.parent}/0 2 0`)).toBe(1);
    expect(found.get(`${KIND.ipv4Source}/32 1 1010101`)).toBe(VALUE_ANY);
  });

  test("markers lead to longer prefixes and carry what lies around them", () => {
    const lengths = [8, 16, 24].map((length) => ({
      destination: `10.0.0.0/${length}`,
      source: `1.1.1.${length}`,
    }));
    const found = entries([...lengths, { destination: "11.0.0.0/24" }]);
    // Of three lengths 16 is tried first: 11.0.0.0/24 needs a marker there, and 10.0.0.0/16 is real.
    expect(found.get(`${KIND.ipv4}/16 0 b000000`)).toBe(VALUE_NONE);
    expect(found.get(`${KIND.ipv4}/16 0 a000000`)).toBe(VALUE_HAS_PARENT + 2);
  });

  test("a tree of all the lengths that IPv6 has is no deeper than the program looks", () => {
    const list = Array.from({ length: 128 }, (_, i) => {
      // The first bit that is 0 tells them apart: 0, 10, 110, 1110, ...
      const bits = "1".repeat(i) + "0";
      const groups = bits
        .padEnd(128, "0")
        .match(/.{16}/g)!
        .map((group) => Number.parseInt(group, 2).toString(16));
      return { destination: `${groups.join(":")}/${i + 1}` };
    });
    const { trees } = compileClaims(checkClaims(list));
    const base = KIND.ipv6 * TREE.bytes;
    const depthOf = (node: number): number =>
      node === 0
        ? 0
        : 1 +
          Math.max(
            depthOf(trees[base + node * NODE.bytes + NODE.longer]!),
            depthOf(trees[base + node * NODE.bytes + NODE.shorter]!),
          );
    expect(depthOf(trees[base + NODE.longer]!)).toBe(TREE_DEPTH);
  });
});
