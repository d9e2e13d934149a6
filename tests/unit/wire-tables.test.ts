/** The address table and the prefix table against naive ones, through long series of changes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { below, seededRandom } from "../../stack/device/random.ts";
import { AddressTable } from "../../stack/wire/address-table.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { PrefixTable } from "../../stack/wire/prefix-table.ts";
import { type Branch, graft, prune, TrieNode } from "../../stack/wire/prefix-trie.ts";
import { Prefix } from "../../stack/wire/prefix.ts";

const get = <T>(table: AddressTable<T>, { w0, w1, w2, w3 }: IpAddress): T | undefined =>
  table.get(w0, w1, w2, w3);
const lookup = <T>(table: PrefixTable<T>, { w0, w1, w2, w3 }: IpAddress): T | undefined =>
  table.lookup(w0, w1, w2, w3);

/** Few addresses, that differ in any word, so that series of changes meet. */
const fewAddresses = fc
  .tuple(fc.nat(3), fc.constantFrom("v4", "w0", "w1", "w2", "w3"))
  .map(([n, where]) =>
    where === "v4"
      ? IpAddress.v4(n)
      : IpAddress.words(
          where === "w0" ? n : 7,
          where === "w1" ? n : 7,
          where === "w2" ? n : 7,
          where === "w3" ? n : 7,
        ),
  );

describe("an address table", () => {
  const LIMIT = 12;
  const change = fc.record({
    what: fc.constantFrom("set", "set", "set", "delete", "delete", "clear"),
    address: fewAddresses,
    value: fc.nat(),
  });

  test("does what a Map does, up to its limit", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 120, size: "max" }), fc.integer(), (changes, seed) => {
        const table = new AddressTable<number>(LIMIT, seed);
        const model = new Map<string, number>();
        for (const { what, address, value } of changes) {
          const key = address.toString();
          if (what === "set") {
            const fits = model.has(key) || model.size < LIMIT;
            expect(table.set(address, value)).toBe(fits);
            if (fits) model.set(key, value);
          } else if (what === "delete") expect(table.delete(address)).toBe(model.delete(key));
          else if (value % 16 === 0) {
            table.clear();
            model.clear();
          }
          expect(table.size).toBe(model.size);
          expect(get(table, address)).toBe(model.get(key));
        }
        const entries = [...table.entries()].map(([address, value]) => [address.toString(), value] as const);
        expect(new Map(entries)).toEqual(model);
        expect(entries).toHaveLength(model.size);
        expect([...table.values()].sort()).toEqual([...model.values()].sort());
      }),
      { numRuns: 300 },
    );
  });

  test("keeps all of many through growth and deletions that close gaps", () => {
    const random = seededRandom(5);
    const table = new AddressTable<number>(20_000, 9);
    const model = new Map<number, number>();
    const addressOf = (n: number): IpAddress =>
      n % 2 === 0 ? IpAddress.v4(n) : IpAddress.words(0x20010db8, 0, n, 1);
    for (let step = 0; step < 100_000; step++) {
      const n = below(random, 30_000);
      if (below(random, 3) === 0) expect(table.delete(addressOf(n))).toBe(model.delete(n));
      else if (table.set(addressOf(n), step)) model.set(n, step);
      else expect(model.size).toBe(20_000);
    }
    expect(table.size).toBe(model.size);
    expect(model.size).toBeGreaterThan(15_000);
    for (let n = 0; n < 30_000; n++)
      if (get(table, addressOf(n)) !== model.get(n)) throw new Error(`entry ${n} went astray`);
  });

  test("may change while its values are walked over", () => {
    const table = new AddressTable<number>(64, 1);
    for (let n = 0; n < 64; n++) table.set(IpAddress.v4(n), n);
    const seen: number[] = [];
    for (const value of table.values()) {
      seen.push(value);
      table.delete(IpAddress.v4(value));
    }
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, n) => n));
    expect(table.size).toBe(0);
  });

  test("refuses a limit that is none, and no value", () => {
    for (const limit of [0, -1, 1.5, Number.NaN, 2 ** 24])
      expect(() => new AddressTable(limit, 0)).toThrow("limit is a whole number");
    expect(() => new AddressTable<undefined>(1, 0).set(IpAddress.v4(1), undefined)).toThrow(TypeError);
  });
});

/** What a prefix table does, without cleverness. */
class NaiveTable {
  readonly entries = new Map<string, [Prefix, number]>();
  lookup(address: IpAddress): number | undefined {
    let best: [Prefix, number] | undefined;
    for (const entry of this.entries.values())
      if (entry[0].contains(address) && entry[0].length > (best?.[0].length ?? -1)) best = entry;
    return best?.[1];
  }
}

describe("a prefix table", () => {
  /** Addresses of few bits at either end of a word, so that prefixes nest and part at every depth. */
  const sparseWord = fc
    .tuple(fc.nat(3), fc.constantFrom(0, 1, 7, 15, 16, 23, 28, 30))
    .map(([n, shift]) => (n << shift) | 0);
  const sparse = fc.oneof(
    sparseWord.map((word) => IpAddress.v4(word)),
    fc.tuple(sparseWord, sparseWord, sparseWord, sparseWord).map((words) => IpAddress.words(...words)),
  );
  const prefix = sparse.chain((address) =>
    fc.nat(address.family === 4 ? 32 : 128).map((length) => Prefix.of(address, length)),
  );
  const change = fc.record({ remove: fc.boolean(), prefix, pick: fc.nat(), value: fc.nat() });

  test("finds what a naive one finds, through any changes", () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 60, size: "max" }),
        fc.array(sparse, { minLength: 1, maxLength: 20 }),
        (changes, probes) => {
          const table = new PrefixTable<number>();
          const model = new NaiveTable();
          for (const { remove, prefix, pick, value } of changes) {
            const known = [...model.entries.values()];
            // Half of the removals hit.
            const victim = pick % 2 === 0 ? known[pick % Math.max(known.length, 1)]?.[0] : undefined;
            if (remove) {
              const target = victim ?? prefix;
              expect(table.delete(target)).toBe(model.entries.delete(target.toString()));
            } else {
              expect(table.set(prefix, value)).toBe(true);
              model.entries.set(prefix.toString(), [prefix, value]);
            }
            expect(table.size).toBe(model.entries.size);
            for (const probe of [prefix.address, ...probes])
              expect(lookup(table, probe)).toBe(model.lookup(probe));
          }
          for (const [text, [known, value]] of model.entries)
            expect([text, table.get(known)]).toEqual([text, value]);
          const entries = [...table.entries()].map(([known, value]) => `${known} ${value}`);
          expect(entries.sort()).toEqual(
            [...model.entries.values()].map(([known, value]) => `${known} ${value}`).sort(),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test("gives entries IPv4 first, by address, shorter ones first", () => {
    const sorted = [
      "0.0.0.0/0",
      "10.0.0.0/8",
      "10.0.0.0/24",
      "10.0.0.1/32",
      "192.0.2.0/24",
      "::/0",
      "::/96",
      "2001:db8::/32",
      "ff00::/8",
    ];
    const table = new PrefixTable<number>();
    for (const text of [...sorted].reverse()) table.set(Prefix.parse(text), 1);
    expect([...table.entries()].map(([prefix]) => prefix.toString())).toEqual(sorted);
    table.clear();
    expect([...table.entries()]).toEqual([]);
    expect(table.size).toBe(0);
    expect(lookup(table, IpAddress.parse("10.0.0.1"))).toBeUndefined();
  });

  test("keeps the families apart", () => {
    const table = new PrefixTable<string>();
    table.set(Prefix.parse("::/0"), "six");
    expect(lookup(table, IpAddress.parse("10.0.0.1"))).toBeUndefined();
    table.set(Prefix.parse("0.0.0.0/0"), "four");
    expect(lookup(table, IpAddress.parse("10.0.0.1"))).toBe("four");
    expect(lookup(table, IpAddress.parse("::1"))).toBe("six");
  });

  test("holds no more than its limit", () => {
    const table = new PrefixTable<number>(2);
    expect(table.set(Prefix.parse("10.0.0.0/8"), 1)).toBe(true);
    expect(table.set(Prefix.parse("::/0"), 2)).toBe(true);
    expect(table.set(Prefix.parse("11.0.0.0/8"), 3)).toBe(false);
    expect(table.set(Prefix.parse("10.0.0.0/8"), 4)).toBe(true);
    expect(table.get(Prefix.parse("10.0.0.0/8"))).toBe(4);
    expect(table.size).toBe(2);
    expect(() => new PrefixTable(0)).toThrow("limit is a whole number");
    expect(() => new PrefixTable<undefined>().set(Prefix.parse("::/0"), undefined)).toThrow(TypeError);
  });

  test("has no node without a reason, so less than twice as many as prefixes, whatever went before", () => {
    const count = (node: Branch<number>): number => {
      if (node === undefined) return 0;
      expect(node.value !== undefined || (node.zero !== undefined && node.one !== undefined)).toBe(true);
      return 1 + count(node.zero) + count(node.one);
    };
    const random = seededRandom(3);
    const known = new Map<string, Prefix>();
    let root: Branch<number>;
    for (let step = 0; step < 5000; step++) {
      const prefix = Prefix.of(IpAddress.v4(below(random, 64) << 26), below(random, 9));
      if (!known.delete(prefix.toString())) {
        root = graft(root, new TrieNode(prefix, step));
        known.set(prefix.toString(), prefix);
      } else root = prune(root, prefix);
      expect(count(root)).toBeLessThan(Math.max(2 * known.size, 1));
    }
    for (const prefix of known.values()) root = prune(root, prefix);
    expect(root).toBeUndefined();
  });

  test("works with a hundred thousand prefixes", () => {
    const COUNT = 100_000;
    const random = seededRandom(11);
    const table = new PrefixTable<number>();
    const byText = new Map<string, number>();
    const prefixes = Array.from({ length: COUNT }, () => {
      const address = IpAddress.v4(random.next());
      return Prefix.of(address, 8 + below(random, 17));
    });
    for (const [i, prefix] of prefixes.entries()) {
      table.set(prefix, i);
      byText.set(prefix.toString(), i);
    }
    expect(table.size).toBe(byText.size);
    /** Asks for each length from the longest on, by text. */
    const naive = (address: IpAddress): number | undefined => {
      for (let length = 32; length >= 0; length--) {
        const value = byText.get(Prefix.of(address, length).toString());
        if (value !== undefined) return value;
      }
      return undefined;
    };
    for (let i = 0; i < 2000; i++) {
      const address = IpAddress.v4(random.next());
      expect(lookup(table, address)).toBe(naive(address));
    }
    for (const prefix of prefixes) table.delete(prefix);
    expect(table.size).toBe(0);
    expect([...table.entries()]).toEqual([]);
  });
});
