/**
 * The books of one interface of a world of paths: what was seen on its wire is what its host counts, and every chunk that is
 * kept is a packet that waits for a neighbour.
 */
import type { MemoryUmem } from "../../../stack/device/pool.ts";
import type { Interface } from "../../../stack/ip/interface.ts";
import type { Family } from "../../../stack/wire/address.ts";
import { FAMILIES } from "./plan.ts";

export class Books {
  /** Packets that its host gave up while they waited for a neighbour, over all the times that it was here. */
  unresolved = 0;
  readonly #umem: MemoryUmem;
  /** Packets may be held back between the host and the wire, in chunks that are kept. */
  readonly #holds: boolean;
  #on: Interface | undefined;
  #sent = 0;
  #received = 0;

  constructor(umem: MemoryUmem, holds: boolean) {
    this.#umem = umem;
    this.#holds = holds;
  }

  /** The interface that joined; undefined once it has left. */
  get on(): Interface | undefined {
    return this.#on;
  }

  /** `join` has the interface join, which says its first words then. */
  open(join: () => Interface): void {
    this.#sent = 0;
    this.#received = 0;
    this.#on = join();
  }

  /** It has left. */
  close(): void {
    this.unresolved += this.#on?.link.counters.unresolved ?? 0;
    this.#on = undefined;
  }

  sent(): void {
    this.#sent += 1;
  }

  received(): void {
    this.#received += 1;
  }

  /** What is wrong; undefined where all adds up. Between turns, or in a timer. */
  get wrong(): string | undefined {
    const on = this.#on;
    if (on === undefined) return undefined;
    const { sent, received, forwarded } = on.link.counters;
    if (sent + forwarded !== this.#sent) return `${sent} frames counted where ${this.#sent} were sent`;
    if (received !== this.#received) return `${received} frames counted where ${this.#received} came`;
    const { kept } = this.#umem.accounts();
    const parked = FAMILIES.reduce((sum, family) => sum + parkedOn(on, family), 0);
    // Fewer, where one that waits has come to the end of its time.
    if (kept > parked && !this.#holds) return `${kept} chunks kept where ${parked} packets wait`;
    return undefined;
  }
}

const parkedOn = (on: Interface, family: Family): number => {
  let parked = 0;
  for (const neighbour of on.neighboursOf(family).values()) parked += neighbour.parked.length;
  return parked;
};
