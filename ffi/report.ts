/**
 * What sockets tell their device and ask of it: stalled queues, a vanished interface, a packet for the kernel's stack.
 */
import { closeSync, openSync } from "node:fs";
import type { LinkChange } from "./net/link-watcher.ts";
import { inNamespace } from "./net/namespace.ts";
import { Injector } from "./xdp/inject.ts";
import type { SocketHost } from "./xsk/socket.ts";
import type { Umem } from "./xsk/umem.ts";

/** A link change, or a queue that the kernel has stopped serving, or serves again. */
export type DeviceEvent =
  | LinkChange
  | { readonly kind: "stalled"; readonly queue: number; readonly reason: string }
  | { readonly kind: "recovered"; readonly queue: number };

/** Events that wait to be taken; a queue that stalls without end must not grow this without end. */
const MAX_WAITING_EVENTS = 64;

/** Of the thread, which is inside the device's namespace while the device is made. */
const PRESENT_NAMESPACE = "/proc/thread-self/ns/net";

/** The side of a device that its sockets see. */
export class SocketReports implements SocketHost {
  readonly #events: DeviceEvent[] = [];
  readonly #ifindex: number;
  readonly #umem: Umem;
  /** Keeps the namespace reachable when its name is deleted; -1 where it is the process's own, and once closed. */
  #namespaceFd: number;
  readonly #countsFd: number | undefined;
  #injector: Injector | undefined;
  #gone = false;

  /** Made inside `namespace`. `countsFd` is the program's map of counters where it runs in generic mode. */
  constructor(ifindex: number, namespace: string | undefined, umem: Umem, countsFd: number | undefined) {
    this.#ifindex = ifindex;
    this.#umem = umem;
    this.#countsFd = countsFd;
    this.#namespaceFd = namespace === undefined ? -1 : openSync(PRESENT_NAMESPACE, "r");
  }

  /** The device's namespace as a path that is good until `close`; undefined for the process's own. */
  get namespace(): string | undefined {
    return this.#namespaceFd < 0 ? undefined : `/proc/self/fd/${this.#namespaceFd}`;
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
    this.#injector ??= Injector.open(this.#countsFd);
    const injector = this.#injector;
    // The kernel looks the interface up in the caller's namespace.
    return inNamespace(this.namespace, () =>
      injector.inject(this.#ifindex, queue, this.#umem.area.address + at, lengthBytes),
    );
  }

  stalled(queue: number, reason: string): void {
    this.#note({ kind: "stalled", queue, reason });
  }

  recovered(queue: number): void {
    this.#note({ kind: "recovered", queue });
  }

  unbound(reason: string): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#events.push({ kind: "gone", reason });
  }

  /** Where there is no room an older event of the queue makes some: the last one says how it is. */
  #note(event: Exclude<DeviceEvent, LinkChange>): void {
    if (this.#events.length >= MAX_WAITING_EVENTS) {
      const older = this.#events.findIndex((one) => "queue" in one && one.queue === event.queue);
      this.#events.splice(Math.max(0, older), 1);
    }
    this.#events.push(event);
  }

  close(): void {
    this.#injector?.close();
    this.#injector = undefined;
    if (this.#namespaceFd >= 0) closeSync(this.#namespaceFd);
    this.#namespaceFd = -1;
    this.#gone = true;
  }
}
