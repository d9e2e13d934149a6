/**
 * A zone as a tree of names: sets of records, names that only lead to others, delegations and wildcards (RFC 1034 section 4.2).
 */
import { TYPE } from "./message.ts";
import {
  formatName,
  isWildcard,
  isWithin,
  keyOf,
  labelsOf,
  parentOf,
  wildcardOf,
  ZoneError,
} from "./names.ts";
import type { Rdata } from "./rdata.ts";
import type { ZoneRecord } from "./zone-file.ts";

/** All records of one name and type. */
export interface RecordSet {
  readonly owner: Uint8Array;
  readonly type: number;
  /** The least of them: one set has one TTL (RFC 2181 section 5.2). */
  ttl: number;
  readonly data: Rdata[];
}

export interface ZoneNode {
  readonly name: Uint8Array;
  readonly sets: Map<number, RecordSet>;
  /** The delegation that this name is, or is below: what stands here is another's, or glue. */
  cut: ZoneNode | undefined;
  /** `*` below this name. */
  wildcard: ZoneNode | undefined;
}

/** Where a name is in a zone: at a node, or below the last one on the way to it (RFC 4592 section 3.3.1). */
export interface Place {
  readonly node: ZoneNode;
  readonly exact: boolean;
}

export class Zone {
  readonly apex: ZoneNode;
  readonly soa: RecordSet;
  readonly #nodes = new Map<string, ZoneNode>();

  /** Throws a ZoneError where the records make no zone. */
  constructor(records: readonly ZoneRecord[]) {
    const origin = records.find(({ type }) => type === TYPE.SOA)?.owner;
    if (origin === undefined) throw new ZoneError("the zone has no SOA record");
    this.apex = this.#grow(origin, origin);
    for (const record of records) this.#add(record, origin);
    for (const node of this.#nodes.values()) check(node, node === this.apex);
    this.soa = this.apex.sets.get(TYPE.SOA)!;
    if (!this.apex.sets.has(TYPE.NS)) throw new ZoneError(`${formatName(origin)} has no NS record`);
    this.#link();
  }

  nodes(): Iterable<ZoneNode> {
    return this.#nodes.values();
  }

  /** Where a name is; undefined for one outside of the zone. */
  find(name: Uint8Array): Place | undefined {
    for (const at of [...labelsOf(name), name.length - 1]) {
      const node = this.#nodes.get(keyOf(name.subarray(at)));
      if (node !== undefined) return { node, exact: at === 0 };
    }
    return undefined;
  }

  /** The node of a name, with all above it up to the origin. */
  #grow(name: Uint8Array, origin: Uint8Array): ZoneNode {
    const key = keyOf(name);
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    const node: ZoneNode = { name, sets: new Map(), cut: undefined, wildcard: undefined };
    this.#nodes.set(key, node);
    if (name.length > origin.length) this.#grow(parentOf(name), origin);
    return node;
  }

  #add({ owner, type, ttl, rdata, line }: ZoneRecord, origin: Uint8Array): void {
    if (!isWithin(owner, origin))
      throw new ZoneError(`line ${line}: ${formatName(owner)} is not within ${formatName(origin)}`);
    if (type === TYPE.DNAME) throw new ZoneError(`line ${line}: DNAME records are not served here`);
    const { sets } = this.#grow(owner, origin);
    const set = sets.get(type) ?? { owner, type, ttl, data: [] };
    sets.set(type, set);
    set.ttl = Math.min(set.ttl, ttl);
    // A record that stands there twice is one (RFC 2181 section 5).
    if (!set.data.some(({ bytes }) => Buffer.compare(bytes, rdata.bytes) === 0)) set.data.push(rdata);
  }

  /** Tells each node of the delegation above it and of the wildcard below it. */
  #link(): void {
    const upToDown = [...this.#nodes.values()].sort((a, b) => a.name.length - b.name.length);
    for (const node of upToDown) {
      node.wildcard = this.#nodes.get(keyOf(wildcardOf(node.name)));
      if (node === this.apex) continue;
      const above = this.#nodes.get(keyOf(parentOf(node.name)));
      node.cut = above?.cut ?? (node.sets.has(TYPE.NS) ? node : undefined);
    }
  }
}

/** What no name may have (RFC 1034 section 3.6.2, RFC 2181 section 10.1, RFC 4592 section 4.2). */
const check = ({ name, sets }: ZoneNode, isApex: boolean): void => {
  const text = formatName(name);
  const soas = sets.get(TYPE.SOA);
  if (soas !== undefined && !isApex) throw new ZoneError(`${text} has a second SOA record`);
  if (soas !== undefined && soas.data.length > 1) throw new ZoneError(`${text} has two SOA records`);
  const aliases = sets.get(TYPE.CNAME);
  if (aliases !== undefined && sets.size > 1)
    throw new ZoneError(`${text} is an alias, and has other records`);
  if (aliases !== undefined && aliases.data.length > 1) throw new ZoneError(`${text} is an alias twice`);
  if (isWildcard(name) && sets.has(TYPE.NS))
    throw new ZoneError(`${text} delegates what nobody knows the name of`);
};
