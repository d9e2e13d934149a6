/**
 * The umem: memory shared with the kernel, cut into chunks, and who owns each chunk.
 *
 * Every chunk has one owner byte, checked at each hand-over, so that an address that the kernel makes up, a frame
 * released twice or one used after it was sent is found where it happens. What the kernel holds is tagged with the
 * socket that gave it, so that a frame can only come back the way it went, and a closing socket takes back its own.
 */
import { XDP_PACKET_HEADROOM } from "../sys/abi.ts";
import { errno, SystemError } from "../sys/errno.ts";
import { mapAnonymous, PAGE_BYTES, type Mapping } from "../sys/memory.ts";
import { Departed, type LetGo } from "./departed.ts";
import { checkUmemOptions, type UmemOptions } from "./umem-options.ts";

/** Owners. What the kernel holds is `FILL` or `TX` plus the socket's slot times `SLOT_STEP`. */
const POOL = 0;
/** With a handler. Exported for the one loop that writes owner bytes outside this file: a socket's `receive`. */
export const LENT = 1;
const KEPT = 2;
const FILL = 3;
const TX = 4;
const SLOT_STEP = 8;
const OWNER_MASK = SLOT_STEP - 1;

/** Sockets on one umem: as many as the owner byte has room for beside the five owners. */
export const MAX_SOCKETS_PER_UMEM = 256 / SLOT_STEP;

/** Where every chunk is; the parts add up to `total`. */
export interface UmemAccounts {
  readonly pool: number;
  readonly fill: number;
  readonly lent: number;
  readonly kept: number;
  readonly tx: number;
  readonly total: number;
}

/** A chunk was handed over by someone who does not own it: a bug of the program, not of the system. */
export class OwnerError extends Error {
  override readonly name = "OwnerError";
}

const OWNER_NAMES = [
  "in the pool",
  "lent to a handler",
  "kept under a lease",
  "with the kernel to receive into",
  "queued for sending",
];

/** How many chunks a socket says it gave to the kernel and has not had back. */
export interface Outstanding {
  readonly fill: number;
  readonly tx: number;
}

/** A socket as its umem knows it. */
export interface Member {
  /** Its file descriptor once it is bound, -1 before. */
  readonly boundFd: number;
  outstanding(): Outstanding;
}

/** A umem of AF_XDP sockets. Made by `attach`, or by hand to be shared by several devices. */
export class Umem {
  readonly chunkBytes: number;
  readonly headroomBytes: number;
  readonly chunkCount: number;
  readonly roomBytes: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The owner byte of each chunk. For sockets. */
  readonly owners: Uint8Array;
  /** log2 of `chunkBytes`. */
  readonly shift: number;
  /** What the first socket negotiated; those that share the umem later inherit it (af_xdp.rst, XDP_SHARED_UMEM). */
  negotiated:
    { readonly needWakeup: boolean; readonly multiBuffer: boolean; readonly zeroCopy: boolean } | undefined;
  readonly #mapping: Mapping;
  readonly #free: Int32Array;
  readonly #sockets: (Member | undefined)[] = [];
  readonly #departed = new Departed((slot) => this.#takeBack(slot));
  #height: number;
  #kept = 0;
  #takeFailures = 0;
  #closing = false;

  constructor(options: UmemOptions) {
    const { chunks, chunkBytes, headroomBytes, hugePages } = checkUmemOptions(options);
    const chunksPerPage = PAGE_BYTES / chunkBytes;
    this.chunkBytes = chunkBytes;
    this.shift = 31 - Math.clz32(chunkBytes);
    this.headroomBytes = XDP_PACKET_HEADROOM + headroomBytes;
    this.roomBytes = chunkBytes - this.headroomBytes;
    this.chunkCount = Math.ceil(chunks / chunksPerPage) * chunksPerPage;
    const lengthBytes = this.chunkCount * chunkBytes;
    const mapping = mapAnonymous(lengthBytes, { huge: hugePages });
    if (mapping === null) {
      throw new SystemError({
        operation: `map ${lengthBytes} bytes for a umem`,
        operands: { chunks: this.chunkCount, chunkBytes, hugePages },
        errno: errno(),
        remedy: hugePages
          ? "reserve huge pages in /proc/sys/vm/nr_hugepages, or leave hugePages out"
          : "ask for fewer chunks, or free memory",
      });
    }
    this.#mapping = mapping;
    this.bytes = new Uint8Array(mapping.buffer);
    this.view = new DataView(mapping.buffer);
    this.owners = new Uint8Array(new ArrayBuffer(this.chunkCount));
    this.#free = new Int32Array(new ArrayBuffer(this.chunkCount * Int32Array.BYTES_PER_ELEMENT));
    // Handed out from the low end first: a program with few frames in flight stays in few pages.
    for (let i = 0; i < this.chunkCount; i++) this.#free[i] = (this.chunkCount - 1 - i) << this.shift;
    this.#height = this.chunkCount;
  }

  get available(): number {
    return this.#height;
  }

  /** False once it is closed and its memory is gone. */
  get open(): boolean {
    return this.#mapping.open;
  }

  /** Times that `take` found the pool empty. */
  get takeFailures(): number {
    return this.#takeFailures;
  }

  /** True from `close` on, while the sockets that use it may still be open. */
  get closing(): boolean {
    return this.#closing;
  }

  /** The area as the kernel is told of it. */
  get area(): { readonly address: number; readonly lengthBytes: number } {
    return this.#mapping;
  }

  /** A file descriptor of a bound socket of this umem, for XDP_SHARED_UMEM; -1 when there is none. */
  get sharedFd(): number {
    return this.#sockets.find((socket) => socket !== undefined && socket.boundFd >= 0)?.boundFd ?? -1;
  }

  take(): number {
    if (this.#height === 0) {
      this.#takeFailures += 1;
      return -1;
    }
    const chunk = this.#free[--this.#height]!;
    this.owners[chunk >>> this.shift] = LENT;
    return chunk + this.headroomBytes;
  }

  keep(address: number): void {
    if (this.#ownerOf(address) !== LENT) this.#refuse("keep", address);
    this.owners[address >>> this.shift] = KEPT;
    this.#kept += 1;
  }

  release(address: number): void {
    const owner = this.#ownerOf(address);
    if (owner === KEPT) this.#kept -= 1;
    else if (owner !== LENT) {
      // Its memory went back with the umem: there is nothing left to release.
      if (!this.open) return;
      this.#refuse("release", address);
    }
    this.#toPool(address >>> this.shift);
  }

  /** lent -> pool, for a chunk (not an address) whose owner the caller has just seen. */
  put(chunk: number): void {
    this.#toPool(chunk);
  }

  /** pool -> the owner `tag`: a chunk's address; only while `available` says that there is one. */
  takeFor(tag: number): number {
    const address = this.#free[--this.#height]!;
    this.owners[address >>> this.shift] = tag;
    return address;
  }

  /** lent or kept -> tx of the socket with this tag; throws for a chunk that is neither or bytes outside its chunk. */
  giveToTx(address: number, lengthBytes: number, tag: number): void {
    this.checkHeld("send", address, lengthBytes);
    const chunk = address >>> this.shift;
    if (this.owners[chunk] === KEPT) this.#kept -= 1;
    this.owners[chunk] = tag;
  }

  /** Throws unless these are whole bytes of one chunk that is lent or kept. */
  checkHeld(verb: string, address: number, lengthBytes: number): void {
    const owner = this.#ownerOf(address);
    if (owner !== LENT && owner !== KEPT) this.#refuse(verb, address);
    const length = lengthBytes | 0;
    if (
      length !== lengthBytes ||
      length <= 0 ||
      (address & (this.chunkBytes - 1)) + length > this.chunkBytes
    ) {
      throw new RangeError(
        `cannot ${verb} ${lengthBytes} bytes at ${address}: they are not inside one chunk`,
      );
    }
  }

  /** tx of the socket with this tag -> pool; false for an address that the kernel cannot have had from it. */
  takeFromTx(address: number, tag: number): boolean {
    const chunk = address >>> this.shift;
    if (this.owners[chunk] !== tag) return false;
    this.#toPool(chunk);
    return true;
  }

  /** Registers a socket; its slot makes the tags of what it gives to the kernel. */
  join(socket: Member): number {
    if (this.#closing) throw new OwnerError("this umem is closed: no socket can join it");
    for (let slot = 0; slot < MAX_SOCKETS_PER_UMEM; slot++) {
      if (this.#sockets[slot] !== undefined) continue;
      this.#sockets[slot] = socket;
      return slot;
    }
    throw new RangeError(`one umem serves at most ${MAX_SOCKETS_PER_UMEM} sockets`);
  }

  fillTag(slot: number): number {
    return FILL + slot * SLOT_STEP;
  }

  txTag(slot: number): number {
    return TX + slot * SLOT_STEP;
  }

  /** True where the memory ends with this slot's socket: it is closed, and no other open socket uses it. */
  endsWith(slot: number): boolean {
    return this.#closing && !this.#used(slot);
  }

  /**
   * A socket has closed. What the kernel had of it goes to the pool at once, or, where `watch` says that a device may still
   * reach it, when the driver has let go: until then it stays in the books as the kernel's, and the slot taken.
   */
  leave(slot: number, watch?: LetGo): void {
    if (this.#sockets[slot] === undefined) return;
    if (watch === undefined) this.#takeBack(slot);
    else this.#departed.add(slot, watch);
    if (this.#closing) this.#unmapIfUnused();
  }

  /** fill of the socket with this tag -> pool, all of it. */
  takeBackAll(tag: number): void {
    for (let chunk = 0; chunk < this.chunkCount; chunk++) if (this.owners[chunk] === tag) this.#toPool(chunk);
  }

  /** Queues whose sockets are closed, but whose drivers may still write into chunks of this umem: those wait outside the pool. */
  get departing(): readonly string[] {
    return this.#departed.names;
  }

  /** Takes back what drivers have let go of by now; waits for the rest, `limitMs` at the most (blocks). True when none is left. */
  awaitDeparted(limitMs = 0): boolean {
    return this.#departed.await(limitMs);
  }

  accounts(): UmemAccounts {
    this.#departed.look();
    const counts = [0, 0, 0, 0, 0];
    const bySlot = new Map<number, { fill: number; tx: number }>();
    for (const owner of this.owners) {
      const kind = owner & OWNER_MASK;
      counts[kind]! += 1;
      if (kind !== FILL && kind !== TX) continue;
      const slot = (owner - kind) / SLOT_STEP;
      const held = bySlot.get(slot) ?? { fill: 0, tx: 0 };
      held[kind === FILL ? "fill" : "tx"] += 1;
      bySlot.set(slot, held);
    }
    this.#audit(counts, bySlot);
    const [pool, lent, kept, fill, tx] = counts as [number, number, number, number, number];
    return { pool, fill, lent, kept, tx, total: pool + fill + lent + kept + tx };
  }

  /** Throws OwnerError once the memory has gone back: a lease that outlived it is used. `verb` is the use. */
  assertOpen(verb: string): void {
    if (!this.open) throw new OwnerError(`cannot ${verb} a frame: its umem is closed`);
  }

  /** Frees the memory when the last open socket has left. Idempotent. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#unmapIfUnused();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #takeBack(slot: number): void {
    this.#sockets[slot] = undefined;
    this.takeBackAll(this.fillTag(slot));
    this.takeBackAll(this.txTag(slot));
  }

  /** True while a socket uses it that has not been closed, other than that of slot `except`. */
  #used(except = -1): boolean {
    return this.#sockets.some(
      (socket, slot) => socket !== undefined && slot !== except && !this.#departed.has(slot),
    );
  }

  /**
   * Does not wait for drivers: the kernel has pinned the pages (pin_user_pages in net/xdp/xdp_umem.c), so that a late write
   * goes to a page that nobody else gets before the driver is done.
   */
  #unmapIfUnused(): void {
    if (this.#used()) return;
    this.#departed.close();
    this.#mapping.unmap();
    this.#height = 0;
    this.#kept = 0;
    this.owners.fill(POOL);
  }

  /** Undefined outside the umem. What is not an int32 (NaN, a fraction, 2^32) would otherwise be taken for another address. */
  #ownerOf(address: number): number | undefined {
    return (address | 0) === address ? this.owners[address >>> this.shift] : undefined;
  }

  #toPool(chunk: number): void {
    this.owners[chunk] = POOL;
    this.#free[this.#height++] = chunk << this.shift;
  }

  /** Holds the owner bytes against what was counted elsewhere: the pool's stack, the leases, each socket's rings. */
  #audit(counts: readonly number[], bySlot: ReadonlyMap<number, Outstanding>): void {
    const wrong: string[] = [];
    const compare = (what: string, owners: number, counted: number): void => {
      if (owners !== counted) wrong.push(`${what}: ${owners} by owner, ${counted} by count`);
    };
    if (this.open) compare("pool", counts[POOL]!, this.#height);
    compare("kept", counts[KEPT]!, this.#kept);
    const listed = new Set(this.#free.subarray(0, this.#height));
    compare("distinct chunks in the pool", listed.size, this.#height);
    for (let slot = 0; slot < MAX_SOCKETS_PER_UMEM; slot++) {
      const held = bySlot.get(slot) ?? { fill: 0, tx: 0 };
      const said = this.#sockets[slot]?.outstanding() ?? { fill: 0, tx: 0 };
      compare(`fill of socket ${slot}`, held.fill, said.fill);
      compare(`tx of socket ${slot}`, held.tx, said.tx);
    }
    if (wrong.length > 0) throw new OwnerError(`the umem's books do not agree: ${wrong.join("; ")}`);
  }

  #refuse(verb: string, address: number): never {
    this.assertOpen(verb);
    const owner = this.#ownerOf(address);
    const state = owner === undefined ? "outside the umem" : OWNER_NAMES[owner & OWNER_MASK];
    throw new OwnerError(`cannot ${verb} the frame at ${address}: it is ${state}`);
  }
}
