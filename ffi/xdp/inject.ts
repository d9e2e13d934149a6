/**
 * Hands packets to the kernel's own receive path of an interface, as if they had come in there and nothing had claimed them.
 *
 * It is BPF_PROG_TEST_RUN with live frames (Documentation/bpf/bpf_prog_run.rst): the kernel copies the packet, runs a program
 * that says XDP_PASS, and does what the verdict says. Linux 5.18 and later.
 */
import { BpfObject, objectPath } from "./object.ts";
import { aimTestRun, createTestRun, fireTestRun, MIN_TEST_PACKET_BYTES, type TestTarget } from "./testrun.ts";

/** linux/bpf.h. */
const BPF_F_TEST_XDP_LIVE_FRAMES = 1 << 1;

/** What fits one page beside the headroom and the kernel's own bookkeeping; the kernel refuses more with EINVAL. */
export const MAX_INJECT_BYTES = 3 * 1024;

const PROGRAM = "pass";

/** A program that passes, and the means to run it. One serves all interfaces. */
export class Injector {
  readonly #object: BpfObject;
  readonly #fd: number;
  readonly #run = createTestRun();
  #lastErrno = 0;
  #closed = false;

  private constructor(object: BpfObject) {
    this.#object = object;
    this.#fd = object.programFd(PROGRAM);
  }

  /**
   * `countsFd` is the map of counters of a program in generic mode, whose hook an injected frame meets again: without it that
   * program would claim the frame anew. Throws SystemError where the object is not compiled or the kernel refuses it.
   */
  static open(countsFd?: number, path: string = objectPath(PROGRAM)): Injector {
    const object = new BpfObject(path);
    try {
      if (countsFd !== undefined) object.reuseMap("counts", countsFd);
      object.load();
      return new Injector(object);
    } catch (error) {
      object.close();
      throw error;
    }
  }

  /** errno of the last `inject` that gave false, 0 before. */
  get lastErrno(): number {
    return this.#lastErrno;
  }

  /**
   * Gives the kernel a copy of the `length` bytes at `address`, a whole Ethernet frame, as received on queue 0 of
   * `ifindex` in the caller's network namespace. False where the kernel does not take it. Checksums must be complete: the
   * kernel checks them like a stranger's.
   */
  inject(ifindex: number, queue: number, address: number, length: number): boolean {
    if (this.#closed) throw new Error("cannot inject: the injector is closed");
    if (length < MIN_TEST_PACKET_BYTES || length > MAX_INJECT_BYTES) return false;
    const target: TestTarget = {
      ifindex,
      queue,
      repeat: 1,
      flags: BPF_F_TEST_XDP_LIVE_FRAMES,
      batchSize: 1,
    };
    aimTestRun(this.#run, { address, length }, null, target);
    const status = fireTestRun(this.#fd, this.#run);
    if (status >= 0) return true;
    this.#lastErrno = -status;
    return false;
  }

  /** Gives the program back. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#object.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
