/**
 * The name server's zone files: what is read, what is refused and with which words, and what makes a zone.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatName, parseName, ZoneError } from "../../examples/dns/names.ts";
import { parseTtl } from "../../examples/dns/rdata.ts";
import { entriesOf } from "../../examples/dns/zone-lexer.ts";
import { parseZoneFile } from "../../examples/dns/zone-file.ts";
import { Zone } from "../../examples/dns/zone.ts";

const SOA = "@ 3600 IN SOA ns host 1 2 3 4 5\n@ NS ns\n";
const ROOT = parseName(".", undefined);

/** Records as "owner ttl type hex". */
const read = (text: string, origin = "example"): string[] =>
  parseZoneFile(text, origin).map(
    ({ owner, ttl, type, rdata }) =>
      `${formatName(owner)} ${ttl} ${type} ${Buffer.from(rdata.bytes).toString("hex")}`,
  );
const data = (words: string): string => read(`a 1 ${words}`)[0]!.split(" ")[3]!;
const trouble = (text: string, origin: string | undefined = "example"): string => {
  try {
    parseZoneFile(text, origin);
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(ZoneError);
    return (error as ZoneError).message;
  }
};

describe("entries", () => {
  const words = (text: string): string[][] =>
    [...entriesOf(text)].map((entry) => entry.words.map((word) => word.text));

  test("end with their line, but for parentheses", () => {
    expect(words("a b\nc ( d ; e )\n f\n) g\r\n\n ; nothing\nh")).toEqual([
      ["a", "b"],
      ["c", "d", "f", "g"],
      ["h"],
    ]);
  });

  test("know where they began, and whether they go on with a name", () => {
    const entries = [...entriesOf("a (\n\n)\n b\n;c\nd")];
    expect(entries.map(({ line, continued }) => [line, continued])).toEqual([
      [1, false],
      [4, true],
      [6, false],
    ]);
  });

  test("keep what is in quotes together, and its escapes for later", () => {
    expect(words('a "b ; (c" "d\\"e" f\\;g')).toEqual([["a", "b ; (c", 'd\\"e', "f\\;g"]]);
    expect([...entriesOf('"@" @')][0]!.words.map(({ quoted }) => quoted)).toEqual([true, false]);
  });

  test.each([
    ["a\n(b\n", 'line 2: "(" is not closed'],
    ["a )", 'line 1: ")" without "("'],
    ['a\n"b\nc"', 'line 2: a quote is not closed, or a "\\" ends the line'],
  ])("that are not closed are refused: %j", (text, message) => {
    expect(() => [...entriesOf(text)]).toThrow(message);
  });

  test("of any text end, or are refused", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'ab \t\n();"\\1@$'.split("")), maxLength: 60 }),
        (text) => {
          try {
            for (const { words: found } of entriesOf(text)) expect(found.length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toBeInstanceOf(ZoneError);
          }
        },
      ),
    );
  });
});

describe("names", () => {
  const origin = parseName("example.", undefined);

  test("are relative without a dot at their end", () => {
    expect(formatName(parseName("a.b", origin))).toBe("a.b.example.");
    expect(formatName(parseName("a.b.", origin))).toBe("a.b.");
    expect(formatName(parseName("@", origin))).toBe("example.");
    expect(formatName(parseName(".", origin))).toBe(".");
  });

  test("have escapes", () => {
    expect([...parseName("a\\.b\\032\\@.", undefined)]).toEqual([5, 97, 46, 98, 32, 64, 0]);
    expect(formatName(parseName("a\\.b\\032c.", undefined))).toBe("a\\046b\\032c.");
    // A dot in a label, at the very end, is no dot at the end.
    expect(formatName(parseName("a\\.", origin))).toBe("a\\046.example.");
  });

  test("of any bytes come back from their text", () => {
    const label = fc.uint8Array({ minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(label, { maxLength: 8 }), (labels) => {
        const name = Uint8Array.from([...labels.flatMap((each) => [each.length, ...each]), 0]);
        expect(parseName(formatName(name), undefined)).toEqual(name);
      }),
    );
  });

  test.each([
    ["a..b", "empty label"],
    [".a", "empty label"],
    [`${"a".repeat(64)}`, "longer than 63"],
    [`${"a".repeat(63)}.`.repeat(4), "longer than 255"],
    ["a\\256", "escape"],
    ["a\\", "escape"],
  ])("that are none are refused: %s", (text, message) => {
    expect(() => parseName(text, ROOT)).toThrow(message);
  });
});

describe("records", () => {
  test("take over the name, and the TTL where there is no $TTL", () => {
    expect(read("a 7 A 1.2.3.4\n A 1.2.3.5\nb A 1.2.3.6")).toEqual([
      "a.example. 7 1 01020304",
      "a.example. 7 1 01020305",
      "b.example. 7 1 01020306",
    ]);
    expect(read("$TTL 9\na 7 A 1.2.3.4\nb A 1.2.3.6")).toEqual([
      "a.example. 7 1 01020304",
      "b.example. 9 1 01020306",
    ]);
    // A zone older than $TTL: the minimum of its SOA.
    expect(read("@ SOA . . 1 2 3 4 5\na A 1.2.3.4")[1]).toBe("a.example. 5 1 01020304");
  });

  test("have class and TTL in either order, or not", () => {
    for (const words of ["7 IN A", "IN 7 A", "in 7 a", "7 A"])
      expect(read(`a ${words} 1.2.3.4`)).toEqual(["a.example. 7 1 01020304"]);
  });

  test("may be named like a type or a class", () => {
    expect(read("a 7 A 1.2.3.4\nIN A 1.2.3.4\nMX A 1.2.3.4").slice(1)).toEqual([
      "IN.example. 7 1 01020304",
      "MX.example. 7 1 01020304",
    ]);
  });

  test("follow $ORIGIN, itself relative or not", () => {
    const text = "$TTL 1\n$ORIGIN b.c.\na A 1.2.3.4\n$ORIGIN d\na A 1.2.3.4\n@ A 1.2.3.4";
    expect(read(text).map((each) => each.split(" ")[0]!)).toEqual(["a.b.c.", "a.d.b.c.", "d.b.c."]);
  });

  test.each([
    ["A 1.2.3.4", "01020304"],
    ["AAAA 2001:db8::1", "20010db8000000000000000000000001"],
    ["AAAA ::ffff:1.2.3.4", "00000000000000000000ffff01020304"],
    ["NS b", "0162076578616d706c6500"],
    ["CNAME b.", "016200"],
    ["PTR .", "00"],
    ["MX 258 b.", "0102016200"],
    ["SRV 1 2 3 b.", "000100020003016200"],
    ["SOA b. c. 4294967295 1m 1h 1d 1w1s", "016200016300ffffffff0000003c00000e100001518000093a81"],
    ['TXT a "b c" ""', "016103622063" + "00"],
    ['TXT "\\"\\\\\\001"', "03225c01"],
    ['CAA 128 issue "x;y"', "80056973737565783b79"],
    ["HINFO a b", "01610162"],
    ['NAPTR 1 2 "a" "" "b" .', "0001000201610001" + "6200"],
    ["DS 1 2 3 AB cd", "00010203abcd"],
    ["TLSA 3 1 1 00ff", "03010100ff"],
    ["TYPE65280 \\# 3 ab cdef", "abcdef"],
    ["TYPE65280 \\# 0", ""],
    ["TYPE1 \\# 4 01020304", "01020304"],
    ["NS \\# 3 016200", "016200"],
    ["TYPE15 1 b.", "0001016200"],
  ])("%s", (words, hex) => {
    expect(data(words)).toBe(hex);
  });

  test("know which names may be compressed, and where they lead", () => {
    const [mx, srv, soa] = parseZoneFile("a 1 MX 1 b\na SRV 1 2 3 b\n@ SOA b c 1 2 3 4 5", "x").map(
      ({ rdata }) => rdata,
    );
    expect(mx).toMatchObject({ compressible: [2], targetAt: 2 });
    expect(srv).toMatchObject({ compressible: [], targetAt: 6 });
    expect(soa).toMatchObject({ compressible: [0, 5], targetAt: -1 });
  });

  test.each([
    ["a A 1.2.3.4", "line 1: no TTL"],
    [" 1 A 1.2.3.4", "no name stands before the first record"],
    ["\n\na 1 A 1.2.3", 'line 3: "1.2.3" is no IPv4 address'],
    ["a 1 A ::1", '"::1" is no IPv4 address'],
    ["a 1 AAAA 1.2.3.4", '"1.2.3.4" is no IPv6 address'],
    ["a 1 A 1.2.3.4 5", '"5" is one word too many'],
    ["a 1 MX 10", "words missing"],
    ["a 1 MX 65536 b", '"65536" is no number below 2^16'],
    ["a 1 B c", '"B" is no type of record'],
    ["a 1 CH A 1.2.3.4", "class CH: only IN is served"],
    ["a 1x A 1.2.3.4", '"1x" is no TTL'],
    ["a 2147483648 A 1.2.3.4", '"2147483648" is no TTL'],
    [`a 1 TXT ${"x".repeat(256)}`, "longer than 255 bytes"],
    ["a 1 TYPE9 \\# 2 00", "\\# 2 is followed by 1 bytes"],
    ["a 1 TYPE9 \\# 1 0g", "is not hexadecimal"],
    ["a 1 TYPE65280 x", "is written as \\# LENGTH HEX"],
    ["a 1 A \\# 3 010203", "data of type 1 has 3 bytes, not 4"],
    ["a 1 NS \\# 2 0162", "a name in the data is none"],
    ["$INCLUDE other", "$INCLUDE is not understood here"],
    ["$TTL", "$TTL takes one word"],
    ["$TTL x", '"x" is no TTL'],
  ])("that make no sense are refused: %s", (text, message) => {
    expect(trouble(text)).toContain(message);
  });

  test("need to know what names are relative to", () => {
    expect(() => parseZoneFile("a 1 A 1.2.3.4")).toThrow('line 1: the name "a" is relative');
    expect(parseZoneFile("a. 1 A 1.2.3.4")).toHaveLength(1);
  });

  test("of any words are read or refused", () => {
    const word = fc.constantFrom(
      ...'a @ . 1 1h IN CH A MX TXT SOA 1.2.3.4 \\# $TTL $ORIGIN ( ) " ; a..b'.split(" "),
      "\n",
      "\n ",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), (words) => {
        trouble(words.join(" "), "example");
      }),
      { numRuns: 1000 },
    );
  });
});

test("a TTL is seconds or units", () => {
  expect(["0", "90", "1m30s", "1W", "2147483647"].map(parseTtl)).toEqual([0, 90, 90, 604_800, 2 ** 31 - 1]);
  expect(["", "x", "-1", "1.5", "1h3", "2147483648"].map(parseTtl)).toEqual(Array(6).fill(undefined));
});

describe("a zone", () => {
  const zone = (text: string): Zone => new Zone(parseZoneFile(SOA + text, "example"));
  const name = (text: string): Uint8Array => parseName(text, parseName("example.", undefined));

  test("has names that only lead to others, delegations and wildcards", () => {
    const made = zone("x.y A 1.2.3.4\n*.w A 1.2.3.4\nc NS ns.c\nns.c A 1.2.3.4");
    expect(made.find(name("y"))).toMatchObject({ exact: true, node: { sets: new Map() } });
    expect(made.find(name("a.b.w"))!.exact).toBe(false);
    expect(formatName(made.find(name("a.b.w"))!.node.wildcard!.name)).toBe("*.w.example.");
    expect(formatName(made.find(name("NS.C"))!.node.cut!.name)).toBe("c.example.");
    expect(made.find(parseName("other.", undefined))).toBeUndefined();
    expect(made.apex.cut).toBeUndefined();
  });

  test("has one TTL for a set, the least, and a record once", () => {
    const { node } = zone("a 9 A 1.2.3.4\na 7 A 1.2.3.5\na 8 A 1.2.3.4").find(name("A"))!;
    expect(node.sets.get(1)).toMatchObject({ ttl: 7, data: [{}, {}] });
  });

  test.each([
    ["a.other. A 1.2.3.4", "line 3: a.other. is not within example."],
    ["a CNAME b\na A 1.2.3.4", "a.example. is an alias, and has other records"],
    ["a CNAME b\na CNAME c", "a.example. is an alias twice"],
    ["a SOA . . 1 2 3 4 5", "a.example. has a second SOA record"],
    ["@ SOA . . 2 2 3 4 5", "example. has two SOA records"],
    ["* NS a", "*.example. delegates what nobody knows the name of"],
    ["a DNAME b", "line 3: DNAME records are not served here"],
  ])("is refused with %j", (text, message) => {
    expect(() => zone(text)).toThrow(message);
  });

  test("needs an origin and name servers", () => {
    expect(() => new Zone(parseZoneFile("a 1 A 1.2.3.4", "x"))).toThrow("the zone has no SOA record");
    expect(() => new Zone(parseZoneFile("@ 1 SOA . . 1 2 3 4 5", "x"))).toThrow("x. has no NS record");
  });
});
