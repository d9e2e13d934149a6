/**
 * Everything that crosses one end of a lab, in a file, and what tshark finds wrong with it when it checks every checksum.
 *
 * Capture at the far end of what is tested: the kernel shows a capturing program what an AF_XDP socket sends only where it
 * arrives, and what it receives only where it was sent.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Lab, type Side, until } from "./lab.ts";

/** Room for what arrives while tcpdump writes, in KiB: some 500 000 small packets. In its immediate mode it would be 1000. */
const BUFFER_KIB = 65_536;
/** What it says on SIGUSR1 and at its end: packets written, packets that the kernel gave it, packets that it missed. */
const COUNTS =
  /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel/g;
const STARTED = "listening on";
/** Above a busy machine's slowest start. */
const LIMIT_MS = 20_000;

/** A running capture. Make one with `WireCapture.start`; `stop` gives the file, `close` (or `using`) removes it. */
export class WireCapture {
  /** The file, whole after `stop`. */
  readonly file: string;
  readonly #folder: string;
  readonly #program: ReturnType<Lab["spawn"]>;
  readonly #read: Promise<void>;
  #said = "";

  private constructor(folder: string, lab: Lab, side: Side, name: string, filter: string) {
    this.#folder = folder;
    this.file = join(folder, "wire.pcap");
    const how = ["-p", "-n", "-U", "-s", "0", "-B", String(BUFFER_KIB), "-Z", "root"];
    const words = ["tcpdump", "-i", name, ...how, "-w", this.file, ...(filter === "" ? [] : [filter])];
    this.#program = lab.spawn(side, words, { stdout: "ignore" });
    this.#read = this.#listen(this.#program.stderr);
  }

  /**
   * Captures what crosses an end of a lab (the first of that side, or the interface named), all of it or what a filter of
   * tcpdump's lets through. Returns when it runs: no frame sent from then on is missed.
   */
  static async start(
    lab: Lab,
    side: Side,
    options: { readonly interface?: string; readonly filter?: string } = {},
  ): Promise<WireCapture> {
    const name = options.interface ?? (side === "b" ? lab.b.name : lab.a.name);
    const folder = mkdtempSync(join(tmpdir(), "millrace-wire-"));
    const capture = new WireCapture(folder, lab, side, name, options.filter ?? "");
    try {
      await capture.#heard("to start", () => capture.#said.includes(STARTED));
      return capture;
    } catch (error) {
      capture.close();
      throw error;
    }
  }

  /** Waits until all that has crossed is written, and ends. Throws where the kernel had to drop something. */
  async stop(): Promise<string> {
    let asked = 0;
    await this.#heard("to write all that it was given", () => {
      const counts = [...this.#said.matchAll(COUNTS)];
      const [, written, received, dropped] = counts.at(-1) ?? [];
      if (dropped !== undefined && dropped !== "0") throw new Error(`the kernel dropped ${dropped} packets`);
      if (written !== undefined && written === received) return true;
      if (counts.length === asked) {
        asked += 1;
        this.#program.kill("SIGUSR1");
      }
      return false;
    });
    this.#program.kill("SIGINT");
    await this.#program.exited;
    await this.#read;
    return this.file;
  }

  /** Ends it, and removes the file. */
  close(): void {
    this.#program.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of stream) this.#said += decoder.decode(part, { stream: true });
  }

  async #heard(what: string, condition: () => boolean): Promise<void> {
    await until(
      `tcpdump ${what}`,
      async () => {
        if (condition()) return true;
        if (this.#program.exitCode === null) return false;
        await this.#read;
        throw new Error("tcpdump ended");
      },
      LIMIT_MS,
    ).catch((error: unknown) => {
      throw new Error(
        `${error instanceof Error ? error.message : String(error)}; it said: ${this.#said.trim()}`,
        {
          cause: error,
        },
      );
    });
  }
}

/** What tshark has to say against one frame. */
export interface Finding {
  /** Number of the frame in the capture, from 1. */
  readonly frame: number;
  readonly severity: "warn" | "error";
  readonly message: string;
  /** The frame in one line: protocols and tshark's summary. */
  readonly info: string;
}

export interface Dissection {
  /** Frames that were looked at. */
  readonly frames: number;
  readonly findings: readonly Finding[];
}

export interface DissectOptions {
  /** Only frames from this Ethernet address. */
  readonly mac?: string;
  /** Only frames from this IPv4 or IPv6 address. */
  readonly address?: string;
  /** UDP ports whose payload means nothing, whatever protocol tshark knows there. */
  readonly dataPorts?: readonly number[];
  /** What is no fault of the frame: "No response seen to ICMP request" where nobody was meant to answer. */
  readonly except?: RegExp;
}

/** epan/proto.h: PI_WARN and PI_ERROR. Below are notes, chats and comments. */
const SEVERITIES = new Map<number, Finding["severity"]>([
  [0x600000, "warn"],
  [0x800000, "error"],
]);
const CHECKS = [
  "ip.check_checksum:TRUE",
  "udp.check_checksum:TRUE",
  "tcp.check_checksum:TRUE",
  "sctp.checksum:CRC32C",
  // Captures have none: without this four bytes of padding pass for one.
  "eth.fcs:Never",
];
const FIELDS = [
  "frame.number",
  "_ws.expert.severity",
  "_ws.expert.message",
  "frame.protocols",
  "_ws.col.Info",
];
/** Between the items of one frame; no text has it. */
const BETWEEN = "\u001f";

const sourceFilter = ({ mac, address }: DissectOptions): string =>
  [
    ...(mac === undefined ? [] : [`eth.src == ${mac}`]),
    ...(address === undefined ? [] : [`${address.includes(":") ? "ipv6" : "ip"}.src == ${address}`]),
  ].join(" && ");

const findingsOf = (line: string, except: RegExp | undefined): Finding[] => {
  const [frame = "", severities = "", messages = "", protocols = "", info = ""] = line.split("\t");
  const texts = messages.split(BETWEEN);
  return severities.split(BETWEEN).flatMap((each, i) => {
    const severity = SEVERITIES.get(Number(each));
    const message = texts[i] ?? "";
    if (severity === undefined || except?.test(message) === true) return [];
    return [{ frame: Number(frame), severity, message, info: `${protocols}: ${info}` }];
  });
};

/**
 * Has tshark dissect a capture with every checksum checked, and returns its warnings and errors for the frames asked for. Throws
 * where tshark cannot read all of the file.
 */
export const dissect = async (file: string, options: DissectOptions = {}): Promise<Dissection> => {
  const filter = sourceFilter(options);
  const words = [
    ...["tshark", "-n", "-r", file, "-T", "fields", "-E", `aggregator=${BETWEEN}`],
    ...FIELDS.flatMap((field) => ["-e", field]),
    ...CHECKS.flatMap((check) => ["-o", check]),
    ...(options.dataPorts ?? []).flatMap((port) => ["-d", `udp.port==${port},data`]),
    ...(filter === "" ? [] : ["-Y", filter]),
  ];
  const tshark = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([
    tshark.stdout.text(),
    tshark.stderr.text(),
    tshark.exited,
  ]);
  if (code !== 0) throw new Error(`tshark cannot dissect ${file} (code ${code}): ${errors.trim()}`);
  const lines = output.split("\n").filter((line) => line !== "");
  return { frames: lines.length, findings: lines.flatMap((line) => findingsOf(line, options.except)) };
};

/** The findings in words, for the message of a failed test; empty where there are none. */
export const tell = ({ findings }: Dissection): string =>
  findings
    .map(({ frame, severity, message, info }) => `frame ${frame}: ${severity}: ${message} (${info})`)
    .join("\n");
