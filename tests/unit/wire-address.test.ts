/** IP and Ethernet addresses: texts against Node's and RFC 5952's, words, bytes, kinds and scopes, and a hash worth its name. */
import { describe, expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import {
  ALL_HOSTS4,
  ALL_NODES6,
  ALL_ROUTERS6,
  ANY4,
  ANY6,
  BROADCAST4,
  formatWords,
  hashAddress,
  IGMP_ROUTERS4,
  IpAddress,
  LOOPBACK4,
  LOOPBACK6,
  MAPPED,
  MLD_ROUTERS6,
} from "../../stack/wire/address.ts";
import { BROADCAST_MAC, interfaceIdentifier, MacAddress, multicastMac } from "../../stack/wire/mac.ts";
import { ipv4, ipv6, mac } from "../support/records.ts";

/** Words with many zeros and ones among them, where formatting and parsing have their corners. */
const cornerWord = fc.oneof(
  fc.constantFrom(0, 1, -1, MAPPED, 0x10000, -0x10000),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
);
const words = fc.tuple(cornerWord, cornerWord, cornerWord, cornerWord);
const anyAddress = fc.oneof(
  ipv4,
  words.map((all) => IpAddress.words(...all)),
);
/** Texts that are nearly addresses. */
const nearText = fc
  .array(
    fc.constantFrom(
      "0",
      "1",
      "01",
      "255",
      "256",
      "1000",
      "f",
      "FFFF",
      "10000",
      "g",
      ":",
      "::",
      ".",
      "%eth0",
      " ",
    ),
    {
      maxLength: 18,
    },
  )
  .map((pieces) => pieces.join(""));

describe("an IP address", () => {
  test("reads the texts of RFC 4291 section 2.2 and writes those of RFC 5952", () => {
    const vectors: readonly (readonly [text: string, canonical: string])[] = [
      ["2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["2001:DB8::1", "2001:db8::1"],
      ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["2001:db8::aaaa:0:0:1", "2001:db8::aaaa:0:0:1"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["1:0:0:0:0:0:0:0", "1::"],
      ["::13.1.68.3", "::d01:4403"],
      ["::FFFF:129.144.52.38", "129.144.52.38"],
      ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
      ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
      ["1::3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
      ["192.0.2.1", "192.0.2.1"],
      ["255.255.255.255", "255.255.255.255"],
    ];
    for (const [text, canonical] of vectors) expect(IpAddress.parse(text).toString()).toBe(canonical);
  });

  test("refuses what is none, and quotes it", () => {
    const texts = [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "01.2.3.4",
      "1.2.3.256",
      "1.2.3.4 ",
      "::1%lo",
      "1::2::3",
      ":::",
      ":1",
      "1:",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7::8",
      "12345::",
      "1.2.3.4::",
      "::1.2.3.4:5",
      "::g",
      "10.0.0.0/8",
    ];
    for (const text of texts) {
      expect(IpAddress.tryParse(text)).toBeUndefined();
      expect(() => IpAddress.parse(text)).toThrow(TypeError);
      expect(() => IpAddress.parse(text)).toThrow(JSON.stringify(text));
    }
  });

  test("agrees with Node about what an address is", () => {
    fc.assert(
      fc.property(nearText, (text) => {
        const family = text.includes("%") ? 0 : isIP(text);
        const address = IpAddress.tryParse(text);
        expect(address !== undefined).toBe(family !== 0);
        if (family === 4) expect(address?.family).toBe(4);
      }),
      { numRuns: 3000 },
    );
  });

  test("writes IPv6 as the URL standard does, mapped addresses aside", () => {
    fc.assert(
      fc.property(words, (all) => {
        const [w0, w1, w2, w3] = all;
        const address = IpAddress.words(...all);
        expect(formatWords(...all)).toBe(address.toString());
        if (address.family === 4) {
          const octets = [w3 >>> 24, (w3 >>> 16) & 0xff, (w3 >>> 8) & 0xff, w3 & 0xff];
          expect(address.toString()).toBe(octets.join("."));
        } else {
          const hex = [w0, w1, w2, w3].map((word) => (word >>> 0).toString(16).padStart(8, "0"));
          const long = hex.map((text) => `${text.slice(0, 4)}:${text.slice(4)}`).join(":");
          expect(`[${address.toString()}]`).toBe(new URL(`http://[${long}]/`).hostname);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("comes back from its text, its bytes and a view", () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(IpAddress.parse(address.toString())).toEqual(address);
        expect(IpAddress.fromBytes(address.toBytes())).toEqual(address);
        const view = new DataView(new ArrayBuffer(20));
        const length = address.write(view, 3);
        expect(length).toBe(address.family === 4 ? 4 : 16);
        expect(length === 4 ? IpAddress.read4(view, 3) : IpAddress.read6(view, 3)).toEqual(address);
        expect(JSON.parse(JSON.stringify(address))).toBe(address.toString());
      }),
    );
    expect(() => IpAddress.fromBytes(new Uint8Array(6))).toThrow("4 or 16 bytes, not 6");
    expect(IpAddress.fromBytes(Uint8Array.of(10, 0, 0, 1, 9).subarray(0, 4)).toString()).toBe("10.0.0.1");
  });

  test("of mapped words is of IPv4, whichever way it comes", () => {
    const address = IpAddress.parse("192.0.2.1");
    expect(IpAddress.words(0, 0, MAPPED, 0xc0000201)).toEqual(address);
    expect(IpAddress.v4(0xc0000201)).toEqual(address);
    expect(IpAddress.parse("::ffff:c000:201")).toEqual(address);
    expect(address).toMatchObject({ w0: 0, w1: 0, w2: MAPPED, w3: 0xc0000201 | 0, family: 4 });
  });

  test("is compared by value, IPv4 first", () => {
    const sorted = [
      "0.0.0.0",
      "9.255.0.0",
      "128.0.0.1",
      "255.255.255.255",
      "::",
      "::1",
      "::8000:0",
      "::1:0:0",
      "::7000:0:0:0",
      "::8000:0:0:0",
      "0:0:1:0:9::",
      "0:0:2::",
      "7fff::",
      "8000::",
      "ff02::1",
    ];
    const addresses = sorted.map((text) => IpAddress.parse(text));
    expect(
      [...addresses]
        .reverse()
        .sort((a, b) => a.compare(b))
        .map(String),
    ).toEqual(sorted);
    for (const [i, a] of addresses.entries())
      for (const [j, b] of addresses.entries()) {
        expect(a.equals(b)).toBe(i === j);
        expect(a.equalsWords(b.w0, b.w1, b.w2, b.w3)).toBe(i === j);
      }
  });

  test("knows its kind and scope", () => {
    type Kind = "unspecified" | "loopback" | "multicast" | "linkLocal" | "uniqueLocal" | "limitedBroadcast";
    const kinds: readonly Kind[] = [
      "unspecified",
      "loopback",
      "multicast",
      "linkLocal",
      "uniqueLocal",
      "limitedBroadcast",
    ];
    const vectors: readonly (readonly [text: string, kind: Kind | "", scope: number])[] = [
      ["0.0.0.0", "unspecified", 14],
      ["127.255.0.1", "loopback", 2],
      ["128.0.0.1", "", 14],
      ["169.254.3.4", "linkLocal", 2],
      ["169.255.0.0", "", 14],
      ["10.0.0.1", "", 14],
      ["224.0.0.1", "multicast", 14],
      ["239.255.255.255", "multicast", 14],
      ["240.0.0.0", "", 14],
      ["255.255.255.255", "limitedBroadcast", 14],
      ["::", "unspecified", 14],
      ["::1", "loopback", 2],
      ["::1:ffff:ffff:ffff", "", 14],
      ["fe80::1", "linkLocal", 2],
      ["febf::1", "linkLocal", 2],
      ["fec0::1", "", 5],
      ["fc00::1", "uniqueLocal", 14],
      ["fdff::1", "uniqueLocal", 14],
      ["ff01::1", "multicast", 1],
      ["ff02::1", "multicast", 2],
      ["ff35::1", "multicast", 5],
      ["ff0e::1", "multicast", 14],
      ["2001:db8::1", "", 14],
    ];
    for (const [text, kind, scope] of vectors) {
      const address = IpAddress.parse(text);
      expect([text, kinds.filter((name) => address[name])]).toEqual([text, kind === "" ? [] : [kind]]);
      expect([text, address.scope]).toEqual([text, scope]);
    }
  });

  test("has its solicited-node group", () => {
    expect(IpAddress.parse("4037::01:800:200e:8c6c").solicitedNode().toString()).toBe("ff02::1:ff0e:8c6c");
    expect(IpAddress.parse("fe80::ff00:1").solicitedNode().toString()).toBe("ff02::1:ff00:1");
  });

  test("constants are what their names say", () => {
    const texts = [
      ANY4,
      ANY6,
      LOOPBACK4,
      LOOPBACK6,
      BROADCAST4,
      ALL_HOSTS4,
      IGMP_ROUTERS4,
      ALL_NODES6,
      ALL_ROUTERS6,
      MLD_ROUTERS6,
    ].join(" ");
    expect(texts).toBe(
      "0.0.0.0 :: 127.0.0.1 ::1 255.255.255.255 224.0.0.1 224.0.0.22 ff02::1 ff02::2 ff02::16",
    );
  });
});

describe("the hash of an address", () => {
  const BUCKETS = 1024;
  const COUNT = 16 * BUCKETS;
  /** Pearson's statistic of the lowest bits; about BUCKETS for an even spread, with a deviation of 45. */
  const unevenness = (
    word: (i: number) => readonly [number, number, number, number],
    seed: number,
  ): number => {
    const counts = new Uint32Array(BUCKETS);
    for (let i = 0; i < COUNT; i++) counts[hashAddress(...word(i), seed) & (BUCKETS - 1)]! += 1;
    const expected = COUNT / BUCKETS;
    return counts.reduce((total, count) => total + (count - expected) ** 2 / expected, 0);
  };
  const families: readonly (readonly [string, (i: number) => readonly [number, number, number, number]])[] = [
    ["IPv4 addresses in a row", (i) => [0, 0, MAPPED, 0x0a000000 + i]],
    ["IPv4 networks", (i) => [0, 0, MAPPED, i << 12]],
    ["IPv6 addresses in a row", (i) => [0x20010db8, 0, 0, i]],
    ["IPv6 networks", (i) => [0x20010000 | (i >>> 8), i << 24, 0, 1]],
    ["IPv6 with one word in step with another", (i) => [0xfe800000 | 0, 0, i, -i]],
  ];
  for (const [name, word] of families) {
    test(`spreads ${name}, for every seed`, () => {
      for (const seed of [0, 1, -1, 0x12345678]) {
        expect(unevenness(word, seed)).toBeLessThan(BUCKETS + 6 * 45);
      }
    });
  }

  const bases: readonly (readonly [string, (n: number) => number[]])[] = [
    ["IPv4", (n) => [0, 0, MAPPED, n * 77, 5]],
    ["IPv6", (n) => [0x20010db8, n, 0, n * 77, 5]],
    ["IPv6 with zeros in front", (n) => [0, 0, n, 1, n]],
  ];
  const RUNS = 200;
  const hash = ([w0 = 0, w1 = 0, w2 = 0, w3 = 0, seed = 0]: number[]): number =>
    hashAddress(w0, w1, w2, w3, seed);
  for (const [name, base] of bases) {
    test(`depends in each bit on each bit of words and seed: ${name}`, () => {
      for (let input = 0; input < 5 * 32; input++) {
        const flips = new Uint32Array(32);
        for (let run = 0; run < RUNS; run++) {
          const before = base(run);
          const after = before.map((value, i) => (i === input >> 5 ? value ^ (1 << (input & 31)) : value));
          const changed = hash(before) ^ hash(after);
          for (let bit = 0; bit < 32; bit++) flips[bit]! += (changed >>> bit) & 1;
        }
        // A half of the runs, and six standard deviations.
        for (const count of flips) expect(Math.abs(count - RUNS / 2)).toBeLessThan(6 * Math.sqrt(RUNS / 4));
      }
    });
  }

  test("is an int32", () => {
    fc.assert(
      fc.property(words, cornerWord, (all, seed) => {
        const hash = hashAddress(...all, seed);
        expect(hash).toBe(hash | 0);
      }),
    );
  });
});

describe("an Ethernet address", () => {
  test("comes back from its text, its bytes and a view", () => {
    fc.assert(
      fc.property(mac, (address) => {
        expect(address.toString()).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
        expect(MacAddress.parse(address.toString()).equals(address)).toBe(true);
        expect(MacAddress.fromBytes(address.toBytes())).toEqual(address);
        const view = new DataView(new ArrayBuffer(9));
        address.write(view, 3);
        expect(MacAddress.read(view, 3)).toEqual(address);
        expect([...address.toBytes()].map((byte) => byte.toString(16).padStart(2, "0")).join(":")).toBe(
          address.toString(),
        );
      }),
    );
    expect(MacAddress.parse("02:AB:00:00:00:01").toString()).toBe("02:ab:00:00:00:01");
    expect(JSON.stringify(BROADCAST_MAC)).toBe('"ff:ff:ff:ff:ff:ff"');
  });

  test("refuses what is none", () => {
    for (const text of [
      "",
      "02:00:00:00:00",
      "02:00:00:00:00:00:00",
      "2:0:0:0:0:1",
      "02-00-00-00-00-01",
      "02:00:00:00:00:0g",
    ]) {
      expect(MacAddress.tryParse(text)).toBeUndefined();
      expect(() => MacAddress.parse(text)).toThrow(JSON.stringify(text));
    }
    expect(() => MacAddress.fromBytes(new Uint8Array(4))).toThrow("6 bytes, not 4");
  });

  test("knows groups", () => {
    const kinds = (text: string) => {
      const { multicast, broadcast } = MacAddress.parse(text);
      return { multicast, broadcast };
    };
    expect(kinds("02:00:00:00:00:01")).toEqual({ multicast: false, broadcast: false });
    expect(kinds("01:00:5e:00:00:01")).toEqual({ multicast: true, broadcast: false });
    expect(kinds("ff:ff:ff:ff:ff:fe")).toEqual({ multicast: true, broadcast: false });
    expect(kinds("ff:ff:ff:ff:ff:ff")).toEqual({ multicast: true, broadcast: true });
  });

  test("carries groups as RFC 1112 and RFC 2464 say", () => {
    expect(multicastMac(IpAddress.parse("224.0.0.22")).toString()).toBe("01:00:5e:00:00:16");
    expect(multicastMac(IpAddress.parse("239.255.128.9")).toString()).toBe("01:00:5e:7f:80:09");
    expect(multicastMac(IpAddress.parse("ff02::1:ff0e:8c6c")).toString()).toBe("33:33:ff:0e:8c:6c");
  });

  test("makes the interface identifier of RFC 4291 appendix A", () => {
    const [w2, w3] = interfaceIdentifier(MacAddress.parse("34:56:78:9a:bc:de"));
    expect(IpAddress.words(0xfe800000, 0, w2, w3).toString()).toBe("fe80::3656:78ff:fe9a:bcde");
    const local = interfaceIdentifier(MacAddress.parse("02:00:00:00:00:01"));
    expect(IpAddress.words(0xfe800000, 0, ...local).toString()).toBe("fe80::ff:fe00:1");
  });
});
