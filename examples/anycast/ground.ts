/**
 * The ground of the anycast example: a client, a router and hosts, each a namespace, with BIRD on all but the client.
 *
 *   client 10.77.0.1 -- 10.77.0.2 router 10.77.n.1 -- 10.77.n.2 host n
 *           fd77::1     fd77::2     fd77:0:0:n::1     fd77:0:0:n::2
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IpAddress } from "millrace/wire";
import { Lab, type Side } from "../lab.ts";
import { hostConfiguration, type Peering, routerConfiguration, tellBird } from "./bird.ts";

const START_LIMIT_MS = 10_000;
const LOOK_MS = 20;
/** BIRD says there what is wrong, and nothing else. */
const OUTPUT = { stdout: "ignore", stderr: "inherit" } as const;

/** A daemon that gets no processor for 300 ms is dead to its neighbour, also where it is not what stands still. */
const AT_ONCE = ["nice", "-n", "-19"] as const;
/** It forwards, and spreads flows by addresses and ports, in both families. */
const ROUTER_SETTINGS = [
  "ipv4/ip_forward",
  "ipv4/fib_multipath_hash_policy",
  "ipv6/conf/all/forwarding",
  "ipv6/fib_multipath_hash_policy",
] as const;

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
  readonly #folder: string;
  readonly #labs: readonly Lab[];
  readonly #birds: Child[] = [];

  /** Throws where labs cannot be made; BIRD is not up yet when this returns. */
  constructor(hosts: number, services: readonly IpAddress[]) {
    this.front = Lab.create();
    this.#folder = mkdtempSync(join(tmpdir(), "millrace-anycast-"));
    const labs: Lab[] = [];
    this.#labs = labs;
    try {
      const peerings: Peering[] = [];
      this.hosts = Array.from({ length: hosts }, (_, i) => {
        const lab = Lab.create();
        labs.push(lab);
        const peering = this.#connect(lab, i + 1);
        peerings.push(peering);
        const configuration = hostConfiguration(peering, services, lab.b.name);
        return { number: i + 1, lab, ...this.#startBird(lab, "b", `host${i + 1}`, configuration) };
      });
      const { front } = this;
      for (const setting of ROUTER_SETTINGS)
        front.exec("b", ["sh", "-c", `echo 1 > /proc/sys/net/${setting}`]);
      for (const gateway of [front.b.ipv4, front.b.ipv6])
        front.exec("a", ["ip", "route", "add", "default", "via", gateway]);
      this.#startBird(front, "b", "router", routerConfiguration(peerings, services));
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
      hostAddress: { 4: `10.77.${number}.2`, 6: `fd77:0:0:${number}::2` },
      routerAddress: { 4: `10.77.${number}.1`, 6: `fd77:0:0:${number}::1` },
      routerInterface,
    };
    lab.exec("a", ["ip", "link", "set", "dev", lab.a.name, "netns", router, "name", routerInterface]);
    for (const words of [
      `address add ${peering.routerAddress[4]}/24 dev ${routerInterface}`,
      `address add ${peering.routerAddress[6]}/64 dev ${routerInterface} nodad`,
      `link set dev ${routerInterface} up`,
    ])
      this.front.exec("b", ["ip", ...words.split(" ")]);
    for (const words of [
      `address flush dev ${lab.b.name} scope global`,
      `address add ${peering.hostAddress[4]}/24 dev ${lab.b.name}`,
      `address add ${peering.hostAddress[6]}/64 dev ${lab.b.name} nodad`,
      `route add default via ${peering.routerAddress[4]}`,
      `route add default via ${peering.routerAddress[6]}`,
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
    const bird = lab.spawn(side, [...AT_ONCE, "bird", "-f", "-c", file, "-s", controlPath], OUTPUT);
    this.#birds.push(bird);
    return { bird, controlPath };
  }
}
