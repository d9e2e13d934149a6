/**
 * Traffic of the kernel's own that a test disturbs: a web page without end, a session of ssh, and ping, each with an account of
 * what it felt.
 */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Lab, until } from "./lab.ts";
import { skipUnless } from "./skip.ts";

/** What a flow felt. */
export interface Felt {
  /** Bytes, or echoes. */
  readonly count: number;
  /** Longest time without news, in ms. */
  readonly stallMs: number;
  /** What broke it, "" where nothing did. */
  readonly error: string;
}

export interface Flow {
  /** Ends it. */
  stop(): Promise<Felt>;
}

const SSH_PORT = 2222;
const LIMIT_MS = 10_000;

/** True (skip) where there is no ssh. */
export const skipWithoutSsh = (): boolean =>
  skipUnless(
    ["sshd", "ssh", "ssh-keygen"].every((tool) => which(tool) !== null),
    "ssh and sshd are not installed",
    { couldRun: true },
  );

/** Also where administrators' programs are that a plain user has no path to. */
const which = (tool: string): string | null =>
  Bun.which(tool, { PATH: `${process.env.PATH}:/usr/sbin:/sbin` });

/** Python that reads `read(n)` for ever, with an account that it prints when its standard input ends. */
const account = (check: string): readonly string[] => [
  "import os, select, sys, time",
  "count, stall, error, last = 0, 0.0, '', time.monotonic()",
  "def news(data):",
  "  global count, stall, last",
  "  now = time.monotonic()",
  "  stall = max(stall, now - last)",
  "  last = now",
  ...check.split("\n").map((line) => `  ${line}`),
  "def ended(): return bool(select.select([sys.stdin], [], [], 0)[0])",
  "def tell():",
  "  news(b'')",
  "  print(count, round(stall * 1000), error, flush=True)",
  "  os._exit(0)",
];

class Checker implements Flow {
  readonly #program: ReturnType<Lab["spawn"]>;

  constructor(lab: Lab, source: readonly string[]) {
    this.#program = lab.spawn("a", ["python3", "-u", "-c", source.join("\n")], { stdin: "pipe" });
  }

  async stop(): Promise<Felt> {
    (this.#program.stdin as unknown as { end(): void }).end();
    const [stdout, stderr] = await Promise.all([this.#program.stdout.text(), this.#program.stderr.text()]);
    const line = stdout.trim().split("\n").at(-1) ?? "";
    const [count, stallMs, ...error] = line.split(" ");
    if (count === "" || count === undefined) return { count: 0, stallMs: 0, error: `it died: ${stderr}` };
    return { count: Number(count), stallMs: Number(stallMs), error: error.join(" ") };
  }
}

/** Byte `count + i` of the page is its place modulo 65521 modulo 251. */
const HTTP_CHECK = [
  "at = count % 65521",
  "if data != page[at:at + len(data)] and not error: error = f'wrong bytes near {count}'",
  "count += len(data)",
].join("\n");

/** A web server of Bun's at b and a reader at a that takes its page at some megabytes a second, and knows every byte. */
export const httpFlow = async (lab: Lab, address: string = lab.b.ipv4, port = 8080): Promise<Flow> => {
  const server = lab.spawn(
    "b",
    [process.execPath, "run", join(import.meta.dir, "http-pattern.ts"), String(port)],
    {
      stderr: "inherit",
    },
  );
  const { value } = await server.stdout.getReader().read();
  if (value === undefined) throw new Error("the web server ended");
  return new Checker(lab, [
    "import http.client",
    ...account(`global error\n${HTTP_CHECK}`),
    "page = bytes((i % 65521) % 251 for i in range(65521 * 3))",
    `c = http.client.HTTPConnection("${address}", ${port}, timeout=10)`,
    "c.request('GET', '/')",
    "try:",
    "  r = c.getresponse()",
    "  while not ended():",
    "    data = r.read1(16384)",
    "    if not data: raise OSError('the page ended')",
    "    news(data)",
    // Not as fast as it can: the machine is to do other things beside it.
    "    time.sleep(0.001)",
    "except Exception as e: error = repr(e)",
    "tell()",
  ]);
};

/** sshd at b with keys that exist for this flow only, and a session that sends lines and gets them back. */
export const sshFlow = async (lab: Lab): Promise<Flow> => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-ssh-"));
  const key = (name: string): void => {
    const made = Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
    if (made.exitCode !== 0) throw new Error(`ssh-keygen: ${made.stderr.toString()}`);
  };
  key("host");
  key("user");
  const configuration = [
    `Port ${SSH_PORT}`,
    `HostKey ${join(folder, "host")}`,
    `AuthorizedKeysFile ${join(folder, "user.pub")}`,
    ...["StrictModes no", "UsePAM no", "PidFile none", "PasswordAuthentication no", "PermitRootLogin yes"],
  ];
  writeFileSync(join(folder, "sshd_config"), configuration.join("\n"));
  // Where sshd puts itself before it knows who calls; packages make it when their service starts.
  mkdirSync("/run/sshd", { recursive: true });
  lab.spawn("b", [which("sshd")!, "-D", "-e", "-f", join(folder, "sshd_config")], { stderr: "ignore" });
  await until("sshd", () => lab.exec("b", ["ss", "-Hnlt"]).stdout.includes(`:${SSH_PORT} `), LIMIT_MS);
  const how = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR"];
  const words = [
    ...["ssh", "-F", "none", "-p", String(SSH_PORT), "-i", join(folder, "user")],
    ...how.flatMap((each) => ["-o", each]),
    ...[`root@${lab.b.ipv4}`, "cat"],
  ];
  const flow = new Checker(lab, [
    "import subprocess",
    ...account("global error\ncount += len(data)"),
    `p = subprocess.Popen(${JSON.stringify(words)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)`,
    "try:",
    "  while not ended():",
    "    line = os.urandom(500).hex().encode() + b'\\n'",
    "    p.stdin.write(line)",
    "    p.stdin.flush()",
    "    back = p.stdout.readline()",
    "    if back != line: raise OSError(f'sent {len(line)} bytes, got {len(back)}')",
    // The time until a session stands is not a stall of it.
    "    if count == 0: last = time.monotonic()",
    "    news(back)",
    "    time.sleep(0.005)",
    "except Exception as e: error = repr(e)",
    "p.kill()",
    "tell()",
  ]);
  return {
    stop: () => flow.stop().finally(() => rmSync(folder, { recursive: true, force: true })),
  };
};

/** ping at a, fifty a second: echoes that came, and the longest time between two. */
export const pingFlow = (lab: Lab, address: string = lab.b.ipv4): Flow => {
  const program = lab.spawn("a", ["ping", "-n", "-i", "0.02", "-D", address]);
  const read = program.stdout.text();
  return {
    stop: async () => {
      program.kill("SIGINT");
      const text = await read;
      await program.exited;
      const times = [...text.matchAll(/^\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+)/gm)];
      const at = times.map(([, seconds]) => Number(seconds) * 1000);
      const stallMs = Math.round(Math.max(0, ...at.slice(1).map((ms, i) => ms - at[i]!)));
      const twice = new Set(times.map(([, , sequence]) => sequence)).size !== times.length;
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
      // The last one may be on its way when ping ends.
      const lost = Number(sent) - Number(received);
      const error =
        twice || text.includes("DUP") ? "an echo came twice" : lost > 1 ? `${lost} of ${sent} lost` : "";
      return { count: times.length, stallMs, error };
    },
  };
};
