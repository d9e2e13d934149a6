/**
 * What the devices themselves say of their links: the carrier, queues that complete nothing, interfaces that left.
 */
import type { LinkEvent } from "../../device/device.ts";
import type { PathReason } from "./path.ts";

interface Signs {
  gone: boolean;
  carrier: boolean;
  /** Queues that take frames and complete none. */
  readonly stalled: Set<number>;
}

export class LinkSigns {
  readonly #signs = new Map<number, Signs>();

  /** Why nothing goes over an interface; undefined where it does. */
  of(interfaceIndex: number): PathReason | undefined {
    const signs = this.#signs.get(interfaceIndex);
    if (signs === undefined) return "gone";
    if (signs.gone) return "gone";
    if (!signs.carrier) return "link";
    // One queue is enough: which of them a flow takes is not the path's to say.
    return signs.stalled.size > 0 ? "stalled" : undefined;
  }

  /** True where any interface waits for its queues to move; without a carrier they can't, and all begins anew with that. */
  get anyStalled(): boolean {
    for (const { stalled, carrier, gone } of this.#signs.values())
      if (stalled.size > 0 && carrier && !gone) return true;
    return false;
  }

  joined(interfaceIndex: number, carrier: boolean): void {
    this.#signs.set(interfaceIndex, { gone: false, carrier, stalled: new Set() });
  }

  left(interfaceIndex: number): void {
    this.#signs.delete(interfaceIndex);
  }

  /** A change of the link; the reason that it gives, undefined where it is none of paths. */
  change(interfaceIndex: number, change: LinkEvent): PathReason | undefined {
    const signs = this.#signs.get(interfaceIndex);
    if (signs === undefined) return undefined;
    switch (change.kind) {
      case "up":
        signs.carrier = true;
        // The driver begins anew with its rings.
        signs.stalled.clear();
        return "link";
      case "down":
        signs.carrier = false;
        return "link";
      case "stalled":
        signs.stalled.add(change.queue);
        return "stalled";
      case "recovered":
        signs.stalled.delete(change.queue);
        return "stalled";
      case "gone":
        signs.gone = true;
        return "gone";
      default:
        return undefined;
    }
  }
}
