/**
 * What the steering program costs a packet with 1, 100 and 10 000 claims: BPF_PROG_TEST_RUN over one UDP frame.
 */
import type { Claim } from "../../index.ts";
import { SteerProgram } from "../../ffi/xdp/program.ts";
import { frameBytes, readOptions, ready, result } from "./side.ts";

/** Runs of one measurement: a few milliseconds each, so that an interrupt does not show. */
const REPEAT = 500_000;
/** Before that, so that the program and its maps are in the caches. */
const WARMUP_REPEAT = 50_000;
/** Measurements of each, taken in turns; the least disturbed one is the cost. */
const ROUNDS = 5;
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

/** Claim 0 is the frame's own; the others are of all kinds and do not match it, but must be ruled out. */
const claim = (i: number): Claim => {
  if (i === 0) return { udp: 9000, destination: "10.0.0.2" };
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
const programs = [1, 100, 10_000].map((claims) => {
  const program = SteerProgram.load({ queues: 1 });
  program.setClaims(Array.from({ length: claims }, (_, i) => claim(i)));
  program.testRun(packet, { repeat: WARMUP_REPEAT });
  // No socket is set: a claimed frame is counted as such, so the counter shows that the claim was found.
  const { noSocket } = program.statistics();
  if (noSocket !== WARMUP_REPEAT)
    throw new Error(`${noSocket} of ${WARMUP_REPEAT} frames were claimed, of ${claims} claims`);
  return { claims, program, least: Infinity };
});
ready();
for (let round = 0; round < ROUNDS; round++) {
  for (const each of programs) {
    each.least = Math.min(each.least, each.program.testRun(packet, { repeat: REPEAT }).durationNs);
  }
}
result("claims", Object.fromEntries(programs.map(({ claims, least }) => [`ns${claims}`, least])));
for (const { program } of programs) program.close();
