/** What a Transmitter sends is what tshark captures at the other end: every frame, in order, byte for byte. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach, Loop, Transmitter } from "../../index.ts";
import { Lab } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { numbered, settleAccounts } from "../support/stream.ts";

const FRAMES = 300;
const LIMIT_MS = 30_000;

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !skipUnless(Bun.which("tshark") !== null, "tshark is not installed", { couldRun: true });

/** Reads a stream until `word` has come; throws what came where it ends without. */
const awaitWord = async (stream: ReadableStream<Uint8Array>, word: string): Promise<void> => {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    text += decoder.decode(part, { stream: true });
    if (text.includes(word)) return;
  }
  throw new Error(`"${word}" did not come: ${text}`);
};

describe.skipIf(!runs).each([
  ["generic", 1500],
  ["native", 1500],
  ["native", 9000],
] as const)("%s mode, MTU %p", (xdp, mtu) => {
  test(
    "tshark captures what was sent",
    async () => {
      const ethernetBytes = 14;
      const largest = mtu + ethernetBytes;
      const lengthOf = (n: number): number => 60 + ((n * 977) % (largest - 60 + 1));
      using lab = Lab.create({ quiet: true, mtu });
      const folder = mkdtempSync(join(tmpdir(), "millrace-"));
      try {
        const file = join(folder, "capture.pcapng");
        const capture = lab.spawn("b", [
          "tshark",
          "-i",
          lab.b.name,
          "-p",
          "-c",
          `${FRAMES}`,
          "-f",
          "ether proto 0x88b5",
          "-w",
          file,
          "-B",
          "16",
        ]);
        await awaitWord(capture.stderr, "Capture started");
        using device = attach(lab.a.name, { namespace: lab.namespace("a"), xdp, claim: [] });
        using loop = new Loop();
        const sender = new Transmitter(device.queues[0]!);
        let sent = 0;
        loop.add(device);
        loop.every(1, () => {
          for (let n = 0; n < 8 && sent < FRAMES; n++) {
            if (!sender.sendBytes(numbered(sent, lengthOf(sent)))) break;
            sent += 1;
          }
        });
        void loop.run();
        expect(await capture.exited).toBe(0);
        loop.close();
        settleAccounts(device);
        const dissected = Bun.spawnSync(["tshark", "-r", file, "-T", "jsonraw", "-j", "frame"], {
          stderr: "ignore",
        });
        const packets = JSON.parse(dissected.stdout.toString()) as {
          readonly _source: { readonly layers: { readonly frame_raw: readonly [string] } };
        }[];
        expect(packets.length).toBe(FRAMES);
        packets.forEach(({ _source }, n) => {
          const wanted = Buffer.from(numbered(n, lengthOf(n))).toString("hex");
          if (_source.layers.frame_raw[0] !== wanted)
            throw new Error(`frame ${n} differs from what was sent`);
        });
        expect(device.statistics()).toMatchObject({ txPackets: FRAMES, txDropped: 0 });
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    LIMIT_MS,
  );
});
