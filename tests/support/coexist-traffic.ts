/**
 * Three kinds of datagrams to one interface, numbered and counted: one that a device claims, one that xdp-filter drops while
 * it is loaded, and one that is the kernel's.
 */
import { Loop, Transmitter, type XdpDevice } from "../../index.ts";
import type { End, Lab } from "./lab.ts";
import { bytes, ETHERTYPE, ethernet, ipv4, PROTOCOL, u32, udp } from "./packets.ts";

/** Nobody listens on any of them: the kernel counts each datagram that reaches it as one without a port. */
export const CLAIMED = 9000;
export const FILTERED = 7777;
export const KERNELS = 5555;

const MARK = [0x6d, 0x72, 0x6d, 0x72];
/** Ethernet, IPv4 and UDP headers. */
const MARK_AT = 14 + 20 + 8;
const NUMBER_AT = MARK_AT + MARK.length;
const LENGTH_BYTES = NUMBER_AT + 4;

/** Claimed datagrams on the way at the most: no ring on the way has fewer places. */
const WINDOW = 32;
/** Of so many datagrams one is for the filter and one for the kernel. */
const ROUND = 8;
const KERNEL_TURN = 3;
const FILTER_TURN = 7;
/** Far above what a frame needs on its way, also on an emulated processor that others use as well. */
const SILENCE_MS = 5000;
const TURNS_A_SLICE = 50;

const octets = (mac: string): number[] => mac.split(":").map((each) => Number.parseInt(each, 16));

/** What has been sent so far, by kind, and what has come of the claimed ones. */
export interface Sent {
  claimed: number;
  filtered: number;
  kernels: number;
  /** Claimed datagrams that came, each once. */
  arrived: number;
  /** Claimed datagrams that did not come within SILENCE_MS. */
  lost: number;
}

export class CoexistTraffic {
  readonly sent: Sent = { claimed: 0, filtered: 0, kernels: 0, arrived: 0, lost: 0 };
  readonly #lab: Lab;
  readonly #to: End;
  readonly #transmitter: Transmitter;
  readonly #from: XdpDevice;
  readonly #templates: Readonly<Record<number, Uint8Array>>;

  constructor(lab: Lab, from: XdpDevice) {
    this.#lab = lab;
    this.#to = lab.b;
    this.#from = from;
    this.#transmitter = new Transmitter(from.queues[0]!);
    const template = (port: number): Uint8Array => {
      const frame = ethernet(
        ETHERTYPE.ipv4,
        ipv4({ protocol: PROTOCOL.udp, from: lab.a.ipv4, to: lab.b.ipv4 }, udp(port, bytes(MARK, u32(0)))),
      );
      frame.set([...octets(lab.b.mac), ...octets(lab.a.mac)], 0);
      return frame;
    };
    this.#templates = Object.fromEntries([CLAIMED, FILTERED, KERNELS].map((port) => [port, template(port)]));
  }

  /** Datagrams that the kernel got and had no socket for: all of ours that reach it. */
  kernelCount(): number {
    const { stdout } = this.#lab.exec(this.#to.side, ["cat", "/proc/net/snmp"]);
    const [names, values] = stdout.split("\n").filter((line) => line.startsWith("Udp:"));
    const at = names!.split(" ").indexOf("NoPorts");
    return Number(values!.split(" ")[at]);
  }

  #send(port: number, number: number): boolean {
    const frame = this.#templates[port]!;
    new DataView(frame.buffer).setUint32(NUMBER_AT, number);
    return this.#transmitter.sendBytes(frame);
  }

  /** Sends `count` datagrams of one kind, whoever gets them. */
  burst(port: number, count: number): void {
    for (let i = 0; i < count; i++) if (!this.#send(port, i)) throw new Error(`datagram ${i} was refused`);
    this.#from.queues[0]!.flush();
  }

  /**
   * Sends datagrams of all kinds while `work` runs, and at least `least` claimed ones, which `to` receives; returns when all
   * that were claimed came or are counted as lost. Throws where one comes twice or changed.
   */
  async during(to: XdpDevice, least: number, work: () => Promise<unknown>): Promise<void> {
    const { sent } = this;
    const start = sent.claimed;
    const seen = new Set<number>();
    let failure: unknown;
    let done = false;
    using loop = new Loop({ mode: "spin", onError: (error) => void (failure ??= error) });
    loop.receive(to, (frame) => {
      const packet = frame.copy();
      if (packet.length < LENGTH_BYTES || MARK.some((byte, i) => packet[MARK_AT + i] !== byte)) return;
      const number = new DataView(packet.buffer, packet.byteOffset).getUint32(NUMBER_AT);
      if (seen.has(number)) throw new Error(`datagram ${number} came twice`);
      seen.add(number);
      sent.arrived += 1;
    });
    loop.add(this.#from);
    const working = work().then(
      () => void (done = true),
      (error: unknown) => {
        failure ??= error;
        done = true;
      },
    );
    const waiting = (): number => sent.claimed - sent.arrived - sent.lost;
    let progress = { at: performance.now(), arrived: sent.arrived };
    while (!done || sent.claimed - start < least || waiting() > 0) {
      for (let turn = 0; turn < TURNS_A_SLICE; turn++) {
        if ((!done || sent.claimed - start < least) && waiting() < WINDOW) this.#sendOne();
        loop.turn();
      }
      if (sent.arrived !== progress.arrived || waiting() === 0) {
        progress = { at: performance.now(), arrived: sent.arrived };
      } else if (performance.now() - progress.at > SILENCE_MS) {
        sent.lost += waiting();
      }
      // The work is in other processes, of which the event loop tells.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await working;
    if (failure !== undefined) throw failure;
  }

  #sendOne(): void {
    const { sent } = this;
    if (!this.#send(CLAIMED, sent.claimed)) return;
    const turn = sent.claimed % ROUND;
    sent.claimed += 1;
    if (turn === KERNEL_TURN && this.#send(KERNELS, sent.kernels)) sent.kernels += 1;
    if (turn === FILTER_TURN && this.#send(FILTERED, sent.filtered)) sent.filtered += 1;
  }
}
