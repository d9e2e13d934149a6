/**
 * Keeps a service running, and has its address announced while it answers: what systemd does for a unit with a watchdog and an
 * `ExecStopPost=birdc disable '"anycast*"'`.
 *
 *   bun run examples/anycast/keeper.ts IFACE --address A ... --port P --host N --bird SOCKET
 *
 * The announcement follows the heart of the service. It dies: withdrawn, and started again. It hangs: withdrawn, killed, and
 * started again. The keeper is told to end: withdrawn first, and the service answers on until routers have taken note.
 */
import { print, program, UsageError } from "../support/program.ts";
import { ANNOUNCEMENTS, tellBird } from "./bird.ts";
import { eachLine } from "../support/lines.ts";
import type { Beat, KeeperReport } from "./protocol.ts";

const USAGE =
  "usage: bun run examples/anycast/keeper.ts IFACE --address A ... --port P --host N --bird SOCKET";
/** How often the heart is looked at, and how many looks without a beat mean that it hangs. */
const LOOK_MS = 100;
const SILENT_LOOKS = 5;
/** As systemd's RestartSec: who dies at once each time does not keep the machine busy. */
const RESTART_MS = 1000;
/** BGP has told everybody by then, in a network of one router. */
const DRAIN_MS = 1000;
const REPORT_EVERY_LOOKS = 2;
/** The service must not outlive its keeper: nobody would withdraw its address. */
const DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"] as const;

const report = (what: KeeperReport): void => print(JSON.stringify(what));

/** Says to BIRD what holds, one thing after the other. */
class Announcement {
  #on = false;
  #said: Promise<unknown>;
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    // Whoever kept the service before may have been killed with the address announced.
    this.#said = tellBird(socketPath, `disable ${ANNOUNCEMENTS}`);
  }

  get on(): boolean {
    return this.#on;
  }

  announce(): void {
    if (this.#on) return;
    this.#on = true;
    this.#say(`enable ${ANNOUNCEMENTS}`, { what: "announced" });
  }

  withdraw(why: string): Promise<unknown> {
    if (!this.#on) return this.#said;
    this.#on = false;
    return this.#say(`disable ${ANNOUNCEMENTS}`, { what: "withdrawn", why });
  }

  #say(command: string, done: KeeperReport): Promise<unknown> {
    this.#said = this.#said.then(() => tellBird(this.#socketPath, command)).then(() => report(done));
    return this.#said;
  }
}

/** Runs the service over and over until `ending` says that it was for the last time. */
class Keeper {
  #ending = false;
  #silent = 0;
  #looks = 0;
  #answered = 0;
  #child: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;
  readonly #announcement: Announcement;
  readonly #command: readonly string[];

  constructor(announcement: Announcement, command: readonly string[]) {
    this.#announcement = announcement;
    this.#command = command;
  }

  async run(): Promise<void> {
    const looking = setInterval(() => this.#look(), LOOK_MS);
    while (!this.#ending) {
      await this.#runOnce();
      if (!this.#ending) await Bun.sleep(RESTART_MS);
    }
    clearInterval(looking);
  }

  async end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    await this.#announcement.withdraw("the service is to end");
    await Bun.sleep(DRAIN_MS);
    this.#child?.kill("SIGTERM");
  }

  async #runOnce(): Promise<void> {
    const child = Bun.spawn([...DIE_WITH_PARENT, ...this.#command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#child = child;
    report({ what: "started", pid: child.pid });
    const over = child.exited.then(() => {
      this.#child = undefined;
      return this.#announcement.withdraw("the service died");
    });
    await eachLine(child.stdout, (line) => this.#beat(JSON.parse(line) as Beat));
    await over;
  }

  #beat({ answered }: Beat): void {
    // What the dead had said before is still read after them.
    if (this.#child === undefined) return;
    this.#silent = 0;
    this.#answered = answered;
    if (!this.#ending) this.#announcement.announce();
  }

  /** Looks are counted, not time: if this process stood still as well, that says nothing of the service. */
  #look(): void {
    this.#looks += 1;
    if (this.#looks % REPORT_EVERY_LOOKS === 0) report({ what: "answered", answered: this.#answered });
    this.#silent += 1;
    if (this.#silent !== SILENT_LOOKS || !this.#announcement.on) return;
    void this.#announcement.withdraw("the service hangs");
    this.#child?.kill("SIGKILL");
  }
}

await program(
  USAGE,
  {
    address: { type: "string", multiple: true, default: [] as string[] },
    port: { type: "string" },
    host: { type: "string" },
    bird: { type: "string" },
  },
  async ({ address, port, host, bird }, [name]) => {
    if (name === undefined || address.length === 0 || port === undefined || host === undefined)
      throw new UsageError("an interface, an address, a port and a number are needed");
    if (bird === undefined) throw new UsageError("--bird is the path of BIRD's control socket");
    const service = [process.execPath, "run", `${import.meta.dir}/service.ts`, name];
    const options = [...address.flatMap((each) => ["--address", each]), "--port", port, "--host", host];
    const keeper = new Keeper(new Announcement(bird), [...service, ...options]);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void keeper.end());
    await keeper.run();
    return 0;
  },
);
