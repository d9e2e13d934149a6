/**
 * Debian packages of any suite, from the mirror that the machine's own apt names, fetched into a folder of ours.
 *
 * Every apt-get here has a sources file, lists and a package state of its own, so that the machine's apt neither learns of
 * the suite nor installs anything from it.
 */
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What the programs of the machine are told: nothing of its own settings but the proxy, which stays in force. */
const QUIET = ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3"];
/** A Packages file of a whole suite is 10 MB, a kernel 110 MB. */
const FETCH_LIMIT_MS = 300_000;
/** Debian publishes four times a day; nobody needs a kernel within hours. */
const LIST_LIFE_MS = 24 * 3_600_000;
/** Signs the archives of every Debian suite (package debian-archive-keyring). */
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Runs a program to its end and returns what it printed; throws what it complained of. */
export const output = (command: readonly string[], cwd?: string): string => {
  const done = Bun.spawnSync([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: FETCH_LIMIT_MS,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (done.exitCode === 0) return done.stdout.toString();
  const late = done.exitedDueToTimeout ? `no end after ${FETCH_LIMIT_MS} ms` : `code ${done.exitCode}`;
  throw new Error(`${command.join(" ")}: ${late}: ${done.stderr.toString().trim()}`);
};

/** The address of the Debian mirror that this machine's apt uses; throws, with the reason, where there is none. */
export const debianMirror = (): string => {
  if (Bun.which("apt-get") === null) throw new Error("this machine has no apt-get");
  const format = "$(ORIGIN) $(COMPONENT) $(SUITE) $(REPO_URI)";
  const targets = output(["apt-get", "indextargets", "--format", format, "Created-By: Packages"]);
  for (const line of targets.split("\n")) {
    const [origin, component, suite, address] = line.split(" ");
    // Security and update suites have archives of their own, which do not hold the others.
    if (origin === "Debian" && component === "main" && suite !== undefined && !suite.includes("-"))
      return address!;
  }
  throw new Error("this machine's apt sources name no Debian mirror (apt-get update reads them)");
};

/** One suite of a mirror, and the packages in it. */
export class Suite {
  readonly name: string;
  readonly #folder: string;
  readonly #settings: readonly string[];

  /** `folder` is made where it is missing; several suites may share it. */
  constructor(mirror: string, name: string, folder: string) {
    this.name = name;
    this.#folder = join(folder, name);
    for (const each of ["lists/partial", "cache/archives/partial", "packages"])
      mkdirSync(join(this.#folder, each), { recursive: true });
    const sources = join(this.#folder, "sources.list");
    writeFileSync(sources, `deb [signed-by=${KEYRING}] ${mirror} ${name} main\n`);
    const setting = {
      "Dir::Etc::SourceList": sources,
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::State::Lists": join(this.#folder, "lists"),
      "Dir::State::Status": "/dev/null",
      "Dir::Cache": join(this.#folder, "cache"),
      // The user _apt may not enter the folder of a checkout; what is fetched is checked by signature all the same.
      "APT::Sandbox::User": "root",
      "APT::Architecture": "amd64",
    };
    this.#settings = Object.entries(setting).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  }

  /**
   * Fetches the list of what the suite holds, unless it was fetched today. Returns what went wrong, if anything did: the list
   * of an earlier run still does, with the packages that it fetched.
   */
  update(): string | undefined {
    const stamp = join(this.#folder, "updated");
    if (existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < LIST_LIFE_MS) return undefined;
    try {
      this.#aptGet(["update"]);
      writeFileSync(stamp, "");
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The version of a package; undefined where the suite does not have it. */
  version(name: string): string | undefined {
    return this.#field(name, "Version");
  }

  /** Names of the packages that a package asks for outright. */
  dependencies(name: string): string[] {
    const depends = this.#field(name, "Depends") ?? "";
    return depends.split(",").flatMap((each) => {
      const named = /^\s*([a-z0-9][a-z0-9.+~-]*)/.exec(each)?.[1];
      return named === undefined ? [] : [named];
    });
  }

  /** Fetches packages, those that are not here yet, and returns the paths of their .deb files. */
  download(names: readonly string[]): string[] {
    const folder = join(this.#folder, "packages");
    return names.map((name) => {
      const version = this.version(name);
      if (version === undefined) throw new Error(`${this.name} has no package ${name}`);
      // apt-get writes a colon of the version as %3a.
      const start = `${name}_${version.replaceAll(":", "%3a")}_`;
      const present = (): string | undefined => readdirSync(folder).find((file) => file.startsWith(start));
      if (present() === undefined) this.#aptGet(["download", name], folder);
      const file = present();
      if (file === undefined) throw new Error(`apt-get download ${name} left no ${start}*.deb`);
      return join(folder, file);
    });
  }

  /** Another run may use the same lists: apt-get itself would refuse instead of waiting. */
  #aptGet(words: readonly string[], cwd?: string): void {
    const lock = join(this.#folder, "lock");
    output(["flock", lock, "apt-get", ...QUIET, ...this.#settings, ...words], cwd);
  }

  #field(name: string, field: string): string | undefined {
    const record = Bun.spawnSync(["apt-cache", ...this.#settings, "show", "--no-all-versions", name], {
      stdout: "pipe",
      stderr: "ignore",
    }).stdout.toString();
    return new RegExp(`^${field}: (.*)$`, "m").exec(record)?.[1];
  }
}

/** Which of two Debian versions is newer, by Debian's own rules. */
export const isNewer = (version: string, than: string): boolean =>
  Bun.spawnSync(["dpkg", "--compare-versions", version, "gt", than]).exitCode === 0;
