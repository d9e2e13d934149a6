/**
 * A device's place in a loop: who receives from it, who hears of its link, and when it may leave.
 */
import type { Device, LinkEvent } from "../device/device.ts";
import type { TurnReceiver } from "./receiver.ts";

export type LinkHandler = (event: LinkEvent) => void;

/** Link events that one device delivers in one turn at most; a flapping link must not hold up the others. */
export const LINK_EVENTS_PER_TURN = 16;

export class Member {
  readonly device: Device;
  receiver: TurnReceiver | undefined;
  linkHandlers: readonly LinkHandler[] = [];
  /** Who wants to hear that it left. They don't keep it in the loop. */
  leftHandlers: readonly (() => void)[] = [];
  /** Times that `add` was called without `remove`. */
  holds = 0;
  /** False once it has left the loop, even while a turn still walks over it. */
  joined = true;

  constructor(device: Device) {
    this.device = device;
  }

  /** True while anybody wants it in the loop. */
  get wanted(): boolean {
    return this.receiver !== undefined || this.linkHandlers.length > 0 || this.holds > 0;
  }

  /** Submits what was sent outside a burst. Cheap where there is nothing. */
  flush(): void {
    for (const queue of this.device.queues) queue.flush();
  }

  leave(): void {
    this.joined = false;
    this.receiver?.close();
    this.receiver = undefined;
    this.linkHandlers = [];
    this.leftHandlers = [];
    this.holds = 0;
  }
}
