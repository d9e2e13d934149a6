/**
 * A cable of a lab in virtual time with somebody in its middle, who loses, delays and cuts what crosses, per direction.
 */
import type { MemoryDevice } from "../../stack/device/memory.ts";
import { chance, type Random } from "../../stack/device/random.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { HostLab } from "./host-lab.ts";

/** What happens to frames of one direction from now on. */
export interface Weather {
  /** Probability of loss. */
  loss: number;
  /** Bounds of the delay in ms; frames overtake each other where they differ. */
  delayMs: readonly [least: number, most: number];
  /** Nothing passes. */
  cut: boolean;
  /** Sees each frame before anything happens to it; false loses it. */
  passes: (frame: Uint8Array) => boolean;
}

const FINE: Weather = { loss: 0, delayMs: [0, 0], cut: false, passes: () => true };
const RANGE = 2 ** 32;

export class LossyWire {
  /** The ends that hosts join. */
  readonly left: MemoryDevice;
  readonly right: MemoryDevice;
  /** From left to right, and back. */
  readonly toRight: Weather = { ...FINE };
  readonly toLeft: Weather = { ...FINE };
  /** Frames that passed, by direction. */
  passedRight = 0;
  passedLeft = 0;
  readonly #lab: HostLab;
  readonly #random: Random;
  readonly #inLeft: MemoryDevice;
  readonly #inRight: MemoryDevice;

  constructor(
    lab: HostLab,
    random: Random,
    names: readonly [left: string, right: string] = ["left", "right"],
  ) {
    this.#lab = lab;
    this.#random = random;
    const [left, inLeft] = lab.link({ names: [names[0], `${names[0]}-far`], macs: [MACS[0], MACS[2]] });
    const [right, inRight] = lab.link({ names: [names[1], `${names[1]}-far`], macs: [MACS[1], MACS[3]] });
    this.left = left;
    this.right = right;
    this.#inLeft = inLeft;
    this.#inRight = inRight;
    this.#carry(inLeft, inRight, this.toRight, () => void (this.passedRight += 1));
    this.#carry(inRight, inLeft, this.toLeft, () => void (this.passedLeft += 1));
  }

  /** Puts a frame of a stranger's on the cable, to one of its ends. */
  inject(to: "left" | "right", frame: Uint8Array): void {
    const inside = to === "left" ? this.#inLeft : this.#inRight;
    new Transmitter(inside.queues[0]!).sendBytes(frame);
    inside.queues[0]!.flush();
  }

  #carry(from: MemoryDevice, to: MemoryDevice, weather: Weather, passed: () => void): void {
    const transmitter = new Transmitter(to.queues[0]!);
    this.#lab.loop.receive(from, (frame) => {
      const bytes = frame.copy();
      if (!weather.passes(bytes) || weather.cut || chance(this.#random, weather.loss)) return;
      const [least, most] = weather.delayMs;
      this.#lab.loop.after(least + ((most - least) * this.#random.next()) / RANGE, () => {
        // A cut takes what is under way along.
        if (weather.cut) return;
        passed();
        transmitter.sendBytes(bytes);
        to.queues[0]!.flush();
      });
    });
  }
}

const MACS = [1, 2, 0x11, 0x12].map((last) => Uint8Array.of(2, 0, 0, 0, 0, last)) as unknown as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
