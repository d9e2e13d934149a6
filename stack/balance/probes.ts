/**
 * Probes that the host sends itself: an echo request, or a datagram that a server answers.
 *
 * They go to a backend's own address, not to the service's: they tell of the station and its server, and nothing of whether the
 * service's address is set up there.
 */
import type { Host } from "../ip/host.ts";
import type { Echo } from "../ip/icmp/echoes.ts";
import type { UdpSocket } from "../udp/socket.ts";
import type { IpAddress } from "../wire/address.ts";
import type { Probe } from "./check.ts";

const NOTHING = new Uint8Array(0);
/** Sequence numbers of echoes have 16 bits. */
const SEQUENCE_MASK = 0xffff;

/** Good where the station answers an echo request. */
export class EchoProbe implements Probe {
  readonly #echo: Echo;
  #sequence = 0;
  #told: ((good: boolean) => void) | undefined;

  constructor(host: Host, address: IpAddress) {
    this.#echo = host.ping(address, {
      onReply: ({ sequence }) => {
        if (sequence === this.#sequence) this.#told?.(true);
      },
      onError: ({ sequence }) => {
        if (sequence === this.#sequence) this.#told?.(false);
      },
    });
  }

  ask(told: (good: boolean) => void): void {
    this.#told = told;
    this.#sequence = (this.#sequence + 1) & SEQUENCE_MASK;
    if (this.#echo.send(this.#sequence, NOTHING) !== 0) told(false);
  }

  close(): void {
    this.#told = undefined;
    this.#echo.close();
  }
}

/**
 * Good where a server answers a datagram with anything; bad at once where the port is closed.
 *
 * An answer does not say which question it is to. So after one that had none in time the next is asked from another port, where
 * an answer that comes too late is not heard.
 */
export class UdpProbe implements Probe {
  readonly #open: () => UdpSocket;
  readonly #question: Uint8Array;
  #socket: UdpSocket;
  #told: ((good: boolean) => void) | undefined;
  #waits = false;

  /** `question` is what a server of that kind answers. */
  constructor(host: Host, address: IpAddress, port: number, question: Uint8Array) {
    this.#question = question;
    this.#open = () =>
      host.udp({ remote: { address, port }, onError: () => this.#heard(false) }, () => this.#heard(true));
    this.#socket = this.#open();
  }

  ask(told: (good: boolean) => void): void {
    if (this.#waits) {
      this.#socket.close();
      this.#socket = this.#open();
    }
    this.#told = told;
    this.#waits = true;
    if (!this.#socket.send(this.#socket.remote!, this.#question)) this.#heard(false);
  }

  close(): void {
    this.#told = undefined;
    this.#socket.close();
  }

  #heard(good: boolean): void {
    this.#waits = false;
    this.#told?.(good);
  }
}
