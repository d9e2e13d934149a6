/**
 * The ground of the anycast example: a client, a router and hosts, each a namespace, with BIRD on all but the client.
 *
 *   client 10.77.0.1 -- 10.77.0.2 router 10.77.n.1 -- 10.77.n.2 host n
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab, type Side } from "../lab.ts";
import { hostConfiguration, type Peering, routerConfiguration, tellBird } from "./bird.ts";

const START_LIMIT_MS = 10_000;
const LOOK_MS = 20;
/** BIRD says there what is wrong, and nothing else. */
const OUTPUT = { stdout: "ignore", stderr: "inherit" } as const;

type Child = ReturnType<Lab["spawn"]>;

/** One host: its namespace, its interface, and the daemon on it. */
export interface GroundHost {
  readonly number: number;
  readonly lab: Lab;
  readonly bird: Child;
  readonly controlPath: string;
}

export class Ground {
  readonly hosts: readonly GroundHost[];
  /** Client at side a, router at side b. */
  readonly front: Lab;
  readonly #folder = mkdtempSync(join(tmpdir(), "millrace-anycast-"));
  readonly #labs: readonly Lab[];
  readonly #birds: Child[] = [];

  /** Throws where labs cannot be made; BIRD is not up yet when this returns. */
  constructor(hosts: number, serviceAddress: string) {
    this.front = Lab.create();
    const labs: Lab[] = [];
    this.#labs = labs;
    try {
      const peerings: Peering[] = [];
      this.hosts = Array.from({ length: hosts }, (_, i) => {
        const lab = Lab.create();
        labs.push(lab);
        const peering = this.#connect(lab, i + 1);
        peerings.push(peering);
        const configuration = hostConfiguration(peering, serviceAddress, lab.b.name);
        return { number: i + 1, lab, ...this.#startBird(lab, "b", `host${i + 1}`, configuration) };
      });
      const { front } = this;
      for (const setting of ["ip_forward", "fib_multipath_hash_policy"])
        front.exec("b", ["sh", "-c", `echo 1 > /proc/sys/net/ipv4/${setting}`]);
      front.exec("a", ["ip", "route", "add", "default", "via", front.b.ipv4]);
      this.#startBird(front, "b", "router", routerConfiguration(peerings, serviceAddress));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Why this cannot be had here; undefined where it can. */
  static unavailable(): string | undefined {
    const missing = ["bird", "setpriv"].find((name) => Bun.which(name) === null);
    if (missing !== undefined)
      return `${missing} is not installed: apt-get install ${missing === "bird" ? "bird2" : "util-linux"}`;
    return Lab.unavailable();
  }

  /** Resolves when every session between the router and a host is up. Lets time pass by `pass`, which may reject. */
  async ready(pass: (ms: number) => Promise<void>): Promise<void> {
    const end = performance.now() + START_LIMIT_MS;
    while ((await this.established()) < this.hosts.length) {
      const ended = this.#birds.find(({ exitCode }) => exitCode !== null);
      if (ended !== undefined) throw new Error(`BIRD ended with ${ended.exitCode}`);
      if (performance.now() > end) throw new Error(`BGP is not up after ${START_LIMIT_MS} ms`);
      await pass(LOOK_MS);
    }
  }

  /** How many BGP sessions the router has. */
  async established(): Promise<number> {
    const shown = await tellBird(this.#controlPath("router"), "show protocols").catch(() => "");
    return shown.split("\n").filter((line) => /\bBGP\b.*\bEstablished\b/.test(line)).length;
  }

  /** Ends all that runs on it, and removes it. Idempotent. */
  close(): void {
    for (const lab of this.#labs) lab.close();
    this.front.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Moves the lab's near end into the router, and gives both ends the addresses of link `number`. */
  #connect(lab: Lab, number: number): Peering {
    const routerInterface = `host${number}`;
    const router = this.front.b.namespace;
    const peering = {
      host: number,
      hostAddress: `10.77.${number}.2`,
      routerAddress: `10.77.${number}.1`,
      routerInterface,
    };
    lab.exec("a", ["ip", "link", "set", "dev", lab.a.name, "netns", router, "name", routerInterface]);
    for (const words of [
      `address add ${peering.routerAddress}/24 dev ${routerInterface}`,
      `link set dev ${routerInterface} up`,
    ])
      this.front.exec("b", ["ip", ...words.split(" ")]);
    for (const words of [
      `address flush dev ${lab.b.name} scope global`,
      `address add ${peering.hostAddress}/24 dev ${lab.b.name}`,
      `route add default via ${peering.routerAddress}`,
    ])
      lab.exec("b", ["ip", ...words.split(" ")]);
    return peering;
  }

  #controlPath(name: string): string {
    return join(this.#folder, `${name}.ctl`);
  }

  #startBird(lab: Lab, side: Side, name: string, configuration: string) {
    const file = join(this.#folder, `${name}.conf`);
    const controlPath = this.#controlPath(name);
    writeFileSync(file, configuration);
    const bird = lab.spawn(side, ["bird", "-f", "-c", file, "-s", controlPath], OUTPUT);
    this.#birds.push(bird);
    return { bird, controlPath };
  }
}
