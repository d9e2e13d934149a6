/**
 * A umem made of memory: its chunks, the owner of each, and the pool that free ones are taken from.
 *
 * The owner byte is checked at every change of hands, so a chunk that is released twice, sent after it was released or
 * lost on the way is an error at that moment and not a corrupt packet later.
 */
import type { Accounts, Umem } from "./device.ts";

/** Who holds a chunk. */
export const OWNER = { pool: 0, fill: 1, lent: 2, kept: 3, tx: 4 } as const;

export type Owner = (typeof OWNER)[keyof typeof OWNER];

const OWNER_NAME: Readonly<Record<number, keyof typeof OWNER>> = {
  [OWNER.pool]: "pool",
  [OWNER.fill]: "fill",
  [OWNER.lent]: "lent",
  [OWNER.kept]: "kept",
  [OWNER.tx]: "tx",
};

export interface UmemOptions {
  /** A power of two, 128 to 65536. Default: 2048, as the kernel's. */
  readonly chunkBytes?: number;
  /** 1 to 2^20. Default: 4096. */
  readonly chunkCount?: number;
  /** Room in front of each packet; less than a chunk. Default: 256, the kernel's XDP_PACKET_HEADROOM. */
  readonly headroomBytes?: number;
}

/** Room for an Ethernet header and the smallest IPv6 packet with a transport header. */
export const MIN_CHUNK_BYTES = 128;
/** The largest an IP packet can be; larger chunks would never be filled. */
export const MAX_CHUNK_BYTES = 65536;
export const MAX_CHUNKS = 1 << 20;
/** A umem is one ArrayBuffer and its offsets are int32. */
export const MAX_UMEM_BYTES = 2 ** 31;

const DEFAULT_CHUNK_BYTES = 2048;
const DEFAULT_CHUNKS = 4096;
const DEFAULT_HEADROOM_BYTES = 256;

/** Chunks that a device's rings say they hold, for the comparison with the owner bytes. */
export interface ChunkHolder {
  readonly fillChunks: number;
  readonly txChunks: number;
}

/** Chunks in memory; see `Umem` for what each call does. */
export class MemoryUmem implements Umem {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly chunkBytes: number;
  readonly headroomBytes: number;
  readonly chunkCount: number;
  readonly roomBytes: number;
  readonly #shift: number;
  readonly #owners: Uint8Array;
  /** Numbers of the free chunks, the next one last: the chunk used last is still in the cache. */
  readonly #free: Int32Array;
  readonly #holders = new Set<ChunkHolder>();
  #freeCount: number;
  #poolEmpty = 0;

  constructor(options: UmemOptions = {}) {
    this.chunkBytes = whole(
      "chunkBytes",
      options.chunkBytes ?? DEFAULT_CHUNK_BYTES,
      MIN_CHUNK_BYTES,
      MAX_CHUNK_BYTES,
    );
    if ((this.chunkBytes & (this.chunkBytes - 1)) !== 0) {
      throw new RangeError(`chunkBytes is a power of two, not ${this.chunkBytes}`);
    }
    this.chunkCount = whole("chunkCount", options.chunkCount ?? DEFAULT_CHUNKS, 1, MAX_CHUNKS);
    this.headroomBytes = whole(
      "headroomBytes",
      options.headroomBytes ?? Math.min(DEFAULT_HEADROOM_BYTES, this.chunkBytes >> 1),
      0,
      this.chunkBytes - 1,
    );
    const total = this.chunkBytes * this.chunkCount;
    if (total > MAX_UMEM_BYTES)
      throw new RangeError(`a umem is at most ${MAX_UMEM_BYTES} bytes, not ${total}`);
    this.roomBytes = this.chunkBytes - this.headroomBytes;
    this.#shift = 31 - Math.clz32(this.chunkBytes);
    const buffer = new ArrayBuffer(total);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.#owners = new Uint8Array(new ArrayBuffer(this.chunkCount));
    this.#free = new Int32Array(new ArrayBuffer(this.chunkCount * Int32Array.BYTES_PER_ELEMENT));
    for (let i = 0; i < this.chunkCount; i++) this.#free[i] = this.chunkCount - 1 - i;
    this.#freeCount = this.chunkCount;
  }

  get available(): number {
    return this.#freeCount;
  }

  /** Times that `take` or a fill found the pool empty. */
  get poolEmpty(): number {
    return this.#poolEmpty;
  }

  take(): number {
    return this.takeFor(OWNER.lent);
  }

  keep(address: number): void {
    this.move(address, OWNER.lent, OWNER.kept);
  }

  release(address: number): void {
    const chunk = this.#chunkOf(address);
    const owner = this.#owners[chunk];
    if (owner !== OWNER.lent && owner !== OWNER.kept) this.#wrongOwner("release", address, "lent or kept");
    this.#toPool(chunk);
  }

  /** pool -> `owner`: for devices. -1 when the pool is empty (counted). */
  takeFor(owner: Owner): number {
    if (this.#freeCount === 0) {
      this.#poolEmpty += 1;
      return -1;
    }
    this.#freeCount -= 1;
    const chunk = this.#free[this.#freeCount]!;
    this.#owners[chunk] = owner;
    return (chunk << this.#shift) + this.headroomBytes;
  }

  /** `from` -> `to`: for devices. Throws where the chunk is not with `from`. */
  move(address: number, from: Owner, to: Owner): void {
    const chunk = this.#chunkOf(address);
    if (this.#owners[chunk] !== from)
      this.#wrongOwner(`move to ${OWNER_NAME[to]}`, address, OWNER_NAME[from]!);
    if (to === OWNER.pool) this.#toPool(chunk);
    else this.#owners[chunk] = to;
  }

  /** lent or kept -> tx: for devices. Throws where the chunk is neither, or the bytes don't lie within it. */
  accept(address: number, length: number): void {
    const chunk = this.#chunkOf(address);
    const owner = this.#owners[chunk];
    if (owner !== OWNER.lent && owner !== OWNER.kept) this.#wrongOwner("send", address, "lent or kept");
    if (!(length >= 1 && (address & (this.chunkBytes - 1)) + length <= this.chunkBytes)) {
      throw new RangeError(`cannot send ${length} bytes at ${address}: they don't lie within a chunk`);
    }
    this.#owners[chunk] = OWNER.tx;
  }

  /** lent -> pool where it is still lent, nothing otherwise: the end of a burst. */
  settle(address: number): void {
    const chunk = this.#chunkOf(address);
    if (this.#owners[chunk] === OWNER.lent) this.#toPool(chunk);
  }

  /** Who holds the chunk that `address` lies in. */
  ownerOf(address: number): Owner {
    return this.#owners[this.#chunkOf(address)] as Owner;
  }

  /** Makes a device's rings part of `accounts`; returns the way out. */
  register(holder: ChunkHolder): () => void {
    this.#holders.add(holder);
    return () => void this.#holders.delete(holder);
  }

  accounts(): Accounts {
    const count = [0, 0, 0, 0, 0];
    for (const owner of this.#owners) count[owner]! += 1;
    const accounts = {
      pool: count[OWNER.pool]!,
      fill: count[OWNER.fill]!,
      lent: count[OWNER.lent]!,
      kept: count[OWNER.kept]!,
      tx: count[OWNER.tx]!,
      total: this.chunkCount,
    };
    let fill = 0;
    let tx = 0;
    for (const holder of this.#holders) {
      fill += holder.fillChunks;
      tx += holder.txChunks;
    }
    this.#compare("pool", accounts.pool, this.#freeCount);
    this.#compare("fill", accounts.fill, fill);
    this.#compare("tx", accounts.tx, tx);
    return accounts;
  }

  #toPool(chunk: number): void {
    this.#owners[chunk] = OWNER.pool;
    this.#free[this.#freeCount] = chunk;
    this.#freeCount += 1;
  }

  #chunkOf(address: number): number {
    const chunk = address >> this.#shift;
    if (Number.isInteger(address) && chunk >= 0 && chunk < this.chunkCount) return chunk;
    throw new RangeError(`address ${address} is outside this umem of ${this.bytes.length} bytes`);
  }

  #wrongOwner(use: string, address: number, wanted: string): never {
    const owner = OWNER_NAME[this.#owners[this.#chunkOf(address)]!];
    throw new Error(`cannot ${use} the chunk at ${address}: its owner is ${owner}, not ${wanted}`);
  }

  #compare(name: string, owners: number, rings: number): void {
    if (owners !== rings)
      throw new Error(`accounts disagree: ${owners} chunks are owned by ${name}, which holds ${rings}`);
  }
}

const whole = (name: string, value: number, least: number, most: number): number => {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${String(value)}`);
};
