/**
 * Copies a byte in user space, counted: a kernel's socket sends frames with a random text in them, and all the memory of the
 * program that receives, reflects or forwards them is searched for it. Found outside the umem, it was copied.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Bed, skipBed, skipPairs } from "./bed.ts";
import { awaitLink, Ground } from "./ground.ts";
import type { Lab } from "./lab.ts";
import { findNeedle } from "./needle.ts";
import { skipUnless } from "./skip.ts";
import { startFile } from "./subprocess.ts";

const CHILD = join(import.meta.dir, "copies-child.ts");
/** As many as the child waits for, and some more in case the first find no socket yet. */
const DATAGRAMS = 60;
const NEEDLE_BYTES = 24;
const PORT = 9000;

interface Area {
  readonly address: number;
  readonly lengthBytes: number;
  readonly mode: string;
}

/** Lines of the child, one at a time; throws its own words if it ends before. */
const nextLine = async (
  lines: AsyncIterator<string>,
  child: Bun.Subprocess<"pipe", "pipe", "pipe">,
): Promise<string> => {
  const { value, done } = await lines.next();
  if (done === true) throw new Error(`the child ended: ${await child.stderr.text()}`);
  return value;
};

/** Runs the child, sends it the needle, and returns where in its memory the needle is. */
const search = async (
  bed: Bed,
  lab: Lab,
  verb: string,
  interfaces: readonly string[],
): Promise<{ inside: number; outside: number; mode: string }> => {
  const needle = randomBytes(NEEDLE_BYTES).toString("hex");
  const args = [
    verb,
    lab.namespace("b"),
    JSON.stringify(bed.attach),
    String(bed.umem.chunkBytes),
    ...interfaces,
  ];
  const child = startFile(CHILD, { args });
  try {
    const lines = linesOf(child.stdout);
    const area = JSON.parse(await nextLine(lines, child)) as Area;
    awaitLink(bed, lab);
    const send = `for i in $(seq ${DATAGRAMS}); do echo ${needle} | socat -u - UDP4-DATAGRAM:${lab.pairs[0]!.b.ipv4}:${PORT}; done`;
    lab.exec("a", ["sh", "-c", send], { timeoutMs: 60_000 });
    expect(await nextLine(lines, child)).toBe("done");
    const found = findNeedle(child.pid, needle);
    const isInside = (at: number): boolean => at >= area.address && at < area.address + area.lengthBytes;
    return {
      inside: found.filter(isInside).length,
      outside: found.filter((at) => !isInside(at)).length,
      mode: area.mode,
    };
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
};

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** Runs the suite on a bed. Call it inside a test file. */
export const copiesSuite = (bed: Bed): void => {
  const unable =
    skipBed(bed) || skipUnless(Bun.which("socat") !== null, "socat is not installed", { couldRun: true });
  describe.skipIf(unable)(`${bed.name}: copies of a frame in user space`, () => {
    const ground = new Ground(bed);
    afterAll(() => ground.close());

    test.each(["receive", "reflect"])("%s: none", async (verb) => {
      const lab = ground.lab({ quiet: true, neighbours: true });
      const found = await search(bed, lab, verb, [lab.b.name]);
      expect(found).toMatchObject({ outside: 0, mode: bed.attach.bind });
      expect(found.inside).toBeGreaterThan(0);
    });

    test.skipIf(skipPairs(bed, 2))("forward: none", async () => {
      const lab = ground.lab({ quiet: true, neighbours: true, pairs: 2 });
      const found = await search(
        bed,
        lab,
        "forward",
        lab.pairs.map((pair) => pair.b.name),
      );
      expect(found).toMatchObject({ outside: 0, mode: bed.attach.bind });
      expect(found.inside).toBeGreaterThan(0);
    });

    test("the search finds a copy where there is one", async () => {
      const lab = ground.lab({ quiet: true, neighbours: true });
      expect((await search(bed, lab, "copy", [lab.b.name])).outside).toBeGreaterThan(0);
    });
  });
};
