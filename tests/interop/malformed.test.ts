/**
 * Floods and malformed headers made by hping3: nothing throws, no frame is lost from the books, and the device works on.
 */
import { describe, expect, test } from "bun:test";
import { attach, Loop, type Frame } from "../../index.ts";
import { Lab, until } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { settleAccounts, stream } from "../support/stream.ts";

const PORT = 7777;
const LIMIT_MS = 60_000;
const SMALL = 60;
/** Several times what all rings hold. */
const FLOOD_FRAMES = 50_000;

/** What hping3 is told, beside how much and to whom. */
const ATTACKS: Readonly<Record<string, readonly string[]>> = {
  "wrong UDP checksums": ["--udp", "-p", `${PORT}`, "--badcksum", "-d", "100"],
  "wrong TCP checksums": ["-S", "-p", `${PORT}`, "--badcksum"],
  "every TCP flag at once": ["-F", "-S", "-R", "-P", "-A", "-U", "-X", "-Y", "-p", `${PORT}`],
  "no TCP flag at all": ["-p", "0"],
  "a TCP data offset beyond the segment": ["-S", "-O", "15", "-p", `${PORT}`],
  "a TCP data offset inside the header": ["-S", "-O", "1", "-p", `${PORT}`],
  "UDP in fragments of 16 bytes": ["--udp", "-p", `${PORT}`, "-f", "-d", "200"],
  "a fragment from the end of a datagram": ["--udp", "-p", `${PORT}`, "-g", "8184", "-d", "64"],
  "more fragments that never come": ["--udp", "-p", `${PORT}`, "-x", "-d", "33"],
  "ICMP of a type that does not exist": ["-1", "-C", "200", "-K", "77", "--force-icmp"],
  "ICMP that quotes nonsense": [
    "-1",
    "-C",
    "3",
    "-K",
    "4",
    "--icmp-ipver",
    "9",
    "--icmp-iphlen",
    "1",
    "--icmp-iplen",
    "3",
  ],
  "an IP protocol without a body": ["--rawip", "--ipproto", "132"],
  "IPv6 in IPv4, three bytes of it": ["--rawip", "--ipproto", "41", "-d", "3"],
  "IP options: record route": ["-1", "-G"],
  "time to live 0": ["--udp", "-p", `${PORT}`, "-t", "0"],
};

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !skipUnless(Bun.which("hping3") !== null, "hping3 is not installed", { couldRun: true });

describe.skipIf(!runs).each(["generic", "native"] as const)("%s mode", (xdp) => {
  test.each([
    ["everything", "everything" as const],
    [
      "a port, a protocol and a prefix",
      [{ udp: PORT }, { protocol: "icmp" as const }, { source: "10.77.0.0/25", protocol: 132 }],
    ],
  ])(
    "claiming %s",
    async (_name, claim) => {
      using lab = Lab.create({ quiet: true, neighbours: true });
      using device = attach(lab.b.name, { namespace: lab.namespace("b"), xdp, claim });
      const errors: unknown[] = [];
      using loop = new Loop({ onError: (error) => void errors.push(error) });
      let seen = 0;
      let bytes = 0;
      loop.receive(device, (frame: Frame) => {
        seen += 1;
        bytes += frame.length;
        // Every byte is there to be read, whatever the headers say about it.
        frame.view.getUint8(frame.at + frame.length - 1);
        if (seen % 3 === 0) frame.send();
        else if (seen % 3 === 1) frame.keep().release();
      });
      void loop.run();
      const account = (): void => {
        const { rxPackets, rxBytes, rxDropped, program } = device.statistics();
        expect(rxPackets + rxDropped).toBe(program.redirected);
        expect({ rxPackets, rxBytes }).toEqual({ rxPackets: seen, rxBytes: bytes });
        expect(program.noSocket).toBe(0);
      };
      const attack = async (words: readonly string[]): Promise<void> => {
        const program = lab.spawn("a", ["hping3", "-q", "-n", ...words, lab.b.ipv4]);
        const said = await program.stderr.text();
        await program.exited;
        if (!said.includes("hping statistic")) throw new Error(`hping3 ${words.join(" ")}: ${said}`);
      };
      await Promise.all(Object.values(ATTACKS).map((words) => attack(["-c", "50", "-i", "u1000", ...words])));
      expect(seen).toBeGreaterThan(0);
      account();
      for (const protocol of ["--udp", "-1", "-S"]) {
        const flood = lab.spawn("a", [
          "hping3",
          "-q",
          "-n",
          "--flood",
          protocol,
          "-p",
          `${PORT}`,
          lab.b.ipv4,
        ]);
        const judged = (): number =>
          device.statistics().program.redirected + device.statistics().program.passed;
        const before = judged();
        await until(`a flood of ${FLOOD_FRAMES} frames`, () => judged() > before + FLOOD_FRAMES, LIMIT_MS);
        flood.kill("SIGINT");
        await flood.exited;
        expect(device.open).toBe(true);
      }
      // What the flood left behind in the rings is taken first; then the books must agree to the last frame.
      const quiet = (): boolean => {
        const { rxPackets, rxDropped, program } = device.statistics();
        return rxPackets + rxDropped === program.redirected;
      };
      await until("the rings to be empty", quiet);
      account();
      expect(errors).toEqual([]);
      loop.close();
      settleAccounts(device);
      device.setClaims("everything");
      using peer = attach(lab.a.name, { namespace: lab.namespace("a"), xdp });
      stream(peer, device, { count: 200, length: () => SMALL, window: 16 });
      settleAccounts(device, peer);
    },
    LIMIT_MS,
  );
});
