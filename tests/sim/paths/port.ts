/** One interface of a host of a world of paths, as the world sees it: its wire, its books, and what leaves over it. */
import type { Device } from "../../../stack/device/device.ts";
import type { MemoryUmem } from "../../../stack/device/pool.ts";
import { Tap } from "../../support/tap.ts";
import { Books } from "./books.ts";
import { carriedBy, type Spoken } from "./judge.ts";
import type { Stage } from "./stage.ts";

export interface PortIo {
  /** Asked of each packet that is sent: whether it is lost. */
  loses(): boolean;
  /** A question or an answer leaves. */
  speaks(spoken: Spoken, port: Port): void;
  /** Any frame leaves. */
  says?(view: DataView, at: number, head: number): void;
}

export class Port {
  /** "near net0". */
  readonly name: string;
  readonly tap: Tap;
  readonly books: Books;
  /** When routes over it came or went last. */
  routedMs = 0;

  /** `holds`: packets may be held back between the host and the wire. */
  constructor(stage: Stage, name: string, device: Device, umem: MemoryUmem, holds: boolean, io: PortIo) {
    this.name = name;
    this.books = new Books(umem, holds);
    const { trace } = stage;
    const [sent, received] = [`${name} >`, `${name} <`];
    this.tap = new Tap(
      device,
      (view, at, head, length) => {
        trace.frame(sent, view, at, head, length);
        this.books.sent();
        io.says?.(view, at, head);
        const spoken = carriedBy(view, at, head);
        if (spoken !== undefined) io.speaks(spoken, this);
      },
      (view, at, head, length) => {
        trace.heard(received, view, at, head);
        this.books.received();
      },
    );
    this.tap.loses = () => io.loses();
  }
}
