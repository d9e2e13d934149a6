/**
 * What every device around another device has in common: it looks like the one inside, and ends with it.
 */
import type { Device, DeviceStatistics, LinkEvent, Queue, Umem } from "./device.ts";

/** A device that passes on what it does not change. It owns the inner one: closing the one closes the other. */
export abstract class Wrapper implements Device {
  readonly inner: Device;
  abstract readonly queues: readonly Queue[];

  constructor(inner: Device) {
    this.inner = inner;
  }

  get name(): string {
    return this.inner.name;
  }

  get umem(): Umem {
    return this.inner.umem;
  }

  get mac(): Uint8Array {
    return this.inner.mac;
  }

  get mtu(): number {
    return this.inner.mtu;
  }

  get fds(): readonly number[] {
    return this.inner.fds;
  }

  get open(): boolean {
    return this.inner.open;
  }

  get up(): boolean {
    return this.inner.up ?? true;
  }

  takeLinkEvent(): LinkEvent | undefined {
    return this.inner.takeLinkEvent();
  }

  statistics(): DeviceStatistics {
    return this.inner.statistics();
  }

  close(): void {
    this.inner.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
