/**
 * What happens to one link, as events: up, down, a new MTU, address or name, and its end.
 *
 * Notifications are a hint, the state they carry is the truth: each is compared with the state last told, so that an event
 * is a difference. When the kernel had to drop notifications the link is asked for anew, and nothing is lost but the way.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import { RTM, RTNLGRP_LINK, movedTo, parseLink } from "./link-message.ts";
import { getLink, type Link } from "./link.ts";
import type { Message } from "./message.ts";
import { NetlinkSocket } from "./netlink.ts";

/** A change of a link. After `gone` there are no more. */
export type LinkChange =
  | { readonly kind: "up" }
  | { readonly kind: "down" }
  | { readonly kind: "mtu"; readonly mtu: number }
  | { readonly kind: "address"; readonly mac: Uint8Array }
  | { readonly kind: "renamed"; readonly name: string }
  | { readonly kind: "gone"; readonly reason: string };

/** The part of a link's state whose changes are events. */
export type WatchedState = Pick<Link, "index" | "name" | "mac" | "mtu" | "running" | "carrierLosses">;

/** Datagrams read by one `take`: notifications about other links must not hold up a turn of the loop. */
const MAX_DATAGRAMS = 32;
/** Datagrams thrown away after an overrun before the link is asked for: what comes later is told as usual. */
const MAX_DISCARDS = 4096;

export interface WatcherOptions {
  /** Kernel buffer for notifications, in bytes; the kernel's default (200 KiB) unless given. */
  readonly receiveBufferBytes?: number;
}

/** Watches one link in the namespace in which the watcher was made. Close it: it holds two descriptors. */
export class LinkWatcher {
  readonly #index: number;
  /** Made first, so that whatever happens from here on is told. */
  readonly #events: NetlinkSocket;
  /** Its own, so that an answer never mixes with notifications, and in the same namespace wherever the thread is later. */
  readonly #queries: NetlinkSocket;
  readonly #pending: LinkChange[] = [];
  #state: WatchedState;
  #overruns = 0;
  #gone = false;
  #open = true;

  /** `initial` is what the caller knows; the first events tell how the link differs from that by now. Throws SystemError. */
  constructor(initial: WatchedState, options: WatcherOptions = {}) {
    const { receiveBufferBytes } = options;
    this.#index = initial.index;
    this.#state = initial;
    this.#events = new NetlinkSocket({
      groups: [RTNLGRP_LINK],
      ...(receiveBufferBytes === undefined ? {} : { receiveBufferBytes }),
    });
    try {
      this.#queries = new NetlinkSocket();
    } catch (error) {
      this.#events.close();
      throw error;
    }
    try {
      // The caller's knowledge is older than the subscription: what changed in between would never be told.
      this.#refresh();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Readable when `take` may have something; -1 once closed. */
  get fd(): number {
    return this.#events.fd;
  }

  /** How often the kernel dropped notifications and the link was asked for anew. */
  get overruns(): number {
    return this.#overruns;
  }

  /** The next change, or undefined when nothing new is known. Never blocks; one system call when nothing happened. */
  take(): LinkChange | undefined {
    for (let read = 0; read < MAX_DATAGRAMS && this.#pending.length === 0; read++) {
      if (this.#gone || !this.#open) return undefined;
      const received = this.#events.receive();
      if (received === "empty") return undefined;
      if (received === "overrun") this.#recover();
      else for (const message of received) this.#tell(message);
    }
    return this.#pending.shift();
  }

  /** Idempotent. Events not taken yet are dropped. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pending.length = 0;
    this.#events.close();
    this.#queries.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #tell(message: Message): void {
    if (this.#gone) return;
    const link = parseLink(message);
    if (link?.index !== this.#index) return;
    if (message.type === RTM.NEWLINK) return this.#compare(link);
    const namespaceId = movedTo(message);
    if (namespaceId === undefined) return this.#end("it was deleted");
    this.#end(
      `it was moved to another network namespace${namespaceId < 0 ? "" : ` (id ${namespaceId} from here)`}`,
    );
  }

  #compare(now: Link): void {
    const before = this.#state;
    this.#state = now;
    if (now.name !== before.name) this.#pending.push({ kind: "renamed", name: now.name });
    if (!sameBytes(now.mac, before.mac)) this.#pending.push({ kind: "address", mac: now.mac });
    if (now.mtu !== before.mtu) this.#pending.push({ kind: "mtu", mtu: now.mtu });
    if (now.running !== before.running) this.#pending.push({ kind: now.running ? "up" : "down" });
    // A carrier that came back before the kernel got to telling of its loss (net/core/link_watch.c: once a second for most
    // drivers) may be that of another link.
    else if (now.running && now.carrierLosses !== before.carrierLosses)
      this.#pending.push({ kind: "down" }, { kind: "up" });
  }

  /** After an overrun: throws away what is queued, all of it older than the answer that follows. */
  #recover(): void {
    this.#overruns += 1;
    for (let discarded = 0; discarded < MAX_DISCARDS; discarded++) {
      if (this.#events.receive() === "empty") break;
    }
    this.#refresh();
  }

  #refresh(): void {
    try {
      this.#compare(getLink(this.#index, this.#queries));
    } catch (error) {
      if (!(error instanceof SystemError && error.errno === ERRNO.ENODEV)) throw error;
      this.#end("it was deleted or moved to another network namespace");
    }
  }

  #end(reason: string): void {
    this.#gone = true;
    this.#pending.push({ kind: "gone", reason });
  }
}

const sameBytes = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && one.every((byte, i) => byte === other[i]);
