/**
 * A wire between two hosts in virtual time that a test cuts and delays, each direction by itself, and paths as monitors see them.
 */
import type { MemoryDevice } from "../../stack/device/memory.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { Host } from "../../stack/ip/host.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import type { HostOptions } from "../../stack/ip/options.ts";
import type { Path, Verdict } from "../../stack/ip/paths/path.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import { type HostLab, viewOf } from "./host-lab.ts";

/** What becomes of a frame: the ms that it takes, or nothing. */
export type Fate = (frame: Uint8Array) => number | undefined;

const AT_ONCE: Fate = () => 0;

export interface Relay {
  /** From the near host to the far one. */
  out: Fate;
  /** And back. */
  back: Fate;
  /** Frames that the near host sent; ARP requests for somebody else among them, and how many of those to everybody. */
  readonly sent: { frames: number; asked: number; askedAll: number };
}

/** Both hosts of a path: the near one is ours, the far one the next hop. */
export interface RelayedPath {
  readonly near: Host;
  readonly far: Host;
  readonly farDevice: MemoryDevice;
  readonly on: Interface;
  readonly path: Path;
  readonly relay: Relay;
}

/**
 * 10.0.0.2 and 2001:db8::2 here, 10.0.0.1 and 2001:db8::1 there, and 203.0.113.1 behind that; `family` 6 makes a path over
 * IPv6.
 */
export const relayedPath = (lab: HostLab, family: 4 | 6 = 4, options: HostOptions = {}): RelayedPath => {
  const [nearDevice, a] = lab.link();
  // The other end of its link: the first ends of two links have the same Ethernet address.
  const [b, farDevice] = lab.link();
  const relay: Relay = { out: AT_ONCE, back: AT_ONCE, sent: { frames: 0, asked: 0, askedAll: 0 } };
  carry(lab, a, b, (frame) => {
    relay.sent.frames += 1;
    if (isQuestion(frame)) {
      relay.sent.asked += 1;
      if (ethernet.destination(viewOf(frame), 0).multicast) relay.sent.askedAll += 1;
    }
    return relay.out(frame);
  });
  carry(lab, b, a, (frame) => relay.back(frame));
  const near = lab.host(options);
  const far = lab.host();
  const on = near.join(nearDevice, {
    name: "near0",
    addresses: ["10.0.0.2/24", "2001:db8::2/64"],
    dad: false,
  });
  far.join(farDevice, {
    name: "far0",
    addresses: ["10.0.0.1/24", "2001:db8::1/64", "203.0.113.1/32"],
    dad: false,
  });
  lab.run(0);
  Object.assign(relay.sent, { frames: 0, asked: 0, askedAll: 0 });
  return { near, far, farDevice, on, path: pathOf(on, family === 4 ? "10.0.0.1" : "2001:db8::1"), relay };
};

/** A path of an interface, as monitors are given one. */
export const pathOf = (on: Interface, gateway: string | undefined): Path => {
  const address = gateway === undefined ? undefined : IpAddress.parse(gateway);
  return {
    id: 1,
    interface: on.index,
    name: on.name,
    family: address?.family ?? 4,
    gateway: address,
    state: "up",
    reason: "new",
    changedMs: 0,
    neighbour: undefined,
    rttMs: undefined,
    monitors: [],
    live: true,
    statistics: () => ({ sent: 0, downs: 0, damped: 0, stranded: 0, givenUp: 0, downMs: 0 }),
    toString: () => `${on.name} via ${gateway ?? "nobody"}`,
  };
};

/** What a monitor said, with when. */
export interface Said {
  readonly verdict: Verdict;
  readonly silentMs: number;
  readonly atMs: number;
}

/** A listener for `start`, and what it heard. */
export const listener = (
  lab: HostLab,
): { readonly said: Said[]; readonly changed: (verdict: Verdict, silentMs: number) => void } => {
  const said: Said[] = [];
  return { said, changed: (verdict, silentMs) => said.push({ verdict, silentMs, atMs: lab.loop.now }) };
};

/** An ARP request for the address of another: an announcement asks for the sender's own. */
const isQuestion = (frame: Uint8Array): boolean => {
  const view = viewOf(frame);
  if (ethernet.type(view, 0) !== ethernet.ETHERTYPE.ARP) return false;
  const at = ethernet.HEADER_BYTES;
  return (
    arp.operation(view, at) === arp.OPERATION.REQUEST && arp.senderWord(view, at) !== arp.targetWord(view, at)
  );
};

const carry = (lab: HostLab, from: MemoryDevice, to: MemoryDevice, fate: Fate): void => {
  const transmitter = new Transmitter(to.queues[0]!);
  const put = (bytes: Uint8Array): void => {
    if (!to.open) return;
    transmitter.sendBytes(bytes);
    to.queues[0]!.flush();
  };
  lab.loop.receive(from, (frame) => {
    const bytes = frame.copy();
    const ms = fate(bytes);
    if (ms === undefined) return;
    if (ms === 0) put(bytes);
    else lab.loop.after(ms, () => put(bytes));
  });
};
