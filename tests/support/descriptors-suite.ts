/**
 * Invalid descriptors, by the names of the kernel's own AF_XDP test program: what the kernel does with each, seen through
 * raw sockets, and that millrace's own verbs refuse them before the kernel sees them.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { KNOWN_BAD, rangeOf } from "../../ffi/known-bad.ts";
import { getLink } from "../../ffi/net/link.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import * as abi from "../../ffi/sys/abi.ts";
import { ERRNO, errno } from "../../ffi/sys/errno.ts";
import { sendto, word } from "../../ffi/sys/libc.ts";
import { kernelVersion } from "../../ffi/sys/machine.ts";
import { SteerProgram } from "../../ffi/xdp/program.ts";
import { ConsumerRing, ProducerRing } from "../../ffi/xsk/ring.ts";
import { bindRaw, closeRaw, openRaw, readStatistics } from "../../ffi/xsk/setup.ts";
import { Loop, MAX_PACKET_CHUNKS, OwnerError, Transmitter, Umem, type XdpDevice } from "../../index.ts";
import { type Bed, skipBed, skipMultiBuffer } from "./bed.ts";
import { awaitLink, Ground } from "./ground.ts";
import { SMALL_BYTES, turnUntilQuiet } from "./pair.ts";
import { resources } from "./resources.ts";
import { numbered, numberOf, settleAccounts, turnUntil } from "./stream.ts";

const CHUNKS = 64;
const CHUNK_BYTES = 2048;
const UMEM_BYTES = CHUNKS * CHUNK_BYTES;
const PAGE_BYTES = 4096;
const RINGS = { rx: 0, tx: 128, fill: 64, completion: 128 };
/** Each bad descriptor ends a sendto, and a card takes its time: long after this it would have taken them. */
const KICK_LIMIT_MS = 2000;
const NOTHING = word(0);
/** Every option there could be, at once. */
const ALL_OPTIONS = 0xffff;

/** A descriptor as a program may write it, honest or not. */
interface Descriptor {
  readonly address: number;
  readonly high?: number;
  readonly length: number;
  readonly options?: number;
}

/** A raw sending socket: no owners, no checks, straight to the kernel. */
class RawSender {
  readonly umem = new Umem({ chunks: CHUNKS });
  readonly #raw = openRaw(this.umem, RINGS);
  readonly #tx = new ProducerRing(this.#raw.tx!.layout);
  readonly #completion = new ConsumerRing(this.#raw.completion.layout);
  #busy = 0;

  /** In the interface's namespace: that is where a socket is for life. */
  constructor(interfaceName: string, flags: number) {
    const { index, name } = getLink(interfaceName);
    bindRaw(this.#raw.fd, { ifindex: index, interface: name, queue: 0, queueCount: 1 }, flags, -1);
  }

  /** Descriptors that the kernel refused: by its counter, or, before Linux 6.6 for one of no length, by EBUSY. */
  get invalid(): number {
    return readStatistics(this.#raw.fd).txInvalidDescs + this.#busy;
  }

  /** Writes packet `number` at `address`. */
  write(number: number, address: number, lengthBytes = SMALL_BYTES): Descriptor {
    this.umem.bytes.set(numbered(number, lengthBytes), address);
    return { address, length: lengthBytes };
  }

  /** Submits descriptors and kicks until the kernel has taken them all. */
  send(descriptors: readonly Descriptor[]): void {
    const { words } = this.#tx;
    for (const [i, { address, high, length, options }] of descriptors.entries()) {
      const at = this.#tx.slot(i);
      words[at + abi.DESC_ADDRESS] = address;
      // A negative address is negative in both halves.
      words[at + abi.DESC_ADDRESS_HIGH] = high ?? (address < 0 ? -1 : 0);
      words[at + abi.DESC_LENGTH] = length;
      words[at + abi.DESC_OPTIONS] = options ?? 0;
    }
    this.#tx.advance(descriptors.length);
    this.#tx.submit();
    const end = performance.now() + KICK_LIMIT_MS;
    while (this.#tx.pending() > 0) {
      if (performance.now() > end) throw new Error(`the kernel left ${this.#tx.pending()} descriptors`);
      const status = sendto(this.#raw.fd, null, NOTHING, abi.MSG_DONTWAIT, null, 0);
      const code = status < 0 ? errno() : 0;
      // Taken from the ring and thrown away.
      if (code === ERRNO.EBUSY) this.#busy += 1;
      else if (code !== 0 && code !== ERRNO.EAGAIN) throw new Error(`sendto: errno ${code}`);
      this.#completion.release(this.#completion.peek(RINGS.completion));
    }
  }

  [Symbol.dispose](): void {
    closeRaw(this.#raw);
    this.umem.close();
  }
}

/** Each bad descriptor of xskxceiver's TEST_TYPE "invalid descriptors" in aligned mode, and the good ones beside them. */
const SINGLE: readonly (readonly [string, Descriptor, "sent" | "refused"])[] = [
  ["address 0", { address: 0, length: SMALL_BYTES }, "sent"],
  ["start - 2", { address: -2, length: SMALL_BYTES }, "refused"],
  ["too long for a chunk", { address: CHUNK_BYTES, length: CHUNK_BYTES + 1 }, "refused"],
  ["exactly to the end of the umem", { address: UMEM_BYTES - SMALL_BYTES, length: SMALL_BYTES }, "sent"],
  ["past the end", { address: UMEM_BYTES, length: SMALL_BYTES }, "refused"],
  ["far past the end", { address: 0, high: 1, length: SMALL_BYTES }, "refused"],
  ["straddling the end", { address: UMEM_BYTES - SMALL_BYTES / 2, length: SMALL_BYTES }, "refused"],
  ["straddling a page", { address: PAGE_BYTES - SMALL_BYTES / 2, length: SMALL_BYTES }, "refused"],
  ["straddling a 2K chunk", { address: CHUNK_BYTES - SMALL_BYTES / 2, length: SMALL_BYTES }, "refused"],
  ["zero length", { address: CHUNK_BYTES, length: 0 }, "refused"],
  ["length 2^32 - 1", { address: CHUNK_BYTES, length: -1 }, "refused"],
  ["unknown options", { address: CHUNK_BYTES, length: SMALL_BYTES, options: 0xfffe }, "refused"],
];
/** Where the honest neighbours lie, out of the way of every descriptor above. */
const BEFORE_AT = 8 * CHUNK_BYTES;
const AFTER_AT = 9 * CHUNK_BYTES;
const PART_AT = 16 * CHUNK_BYTES;
const CONTD = abi.XDP_PKT_CONTD;

/** A packet of three parts of which the middle one is wrong. */
const part = (i: number, more: boolean, wrong: Partial<Descriptor> = {}): Descriptor => ({
  address: PART_AT + i * CHUNK_BYTES,
  length: SMALL_BYTES,
  options: more ? CONTD : 0,
  ...wrong,
});
const MULTI: readonly (readonly [string, readonly Descriptor[]])[] = [
  ["zero length in the middle", [part(0, true), part(1, true, { length: 0 }), part(2, false)]],
  ["zero length at the start", [part(0, true, { length: 0 }), part(1, true), part(2, false)]],
  ["zero length at the end", [part(0, true), part(1, true), part(2, false, { length: 0 })]],
  [
    "bad address in the 2nd fragment",
    [part(0, true), part(1, true, { address: UMEM_BYTES }), part(2, false)],
  ],
  [
    "bad length in the 2nd fragment",
    [part(0, true), part(1, true, { length: CHUNK_BYTES + 1 }), part(2, false)],
  ],
  ["options 0xffff in the middle", [part(0, true), part(1, true, { options: ALL_OPTIONS }), part(2, false)]],
  [
    "too many fragments",
    Array.from({ length: MAX_PACKET_CHUNKS + 1 }, (_, i) => part(i, i < MAX_PACKET_CHUNKS)),
  ],
];

/** Runs the suite on a bed. Call it inside a test file. */
export const descriptorsSuite = (bed: Bed): void => {
  describe.skipIf(skipBed(bed))(bed.name, () => {
    const { multiBuffer } = bed.facts;
    const mode = bed.attach.bind === "zero-copy" ? abi.XDP_ZEROCOPY : abi.XDP_COPY;
    const shape = { quiet: true, ...(multiBuffer ? { mtu: 9000 } : {}) };
    const ground = new Ground(bed);
    afterAll(() => ground.close());

    /** Sends descriptors raw and returns the packets that arrive at the other end, `good` at least, and how many were invalid. */
    const exchange = (
      flags: number,
      good: number,
      make: (sender: RawSender) => readonly Descriptor[],
    ): { readonly arrived: readonly Uint8Array[]; readonly invalid: number } => {
      const lab = ground.lab(shape);
      using b = ground.open("b", { multiBuffer }, lab);
      using program = SteerProgram.load({ queues: 1 });
      const open = (): RawSender => {
        const { name } = lab.a;
        // With nothing in its map it passes everything on: the sender is still a raw one.
        if (bed.facts.sendsOnlyWithProgram)
          program.attach({ ifindex: getLink(name).index, interface: name, mode: bed.attach.xdp });
        return new RawSender(name, mode | flags);
      };
      using sender = inNamespace(lab.namespace("a"), open);
      const arrived: Uint8Array[] = [];
      using loop = new Loop({ mode: "spin" });
      loop.receive(b, (frame) => void arrived.push(frame.copy()));
      awaitLink(bed, lab);
      sender.send(make(sender));
      turnUntil(loop, `${good} packets`, () => arrived.length >= good);
      turnUntilQuiet(loop, 2000);
      settleAccounts(b);
      return { arrived, invalid: sender.invalid };
    };

    describe("INVALID DESCRIPTORS, aligned", () => {
      test.each(SINGLE)("%s", (_name, descriptor, verdict) => {
        const { arrived, invalid } = exchange(0, verdict === "sent" ? 3 : 2, (sender) => {
          if (verdict === "sent") sender.write(1, descriptor.address, descriptor.length);
          return [sender.write(0, BEFORE_AT), descriptor, sender.write(2, AFTER_AT)];
        });
        const numbers = verdict === "sent" ? [0, 1, 2] : [0, 2];
        expect(arrived.map(numberOf)).toEqual(numbers);
        numbers.forEach((number, i) => expect(arrived[i]).toEqual(numbered(number, SMALL_BYTES)));
        expect(invalid).toBe(verdict === "sent" ? 0 : 1);
      });

      test("all of them in one ring: the good ones arrive in order, each bad one is counted", () => {
        const good = SINGLE.length + SINGLE.filter(([, , verdict]) => verdict === "sent").length;
        const { arrived, invalid } = exchange(0, good, (sender) =>
          SINGLE.flatMap(([, descriptor, verdict], n) => {
            const honest = sender.write(n + 100, BEFORE_AT + n * CHUNK_BYTES);
            if (verdict === "sent") sender.write(n, descriptor.address);
            return [descriptor, honest];
          }),
        );
        const expected = SINGLE.flatMap(([, , verdict], n) =>
          verdict === "sent" ? [n, n + 100] : [n + 100],
        );
        expect(arrived.map(numberOf)).toEqual(expected);
        expect(invalid).toBe(SINGLE.filter(([, , verdict]) => verdict === "refused").length);
      });
    });

    describe.skipIf(skipMultiBuffer(bed))("INVALID DESCRIPTORS, multi-buffer", () => {
      const kernel = kernelVersion();
      const known = KNOWN_BAD.find(({ name }) => name === "a bad packet of several chunks is dropped whole")!;
      /** Then a packet that nobody wrote may come between the neighbours: the rest of the bad one. */
      const sendsRests = kernel !== undefined && rangeOf(known, kernel) !== undefined;

      test.each(MULTI)("%s: that packet is dropped, its neighbours are not", (_name, descriptors) => {
        const { arrived, invalid } = exchange(abi.XDP_USE_SG, 2, (sender) => [
          sender.write(0, BEFORE_AT),
          ...descriptors,
          sender.write(2, AFTER_AT),
        ]);
        const numbers = arrived.map(numberOf);
        expect(sendsRests ? numbers.filter((number) => number >= 0) : numbers).toEqual([0, 2]);
        expect(invalid).toBeGreaterThan(0);
      });

      test("the most fragments that a packet may have arrive as one packet", () => {
        const { arrived, invalid } = exchange(abi.XDP_USE_SG, 1, (sender) => {
          const packet = numbered(7, MAX_PACKET_CHUNKS * SMALL_BYTES);
          return Array.from({ length: MAX_PACKET_CHUNKS }, (_, i) => {
            const piece = part(i, i < MAX_PACKET_CHUNKS - 1);
            sender.umem.bytes.set(packet.subarray(i * SMALL_BYTES, (i + 1) * SMALL_BYTES), piece.address);
            return piece;
          });
        });
        expect(arrived).toEqual([numbered(7, MAX_PACKET_CHUNKS * SMALL_BYTES)]);
        expect(invalid).toBe(0);
      });
    });

    describe("millrace refuses before the kernel sees it", () => {
      /** Lets `work` try; then nothing was submitted, and what is sent next arrives alone and whole. */
      const untouched = (work: (a: XdpDevice) => void): void => {
        const lab = ground.lab(shape);
        const before = resources();
        {
          using a = ground.open("a", { chunks: 4096, multiBuffer }, lab);
          using b = ground.open("b", { multiBuffer }, lab);
          const queue = a.queues[0]!;
          const held = a.umem.take();
          work(a);
          expect(queue.outstanding().tx).toBe(0);
          a.umem.release(held);
          const arrived: Uint8Array[] = [];
          using loop = new Loop({ mode: "spin" });
          loop.add(a);
          loop.receive(b, (frame) => void arrived.push(frame.copy()));
          new Transmitter(queue).sendBytes(numbered(5, SMALL_BYTES));
          turnUntil(loop, "the packet", () => arrived.length > 0);
          turnUntilQuiet(loop, 2000);
          expect(arrived).toEqual([numbered(5, SMALL_BYTES)]);
          expect(queue.statistics()).toMatchObject({ txInvalidDescs: 0, txPackets: 1, completionForged: 0 });
          settleAccounts(a, b);
        }
        expect(resources()).toEqual(before);
      };

      test.each(SINGLE.filter(([, , verdict]) => verdict === "refused"))(
        "%s",
        (_name, { address, high = 0, length, options }) => {
          untouched((a) => {
            const queue = a.queues[0]!;
            // The first chunks of a fresh pool are the low ones: a frame is held where the descriptor points, if anywhere.
            const own = Array.from({ length: 4 }, () => a.umem.take());
            const total = a.umem.bytes.length;
            const moved = address >= UMEM_BYTES / 2 ? total - UMEM_BYTES + address : address;
            if (options === undefined) {
              expect(() => queue.send(moved + high * 2 ** 32, length, false)).toThrow(/cannot send/);
            } else {
              // There is no way to say options but `more`: any truth becomes XDP_PKT_CONTD alone.
              expect(() => queue.send(-1, length, options as never)).toThrow(OwnerError);
            }
            for (const at of own) a.umem.release(at);
          });
        },
      );

      test("too many fragments, and lengths that are none", () => {
        untouched((a) => {
          const sender = new Transmitter(a.queues[0]!);
          for (const length of [0, -1, 0.5, Number.NaN, sender.maxBytes + 1, 2 ** 32 + 60]) {
            expect(() => sender.send(length, () => {})).toThrow(RangeError);
          }
          expect(() => sender.sendBytes(new Uint8Array(0))).toThrow(RangeError);
          expect(() => sender.sendBytes(new Uint8Array(sender.maxBytes + 1))).toThrow(RangeError);
        });
      });
    });
  });
};
