/**
 * An Ethernet switch made of memory links that learns nothing: what comes in at one port goes out of all others.
 *
 * It lives in a loop like a host. A frame that does not fit a port's pool or ring is lost there, as in a real one.
 */
import type { Frame } from "../../stack/device/frame.ts";
import { createLink, type LinkOptions, type MemoryDevice } from "../../stack/device/memory.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { Loop } from "../../stack/loop/loop.ts";

/** What a switch is told of the station at a port. */
export interface PortOptions extends Omit<LinkOptions, "names" | "macs" | "umems" | "shared"> {
  readonly name: string;
  readonly mac: Uint8Array;
  /** The memory that the station's end lives in. */
  readonly umem: MemoryUmem;
  /** Asked of each frame that is for the station: whether it gets there. Default: always. */
  readonly hears?: () => boolean;
}

interface Port {
  readonly device: MemoryDevice;
  readonly transmitter: Transmitter;
  readonly hears: () => boolean;
}

/** Chunks of a port's inner end beside those of its fill ring: frames rest there for one turn only. */
const PORT_CHUNKS = 256;
const FILL_RING = 64;
/** Nobody sends to a port, so its address is never seen. */
const NOBODY = new Uint8Array(6);

export class FloodingSwitch {
  /** Copies that found no room at a port. */
  lost = 0;
  readonly #loop: Loop;
  #ports: readonly Port[] = [];

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /** A cable to a new port: the end for the station. Closing that frees the port. */
  plug(options: PortOptions): MemoryDevice {
    const { name, mac, umem, hears = () => true, ...link } = options;
    const [outer, inner] = createLink({
      ...link,
      names: [name, `${name}-port`],
      macs: [mac, NOBODY],
      umems: [umem, new MemoryUmem({ chunkCount: PORT_CHUNKS + (link.fillRing ?? FILL_RING) })],
      fillRing: link.fillRing ?? FILL_RING,
    });
    const port = { device: inner, transmitter: new Transmitter(inner.queues[0]!), hears };
    this.#ports = [...this.#ports.filter((other) => other.device.peer?.open === true), port];
    this.#loop.receive(inner, (frame) => this.#flood(inner, frame));
    return outer;
  }

  close(): void {
    for (const { device } of this.#ports) device.close();
  }

  #flood(from: MemoryDevice, frame: Frame): void {
    const packet = frame.copy();
    for (const { device, transmitter, hears } of this.#ports) {
      if (device === from || !device.connected || !hears()) continue;
      if (!transmitter.sendBytes(packet)) this.lost += 1;
    }
  }
}
