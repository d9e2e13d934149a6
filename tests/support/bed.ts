/**
 * Beds: where a suite of device tests runs. A bed makes labs of one kind of interface, says how to attach to it, and states
 * what that kind does differently, so that a suite asserts what holds everywhere and, where drivers differ, what holds here.
 */
import { test } from "bun:test";
import { CABLES_VARIABLE, parseCables } from "../../examples/lab-cables.ts";
import type { AttachOptions } from "../../index.ts";
import { isAtLeast, kernelVersion } from "../../ffi/sys/machine.ts";
import { Lab, type LabOptions } from "./lab.ts";
import { skipUnless, skipWithoutLab } from "./skip.ts";

export { CABLES_VARIABLE, parseCables };

/** What a suite must know of the interfaces of a bed and could not find out without being wrong about itself. */
export interface BedFacts {
  /** True where a frame has reached the receiver's rings when the call that sent it returns; else it is on its way. */
  readonly immediate: boolean;
  /** Frames on the way at the most, so that none is dropped between two sockets that keep up. */
  readonly inFlight: number;
  /** True where each frame that finds no room is counted by the receiving socket; a card may lose it in its own ring. */
  readonly countsEveryLoss: boolean;
  /**
   * What raises rx_fill_ring_empty_descs by one: a frame that found no buffer (copy mode), or a driver that looked for
   * buffers to hand to its card and found none (zero-copy: xp_alloc in net/xdp/xsk_buff_pool.c).
   */
  readonly fillEmptyCounts: "frames" | "looks";
  /** The receive queue of what was sent on a transmit queue, or undefined where the card decides by itself (hash, steering). */
  readonly rxQueueOf: ((txQueue: number) => number) | undefined;
  /** True where packets of several chunks work in this mode. In zero-copy a driver must say so (xdp_zc_max_segs above 1). */
  readonly multiBuffer: boolean;
  /** What becomes of a socket whose chunks are smaller than the MTU, without multi-buffer: it loses large frames, or no bind. */
  readonly smallChunks: "counts large frames as dropped" | "is refused";
  /** Entries of the smallest fill ring that works: an igb whose own ring starves delivers frames twice (ffi/known-bad.ts). */
  readonly leastFill: number;
  /** True where the driver wakes a socket (sendto) only while an XDP program is there, and says EINVAL otherwise. */
  readonly sendsOnlyWithProgram: boolean;
  /** True where attaching and detaching a program restarts the interface, so that its link is down for a while. */
  readonly programRestartsLink: boolean;
}

export interface Bed {
  readonly name: string;
  /** The mode that every device of the bed is attached in, forced, so that nothing silently runs in another one. */
  readonly attach: { readonly xdp: "generic" | "native"; readonly bind: "zero-copy" | "copy" };
  /** Pairs that a lab here can have. */
  readonly pairs: number;
  /** True where labs can stand side by side; cards are in one at a time. */
  readonly severalLabs: boolean;
  /** What to make a umem with that several devices share: chunks that a full frame fits in whole. */
  readonly umem: { readonly chunkBytes: number };
  /** Options that the driver refuses with EOPNOTSUPP. */
  readonly refused: AttachOptions;
  readonly facts: BedFacts;
  /** Why nothing can be tested on this bed here, or undefined where it can. */
  unavailable(): string | undefined;
  /** Queues that each interface can have. */
  mostQueues(): number;
  lab(options: LabOptions): Lab;
}

/** MAX_PAIRS of the lab. */
const VETH_PAIRS = 8;
/** Any number would do; four is what the cards have. */
const VETH_QUEUES = 4;

/** Since Linux 6.6; on older kernels the suites show that it is refused and everything else works. */
const kernelHasMultiBuffer = (): boolean => {
  const kernel = kernelVersion();
  return kernel !== undefined && isAtLeast(kernel, 6, 6);
};

const veth = (xdp: "generic" | "native"): Bed => ({
  name: `veth ${xdp}`,
  attach: { xdp, bind: "copy" },
  umem: { chunkBytes: 2048 },
  pairs: VETH_PAIRS,
  severalLabs: true,
  refused: { bind: "zero-copy" },
  facts: {
    immediate: true,
    // The largest rings of the suites: a frame lies in the receiver's before the sender's call returns, and nowhere else.
    inFlight: 4096,
    countsEveryLoss: true,
    fillEmptyCounts: "frames",
    // A generic program sees the transmit queue of veth as a recorded receive queue, which counts from one.
    rxQueueOf: (txQueue) => (xdp === "native" ? txQueue : Math.max(0, txQueue - 1)),
    multiBuffer: kernelHasMultiBuffer(),
    smallChunks: "counts large frames as dropped",
    leastFill: 1,
    sendsOnlyWithProgram: false,
    programRestartsLink: false,
  },
  unavailable: () => Lab.unavailable(),
  mostQueues: () => VETH_QUEUES,
  lab: (options) => Lab.create(options),
});

/** A veth pair, through the kernel's generic hook and through the driver's own. */
export const VETH_BEDS: readonly Bed[] = [veth("generic"), veth("native")];

/** The name of an interface's driver, or undefined where there is no such interface. */
const driverOf = (name: string): string | undefined => {
  const shown = Bun.spawnSync(["ethtool", "-i", name], { stdout: "pipe", stderr: "ignore" });
  return /^driver: (\S+)$/m.exec(shown.stdout.toString())?.[1];
};

/** The largest number of combined queues, as `ethtool -l` has it. */
const combinedQueues = (name: string): number => {
  const shown = Bun.spawnSync(["ethtool", "-l", name], { stdout: "pipe", stderr: "ignore" });
  return Number(/^Combined:\s+(\d+)$/m.exec(shown.stdout.toString())?.[1] ?? 1);
};

/** Two cards of one driver on each of the machine's cables, zero-copy forced. */
const cards = (name: string, driver: string, chunkBytes: number, facts: BedFacts): Bed => {
  const all = parseCables(process.env[CABLES_VARIABLE] ?? "");
  // Asked once and early: later the cards may be part of a lab, and not here.
  const cables = all.filter((cable) => driverOf(cable.a) === driver && driverOf(cable.b) === driver);
  const queues = Math.min(...cables.flatMap(({ a, b }) => [combinedQueues(a), combinedQueues(b)]));
  return {
    name,
    attach: { xdp: "native", bind: "zero-copy" },
    umem: { chunkBytes },
    pairs: cables.length,
    severalLabs: false,
    refused: { multiBuffer: true },
    facts,
    unavailable: () =>
      Lab.unavailable() ??
      (cables.length > 0 ? undefined : `${CABLES_VARIABLE} names no cable between two cards of ${driver}`),
    mostQueues: () => queues,
    lab: (options) => Lab.create({ ...options, devices: cables }),
  };
};

/** Common to cards: a wire between them, and rings of their own in front of the socket's. */
const CARD_FACTS: BedFacts = {
  immediate: false,
  // The rings of both emulated cards have 256 entries unless they are told otherwise.
  inFlight: 128,
  countsEveryLoss: false,
  fillEmptyCounts: "looks",
  rxQueueOf: undefined,
  multiBuffer: false,
  smallChunks: "is refused",
  leastFill: 1,
  sendsOnlyWithProgram: false,
  programRestartsLink: false,
};

/** The emulated cards of a virtual machine: virtio_net, and igb (an Intel 82576). */
export const cardBeds = (): readonly Bed[] => [
  cards("virtio-net zero-copy", "virtio_net", 2048, CARD_FACTS),
  // igb_xsk_wakeup refuses to send without a program; igb_xdp_setup closes and opens the interface where one comes or goes,
  // and the link is agreed upon anew.
  cards("igb zero-copy", "igb", 4096, {
    ...CARD_FACTS,
    leastFill: 512,
    sendsOnlyWithProgram: true,
    programRestartsLink: true,
  }),
];

/** True (skip) where the bed cannot be had here. */
export const skipBed = (bed: Bed): boolean => skipWithoutLab(bed.unavailable());

/** True (skip) where the bed has fewer cables than a test needs. */
export const skipPairs = (bed: Bed, needed: number): boolean =>
  bed.unavailable() === undefined &&
  skipUnless(bed.pairs >= needed, `${bed.name}: ${needed} cables needed, ${bed.pairs} there`, {
    couldRun: false,
  });

/** True (skip) where the bed's driver has no packets of several chunks. */
export const skipMultiBuffer = (bed: Bed): boolean =>
  bed.unavailable() === undefined &&
  skipUnless(bed.facts.multiBuffer, `${bed.name}: the driver has no multi-buffer in this mode`, {
    couldRun: false,
  });

/** `test` where what is tested exists on a bed; elsewhere nothing is declared, because nothing was left out. */
export const where = (exists: boolean): ((name: string, body: () => void | Promise<void>) => void) =>
  exists ? test : () => {};
