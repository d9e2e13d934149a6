/**
 * Programs that make traffic, and what they say of it: ping, a kernel socket, and `generate`.
 */
import type { Lab } from "../lab.ts";
import { example, udpLoad } from "./place.ts";

/** What a program has sent and had answered so far, by its own account. */
export interface Progress {
  sent: number;
  answered: number;
  /** Round trip, for those that measure it. */
  averageMs: number | undefined;
}

/** A program that still hangs this long after it was asked to end is killed. */
const END_LIMIT_MS = 3000;

export class Load {
  readonly progress: Progress = { sent: 0, answered: 0, averageMs: undefined };
  /** Resolves when the program has ended and all that it said has been read. */
  readonly ended: Promise<void>;
  readonly #child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;
  readonly #read: (line: string, progress: Progress) => void;
  #errors = "";

  constructor(lab: Lab, command: readonly string[], read: (line: string, progress: Progress) => void) {
    this.#read = read;
    this.#child = lab.spawn("a", command);
    this.ended = Promise.all([this.#follow(), this.#listen(), this.#child.exited]).then(() => {});
  }

  /** What it said on standard error. */
  get errors(): string {
    return this.#errors.trim();
  }

  /** Asks it to end, as Ctrl-C does, so that it prints its own summary. */
  stop(): void {
    this.#child.kill("SIGINT");
    setTimeout(() => this.#child.kill("SIGKILL"), END_LIMIT_MS).unref();
  }

  async #follow(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#read(line, this.progress);
    }
  }

  async #listen(): Promise<void> {
    this.#errors = await this.#child.stderr.text();
  }
}

/** iputils' own words: a line per answer, and totals at the end. */
const readPing = (line: string, progress: Progress): void => {
  const answer = /icmp_seq=(\d+) ttl=.* time=/.exec(line);
  if (answer !== null) {
    progress.sent = Number(answer[1]);
    progress.answered += 1;
  }
  const totals = /^(\d+) packets transmitted, (\d+) received/.exec(line);
  if (totals !== null) {
    progress.sent = Number(totals[1]);
    progress.answered = Number(totals[2]);
  }
  const times = /^rtt min\/avg\/max\/mdev = [\d.]+\/([\d.]+)\//.exec(line);
  if (times !== null) progress.averageMs = Number(times[1]);
};

const readUdp = (line: string, progress: Progress): void => {
  const said = JSON.parse(line) as { sent: number; answered: number };
  progress.sent = said.sent;
  progress.answered = said.answered;
};

const readGenerate = (line: string, progress: Progress): void => {
  const said = JSON.parse(line) as { packets: number; answers: number };
  progress.sent = said.packets;
  progress.answered = said.answers;
};

/** Pings every `intervalS` seconds. */
export const pingLoad = (lab: Lab, address: string, intervalS: number): Load =>
  new Load(lab, ["ping", "-n", "-i", String(intervalS), address], readPing);

/** Sends datagrams to port 9000 through a kernel socket. */
export const socketLoad = (lab: Lab, address: string, pps: number): Load =>
  new Load(lab, udpLoad(address, pps), readUdp);

/** Sends datagrams from an AF_XDP socket of its own. */
export const generateLoad = (lab: Lab, address: string, port: number, pps: number): Load => {
  const target = ["--to", address, "--port", String(port), "--rate", String(pps)];
  return new Load(lab, example("generate", lab.a.name, ...target, "--answers", "--json"), readGenerate);
};
