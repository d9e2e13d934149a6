/** Address selection: every example of RFC 6724 sections 10.1 and 10.2, and each rule that they leave out. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DEFAULT_POLICIES, PolicyTable } from "../../stack/ip/addresses/policy-table.ts";
import {
  type Candidate,
  chooseSource,
  commonPrefixLength,
  orderDestinations,
  type SourceOptions,
} from "../../stack/ip/addresses/sources.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";

type Traits = "deprecated" | "temporary" | "home" | "care-of" | "tentative" | "duplicated" | "other link";

/** "2001:db8::1 deprecated" as a candidate on interface 1. */
const candidate = (text: string): Candidate => {
  const [address = "", ...rest] = text.split("; ");
  const traits = new Set(rest as Traits[]);
  const parsed = IpAddress.parse(address);
  const state = (["deprecated", "tentative", "duplicated"] as const).find((each) => traits.has(each));
  return {
    address: parsed,
    prefixLength: parsed.family === 4 ? 24 : 64,
    interface: traits.has("other link") ? 2 : 1,
    state: state ?? "preferred",
    temporary: traits.has("temporary"),
    home: traits.has("home"),
    careOf: traits.has("care-of"),
  };
};

const chosen = (destination: string, candidates: readonly string[], options?: SourceOptions) =>
  chooseSource(candidates.map(candidate), IpAddress.parse(destination), 1, options)?.address.toString();

/** The choice must not depend on the order of the candidates. */
const expectSource = (destination: string, candidates: readonly string[], source: string): void => {
  expect(chosen(destination, candidates)).toBe(source);
  expect(chosen(destination, candidates.toReversed())).toBe(source);
};

describe("RFC 6724 section 10.1", () => {
  const examples: readonly (readonly [rule: string, to: string, from: readonly string[], source: string])[] =
    [
      ["appropriate scope", "2001:db8:1::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"],
      ["appropriate scope", "ff05::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"],
      ["same address", "2001:db8:1::1", ["2001:db8:1::1; deprecated", "2001:db8:2::1"], "2001:db8:1::1"],
      ["appropriate scope", "fe80::1", ["fe80::2; deprecated", "2001:db8:1::1"], "fe80::2"],
      ["longest prefix", "2001:db8:1::1", ["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::2"],
      ["home address", "2001:db8:1::1", ["2001:db8:1::2; care-of", "2001:db8:3::2; home"], "2001:db8:3::2"],
      [
        "matching label",
        "2002:c633:6401::1",
        ["2002:c633:6401::d5e3:7953:13eb:22e8; temporary", "2001:db8:1::2"],
        "2002:c633:6401:0:d5e3:7953:13eb:22e8",
      ],
      [
        "temporary address",
        "2001:db8:1::d5e3:0:0:1",
        ["2001:db8:1::2", "2001:db8:1::d5e3:7953:13eb:22e8; temporary"],
        "2001:db8:1:0:d5e3:7953:13eb:22e8",
      ],
    ];
  for (const [i, [rule, to, from, source]] of examples.entries()) {
    test(`${i + 1}: ${rule}`, () => expectSource(to, from, source));
  }
});

describe("RFC 6724 section 10.2", () => {
  const A = "2001:db8:1::1";
  const B = "2001:db8:1::2";
  const examples: readonly (readonly [
    rule: string,
    from: readonly string[],
    order: readonly [to: string, source: string][],
  ])[] = [
    [
      "matching scope",
      [B, "fe80::1", "169.254.13.78"],
      [
        [A, B],
        ["198.51.100.121", "169.254.13.78"],
      ],
    ],
    [
      "matching scope",
      ["fe80::1", "198.51.100.117"],
      [
        ["198.51.100.121", "198.51.100.117"],
        [A, "fe80::1"],
      ],
    ],
    [
      "higher precedence",
      [B, "fe80::1", "10.1.2.4"],
      [
        [A, B],
        ["10.1.2.3", "10.1.2.4"],
      ],
    ],
    [
      "smaller scope",
      [B, "fe80::2"],
      [
        ["fe80::1", "fe80::2"],
        [A, B],
      ],
    ],
    [
      "home address",
      [`${B}; care-of`, "2001:db8:3::1; home", "fe80::2; care-of"],
      [
        [A, "2001:db8:3::1"],
        ["fe80::1", "fe80::2"],
      ],
    ],
    [
      "no deprecated address",
      [B, "fe80::2; deprecated"],
      [
        [A, B],
        ["fe80::1", "fe80::2"],
      ],
    ],
    [
      "longest prefix",
      [B, "2001:db8:3f44::2", "fe80::2"],
      [
        [A, B],
        ["2001:db8:3ffe::1", "2001:db8:3f44::2"],
      ],
    ],
    [
      "matching label",
      ["2002:c633:6401::2", "fe80::2"],
      [
        ["2002:c633:6401::1", "2002:c633:6401::2"],
        [A, "2002:c633:6401::2"],
      ],
    ],
    [
      "higher precedence",
      ["2002:c633:6401::2", B, "fe80::2"],
      [
        [A, B],
        ["2002:c633:6401::1", "2002:c633:6401::2"],
      ],
    ],
  ];
  for (const [i, [rule, from, order]] of examples.entries()) {
    test(`${i + 1}: ${rule}`, () => {
      const candidates = from.map(candidate);
      const sourceOf = (to: IpAddress): Candidate | undefined => chooseSource(candidates, to, 1);
      const wanted = order.map(([to]) => IpAddress.parse(to));
      for (const list of [wanted, wanted.toReversed()])
        expect(orderDestinations(list, sourceOf).map(String)).toEqual(wanted.map(String));
      expect(order.map(([to]) => sourceOf(IpAddress.parse(to))?.address.toString())).toEqual(
        order.map(([, source]) => source),
      );
    });
  }
});

describe("a source", () => {
  test("is never of another family, multicast, unspecified, tentative or duplicated", () => {
    const useless = ["192.0.2.1", "ff02::1", "::", "2001:db8::1; tentative", "2001:db8::2; duplicated"];
    expect(chosen("2001:db8::9", useless)).toBeUndefined();
    expect(chosen("192.0.2.9", ["2001:db8::1"])).toBeUndefined();
    expect(chosen("192.0.2.9", ["2001:db8::1", "192.0.2.1; deprecated"])).toBe("192.0.2.1");
  });

  test("for one link is of that link, where that is known", () => {
    const candidates = ["fe80::1; other link"].map(candidate);
    expect(chooseSource(candidates, IpAddress.parse("fe80::9"), 1)).toBeUndefined();
    expect(chooseSource(candidates, IpAddress.parse("ff02::1"), 1)).toBeUndefined();
    expect(chooseSource(candidates, IpAddress.parse("ff02::1"), 2)).toBeDefined();
    expect(chooseSource(candidates, IpAddress.parse("fe80::9"), 0)).toBeDefined();
  });

  test("follows rules 3, 4 (both), 5, 5.5 and 7 turned around", () => {
    const to = "2001:db8:1::9";
    expectSource(to, ["2001:db8:1::1; deprecated", "2001:db8:2::1"], "2001:db8:2::1");
    expectSource(to, ["2001:db8:1::1; home", "2001:db8:2::1; home; care-of"], "2001:db8:2::1");
    expectSource(to, ["2001:db8:1::1; other link", "2001:db8:2::1"], "2001:db8:2::1");
    const [near, far] = [candidate("2001:db8:1::1"), candidate("2001:db8:2::1")];
    const nextHop = IpAddress.parse("fe80::1");
    const advertised = { ...far!, router: IpAddress.parse("fe80::1") };
    expect(chooseSource([near!, advertised], IpAddress.parse(to), 1, { nextHop })).toBe(advertised);
    expect(chooseSource([near!, advertised], IpAddress.parse(to), 1)).toBe(near!);
    const both = ["2001:db8:1::1", "2001:db8:1::2; temporary"];
    expect(chosen(to, both)).toBe("2001:db8:1::2");
    expect(chosen(to, both, { preferPublic: true })).toBe("2001:db8:1::1");
  });

  test("among equals is the first", () => {
    expect(chosen("2001:db8::9", ["2001:db8::1", "2001:db8::2"])).toBe("2001:db8::1");
  });

  test("shares at most its prefix with the destination", () => {
    const length = (source: string, prefixLength: number, to: string): number =>
      commonPrefixLength({ ...candidate(source), prefixLength }, IpAddress.parse(to));
    expect(length("fe80::1", 64, "fe80::2")).toBe(64);
    expect(length("2001:db8::", 128, "2001:db8::")).toBe(128);
    expect(length("2001:db8::", 128, "2001:db8:0:1::")).toBe(63);
    expect(length("2001:db8::", 128, "2001:db9::")).toBe(31);
    expect(length("2001:db8::1:0:0", 128, "2001:db8::")).toBe(95);
    expect(length("10.1.2.3", 24, "10.1.2.4")).toBe(24);
    expect(length("10.1.2.3", 32, "10.1.2.4")).toBe(29);
    expect(length("10.1.2.3", 8, "11.1.2.4")).toBe(7);
  });
});

describe("destinations", () => {
  const from = ["2001:db8:1::2", "192.0.2.2"].map(candidate);
  const sourceOf = (to: IpAddress): Candidate | undefined => chooseSource(from, to, 1);
  const order = (list: readonly string[], options = {}): string[] =>
    orderDestinations(list.map(IpAddress.parse), sourceOf, options).map(String);

  test("without a source or known not to answer come last", () => {
    const six = orderDestinations([IpAddress.parse("192.0.2.9"), IpAddress.parse("2001:db8::9")], (to) =>
      to.family === 4 ? undefined : from[0],
    );
    expect(six.map(String)).toEqual(["2001:db8::9", "192.0.2.9"]);
    const dead = IpAddress.parse("2001:db8:1::1");
    const unreachable = (to: IpAddress): boolean => to.equals(dead);
    expect(order(["2001:db8:1::1", "192.0.2.9"], { unreachable })).toEqual(["192.0.2.9", "2001:db8:1::1"]);
  });

  test("behind a tunnel come after native ones", () => {
    const encapsulated = (to: IpAddress): boolean => to.toString() === "2001:db8:1::1";
    const list = ["2001:db8:1::1", "2001:db8:1::5"];
    expect(order(list, { encapsulated })).toEqual(list.toReversed());
  });

  test("keep their order where no rule tells, and their number always", () => {
    const low = fc.integer({ min: 0, max: 0xff });
    const any = fc.oneof(
      low.map((n) => IpAddress.v4(0xc000_0200 | n)),
      low.map((n) => IpAddress.words(0x2001_0db8, 0x0001_0000, 0, n)),
    );
    fc.assert(
      fc.property(fc.array(any), (list) => {
        // All of one family share the same 24 or 64 bits with their source.
        const sixes = list.filter((each) => each.family === 6);
        const fours = list.filter((each) => each.family === 4);
        expect(orderDestinations(list, sourceOf)).toEqual([...sixes, ...fours]);
      }),
    );
  });
});

describe("the policy table", () => {
  test("has the rows of section 2.1", () => {
    const table = new PolicyTable();
    const rows: readonly (readonly [string, number, number])[] = [
      ["::1", 50, 0],
      ["2001:db8::1", 40, 1],
      ["fe80::1", 40, 1],
      ["192.0.2.1", 35, 4],
      ["2002::1", 30, 2],
      ["2001::1", 5, 5],
      ["fd00::1", 3, 13],
      ["::192.0.2.1", 1, 3],
      ["fec0::1", 1, 11],
      ["3ffe::1", 1, 12],
    ];
    for (const [text, precedence, label] of rows) {
      const address = IpAddress.parse(text);
      expect([text, table.precedence(address), table.label(address)]).toEqual([text, precedence, label]);
    }
  });

  test("can be set: section 10.3 prefers IPv4", () => {
    const any4 = Prefix.parse("0.0.0.0/0");
    const policies = new PolicyTable(
      DEFAULT_POLICIES.map((row) => (row.prefix.equals(any4) ? { ...row, precedence: 100 } : row)),
    );
    const from = ["2001:db8:1::2", "fe80::1", "10.1.2.4"].map(candidate);
    const list = ["2001:db8:1::1", "10.1.2.3"].map(IpAddress.parse);
    const sorted = orderDestinations(list, (to) => chooseSource(from, to, 1), { policies });
    expect(sorted.map(String)).toEqual(["10.1.2.3", "2001:db8:1::1"]);
  });

  test("names a bad row, and prefers least what no row is about", () => {
    const prefix = Prefix.parse("2001:db8::/32");
    expect(() => new PolicyTable([{ prefix, precedence: -1, label: 0 }])).toThrow("precedence");
    expect(() => new PolicyTable([{ prefix, precedence: 1, label: 0.5 }])).toThrow("label");
    const table = new PolicyTable([{ prefix, precedence: 0, label: 0 }]);
    expect(table.precedence(IpAddress.parse("192.0.2.1"))).toBeLessThan(0);
  });
});
