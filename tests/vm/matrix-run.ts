/**
 * The kernel matrix, run: `bun run tests/vm/matrix-run.ts [KERNEL...] [--only WORD,...] [--write] [--kept]`, as root.
 *
 * Boots each kernel, one after the other, runs the survey (tests/vm/guest/survey.ts) in it and prints the table; `--write`
 * puts it into the README as well. What each guest said is kept in the cache: `--only` tries what has such a word in its name
 * again and takes the rest from there, `--kept` takes all of it from there and boots nothing. The exit code is 1 where a survey
 * did not reach its end.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type Found, parseFound, parseKernel } from "./found.ts";
import { CACHE, fetchKernel, isKernelName, type KernelName, KERNELS } from "./kernel.ts";
import { runGuest } from "./machine.ts";
import { kernelTable, replaceBlock, type Survey } from "./matrix.ts";
import { type Emulator, findEmulator } from "./qemu.ts";

/** A survey takes 5 minutes alone; other guests on the machine slow it down several times. */
const GUEST_LIMIT_MS = 30 * 60_000;
const README = join(dirname(dirname(import.meta.dir)), "README.md");
const FOLDER = join(CACHE, "survey");

/** `words` are plain: they go to the guest's shell. */
const jobOf = (words: readonly string[]): string =>
  `export NO_COLOR=1 PATH="$PATH:$PWD/node_modules/.bin"\nbun run tests/vm/guest/survey.ts ${words.join(" ")}\n`;

const logOf = (name: KernelName): string => join(FOLDER, `${name}.log`);

/**
 * Runs the survey on one kernel and keeps what it says; false where it did not reach its end, also where the emulator died or
 * the guest did not boot: an old kernel now and then loses the timer of its emulated second processor. Then run it again.
 */
const surveyGuest = async (
  name: KernelName,
  emulator: Emulator,
  words: readonly string[],
): Promise<boolean> => {
  const kernel = fetchKernel(name);
  console.error(`${name}: Linux ${kernel.release}`);
  const folder = mkdtempSync(join(tmpdir(), "millrace-survey-"));
  try {
    const { status, trouble, output, seconds } = await runGuest({
      kernel,
      emulator,
      folder,
      job: jobOf(words),
      timeLimitMs: GUEST_LIMIT_MS,
      onLine: (line) => console.error(`  ${line}`),
    });
    mkdirSync(FOLDER, { recursive: true });
    if (words.length === 0) writeFileSync(logOf(name), output);
    else appendFileSync(logOf(name), output);
    console.error(`${name}: ${trouble ?? `status ${status}`} after ${seconds.toFixed(0)} s`);
    return status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** The survey that a guest's kept output holds. */
const readSurvey = (name: KernelName): Survey => {
  if (!existsSync(logOf(name))) throw new Error(`nothing is kept of ${name} (${logOf(name)}): run it first`);
  const lines = readFileSync(logOf(name), "utf8").split("\n");
  const kernels = lines.map(parseKernel).filter((each) => each !== undefined);
  const kernel = kernels.at(-1);
  if (kernel === undefined) throw new Error(`${logOf(name)} names no kernel: its survey did not begin`);
  if (kernels.some(({ release }) => release !== kernel.release))
    throw new Error(`${logOf(name)} is of several kernels: run the whole survey again`);
  const latest = new Map<string, Found>();
  // What was tried again counts as it came out last.
  for (const found of lines.map(parseFound)) {
    if (found !== undefined) latest.set(`${found.feature} ${found.device}`, found);
  }
  return { kernel, found: [...latest.values()] };
};

const wordsOf = (only: string | undefined): string[] => {
  const words = only?.split(",") ?? [];
  const wrong = words.find((word) => !/^[\w.-]+$/.test(word));
  if (wrong !== undefined)
    throw new RangeError(`--only takes words without spaces, not ${JSON.stringify(wrong)}`);
  return words;
};

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    options: {
      write: { type: "boolean", default: false },
      kept: { type: "boolean", default: false },
      only: { type: "string" },
    },
    allowPositionals: true,
  });
  const wrong = positionals.find((each) => !isKernelName(each));
  if (wrong !== undefined) {
    console.error(`there is no kernel "${wrong}"; there are ${Object.keys(KERNELS).join(", ")}`);
    return 2;
  }
  const all = Object.keys(KERNELS).filter(isKernelName);
  const names = positionals.length === 0 ? all : positionals.filter(isKernelName);
  if (values.write && names.length < all.length) {
    console.error("--write takes every kernel: the table of a few would lose the others");
    return 2;
  }
  const words = wordsOf(values.only);
  const emulator = findEmulator();
  let whole = true;
  if (!values.kept) for (const name of names) whole = (await surveyGuest(name, emulator, words)) && whole;
  const text = kernelTable(names.map(readSurvey), { emulator: emulator.version });
  console.log(text);
  if (values.write && whole)
    writeFileSync(README, replaceBlock(readFileSync(README, "utf8"), "kernels", text));
  return whole ? 0 : 1;
};

process.exit(await main());
