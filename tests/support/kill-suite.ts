/** SIGKILL at random moments under load: the interface is the kernel's again at once, and nothing of the dead remains. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { attach } from "../../index.ts";
import { getLink } from "../../ffi/net/link.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import { below, seededRandom } from "../../stack/device/random.ts";
import { leftBehind, programOn, strayObjects } from "./kernel-objects.ts";
import { type Bed, skipBed } from "./bed.ts";
import { awaitLink } from "./ground.ts";
import { type Lab, until } from "./lab.ts";
import { skipUnless } from "./skip.ts";
import { startFile, type Child } from "./subprocess.ts";

export interface KillOptions {
  /** Beds that differ in their mode alone; the rounds take turns in them. */
  readonly modes: readonly Bed[];
  readonly rounds: number;
  /** What a kill may cost the kernel's own traffic. */
  readonly silenceMs: number;
  /**
   * The kernel takes the program off inside the dead process's exit, after grace periods of its own, while it passes traffic
   * on already. An attach waits this out, a second at the most.
   */
  readonly programGoneMs: number;
  /** From the start of the process to "ready": a kill within it finds every stage of an attach. */
  readonly startMs: number;
}

/** Long after "ready" there is nothing new to interrupt. */
const LATEST_KILL_MS = 60;
/** One round in so many is killed before it is ready, and one in so many is followed by an attach at once. */
const EARLY_EVERY = 5;
const ATTACH_EVERY = 4;
const TOTAL_MS = 280_000;
/** How long to wait for what is late, so that the report at the end says by how much. */
const LATE_LIMIT_MS = 4000;

const wallMs = (): number => performance.timeOrigin + performance.now();

/** Pings without end and remembers when the answers came (by ping's own clock, so that this process may be late). */
class Pinger {
  readonly #program: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;
  readonly #answersMs: number[] = [];

  constructor(lab: Lab) {
    this.#program = lab.spawn("a", ["ping", "-D", "-i0.002", lab.b.ipv4]);
    void this.#read();
  }

  /** When the first answer after `sinceMs` came, in ms of the wall clock; undefined while there is none. */
  firstAfter(sinceMs: number): number | undefined {
    return this.#answersMs.find((at) => at > sinceMs);
  }

  forget(): void {
    this.#answersMs.length = 0;
  }

  kill(): void {
    this.#program.kill();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const part of this.#program.stdout) {
      const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const stamp = /^\[(\d+\.\d+)\] \d+ bytes from/.exec(line)?.[1];
        if (stamp !== undefined) this.#answersMs.push(Number(stamp) * 1000);
      }
    }
  }
}

/** What a child prints, line by line; throws what it said on stderr where it ends too early. */
const lines = (child: Child): (() => Promise<string>) => {
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  return async () => {
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the child has ended: ${await child.stderr.text()}`);
      text += decoder.decode(value, { stream: true });
    }
    const end = text.indexOf("\n");
    const line = text.slice(0, end);
    text = text.slice(end + 1);
    return line;
  };
};

/** Runs the test. Call it inside a test file. */
export const killSuite = (name: string, options: KillOptions): void => {
  const { modes, rounds, silenceMs, programGoneMs, startMs } = options;
  const bed = modes[0]!;
  const runs =
    !skipBed(bed) &&
    !skipUnless(
      ["bpftool", "ping"].every((tool) => Bun.which(tool) !== null),
      "bpftool or ping is not installed",
      { couldRun: true },
    );
  test.skipIf(!runs)(
    `${name}: kill -9 at ${rounds} random moments under load`,
    async () => {
      const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
      const random = seededRandom(seed);
      console.log(`kill: seed ${seed} (SEED=${seed} repeats it)`);
      using lab = bed.lab({ quiet: true, neighbours: true });
      const before = strayObjects();
      const generator = startFile(join(import.meta.dir, "generator.ts"), {
        args: [lab.a.name, lab.namespace("a"), "20", JSON.stringify({ bind: bed.attach.bind })],
      });
      const generatorSays = lines(generator);
      expect(await generatorSays()).toBe("ready");
      awaitLink(bed, lab);
      const flood = lab.spawn("a", ["ping", "-f", "-s", "500", lab.b.ipv4], { stdout: "ignore" });
      const pinger = new Pinger(lab);
      const hasProgram = (): boolean =>
        inNamespace(lab.namespace("b"), () => getLink(lab.b.name)).xdp.length > 0;

      const silences: number[] = [];
      const stays: number[] = [];
      let killedReady = 0;
      try {
        for (let round = 0; round < rounds; round++) {
          const mode = modes[(modes.length - 1 + round) % modes.length]!.attach;
          const child = startFile(join(import.meta.dir, "reflector.ts"), {
            args: [lab.b.name, lab.namespace("b"), JSON.stringify(mode)],
          });
          const early = round % EARLY_EVERY === EARLY_EVERY - 1;
          if (!early) expect(await lines(child)()).toBe("ready");
          await Bun.sleep(below(random, early ? startMs : LATEST_KILL_MS));
          pinger.forget();
          const killedMs = wallMs();
          child.kill("SIGKILL");
          if (!early) killedReady += 1;
          if (round % ATTACH_EVERY === 0) {
            // While the kernel may still be taking the dead one's things apart.
            using again = attach(lab.b.name, { namespace: lab.namespace("b"), ...mode, claim: [] });
            expect(again.mode.xdp).toBe(mode.xdp);
            const { pool, fill, total } = again.umem.accounts();
            expect(pool + fill).toBe(total);
          } else {
            await until("the program to go", () => !hasProgram(), Math.max(programGoneMs, LATE_LIMIT_MS));
            stays.push(wallMs() - killedMs);
          }
          silences.push(
            (await until(
              "an answer to ping",
              () => pinger.firstAfter(killedMs),
              Math.max(silenceMs, LATE_LIMIT_MS),
            )) - killedMs,
          );
          await child.exited;
          expect(child.signalCode as string).toBe("SIGKILL");
          expect(programOn(lab, "b", lab.b.name)).toBeUndefined();
        }
      } finally {
        flood.kill();
        pinger.kill();
        generator.stdin.end();
      }
      const report = (what: string, ms: number[]): string => {
        ms.sort((x, y) => x - y);
        const at = (share: number): string =>
          ms[Math.min(ms.length - 1, Math.floor(ms.length * share))]!.toFixed(1);
        return `${what}: median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)} ms (${ms.length})`;
      };
      console.log(report("kill to the first answer of the kernel", silences));
      console.log(report("kill to no program on the interface", stays));
      expect(silences.length).toBe(rounds);
      expect(killedReady).toBeGreaterThan(rounds / 2);
      expect(silences.at(-1)).toBeLessThan(silenceMs);
      expect(stays.at(-1)).toBeLessThan(programGoneMs);
      const generated = JSON.parse(await generatorSays()) as { readonly sent: number };
      expect(await generator.exited).toBe(0);
      expect(generated.sent).toBeGreaterThan(0);
      expect(await leftBehind(before)).toEqual([]);
      using last = attach(lab.b.name, { namespace: lab.namespace("b"), bind: bed.attach.bind });
      expect(last.open).toBe(true);
    },
    TOTAL_MS,
  );
};
