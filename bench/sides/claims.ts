/**
 * What the steering program costs a packet with 1, 100 and 10 000 claims: BPF_PROG_TEST_RUN over one UDP frame.
 */
import type { Claim } from "../../index.ts";
import { SteerProgram } from "../../ffi/xdp/program.ts";
import { frameBytes, readOptions, ready, result } from "./side.ts";

/** Runs of one measurement: a few milliseconds each, so that an interrupt does not show. */
const REPEAT = 200_000;
/** Before that, so that the program and its maps are in the caches. */
const WARMUP_REPEAT = 50_000;
/** Measurements of each, taken in turns; the least disturbed one is the cost. */
const ROUNDS = 7;
/** 10.64.0.0, and how many bits below it the other claims are spread over, by an odd multiplier (2^32 / golden ratio). */
const PREFIX_BASE = 0x0a400000;
const BITS_OF_SPREAD = 22;
const SPREAD = 0x9e3779b1;
const LEAST_PREFIX = 12;
const PREFIXES = 21;
/** The ports that the other claims name lie above the one that the frame goes to. */
const FIRST_PORT = 10_000;
const PORTS = 50_000;

/** 10.64.0.0/12 and longer ones inside 10.64.0.0/10, spread by `i`. */
const prefixOf = (i: number): string => {
  const length = LEAST_PREFIX + (i % PREFIXES);
  const bits = (Math.imul(i, SPREAD) >>> (32 - BITS_OF_SPREAD)) | PREFIX_BASE;
  const address = (bits & ~(2 ** (32 - length) - 1)) >>> 0;
  return `${[24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".")}/${length}`;
};

/** The frame's own claim stands first in every list; the others do not match it, but must be ruled out. */
const OWN: Claim = { udp: 9000, destination: "10.0.0.2" };

/** Of the same kind as the frame's own: a port at a host. Tells what the number of claims costs. */
const alike = (i: number): Claim => ({
  udp: FIRST_PORT + (i % PORTS),
  destination: `10.1.${(i >>> 8) & 0xff}.${i & 0xff}`,
});

/** Of all kinds, with prefixes of many lengths. Tells what their variety costs. */
const mixed = (i: number): Claim => {
  const port = FIRST_PORT + (i % PORTS);
  const prefix = prefixOf(i);
  const kinds: readonly Claim[] = [
    { udp: port },
    { destination: prefix },
    { tcp: port, destination: prefix },
    { udp: port, source: prefix },
    { udp: port, destination: `2001:db8:${(i % 0xffff).toString(16)}::/48` },
  ];
  return kinds[i % kinds.length]!;
};

const options = readOptions();
const packet = frameBytes(options.packet);

const load = (metric: string, claims: number, kind: (i: number) => Claim) => {
  const program = SteerProgram.load({ queues: 1 });
  program.setClaims([OWN, ...Array.from({ length: claims - 1 }, (_, i) => kind(i + 1))]);
  program.testRun(packet, { repeat: WARMUP_REPEAT });
  // No socket is set: a claimed frame is counted as such, so the counter shows that the claim was found.
  const { noSocket } = program.statistics();
  if (noSocket !== WARMUP_REPEAT)
    throw new Error(`${noSocket} of ${WARMUP_REPEAT} frames were claimed (${metric})`);
  return { metric, program, least: Infinity };
};

const programs = [
  load("one", 1, alike),
  load("hundred", 100, alike),
  load("tenThousand", 10_000, alike),
  load("mixed", 10_000, mixed),
];
ready();
for (let round = 0; round < ROUNDS; round++) {
  for (const each of programs) {
    each.least = Math.min(each.least, each.program.testRun(packet, { repeat: REPEAT }).durationNs);
  }
}
result("claims", Object.fromEntries(programs.map(({ metric, least }) => [metric, least])));
for (const { program } of programs) program.close();
