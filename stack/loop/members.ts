/**
 * The devices of a loop: whose turn it is, who joins and leaves, what their links say.
 */
import type { Device, LinkEvent } from "../device/device.ts";
import type { ErrorReporter, ErrorSource } from "./errors.ts";
import { LINK_EVENTS_PER_TURN, Member, type LinkHandler } from "./member.ts";
import type { Received, TurnReceiver } from "./receiver.ts";
import { Handle, type Subscription } from "./subscription.ts";

/** Devices in one loop at most; each costs a look at its rings in every turn. */
export const MAX_DEVICES = 1024;

export class Members {
  readonly #errors: ErrorReporter;
  /** Replaced, never changed in place: a turn may walk over it while handlers add and remove. */
  #members: readonly Member[] = [];
  #first = 0;
  #changed = true;
  #sawClosed = false;
  #lastForwarded: Device | undefined;

  constructor(errors: ErrorReporter) {
    this.#errors = errors;
  }

  get count(): number {
    return this.#members.length;
  }

  /** True once a receiving device was found closed: its last link event is due. */
  get sawClosed(): boolean {
    return this.#sawClosed;
  }

  /** True while frames wait that no descriptor tells of: this is no moment to sleep. */
  get waiting(): boolean {
    for (const { receiver, device } of this.#members) {
      if (receiver !== undefined && device.waiting === true) return true;
    }
    return false;
  }

  /** The descriptors of all devices. */
  get fds(): readonly number[] {
    return this.#members.flatMap((member) => member.device.fds);
  }

  find(device: Device): Member | undefined {
    return this.#members.find((member) => member.device === device);
  }

  /** The device's place, made where there is none yet. */
  join(device: Device): Member {
    const found = this.find(device);
    if (found !== undefined) return found;
    if (!Array.isArray(device?.queues))
      throw new TypeError("a loop serves devices, such as attach() returns");
    if (!device.open) throw new TypeError(`device "${device.name}" is closed`);
    if (this.#members.length >= MAX_DEVICES)
      throw new RangeError(`a loop serves at most ${MAX_DEVICES} devices`);
    const member = new Member(device);
    this.#members = [...this.#members, member];
    this.#changed = true;
    return member;
  }

  /** Sees to it that a device that frames were forwarded to is flushed; most often it is the one of the frame before. */
  forwarded(device: Device): void {
    if (device === this.#lastForwarded) return;
    if (this.find(device) === undefined && device.open) this.add(device);
    this.#lastForwarded = device;
  }

  /** Makes what `create` returns the device's receiver; `failed` reports. Throws a TypeError where there is one. */
  subscribe<Kind extends TurnReceiver>(
    device: Device,
    kind: "frame" | "burst",
    create: (failed: (error: unknown) => void) => Kind,
  ): ReceiverSubscription<Kind> {
    if (this.find(device)?.receiver !== undefined) {
      throw new TypeError(
        `device "${device.name}" has a receiver in this loop; close that subscription first`,
      );
    }
    const member = this.join(device);
    const source: ErrorSource = { kind, name: device.name };
    const receiver = create((error) => this.#errors.report(error, source));
    member.receiver = receiver;
    const isActive = (): boolean => member.receiver === receiver;
    return new ReceiverSubscription(receiver, isActive, () => {
      receiver.close();
      member.receiver = undefined;
      this.#leaveUnwanted(member);
    });
  }

  /** Calls `handler` with each change of the device's link. */
  link(device: Device, handler: LinkHandler): Subscription {
    checkFunction("link", handler);
    const member = this.join(device);
    // A function of its own, so that the same handler may be given twice and taken off once.
    const own: LinkHandler = (event) => handler(event);
    member.linkHandlers = [...member.linkHandlers, own];
    return new Handle(
      () => member.linkHandlers.includes(own),
      () => {
        member.linkHandlers = member.linkHandlers.filter((other) => other !== own);
        this.#leaveUnwanted(member);
      },
    );
  }

  /** Calls `handler` once, when the device leaves; this does not keep it here. */
  left(device: Device, handler: () => void): Subscription {
    checkFunction("left", handler);
    const member = this.find(device);
    if (member === undefined) throw new TypeError("the device is not in this loop");
    const own = (): void => handler();
    member.leftHandlers = [...member.leftHandlers, own];
    return new Handle(
      () => member.leftHandlers.includes(own),
      () => void (member.leftHandlers = member.leftHandlers.filter((other) => other !== own)),
    );
  }

  /** Keeps a device here that nobody receives from. */
  add(device: Device): void {
    this.join(device).holds += 1;
  }

  /** Takes back one `add`. */
  remove(device: Device): void {
    const member = this.find(device);
    if (member === undefined || member.holds === 0) return;
    member.holds -= 1;
    this.#leaveUnwanted(member);
  }

  /** Takes a member out that nobody wants in the loop any more. */
  #leaveUnwanted(member: Member): void {
    if (member.joined && !member.wanted) this.#leave(member);
  }

  leaveAll(): void {
    for (const member of this.#members) this.#leave(member);
  }

  /** True once after devices came or went: the descriptors to wait for are others. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** Starts at another device each turn, so that none is always served first. */
  receive(received: Received): void {
    const members = this.#members;
    const count = members.length;
    if (count === 0) return;
    this.#first = (this.#first + 1) % count;
    for (let i = 0; i < count; i++) {
      const member = members[(this.#first + i) % count]!;
      const { receiver, device } = member;
      if (receiver === undefined) continue;
      try {
        receiver.turn(received);
      } catch (error) {
        this.#deviceFailed(member, error);
      }
      if (!device.open) this.#sawClosed = true;
    }
  }

  /** Also for those that received: a handler may have sent on a device whose burst was over already. */
  flush(): void {
    for (const member of this.#members) {
      if (!member.joined) continue;
      try {
        member.flush();
      } catch (error) {
        this.#deviceFailed(member, error);
      }
    }
  }

  /** Delivers link events, bounded for each device, and takes out those that are closed; returns how many events. */
  takeLinkEvents(): number {
    this.#sawClosed = false;
    let events = 0;
    for (const member of this.#members) {
      try {
        events += this.#takeFrom(member);
      } catch (error) {
        this.#deviceFailed(member, error);
      }
    }
    return events;
  }

  #takeFrom(member: Member): number {
    const { device } = member;
    for (let taken = 0; taken < LINK_EVENTS_PER_TURN; taken++) {
      const event = member.joined ? device.takeLinkEvent() : undefined;
      if (event === undefined) {
        if (!device.open) this.#leave(member);
        return taken;
      }
      this.#tellLink(member, event);
    }
    // There may be more of them: a closed device stays for one more look.
    return LINK_EVENTS_PER_TURN;
  }

  #tellLink(member: Member, event: LinkEvent): void {
    const source: ErrorSource = { kind: "link", name: member.device.name };
    const handlers = member.linkHandlers;
    if (event.kind === "gone" && handlers.length === 0) {
      this.#errors.report(new Error(`device "${member.device.name}" is gone: ${event.reason}`), source);
    }
    for (const handler of handlers) {
      // A handler before it may have taken this one off.
      if (!member.linkHandlers.includes(handler)) continue;
      try {
        handler(event);
      } catch (error) {
        this.#errors.report(error, source);
      }
    }
  }

  /** The seam's calls don't throw while a device works: one that does would do so at every turn, so it leaves. */
  #deviceFailed(member: Member, error: unknown): void {
    this.#errors.report(error, { kind: "device", name: member.device.name });
    this.#leave(member);
  }

  #leave(member: Member): void {
    if (!member.joined) return;
    const handlers = member.leftHandlers;
    member.leave();
    if (member.device === this.#lastForwarded) this.#lastForwarded = undefined;
    this.#members = this.#members.filter((other) => other !== member);
    this.#changed = true;
    for (const handler of handlers) {
      try {
        handler();
      } catch (error) {
        this.#errors.report(error, { kind: "link", name: member.device.name });
      }
    }
  }
}

/** A subscription that still knows its receiver. */
export class ReceiverSubscription<Kind> extends Handle {
  readonly receiver: Kind;

  constructor(receiver: Kind, isActive: () => boolean, off: () => void) {
    super(isActive, off);
    this.receiver = receiver;
  }
}

export const checkFunction = (kind: string, handler: unknown): void => {
  if (typeof handler !== "function")
    throw new TypeError(`a ${kind} handler is a function, not ${typeof handler}`);
};
