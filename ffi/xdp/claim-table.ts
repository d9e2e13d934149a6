/**
 * Puts compiled claims into force, so that every frame is judged by the whole old list or by the whole new one.
 *
 * There are two generations of plan and table. The one not in use is filled, then `active` is stored, then a grace period
 * passes before anything of the old one is touched: also its table, because a program that has read `active` may not have
 * looked the table up yet. An update of a map of maps is what gives that grace period: the kernel waits in it, after the
 * exchange, until no program runs that began before (kernel/bpf/syscall.c, maybe_wait_bpf_programs). It takes some
 * milliseconds, twice.
 *
 * A list that only has more than the one before, or only less, and is searched in the same way, needs none of that: its table
 * is amended in place, one port after the other, in microseconds. However far that has come, each frame finds what the old list
 * or the new one says. So sockets that open and close beside a kernel do not stop the program that opens them.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import {
  bpf_map_create,
  bpf_map_delete_elem,
  bpf_map_update_batch,
  bpf_map_update_elem,
} from "../sys/libbpf.ts";
import { close, cString, word } from "../sys/libc.ts";
import { logMark, logSince } from "../sys/log.ts";
import { mapShared, type Mapping, PAGE_BYTES } from "../sys/memory.ts";
import { amendment, type Amendment } from "./claim-amendment.ts";
import type { CompiledClaims } from "./claims.ts";
import { GENERATIONS, KEY, PLAN, STATE, VALUE_ANY } from "./layout.ts";

const BPF_MAP_TYPE_HASH = 1;
const BPF_ANY = 0;
const VALUE_BYTES = Uint32Array.BYTES_PER_ELEMENT;
const MAP_NAME = cString("claims");
/** Entries that a table has room for besides those that it begins with: as many again, within these. */
const LEAST_SPARE = 64;
const MOST_SPARE = 4096;

const refuse = (what: string, status: number, count: number, mark: number): SystemError =>
  new SystemError({
    operation: what,
    operands: { entries: count },
    errno: -status,
    remedy:
      -status === ERRNO.EPERM
        ? "it takes CAP_BPF (or root)"
        : "there may be no kernel memory left for a table of this size: claim fewer prefixes",
    log: logSince(mark),
  });

/** The claims of one loaded program. */
export class ClaimTable {
  readonly #tables: number;
  readonly #state: Mapping;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #active = 0;
  /** The table in force, how many entries it has room for, and what is in it; -1 before the first. */
  #table = -1;
  #room = 0;
  #current: CompiledClaims | undefined;

  /** `stateFd` is the map behind the program's variables, `tablesFd` the map of tables; both stay the caller's. */
  constructor(stateFd: number, tablesFd: number) {
    const lengthBytes = Math.ceil(STATE.bytes / PAGE_BYTES) * PAGE_BYTES;
    const state = mapShared(stateFd, lengthBytes, 0);
    if (state === null) {
      throw new SystemError({
        operation: "map the program's variables",
        operands: { lengthBytes },
        errno: ERRNO.ENOMEM,
        remedy: "the kernel is older than 5.5, or has no memory left",
      });
    }
    this.#tables = tablesFd;
    this.#state = state;
    this.#view = new DataView(state.buffer);
    this.#bytes = new Uint8Array(state.buffer);
  }

  /**
   * Replaces the claims in force. A frame that arrives after it returned is judged by the new ones. On a failure the old ones
   * stay in force. `running` is false while no frame can be in the program, which saves the wait.
   */
  publish(claims: CompiledClaims, running: boolean): void {
    const change = this.#current && amendment(this.#current, claims, this.#room);
    if (change !== undefined) {
      const amended = this.#amend(change);
      // What is in a table that was amended in part nobody knows: the next one is made anew.
      this.#current = amended ? claims : undefined;
      if (amended) return;
    }
    const mark = logMark();
    const room = claims.count + Math.min(Math.max(claims.count, LEAST_SPARE), MOST_SPARE);
    const table = this.#makeTable(claims, room, mark);
    try {
      const next = (this.#active + 1) % GENERATIONS;
      this.#writePlan(next, claims);
      this.#setTable(next, table, mark);
      // From here on it is no longer the table at hand that is in force.
      this.#current = undefined;
      this.#view.setUint32(STATE.active, next, true);
      this.#active = next;
      // The same table again, for the grace period. That of the old generation stays until its place is needed.
      if (running) this.#setTable(next, table, mark);
    } catch (error) {
      close(table);
      throw error;
    }
    this.#forget();
    this.#table = table;
    this.#room = room;
    this.#current = claims;
  }

  /** Unmaps the variables. Idempotent. */
  close(): void {
    this.#forget();
    this.#state.unmap();
  }

  /** The kernel keeps the table for as long as a program may look into it. */
  #forget(): void {
    if (this.#table >= 0) close(this.#table);
    this.#table = -1;
  }

  /** False where the kernel refuses some of it: then the table is neither the old one nor the new one. */
  #amend({ added, removed }: Amendment): boolean {
    const value = new Uint32Array(new ArrayBuffer(VALUE_BYTES));
    value[0] = VALUE_ANY;
    const fits = added.every((key) => bpf_map_update_elem(this.#table, key, value, word(BPF_ANY)) === 0);
    return fits && removed.every((key) => bpf_map_delete_elem(this.#table, key) === 0);
  }

  #makeTable(claims: CompiledClaims, room: number, mark: number): number {
    const { count } = claims;
    const fd = bpf_map_create(BPF_MAP_TYPE_HASH, MAP_NAME, KEY.bytes, VALUE_BYTES, room, null);
    if (fd < 0) throw refuse("create a table of claims", fd, count, mark);
    if (count === 0) return fd;
    const done = new Uint32Array(new ArrayBuffer(VALUE_BYTES));
    done[0] = count;
    const status = bpf_map_update_batch(fd, claims.keys, claims.values, done, null);
    if (status === 0 && done[0] === count) return fd;
    close(fd);
    throw refuse("fill a table of claims", status, count, mark);
  }

  #writePlan(generation: number, claims: CompiledClaims): void {
    const at = STATE.plans + generation * PLAN.bytes;
    this.#view.setUint32(at + PLAN.everything, Number(claims.everything), true);
    this.#view.setUint32(at + PLAN.ethertypes, Number(claims.ethertypes), true);
    this.#view.setUint32(at + PLAN.ipv4, Number(claims.ipv4), true);
    this.#view.setUint32(at + PLAN.ipv6, Number(claims.ipv6), true);
    this.#bytes.set(claims.trees, at + PLAN.trees);
  }

  #setTable(generation: number, fd: number, mark: number): void {
    const slot = new Uint32Array(new ArrayBuffer(VALUE_BYTES));
    const value = new Int32Array(new ArrayBuffer(VALUE_BYTES));
    slot[0] = generation;
    value[0] = fd;
    const status = bpf_map_update_elem(this.#tables, slot, value, word(BPF_ANY));
    if (status < 0) throw refuse("put a table of claims into force", status, 0, mark);
  }
}
