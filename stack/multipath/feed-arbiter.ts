/**
 * A/B feed arbitration: the same numbered feed comes over several sides, and is handed on once, in order, without the gaps that
 * another side can fill.
 *
 * The first copy of a number is handed on at once, in the frame that it came in, if it is the next. What comes early is kept
 * until the numbers before it have come, or until they were waited for long enough: then they are lost, and said to be.
 */
import type { Host } from "../ip/host.ts";
import type { Timer } from "../loop/timers.ts";
import type { Datagram, KeptDatagram } from "../udp/datagram.ts";
import type { UdpSocket } from "../udp/socket.ts";
import {
  type CheckedFeedOptions,
  checkFeedOptions,
  type FeedClock,
  type FeedGroup,
  type FeedHandler,
  type FeedOptions,
} from "./feed-options.ts";
import { FeedCounters, type FeedStatistics } from "./feed-counters.ts";
import { FeedFields } from "./feed-fields.ts";
import { distanceOf } from "./feed-numbers.ts";
import { FeedRaces } from "./feed-races.ts";
import { FeedRows, ORDER } from "./feed-rows.ts";
import { FeedSessions, SESSION } from "./feed-sessions.ts";
import { FeedSides } from "./feed-sides.ts";
import { FeedWindow } from "./feed-window.ts";

export class FeedArbiter {
  readonly #clock: FeedClock;
  readonly #options: CheckedFeedOptions;
  readonly #handler: FeedHandler;
  readonly #fields: FeedFields;
  readonly #window: FeedWindow;
  readonly #sessions: FeedSessions;
  readonly #rows: FeedRows;
  readonly #races: FeedRaces;
  readonly #counters = new FeedCounters();
  readonly #timer: Timer;
  readonly #sides = new FeedSides();
  readonly #sockets: UdpSocket[] = [];
  #open = true;
  /** False until there is a next number. */
  #begun = false;
  #next = 0;
  /** Numbers from the next one on that belong to a datagram which was handed on. */
  #covered = 0;
  /** Numbers from the next one to the end of all that is known of. */
  #known = 0;
  /** What the handler is told of the datagram that is lent to it. */
  #handing = 0;
  #skip = 0;
  readonly #lend = (datagram: Datagram): void => this.#handler(datagram, this.#handing, this.#skip);

  /** `clock` is a loop. Throws a TypeError or RangeError that names what is wrong with the options. */
  constructor(clock: FeedClock, options: FeedOptions, handler: FeedHandler) {
    if (typeof handler !== "function") throw new TypeError("a feed needs a handler");
    this.#clock = clock;
    const checked = checkFeedOptions(options);
    const { modulus, window, waitMs, onLead } = checked;
    this.#options = checked;
    this.#handler = handler;
    this.#fields = new FeedFields(checked);
    this.#window = new FeedWindow(window);
    this.#sessions = new FeedSessions(waitMs);
    this.#rows = new FeedRows(modulus, window, waitMs);
    this.#races = new FeedRaces(this.#sides.list, this.#window, onLead, (error) => this.#report(error));
    this.#timer = clock.after(0, () => this.#expire());
    this.#timer.cancel();
  }

  /** Adds a side whose datagrams `take` is called with; its number. Throws a RangeError where there are `MAX_SIDES`. */
  addSide(name: string): number {
    if (!this.#open) throw new TypeError("this feed is closed");
    return this.#sides.add(name);
  }

  /** Adds a side and hears it: a socket of `host` that is a member of the group. It is closed with the feed. */
  join(host: Host, { group, port, interface: on, name = `${group} ${on}`, sources }: FeedGroup): UdpSocket {
    const side = this.addSide(name);
    let socket: UdpSocket | undefined;
    try {
      const options = { port, address: group, interface: on, reuse: true };
      socket = host.udp(options, (datagram) => this.take(datagram, side));
      socket.join(group, { interface: on, ...(sources === undefined ? {} : { sources }) });
    } catch (error) {
      socket?.close();
      this.#sides.list.pop();
      throw error;
    }
    this.#sockets.push(socket);
    return socket;
  }

  /** The next number to be handed on; undefined before the first. */
  get next(): number | undefined {
    return this.#begun ? this.#next : undefined;
  }

  /** Takes in a datagram that side `number` brought; for sockets of the program's own. */
  take(datagram: Datagram, number: number): void {
    const side = this.#sides.of(number);
    if (!this.#open) return;
    // Called by a handler, the rest of the datagram that it was handed comes first.
    if (this.#covered > 0) this.#drain();
    side.received += 1;
    const fields = this.#fields;
    if (!fields.read(datagram)) {
      side.malformed += 1;
      return;
    }
    const { sequence, count } = fields;
    if (this.#enter(datagram, number, sequence)) this.#place(datagram, number, sequence, count);
    if (this.#window.waiting > 0 && !this.#timer.active) this.#arm();
  }

  /** Hands on all that waits; the gaps between are lost. */
  flush(): void {
    // Called by a handler, the rest of the datagram that it was handed comes first.
    this.#drain();
    while (this.#window.waiting > 0) this.#giveUp();
  }

  /** Hands on all that waits and begins anew: with `next`, or with whatever comes first. Throws a RangeError for no number. */
  reset(next?: number): void {
    const { modulus } = this.#options;
    if (next !== undefined && !(Number.isInteger(next) && next >= 0 && next < modulus))
      throw new RangeError(`next is a whole number below ${modulus}, not ${next}`);
    this.flush();
    this.#rows.forget();
    this.#restart(next);
  }

  statistics(): FeedStatistics {
    return { ...this.#counters, held: this.#window.held, sides: this.#sides.statistics() };
  }

  /** Closes what `join` opened and releases, unheard, what waits. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#timer.cancel();
    for (const socket of this.#sockets) socket.close();
    while (this.#window.waiting > 0) {
      this.#advance(this.#window.nearest());
      this.#window.take()?.release();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** False where the datagram is of a session that is over, or of none. */
  #enter(datagram: Datagram, side: number, sequence: number): boolean {
    const { session, first } = this.#options;
    if (session !== undefined) {
      const read = session(datagram.view, datagram.at, datagram.length);
      const verdict = this.#sessions.judge(read, side, this.#clock.now);
      if (verdict === SESSION.none) this.#sides.of(side).malformed += 1;
      if (verdict === SESSION.straggler) this.#counters.stragglers += 1;
      if (verdict === SESSION.none || verdict === SESSION.straggler) return false;
      if (verdict === SESSION.next) this.reset();
    }
    if (!this.#begun) this.#begin(first ?? sequence);
    return this.#open;
  }

  #begin(next: number): void {
    this.#begun = true;
    this.#next = next;
    this.#known = 0;
  }

  #restart(next: number | undefined): void {
    this.#begun = false;
    this.#covered = 0;
    this.#window.forget();
    this.#counters.resets += 1;
    if (next !== undefined) this.#begin(next);
    try {
      this.#options.onReset?.();
    } catch (error) {
      this.#report(error);
    }
  }

  /** How far a number is ahead of the next one; behind it negative. */
  #distance(sequence: number): number {
    return distanceOf(this.#next, sequence, this.#options.modulus);
  }

  #place(datagram: Datagram, side: number, sequence: number, count: number): void {
    const { window } = this.#options;
    let distance = this.#distance(sequence);
    if (distance >= window || distance < -window) {
      if (!this.#follow(side, sequence, count)) return;
      distance = this.#distance(sequence);
    }
    this.#rows.heard(side, sequence, count, this.#clock.now);
    if (count === 0) this.#heartbeat(distance);
    else if (distance < 0) this.#behind(datagram, side, sequence, count, distance);
    else if (distance > 0) this.#ahead(datagram, side, sequence, count, distance);
    else this.#inOrder(datagram, side, sequence, count);
  }

  /** Whether the feed goes to a number that is too far away for the window; if so, it is there. */
  #follow(side: number, sequence: number, count: number): boolean {
    const order = this.#rows.judge(side, sequence, count, this.#clock.now);
    if (order === ORDER.follows) {
      this.#jump(sequence);
      return this.#open;
    }
    if (order === ORDER.stray) this.#counters.strays += 1;
    else this.#sides.of(side).elsewhere += 1;
    return false;
  }

  #jump(sequence: number): void {
    this.flush();
    // Whoever was handed something may have closed or reset the feed.
    if (!this.#open) return;
    const { window } = this.#options;
    const first = this.#next;
    const missing = this.#distance(sequence);
    if (!this.#begun || missing < -window) {
      this.#restart(sequence);
      return;
    }
    // What waited may have reached as far.
    if (missing < window) return;
    this.#window.forget();
    this.#begin(sequence);
    this.#lose(first, missing);
  }

  /** Says which number is the next to come. */
  #heartbeat(distance: number): void {
    const window = this.#window;
    if (distance <= 0) return;
    if (!window.waits(distance)) window.hold(distance, undefined, 0, this.#clock.now);
    this.#known = Math.max(this.#known, distance);
  }

  #inOrder(datagram: Datagram, side: number, sequence: number, count: number): void {
    this.#won(side, 0, count);
    this.#counters.delivered += count;
    // Everything is in its new place when the handler runs: what it does here, even closing, finds a feed in order.
    this.#covered = count - 1;
    this.#step();
    this.#handOn(datagram, sequence, 0);
    this.#drain();
  }

  /** Early: it waits, or if as many wait as may, the gap in front is given up. */
  #ahead(datagram: Datagram, side: number, sequence: number, count: number, distance: number): void {
    const window = this.#window;
    if (window.winner(distance) >= 0) {
      this.#races.again(side, distance, this.#clock.now);
      // Cut otherwise than the one that waits, it has more to say.
      if (this.#open && window.waits(distance) && count > window.count(distance)) {
        this.#known = Math.max(this.#known, distance + count);
        window.exchange(distance, datagram.keep(), count).release();
      }
      return;
    }
    if (window.held >= this.#options.hold) {
      if (this.#makeRoom(sequence)) this.#place(datagram, side, sequence, count);
      return;
    }
    const kept = datagram.keep();
    this.#won(side, distance, count);
    window.hold(distance, kept, count, this.#clock.now);
    this.#counters.mostHeld = Math.max(this.#counters.mostHeld, window.held);
  }

  /** Gives up what is missing before a number until that can wait, or is the next. False where a handler ended it all. */
  #makeRoom(sequence: number): boolean {
    const window = this.#window;
    while (window.held >= this.#options.hold) {
      const distance = this.#distance(sequence);
      if (distance <= 0) break;
      this.#counters.forced += 1;
      this.#giveUp(Math.min(distance, window.nearest()));
      if (!this.#open || !this.#begun) return false;
    }
    return true;
  }

  /** A copy, or too late; what reaches beyond all that was handed on is news nevertheless. */
  #behind(datagram: Datagram, side: number, sequence: number, count: number, distance: number): void {
    const fresh = count + distance;
    this.#races.again(side, distance, this.#clock.now);
    if (fresh <= 0 || !this.#open) return;
    this.#counters.delivered += fresh;
    this.#known = Math.max(this.#known, fresh);
    this.#covered = fresh - 1;
    this.#step();
    this.#handOn(datagram, sequence, -distance);
    this.#drain();
  }

  /** The first copy of a number has come. */
  #won(side: number, distance: number, count: number): void {
    this.#races.won(side, distance, distance < this.#known, this.#clock.now);
    this.#known = Math.max(this.#known, distance + count);
  }

  /** Goes on over what was handed on, and hands on what waited for that. */
  #drain(): void {
    const window = this.#window;
    for (;;) {
      if (!window.waits(0)) {
        if (this.#covered === 0) return;
        this.#covered -= 1;
        this.#step();
        continue;
      }
      const count = window.count(0);
      const kept = window.take();
      const skip = this.#covered;
      if (kept === undefined) continue;
      if (count <= skip) kept.release();
      else this.#handOnKept(kept, count, skip);
    }
  }

  #handOnKept(kept: KeptDatagram, count: number, skip: number): void {
    const sequence = this.#next;
    this.#counters.delivered += count - skip;
    this.#covered = count - 1;
    this.#step();
    this.#handing = sequence;
    this.#skip = skip;
    try {
      kept.lend(this.#lend);
    } catch (error) {
      this.#report(error);
    }
  }

  #step(): void {
    const next = this.#next + 1;
    this.#next = next === this.#options.modulus ? 0 : next;
    if (this.#known > 0) this.#known -= 1;
    this.#window.step();
  }

  #advance(numbers: number): void {
    for (let i = 0; i < numbers; i++) this.#step();
  }

  /** The next so many numbers are lost: by default those up to the first that waits. */
  #giveUp(missing = this.#window.nearest()): void {
    const first = this.#next;
    this.#advance(missing);
    this.#lose(first, missing);
    this.#drain();
  }

  #lose(first: number, count: number): void {
    this.#counters.lost += count;
    this.#counters.gaps += 1;
    try {
      this.#options.onLost?.(first, count);
    } catch (error) {
      this.#report(error);
    }
  }

  #arm(): void {
    this.#timer.restart(Math.max(0, this.#window.sinceMs + this.#options.waitMs - this.#clock.now));
  }

  #expire(): void {
    const { now } = this.#clock;
    while (this.#window.sinceMs + this.#options.waitMs <= now) this.#giveUp();
    if (this.#window.waiting > 0) this.#arm();
  }

  #handOn(datagram: Datagram, sequence: number, skip: number): void {
    try {
      this.#handler(datagram, sequence, skip);
    } catch (error) {
      this.#report(error);
    }
  }

  /** What a handler throws is the loop's to report: the feed goes on. */
  #report(error: unknown): void {
    this.#counters.failed += 1;
    this.#clock.after(0, () => {
      throw error;
    });
  }
}
