/**
 * The policy table of RFC 6724 section 2.1: which precedence and which label a prefix has when addresses are chosen.
 */
import type { IpAddress } from "../../wire/address.ts";
import { PrefixTable } from "../../wire/prefix-table.ts";
import { Prefix } from "../../wire/prefix.ts";

export interface Policy {
  /** IPv4 prefixes stand for the mapped ones: 0.0.0.0/0 is ::ffff:0:0/96. */
  readonly prefix: Prefix;
  /** Higher is preferred among destinations. */
  readonly precedence: number;
  /** Source and destination with the same label are preferred together. */
  readonly label: number;
}

const policy = (prefix: string, precedence: number, label: number): Policy => ({
  prefix: Prefix.parse(prefix),
  precedence,
  label,
});

/** The default of RFC 6724 section 2.1. */
export const DEFAULT_POLICIES: readonly Policy[] = [
  policy("::1/128", 50, 0),
  policy("::/0", 40, 1),
  policy("0.0.0.0/0", 35, 4),
  policy("2002::/16", 30, 2),
  policy("2001::/32", 5, 5),
  policy("fc00::/7", 3, 13),
  policy("::/96", 1, 3),
  policy("fec0::/10", 1, 11),
  policy("3ffe::/16", 1, 12),
];

/** Rows that a table holds at most; an administrator writes them by hand. */
export const MAX_POLICIES = 1024;

/** What an address has that no row is about: nothing is preferred less, and no label of a row is like it. */
const UNLISTED = { precedence: -1, label: -1 };

/** A table in use; it never changes, so a new policy is a new table. */
export class PolicyTable {
  readonly #rows = new PrefixTable<Policy>();

  /** @throws RangeError where there are too many rows, or a number is not a whole one of 0 or more. */
  constructor(policies: readonly Policy[] = DEFAULT_POLICIES) {
    if (policies.length > MAX_POLICIES)
      throw new RangeError(`policies must be at most ${MAX_POLICIES}, not ${policies.length}`);
    for (const row of policies) {
      requireCount("precedence", row);
      requireCount("label", row);
      this.#rows.set(row.prefix, row);
    }
  }

  precedence(address: IpAddress): number {
    return this.#row(address).precedence;
  }

  label(address: IpAddress): number {
    return this.#row(address).label;
  }

  #row(address: IpAddress): { readonly precedence: number; readonly label: number } {
    return this.#rows.lookup(address.w0, address.w1, address.w2, address.w3) ?? UNLISTED;
  }
}

const requireCount = (name: "precedence" | "label", row: Policy): void => {
  if (!Number.isInteger(row[name]) || row[name] < 0)
    throw new RangeError(`${name} of ${row.prefix.toString()} must be 0 or more, not ${row[name]}`);
};

/** The table that is used where none is given. */
export const DEFAULT_POLICY_TABLE = new PolicyTable();
