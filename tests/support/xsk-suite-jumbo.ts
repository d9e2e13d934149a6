/** The part of the suite of AF_XDP tests that is about packets above one chunk, and about drivers that have none. */
import { expect, test } from "bun:test";
import { Loop, SystemError, Transmitter } from "../../index.ts";
import { skipMultiBuffer, where } from "./bed.ts";
import type { Ground } from "./ground.ts";
import type { LabOptions } from "./lab.ts";
import { numbered, settleAccounts, stream, turnUntil } from "./stream.ts";

const SMALL = 60;
const ETHERNET_BYTES = 14;
/** One chunk of 4096 holds it on every card: an igb makes 3072 bytes of it (ffi/whole-frames.ts). */
const LARGE_MTU = 2900;
const JUMBO: LabOptions = { quiet: true, mtu: 9000 };
/** Packets of five chunks each: 32 of them are well within every ring. */
const WINDOW = 32;

/** Declares the tests; call it inside the suite of the ground's bed. */
export const jumboTests = (ground: Ground): void => {
  const without = !ground.bed.facts.multiBuffer;
  const skip = skipMultiBuffer(ground.bed);
  const refuses = ground.bed.facts.smallChunks === "is refused";

  test.skipIf(skip)("SEND_RECEIVE_9K_PACKETS: several chunks each, whole packets only", () => {
    const jumbo = ground.lab(JUMBO);
    ground.between(
      (a, b) => {
        expect(b.mode.multiBuffer).toBe(true);
        stream(a, b, {
          count: 1000,
          length: (n) => 60 + ((n * 977) % (9000 + ETHERNET_BYTES - 60)),
          window: WINDOW,
        });
        stream(a, b, { count: 200, length: () => 9000 + ETHERNET_BYTES, window: WINDOW });
      },
      { multiBuffer: true },
      jumbo,
    );
  });

  test.skipIf(skip)("9K packets in chunks of 4096, sent back in place", () => {
    const jumbo = ground.lab(JUMBO);
    ground.between(
      (a, b) => {
        using loop = new Loop({ mode: "spin" });
        let back = 0;
        loop.receive(b, (frame) => {
          expect(frame.chunks).toBe(3);
          frame.send();
        });
        loop.receive(a, (frame) => {
          expect(frame.copy()).toEqual(numbered(back, 9000));
          back += 1;
        });
        const sender = new Transmitter(a.queues[0]!);
        let sent = 0;
        turnUntil(loop, "all to come back", () => {
          while (sent < 200 && sent - back < WINDOW && sender.sendBytes(numbered(sent, 9000))) sent += 1;
          return back === 200;
        });
      },
      { multiBuffer: true, chunkBytes: 4096 },
      jumbo,
    );
  });

  where(!refuses && !without)(
    "without multi-buffer a 9K packet is dropped and counted, the next one arrives",
    () => {
      const jumbo = ground.lab(JUMBO);
      using a = ground.open("a", {}, jumbo);
      using b = ground.open("b", { multiBuffer: false }, jumbo);
      expect(b.mode.multiBuffer).toBe(false);
      const sender = new Transmitter(a.queues[0]!);
      sender.sendBytes(numbered(0, 9000));
      sender.sendBytes(numbered(1, SMALL));
      using loop = new Loop({ mode: "spin" });
      loop.add(a);
      const lengths: number[] = [];
      loop.receive(b, (frame) => void lengths.push(frame.length));
      turnUntil(loop, "the small packet", () => lengths.length > 0);
      expect(lengths).toEqual([SMALL]);
      expect(b.statistics().rxDropped).toBe(1);
      settleAccounts(a, b);
    },
  );

  test("frames far above 1500 bytes in one chunk of 4096, without multi-buffer", () => {
    const large = ground.lab({ quiet: true, mtu: LARGE_MTU });
    const longest = LARGE_MTU + ETHERNET_BYTES;
    ground.between(
      (a, b) => {
        expect([a.mode.multiBuffer, b.mode.multiBuffer]).toEqual([false, false]);
        stream(a, b, { count: 500, length: (n) => SMALL + ((n * 977) % (longest - SMALL)), window: WINDOW });
        stream(b, a, { count: 100, length: () => longest, window: WINDOW });
      },
      { multiBuffer: false, chunkBytes: 4096 },
      large,
    );
  });

  where(without)("no multi-buffer: refused where it is insisted on, and the errno says by whom", () => {
    let caught: unknown;
    try {
      ground.open("b", { multiBuffer: true }).close();
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(SystemError);
    // A driver that has none for zero-copy, or a kernel that does not know the flag.
    const zeroCopy = ground.bed.attach.bind === "zero-copy";
    expect((caught as SystemError).code).toBe(zeroCopy ? "EOPNOTSUPP" : "EINVAL");
    using b = ground.open("b");
    expect(b.mode.multiBuffer).toBe(false);
  });

  where(refuses)("an MTU of 9000 without multi-buffer: no bind, and nothing left behind", () => {
    const jumbo = ground.lab(JUMBO);
    expect(() => ground.open("b", { multiBuffer: false }, jumbo)).toThrow(SystemError);
    const ordinary = ground.lab();
    ground.between((a, b) => stream(a, b, { count: 100, length: () => SMALL }), {}, ordinary);
  });
};
