/**
 * A switch in the middle of a lab that puts what comes from side a into a VLAN, and takes it out again for the way back.
 *
 * For kernels without VLAN devices: the kernel at side a then talks with a host that knows the VLAN alone.
 */
import { attach, type Frame, type Loop, type XdpDevice } from "../../index.ts";
import type { Lab } from "./lab.ts";
import { settleAccounts } from "./stream.ts";

const MAC_BYTES = 6;
const TYPE_AT = 2 * MAC_BYTES;
const CONTROL_AT = TYPE_AT + 2;
const TAG_BYTES = 4;
const TAGGED = 0x8100;
const IDENTIFIER_MASK = 0xfff;

export class TagRelay {
  readonly #plain: XdpDevice;
  readonly #tagged: XdpDevice;
  #strangers = 0;
  #refused = 0;

  constructor(lab: Lab, loop: Loop, vlan: number) {
    const { middle } = lab;
    if (middle === undefined) throw new TypeError("a relay needs a lab with a middle");
    const namespace = lab.namespace("m");
    this.#plain = attach(middle.a.name, { namespace });
    this.#tagged = attach(middle.b.name, { namespace, umem: this.#plain.umem });
    loop.receive(this.#plain, (frame) => {
      push(frame, vlan);
      this.#count(frame.forward(this.#tagged));
    });
    loop.receive(this.#tagged, (frame) => {
      if (pop(frame, vlan)) this.#count(frame.forward(this.#plain));
      else this.#strangers += 1;
    });
  }

  /** Throws where a frame had another tag or none, or one was lost. */
  check(): void {
    if (this.#strangers > 0) throw new Error(`${this.#strangers} frames were not in the VLAN`);
    if (this.#refused > 0) throw new Error(`${this.#refused} frames did not get through the switch`);
    settleAccounts(this.#plain, this.#tagged);
  }

  close(): void {
    this.#tagged.close();
    this.#plain.close();
  }

  #count(forwarded: boolean): void {
    if (!forwarded) this.#refused += 1;
  }
}

/** Both addresses go four bytes to the front; the tag comes between them and the type. */
const push = (frame: Frame, vlan: number): void => {
  if (!frame.adjustHead(-TAG_BYTES)) throw new Error("no headroom for a tag");
  const { bytes, view, at } = frame;
  bytes.copyWithin(at, at + TAG_BYTES, at + TAG_BYTES + TYPE_AT);
  view.setUint16(at + TYPE_AT, TAGGED);
  view.setUint16(at + CONTROL_AT, vlan);
};

/** False where the frame is not in that VLAN. */
const pop = (frame: Frame, vlan: number): boolean => {
  const { bytes, view, at } = frame;
  if (view.getUint16(at + TYPE_AT) !== TAGGED) return false;
  if ((view.getUint16(at + CONTROL_AT) & IDENTIFIER_MASK) !== vlan) return false;
  bytes.copyWithin(at + TAG_BYTES, at, at + TYPE_AT);
  return frame.adjustHead(TAG_BYTES);
};
