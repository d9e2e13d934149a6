/**
 * Who gets a slot of the arena, who loses it, and what happens when a datagram's time is over.
 *
 * When all slots are taken the oldest datagram goes, since honest ones are whole within milliseconds: under a flood of
 * forged fragments every datagram then has the same time, the number of slots over the rate of the flood, where a random
 * choice would hit some at once. A source that has its share of slots loses its own oldest.
 */
import type { Timer } from "../../loop/timers.ts";
import type { Assembly, FragmentKey } from "./assembly.ts";
import type { Environment } from "../environment.ts";
import { type FragmentMap, units } from "./fragment-map.ts";
import { HEADER_ROOM_BYTES, type newCounts, type ReassemblyIo } from "./reassembly-options.ts";
import { type SlotArena, USE } from "./slot-arena.ts";
import { NONE } from "./slot-lists.ts";

/** The datagrams on their way, and the timer of the oldest. */
export class SlotKeeper {
  readonly #environment: Environment;
  readonly #io: ReassemblyIo;
  readonly #arena: SlotArena;
  readonly #map: FragmentMap;
  readonly #counts: ReturnType<typeof newCounts>;
  readonly #timeout4Ms: number;
  readonly #timeout6Ms: number;
  readonly #perSource: number;
  #timer: Timer | undefined;
  /** When the timer runs. */
  #timerMs = Infinity;
  #abandonedSlots = 0;

  constructor(
    environment: Environment,
    io: ReassemblyIo,
    arena: SlotArena,
    map: FragmentMap,
    counts: ReturnType<typeof newCounts>,
    limits: { readonly timeout4Ms: number; readonly timeout6Ms: number; readonly perSource: number },
  ) {
    this.#environment = environment;
    this.#io = io;
    this.#arena = arena;
    this.#map = map;
    this.#counts = counts;
    this.#timeout4Ms = limits.timeout4Ms;
    this.#timeout6Ms = limits.timeout6Ms;
    this.#perSource = limits.perSource;
  }

  /** Slots of abandoned datagrams. */
  get abandonedSlots(): number {
    return this.#abandonedSlots;
  }

  /** A slot for the datagram of `key`; `NONE` where all are handed out. */
  start(key: FragmentKey, use: number): number {
    const crowded = this.#arena.crowded(key, this.#perSource);
    if (crowded !== NONE) this.lose(crowded, "sourceEvicted");
    const slot = this.take();
    if (slot === NONE) return NONE;
    const timeoutMs = use === USE.filling4 ? this.#timeout4Ms : this.#timeout6Ms;
    this.#arena.assemblies[slot]!.reset(key, this.#environment.timers.now + timeoutMs);
    this.#arena.fill(slot, use);
    this.#counts.started += 1;
    this.#arm();
    return slot;
  }

  /** A free slot, or that of the datagram which began first; it is in no list. */
  take(): number {
    if (this.#arena.free === 0) {
      const oldest = this.#oldest();
      if (oldest !== NONE) this.lose(oldest, "evicted");
    }
    return this.#arena.take();
  }

  /** Nothing will come of this datagram, but its slot stays, so that nothing comes of later fragments either. */
  abandon(assembly: Assembly): void {
    assembly.abandoned = true;
    this.#abandonedSlots += 1;
    this.#counts.abandoned += 1;
  }

  /** Frees the slot of a datagram that will not be whole. */
  lose(slot: number, reason: "timedOut" | "evicted" | "sourceEvicted" | "unsound" | "abandoned"): void {
    const assembly = this.#arena.assemblies[slot]!;
    if (assembly.abandoned) this.#abandonedSlots -= 1;
    else this.#counts[reason] += 1;
    this.#map.clear(slot, units(assembly.furthest));
    this.#arena.release(slot);
  }

  /** Loses all datagrams, tells nobody, and cancels the timer. Idempotent. */
  close(): void {
    this.#timer?.cancel();
    this.#timerMs = Infinity;
    const { uses } = this.#arena;
    for (const use of [USE.filling4, USE.filling6]) {
      for (let slot = uses.first(use); slot !== NONE; slot = uses.first(use)) this.lose(slot, "abandoned");
    }
  }

  #oldest(): number {
    const { uses, assemblies } = this.#arena;
    const first4 = uses.first(USE.filling4);
    const first6 = uses.first(USE.filling6);
    if (first4 === NONE || first6 === NONE) return first4 === NONE ? first6 : first4;
    const began4 = assemblies[first4]!.deadlineMs - this.#timeout4Ms;
    return began4 <= assemblies[first6]!.deadlineMs - this.#timeout6Ms ? first4 : first6;
  }

  /** Sets the timer where the next datagram's time ends before it would run. */
  #arm(): void {
    const nextMs = Math.min(this.#endOf(USE.filling4), this.#endOf(USE.filling6));
    if (nextMs >= this.#timerMs) return;
    this.#timerMs = nextMs;
    const { timers } = this.#environment;
    const ms = Math.max(0, nextMs - timers.now);
    if (this.#timer === undefined) this.#timer = timers.after(ms, () => this.#expire());
    else this.#timer.restart(ms);
  }

  /** When the first datagram of a family ends. */
  #endOf(use: number): number {
    const slot = this.#arena.uses.first(use);
    return slot === NONE ? Infinity : this.#arena.assemblies[slot]!.deadlineMs;
  }

  #expire(): void {
    this.#timerMs = Infinity;
    const { now } = this.#environment.timers;
    for (const use of [USE.filling4, USE.filling6]) {
      while (this.#endOf(use) <= now) this.#timeOut(this.#arena.uses.first(use));
    }
    this.#arm();
  }

  #timeOut(slot: number): void {
    const { headerBytes, firstBytes, abandoned, key } = this.#arena.assemblies[slot]!;
    const at = this.#arena.base(slot) + HEADER_ROOM_BYTES - headerBytes;
    // Out of all lists, so that the slot is nobody's while others are told.
    this.#arena.withdraw(slot);
    // An abandoned one is passed over in silence (RFC 5722 section 4).
    if (headerBytes > 0 && !abandoned)
      this.#io.expired(this.#arena.view, at, headerBytes + firstBytes, key.zone);
    this.lose(slot, "timedOut");
  }
}
