/**
 * The kernel's forwarding with a routing daemon and BFD at both ends of a lab of two paths: what a program would stand on that
 * leaves the choice of path to its host.
 *
 * FRR: bfdd watches the neighbours of bgpd, which tells each end the other's address over both paths and prefers the first.
 * BIRD: two static routes with BFD, the first preferred. Both keep the kernel's table by themselves.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { PathSide, TwoPath, TwoPathLab } from "../examples/two-path-lab.ts";

export type Daemon = "frr" | "bird";

export interface BfdTimes {
  readonly intervalMs: number;
  readonly multiplier: number;
}

const FRR_FOLDER = "/usr/lib/frr";
const BIRD = "/usr/sbin/bird";
const SIDES = { client: "a", host: "b" } as const;
/** What zebra lists when they are connected to it; of itself it prints a title. */
const FRR_CLIENTS = { zebra: "Name", bfdd: "bfd", bgpd: "bgp" } as const;
/** The daemons' user has to pass through the folder above theirs. */
const OPEN_TO_ALL = 0o755;
const SYSTEMS = { client: 65_001, host: 65_002 } as const;
const ENDS = ["client", "host"] as const;
/** FRR's zebra first: the others look for its socket. */
const FRR_DAEMONS = ["zebra", "bfdd", "bgpd"] as const;
/** A session of BGP comes up within some seconds, and again after a cut. */
const READY_LIMIT_MS = 30_000;
const LOOK_MS = 20;
/** Timers of an up session are agreed on in a Poll sequence (RFC 5880 section 6.8.3), a round trip after it came up. */
const SETTLE_MS = 500;

/** Why a daemon can't be used here, or undefined where it can. */
export const routingUnavailable = (daemon: Daemon): string | undefined => {
  const path = daemon === "frr" ? `${FRR_FOLDER}/bgpd` : BIRD;
  return Bun.which(path) === null ? `${daemon === "frr" ? "frr" : "bird2"} is not installed` : undefined;
};

/** Daemons at both ends of a lab whose ends the kernel owns, without routes of its own. Their files go with `close`. */
export class Routing implements Disposable {
  readonly #lab: TwoPathLab;
  readonly #daemon: Daemon;
  readonly #folder: string;

  private constructor(lab: TwoPathLab, daemon: Daemon) {
    this.#lab = lab;
    this.#daemon = daemon;
    this.#folder = mkdtempSync(join(tmpdir(), "millrace-routing-"));
  }

  /** Starts them, `prefix` in front, and resolves when both ends have ways over both paths and BFD watches them. */
  static async start(
    lab: TwoPathLab,
    daemon: Daemon,
    times: BfdTimes,
    prefix: readonly string[] = [],
  ): Promise<Routing> {
    const routing = new Routing(lab, daemon);
    try {
      const begin = daemon === "frr" ? startFrr : startBird;
      await Promise.all(ENDS.map((end) => begin({ lab, end, folder: routing.#at(end), times, prefix })));
      await routing.settled();
      return routing;
    } catch (error) {
      routing.close();
      throw error;
    }
  }

  /** Resolves when both ends reach each other over the first path, with the second ready to take over, and BFD at its pace. */
  async settled(): Promise<void> {
    const limit = performance.now() + READY_LIMIT_MS;
    while (!ENDS.every((end) => this.#isSettled(end))) {
      if (performance.now() > limit) throw new Error(`${this.#daemon} finds no ways: ${this.#told()}`);
      await Bun.sleep(LOOK_MS);
    }
    await Bun.sleep(SETTLE_MS);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #at(end: PathSide): string {
    const folder = join(this.#folder, end);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  #isSettled(end: PathSide): boolean {
    const { paths } = this.#lab;
    const far = this.#lab.addressOf(otherOf(end))[4];
    const route = this.#lab.lab.exec(SIDES[end], ["ip", "route", "show", far]).stdout;
    if (!route.includes(`dev ${paths[0][end].name}`)) return false;
    // Both sessions are up, and both ways are known.
    return this.#shown(end).every((text) => paths.every((path) => text.includes(path[otherOf(end)].ipv4)));
  }

  /** What the daemon says of its BFD sessions that are up, and of its ways to the far end. */
  #shown(end: PathSide): string[] {
    const far = this.#lab.addressOf(otherOf(end))[4];
    const folder = this.#at(end);
    if (this.#daemon === "bird") {
      const up = birdc(folder, "show bfd sessions")
        .split("\n")
        .filter((line) => / Up /.test(line));
      return [up.join("\n"), birdc(folder, `show route for ${far}/32 all`)];
    }
    const up = vtysh(folder, "show bfd peers brief")
      .split("\n")
      .filter((line) => / up/.test(line));
    return [up.join("\n"), vtysh(folder, `show bgp ipv4 unicast ${far}/32`)];
  }

  #told(): string {
    return ENDS.flatMap((end) => this.#shown(end)).join("\n");
  }
}

const otherOf = (end: PathSide): PathSide => (end === "client" ? "host" : "client");

const capture = (command: readonly string[]): string => Bun.spawnSync([...command]).stdout.toString();
const vtysh = (folder: string, command: string): string =>
  capture(["vtysh", "--vty_socket", folder, "-c", command]);
const birdc = (folder: string, command: string): string =>
  capture(["birdc", "-s", `${folder}/bird.ctl`, ...command.split(" ")]);

/** One end's daemons, and where their files are. */
interface Station {
  readonly lab: TwoPathLab;
  readonly end: PathSide;
  readonly folder: string;
  readonly times: BfdTimes;
  readonly prefix: readonly string[];
}

const startFrr = async ({ lab, end, folder, times, prefix }: Station): Promise<void> => {
  // The daemons become the user of their own that the package makes.
  const [uid, gid] = ["-u", "-g"].map((which) => Number(capture(["id", which, "frr"])));
  chmodSync(dirname(folder), OPEN_TO_ALL);
  chownSync(folder, uid!, gid!);
  for (const daemon of FRR_DAEMONS) {
    const file = `${folder}/${daemon}.conf`;
    writeFileSync(file, FRR_CONFIGURATIONS[daemon](lab, end, times));
    const options = ["-z", `${folder}/zserv.api`, "--vty_socket", folder, "-i", `${folder}/${daemon}.pid`];
    const more = daemon === "bfdd" ? ["--bfdctl", `${folder}/bfdd.sock`] : [];
    lab.lab.spawn(
      SIDES[end],
      [...prefix, `${FRR_FOLDER}/${daemon}`, ...options, "-f", file, "-P", "0", "--log", "stdout", ...more],
      { stdout: "ignore", stderr: "ignore" },
    );
    // Each asks zebra for the ones before it, once: what is not there by then stays unknown to it.
    const limit = performance.now() + READY_LIMIT_MS;
    while (!vtysh(folder, "show zebra client summary").includes(FRR_CLIENTS[daemon])) {
      if (performance.now() > limit) throw new Error(`FRR's ${daemon} does not start`);
      await Bun.sleep(LOOK_MS);
    }
  }
};

const FRR_CONFIGURATIONS = {
  zebra: (): string => "ip forwarding\n",
  bfdd: (_: TwoPathLab, __: PathSide, { intervalMs, multiplier }: BfdTimes): string => `bfd
 profile fast
  transmit-interval ${intervalMs}
  receive-interval ${intervalMs}
  detect-multiplier ${multiplier}
`,
  bgpd: (lab: TwoPathLab, end: PathSide): string => {
    const other = otherOf(end);
    const neighbours = lab.paths.flatMap((path) => frrNeighbour(path, other));
    return `router bgp ${SYSTEMS[end]}
 bgp router-id ${lab.paths[0][end].ipv4}
 no bgp ebgp-requires-policy
 no bgp network import-check
${neighbours.join("\n")}
 address-family ipv4 unicast
  network ${lab.addressOf(end)[4]}/32
`;
  },
};

const frrNeighbour = (path: TwoPath, other: PathSide): string[] => {
  const address = path[other].ipv4;
  return [
    ` neighbor ${address} remote-as ${SYSTEMS[other]}`,
    ` neighbor ${address} bfd profile fast`,
    // Calls again after a second, so that a measurement that heals its cut need not wait for two minutes.
    ` neighbor ${address} timers connect 1`,
    ` neighbor ${address} weight ${path.number === 0 ? 200 : 100}`,
  ];
};

const startBird = async ({ lab, end, folder, times, prefix }: Station): Promise<void> => {
  const file = `${folder}/bird.conf`;
  writeFileSync(file, birdConfiguration(lab, end, times));
  lab.lab.spawn(
    SIDES[end],
    [BIRD, "-f", "-c", file, "-s", `${folder}/bird.ctl`, "-P", `${folder}/bird.pid`],
    {
      stdout: "ignore",
      stderr: "ignore",
    },
  );
};

const birdConfiguration = (lab: TwoPathLab, end: PathSide, { intervalMs, multiplier }: BfdTimes): string => {
  const other = otherOf(end);
  const names = lab.paths.map((path) => `"${path[end].name}"`).join(", ");
  const statics = lab.paths.map(
    (path) => `protocol static path${path.number} {
  ipv4 { preference ${path.number === 0 ? 200 : 100}; };
  route ${lab.addressOf(other)[4]}/32 via ${path[other].ipv4} bfd;
}`,
  );
  return `router id ${lab.paths[0][end].ipv4};
protocol device {}
protocol kernel { ipv4 { import none; export all; }; }
protocol bfd { interface ${names} { interval ${intervalMs} ms; multiplier ${multiplier}; }; }
${statics.join("\n")}
`;
};
