/**
 * Rings of plain memory with the kernel's side played by the test: for indices, owners and addresses that no real
 * kernel would produce.
 */
import { XskSocket, type SocketHost } from "../../ffi/xsk/socket.ts";
import type { MappedRing, RawSocket } from "../../ffi/xsk/setup.ts";
import type { ProducerRing, RingLayout } from "../../ffi/xsk/ring.ts";
import { Umem } from "../../ffi/xsk/umem.ts";
import {
  ADDRESS_WORDS,
  DESC_ADDRESS,
  DESC_ADDRESS_HIGH,
  DESC_LENGTH,
  DESC_OPTIONS,
  DESC_WORDS,
} from "../../ffi/sys/abi.ts";

const PRODUCER = 0;
/** A cache line further, as in the kernel's rings. */
const CONSUMER = PRODUCER + 16;
const FLAGS = CONSUMER + 1;
const ENTRIES = CONSUMER + 16;

export interface FakeRing {
  readonly layout: RingLayout;
  readonly words: Int32Array;
  producer: number;
  consumer: number;
  flags: number;
  /** Word index of the entry with this (free-running) index. */
  at(index: number): number;
}

export const fakeRing = (size: number, entryWords: number, start = 0): FakeRing => {
  const words = new Int32Array(new ArrayBuffer((ENTRIES + size * entryWords) * 4));
  words[PRODUCER] = start;
  words[CONSUMER] = start;
  const word = (i: number) => ({
    get: () => words[i]! >>> 0,
    set: (value: number) => void (words[i] = value),
  });
  const ring = {
    words,
    layout: {
      words,
      producerAt: PRODUCER,
      consumerAt: CONSUMER,
      flagsAt: FLAGS,
      entriesAt: ENTRIES,
      entryWords,
      size,
    },
    at: (index: number) => ENTRIES + ((index >>> 0) % size) * entryWords,
  };
  Object.defineProperties(ring, { producer: word(PRODUCER), consumer: word(CONSUMER), flags: word(FLAGS) });
  return ring as typeof ring & Pick<FakeRing, "producer" | "consumer" | "flags">;
};

/** Takes one slot of a producer ring: its word index, or -1 when the ring is full. */
export const reserveOne = (ring: ProducerRing): number => {
  if (ring.free(1) === 0) return -1;
  const at = ring.slot(0);
  ring.advance(1);
  return at;
};

/** The kernel's part of one socket: it takes from fill and tx, and writes to rx and completion, as the test says. */
export class FakeKernel {
  readonly rx: FakeRing;
  readonly tx: FakeRing;
  readonly fill: FakeRing;
  readonly completion: FakeRing;
  readonly umem: Umem;
  readonly socket: XskSocket;
  readonly stalls: string[] = [];

  constructor(options: { size?: number; start?: number; chunks?: number; fillTarget?: number } = {}) {
    const { size = 16, start = 0, chunks = 64, fillTarget = size } = options;
    this.rx = fakeRing(size, DESC_WORDS, start);
    this.tx = fakeRing(size, DESC_WORDS, start);
    this.fill = fakeRing(size, ADDRESS_WORDS, start);
    this.completion = fakeRing(size, ADDRESS_WORDS, start);
    this.umem = new Umem({ chunks });
    const mapped = (ring: FakeRing): MappedRing => ({
      layout: ring.layout,
      mapping: { unmap() {} } as MappedRing["mapping"],
    });
    const raw: RawSocket = {
      // Not a descriptor: every system call on it fails with EBADF, which the socket must survive too.
      fd: -1,
      rx: mapped(this.rx),
      tx: mapped(this.tx),
      fill: mapped(this.fill),
      completion: mapped(this.completion),
    };
    const host: SocketHost = {
      pass: () => false,
      stalled: (_queue, reason) => void this.stalls.push(reason),
      recovered: () => void this.stalls.push("recovered"),
      unbound: (reason) => void this.stalls.push(reason),
    };
    this.socket = new XskSocket(raw, this.umem, host, { index: 0, needWakeup: true, fillTarget });
  }

  /** Takes the next fill address, or -1. */
  takeFill(): number {
    if (this.fill.consumer === this.fill.producer) return -1;
    const address = this.fill.words[this.fill.at(this.fill.consumer)]!;
    this.fill.consumer = (this.fill.consumer + 1) >>> 0;
    return address;
  }

  /** Delivers a descriptor as given, honest or not. */
  deliver(address: number, length: number, options = 0, addressHigh = 0): void {
    const at = this.rx.at(this.rx.producer);
    this.rx.words.set([address, addressHigh, length, options], at);
    this.rx.producer = (this.rx.producer + 1) >>> 0;
  }

  /** The same without allocating, for tests that count collections. */
  deliverPlain(address: number, length: number): void {
    const at = this.rx.at(this.rx.producer);
    const { words } = this.rx;
    words[at + DESC_ADDRESS] = address;
    words[at + DESC_ADDRESS_HIGH] = 0;
    words[at + DESC_LENGTH] = length;
    words[at + DESC_OPTIONS] = 0;
    this.rx.producer = (this.rx.producer + 1) >>> 0;
  }

  /** The address of the next tx descriptor, or -1; allocates nothing. */
  takeTxAddress(): number {
    if (this.tx.consumer === this.tx.producer) return -1;
    const at = this.tx.at(this.tx.consumer);
    this.tx.consumer = (this.tx.consumer + 1) >>> 0;
    return this.tx.words[at + DESC_ADDRESS]!;
  }

  /** Takes the next tx descriptor. */
  takeTx(): { address: number; length: number; options: number } | undefined {
    if (this.tx.consumer === this.tx.producer) return undefined;
    const at = this.tx.at(this.tx.consumer);
    this.tx.consumer = (this.tx.consumer + 1) >>> 0;
    const [address, , length, options] = this.tx.words.subarray(at, at + DESC_WORDS);
    return { address: address!, length: length!, options: options! };
  }

  complete(address: number, addressHigh = 0): void {
    const at = this.completion.at(this.completion.producer);
    this.completion.words[at] = address;
    this.completion.words[at + 1] = addressHigh;
    this.completion.producer = (this.completion.producer + 1) >>> 0;
  }
}
