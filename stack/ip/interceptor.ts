/**
 * Who sees the packets of an interface before the host does. Types only.
 */
import type { Frame } from "../device/frame.ts";
import type { LinkInterface } from "../transport/packet.ts";

/** Takes packets that come to an interface for itself, and leaves the others to the host. */
export interface Interceptor {
  /**
   * A frame for the Ethernet address of `on`, which carries `type` (an ethertype) at `ipAt`. True where it took the frame: what
   * it has not sent, kept or dropped when it returns is dropped. Nothing of the packet was judged.
   */
  take(on: LinkInterface, frame: Frame, ipAt: number, type: number): boolean;
}
