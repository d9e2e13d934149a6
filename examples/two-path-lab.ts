/**
 * A laboratory of two paths between a client's namespace and a host's, with verbs to cut them: a carrier taken away, frames
 * lost silently in one direction, a route withdrawn, and all of it healed.
 *
 *   using lab = TwoPathLab.create({ shape: "switched", host: "program" });
 *   const eth = attach(lab.paths[0].host.name, { namespace: lab.namespace("host") });
 *   await lab.drop(0, "to-host");          // nobody is told
 *   await lab.carrier(1, "both", false);   // both ends see it
 *   await lab.heal();
 *
 * Each path goes through a namespace of its own, a bridge or a router, so that a cut hits whatever the ends are made of:
 * frames of an AF_XDP socket pass none of the hooks of its own interface. All of it goes with the process, as with `Lab`.
 */
import { Lab, type LabOptions, type Side } from "./lab.ts";
import {
  type Cable,
  COUNTERS,
  cutTable,
  cutText,
  type Direction,
  healText,
  readCounters,
} from "./two-path-cuts.ts";
import {
  awaitUpLine,
  bridgeLines,
  CALLER,
  type EndAddress,
  kernelLines,
  type Owner,
  ownerLines,
  type PathEnd,
  type PathShape,
  planPaths,
  routeLines,
  type RoutePlan,
  routerLines,
  routerRouteLines,
  routerWithdrawLines,
  SEGMENT_SERVICE,
  SERVICE,
  silentLines,
  TRUNK,
  trunkLine,
  type TwoPath,
  withdrawLines,
} from "./two-path-plan.ts";

export type { Cable, Direction, EndAddress, Owner, PathEnd, PathShape, RoutePlan, TwoPath };

export interface TwoPathOptions {
  /** Default "switched". */
  readonly shape?: PathShape;
  /** Who has the client's addresses. Default "kernel". */
  readonly client?: Owner;
  /** Who has the host's. Default "program". */
  readonly host?: Owner;
  /** How ends that their kernel owns reach each other's address. Default "backup": the second path after the first. */
  readonly routes?: RoutePlan;
  /** Of all veths; see `LabOptions`. */
  readonly lab?: Pick<LabOptions, "queues" | "mtu" | "offloads" | "name" | "keep">;
}

/** One of the two ends of both paths. */
export type PathSide = "client" | "host";

const SIDES = { client: "a", host: "b" } as const;
const ENDS = ["client", "host"] as const;
/** Two namespaces' worth of commands, on a machine that runs other tests too. */
const VERB_LIMIT_MS = 10_000;
/** Says the time in ms: starting a shell in a namespace takes longer than what the shell does there. */
const NOW = "date +%s%3N";
const DECIMAL = 10;

export class TwoPathLab {
  /** The namespaces and veths: side "a" is the client's, "b" the host's, "m" and "n" are the paths' middles. */
  readonly lab: Lab;
  readonly shape: PathShape;
  readonly paths: readonly [TwoPath, TwoPath];
  /** The host's address that lives on both of its interfaces; on a segment it is of the segment's network. */
  readonly service: EndAddress;
  /** The client's, likewise; on a segment it is that of its first interface. */
  readonly caller: EndAddress;
  readonly #owners: Readonly<Record<PathSide, Owner>>;
  readonly #routes: RoutePlan;
  #begunAtMs = 0;

  private constructor(lab: Lab, options: TwoPathOptions) {
    const { shape = "switched", client = "kernel", host = "program", routes = "backup" } = options;
    this.lab = lab;
    this.shape = shape;
    this.paths = planPaths(lab, shape);
    this.service = shape === "segment" ? SEGMENT_SERVICE : SERVICE;
    const [{ client: near }] = this.paths;
    this.caller = shape === "segment" ? { 4: near.ipv4, 6: near.ipv6 } : CALLER;
    this.#owners = { client, host };
    // On a segment everybody is on the link.
    this.#routes = shape === "segment" ? "none" : routes;
  }

  /** Makes it, and returns when every link is up. Throws, with what the tools said, where that is not possible. */
  static create(options: TwoPathOptions = {}): TwoPathLab {
    const reason = TwoPathLab.unavailable();
    if (reason !== undefined) throw new Error(`cannot make a lab of two paths: ${reason}`);
    const made = Lab.create({ ...options.lab, pairs: 2, middle: true });
    try {
      const lab = new TwoPathLab(made, options);
      lab.#setUp();
      return lab;
    } catch (error) {
      made.close();
      throw error;
    }
  }

  /** Why none can be made here, or undefined where one can. */
  static unavailable(): string | undefined {
    return (
      Lab.unavailable() ??
      (Bun.which("nft") === null ? "nft is not installed: apt-get install nftables" : undefined)
    );
  }

  /** The name of an end's namespace. */
  namespace(end: PathSide): string {
    return this.lab.namespace(SIDES[end]);
  }

  /** Who has the addresses of an end. */
  ownerOf(end: PathSide): Owner {
    return this.#owners[end];
  }

  /** The addresses of an end that are the same over both paths. */
  addressOf(end: PathSide): EndAddress {
    return end === "client" ? this.caller : this.service;
  }

  /**
   * Takes the carrier of a path away at one end or at both, or gives it back. Where it comes back, the promise resolves when
   * the ends see it.
   */
  async carrier(path: number, end: PathSide | "both", up: boolean): Promise<void> {
    const at = this.#path(path);
    const ends = end === "both" ? ENDS : [end];
    // One program for both, so that neither end sees it first.
    const lines = ends.map((each) => `link set dev ${at.towards[each]} ${up ? "up" : "down"}`);
    await this.#run(at.middle, [`ip -batch - <<'EOF'\n${lines.join("\n")}\nEOF`]);
    if (up) await this.#comeBack(at);
  }

  /**
   * Loses frames of one direction or of both from now on, and tells nobody: a share of them, all unless given, on the
   * host's cable or on the client's. What came before in that place is replaced; 0 heals it.
   */
  async drop(
    path: number,
    direction: Direction | "both",
    { share = 1, at = "host" }: { readonly share?: number; readonly at?: Cable } = {},
  ): Promise<void> {
    const directions = direction === "both" ? (["to-host", "to-client"] as const) : [direction];
    const text = directions.map((each) => cutText(each, at, share)).join("");
    await this.#run(this.#path(path).middle, [`nft -f - <<'EOF'\n${text}EOF`]);
  }

  /** Frames of a path that the cuts have lost so far, by direction. */
  dropped(path: number): Record<Direction, number> {
    return readCounters(this.lab.exec(this.#path(path).middle, COUNTERS).stdout);
  }

  /**
   * Withdraws the route over a path: at an end whose kernel owns it that to the other end's address, at the router that to the
   * host's, so that it answers the client that it knows no way.
   */
  async withdraw(path: number, where: PathSide | "router"): Promise<void> {
    const at = this.#path(path);
    this.#checkRoutes(where);
    if (where === "router") await this.#run(at.middle, routerWithdrawLines());
    else await this.#run(SIDES[where], withdrawLines(at[where], this.addressOf(otherOf(where))));
  }

  /** Gives back what `withdraw` took. */
  async restore(path: number, where: PathSide | "router"): Promise<void> {
    const at = this.#path(path);
    this.#checkRoutes(where);
    if (where === "router") await this.#run(at.middle, routerRouteLines(at));
    else await this.#run(SIDES[where], this.#routesOf(where, at));
  }

  /**
   * When the last verb set about its work, in ms since 1970: what it does is done within a few ms from then. 0 before the
   * first.
   */
  get begunAtMs(): number {
    return this.#begunAtMs;
  }

  /** Undoes every cut of both paths, and resolves when all links are up. */
  async heal(): Promise<void> {
    await Promise.all(
      this.paths.map(async (path) => {
        await this.#run(path.middle, [
          ...ENDS.map((end) => `ip link set dev ${path.towards[end]} up`),
          `nft -f - <<'EOF'\n${healText()}EOF`,
        ]);
        await this.#comeBack(path);
      }),
    );
  }

  /** Ends what it spawned and removes everything. Idempotent. */
  close(): void {
    this.lab.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #path(number: number): TwoPath {
    const path = this.paths[number];
    if (path === undefined) throw new RangeError(`a path is 0 or 1, not ${number}`);
    return path;
  }

  #checkRoutes(where: PathSide | "router"): void {
    if (where === "router" && this.shape !== "routed")
      throw new RangeError(`paths of a lab that is ${this.shape} have no router`);
    if (where !== "router" && (this.#owners[where] === "program" || this.#routes === "none"))
      throw new RangeError(`the lab has no routes at the ${where}`);
  }

  #setUp(): void {
    const { lab, paths } = this;
    if (this.shape === "segment") lab.exec("m", ["sh", "-ec", trunkLine(lab.namespace("n"))]);
    for (const path of paths) {
      const lines =
        this.shape === "routed"
          ? [...routerLines(path), ...routerRouteLines(path)]
          : bridgeLines(path, this.shape === "segment" ? [TRUNK] : []);
      lab.exec(path.middle, ["sh", "-ec", lines.join("\n")]);
      lab.exec(path.middle, ["nft", "-f", "-"], { stdin: cutTable(path) });
    }
    for (const end of ENDS) lab.exec(SIDES[end], ["sh", "-ec", this.#endLines(end).join("\n")]);
  }

  #endLines(end: PathSide): string[] {
    const { paths, shape } = this;
    if (this.#owners[end] === "program") return paths.flatMap((path) => silentLines(path[end]));
    // A kernel with two interfaces in one network answers for both on either: on a segment it has the first alone.
    if (shape === "segment") return [...kernelLines(paths[0][end]), ...silentLines(paths[1][end])];
    return [
      ...ownerLines(this.addressOf(end)),
      ...paths.flatMap((path) => kernelLines(path[end])),
      ...paths.flatMap((path) => this.#routesOf(end, path)),
    ];
  }

  #routesOf(end: PathSide, path: TwoPath): string[] {
    return routeLines(
      path[end],
      path.number,
      this.addressOf(end),
      this.addressOf(otherOf(end)),
      this.#routes,
    );
  }

  /** Waits for the links, and gives back the routes that kernels forget when a link goes down. */
  async #comeBack(path: TwoPath): Promise<void> {
    const { client, host, middle } = path;
    await Promise.all([
      this.#run(middle, this.shape === "routed" ? routerRouteLines(path) : []),
      ...ENDS.map((end) => this.#run(SIDES[end], [awaitUpLine({ client, host }[end].name)])),
    ]);
    await Promise.all(
      ENDS.filter((end) => this.#owners[end] === "kernel").map((end) =>
        this.#run(SIDES[end], this.#routesOf(end, path)),
      ),
    );
  }

  /** Runs shell lines in a namespace without holding up this process, whose traffic a cut is to be seen in. */
  async #run(side: Side, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const shell = this.lab.spawn(side, ["sh", "-ec", [NOW, ...lines].join("\n")]);
    const limit = setTimeout(() => shell.kill("SIGKILL"), VERB_LIMIT_MS);
    const [code, said, errors] = await Promise.all([
      shell.exited,
      new Response(shell.stdout).text(),
      new Response(shell.stderr).text(),
    ]);
    clearTimeout(limit);
    this.#begunAtMs = Number.parseInt(said, DECIMAL);
    if (code !== 0) throw new Error(`${lines.join("; ")}: code ${code}: ${errors.trim()}`);
  }
}

const otherOf = (end: PathSide): PathSide => (end === "client" ? "host" : "client");
