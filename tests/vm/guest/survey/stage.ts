/** Where a feature is tried: a lab of one kind of device, devices attached in it, and the wait until frames get through. */
import { attach, type AttachOptions, Loop, Transmitter, type XdpDevice } from "../../../../index.ts";
import { getLink } from "../../../../ffi/net/link.ts";
import { inNamespace } from "../../../../ffi/net/namespace.ts";
import { parseCables } from "../../../support/bed.ts";
import { type Cable, type End, Lab, type LabOptions, untilSync } from "../../../support/lab.ts";
import { settleAccounts } from "../../../support/stream.ts";

/** A kind of device as the table names it, and the hook that its program runs in. */
export interface Kind {
  readonly device: string;
  readonly xdp: "native" | "generic";
  /** Cables between such devices; none where veth pairs are made. */
  readonly cables: readonly Cable[] | undefined;
}

/** The kinds that this machine has, the quick ones first. */
export const kinds = (): Kind[] => {
  const all = parseCables(process.env.MILLRACE_CABLES ?? "");
  const card = (device: string, start: string): Kind[] => {
    const cables = all.filter((cable) => cable.a.startsWith(start));
    return cables.length === 0 ? [] : [{ device, xdp: "native", cables }];
  };
  return [
    { device: "veth, generic", xdp: "generic", cables: undefined },
    { device: "veth", xdp: "native", cables: undefined },
    ...card("virtio_net", "vn"),
    ...card("igb", "ig"),
  ];
};

/** Frames on the way at the most: half of what the receive ring of an emulated card holds. */
export const WINDOW = 64;

/** An igb looks for its link again, for seconds, after every change of program or socket; here on an emulated processor. */
const LINK_LIMIT_MS = 30_000;
const WARM_LIMIT_MS = 30_000;
/** A frame that is sent before the link carries is lost: another one follows after so long. */
const WARM_STEP_MS = 100;
const WARM_BYTES = 60;
const SOURCE_AT = 6;
const ETHERTYPE_AT = 12;
/** IEEE 802 local experimental ethertype 2: neither the kernel's nor that of the numbered packets. */
const WARM_ETHERTYPE = 0x88b6;

/** A broadcast that nobody's stack knows, from a sender's address that a bridge takes. */
export const warmFrame = (): Uint8Array => {
  const frame = new Uint8Array(WARM_BYTES).fill(0xff);
  frame.set([2, 0, 0, 0, 0, 1], SOURCE_AT);
  new DataView(frame.buffer).setUint16(ETHERTYPE_AT, WARM_ETHERTYPE);
  return frame;
};

/** Turns a loop over both until a frame has got from one to the other; returns how many were received. Throws when none does. */
export const warm = (from: XdpDevice, to: XdpDevice): void => {
  using loop = new Loop({ mode: "spin" });
  const sender = new Transmitter(from.queues[0]!);
  let got = 0;
  loop.receive(to, () => void (got += 1));
  loop.add(from);
  const end = performance.now() + WARM_LIMIT_MS;
  for (let due = 0; got === 0; loop.turn()) {
    const now = performance.now();
    if (now > end) throw new Error(`no frame got from "${from.name}" to "${to.name}" in ${WARM_LIMIT_MS} ms`);
    if (now < due) continue;
    due = now + WARM_STEP_MS;
    sender.sendBytes(warmFrame());
  }
};

/** What became of frames that did not come, as far as the receiver's program knows. */
const whereabouts = (device: XdpDevice): string => {
  const { noSocket, passed } = device.statistics().program;
  if (noSocket + passed === 0) return "";
  return `; at "${device.name}" ${noSocket} frames came on queues without a socket, ${passed} were not claimed`;
};

/** A lab of one kind and shape. */
export class Stage {
  readonly kind: Kind;
  readonly lab: Lab;

  constructor(kind: Kind, shape: LabOptions) {
    this.kind = kind;
    const devices = kind.cables === undefined ? {} : { devices: kind.cables };
    this.lab = Lab.create({ quiet: true, neighbours: true, ...devices, ...shape });
  }

  /** Attaches one end. */
  open(end: End, options: AttachOptions = {}): XdpDevice {
    return attach(end.name, { namespace: end.namespace, xdp: this.kind.xdp, ...options });
  }

  /** Waits until every end has its link. */
  awaitLinks(): void {
    for (const { namespace, name } of this.lab.pairs.flatMap(({ a, b }) => [a, b])) {
      const up = (): boolean => inNamespace(namespace, () => getLink(name)).running;
      untilSync(`the link of "${name}"`, up, LINK_LIMIT_MS);
    }
  }

  /** Attaches both ends, sees frames get through both ways, works with them, and accounts for every chunk. */
  between<T>(
    work: (a: XdpDevice, b: XdpDevice) => T,
    options: AttachOptions = {},
    forA: AttachOptions = {},
  ): T {
    using a = this.open(this.lab.a, { ...options, ...forA });
    using b = this.open(this.lab.b, options);
    this.awaitLinks();
    try {
      warm(a, b);
      warm(b, a);
      const result = work(a, b);
      settleAccounts(a, b);
      return result;
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}${whereabouts(b)}`, {
        cause: error,
      });
    }
  }

  close(): void {
    this.lab.close();
  }
}
