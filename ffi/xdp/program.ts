/**
 * The steering program: loaded, told what is claimed and which socket serves which queue, attached, and taken away again.
 */
import { SystemError } from "../sys/errno.ts";
import {
  bpf_map__set_max_entries,
  bpf_map_delete_elem,
  bpf_map_lookup_elem,
  bpf_map_update_elem,
  libbpf_num_possible_cpus,
} from "../sys/libbpf.ts";
import { word } from "../sys/libc.ts";
import { struct } from "../sys/memory.ts";
import { checkClaims, type Claims } from "./claim.ts";
import { ClaimTable } from "./claim-table.ts";
import { compileClaims } from "./claims.ts";
import { attachShared } from "./dispatcher.ts";
import { attachLink, type AttachTarget, type Hook } from "./hook.ts";
import { checkLayouts, COUNTERS } from "./layout.ts";
import { BpfObject, objectPath } from "./object.ts";
import { testRun, type TestResult } from "./testrun.ts";

/** What became of the frames of an interface, in frames, summed over CPUs. */
export interface SteerStatistics {
  /** Sent to a socket. It may still drop them: see the socket's own counters. */
  readonly redirected: number;
  /** Left to the kernel, because nothing claims them. */
  readonly passed: number;
  /** Left to the kernel: not claimed by what could be read, and a header is cut short or contradicts itself. */
  readonly malformed: number;
  /** Claimed, but left to the kernel, because no socket serves their queue. */
  readonly noSocket: number;
  /**
   * Of those passed: fragments without a port that came before the first one of their datagram, which has it. Where that is
   * claimed later, its datagram is whole neither here nor with the kernel.
   */
  readonly earlyFragments: number;
}

export interface LoadOptions {
  /** Receive queues of the interface: as many sockets can be set. */
  readonly queues: number;
  /** Another object than bpf/steer.bpf.o. */
  readonly objectPath?: string;
}

export interface AttachResult {
  readonly mode: Hook["mode"];
  /** For `auto`: the modes that were refused before, with their errors. */
  readonly refused: Hook["refused"];
}

/** More receive queues than any device has; each costs 8 bytes. */
export const MAX_QUEUES = 4096;

const PROGRAM = "steer";
const SECTION = "xdp.frags";
const BPF_ANY = 0;
const U32 = 4;
const TWO_32 = 2 ** 32;
/** What a second copy of the program shares with the first. */
const SHARED_MAPS = ["xsks", "tables", "counts", "fragments", ".bss", ".rodata"] as const;

/** One instance of bpf/steer.bpf.c. Until `setClaims` it claims nothing. */
export class SteerProgram {
  readonly queues: number;
  readonly #object: BpfObject;
  readonly #table: ClaimTable;
  readonly #fd: number;
  readonly #xsks: number;
  readonly #counts: number;
  readonly #cpus: number;
  #claims: Claims = [];
  #hook: Hook | undefined;
  /** The copy that libxdp loaded, where the program is shared. */
  #shared: BpfObject | undefined;
  /** False as long as no frame can have been judged by it. */
  #running = false;
  #closed = false;

  private constructor(object: BpfObject, queues: number, table: ClaimTable) {
    this.#object = object;
    this.queues = queues;
    this.#table = table;
    this.#fd = object.programFd(PROGRAM);
    this.#xsks = object.mapFd("xsks");
    this.#counts = object.mapFd("counts");
    this.#cpus = libbpf_num_possible_cpus();
  }

  /**
   * Loads the program into the kernel, attached nowhere.
   *
   * Throws RangeError for a number of queues that cannot be, and SystemError: ENOENT where the object is not compiled,
   * EPROTO where it is another version's, and what the kernel refuses, with libbpf's words.
   */
  static load(options: LoadOptions): SteerProgram {
    const { queues } = options;
    if (!Number.isInteger(queues) || queues < 1 || queues > MAX_QUEUES) {
      throw new RangeError(`queues is a whole number from 1 to ${MAX_QUEUES}, not ${queues}`);
    }
    using undo = new DisposableStack();
    const object = new BpfObject(options.objectPath ?? objectPath(PROGRAM));
    undo.defer(() => object.close());
    checkLayouts(object.pointer, object.path);
    bpf_map__set_max_entries(object.map("xsks"), queues);
    object.load();
    const table = new ClaimTable(object.mapFd(".bss"), object.mapFd("tables"));
    undo.defer(() => table.close());
    const program = new SteerProgram(object, queues, table);
    undo.move();
    return program;
  }

  /** The program's descriptor, for BPF_PROG_TEST_RUN and the like. */
  get fd(): number {
    this.#assertOpen("use");
    return this.#fd;
  }

  /** The map of counters, for an injector that shares it (see bpf/pass.bpf.c). */
  get countsFd(): number {
    this.#assertOpen("use");
    return this.#counts;
  }

  /** The claims in force. */
  get claims(): Claims {
    return this.#claims;
  }

  /** True between `attach` and `detach`. */
  get attached(): boolean {
    return this.#hook !== undefined;
  }

  /**
   * Puts the program on an interface of the caller's network namespace.
   *
   * By default a bpf_link holds it, which the kernel drops with the process, also after kill -9. `shared` puts it into
   * libxdp's dispatcher beside other programs instead; such a program outlives a process that is killed until the next shared attach takes it off.
   * Throws SystemError: EBUSY where another program is there, EOPNOTSUPP for a mode that the driver does not have or a
   * dispatcher that the kernel refuses, EPERM, ENODEV, ENOSPC, ERANGE.
   */
  attach(target: AttachTarget & { readonly shared?: boolean }): AttachResult {
    this.#assertOpen("attach");
    if (this.#hook !== undefined)
      throw new Error("this program is attached; detach it first, or load another");
    // Before the attempt: a frame may be in the program even where the rest of the attempt fails.
    this.#running = true;
    const hook = target.shared === true ? this.#attachShared(target) : attachLink(this.#fd, target);
    this.#hook = hook;
    return { mode: hook.mode, refused: hook.refused };
  }

  /** Takes the program off the interface; for a shared one, in the interface's namespace. Idempotent. */
  detach(): void {
    const hook = this.#hook;
    this.#hook = undefined;
    try {
      hook?.detach();
    } finally {
      this.#shared?.close();
      this.#shared = undefined;
    }
  }

  /**
   * Puts `other` in this program's place between two frames: no frame is judged by neither or by both. `other` then owns the
   * attachment. Set its claims and sockets first. Throws SystemError (EOPNOTSUPP) for a shared program.
   */
  replace(other: SteerProgram): void {
    this.#assertOpen("replace");
    other.#assertOpen("replace with");
    if (this.#hook === undefined)
      throw new Error("this program is not attached, so nothing can take its place");
    if (other.#hook !== undefined) throw new Error("the program that takes over is attached already");
    this.#hook.update(other.#fd);
    other.#hook = this.#hook;
    other.#running = true;
    this.#hook = undefined;
  }

  /**
   * Replaces the claims. Every frame is judged by the whole old list or the whole new one, and by the new one if it arrives once
   * this has returned. That takes some 25 ms where the lists differ in kind, since frames in flight are waited for, and
   * microseconds where one has only more ports than the other. Throws TypeError and RangeError for claims that make no sense, before anything changes, and SystemError where
   * the kernel has no memory for them; then the old ones stay in force.
   */
  setClaims(claims: Claims): void {
    this.#assertOpen("set the claims of");
    const compiled = compileClaims(checkClaims(claims));
    // The first claims of a program that nobody has run yet need not wait for frames in flight.
    this.#table.publish(compiled, this.#running);
    this.#running = true;
    this.#claims = structuredClone(claims);
  }

  /** Sends claimed frames of `queue` to the AF_XDP socket `socketFd`, which is bound to that queue. */
  setSocket(queue: number, socketFd: number): void {
    this.#assertOpen("set a socket of");
    const value = new Int32Array(new ArrayBuffer(U32));
    value[0] = socketFd;
    const status = bpf_map_update_elem(this.#xsks, this.#queueKey(queue), value, word(BPF_ANY));
    if (status === 0) return;
    throw new SystemError({
      operation: `steer queue ${queue} to socket ${socketFd}`,
      operands: { queue, socketFd },
      errno: -status,
      remedy: "it takes the descriptor of an open AF_XDP socket",
    });
  }

  /** Leaves claimed frames of `queue` to the kernel (counted as `noSocket`). Nothing happens where no socket was set. */
  clearSocket(queue: number): void {
    this.#assertOpen("clear a socket of");
    bpf_map_delete_elem(this.#xsks, this.#queueKey(queue));
  }

  /** Counters since the program was loaded. */
  statistics(): SteerStatistics {
    this.#assertOpen("read statistics of");
    const { bytes, view } = struct(this.#cpus * COUNTERS.bytes);
    const key = new Uint32Array(new ArrayBuffer(U32));
    const status = bpf_map_lookup_elem(this.#counts, key, bytes);
    if (status < 0) {
      throw new SystemError({
        operation: "read the program's counters",
        errno: -status,
        remedy: "the map is gone: the program was closed behind this object's back",
      });
    }
    const sum = (offset: number): number => {
      let total = 0;
      for (let cpu = 0; cpu < this.#cpus; cpu++) {
        const at = cpu * COUNTERS.bytes + offset;
        total += view.getUint32(at, true) + view.getUint32(at + U32, true) * TWO_32;
      }
      return total;
    };
    return {
      redirected: sum(COUNTERS.redirected),
      passed: sum(COUNTERS.passed),
      malformed: sum(COUNTERS.malformed),
      noSocket: sum(COUNTERS.no_socket),
      earlyFragments: sum(COUNTERS.early_fragments),
    };
  }

  /** Runs the program over one packet without sending it anywhere; it counts like any frame. */
  testRun(packet: Uint8Array, options: Parameters<typeof testRun>[2] = {}): TestResult {
    this.#assertOpen("run");
    return testRun(this.#fd, packet, options);
  }

  /** Detaches and gives everything back. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.detach();
    } finally {
      this.#table.close();
      this.#object.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** libxdp loads programs itself, for its dispatcher; a second copy over the same maps is given to it. */
  #attachShared(target: AttachTarget): Hook {
    const copy = new BpfObject(this.#object.path);
    try {
      for (const name of SHARED_MAPS) copy.reuseMap(name, this.#object.mapFd(name));
      const hook = attachShared(copy, SECTION, target);
      this.#shared = copy;
      return hook;
    } catch (error) {
      copy.close();
      throw error;
    }
  }

  #queueKey(queue: number): Uint32Array {
    if (!Number.isInteger(queue) || queue < 0 || queue >= this.queues) {
      throw new RangeError(`queue is a whole number from 0 to ${this.queues - 1}, not ${queue}`);
    }
    const key = new Uint32Array(new ArrayBuffer(U32));
    key[0] = queue;
    return key;
  }

  #assertOpen(use: string): void {
    if (this.#closed) throw new Error(`cannot ${use} this program: it is closed`);
  }
}
