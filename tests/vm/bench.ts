/**
 * `make bench-vm`: millrace against the C programs in zero-copy mode, in the newest kernel's virtual machine.
 *
 * `bun run tests/vm/bench.ts [--pairs N]`. The processor is emulated, so the ratios are what it says; the packets a second
 * are those of an emulator. Nothing else should run on the machine meanwhile: two processors of the guest and the emulator's
 * own thread share its cores. The status is the bench's own, or 1 where no guest could be had.
 */
import { mkdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "../../bench/build.ts";
import { type Line, parseLine, table } from "../../bench/report.ts";
import { fastWiring } from "./cables.ts";
import { CACHE, fetchKernel } from "./kernel.ts";
import { runGuest } from "./machine.ts";
import { findEmulator } from "./qemu.ts";

const MEASUREMENTS = ["zc.rx", "zc.tx", "zc.forward"];
const DEFAULT_PAIRS = "7";
/** Booting and, for each measurement, starting and warming up, on a machine that is busy. */
const SPARE_MS = 10 * 60_000;
/** A pair of turns takes some 10 s; three times that is a machine that is too busy to measure on. */
const PAIR_LIMIT_MS = 30_000;

const { values } = parseArgs({
  options: { pairs: { type: "string", default: DEFAULT_PAIRS } },
  strict: true,
});
const pairs = Number(values.pairs);
if (!Number.isInteger(pairs) || pairs < 1) {
  console.error(`--pairs is a whole number of 1 or more, not "${values.pairs}"`);
  process.exit(2);
}
// Here, because the guest would build it again each time, many times slower.
build();
const kernel = fetchKernel("newest");
const emulator = findEmulator();
const folder = join(CACHE, "runs", `bench-${process.pid}`);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const lines: Line[] = [];
const guest = await runGuest({
  kernel,
  emulator,
  wiring: fastWiring(),
  folder,
  job:
    `export PATH="$PATH:$PWD/node_modules/.bin"\n` +
    `exec bun run bench/run.ts --only ${MEASUREMENTS.join(",")} --pairs ${pairs} --json`,
  environment: { NO_COLOR: "1" },
  timeLimitMs: SPARE_MS + MEASUREMENTS.length * pairs * PAIR_LIMIT_MS,
  onLine: (text) => {
    const line = parseLine(text);
    if (line === undefined) console.error(text);
    else lines.push(line);
  },
});
if (lines.length > 0) {
  const [host] = cpus();
  console.log(table(lines));
  console.log(
    `\nAll of it in Linux ${kernel.release} in QEMU ${emulator.version} (TCG, an emulated CPU, 2 processors) on ${cpus().length} ` +
      `cores (${host?.model.trim() ?? "unknown"}): only the ratios say something of other machines. The cables are hubs of the ` +
      `emulator, whose one thread for all cards shares the cores with the guest's two processors and limits both sides: their ` +
      `programs often find their rings empty.`,
  );
}
if (guest.trouble !== undefined) console.error(guest.trouble);
process.exit(guest.status ?? 1);
