/**
 * Runs a loaded program over one packet with BPF_PROG_TEST_RUN: for tests of its verdicts and figures of its cost.
 */
import { SystemError } from "../sys/errno.ts";
import { bpf_prog_test_run_opts } from "../sys/libbpf.ts";
import { addressOf, struct, type Struct } from "../sys/memory.ts";

const U32 = 4;
const WORD = 8;

/** struct bpf_test_run_opts of bpf/bpf.h (libbpf 1.1); `sz` tells later versions which one this is. */
const OPTS_DATA_IN = WORD;
const OPTS_DATA_OUT = OPTS_DATA_IN + WORD;
const OPTS_DATA_SIZE_IN = OPTS_DATA_OUT + WORD;
const OPTS_DATA_SIZE_OUT = OPTS_DATA_SIZE_IN + U32;
const OPTS_CTX_IN = OPTS_DATA_SIZE_OUT + U32;
const OPTS_CTX_OUT = OPTS_CTX_IN + WORD;
const OPTS_CTX_SIZE_IN = OPTS_CTX_OUT + WORD;
const OPTS_CTX_SIZE_OUT = OPTS_CTX_SIZE_IN + U32;
const OPTS_RETVAL = OPTS_CTX_SIZE_OUT + U32;
const OPTS_REPEAT = OPTS_RETVAL + U32;
const OPTS_DURATION = OPTS_REPEAT + U32;
const OPTS_FLAGS = OPTS_DURATION + U32;
const OPTS_CPU = OPTS_FLAGS + U32;
const OPTS_BATCH_SIZE = OPTS_CPU + U32;
const OPTS_BYTES = OPTS_BATCH_SIZE + U32;

/** struct xdp_md of linux/bpf.h. */
const MD_DATA_END = U32;
const MD_DATA_META = MD_DATA_END + U32;
const MD_INGRESS_IFINDEX = MD_DATA_META + U32;
const MD_RX_QUEUE_INDEX = MD_INGRESS_IFINDEX + U32;
const MD_EGRESS_IFINDEX = MD_RX_QUEUE_INDEX + U32;
const MD_BYTES = MD_EGRESS_IFINDEX + U32;

/** The kernel runs the program over an Ethernet frame; it refuses less than its header. */
export const MIN_TEST_PACKET_BYTES = 14;

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** A context and options that can be used again and again. */
export interface TestRun {
  readonly opts: Struct;
  readonly context: Struct;
}

export interface TestTarget {
  /** In the caller's network namespace; 0 for none, and then queue 0. */
  readonly ifindex: number;
  readonly queue: number;
  readonly repeat: number;
  readonly flags: number;
  /** Packets that a live run keeps in flight; 0 for the kernel's choice. */
  readonly batchSize: number;
}

export const createTestRun = (): TestRun => ({ opts: struct(OPTS_BYTES), context: struct(MD_BYTES) });

/** Fills in one run; `out` is null where the packet is not wanted back (a live run gives none). */
export const aimTestRun = (
  run: TestRun,
  packet: { readonly address: number; readonly length: number },
  out: Uint8Array | null,
  target: TestTarget,
): void => {
  const { view } = run.opts;
  run.opts.bytes.fill(0);
  run.context.bytes.fill(0);
  view.setBigUint64(0, BigInt(OPTS_BYTES), LITTLE_ENDIAN);
  view.setBigUint64(OPTS_DATA_IN, BigInt(packet.address), LITTLE_ENDIAN);
  view.setUint32(OPTS_DATA_SIZE_IN, packet.length, LITTLE_ENDIAN);
  if (out !== null) {
    view.setBigUint64(OPTS_DATA_OUT, BigInt(addressOf(out)), LITTLE_ENDIAN);
    view.setUint32(OPTS_DATA_SIZE_OUT, out.length, LITTLE_ENDIAN);
  }
  view.setInt32(OPTS_REPEAT, target.repeat, LITTLE_ENDIAN);
  view.setUint32(OPTS_FLAGS, target.flags, LITTLE_ENDIAN);
  view.setUint32(OPTS_BATCH_SIZE, target.batchSize, LITTLE_ENDIAN);
  if (target.ifindex === 0) return;
  view.setBigUint64(OPTS_CTX_IN, BigInt(addressOf(run.context.bytes)), LITTLE_ENDIAN);
  view.setUint32(OPTS_CTX_SIZE_IN, MD_BYTES, LITTLE_ENDIAN);
  // Offsets within the packet, from a data_meta of 0: the kernel makes pointers of them.
  run.context.view.setUint32(MD_DATA_END, packet.length, LITTLE_ENDIAN);
  run.context.view.setUint32(MD_INGRESS_IFINDEX, target.ifindex, LITTLE_ENDIAN);
  run.context.view.setUint32(MD_RX_QUEUE_INDEX, target.queue, LITTLE_ENDIAN);
};

/** 0, or a negated errno. */
export const fireTestRun = (programFd: number, run: TestRun): number =>
  bpf_prog_test_run_opts(programFd, run.opts.bytes);

export interface TestResult {
  /** What the program returned: 1 XDP_DROP, 2 XDP_PASS, 4 XDP_REDIRECT. */
  readonly verdict: number;
  /** Nanoseconds a run, averaged over `repeat`. */
  readonly durationNs: number;
  /** The packet as the program left it. */
  readonly out: Uint8Array;
}

/** Room for what a program may put in front of a packet or behind it. */
const OUT_SLACK_BYTES = 512;

/** Runs `programFd` over `packet`. Throws SystemError where the kernel refuses; nothing is sent anywhere. */
export const testRun = (
  programFd: number,
  packet: Uint8Array,
  options: { readonly repeat?: number; readonly queue?: number; readonly ifindex?: number } = {},
): TestResult => {
  const data = new Uint8Array(new ArrayBuffer(Math.max(1, packet.length)));
  data.set(packet);
  const out = new Uint8Array(new ArrayBuffer(packet.length + OUT_SLACK_BYTES));
  const run = createTestRun();
  const { repeat = 1, queue = 0, ifindex = 0 } = options;
  aimTestRun(run, { address: addressOf(data), length: packet.length }, out, {
    ifindex,
    queue,
    repeat,
    flags: 0,
    batchSize: 0,
  });
  const status = fireTestRun(programFd, run);
  if (status < 0) {
    throw new SystemError({
      operation: `run program over a packet of ${packet.length} bytes`,
      operands: { length: packet.length, repeat, queue, ifindex },
      errno: -status,
      remedy: `a packet has at least ${MIN_TEST_PACKET_BYTES} bytes, an interface is in this namespace and has the queue`,
    });
  }
  const { view } = run.opts;
  return {
    verdict: view.getUint32(OPTS_RETVAL, LITTLE_ENDIAN),
    durationNs: view.getUint32(OPTS_DURATION, LITTLE_ENDIAN),
    out: out.slice(0, view.getUint32(OPTS_DATA_SIZE_OUT, LITTLE_ENDIAN)),
  };
};
