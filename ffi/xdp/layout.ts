/**
 * The layouts that TypeScript shares with bpf/maps.h, and the check of both against the object's BTF.
 *
 * BTF is the compiler's own account of the C structures (Documentation/bpf/btf.rst). It is compared at every load, so that
 * an object built from other sources is an error with a name, not garbage in a map.
 */
import {
  bpf_object__btf,
  btf__find_by_name_kind,
  btf__name_by_offset,
  btf__type_by_id,
} from "../sys/libbpf.ts";
import { ERRNO, SystemError } from "../sys/errno.ts";
import { cString } from "../sys/libc.ts";
import { copyOut, type Pointer } from "../sys/memory.ts";

const U32 = 4;
const U64 = 8;

/** enum tree_kind. The three levels of a family follow one another: any, protocol, port. */
export const KIND = {
  ipv4: 0,
  ipv6: 3,
  arp: 6,
  ipv4Source: 7,
  ipv6Source: 8,
  ethertype: 9,
  parent: 10,
} as const;
export const TREE_COUNT = KIND.ipv6Source + 1;

export const GENERATIONS = 2;
export const TREE_NODES = 256;
export const TREE_DEPTH = 8;
export const SET_DEPTH = 8;

export const VALUE_ANY = 0;
export const VALUE_NONE = 0xffff_ffff;
export const VALUE_HAS_PARENT = 0x8000_0000;

export const NODE = { length: 0, longer: 1, shorter: 2, unused: 3, bytes: 4 } as const;
export const TREE = { nodes: 0, bytes: TREE_NODES * NODE.bytes } as const;

const PLAN_EVERYTHING = 0;
const PLAN_ETHERTYPES = PLAN_EVERYTHING + U32;
const PLAN_IPV4 = PLAN_ETHERTYPES + U32;
const PLAN_IPV6 = PLAN_IPV4 + U32;
const PLAN_TREES = PLAN_IPV6 + U32;
export const PLAN = {
  everything: PLAN_EVERYTHING,
  ethertypes: PLAN_ETHERTYPES,
  ipv4: PLAN_IPV4,
  ipv6: PLAN_IPV6,
  trees: PLAN_TREES,
  bytes: PLAN_TREES + TREE_COUNT * TREE.bytes,
} as const;

const STATE_PLANS = 2 * U32;
export const STATE = {
  active: 0,
  unused: U32,
  plans: STATE_PLANS,
  bytes: STATE_PLANS + GENERATIONS * PLAN.bytes,
} as const;

export const ADDRESS = { words: 0, bytes: 4 * U32 } as const;
const KEY_SELECTOR = U32;
const KEY_ADDRESS = KEY_SELECTOR + U32;
export const KEY = {
  kind_length: 0,
  selector: KEY_SELECTOR,
  address: KEY_ADDRESS,
  bytes: KEY_ADDRESS + ADDRESS.bytes,
} as const;

export const COUNTERS = {
  redirected: 0,
  passed: U64,
  malformed: 2 * U64,
  no_socket: 3 * U64,
  early_fragments: 4 * U64,
  handing_on: 5 * U64,
  bytes: 6 * U64,
} as const;

/** A key of the map of fragmented datagrams; its value is 64 bits: a time, and in the last one whether it is claimed. */
const FRAGMENT_DESTINATION = ADDRESS.bytes;
const FRAGMENT_IDENTIFICATION = FRAGMENT_DESTINATION + ADDRESS.bytes;
const FRAGMENT_FAMILY_PROTOCOL = FRAGMENT_IDENTIFICATION + U32;
export const FRAGMENT_KEY = {
  source: 0,
  destination: FRAGMENT_DESTINATION,
  identification: FRAGMENT_IDENTIFICATION,
  family_protocol: FRAGMENT_FAMILY_PROTOCOL,
  bytes: FRAGMENT_FAMILY_PROTOCOL + U32,
} as const;

type Layout = Readonly<Record<string, number>>;

/** Structures by their names in C; a member's value is its offset, `bytes` the size of the whole. */
const LAYOUTS: Readonly<Record<string, Layout>> = {
  address: ADDRESS,
  counters: COUNTERS,
  fragment_key: FRAGMENT_KEY,
  key: KEY,
  node: NODE,
  plan: PLAN,
  state: STATE,
  tree: TREE,
};

/** include/uapi/linux/btf.h: struct btf_type and the struct btf_member array that follows it for a structure. */
const BTF_KIND_STRUCT = 4;
const BTF_TYPE_INFO = U32;
const BTF_TYPE_SIZE = BTF_TYPE_INFO + U32;
const BTF_TYPE_BYTES = BTF_TYPE_SIZE + U32;
const BTF_MEMBER_OFFSET = 2 * U32;
const BTF_MEMBER_BYTES = BTF_MEMBER_OFFSET + U32;
const BTF_VLEN_MASK = 0xffff;
const BITS = 8;

const mismatch = (path: string, what: string): SystemError =>
  new SystemError({
    operation: `use "${path}"`,
    operands: { object: path },
    errno: ERRNO.EPROTO,
    remedy: `${what}; the object and this version of millrace do not belong together: run make bpf`,
  });

/** Offsets by member name, and `bytes`, as the object has them; undefined where it has no such structure. */
const readLayout = (btf: Pointer, name: string): Layout | undefined => {
  const id = btf__find_by_name_kind(btf, cString(name), BTF_KIND_STRUCT);
  if (id < 0) return undefined;
  const address = btf__type_by_id(btf, id);
  const head = new DataView(copyOut(address, BTF_TYPE_BYTES).buffer);
  const count = head.getUint32(BTF_TYPE_INFO, true) & BTF_VLEN_MASK;
  const bytes = copyOut(address, BTF_TYPE_BYTES + count * BTF_MEMBER_BYTES);
  const view = new DataView(bytes.buffer);
  const layout: Record<string, number> = { bytes: head.getUint32(BTF_TYPE_SIZE, true) };
  for (let i = 0; i < count; i++) {
    const at = BTF_TYPE_BYTES + i * BTF_MEMBER_BYTES;
    const member = String(btf__name_by_offset(btf, view.getUint32(at, true)));
    layout[member] = view.getUint32(at + BTF_MEMBER_OFFSET, true) / BITS;
  }
  return layout;
};

/** Compares every shared structure with the object's BTF. Throws SystemError (EPROTO) naming structure and member. */
export const checkLayouts = (object: Pointer, path: string): void => {
  const btf = bpf_object__btf(object);
  if (typeof btf !== "number") throw mismatch(path, "it has no BTF");
  for (const [name, expected] of Object.entries(LAYOUTS)) {
    const found = readLayout(btf, name);
    if (found === undefined) throw mismatch(path, `it has no struct ${name}`);
    for (const member of new Set([...Object.keys(expected), ...Object.keys(found)])) {
      if (found[member] === expected[member]) continue;
      const what = member === "bytes" ? "the size" : `member ${member}`;
      throw mismatch(
        path,
        `struct ${name}: ${what} is at ${found[member] ?? "no"} byte, ${expected[member] ?? "none"} expected`,
      );
    }
  }
};
