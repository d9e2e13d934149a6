/** Claim lists against a plain model of what they mean, their change under traffic, and their limits. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Claim } from "../../ffi/xdp/claim.ts";
import { MAX_CLAIMS } from "../../ffi/xdp/claim.ts";
import { SteerProgram } from "../../ffi/xdp/program.ts";
import { claims, matches, type Packet, packets, render } from "../support/claim-model.ts";
import { ethernet, ETHERTYPE, ipv4, PROTOCOL, udp } from "../support/packets.ts";
import { skipUnless } from "../support/skip.ts";
import { openXskSlot, type XskSlot } from "../support/xsk-slot.ts";

const XDP_PASS = 2;
const XDP_REDIRECT = 4;

/** Each run changes the claims, and each change waits for the kernel: some 10 ms. */
const RUNS = 150;
const TEST_MS = 60_000;

const noRoot = skipUnless(process.getuid?.() === 0, "BPF_PROG_TEST_RUN needs root", { couldRun: true });

let program: SteerProgram;
let slot: XskSlot;

const udpTo = (to: string, port: number): Uint8Array =>
  ethernet(ETHERTYPE.ipv4, ipv4({ protocol: PROTOCOL.udp, to }, udp(port)));

const ports = fc.constantFrom<Claim>(
  { udp: 9000 },
  { udp: 9001 },
  { udp: 9002 },
  { protocol: "udp", port: 9001 },
);

/** The datagram of `udpTo`, for the model. */
const udpPacket = (to: string, port: number): Packet => ({
  kind: "ip",
  family: 4,
  from: "10.0.0.1",
  to,
  protocol: PROTOCOL.udp,
  port,
  later: false,
  tags: [],
  extensions: 0,
  ethertype: ETHERTYPE.ipv4,
});

describe.skipIf(noRoot)("claims in the kernel", () => {
  beforeAll(() => {
    program = SteerProgram.load({ queues: 1 });
    slot = openXskSlot();
    program.setSocket(0, slot.fd);
  });

  afterAll(() => {
    program?.close();
    slot?.close();
  });

  test(
    "any list judges any packets as the model does, whatever list was in force before",
    () => {
      let redirected = 0;
      let passed = 0;
      fc.assert(
        fc.property(
          fc.array(claims, { maxLength: 12 }),
          fc.array(packets, { minLength: 40, maxLength: 80 }),
          (list, sample) => {
            program.setClaims(list);
            for (const packet of sample) {
              const expected = list.some((claim) => matches(claim, packet)) ? XDP_REDIRECT : XDP_PASS;
              if (expected === XDP_REDIRECT) redirected += 1;
              else passed += 1;
              expect([packet, program.testRun(render(packet)).verdict]).toEqual([packet, expected]);
            }
          },
        ),
        { numRuns: RUNS },
      );
      // A sample in which one of the verdicts were rare would prove little.
      expect(Math.min(redirected, passed)).toBeGreaterThan((redirected + passed) / 10);
    },
    TEST_MS,
  );

  test(
    "lists that differ by a few claims, one after the other, judge as the model does",
    () => {
      // Claims to choose from: mostly ports, some of addresses, so that steps of both kinds come.
      const pool = fc.array(fc.oneof({ weight: 4, arbitrary: ports }, { weight: 1, arbitrary: claims }), {
        minLength: 4,
        maxLength: 10,
      });
      const steps = fc.array(fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }), {
        minLength: 4,
        maxLength: 8,
      });
      fc.assert(
        fc.property(
          pool,
          steps,
          fc.array(packets, { minLength: 20, maxLength: 30 }),
          (choice, chosen, sample) => {
            let list: Claim[] = [];
            for (const marks of chosen) {
              // One more or one less at a time most of all, as sockets come and go.
              const wanted = choice.filter((_, i) => marks[i]);
              const more = wanted.find((claim) => !list.includes(claim));
              const less = list.find((claim) => !wanted.includes(claim));
              if (marks[0]) list = more === undefined ? list : [...list, more];
              else if (marks[1]) list = list.filter((claim) => claim !== less);
              else list = wanted;
              program.setClaims(list);
              for (const packet of sample) {
                const expected = list.some((claim) => matches(claim, packet)) ? XDP_REDIRECT : XDP_PASS;
                expect([packet, program.testRun(render(packet)).verdict]).toEqual([packet, expected]);
              }
              for (const port of [9000, 9001, 9002]) {
                const mine = list.some((claim) => matches(claim, udpPacket("99.1.2.3", port)));
                expect([port, program.testRun(udpTo("99.1.2.3", port)).verdict === XDP_REDIRECT]).toEqual([
                  port,
                  mine,
                ]);
              }
            }
          },
        ),
        { numRuns: 40 },
      );
    },
    TEST_MS,
  );

  test(
    "ports that come and go one at a time: a table that is full is made anew, and no port is forgotten",
    () => {
      const MANY = 400;
      const judge = (port: number): number => program.testRun(udpTo("10.0.0.2", port)).verdict;
      const list: Claim[] = [];
      program.setClaims([]);
      for (let i = 0; i < MANY; i++) {
        list.push({ udp: 9000 + i });
        program.setClaims(list);
        expect(judge(9000 + i)).toBe(XDP_REDIRECT);
        expect(judge(9000 + i + 1)).toBe(XDP_PASS);
      }
      for (let i = 0; i < MANY; i++) expect(judge(9000 + i)).toBe(XDP_REDIRECT);
      while (list.length > 0) {
        const [gone] = list.splice((list.length * 7) % list.length, 1) as { udp: number }[];
        program.setClaims(list);
        expect(judge(gone!.udp)).toBe(XDP_PASS);
        for (const kept of list.slice(0, 2) as { udp: number }[]) expect(judge(kept.udp)).toBe(XDP_REDIRECT);
      }
      expect(judge(9000)).toBe(XDP_PASS);
    },
    TEST_MS,
  );

  test("the longest list there may be works in every place, one more is refused and changes nothing", () => {
    const host = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    const list: Claim[] = Array.from({ length: MAX_CLAIMS }, (_, i) => ({ udp: 9000, destination: host(i) }));
    program.setClaims(list);
    for (const i of [0, 1, 255, 256, 4095, MAX_CLAIMS - 1]) {
      expect(program.testRun(udpTo(host(i), 9000)).verdict).toBe(XDP_REDIRECT);
    }
    expect(program.testRun(udpTo(host(MAX_CLAIMS), 9000)).verdict).toBe(XDP_PASS);
    expect(() => program.setClaims([...list, { udp: 1 }])).toThrow(RangeError);
    expect(program.claims).toHaveLength(MAX_CLAIMS);
    expect(program.testRun(udpTo(host(7), 9000)).verdict).toBe(XDP_REDIRECT);
  });

  test("prefixes of every length at once find the longest", () => {
    const list: Claim[] = [];
    for (let length = 1; length <= 32; length++) {
      const address = (2 ** 32 - 2 ** (32 - length)) >>> 0;
      const text = [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
      list.push({ destination: `${text}/${length}`, source: length === 32 ? "10.0.0.1" : "9.9.9.9" });
      if (length > 7) list.pop();
    }
    list.push({ destination: "255.255.255.255", source: "10.0.0.1" });
    program.setClaims(list);
    expect(program.testRun(udpTo("255.255.255.255", 1)).verdict).toBe(XDP_REDIRECT);
    expect(program.testRun(udpTo("255.255.255.254", 1)).verdict).toBe(XDP_PASS);
    const deeper = Array.from({ length: 9 }, (_, i) => ({
      destination: `128.0.0.0/${i + 1}`,
      source: `1.1.1.${i}`,
    }));
    expect(() => program.setClaims(deeper)).toThrow(/nested more than 8 deep/);
    program.setClaims(deeper.slice(1));
    expect(program.testRun(udpTo("128.0.0.1", 1)).verdict).toBe(XDP_PASS);
  });

  test(
    "a change under load neither loses a frame that both lists claim nor takes one that neither does",
    async () => {
      const worker = new Worker(new URL("../support/steer-load.ts", import.meta.url).href);
      const said = (): Promise<MessageEvent> =>
        new Promise((resolve, reject) => {
          worker.onmessage = resolve;
          worker.onerror = (event) => reject(new Error(event.message));
        });
      const lists: readonly (readonly Claim[])[] = [
        [{ udp: 9000 }, { tcp: 1 }],
        [
          { udp: 9000, destination: "10.0.0.0/24" },
          { destination: "10.0.1.0/24", source: "1.1.1.1" },
        ],
        [{ protocol: "udp", source: "10.0.0.1", destination: "10.0.0.2" }, { ethertype: 0x88cc }],
        [{ destination: "10.0.0.2" }],
        [
          { destination: "10.0.0.0/8", source: "10.0.0.0/16" },
          ...Array.from({ length: 500 }, (_, i) => ({ udp: i + 1 })),
        ],
      ];
      // The counters of frames are shared with a program in no other test: this one starts afresh.
      using fresh = SteerProgram.load({ queues: 1 });
      fresh.setSocket(0, slot.fd);
      try {
        for (const [packet, outcome] of [
          [udpTo("10.0.0.2", 9000), "redirected"],
          [udpTo("11.0.0.2", 9001), "passed"],
        ] as const) {
          fresh.setClaims(lists[0]!);
          const before = fresh.statistics();
          const started = said();
          worker.postMessage({ fd: fresh.fd, packet });
          await started;
          for (let i = 0; i < 60; i++) {
            fresh.setClaims(lists[i % lists.length]!);
            await Bun.sleep(0);
          }
          const ended = said();
          worker.postMessage("stop");
          await ended;
          const after = fresh.statistics();
          const total =
            Object.values(after).reduce((a, b) => a + b) - Object.values(before).reduce((a, b) => a + b);
          expect(total).toBeGreaterThan(1_000_000);
          expect(after[outcome] - before[outcome]).toBe(total);
        }
      } finally {
        worker.terminate();
      }
    },
    TEST_MS,
  );
});
