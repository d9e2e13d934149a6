/**
 * The devices of a loop: whose turn it is, who joins and leaves, what their links say.
 */
import type { Device, LinkEvent } from "../device/device.ts";
import type { ErrorReporter, ErrorSource } from "./errors.ts";
import { LINK_EVENTS_PER_TURN, Member } from "./member.ts";
import type { Received } from "./receiver.ts";

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
    if (this.find(device) === undefined && device.open) this.join(device).holds += 1;
    this.#lastForwarded = device;
  }

  /** Takes a member out that nobody wants in the loop any more. */
  leaveUnwanted(member: Member): void {
    if (member.joined && !member.wanted) this.#leave(member);
  }

  leaveAll(): void {
    for (const member of this.#members) this.#leave(member);
  }

  /** The descriptors to wait for, where they are not those of the last call; else undefined. */
  takeNewFds(): readonly number[] | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return this.#members.flatMap((member) => member.device.fds);
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
    member.leave();
    if (member.device === this.#lastForwarded) this.#lastForwarded = undefined;
    this.#members = this.#members.filter((other) => other !== member);
    this.#changed = true;
  }
}
