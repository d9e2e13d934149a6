/**
 * What libbpf and libxdp say: kept in a bounded log, shown on stderr when MILLRACE_DEBUG is set, quoted in errors.
 *
 * Both libraries print through a callback that gets a format and a va_list; vsnprintf turns them into text. The callback
 * runs on the thread that called the library, which is this one: millrace never lets the libraries run elsewhere.
 */
import { JSCallback, type Pointer } from "bun:ffi";
import { vsnprintf, word } from "./libc.ts";
import { libbpf_set_print } from "./libbpf.ts";

/** Lines kept: a failed load with the verifier's reasons and some of what came before it. */
export const MAX_LOG_LINES = 256;
/** Lines quoted in an error: the last ones name the cause. */
export const MAX_QUOTED_LINES = 20;
/** One message of libbpf is at most the tail of a verifier log. */
const MAX_MESSAGE_BYTES = 16_384;

/** enum libbpf_print_level and enum libxdp_print_level agree. */
const LEVELS = ["warn", "info", "debug"] as const;
const LEVEL_DEBUG = 2;

/** What libbpf 1.1 says of every object that libxdp brings along: no cause of anything. */
const NOISE = "skipping unrecognized data section";

const lines: string[] = [];
let total = 0;
const message = new Uint8Array(new ArrayBuffer(MAX_MESSAGE_BYTES));
const decoder = new TextDecoder();

const note = (level: number, text: string): void => {
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line.includes(NOISE)) continue;
    lines.push(line);
    total += 1;
    if (process.env["MILLRACE_DEBUG"]) process.stderr.write(`${LEVELS[level] ?? level}: ${line}\n`);
  }
  if (lines.length > MAX_LOG_LINES) lines.splice(0, lines.length - MAX_LOG_LINES);
};

const print = (level: number, format: Pointer, values: Pointer): number => {
  // libbpf's debug level walks through every relocation of every load: formatting that would cost more than the load.
  if (level >= LEVEL_DEBUG && !process.env["MILLRACE_DEBUG"]) return 0;
  const wanted = vsnprintf(message, word(message.length), format, values);
  const length = Math.min(Math.max(wanted, 0), message.length - 1);
  note(level, decoder.decode(message.subarray(0, length)));
  return wanted;
};

// Never closed: the libraries may print as long as the process lives.
const callback = new JSCallback(print, { args: ["i32", "ptr", "ptr"], returns: "i32" });
if (callback.ptr === null) throw new Error("no memory for the print callback");

/** The C function that libbpf and libxdp print through. */
export const printer = (): Pointer => callback.ptr as Pointer;

// The libraries have one callback for the whole process, and it must run on the thread that made it: the main one.
if (Bun.isMainThread) libbpf_set_print(printer());

/** A place in the log, for `logSince`. */
export const logMark = (): number => total;

/** The last lines said since `mark`, joined; empty when there was nothing. */
export const logSince = (mark: number): string =>
  lines.slice(-Math.max(0, Math.min(total - mark, MAX_QUOTED_LINES)) || lines.length).join("\n");

/** Everything that is kept, oldest first. */
export const logLines = (): readonly string[] => [...lines];
