/**
 * What sockets tell their device and ask of it: stalled queues, a vanished interface, a packet for the kernel's stack.
 */
import type { LinkChange } from "./net/link-watcher.ts";
import { inNamespace } from "./net/namespace.ts";
import { Injector } from "./xdp/inject.ts";
import type { SocketHost } from "./xsk/socket.ts";
import type { Umem } from "./xsk/umem.ts";

/** A link change, or a queue that the kernel has stopped serving. */
export type DeviceEvent =
  LinkChange | { readonly kind: "stalled"; readonly queue: number; readonly reason: string };

/** Events that wait to be taken; a queue that stalls without end must not grow this without end. */
const MAX_WAITING_EVENTS = 64;

/** The side of a device that its sockets see. */
export class SocketReports implements SocketHost {
  readonly #events: DeviceEvent[] = [];
  readonly #ifindex: number;
  readonly #namespace: string | undefined;
  readonly #umem: Umem;
  #injector: Injector | undefined;
  #gone = false;

  constructor(ifindex: number, namespace: string | undefined, umem: Umem) {
    this.#ifindex = ifindex;
    this.#namespace = namespace;
    this.#umem = umem;
  }

  /** True once a socket found its interface gone. */
  get gone(): boolean {
    return this.#gone;
  }

  take(): DeviceEvent | undefined {
    return this.#events.shift();
  }

  pass(queue: number, at: number, lengthBytes: number): boolean {
    if (this.#gone) return false;
    this.#injector ??= Injector.open();
    const injector = this.#injector;
    // The kernel looks the interface up in the caller's namespace.
    return inNamespace(this.#namespace, () =>
      injector.inject(this.#ifindex, queue, this.#umem.area.address + at, lengthBytes),
    );
  }

  stalled(queue: number, reason: string): void {
    if (this.#events.length < MAX_WAITING_EVENTS) this.#events.push({ kind: "stalled", queue, reason });
  }

  unbound(reason: string): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#events.push({ kind: "gone", reason });
  }

  close(): void {
    this.#injector?.close();
    this.#injector = undefined;
    this.#gone = true;
  }
}
