/**
 * Packets that contradict themselves, scans and floods by nmap, nping and hping3: each ends in the counter with its name,
 * and the service goes on.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type HostStatistics, IpAddress } from "../../index.ts";
import { A4, ATTACKS, B4, B6, BAD_FRAGMENTS, BAD_FRAMES, NO_PROTOCOL, PORT } from "../support/bad-packets.ts";
import { HostBed, isQuoted } from "../support/host-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { need, nmap, nping, ping, runTool } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const FAMILIES = [4, 6] as const;
const FIRST_SOURCE_PORT = 41_000;
const FLOOD_FRAMES = 20_000;
/** Of each kind that hping3 makes. */
const ENOUGH = 10;
/** What a host remembers of its link unless it is told otherwise: neighbours, those of them that it searches for, packets that wait. */
const NEIGHBOURS = 1024;
const UNRESOLVED = 256;
const PARKED = 256;
/** So that only what one peer gets is limited, and floods from everywhere reach the neighbour cache. */
const ICMP_RATE = { global: { perSecond: 100_000, burst: 100_000 } };

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !need("nmap", "nping", "hping3", "ping", "socat", "tcpdump", "tshark");

describe.skipIf(!runs).each([
  ["offloads on, native", true, "native"],
  ["offloads off, generic", false, "generic"],
] as const)("%s", (_name, offloads, xdp) => {
  let bed: HostBed;
  beforeAll(async () => {
    // What we report quotes what came, and that was meant to be wrong.
    bed = await HostBed.start({
      lab: { offloads },
      attach: { xdp },
      dataPorts: [PORT],
      forgive: isQuoted,
      host: { icmpRate: ICMP_RATE },
    });
    bed.host.udp(PORT, (datagram) => void datagram.reply());
  }, LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  /** Both families and the service answer. */
  const works = async (): Promise<void> => {
    for (const family of FAMILIES)
      expect(await ping(bed.here, bed.address(family), { count: 1 })).toMatchObject({ received: 1 });
    const { answers } = await nping(bed.here, B4, [
      "--udp",
      "-p",
      `${PORT}`,
      "-c",
      "1",
      "--data-string",
      "still here",
    ]);
    expect(answers.length).toBe(1);
  };
  afterEach(works);

  const inject = async (frame: Uint8Array): Promise<void> => {
    const socat = bed.lab.spawn("a", ["socat", "-u", "STDIN", `INTERFACE:${bed.lab.a.name}`], {
      stdin: "pipe",
    });
    const stdin = socat.stdin as unknown as import("bun").FileSink;
    stdin.write(frame);
    await stdin.end();
    const said = await socat.stderr.text();
    if ((await socat.exited) !== 0) throw new Error(`socat: ${said}`);
  };

  test(
    "each frame that contradicts itself has its counter",
    async () => {
      for (const [name, [frame, counter]] of Object.entries(BAD_FRAMES)) {
        const before = counter(bed.host.statistics());
        await inject(frame);
        await until(`the counter of ${name}`, () => counter(bed.host.statistics()) === before + 1);
      }
    },
    LIMIT_MS,
  );

  test(
    "fragments that are no packet are dropped by their names",
    async () => {
      for (const [name, [frames, counter]] of Object.entries(BAD_FRAGMENTS)) {
        const before = bed.host.statistics().reassembly[counter];
        for (const frame of frames) await inject(frame);
        await until(`the counter of ${name}`, () => bed.host.statistics().reassembly[counter] === before + 1);
      }
    },
    LIMIT_MS,
  );

  test(
    "hping3: malformed headers of all kinds at once",
    async () => {
      const before = bed.host.statistics();
      // Told how many to send, hping3 ends when it has seen so many answers, be they another's.
      const attacks = Object.entries(ATTACKS).map(
        ([name, words]) =>
          [name, bed.lab.spawn("a", ["hping3", "-q", "-n", "-i", "u5000", ...words, B4])] as const,
      );
      const grown: Readonly<Record<string, (statistics: HostStatistics) => number>> = {
        "wrong checksums of UDP": ({ udp }) => udp.badChecksum,
        "datagrams to port 0": ({ udp }) => udp.noPort,
        "datagrams with options, odd times to live and ports": ({ udp }) => udp.received,
        "wrong ICMP": ({ icmp4 }) => icmp4.malformed,
        "echo requests with options": ({ icmp4 }) => icmp4.echoRequests,
        "errors that were not sent": ({ icmp4 }) => icmp4.errorsLimited,
        protocols: ({ ip }) => ip.unknownProtocol,
        "fragments that are no packet": ({ reassembly }) => reassembly.misaligned,
        "packets of tiny fragments": ({ reassembly }) => reassembly.completed,
        "fragments without the rest": ({ reassembly }) => reassembly.sourceEvicted,
      };
      for (const [what, of] of Object.entries(grown))
        await until(`${ENOUGH} ${what}`, () => of(bed.host.statistics()) - of(before) >= ENOUGH, LIMIT_MS);
      for (const [name, attack] of attacks) {
        attack.kill("SIGINT");
        const said = await attack.stderr.text();
        if (!said.includes("hping statistic")) throw new Error(`${name}: ${said}`);
      }
    },
    LIMIT_MS,
  );

  test(
    "nping: sums, times to live and options that are wrong or odd",
    async () => {
      const ways: readonly (readonly [answered: boolean, ...words: string[]])[] = [
        [false, "--badsum"],
        [false, "--badsum-ip", "--send-eth"],
        [true, "--ttl", "1"],
        [true, "--ip-options", "R"],
        [true, "--ip-options", "T"],
        [true, "--ip-options", "L 10.77.0.2"],
        [true, "--data-length", "1400"],
        [true, "--mtu", "8", "--data-length", "64"],
        [true, "--df"],
        [true, "--tos", "184"],
        [false, "-S", B4, "--send-eth"],
      ];
      // Each waits a second for more: all at once, told apart by their ports.
      await Promise.all(
        ways.map(async ([answered, ...words], i) => {
          const ports = ["-p", `${PORT}`, "-g", `${FIRST_SOURCE_PORT + i}`];
          const { answers } = await nping(bed.here, B4, ["--udp", ...ports, "-c", "1", ...words]);
          const own = answers.filter((answer) => answer.includes(`> ${A4}:${FIRST_SOURCE_PORT + i} `));
          expect({ words, answers: own.length }).toEqual({ words, answers: Number(answered) });
        }),
      );
      const { icmp4 } = bed.host.statistics();
      await Promise.all(
        ["timestamp", "mask", "information", "200"].map(async (type) => {
          const { answers } = await nping(bed.here, B4, ["--icmp", "--icmp-type", type, "-c", "1"]);
          expect({ type, answers }).toEqual({ type, answers: [] });
        }),
      );
      expect(bed.host.statistics().icmp4.received).toBe(icmp4.received + 4);
    },
    LIMIT_MS,
  );

  test(
    "nmap: who is there, which ports, which protocols, which system",
    async () => {
      const alive = await runTool(bed.here, ["nmap", "-n", "-sn", B4, "10.77.0.9"]);
      expect(alive.stdout).toContain("1 host up");
      const alive6 = await runTool(bed.here, ["nmap", "-n", "-6", "-sn", B6]);
      expect(alive6.stdout).toContain("1 host up");
      const quick = ["--max-retries", "2", "--max-rtt-timeout", "200ms"];
      const ports = ["-sU", "-p", `${PORT},9`, ...quick];
      // nmap sends data to a few ports only; the echo of nothing is an answer as well.
      for (const [address, ...family] of [[B4], [B6, "-6"]] as const) {
        expect(Object.fromEntries(await nmap(bed.here, address, [...family, ...ports]))).toEqual({
          "9/udp": "closed",
          [`${PORT}/udp`]: "open",
        });
      }
      const protocols = await runTool(bed.here, [
        "nmap",
        "-n",
        "-Pn",
        "-sO",
        "-p",
        `1,17,${NO_PROTOCOL}`,
        ...quick,
        "-oG",
        "-",
        B4,
      ]);
      expect(protocols.stdout).toContain(`Protocols: 1/open/icmp/, 17/open/udp/, ${NO_PROTOCOL}/closed/`);
      const system = await runTool(bed.here, [
        "nmap",
        "-n",
        "-Pn",
        "-O",
        "--max-os-tries",
        "1",
        "-p",
        "9",
        ...quick,
        B4,
      ]);
      expect(system.code).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "a scan of all ports is answered within the limit, and the service goes on meanwhile",
    async () => {
      const { icmp4 } = bed.host.statistics();
      const scan = runTool(bed.here, [
        "nmap",
        "-n",
        "-Pn",
        "-sU",
        "-T5",
        "--max-retries",
        "0",
        "--min-rate",
        "5000",
        "-F",
        B4,
      ]);
      await works();
      await scan;
      const after = bed.host.statistics().icmp4;
      expect(after.errorsLimited).toBeGreaterThan(icmp4.errorsLimited);
    },
    LIMIT_MS,
  );

  test.each([
    ["echo requests", ["-1"], () => bed.host.statistics().icmp4.echoRequests],
    [
      "datagrams to a port that nobody has",
      ["--udp", "-p", "9"],
      () => bed.host.statistics().icmp4.errorsLimited,
    ],
    [
      "datagrams from everywhere",
      ["--udp", "-p", "9", "--rand-source"],
      () => bed.protocols().neighbours4.evicted,
    ],
    [
      "first fragments from everywhere",
      ["--udp", "-p", "9", "-x", "-d", "64", "--rand-source"],
      () => bed.host.statistics().reassembly.evicted,
    ],
  ] as const)(
    "a flood of %s: what it presses on is bounded, and the service goes on",
    async (_what, words, pressed) => {
      const pressedBefore = pressed();
      // So that half of the world is on the link, and whoever is to be told something has to be searched for.
      bed.eth.addresses.add(IpAddress.parse("128.0.0.1"), 1, { dad: false });
      const seen = (): number => bed.host.statistics().ip.received;
      const before = seen();
      const flood = bed.lab.spawn("a", ["hping3", "-q", "-n", "--flood", ...words, B4]);
      await until(`${FLOOD_FRAMES} frames`, () => seen() > before + FLOOD_FRAMES, LIMIT_MS);
      flood.kill("SIGINT");
      await flood.exited;
      const { reassembly } = bed.host.statistics();
      const { neighbours4 } = bed.protocols();
      expect(reassembly.pending).toBeLessThanOrEqual(reassembly.slots);
      expect(neighbours4.size).toBeLessThanOrEqual(NEIGHBOURS);
      expect(neighbours4.incomplete).toBeLessThanOrEqual(UNRESOLVED);
      expect(neighbours4.parked).toBeLessThanOrEqual(PARKED);
      expect(pressed()).toBeGreaterThan(pressedBefore);
    },
    LIMIT_MS,
  );
});
