/** What a suite stands on: the labs of a bed, one at a time, and devices opened in them. */
import { attach, type AttachOptions, type XdpDevice } from "../../index.ts";
import { getLink } from "../../ffi/net/link.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import type { Bed } from "./bed.ts";
import { type Lab, type LabOptions, untilSync } from "./lab.ts";
import { settleAccounts } from "./stream.ts";

/** An igb agrees with its peer on a speed in 2 to 3 s; an emulated processor takes several times that. */
const LINK_LIMIT_MS = 20_000;
/** Far above what a card needs for a few hundred frames, and a kernel to ask for an address again, also on an emulated processor. */
const EVENTUALLY_LIMIT_MS = 10_000;
const EVENTUALLY_STEP_MS = 2;

/** Waits until both ends of every pair of a lab carry frames, where attaching and detaching interrupts them. */
export const awaitLink = (bed: Bed, lab: Lab): void => {
  if (!bed.facts.programRestartsLink) return;
  for (const end of lab.pairs.flatMap((pair) => [pair.a, pair.b])) {
    untilSync(
      `${end.name} to carry frames`,
      () => {
        const link = inNamespace(end.namespace, () => getLink(end.name));
        return link.carrier && link.operstate === "up";
      },
      LINK_LIMIT_MS,
    );
  }
};

/** The value of `look` once `done` holds for it, or the last one when it never does: for an `expect` to judge. */
export const eventually = <T>(look: () => T, done: (value: T) => boolean): T => {
  const end = performance.now() + EVENTUALLY_LIMIT_MS;
  for (;;) {
    const value = look();
    if (done(value) || performance.now() > end) return value;
    Bun.sleepSync(EVENTUALLY_STEP_MS);
  }
};

/** A bed with one lab on it. Cards are few: a lab of another shape takes the place of the one before. */
export class Ground {
  readonly bed: Bed;
  #lab: Lab | undefined;
  #shape = "";

  constructor(bed: Bed) {
    this.bed = bed;
  }

  /** The lab of this shape: the one that stands, or a new one in its place. */
  lab(options: LabOptions = { quiet: true }): Lab {
    const shape = JSON.stringify(options);
    return this.#lab?.open === true && shape === this.#shape ? this.#lab : this.freshLab(options);
  }

  /** A lab that no test has used: nobody in it still asks for an address. The ground closes it. */
  freshLab(options: LabOptions = { quiet: true }): Lab {
    this.close();
    this.#lab = this.bed.lab(options);
    this.#shape = JSON.stringify(options);
    return this.#lab;
  }

  /** Attaches one end of a pair in the bed's mode, and waits until the link is there again. */
  open(side: "a" | "b", options: AttachOptions = {}, lab: Lab = this.lab(), pair = 0): XdpDevice {
    const end = lab.pairs[pair]![side];
    const device = attach(end.name, { namespace: end.namespace, ...this.bed.attach, ...options });
    try {
      awaitLink(this.bed, lab);
    } catch (error) {
      device.close();
      throw error;
    }
    return device;
  }

  /** Attaches both ends, works with them, and accounts for every chunk. */
  between(
    work: (a: XdpDevice, b: XdpDevice) => void,
    options: AttachOptions = {},
    lab: Lab = this.lab(),
  ): void {
    using a = this.open("a", options, lab);
    using b = this.open("b", options, lab);
    work(a, b);
    settleAccounts(a, b);
  }

  /** Removes the lab. Idempotent; the next one asked for is a new one. */
  close(): void {
    this.#lab?.close();
    this.#lab = undefined;
  }
}
