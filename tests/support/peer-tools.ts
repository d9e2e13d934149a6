/**
 * Other people's programs as peers in a lab: run with a time limit, their words made into small records.
 *
 * They run beside this process, never in its way: a host that lives in the test's own loop goes on answering them.
 */
import type { Lab, Side } from "./lab.ts";
import { skipUnless } from "./skip.ts";

/** Where a program runs. */
export interface Place {
  readonly lab: Lab;
  readonly side: Side;
}

export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Above what any of them takes for a few packets; those that wait for nobody take some seconds. */
const LIMIT_MS = 30_000;

/** True (skip) where one of the tools is not installed, which CI does not forgive. */
export const need = (...tools: readonly string[]): boolean => {
  const missing = tools.filter((tool) => Bun.which(tool) === null);
  return skipUnless(missing.length === 0, `not installed: ${missing.join(", ")}`, { couldRun: true });
};

/** Runs a tool to its end. Its exit code is part of the result; taking longer than the limit is an error. */
export const runTool = async (
  { lab, side }: Place,
  words: readonly string[],
  limitMs: number = LIMIT_MS,
): Promise<ToolResult> => {
  const program = lab.spawn(side, words);
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    program.kill("SIGKILL");
  }, limitMs);
  try {
    const [stdout, stderr, code] = await Promise.all([
      program.stdout.text(),
      program.stderr.text(),
      program.exited,
    ]);
    if (late) throw new Error(`${words.join(" ")} took longer than ${limitMs} ms: ${stdout}${stderr}`);
    return { code, stdout, stderr };
  } finally {
    clearTimeout(limit);
  }
};

/** The match of a pattern, which must be there; the error has all that the tool said. */
const found = (tool: string, { stdout, stderr }: ToolResult, pattern: RegExp): RegExpExecArray => {
  const match = pattern.exec(`${stdout}\n${stderr}`);
  if (match === null) throw new Error(`${tool} said nothing like ${pattern}: ${stdout}${stderr}`);
  return match;
};

/** Requests and answers of a tool that sends the one and counts the other. */
export interface Exchange {
  readonly sent: number;
  readonly received: number;
  /** All that it said. */
  readonly text: string;
}

const exchange = (tool: string, result: ToolResult, pattern: RegExp): Exchange => {
  const [, sent, received] = found(tool, result, pattern);
  return { sent: Number(sent), received: Number(received), text: result.stdout + result.stderr };
};

export interface PingOptions {
  /** 3 unless given. */
  readonly count?: number;
  /** Bytes of payload: 0 to 65507. 56 unless given. */
  readonly size?: number;
  /** Seconds from one to the next. 0.02 unless given. */
  readonly interval?: number;
  /** Seconds that the last answer may take. 2 unless given. */
  readonly wait?: number;
  /** More of ping's own options. */
  readonly more?: readonly string[];
}

/** `ping`, for IPv4 and IPv6. Link-local addresses carry their interface: fe80::1%va. */
export const ping = async (place: Place, to: string, options: PingOptions = {}): Promise<Exchange> => {
  const { count = 3, size = 56, interval = 0.02, wait = 2, more = [] } = options;
  const how = ["-n", "-c", String(count), "-s", String(size), "-i", String(interval), "-W", String(wait)];
  const result = await runTool(place, ["ping", ...how, ...more, to]);
  return exchange("ping", result, /(\d+) packets transmitted, (\d+) received/);
};

/** `fping`: many addresses at once; the answers to each. */
export const fping = async (
  place: Place,
  to: readonly string[],
  options: { readonly count?: number; readonly size?: number } = {},
): Promise<ReadonlyMap<string, Exchange>> => {
  const { count = 3, size = 56 } = options;
  const words = ["fping", "-q", "-c", String(count), "-p", "20", "-i", "1", "-b", String(size), ...to];
  const result = await runTool(place, words);
  return new Map(
    to.map((address) => {
      const quoted = address.replaceAll(".", "\\.");
      const pattern = new RegExp(`^${quoted}\\s+: xmt/rcv/%loss = (\\d+)/(\\d+)/`, "m");
      return [address, exchange("fping", result, pattern)];
    }),
  );
};

/** `arping`: ARP requests, and who answered. */
export const arping = async (
  place: Place,
  interfaceName: string,
  to: string,
  count = 2,
): Promise<Exchange & { readonly macs: readonly string[] }> => {
  const result = await runTool(place, ["arping", "-c", String(count), "-W", "0.1", "-i", interfaceName, to]);
  const macs = [...result.stdout.matchAll(/bytes from ([0-9a-f:]{17}) /g)].map((match) => match[1]!);
  return { ...exchange("arping", result, /(\d+) packets transmitted, (\d+) packets received/), macs };
};

/** `ndisc6`: the Ethernet address that a neighbour advertises, in lower case; undefined where none does. */
export const ndisc6 = async (
  place: Place,
  interfaceName: string,
  to: string,
): Promise<string | undefined> => {
  const { stdout } = await runTool(place, ["ndisc6", "-w", "500", to, interfaceName]);
  return /Target link-layer address: ([0-9A-Fa-f:]{17})/.exec(stdout)?.[1]?.toLowerCase();
};

/** One step of the way to a destination. */
export interface Hop {
  readonly ttl: number;
  /** Who said that the time was up, or the destination; undefined where nobody did. */
  readonly address: string | undefined;
}

/** `traceroute`, by UDP unless `more` says otherwise (-I, -T). */
export const traceroute = async (
  place: Place,
  to: string,
  more: readonly string[] = [],
): Promise<readonly Hop[]> => {
  const words = ["traceroute", "-n", "-q", "1", "-w", "1", "-m", "8", ...more, to];
  const { stdout } = await runTool(place, words);
  return [...stdout.matchAll(/^\s*(\d+)\s+(\S+)/gm)].map(([, ttl, address]) => ({
    ttl: Number(ttl),
    address: address === "*" ? undefined : address,
  }));
};

/** `mtr`: the hops, each probed `count` times, with what was lost there in percent; by ICMP unless `more` says --udp. */
export const mtr = async (
  place: Place,
  to: string,
  count = 2,
  more: readonly string[] = [],
): Promise<readonly (Hop & { readonly lossPercent: number })[]> => {
  const how = ["-n", "--report", "--json", "-c", String(count), "-i", "0.1", "-G", "1", ...more];
  const words = ["mtr", ...how, to];
  const { stdout, stderr, code } = await runTool(place, words);
  if (code !== 0) throw new Error(`mtr failed (code ${code}): ${stderr}`);
  const parsed = JSON.parse(stdout) as {
    readonly report: { readonly hubs: readonly { count: number; host: string; "Loss%": number }[] };
  };
  return parsed.report.hubs.map((hub) => ({
    ttl: hub.count,
    address: hub.host === "???" ? undefined : hub.host,
    lossPercent: hub["Loss%"],
  }));
};

/** `tracepath`: the path MTU that it arrived at, how many hops there are, and whether it got there. */
export const tracepath = async (
  place: Place,
  to: string,
): Promise<{ readonly pmtu: number; readonly hops: number | undefined; readonly reached: boolean }> => {
  const result = await runTool(place, ["tracepath", "-n", "-m", "8", to]);
  const [, pmtu, hops] = found("tracepath", result, /Resume: pmtu (\d+)(?: hops (\d+))?/);
  return {
    pmtu: Number(pmtu),
    hops: hops === undefined ? undefined : Number(hops),
    reached: / reached$/m.test(result.stdout),
  };
};

/** `nping`, with options of its own: what it sent, what came back, and each answer in its words. */
export const nping = async (
  place: Place,
  to: string,
  options: readonly string[],
): Promise<Exchange & { readonly answers: readonly string[] }> => {
  const result = await runTool(place, ["nping", "--delay", "20ms", ...options, to]);
  const answers = [...result.stdout.matchAll(/^RCVD \([^)]*\) (.*)$/gm)].map((match) => match[1]!);
  return { ...exchange("nping", result, /packets sent: (\d+) .*Rcvd: (\d+) /), answers };
};

/** `nmap`: the state of each port, as "9/udp" to "closed". */
export const nmap = async (
  place: Place,
  to: string,
  options: readonly string[],
): Promise<ReadonlyMap<string, string>> => {
  const result = await runTool(place, ["nmap", "-n", "-Pn", ...options, "-oG", "-", to]);
  const [, ports = ""] = found("nmap", result, /\tPorts: ([^\t\n]*)/);
  return new Map(
    ports.split(", ").map((port) => {
      const [number, state = "", protocol] = port.split("/");
      return [`${number?.trim()}/${protocol}`, state];
    }),
  );
};

/** What a name server said. */
export interface DnsAnswer {
  /** NOERROR, NXDOMAIN and so on; undefined where no answer came. */
  readonly status: string | undefined;
  /** Of the header: qr, aa, tc, rd and so on. */
  readonly flags: readonly string[];
  /** Records of the answer section, as "name ttl class type data" with single spaces. */
  readonly answers: readonly string[];
  readonly text: string;
}

const dnsAnswer = ({ stdout, stderr }: ToolResult, answers: RegExp): DnsAnswer => {
  const section = answers.exec(stdout)?.[1] ?? "";
  return {
    status: /status: (\w+)/.exec(stdout)?.[1],
    flags: (/[Ff]lags: ([a-z ]*);/.exec(stdout)?.[1] ?? "").split(" ").filter((flag) => flag !== ""),
    answers: section
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.replace(/\s+/g, " ")),
    text: stdout + stderr,
  };
};

/** `dig`, asking once and waiting a second; `words` are name, type and options such as +tcp. */
export const dig = async (place: Place, server: string, words: readonly string[]): Promise<DnsAnswer> =>
  dnsAnswer(
    await runTool(place, ["dig", "+tries=1", "+time=1", `@${server}`, ...words]),
    /;; ANSWER SECTION:\n([\s\S]*?)\n\n/,
  );

/** `kdig`, likewise. */
export const kdig = async (place: Place, server: string, words: readonly string[]): Promise<DnsAnswer> =>
  dnsAnswer(
    await runTool(place, ["kdig", "+retry=0", "+timeout=1", `@${server}`, ...words]),
    /;; ANSWER SECTION:\n([\s\S]*?)\n\n/,
  );

/** `dnsperf` over queries in its own format: how many it sent, how many were answered. */
export const dnsperf = async (
  place: Place,
  server: string,
  options: readonly string[],
): Promise<Exchange> => {
  const result = await runTool(place, ["dnsperf", "-s", server, ...options]);
  return exchange("dnsperf", result, /Queries sent:\s+(\d+)[\s\S]*?Queries completed:\s+(\d+)/);
};
