/**
 * Two devices at the ends of a cable under load in both directions, each with a umem that outlives it, for what happens to
 * cards on bad days. Every frame that arrives is checked byte by byte; losses are allowed, waiting for ever is not.
 */
import { expect } from "bun:test";
import { attach, type AttachOptions, type DeviceEvent, Loop, type WaitMode } from "../../index.ts";
import { Umem, type XdpDevice } from "../../index.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { Bed } from "./bed.ts";
import { type Lab, until } from "./lab.ts";
import { checkNumbered, numbered, numberOf } from "./stream.ts";

/** Several times what the emulated cards' own rings hold (256). */
const CHUNKS = 4096;
export const RINGS = { rx: 1024, tx: 256, fill: 1024, completion: 256 } as const;
const LENGTH_BYTES = 200;
/** Packets that each end sends in a millisecond at the most: more than the emulated cards carry. */
const PER_MS = 8;
/** An igb agrees with its peer on a speed in 3 s of the guest's time; the guest's time is slow. */
export const LINK_LIMIT_MS = 30_000;
/** After a close the kernel needs some grace periods, and a second where the interface has gone. */
const BACK_LIMIT_MS = 30_000;
/** A close takes the program off and waits for grace periods: far above what an emulated machine needs, far below a hang. */
export const CLOSE_LIMIT_MS = 15_000;
/** Frames that say: traffic flows. */
const SOME = 20;

export interface CommandResult {
  readonly code: number;
  readonly stderr: string;
}

/** Runs a command while this process's loops go on. Does not throw where it fails. */
export const command = async (words: readonly string[]): Promise<CommandResult> => {
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
  return { code, stderr: stderr.trim() };
};

/** Waits until every chunk is in the pool: no driver has one any more, nobody else ever had. */
export const expectAllBack = async (umem: Umem): Promise<void> => {
  const whole = { pool: umem.chunkCount, fill: 0, lent: 0, kept: 0, tx: 0, total: umem.chunkCount };
  await until(
    "every chunk to be back in the pool",
    () => umem.accounts().pool === umem.chunkCount,
    BACK_LIMIT_MS,
  ).catch(() => undefined);
  expect(umem.accounts()).toEqual(whole);
  expect(umem.departing).toEqual([]);
};

export interface StationOptions {
  readonly interface: string;
  readonly namespace?: string;
  readonly bed: Bed;
  readonly attach?: AttachOptions;
  readonly umem?: Umem;
}

/** One end: a device, its memory, what it has received and been told. */
export class Station {
  readonly device: XdpDevice;
  readonly umem: Umem;
  readonly events: DeviceEvent[] = [];
  received = 0;
  sent = 0;
  wrongs = 0;
  /** The first thing that was wrong with a frame. */
  wrong: unknown;
  readonly #loop: Loop;
  readonly #bed: Bed;

  constructor(loop: Loop, options: StationOptions) {
    const { bed, namespace } = options;
    this.#loop = loop;
    this.#bed = bed;
    this.umem = options.umem ?? new Umem({ chunks: CHUNKS, ...bed.umem });
    this.device = attach(options.interface, {
      ...(namespace === undefined ? {} : { namespace }),
      ...bed.attach,
      rings: RINGS,
      queues: [0],
      umem: this.umem,
      ...options.attach,
    });
    loop.link(this.device, (event) => void this.events.push(event));
  }

  /** Checks what arrives. */
  listen(): this {
    this.#loop.receive(this.device, (frame) => {
      const packet = frame.copy();
      const number = numberOf(packet);
      if (number < 0) return;
      this.received += 1;
      try {
        checkNumbered(packet, number, LENGTH_BYTES);
      } catch (error) {
        this.wrongs += 1;
        this.wrong ??= error;
      }
    });
    return this;
  }

  /** Sends as much as the rings take, until the device has gone or the loop ends. */
  load(): this {
    const sender = new Transmitter(this.device.queues[0]!);
    const timer = this.#loop.every(1, () => {
      if (!this.device.open) return timer.cancel();
      for (let n = 0; n < PER_MS && sender.sendBytes(numbered(this.sent, LENGTH_BYTES)); n++) this.sent += 1;
    });
    return this;
  }

  /** Waits until this end has received some more. */
  async traffic(what: string): Promise<void> {
    const before = this.received;
    await until(
      `traffic to "${this.device.name}" ${what}`,
      () => this.received >= before + SOME,
      LINK_LIMIT_MS,
    );
  }

  async told<K extends DeviceEvent["kind"]>(kind: K): Promise<Extract<DeviceEvent, { kind: K }>> {
    return until(
      `the event "${kind}" of "${this.device.name}"`,
      () => this.events.find((event): event is Extract<DeviceEvent, { kind: K }> => event.kind === kind),
      LINK_LIMIT_MS,
    );
  }

  /**
   * Throws where a frame was not what had been sent, or the kernel gave back what it did not have.
   *
   * An igb that has run out of chunks at the end of its ring delivers an old descriptor once more (igb_alloc_rx_buffers_zc
   * leaves the length of the next one where it is when the fill ring falls short before the wrap): the chunk is then the
   * program's and the card's at once. Seen on Linux 7.3. Nothing up here can tell; there it is counted, not judged.
   */
  expectHonest(): void {
    const { queues } = this.device.statistics();
    const starved = queues.some(({ rxFillRingEmptyDescs }) => rxFillRingEmptyDescs > 0);
    const forged = queues.reduce((sum, { rxForged }) => sum + rxForged, 0);
    expect(queues.map(({ completionForged }) => completionForged)).toEqual(queues.map(() => 0));
    if (this.#bed.name.startsWith("igb") && starved) {
      if (forged + this.wrongs > 0)
        console.log(
          `${this.device.name}: a starved igb: ${forged} frames delivered twice, ${this.wrongs} overwritten`,
        );
      return;
    }
    expect(forged).toBe(0);
    expect(this.wrong).toBeUndefined();
  }

  /** Closes the device; throws where that takes longer than a close may. */
  close(): void {
    const began = performance.now();
    this.device.close();
    expect(performance.now() - began).toBeLessThan(CLOSE_LIMIT_MS);
  }
}

export interface Day {
  readonly loop: Loop;
  readonly lab: Lab;
  readonly a: Station;
  readonly b: Station;
  /** Runs a command at one end's namespace while the traffic goes on. */
  readonly at: (side: "a" | "b", ...words: string[]) => Promise<CommandResult>;
}

/** A day's traffic on the first cable of a lab; at its end everything is closed and every chunk accounted for. */
export const live = async (
  bed: Bed,
  lab: Lab,
  act: (day: Day) => Promise<void>,
  options: { readonly attach?: AttachOptions; readonly mode?: WaitMode } = {},
): Promise<void> => {
  const errors: unknown[] = [];
  const loop = new Loop({ mode: options.mode ?? "adaptive", onError: (error) => void errors.push(error) });
  const stations: Station[] = [];
  const open = (side: "a" | "b"): Station => {
    const station = new Station(loop, {
      interface: lab[side].name,
      namespace: lab.namespace(side),
      bed,
      ...(options.attach === undefined ? {} : { attach: options.attach }),
    });
    stations.push(station);
    return station.listen().load();
  };
  try {
    const a = open("a");
    const b = open("b");
    expect([a.device.mode.bind, b.device.mode.bind]).toEqual([bed.attach.bind, bed.attach.bind]);
    void loop.run();
    await Promise.all([a.traffic("at first"), b.traffic("at first")]);
    await act({ loop, lab, a, b, at: (side, ...words) => command([...lab.enter(side), ...words]) });
    expect(errors).toEqual([]);
  } finally {
    loop.close();
    for (const station of stations) station.close();
  }
  for (const station of stations) {
    await expectAllBack(station.umem);
    station.umem.close();
    station.expectHonest();
  }
};
