/** One host of the anycast example as the router's neighbour: its keeper, what that says, and what may befall it. */
import type { Lab } from "../lab.ts";
import { example } from "../support/place.ts";
import type { GroundHost } from "./ground.ts";
import { eachLine } from "../support/lines.ts";
import type { KeeperReport } from "./protocol.ts";

export class KeptHost {
  readonly number: number;
  announced = false;
  /** Why it was withdrawn last. */
  why = "";
  /** Datagrams that the present service has answered. */
  answered = 0;
  readonly #ground: GroundHost;
  readonly #options: readonly string[];
  readonly #failed: (error: Error) => void;
  #keeper: ReturnType<Lab["spawn"]> | undefined;
  #ending = false;
  #servicePid = 0;

  /** `failed` is called where the keeper ends by itself. */
  constructor(
    ground: GroundHost,
    addresses: readonly string[],
    port: number,
    failed: (error: Error) => void,
  ) {
    this.number = ground.number;
    this.#ground = ground;
    const which = addresses.flatMap((address) => ["--address", address]);
    this.#options = [...which, "--port", String(port), "--host", String(ground.number)];
    this.#failed = failed;
  }

  start(): void {
    const { lab, controlPath } = this.#ground;
    const options = [...this.#options, "--bird", controlPath];
    const keeper = lab.spawn("b", example("anycast/keeper", lab.b.name, ...options), { stderr: "inherit" });
    this.#keeper = keeper;
    this.#ending = false;
    void eachLine(keeper.stdout, (line) => this.#hear(JSON.parse(line) as KeeperReport));
    void keeper.exited.then((code) => {
      if (!this.#ending) this.#failed(new Error(`the keeper of host ${this.number} ended with ${code}`));
    });
  }

  /** As its operator ends it: the keeper withdraws the address first. */
  async drain(): Promise<void> {
    this.#ending = true;
    this.#keeper?.kill("SIGTERM");
    await this.#keeper?.exited;
  }

  /** The service is no more, or stands still. */
  strike(signal: "SIGKILL" | "SIGSTOP"): void {
    process.kill(this.#servicePid, signal);
  }

  /** The whole machine stands still: its routing daemon, the keeper, the service. */
  freeze(): void {
    for (const pid of this.#all) process.kill(pid, "SIGSTOP");
  }

  thaw(): void {
    for (const pid of this.#all) process.kill(pid, "SIGCONT");
  }

  /** What it does from now on is no failure. */
  end(): void {
    this.#ending = true;
  }

  get #all(): readonly number[] {
    return [this.#ground.bird.pid, this.#keeper!.pid, this.#servicePid];
  }

  #hear(said: KeeperReport): void {
    if (said.what === "started") this.#servicePid = said.pid;
    else if (said.what === "announced") this.announced = true;
    else if (said.what === "answered") this.answered = said.answered;
    else {
      this.announced = false;
      this.why = said.why;
    }
  }
}
