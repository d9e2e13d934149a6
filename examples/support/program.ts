/**
 * What every example does first and last: read its arguments, run, say in one line what went wrong, end with a code.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import type { Device, Loop } from "millrace";

/** The arguments make no sense: the usage is printed and the exit code is 2, as shells have it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

type Options = NonNullable<ParseArgsConfig["options"]>;
type Values<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>["values"];

/** Reads the arguments, runs `main` with them, and ends the process with the code that it returns. */
export const program = async <const T extends Options>(
  usage: string,
  options: T,
  main: (values: Values<T>, interfaces: readonly string[]) => Promise<number>,
): Promise<void> => {
  // A reader that has seen enough (`| head`) is no failure: everything is closed and the code is 0.
  process.stdout.on("error", () => process.exit(0));
  process.exit(await guarded(usage, options, main));
};

const guarded = async <const T extends Options>(
  usage: string,
  options: T,
  main: (values: Values<T>, interfaces: readonly string[]) => Promise<number>,
): Promise<number> => {
  try {
    const args = process.argv.slice(2);
    if (args.includes("--help") || args.includes("-h")) {
      console.log(usage);
      return 0;
    }
    const { values, positionals } = readArguments(options, args);
    return await main(values, positionals);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof UsageError) {
      console.error(`${text}\n\n${usage}`);
      return EXIT_USAGE;
    }
    // A mistake in this program is worth its stack; what the system refused is told by its text.
    const bug = error instanceof ReferenceError || (error instanceof TypeError && !/ is .*, not /.test(text));
    console.error(bug ? error : `millrace: ${text}`);
    return EXIT_FAILED;
  }
};

const readArguments = <const T extends Options>(options: T, args: string[]) => {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // Of an unknown option the parser also says how to write a word that begins with a hyphen; nobody takes one here.
    throw new UsageError(text.replace(/\. To specify a positional .*$/s, ""));
  }
};

/** Prints a line. Unlike the console's, it hears of a reader that has gone away, and the program then ends. */
export const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** A whole number from the command line. */
export const wholeNumber = (name: string, text: string, least: number, most: number): number => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`${name} is a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`);
};

const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/**
 * Ctrl-C goes to the programs of a terminal all at once, and to those that are waited for without an end: that one of them is
 * gone may be known before the reason is.
 */
const SIGNAL_MS = 200;

/**
 * What `work` comes to, or undefined once somebody has ended it: by Ctrl-C, by `kill`, or by closing the terminal. A failure
 * that comes of that counts as such an end, and not as a failure.
 */
export const unlessEnded = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
  const { promise: ended, resolve: end } = Promise.withResolvers<undefined>();
  for (const name of ENDING_SIGNALS) process.on(name, () => end(undefined));
  const failed = async (error: unknown): Promise<never> => {
    await Bun.sleep(SIGNAL_MS);
    throw error;
  };
  return Promise.race([ended, work().catch(failed)]);
};

/** Ends the loop at Ctrl-C, at `kill`, and when the terminal closes. */
export const stopOnSignals = (loop: Loop): void => {
  for (const name of ENDING_SIGNALS) loop.signal(name, () => loop.stop());
};

/** Ends the loop, with a word about it, when an interface disappears; its device is not open any more then. */
export const stopWhenGone = (loop: Loop, device: Device): void => {
  loop.link(device, (event) => {
    if (event.kind !== "gone") return;
    console.error(`millrace: interface "${device.name}" is gone: ${event.reason}`);
    loop.stop();
  });
};
