/**
 * A live mirror of the kernel's addresses, routes and neighbours, told as differences.
 *
 * Routes are those of the tables local, main and default, as one table: policy rules (`ip rule`), VRFs, routes by source prefix
 * or type of service, and cached path MTUs are not followed. What the kernel keeps to itself stays unknown until its next
 * notification: that a neighbour went from "stale" to "delay", or that one is asked for whom `resolve` did not name.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import { KernelGroups } from "./group.ts";
import { HeldNamespace } from "./held-namespace.ts";
import { RTM_ADDRESS } from "./address-message.ts";
import { parseLink, RTM } from "./link-message.ts";
import type { Message } from "./message.ts";
import { keyOfAddress } from "./mirror-kind.ts";
import {
  makeTables,
  openSockets,
  type AnyTable,
  type Limits,
  type Sockets,
  type Tables,
} from "./mirror-parts.ts";
import type { TableStatistics } from "./mirror-table.ts";
import {
  encodeNeighbour,
  encodeNeighbourProbe,
  encodeNeighbourUse,
  RTM_NEIGHBOUR,
} from "./neighbour-message.ts";
import { AF_INET, NLM_F_NEW, requireFamily } from "./rtnetlink.ts";
import type { SystemChange } from "./system-change.ts";
import { dumpTable } from "./table-dump.ts";

/** Messages taken by one call of `next` that finds nothing to tell: half a millisecond or so. */
const MAX_MESSAGES = 256;
/** Steps of the first dumps; tables that change faster than they can be read are told as far as they are known. */
const MAX_FIRST_STEPS = 1 << 16;
const MAX_INDEX = 2 ** 31 - 1;

/** RTM_NEWNEXTHOP and RTM_DELNEXTHOP of include/uapi/linux/rtnetlink.h. */
const RTM_NEXTHOP = { NEW: 104, DEL: 105 } as const;

export interface KernelMirrorOptions {
  /** Network namespace by name (`ip netns`) or path; the thread's own unless given. */
  readonly namespace?: string;
  /** Kernel buffer for notifications, in bytes; the kernel's default (200 KiB) unless given. */
  readonly receiveBufferBytes?: number;
  /** Most addresses, route prefixes and neighbours held, of each family. */
  readonly limits?: Limits;
}

export interface KernelMirrorStatistics {
  /** How often the kernel dropped notifications and everything was asked for anew. */
  readonly overruns: number;
  /** Neighbours that could not be asked for: the interface is gone or down, or the kernel's table is full. */
  readonly unresolved: number;
  /** By the names of the tables: "IPv4 routes". */
  readonly tables: Readonly<Record<string, TableStatistics>>;
}

/** Three netlink sockets in one namespace, and the file of that namespace. Close it: it holds descriptors. */
export class KernelMirror {
  readonly #namespace: HeldNamespace;
  readonly #sockets: Sockets;
  readonly #tables: Tables;
  /** In the order in which differences are told. */
  readonly #all: readonly AnyTable[];
  /** What was last heard of a link, by index, as far as routes depend on it. */
  readonly #links = new Map<number, string>();
  readonly #groups: KernelGroups;
  #dump: { readonly steps: Generator<number, void>; readonly table: AnyTable } | undefined;
  #overruns = 0;
  #unresolved = 0;
  #open = true;

  /**
   * Reads everything: what there is comes from the first calls of `next`. Throws SystemError where the namespace cannot be
   * entered or the kernel refuses.
   */
  constructor(options: KernelMirrorOptions = {}) {
    this.#tables = makeTables(options.limits ?? {});
    this.#all = Object.values(this.#tables);
    const namespace = new HeldNamespace(options.namespace);
    this.#namespace = namespace;
    this.#groups = new KernelGroups((work) => namespace.run(work));
    try {
      this.#sockets = this.#namespace.run(() => openSockets(options.receiveBufferBytes));
    } catch (error) {
      this.#namespace.close();
      throw error;
    }
    try {
      for (let step = 0; step < MAX_FIRST_STEPS && this.#all.some((table) => !table.known); step++)
        this.#work();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Readable while `next` may have something that it did not tell yet; empty once closed. The same until then. */
  get fds(): readonly number[] {
    return this.#open ? [this.#sockets.events.fd, this.#sockets.dumps.fd] : [];
  }

  /**
   * The next difference to what was told before; undefined where nothing new is known yet. Bounded work; waits for nothing but
   * the kernel's own lock on its tables. Throws SystemError where the kernel refuses a dump.
   */
  next(): SystemChange | undefined {
    for (let handled = 0; this.#open;) {
      const change = this.#take();
      if (change !== undefined) return change;
      // A table that is to be read but has not been asked for would let the caller sleep.
      if (handled >= MAX_MESSAGES && !this.#mustAsk()) return undefined;
      const worked = this.#work();
      if (worked === 0) return undefined;
      handled += worked;
    }
    return undefined;
  }

  /**
   * Has the kernel find out, or confirm, a neighbour's Ethernet address; the answer comes as a change. Asking again while it is at
   * it costs a system call and does no harm. Throws SystemError (EPERM) without CAP_NET_ADMIN; anything else that stands in the
   * way is counted. Throws RangeError and TypeError for what is no interface and no address.
   */
  resolve(interfaceIndex: number, address: Uint8Array): void {
    requireIndex(interfaceIndex);
    const family = requireFamily(address);
    if (!this.#open) return;
    const table = family === AF_INET ? this.#tables.neighbours4 : this.#tables.neighbours6;
    const [known] = table.records(keyOfAddress(interfaceIndex, address));
    // The kernel would take the permanence away from an entry that is used in this manner.
    if (known?.state === "permanent") return;
    const operation = `resolve neighbour ${address.toHex()} on interface ${interfaceIndex}`;
    if (!this.#have(operation, NLM_F_NEW.CREATE, encodeNeighbourUse(interfaceIndex, address))) return;
    // The kernel does so without a word, and a second failure must differ from the first to be told.
    if (known === undefined || known.state === "failed" || known.state === "none")
      table.hear(beginsAsking(interfaceIndex, address));
  }

  /**
   * Has the kernel ask a neighbour that it knows, now, at its Ethernet address: up to `ucast_solicit` times, `retrans_time_ms`
   * apart. A change to "reachable" is told then, also where it was that before, or one to "failed". False, counted, where the kernel
   * refuses; false for what it does not know and for permanent entries, which it asks nothing. Throws as `resolve` does.
   */
  probe(interfaceIndex: number, address: Uint8Array): boolean {
    requireIndex(interfaceIndex);
    const family = requireFamily(address);
    if (!this.#open) return false;
    const table = family === AF_INET ? this.#tables.neighbours4 : this.#tables.neighbours6;
    const key = keyOfAddress(interfaceIndex, address);
    const [known] = table.records(key);
    if (known?.mac === undefined || known.state === "permanent") return false;
    const operation = `probe neighbour ${address.toHex()} on interface ${interfaceIndex}`;
    // Without NLM_F_REPLACE, with which the kernel would forget that a neighbour is a router.
    if (!this.#have(operation, 0, encodeNeighbourProbe(interfaceIndex, address))) return false;
    // Question and answer may both be over when we look, and the state what it was.
    table.tellAgain(key);
    return true;
  }

  /**
   * Makes the kernel a member of a group (4 or 16 bytes) on an interface, once however often it is asked; `close` leaves what is
   * left. Throws SystemError where the kernel refuses, RangeError above MAX_KERNEL_GROUPS.
   */
  joinGroup(interfaceIndex: number, group: Uint8Array): void {
    if (!this.#open) throw new TypeError("this mirror is closed");
    this.#groups.join(requireIndex(interfaceIndex), group);
  }

  /** Idempotent. */
  leaveGroup(interfaceIndex: number, group: Uint8Array): void {
    this.#groups.leave(interfaceIndex, group);
  }

  statistics(): KernelMirrorStatistics {
    return {
      overruns: this.#overruns,
      unresolved: this.#unresolved,
      tables: Object.fromEntries(this.#all.map((table) => [table.kind.name, table.statistics()])),
    };
  }

  /** Idempotent. Differences not taken yet are dropped, groups left. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#dump = undefined;
    this.#groups.close();
    for (const socket of Object.values(this.#sockets)) socket.close();
    this.#namespace.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Has the kernel do something with a neighbour; false, counted, where it refuses. */
  #have(operation: string, flags: number, body: Uint8Array): boolean {
    try {
      this.#sockets.commands.request({ operation, type: RTM_NEIGHBOUR.NEW, flags, body });
      return true;
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno === ERRNO.EPERM) throw error;
      this.#unresolved += 1;
      return false;
    }
  }

  #take(): SystemChange | undefined {
    for (const table of this.#all) {
      const change = table.take();
      if (change !== undefined) return change;
    }
    return undefined;
  }

  #mustAsk(): boolean {
    return this.#dump === undefined && this.#all.some((table) => table.stale);
  }

  /** Hears one datagram of notifications or, where none waits, does a step of a dump. Returns messages handled, 0 for none. */
  #work(): number {
    const received = this.#sockets.events.receive();
    if (received === "empty") return this.#step();
    if (received === "overrun") {
      this.#overruns += 1;
      for (const table of this.#all) table.doubt();
      return 1;
    }
    for (const message of received) this.#hear(message);
    return Math.max(1, received.length);
  }

  #step(): number {
    if (this.#dump === undefined) {
      const table = this.#all.find((each) => each.stale);
      if (table === undefined) return 0;
      this.#dump = { steps: dumpTable(table, this.#sockets.dumps), table };
    }
    const { steps, table } = this.#dump;
    try {
      const step = steps.next();
      if (step.done === true) this.#dump = undefined;
      return Math.max(1, step.value ?? 0);
    } catch (error) {
      this.#dump = undefined;
      table.doubt();
      throw error;
    }
  }

  #hear(message: Message): void {
    this.#all.find((table) => table.owns(message))?.hear(message);
    switch (message.type) {
      case RTM.NEWLINK:
      case RTM.DELLINK:
        return this.#hearLink(message);
      case RTM_NEXTHOP.NEW:
      case RTM_NEXTHOP.DEL:
        return this.#doubtRoutes();
      // Routes that name it as their source go with an address (IPv4) or lose it (IPv6).
      case RTM_ADDRESS.DEL:
        return this.#doubtRoutes();
    }
  }

  /** A link that goes down takes IPv4 routes with it, and hops of multipath routes die and live again with it: all in silence. */
  #hearLink(message: Message): void {
    const link = parseLink(message);
    if (link === undefined) return;
    const { index, up, carrier, running, mtu } = link;
    const now = `${up} ${carrier} ${running} ${mtu}`;
    if (message.type === RTM.NEWLINK && this.#links.get(index) === now) return;
    if (message.type === RTM.NEWLINK) this.#links.set(index, now);
    else this.#links.delete(index);
    this.#doubtRoutes();
  }

  #doubtRoutes(): void {
    this.#tables.routes4.doubt();
    this.#tables.routes6.doubt();
  }
}

const requireIndex = (interfaceIndex: number): number => {
  if (!Number.isInteger(interfaceIndex) || interfaceIndex < 1 || interfaceIndex > MAX_INDEX)
    throw new RangeError(`interfaceIndex is an interface's index, not ${interfaceIndex}`);
  return interfaceIndex;
};

/** The notification that the kernel leaves out when it begins to ask for a neighbour. */
const beginsAsking = (interfaceIndex: number, address: Uint8Array): Message => {
  const record = { interface: interfaceIndex, address, mac: undefined, router: false };
  const body = encodeNeighbour({ ...record, state: "incomplete" });
  return {
    type: RTM_NEIGHBOUR.NEW,
    flags: 0,
    sequence: 0,
    body: new DataView(body.buffer, body.byteOffset, body.byteLength),
  };
};
