/**
 * From a checked list of claims to what the program looks up: prefix-length trees, table keys and values.
 *
 * Each tree is a binary search over the prefix lengths that its entries use. A prefix that is longer than the middle length
 * leaves a marker there, so that a hit means "longer may match" and a miss means "only shorter can"; a marker carries the
 * value of the longest real prefix above it, so the search never has to come back. The lookups of a frame therefore grow
 * with the number of lengths (their logarithm), not with the number of claims.
 */
import { type CheckedClaim, type CheckedClaims } from "./claim.ts";
import {
  KEY,
  KIND,
  NODE,
  SET_DEPTH,
  TREE,
  TREE_COUNT,
  VALUE_ANY,
  VALUE_HAS_PARENT,
  VALUE_NONE,
} from "./layout.ts";
import { maskWord, type Prefix, type Words } from "./prefix.ts";

/** Entries of one table, markers included: 40 MB of kernel memory. Only prefixes of many lengths come near it. */
export const MAX_TABLE_ENTRIES = 2 ** 19;

/** What `ClaimTable` publishes. */
export interface CompiledClaims {
  readonly everything: boolean;
  readonly ethertypes: boolean;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** `struct tree`, TREE_COUNT of them. */
  readonly trees: Uint8Array;
  /** `struct key`, `count` of them. */
  readonly keys: Uint8Array;
  /** `count` values. */
  readonly values: Uint32Array;
  readonly count: number;
}

interface Rule {
  readonly selector: number;
  readonly words: Words;
  readonly length: number;
  /** Undefined where any source will do. */
  readonly source: Prefix | undefined;
}

interface Entry {
  readonly selector: number;
  readonly words: Words;
  readonly length: number;
  value: number;
  /** False for a marker. */
  readonly real: boolean;
}

const KIND_SHIFT = 8;
const PROTOCOL_SHIFT = 16;
const PROTOCOL_LEVEL = 1;
const PORT_LEVEL = 2;
const ANYWHERE: Words = [0, 0, 0, 0];

type Place = Pick<Entry, "selector" | "words" | "length">;

/** Sorts by selector, address, length: a prefix stands before all that it contains. */
const byPlace = (a: Place, b: Place): number =>
  a.selector - b.selector ||
  a.words[0] - b.words[0] ||
  a.words[1] - b.words[1] ||
  a.words[2] - b.words[2] ||
  a.words[3] - b.words[3] ||
  a.length - b.length;

const contains = (outer: Place, inner: Place): boolean => {
  if (outer.selector !== inner.selector || outer.length > inner.length) return false;
  for (let i = 0; i * 32 < outer.length; i++) {
    if (maskWord(inner.words[i]!, i, outer.length) !== outer.words[i]) return false;
  }
  return true;
};

/** One table and its trees in the making. */
class Compiler {
  readonly #entries: { readonly kind: number; readonly entry: Entry }[] = [];
  readonly #rules = new Map<number, Rule[]>();
  readonly #trees = new Uint8Array(new ArrayBuffer(TREE_COUNT * TREE.bytes));
  #sets = 0;
  #ethertypes = false;

  add(claim: CheckedClaim): void {
    if (claim.kind === "ethertype") {
      this.#ethertypes = true;
      this.#rule(KIND.ethertype, {
        selector: claim.ethertype,
        words: ANYWHERE,
        length: 0,
        source: undefined,
      });
      return;
    }
    const { words, length } = claim.destination ?? { words: ANYWHERE, length: 0 };
    // A source of length 0 is no condition: its family is one, and that is in the kind already.
    const source = claim.source?.length === 0 ? undefined : claim.source;
    if (claim.kind === "arp") {
      this.#rule(KIND.arp, { selector: 0, words, length, source });
      return;
    }
    for (const family of claim.families) {
      const any = family === 4 ? KIND.ipv4 : KIND.ipv6;
      if (claim.protocols.length === 0) this.#rule(any, { selector: 0, words, length, source });
      for (const protocol of claim.protocols) {
        const kind = any + (claim.port === undefined ? PROTOCOL_LEVEL : PORT_LEVEL);
        const selector = protocol * 2 ** PROTOCOL_SHIFT + (claim.port ?? 0);
        this.#rule(kind, { selector, words, length, source });
      }
    }
  }

  compile(): CompiledClaims {
    const sources = new Map<number, Rule[]>([
      [KIND.ipv4Source, []],
      [KIND.ipv6Source, []],
    ]);
    for (const [kind, rules] of this.#rules) {
      const sourceKind = kind >= KIND.ipv6 && kind < KIND.arp ? KIND.ipv6Source : KIND.ipv4Source;
      this.#layOut(kind, this.#settle(rules, sources.get(sourceKind)!));
    }
    for (const [kind, rules] of sources) this.#layOut(kind, this.#settle(rules, []));
    const uses = (from: number, to: number): boolean => {
      for (let kind = from; kind < to; kind++) if (this.#rules.has(kind)) return true;
      return false;
    };
    return {
      everything: false,
      ethertypes: this.#ethertypes,
      ipv4: uses(KIND.ipv4, KIND.ipv6),
      ipv6: uses(KIND.ipv6, KIND.arp),
      trees: this.#trees,
      ...this.#serialise(),
    };
  }

  #rule(kind: number, rule: Rule): void {
    const rules = this.#rules.get(kind);
    if (rules === undefined) this.#rules.set(kind, [rule]);
    else rules.push(rule);
  }

  /**
   * One entry for each destination, with the set of sources it takes. A destination inside one that takes any source is
   * left out; one inside another set names that set as its parent, for the lookup finds only the longest destination.
   */
  #settle(rules: Rule[], sources: Rule[]): Entry[] {
    rules.sort(byPlace);
    const settled: Entry[] = [];
    const around: { readonly entry: Entry; readonly depth: number }[] = [];
    for (let at = 0; at < rules.length;) {
      const { selector, words, length } = rules[at]!;
      let end = at;
      let anySource = false;
      while (end < rules.length && byPlace(rules[end]!, rules[at]!) === 0) {
        anySource ||= rules[end]!.source === undefined;
        end += 1;
      }
      while (around.length > 0 && !contains(around.at(-1)!.entry, rules[at]!)) around.pop();
      const outer = around.at(-1);
      if (outer?.entry.value !== VALUE_ANY) {
        const entry: Entry = { selector, words, length, value: VALUE_ANY, real: true };
        if (!anySource) entry.value = this.#makeSet(rules.slice(at, end), sources, outer?.entry.value);
        const depth = (outer?.depth ?? 0) + 1;
        if (!anySource && depth > SET_DEPTH) {
          throw new RangeError(
            `claims with sources have destinations nested more than ${SET_DEPTH} deep; merge some of them`,
          );
        }
        around.push({ entry, depth });
        settled.push(entry);
      }
      at = end;
    }
    return settled;
  }

  /** A new set of sources; the number it has, marked if it lies in `parent`. */
  #makeSet(rules: readonly Rule[], sources: Rule[], parent: number | undefined): number {
    this.#sets += 1;
    const set = this.#sets;
    for (const { source } of rules) {
      sources.push({ selector: set, words: source!.words, length: source!.length, source: undefined });
    }
    if (parent === undefined) return set;
    this.#put(KIND.parent, { selector: set, words: ANYWHERE, length: 0, value: parent, real: true });
    return VALUE_HAS_PARENT + set;
  }

  /** Puts entries into the table, with their markers, and builds their tree. */
  #layOut(kind: number, entries: readonly Entry[]): void {
    if (kind >= TREE_COUNT) {
      for (const entry of entries) this.#put(kind, entry);
      return;
    }
    if (entries.length === 0) return;
    const lengths = [...new Set(entries.map((entry) => entry.length))].sort((a, b) => a - b);
    const markersOf = this.#buildTree(kind, lengths);
    const all: Entry[] = [...entries];
    for (const { selector, words, length } of entries) {
      for (const shorter of markersOf.get(length)!) {
        const masked: Words = [
          maskWord(words[0], 0, shorter),
          maskWord(words[1], 1, shorter),
          maskWord(words[2], 2, shorter),
          maskWord(words[3], 3, shorter),
        ];
        all.push({ selector, words: masked, length: shorter, value: VALUE_NONE, real: false });
      }
    }
    if (all.length > entries.length) this.#putMarked(kind, all);
    else for (const entry of all) this.#put(kind, entry);
  }

  /** One entry for each place, a real one before its markers; a marker takes the value of the real prefix around it. */
  #putMarked(kind: number, all: Entry[]): void {
    all.sort((a, b) => byPlace(a, b) || Number(b.real) - Number(a.real));
    const around: Entry[] = [];
    let previous: Entry | undefined;
    for (const entry of all) {
      if (previous !== undefined && byPlace(previous, entry) === 0) continue;
      previous = entry;
      while (around.length > 0 && !contains(around.at(-1)!, entry)) around.pop();
      if (entry.real) around.push(entry);
      else entry.value = around.at(-1)?.value ?? VALUE_NONE;
      this.#put(kind, entry);
    }
  }

  /** Writes a balanced tree over `lengths`; returns, for each, the lengths where it needs a marker. */
  #buildTree(kind: number, lengths: readonly number[]): Map<number, number[]> {
    const markersOf = new Map<number, number[]>();
    const base = kind * TREE.bytes + TREE.nodes;
    let last = 0;
    const build = (from: number, to: number, markers: readonly number[]): number => {
      if (from > to) return 0;
      // The upper middle, so that of two lengths the longer one is tried first and needs no marker.
      const middle = (from + to + 1) >> 1;
      const length = lengths[middle]!;
      markersOf.set(length, [...markers]);
      last += 1;
      const node = last;
      const at = base + node * NODE.bytes;
      this.#trees[at + NODE.length] = length;
      this.#trees[at + NODE.longer] = build(middle + 1, to, [...markers, length]);
      this.#trees[at + NODE.shorter] = build(from, middle - 1, markers);
      return node;
    };
    this.#trees[base + NODE.longer] = build(0, lengths.length - 1, []);
    return markersOf;
  }

  #put(kind: number, entry: Entry): void {
    if (this.#entries.length >= MAX_TABLE_ENTRIES) {
      throw new RangeError(
        `these claims need more than ${MAX_TABLE_ENTRIES} table entries; use fewer prefix lengths or name one protocol`,
      );
    }
    this.#entries.push({ kind, entry });
  }

  #serialise(): Pick<CompiledClaims, "keys" | "values" | "count"> {
    const count = this.#entries.length;
    const keys = new Uint8Array(new ArrayBuffer(Math.max(1, count) * KEY.bytes));
    const values = new Uint32Array(new ArrayBuffer(Math.max(1, count) * Uint32Array.BYTES_PER_ELEMENT));
    const view = new DataView(keys.buffer);
    for (let i = 0; i < count; i++) {
      const { kind, entry } = this.#entries[i]!;
      const at = i * KEY.bytes;
      view.setUint32(at + KEY.kind_length, (kind << KIND_SHIFT) | entry.length, true);
      view.setUint32(at + KEY.selector, entry.selector, true);
      for (let w = 0; w < entry.words.length; w++) {
        view.setUint32(at + KEY.address + w * Uint32Array.BYTES_PER_ELEMENT, entry.words[w]!, false);
      }
      values[i] = entry.value;
    }
    return { keys, values, count };
  }
}

/** What the program needs to know to tell claimed frames from others. Throws RangeError where a limit is exceeded. */
export const compileClaims = (claims: CheckedClaims): CompiledClaims => {
  const compiler = new Compiler();
  if (claims !== "everything") for (const claim of claims) compiler.add(claim);
  const compiled = compiler.compile();
  return claims === "everything" ? { ...compiled, everything: true } : compiled;
};
