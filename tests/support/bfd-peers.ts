/**
 * Other people's BFD at the far end of a bed's link: FRR's bfdd and BIRD, each with configuration, sockets and files of its own,
 * and what an operator does to them. Nothing here blocks the loop, whose sessions are counted in milliseconds.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Daemon, end, startDaemon } from "./daemon.ts";
import { until } from "./lab.ts";
import { PATIENCE_MS, type ServedBed } from "./served-bed.ts";

/** What a daemon says of one session. */
export interface PeerStatus {
  readonly state: "up" | "down" | "init" | "admin-down";
  /** Its agreed interval and detection time in ms, where it says them. */
  readonly intervalMs: number;
  readonly detectionMs: number;
}

export interface PeerTimes {
  readonly intervalMs: number;
  readonly multiplier: number;
}

export interface BfdPeer {
  readonly name: string;
  /** It says so when an operator takes its sessions down; BIRD 2.0 falls silent. */
  readonly tellsOfOperators: boolean;
  /** Its session with `address`; undefined where it has none. */
  status(address: string): Promise<PeerStatus | undefined>;
  /** Changes the times of its sessions while they run. */
  retime(times: PeerTimes): Promise<void>;
  /** Takes its sessions down as an operator does, or lets them come up again. */
  shut(down: boolean): Promise<void>;
  /** Dies without a word, and comes back as who knows nobody. */
  restart(): Promise<void>;
  end(): Promise<void>;
}

export interface FrrPeer extends BfdPeer {
  /** Commands of its shell; what it says to them. */
  shell(...commands: readonly string[]): Promise<string>;
}

/** The addresses that a daemon's sessions are between. */
export interface Ends {
  readonly local: string;
  readonly peer: string;
}

/** Where a daemon lives: side a of a lab, and a folder. A bed is one. */
export type Home = Pick<ServedBed, "lab" | "folder" | "file">;

export interface PeerOptions extends PeerTimes {
  /** FRR: sends echoes, and has its kernel forward ours. */
  readonly echoMs?: number;
  /** Waits for our first packet (RFC 5880 section 6.1). */
  readonly passive?: boolean;
  /** BIRD: every packet is signed. */
  readonly authentication?: { readonly kind: string; readonly key: string };
}

/** Where Debian puts FRR's daemons: they are in no PATH. */
export const FRR_FOLDER = "/usr/lib/frr";

/** Runs a command at the daemons' side without waiting for it in the loop; what it printed. */
export const ask = async (bed: Home, words: readonly string[]): Promise<string> => {
  const program = bed.lab.spawn("a", words);
  const [output, errors, code] = await Promise.all([
    program.stdout.text(),
    program.stderr.text(),
    program.exited,
  ]);
  if (code !== 0) throw new Error(`${words.join(" ")} failed (${code}): ${output}${errors}`);
  return output;
};

const FRR_STATES: Readonly<Record<string, PeerStatus["state"]>> = {
  up: "up",
  down: "down",
  init: "init",
  shutdown: "admin-down",
};

interface FrrSession {
  readonly peer: string;
  readonly status: string;
  readonly "transmit-interval": number;
  readonly "remote-transmit-interval": number;
  readonly "receive-interval": number;
  readonly "remote-detect-multiplier": number;
}

class Frr implements FrrPeer {
  readonly name = "bfdd";
  readonly tellsOfOperators = true;
  readonly #bed: Home;
  readonly #folder: string;
  readonly #ends: readonly Ends[];
  readonly #zebra: Daemon;
  readonly #start: () => Promise<Daemon>;
  #bfdd: Daemon;

  constructor(
    bed: Home,
    folder: string,
    ends: readonly Ends[],
    zebra: Daemon,
    bfdd: Daemon,
    start: () => Promise<Daemon>,
  ) {
    this.#bed = bed;
    this.#folder = folder;
    this.#ends = ends;
    this.#zebra = zebra;
    this.#bfdd = bfdd;
    this.#start = start;
  }

  async shell(...commands: readonly string[]): Promise<string> {
    const words = ["vtysh", "--vty_socket", this.#folder, "-d", "bfdd"];
    return ask(this.#bed, [...words, ...commands.flatMap((each) => ["-c", each])]);
  }

  async status(address: string): Promise<PeerStatus | undefined> {
    const sessions = JSON.parse(await this.shell("show bfd peers json")) as readonly FrrSession[];
    const session = sessions.find(({ peer }) => peer === address);
    if (session === undefined) return undefined;
    const heardMs = Math.max(session["receive-interval"], session["remote-transmit-interval"]);
    return {
      state: FRR_STATES[session.status] ?? "down",
      intervalMs: session["transmit-interval"],
      detectionMs: heardMs * session["remote-detect-multiplier"],
    };
  }

  async retime({ intervalMs, multiplier }: PeerTimes): Promise<void> {
    await this.#configure(
      `receive-interval ${intervalMs}`,
      `transmit-interval ${intervalMs}`,
      `detect-multiplier ${multiplier}`,
    );
  }

  async shut(down: boolean): Promise<void> {
    await this.#configure(down ? "shutdown" : "no shutdown");
  }

  async restart(): Promise<void> {
    await end(this.#bfdd, "SIGKILL");
    rmSync(join(this.#folder, BFDD_SOCKET));
    this.#bfdd = await this.#start();
  }

  async end(): Promise<void> {
    await end(this.#bfdd);
    await end(this.#zebra);
  }

  async #configure(...lines: readonly string[]): Promise<void> {
    for (const one of this.#ends) {
      const peer = frrPeer(this.#bed, one);
      await this.shell("configure terminal", "bfd", peer, ...lines);
    }
  }

  /** Its configuration; for `startFrr`. */
  static lines(bed: Home, ends: readonly Ends[], options: PeerOptions): string[] {
    const { intervalMs, multiplier, echoMs, passive = false } = options;
    return [
      "bfd",
      ...ends.flatMap((one) => [
        ` ${frrPeer(bed, one)}`,
        `  receive-interval ${intervalMs}`,
        `  transmit-interval ${intervalMs}`,
        `  detect-multiplier ${multiplier}`,
        ...(echoMs === undefined
          ? []
          : [`  echo receive-interval ${echoMs}`, `  echo transmit-interval ${echoMs}`, "  echo-mode"]),
        ...(passive ? ["  passive-mode"] : []),
        "  no shutdown",
        " exit",
      ]),
      "exit",
    ];
  }
}

/** Where its shell finds it. */
const BFDD_SOCKET = "bfdd.vty";

const frrPeer = (bed: Home, { peer, local }: Ends): string =>
  `peer ${peer} local-address ${local} interface ${bed.lab.a.name}`;

/** Starts zebra, which knows the interfaces, and bfdd. */
export const startFrr = async (bed: Home, ends: readonly Ends[], options: PeerOptions): Promise<FrrPeer> => {
  // Its daemons give up being root: they have to find their way to a folder of their own.
  chmodSync(bed.folder, 0o711);
  const folder = join(bed.folder, "frr");
  mkdirSync(folder);
  const configured = (name: string, lines: readonly string[]): string => {
    const file = join(folder, `${name}.conf`);
    writeFileSync(file, `${lines.join("\n")}\n`);
    return file;
  };
  const words = (name: string, lines: readonly string[]): string[] => [
    join(FRR_FOLDER, name),
    ...["-f", configured(name, lines), "-i", join(folder, `${name}.pid`)],
    ...["-z", join(folder, "zserv.api"), "--vty_socket", folder],
    ...["-A", "127.0.0.1", "-P", "0", "--log", "stdout"],
  ];
  const isThere = (name: string) => async () =>
    (await Bun.file(join(folder, name))
      .stat()
      .catch(() => undefined)) !== undefined;
  const zebraWords = words("zebra", ["log stdout"]);
  const bfddWords = [...words("bfdd", Frr.lines(bed, ends, options)), "--bfdctl", join(folder, "bfdd.sock")];
  await Bun.$`chown -R frr:frr ${folder}`.quiet();
  const zebra = await startDaemon(bed, "a", zebraWords, () => true);
  await until("zebra to listen", isThere("zserv.api"), PATIENCE_MS);
  const start = async (): Promise<Daemon> => {
    const bfdd = await startDaemon(bed, "a", bfddWords, () => true);
    await until("bfdd to listen", isThere(BFDD_SOCKET), PATIENCE_MS);
    return bfdd;
  };
  return new Frr(bed, folder, ends, zebra, await start(), start);
};

const BIRD_STATES: Readonly<Record<string, PeerStatus["state"]>> = {
  Up: "up",
  Down: "down",
  Init: "init",
  AdminDown: "admin-down",
};
const MS_PER_SECOND = 1000;

class Bird implements BfdPeer {
  readonly name = "bird";
  readonly tellsOfOperators = false;
  readonly #bed: Home;
  readonly #socket: string;
  readonly #ends: readonly Ends[];
  readonly #start: () => Promise<Daemon>;
  #daemon: Daemon;
  #options: PeerOptions;

  constructor(
    bed: Home,
    socket: string,
    ends: readonly Ends[],
    options: PeerOptions,
    daemon: Daemon,
    start: () => Promise<Daemon>,
  ) {
    this.#bed = bed;
    this.#socket = socket;
    this.#ends = ends;
    this.#options = options;
    this.#daemon = daemon;
    this.#start = start;
  }

  async status(address: string): Promise<PeerStatus | undefined> {
    const said = await this.#control("show", "bfd", "sessions");
    const line = said.split("\n").find((each) => each.split(/\s+/)[0] === address);
    if (line === undefined) return undefined;
    const [, , state = "", ...rest] = line.trim().split(/\s+/);
    const [intervalMs = 0, detectionMs = 0] = rest.slice(-2).map((each) => Number(each) * MS_PER_SECOND);
    return { state: BIRD_STATES[state] ?? "down", intervalMs, detectionMs };
  }

  async retime(times: PeerTimes): Promise<void> {
    this.#options = { ...this.#options, ...times };
    this.#bed.file("bird.conf", Bird.text(this.#bed, this.#ends, this.#options));
    await this.#control("configure");
  }

  async shut(down: boolean): Promise<void> {
    await this.#control(down ? "disable" : "enable", "bfd1");
  }

  async restart(): Promise<void> {
    await end(this.#daemon, "SIGKILL");
    this.#daemon = await this.#start();
  }

  async end(): Promise<void> {
    await end(this.#daemon);
  }

  #control(...words: readonly string[]): Promise<string> {
    return ask(this.#bed, ["birdc", "-s", this.#socket, ...words]);
  }

  static text(bed: Home, ends: readonly Ends[], options: PeerOptions): string {
    const { intervalMs, multiplier, authentication, passive = false } = options;
    const { name } = bed.lab.a;
    return [
      "log stderr all;",
      "router id 10.0.0.1;",
      "protocol device {}",
      "protocol bfd bfd1 {",
      ` interface "${name}" {`,
      `  interval ${intervalMs} ms; multiplier ${multiplier}; passive ${passive ? "yes" : "no"};`,
      ...(authentication === undefined
        ? []
        : [`  authentication ${authentication.kind}; password "${authentication.key}";`]),
      " };",
      ...ends.map(({ peer, local }) => ` neighbor ${peer} dev "${name}" local ${local};`),
      "}",
      "",
    ].join("\n");
  }
}

/** Starts BIRD with nothing but BFD. */
export const startBird = async (bed: Home, ends: readonly Ends[], options: PeerOptions): Promise<BfdPeer> => {
  const file = bed.file("bird.conf", Bird.text(bed, ends, options));
  const socket = join(bed.folder, "bird.ctl");
  const words = ["bird", "-f", "-c", file, "-s", socket, "-P", join(bed.folder, "bird.pid")];
  const start = (): Promise<Daemon> => startDaemon(bed, "a", words, (said) => said.includes("Started"));
  return new Bird(bed, socket, ends, options, await start(), start);
};
