/** What the tests of the life cycle share: small devices, quickly made, on a bed in each of its modes. */
import { type AttachOptions, type XdpDevice } from "../../index.ts";
import type { Lease } from "../../stack/device/frame.ts";
import type { Bed } from "./bed.ts";
import { awaitLink, Ground } from "./ground.ts";
import type { Lab } from "./lab.ts";
import { stream } from "./stream.ts";

export const SMALL = 60;
const WIDE_QUEUES = 4;

/** Small, so that a thousand of them are made quickly; in the best mode that the bed's way of binding has. */
export const little = (bed: Bed): AttachOptions => ({
  rings: { rx: 64, tx: 64, fill: 64, completion: 64 },
  chunks: 256,
  xdp: "auto",
  bind: bed.attach.bind,
});

/** The lives of devices on beds that differ in nothing but their mode. */
export class Lives {
  readonly modes: readonly Bed[];
  readonly bed: Bed;
  readonly ground: Ground;
  /** Queues of an interface of `wide()`. */
  readonly wideQueues: number;
  readonly #wide: Ground;

  constructor(modes: readonly Bed[]) {
    this.modes = modes;
    this.bed = modes[0]!;
    this.ground = new Ground(this.bed);
    this.#wide = this.bed.severalLabs ? new Ground(this.bed) : this.ground;
    this.wideQueues = this.bed.severalLabs ? WIDE_QUEUES : 1;
  }

  readonly lab = (): Lab => this.ground.lab();

  /** A lab of several queues beside the first one, where a bed has room for two. */
  readonly wide = (): Lab =>
    this.bed.severalLabs ? this.#wide.lab({ quiet: true, queues: WIDE_QUEUES }) : this.lab();

  /** Attaches with these options and nothing else that makes it small. */
  on(lab: Lab, side: "a" | "b", options: AttachOptions, pair = 0): XdpDevice {
    return this.ground.open(side, { xdp: "auto", ...options }, lab, pair);
  }

  /** Attaches a small device. */
  readonly open = (side: "a" | "b", options: AttachOptions = {}, lab: Lab = this.lab()): XdpDevice =>
    this.on(lab, side, { ...little(this.bed), ...options });

  /** True where the kernel at the other end answers again. */
  alive(): boolean {
    const lab = this.lab();
    awaitLink(this.bed, lab);
    return lab.exec("a", ["ping", "-c1", "-W1", lab.b.ipv4], { check: false }).code === 0;
  }

  /** Receives `count` packets of the stream's kind on `b` and keeps them all. */
  keepSome(a: XdpDevice, b: XdpDevice, count: number): Lease[] {
    const leases: Lease[] = [];
    stream(a, b, { count, length: () => SMALL, window: 16, then: (frame) => void leases.push(frame.keep()) });
    return leases;
  }

  close(): void {
    this.#wide.close();
    this.ground.close();
  }
}
